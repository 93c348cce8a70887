"""Scores of the multiple-choice task: every arm against the labels that people gave."""

import numpy as np
import polars as pl

from raddistill.labelsets import Label
from raddistill.scoring import curves, decisions, labels, policies
from raddistill.scoring.decisions import Decisions
from raddistill.scoring.said import judge
from raddistill.scoring.scope import Scope, TaskScores
from raddistill.tables.calibration import Calibration

TASK = "multiple_choice"


def score(
    scope: Scope,
    *,
    gold: pl.DataFrame,
    teachers: dict[str, pl.DataFrame],
    outcomes: pl.DataFrame,
    predictions: dict[str, pl.DataFrame],
    probabilities: dict[str, pl.DataFrame],
    calibration: Calibration,
    label_set: list[Label],
) -> TaskScores:
    """Metrics, plot rows and decisions; `teachers` are Labels rows (see `policies.arms`), `outcomes` the teacher's, of one task.

    `predictions` and `probabilities` by arm; they and the labels may hold other tasks.
    """
    names = [label.name for label in label_set]
    truth = labels.truth(gold, TASK, names)
    arms = {
        arm: _decide(arm, asked.filter(pl.col("task") == TASK), probabilities[arm], calibration, label_set)
        for arm, asked in predictions.items()
    }
    reports = scope.scored(arms["student"].reports, truth.reports)
    given = scope.given(outcomes, arms["student"].reports)
    for arm, rows in _teachers(teachers, calibration).items():
        arms[arm] = decisions.from_labels(rows, given, names)
    kept = {arm: decided.of(sorted(set(reports) & set(decided.reports))) for arm, decided in arms.items()}
    every = np.ones(len(names), dtype=bool)
    judged = {arm: judge(truth, scope.groups, decided.said, every) for arm, decided in kept.items()}
    scores = scope.compare(TASK, judged, truth.present.sum(axis=0) >= scope.p.macro_min_positives, named=every)
    scope.add_unseen(scores, judged)
    scores.decisions = scope.rows_of(TASK, {arm: decided.said for arm, decided in arms.items()}, names)
    for arm, decided in kept.items():
        if decided.probabilities is not None and decided.reports:
            scores.precision_recall += curves.precision_recall(arm, judged[arm].truth, decided.probabilities)
            scores.reliability += curves.reliability(arm, judged[arm].truth, decided.probabilities)
    return scores


def _teachers(teachers: dict[str, pl.DataFrame], calibration: Calibration) -> dict[str, pl.DataFrame]:
    """Labels by arm; where a gold budget was spent, also the teacher as it told: the teacher's share of the budget."""
    arms = policies.arms(teachers, TASK)
    if calibration.against == "gold":
        told = {name: label.teacher_uncertain_is_present for name, label in calibration.labels.items()}
        arms[policies.BUDGET] = policies.by_label(teachers["teacher"].filter(pl.col("task") == TASK), told)
    return arms


def _decide(
    arm: str, asked: pl.DataFrame, probabilities: pl.DataFrame, calibration: Calibration, label_set: list[Label]
) -> Decisions:
    """Only the student is calibrated; an arm that answered in words is read from them."""
    if asked["answer"].is_not_null().any():
        return decisions.from_answers(asked, label_set)
    logits = probabilities.filter(pl.col("task") == TASK)
    return decisions.from_logits(asked, logits, [label.name for label in label_set], calibration if arm == "student" else None)
