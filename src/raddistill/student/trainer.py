"""TRL's SFTTrainer with the student's losses. Imports torch: import it inside functions only."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTTrainer

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
            return example_losses(causal, examples, [row["targets"] for row in rows], self._answers, self._robust)

    def _prepare_input(self, data: Any) -> Any:
        return data  # rows are lists of ids; `hidden_states` puts them on the device

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None in checkpoints; the adapter gets ours."""
