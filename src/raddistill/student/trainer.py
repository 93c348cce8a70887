"""TRL's SFTTrainer with the student's losses, order of batches, sealed checkpoints and progress. Imports torch.

Progress is a bar with loss, tokens per second and time left on a terminal, or a line now and then in a log.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTTrainer

from raddistill.student import checkpoints
from raddistill.student.forward import example_losses
from raddistill.student.prompts import Encoded

BATCHES_PER_SORT = 32  # batches that are sorted by length together; with 8, one batch was half padding


class SealedCheckpoints(TrainerCallback):
    """Seals each written checkpoint, and finds the best one again if the project was moved."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # transformers stores the best one as a path and, if the path is gone, drops it with a warning
        if state.best_global_step:
            state.best_model_checkpoint = str(checkpoints.checkpoint_path(Path(args.output_dir), state.best_global_step))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process writes the state of its random numbers
        if not state.is_world_process_zero:
            return
        checkpoints.seal(checkpoints.checkpoint_path(Path(args.output_dir), state.global_step))


class StudentTrainer(SFTTrainer):
    """Computes the losses of both tasks from hidden states, with the shared prefix computed once.

    TRL's collator would drop the targets. The collator here (`list`) passes rows on unchanged, because padding is known only once
    the prefix is cut off.
    """

    def __init__(self, *args: Any, answers: tuple[int, int], robust: float, tokens: int | None, **kwargs: Any) -> None:
        """`tokens`: at most so many in a forward pass, with padding; None: a batch is one pass."""
        super().__init__(*args, **kwargs)
        self._answers, self._robust, self._tokens = answers, robust, tokens
        self.model_accepts_loss_kwargs = False  # our loss is a mean over examples, so accumulated batches are averaged
        self.tokens_seen = 0

    def get_train_dataloader(self) -> Any:
        """Returns batches; with several processes all get the same ones, of which `training_step` takes a share."""
        if self.args.world_size == 1:
            return super().get_train_dataloader()
        return DataLoader(self.train_dataset, batch_size=self.args.per_device_train_batch_size, collate_fn=list)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Returns the mean loss of the batch's examples, and adds its gradient. `inputs`: rows of the dataset, from the collator.

        Each process takes its share of the rows. Their gradients are added here, since our losses bypass the forward pass of the
        module that DDP wraps. So a batch has the same gradient with any number of processes, a short last batch included.
        """
        self._batch, processes = len(inputs), self.args.world_size
        step: Any = super().training_step
        loss: torch.Tensor = torch.zeros((), device=self.args.device)
        for rows in self._passes(inputs[self.args.process_index :: processes]):
            loss += step(model, rows, num_items_in_batch)
        if processes > 1 and self.accelerator.sync_gradients:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                    torch.distributed.all_reduce(parameter.grad)
        loss *= processes  # the trainer logs the mean over processes
        return loss

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> torch.Tensor:
        """Returns the part of the batch's mean loss that these examples have."""
        self.tokens_seen += sum(len(row["input_ids"]) for row in inputs) * self.args.world_size  # of the others: about as many
        return self._losses(model, inputs).mean() * (len(inputs) / self._batch)

    def _passes(self, rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """Yields the rows of a batch in turn, so many at a time that they fit into a forward pass with padding."""
        start = longest = 0
        for end, row in enumerate(rows):
            longest = max(longest, len(row["input_ids"]))
            if self._tokens and end > start and longest * (end + 1 - start) > self._tokens:
                yield rows[start:end]
                start, longest = end, len(row["input_ids"])
        if rows:
            yield rows[start:]

    def evaluation_loop(self, dataloader: Any, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """Returns the mean loss over all examples. Trainer's own loop would give a short last batch the weight of a full one."""
        model: Any = self.model
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            batches = (torch.cat([self._losses(model, part) for part in self._passes(rows)]) for rows in dataloader)
            losses = torch.cat([self.accelerator.gather_for_metrics(batch) for batch in batches])
        metrics = {f"{metric_key_prefix}_loss": losses.mean().item()}
        return EvalLoopOutput(predictions=np.empty(0), label_ids=None, metrics=metrics, num_samples=len(losses))

    def _losses(self, model: Any, rows: list[dict[str, Any]]) -> torch.Tensor:
        causal = self.accelerator.unwrap_model(model).get_base_model()
        examples = [Encoded(**{name: row[name] for name in Encoded.__dataclass_fields__}) for row in rows]
        # accelerate's autocast wraps the outer model's forward, which the shared prefix bypasses. Without autocast here, fp32
        # adapters move half of the arithmetic to fp32 (490 against 680 tokens/s on 2 cores)
        with self.accelerator.autocast():
            losses: torch.Tensor = example_losses(causal, examples, [row["targets"] for row in rows], self._answers, self._robust)
        return losses

    def _prepare_input(self, data: Any) -> Any:
        return data  # rows are lists of ids; `hidden_states` puts them on the device

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes no card into checkpoints; the adapter gets ours."""


def settle_precision(model: Any) -> None:
    """Puts adapters into fp32, and leaves the casting of their inputs to autocast."""
    for parameter in model.parameters():
        if parameter.requires_grad:  # TRL starts QLoRA adapters in bf16, but resumes in fp32: resumed runs would differ
            parameter.data = parameter.data.float()
    for module in model.modules():
        # else peft casts inputs to fp32, and autocast casts them back to bf16: same results, a tenth slower
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[attr-defined]


def batch_order(lengths: Sequence[int], tasks: Sequence[str], seed: int, epochs: int, batch_size: int) -> list[int]:
    """Returns row numbers for all epochs in training order. Each `batch_size` rows are a batch of one task and similar length.

    Similar lengths save padding; one task shares the longest prefix. In each epoch the rows of a task are shuffled, sorted by
    length within runs of BATCHES_PER_SORT batches, and the batches shuffled. Every row occurs once per epoch.
    """
    generator = random.Random(seed)  # noqa: S311 (order of training, nothing secret)
    order: list[int] = []
    for _ in range(epochs):
        batches: list[list[int]] = []
        left: list[int] = []
        for task in sorted(set(tasks)):
            rows = [i for i, t in enumerate(tasks) if t == task]
            generator.shuffle(rows)
            run = BATCHES_PER_SORT * batch_size
            ranked = [i for start in range(0, len(rows), run) for i in sorted(rows[start : start + run], key=lengths.__getitem__)]
            full = len(ranked) - len(ranked) % batch_size
            batches += [ranked[start : start + batch_size] for start in range(0, full, batch_size)]
            left += ranked[full:]
        generator.shuffle(batches)
        # rows that fill no batch go last; they form mixed batches, which only share a shorter prefix
        order += [i for batch in batches for i in batch] + left
    return order


class ConsoleProgress(TrainerCallback):
    """Shows a bar on a terminal, else a line after every twentieth of the run; nothing if `show` is false."""

    def __init__(self, show: bool) -> None:
        self._console = Console(quiet=not show)
        columns = (
            TextColumn("train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console)
        self._began, self._first = time.monotonic(), 0
        self.tokens_seen: Callable[[], int] = int  # without padding; replaced by the trainer's counter

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step
        if self._console.is_terminal:
            self._bar.add_task("train", total=state.max_steps, completed=state.global_step, shown="")
            self._bar.start()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        step, elapsed, logs = state.global_step, time.monotonic() - self._began, logs or {}
        if "eval_loss" in logs:
            self._console.print(f"step {step}: validation loss {logs['eval_loss']:.4f}")
        elif "loss" in logs:
            shown = f"loss {logs['loss']:.4f}, {self.tokens_seen() / elapsed:,.0f} tokens/s"
            for task in self._bar.task_ids:
                self._bar.update(task, shown=shown)
            if not self._console.is_terminal and step % max(5, state.max_steps // 20 // 5 * 5) == 0:
                left = elapsed * (state.max_steps - step) / max(1, step - self._first)
                self._console.print(f"step {step}/{state.max_steps}: {shown}, about {left / 60:.0f} min left")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for task in self._bar.task_ids:
            self._bar.update(task, completed=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._console.is_terminal:
            self._bar.stop()
