"""Scores of the multiple-choice task: every arm against the labels that people gave."""

import numpy as np
import polars as pl

from raddistill import statuses
from raddistill.labelsets import Label
from raddistill.scoring import curves, decisions, labels, measures
from raddistill.scoring.decisions import Decisions
from raddistill.scoring.measures import Judged
from raddistill.scoring.scope import Scope, TaskScores
from raddistill.tables.calibration import Calibration

TASK = "multiple_choice"


def score(
    scope: Scope,
    *,
    gold: pl.DataFrame,
    teacher: pl.DataFrame,
    outcomes: pl.DataFrame,
    predictions: dict[str, pl.DataFrame],
    probabilities: dict[str, pl.DataFrame],
    calibration: Calibration,
    label_set: list[Label],
) -> TaskScores:
    """Metrics and plot rows; `teacher` are Labels rows, `outcomes` the teacher's, `predictions` and `probabilities` by arm.

    All but `outcomes` may hold other tasks.
    """
    names = [label.name for label in label_set]
    truth = labels.truth(gold, TASK, names, scope.p.uncertain)
    arms = {
        arm: _decide(arm, asked.filter(pl.col("task") == TASK), probabilities[arm], calibration, label_set)
        for arm, asked in predictions.items()
    }
    reports = scope.scored(arms["student"].reports, truth.reports)
    policy = _uncertain(names, calibration, scope.p.uncertain)
    teacher, given = teacher.filter(pl.col("task") == TASK), scope.given(outcomes, reports)
    arms["teacher"] = decisions.from_labels(teacher, given, names, policy)
    kept = {arm: decided.of(sorted(set(reports) & set(decided.reports))) for arm, decided in arms.items()}
    judged = {arm: _judge(scope, truth, decided) for arm, decided in kept.items()}
    macro = truth.present.sum(axis=0) >= scope.p.macro_min_positives
    scores = scope.compare(TASK, judged, macro, named=np.ones(len(names), dtype=bool))
    if given:
        other = dict.fromkeys(names, scope.other_uncertain)
        as_other = _judge(scope, truth, decisions.from_labels(teacher, given, names, other))
        scores.metrics["teacher"][f"uncertain_{scope.other_uncertain}_micro_f1"] = measures.micro_f1(as_other)
    for arm, decided in kept.items():
        if decided.probabilities is not None and decided.reports:
            scores.precision_recall += curves.precision_recall(arm, judged[arm].truth, decided.probabilities)
            scores.reliability += curves.reliability(arm, judged[arm].truth, decided.probabilities)
    return scores


def _decide(
    arm: str, asked: pl.DataFrame, probabilities: pl.DataFrame, calibration: Calibration, label_set: list[Label]
) -> Decisions:
    """Only the student is calibrated; an arm that answered in words is read from them."""
    if asked["answer"].is_not_null().any():
        return decisions.from_answers(asked, label_set)
    logits = probabilities.filter(pl.col("task") == TASK)
    return decisions.from_logits(asked, logits, [label.name for label in label_set], calibration if arm == "student" else None)


def _uncertain(names: list[str], calibration: Calibration, policy: str) -> dict[str, str]:
    """What the teacher's `uncertain` counts as: the policy, or its own share of a gold budget where one was spent."""
    if calibration.against != "gold":
        return dict.fromkeys(names, policy)
    return {
        name: statuses.PRESENT if calibration.labels[name].teacher_uncertain_is_present else statuses.ABSENT for name in names
    }


def _judge(scope: Scope, truth: labels.Truth, decided: Decisions) -> Judged:
    own = truth.of(decided.reports)
    none = np.zeros(len(decided.reports), dtype=np.int64)
    return Judged(own, own.normal, scope.groups_of(decided.reports), decided.decided, none, decided.unparsed)
