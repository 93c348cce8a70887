"""Reads a CSV with one row per image, the usual form of image cohorts, and groups its rows by report."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path

from raddistill.errors import InputError
from raddistill.reading import columns
from raddistill.reading.cells import as_text
from raddistill.reading.rows import open_rows
from raddistill.sources.documents import PROGRESS_EVERY, Failure, Progress


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
    path: Path, wanted: list[str], id_of: Callable[[str], str], without_id: str, progress: Progress
) -> Generator[Failure, None, dict[str, set[tuple[str, ...]]]]:
    """Returns report id to the distinct rows of the report, as tuples of the wanted cells but the first.

    `id_of` returns the report's id from the first wanted cell, "" if there is none. Yields a failure for each such row
    (its reason is `without_id`) and each broken one.

    Raises:
        InputError: the file is damaged or has no row, or a column is missing or repeated.
    """
    reports: dict[str, set[tuple[str, ...]]] = {}
    with contextlib.closing(open_rows(str(path), None, "utf-8")) as table:
        columns.require(str(path), table.columns, wanted)
        number = 0
        for number, row in enumerate(table.rows(wanted), start=1):
            if number % PROGRESS_EVERY == 0:
                progress(table.done(), table.total)
            first, *others = (as_text(cell) or "" for cell in row.cells)  # in Parquet, ids may be numbers
            if row.reason or not (report_id := id_of(first)):
                yield Failure(path.name, row.reason or without_id, number)
            else:
                reports.setdefault(report_id, set()).add(tuple(others))
        if not number:
            raise InputError(f"{path} holds no row")
    return reports


def first_reason(reasons: dict[str, bool]) -> str | None:
    """Returns the first reason for quarantine that holds; None if the report is usable."""
    return next((reason for reason, holds in reasons.items() if holds), None)
