"""Reads labels made by people: in files of annotators below `extract.gold`, one per person, or beside the reports.

`multiple_choice/<annotator>.csv`: report_id and a column per label of the set, with CheXpert's codes; blank is absent.
`open_ended/<annotator>.csv`: report_id, concept, status.
A report that a file does not name was not annotated by that person. A folder without such files is refused, so that a misspelt
path does not give a cohort without gold; but a folder called `none`, such as gold/none, says that nobody annotated anything.

Beside the reports, one column per label has CheXpert's codes, or columns have lists of labels. `Document.annotations` carries
them as strings "annotator<tab>status<tab>label". A string with blank status and label says that the annotator read the report.
"""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import such_as
from raddistill.reading import columns
from raddistill.reading.cells import as_text, is_missing, strings_in
from raddistill.reading.report_rows import reason_against
from raddistill.reading.rows import open_rows
from raddistill.sources.documents import SHOWN
from raddistill.statuses import ABSENT, EXCLUDED, GOLD_CELLS, GOLD_STATUSES, PRESENT
from raddistill.tables.gold import Gold
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED, TASKS

NONE = "none"
WITH_REPORTS = "with_reports"  # the annotator of columns with codes; a column of lists is an annotator of its own
NO_FINDING = "No Finding"
NOTHING = {"normal", "none", "no finding", "no findings"}  # names in a list that say: nothing was found
GOLD = dict.fromkeys(Gold.columns(), pl.String)


def are_in(folder: Path) -> bool:
    """Returns whether the folder `extract.gold` contains annotators' files.

    Raises:
        InputError: there is no such folder, or a folder in it has nearly the name of a task.
    """
    if not folder.is_dir():
        told = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {told}; params.yaml names it as extract.gold; gold/none says that nobody annotated")
    others = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in TASKS]
    for name in others:
        if near := difflib.get_close_matches(name.lower(), TASKS, n=1):
            raise InputError(f"{folder}: the folder {name} is not read; should it be {near[0]}?")
    return any((folder / task).is_dir() for task in TASKS)


def load(folder: Path, label_set: list[Label], concepts: list[Concept], known: pl.Series) -> pl.DataFrame:
    """Returns a Gold table of the annotators' files in `folder`; an empty one for a folder called `none`.

    Raises:
        InputError: as in `load_wide` and `load_long`; or there are no such files, or none of their ids is among the `known`.
    """
    if not are_in(folder):
        if folder.name == NONE:
            return pl.DataFrame(schema=GOLD)
        raise InputError(
            f"{folder} holds no multiple_choice/<annotator>.csv and no open_ended/<annotator>.csv; "
            "if nobody annotated these reports, or their labels stand beside them, set extract.gold to gold/none"
        )
    frames = [load_wide(path, [label.name for label in label_set]) for path in _files(folder / MULTIPLE_CHOICE)]
    frames += [load_long(path, [c.concept for c in concepts]) for path in _files(folder / OPEN_ENDED)]
    gold = pl.concat(frames)
    ids = gold["report_id"].unique().sort()
    if ids.len() and not ids.is_in(known.implode()).any():  # files of another collection, or ids in another form (0012 and 12)
        raise InputError(
            f"{folder}: none of {ids.len()} annotated ids{such_as(ids[0])} is that of a report{such_as(str(known.min()))}; "
            "ids are compared as text"
        )
    return gold


def load_wide(path: Path, labels: list[str]) -> pl.DataFrame:
    """Returns the gold rows of `multiple_choice/<annotator>.csv`. Columns other than `report_id` and `labels` are not read.

    Raises:
        InputError: the file is not a CSV; a column is missing or repeated; an id is blank or repeated; a cell is not a code.
    """
    frame = _cells(path, ["report_id", *labels])
    _refuse_doubled(path, frame, ["report_id"])
    for name in labels:
        _refuse(path, frame.filter(~pl.col(name).is_in(list(GOLD_CELLS))), f"column '{name}' is not 1, 0, -1 or blank")
    return from_wide(frame.select("report_id", *labels), path.stem)


def from_wide(frame: pl.DataFrame, annotator: str) -> pl.DataFrame:
    """Returns the gold rows of a table with `report_id` and one column of CheXpert's codes per label; blank is absent."""
    long = frame.unpivot(index="report_id", variable_name="label", value_name="code")
    status = pl.col("code").replace_strict(GOLD_CELLS, return_dtype=pl.String)
    return _rows(long.with_columns(status=status), MULTIPLE_CHOICE, annotator)


def load_long(path: Path, concepts: list[str]) -> pl.DataFrame:
    """Returns the gold rows of `open_ended/<annotator>.csv`. A blank status means present.

    The other concepts of a report are absent. A row without a concept says that nothing was found.

    Raises:
        InputError: as in `load_wide`; or a concept is not in gold/concepts.csv, or a status is unknown.
    """
    frame = _cells(path, ["report_id", "concept", "status"])
    _refuse_doubled(path, frame, ["report_id", "concept"])
    frame = frame.with_columns(status=pl.when(pl.col("status") == "").then(pl.lit(PRESENT)).otherwise("status"))
    strange = frame.filter(~pl.col("concept").is_in(["", *concepts]))
    near = difflib.get_close_matches(strange["concept"][0], concepts, n=1) if strange.height else []
    _refuse(path, strange, f"column 'concept' is none of gold/concepts.csv{f' (nearest: {near[0]})' if near else ''}")
    words = [status for status in GOLD_STATUSES if status != EXCLUDED]
    _refuse(path, frame.filter(~pl.col("status").is_in(words)), f"column 'status' is none of {', '.join(words)}")
    cells = frame.select("report_id").unique(maintain_order=True).join(pl.DataFrame({"label": concepts}), how="cross")
    said = cells.join(frame, left_on=["report_id", "label"], right_on=["report_id", "concept"], how="left", maintain_order="left")
    return _rows(said.with_columns(pl.col("status").fill_null(ABSENT)), OPEN_ENDED, path.stem)


