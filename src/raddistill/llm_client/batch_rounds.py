"""Asks open questions through the files and batches endpoints, within a day and at the price table's batch rate.

In rounds: what is open is collected into batches, submitted and waited for, and its answers are stored; then what is open now,
until nothing is. A batch is in the store (batch_store.py) from before its upload until its last answer is there, so the next run
picks up after a run that was killed, at whatever moment: what was submitted is never submitted again.
"""

import asyncio
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

import openai.types

from raddistill.errors import InputError, ParamsError
from raddistill.llm_client.batch_api import QUEUE_FULL, QueueFullError
from raddistill.llm_client.batch_lines import Reading
from raddistill.llm_client.batch_store import Batch
from raddistill.llm_client.run_batches import Batches, Limits, Reservations, line_of
from raddistill.llm_client.messages import Question
from raddistill.llm_client.run_state import OUT_OF_MONEY, R, Run
from raddistill.llm_client.store import Store
from raddistill.llm_client.request_failures import SHOWN, RequestFailure

ENDED = {"completed", "expired", "cancelled", "canceled"}  # Azure's documents spell it both ways
CHUNK = 256  # reports whose questions are put into a batch together, between two looks at Ctrl-C


async def ask_in_batches(run: Run[R], reports: Iterable[R], store: Store, limits: Limits) -> None:
    """Returns when nothing is open any more, or the budget allows no more (`run.stopped`)."""
    assert iter(reports) is not reports, "batches are asked for in rounds: an iterator is used up after the first"
    batches = Batches(run, store, limits)
    try:
        while await _round(run, reports, store, batches):
            pass
    finally:
        batches.close()


async def _round(run: Run[R], reports: Iterable[R], store: Store, batches: Batches) -> bool:
    """Asks what is open now, once. False: nothing is, or there is no money for it."""
    await batches.pick_up()
    awaited, all_collected = await _collect(run, reports, store, batches)
    if not awaited and not all_collected:
        awaited = set(batches.ours)  # their ends make room for the rest
        if not awaited:
            run.stopped = OUT_OF_MONEY
            return False
    for batch in batches.kept.all():
        if batch.name in batches.ours and batch.batch is None:
            await _submit(batches, batch)
    while await _look(batches, awaited):
        await asyncio.sleep(run.asking.poll_s)
    return bool(awaited)


async def _submit(batches: Batches, batch: Batch) -> None:
    try:
        await batches.submit(batch)
    except QueueFullError:
        await _give_up_place(batches, batches.kept.get(batch.name) or batch)  # its file is there by now


async def _look(batches: Batches, awaited: set[str]) -> bool:
    """Once at all batches; stores the answers of those that have ended. False: none is left of those that are awaited."""
    for batch in batches.kept.all():
        if batch.name not in batches.ours:
            await batches.adopt(batch)
            continue
        seen = await batches.look(batch)
        if seen.status == "failed":
            await _refused(batches, batch, seen, awaited=batch.name in awaited)
        elif seen.status in ENDED:
            await _harvest(batches, batch, seen)
    return bool(awaited & {batch.name for batch in batches.kept.all()})


async def _collect(run: Run[R], reports: Iterable[R], store: Store, batches: Batches) -> tuple[set[str], bool]:
    """Puts what is open into batches.

    Returns:
        Names of the batches to wait for, and whether room and money sufficed for all that is open.
    """
    collector = _Collector(run, batches)
    run.done, remaining = 0, iter(reports)
    while chunk := list(islice(remaining, CHUNK)):
        await asyncio.sleep(0)
        for report in chunk:
            questions = run.still_open(report)
            run.done += not questions
            if not all(each.key in store or collector.add(each) for each in questions):
                collector.finish()
                return collector.awaited, False
        collector.flush()
    collector.finish()
    return collector.awaited, True


