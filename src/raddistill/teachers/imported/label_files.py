"""Published label files, each turned into the wide form: `report_id`, a column for each label, CheXpert's codes as strings.

A form is known by its columns:

`report_id`                          the wide form itself
`study_id` (and `subject_id`)        the negbio and chexpert files of MIMIC-CXR-JPG; their report is "s<study_id>"
`path_to_image`                      the chexbert JSON lines of CheXpert Plus, a line an image; the report is "<patient>/<study>"
                                     of that path
`ReportID`, `MethodLabel`, `Labels`  PadChest's CSV, a row an image; only its RNN's labels, as those of physicians are gold

The first three may hold any of CheXpert's columns beside those of the label set. Any other column is refused: it may be a label
in another spelling.
"""

from pathlib import Path

import polars as pl

from raddistill.errors import InputError
from raddistill.privacy import list_names
from raddistill.reading import columns
from raddistill.reading.cells import is_missing, strings_in
from raddistill.reading.delimited import read_csv

# The columns that CheXpert's labelers, and all who ran them, write (Irvin et al. 2019, arXiv 1901.07031, table 1).
CHEXPERT = [
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
]  # fmt: skip
SYNONYMS = {"Airspace Opacity": "Lung Opacity"}  # MIMIC-CXR 2.1.0 has the first
LINES = {".json", ".jsonl", ".ndjson"}
PADCHEST = {"ReportID", "MethodLabel", "Labels"}
BY_RNN = "RNN_model"
SILENT = {"exclude", "unchanged"}  # PadChest's words for sentences that do not describe this image; gold/padchest has them, too
# The column of the report's id, by which a form is known, and its other columns that are no labels.
_ID_COLUMNS: dict[str, list[str]] = {"report_id": [], "study_id": ["subject_id"], "path_to_image": []}
_UNREADABLE = "is not a readable CSV (UTF-8, comma), .parquet file or file of JSON lines"
_STUDY = r"^s?(\d+)(?:\.0)?$"  # the digits of "50414267", "s50414267", "50414267.0"
_IMAGE = r"^(?:.*/)?([^/]+/[^/]+)/[^/]+$"  # "patient00001/study1" of "train/patient00001/study1/view1_frontal.jpg"


def read(path: Path, param: str) -> pl.DataFrame:
    """Returns all cells as trimmed strings, blank ones "". `param` is the key of params.yaml that names the file.

    Raises:
        InputError: no such file, one that cannot be read, two columns of one name, lists or objects in cells.
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
    """Parquet or JSON lines."""
    frame = None
    try:
        frame = pl.read_parquet(path) if suffix == ".parquet" else pl.read_ndjson(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the machine's; polars' own, of damaged gzip, have none
            raise
    if frame is None:  # raised here, as polars' own error quotes cells and would stay its context
        raise InputError(f"{path} {_UNREADABLE}")
    return frame


def wide(path: Path, frame: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, int]:
    """Returns `report_id` and the columns `names` of any known form, and how many other labels were left out.

    Raises:
        InputError: a column is missing (the nearest name is in the message) or unknown, or an id is of another form.
    """
    elsewhere = {old: new for old, new in SYNONYMS.items() if new not in frame.columns and old not in names}
    frame = frame.rename(elsewhere, strict=False)
    if "report_id" not in frame.columns and set(frame.columns) >= PADCHEST:
        return _padchest(path, frame, names)
    key = next((key for key in _ID_COLUMNS if key in frame.columns), "report_id")
    require(path, frame, [key, *names], also=[*_ID_COLUMNS[key], *CHEXPERT])
    left_out = len(set(frame.columns) - {key, *_ID_COLUMNS[key], *names})
    if key == "report_id":
        return frame.select("report_id", *names), left_out
    form, made = {"study_id": (_STUDY, "s$1"), "path_to_image": (_IMAGE, "$1")}[key]
    if strange := frame.filter(~pl.col(key).str.contains(form)).height:
        raise InputError(f"{path}: column '{key}' has {strange} cells that are of another form")
    return frame.select(pl.col(key).str.replace(form, made).alias("report_id"), *names), left_out


def require(path: Path, frame: pl.DataFrame, wanted: list[str], also: list[str]) -> None:
    """As columns.require_only."""
    columns.require_only(str(path), frame.columns, wanted, also)


def _padchest(path: Path, frame: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, int]:
    """Returns a row for each list that PadChest's RNN gives for a report: labels of the set that are in it are 1, all others 0.

    A report is not in the result where the list says nothing of its image: `nan`, an empty list, or SILENT words alone (79, 511
    and 2,742 of 83,507 reports, counted over all of the file).
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
    """Returns the labels of a cell, which holds a list; none where it says nan or nothing."""
    labels = strings_in(cell)
    if labels is None and not is_missing(cell):
        raise InputError(f"{path}: column 'Labels' has a cell that is no list of labels")
    return frozenset(label.casefold() for label in labels or [])
