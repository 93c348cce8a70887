"""Holds the state of one run of asking: settings, counters, progress, tasks, and why it was stopped."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import openai
import rich.progress
from rich.console import Console
from rich.progress import BarColumn, TextColumn

from raddistill.errors import InputError
from raddistill.llm_client.budget import Budget, BudgetReached
from raddistill.llm_client.messages import Question
from raddistill.llm_client.settings import AskingParams

R = TypeVar("R")
T = TypeVar("T")

INTERRUPTED, OUT_OF_MONEY, BROKEN = "interrupted", "budget", "error"  # why a run stopped; any other reason is shown as it is
LINE_EVERY_S = 30.0
BAR_EVERY_S = 0.5


class Asked(NamedTuple):
    """The result of a run."""

    failed: dict[str, str]  # key of the question -> why it has no answer, in fixed words
    answered: int  # questions answered and stored by this run


@dataclass
class Run(Generic[R]):
    """The settings and counters of a run."""

    open_questions: Callable[[R], Iterable[Question]]
    client: openai.AsyncOpenAI
    asking: AskingParams
    model: str
    budget: Budget
    total: int | None  # number of reports; None: unknown
    progress: bool  # whether to show progress
    stopped: str | None = None  # why the run was stopped
    failed: dict[str, str] = field(default_factory=dict)  # as in Asked
    done: int = 0  # reports with nothing left to ask
    answered: int = 0
    tokens: int = 0

    def still_open(self, report: R) -> list[Question]:
        """Returns the questions about a report without an answer that have not failed."""
        return [question for question in self.open_questions(report) if question.key not in self.failed]

    def say(self, text: str) -> None:
        """Prints a line on standard error if progress is shown."""
        if self.progress:
            say(text)

    def raise_if_stopped(self) -> None:
        """Raises the error for the reason in `stopped`, if there is one.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM.
            BudgetReached: the next request could exceed the cap.
            InputError: any other reason.
        """
        if self.stopped is None:
            return
        of = "" if self.total is None else f" of {self.total:,}"
        kept = (
            f"{self.done:,}{of} reports are done, {self.answered:,} questions were answered by this run; all answers are kept, "
            f"and the next run asks only for what is missing"
        )
        if self.stopped == INTERRUPTED:
            raise KeyboardInterrupt(kept)
        if self.stopped == OUT_OF_MONEY:
            raise BudgetReached(
                f"asking.budget_usd: {self.budget.summary()}, and the next request could pass it. {kept}. "
                f"The cap is for one run: run again to spend as much again, or raise asking.budget_usd"
            )
        raise InputError(f"{self.stopped}. {kept}")


def say(text: str) -> None:
    """Prints a line on standard error."""
    print(f"asking: {text}", file=sys.stderr, flush=True)


class Progress:
    """Shows the counts of a run on standard error: as a bar on a terminal, else as a line every 30 seconds; or not at all."""

    def __init__(self, run: Run[Any]) -> None:
        self._console = Console(stderr=True, quiet=not run.progress)
        self._run, self._began = run, time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self.every_s = BAR_EVERY_S if self._console.is_terminal else LINE_EVERY_S

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            columns = TextColumn("asking"), BarColumn(), TextColumn("{task.fields[line]}")
            self._bar = rich.progress.Progress(*columns, console=self._console, auto_refresh=False)
            self._bar.add_task("asking", total=self._run.total, line="")
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.show()
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Updates the bar or prints a line."""
        line = self._line()
        if self._bar is None:
            self._console.print(f"asking: {line}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._bar.update(self._bar.task_ids[0], completed=self._run.done, line=line, refresh=True)

    def _line(self) -> str:
        """Reports, failures, tokens, money; time left at the speed so far, if known."""
        run = self._run
        of = "" if run.total is None else f"/{run.total:,}"
        left = ""
        if run.total is not None and run.done:
            seconds = round((run.total - run.done) * (time.monotonic() - self._began) / run.done)
            left = f", {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
        counts = f"{run.done:,}{of} reports, {len(run.failed):,} failed, {run.answered:,} answers, {run.tokens:,} tokens"
        return f"{counts}, {run.budget.summary()}{left}"


class Workers:
    """The workers of a run in direct mode, and their requests, as tasks of asyncio.

    Workers may be cancelled at any `await`. Requests go on, as they are paid for.
    """

    def __init__(self, run: Run[Any]) -> None:
        self._run = run
        self._workers: set[asyncio.Task[Any]] = set()
        self._requests: set[asyncio.Task[Any]] = set()
        self.errors: list[BaseException] = []

    def start(self, work: Coroutine[Any, Any, T], *, paid: bool) -> asyncio.Task[T]:
        """Starts a worker, or a request (`paid`). If it raises, the run is stopped and the error is added to `errors`."""
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


@contextmanager
def on_signal(interrupt: Callable[[], None]) -> Iterator[None]:
    """Calls `interrupt` at Ctrl-C and SIGTERM. Outside the main thread, asyncio's own handling remains."""
    loop, main = asyncio.get_running_loop(), threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if main else {}
    for number in before:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler or signal.SIG_DFL)
