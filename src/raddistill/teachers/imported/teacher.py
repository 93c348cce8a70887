"""A teacher that reads its labels from a file made by another labeler or by the publishers of the reports.

Multiple choice is a table with a column for each label by its name and CheXpert's codes in the cells. Other columns of CheXpert's
are left out (and counted); any other column is refused, as it may be a label in another spelling. The columns tell which kind of
file it is:

`report_id`                          our own format
`study_id` (and `subject_id`)        the negbio and chexpert files of MIMIC-CXR-JPG; `report_id` is "s<study_id>"
`path_to_image`                      the chexbert JSON lines of CheXpert Plus, one line per image; `report_id` is
                                     "<patient>/<study>" of that path
`ReportID`, `MethodLabel`, `Labels`  PadChest's CSV, one row per image, a list of labels in each. Only rows that its RNN labelled
                                     are kept, since those of physicians are gold

Open-ended is a table with the columns `report_id`, `phrase`, `code`. A row with an empty phrase means that nothing was found.

A file can have several rows for one report, for example if a study was de-identified twice and each version labelled. Equal rows
count as one. If they differ, it is unknown which belongs to our text, so the report goes to quarantine.
"""

from pathlib import Path
from typing import Any

import polars as pl

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import list_names, may_be_text, such_as
from raddistill.reading import columns
from raddistill.reading.cells import is_missing, strings_in
from raddistill.reading.delimited import read_csv
from raddistill.statuses import CHEXPERT_CELLS, PRESENT, STATUSES
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import NOT_IN_FILE, ROWS_DIFFER, Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.teacher import Labelled