def _files(folder: Path) -> list[Path]:
    """Returns the CSV files in the folder of a task; [] without a folder. Other files are an error: an annotator left out."""
    there = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    found = [path for path in there if path.suffix == ".csv"]
    others = [path.name for path in there if path.suffix not in (".csv", ".md")]
    if others or (folder.is_dir() and not found):
        told = f", not {', '.join(others[:SHOWN])}" if others else "; there is none"
        raise InputError(f"{folder}: only <annotator>.csv (UTF-8, commas) is read{told}")
    return found


def _cells(path: Path, wanted: list[str]) -> pl.DataFrame:
    """Returns the wanted columns of an annotator's CSV, with trimmed cells. The first column has the ids."""
    with contextlib.closing(open_rows(str(path), "csv", "utf-8")) as rows:
        columns.require(str(path), rows.columns, wanted)
        read = list(rows.rows(wanted))
    for number, row in enumerate(read, start=1):
        if reason := row.reason or reason_against(row.cells[0], row.cells[1:]):
            raise InputError(f"{path}: a row cannot be read (row {number}: {reason})")
    frame = pl.DataFrame([row.cells for row in read], schema=dict.fromkeys(wanted, pl.String), orient="row")
    return frame.select(pl.all().str.strip_chars())


def _rows(frame: pl.DataFrame, task: str, annotator: str) -> pl.DataFrame:
    return frame.with_columns(task=pl.lit(task), annotator=pl.lit(annotator)).select(*GOLD)


def _refuse(path: Path, wrong: pl.DataFrame, what: str) -> None:
    if wrong.height:
        raise InputError(f"{path}: {what} in {wrong.height} rows{such_as(*wrong['report_id'].unique().sort())}")


def _refuse_doubled(path: Path, frame: pl.DataFrame, key: list[str]) -> None:
    doubled = frame.filter(pl.struct(key).is_duplicated())
    _refuse(path, doubled, f"{' and '.join(key)} stand more than once")


def from_lists(columns: Mapping[str, Any], labels: Iterable[str]) -> Iterator[str]:
    """Yields the annotations of a row with lists. `columns`: annotator to cell.

    Raises:
        ValueError: a label is not in the set, or a cell begins like a list but is none. The message does not contain the cell.
    """
    label_of = {name.casefold(): name for name in labels}  # people write lists by hand
    for annotator, cell in columns.items():
        listed = (as_text(cell) or "").strip()
        if not listed or (is_missing(listed, none_is_said=True) and listed.strip("[]")):  # "nan"; but "[]" is an empty list
            continue
        yield f"{annotator}\t\t"
        for name in map(str.casefold, _names_in(listed)):
            if label := label_of.get(name):
                yield f"{annotator}\t{PRESENT}\t{label}"
            elif name not in NOTHING:
                raise ValueError("a label outside of the set")


def from_codes(columns: Mapping[str, Any], labels: Iterable[str]) -> Iterator[str]:
    """Yields the annotations of a row with codes. `columns`: label (or NO_FINDING) to cell. Only blanks: nobody read the report.

    Raises:
        ValueError: a code is none of CheXpert's. The message does not contain the cell.
    """
    codes = {name: (as_text(cell) or "").strip() for name, cell in columns.items()}
    codes = {name: "" if is_missing(code, none_is_said=True) else code for name, code in codes.items()}
    if not any(codes.values()):
        return
    yield f"{WITH_REPORTS}\t\t"
    if any(code not in GOLD_CELLS for code in codes.values()):
        raise ValueError("a code other than 1, 0, -1 and blank")
    for name in labels:
        yield f"{WITH_REPORTS}\t{GOLD_CELLS[codes[name]]}\t{name}"


def to_gold(annotations: Mapping[str, Iterable[str]], labels: list[str]) -> pl.DataFrame:
    """Returns a Gold table with the rows of each annotator of a report. Labels that are not mentioned are absent."""
    rows = []
    for report_id, strings in annotations.items():
        statuses: dict[str, dict[str, str]] = {}
        for annotator, status, label in (string.split("\t") for string in strings):
            statuses.setdefault(annotator, {})[label] = status
        rows += [
            (report_id, MULTIPLE_CHOICE, annotator, label, status_of.get(label, ABSENT))
            for annotator, status_of in statuses.items()
            for label in labels
        ]
    return pl.DataFrame(rows, schema=GOLD, orient="row")


def split_names(text: str) -> list[str]:
    """Returns the names in "Edema; Fracture"."""
    return [part.strip() for part in text.split(";") if part.strip()]


def _names_in(cell: str) -> list[str]:
    """Returns the names in "Edema; Fracture", or in a list as Python, JSON, numpy or Parquet print it."""
    names = strings_in(cell) if cell.startswith("[") else split_names(cell)
    if names is None:
        raise ValueError("labels that are no list of names")
    return names
