"""Reads reports of your own: CSV, TSV, Parquet, JSON lines, or a folder of text files, with the columns that params.yaml names.

Labels made by people are in annotators' files, beside the reports (`extract.files.labels`), or in both (gold/annotators.py).
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.reading import columns
from raddistill.reading.cells import as_text, is_blank
from raddistill.reading.lines import Options
from raddistill.reading.report_rows import id_of, reason_against, safe_id
from raddistill.reading.rows import FORMATS, Folder, open_rows
from raddistill.sections import parser
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sections.report_text import section_text
from raddistill.sources.documents import PROGRESS_EVERY, SECTIONS, SHOWN, Document, Failure, Progress, no_progress
from raddistill.sources.gold import annotators
from raddistill.sources.gold.annotators import NO_FINDING

OPTIONS = Options("extract.files.format", "extract.files.encoding")
_OF_FOLDERS = {"sensitivity", "format", "encoding", "id", "text"}  # keys that hold for a folder, or stand there as shipped


class FilesParams(Section):
    """The section extract.files: the name of each column; '' if the file has no such column."""

    sensitivity: Literal["", "public", "credentialed", "phi"]
    format: Literal["", "csv", "tsv", "jsonl", "parquet", "folder"]
    encoding: str
    id: str
    patient: str
    text: str
    findings: str
    impression: str
    indication: str
    comparison: str
    date: str
    split: str
    labels: str  # '*': one column per label of the set; else the names of columns with lists, separated by "; "


_COLUMNS = [key for key in FilesParams.model_fields if key not in ("sensitivity", "format", "encoding", "labels")]


class Files:
    """A file with one report per row, or a folder with one text file per report."""

    name = "files"
    needs_mapping = False

    def __init__(self, p: FilesParams, label_set: list[str], lexicon: SectionLexicon | None = None) -> None:
        """
        Raises:
            ParamsError: no sensitivity is given; both whole texts and sections are named, or neither; a column is named twice.
        """
        if not p.sensitivity:
            raise ParamsError("extract.files.sensitivity: say whether these reports are public, credentialed or phi")
        if bool(p.text) == bool(p.findings or p.impression):
            raise ParamsError(
                "extract.files: name the column `text` of whole reports, or `findings` and `impression`; set the others to ''"
            )
        named = [name for key in _COLUMNS if (name := getattr(p, key))]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ParamsError(f"extract.files names the column '{twice[0]}' twice; each of {', '.join(_COLUMNS)} is another one")
        self.sensitivity: str = p.sensitivity
        self._p, self._label_set = p, label_set
        self._lexicon = lexicon  # as of parser.read
        self._coded, self._annotators = (label_set, []) if p.labels == "*" else ([], annotators.split_names(p.labels))

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every row or text file, as a document or a failure.

        Raises:
            InputError: the file is missing, not in its format or without rows; a folder has several; a column is missing or
                repeated.
        """
        path, count = _file(raw, self._p.format), 0
        with contextlib.closing(open_rows(str(path), self._p.format or None, self._p.encoding, OPTIONS)) as rows:
            labels = [*self._coded, NO_FINDING] if self._coded and NO_FINDING in rows.columns else self._coded
            fields = _of_folder(self._p) if isinstance(rows, Folder) else self._fields(path, rows.columns, labels)
            wanted = [*fields.values(), *self._annotators, *labels]
            for count, row in enumerate(rows.rows(wanted), start=1):
                if count % PROGRESS_EVERY == 0:
                    progress(rows.done(), rows.total)
                cells = iter(row.cells)
                # zip asks for the next name first, so each of the three takes its own cells
                by_field, listed, codes = (dict(zip(names, cells, strict=False)) for names in (fields, self._annotators, labels))
                yield self._document(Failure(path.name, row.reason or "", count), by_field, listed, codes)
            if not count:
                raise InputError(f"{path} holds no report")

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """Returns a Gold table of the labels beside the reports."""
        return annotators.to_gold(annotations, [label.name for label in label_set])

    def _fields(self, path: Path, there: list[str], labels: list[str]) -> dict[str, str]:
        """Returns the key in FilesParams of each column, and the file's name of it. Raises an InputError if one is missing."""
        fields = {key: name for key in _COLUMNS if (name := getattr(self._p, key))}
        params = {name: f"extract.files.{key}" for key, name in fields.items()}
        params |= dict.fromkeys(self._annotators, "extract.files.labels")
        columns.require(str(path), there, [*fields.values(), *self._annotators, *labels], params)
        return fields

    def _document(
        self, nameless: Failure, cells: dict[str, Any], listed: dict[str, Any], codes: dict[str, Any]
    ) -> Document | Failure:
        """Returns a row as a document or a failure. `listed` and `codes`: the cells of labels, as annotators.py takes them.

        `nameless`: the failure if the row has no id, with the reason why the row is broken, or "" if it is not.
        """
        report_id = (id_of(cells["id"]) or "").strip()
        texts = [cells.get(name) for name in ("text", *SECTIONS)]
        others = itertools.chain(cells.values(), listed.values(), codes.values())
        if reason := nameless.reason or reason_against(cells["id"], texts, others, cells.get("patient")):
            has_name = report_id and safe_id(report_id) == report_id
            return Failure(report_id, reason) if has_name else replace(nameless, reason=reason)
        try:
            when = _date(cells.get("date"))
            labels = (annotators.from_lists(listed, self._label_set), annotators.from_codes(codes, self._label_set))
            annotations = tuple(itertools.chain(*labels))
        except ValueError as error:
            return Failure(report_id, str(error))
        patient = _id(cells.get("patient"))
        words = parser.words(cells.get("text") or "", self._lexicon)
        sections = {name: _section(cells, name, self._lexicon) or getattr(words, name) for name in SECTIONS}
        return Document(
            report_id=report_id,
            patient_id=None if is_blank(patient) else patient,  # else all such reports would be of one patient
            **sections,
            annotations=annotations,
            split=_id(cells.get("split")),
            date=when,
            without_headers=words.without_headers and words.findings is not None,
        )


