"""A CSV with a row an image, as cohorts of pictures come: rows are gathered to what they say of each report."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Protocol, TypeVar

from raddistill.errors import InputError
from raddistill.reading import columns
from raddistill.reading.cells import as_text
from raddistill.reading.rows import open_rows
from raddistill.sources.documents import PROGRESS_EVERY, Failure, Progress


class Gathered(Protocol):
    """What the rows of one report say."""

    def add(self, cells: list[str]) -> None: ...


G = TypeVar("G", bound=Gathered)


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


def gather(
    path: Path, wanted: list[str], id_of: Callable[[str], str | None], without_id: str, kind: Callable[[], G], progress: Progress
) -> Generator[Failure, None, dict[str, G]]:
    """Returns the reports by id; each is what `kind` makes, and got the cells of the wanted columns of all its rows.

    `id_of` finds the report's id in the first cell. Broken rows, and those in which it finds none (the reason is `without_id`),
    are yielded as failures.

    Raises:
        InputError: the file is damaged, holds no row, lacks a column or has it twice.
    """
    reports: dict[str, G] = {}
    with contextlib.closing(open_rows(str(path), None, "utf-8")) as table:
        columns.require(str(path), table.columns, wanted)
        number = 0
        for number, row in enumerate(table.rows(wanted), start=1):
            if number % PROGRESS_EVERY == 0:
                progress(table.done(), table.total)
            if row.reason:
                yield Failure(path.name, row.reason, number)
                continue
            cells = [as_text(cell) or "" for cell in row.cells]  # whoever made Parquet of the file may have numbers for ids
            if report_id := id_of(cells[0]):
                reports.setdefault(report_id, kind()).add(cells)
            else:
                yield Failure(path.name, without_id, number)
        if not number:
            raise InputError(f"{path} holds no row")
    return reports
