"""Compares the arms of one task on the same reports, alike for both tasks.

A policy says how a teacher's `uncertain` counts, and each policy makes a sub-arm of the teacher. The teacher is compared under
`present` or `absent`, whichever has the higher micro F1 on the scored reports. So the policy cannot explain a gain over it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dataframely as dy
import polars as pl

from raddistill import statuses
from raddistill.scoring import metrics
from raddistill.scoring.arms import ARMS, BUDGET, GAINS, TEACHERS
from raddistill.scoring.metrics import Figures, Judged, Rows, ScoreParams, micro_f1
from raddistill.scoring.truth import ArmDecisions, TaskNames, Truth
from raddistill.tables.labels import Labels

_STATUS = pl.col("status").cast(pl.String)
IS_PRESENT = {  # policy -> whether an `uncertain` counts as present
    "present": pl.lit(True),
    "absent": pl.lit(False),
    "graded": pl.col("probability").fill_null(0.0) > 0.5,
}


@dataclass
class Comparison:
    """One task's part of the metrics file, and rows for its plots."""

    judged: dict[str, Judged]  # by arm and sub-arm
    metrics: dict[str, Any]
    compared_as: dict[str, str] = field(default_factory=dict)  # teacher -> the sub-arm that it is compared as
    per_label: Rows = field(default_factory=list)
    precision_recall: Rows = field(default_factory=list)
    reliability: Rows = field(default_factory=list)

    def find(self, arm: str) -> Judged | None:
        """Returns the decisions of `arm` beside the truth; a teacher's are those of its chosen sub-arm. None without reports."""
        judged = self.judged.get(self.compared_as.get(arm, arm))
        return judged if judged is not None and judged.reports else None


def compare(
    p: ScoreParams,
    truth: Truth,
    arms: Mapping[str, ArmDecisions],
    text_groups: dict[str, str],
    names: TaskNames,
    budget: frozenset[str] = frozenset(),
) -> Comparison:
    """Returns the figures of each arm, the student's gains, and one row per arm and name.

    Scored are the reports that people annotated, that the student was asked about, and that are not in the gold budget. Other
    arms are scored on those of them that they were asked about. `text_groups`: report -> text group.
    """
    reports = sorted(set(arms["student"].reports) & set(truth.reports) - budget)
    judged = {
        arm: metrics.compare_with_truth(truth, decisions.select(reports), text_groups, names.scored)
        for arm, decisions in arms.items()
    }
    student, draws = judged["student"], (p.bootstrap, p.seed)
    sizes = {"reports": len(reports), "positives": int(student.present.sum()), "gold_budget": len(budget)}
    found = Comparison(judged, sizes, choose_policies(judged) if reports else {})
    positives = truth.present[:, names.scored].sum(axis=0)
    teacher = found.find("teacher")
    p_values = metrics.mcnemar_by_name(student.select(teacher.reports), teacher) if teacher else {}
    for arm in (arm.name for arm in ARMS):
        if (of_arm := found.find(arm)) is None:
            continue
        found.metrics[arm] = metrics.figures(of_arm, positives >= names.macro_minimum, *draws)
        if arm in found.compared_as:
            found.metrics[arm] |= _figures_by_policy(found, arm)
        for row in metrics.by_name(of_arm, positives >= names.row_minimum, *draws):
            p_value = {"mcnemar_p": p_values[str(row["label"])]} if arm == "student" and p_values else {}
            found.per_label.append({"arm": arm, **row, **p_value})
    for key, other in GAINS.items():
        if theirs := found.find(other):
            found.metrics[key] = metrics.gain(student.select(theirs.reports), theirs, *draws)
    return found


def labels_by_policy(teacher: str, labels: dy.DataFrame[Labels]) -> dict[str, pl.DataFrame]:
    """Returns a teacher's labels once per policy, by the name of the sub-arm. In each, `uncertain` is decided.

    The policy `graded` is left out if no `uncertain` has a probability.
    """
    graded = labels.filter(_STATUS == statuses.UNCERTAIN)["probability"].is_not_null().any()
    kept = {policy: is_present for policy, is_present in IS_PRESENT.items() if policy != "graded" or graded}
    return {f"{teacher}_{policy}": resolve(labels, is_present) for policy, is_present in kept.items()}


def resolve(labels: pl.DataFrame, is_present: pl.Expr) -> pl.DataFrame:
    """Returns `labels` without `uncertain`: such a row becomes present where `is_present` is true, else absent."""
    decided = pl.when(is_present).then(pl.lit(statuses.PRESENT)).otherwise(pl.lit(statuses.ABSENT))
    return labels.with_columns(status=pl.when(_STATUS == statuses.UNCERTAIN).then(decided).otherwise(_STATUS))


def choose_policies(judged: Mapping[str, Judged]) -> dict[str, str]:
    """Returns, for each teacher, the sub-arm that it is compared as.

    It is `teacher_budget` if a gold budget was spent, else the one with the higher micro F1 (of equals, that with `present`).
    """
    chosen = {}
    for teacher in TEACHERS:
        if f"{teacher}_present" in judged:
            present, absent = (micro_f1(judged[f"{teacher}_{policy}"]) for policy in ("present", "absent"))
            chosen[teacher] = f"{teacher}_{'absent' if absent > present else 'present'}"
    return chosen | ({"teacher": BUDGET} if BUDGET in judged else {})


def _figures_by_policy(found: Comparison, teacher: str) -> Figures:
    """The chosen policy, and micro F1 under each."""
    choice = found.compared_as[teacher]
    chosen: Figures = {} if choice == BUDGET else {"uncertain_is_present": int(choice == f"{teacher}_present")}
    known = {policy: found.judged[arm] for policy in IS_PRESENT if (arm := f"{teacher}_{policy}") in found.judged}
    return chosen | {f"uncertain_{policy}_micro_f1": micro_f1(judged) for policy, judged in known.items()}
