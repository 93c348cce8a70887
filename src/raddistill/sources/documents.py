"""What every source of reports gives: a document for each report, a failure for each that cannot be read, gold if it has any."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from raddistill.concepts import Concept
from raddistill.labelsets import Label

# Called with how much was read, of how much, both in one unit (bytes, rows, files); None where the whole is not known.
Progress = Callable[[int, int | None], None]
SECTIONS = ("findings", "impression", "indication", "comparison")  # of a report in the tables
PROGRESS_EVERY = 1000  # rows or files from one call to the next
SHOWN = 3  # files or rows in a message


def no_progress(done: int, total: int | None) -> None:
    """Does nothing: nobody looks."""


@dataclass(frozen=True, slots=True)
class Document:
    """One report as it was read; sections as sections/report_text.section_text makes them, None where the report has none."""

    report_id: str
    patient_id: str | None
    findings: str | None
    impression: str | None
    indication: str | None
    comparison: str | None
    annotations: tuple[str, ...]  # what people coded, in the source's own words
    split: str | None = None  # as the source's own file calls it; None where it says none
    date: str | None = None  # ISO 8601, all of one kind; of several reports with one id the latest is kept
    without_headers: bool = False  # all of a text that has no header stands in the findings


@dataclass(frozen=True, slots=True)
class Failure:
    """A file or report that cannot be used, and why, in a few fixed words."""

    report_id: str  # the file's name where no id could be read
    reason: str
    row: int | None = None  # where no id could be read: to find it; in no table, which would depend on the order of rows


class Source(Protocol):
    """A collection of reports that params.yaml can name as `extract.source`."""

    name: str
    sensitivity: str  # public, credentialed or phi
    needs_mapping: bool  # whether its own annotations become gold by files in `extract.gold`

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every report of `raw` (a folder or a file), as a document or as a failure, one after the other.

        Doubled ids, reports without text and unknown splits are left to extracting.py.

        Raises:
            InputError: `raw` does not hold the collection, or is damaged; also after the first documents.
        """
        ...

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """The Gold table of the source's own annotations, by the files in the folder `mapping`; `annotations` are the documents',
        by id, where there are any.

        A report that an annotator read has a row for each name of the task (all `excluded` where the annotator set it aside); one
        that nobody read has none, so that the table of a large cohort stays small. Several annotators may have rows:
        gold/adjudication.py makes them one. Rows of other reports may be there: extracting.py counts and lists them.
        """
        ...
