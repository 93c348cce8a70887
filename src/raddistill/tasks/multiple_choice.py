"""Multiple choice: which labels of the label set does the report state?"""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from raddistill import answer_format
from raddistill.labelsets import Label
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.tasks.task import Annotation, Classes, ExampleAnswer, TargetRule, Task, TaskParams


class ChoiceParams(TaskParams):
    """The block merge.multiple_choice of params.yaml."""

    answers: Literal["head", "slots", "list"]
    blanked: float = Field(ge=0, le=1)

    @property
    def blanked_share(self) -> float:
        return self.blanked

    @model_validator(mode="after")
    def _lists_are_of_reports(self) -> Self:
        if self.answers == "list" and self.units == "sentences":
            raise ValueError("answers: list needs whole reports; set units: reports")
        return self


class MultipleChoice(Task):
    """Its answer forms are head, slots and list."""

    name = MULTIPLE_CHOICE
    nothing: ClassVar = {"list": answer_format.NORMAL}
    has_logits = True

    def answer(self, form: str, annotation: Annotation, text: str, labels: list[Label], rule: TargetRule) -> ExampleAnswer:
        """Returns a target per label (head, slots), or the names of the labels with a target above 0.5 (list)."""
        strongest = annotation.strongest()
        if form == "list":
            names = [label.name for label in labels if label.name in strongest and rule.is_listed(*strongest[label.name])]
            return ExampleAnswer(answer_format.render_list(names), None, None, annotation.stated())
        # whole report: a label without a row is unknown; part of a report: a label without a mention is absent
        missing = None if annotation.labels else 0.0
        targets = [rule.target(*strongest[label.name]) if label.name in strongest else missing for label in labels]
        return ExampleAnswer(answer_format.render_slots(labels) if form == "slots" else "", targets, None, annotation.stated())

    def classes(self, examples: pl.DataFrame, labels: list[Label]) -> Classes:
        """Returns the labels of the label set; truth from their targets, or from the names in the list."""
        names = [label.name for label in labels]
        if examples["targets"][0] is not None:
            return Classes(names, examples["targets"].to_list())
        listed = [answer_format.parse_list(completion, labels) or [] for completion in examples["completion"]]
        return Classes(names, [[float(name in found) for name in names] for found in listed])

    def write(self, names: Sequence[str]) -> str:
        """Returns the names, separated by commas, or "Normal"."""
        return answer_format.render_list(names)
