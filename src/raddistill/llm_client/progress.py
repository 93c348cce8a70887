"""Shows the progress of asking: a bar on a terminal, a line now and then in a log. Counts only, no text."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from raddistill.llm_client.run_state import Run

LINE_EVERY_S = 30.0
BAR_EVERY_S = 0.5


class AskingProgress:
    """Shows the progress of a run on standard error: a bar on a terminal, else a line every 30 seconds; or nothing."""

    def __init__(self, run: Run[Any]) -> None:
        self._console = Console(stderr=True, quiet=not run.progress)
        self._run, self._began = run, time.monotonic()
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
        """Updates the bar or prints a line."""
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
        return ", ".join([*parts, f"{run.tokens:,} tokens", run.budget.summary(), *([f"{left} left"] if left else [])])

    def _left(self) -> str | None:
        """Time left, H:MM:SS, at the speed so far; None if unknown."""
        if self._run.total is None or not self._run.done:
            return None
        seconds = round((self._run.total - self._run.done) * (time.monotonic() - self._began) / self._run.done)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
