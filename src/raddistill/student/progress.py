"""What a person sees of a training: a bar with loss, tokens a second and time left, or a line now and then in a log."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback


class ConsoleProgress(TrainerCallback):
    """A rich bar on a terminal; a line every twentieth part of the run otherwise; nothing if `show` is false."""

    def __init__(self, show: bool) -> None:
        self._console = Console(quiet=not show)
        self._bar: Progress | None = None
        self._began, self._first = time.monotonic(), 0
        self.tokens_seen: Callable[[], int] = int  # of examples, padding not counted; the trainer's, once there is one

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("train"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[told]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.add_task("train", total=state.max_steps, completed=state.global_step, told="")
            self._bar.start()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or not ("loss" in logs or "eval_loss" in logs):
            return
        elapsed = time.monotonic() - self._began
        done = (state.global_step - self._first) / max(1, state.max_steps - self._first)
        if "eval_loss" in logs:
            self._console.print(f"step {state.global_step}: validation loss {logs['eval_loss']:.4f}")
        elif self._bar:
            self._bar.update(self._bar.task_ids[0], told=f"loss {logs['loss']:.4f}  {self._speed(elapsed)}")
        elif state.global_step % max(5, state.max_steps // 20 // 5 * 5) == 0:
            left = elapsed / max(done, 1e-9) * (1 - done)
            told = f"loss {logs['loss']:.4f}, {self._speed(elapsed)}, about {left / 60:.0f} min left"
            self._console.print(f"step {state.global_step}/{state.max_steps}: {told}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar:
            self._bar.stop()

    def _speed(self, elapsed: float) -> str:
        return f"{self.tokens_seen() / elapsed:,.0f} tokens/s"
