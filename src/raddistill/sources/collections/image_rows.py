"""Reads a CSV with one row per image, the usual form of image cohorts, and groups its rows by report."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Protocol, TypeVar

from raddistill.errors import InputError
from raddistill.reading import columns
from raddistill.reading.cells import as_text
from raddistill.reading.rows import open_rows
from raddistill.sources.documents import PROGRESS_EVERY, Failure, Progress


class ReportRows(Protocol):
    """The rows of one report."""

    def add(self, cells: list[str]) -> None: ...


R = TypeVar("R", bound=ReportRows)


def the_file(raw: Path, pattern: str) -> Path:
    """Returns `raw`, or the only file in the folder `raw` that matches the pattern.

    Raises:
        InputError: `raw` is a folder with none or several such files.
    """
    if not raw.is_dir():
        return raw
    found = sorted(raw.glob(pattern))
    if len(found) != 1:
        raise InputError(f"{raw} holds {len(found)} files {pattern}; extract.raw names the folder of the one, or the file itself")
    return found[0]


def gather(
    path: Path, wanted: list[str], id_of: Callable[[str], str], without_id: str, kind: Callable[[], R], progress: Progress
) -> Generator[Failure, None, dict[str, R]]:
    """Returns report id to a `kind()`, to which the wanted cells of each of the report's rows were added.

    `id_of` returns the report's id from the first wanted cell, "" if there is none. Yields a failure for each such row
    (its reason is `without_id`) and each broken one.

    Raises:
        InputError: the file is damaged or has no row, or a column is missing or repeated.
    """
    reports: dict[str, R] = {}
    with contextlib.closing(open_rows(str(path), None, "utf-8")) as table:
        columns.require(str(path), table.columns, wanted)
        number = 0
        for number, row in enumerate(table.rows(wanted), start=1):
            if number % PROGRESS_EVERY == 0:
                progress(table.done(), table.total)
            if row.reason:
                yield Failure(path.name, row.reason, number)
                continue
            cells = [as_text(cell) or "" for cell in row.cells]  # in Parquet, ids may be numbers
            if report_id := id_of(cells[0]):
                reports.setdefault(report_id, kind()).add(cells)
            else:
                yield Failure(path.name, without_id, number)
        if not number:
            raise InputError(f"{path} holds no row")
    return reports
