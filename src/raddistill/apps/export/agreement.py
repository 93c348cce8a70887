"""Compares an exported model with the adapter it was made of, on reports of the validation split.

The bars are for faults, not for rounding. With bf16 instead of float32, all 37 labels and 74 of 76 findings that either stated on
64 reports of the default run were stated by both; with a merge into another base, 69 of 77 and 164 of 195 (docs/export.md).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from raddistill import answer_format
from raddistill.apps.export.forms import load
from raddistill.errors import InputError
from raddistill.params import RuntimeParams
from raddistill.scoring.multiple_choice import MultipleChoice
from raddistill.student import linear
from raddistill.student.predicting import Answerer
from raddistill.student.tagging import Codes
from raddistill.tables import base as tables
from raddistill.tables.predictions import ArmTables, Predictions, Probabilities
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

DECISIONS = 0.995  # share of the decisions about a label that must be equal
FINDINGS = 0.95  # share that must be stated by both, of the labels or findings that either states
_BATCH = 32


class Answers(NamedTuple):
    """What a model states of a sample: task to (report, label or finding), and the logits of the labels."""

    stated: dict[str, set[tuple[str, Any]]]
    logits: pl.DataFrame


def is_fault(either: int, both: int, decisions: int, largest: float | None) -> bool:
    """Returns whether so little agreement is a fault of the export.

    `either`, `both`: the labels or findings that adapter or export state. `decisions`: reports times labels; 0 for findings,
    which are not enumerated. `largest`: difference of a label's logit.
    """
    if both < FINDINGS * either or math.isnan(largest or 0.0):
        return True
    return bool(decisions) and either - both > (1 - DECISIONS) * decisions


@dataclass(frozen=True)
class Sample:
    """Parts of reports (rows of `Examples`), and how the answers to them are read."""

    asked: pl.DataFrame
    choice: MultipleChoice
    codes: Codes
    label_set: list[Any]
    max_new_tokens: int
    runtime: RuntimeParams

    def of_tasks(self, tasks: Iterable[str]) -> pl.DataFrame:
        """Returns the parts that are asked about these tasks."""
        return self.asked.filter(pl.col("task").is_in(list(tasks)))

    def ask(self, answerer: Answerer, tasks: Iterable[str]) -> Answers:
        """Returns the answers of a model that is asked as in prediction."""
        asked = self.of_tasks(tasks)
        return self._read(asked, *answerer.answer(asked, self.label_set, self.max_new_tokens, self.codes))

    def ask_classifier(self, folder: Path) -> Answers:
        """Returns the answers of a sequence classifier that is used as its card says: by transformers alone."""
        import torch
        from transformers import AutoTokenizer

        tokenizer, model = AutoTokenizer.from_pretrained(folder), load("AutoModelForSequenceClassification", folder)
        asked = self.of_tasks([MULTIPLE_CHOICE])
        texts = asked["prompt"].unique(maintain_order=True).to_list()
        found: dict[str, list[float]] = {}
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            with torch.inference_mode():
                logits = model(**tokenizer(batch, padding=True, return_tensors="pt").to(model.device)).logits.float().tolist()
            found |= zip(batch, logits, strict=True)
        pairs = [[(yes, 0.0) for yes in found[text]] for text in asked["prompt"]]
        return self._read(asked, pl.DataFrame(schema=linear.ANSWERS), linear.tabulate(asked, pairs, self.label_set))

    def _read(self, asked: pl.DataFrame, answered: pl.DataFrame, logits: pl.DataFrame) -> Answers:
        reports = asked.select("report_id", "task", arm=pl.lit("student")).unique(maintain_order=True)
        given = reports.join(answered, on=["report_id", "task"], how="left")
        arm = ArmTables(
            tables.check(Predictions, given, "answers"),
            tables.check(Probabilities, logits.with_columns(arm=pl.lit("student")), "logits"),
        )
        stated: dict[str, set[tuple[str, Any]]] = {task: set() for task in reports["task"].unique()}
        if MULTIPLE_CHOICE in stated:
            of_task = arm.select(MULTIPLE_CHOICE)
            texts = dict.fromkeys(of_task.predictions["report_id"], "")
            read, names = self.choice.read_predictions("student", of_task, texts), self.choice.names.names
            stated[MULTIPLE_CHOICE] = {(read.reports[row], names[column]) for row, column in np.argwhere(read.decided)}
        for report, answer in given.filter(pl.col("task") == OPEN_ENDED).select("report_id", "answer").iter_rows():
            lines = set(map(str.strip, (answer or "").splitlines())) - {"", answer_format.NONE}
            stated[OPEN_ENDED] |= {(report, line) for line in lines}
        return Answers(stated, logits.sort("report_id", "part", "label", "answer"))

    def compare(self, adapter: Answers, export: Answers, form: str) -> list[str]:
        """Returns a line about each task that the export answers.

        Raises:
            InputError: it does not agree with the adapter, or neither states anything. The message has all figures.
        """
        lines, fault = [], ""
        for task, other in sorted(export.stated.items()):
            one, reports = adapter.stated[task], self.of_tasks([task])["report_id"].n_unique()
            either, both, decisions, largest = len(one | other), len(one & other), 0, None
            line = f"{task}: {both:,} of {either:,} stated by both"
            if task == MULTIPLE_CHOICE:
                decisions = reports * len(self.label_set)
                line += f", {1 - (either - both) / decisions:.2%} of {decisions:,} decisions equal"
                if export.logits.height:
                    largest = float(np.abs(adapter.logits["logit"].to_numpy() - export.logits["logit"].to_numpy()).max())
                    line += f", logits within {largest:.2g}"
            lines.append(f"{line} ({reports:,} reports)")
            if not either:
                fault = f"Nothing is stated in the sample of {task}, so nothing was compared: raise --sample"
            elif is_fault(either, both, decisions, largest):
                fault = f"{DECISIONS:.1%} of the decisions must be equal, and {FINDINGS:.0%} of what either states stated by both"
        if fault:
            raise InputError(f"{form} does not answer as the adapter does, and was not written. {'; '.join(lines)}. {fault}")
        return lines
