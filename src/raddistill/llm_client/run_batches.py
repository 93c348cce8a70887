"""The batches of one run: adopted from dead runs, submitted, looked at, removed.

As in sender.py, nothing that a server says is shown, chained or kept but machine codes and ids.
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
from raddistill.llm_client.batch_store import Batch, BatchStore
from raddistill.llm_client.run_state import Run, say
from raddistill.llm_client.store import Store

SAY_EVERY_S = 30.0
Reservations = dict[str, float | None]  # key -> USD set aside for its question; None where nothing is (any more)


class Limits(NamedTuple):
    """Of one batch. OpenAI's; Azure's are no lower."""

    requests: int = 50_000
    bytes: int = 200_000_000  # "200 MB"; the smaller reading


def line_of(key: str, body: str, url: str = "/v1/chat/completions") -> bytes:
    """A request of a batch. All ASCII, so that no server takes a character for the end of the line."""
    return f'{{"custom_id": "{key}", "method": "POST", "url": "{url}", "body": {body}}}\n'.encode("ascii")


class Batches:
    """`ours`: what is reserved for each question of the batches of this run, by name of the batch."""

    def __init__(self, run: Run[Any], store: Store, limits: Limits) -> None:
        self.kept, self.limits = BatchStore(store, str(run.client.base_url), run.model), limits
        self.server = Server(run.client, run.asking.tries)
        self.at_once = sys.maxsize  # batches under way, once the server has said that its queue is full
        self.ours: dict[str, Reservations] = {}
        self.run, self.store = run, store
        self.tries: Counter[str] = Counter()  # by key: batches that brought no answer
        self._said: dict[str, tuple[float, str]] = {}  # by name of the batch: when and what
        self._others = 0  # batches for other servers and models

    def close(self) -> None:
        """Leaves to the next run what is not done with."""
        try:
            left = sum(batch.name in self.ours and batch.batch is not None for batch in self.kept.all())
        finally:
            self.kept.close()
        if left:
            self.run.say(f"batches still under way at the server: {left}; the next run picks them up")

    async def pick_up(self) -> None:
        """Adopts the batches of runs that died."""
        for batch in self.kept.all():
            if batch.name not in self.ours:
                await self.adopt(batch)
        if (others := self.kept.others()) > self._others:
            self._others = others
            self.run.say(f"{self.store.path}: {others} batches for another server or model, left to a run that asks them")

    async def adopt(self, batch: Batch) -> None:
        """Makes a batch ours if its run has died. One that was not submitted is undone: what of it is open is collected anew.

        Its money was committed already, so it counts where the cap allows, and does not stop the run where it does not.
        """
        if not self.kept.adopt(batch):
            return
        state = self.kept.get(batch.name)
        assert state is not None, "nobody else removes what is ours"
        if state.batch is None:
            file, found = await self.server.find(state.name, state.file) if state.requests else (None, None)
            if found is None:
                await self.remove(state.name, [file])
                return
            self.kept.note(state.name, file=file, batch=found)
        reserved = self.ours[state.name] = Reservations()
        for key, body in self.kept.bodies(state.name):
            most = self.run.budget.most(json.loads(body), batch=True)
            if key in self.store:
                reserved[key] = None
            elif self.run.budget.reserve(most):
                reserved[key] = most
            else:
                self.run.budget.reserve(0.0)
                reserved[key] = 0.0
        self.run.say(f"batch of an earlier run picked up: {state.requests:,} questions")

    async def submit(self, batch: Batch) -> None:
        """Uploads and creates a batch that is only in the store yet.

        Raises:
            QueueFullError: it may come later; its file is uploaded.
        """
        file = batch.file
        if file is None:
            with tempfile.TemporaryFile(dir=self.store.folder) as content:
                content.writelines(line_of(key, body, self.server.url) for key, body in self.kept.bodies(batch.name))
                file = await self.server.upload(batch.name, content)
            self.kept.note(batch.name, file=file)
        created = await self.server.create(batch.name, file)
        self.kept.note(batch.name, batch=created)
        self._say_changed(batch._replace(batch=created), "submitted")

    async def look(self, batch: Batch) -> openai.types.Batch:
        """Returns how a submitted batch is doing."""
        assert batch.batch is not None
        seen = await self.server.batch(batch.batch)
        counts = seen.request_counts
        self._say_changed(batch, f"{seen.status}, {counts.completed + counts.failed:,} done" if counts else seen.status)
        return seen

    async def remove(self, name: str, files: Iterable[str | None], charged: Iterable[str] = ()) -> None:
        """Clears a batch away: the files at the server, which hold reports, then ours; and ends its reservations."""
        left = [file for file in filter(None, files) if not await self.server.delete(file)]
        if left:
            say(f"could not be deleted from the server, where they hold reports; please delete them there: {', '.join(left)}")
        charged = set(charged)
        for key, reserved in self.ours.pop(name, {}).items():
            if reserved is not None:
                self.run.budget.release(reserved, charged=key in charged)
        self.kept.remove(name)

    def _say_changed(self, batch: Batch, what: str) -> None:
        """How a batch is doing, where it has changed, now and then."""
        when, before = self._said.get(batch.name, (-SAY_EVERY_S, ""))
        if what != before and time.monotonic() - when >= SAY_EVERY_S:
            self._said[batch.name] = time.monotonic(), what
            self.run.say(f"batch {batch.batch} of {batch.requests:,} questions: {what}")
