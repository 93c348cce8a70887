"""One arm answers a stated sample of a split: raw text and logits, nothing parsed, no threshold.

Arms differ in what answers: `student` (base and adapter), `base` (untouched), `linear` (TF-IDF and logistic regression on
the same labels).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field
from rich.progress import track

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import RuntimeParams, Section
from raddistill.student import allocation, linear, models
from raddistill.student.forward import hidden_states, slot_logits
from raddistill.student.generation import greedy
from raddistill.student.linear import ANSWERS, LOGITS
from raddistill.student.prompts import Encoded, answer_ids, encode, slot_lines


class PredictParams(Section):
    """Who answers how many reports of which split."""

    model: Literal["student", "base", "linear"]
    split: Literal["train", "validation", "test"]
    multiple_choice_reports: int = Field(ge=-1)  # -1: all
    open_ended_reports: int = Field(ge=-1)
    max_new_tokens: int = Field(ge=1)


@dataclass(frozen=True)
class Predicted:
    predictions: pl.DataFrame  # report_id, task, arm, answer (null where read by logits)
    probabilities: pl.DataFrame  # report_id, task, arm, label, answer, logit


def predict(
    arm: str, p: PredictParams, examples: pl.DataFrame, label_set: list[Label], weights: Path, runtime: RuntimeParams
) -> Predicted:
    """Answers of `arm` to the first reports by hash of its split, for both tasks.

    Raises:
        InputError: the split holds no report; model files are missing or changed.
    """
    wanted = {"multiple_choice": p.multiple_choice_reports, "open_ended": p.open_ended_reports}
    of_split = examples.filter(pl.col("split") == p.split)
    if of_split.is_empty():
        raise InputError(f"predict.{arm}: the split '{p.split}' holds no report")
    asked = pl.concat(
        of_split.filter(pl.col("task") == task).sort("order").head(of_split.height if n == -1 else n)
        for task, n in wanted.items()
    )
    if p.model == "linear":
        answered, logits = linear.predict(examples.filter(pl.col("selected") & (pl.col("split") == "train")), asked, label_set)
    else:
        answered, logits = Answerer.load(p.model, weights, runtime).answer(asked, label_set, p.max_new_tokens)
    predictions = asked.select("report_id", "task").join(answered, on=["report_id", "task"], how="left", validate="1:1")
    assert predictions.height == asked.height
    return Predicted(
        predictions.with_columns(arm=pl.lit(arm)).select("report_id", "task", "arm", "answer"),
        logits.with_columns(arm=pl.lit(arm)).select("report_id", "task", "arm", "label", "answer", "logit"),
    )


class Answerer:
    """A causal language model with its tokenizer, ready to answer examples."""

    def __init__(self, model: Any, tokenizer: Any, runtime: RuntimeParams) -> None:
        self._model = model.eval()
        self._causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._tokenizer = tokenizer
        self._runtime = runtime
        stated = model.generation_config.eos_token_id  # Llama 3.1 has three, the base may use any of them
        self._ends = {tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])}

    @classmethod
    def load(cls, model: str, weights: Path, runtime: RuntimeParams) -> "Answerer":
        """The student from its adapter folder, or the base from models/base.json, unquantised as its makers ship it."""
        allocation.use_threads(runtime.threads)
        models.quiet_libraries()
        if model == "student":
            return cls(models.load_student(weights), models.load_tokenizer(weights / "base.json"), runtime)
        return cls(models.load_base(weights, "none"), models.load_tokenizer(weights), runtime)

    def answer(self, asked: pl.DataFrame, label_set: list[Label], max_new_tokens: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(report_id, task, answer) and (report_id, task, label, answer, logit) for rows of the examples table."""
        by_logits = asked.filter(pl.col("answers") == "slots")
        written = asked.filter(pl.col("answers") != "slots")
        return self.write(written, max_new_tokens), self.read_slots(by_logits, label_set)

    def read_slots(self, asked: pl.DataFrame, label_set: list[Label]) -> pl.DataFrame:
        """Logits of yes and no at every label's slot: one forward a batch, nothing generated."""
        import torch

        if asked.is_empty():
            return pl.DataFrame(schema=LOGITS)
        answers = answer_ids(self._tokenizer)
        lines = slot_lines(label_set)
        encoded = [encode(self._tokenizer, prompt, lines, "slots") for prompt in asked["prompt"]]
        rows: list[tuple[str, str, str, str, float]] = []
        with torch.inference_mode(), self._precision():
            for batch in self._batches(encoded, asked["task"][0]):
                examples = [encoded[i] for i in batch]
                hidden, shared = hidden_states(self._causal.model, examples)
                logits = slot_logits(hidden, shared, examples, self._causal.lm_head, answers).tolist()
                for i, of_report in zip(batch, logits, strict=True):
                    for label, (yes, no) in zip(label_set, of_report, strict=True):
                        rows += [(asked["report_id"][i], asked["task"][i], label.name, "yes", yes)]
                        rows += [(asked["report_id"][i], asked["task"][i], label.name, "no", no)]
        return pl.DataFrame(rows, schema=LOGITS, orient="row")

    def write(self, asked: pl.DataFrame, max_new_tokens: int) -> pl.DataFrame:
        """Greedy answers, batched by length, special tokens left out."""
        import torch

        if asked.is_empty():
            return pl.DataFrame(schema=ANSWERS)
        encoded = [encode(self._tokenizer, prompt, None, "lines") for prompt in asked["prompt"]]
        said: dict[int, str] = {}
        with torch.inference_mode(), self._precision():
            for batch in self._batches(encoded, f"{asked['task'][0]}, answers up to {max_new_tokens} tokens"):
                made = greedy(self._causal, [encoded[i] for i in batch], max_new_tokens, self._ends)
                said |= dict(zip(batch, self._tokenizer.batch_decode(made, skip_special_tokens=True), strict=True))
        answers = [said[i] for i in range(asked.height)]
        return pl.DataFrame({"report_id": asked["report_id"], "task": asked["task"], "answer": answers}, schema=ANSWERS)

    def _batches(self, encoded: list[Encoded], what: str) -> Iterator[list[int]]:
        """Row numbers by length, as many a batch as `runtime.predict_tokens` holds; a progress bar over them."""
        batches: list[list[int]] = []
        for i in sorted(range(len(encoded)), key=lambda i: len(encoded[i].input_ids)):
            size = len(encoded[i].input_ids)
            if batches and size * (len(batches[-1]) + 1) <= self._runtime.predict_tokens:
                batches[-1].append(i)
            else:
                batches.append([i])
        return iter(track(batches, description=f"predict {what}", disable=not self._runtime.progress))

    def _precision(self) -> Any:
        import torch

        return torch.autocast(self._causal.device.type, torch.bfloat16, enabled=models.compute_dtype() == torch.bfloat16)
