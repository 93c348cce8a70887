"""Opens any table of reports and yields its rows: text files (delimited.py, lines.py), Parquet, folders of text files.

Cells are passed on unchanged, with a reason if a row is broken. The callers decide what is a report.
"""

import codecs
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill.errors import InputError
from raddistill.reading.cells import NOT_UTF8
from raddistill.reading.delimited import Delimited
from raddistill.reading.lines import COMMAND_LINE, PARQUET, STDIN, Binary, JsonLines, Options, Row

FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
PARQUET_ROWS = 1024


class Parquet:
    """A Parquet file, read in batches of rows."""

    def __init__(self, source: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if source == STDIN:
            raise InputError("Parquet cannot be read from standard input; write it to a file")
        try:
            self._file = pq.ParquetFile(source)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # an error of the system; those of pyarrow have none
                raise
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
    """Returns the cells. NaN, a missing value in pandas, is None.

    Text is decoded here, so that wrong bytes affect only their own row. Hive writes text as plain bytes.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    if any(is_kind(column.type) for is_kind in kinds):
        bytes_or_null = column.cast("large_binary").to_pylist()
        return [cell if cell is None else cell.decode("utf-8", "surrogateescape") for cell in bytes_or_null]
    return [None if cell != cell else cell for cell in column.to_pylist()]  # noqa: PLR0124 - NaN


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
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names) if name.lower().endswith(".txt"))


def _refuse(error: OSError) -> None:
    """Raises the error of a folder that cannot be read: `os.walk` would silently skip its reports."""
    raise error


# A file, open at its first row. `rows(wanted)` yields the wanted cells of every row; `wanted` has the id column first. A broken
# row has a reason and at most the id. `done()` and `total` (None if unknown) have the same unit.
Rows = Delimited | JsonLines | Parquet | Folder


def open_rows(source: str, form: str | None, encoding: str, options: Options = COMMAND_LINE) -> Rows:
    """Opens a file, a folder, or "-". `form`: a value of FORMATS or `folder`; None: by the name, or by the first character.

    `options`: what the user names format and encoding by.

    Raises:
        InputError: the file is missing or not in its format, or the format or encoding is unknown.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)  # also refuses codecs that are no text encodings, such as base64
    except LookupError:
        raise InputError(f"there is no encoding '{encoding}'; usual ones are utf-8, cp1252, latin-1, utf-16") from None
    path = Path(source)
    if source != STDIN and not path.exists():
        raise InputError(f"{source} does not exist")
    form = form or _form_of(source, path, options)
    if (form == "folder") != path.is_dir():
        raise InputError(f"{source} is {'a folder, not a file' if path.is_dir() else 'not a folder'}")
    if form == "folder":
        return Folder(path, encoding)
    if form == "parquet":
        return Parquet(source)
    with contextlib.ExitStack() as on_error:
        binary = Binary(source, options)
        on_error.callback(binary.close)
        rows = _lines(form, binary, encoding)
        on_error.pop_all()
    return rows


def _lines(form: str | None, binary: Binary, encoding: str) -> Rows:
    if binary.begins_with(PARQUET):
        how = f"named .parquet or with {binary.options.format} parquet"
        raise InputError(f"{binary.name} is Parquet, which is read from a file only, {how}")
    if form == "jsonl" or (form is None and binary.begins_with(b"{", skipped=b"\xef\xbb\xbf \t\r\n")):
        return JsonLines(binary, encoding)
    return Delimited(binary, encoding, "\t" if form == "tsv" else ",")


def _form_of(source: str, path: Path, options: Options) -> str | None:
    if source == STDIN:
        return None
    if path.is_dir():
        return "folder"
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    if suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise InputError(f"{source}: what kind of file is it? Known by name: {known}; else say {options.format}")
    return FORMATS[suffix.lower()]