UNKNOWN = "labelled in the file, but not among the reports"
# The columns that CheXpert's labelers write (Irvin et al. 2019, arXiv 1901.07031, table 1).
CHEXPERT = [
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
]  # fmt: skip
SYNONYMS = {"Airspace Opacity": "Lung Opacity"}  # the first is MIMIC-CXR 2.1.0's name
LINES = {".json", ".jsonl", ".ndjson"}
PADCHEST = {"ReportID", "MethodLabel", "Labels"}
BY_RNN = "RNN_model"
SILENT = {"exclude", "unchanged"}  # PadChest's words for sentences that do not describe this image; also in gold/padchest
# The column of the report's id, by which the kind of file is known, and its other columns that are not labels.
_ID_COLUMNS: dict[str, list[str]] = {"report_id": [], "study_id": ["subject_id"], "path_to_image": []}
_UNREADABLE = "is not a readable CSV (UTF-8, comma), .parquet file or file of JSON lines"
_STUDY = r"^s?(\d+)(?:\.0)?$"  # the digits of "50414267", "s50414267", "50414267.0"
_IMAGE = r"^(?:.*/)?([^/]+/[^/]+)/[^/]+$"  # "patient00001/study1" of "train/patient00001/study1/view1_frontal.jpg"


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
        cells = read_cells(self._path, f"synthesize.{self._task}.source")
        rows, counts = self._choices(cells, label_set) if self._task == MULTIPLE_CHOICE else self._phrases(cells)
        ids = rows.select("report_id").unique()
        known = ids.join(reports.select("report_id"), on="report_id", how="semi")
        if ids.height and reports.height and not known.height:
            raise InputError(
                f"{self._path}: none of its {ids.height} reports{_first(ids)} is one of ours{_first(reports)}; "
                "ids are compared as text (a column study_id means MIMIC-CXR's, s50414267)"
            )
        differing = _differing(rows)
        labels = rows.join(known, on="report_id", how="semi").join(differing, on="report_id", how="anti")
        is_known, rows_differ = (pl.col("report_id").is_in(some["report_id"].implode()) for some in (known, differing))
        reason = pl.when(rows_differ).then(pl.lit(ROWS_DIFFER)).when(~is_known).then(pl.lit(NOT_IN_FILE))
        outcome = pl.when(is_known & ~rows_differ).then(pl.lit("labelled")).otherwise(pl.lit("quarantined"))
        outcomes = reports.select("report_id", outcome=outcome, reason=reason)
        missing = outcomes.filter(pl.col("outcome") == "quarantined").select("report_id", "reason")
        unknown = ids.join(known, on="report_id", how="anti").sort("report_id").with_columns(reason=pl.lit(UNKNOWN))
        unknown = unknown.filter([not may_be_text(report_id) for report_id in unknown["report_id"]])  # the rest are only counted
        return Labelled(
            labels=self._as(Labels, labels.filter(pl.col("label") != "").with_columns(probability=None)),
            evidence=Evidence.create_empty(),
            outcomes=self._as(Outcomes, outcomes),
            quarantine=self._as(Quarantine, pl.concat([missing, unknown]).with_columns(n=0, answer=None)),
            counts=counts | {"labels_for_unknown_reports": ids.height - known.height},
        )

    def _choices(self, cells: pl.DataFrame, label_set: list[Label]) -> tuple[pl.DataFrame, dict[str, int]]:
        """Returns rows (report_id, label, status, code) of a multiple-choice file, and counts for the metrics."""
        names = [label.name for label in label_set]
        wide, n_left_out = to_wide(self._path, cells, names)
        self._refuse_blank(wide)
        for name in names:
            if n_strange := wide.filter(~pl.col(name).is_in(list(CHEXPERT_CELLS))).height:
                raise InputError(f"{self._path}: column '{name}' has {n_strange} cells that are not 1, 0, -1 or blank")
        statuses = pl.col(names).replace_strict(CHEXPERT_CELLS, return_dtype=pl.Enum(STATUSES))
        wide = wide.select("report_id", statuses).unique(maintain_order=True)
        rows = wide.unpivot(index="report_id", variable_name="label", value_name="status")
        return rows.with_columns(code=pl.lit(None, pl.String)), {"ignored_columns": n_left_out}

    def _phrases(self, cells: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
        """Returns as `_choices`, for an open-ended file; the label is empty if nothing was found."""
        columns.require_only(str(self._path), cells.columns, ["report_id", "phrase", "code"], also=[])
        self._refuse_blank(cells)
        phrase = _non_missing("phrase", cells).fill_null("").str.to_lowercase().str.replace_all(r"\s+", " ")
        status = pl.lit(PRESENT, pl.Enum(STATUSES))
        rows = cells.select("report_id", label=phrase, status=status, code=_non_missing("code", cells))
        return rows.unique(maintain_order=True), {}

    def _refuse_blank(self, frame: pl.DataFrame) -> None:
        if n_blank := frame.filter(pl.col("report_id") == "").height:
            raise InputError(f"{self._path}: column 'report_id' is blank in {n_blank} rows")

    def _as(self, schema: Any, frame: pl.DataFrame) -> pl.DataFrame:
        """Returns `frame` with task and teacher, and the columns of `schema` only."""
        return frame.with_columns(task=pl.lit(self._task), teacher=pl.lit(self.name)).select(schema.create_empty().columns)


def _differing(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the ids of reports that have two statuses or codes for one label, or both a phrase and a row without one."""
    label = pl.col("label")
    differs = label.is_duplicated().any() | ((label == "").any() & (label != "").any())
    return rows.group_by("report_id").agg(differs=differs).filter("differs").select("report_id")


def _non_missing(column: str, frame: pl.DataFrame) -> pl.Expr:
    """Returns the column with null for cells that mean a missing value, such as "nan"."""
    return pl.when(~pl.col(column).is_in([cell for cell in frame[column].unique() if is_missing(cell)])).then(column)


def _first(reports: pl.DataFrame) -> str:
    """Returns the first id, for a message."""
    return such_as(*[report_id for report_id in reports["report_id"].sort() if not may_be_text(report_id)][:1])


def read_cells(path: Path, param: str) -> pl.DataFrame:
    """Returns all cells as trimmed strings, blank ones as "". `param` is the key of params.yaml that names the file.

    Raises:
        InputError: the file is missing or unreadable, two columns share a name, or cells hold lists or objects.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    try:
        frame = _typed(path, suffix) if suffix in {".parquet", *LINES} else _csv(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; params.yaml names it as {param}") from None
    if nested := [name for name, kind in frame.schema.items() if kind.is_nested()]:
        raise InputError(f"{path}: columns {list_names(nested)} hold lists or objects, not codes")
    return frame.select(pl.all().cast(pl.String).str.strip_chars().fill_null(""))


def _csv(path: Path) -> pl.DataFrame:
    try:
        names, frame = read_csv(path)
    except InputError as error:
        why = str(error).replace(" --encoding utf-16", " save it as UTF-8")
        raise InputError(f"{path} {_UNREADABLE}: {why}") from None
    columns.refuse_doubled(str(path), names, has_header=not {*_ID_COLUMNS, *PADCHEST}.isdisjoint(names))
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _typed(path: Path, suffix: str) -> pl.DataFrame:
    """Reads Parquet or JSON lines."""
    frame = None
    try:
        frame = pl.read_parquet(path) if suffix == ".parquet" else pl.read_ndjson(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; that of polars for damaged gzip has no errno
            raise
    if frame is None:  # raised here, since the error of polars quotes cells and would stay as context
        raise InputError(f"{path} {_UNREADABLE}")
    return frame


def to_wide(path: Path, frame: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, int]:
    """Turns a file of any known kind into a wide table.

    "Airspace Opacity" is read as "Lung Opacity". For PadChest, see `_padchest`.

    Returns:
        `report_id` and the columns `names`; and the number of labels in the file that are not among `names`.

    Raises:
        InputError: a column is missing (the message has the nearest name) or unknown, or an id is not one of that kind of file.
    """
    renames = {old: new for old, new in SYNONYMS.items() if new not in frame.columns and old not in names}
    frame = frame.rename(renames, strict=False)
    if "report_id" not in frame.columns and set(frame.columns) >= PADCHEST:
        return _padchest(path, frame, names)
    key = next((key for key in _ID_COLUMNS if key in frame.columns), "report_id")
    columns.require_only(str(path), frame.columns, [key, *names], also=[*_ID_COLUMNS[key], *CHEXPERT])
    left_out = len(set(frame.columns) - {key, *_ID_COLUMNS[key], *names})
    if key == "report_id":
        return frame.select("report_id", *names), left_out
    pattern, report_id = {"study_id": (_STUDY, "s$1"), "path_to_image": (_IMAGE, "$1")}[key]
    if strange := frame.filter(~pl.col(key).str.contains(pattern)).height:
        raise InputError(f"{path}: column '{key}' has {strange} cells that are not such ids")
    return frame.select(pl.col(key).str.replace(pattern, report_id).alias("report_id"), *names), left_out


def _padchest(path: Path, frame: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, int]:
    """Returns as `to_wide`, one row per report and distinct list of labels: 1 for labels in the list, 0 for all others.

    Rows of other labelers than PadChest's RNN are dropped. So are lists that say nothing about the image: `nan`, an empty list,
    or SILENT words alone (79, 511 and 2,742 of 83,507 reports in the whole file).
    """
    known = {cell: _labels_of(path, cell) for cell in frame["Labels"].unique().to_list()}
    there = {label for labels in known.values() for label in labels}
    if missing := [name for name in names if name.casefold() not in there]:
        listed = ", ".join(columns.with_nearest(missing, sorted(there)))
        raise InputError(f"{path}: no report of PadChest has the label {listed}; name them in the label set as PadChest does")
    rows = frame.filter(pl.col("MethodLabel") == BY_RNN).select("ReportID", "Labels").unique().sort("ReportID", "Labels")
    rows = rows.filter([bool(known[cell] - SILENT) for cell in rows["Labels"]])
    codes = {name: ["1" if name.casefold() in known[cell] else "0" for cell in rows["Labels"]] for name in names}
    made = pl.DataFrame({"report_id": rows["ReportID"], **codes}, schema=dict.fromkeys(["report_id", *names], pl.String))
    return made, len(there - {name.casefold() for name in names})


def _labels_of(path: Path, cell: str) -> frozenset[str]:
    """Returns the labels in a cell that holds a list; an empty set if the cell is blank or `nan`."""
    labels = strings_in(cell)
    if labels is None and not is_missing(cell):
        raise InputError(f"{path}: column 'Labels' has a cell that is no list of labels")
    return frozenset(label.casefold() for label in labels or [])
