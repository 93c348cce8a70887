"""Label files of others, each turned to the wide form: `report_id`, a column for each label, CheXpert's codes as strings.

A form is known by its columns:
`report_id`: the wide form itself;
`study_id` (and `subject_id`): the negbio and chexpert files of MIMIC-CXR-JPG, whose report is "s<study_id>";
`path_to_image`: the chexbert JSON lines of CheXpert Plus, a line an image, whose report is "<patient>/<study>" in that path;
`ReportID`, `MethodLabel`, `Labels`: PadChest's CSV, a row an image. Its RNN's labels only: those of physicians are gold.
"""

import ast
import difflib
import re
from pathlib import Path

import polars as pl

from raddistill.errors import InputError

SYNONYMS = {"Airspace Opacity": "Lung Opacity"}  # MIMIC-CXR 2.1.0 has the first
NO_FINDING = "No Finding"  # says nothing that the other labels do not
LINES = {".json", ".jsonl", ".ndjson"}
PADCHEST = {"ReportID", "MethodLabel", "Labels"}
BY_RNN = "RNN_model"
_STUDY = r"^s?(\d+)(?:\.0)?$"
_DOUBLED = re.compile(r"_duplicated_\d+$")
_IMAGE = r"^(?:.*/)?([^/]+/[^/]+)/[^/]+$"


def read(path: Path, param: str) -> pl.DataFrame:
    """All cells as trimmed strings, blank ones "". `param` is the key of params.yaml that names the file.

    Raises:
        InputError: no such file, one that cannot be read, lists or objects in cells.
    """
    unpacked = path.with_suffix("") if path.suffix == ".gz" else path
    try:
        if unpacked.suffix == ".parquet":
            frame = pl.read_parquet(path)
        elif unpacked.suffix in LINES:
            frame = pl.read_ndjson(path, infer_schema_length=None)
        else:
            frame = pl.read_csv(path, infer_schema=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; params.yaml names it as {param}") from None
    except pl.exceptions.PolarsError:
        raise InputError(f"{path} is not a readable CSV (UTF-8, comma), .parquet file or file of JSON lines") from None
    if nested := [name for name, kind in frame.schema.items() if kind.is_nested()]:
        raise InputError(f"{path}: columns {', '.join(nested)} hold lists or objects, not codes")
    if doubled := [name for name in frame.columns if _DOUBLED.search(name)]:  # polars' names for the second of two
        raise InputError(f"{path}: column '{_DOUBLED.sub('', doubled[0])}' stands there twice; keep one")
    return frame.select(pl.all().cast(pl.String).str.strip_chars().fill_null(""))


def wide(path: Path, frame: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, int]:
    """`report_id` and the columns `names` of any known form, and how many columns of labels were left out.

    Raises:
        InputError: a column is missing (the nearest name is told) or unknown, or an id is of another form.
    """
    old = {new: old for old, new in SYNONYMS.items() if old in frame.columns and new not in frame.columns}
    frame = frame.rename({old[new]: new for new in old if new in names})
    if "report_id" in frame.columns:
        require(path, frame, ["report_id", *names], also=[NO_FINDING])
        return frame.select("report_id", *names), len({NO_FINDING} & set(frame.columns) - set(names))
    if frame.columns and set(frame.columns) >= PADCHEST:
        return _padchest(path, frame, names)
    for key, form, made in (("study_id", _STUDY, "s$1"), ("path_to_image", _IMAGE, "$1")):
        if key in frame.columns:
            left_out = set(frame.columns) - {key, "subject_id", *names}
            require(path, frame, [key, *names], also=list(left_out | {"subject_id"}))
            if strange := frame.filter(~pl.col(key).str.contains(form)).height:
                raise InputError(f"{path}: column '{key}' has {strange} cells that are of another form")
            # Rows of images: those of one report that say the same are one.
            report_id = pl.col(key).str.replace(form, made).alias("report_id")
            return frame.select(report_id, *names).unique(maintain_order=True), len(left_out)
    require(path, frame, ["report_id", *names], also=[NO_FINDING])
    raise AssertionError("a file without an id was let through")


def require(path: Path, frame: pl.DataFrame, columns: list[str], also: list[str]) -> None:
    """Nothing if `frame` has all of `columns` and no others but `also`.

    Raises:
        InputError: names what is missing, what is unknown, and what may have been meant.
    """
    missing = [name for name in columns if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in columns + also]
    if not missing and not unknown:
        return
    others = [name for name in frame.columns if name not in columns]
    near = {name: difflib.get_close_matches(name, others, n=1, cutoff=0.7) for name in missing}
    told = [f"{name} (is it {near[name][0]}?)" if near[name] else name for name in missing]
    said = [f"{what}: {', '.join(names)}" for what, names in (("missing", told), ("unknown", unknown)) if names]
    raise InputError(f"{path}: columns {'; '.join(said)}; rename or drop them, matching is by name")


def _padchest(path: Path, frame: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, int]:
    """Labels of the set that PadChest's RNN lists for a report are 1, all others 0. Letter case does not matter.

    A report whose labels are `nan` has none, and is not in the result: nothing was said of it.
    """
    known = {said: _listed(path, said) for said in frame["Labels"].unique().to_list()}
    there = {label for labels in known.values() if labels for label in labels}
    if missing := [name for name in names if name.casefold() not in there]:
        near = {m: difflib.get_close_matches(m.casefold(), sorted(there), n=1) for m in missing}
        told = ", ".join(f"{m} (is it {near[m][0]}?)" if near[m] else m for m in missing)
        raise InputError(f"{path}: no report of PadChest has the label {told}; name them in the label set as PadChest does")
    rows = frame.filter(pl.col("MethodLabel") == BY_RNN).select("ReportID", "Labels").unique()
    by_report: dict[str, set[str]] = {}
    for report_id, said in rows.iter_rows():
        if (labels := known[said]) is not None:
            by_report.setdefault(report_id, set()).update(labels)
    columns = {name: ["1" if name.casefold() in labels else "0" for labels in by_report.values()] for name in names}
    made = pl.DataFrame({"report_id": list(by_report), **columns}, schema=dict.fromkeys(["report_id", *names], pl.String))
    return made.sort("report_id"), len(there - {name.casefold() for name in names})


def _listed(path: Path, said: str) -> frozenset[str] | None:
    """The labels of a cell, which is a list as Python writes it; None where it says nan or nothing."""
    if said in {"", "nan"}:
        return None
    try:
        return frozenset(label.strip().casefold() for label in ast.literal_eval(said) if label.strip())
    except (ValueError, SyntaxError, AttributeError, TypeError):
        raise InputError(f"{path}: column 'Labels' has a cell that is no list of labels") from None