def _of_folder(p: FilesParams) -> dict[str, str]:
    """Returns the columns of a folder. Raises a ParamsError if params.yaml names others, which would be silently left out."""
    if named := [key for key in FilesParams.model_fields if key not in _OF_FOLDERS and getattr(p, key)]:
        keys = ", ".join(f"extract.files.{key}" for key in named)
        raise ParamsError(f"{keys}: a folder of text files has no columns, only names and text; set to ''")
    return {"id": "report_id", "text": "text"}


def _section(cells: dict[str, Any], name: str, lexicon: SectionLexicon | None) -> str | None:
    """Returns the words of the column of a section, without a header that repeats its name ("FINDINGS: Clear lungs.")."""
    cell = cells.get(name) or ""
    words = cell[parser.header_length(cell, name, lexicon) :]
    return section_text(words, none_is_said=name == "comparison")


def _id(cell: Any) -> str | None:
    """Returns an id as trimmed text; None for a blank cell."""
    return (as_text(cell) or "").strip() or None


def _file(raw: Path, form: str) -> Path:
    """Returns the only file of the folder `raw` that has rows, else `raw`. Raises an InputError if there are several."""
    if not raw.is_dir() or form == "folder":
        return raw
    files = [f for f in sorted(raw.iterdir()) if f.is_file()]
    known = [f for f in files if Path(f.name.removesuffix(".gz")).suffix.lower() in FORMATS]
    if len(known) > 1:
        raise InputError(f"{raw} holds {', '.join(f.name for f in known[:SHOWN])}: name one of {len(known)} files as extract.raw")
    return known[0] if known else raw


def _date(cell: Any) -> str | None:
    """Returns a date as ISO 8601 in UTC, to the microsecond, so that texts compare as times do; None for a blank cell ("NaT").

    Raises:
        ValueError: the cell is not a date.
    """
    if is_blank(cell):
        return None
    try:
        when = datetime.fromisoformat(cell.strip()) if isinstance(cell, str) else cell
        if not isinstance(when, date):
            raise ValueError
        at = when if isinstance(when, datetime) else datetime.combine(when, time.min)
        at = at.astimezone(UTC) if at.tzinfo else at
    except OverflowError:  # the last day of the year 9999, which stands for "never", may be one day more in UTC
        raise ValueError("the date is out of range") from None
    except ValueError:
        raise ValueError("the date is not ISO 8601") from None
    return at.replace(tzinfo=None).isoformat(timespec="microseconds")
