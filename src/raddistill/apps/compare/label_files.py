"""Reads label files of any kind. The columns of a file tell which kind it is.

| columns | file |
|---|---|
| report_id, study_id or path_to_image; one per label | CheXpert's codes: `label`, `predict`, CheXpert, CheXbert, MIMIC-CXR |
| report_id, label, status; with or without task, teacher, annotator | `label`, `predict` (long), data/labels, data/gold.parquet |
| report_id, labels | `label`, `predict` (JSON lines) |
| arm, kind | data/decisions.parquet |
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill.errors import InputError
from raddistill.privacy import MOST_WORDS, list_names, may_be_text
from raddistill.reading import columns
from raddistill.reading.cells import NOT_UTF8, as_text, is_utf8
from raddistill.reading.lines import Options
from raddistill.reading.rows import open_rows
from raddistill.scoring.truth import Bools, ByReport, fill_matrix, from_table
from raddistill.statuses import ABSENT, AMBIGUOUS, CHEXPERT_CELLS, GOLD_STATUSES, PRESENT, STATUSES, UNCERTAIN
from raddistill.tables import base as tables
from raddistill.tables.decisions import Decisions
from raddistill.tasks.names import MULTIPLE_CHOICE, TASKS
from raddistill.teachers.imported.teacher import SYNONYMS, read_cells, to_wide

KEYS = ("report_id", "study_id", "path_to_image")  # as `to_wide` knows them
MOST_LABELLERS = 50  # of one file; a pair of each two is compared
KNOWN = list(dict.fromkeys([*STATUSES, *GOLD_STATUSES]))


@dataclass(frozen=True)
class Labeller(ByReport):
    """What a teacher, a model or a person says about its reports, which are sorted by id."""

    name: str
    file: str
    statuses: npt.NDArray[np.object_]  # (reports, labels)
    uncertain: str = PRESENT  # what an uncertain label counts as: present or absent

    @property
    def present(self) -> Bools:
        """(reports, labels): whether a label counts as present."""
        return np.asarray((self.statuses == PRESENT) | ((self.statuses == UNCERTAIN) & (self.uncertain == PRESENT)))

    @property
    def masked(self) -> Bools:
        """(reports, labels): whether a cell of gold is ambiguous."""
        return np.asarray(self.statuses == AMBIGUOUS)


@dataclass
class LabelFile:
    """The labellers of a file, what was not read of it, and report -> text group if the file says so."""

    labellers: list[Labeller] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    text_groups: dict[str, str] = field(default_factory=dict)


def read(word: str, names: list[str], id_column: str | None = None) -> LabelFile:
    """Returns the labels in FILE or NAME=FILE; FILE may be a folder of parts that `predict` wrote.

    NAME is how the labeller is called; if the file has several, it is the one that is wanted. `names`: of the labels.
    `id_column`: read as report_id.

    Raises:
        InputError: the file is missing or unreadable, a label, code, status or labeller is missing or unknown, or ids are no ids.
        TableError: the table of decisions breaks its schema.
    """
    name, _, file = ("", "", word) if "=" not in word or Path(word).exists() else word.partition("=")
    path = Path(file)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    frame = _cells(path, id_column)
    there = set(frame.columns)
    if {"arm", "kind"} <= there:
        columns.require(str(path), frame.columns, Decisions.column_names())
        found = _decisions(path, names)
    elif "arm" in there:
        raise InputError(f"{path} has answers before thresholds; data/decisions.parquet has what the arms decided")
    else:
        found = (_long if {"label", "status"} <= there else _wide)(path, frame, names)
    if strange := len({report for each in found.labellers for report in each.reports if not report or may_be_text(report)}):
        raise InputError(f"{path} has {strange} report ids that are blank or may be text; --id-column names the column of ids")
    several = [each.name for each in found.labellers]
    if name and len(several) > 1:
        found.labellers = [each for each in found.labellers if each.name == name]
    elif name:
        found.labellers = [replace(each, name=name) for each in found.labellers]
    if not found.labellers:
        raise InputError(f"{path} has no labels of '{name}', but of {list_names(several)}")
    return found


def _cells(path: Path, id_column: str | None) -> pl.DataFrame:
    """Returns all cells as trimmed strings, blank ones as "". JSON lines with lists of labels give one row per label."""
    if path.is_dir():
        parts = [part for part in sorted(path.glob("part-*-of-*")) if part.suffix in (".parquet", ".jsonl")]
        if not parts or not parts[0].stem.endswith(f"-of-{len(parts):05}"):
            raise InputError(f"{path} is a folder with {len(parts)} parts of `raddistill predict`, not with all; name a file")
        return pl.concat([_cells(part, id_column) for part in parts])
    if {".tsv", ".jsonl", ".ndjson"}.isdisjoint(path.suffixes):
        frame = read_cells(path, "a label file")
    else:
        with contextlib.closing(open_rows(str(path), None, "utf-8", Options("so by its name", "save it as UTF-8, not"))) as rows:
            columns.refuse_doubled(str(path), rows.columns)
            there = sorted(rows.columns, key=lambda name: name not in (id_column, *KEYS))
            cells = list(rows.rows(there))
        if broken := [f"row {n}: {row.reason}" for n, row in enumerate(cells, start=1) if row.reason]:
            raise InputError(f"{path}: {len(broken)} rows cannot be read ({broken[0]})")
        read = [list(map(as_text, row.cells)) for row in cells]
        if "labels" in there and "label" not in there:
            at, there = there.index("labels"), ["report_id", "label", "status"]
            try:
                read = [
                    [as_text(row.cells[0]), str(said["label"]), str(said["status"])]
                    for row in cells
                    for said in row.cells[at] or [{}]
                ]
            except (TypeError, KeyError):
                raise InputError(f"{path}: 'labels' is not, in every row, a list of objects with label and status") from None
        if strange := sum(not is_utf8("".join(filter(None, row))) for row in read):
            raise InputError(f"{path}: {strange} rows are {NOT_UTF8}")
        frame = pl.DataFrame(read, dict.fromkeys(there, pl.String), orient="row")
        frame = frame.select(pl.all().str.strip_chars().fill_null(""))
    if id_column in frame.columns and id_column != "report_id":
        frame = frame.drop("report_id", strict=False).rename({id_column: "report_id"})
    return frame


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _wide(path: Path, frame: pl.DataFrame, names: list[str]) -> LabelFile:
    key = next((key for key in KEYS if key in frame.columns), None)
    kept = [name for name in frame.columns if name == key or name in names or SYNONYMS.get(name) in names]
    others = [name for name in frame.columns if name not in kept]
    if not key and set(names) <= set(kept):
        hint = "name its column of ids by --id-column; files that lack that column are read as without the option"
        raise InputError(f"{path} has no column 'report_id'; {hint}")
    if key and len(kept) > len(names):  # else `to_wide` says what is missing, and what may be meant by it
        frame = frame.select(kept)
    wide, _ = to_wide(path, frame, names)
    for name in names:
        if strange := wide.filter(~pl.col(name).is_in(list(CHEXPERT_CELLS))).height:
            raise InputError(f"{path}: column '{name}' has {strange} cells that are not 1, 0, -1 or blank")
    found = LabelFile(notes=[f"{path}: columns that were not read: {list_names(others)}"] if others else [])
    wide = wide.select("report_id", pl.col(names).replace_strict(CHEXPERT_CELLS, return_dtype=pl.String))
    wide = _without_differing(path, wide, ["report_id"], found.notes)
    statuses = wide.select(names).to_numpy().astype(object)
    found.labellers.append(Labeller(wide["report_id"].to_list(), _stem(path), str(path), statuses))
    return found


def _long(path: Path, frame: pl.DataFrame, names: list[str]) -> LabelFile:
    columns.require(str(path), frame.columns, ["report_id", "label", "status"])
    who = next((pl.col(name) for name in ("annotator", "teacher") if name in frame.columns), pl.lit(_stem(path)))
    rows = frame.filter(pl.col("task") == MULTIPLE_CHOICE) if "task" in frame.columns else frame
    if strange := rows.filter(~pl.col("status").is_in(KNOWN)).height:
        raise InputError(f"{path}: column 'status' has {strange} cells that are none of {', '.join(KNOWN)}")
    if rows.is_empty():
        raise InputError(f"{path} has no labels of the task {MULTIPLE_CHOICE}; only these are compared")
    known = rows.filter(pl.col("label").is_in(names)).select("report_id", "label", "status", who=who)
    others = rows["label"].n_unique() - known["label"].n_unique()
    if rows["report_id"].n_unique() > known["report_id"].n_unique():  # the labels of open-ended answers are words of reports
        raise InputError(f"{path}: some reports have none of the labels of the set, but {others} others; --label-set names them")
    whose = known.select("who").unique()["who"].to_list()
    if len(whose) > MOST_LABELLERS or any(may_be_text(name, MOST_WORDS) for name in whose):
        raise InputError(f"{path}: the names of its {len(whose)} labellers may be text; a file has {MOST_LABELLERS} at most")
    found = LabelFile(notes=[f"{path}: {others} labels outside of the set were not read"] if others else [])
    if "task" in frame.columns and (strange := frame.filter(~pl.col("task").is_in(TASKS)).height):
        found.notes.append(f"{path}: {strange} rows of an unknown task were not read")
    for (name,), own in known.group_by("who", maintain_order=True):
        cells = _without_differing(path, own.drop("who"), ["report_id", "label"], found.notes)
        reports = cells["report_id"].unique().sort().to_list()
        statuses = fill_matrix(cells.iter_rows(), reports, names, missing="")
        if lacking := [label for label, cut in zip(names, (statuses == "").any(axis=0), strict=True) if cut]:
            raise InputError(f"{path}: some reports of {name} have no row for {', '.join(lacking)}; --label-set names the labels")
        found.labellers.append(Labeller(reports, str(name), str(path), statuses))
    return found


def _without_differing(path: Path, rows: pl.DataFrame, key: list[str], notes: list[str]) -> pl.DataFrame:
    """Returns the rows sorted, equal ones once. Reports that are labelled in two ways are left out, and counted in `notes`."""
    rows = rows.unique().sort(key)
    twice = rows.filter(pl.struct(key).is_duplicated())["report_id"].unique()
    notes += [f"{path}: {twice.len()} reports are left out, since they are labelled in two ways"] if twice.len() else []
    return rows.filter(~pl.col("report_id").is_in(twice.implode()))


def _decisions(path: Path, names: list[str]) -> LabelFile:
    """Reads all arms. A teacher's sub-arms become one labeller again, which is uncertain where present and absent differ."""
    rows = tables.read(Decisions, path).filter(pl.col("task") == MULTIPLE_CHOICE)
    arms = {str(arm): from_table(own, names) for (arm,), own in rows.sort("arm").group_by("arm", maintain_order=True)}
    found = LabelFile(text_groups=dict(rows.select("report_id", "text_group").unique().iter_rows()))
    for arm, decisions in arms.items():
        teacher, _, policy = arm.rpartition("_")
        statuses = np.where(decisions.decided, PRESENT, ABSENT).astype(object)
        merged = policy == "present" and f"{teacher}_absent" in arms
        if merged:
            statuses[decisions.decided & ~arms[f"{teacher}_absent"].select(decisions.reports).decided] = UNCERTAIN
        if not (policy == "absent" and f"{teacher}_present" in arms):
            found.labellers.append(Labeller(decisions.reports, teacher if merged else arm, str(path), statuses))
    return found
