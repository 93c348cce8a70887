"""Reads published label files as wide tables: `report_id`, a column for each label, CheXpert's codes as strings.

The columns tell which kind of file it is:

`report_id`                          a wide table already
`study_id` (and `subject_id`)        the negbio and chexpert files of MIMIC-CXR-JPG; `report_id` is "s<study_id>"
`path_to_image`                      the chexbert JSON lines of CheXpert Plus, one line per image; `report_id` is
                                     "<patient>/<study>" of that path
`ReportID`, `MethodLabel`, `Labels`  PadChest's CSV, one row per image. Only rows that its RNN labelled are kept, since those of
                                     physicians are gold

The first three may have any of CheXpert's columns in addition to those of the label set. Any other column is refused, as it may
be a label in another spelling.
"""

from pathlib import Path

import polars as pl

from raddistill.errors import InputError
from raddistill.privacy import list_names
from raddistill.reading import columns
from raddistill.reading.cells import is_missing, strings_in
from raddistill.reading.delimited import read_csv

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


def read(path: Path, param: str) -> pl.DataFrame:
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


def wide(path: Path, frame: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, int]:
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
    """Returns as `wide`, one row per report and distinct list of labels: 1 for labels in the list, 0 for all others.

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
