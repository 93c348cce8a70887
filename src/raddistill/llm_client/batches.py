"""Adopts, submits, polls, reads and removes the batches of one run.

Only machine codes and ids of what a server says are shown or kept.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import openai.types

from raddistill.llm_client import replies, request_failures
from raddistill.llm_client.batch_api import Server
from raddistill.llm_client.batch_store import BatchStore, StoredBatch
from raddistill.llm_client.budget import Budget
from raddistill.llm_client.clients import parse_json
from raddistill.llm_client.messages import Answer
from raddistill.llm_client.request_failures import NO_MONEY, RequestFailure
from raddistill.llm_client.run_state import Run, say
from raddistill.llm_client.store import Store

SAY_EVERY_S = 30.0
DAMAGED, STRANGE = "damaged lines", "lines about what was not asked"
MISSING = RequestFailure("no answer: missing from the batch", again=True, charged=True)
Reservations = dict[str, float | None]  # key -> USD reserved for the question; None once it is answered


class Limits(NamedTuple):
    """Limits of one batch. These are OpenAI's; Azure allows at least as much."""

    requests: int = 50_000
    bytes: int = 200_000_000  # OpenAI says "200 MB"; this is its smaller meaning


def line_of(key: str, body: str, url: str = "/v1/chat/completions") -> bytes:
    """Returns one line of a batch file. All ASCII, so that no server mistakes a character for a line end."""
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
        adopted = self.stored.adopt(batch)
        if adopted is None:
            return
        if adopted.batch_id is None:
            file_id, batch_id = await self.server.find(batch.name, adopted.file_id) if adopted.requests else (None, None)
            if batch_id is None:
                await self.remove(batch.name, [file_id])
                return
            self.stored.update(batch.name, file_id=file_id, batch_id=batch_id)
        reserved = self.ours[batch.name] = Reservations()
        for key, body in self.stored.bodies(batch.name):
            if key in self.store:
                reserved[key] = None
                continue
            most = self.run.budget.most(json.loads(body), batch=True)
            if not self.run.budget.reserve(most):
                most = 0.0  # already paid for; counts as open only
                self.run.budget.reserve(most)
            reserved[key] = most
        self.run.say(f"batch of an earlier run picked up: {adopted.requests:,} questions")

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


class Reading:
    """The answers of one ended batch, stored as they are read from its output and error files.

    The lines of these files may be in any order, doubled or damaged.
    """

    def __init__(self, model: str, reserved: Reservations, store: Store, budget: Budget) -> None:
        """`reserved` is updated while reading."""
        self._model, self._reserved, self._store, self._budget = model, reserved, store, budget
        self._odd: dict[str, Counter[str]] = {}  # file id -> what is wrong -> number of lines
        self._seen: set[str] = set()  # keys that occurred in a line
        self.failures: dict[str, RequestFailure] = {}  # by key; ignored if another line holds the answer
        self.answered = 0

    def take(self, file_id: str, lines: Iterable[bytes], first: bool) -> None:
        """Stores the answers in complete lines of a file, in one transaction.

        `first`: from the beginning of the file, perhaps for the second time.
        """
        if first:
            self._odd[file_id] = Counter()
        answers = [answer for line in lines if line.strip() and (answer := self._answer(line, self._odd[file_id]))]
        if answers:
            self._store.add(answers)
        self.answered += len(answers)

    @property
    def lines(self) -> int:
        """The number of distinct lines so far, damaged ones included."""
        return len(self._seen) + sum(counts[DAMAGED] for counts in self._odd.values())

    def odd_lines(self) -> str:
        """Returns the counts of unusable lines, for the console."""
        return "".join(f", {n:,} {what}" for what, n in sum(self._odd.values(), Counter()).items())

    def unanswered(self) -> dict[str, RequestFailure]:
        """Returns why each unanswered question has no answer, by key."""
        return {key: self.failures.get(key, MISSING) for key, usd in self._reserved.items() if usd is not None}

    def _answer(self, line: bytes, odd: Counter[str]) -> Answer | None:
        data = parse_json(line)
        key = data.get("custom_id") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(key, str) or key not in self._reserved:
            odd[STRANGE if isinstance(key, str) else DAMAGED] += 1
            return None
        self._seen.add(key)
        reserved = self._reserved[key]
        if reserved is None:  # doubled or read before; the first answer counts
            return None
        outcome = _read_line(data)
        if isinstance(outcome, RequestFailure):
            self.failures[key] = outcome
            return None
        usd = self._budget.settle(reserved, outcome.tokens, batch=True)
        self._reserved[key] = None
        request_id = data["response"].get("request_id")
        request_id = request_id if isinstance(request_id, str) else None
        return outcome.answer(key, self._model, request_id=request_id, usd=usd, mode="batch")


def _read_line(data: dict[str, Any]) -> replies.Reply | RequestFailure:
    """The reply in a line of an output or error file, or why it holds none."""
    response, error = data.get("response"), data.get("error")
    status, body = (response.get("status_code"), response.get("body")) if isinstance(response, dict) else (None, None)
    if status == 200:
        return replies.read("text", body) or request_failures.explain(body, {})
    if isinstance(status, int) and status >= 400:
        return request_failures.failure_of(status, {}, request_failures.error_in(body))
    codes = request_failures.codes_of(error)
    if codes & NO_MONEY:
        return request_failures.failure_of(429, {}, error)
    code = request_failures.shown_code(codes)  # batch_expired, batch_cancelled
    return RequestFailure(f"no answer: {code}", again=True, charged=False) if code else request_failures.explain(None, {})
