"""Asks open questions through the files and batches endpoints, within a day and at the price table's batch rate.

In rounds: what is open is collected into batches, submitted and waited for, and its answers are stored; then what is open now,
until nothing is. A batch is in the store (batch_store.py) from before its upload until its last answer is there, so the next run
picks up after a run that was killed, at whatever moment: what was submitted is never submitted again.

As in direct.py, nothing that a server says is shown, chained or kept but machine codes and ids.
"""

import asyncio
import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from types import TracebackType
from typing import BinaryIO, Generic

import openai.types

from raddistill.errors import InputError
from raddistill.llm_client.batch_api import QUEUE_FULL, QueueFullError, Server
from raddistill.llm_client.batch_collect import Collector, Limits, Reserved, line_of
from raddistill.llm_client.batch_lines import Reading
from raddistill.llm_client.batch_store import Batch, BatchStore
from raddistill.llm_client.run import OUT_OF_MONEY, R, Run
from raddistill.llm_client.store import Store
from raddistill.llm_client.troubles import SHOWN, Trouble

SAY_EVERY_S = 30.0
CHUNK = 256  # reports whose questions are put into a batch together, between two looks at Ctrl-C
ENDED = {"completed", "expired", "cancelled", "canceled"}  # Azure's documents spell it both ways


