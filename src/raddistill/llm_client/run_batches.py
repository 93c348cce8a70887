"""The batches of one run: adopts those of dead runs, submits, polls and removes them.

As in sender.py, only machine codes and ids of what a server says are shown or kept.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import openai.types

from raddistill.llm_client.batch_api import Server
from raddistill.llm_client.batch_store import BatchStore, StoredBatch
from raddistill.llm_client.run_state import Run, say
from raddistill.llm_client.store import Store

SAY_EVERY_S = 30.0
Reservations = dict[str, float | None]  # key -> USD reserved for the question; None if nothing is reserved (any more)


class Limits(NamedTuple):
    """Limits of one batch. These are OpenAI's; Azure allows at least as much."""

    requests: int = 50_000
    bytes: int = 200_000_000  # OpenAI says "200 MB"; this is its smaller meaning


def line_of(key: str, body: str, url: str = "/v1/chat/completions") -> bytes:
    """One line of a batch file. All ASCII, so that no server mistakes a character for a line end."""
    return f'{{"custom_id": "{key}", "method": "POST", "url": "{url}", "body": {body}}}\n'.encode("ascii")


class Batches:
    """The batches of one run. `ours`: USD reserved per question, by batch name."""

    def __init__(self, run: Run[Any], store: Store, limits: Limits) -> None:
        self.stored, self.limits = BatchStore(store, str(run.client.base_url), run.model), limits
        self.server = Server(run.client, run.asking.tries)
        self.max_open_batches = sys.maxsize  # lowered when the server's queue is full
        self.ours: dict[str, Reservations] = {}
        self.run, self.store = run, store
        self.tries: Counter[str] = Counter()  # by key: batches without an answer to it
        self._said: dict[str, tuple[float, str]] = {}  # batch name -> time and text of its last message
        self._others = 0  # batches for other servers and models

    def close(self) -> None:
        """Leaves unfinished batches to the next run."""
        try:
            left = sum(batch.name in self.ours and batch.batch_id is not None for batch in self.stored.all())
        finally:
            self.stored.close()
        if left:
            self.run.say(f"batches still under way at the server: {left}; the next run picks them up")

    async def pick_up(self) -> None:
        """Adopts the batches of runs that died."""
        for batch in self.stored.all():
            if batch.name not in self.ours:
                await self.adopt(batch)
        if (others := self.stored.others()) > self._others:
            self._others = others
            self.run.say(f"{self.store.path}: {others} batches for another server or model, left to a run that asks them")

    async def adopt(self, batch: StoredBatch) -> None:
        """Takes over a batch if its run has died.

        A batch never submitted is deleted; its unanswered questions go into a new one. A submitted batch is paid for in any
        case, so its costs are reserved as far as the cap allows and never stop the run.
        """
        if not self.stored.adopt(batch):
            return
        state = self.stored.get(batch.name)
        assert state is not None, "no other run removes our batches"
        if state.batch_id is None:
            file_id, batch_id = await self.server.find(state.name, state.file_id) if state.requests else (None, None)
            if batch_id is None:
                await self.remove(state.name, [file_id])
                return
            self.stored.update(state.name, file_id=file_id, batch_id=batch_id)
        reserved = self.ours[state.name] = Reservations()
        for key, body in self.stored.bodies(state.name):
            most = self.run.budget.most(json.loads(body), batch=True)
            if key in self.store:
                reserved[key] = None
            elif self.run.budget.reserve(most):
                reserved[key] = most
            else:
                self.run.budget.reserve(0.0)  # already paid for; counts as open only
                reserved[key] = 0.0
        self.run.say(f"batch of an earlier run picked up: {state.requests:,} questions")

    async def submit(self, batch: StoredBatch) -> None:
        """Uploads a batch of the store and creates it at the server.

        Raises:
            QueueFullError: the batch can be submitted later; its file is uploaded.
        """
        file_id = batch.file_id
        if file_id is None:
            with tempfile.TemporaryFile(dir=self.store.folder) as content:
                content.writelines(line_of(key, body, self.server.url) for key, body in self.stored.bodies(batch.name))
                file_id = await self.server.upload(batch.name, content)
            self.stored.update(batch.name, file_id=file_id)
        batch_id = await self.server.create(batch.name, file_id)
        self.stored.update(batch.name, batch_id=batch_id)
        self._say_changed(batch._replace(batch_id=batch_id), "submitted")

    async def poll(self, batch: StoredBatch) -> openai.types.Batch:
        """Returns the server's state of a submitted batch."""
        assert batch.batch_id is not None
        seen = await self.server.retrieve(batch.batch_id)
        counts = seen.request_counts
        self._say_changed(batch, f"{seen.status}, {counts.completed + counts.failed:,} done" if counts else seen.status)
        return seen

    async def remove(self, name: str, files: Iterable[str | None], charged: Iterable[str] = ()) -> None:
        """Removes a batch: its files at the server, which hold reports, its reservations, and its rows in the store."""
        left = [file_id for file_id in filter(None, files) if not await self.server.delete(file_id)]
        if left:
            say(f"could not be deleted from the server, where they hold reports; please delete them there: {', '.join(left)}")
        charged = set(charged)
        for key, reserved in self.ours.pop(name, {}).items():
            if reserved is not None:
                self.run.budget.release(reserved, charged=key in charged)
        self.stored.remove(name)

    def _say_changed(self, batch: StoredBatch, what: str) -> None:
        """Prints the state of a batch if it has changed, at most once in SAY_EVERY_S."""
        when, before = self._said.get(batch.name, (-SAY_EVERY_S, ""))
        if what != before and time.monotonic() - when >= SAY_EVERY_S:
            self._said[batch.name] = time.monotonic(), what
            self.run.say(f"batch {batch.batch_id} of {batch.requests:,} questions: {what}")
