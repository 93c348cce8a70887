"""Rows of files that hold reports, one after the other: CSV, TSV, JSON lines, Parquet, folders of text files.

All of them hand on cells as they stand, and a reason where a row is broken; sources/piles.py decides what is a report.
Text is decoded with `surrogateescape`, so that bytes of another encoding spoil their own row only, and can be found there.
"""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import json
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from raddistill.errors import InputError

STDIN = "-"
FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
NOT_UTF8 = "not UTF-8"  # also of characters that no encoding has, such as JSON's "\ud800"
PEEKED = 100  # JSON lines have no header: the columns are the keys of so many lines
PARQUET_ROWS = 1024
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
LONGEST_CELL = 2**31 - 1  # csv's own limit is 128 KiB


class Row(NamedTuple):
    """The cells of the wanted columns; or a reason why there are none, or not all."""

    cells: list[Any]
    reason: str | None = None


class Rows(Protocol):
    """A file, open at its first row."""

    columns: list[str]
    total: int | None  # in any unit, the same as that of `done`; None where unknown

    def rows(self, wanted: list[str]) -> Iterator[Row]: ...

    def done(self) -> int: ...

    def close(self) -> None: ...


def open_rows(source: str, form: str | None, encoding: str) -> Rows:
    """Opens a file, a folder, or "-". `form` is one of FORMATS' values or `folder`; None: by the name, or by the first character.

    Raises:
        InputError: no such file, unknown form or encoding, or not of its form.
    """
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise InputError(f"there is no encoding '{encoding}'; usual ones are utf-8, cp1252, latin-1, utf-16") from None
    path = Path(source)
    form = form or _form_of(source, path)
    if source != STDIN and not path.exists():
        raise InputError(f"{source} does not exist")
    if (form == "folder") != path.is_dir():
        raise InputError(f"{source} is {'a folder, not a file' if path.is_dir() else 'not a folder'}")
    if form == "folder":
        return Folder(path, encoding)
    if form == "parquet":
        return Parquet(source)
    with contextlib.ExitStack() as on_error:
        binary = Binary(source)
        on_error.callback(binary.close)
        try:
            rows = _lines(source, form, binary, encoding)
        except BROKEN_GZIP:
            raise InputError(f"{source} is damaged, or not compressed by gzip") from None
        on_error.pop_all()
    return rows


def _lines(source: str, form: str | None, binary: "Binary", encoding: str) -> Rows:
    if form == "jsonl" or (form is None and binary.begins_with_brace()):
        return JsonLines(source, binary, encoding)
    return Delimited(source, binary, encoding, "\t" if form == "tsv" else ",")


def _form_of(source: str, path: Path) -> str | None:
    if source == STDIN:
        return None
    if path.is_dir():
        return "folder"
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    if suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise InputError(f"{source}: what kind of file is it? Known by name: {known}; else say --input-format")
    return FORMATS[suffix.lower()]


