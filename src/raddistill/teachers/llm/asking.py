"""Asks a server every open question, many at once, and journals each answer before anything goes on with it.

Touches the world: the server, the journal, standard error, the signals SIGINT and SIGTERM. Decides nothing about labels.

What a server says in its errors may repeat the prompt, and the SDK's exceptions hold the request. So none of them is shown,
chained or kept: `_send` turns each into a few fixed words, outside of whose `except` nothing else is raised.
"""

import asyncio
import json
import operator
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, Protocol, TypeVar

from raddistill.errors import InputError
from raddistill.teachers.llm import pacing, replies, spending, troubles
from raddistill.teachers.llm.exchange import Answer, Question
from raddistill.teachers.llm.progress import AskingProgress, Standing
from raddistill.teachers.llm.settings import AskingParams
from raddistill.teachers.llm.troubles import Trouble

if TYPE_CHECKING:
    import openai

# Answers that arrive within it are written and synced together. Longer, and workers move in step: send, wait, write, all at once;
# at 50 ms a core does a fifth less (benchmarks/teacher.py).
GROUP_S = 0.005
IN_A_ROW = 30  # questions without an answer, and none with one in between: it will not get better by itself
PATHS = {"json_schema": "/chat/completions", "text": "/chat/completions", "decisions": "/decisions"}

R = TypeVar("R")


class Asked(NamedTuple):
    """What came of a run."""

    failed: dict[str, str]  # key of the question: why it has no answer, in fixed words
    answered: int  # questions answered and journalled by this run


class Keeping(Protocol):
    """What asking needs of the journal."""

    def add(self, answers: Iterable[Answer], /) -> None: ...


class _Reply(NamedTuple):
    reply: replies.Reply
    headers: Mapping[str, str]


class _Stopped(BaseException):
    """The run is being stopped and this question was not asked."""


async def ask_all(
    reports: Iterable[R],
    open_questions: Callable[[R], list[Question]],
    *,
    client: "openai.AsyncOpenAI",
    asking: AskingParams,
    model: str,
    journal: Keeping,
    budget: spending.Budget,
    progress: bool,
    proven: bool = False,
    waits: Callable[[R], bool] = lambda report: False,
) -> Asked:
    """Asks until no report has an open question that could still be answered.

    `open_questions(report)` looks into the journal and returns what is still to be asked; it is called again after each answer.
    `reports` is walked once, lazily. `client` must not retry by itself (max_retries=0). `proven`: questions like these were
    answered before, so the settings are such that the server takes them. `waits(report)`: other reports are asked about first.

    Raises:
        InputError: the server refuses everyone (401, 403, 404, a redirect, no money), or 30 questions in a row had no answer.
        BudgetReached: the next request could pass the cap.
        KeyboardInterrupt: Ctrl-C or SIGTERM; requests in flight were awaited and their answers kept. A second one awaits nothing.
        OSError: the journal cannot be written.
    """
    run = _Run(reports, open_questions, client, asking, model, journal, budget, proven, waits)
    with AskingProgress(progress, run.standing) as shown, _signals(run):
        await run.work(shown)
    if run.stopped is not None:
        run.raise_stopped(shown)
    return Asked(run.failed, run.answered)


