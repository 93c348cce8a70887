"""A teacher whose labels come from a file: those that another labeler, or the publishers of the reports, made.

Multiple choice, the wide form: a column `report_id`, a column for each label by its name, CheXpert's codes in the cells. Other
columns of CheXpert's are left out (counted), unknown ones refused. The label files of MIMIC-CXR, CheXpert Plus and PadChest are
read as they are published (label_files.py).
Open-ended, the long form: columns `report_id`, `phrase`, `code`. A row with an empty phrase says that nothing was found.
"""

from pathlib import Path
from typing import Any

import polars as pl

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import CHEXPERT_CELLS, PRESENT, STATUSES
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import NOT_IN_FILE, Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.teachers import label_files
from raddistill.teachers.teacher import Labelled

UNKNOWN = "labelled in the file, but not among the reports"


class ImportedTeacher:
    """Takes the labels for one task from the file `source`: CSV (packed by gzip or not), Parquet, JSON lines."""

    def __init__(self, task: str, source: str) -> None:
        self.name = f"imported:{Path(source.removesuffix('.gz')).stem}"
        self._task, self._path = task, Path(source)

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """The four tables for `reports`; a report that the file does not hold goes to quarantine. Evidence is empty.

        Quarantine also lists the ids of the file that are not among the reports.

        Raises:
            InputError: the file is missing or unreadable, a column is missing or unknown, a key stands twice, or a cell holds
                no code (the column and the number of such cells are named); it holds none of the reports.
        """
        if self._task == "multiple_choice":
            given, counts = self._wide([label.name for label in label_set])
        else:
            given, counts = self._long()
        ids = given.select("report_id").unique()
        known = ids.join(reports.select("report_id"), on="report_id", how="semi")
        if ids.height and reports.height and not known.height:
            raise InputError(
                f"{self._path}: none of its {ids.height} reports{_such_as(ids)} is one of ours{_such_as(reports)}; "
                "ids are compared as text (a column study_id means MIMIC-CXR's, s50414267)"
            )
        counts["labels_for_unknown_reports"] = ids.height - known.height
        labels = given.join(known, on="report_id", how="semi").filter(pl.col("label") != "")
        has_label = pl.col("report_id").is_in(known["report_id"].implode())
        outcomes = reports.select(
            "report_id",
            pl.when(has_label).then(pl.lit("labelled")).otherwise(pl.lit("quarantined")).alias("outcome"),
            pl.when(has_label).then(None).otherwise(pl.lit(NOT_IN_FILE)).alias("reason"),
        )
        missing = outcomes.filter(pl.col("outcome") == "quarantined").select("report_id", "reason")
        unknown = ids.join(known, on="report_id", how="anti").sort("report_id").with_columns(reason=pl.lit(UNKNOWN))
        unknown = unknown.filter(~pl.col("report_id").str.contains(r"\s"))  # words may be of a report: counted, not listed
        return Labelled(
            labels=self._as(Labels, labels.with_columns(probability=None)),
            evidence=Evidence.create_empty(),
            outcomes=self._as(Outcomes, outcomes),
            quarantine=self._as(Quarantine, pl.concat([missing, unknown]).with_columns(n=0, answer=None)),
            counts=counts,
        )

    def _wide(self, names: list[str]) -> tuple[pl.DataFrame, dict[str, int]]:
        """Rows (report_id, label, status, code) of a file in the wide form, and counts."""
        wide, ignored = label_files.wide(self._path, self._read(), names)
        self._refuse_blank(wide)
        self._refuse_doubled(wide, ["report_id"])
        for name in names:
            n_strange = wide.filter(~pl.col(name).is_in(list(CHEXPERT_CELLS))).height
            if n_strange:
                raise InputError(f"{self._path}: column '{name}' has {n_strange} cells that are not 1, 0, -1 or blank")
        long = wide.select("report_id", *names).unpivot(index="report_id", variable_name="label", value_name="cell")
        status = pl.col("cell").replace_strict(CHEXPERT_CELLS, return_dtype=pl.Enum(STATUSES))
        return long.select("report_id", "label", status=status, code=pl.lit(None, pl.String)), {"ignored_columns": ignored}

    def _long(self) -> tuple[pl.DataFrame, dict[str, int]]:
        """Rows (report_id, label, status, code) of a file in the long form; label is empty where nothing was found."""
        long = self._read()
        label_files.require(self._path, long, ["report_id", "phrase", "code"], also=[])
        self._refuse_blank(long)
        phrase = pl.col("phrase").str.to_lowercase().str.replace_all(r"\s+", " ")
        code = pl.when(pl.col("code") != "").then("code")
        rows = long.select("report_id", label=phrase, status=pl.lit(PRESENT, pl.Enum(STATUSES)), code=code)
        self._refuse_doubled(rows, ["report_id", "label"])
        return rows, {}

    def _read(self) -> pl.DataFrame:
        return label_files.read(self._path, f"synthesize.{self._task}.source")

    def _refuse_blank(self, frame: pl.DataFrame) -> None:
        if n_blank := frame.filter(pl.col("report_id") == "").height:
            raise InputError(f"{self._path}: column 'report_id' is blank in {n_blank} rows")

    def _refuse_doubled(self, frame: pl.DataFrame, key: list[str]) -> None:
        n_doubled = frame.height - frame.select(key).unique().height
        if n_doubled:
            raise InputError(f"{self._path}: {n_doubled} rows repeat an earlier {' and '.join(key)}; keep one of each")

    def _as(self, schema: Any, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with task and teacher, and the columns of `schema` only."""
        columns = schema.create_empty().columns
        return frame.with_columns(task=pl.lit(self._task), teacher=pl.lit(self.name)).select(columns)


def _such_as(frame: pl.DataFrame) -> str:
    """The first id for a message; none of more than one word, which may be of a report, read from a wrong column."""
    words = frame.filter(pl.col("report_id").str.contains(r"^\S+$"))["report_id"].sort().to_list()
    return f" (such as {words[0]})" if words else ""
