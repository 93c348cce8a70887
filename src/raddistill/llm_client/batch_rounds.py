"""Asks open questions through the files and batches endpoints, within a day and at the price table's batch rate.

Each round collects the open questions into batches, submits them, waits, and stores the answers. Rounds end when no question is
open. A batch is in the store (batch_store.py) from before its upload until its last answer is stored. So a run may be killed at
any moment: the next run continues with its batches, and nothing is submitted twice.
"""

import asyncio
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

import openai.types

from raddistill.errors import InputError, ParamsError
from raddistill.llm_client.batch_api import QUEUE_FULL, QueueFullError
from raddistill.llm_client.batch_store import StoredBatch
from raddistill.llm_client.batches import Batches, Limits, Reading, Reservations, line_of
from raddistill.llm_client.messages import Question
from raddistill.llm_client.request_failures import SHOWN
from raddistill.llm_client.run_state import OUT_OF_MONEY, R, Run
from raddistill.llm_client.store import Store

ENDED = {"completed", "expired", "cancelled", "canceled"}  # Azure's documents use both spellings
CHUNK = 256  # reports whose questions are added to a batch together; Ctrl-C is handled between chunks


async def ask_in_batches(run: Run[R], reports: Iterable[R], store: Store, limits: Limits) -> None:
    """Returns when no question is open, or when the budget allows no more (then `run.stopped` is set)."""
    assert iter(reports) is not reports, "all rounds read the reports, so these must not be an iterator"
    batches = Batches(run, store, limits)
    try:
        while await _round(reports, batches):
            pass
    finally:
        batches.close()


async def _round(reports: Iterable[R], batches: Batches) -> bool:
    """Asks all open questions once. False: none is open, or the budget allows none."""
    await batches.pick_up()
    collector = _Collector(batches)
    awaited = collector.awaited
    if not await collector.collect(reports) and not awaited:
        awaited = set(batches.ours)  # when they end, money and queue are free for the rest
        if not awaited:
            batches.run.stopped = OUT_OF_MONEY
            return False
    for batch in batches.stored.all():
        if batch.name in batches.ours and batch.batch_id is None:
            try:
                await batches.submit(batch)
            except QueueFullError:
                await _postpone(batches, batch.name)
    while await _poll(batches, awaited):
        await asyncio.sleep(batches.run.asking.poll_s)
    return bool(awaited)


async def _poll(batches: Batches, awaited: set[str]) -> bool:
    """Polls every batch once and stores the answers of ended ones. False: no awaited batch is left."""
    for batch in batches.stored.all():
        if batch.name not in batches.ours:
            await batches.adopt(batch)
            continue
        seen = await batches.poll(batch)
        if seen.status == "failed":
            await _refused(batches, batch, seen, awaited=batch.name in awaited)
        elif seen.status in ENDED:
            await _harvest(batches, batch, seen)
    return bool(awaited & {batch.name for batch in batches.stored.all()})


class _Collector:
    """Fills batches with the open questions."""

    def __init__(self, batches: Batches) -> None:
        self._run, self._batches, self._stored = batches.run, batches, batches.stored
        self._name: str | None = None  # of the batch being filled
        self._requests = self._bytes = 0  # in the batch being filled
        self._pending: dict[str, tuple[str, float]] = {}  # key -> body and USD reserved; not in the store yet
        self.awaited: set[str] = set()  # names of the batches that hold open questions

    async def collect(self, reports: Iterable[Any]) -> bool:
        """Puts the open questions about the reports into batches. False: queue or budget did not suffice for all."""
        self._run.done, remaining, all_fit = 0, iter(reports), True
        while all_fit and (chunk := list(islice(remaining, CHUNK))):
            await asyncio.sleep(0)
            for report in chunk:
                questions = self._run.still_open(report)
                self._run.done += not questions
                all_fit = all(each.key in self._batches.store or self._add(each) for each in questions)
                if not all_fit:
                    break
            self._flush()
        self._finish()
        return all_fit

    def _add(self, question: Question) -> bool:
        """Puts a question into a batch unless it is in one. False: the budget or the server's queue allows no more.

        Raises:
            ParamsError: the question is for the decisions endpoint, which takes no batches.
        """
        holder = self._name if question.key in self._pending else self._stored.holder(question.key)
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
            self._finish()
        most = self._run.budget.most(question.body, body_size=len(body), batch=True)
        queue_full = self._name is None and len(self._batches.ours) >= self._batches.max_open_batches
        if queue_full or not self._run.budget.reserve(most):
            return False
        if self._name is None:
            self._name = self._stored.start()
            self._batches.ours[self._name] = Reservations()
        self._pending[question.key] = body, most
        self._requests, self._bytes = self._requests + 1, self._bytes + length
        return True

    def _flush(self) -> None:
        """Writes the added questions to the store. If another run has put one into a batch meanwhile, that batch is awaited."""
        if self._name is None:
            return
        claimed = self._stored.claim(self._name, [(key, body) for key, (body, _) in self._pending.items()])
        for (key, (body, most)), ours in zip(self._pending.items(), claimed, strict=True):
            if ours:
                self._batches.ours[self._name][key] = most
            else:
                self._run.budget.release(most, charged=False)
                self._requests, self._bytes = self._requests - 1, self._bytes - len(line_of(key, body))
            if holder := self._name if ours else self._stored.holder(key):
                self.awaited.add(holder)
        self._pending = {}

    def _finish(self) -> None:
        """Completes the batch being filled. From now on a later run would continue with it."""
        self._flush()
        if self._name is not None and self._requests:
            self._stored.update(self._name, requests=self._requests)
        elif self._name is not None:
            self._stored.remove(self._name)
            del self._batches.ours[self._name]
        self._name, self._requests, self._bytes = None, 0, 0


