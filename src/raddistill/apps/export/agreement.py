"""Compares an exported model with the adapter it was made of, on reports of the validation split.

The bars are for faults, not for rounding. On 64 reports of the default run, bf16 instead of float32 turned none of 832 decisions
about labels, and 2 of 76 findings; a merge into another base (the unquantised one) turned 5 and 7 (docs/export.md).
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


@dataclass(frozen=True)
class Agreement:
    """How one exported form agrees with the adapter on one task."""

    task: str
    reports: int
    decisions: int  # reports x labels; 0 for the open-ended task, whose findings are not enumerated
    either: int  # of the decisions or findings, those that adapter or export state
    both: int
    largest: float | None  # difference of a label's logit

    @property
    def fault(self) -> str | None:
        """What is wrong; None if the export agrees."""
        if not self.either:
            return "nothing is stated in the sample, so nothing was compared; raise --sample"
        equal = 1 - (self.either - self.both) / self.decisions if self.decisions else 1.0
        if equal < DECISIONS or self.both < FINDINGS * self.either or not math.isfinite(self.largest or 0.0):
            return f"{DECISIONS:.1%} of the decisions must be equal, and {FINDINGS:.0%} of what either states be stated by both"
        return None

    def __str__(self) -> str:
        equal = (
            f", {1 - (self.either - self.both) / self.decisions:.2%} of {self.decisions:,} decisions" if self.decisions else ""
        )
        logits = "" if self.largest is None else f", logits within {self.largest:.2g}"
        return f"{self.task}: {self.both:,} of {self.either:,} stated by both{equal}{logits} ({self.reports:,} reports)"


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

    def compare(self, adapter: Answers, export: Answers, form: str) -> list[Agreement]:
        """Returns the agreement on each task that the export answers.

        Raises:
            InputError: it does not agree. The message has all figures.
        """
        found = []
        for task, other in sorted(export.stated.items()):
            has_logits = task == MULTIPLE_CHOICE and export.logits.height > 0
            one, reports = adapter.stated[task], self.of_tasks([task])["report_id"].n_unique()
            cells = reports * len(self.label_set) if task == MULTIPLE_CHOICE else 0
            largest = float((adapter.logits["logit"] - export.logits["logit"]).abs().max()) if has_logits else None  # type: ignore[arg-type]
            found.append(Agreement(task, reports, cells, len(one | other), len(one & other), largest))
        if faults := [f"{each}. {each.fault}" for each in found if each.fault]:
            raise InputError(f"{form} does not answer as the adapter does, and was not written. {'; '.join(faults)}")
        return found