class Binary:
    """The bytes of a file or of standard input, unpacked if the name ends in .gz; knows how far they were read."""

    def __init__(self, source: str) -> None:
        if source == STDIN:
            self._raw: BinaryIO = sys.stdin.buffer
            self.total = None
            self.stream: Any = self._raw if hasattr(self._raw, "peek") else io.BufferedReader(self._raw)
            return
        self._raw = Path(source).open("rb")  # noqa: SIM115 (see `close`)
        size = os.fstat(self._raw.fileno()).st_size
        self.total = size or None
        self.stream = gzip.GzipFile(fileobj=self._raw) if source.lower().endswith(".gz") else self._raw

    def begins_with_brace(self) -> bool:
        return bool(self.stream.peek(1).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"))

    def text(self, source: str, encoding: str, newline: str) -> io.TextIOWrapper:
        """Decoded, a byte order mark taken off.

        Raises:
            InputError: it begins with the mark of UTF-16, and the encoding is another.
        """
        utf8 = codecs.lookup(encoding).name == "utf-8"
        if utf8 and self.stream.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise InputError(f"{source} is UTF-16, not UTF-8: --encoding utf-16")
        return io.TextIOWrapper(self.stream, "utf-8-sig" if utf8 else encoding, errors="surrogateescape", newline=newline)

    def done(self) -> int:
        return self._raw.tell() if self.total else 0

    def close(self) -> None:
        if self._raw is not sys.stdin.buffer:
            self.stream.close()
            self._raw.close()


class _Lines:
    """What CSV and JSON lines share."""

    def __init__(self, source: str, binary: Binary, encoding: str, newline: str) -> None:
        self._source, self._binary, self._encoding = source, binary, encoding
        self.total = binary.total
        self._text = binary.text(source, encoding, newline)
        self._lines = self._guarded()

    def _guarded(self) -> Iterator[str]:
        try:
            yield from self._text
        except UnicodeError:  # encodings in which a wrong byte cannot be kept for its row
            raise InputError(f"{self._source} is not {self._encoding}; another --encoding?") from None
        except BROKEN_GZIP:
            raise InputError(f"{self._source} is damaged: its compressed data end too early or are broken") from None

    def done(self) -> int:
        return self._binary.done()

    def close(self) -> None:
        self._binary.close()


class Delimited(_Lines):
    """CSV or TSV with a header, quoted as RFC 4180 has it: cells may hold line ends."""

    def __init__(self, source: str, binary: Binary, encoding: str, delimiter: str) -> None:
        super().__init__(source, binary, encoding, newline="")
        csv.field_size_limit(LONGEST_CELL)
        # Strict, else a stray quote would swallow the rows that follow without a word.
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        try:
            self.columns = next(self._reader, [])
        except csv.Error:
            raise InputError(f"{source}, line 1: the header is no row of {'TSV' if delimiter != ',' else 'CSV'}") from None
        if not self.columns:
            raise InputError(f"{source} is empty; its first line must name the columns")

    def rows(self, wanted: list[str]) -> Iterator[Row]:
        at = [self.columns.index(column) for column in wanted]
        width = len(self.columns)
        while True:
            line = self._reader.line_num + 1
            try:
                row = next(self._reader, None)
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise InputError(f"{self._source}, line {line}: a quote is opened that nothing closes") from None
                yield Row([None] * len(wanted), "quotes within a cell are not doubled")
                continue
            if row is None:
                return
            if len(row) == width:
                yield Row([row[i] for i in at])
            elif row:  # an empty line is no row; what stands in the place of the id may be part of a report
                yield Row([None] * len(wanted), f"{len(row)} cells, the header has {width}")


class JsonLines(_Lines):
    """An object a line."""

    def __init__(self, source: str, binary: Binary, encoding: str) -> None:
        super().__init__(source, binary, encoding, newline="\n")
        self._objects = (_object(line) for line in self._lines if not line.isspace())
        self._peeked = list(itertools.islice(self._objects, PEEKED))
        known = [row for row in self._peeked if row is not None]
        if self._peeked and not known:
            raise InputError(f"{source}: none of its first lines is a JSON object")
        self.columns = list(dict.fromkeys(key for row in known for key in row))

    def rows(self, wanted: list[str]) -> Iterator[Row]:
        for row in itertools.chain(self._peeked, self._objects):
            if row is None:
                yield Row([None] * len(wanted), "not a JSON object")
            else:
                yield Row([row.get(column) for column in wanted])


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


class Parquet:
    """A Parquet file, some rows of a row group at a time."""

    def __init__(self, source: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if source == STDIN:
            raise InputError("Parquet cannot be read from standard input; write it to a file")
        try:
            self._file = pq.ParquetFile(source)
        except pa.ArrowException:
            raise InputError(f"{source} is not a readable Parquet file") from None
        self._source = source
        self.columns = list(self._file.schema_arrow.names)
        self.total = self._file.metadata.num_rows or None
        self._done = 0

    def rows(self, wanted: list[str]) -> Iterator[Row]:
        import pyarrow as pa

        try:
            for batch in self._file.iter_batches(PARQUET_ROWS, columns=list(dict.fromkeys(wanted))):
                for cells in zip(*(_values(batch.column(column)) for column in wanted), strict=True):
                    self._done += 1
                    yield Row(list(cells))
        except (pa.ArrowException, OSError):
            raise InputError(f"{self._source} is damaged after row {self._done}") from None

    def done(self) -> int:
        return self._done

    def close(self) -> None:
        self._file.close()


def _values(column: Any) -> list[Any]:
    """The cells; text through bytes, so that wrong ones spoil their own row only."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [
            cell if cell is None else cell.decode("utf-8", "surrogateescape") for cell in column.cast("large_binary").to_pylist()
        ]
    return column.to_pylist()


class Folder:
    """A text file a report; its id is its path within the folder without the suffix. Sorted by name, folder by folder."""

    columns = ["report_id", "text"]  # noqa: RUF012
    total: int | None = None

    def __init__(self, folder: Path, encoding: str) -> None:
        self._folder, self._encoding = folder, "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        self._done = 0
        if next(_text_files(folder), None) is None:
            raise InputError(f"{folder} holds no .txt file")

    def rows(self, wanted: list[str]) -> Iterator[Row]:
        for path in _text_files(self._folder):
            self._done += 1
            cells: dict[str, str | None] = {"report_id": path.relative_to(self._folder).with_suffix("").as_posix(), "text": None}
            reason = None
            try:
                cells["text"] = path.read_bytes().decode(self._encoding)
            except UnicodeError:
                reason = NOT_UTF8 if self._encoding == "utf-8-sig" else f"not {self._encoding}"
            except OSError as error:
                reason = f"cannot be read: {error.strerror}"
            yield Row([cells[column] for column in wanted], reason)

    def done(self) -> int:
        return self._done

    def close(self) -> None:
        """Nothing is open."""


def _text_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names) if name.lower().endswith(".txt"))
