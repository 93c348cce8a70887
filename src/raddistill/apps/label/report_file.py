"""Reports in a file, a folder or standard input: every row becomes a report, or a reject with its reason.

Only a batch of rows is in memory at any time, and a hash of 8 bytes for each id (about 70 MB for a million), by which an id that
comes twice is found.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple, Self

from raddistill.apps.label.options import Columns
from raddistill.errors import InputError
from raddistill.reading import columns as reading_columns
from raddistill.reading.cells import is_missing
from raddistill.reading.lines import JsonLines, Row, named
from raddistill.reading.report_rows import BLANK_ID, id_of, reason_against, safe_id
from raddistill.reading.rows import Rows, open_rows
from raddistill.sections import markup, parser
from raddistill.sections.lexicon import BOTH, FINDINGS, IMPRESSION
from raddistill.sections.markup import Plain
from raddistill.sections.report_text import plain_letters

BATCH_ROWS = 512
BATCH_CHARACTERS = 1 << 20
DEFAULTS = {"id": "report_id", "text": "text", "findings": "findings", "impression": "impression"}
# What stands under FINDINGS AND IMPRESSION is read as findings, once.
_READ_AS = {FINDINGS: FINDINGS, BOTH: FINDINGS, IMPRESSION: IMPRESSION}

Piece = tuple[int, str]  # where words begin in their cell (or file), in code points; the words


class Report(NamedTuple):
    """One report. `sections` maps findings, impression, or text (a report without sections) to its pieces.

    If a cell holds markup, its pieces count without it. `origins` then has, by section, the start and the end of each character
    in the cell as it was written.
    """

    row: int  # 1 for the first row of data
    report_id: str
    sections: dict[str, list[Piece]]
    origins: dict[str, tuple[list[int], list[int]]] = {}  # noqa: RUF012 (nobody writes to it)


class Reject(NamedTuple):
    """A row that cannot be labelled, and why in a few fixed words. Never holds text of the report."""

    row: int
    report_id: str | None
    reason: str


class Shard(NamedTuple):
    """One of `of` shares of a file, by hash of the id: rows with one id are in one share, whatever its place in the file."""

    number: int  # 1 to `of`
    of: int

    def holds(self, report_id: str | None, row: int) -> bool:
        """Returns whether a row is in this share. Rows without an id are shared out by their number."""
        key = zlib.crc32((report_id or "").encode("utf-8", "surrogateescape")) if report_id else row
        return key % self.of == self.number - 1


WHOLE_FILE = Shard(1, 1)


class Batch(NamedTuple):
    """Consecutive rows of a file, each of which became either a report or a reject."""

    reports: list[Report]
    rejects: list[Reject]
    done: int  # how far the file is read, in the unit of its `total`


class ReportFile:
    """Reports in a file, a folder, or standard input ("-"); open until the end of its `with`."""

    def __init__(self, source: str, columns: Columns, form: str | None = None, encoding: str = "utf-8") -> None:
        """
        Raises:
            InputError: no such file, unknown form, or a column that it does not have.
        """
        self._file: Rows = open_rows(source, form, encoding)
        self.name = named(source)
        self.total = self._file.total
        try:
            self._id, self._columns = choose_columns(self.name, self._file.columns, columns)
        except InputError:
            self._file.close()
            raise
        if isinstance(self._file, JsonLines) and len(self._columns) == 1 and not columns.text:
            # A section that comes after the lines that were looked at must not be passed over without a word.
            self._file.not_expected = frozenset(("findings", "impression"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def batches(self, shard: Shard = WHOLE_FILE) -> Iterator[Batch]:
        """Yields all rows of the shard in their order, in batches. It can be called once, as the file is read only once."""
        reports: list[Report] = []
        rejects: list[Reject] = []
        seen: set[int] = set()
        characters = 0
        for number, row in enumerate(self._file.rows([self._id, *self._columns.values()]), start=1):
            if not shard.holds(id_of(row.cells[0]), number):
                continue
            read = self._read(number, row, seen)
            if isinstance(read, Report):
                reports.append(read)
                characters += sum(len(words) for pieces in read.sections.values() for _, words in pieces)
            else:
                rejects.append(read)
            if len(reports) + len(rejects) == BATCH_ROWS or characters > BATCH_CHARACTERS:
                yield Batch(reports, rejects, self._file.done())
                reports, rejects, characters = [], [], 0
        if reports or rejects:
            yield Batch(reports, rejects, self._file.done())

    def find(self, report_id: str) -> Report:
        """Returns the first report with this id.

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
            rows += len(batch.reports) + len(batch.rejects)
        raise InputError(f"no report {report_id} among the {rows:,} of {self.name}")

    def _read(self, number: int, row: Row, seen: set[int]) -> Report | Reject:
        """Returns a row as a report or as a reject. `seen` holds the hashes of the ids of earlier reports."""
        report_id, cells = id_of(row.cells[0]), row.cells[1:]
        reason = row.reason or reason_against(row.cells[0], cells)
        if reason or report_id is None:
            return Reject(number, safe_id(report_id), reason or BLANK_ID)
        if hash(report_id) in seen:
            return Reject(number, report_id, "report_id stands in an earlier row, too")
        plain = {section: markup.plain(cell or "") for section, cell in zip(self._columns, cells, strict=True)}
        sections = _sections(plain)
        if not sections:
            has_words = "text" in plain and _strip(plain["text"].text)
            return Reject(number, report_id, "no findings and no impression" if has_words else "no text")
        seen.add(hash(report_id))
        cell_of = {section: plain[section if section in plain else "text"] for section in sections}
        origins = {section: (cell.starts, cell.ends) for section, cell in cell_of.items() if cell.starts and cell.ends}
        return Report(number, report_id, sections, origins)


