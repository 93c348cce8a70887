"""Text files of rows, with or without gzip, or from standard input: the common base, and JSON lines.

Text is decoded with `surrogateescape`, so that bytes of another encoding affect only their own row.
"""

import codecs
import gzip
import io
import itertools
import json
import math
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from raddistill.errors import InputError

STDIN = "-"
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"  # first bytes of such files
PEEKED = 100  # JSON lines have no header: the columns are the keys of the first lines
_CONSTANTS = {"Infinity": math.inf, "-Infinity": -math.inf}  # no NaN: pandas writes it for a missing value
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


def named(source: str) -> str:
    """Returns the name of the source in messages."""
    return "standard input" if source == STDIN else source


class Row(NamedTuple):
    """The cells of the wanted columns. `reason`: why cells are missing, if the row is broken."""

    cells: list[Any]
    reason: str | None = None


class Options(NamedTuple):
    """What the user names format and encoding of a file by, for messages: options of the command line, or keys of params.yaml."""

    format: str
    encoding: str


COMMAND_LINE = Options("--input-format", "--encoding")


class Binary:
    """The bytes of a file or of standard input, unpacked from gzip, with the amount that was read."""

    def __init__(self, source: str, options: Options = COMMAND_LINE) -> None:
        self.name, self.options = named(source), options
        self._raw: Any = sys.stdin.buffer if source == STDIN else Path(source).open("rb")  # noqa: SIM115 (see `close`)
        self.total = None if source == STDIN else os.fstat(self._raw.fileno()).st_size or None
        self.stream: Any = self._raw if hasattr(self._raw, "peek") else io.BufferedReader(self._raw)
        if source.lower().endswith(".gz") or self.begins_with(GZIP):
            self.stream = gzip.GzipFile(fileobj=self.stream)

    def begins_with(self, mark: bytes, skipped: bytes = b"") -> bool:
        """Returns whether the file begins with `mark`, after bytes that are `skipped`."""
        try:
            return bool(self.stream.peek(len(mark)).lstrip(skipped).startswith(mark))
        except BROKEN_GZIP:
            raise InputError(f"{self.name} is damaged, or not compressed by gzip") from None

    def text(self, encoding: str, newline: str) -> io.TextIOWrapper:
        """Returns the decoded stream, without a byte order mark.

        Raises:
            InputError: it begins with the byte order mark of UTF-16, but the encoding is UTF-8.
        """
        utf8 = codecs.lookup(encoding).name == "utf-8"
        if utf8 and any(map(self.begins_with, (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))):
            raise InputError(f"{self.name} is UTF-16, not UTF-8: {self.options.encoding} utf-16")
        return io.TextIOWrapper(self.stream, "utf-8-sig" if utf8 else encoding, errors="surrogateescape", newline=newline)

    def done(self) -> int:
        return self._raw.tell() if self.total else 0

    def close(self) -> None:
        if self._raw is not sys.stdin.buffer:
            self.stream.close()
            self._raw.close()


class TextRows:
    """The common base of CSV and JSON lines."""

    def __init__(self, binary: Binary, encoding: str, newline: str) -> None:
        self._binary, self._encoding = binary, encoding
        self.total, self.done, self.close = binary.total, binary.done, binary.close
        self._text = binary.text(encoding, newline)
        self._lines = self._guarded()

    def _guarded(self) -> Iterator[str]:
        try:
            yield from self._text
        except UnicodeError:  # an encoding without surrogateescape
            raise InputError(f"{self._binary.name} is not {self._encoding}; another {self._binary.options.encoding}?") from None
        except BROKEN_GZIP:
            raise InputError(f"{self._binary.name} is damaged: its compressed data end too early or are broken") from None


class JsonLines(TextRows):
    """A file with one JSON object per line."""

    def __init__(self, binary: Binary, encoding: str) -> None:
        super().__init__(binary, encoding, newline="\n")
        self._objects = (_object(line) for line in self._lines if not line.isspace())
        self._peeked = list(itertools.islice(self._objects, PEEKED))
        known = [row for row in self._peeked if row is not None]
        if self._peeked and not known:
            raise InputError(f"{binary.name}: none of its first lines is a JSON object")
        self.columns = list(dict.fromkeys(key for row in known for key in row))
        self.not_expected: frozenset[str] = frozenset()  # a row with one of these keys that is not in `columns` is set aside

    def rows(self, wanted: list[str]) -> Iterator[Row]:
        for row in itertools.chain(self._peeked, self._objects):
            if row is None:
                yield Row([None] * len(wanted), "not a JSON object")
            elif late := sorted(self.not_expected.intersection(row).difference(self.columns)):
                yield Row([row.get(wanted[0]), *[None] * (len(wanted) - 1)], f"the first {PEEKED} lines have no '{late[0]}'")
            else:
                yield Row([row.get(column) for column in wanted])


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line, parse_constant=_CONSTANTS.get)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
