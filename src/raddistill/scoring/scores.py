"""Reads the tables of a split, and scores all arms on it against people's annotations: the metrics file, and data of its plots.

Scored are the annotated reports that the student was asked about. Every other arm is scored on those of them that it was asked
about, and states how many. A report that a teacher could not label counts as empty; one that is not in its file is left out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from raddistill import params, paths
from raddistill.concepts import Concept, load_concepts
from raddistill.errors import TableError
from raddistill.labelsets import Label, LabelSetParams, load_labels
from raddistill.near_duplicates import has_near_duplicate
from raddistill.scoring import metrics
from raddistill.scoring.arms import ARMS, BUDGET, TEACHERS
from raddistill.scoring.comparison import Comparison, compare, labels_by_policy, resolve
from raddistill.scoring.metrics import Figures, Rows, ScoreParams, micro_f1
from raddistill.scoring.multiple_choice import MultipleChoice
from raddistill.scoring.open_ended import OpenEnded
from raddistill.scoring.scorer_lexicon import load_lexicon
from raddistill.scoring.truth import ArmDecisions, read_truth, to_table
from raddistill.tables import base as tables
from raddistill.tables import calibration
from raddistill.tables.calibration import Calibration
from raddistill.tables.examples import Examples
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import UNKNOWN_BY_FILE, Outcomes
from raddistill.tables.predictions import ArmTables
from raddistill.tables.reports import Reports
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED, TASKS

__all__ = ["Inputs", "ScoreParams", "Scored", "TeacherTables", "read_inputs", "score"]

DIGITS = 4  # of every rate; more would only make diffs noisy
PER_LABEL = ["task", "arm", "label", "positives", "f1", "low", "high", "precision", "recall", "mcnemar_p"]
PRECISION_RECALL = ["arm", "kind", "threshold", "precision", "recall"]
RELIABILITY = ["arm", "predicted", "observed", "cells"]
_TEXTS = ["task", "arm", "label", "kind"]
Scorer = MultipleChoice | OpenEnded  # turns the answers of its task into decisions


@dataclass(frozen=True)
class TeacherTables:
    """The labels of a teacher for one task."""

    labels: dy.DataFrame[Labels]
    whole_labels: dy.DataFrame[Labels]  # of the whole report, if the teacher reads only a part of it; else empty
    outcomes: dy.DataFrame[Outcomes]


@dataclass(frozen=True)
class Inputs:
    """Everything that the scores of a split are computed from."""

    split: str
    reports: dy.DataFrame[Reports]
    gold: dy.DataFrame[Gold]
    examples: dy.DataFrame[Examples]
    arms: dict[str, ArmTables]
    teachers: dict[str, TeacherTables]  # by task
    calibration: Calibration
    label_set: list[Label]
    concepts: list[Concept]
    lexicon: Path  # of the scorer

    def split_column(self, column: str) -> dict[str, str]:
        """Returns a column of the split's reports by report id."""
        return dict(self.reports.filter(pl.col("split").cast(pl.String) == self.split).select("report_id", column).iter_rows())


@dataclass(frozen=True)
class Scored:
    """The scores of a split.

    `metrics`: content of the metrics file, numbers only. Then three tables of aggregates for `dvc plots`, and rows of
    `Decisions`.
    """

    split: str
    metrics: dict[str, Any]
    per_label: pl.DataFrame
    precision_recall: pl.DataFrame
    reliability: pl.DataFrame
    decisions: pl.DataFrame


def read_inputs(split: str, arms: list[str]) -> Inputs:
    """Reads the tables from the stages' outputs. `arms`: the models that predicted the split.

    Raises:
        InputError, TableError: a file is missing or breaks its schema.
    """
    return Inputs(
        split,
        reports=tables.read(Reports, paths.REPORTS),
        gold=tables.read(Gold, paths.GOLD),
        examples=tables.read(Examples, paths.EXAMPLES),
        arms={arm: tables.read_record(ArmTables, paths.tables_of(ArmTables, f"{arm}_{split}")) for arm in arms},
        teachers=tables.read_records(TeacherTables, paths.tables_by_key(TeacherTables, TASKS)),
        calibration=calibration.load(paths.CALIBRATION),
        label_set=load_labels(params.load("label_set", LabelSetParams).path),
        concepts=load_concepts(paths.CONCEPTS),
        lexicon=paths.SCORER_LEXICON,
    )


def score(p: ScoreParams, given: Inputs) -> Scored:
    """Scores every arm on a split, for both tasks.

    Raises:
        InputError: the scorer's lexicon is missing or names unknown concepts.
        TableError: the tables do not fit together (gold incomplete, logits missing, reports of another split).
    """
    found: dict[str, Comparison] = {}
    decisions = []
    scorers: dict[str, Scorer] = {
        MULTIPLE_CHOICE: MultipleChoice(p, given.label_set, given.calibration),
        OPEN_ENDED: OpenEnded(p, given.concepts, load_lexicon(given.lexicon, given.concepts)),
    }
    for task, scorer in scorers.items():
        found[task], rows = _score_task(p, task, scorer, given)
        decisions += rows
    per_label = [{"task": task, **row} for task, comparison in found.items() for row in comparison.per_label]
    precision_recall = [row for comparison in found.values() for row in comparison.precision_recall]
    reliability = [row for comparison in found.values() for row in comparison.reliability]
    frames = _frame(per_label, PER_LABEL), _frame(precision_recall, PRECISION_RECALL), _frame(reliability, RELIABILITY)
    return Scored(given.split, {task: tidy(each.metrics) for task, each in found.items()}, *frames, pl.concat(decisions))


