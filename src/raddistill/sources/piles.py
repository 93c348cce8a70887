"""A pile of reports in a file that somebody hands in: which columns hold them, what is a report, what is not.

Every row becomes a report or a reject with its reason; none is dropped. Only some rows are in memory at any time, and a hash
of 8 bytes for each id (about 70 MB for a million), by which an id that comes twice is found.
"""

import contextlib
import difflib
import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple, Self

from raddistill.cells import NOT_UTF8, is_utf8
from raddistill.errors import InputError
from raddistill.lines import Row, named
from raddistill.privacy import ID_IS_TEXT, is_name, may_be_text
from raddistill.sources import headers, markup, readers, sectioning
from raddistill.sources.markup import Plain
from raddistill.sources.readers import Rows
from raddistill.tables.piles import Batch, Reject, Report

BATCH_ROWS = 512
BATCH_CHARACTERS = 1 << 20
DEFAULTS = {"id": "report_id", "text": "text", "findings": "findings", "impression": "impression"}
NOT_SHOWN = 40  # columns


class Columns(NamedTuple):
    """What the columns are called; None where the user did not say."""

    id: str | None = None
    text: str | None = None
    findings: str | None = None
    impression: str | None = None


class Pile:
    """Reports in a file, a folder, or standard input ("-"); open until the end of its `with`."""

    def __init__(self, source: str, columns: Columns, form: str | None = None, encoding: str = "utf-8") -> None:
        """
        Raises:
            InputError: no such file, unknown form, or a column that it does not have.
        """
        self._file: Rows = readers.open_rows(source, form, encoding)
        self.name = named(source)
        self.total = self._file.total
        with contextlib.ExitStack() as on_error:
            on_error.callback(self._file.close)
            self._id, self._of = choose(self.name, self._file.columns, columns)
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def batches(self) -> Iterator[Batch]:
        """All rows in their order, once."""
        digest = hashlib.blake2b(digest_size=16)
        reports: list[Report] = []
        rejects: list[Reject] = []
        seen: set[int] = set()
        characters = 0
        for number, row in enumerate(self._file.rows([self._id, *self._of.values()]), start=1):
            read = self._read(number, row, seen)
            digest.update(repr(read).encode())
            if isinstance(read, Report):
                reports.append(read)
                characters += sum(len(words) for pieces in read.sections.values() for _, words in pieces)
            else:
                rejects.append(read)
            if len(reports) + len(rejects) == BATCH_ROWS or characters > BATCH_CHARACTERS:
                yield Batch(len(reports) + len(rejects), reports, rejects, digest.hexdigest(), self._file.done())
                reports, rejects, characters = [], [], 0
        if reports or rejects:
            yield Batch(len(reports) + len(rejects), reports, rejects, digest.hexdigest(), self._file.done())

    def find(self, report_id: str) -> Report:
        """The first report with this id.

        Raises:
            InputError: there is none, or its row cannot be used.
        """
        rows = 0
        for batch in self.batches():
            for report in batch.reports:
                if report.report_id == report_id:
                    return report
            for reject in batch.rejects:
                if reject.report_id == report_id:
                    raise InputError(f"{self.name}, row {reject.row}: report {report_id} cannot be used: {reject.reason}")
            rows += batch.rows
        raise InputError(f"no report {report_id} among the {rows:,} of {self.name}")

    def _read(self, number: int, row: Row, seen: set[int]) -> Report | Reject:
        cells = [None if cell != cell else cell for cell in row.cells]  # noqa: PLR0124 - NaN, which pandas has for nothing
        report_id = _id_of(cells[0])
        reason = row.reason or _reason(report_id, cells[1:])
        if reason or report_id is None:
            return Reject(number, _told(report_id), reason or "")
        if hash(report_id) in seen:
            return Reject(number, report_id, "report_id stands in an earlier row, too")
        plain = {section: markup.plain(cell or "") for section, cell in zip(self._of, cells[1:], strict=True)}
        sections = self._sections(plain)
        if not sections:
            there = any(headers.strip(cell.text) for cell in plain.values())
            return Reject(number, report_id, "no findings and no impression" if there else "no text")
        seen.add(hash(report_id))
        of = {section: plain[section if section in plain else "text"] for section in sections}
        origins = {section: (cell.starts, cell.ends) for section, cell in of.items() if cell.starts and cell.ends}
        return Report(number, report_id, sections, origins)

    def _sections(self, cells: dict[str, Plain]) -> dict[str, list[tuple[int, str]]]:
        if "text" in cells:
            return headers.split(cells["text"].text)
        stripped = {section: headers.strip(sectioning.plain_letters(cell.text)) for section, cell in cells.items()}
        return {section: [piece] for section, piece in stripped.items() if piece}


