"""All arms on one split against what people say: the metrics file and what its plots are drawn from.

The reports scored are those that the student was asked and people annotated; every other arm is scored on its own share of
them, and states how many. A teacher's share are those that it was given: what it could not label counts as empty, what its file
does not hold is left out. Ambiguous cells are masked in the headline and stand beside as absent and as present.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from raddistill.concepts import Concept
from raddistill.labelsets import Label
from raddistill.scoring import multiple_choice, open_ended
from raddistill.scoring.concepts_of import load_lexicon
from raddistill.scoring.curves import Rows
from raddistill.scoring.policies import TEACHERS
from raddistill.scoring.scope import Scope, ScoreParams, TaskScores
from raddistill.tables.calibration import Calibration

__all__ = ["ScoreParams", "Scored", "score"]

DIGITS = 4  # of every rate: enough for 1 in 10,000, and diffs stay quiet
PER_LABEL = ["task", "arm", "label", "positives", "f1", "low", "high", "precision", "recall", "mcnemar_p"]
PRECISION_RECALL = ["arm", "kind", "threshold", "precision", "recall"]
RELIABILITY = ["arm", "predicted", "observed", "cells"]
_TEXTS = ["task", "arm", "label", "kind"]


@dataclass(frozen=True)
class Scored:
    """`metrics`: the metrics file, numbers only; three small tables, aggregates only, for `dvc plots`; rows of `Decisions`."""

    split: str
    metrics: dict[str, Any]
    per_label: pl.DataFrame
    precision_recall: pl.DataFrame
    reliability: pl.DataFrame
    decisions: pl.DataFrame


def score(
    p: ScoreParams,
    *,
    split: str,
    reports: pl.DataFrame,
    gold: pl.DataFrame,
    labels: dict[str, pl.DataFrame],
    whole_labels: dict[str, pl.DataFrame],
    outcomes: dict[str, pl.DataFrame],
    examples: pl.DataFrame,
    predictions: dict[str, pl.DataFrame],
    probabilities: dict[str, pl.DataFrame],
    calibration: Calibration,
    label_set: list[Label],
    concepts: list[Concept],
    lexicon: Path,
) -> Scored:
    """Scores the arms of `predictions` and the teacher of `labels` and `outcomes` (by task) on a split, both tasks.

    `whole_labels` (by task): the same teacher's of the whole report, where it reads a part of it; else without rows.

    Raises:
        InputError: the scorer's lexicon is missing or names unknown concepts.
        TableError: the tables do not fit each other (gold incomplete, logits missing, reports of another split).
    """
    scope = _scope(p, split, reports, examples, calibration)
    choice = multiple_choice.score(
        scope,
        gold=gold,
        teachers={"teacher": labels["multiple_choice"], "teacher_whole": whole_labels["multiple_choice"]},
        outcomes=outcomes["multiple_choice"],
        predictions=predictions,
        probabilities=probabilities,
        calibration=calibration,
        label_set=label_set,
    )
    choice.precision_recall += [_point(arm, choice) for arm in ("student", *TEACHERS) if arm in choice.metrics]
    found = open_ended.score(
        scope,
        gold=gold,
        teachers={"teacher": labels["open_ended"], "teacher_whole": whole_labels["open_ended"]},
        outcomes=outcomes["open_ended"],
        predictions=predictions,
        concepts=concepts,
        lexicon=load_lexicon(lexicon, concepts),
    )
    return Scored(
        split,
        {"multiple_choice": tidy(choice.metrics), "open_ended": tidy(found.metrics)},
        _frame(choice.per_label + found.per_label, PER_LABEL),
        _frame(choice.precision_recall, PRECISION_RECALL),
        _frame(choice.reliability, RELIABILITY),
        pl.concat(choice.decisions + found.decisions),
    )


def _scope(p: ScoreParams, split: str, reports: pl.DataFrame, examples: pl.DataFrame, calibration: Calibration) -> Scope:
    of_split = reports.filter(pl.col("split").cast(pl.String) == split)
    # Of sentences that the teacher wrote itself no report stands behind, so there is none to be near to.
    trained = examples.filter((pl.col("split").cast(pl.String) == "train") & pl.col("selected"))["report_id"].unique()
    return Scope(
        p,
        texts=dict(of_split.select("report_id", "text").iter_rows()),
        groups=dict(of_split.select("report_id", "text_group").iter_rows()),
        training=reports.filter(pl.col("report_id").is_in(trained.implode()))["text"].to_list(),
        left_out=frozenset(calibration.budget),
    )


def _point(arm: str, choice: TaskScores) -> dict[str, str | float]:
    figures = choice.metrics[arm]
    return {"arm": arm, "kind": "point", "precision": figures["precision"], "recall": figures["recall"]}


def tidy(metrics: dict[str, Any]) -> dict[str, Any]:
    """Rounded; what could not be computed (nan) is left out, as DVC drops nulls and JSON has no nan."""
    rounded = {key: tidy(value) if isinstance(value, dict) else value for key, value in metrics.items()}
    rounded = {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in rounded.items()}
    return {key: value for key, value in rounded.items() if not (isinstance(value, float) and math.isnan(value))}


def _frame(rows: Rows, columns: list[str]) -> pl.DataFrame:
    schema = {column: pl.String if column in _TEXTS else pl.Float64 for column in columns}
    filled = [{column: row.get(column) for column in columns} for row in rows]
    return pl.DataFrame(filled, schema=schema).with_columns(pl.col(pl.Float64).fill_nan(None).round(DIGITS))
