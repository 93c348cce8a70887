"""Anyone's own reports: CSV, TSV, Parquet, JSON lines, or a folder of text files, with the columns that params.yaml names.

People's labels stand in annotators' files (sources/gold/annotators.py), with the reports (`extract.files.labels`), or in both.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.privacy import ID_IS_TEXT, may_be_text
from raddistill.reading import columns
from raddistill.reading.cells import NOT_UTF8, is_missing, is_utf8, strings_in
from raddistill.reading.rows import FORMATS, Folder, Rows, open_rows
from raddistill.sections import parser
from raddistill.sections.compose import section_text
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sources.documents import SHOWN, TOLD, Document, Failure, Tell, untold
from raddistill.sources.gold.annotators import GOLD
from raddistill.statuses import ABSENT, GOLD_CELLS, PRESENT

WITH_REPORTS = "with_reports"  # the annotator whose labels stand in columns beside the reports; of a list it is its column's name
NO_FINDING = "No Finding"
NOTHING = {"normal", "none", "no finding", "no findings"}  # in a list of labels: read, and nothing found
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
        self._label_of = {name.casefold(): name for name in label_set}  # people write lists by hand
        self._annotators = [] if p.labels == "*" else _parts(p.labels)

    def read(self, raw: Path, tell: Tell = untold) -> Iterator[Document | Failure]:
        """Every row, or every text file.

        Raises:
            InputError: no such file, or several; not of its form; a column that is missing or doubled.
        """
        path = _file(raw, self._p.format)
        rows = self._open(path)
        try:
            there = rows.columns
            of = self._of_folder() if isinstance(rows, Folder) else self._columns(path, there)
            labels = [name for name in (*self._label_set, NO_FINDING) if self._p.labels == "*" and name in there]
            wanted = [*of.values(), *labels]
            count = 0
            for count, row in enumerate(self._told(rows.rows(wanted)), start=1):
                if count % TOLD == 0:
                    tell(rows.done(), rows.total)
                said = (None if cell != cell else cell for cell in row.cells)  # noqa: PLR0124 - NaN, as pandas writes JSON's null
                cells = dict(zip([*of, *(f"={name}" for name in labels)], said, strict=True))
                yield self._made(Failure(path.name, row.reason or "", count), cells)
            if not count:
                raise InputError(f"{path} holds no report")
        finally:
            rows.close()

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """The rows of those who put labels beside the reports."""
        rows = []
        for report_id, said in annotations.items():
            statuses: dict[str, dict[str, str]] = {}
            for annotator, status, label in (one.split("\t") for one in said):
                statuses.setdefault(annotator, {})[label] = status
            rows += [
                (report_id, "multiple_choice", annotator, label.name, of.get(label.name, ABSENT))
                for annotator, of in statuses.items()
                for label in label_set
            ]
        return pl.DataFrame(rows, schema=GOLD, orient="row")

    def _open(self, path: Path) -> Rows:
        try:
            return open_rows(str(path), self._p.format or None, self._p.encoding)
        except InputError as error:
            raise _in_our_words(error) from None

    def _told(self, rows: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from rows
        except InputError as error:
            raise _in_our_words(error) from None

    def _of_folder(self) -> dict[str, str]:
        """What is read of text files.

        Raises:
            ParamsError: a column is named; without a word patients, splits or labels would be left out.
        """
        if named := [key for key in FilesParams.model_fields if key not in _OF_FOLDERS and getattr(self._p, key)]:
            told = ", ".join(f"extract.files.{key}" for key in named)
            raise ParamsError(f"{told}: a folder of text files has no columns, only names and text; set to ''")
        return {"id": "report_id", "text": "text"}

    def _columns(self, path: Path, there: list[str]) -> dict[str, str]:
        """What is read: our word to the file's column.

        Raises:
            InputError: a column that is missing or doubled.
        """
        of = {key: name for key in _COLUMNS if (name := getattr(self._p, key))} | {f"@{name}": name for name in self._annotators}
        labels = [*self._label_set, *([NO_FINDING] if NO_FINDING in there else [])] if self._p.labels == "*" else []
        param_of = {name: f"extract.files.{'labels' if key.startswith('@') else key}" for key, name in of.items()}
        columns.require(str(path), there, [*of.values(), *labels], param_of)
        return of

    def _made(self, nameless: Failure, cells: dict[str, Any]) -> Document | Failure:
        """A row; `nameless` is the failure of one without an id, with the reason why the row is broken, "" if it is not."""
        report_id = identity(cells["id"])
        reason = nameless.reason or _reason(report_id, cells)
        if not report_id or not is_utf8(report_id) or may_be_text(report_id):
            return replace(nameless, reason=reason or ID_IS_TEXT)
        if reason:
            return Failure(report_id, reason)
        try:
            when = _date(cells.get("date"))
            annotations = tuple(self._annotations(cells))
        except ValueError as error:
            return Failure(report_id, str(error))
        patient = identity(cells.get("patient"))
        words = parser.words(cells.get("text") or "", self._lexicon)
        return Document(
            report_id=report_id,
            patient_id=None if is_missing(patient or "") else patient,  # else all such reports would be one patient's
            findings=_section(cells, "findings", self._lexicon) or words.findings,
            impression=_section(cells, "impression", self._lexicon) or words.impression,
            indication=_section(cells, "indication", self._lexicon) or words.indication,
            comparison=_section(cells, "comparison", self._lexicon) or words.comparison,
            annotations=annotations,
            split=identity(cells.get("split")),
            date=when,
            without_headers=words.without_headers and words.findings is not None,
        )

    def _annotations(self, cells: dict[str, Any]) -> Iterator[str]:
        """Annotator, status and label of what is said, tabs between them; the last two blank where a person read the report.

        Raises:
            ValueError: a code that is none of CheXpert's, a label that is not of the set (said without the cell).
        """
        for annotator in self._annotators:
            listed = identity(cells.get(f"@{annotator}"))
            if listed and not (is_missing(listed, none_is_said=True) and listed.strip("[]")):  # "nan"; "[]" is an empty list
                yield f"{annotator}\t\t"
                for said in map(str.casefold, _listed(listed)):
                    if label := self._label_of.get(said):
                        yield f"{annotator}\t{PRESENT}\t{label}"
                    elif said not in NOTHING:
                        raise ValueError("a label outside of the set")
        codes = {key[1:]: identity(cell) or "" for key, cell in cells.items() if key.startswith("=")}
        codes = {name: "" if is_missing(code, none_is_said=True) else code for name, code in codes.items()}
        if not any(codes.values()):
            return
        yield f"{WITH_REPORTS}\t\t"
        for name, code in codes.items():
            if code not in GOLD_CELLS:
                raise ValueError("a code other than 1, 0, -1 and blank")
            if name in self._label_set:
                yield f"{WITH_REPORTS}\t{GOLD_CELLS[code]}\t{name}"


def _section(cells: dict[str, Any], name: str, lexicon: SectionLexicon | None) -> str | None:
    """The words of a column of sections, without a header that says again what stands there ("FINDINGS: Clear lungs.")."""
    cell = cells.get(name) or ""
    words = cell[parser.header_length(cell, name, lexicon) :]
    return None if is_missing(words, none_is_said=name == "comparison") else section_text(words)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _listed(cell: str) -> list[str]:
    """The labels of "Edema; Fracture", or of a list as Python, JSON, numpy or Parquet have it.

    Raises:
        ValueError: it begins as a list and is none (said without the cell).
    """
    if not cell.startswith("["):
        return _parts(cell)
    labels = strings_in(cell)
    if labels is None:
        raise ValueError("labels that are no list of names")
    return labels


def identity(cell: Any) -> str | None:
    """An id as text: trimmed; of a whole number its digits, also of a float (numbers with gaps). None where there is none."""
    if isinstance(cell, float) and cell % 1 == 0:
        cell = int(cell)
    return None if cell is None else str(cell).strip() or None


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


def _reason(report_id: str | None, cells: dict[str, Any]) -> str | None:
    """Why a row is no report."""
    if report_id is None or is_missing(report_id):
        return "blank report id"
    for key, name in (("id", "report id"), ("patient", "patient id")):
        if isinstance(cells.get(key), bool | list | dict):
            return f"the {name} is neither text nor a number"
    if (patient := identity(cells.get("patient"))) and not is_missing(patient) and may_be_text(patient):
        return "the patient id is no id but text"
    for key, cell in cells.items():
        if key in ("text", "findings", "impression", "indication", "comparison") and not isinstance(cell, str | None):
            return "the report is not text"
        if isinstance(cell, str) and not is_utf8(cell):
            return NOT_UTF8
    return None


def _date(cell: Any) -> str | None:
    """ISO 8601 in UTC, to the microsecond, so that texts compare as times do; None where there is none.

    Raises:
        ValueError: it is no date.
    """
    if cell is None or (isinstance(cell, str) and is_missing(cell)):  # "NaT", too
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


def _in_our_words(error: InputError) -> InputError:
    """The readers speak to the command line."""
    told = str(error).replace("--input-format", "extract.files.format")
    return InputError(told.replace("--encoding", "extract.files.encoding"))
