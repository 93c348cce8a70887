"""What a person sees while a teacher is asked: a bar on a terminal, a line now and then in a log. Counts only."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from raddistill.llm_client.run import Run

LINE_EVERY_S = 30.0
BAR_EVERY_S = 0.5
SPEED_OVER_S = 60.0  # answers that the store knew go by in no time: only the last minute tells how fast it goes


class AskingProgress:
    """Shows on standard error how far a run is: a bar on a terminal, else a line every 30 seconds; nothing if `show` is false."""

    def __init__(self, show: bool, run: Run[Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True, quiet=not show)
        self._run, self._clock = run, clock
        self._seen: deque[tuple[float, int]] = deque()
        self._bar: Progress | None = None
        self.every_s = BAR_EVERY_S if self._console.is_terminal else LINE_EVERY_S

    def __enter__(self) -> "AskingProgress":
        if self._console.is_terminal:
            columns = TextColumn("asking"), BarColumn(), TextColumn("{task.fields[line]}")
            self._bar = Progress(*columns, console=self._console, auto_refresh=False)
            self._bar.add_task("asking", total=self._run.total, line="")
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.show()
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Shows how far it has got."""
        line = self._line()
        if self._bar is None:
            self._console.print(f"asking: {line}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._bar.update(self._bar.task_ids[0], completed=self._run.done, line=line, refresh=True)

    def _line(self) -> str:
        """Reports, failures, tokens, money, time left."""
        run = self._run
        of = "" if run.total is None else f"/{run.total:,}"
        parts = [f"{run.done:,}{of} reports", f"{len(run.failed):,} failed", f"{run.answered:,} answers"]
        left = self._left()
        return ", ".join([*parts, f"{run.tokens:,} tokens", run.budget.told(), *([f"{left} left"] if left else [])])

    def _left(self) -> str | None:
        """Time left, H:MM:SS, at the speed of the last minute; None where it cannot be known."""
        run, now = self._run, self._clock()
        self._seen.append((now, run.done))
        while self._seen[0][0] < now - SPEED_OVER_S and len(self._seen) > 2:
            self._seen.popleft()
        then, done = self._seen[0]
        if run.total is None or run.done == done or now == then:
            return None
        seconds = round((run.total - run.done) * (now - then) / (run.done - done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
