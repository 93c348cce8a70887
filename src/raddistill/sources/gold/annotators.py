"""What people wrote of reports of any source, in files below `extract.gold`, a file a person.

`multiple_choice/<annotator>.csv`: report_id and a column a label of the set, CheXpert's codes; blank is absent.
`open_ended/<annotator>.csv`: report_id, concept, status.
A report that a file does not name was not annotated by that person. A folder that holds none of this is refused, unless it is
called `none`, as gold/none is: then nobody annotated anything. Else a misspelt path would be a cohort without gold.
"""

import contextlib
import difflib
from pathlib import Path

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import such_as
from raddistill.reading import columns
from raddistill.reading.report_rows import reason_against
from raddistill.reading.rows import open_rows
from raddistill.sources.documents import SHOWN
from raddistill.statuses import ABSENT, EXCLUDED, GOLD_CELLS, GOLD_STATUSES, PRESENT
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED, TASKS

NONE = "none"
GOLD = dict.fromkeys(["report_id", "task", "annotator", "label", "status"], pl.String)


def are_in(folder: Path) -> bool:
    """Returns whether the folder `extract.gold` holds annotators' files.

    Raises:
        InputError: there is no such folder; a folder in it is called nearly as one that would.
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
    """Returns the rows (GOLD) of each annotator, of the reports that he or she annotated; none for a folder called `none`.

    Raises:
        InputError: as `load_wide` and `load_long`; there are no annotators' files; none of their ids is among the `known`.
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
    _refuse_other_ids(gold["report_id"], known, folder)
    return gold


def load_wide(path: Path, labels: list[str]) -> pl.DataFrame:
    """Gold rows of `multiple_choice/<annotator>.csv`: `report_id` and a column a label; blank is absent. Others are not read.

    Raises:
        InputError: not a CSV; a column missing or doubled; an id that is blank or stands twice; a cell that is no code.
    """
    frame = _cells(path, ["report_id", *labels])
    _refuse_doubled(path, frame, ["report_id"])
    for name in labels:
        _refuse(path, frame.filter(~pl.col(name).is_in(list(GOLD_CELLS))), f"column '{name}' is not 1, 0, -1 or blank")
    long = frame.select("report_id", *labels).unpivot(index="report_id", variable_name="label", value_name="code")
    status = pl.col("code").replace_strict(GOLD_CELLS, return_dtype=pl.String)
    return _rows(long.with_columns(status=status), MULTIPLE_CHOICE, path.stem)


def load_long(path: Path, concepts: list[str]) -> pl.DataFrame:
    """Gold rows of `open_ended/<annotator>.csv`: report_id, concept, status (blank: present).

    A report's other concepts are absent; a row without a concept says that nothing was found.

    Raises:
        InputError: as `load_wide`; a concept that is not in gold/concepts.csv, another status.
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
    """Returns the CSV files of the folder of a task, [] where there is none.

    Raises:
        InputError: it holds no CSV file, or any other beside them, as one in another form is an annotator left out.
    """
    there = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    found = [path for path in there if path.suffix == ".csv"]
    others = [path.name for path in there if path.suffix not in (".csv", ".md")]
    if others or (folder.is_dir() and not found):
        told = f", not {', '.join(others[:SHOWN])}" if others else "; there is none"
        raise InputError(f"{folder}: only <annotator>.csv (UTF-8, commas) is read{told}")
    return found


def _cells(path: Path, wanted: list[str]) -> pl.DataFrame:
    """Returns the wanted columns of an annotator's CSV, cells trimmed, blank ones empty. The first column is that of the ids."""
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


def _refuse_other_ids(annotated: pl.Series, known: pl.Series, folder: Path) -> None:
    """Annotators' files that name none of the reports are of another collection, or write ids otherwise (0012 and 12)."""
    ids = annotated.unique().sort()
    if ids.len() and not ids.is_in(known.implode()).any():
        raise InputError(
            f"{folder}: none of {ids.len()} annotated ids{such_as(ids[0])} is that of a report{such_as(str(known.min()))}; "
            "ids are compared as text"
        )
