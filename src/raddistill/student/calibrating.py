"""Temperature and per-label thresholds for the student's validation logits. Takes seconds on a CPU.

By default they are chosen against the teacher's labels. With calibrate.against: gold, a stated number of annotated validation
reports is used; their ids are stored, and no validation score uses them. The teacher gets the same reports to decide whether its
`uncertain` counts as present.
"""

import hashlib
from typing import Any, Literal

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from raddistill import statuses
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.tables.calibration import Calibration, LabelCalibration
from raddistill.tables.examples import Examples
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.predictions import Probabilities
from raddistill.tasks.names import MULTIPLE_CHOICE

MIN_POSITIVES = 30  # a label with fewer gets the threshold of all labels together, as its own would be fitted to noise
GRID = np.round(np.arange(0.1, 0.91, 0.05), 2)


class CalibrateParams(Section):
    """What the student's thresholds are chosen against."""

    against: Literal["teacher", "gold"]
    gold_reports: int = Field(ge=0)  # the gold budget
    spend: Literal["hash", "disagreements"]  # which annotated reports are used


def calibrate(
    p: CalibrateParams,
    probabilities: dy.DataFrame[Probabilities],
    examples: dy.DataFrame[Examples],
    labels: dy.DataFrame[Labels],
    gold: dy.DataFrame[Gold],
    label_set: list[Label],
) -> Calibration:
    """Returns the calibration of the multiple-choice logits; without logits (`list` answers) it has no labels.

    Against the teacher, logits are compared with the targets of the same parts. So only what is trained on counts: not a masked
    label, and not a section that the teacher did not read.

    Raises:
        ParamsError: `against: gold` without `gold_reports`, or the reverse.
        InputError: the validation split has too few annotated reports, or no part that the teacher labelled.
    """
    if (p.against == "gold") != (p.gold_reports > 0):
        raise ParamsError("calibrate: `against: gold` and `gold_reports` above 0 go together")
    if probabilities.is_empty():
        return Calibration(temperature=1.0, against=p.against, reports=0, budget=[], labels={})
    keys = ["report_id", "part", "label"]
    odds = probabilities.pivot(on="answer", index=keys, values="logit").select(*keys, odds=pl.col("yes") - pl.col("no"))
    if p.against == "gold":
        cells, budget = _compare_with_gold(p, odds, labels, gold)
    else:
        cells, budget = _compare_with_targets(odds, examples, [label.name for label in label_set]), []
    temperature = fit_temperature(cells["odds"].to_numpy(), cells["truth"].to_numpy())
    cells = cells.with_columns(probability=pl.Series(1 / (1 + np.exp(-cells["odds"].to_numpy() / temperature))))
    threshold, names = best_threshold(cells, otherwise=0.5), sorted(probabilities["label"].unique())
    return Calibration(
        temperature=round(temperature, 4),
        against=p.against,
        reports=cells["report_id"].n_unique(),
        budget=budget,
        labels={name: _calibrate_label(cells.filter(pl.col("label") == name), threshold) for name in names},
    )


def _calibrate_label(cells: pl.DataFrame, of_all_labels: float) -> LabelCalibration:
    """A teacher's `uncertain` counts as present if at least half of its hedged cells are present, or if it has none."""
    hedged = cells.filter(pl.col("teacher") == statuses.UNCERTAIN)["truth"]
    return LabelCalibration(
        threshold=best_threshold(cells, of_all_labels),
        teacher_uncertain_is_present=hedged.is_empty() or 2 * hedged.sum() >= len(hedged),
    )


def _compare_with_targets(odds: pl.DataFrame, examples: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Log-odds with the targets of the same parts as `truth`, one row per label with a target. `names`: order of the targets."""
    taught = examples.filter((pl.col("task") == MULTIPLE_CHOICE) & pl.col("targets").is_not_null())
    targets = taught.select("report_id", "part", pl.col("targets").alias("target")).explode("target")
    targets = targets.with_columns(label=pl.Series(names * taught.height, dtype=pl.String)).drop_nulls("target")
    cells = odds.join(targets, on=["report_id", "part", "label"], how="inner", validate="1:1")
    if cells.is_empty():
        raise InputError(
            "calibrate: no part that the student was asked about was labelled by the teacher, so no threshold can be chosen;"
            f" set merge.{MULTIPLE_CHOICE}.units: sentences, or spend a gold budget (calibrate.against: gold)"
        )
    return cells.with_columns(truth=pl.col("target") > 0.5, teacher=pl.lit(None, pl.String))


def _compare_with_gold(
    p: CalibrateParams, odds: pl.DataFrame, labels: pl.DataFrame, gold: pl.DataFrame
) -> tuple[pl.DataFrame, list[str]]:
    """Log-odds of the reports of the budget (the highest of their parts) with people's labels as `truth`; and the report ids."""
    of_report = odds.group_by("report_id", "label", maintain_order=True).agg(pl.col("odds").max())
    of_teacher = labels.filter(pl.col("task") == MULTIPLE_CHOICE).select("report_id", "label", teacher="status")
    annotated = gold.filter((pl.col("task") == MULTIPLE_CHOICE) & (pl.col("status") != statuses.EXCLUDED))
    cells = of_report.join(of_teacher, on=["report_id", "label"], how="inner", validate="1:1")
    cells = cells.join(annotated.select("report_id", "label", gold="status"), on=["report_id", "label"], validate="1:1")
    budget = _gold_report_ids(cells, p)
    cells = cells.filter(pl.col("report_id").is_in(budget) & (pl.col("gold") != statuses.AMBIGUOUS))
    return cells.with_columns(truth=pl.col("gold").is_in([statuses.PRESENT, statuses.UNCERTAIN])), budget


def fit_temperature(odds: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """Returns the temperature, 0.25 to 4, that minimises log loss of sigmoid(odds / temperature) (arXiv 1706.04599)."""
    grid = np.geomspace(0.25, 4.0, 161)
    signed = np.where(truth, odds, -odds)
    loss = [np.logaddexp(0, -signed / t).mean() for t in grid]
    return float(grid[int(np.argmin(loss))])


def best_threshold(cells: pl.DataFrame, otherwise: float) -> float:
    """Returns the threshold of GRID with the best F1 (a tie: the one nearest to 0.5); `otherwise` below MIN_POSITIVES.

    `cells` has the columns probability and truth.
    """
    probability, truth = cells["probability"].to_numpy(), cells["truth"].to_numpy()
    if truth.sum() < MIN_POSITIVES:
        return otherwise
    scores = []
    for threshold in GRID:
        present = probability >= threshold
        f1 = 2 * (present & truth).sum() / max(1, present.sum() + truth.sum())
        scores.append((round(float(f1), 9), -abs(float(threshold) - 0.5), float(threshold)))
    return max(scores)[2]


def _gold_report_ids(cells: pl.DataFrame, p: CalibrateParams) -> list[str]:
    """Ids of the budget: the first by hash of the id, or those with the most disagreements of student and teacher."""
    differs = (pl.col("odds") > 0) != (pl.col("teacher") == statuses.PRESENT)
    of_report = dict(cells.group_by("report_id").agg(differs.sum()).iter_rows())
    if len(of_report) < p.gold_reports:
        raise InputError(
            f"calibrate.gold_reports: {p.gold_reports} asked for, validation holds {len(of_report)} annotated and predicted ones"
        )
    first = of_report if p.spend == "disagreements" else dict.fromkeys(of_report, 0)
    ids = sorted(of_report, key=lambda report: (-first[report], hashlib.sha256(report.encode()).hexdigest()))
    return sorted(ids[: p.gold_reports])
