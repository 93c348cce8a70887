"""Anyone's own reports: CSV, TSV, Parquet, JSON lines, or a folder of text files, with the columns that params.yaml names.

People's labels stand in annotators' files (sources/gold/annotators.py), with the reports (`extract.files.labels`), or in both.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.reading import columns
from raddistill.reading.cells import as_text, is_blank
from raddistill.reading.report_rows import id_of, reason_against, safe_id
from raddistill.reading.rows import FORMATS, Folder, open_rows
from raddistill.sections import parser
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sections.report_text import section_text
from raddistill.sources.documents import PROGRESS_EVERY, SECTIONS, SHOWN, Document, Failure, Progress, no_progress
from raddistill.sources.gold import annotators
from raddistill.sources.gold.annotators import NO_FINDING

_OF_FOLDERS = {"sensitivity", "format", "encoding", "id", "text"}  # keys that hold for a folder, or stand there as shipped


class FilesParams(Section):
    """What the columns are called; '' where there is none."""

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
    labels: str  # '*': a column a label; else columns of lists, "; " between them


_COLUMNS = [key for key in FilesParams.model_fields if key not in ("sensitivity", "format", "encoding", "labels")]


class Files:
    """A file of reports, a row each, or a folder of text files."""

    name = "files"
    needs_mapping = False

    def __init__(self, p: FilesParams, label_set: list[str], lexicon: SectionLexicon | None = None) -> None:
        """
        Raises:
            ParamsError: no sensitivity is declared; both whole texts and sections are named, or neither; a column is named twice.
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
        """Yields every row, or every text file.

        Raises:
            InputError: no such file, or several; not of its form; a column that is missing or doubled.
        """
        path, count = _file(raw, self._p.format), 0
        with _params_named(), contextlib.closing(open_rows(str(path), self._p.format or None, self._p.encoding)) as rows:
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
        """Returns the rows of those who put labels beside the reports."""
        return annotators.to_gold(annotations, [label.name for label in label_set])

    def _fields(self, path: Path, there: list[str], labels: list[str]) -> dict[str, str]:
        """Returns our name of each column that is read, and the file's. `labels`: columns with codes, read too.

        Raises:
            InputError: a column, also one of labels, is missing or doubled.
        """
        fields = {key: name for key in _COLUMNS if (name := getattr(self._p, key))}
        params = {name: f"extract.files.{key}" for key, name in fields.items()}
        params |= dict.fromkeys(self._annotators, "extract.files.labels")
        columns.require(str(path), there, [*fields.values(), *self._annotators, *labels], params)
        return fields

    def _document(
        self, nameless: Failure, cells: dict[str, Any], listed: dict[str, Any], codes: dict[str, Any]
    ) -> Document | Failure:
        """Returns a row as a document or as a failure.

        `nameless`: the failure of a row without an id, with the reason why it is broken, "" if it is not; `listed` and `codes`:
        the cells of labels, as annotators.py takes them.
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
            patient_id=None if is_blank(patient) else patient,  # else all such reports would be one patient's
            **sections,
            annotations=annotations,
            split=_id(cells.get("split")),
            date=when,
            without_headers=words.without_headers and words.findings is not None,
        )


def _of_folder(p: FilesParams) -> dict[str, str]:
    """Returns what is read of text files.

    Raises:
        ParamsError: a column is named; without a word patients, splits or labels would be left out.
    """
    if named := [key for key in FilesParams.model_fields if key not in _OF_FOLDERS and getattr(p, key)]:
        keys = ", ".join(f"extract.files.{key}" for key in named)
        raise ParamsError(f"{keys}: a folder of text files has no columns, only names and text; set to ''")
    return {"id": "report_id", "text": "text"}


def _section(cells: dict[str, Any], name: str, lexicon: SectionLexicon | None) -> str | None:
    """The words of a column of sections, without a header that says again what stands there ("FINDINGS: Clear lungs.")."""
    cell = cells.get(name) or ""
    words = cell[parser.header_length(cell, name, lexicon) :]
    return section_text(words, none_is_said=name == "comparison")


def _id(cell: Any) -> str | None:
    """Returns an id as text, trimmed; None where there is none."""
    return (as_text(cell) or "").strip() or None


def _file(raw: Path, form: str) -> Path:
    """`raw` itself, or the one file of it that holds rows, or `raw` as a folder of text files.

    Raises:
        InputError: several files that could be meant.
    """
    if not raw.is_dir() or form == "folder":
        return raw
    files = [f for f in sorted(raw.iterdir()) if f.is_file()]
    known = [f for f in files if Path(f.name.removesuffix(".gz")).suffix.lower() in FORMATS]
    if len(known) > 1:
        raise InputError(f"{raw} holds {', '.join(f.name for f in known[:SHOWN])}: name one of {len(known)} files as extract.raw")
    return known[0] if known else raw


def _date(cell: Any) -> str | None:
    """ISO 8601 in UTC, to the microsecond, so that texts compare as times do; None where there is none.

    Raises:
        ValueError: it is no date.
    """
    if is_blank(cell):  # "NaT", too
        return None
    if isinstance(cell, str):
        try:
            cell = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise ValueError("the date is not ISO 8601") from None
    if isinstance(cell, datetime):
        try:
            at = cell.astimezone(UTC) if cell.tzinfo else cell
        except OverflowError:  # the last day of the year 9999, which stands for "never", may be one day more in UTC
            raise ValueError("the date is out of range") from None
        return at.replace(tzinfo=None).isoformat(timespec="microseconds")
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day).isoformat(timespec="microseconds")
    raise ValueError("the date is not ISO 8601")


@contextlib.contextmanager
def _params_named() -> Iterator[None]:
    """Errors of the readers name options of the command line; here they name keys of params.yaml.

    Raises:
        InputError: what the `with` raises, in these words.
    """
    try:
        yield
    except InputError as error:
        message = str(error).replace("--input-format", "extract.files.format")
        raise InputError(message.replace("--encoding", "extract.files.encoding")) from None
