"""What every source of reports hands on: documents it could read, failures for files it could not, gold where it has any."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from raddistill.concepts import Concept
from raddistill.labelsets import Label


@dataclass(frozen=True)
class Document:
    """One report as it was read; sections are single-spaced, None where the report has none."""

    report_id: str
    patient_id: str | None
    findings: str | None
    impression: str | None
    indication: str | None
    comparison: str | None
    annotations: tuple[str, ...]  # what people coded, in the source's own words


@dataclass(frozen=True)
class Failure:
    """A file or report that cannot be used, and why, in a few fixed words."""

    report_id: str  # the file's name where no id could be read
    reason: str


class Source(Protocol):
    """A collection of reports that params.yaml can name as `extract.source`."""

    name: str
    sensitivity: str  # public, credentialed or phi

    def read(self, raw: Path) -> tuple[list[Document], list[Failure]]:
        """Every report of the folder `raw`, as a document or as a failure.

        Raises:
            InputError: the folder does not hold the collection, or the archive is damaged.
        """
        ...

    def gold(self, documents: list[Document], mapping: Path, label_set: list[Label], concepts: list[Concept]) -> pl.DataFrame:
        """The Gold table of these documents, by the mapping files in the folder `mapping`."""
        ...
