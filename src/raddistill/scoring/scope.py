"""Which reports are scored, and how arms stand beside each other: alike for both tasks."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from raddistill import statuses
from raddistill.errors import TableError
from raddistill.params import Section
from raddistill.scoring import measures
from raddistill.scoring.curves import Rows
from raddistill.scoring.labels import Bools
from raddistill.scoring.measures import Figures, Judged
from raddistill.scoring.neighbours import has_near_neighbour
from raddistill.tables.outcomes import NOT_IN_FILE

ARMS = ["student", "teacher", "linear", "base"]


class ScoreParams(Section):
    """How arms are scored."""

    seed: int
    bootstrap: int  # resamples
    uncertain: Literal["present", "absent"]
    near_duplicate: float  # token Jaccard
    macro_min_positives: int
    concept_macro_min_positives: int


@dataclass
class TaskScores:
    """One task's part of the metrics file, and rows for its plots."""

    metrics: dict[str, Any]
    per_label: Rows = field(default_factory=list)
    precision_recall: Rows = field(default_factory=list)
    reliability: Rows = field(default_factory=list)


@dataclass(frozen=True)
class Scope:
    """The split that is scored: texts and text groups of its reports by id, and what the student was trained on."""

    p: ScoreParams
    texts: dict[str, str]
    groups: dict[str, str]
    training: list[str]  # texts of the training reports
    left_out: frozenset[str]  # the gold budget of a calibration: spent, so never scored

    @property
    def other_uncertain(self) -> str:
        return statuses.ABSENT if self.p.uncertain == statuses.PRESENT else statuses.PRESENT

    def scored(self, asked: list[str], annotated: list[str]) -> list[str]:
        """The reports that the student was asked, people annotated, and no budget spent; sorted."""
        self.texts_of(asked)
        return sorted(set(asked) & set(annotated) - self.left_out)

    def texts_of(self, reports: list[str]) -> dict[str, str]:
        """Raises TableError for a report that is not in the split."""
        if strange := len(set(reports) - set(self.texts)):
            raise TableError(f"{strange} predicted reports are not in the split that is scored; `dvc repro` predicts anew")
        return {report: self.texts[report] for report in reports}

    def groups_of(self, reports: list[str]) -> list[str]:
        return [self.groups[report] for report in reports]

    def given(self, outcomes: pl.DataFrame, reports: list[str]) -> list[str]:
        """Those of the reports that the teacher of `outcomes` (a task's rows) was given: all but what its file does not hold."""
        never = set(outcomes.filter(pl.col("reason") == NOT_IN_FILE)["report_id"])
        return [report for report in reports if report not in never]

    def compare(self, task: str, judged: dict[str, Judged], macro: Bools, named: Bools) -> TaskScores:
        """The figures of each arm that was asked any of the scored reports, gains, and a row per arm and name of `named`."""
        student, teacher = judged["student"], judged["teacher"]
        reports = student.truth.reports
        budget = len(self.left_out)
        scores = TaskScores({"reports": len(reports), "positives": int(student.truth.present.sum()), "gold_budget": budget})
        if not reports:
            return scores
        draws = self.p.bootstrap, self.p.seed
        beside_teacher = _beside(student, teacher)
        p_values = measures.mcnemar_by_name(beside_teacher, teacher) if teacher.truth.reports else {}
        for arm in ARMS:
            if arm in judged and judged[arm].truth.reports:
                scores.metrics[arm] = measures.figures(judged[arm], macro, *draws)
                for row in measures.by_name(judged[arm], named, *draws):
                    p = {"mcnemar_p": p_values[str(row["label"])]} if arm == "student" and p_values else {}
                    scores.per_label.append({"task": task, "arm": arm, **row, **p})
        if "teacher" in scores.metrics:
            scores.metrics["gain"] = measures.gain(beside_teacher, teacher, *draws)
        if "linear" in scores.metrics:
            linear = judged["linear"]
            scores.metrics["gain_over_linear"] = measures.gain(_beside(student, linear), linear, *draws)
        scores.metrics["unseen"] = self._unseen(student, teacher)
        return scores

    def _unseen(self, student: Judged, teacher: Judged) -> Figures:
        """Student and teacher, each on those of its reports that have no near neighbour among the training texts."""
        texts = [self.texts[report] for report in student.truth.reports]
        unseen = ~has_near_neighbour(texts, self.training, self.p.near_duplicate)
        of_teacher = unseen[_shared(student, teacher)]
        figures: Figures = {
            "reports": int(unseen.sum()),
            "student_micro_f1": measures.micro_f1(student.of(unseen)),
            "teacher_micro_f1": measures.micro_f1(teacher.of(of_teacher)),
        }
        return figures | ({"teacher_reports": int(of_teacher.sum())} if len(of_teacher) < len(unseen) else {})


def _shared(student: Judged, other: Judged) -> Bools:
    """(reports of the student,): whether the other arm, which has some of them in the same order, has it, too."""
    theirs = set(other.truth.reports)
    return np.array([report in theirs for report in student.truth.reports], dtype=bool)


def _beside(student: Judged, other: Judged) -> Judged:
    return student.of(_shared(student, other))
