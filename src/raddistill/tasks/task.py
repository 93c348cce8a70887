"""Defines a task: one question about a report, and how a teacher's labels become the answer that a student learns.

`MultipleChoice` and `OpenEnded` are the two tasks; `tasks/registry.py` lists them; the package `scoring` scores them.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import polars as pl
from pydantic import Field

from raddistill import statuses
from raddistill.labelsets import Label
from raddistill.params import Section

Target = float | None  # probability that something is present, as the student learns it; None: not trained on


class TaskParams(Section):
    """A task's block in the section merge of params.yaml: how the student reads reports, and what it is trained on."""

    units: Literal["sentences", "reports"]
    sections: str | list[str]  # what the teacher read, and so what is trained on; prediction always reads the whole report
    examples: int = Field(ge=-1)  # sentences or reports to train on, rare labels first (0: none, -1: all)
    written: int = Field(ge=0)  # further sentences, written by the teacher: number per label or code
    answers: str  # the answer form; each task allows its own

    @property
    def blanked_share(self) -> float:
        """Share of the sentences with a mention that get a copy with some of its words blanked."""
        return 0.0


class AnnotatedMention(NamedTuple):
    """One mention of a label or phrase in a text; `start` and `end` in code points, as in `Evidence`."""

    label: str
    status: str
    probability: float | None
    code: str
    start: int
    end: int

    @property
    def strength(self) -> int:
        """The rank of the status; of several mentions the strongest counts."""
        return statuses.RANKED.index(self.status)


@dataclass(frozen=True)
class Annotation:
    """All that a teacher states of one text: a report, a part of it, or a sentence that the teacher wrote.

    `labels` holds the status, probability and code of each label or phrase of a whole report. It is empty for a part, of which
    only the mentions are known.
    """

    labels: dict[str, tuple[str, float | None, str]]
    mentions: list[AnnotatedMention] = field(default_factory=list)

    @property
    def has_all_places(self) -> bool:
        """Whether every label that is present or uncertain has a mention."""
        placed = {mention.label for mention in self.mentions}
        return all(label in placed or not is_stated(status) for label, (status, *_) in self.labels.items())

    def strongest(self) -> dict[str, tuple[str, float | None]]:
        """Returns status and probability by label: those of the report if known, else those of the strongest mention."""
        if self.labels:
            return {label: (status, probability) for label, (status, probability, _) in self.labels.items()}
        by_label: dict[str, list[AnnotatedMention]] = defaultdict(list)
        for mention in self.mentions:
            by_label[mention.label].append(mention)
        found = {label: max(group, key=lambda m: (m.strength, m.probability or 0.0)) for label, group in by_label.items()}
        return {label: (mention.status, mention.probability) for label, mention in found.items()}

    def stated(self) -> frozenset[str]:
        """Returns the labels that are present or uncertain."""
        return frozenset(label for label, (status, _) in self.strongest().items() if is_stated(status))

    def without(self, labels: frozenset[str]) -> "Annotation":
        """Returns the annotation without some labels and their mentions."""
        left = {label: cells for label, cells in self.labels.items() if label not in labels}
        return Annotation(left, [mention for mention in self.mentions if mention.label not in labels])


class ExampleAnswer(NamedTuple):
    """The answer of an example: the columns completion, targets and spans of `Examples`, and what it states.

    `stated`: labels (multiple choice) or codes (open-ended) that are present or uncertain. Examples with rare
    ones are chosen first.
    """

    completion: str
    targets: list[Target] | None
    spans: list[dict[str, Any]] | None
    stated: frozenset[str]


@dataclass(frozen=True)
class TargetRule:
    """Turns a teacher's status into the target. A probability is used instead if `soft_labels`.

    `uncertain` is merge.uncertain of params.yaml, which is applied only here.
    """

    uncertain: float | Literal["mask"]
    soft_labels: bool

    def target(self, status: str, probability: float | None) -> Target:
        """Returns the probability that the student learns; None if the label is not trained on."""
        if self.soft_labels and probability is not None:
            return probability
        if status == statuses.UNCERTAIN:
            return None if self.uncertain == "mask" else self.uncertain
        return float(status == statuses.PRESENT)

    def is_listed(self, status: str, probability: float | None) -> bool:
        """Returns whether an answer in words lists the label. Words cannot leave a label open, so a masked one is not listed."""
        return (self.target(status, probability) or 0.0) > 0.5


class Classes(NamedTuple):
    """The classes that a classifier of a task learns.

    `truth` has shape (examples, classes): above 0.5 means present, None is not trained on.
    """

    names: Sequence[Any]
    truth: list[list[Target]]


class Task(ABC):
    """One question about a report."""

    name: ClassVar[str]
    nothing: ClassVar[Mapping[str, str]]  # answer form in words -> the answer if the report states nothing
    has_logits: ClassVar[bool]  # True: a classifier gives a logit per class; False: it writes the classes that it finds

    @abstractmethod
    def answer(self, form: str, annotation: Annotation, text: str, labels: list[Label], rule: TargetRule) -> ExampleAnswer:
        """Returns the answer about `text` that the student learns, in one of the task's answer forms."""

    @abstractmethod
    def classes(self, examples: pl.DataFrame, labels: list[Label]) -> Classes:
        """Returns the classes of training rows of `Examples`."""

    @abstractmethod
    def write(self, names: Sequence[Any]) -> str:
        """Returns the answer in words that lists these classes."""


def is_stated(status: str) -> bool:
    """Whether a status is present or uncertain."""
    return status in (statuses.PRESENT, statuses.UNCERTAIN)