async def _harvest(batches: Batches, batch: StoredBatch, seen: openai.types.Batch) -> None:
    """Stores the answers of an ended batch, settles its costs, and removes it from the server and the store."""
    run = batches.run
    reading = Reading(run.model, batches.ours[batch.name], batches.store, run.budget)
    if seen.output_file_id:
        await batches.server.read(seen.output_file_id, reading.take)
        # The reply was cut short: read again, or we would pay twice.
        if seen.request_counts and reading.lines < seen.request_counts.completed:
            await batches.server.read(seen.output_file_id, reading.take)
    if seen.error_file_id:
        await batches.server.read(seen.error_file_id, reading.take)
    run.answered += reading.answered
    unanswered = reading.unanswered()
    for key, failure in unanswered.items():
        batches.tries[key] += 1
        if not failure.stop and (not failure.again or batches.tries[key] >= run.asking.tries):
            run.failed[key] = failure.reason
    charged = {key for key, failure in unanswered.items() if failure.charged}
    await batches.remove(batch.name, [seen.input_file_id, seen.output_file_id, seen.error_file_id], charged)
    run.say(f"batch {seen.status}: {reading.answered:,} answers of {batch.requests:,}{reading.odd_lines()}")
    run.stopped = next((failure.stop for failure in unanswered.values() if failure.stop), None)
    run.raise_if_stopped()


async def _refused(batches: Batches, batch: StoredBatch, seen: openai.types.Batch, *, awaited: bool) -> None:
    """Handles a batch that the server refused as a whole: postpones it if the queue is full, else removes it."""
    errors = (seen.errors.data if seen.errors else None) or []
    codes = sorted({error.code for error in errors if error.code and SHOWN.fullmatch(error.code)})
    if QUEUE_FULL in codes:
        await _postpone(batches, batch.name)
        return
    await batches.remove(batch.name, [seen.input_file_id])
    if awaited:
        raise InputError(
            f"the server refused a batch of {batch.requests:,} questions as a whole ({', '.join(codes) or 'no code'}). "
            f"Check llm.model and that the account may use batches for it, or set asking.mode to direct"
        )


async def _postpone(batches: Batches, name: str) -> None:
    """Removes a batch because the server's queue is full; its questions go into a later batch.

    Later fewer batches are open at once. If no other batch is open, the later batch is half as large.

    Raises:
        InputError: not even one question fits.
    """
    stored = {batch.name: batch for batch in batches.stored.all()}
    batch = stored.pop(name)
    running = sum(other in batches.ours and each.batch_id is not None for other, each in stored.items())
    requests = batch.requests or 0
    await batches.remove(name, [batch.file_id])
    if running:
        batches.max_open_batches = running
    elif requests > 1:
        batches.limits = batches.limits._replace(requests=requests // 2)
    else:
        raise InputError(
            f"the server has no room for a batch of one question: {QUEUE_FULL}. Wait for other batches of the account"
        )
    batches.run.say(f"the server's queue is full: {requests:,} questions come later")
