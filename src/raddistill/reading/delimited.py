"""Reads rows of CSV and TSV files, and finds those that an unquoted line end has cut in two."""

import contextlib
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raddistill.errors import InputError
from raddistill.privacy import may_be_text
from raddistill.reading.cells import NOT_UTF8, is_utf8
from raddistill.reading.lines import Binary, Row, TextRows

if TYPE_CHECKING:
    import polars as pl

CHUNK = 10_000  # rows that are Python objects at a time
_INDEX = ("", "unnamed: 0", "index")  # names of the first column that pandas writes, which has numbers
_NOTHING = " \t\r\x00\x1a"  # white space, and characters with which old systems end a file
LONGEST_CELL = 2**31 - 1  # csv's own limit is 128 KiB
LINE_END = "a line end within a cell without quotes"
_LONE_CR = "\udc0d"  # replaces a CR within a line while the rows are parsed; no decoding yields this character


class Delimited(TextRows):
    """CSV or TSV with a header, quoted as in RFC 4180: quoted cells may contain line ends.

    If rows end in LF or CRLF, a lone CR belongs to its cell, and the row is read if its number of cells is right. Any other
    unquoted line end splits a row in two. An example with the columns id and text:

        a,No effusion       the first part looks like a whole row
        or edema.           the rest has too few cells, or text in place of the id

    Such a rest is set aside, and so is the row next to it, which may be the other part.
    """

    def __init__(self, binary: Binary, encoding: str, delimiter: str) -> None:
        super().__init__(binary, encoding, newline="")
        csv.field_size_limit(LONGEST_CELL)
        self._has_lone_cr = False  # of the current row
        # Strict, else a stray quote would silently swallow the following rows.
        self._reader = csv.reader(self._with_lone_cr(), delimiter=delimiter, strict=True)
        try:
            self.columns = next(self._reader, [])
        except csv.Error:
            raise InputError(f"{binary.name}, line 1: the header is no row of {'TSV' if delimiter != ',' else 'CSV'}") from None
        if not self.columns:
            raise InputError(f"{binary.name} is empty; its first line must name the columns")

    def rows(self, wanted: list[str]) -> Iterator[Row]:
        """Yields the cells of the wanted columns, of which the first has the ids, of every row; of a broken row, at most the id.

        A row is held back as `above` until the next one shows whether it was cut.
        """
        at = [self.columns.index(column) for column in wanted]
        id_is_first = at[0] == 0
        above: Row | None = None
        above_is_rest = above_is_cut = False
        for cells, reason in self.records():
            is_rest = bool(cells) and self._is_rest(cells, at)
            if above and not above.reason and is_rest and not above_is_rest:
                above = _set_aside(above.cells[0], wanted, LINE_END)  # it may continue in this row
            if above:
                yield above
            if reason:  # the cell in place of the id may be report text, unless it begins the row
                above = _set_aside(cells[0] if id_is_first and reason == LINE_END else None, wanted, reason)
            elif above_is_cut and not id_is_first:
                above = _set_aside(cells[at[0]], wanted, LINE_END)  # it may be the end of the row above
            elif is_rest and not may_be_text(cells[at[0]]):
                above = _set_aside(None, wanted, LINE_END)
            else:
                above = Row([cells[i] for i in at])
            above_is_rest, above_is_cut = is_rest, is_rest or 0 < len(cells) < len(self.columns)
        if above:
            yield above

    def _is_rest(self, cells: list[str], at: list[int]) -> bool:
        """Returns whether these cells may be the rest of the row above, which an unquoted line end has cut."""
        if len(cells) < len(self.columns):
            return len(cells) == 1 or may_be_text(cells[0])
        is_index = 0 not in at and self.columns[0].strip().lower() in _INDEX
        return may_be_text(cells[at[0]]) or (is_index and may_be_text(cells[0]))

    def records(self) -> Iterator[tuple[list[str], str | None]]:
        """Yields all cells of every row, and the reason if they are unusable. Empty lines are skipped.

        Raises:
            InputError: a quote is never closed.
        """
        width = len(self.columns)
        while True:
            line = self._reader.line_num + 1
            self._has_lone_cr = False
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise InputError(f"{self._binary.name}, line {line}: a quote is opened that nothing closes") from None
                yield [], "quotes within a cell are not doubled"
                continue
            if cells is None:
                return
            if not any(cell.strip(_NOTHING) for cell in cells):
                continue  # an empty line, also as spreadsheets write it (",,"), or the end of some files
            if self._has_lone_cr:
                cells = [cell.replace(_LONE_CR, "\r") for cell in cells]
                cells[-1] = cells[-1].rstrip("\r")  # "\r\r\n", which ends the row
            if len(cells) == width:
                yield cells, None
            else:
                yield cells, LINE_END if self._has_lone_cr else f"{len(cells)} cells, the header has {width}"

    def _with_lone_cr(self) -> Iterator[str]:
        """Yields the lines, with CRs within a line replaced by _LONE_CR. If the first line ends in a CR, every CR ends a line."""
        held: list[str] = []
        cr_ends_lines: bool | None = None
        for line in self._lines:
            if cr_ends_lines is None:
                cr_ends_lines = line.endswith("\r")
            if line.endswith("\r") and not cr_ends_lines:
                held.append(line[:-1])
            elif held:
                self._has_lone_cr = True
                yield _LONE_CR.join([*held, line])
                held = []
            else:
                yield line
        if held:
            self._has_lone_cr = True
            yield _LONE_CR.join(held)


def _set_aside(report_id: str | None, wanted: list[str], reason: str) -> Row:
    return Row([report_id, *[None] * (len(wanted) - 1)], reason)


def read_csv(path: Path) -> "tuple[list[str], pl.DataFrame]":
    """Returns the names of the columns, and all rows as strings, of a CSV (UTF-8, commas, with or without gzip).

    The columns of the returned table are numbered, since two columns of the file may have the same name.

    Raises:
        FileNotFoundError: the file does not exist.
        InputError: it is not such a CSV, or a row cannot be read. The message has the row's number and the reason.
    """
    import polars as pl

    with contextlib.closing(Binary(str(path))) as binary:
        table = Delimited(binary, "utf-8", ",")
        schema = dict.fromkeys(map(str, range(len(table.columns))), pl.String)
        rows = _whole(path, table.records())
        chunks = [pl.DataFrame(schema=schema)]
        while chunk := list(itertools.islice(rows, CHUNK)):
            chunks.append(pl.DataFrame(chunk, schema=schema, orient="row"))
        return table.columns, pl.concat(chunks)


def _whole(path: Path, records: Iterator[tuple[list[str], str | None]]) -> Iterator[list[str]]:
    for number, (cells, reason) in enumerate(records, start=1):
        if reason or not is_utf8("".join(cells)):
            raise InputError(f"{path}, row {number}: {reason or NOT_UTF8}")
        yield cells
