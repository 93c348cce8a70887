"""Reads two cohorts that are to be compared: their reports, and labels if there are any."""

from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import polars as pl

from raddistill.errors import InputError
from raddistill.statuses import AMBIGUOUS, EXCLUDED
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.reports import Reports
from raddistill.tasks.names import MULTIPLE_CHOICE


@dataclass(frozen=True)
class Cohort:
    """The reports of one source, and the labels that one or several labellers (teachers or annotators) gave them."""

    name: str
    reports: pl.DataFrame  # Reports
    labels: pl.DataFrame | None  # report_id, label, status, labeller; multiple choice only
    unknown_ids: int  # labelled reports that are not in the table of reports; counted for its first cohort only

    @property
    def labellers(self) -> list[str]:
        """Returns the names of the labellers, sorted."""
        return [] if self.labels is None else self.labels["labeller"].unique().sort().to_list()


def read(files: list[Path], labels: list[Path]) -> tuple[Cohort, Cohort]:
    """Returns the two cohorts of one table of reports or of two. `labels`: one table for each of `files`, in order, or none.

    Raises:
        InputError: there are not two cohorts, fewer or more label than report tables, or none of the reports has labels.
        TableError: a file is not a table of reports, labels or gold.
    """
    if labels and len(labels) != len(files):
        raise InputError(f"{len(labels)} tables of labels for {len(files)} of reports: give one for each, in the same order")
    cohorts: list[Cohort] = []
    for file, labelled in zip_longest(files, labels):
        reports, rows = tables.read(Reports, file), _read_labels(labelled) if labelled else None
        unknown = 0 if rows is None else rows.join(reports, on="report_id", how="anti")["report_id"].n_unique()
        if rows is not None and unknown == rows["report_id"].n_unique():
            raise InputError(f"{labelled} labels none of the reports of {file}; give labels in the order of the reports")
        for (source,), own in reports.sort("source").group_by("source", maintain_order=True):
            own_labels = None if rows is None else rows.join(own, on="report_id", how="semi")
            cohorts.append(Cohort(str(source), own, own_labels, unknown))
            unknown = 0
    if len(cohorts) != 2:
        there = ", ".join(f"{c.name} ({c.reports.height} reports)" for c in cohorts) or "none"
        raise InputError(f"two cohorts are compared: two tables of one source each, or one table of two; found: {there}")
    if cohorts[0].name == cohorts[1].name:
        cohorts = [replace(c, name=str(file)) for c, file in zip(cohorts, files, strict=True)]
        if files[0] == files[1]:
            raise InputError(f"{files[0]} was given twice")
    return cohorts[0], cohorts[1]


def _read_labels(file: Path) -> pl.DataFrame:
    """Returns report_id, label, status, labeller from a table of labels or gold, without ambiguous and excluded cells."""
    try:
        is_gold = "annotator" in pl.read_parquet_schema(file)
    except (FileNotFoundError, pl.exceptions.PolarsError):
        is_gold = False  # `tables.read` below raises the error
    frame = tables.read(Gold, file) if is_gold else tables.read(Labels, file)
    rows = frame.filter(pl.col("task") == MULTIPLE_CHOICE)  # open-ended labels are report text
    if rows.is_empty():
        raise InputError(f"{file} holds no labels of the task {MULTIPLE_CHOICE}, whose rates are compared")
    decided = rows.with_columns(pl.col("status").cast(str)).filter(~pl.col("status").is_in([EXCLUDED, AMBIGUOUS]))
    return decided.select("report_id", "label", "status", labeller="annotator" if is_gold else "teacher")
