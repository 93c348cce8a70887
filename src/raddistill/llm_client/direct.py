"""Direct mode: asks a server every open question, many at the same time."""

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
from raddistill.llm_client.request_failures import RequestFailure
from raddistill.llm_client.run_state import BROKEN, INTERRUPTED, OUT_OF_MONEY, R, Run
from raddistill.llm_client.sender import Sender
from raddistill.llm_client.store import Store

T = TypeVar("T")

IN_A_ROW = 30  # questions without an answer, one after the other, after which the run stops


class _Tasks:
    """The workers of a run and their requests. Workers may be cancelled at any `await`; requests go on, as they are paid for."""

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
        """Stops new requests; those in flight go on. The first reason counts."""
        if self._run.stopped is None:
            self._run.stopped = why
            for worker in self._workers:
                worker.cancel()

    def interrupt(self) -> None:
        """Handles Ctrl-C and SIGTERM: the first stops new requests, the second cancels those in flight."""
        if self._run.stopped is None:
            self.stop(INTERRUPTED)
        else:
            for request in self._requests:
                request.cancel()

    async def finish(self) -> None:
        """Returns when no worker and no request is left."""
        while left := self._workers | self._requests:
            await asyncio.wait(left)


class Direct(Generic[R]):
    """The workers of one run, each with one request in flight."""

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
        """Returns when all is asked, or the run is stopped, and all answers are stored. Raises what a worker raised."""
        with _on_signal(self._tasks.interrupt):
            pending = {self._tasks.start(self._worker(), paid=False) for _ in range(self._run.asking.in_flight)}
            try:
                while pending:
                    finished, pending = await asyncio.wait(pending, timeout=shown.every_s, return_when=asyncio.FIRST_COMPLETED)
                    if not finished:
                        shown.show()
            finally:  # cancelled from outside: no new requests, but answers in flight are kept
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
        """Yields all reports, then the postponed ones. The workers share this iterator."""
        yield from reports
        self._first_pass = False
        yield from self._put_off

    async def _worker(self) -> None:
        """Takes reports until none is left, and asks about each until it has no open question."""
        for report in self._reports:
            while questions := self._run.still_open(report):
                if self._first_pass and self._waits(report):
                    self._put_off.append(report)
                    break
                await self._ask_once(questions[0])
            else:
                self._run.done += 1
            await asyncio.sleep(0)  # lets others run: skipping thousands of finished reports never awaits

    async def _ask_once(self, question: Question) -> None:
        """Asks a question; if another worker is asking the same one, waits for that worker instead."""
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
        """Tries until the store has the answer or the question has failed.

        The SDK's retries are not used, because each try may be charged and must fit the budget.
        """
        size = budget.size(question.body)
        for tries in range(1, self._run.asking.tries + 1):
            reserved = await self._sender.reserve(question, size)
            if reserved is None:
                await self._stop_here(OUT_OF_MONEY)
                return
            failure = await asyncio.shield(self._tasks.start(self._sender.request(question, reserved), paid=True))
            if failure is None:
                self._in_a_row, self._proven = 0, True
                return
            if failure.stop is not None:
                await self._stop_here(failure.stop)
            if not failure.again or tries == self._run.asking.tries:
                await self._fail(question, failure)
                return
            await asyncio.sleep(rate_limit.pause(failure.retry_after_s, tries, random.random()))  # noqa: S311 - jitter

    async def _fail(self, question: Question, failure: RequestFailure) -> None:
        self._run.failed[question.key] = failure.reason
        if self._proven and not failure.again:
            return  # a resumed run meets all earlier refusals first; do not count them
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            await self._stop_here(_lasting(failure, self._run))


def _lasting(failure: RequestFailure, run: Run[Any]) -> str:
    """The message after many questions in a row without an answer: what to check."""
    why = (
        f"and what is behind it if it is a proxy, and that {run.client.base_url.host} is the host you mean "
        f"(its URL comes from the environment)"
        if failure.again
        else f"and takes llm.answers, llm.logprobs and llm.max_tokens as they are, and has the model '{run.model}'"
    )
    advice = failure.advice or f"Check that the server runs, {why}"
    return f"{IN_A_ROW} questions in a row had no answer, the last: {failure.reason}. {advice}"


@contextmanager
def _on_signal(interrupt: Callable[[], None]) -> Iterator[None]:
    """Calls `interrupt` at Ctrl-C and SIGTERM. Outside the main thread, asyncio's own handling remains."""
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
