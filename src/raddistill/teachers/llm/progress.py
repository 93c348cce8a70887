"""What a person sees while a teacher is asked: a bar on a terminal, a line now and then in a log. Counts only."""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_EVERY_S = 30.0
BAR_EVERY_S = 0.5
SPEED_OVER_S = 60.0  # answers that the journal knew go by in no time: only the last minute tells how fast it goes


class Standing(NamedTuple):
    """How far a run has got."""

    done: int  # reports with nothing left to ask
    total: int | None
    failed: int  # questions
    answered: int  # questions, in this run
    tokens: int
    money: str


class AskingProgress:
    """Shows `standing()` on standard error: a bar on a terminal, else a line every 30 seconds; nothing if `show` is false."""

    def __init__(self, show: bool, standing: Callable[[], Standing], clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True, quiet=not show)
        self._standing, self._clock = standing, clock
        self._seen: deque[tuple[float, int]] = deque()
        self._bar: Progress | None = None
        self.every_s = BAR_EVERY_S if self._console.is_terminal else LINE_EVERY_S

    def __enter__(self) -> "AskingProgress":
        if self._console.is_terminal:
            columns = TextColumn("asking"), BarColumn(), TextColumn("{task.fields[told]}")
            self._bar = Progress(*columns, console=self._console, auto_refresh=False)
            self._bar.add_task("asking", total=self._standing().total, told="")
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.show()
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Shows how far it has got."""
        standing = self._standing()
        told = self.tell(standing)
        if self._bar is None:
            self._console.print(f"asking: {told}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._bar.update(self._bar.task_ids[0], completed=standing.done, told=told, refresh=True)

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tell(self, standing: Standing) -> str:
        """The line: reports, failures, tokens, money, time left."""
        of = "" if standing.total is None else f"/{standing.total:,}"
        parts = [f"{standing.done:,}{of} reports", f"{standing.failed:,} failed", f"{standing.answered:,} answers"]
        left = self._left(standing)
        return ", ".join([*parts, f"{standing.tokens:,} tokens", standing.money, *([f"{left} left"] if left else [])])

    def _left(self, standing: Standing) -> str | None:
        now = self._clock()
        self._seen.append((now, standing.done))
        while self._seen[0][0] < now - SPEED_OVER_S and len(self._seen) > 2:
            self._seen.popleft()
        then, done = self._seen[0]
        if standing.total is None or standing.done == done or now == then:
            return None
        seconds = round((standing.total - standing.done) * (now - then) / (standing.done - done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
