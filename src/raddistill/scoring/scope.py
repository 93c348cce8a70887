"""Which reports are scored, and how arms stand beside each other: alike for both tasks."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from raddistill.errors import TableError
from raddistill.near_duplicates import has_near_duplicate
from raddistill.params import Section
from raddistill.scoring import measures, policies, said
from raddistill.scoring.curves import Rows
from raddistill.scoring.labels import Bools
from raddistill.scoring.measures import Figures, Judged
from raddistill.scoring.said import Said
from raddistill.tables.outcomes import UNKNOWN_BY_FILE

ARMS = ["student", "teacher", "teacher_whole", "linear", "base"]
GAINS = {  # the student's over each
    "gain": "teacher",
    "gain_over_graded": "teacher_graded",
    "gain_over_teacher_whole": "teacher_whole",
    "gain_over_linear": "linear",
}


class ScoreParams(Section):
    """How arms are scored."""

    seed: int
    bootstrap: int  # resamples
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
    chosen: dict[str, str] = field(default_factory=dict)  # teacher to the arm that it is compared as
    decisions: list[pl.DataFrame] = field(default_factory=list)


@dataclass(frozen=True)
class Scope:
    """The split that is scored: texts and text groups of its reports by id, and what the student was trained on."""

    p: ScoreParams
    texts: dict[str, str]
    groups: dict[str, str]
    training: list[str]  # texts of the training reports
    left_out: frozenset[str]  # the gold budget of a calibration: spent, so never scored

    def scored(self, asked: list[str], annotated: list[str]) -> list[str]:
        """The reports that the student was asked, people annotated, and no budget spent; sorted."""
        self.texts_of(asked)
        return sorted(set(asked) & set(annotated) - self.left_out)

    def texts_of(self, reports: list[str]) -> dict[str, str]:
        """Raises TableError for a report that is not in the split."""
        if strange := len(set(reports) - set(self.texts)):
            raise TableError(f"{strange} predicted reports are not in the split that is scored; `dvc repro` predicts anew")
        return {report: self.texts[report] for report in reports}

    def rows_of(self, task: str, arms: dict[str, Said], names: list[str]) -> list[pl.DataFrame]:
        """Rows of the table `Decisions`: all arms, on the reports that the student was asked."""
        asked = arms["student"].reports
        return [said.to_rows(task, arm, each.of(asked), names, self.groups) for arm, each in arms.items()]

    def given(self, outcomes: pl.DataFrame, reports: list[str]) -> list[str]:
        """Those of the reports that the teacher of `outcomes` (a task's rows) was given: all but what its file does not hold, or
        holds in two ways."""
        never = set(outcomes.filter(pl.col("reason").is_in(UNKNOWN_BY_FILE))["report_id"])
        return [report for report in reports if report not in never]

    def compare(self, task: str, judged: dict[str, Judged], macro: Bools, named: Bools) -> TaskScores:
        """The figures of each arm that was asked any of the scored reports, gains, and a row per arm and name of `named`.

        A teacher comes as an arm for each policy (see `policies`) and is compared as the chosen one.
        """
        student = judged["student"]
        reports, draws = student.truth.reports, (self.p.bootstrap, self.p.seed)
        positives = int(student.truth.present.sum())
        scores = TaskScores({"reports": len(reports), "positives": positives, "gold_budget": len(self.left_out)})
        if not reports:
            return scores
        scores.chosen = policies.chosen(judged)
        p_values = self._p_values(student, judged.get(scores.chosen.get("teacher", "")))
        for arm in ARMS:
            as_arm = scores.chosen.get(arm, arm)
            if as_arm not in judged or not judged[as_arm].truth.reports:
                continue
            scores.metrics[arm] = measures.figures(judged[as_arm], macro, *draws)
            if arm in scores.chosen:
                scores.metrics[arm] |= policies.figures(judged, arm, as_arm)
            for row in measures.by_name(judged[as_arm], named, *draws):
                p = {"mcnemar_p": p_values[str(row["label"])]} if arm == "student" and p_values else {}
                scores.per_label.append({"task": task, "arm": arm, **row, **p})
        for key, other in GAINS.items():
            theirs = judged.get(scores.chosen.get(other, other))
            if theirs is not None and theirs.truth.reports:
                scores.metrics[key] = measures.gain(_beside(student, theirs), theirs, *draws)
        return scores

    def _p_values(self, student: Judged, teacher: Judged | None) -> dict[str, float]:
        if teacher is None or not teacher.truth.reports:
            return {}
        return measures.mcnemar_by_name(_beside(student, teacher), teacher)

    def add_unseen(self, scores: TaskScores, judged: dict[str, Judged]) -> None:
        """Adds student and teacher, each on those of its reports that have no near neighbour among the training texts."""
        if scores.chosen:
            scores.metrics["unseen"] = self._unseen(judged["student"], judged[scores.chosen["teacher"]])

    def _unseen(self, student: Judged, teacher: Judged) -> Figures:
        texts = [self.texts[report] for report in student.truth.reports]
        unseen = ~has_near_duplicate(texts, self.training, self.p.near_duplicate)
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
