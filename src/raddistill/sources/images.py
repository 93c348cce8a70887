"""A CSV with a row an image, as cohorts of pictures come: its rows, from which a source gathers reports."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill.errors import InputError
from raddistill.sources import columns, readers
from raddistill.sources.documents import Failure


def the_file(raw: Path, pattern: str) -> Path:
    """`raw`, or the one file of that pattern in the folder `raw`.

    Raises:
        InputError: the folder holds none or several, or there is no such file or folder.
    """
    if not raw.exists():
        raise InputError(f"extract.raw: {raw} does not exist")
    if not raw.is_dir():
        return raw
    found = sorted(raw.glob(pattern))
    if len(found) != 1:
        raise InputError(f"{raw} holds {len(found)} files {pattern}; extract.raw names the folder of the one, or the file itself")
    return found[0]


def rows(path: Path, wanted: list[str]) -> Iterator[list[Any] | Failure]:
    """The cells of the wanted columns, row by row; a broken row is a failure under the number of the row.

    Raises:
        InputError: the file is damaged, holds no row, lacks a column or has it twice.
    """
    table = readers.open_rows(str(path), None, "utf-8")
    try:
        columns.require(str(path), table.columns, wanted)
        number = 0
        for number, row in enumerate(table.rows(wanted), start=1):
            yield Failure(f"{path.name}, row {number}", row.reason) if row.reason else [cell or "" for cell in row.cells]
        if not number:
            raise InputError(f"{path} holds no row")
    finally:
        table.close()


def is_utf8(text: str) -> bool:
    """False if bytes of another encoding stand in it (the readers keep them as surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