def _score_task(p: ScoreParams, task: str, scorer: Scorer, given: Inputs) -> tuple[Comparison, list[pl.DataFrame]]:
    """One task's comparison, and each arm's rows of `Decisions` on the reports that the student was asked about."""
    texts, text_groups = given.split_column("text"), given.split_column("text_group")
    truth = read_truth(given.gold, task, scorer.names.names)
    arms = _read_arms(task, scorer, given, texts)
    asked = arms["student"].reports
    arms |= _read_teacher(scorer, given.teachers[task], {report: texts[report] for report in asked})
    found = compare(p, truth, arms, text_groups, scorer.names, frozenset(given.calibration.budget))
    if "teacher" in found.compared_as:
        found.metrics["unseen"] = _score_unseen(p, found, given, texts)
    if isinstance(scorer, MultipleChoice):
        _add_curves(found, arms)
    else:
        for arm in (arm.name for arm in ARMS if arm.name in found.metrics):
            as_arm = found.compared_as.get(arm, arm)
            judged = found.judged[as_arm]
            found.metrics[arm] |= scorer.own_figures(truth.select(judged.reports), arms[as_arm].select(judged.reports), judged)
    return found, [to_table(task, arm, each.select(asked), scorer.names.names, text_groups) for arm, each in arms.items()]


def _read_arms(task: str, scorer: Scorer, given: Inputs, texts: dict[str, str]) -> dict[str, Any]:
    arms = {}
    for arm, both_tasks in given.arms.items():
        of_task = both_tasks.select(task)
        if strange := len(set(of_task.predictions["report_id"]) - set(texts)):
            raise TableError(f"{strange} predicted reports are not in the split that is scored; `dvc repro` predicts again")
        asked = {report: texts[report] for report in of_task.predictions["report_id"]}
        arms[arm] = scorer.read_predictions(arm, of_task, asked)
    return arms


def _read_teacher(scorer: Scorer, teacher: TeacherTables, texts: dict[str, str]) -> dict[str, Any]:
    """The teacher's decisions by sub-arm, about the reports of `texts` that are in its file."""
    unknown = set(teacher.outcomes.filter(pl.col("reason").is_in(UNKNOWN_BY_FILE))["report_id"])
    known = {report: text for report, text in texts.items() if report not in unknown}
    answered = set(teacher.outcomes.filter(pl.col("outcome") == "labelled")["report_id"])
    labels = labels_by_policy("teacher", teacher.labels)
    if isinstance(scorer, MultipleChoice) and scorer.uncertain_as_present is not None:
        labels[BUDGET] = resolve(teacher.labels, pl.col("label").is_in(scorer.uncertain_as_present))
    arms = {arm: scorer.read_labels(rows, known, answered) for arm, rows in labels.items()}
    if teacher.whole_labels.height:
        # A report may lack the section that the teacher reads, but not the whole text.
        whole = labels_by_policy("teacher_whole", teacher.whole_labels)
        arms |= {arm: scorer.read_labels(rows, known, set(known)) for arm, rows in whole.items()}
    return arms


def _score_unseen(p: ScoreParams, found: Comparison, given: Inputs, texts: dict[str, str]) -> Figures:
    """Micro F1 of student and teacher on reports without a near duplicate among the training texts."""
    student, teacher = found.judged["student"], found.judged[found.compared_as["teacher"]]
    # Written sentences belong to no report, so they have no text here.
    is_training = (pl.col("split").cast(pl.String) == "train") & pl.col("selected")
    trained = given.examples.filter(is_training)["report_id"].unique()
    training = given.reports.filter(pl.col("report_id").is_in(trained.implode()))["text"].to_list()
    near = has_near_duplicate([texts[report] for report in student.reports], training, p.near_duplicate)
    unseen = [report for report, is_near in zip(student.reports, near, strict=True) if not is_near]
    ours, theirs = student.select(unseen), teacher.select(unseen)
    figures = {"reports": len(unseen), "student_micro_f1": micro_f1(ours), "teacher_micro_f1": micro_f1(theirs)}
    return figures | ({"teacher_reports": len(theirs.reports)} if len(teacher.reports) < len(student.reports) else {})


def _add_curves(found: Comparison, arms: Mapping[str, ArmDecisions]) -> None:
    """Adds the curves of each arm with probabilities, and the points at which student and teachers are scored."""
    for arm, decisions in arms.items():
        judged = found.judged[arm]
        probabilities = decisions.select(judged.reports).probabilities
        if probabilities is not None and judged.reports:
            curve, bins = metrics.precision_recall(judged, probabilities), metrics.reliability(judged, probabilities)
            found.precision_recall.extend({"arm": arm, "kind": "curve", **row} for row in curve)
            found.reliability.extend({"arm": arm, **row} for row in bins)
    for arm in ("student", *TEACHERS):
        if figures := found.metrics.get(arm):
            point = {"precision": figures["precision"], "recall": figures["recall"]}
            found.precision_recall.append({"arm": arm, "kind": "point", **point})


def tidy(figures: dict[str, Any]) -> dict[str, Any]:
    """Returns the figures rounded, without nan: JSON has no nan, and DVC drops nulls."""
    rounded = {key: tidy(value) if isinstance(value, dict) else value for key, value in figures.items()}
    rounded = {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in rounded.items()}
    return {key: value for key, value in rounded.items() if not (isinstance(value, float) and math.isnan(value))}


def _frame(rows: Rows, columns: list[str]) -> pl.DataFrame:
    schema = {column: pl.String if column in _TEXTS else pl.Float64 for column in columns}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col(pl.Float64).fill_nan(None).round(DIGITS))