class _Run(Generic[R]):
    """The state of one run, shared by its workers."""

    def __init__(
        self,
        reports: Iterable[R],
        open_questions: Callable[[R], list[Question]],
        client: "openai.AsyncOpenAI",
        asking: AskingParams,
        model: str,
        journal: Keeping,
        budget: spending.Budget,
        proven: bool,
        waits: Callable[[R], bool],
    ) -> None:
        self._proven, self._waits = proven, waits
        self._later: Iterator[R] = iter(())
        self._put_off: list[R] | None = []  # None: all reports were taken, and nothing is put off any more
        self._reports, self._total = iter(reports), operator.length_hint(reports, -1)
        self._open_questions, self._client, self._asking, self._model = open_questions, client, asking, model
        self._pacer, self._budget = pacing.Pacer(asking), budget
        self._group = _Group(journal, lambda: self._pacer.in_flight == 0)
        self._random = random.Random()  # noqa: S311 - jitter
        self._asked: dict[str, asyncio.Event] = {}  # keys being asked
        self._room = asyncio.Event()  # a reservation has ended
        self._waiting: set[asyncio.Task[Any]] = set()  # workers that wait for something else than an answer
        self._workers: set[asyncio.Task[None]] = set()
        self.stopped: str | None = None  # why: interrupted | budget | what to tell as InputError
        self.failed: dict[str, str] = {}
        self.done, self.answered, self._tokens, self._in_a_row = 0, 0, 0, 0

    # ------------------------------------------------------------------ the run as a whole

    async def work(self, shown: AskingProgress) -> None:
        """Runs the workers until all is asked or the run is stopped; raises what a worker raised."""
        self._workers = {asyncio.create_task(self._worker()) for _ in range(self._asking.in_flight)}
        pending = self._workers
        try:
            while pending:
                finished, pending = await asyncio.wait(pending, timeout=shown.every_s, return_when=asyncio.FIRST_COMPLETED)
                if any(task.exception() for task in finished if not task.cancelled()):
                    self.stop("error")
                if not finished:
                    shown.show()
        finally:  # cancelled from outside: no new requests, but what is paid is kept
            if pending:
                self.stop("interrupted")
                await asyncio.wait(pending)
            await self._group.finish()
        # Of all of them, or asyncio shows the ones that nobody asked for.
        errors = [error for task in self._workers if not task.cancelled() and (error := task.exception())]
        if errors:
            raise errors[0]

    def stop(self, why: str) -> None:
        """No new requests; those in flight are awaited. The first reason counts."""
        if self.stopped is None:
            self.stopped = why
            for task in self._waiting:
                task.cancel()

    def interrupt(self) -> None:
        """Ctrl-C: as `stop`; the second time, requests in flight are given up."""
        if self.stopped is None:
            self.stop("interrupted")
        else:
            for task in self._workers:
                task.cancel()

    def standing(self) -> Standing:
        total = None if self._total < 0 else self._total
        return Standing(self.done, total, len(self.failed), self.answered, self._tokens, self._budget.told())

    def raise_stopped(self, shown: AskingProgress) -> NoReturn:
        of = "" if self._total < 0 else f" of {self._total:,}"
        kept = (
            f"{self.done:,}{of} reports are done, {self.answered:,} questions were answered by this run; all answers are kept, "
            f"and the next run asks only for what is missing"
        )
        if self.stopped == "interrupted":
            raise KeyboardInterrupt(kept)
        if self.stopped == "budget":
            raise spending.BudgetReached(
                f"asking.budget_usd: {self._budget.told()}, and the next request could pass it. {kept}. "
                f"The cap is for one run: run again to spend as much again, or raise asking.budget_usd"
            )
        raise InputError(f"{self.stopped}. {kept}")

    # ------------------------------------------------------------------ a worker

    async def _worker(self) -> None:
        """Takes reports until there are none; each until nothing about it is open."""
        try:
            for report in self._take():
                while questions := [each for each in self._open_questions(report) if each.key not in self.failed]:
                    if self._put_off is not None and self._waits(report):
                        self._put_off.append(report)
                        break
                    await self._ask_once(questions[0])
                else:
                    self.done += 1
                await self._breathe()
        except _Stopped:
            return

    def _take(self) -> Iterator[R]:
        """The next report, then the next that was put off. Workers share both iterators, which `yield from` would close."""
        for report in self._reports:
            yield report
        if self._put_off is not None:
            self._later, self._put_off = iter(self._put_off), None
        for report in self._later:
            yield report

    async def _breathe(self) -> None:
        """Lets others go on: thousands of reports may be done already, and walking past them never waits for anything."""
        with self._interruptible():
            await asyncio.sleep(0)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Within, this worker waits for something that a stopped run need not wait for."""
        if self.stopped is not None:
            raise _Stopped
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self.stopped is None:
                raise
            raise _Stopped from None
        finally:
            self._waiting.discard(task)

    async def _ask_once(self, question: Question) -> None:
        """Asks, unless another worker is asking the very same: then waits until it has."""
        if (being_asked := self._asked.get(question.key)) is not None:
            with self._interruptible():
                await being_asked.wait()
            return
        over = self._asked[question.key] = asyncio.Event()
        try:
            await self._ask(question)
        finally:
            del self._asked[question.key]
            over.set()

    async def _ask(self, question: Question) -> None:
        """Until there is an answer, and it is journalled; or until it has failed."""
        size = spending.size(question.body)
        trouble: Trouble | None = None
        for tries in range(1, self._asking.tries + 1):
            said = await self._try(question, size)
            if isinstance(said, Answer):
                await self._keep(said)
                return
            trouble = said
            if trouble.stop is not None:
                self.stop(trouble.stop)
                raise _Stopped
            if not trouble.again:
                break
            if tries < self._asking.tries:
                with self._interruptible():
                    await asyncio.sleep(self._pause(trouble, tries))
        assert trouble is not None, "asking.tries is 1 at least"
        self._fail(question, trouble)

    async def _keep(self, answer: Answer) -> None:
        await self._group.add(answer)
        self._in_a_row, self._proven = 0, True
        self.answered += 1
        self._tokens += answer.prompt_tokens + answer.completion_tokens

    def _pause(self, trouble: Trouble, tries: int) -> float:
        draw = self._random.random()
        return pacing.back_off(tries, draw) if trouble.wait_s is None else trouble.wait_s * (1 + draw / 10)

    def _fail(self, question: Question, trouble: Trouble) -> None:
        self.failed[question.key] = trouble.reason
        if self._proven and not trouble.again:
            return  # refused, as it was before: a run that goes on with an earlier one meets all refused questions in a row
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            why = (
                f"and what is behind it if it is a proxy, and that {self._client.base_url.host} is the host you mean "
                f"(its URL comes from the environment)"
                if trouble.again
                else f"and takes llm.answers, llm.logprobs and llm.max_tokens as they are, and has the model '{self._model}'"
            )
            advice = trouble.advice or f"Check that the server runs, {why}"
            self.stop(f"{IN_A_ROW} questions in a row had no answer, the last: {trouble.reason}. {advice}")

    # ------------------------------------------------------------------ one request

    async def _try(self, question: Question, size: int) -> Answer | Trouble:
        """One request, paced and within the budget."""
        reserved = await self._reserve(question, size)
        ended = False
        try:
            with self._interruptible():
                turn = await self._pacer.turn(size / spending.CHARACTERS_A_TOKEN + spending.most_completion(question.body))
            ended = True
            said = await self._send(question)
        finally:
            if not ended:
                self._release(reserved, charged=False)
        if isinstance(said, _Reply):
            return self._receive(question, said, turn, reserved)
        if said.throttled:
            self._pacer.throttled(turn, said.headers or {}, said.wait_s)
        else:
            self._pacer.failed(turn, said.headers)
        self._release(reserved, charged=said.charged)
        return said

    async def _reserve(self, question: Question, size: int) -> float:
        """Sets money aside; waits where requests in flight may leave some over; stops the run where none can."""
        most = self._budget.most(question.body, body_size=size)
        while not self._budget.reserve(most):
            if self._budget.exhausted:
                self.stop("budget")
            self._room.clear()
            with self._interruptible():
                await self._room.wait()
        return most

    def _release(self, reserved: float, *, charged: bool) -> None:
        self._budget.release(reserved, charged=charged)
        self._room.set()

    def _receive(self, question: Question, said: _Reply, turn: pacing.Turn, reserved: float) -> Answer:
        tokens = said.reply.tokens
        self._pacer.answered(turn, said.headers, None if tokens is None else tokens.prompt + tokens.completion)
        usd = self._budget.settle(reserved, tokens)
        self._room.set()
        request_id = said.headers.get("x-request-id")
        return said.reply.answer(question.key, self._model, request_id=request_id, usd=usd, mode="direct")

    async def _send(self, question: Question) -> _Reply | Trouble:
        """Sends a question. Returns troubles and never raises them: see the head of the module."""
        import httpx2  # both take a second at first
        import openai

        try:
            async with asyncio.timeout(self._asking.timeout_s):  # of the whole request; the client's own is of each read
                # Straight to `post`: 1.2 ms; `create` walks the body for types and makes models of the answer: 3.3 ms.
                response = await self._client.post(PATHS[question.form], cast_to=httpx2.Response, body=question.body)
        except (TimeoutError, openai.APIConnectionError) as error:
            late = isinstance(error, TimeoutError | openai.APITimeoutError)
            never_sent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
            return Trouble(f"no answer: {'timeout' if late else 'connection lost'}", again=True, charged=not never_sent)
        except openai.APIStatusError as error:
            body = _parse(error.response.content)
            return troubles.judge(error.status_code, error.response.headers, troubles.error_in(body))
        except openai.OpenAIError as error:
            name = type(error).__name__
            return Trouble(name, again=False, charged=False, stop=f"the openai package could not ask ({name}): check the key")
        body = _parse(response.content)
        reply = replies.read(question.form, body)
        return troubles.explain(body, response.headers) if reply is None else _Reply(reply, response.headers)


def _parse(content: bytes) -> object:
    """The JSON of a body; None where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # no JSON, no UTF-8; a thousand brackets
        return None


