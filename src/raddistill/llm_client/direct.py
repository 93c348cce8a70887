"""Asks a server every open question, many at once."""

import asyncio
import random
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from raddistill.llm_client import budget, rate_limit
from raddistill.llm_client.messages import Question
from raddistill.llm_client.progress import AskingProgress
from raddistill.llm_client.run_state import BROKEN, INTERRUPTED, OUT_OF_MONEY, R, Run
from raddistill.llm_client.sender import Sender
from raddistill.llm_client.store import Store
from raddistill.llm_client.request_failures import RequestFailure

T = TypeVar("T")

IN_A_ROW = 30  # questions without an answer, and none with one in between: it will not get better by itself


class _Tasks:
    """The workers of a run, which may be stopped at any `await`, and their requests, which go on as they are paid for."""

    def __init__(self, run: Run[Any]) -> None:
        self._run = run
        self._workers: set[asyncio.Task[Any]] = set()
        self._requests: set[asyncio.Task[Any]] = set()
        self.errors: list[BaseException] = []

    def start(self, work: Coroutine[Any, Any, T], *, paid: bool) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        (self._requests if paid else self._workers).add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._workers.discard(task)
        self._requests.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)
            self.stop(BROKEN)

    def stop(self, why: str) -> None:
        """No new requests; those in flight go on. The first reason counts."""
        if self._run.stopped is None:
            self._run.stopped = why
            for worker in self._workers:
                worker.cancel()

    def interrupt(self) -> None:
        """Ctrl-C: as `stop`; the second time, requests in flight are given up."""
        if self._run.stopped is None:
            self.stop(INTERRUPTED)
        else:
            for request in self._requests:
                request.cancel()

    async def finish(self) -> None:
        """Returns when nothing is under way any more."""
        while left := self._workers | self._requests:
            await asyncio.wait(left)


class Direct(Generic[R]):
    """Workers that share one run, each with one request in flight."""

    def __init__(self, run: Run[R], reports: Iterable[R], store: Store, *, proven: bool, waits: Callable[[R], bool]) -> None:
        """`proven`, `waits`: see ask.ask_all."""
        self._run, self._proven, self._waits = run, proven, waits
        self._reports = self._in_order(reports)
        self._put_off: list[R] = []
        self._first_pass = True
        self._sender = Sender(run, store)
        self._being_asked: dict[str, asyncio.Event] = {}  # by key of the question
        self._tasks = _Tasks(run)
        self._in_a_row = 0

    async def work(self, shown: AskingProgress) -> None:
        """Returns when all is asked or the run is stopped, and what was in flight is stored; raises what a worker raised."""
        with _on_signal(self._tasks.interrupt):
            pending = {self._tasks.start(self._worker(), paid=False) for _ in range(self._run.asking.in_flight)}
            try:
                while pending:
                    finished, pending = await asyncio.wait(pending, timeout=shown.every_s, return_when=asyncio.FIRST_COMPLETED)
                    if not finished:
                        shown.show()
            finally:  # cancelled from outside: no new requests, but what is paid for is kept
                if pending:
                    self._tasks.stop(INTERRUPTED)
                await self._tasks.finish()
                await self._sender.finish()
        if self._tasks.errors:
            raise self._tasks.errors[0]

    async def _stop_here(self, why: str) -> None:
        """Stops the run, this worker included."""
        self._tasks.stop(why)
        await asyncio.sleep(0)

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
        size = budget.size(question.body)
        for tries in range(1, self._run.asking.tries + 1):
            reserved = await self._sender.reserve(question, size)
            if reserved is None:
                await self._stop_here(OUT_OF_MONEY)
                return
            trouble = await asyncio.shield(self._tasks.start(self._sender.request(question, reserved), paid=True))
            if trouble is None:
                self._in_a_row, self._proven = 0, True
                return
            if trouble.stop is not None:
                await self._stop_here(trouble.stop)
            if not trouble.again or tries == self._run.asking.tries:
                await self._fail(question, trouble)
                return
            await asyncio.sleep(rate_limit.pause(trouble.wait_s, tries, random.random()))  # noqa: S311 - jitter

    async def _fail(self, question: Question, trouble: RequestFailure) -> None:
        self._run.failed[question.key] = trouble.reason
        if self._proven and not trouble.again:
            return  # refused, as it was before: a run that goes on with an earlier one meets all refused questions in a row
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            await self._stop_here(_lasting(trouble, self._run))


def _lasting(trouble: RequestFailure, run: Run[Any]) -> str:
    """What to check where many questions in a row had no answer."""
    why = (
        f"and what is behind it if it is a proxy, and that {run.client.base_url.host} is the host you mean "
        f"(its URL comes from the environment)"
        if trouble.again
        else f"and takes llm.answers, llm.logprobs and llm.max_tokens as they are, and has the model '{run.model}'"
    )
    advice = trouble.advice or f"Check that the server runs, {why}"
    return f"{IN_A_ROW} questions in a row had no answer, the last: {trouble.reason}. {advice}"


@contextmanager
def _on_signal(interrupt: Callable[[], None]) -> Iterator[None]:
    """Calls `interrupt` at Ctrl-C and SIGTERM; where signals cannot be handled (another thread), asyncio's own way remains."""
    loop, kept = asyncio.get_running_loop(), {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, interrupt)
            except NotImplementedError:
                break
            kept[number] = before
    try:
        yield
    finally:
        for number, before in kept.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before or signal.SIG_DFL)
