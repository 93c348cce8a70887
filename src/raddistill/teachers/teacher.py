"""The interface of every teacher: a name, and one method that turns reports into the tables of the stage `synthesize`."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import dataframely as dy
import polars as pl

from raddistill.labelsets import Label
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine


class Labelled(NamedTuple):
    """A teacher's result: tables as `Labels`, `Evidence`, `Outcomes` (one row per report), `Quarantine`; counts for the metrics.

    `answers`: an LLM's answers as an `Answers` table, else None. `written`: sentences that the teacher wrote and labelled as a
    `Written` table, else None.
    """

    labels: pl.DataFrame
    evidence: pl.DataFrame
    outcomes: pl.DataFrame
    quarantine: pl.DataFrame
    counts: dict[str, Any]
    answers: pl.DataFrame | None = None
    written: pl.DataFrame | None = None


class Teacher(Protocol):
    """Labels reports for the one task that it was made for. `name` is in the column `teacher` of every table."""

    name: str

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled: ...


class EvidenceRow(NamedTuple):
    """A mention: a row of `Evidence` without its key."""

    section: str
    start: int
    end: int
    cue: str | None
    status: str
    probability: float | None


class LabelRows:
    """Collects the rows of a teacher's tables, report by report."""

    def __init__(self, task: str, teacher: str) -> None:
        self._key = (task, teacher)
        self._labels: list[tuple[Any, ...]] = []
        self._evidence: list[tuple[Any, ...]] = []
        self._outcomes: list[tuple[Any, ...]] = []
        self._quarantine: list[tuple[Any, ...]] = []

    def add(
        self,
        report_id: str,
        labels: Iterable[tuple[str, str, float | None, str | None]],
        mentions: Iterable[tuple[str, EvidenceRow]],
    ) -> None:
        """Adds a labelled report: (label, status, probability, code) of each label, and (label, mention) of each mention."""
        self._outcomes.append((report_id, *self._key, "labelled", None))
        self._labels += [(report_id, *self._key, *label) for label in labels]
        n: Counter[str] = Counter()
        for label, mention in mentions:
            self._evidence.append((report_id, *self._key, label, n[label], *mention))
            n[label] += 1

    def put_aside(self, report_id: str, reason: str) -> None:
        """Adds a report that could not be labelled."""
        self._outcomes.append((report_id, *self._key, "quarantined", reason))
        self._quarantine.append((report_id, 0, reason, None))

    def labelled(self, counts: dict[str, Any], written: pl.DataFrame | None = None) -> Labelled:
        """Returns the tables of all reports added so far."""
        return Labelled(
            as_table(self._labels, Labels), as_table(self._evidence, Evidence), as_table(self._outcomes, Outcomes),
            as_table(self._quarantine, Quarantine), counts, written=written,
        )  # fmt: skip


def as_table(rows: list[tuple[Any, ...]], schema: type[dy.Schema]) -> pl.DataFrame:
    """Returns a frame with the columns of `schema`; the schema's rules are not checked yet."""
    return pl.DataFrame(rows, schema=schema.create_empty().schema, orient="row")
