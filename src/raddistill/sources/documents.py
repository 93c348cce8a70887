"""Defines what a source of reports gives: a document for each report, a failure for each unusable one, and gold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from raddistill.concepts import Concept
from raddistill.labelsets import Label
from raddistill.tables.gold import Gold

# Called with the amount that was read and the total, in the same unit (bytes, rows, files). The total is None if unknown.
Progress = Callable[[int, int | None], None]
SECTIONS = ("findings", "impression", "indication", "comparison")  # columns of the table `Reports`
PROGRESS_EVERY = 1000  # rows or files between two calls
SHOWN = 3  # files or rows named in a message


def no_progress(done: int, total: int | None) -> None:
    """Does nothing: the default."""


@dataclass(frozen=True, slots=True)
class Document:
    """One report as it was read. Sections are as report_text.section_text returns them; None if the report lacks one."""

    report_id: str
    patient_id: str | None = None
    findings: str | None = None
    impression: str | None = None
    indication: str | None = None
    comparison: str | None = None
    annotations: tuple[str, ...] = ()  # what people coded, in the source's own format
    split: str | None = None  # as the source's own file names it; None if it has none
    date: str | None = None  # ISO 8601, in one format per source; the latest of several reports with one id is kept
    without_headers: bool = False  # the text has no header, so all of it is findings


@dataclass(frozen=True, slots=True)
class Failure:
    """A file or report that cannot be used."""

    report_id: str  # the file's name if no id could be read
    reason: str  # a few fixed words, never report text
    row: int | None = None  # number of the row if no id could be read; for messages only: tables do not depend on row order


class Source(Protocol):
    """A collection of reports that params.yaml can name as `extract.source`; by default without annotations."""

    name: str
    sensitivity: str  # public, credentialed or phi
    needs_mapping: bool = False  # whether files in `extract.gold` map its own annotations to gold

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every report of `raw` (a folder or a file), as a document or a failure.

        Repeated ids, reports without text and unknown splits are handled by extracting.py.

        Raises:
            InputError: `raw` is not the collection, or is damaged. This can happen after the first documents.
        """
        ...

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """Returns the source's own annotations as a Gold table; by default an empty one.

        `annotations`: report id to the annotations of its document; reports without any are left out. `mapping`: the folder of
        mapping files. A report that an annotator read has one row per label or concept of each task, all `excluded` if the
        annotator set it aside. A report that nobody read has none, so that the table of a large cohort stays small. Several
        annotators may have rows, which gold/reading_gold.py combines. There may be rows of unknown reports, which extracting.py
        counts and lists.
        """
        return Gold.create_empty()
