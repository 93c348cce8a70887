"""TRL's SFTTrainer with the student's losses, sealed checkpoints and a progress bar. Imports torch: import it inside functions.

What a person sees of a training: a bar with loss, tokens a second and time left on a terminal, or a line now and then in a log.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTTrainer  # type: ignore[attr-defined]

from raddistill.student import checkpoints
from raddistill.student.losses import example_losses
from raddistill.student.prompts import Encoded


class SealedCheckpoints(TrainerCallback):
    """Seals each checkpoint once it is written, and finds the best one again if the project was moved since."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # transformers keeps the best one as a path, and forgets it with a warning where that is no more
        if state.best_global_step:
            state.best_model_checkpoint = str(checkpoints.place(Path(args.output_dir), state.best_global_step))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        checkpoints.seal(checkpoints.place(Path(args.output_dir), state.global_step))


class StudentTrainer(SFTTrainer):
    """Takes the losses of both tasks on hidden states, with the shared prefix computed once.

    TRL's own forward keeps no slots, and its collator would drop the targets. The collator here hands rows on as they are
    (`list`): what must be padded is known only once the prefix is cut off.
    """

    def __init__(self, *args: Any, answers: tuple[int, int], robust: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers, self._robust = answers, robust
        self.model_accepts_loss_kwargs = False  # our losses are means per example: accumulated batches are averaged
        self.tokens_seen = 0

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> torch.Tensor:
        """Mean over the batch's examples; `inputs` are rows of the dataset as the collator left them."""
        self.tokens_seen += sum(len(row["input_ids"]) for row in inputs)
        return self._losses(model, inputs).mean()

    def evaluation_loop(self, dataloader: Any, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """Mean loss over all examples (Trainer's own loop would weigh a short last batch like a full one)."""
        model: Any = self.model
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            losses = torch.cat([self._losses(model, rows) for rows in dataloader])
        metrics = {f"{metric_key_prefix}_loss": losses.mean().item()}
        return EvalLoopOutput(predictions=np.empty(0), label_ids=None, metrics=metrics, num_samples=len(losses))

    def _losses(self, model: Any, rows: list[dict[str, Any]]) -> torch.Tensor:
        causal = self.accelerator.unwrap_model(model).get_base_model()
        examples = [Encoded(**{name: row[name] for name in Encoded.__dataclass_fields__}) for row in rows]
        # accelerate's autocast wraps the outer model's forward, which the shared prefix goes past: without it, fp32 adapters
        # pull half of the arithmetic into fp32 (490 against 680 tokens/s on 2 cores)
        with self.accelerator.autocast():
            losses: torch.Tensor = example_losses(causal, examples, [row["targets"] for row in rows], self._answers, self._robust)
        return losses

    def _prepare_input(self, data: Any) -> Any:
        return data  # rows are lists of ids; `hidden_states` puts them on the device

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None in checkpoints; the adapter gets ours."""


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
                TextColumn("{task.fields[shown]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.add_task("train", total=state.max_steps, completed=state.global_step, shown="")
            self._bar.start()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or not ("loss" in logs or "eval_loss" in logs):
            return
        elapsed = time.monotonic() - self._began
        done = (state.global_step - self._first) / max(1, state.max_steps - self._first)
        if "eval_loss" in logs:
            self._console.print(f"step {state.global_step}: validation loss {logs['eval_loss']:.4f}")
        elif self._bar:
            self._bar.update(self._bar.task_ids[0], shown=f"loss {logs['loss']:.4f}  {self._speed(elapsed)}")
        elif state.global_step % max(5, state.max_steps // 20 // 5 * 5) == 0:
            left = elapsed / max(done, 1e-9) * (1 - done)
            shown = f"loss {logs['loss']:.4f}, {self._speed(elapsed)}, about {left / 60:.0f} min left"
            self._console.print(f"step {state.global_step}/{state.max_steps}: {shown}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar:
            self._bar.stop()

    def _speed(self, elapsed: float) -> str:
        return f"{self.tokens_seen() / elapsed:,.0f} tokens/s"
