"""Gold and decisions as matrices, reports by names, and what is counted between them.

Both tasks are scored alike: a name is a label of the set or a concept. Ambiguous cells are masked, or taken as absent or as
present; the headline masks them (on Open-i there are more of them than positives, and they forgive over-calling).
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill import statuses
from raddistill.errors import TableError
from raddistill.scoring.statistics import Counts

Bools = npt.NDArray[np.bool_]
Ambiguous = Literal["masked", "absent", "present"]


@dataclass(frozen=True)
class Truth:
    """What people say of the annotated reports: `present` and `ambiguous`, (reports, names); a cell in neither is absent."""

    reports: list[str]
    names: list[str]
    present: Bools
    ambiguous: Bools

    @property
    def normal(self) -> Bools:
        """(reports,): every name is absent."""
        return np.asarray(~(self.present | self.ambiguous).any(axis=1))

    def of(self, reports: list[str]) -> "Truth":
        """The same of some reports, in their order."""
        at = {report: row for row, report in enumerate(self.reports)}
        rows = [at[report] for report in reports]
        return replace(self, reports=reports, present=self.present[rows], ambiguous=self.ambiguous[rows])


def truth(gold: pl.DataFrame, task: str, names: list[str]) -> Truth:
    """The Gold table's reports of a task that are annotated (not excluded), sorted by id.

    An annotator's `uncertain` counts as present: it was coded as something that the report says.

    Raises:
        TableError: more than one annotator; a report without a row for each of the names.
    """
    rows = gold.filter(pl.col("task") == task)
    if rows["annotator"].n_unique() > 1:
        raise TableError(f"the gold of {task} has several annotators: {', '.join(sorted(rows['annotator'].unique()))}; keep one")
    excluded = rows.filter(pl.col("status") == statuses.EXCLUDED)["report_id"].unique()
    rows = rows.filter(~pl.col("report_id").is_in(excluded.implode()))
    reports = sorted(rows["report_id"].unique())
    matrix = matrix_of(rows, reports, names, pl.col("status").cast(pl.String))
    if (missing := int((matrix == "").sum())) > 0:
        raise TableError(f"the gold of {task} lacks {missing} of its cells (reports x names); `dvc repro extract` makes it anew")
    present = (matrix == statuses.PRESENT) | (matrix == statuses.UNCERTAIN)
    return Truth(reports, names, present, matrix == statuses.AMBIGUOUS)


def matrix_of(rows: pl.DataFrame, reports: list[str], names: list[str], value: pl.Expr) -> npt.NDArray[np.str_]:
    """Texts of `value` by report and label of `rows`, "" where there is none; other reports and labels are left out."""
    matrix = np.full((len(reports), len(names)), "", dtype="U16")
    report_at = {report: row for row, report in enumerate(reports)}
    name_at = {name: column for column, name in enumerate(names)}
    for report, name, text in rows.select("report_id", "label", value.alias("value")).iter_rows():
        if report in report_at and name in name_at:
            matrix[report_at[report], name_at[name]] = text
    return matrix


def count(truth: Truth, decided: Bools, ambiguous: Ambiguous = "masked") -> Counts:
    """True positives, false positives, false negatives of each cell, (reports, names, 3)."""
    present = truth.present | truth.ambiguous if ambiguous == "present" else truth.present
    scored = ~truth.ambiguous if ambiguous == "masked" else np.ones_like(truth.ambiguous)
    return np.stack([decided & present, decided & ~present & scored, ~decided & present], axis=-1).astype(np.int64)
