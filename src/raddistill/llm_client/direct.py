"""Asks a server every open question, many at once, and stores each answer before anything goes on with it.

What a server says in its errors may repeat the prompt, and the SDK's exceptions hold the request. So none of them is shown,
chained or kept: `_send` turns each into a few fixed words, outside of whose `except` nothing else is raised.
"""

import asyncio
import json
import random
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, cast

import httpx2
import openai

from raddistill.llm_client import budget, rate_limit, replies, troubles
from raddistill.llm_client.messages import Answer, Question
from raddistill.llm_client.progress import AskingProgress
from raddistill.llm_client.run import BROKEN, INTERRUPTED, OUT_OF_MONEY, Keeping, R, Run
from raddistill.llm_client.troubles import Trouble

IN_A_ROW = 30  # questions without an answer, and none with one in between: it will not get better by itself


class _Reply(NamedTuple):
    reply: replies.Reply
    headers: Mapping[str, str]


class Direct(Generic[R]):
    """Workers that share one run, each with one request in flight.

    A worker may be stopped at any `await`. A request that has gone runs on as a task of its own, since it is paid for.
    """

    def __init__(self, run: Run[R], reports: Iterable[R], store: Keeping, *, proven: bool, waits: Callable[[R], bool]) -> None:
        """`proven`, `waits`: see ask.ask_all."""
        self._run, self._proven, self._waits = run, proven, waits
        self._reports = self._in_order(reports)
        self._put_off: list[R] = []
        self._first_pass = True
        self._limiter = rate_limit.RateLimiter(run.asking.requests_per_minute, run.asking.tokens_per_minute)
        self._writer = _Writer(store)
        self._random = random.Random()  # noqa: S311 - jitter
        self._being_asked: dict[str, asyncio.Event] = {}  # by key of the question
        self._room = asyncio.Event()  # a reservation has ended
        self._workers: set[asyncio.Task[Any]] = set()
        self._requests: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []
        self._in_a_row = 0

    async def work(self, shown: AskingProgress) -> None:
        """Returns when all is asked or the run is stopped, and what was in flight is stored; raises what a worker raised."""
        with self._signals():
            pending = {self._start(self._worker(), self._workers) for _ in range(self._run.asking.in_flight)}
            try:
                while pending:
                    finished, pending = await asyncio.wait(pending, timeout=shown.every_s, return_when=asyncio.FIRST_COMPLETED)
                    if not finished:
                        shown.show()
            finally:  # cancelled from outside: no new requests, but what is paid for is kept
                if pending:
                    self._stop(INTERRUPTED)
                while left := self._workers | self._requests:
                    await asyncio.wait(left)
                await self._writer.finish()
        if self._errors:
            raise self._errors[0]

    def _start(self, work: Coroutine[Any, Any, Any], among: set[asyncio.Task[Any]]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._workers.discard(task)
        self._requests.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)
            self._stop(BROKEN)

    def _stop(self, why: str) -> None:
        """No new requests; those in flight go on. The first reason counts."""
        if self._run.stopped is None:
            self._run.stopped = why
            for worker in self._workers:
                worker.cancel()

    def _interrupt(self) -> None:
        """Ctrl-C: as `_stop`; the second time, requests in flight are given up."""
        if self._run.stopped is None:
            self._stop(INTERRUPTED)
        else:
            for request in self._requests:
                request.cancel()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM stop the run; where signals cannot be handled (another thread), asyncio's own way remains."""
        loop, kept = asyncio.get_running_loop(), {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                try:
                    loop.add_signal_handler(number, self._interrupt)
                except NotImplementedError:
                    break
                kept[number] = before
        try:
            yield
        finally:
            for number, before in kept.items():
                loop.remove_signal_handler(number)
                signal.signal(number, before or signal.SIG_DFL)

    # ------------------------------------------------------------------ a worker

    def _in_order(self, reports: Iterable[R]) -> Iterator[R]:
        """All reports, then those that were put off. One iterator, shared by the workers."""
        yield from reports
        self._first_pass = False
        yield from self._put_off

    async def _worker(self) -> None:
        """Takes reports until there are none; each until nothing about it is open."""
        for report in self._reports:
            while questions := self._run.still_open(report):
                if self._first_pass and self._waits(report):
                    self._put_off.append(report)
                    break
                await self._ask_once(questions[0])
            else:
                self._run.done += 1
            await asyncio.sleep(0)  # thousands of reports may be done already, and walking past them never waits for anything

    async def _ask_once(self, question: Question) -> None:
        """Asks, unless another worker is asking the very same: then waits until it has."""
        if (other := self._being_asked.get(question.key)) is not None:
            await other.wait()
            return
        over = self._being_asked[question.key] = asyncio.Event()
        try:
            await self._ask(question)
        finally:
            del self._being_asked[question.key]
            over.set()

    async def _ask(self, question: Question) -> None:
        """Tries until there is an answer in the store, or until the question has failed.

        Not left to the SDK's retries: each try may be charged, so each has to fit the budget.
        """
        size, tries = budget.size(question.body), 0
        while True:
            trouble = await self._try(question, size)
            tries += 1
            if trouble is None:
                return
            if trouble.stop is not None:
                await self._stop_here(trouble.stop)
            if not trouble.again or tries == self._run.asking.tries:
                break
            await asyncio.sleep(rate_limit.pause(trouble.wait_s, tries, self._random.random()))
        await self._fail(question, trouble)

    async def _stop_here(self, why: str) -> None:
        """Stops the run, this worker included."""
        self._stop(why)
        await asyncio.sleep(0)

    async def _fail(self, question: Question, trouble: Trouble) -> None:
        self._run.failed[question.key] = trouble.reason
        if self._proven and not trouble.again:
            return  # refused, as it was before: a run that goes on with an earlier one meets all refused questions in a row
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            why = (
                f"and what is behind it if it is a proxy, and that {self._run.client.base_url.host} is the host you mean "
                f"(its URL comes from the environment)"
                if trouble.again
                else f"and takes llm.answers, llm.logprobs and llm.max_tokens as they are, and has the model '{self._run.model}'"
            )
            advice = trouble.advice or f"Check that the server runs, {why}"
            await self._stop_here(f"{IN_A_ROW} questions in a row had no answer, the last: {trouble.reason}. {advice}")

    # ------------------------------------------------------------------ one request

    async def _try(self, question: Question, size: int) -> Trouble | None:
        """One request, within budget and rate; None: its answer is stored."""
        reserved = await self._reserve(self._run.budget.most(question.body, body_size=size))
        tokens = size / budget.CHARACTERS_A_TOKEN + budget.most_completion(question.body)
        try:
            await self._limiter.wait(tokens)
        except asyncio.CancelledError:
            self._release(reserved, charged=False)
            raise
        request: asyncio.Task[Trouble | None] = self._start(self._request(question, reserved, tokens), self._requests)
        return await asyncio.shield(request)

    async def _reserve(self, most: float) -> float:
        """Sets money aside; waits where requests in flight may leave some over; stops the run where none can."""
        while not self._run.budget.reserve(most):
            if self._run.budget.exhausted:
                await self._stop_here(OUT_OF_MONEY)
            self._room.clear()
            await self._room.wait()
        return most

    def _release(self, reserved: float, *, charged: bool) -> None:
        self._run.budget.release(reserved, charged=charged)
        self._room.set()

    async def _request(self, question: Question, reserved: float, tokens: float) -> Trouble | None:
        """Sends a question and stores the answer."""
        outcome = await self._send(question)
        if isinstance(outcome, Trouble):
            self._limiter.answered(outcome.headers or {}, tokens, None if outcome.charged else 0)
            if outcome.throttled:
                self._limiter.throttled(outcome.wait_s)
            self._release(reserved, charged=outcome.charged)
            return outcome
        reply, headers = outcome
        self._limiter.answered(headers, tokens, None if reply.tokens is None else reply.tokens.prompt + reply.tokens.completion)
        usd = self._run.budget.settle(reserved, reply.tokens)
        self._room.set()
        answer = reply.answer(question.key, self._run.model, request_id=headers.get("x-request-id"), usd=usd, mode="direct")
        await self._writer.keep(answer)
        self._run.count([answer])
        self._in_a_row, self._proven = 0, True
        return None

    async def _send(self, question: Question) -> _Reply | Trouble:
        """Sends a question. Returns troubles and never raises them: see the head of the module."""
        client = self._run.client
        try:
            async with asyncio.timeout(self._run.asking.timeout_s):  # of the whole request; the client's own is of each read
                calls = cast(Any, client.decisions if question.form == "decisions" else client.chat.completions)
                response = await calls.with_raw_response.create(**question.body)  # raw: servers send more forms than the SDK's
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


class _Writer:
    """Commits the answers that arrive while others are written as one group."""

    def __init__(self, store: Keeping) -> None:
        self._store = store
        self._waiting: list[Answer] = []
        self._next: asyncio.Task[None] | None = None  # will write `_waiting`
        self._tasks: set[asyncio.Task[None]] = set()
        self._one = asyncio.Lock()

    async def keep(self, answer: Answer) -> None:
        """Returns when the answer is on disk; raises what the store raises."""
        self._waiting.append(answer)
        if self._next is None:
            self._next = asyncio.create_task(self._write())
            self._tasks.add(self._next)
        await asyncio.shield(self._next)  # a request that is given up does not take the others' answers with it

    async def _write(self) -> None:
        async with self._one:
            answers, self._waiting, self._next = self._waiting, [], None
            await asyncio.to_thread(self._store.add, answers)  # a sync, or another process's lock, takes its time
        self._tasks.discard(asyncio.current_task())

    async def finish(self) -> None:
        """Waits for what nobody waits for any more; raises what the store raises."""
        await asyncio.gather(*self._tasks)