class _Collector:
    """Fills batches with questions."""

    def __init__(self, run: Run[Any], batches: Batches) -> None:
        self._run, self._batches, self._kept = run, batches, batches.kept
        self._name: str | None = None  # of the batch that is being filled
        self._requests = self._bytes = 0  # in it
        self._pending: dict[str, tuple[str, float]] = {}  # key -> body and USD reserved, of what is not in the store yet
        self.awaited: set[str] = set()  # names of the batches that hold what is open

    def add(self, question: Question) -> bool:
        """Puts a question into a batch, if it is in none. False: money, or the server's queue, allows no more.

        Raises:
            ParamsError: a question for the decisions endpoint, which takes no batches.
        """
        holder = self._name if question.key in self._pending else self._kept.holder(question.key)
        if holder is not None:
            self.awaited.add(holder)
            return True
        if question.form == "decisions":
            raise ParamsError("asking.mode: batch takes no decisions (llm.answers); set asking.mode to direct")
        body, limits = json.dumps(question.body), self._batches.limits
        length = len(line_of(question.key, body))
        if length > limits.bytes:
            self._run.failed[question.key] = "larger than a batch may be"
            return True
        if self._requests >= limits.requests or self._bytes + length > limits.bytes:
            self.finish()
        most = self._run.budget.most(question.body, body_size=len(body), batch=True)
        if (self._name is None and len(self._batches.ours) >= self._batches.at_once) or not self._run.budget.reserve(most):
            return False
        if self._name is None:
            self._name = self._kept.start()
            self._batches.ours[self._name] = Reservations()
        self._pending[question.key] = body, most
        self._requests, self._bytes = self._requests + 1, self._bytes + length
        return True

    def flush(self) -> None:
        """Writes what was added into the store. What another run has put into a batch meanwhile is waited for there."""
        if self._name is None:
            return
        claimed = self._kept.claim(self._name, [(key, body) for key, (body, _) in self._pending.items()])
        for (key, (body, most)), ours in zip(self._pending.items(), claimed, strict=True):
            if ours:
                self._batches.ours[self._name][key] = most
                self.awaited.add(self._name)
            else:
                self._run.budget.release(most, charged=False)
                self._requests, self._bytes = self._requests - 1, self._bytes - len(line_of(key, body))
                self.awaited |= {holder for holder in [self._kept.holder(key)] if holder}
        self._pending = {}

    def finish(self) -> None:
        """The batch is complete; from now on a later run picks it up."""
        self.flush()
        if self._name is not None and self._requests:
            self._kept.note(self._name, requests=self._requests)
        elif self._name is not None:
            self._kept.remove(self._name)
            del self._batches.ours[self._name]
        self._name, self._requests, self._bytes = None, 0, 0


async def _harvest(batches: Batches, batch: Batch, seen: openai.types.Batch) -> None:
    """Stores the answers of an ended batch, settles it, and clears it away here and there."""
    reading = Reading(batches.run.model, batches.ours[batch.name], batches.store, batches.run.budget)
    if seen.output_file_id:
        await batches.server.read(seen.output_file_id, reading)
        if seen.request_counts and reading.lines < seen.request_counts.completed:  # a short reply, that we do not pay twice
            await batches.server.read(seen.output_file_id, reading)
    if seen.error_file_id:
        await batches.server.read(seen.error_file_id, reading)
    batches.run.answered += reading.answered
    unanswered = reading.unanswered()
    for key, trouble in unanswered.items():
        _count_try(batches, key, trouble)
    charged = {key for key, trouble in unanswered.items() if trouble.charged}
    await batches.remove(batch.name, [seen.input_file_id, seen.output_file_id, seen.error_file_id], charged)
    batches.run.say(f"batch {seen.status}: {reading.answered:,} answers of {batch.requests:,}{reading.odd_lines()}")
    batches.run.stopped = next((trouble.stop for trouble in unanswered.values() if trouble.stop), None)
    if batches.run.stopped:
        batches.run.raise_stopped()


def _count_try(batches: Batches, key: str, trouble: RequestFailure) -> None:
    batches.tries[key] += 1
    if not trouble.stop and (not trouble.again or batches.tries[key] >= batches.run.asking.tries):
        batches.run.failed[key] = trouble.reason


async def _refused(batches: Batches, batch: Batch, seen: openai.types.Batch, *, awaited: bool) -> None:
    """The server does not take the batch as a whole."""
    errors = (seen.errors.data if seen.errors else None) or []
    codes = sorted({error.code for error in errors if error.code and SHOWN.fullmatch(error.code)})
    if QUEUE_FULL in codes:
        await _give_up_place(batches, batch)
        return
    await batches.remove(batch.name, [seen.input_file_id])
    if awaited:
        raise InputError(
            f"the server refused a batch of {batch.requests:,} questions as a whole ({', '.join(codes) or 'no code'}). "
            f"Check llm.model and that the account may use batches for it, or set asking.mode to direct"
        )


async def _give_up_place(batches: Batches, batch: Batch) -> None:
    """The server's queue is full: this batch comes later, behind fewer others, or smaller where there are none.

    Raises:
        InputError: not even one question fits.
    """
    running = sum(each.name in batches.ours and each.batch is not None for each in batches.kept.all() if each.name != batch.name)
    requests = batch.requests or 0
    await batches.remove(batch.name, [batch.file])
    if running:
        batches.at_once = running
    elif requests > 1:
        batches.limits = batches.limits._replace(requests=requests // 2)
    else:
        raise InputError(
            f"the server has no room for a batch of one question: {QUEUE_FULL}. Wait for other batches of the account"
        )
    batches.run.say(f"the server's queue is full: {requests:,} questions come later")