class Batches(Generic[R]):
    """The batches of one run: collected, submitted, watched until they end."""

    def __init__(self, run: Run[R], store: Store, limits: Limits, *, show: bool) -> None:
        self._run, self._store, self._limits, self._show = run, store, limits, show
        self._batches = BatchStore(store)
        self._server = Server(run.client, run.asking.tries)
        self._address = hashlib.sha256(str(run.client.base_url).encode()).hexdigest()
        self._at_once = sys.maxsize  # batches under way, once the server has said that its queue is full
        self._ours: dict[str, Reserved] = {}  # by name of the batch
        self._tries: Counter[str] = Counter()  # by key: batches that brought no answer
        self._printed: dict[str, tuple[float, str]] = {}  # by name of the batch: when and what
        self._awaited: set[str] = set()  # names of the batches that hold what is open
        self._others = 0  # batches for other servers and models

    def __enter__(self) -> "Batches[R]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leaves to the next run what is not done with."""
        if kind is not None and (left := sum(batch.name in self._ours and bool(batch.batch) for batch in self._batches.all())):
            self._say(f"batches still under way at the server: {left}; the next run picks them up")
        self._batches.close()

    async def work(self, reports: Iterable[R]) -> None:
        """Returns when nothing is open any more, or the budget allows no more (`run.stopped`)."""
        assert iter(reports) is not reports, "batches are asked for in rounds: an iterator is used up after the first"
        while await self._round(reports):
            pass

    async def _round(self, reports: Iterable[R]) -> bool:
        """Asks what is open now, once. False: nothing is, or there is no money for it."""
        await self._pick_up()
        awaited, all_collected = await self._collect(reports)
        if not awaited and not all_collected:
            awaited = set(self._ours)  # their ends make room for the rest
            if not awaited:
                self._run.stopped = OUT_OF_MONEY
                return False
        self._awaited = awaited
        for batch in self._here():
            if batch.name in self._ours and batch.batch is None:
                await self._submit(batch)
        await self._watch()
        return bool(awaited)

    def _here(self) -> list[Batch]:
        """The batches for this server and model, of whatever run."""
        return [each for each in self._batches.all() if (each.server, each.model) == (self._address, self._run.model)]

    async def _pick_up(self) -> None:
        """Adopts the batches of runs that died."""
        here = self._here()
        for batch in here:
            if batch.name not in self._ours:
                await self._adopt(batch)
        others = len(self._batches.all()) - len(here)
        if others > self._others:
            self._others = others
            self._say(f"{self._store.path}: {others} batches for another server or model, left to a run that asks them")

    async def _adopt(self, batch: Batch) -> None:
        """Makes a batch ours if its run has died. One that was not submitted is undone: what of it is open is collected anew.

        Its money was committed already, so it counts where the cap allows, and does not stop the run where it does not.
        """
        if not self._batches.adopt(batch):
            return
        state = self._batches.get(batch.name)
        assert state is not None, "nobody else removes what is ours"
        if state.batch is None:
            file, found = await self._server.find(state.name, state.file) if state.requests else (None, None)
            if found is None:
                await self._remove(state.name, [file])
                return
            self._batches.note(state.name, file=file, batch=found)
        reserved = self._ours[state.name] = Reserved()
        for key, body in self._batches.bodies(state.name):
            most = self._run.budget.most(json.loads(body), batch=True)
            if key in self._store:
                reserved[key] = None
            elif self._run.budget.reserve(most):
                reserved[key] = most
            else:
                self._run.budget.reserve(0.0)
                reserved[key] = 0.0
        self._say(f"batch of an earlier run picked up: {state.requests:,} questions")

    async def _collect(self, reports: Iterable[R]) -> tuple[set[str], bool]:
        """Puts what is open into batches.

        Returns:
            Names of the batches to wait for, and whether room and money sufficed for all that is open.
        """
        collector = Collector(self._run, self._batches, self._server.url, self._address, self._limits, self._ours)
        self._run.done, remaining = 0, iter(reports)
        while chunk := list(islice(remaining, CHUNK)):
            await asyncio.sleep(0)
            for report in chunk:
                questions = self._run.still_open(report)
                self._run.done += not questions
                if not all(each.key in self._store or collector.add(each, self._at_once) for each in questions):
                    collector.finish()
                    return collector.awaited, False
            collector.flush()
        collector.finish()
        return collector.awaited, True

    async def _watch(self) -> None:
        """Until the awaited batches have ended, and their answers are stored. Others are looked at on the way, once at least."""
        while True:
            for batch in self._here():
                await (self._look(batch) if batch.name in self._ours else self._adopt(batch))
            if not self._awaited & {batch.name for batch in self._batches.all()}:
                return
            await asyncio.sleep(self._run.asking.poll_s)

    async def _submit(self, batch: Batch) -> None:
        file = batch.file
        if file is None:
            with tempfile.TemporaryFile(dir=self._store.folder) as content:
                self._write(batch.name, content)
                file = await self._server.upload(batch.name, content)
            self._batches.note(batch.name, file=file)
        try:
            created = await self._server.create(batch.name, file)
        except QueueFullError:
            await self._give_up_place(batch._replace(file=file))
            return
        self._batches.note(batch.name, batch=created)
        self._say_changed(batch._replace(batch=created), "submitted")

    def _write(self, name: str, content: BinaryIO) -> None:
        for key, body in self._batches.bodies(name):
            content.write(line_of(key, body, self._server.url))

    async def _look(self, batch: Batch) -> None:
        """Once at a batch, and all that follows where it has ended."""
        assert batch.batch is not None
        seen = await self._server.batch(batch.batch)
        counts = seen.request_counts
        self._say_changed(batch, f"{seen.status}, {counts.completed + counts.failed:,} done" if counts else seen.status)
        if seen.status == "failed":
            await self._refused(batch, seen)
        elif seen.status in ENDED:
            await self._harvest(batch, seen)

    async def _refused(self, batch: Batch, seen: openai.types.Batch) -> None:
        """The server does not take the batch as a whole."""
        errors = (seen.errors.data if seen.errors else None) or []
        codes = sorted({error.code for error in errors if error.code and SHOWN.fullmatch(error.code)})
        if QUEUE_FULL in codes:
            await self._give_up_place(batch)
            return
        awaited = batch.name in self._awaited
        await self._remove(batch.name, [seen.input_file_id])
        if awaited:
            raise InputError(
                f"the server refused a batch of {batch.requests:,} questions as a whole ({', '.join(codes) or 'no code'}). "
                f"Check llm.model and that the account may use batches for it, or set asking.mode to direct"
            )

    async def _give_up_place(self, batch: Batch) -> None:
        """The server's queue is full: this batch comes later, behind fewer others, or smaller where there are none.

        Raises:
            InputError: not even one question fits.
        """
        running = sum(each.name in self._ours and each.batch is not None for each in self._here() if each.name != batch.name)
        requests = batch.requests or 0
        await self._remove(batch.name, [batch.file])
        if running:
            self._at_once = running
        elif requests > 1:
            self._limits = self._limits._replace(requests=requests // 2)
        else:
            raise InputError(
                f"the server has no room for a batch of one question: {QUEUE_FULL}. Wait for other batches of the account"
            )
        self._say(f"the server's queue is full: {requests:,} questions come later")

    async def _harvest(self, batch: Batch, seen: openai.types.Batch) -> None:
        """Stores the answers of an ended batch, settles it, and clears it away here and there."""
        reading = Reading(self._run.model, self._ours[batch.name], self._store, self._run.budget)
        if seen.output_file_id:
            await self._server.read(seen.output_file_id, reading)
            if seen.request_counts and reading.lines < seen.request_counts.completed:  # a short reply, that we do not pay twice
                await self._server.read(seen.output_file_id, reading)
        if seen.error_file_id:
            await self._server.read(seen.error_file_id, reading)
        self._run.answered += reading.answered
        unanswered = reading.unanswered()
        for key, trouble in unanswered.items():
            self._count_try(key, trouble)
        charged = {key for key, trouble in unanswered.items() if trouble.charged}
        await self._remove(batch.name, [seen.input_file_id, seen.output_file_id, seen.error_file_id], charged)
        self._say(f"batch {seen.status}: {reading.answered:,} answers of {batch.requests:,}{reading.odd_lines()}")
        self._run.stopped = next((trouble.stop for trouble in unanswered.values() if trouble.stop), None)
        if self._run.stopped:
            self._run.raise_stopped()

    def _count_try(self, key: str, trouble: Trouble) -> None:
        self._tries[key] += 1
        if not trouble.stop and (not trouble.again or self._tries[key] >= self._run.asking.tries):
            self._run.failed[key] = trouble.reason

    async def _remove(self, name: str, files: Iterable[str | None], charged: Iterable[str] = ()) -> None:
        """Clears a batch away: the files at the server, which hold reports, then ours; and ends its reservations."""
        left = [file for file in filter(None, files) if not await self._server.delete(file)]
        if left:
            _print(f"could not be deleted from the server, where they hold reports; please delete them there: {', '.join(left)}")
        charged = set(charged)
        for key, reserved in self._ours.pop(name, {}).items():
            if reserved is not None:
                self._run.budget.release(reserved, charged=key in charged)
        self._batches.remove(name)

    def _say_changed(self, batch: Batch, what: str) -> None:
        """How a batch is doing, where it has changed, now and then."""
        when, before = self._printed.get(batch.name, (-SAY_EVERY_S, ""))
        if what != before and time.monotonic() - when >= SAY_EVERY_S:
            self._printed[batch.name] = time.monotonic(), what
            self._say(f"batch {batch.batch} of {batch.requests:,} questions: {what}")

    def _say(self, text: str) -> None:
        if self._show:
            _print(text)


def _print(text: str) -> None:
    print(f"asking: {text}", file=sys.stderr, flush=True)
