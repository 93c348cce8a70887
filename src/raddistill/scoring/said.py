"""What an arm said, in either task: judged beside the truth, and as rows of the table `Decisions` and back."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from raddistill.scoring.labels import Bools, Truth
from raddistill.scoring.measures import Judged
from raddistill.scoring.statistics import Ints
from raddistill.tables.decisions import Decisions


@dataclass(frozen=True)
class Said:
    """One arm's decisions (reports, names), phrases that no name stands for (reports,), and reports without a readable answer."""

    reports: list[str]
    decided: Bools
    unmapped: Ints
    unparsed: Bools

    def of(self, reports: list[str]) -> "Said":
        """Those of the reports that the arm was asked, in the order given."""
        at = {report: row for row, report in enumerate(self.reports)}
        kept = [report for report in reports if report in at]
        rows = np.array([at[report] for report in kept], dtype=np.int64)
        return Said(kept, self.decided[rows], self.unmapped[rows], self.unparsed[rows])


def judge(truth: Truth, groups: dict[str, str], said: Said, scored: Bools) -> Judged:
    """The arm beside the truth; `groups`: text group by report; `scored` (names,): the names that count."""
    own = truth.of(said.reports)
    of = [groups[report] for report in said.reports]
    return Judged(narrowed(own, scored), own.normal, of, said.decided[:, scored], said.unmapped, said.unparsed)


def narrowed(truth: Truth, columns: Bools) -> Truth:
    """The truth of some names."""
    names = [name for name, kept in zip(truth.names, columns, strict=True) if kept]
    return replace(truth, names=names, present=truth.present[:, columns], ambiguous=truth.ambiguous[:, columns])


def to_rows(task: str, arm: str, said: Said, names: list[str], groups: dict[str, str]) -> pl.DataFrame:
    """Rows of the table `Decisions`, unsorted."""
    asked = [(r, "unparsed" if lost else "asked", "", 1) for r, lost in zip(said.reports, said.unparsed, strict=True)]
    present = [(said.reports[row], "present", names[column], 1) for row, column in np.argwhere(said.decided)]
    unmapped = [(said.reports[row], "unmapped", "", int(said.unmapped[row])) for row in np.flatnonzero(said.unmapped)]
    rows = [(r, task, arm, kind, label, n, groups[r]) for r, kind, label, n in (*asked, *present, *unmapped)]
    columns = dict.fromkeys(Decisions.column_names(), pl.String) | {"count": pl.Int64}
    return pl.DataFrame(rows, schema=columns, orient="row")


def from_rows(rows: pl.DataFrame, names: list[str]) -> Said:
    """The arm of `Decisions` rows of one task and arm, reports sorted; labels other than `names` are left out."""
    kind = pl.col("kind").cast(pl.String)
    asked = rows.filter(kind.is_in(["asked", "unparsed"])).sort("report_id")
    reports = asked["report_id"].to_list()
    report_at = {report: row for row, report in enumerate(reports)}
    name_at = {name: column for column, name in enumerate(names)}
    decided, unmapped = np.zeros((len(reports), len(names)), dtype=bool), np.zeros(len(reports), dtype=np.int64)
    for report, label in rows.filter(kind == "present").select("report_id", "label").iter_rows():
        if label in name_at:
            decided[report_at[report], name_at[label]] = True
    for report, n in rows.filter(kind == "unmapped").select("report_id", "count").iter_rows():
        unmapped[report_at[report]] = n
    return Said(reports, decided, unmapped, asked.select(kind == "unparsed").to_series().to_numpy().astype(bool))