def choose_columns(source: str, there: list[str], asked: Columns) -> tuple[str, dict[str, str]]:
    """Returns the column of the id, and by section the columns that are read: `text`, or `findings` and `impression`.

    If the user names none, sections go before a whole text where both of their columns are there.

    Raises:
        InputError: a column is missing or there twice, or the user named both `text` and sections.
    """
    if asked.text and (asked.findings or asked.impression):
        raise InputError(
            "--text-column is for reports in one column, --findings-column and --impression-column for two: name one kind"
        )
    named = {key: getattr(asked, key) or default for key, default in DEFAULTS.items()}
    sections = {key: named[key] for key in ("findings", "impression")}
    present = {key: column for key, column in sections.items() if column in there}
    wanted = {"text": named["text"]}
    if asked.findings or asked.impression:
        # The other section, too, if it was named or is there.
        wanted = {key: column for key, column in sections.items() if getattr(asked, key) or key in present}
    elif not asked.text and present and (len(present) == len(sections) or "text" not in there):
        wanted = present
    required = [named["id"], *wanted.values()]
    if "text" not in wanted:  # "Findings" beside "impression" would be passed over without a word
        lower = {column.lower() for column in there}
        required += [name for key, name in sections.items() if key not in wanted and name.lower() in lower]
    options = {named[key]: f"--{key}-column" for key in DEFAULTS}
    if "text" in wanted:
        options[named["text"]] += " (or --findings-column, --impression-column)"
    reading_columns.require(source, there, required, options, "(--input-format tsv)")
    return named["id"], wanted


def split_sections(text: str) -> dict[str, list[Piece]]:
    """Returns the pieces of `findings` and `impression`; all as one piece of `text` where the text has no header.

    `text` has no markup. The words are those of the text, with plain line ends and letters.
    """
    text = plain_letters(text)
    found = parser.read(text)
    if not found.headers:
        whole = _strip(text)
        return {"text": [whole]} if whole else {}
    sections: dict[str, list[Piece]] = {}
    for section in found.sections:
        if section.name in _READ_AS and (piece := _strip(text[section.start : section.end])):
            sections.setdefault(_READ_AS[section.name], []).append((section.start + piece[0], piece[1]))
    return sections


def _sections(cells: dict[str, Plain]) -> dict[str, list[Piece]]:
    """Returns the pieces of a report: of its one cell `text`, split at the headers, or of a cell for each section."""
    if "text" in cells:
        return split_sections(cells["text"].text)
    stripped = {section: _strip(plain_letters(cell.text), header=section) for section, cell in cells.items()}
    return {section: [piece] for section, piece in stripped.items() if piece}


def _strip(words: str, header: str = "") -> Piece | None:
    """Returns the words without white space around them, and where they begin; None for words such as "", "nan", "None.".

    `header`: the section, whose header may stand in its column again ("FINDINGS: Clear lungs.").
    """
    begin = parser.header_length(words, header) if header else 0
    stripped = words[begin:].strip()
    return None if is_missing(stripped) else (words.index(stripped[0], begin), stripped)
