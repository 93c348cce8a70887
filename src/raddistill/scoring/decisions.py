"""Multiple choice: what each arm decides, from its logits, its lists, or a teacher's labels."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from raddistill import answers, statuses
from raddistill.errors import TableError
from raddistill.labelsets import Label
from raddistill.scoring.labels import Bools, matrix_of
from raddistill.scoring.said import Said
from raddistill.scoring.statistics import Floats
from raddistill.tables.calibration import Calibration


@dataclass(frozen=True)
class Decisions:
    """What one arm decides: `decided` (reports, names); `unparsed` (reports,): no readable answer, scored as empty."""

    reports: list[str]
    decided: Bools
    unparsed: Bools
    probabilities: Floats | None  # (reports, names); None where the arm answers in words

    def of(self, reports: list[str]) -> "Decisions":
        """The same of some reports, in their order."""
        at = {report: row for row, report in enumerate(self.reports)}
        rows = [at[report] for report in reports]
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Decisions(reports, self.decided[rows], self.unparsed[rows], probabilities)

    @property
    def said(self) -> Said:
        """The same in the form that both tasks share."""
        return Said(self.reports, self.decided, np.zeros(len(self.reports), dtype=np.int64), self.unparsed)


def from_labels(labels: pl.DataFrame, reports: list[str], names: list[str]) -> Decisions:
    """A teacher's statuses (Labels rows without `uncertain`, see `policies`). A report without rows is unparsed."""
    matrix = matrix_of(labels, reports, names, pl.col("status").cast(pl.String))
    return Decisions(reports, matrix == statuses.PRESENT, (matrix == "").all(axis=1), None)


def from_answers(predictions: pl.DataFrame, label_set: list[Label]) -> Decisions:
    """Lists of label names (Predictions rows of one task and arm with answers)."""
    rows = predictions.sort("report_id")
    reports = rows["report_id"].to_list()
    read = [None if answer is None else answers.parse_list(answer, label_set) for answer in rows["answer"]]
    decided = [[label.name in (names or []) for label in label_set] for names in read]
    return Decisions(reports, np.array(decided, dtype=bool), np.array([names is None for names in read]), None)


def from_logits(
    predictions: pl.DataFrame, probabilities: pl.DataFrame, names: list[str], calibration: Calibration | None
) -> Decisions:
    """Logits of yes and no (Probabilities rows of one task and arm) of the reports asked (Predictions rows).

    Present where sigmoid((yes - no) / temperature) reaches the label's threshold; without calibration 1 and 0.5. Of a report read
    in parts, the part with the largest difference counts for each label: a finding that is stated once is stated.

    Raises:
        TableError: an asked report, or a part of it, lacks a logit; a label lacks a threshold.
    """
    reports = sorted(predictions["report_id"])
    logits = _differences(probabilities, reports, names)
    if lacking := int(np.isnan(logits).any(axis=1).sum()):
        raise TableError(f"{lacking} of {len(reports)} asked reports lack a logit of yes or no; `dvc repro predict` asks again")
    if calibration and (unknown := [name for name in names if name not in calibration.labels]):
        raise TableError(f"models/calibration.json has no threshold for {', '.join(unknown)}; run `dvc repro calibrate`")
    temperature = calibration.temperature if calibration else 1.0
    thresholds = np.array([calibration.labels[name].threshold if calibration else 0.5 for name in names])
    chances = 1 / (1 + np.exp(-np.clip(logits / temperature, -500, 500)))
    return Decisions(reports, chances >= thresholds, np.zeros(len(reports), dtype=bool), chances)


def _differences(probabilities: pl.DataFrame, reports: list[str], names: list[str]) -> Floats:
    """The largest logit of yes less that of no over a report's parts, (reports, names); nan where one of the parts lacks any."""
    rows = probabilities.filter(pl.col("label").is_in(names) & pl.col("report_id").is_in(reports))
    yes, no = (pl.col("logit").filter(pl.col("answer") == answer).first() for answer in ("yes", "no"))
    parts = rows.group_by("report_id", "part", "label").agg(difference=yes - no)
    held = parts.group_by("report_id", "part").agg(labels=pl.col("difference").count())
    torn = held.filter(pl.col("labels") < len(names))["report_id"].unique()
    whole = parts.filter(~pl.col("report_id").is_in(torn.implode()))
    matrix = np.full((len(reports), len(names)), np.nan)
    report_at = {report: row for row, report in enumerate(reports)}
    name_at = {name: column for column, name in enumerate(names)}
    for report, name, largest in whole.group_by("report_id", "label").agg(pl.col("difference").max()).iter_rows():
        matrix[report_at[report], name_at[name]] = largest
    return matrix
