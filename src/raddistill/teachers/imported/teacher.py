"""A teacher that reads its labels from a file made by another labeler or by the publishers of the reports.

Multiple choice is a wide table: a column `report_id`, a column for each label by its name, CheXpert's codes in the cells. Other
columns of CheXpert's are left out (and counted), unknown ones refused. The published label files of MIMIC-CXR, CheXpert Plus and
PadChest can be read directly (label_files.py).
Open-ended is a long table: columns `report_id`, `phrase`, `code`. A row with an empty phrase means that nothing was found.

A file can have several rows for one report, for example if a study was de-identified twice and each version labelled. Equal rows
count as one. If they differ, it is unknown which belongs to our text, so the report goes to quarantine.
"""

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import may_be_text, such_as
from raddistill.reading import columns
from raddistill.reading.cells import is_missing
from raddistill.statuses import CHEXPERT_CELLS, PRESENT, STATUSES
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import NOT_IN_FILE, ROWS_DIFFER, Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.imported import label_files
from raddistill.teachers.teacher import Labelled

UNKNOWN = "labelled in the file, but not among the reports"


class _FileLabels(NamedTuple):
    """The labels in a file."""

    ids: pl.DataFrame  # report_id, each once
    differing: pl.DataFrame  # report_id of the reports whose rows differ
    rows: pl.DataFrame  # report_id, label, status, code of the reports whose rows agree
    counts: dict[str, int]


class ImportedTeacher:
    """Reads the labels for one task from the file `source`: CSV (also gzipped), Parquet or JSON lines."""

    def __init__(self, task: str, source: str) -> None:
        self.name = f"imported:{Path(source.removesuffix('.gz')).stem}"
        self._task, self._path = task, Path(source)

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """Returns the four tables for `reports`. Evidence is empty.

        Reports that are not in the file, or whose rows differ, go to quarantine. Quarantine also lists the ids in the file that
        are not among the reports.

        Raises:
            InputError: the file is missing or unreadable, a column is missing or unknown, cells hold no code (the message has the
                column and their number), or none of the reports is in the file.
        """
        in_file = self._wide([label.name for label in label_set]) if self._task == MULTIPLE_CHOICE else self._long()
        ids = in_file.ids
        known = ids.join(reports.select("report_id"), on="report_id", how="semi")
        if ids.height and reports.height and not known.height:
            raise InputError(
                f"{self._path}: none of its {ids.height} reports{_first(ids)} is one of ours{_first(reports)}; "
                "ids are compared as text (a column study_id means MIMIC-CXR's, s50414267)"
            )
        labels = in_file.rows.join(known, on="report_id", how="semi").filter(pl.col("label") != "")
        is_known, rows_differ = (pl.col("report_id").is_in(ids["report_id"].implode()) for ids in (known, in_file.differing))
        reason = pl.when(rows_differ).then(pl.lit(ROWS_DIFFER)).when(~is_known).then(pl.lit(NOT_IN_FILE))
        outcome = pl.when(is_known & ~rows_differ).then(pl.lit("labelled")).otherwise(pl.lit("quarantined"))
        outcomes = reports.select("report_id", outcome=outcome, reason=reason)
        missing = outcomes.filter(pl.col("outcome") == "quarantined").select("report_id", "reason")
        unknown = ids.join(known, on="report_id", how="anti").sort("report_id").with_columns(reason=pl.lit(UNKNOWN))
        unknown = unknown.filter([not may_be_text(report_id) for report_id in unknown["report_id"]])  # the rest are only counted
        return Labelled(
            labels=self._as(Labels, labels.with_columns(probability=None)),
            evidence=Evidence.create_empty(),
            outcomes=self._as(Outcomes, outcomes),
            quarantine=self._as(Quarantine, pl.concat([missing, unknown]).with_columns(n=0, answer=None)),
            counts=in_file.counts | {"labels_for_unknown_reports": ids.height - known.height},
        )

    def _wide(self, names: list[str]) -> _FileLabels:
        """Reads a wide table."""
        wide, n_left_out = label_files.wide(self._path, self._read(), names)
        self._refuse_blank(wide)
        for name in names:
            n_strange = wide.filter(~pl.col(name).is_in(list(CHEXPERT_CELLS))).height
            if n_strange:
                raise InputError(f"{self._path}: column '{name}' has {n_strange} cells that are not 1, 0, -1 or blank")
        statuses = pl.col(names).replace_strict(CHEXPERT_CELLS, return_dtype=pl.Enum(STATUSES))
        wide = wide.select("report_id", statuses).unique(maintain_order=True)  # equal rows count as one
        differing = wide.filter(pl.col("report_id").is_duplicated()).select("report_id").unique()
        rows = wide.join(differing, on="report_id", how="anti").unpivot(
            index="report_id", variable_name="label", value_name="status"
        )
        rows = rows.with_columns(code=pl.lit(None, pl.String))
        return _FileLabels(wide.select("report_id").unique(), differing, rows, {"ignored_columns": n_left_out})

    def _long(self) -> _FileLabels:
        """Reads a long table; the label is empty if nothing was found."""
        long = self._read()
        columns.require_only(str(self._path), long.columns, ["report_id", "phrase", "code"], also=[])
        self._refuse_blank(long)
        phrase = _non_missing("phrase", long).fill_null("").str.to_lowercase().str.replace_all(r"\s+", " ")
        code = _non_missing("code", long)
        rows = long.select("report_id", label=phrase, status=pl.lit(PRESENT, pl.Enum(STATUSES)), code=code).unique(
            maintain_order=True
        )
        differing = _differing(rows)
        return _FileLabels(rows.select("report_id").unique(), differing, rows.join(differing, on="report_id", how="anti"), {})

    def _read(self) -> pl.DataFrame:
        return label_files.read(self._path, f"synthesize.{self._task}.source")

    def _refuse_blank(self, frame: pl.DataFrame) -> None:
        if n_blank := frame.filter(pl.col("report_id") == "").height:
            raise InputError(f"{self._path}: column 'report_id' is blank in {n_blank} rows")

    def _as(self, schema: Any, frame: pl.DataFrame) -> pl.DataFrame:
        """Returns `frame` with task and teacher, and the columns of `schema` only."""
        columns = schema.create_empty().columns
        return frame.with_columns(task=pl.lit(self._task), teacher=pl.lit(self.name)).select(columns)


def _differing(phrases: pl.DataFrame) -> pl.DataFrame:
    """Returns the ids of reports that have two codes for one phrase, or both a phrase and a row without one."""
    two_codes = phrases.group_by("report_id", "label").len().filter(pl.col("len") > 1)
    found_and_not = (pl.col("label") == "").any() & (pl.col("label") != "").any()
    both = phrases.group_by("report_id").agg(both=found_and_not).filter("both")
    return pl.concat([two_codes.select("report_id"), both.select("report_id")]).unique()


def _non_missing(column: str, frame: pl.DataFrame) -> pl.Expr:
    """Returns the column with null for cells that mean a missing value, such as "nan"."""
    return pl.when(~pl.col(column).is_in([cell for cell in frame[column].unique() if is_missing(cell)])).then(column)


def _first(reports: pl.DataFrame) -> str:
    """Returns the first id, for a message."""
    return such_as(*[report_id for report_id in reports["report_id"].sort() if not may_be_text(report_id)][:1])
