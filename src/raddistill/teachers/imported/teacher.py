"""A teacher whose labels come from a file: those that another labeler, or the publishers of the reports, made.

Multiple choice, the wide form: a column `report_id`, a column for each label by its name, CheXpert's codes in the cells. Other
columns of CheXpert's are left out (counted), unknown ones refused. The label files of MIMIC-CXR, CheXpert Plus and PadChest are
read as they are published (label_files.py).
Open-ended, the long form: columns `report_id`, `phrase`, `code`. A row with an empty phrase says that nothing was found.

A file can hold several rows of one report, as where a study was de-identified twice and each version labelled. Rows that say the
same are one. Where they differ nobody knows which belongs to our text, so that report goes to quarantine.
"""

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import may_be_text, such_as
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


class ImportedTeacher:
    """Reads the labels for one task from the file `source`: CSV (packed by gzip or not), Parquet, JSON lines."""

    def __init__(self, task: str, source: str) -> None:
        self.name = f"imported:{Path(source.removesuffix('.gz')).stem}"
        self._task, self._path = task, Path(source)

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """Returns the four tables for `reports`. Evidence is empty.

        A report that the file does not hold goes to quarantine, and so does one whose rows differ. Quarantine also lists the ids
        of the file that are not among the reports.

        Raises:
            InputError: the file is missing or unreadable, a column is missing or unknown, or a cell holds no code (the column and
                the number of such cells are named); it holds none of the reports.
        """
        given = self._wide([label.name for label in label_set]) if self._task == MULTIPLE_CHOICE else self._long()
        ids = given.ids
        known = ids.join(reports.select("report_id"), on="report_id", how="semi")
        if ids.height and reports.height and not known.height:
            raise InputError(
                f"{self._path}: none of its {ids.height} reports{_first(ids)} is one of ours{_first(reports)}; "
                "ids are compared as text (a column study_id means MIMIC-CXR's, s50414267)"
            )
        labels = given.rows.join(known, on="report_id", how="semi").filter(pl.col("label") != "")
        in_file, twice = (pl.col("report_id").is_in(ids["report_id"].implode()) for ids in (known, given.differ))
        reason = pl.when(twice).then(pl.lit(ROWS_DIFFER)).when(~in_file).then(pl.lit(NOT_IN_FILE))
        outcome = pl.when(in_file & ~twice).then(pl.lit("labelled")).otherwise(pl.lit("quarantined"))
        outcomes = reports.select("report_id", outcome=outcome, reason=reason)
        missing = outcomes.filter(pl.col("outcome") == "quarantined").select("report_id", "reason")
        unknown = ids.join(known, on="report_id", how="anti").sort("report_id").with_columns(reason=pl.lit(UNKNOWN))
        unknown = unknown.filter([not may_be_text(one) for one in unknown["report_id"]])  # the others are only counted
        return Labelled(
            labels=self._as(Labels, labels.with_columns(probability=None)),
            evidence=Evidence.create_empty(),
            outcomes=self._as(Outcomes, outcomes),
            quarantine=self._as(Quarantine, pl.concat([missing, unknown]).with_columns(n=0, answer=None)),
            counts=given.counts | {"labels_for_unknown_reports": ids.height - known.height},
        )

    def _wide(self, names: list[str]) -> "_Given":
        """Reads a file in the wide form."""
        wide, ignored = label_files.wide(self._path, self._read(), names)
        self._refuse_blank(wide)
        for name in names:
            n_strange = wide.filter(~pl.col(name).is_in(list(CHEXPERT_CELLS))).height
            if n_strange:
                raise InputError(f"{self._path}: column '{name}' has {n_strange} cells that are not 1, 0, -1 or blank")
        statuses = pl.col(names).replace_strict(CHEXPERT_CELLS, return_dtype=pl.Enum(STATUSES))
        wide = wide.select("report_id", statuses).unique(maintain_order=True)  # rows that say the same are one
        differ = wide.filter(pl.col("report_id").is_duplicated()).select("report_id").unique()
        rows = wide.join(differ, on="report_id", how="anti").unpivot(
            index="report_id", variable_name="label", value_name="status"
        )
        rows = rows.with_columns(code=pl.lit(None, pl.String))
        return _Given(wide.select("report_id").unique(), differ, rows, {"ignored_columns": ignored})

    def _long(self) -> "_Given":
        """Reads a file in the long form; the label is empty where nothing was found."""
        long = self._read()
        label_files.require(self._path, long, ["report_id", "phrase", "code"], also=[])
        self._refuse_blank(long)
        phrase = _known("phrase", long).fill_null("").str.to_lowercase().str.replace_all(r"\s+", " ")
        code = _known("code", long)
        rows = long.select("report_id", label=phrase, status=pl.lit(PRESENT, pl.Enum(STATUSES)), code=code).unique(
            maintain_order=True
        )
        differ = _differing(rows)
        return _Given(rows.select("report_id").unique(), differ, rows.join(differ, on="report_id", how="anti"), {})

    def _read(self) -> pl.DataFrame:
        return label_files.read(self._path, f"synthesize.{self._task}.source")

    def _refuse_blank(self, frame: pl.DataFrame) -> None:
        if n_blank := frame.filter(pl.col("report_id") == "").height:
            raise InputError(f"{self._path}: column 'report_id' is blank in {n_blank} rows")

    def _as(self, schema: Any, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with task and teacher, and the columns of `schema` only."""
        columns = schema.create_empty().columns
        return frame.with_columns(task=pl.lit(self._task), teacher=pl.lit(self.name)).select(columns)


class _Given(NamedTuple):
    """What was read from a file."""

    ids: pl.DataFrame  # report_id, each once
    differ: pl.DataFrame  # report_id of those whose rows differ
    rows: pl.DataFrame  # report_id, label, status, code: of all others
    counts: dict[str, int]


def _differing(phrases: pl.DataFrame) -> pl.DataFrame:
    """Returns the ids of reports that have two codes for one phrase, or a phrase and a row that says nothing was found."""
    twice = phrases.group_by("report_id", "label").len().filter(pl.col("len") > 1)
    nothing = (pl.col("label") == "").any() & (pl.col("label") != "").any()
    both = phrases.group_by("report_id").agg(both=nothing).filter("both")
    return pl.concat([twice.select("report_id"), both.select("report_id")]).unique()


def _known(column: str, frame: pl.DataFrame) -> pl.Expr:
    """Returns the column, null where a cell only says that there is nothing, as "nan" does."""
    return pl.when(~pl.col(column).is_in([cell for cell in frame[column].unique() if is_missing(cell)])).then(column)


def _first(reports: pl.DataFrame) -> str:
    """Returns the first id for a message."""
    return such_as(*[report_id for report_id in reports["report_id"].sort() if not may_be_text(report_id)][:1])