class _Group:
    """Group commit: answers that arrive together are written and synced together, and each `add` returns when its own is."""

    def __init__(self, journal: Keeping, alone: Callable[[], bool]) -> None:
        """`alone()`: no further answer is under way, so that waiting for company is in vain."""
        self._journal, self._alone = journal, alone
        self._answers: list[Answer] = []
        self._next: asyncio.Task[None] | None = None  # will write `_answers`
        self._tasks: set[asyncio.Task[None]] = set()
        self._one = asyncio.Lock()  # a slow disk makes larger groups, not a queue of small ones

    async def add(self, answer: Answer) -> None:
        """Returns when the answer is on disk; raises what the journal raises."""
        self._answers.append(answer)
        if self._next is None:
            self._next = asyncio.create_task(self._write())
            self._tasks.add(self._next)
        await asyncio.shield(self._next)  # a worker that is given up does not take the others' answers with it

    async def _write(self) -> None:
        if not self._alone():
            await asyncio.sleep(GROUP_S)
        async with self._one:
            answers, self._answers, self._next = self._answers, [], None
            await asyncio.to_thread(self._journal.add, answers)  # a sync, or another process's lock, takes its time
        self._tasks.discard(asyncio.current_task())

    async def finish(self) -> None:
        """Waits for what nobody waits for any more; raises what the journal raises."""
        await asyncio.gather(*self._tasks)


@contextmanager
def _signals(run: _Run[Any]) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run; where signals cannot be handled (Windows, another thread), asyncio's own way remains."""
    loop, kept = asyncio.get_running_loop(), {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, run.interrupt)
            except NotImplementedError:
                break
            kept[number] = before
    try:
        yield
    finally:
        for number, before in kept.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before or signal.SIG_DFL)