def choose(name: str, there: list[str], asked: Columns) -> tuple[str, dict[str, str]]:
    """The column of the id, and by section those that are read: `text`, or `findings` and `impression`.

    Sections go before a whole text if both of their columns are there and the user named no other.

    Raises:
        InputError: a column that is not there, or one that is there twice; both `text` and sections were named.
    """
    if asked.text and (asked.findings or asked.impression):
        raise InputError(
            "--text-column is for reports in one column, --findings-column and --impression-column for two: name one kind"
        )
    named = {key: getattr(asked, key) or default for key, default in DEFAULTS.items()}
    sections = {key: named[key] for key in ("findings", "impression")}
    if asked.text:
        wanted = {"text": named["text"]}
    elif asked.findings or asked.impression:
        # the other one too if it was named or is there
        wanted = {key: column for key, column in sections.items() if getattr(asked, key) or column in there}
    elif all(column in there for column in sections.values()) or "text" not in there:
        wanted = {key: column for key, column in sections.items() if column in there} or {"text": named["text"]}
    else:
        wanted = {"text": named["text"]}
    for key, column in {"id": named["id"], **wanted}.items():
        if there.count(column) != 1:
            raise InputError(_missing(name, there, key, column))
    return named["id"], wanted


def _missing(name: str, there: list[str], key: str, column: str) -> str:
    """Says which columns there are, unless they look like a report: a file without a header has its first row there."""
    if column in there:
        return f"{name} has more than one column '{column}'; rename all but one"
    if len(there) == 1 and (mark := next((mark for mark in ";\t|" if mark in there[0]), None)):
        return f"{name} has one column only; is it separated by {mark!r}? Commas are read, and tabs (--input-format tsv)"
    lower = {each.lower(): each for each in reversed(there)}
    if not all(map(is_name, there)):
        return f"{name} has no column '{column}': its first line does not look like names of columns; it needs a header"
    near = [lower[each] for each in difflib.get_close_matches(column.lower(), lower, n=1)]
    told = ", ".join(there[:NOT_SHOWN]) + (f" and {len(there) - NOT_SHOWN} more" if len(there) > NOT_SHOWN else "")
    if any(map(may_be_text, there)) and not any(difflib.get_close_matches(usual, lower, n=1) for usual in DEFAULTS.values()):
        told = f"{len(there)}, not shown here, as words of a report may stand in the place of a header"
    hint = f"did you mean '{near[0]}'? " if near else ""
    also = " (or --findings-column, --impression-column)" if key == "text" else ""
    return f"{name} has no column '{column}'; {hint}name it by --{key}-column{also}. There are: {told or 'none'}"


def _id_of(cell: Any) -> Any:
    """Text as it stands; a whole number as its digits, also of a float (numbers with gaps) or a decimal (a database)."""
    if isinstance(cell, float | Decimal) and cell % 1 == 0:
        cell = int(cell)
    return str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell


def _reason(report_id: Any, cells: list[Any]) -> str | None:
    if report_id is None or (isinstance(report_id, str) and not report_id.strip()):
        return "blank report_id"
    if not isinstance(report_id, str):
        return "report_id is neither text nor a whole number"
    if any(not isinstance(cell, str) for cell in cells if cell is not None):
        return "the report is not text"
    if not all(is_utf8(cell) for cell in (report_id, *cells) if cell is not None):
        return NOT_UTF8
    if may_be_text(report_id):
        return ID_IS_TEXT
    return None


def _told(report_id: Any) -> str | None:
    """The id of a row that is put aside, if it can be told."""
    if not isinstance(report_id, str):
        return None
    printable = report_id.encode("utf-8", "replace").decode()
    return None if may_be_text(printable) else printable
