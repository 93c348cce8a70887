"""Asks open questions through the files and batches endpoints, within a day and at the price table's batch rate.

In rounds: what is open is spooled to disk, submitted and waited for, and its answers are journalled; then what is open now,
until nothing is. A batch stands on disk (spooling.py) from before its upload until its last answer is journalled, so a run that
was killed, at whatever moment, is picked up by the next: what was submitted is never submitted again. An upload or a creation
whose reply was lost is looked up at the server before it is done again (submitting.py): the file by its random name, the batch
by its file.

Touches the world: server, disk, standard error. As in asking.py, nothing that a server says is shown, chained or kept but machine
codes and ids.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import openai
from openai.types import Batch

from raddistill.errors import InputError, ParamsError
from raddistill.teachers.llm import replies, spending, spooling, troubles
from raddistill.teachers.llm.asking import Asked
from raddistill.teachers.llm.exchange import Answer, Question
from raddistill.teachers.llm.journal import Journal
from raddistill.teachers.llm.settings import AskingParams
from raddistill.teachers.llm.submitting import QUEUE_FULL, QueueFullError, Server
from raddistill.teachers.llm.troubles import NO_MONEY, SHOWN, Trouble

GROUP = 500  # answers journalled with one sync
SAY_EVERY_S = 30.0
LOCK_POLL_S = 0.1
BREATHE = 256  # reports walked between two looks at Ctrl-C
ENDED = {"completed", "expired", "cancelled", "canceled"}  # Azure's documents spell it both ways
MISSING = Trouble("no answer: missing from the batch", again=True, charged=True)

R = TypeVar("R")


class Limits(NamedTuple):
    """Of one batch. OpenAI's; Azure's are no lower."""

    requests: int = 50_000
    bytes: int = 200_000_000  # "200 MB"; the smaller reading


async def ask_in_batches(
    reports: Iterable[R],
    open_questions: Callable[[R], list[Question]],
    *,
    client: openai.AsyncOpenAI,
    asking: AskingParams,
    model: str,
    journal: Journal,
    budget: spending.Budget,
    folder: Path,
    progress: bool,
    limits: Limits | None = None,
) -> Asked:
    """Asks until no report has an open question that could still be answered.

    `reports` is walked once a round, so it must be a collection or make a new iterator each time. `folder` is kept between runs
    and may be shared by several at once. `client` must not retry by itself (max_retries=0). Stopping it in any way loses nothing.

    Raises:
        ParamsError: questions for the decisions endpoint, which takes no batches.
        InputError: the server refuses a batch or everyone (machine code named); it does not answer; a state file is damaged.
        BudgetReached: the next request could pass the cap, and no batch under way could make room.
        OSError: spool or journal cannot be written.
    """
    assert iter(reports) is not reports, "batches are asked for in rounds: an iterator is used up after the first"
    run = _Run(client, asking, model, journal, budget, folder, progress, limits or Limits())
    try:
        with spooling.prepared(folder) as lock:
            while await run.round(reports, open_questions, lock):
                pass
    finally:
        run.close()
    return Asked(run.failed, run.answered)


class _Run:
    """The state of one run."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        asking: AskingParams,
        model: str,
        journal: Journal,
        budget: spending.Budget,
        folder: Path,
        progress: bool,
        limits: Limits,
    ) -> None:
        self._server = Server(client, asking)
        self._address = hashlib.sha256(str(client.base_url).encode()).hexdigest()
        self._asking, self._model, self._journal, self._budget = asking, model, journal, budget
        self._folder, self._progress, self._limits = folder, progress, limits
        self._at_once = sys.maxsize  # batches under way, once the server has said that its queue is full
        self._spools: dict[str, spooling.Spool] = {}  # by name: ours, and those of processes that live
        self._tries: Counter[str] = Counter()  # by key: batches that brought no answer
        self._said: dict[str, tuple[float, str]] = {}  # by name of the batch: when and what
        self._awaited: set[str] = set()  # names of the batches that hold what is open
        self._others = 0  # batches for other servers and models
        self.failed: dict[str, str] = {}
        self.answered = 0

    # ------------------------------------------------------------------ rounds

    async def round(self, reports: Iterable[R], open_questions: Callable[[R], list[Question]], lock: BinaryIO) -> bool:
        """Asks what is open now, once. False: nothing is."""
        while not spooling.try_lock(lock):
            await asyncio.sleep(LOCK_POLL_S)
        try:
            self._journal.refresh()
            await self._pick_up()
            awaited, all_spooled = await self._collect(reports, open_questions)
        finally:
            spooling.unlock(lock)
        if not awaited and not all_spooled:
            awaited = {spool.name for spool in self._spools.values() if spool.ours}  # their ends make room for the rest
            if not awaited:
                raise self._budget_reached()
        await self._wait(awaited)
        return bool(awaited)

    async def _pick_up(self) -> None:
        """Batches of other runs: of those that died, as ours; of those that live, to wait for them."""
        found, others = spooling.find(self._folder, self._address, self._model, set(self._spools))
        for spool in found:
            self._spools[spool.name] = spool
            await self._take_over(spool)
        if others > self._others:
            self._others = others
            self._say(f"{self._folder}: {others} batches for another server or model, left to a run that asks them")

    async def _take_over(self, spool: spooling.Spool) -> None:
        """Makes a batch ours if its process has died. One that was not submitted is undone: what of it is open is collected anew.

        Its money was committed already, so it counts where the cap allows, and does not stop the run where it does not.
        """
        if not spool.take():
            return
        if spool.state.batch is None:
            file = spool.state.file or await self._server.find_file(spool)
            batch = await self._server.find_batch(file) if file else None
            if batch is None:
                await self._remove(spool, [file])
                return
            spool.note(file=file, batch=batch)
        for request in spool.requests():
            key = request["custom_id"]
            most = self._budget.most(request["body"], batch=True)
            if key in self._journal:
                spool.lines[key] = None
            elif self._budget.reserve(most):
                spool.lines[key] = most
            else:
                self._budget.reserve(0.0)
                spool.lines[key] = 0.0
        self._say(f"batch of an earlier run picked up: {spool.state.requests:,} questions")

    async def _collect(self, reports: Iterable[R], open_questions: Callable[[R], list[Question]]) -> tuple[set[str], bool]:
        """Spools what is open. Names of the batches to wait for, and whether room and money sufficed for all that is open."""
        awaited: set[str] = set()
        spool: spooling.Spool | None = None
        whole = True
        async with aclosing(self._unasked(reports, open_questions, awaited)) as questions:
            async for question in questions:
                body = json.dumps(question.body)
                line = self._line(question.key, body)
                if len(line) > self._limits.bytes:
                    self.failed[question.key] = "larger than a batch may be"
                    continue
                if spool and (len(spool.lines) >= self._limits.requests or spool.size + len(line) > self._limits.bytes):
                    spool.finish()
                    spool = None
                most = self._budget.most(question.body, body_size=len(body), batch=True)
                whole = (spool is not None or self._under_way() < self._at_once) and self._budget.reserve(most)
                if not whole:
                    break
                spool = spool or self._start()
                spool.append(question.key, line, most)
                awaited.add(spool.name)
        if spool:
            spool.finish()
        return awaited, whole

    async def _unasked(
        self, reports: Iterable[R], open_questions: Callable[[R], list[Question]], awaited: set[str]
    ) -> AsyncGenerator[Question]:
        """What is open and in no batch; the names of batches that hold what is open go into `awaited`."""
        for n, report in enumerate(reports):
            if n % BREATHE == 0:
                await asyncio.sleep(0)
            for question in open_questions(report):
                if question.key in self.failed or question.key in self._journal:
                    continue
                holder = next((spool.name for spool in self._spools.values() if question.key in spool.lines), None)
                if holder is not None:
                    awaited.add(holder)
                    continue
                if question.form == "decisions":
                    raise ParamsError("asking.mode: batch takes no decisions (llm.answers); set asking.mode to direct")
                yield question

    def _line(self, key: str, body: str) -> bytes:
        """A request of a batch. All ASCII, so that no server takes a character for the end of the line."""
        return f'{{"custom_id": "{key}", "method": "POST", "url": "{self._server.url}", "body": {body}}}\n'.encode("ascii")

    def _start(self) -> spooling.Spool:
        spool = spooling.Spool.start(self._folder, self._address, self._model)
        self._spools[spool.name] = spool
        return spool

    def _under_way(self) -> int:
        return sum(spool.ours for spool in self._spools.values())

    async def _wait(self, awaited: set[str]) -> None:
        """Until these batches have ended, and their answers are journalled. Others are looked at on the way, once at least."""
        self._awaited = awaited
        for spool in list(self._spools.values()):
            if spool.ours and spool.state.batch is None:
                await self._submit(spool)
        while True:
            for spool in list(self._spools.values()):
                await self._look(spool)
            if not awaited & set(self._spools):
                return
            await asyncio.sleep(self._asking.poll_s)

    async def _submit(self, spool: spooling.Spool) -> None:
        if spool.state.file is None:
            spool.note(file=await self._server.upload(spool))
        try:
            spool.note(batch=await self._server.create(spool))
        except QueueFullError:
            await self._give_up_place(spool)
            return
        self._tell(spool, "submitted")

    async def _look(self, spool: spooling.Spool) -> None:
        """Once at a batch, and all that follows where it has ended."""
        if not spool.ours:
            if spool.gone:
                self._drop(spool)
            else:
                await self._take_over(spool)
            return
        assert spool.state.batch is not None
        batch = await self._server.batch(spool.state.batch)
        counts = batch.request_counts
        self._tell(spool, f"{batch.status}, {counts.completed + counts.failed:,} done" if counts else batch.status)
        if batch.status == "failed":
            await self._validation_failed(spool, batch)
        elif batch.status in ENDED:
            await self._harvest(spool, batch)

    async def _validation_failed(self, spool: spooling.Spool, batch: Batch) -> None:
        errors = (batch.errors.data if batch.errors else None) or []
        codes = sorted({error.code for error in errors if error.code and SHOWN.fullmatch(error.code)})
        if QUEUE_FULL in codes:
            await self._give_up_place(spool)
            return
        await self._remove(spool, [batch.input_file_id])
        if spool.name not in self._awaited:
            return
        raise InputError(
            f"the server refused a batch of {spool.state.requests:,} questions as a whole ({', '.join(codes) or 'no code'}). "
            f"Check llm.model and that the account may use batches for it, or set asking.mode to direct"
        )

    async def _give_up_place(self, spool: spooling.Spool) -> None:
        """The server's queue is full: this batch comes later, behind fewer others, or smaller where there are none.

        Raises:
            InputError: not even one question fits.
        """
        running = sum(other.ours and other.state.batch is not None for other in self._spools.values() if other is not spool)
        requests = spool.state.requests
        await self._remove(spool, [spool.state.file])
        if running:
            self._at_once = running
        elif requests > 1:
            self._limits = self._limits._replace(requests=requests // 2)
        else:
            raise InputError(
                f"the server has no room for a batch of one question: {QUEUE_FULL}. Wait for other batches of the account"
            )
        self._say(f"the server's queue is full: {requests:,} questions come later")

    # ------------------------------------------------------------------ answers

    async def _harvest(self, spool: spooling.Spool, batch: Batch) -> None:
        """Journals the answers of an ended batch, settles it, and clears it away here and there."""
        reading = _Reading(self._model, spool.lines, self._journal, self._budget)
        if batch.output_file_id:
            await self._server.read(batch.output_file_id, reading)
            if batch.request_counts and reading.lines < batch.request_counts.completed:  # a short reply, that we do not pay twice
                await self._server.read(batch.output_file_id, reading)
        if batch.error_file_id:
            await self._server.read(batch.error_file_id, reading)
        self.answered += reading.answered
        for key, reserved in spool.lines.items():
            if reserved is not None:
                self._unanswered(key, reading.troubles.get(key, MISSING))
        stop = next((trouble.stop for trouble in reading.troubles.values() if trouble.stop), None)
        charged = {key for key in spool.lines if reading.troubles.get(key, MISSING).charged}
        await self._remove(spool, [batch.input_file_id, batch.output_file_id, batch.error_file_id], charged)
        self._say(f"batch {batch.status}: {reading.answered:,} answers of {spool.state.requests:,}{reading.told()}")
        if stop:
            raise InputError(f"{stop}. All answers are kept, and the next run asks only for what is missing")

    def _unanswered(self, key: str, trouble: Trouble) -> None:
        self._tries[key] += 1
        if not trouble.stop and (not trouble.again or self._tries[key] >= self._asking.tries):
            self.failed[key] = trouble.reason

    async def _remove(self, spool: spooling.Spool, files: Iterable[str | None], charged: Iterable[str] = ()) -> None:
        """Clears a batch away: the files at the server, which hold reports, then ours; and ends its reservations."""
        left = [file for file in filter(None, files) if not await self._server.delete(file)]
        if left:
            _print(f"could not be deleted from the server, where they hold reports; please delete them there: {', '.join(left)}")
        charged = set(charged)
        for key, reserved in spool.lines.items():
            if reserved is not None:
                self._budget.release(reserved, charged=key in charged)
        spool.remove()
        del self._spools[spool.name]

    def _drop(self, spool: spooling.Spool) -> None:
        """Of another process, which is done with it."""
        spool.close()
        del self._spools[spool.name]
        self._journal.refresh()

    # ------------------------------------------------------------------ words

    def _budget_reached(self) -> spending.BudgetReached:
        return spending.BudgetReached(
            f"asking.budget_usd: {self._budget.told()}, and the next request could pass it. {self.answered:,} questions were "
            f"answered by this run; all answers are kept. Raise asking.budget_usd and run again"
        )

    def _tell(self, spool: spooling.Spool, what: str) -> None:
        """How a batch stands, where it has changed, now and then."""
        when, before = self._said.get(spool.name, (-SAY_EVERY_S, ""))
        if what != before and time.monotonic() - when >= SAY_EVERY_S:
            self._said[spool.name] = time.monotonic(), what
            self._say(f"batch {spool.state.batch} of {spool.state.requests:,} questions: {what}")

    def _say(self, text: str) -> None:
        if self._progress:
            _print(text)

    def close(self) -> None:
        """Leaves to the next run what is not done with."""
        left = sum(spool.ours and spool.state.batch is not None for spool in self._spools.values())
        if left:
            self._say(f"batches still under way at the server: {left}; the next run picks them up")
        for spool in self._spools.values():
            spool.close()


class _Reading:
    """Reads the lines of an ended batch, in whatever order and state they come, and journals the answers among them."""

    def __init__(self, model: str, lines: dict[str, float | None], journal: Journal, budget: spending.Budget) -> None:
        """`lines`: key -> USD reserved, or None where there is an answer; kept up to date."""
        self._model, self._lines, self._journal, self._budget = model, lines, journal, budget
        self._group: list[Answer] = []
        self._file = ""
        self._damaged: Counter[str] = Counter()  # lines, by file
        self._strangers: Counter[str] = Counter()  # lines about what was not asked, by file
        self._seen: set[str] = set()  # keys that a line was about
        self.troubles: dict[str, Trouble] = {}  # by key; what has an answer besides has no trouble
        self.answered = 0

    def begin(self, file: str) -> None:
        """A file is read from its beginning, perhaps once more."""
        self._file = file
        self._damaged[file] = self._strangers[file] = 0

    def take(self, lines: Iterable[bytes]) -> None:
        """Whole lines."""
        for line in lines:
            if line.strip():
                self._take(line)
        if len(self._group) >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Journals what was read."""
        group, self._group = self._group, []
        self._journal.add(group)
        self.answered += len(group)

    @property
    def lines(self) -> int:
        """Different lines so far, damaged ones included."""
        return len(self._seen) + self._damaged.total()

    def told(self) -> str:
        """What was wrong, for people."""
        counts = {"damaged lines": self._damaged.total(), "lines about what was not asked": self._strangers.total()}
        return "".join(f", {n:,} {what}" for what, n in counts.items() if n)

    def _take(self, line: bytes) -> None:
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        key = data.get("custom_id") if isinstance(data, dict) else None
        if not isinstance(key, str):
            self._damaged[self._file] += 1
            return
        if key not in self._lines:
            self._strangers[self._file] += 1
            return
        self._seen.add(key)
        reserved = self._lines[key]
        if reserved is None:  # doubled, or read before: the first answer counts
            return
        said = _read_line(data)
        if isinstance(said, Trouble):
            self.troubles[key] = said
            return
        usd = self._budget.settle(reserved, said.tokens, batch=True)
        self._lines[key] = None
        self._group.append(said.answer(key, self._model, request_id=_request_id(data), usd=usd, mode="batch"))


def _read_line(data: dict[str, Any]) -> replies.Reply | Trouble:
    """The answer in a line of an output or error file, or why there is none."""
    response, error = data.get("response"), data.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    body = response.get("body") if isinstance(response, dict) else None
    if status == 200:
        return replies.read("text", body) or troubles.explain(body, {})
    if isinstance(status, int) and status >= 400:
        return troubles.judge(status, {}, troubles.error_in(body))
    codes = troubles.codes_of(error)
    if codes & NO_MONEY:
        return troubles.judge(429, {}, error)
    code = troubles.shown_code(codes)  # batch_expired, batch_cancelled
    return Trouble(f"no answer: {code}", again=True, charged=False) if code else troubles.explain(None, {})


def _request_id(data: dict[str, Any]) -> str | None:
    request_id = data["response"].get("request_id")
    return request_id if isinstance(request_id, str) else None


def _print(text: str) -> None:
    print(f"asking: {text}", file=sys.stderr, flush=True)
