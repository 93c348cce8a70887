"""Annotations and decisions as matrices (reports, names). A name is a label of the label set, or a concept."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill import statuses
from raddistill.errors import TableError
from raddistill.scoring.bootstrap import Floats, Ints
from raddistill.tables.decisions import Decisions
from raddistill.tables.gold import Gold

Bools = npt.NDArray[np.bool_]
Cell = tuple[str, str, Any]  # report, name, value


@dataclass(frozen=True)
class ByReport:
    """Base of records about a list of reports: the first axis of every array is that list."""

    reports: list[str]

    def select(self, reports: list[str]) -> Self:
        """Returns the record restricted to `reports`, in that order; unknown reports are ignored."""
        row_of = {report: row for row, report in enumerate(self.reports)}
        kept = [report for report in reports if report in row_of]
        rows = np.array([row_of[report] for report in kept], dtype=np.int64)
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, reports=kept, **arrays)


@dataclass(frozen=True)
class Truth(ByReport):
    """People's annotations. A cell that is neither present nor ambiguous is absent."""

    names: list[str]
    present: Bools  # (reports, names)
    ambiguous: Bools  # (reports, names)

    @property
    def normal(self) -> Bools:
        """(reports,): whether all names are absent."""
        return np.asarray(~(self.present | self.ambiguous).any(axis=1))


@dataclass(frozen=True)
class ArmDecisions(ByReport):
    """The decisions of one arm about the reports that it was asked about."""

    decided: Bools  # (reports, names)
    unmapped: Ints  # (reports,): distinct phrases without a name; each is a false positive
    unparsed: Bools  # (reports,): no readable answer; counts as empty
    probabilities: Floats | None = None  # (reports, names); None if the arm answers in words


@dataclass(frozen=True)
class TaskNames:
    """The labels or concepts of a task: which of them count, and how many positives in the gold a figure of one needs."""

    names: list[str]
    scored: Bools  # (names,): those that count
    macro_minimum: int  # positives that a name in the macro average needs
    row_minimum: int  # positives that a name with a row of its own needs


def read_truth(gold: dy.DataFrame[Gold], task: str, names: list[str]) -> Truth:
    """Returns the annotations of a task, sorted by report id.

    `uncertain` in gold means that the finding was coded, so it counts as present. One excluded cell drops the whole report.

    Raises:
        TableError: the gold has several annotators, or a report lacks a row for a name.
    """
    rows = gold.filter(pl.col("task") == task)
    if rows["annotator"].n_unique() > 1:
        raise TableError(f"the gold of {task} has several annotators: {', '.join(sorted(rows['annotator'].unique()))}; keep one")
    excluded = rows.filter(pl.col("status") == statuses.EXCLUDED)["report_id"].unique()
    rows = rows.filter(~pl.col("report_id").is_in(excluded.implode()))
    reports = sorted(rows["report_id"].unique())
    matrix = fill_matrix(rows.select("report_id", "label", "status").iter_rows(), reports, names, missing="")
    if (missing := int((matrix == "").sum())) > 0:
        raise TableError(f"the gold of {task} lacks {missing} of its cells (reports x names); `dvc repro extract` makes it again")
    present = (matrix == statuses.PRESENT) | (matrix == statuses.UNCERTAIN)
    return Truth(reports, names, present, matrix == statuses.AMBIGUOUS)


def fill_matrix(cells: Iterable[Cell], reports: list[str], names: list[str], missing: Any) -> npt.NDArray[Any]:
    """Returns the values as an object array (reports, names), with `missing` in empty cells. Ignores other reports and names."""
    matrix = np.full((len(reports), len(names)), missing, dtype=object)
    report_at = {report: row for row, report in enumerate(reports)}
    name_at = {name: column for column, name in enumerate(names)}
    for report, name, value in cells:
        if report in report_at and name in name_at:
            matrix[report_at[report], name_at[name]] = value
    return matrix


def to_table(task: str, arm: str, decisions: ArmDecisions, names: list[str], text_groups: dict[str, str]) -> pl.DataFrame:
    """Returns an arm's rows of the table `Decisions`, unsorted. `text_groups`: report -> text group."""
    reports = decisions.reports
    asked = [(r, "unparsed" if lost else "asked", "", 1) for r, lost in zip(reports, decisions.unparsed, strict=True)]
    present = [(reports[row], "present", names[column], 1) for row, column in np.argwhere(decisions.decided)]
    unmapped = [(reports[row], "unmapped", "", int(decisions.unmapped[row])) for row in np.flatnonzero(decisions.unmapped)]
    rows = [(r, task, arm, kind, label, n, text_groups[r]) for r, kind, label, n in (*asked, *present, *unmapped)]
    columns = dict.fromkeys(Decisions.column_names(), pl.String) | {"count": pl.Int64}
    return pl.DataFrame(rows, schema=columns, orient="row")


def from_table(rows: pl.DataFrame, names: list[str]) -> ArmDecisions:
    """Returns the decisions in rows of `Decisions` of one task and arm, sorted by report. Ignores labels not in `names`."""
    kind = pl.col("kind").cast(pl.String)
    asked = rows.filter(kind.is_in(["asked", "unparsed"])).sort("report_id")
    reports = asked["report_id"].to_list()
    present = rows.filter(kind == "present").select("report_id", "label", pl.lit(True)).iter_rows()
    unmapped = dict(rows.filter(kind == "unmapped").select("report_id", "count").iter_rows())
    return ArmDecisions(
        reports,
        fill_matrix(present, reports, names, missing=False).astype(bool),
        np.array([unmapped.get(report, 0) for report in reports], dtype=np.int64),
        asked.select(kind == "unparsed").to_series().to_numpy().astype(bool),
    )
