"""The interface of every teacher: a name, and one method that turns reports into the tables of the stage `synthesize`."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import dataframely as dy
import polars as pl

from raddistill.labelsets import Label
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine

ROWS = 50_000


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


class Rows:
    """The rows of one table. At most ROWS are kept as Python tuples, since frames take a tenth of the memory."""

    def __init__(self, schema: type[dy.Schema]) -> None:
        self._schema = schema
        self._waiting: list[tuple[Any, ...]] = []
        self._frame = as_table([], schema)

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._waiting += rows
        if len(self._waiting) >= ROWS:
            self.table()

    def table(self) -> pl.DataFrame:
        """Returns a frame of all rows added so far."""
        self._frame = pl.concat([self._frame, as_table(self._waiting, self._schema)])
        self._waiting = []
        return self._frame


class LabelRows:
    """Collects the rows of a teacher's tables, report by report."""

    def __init__(self, task: str, teacher: str) -> None:
        self._key = (task, teacher)
        self._labels, self._evidence, self._outcomes, self._quarantine = map(Rows, (Labels, Evidence, Outcomes, Quarantine))

    def add(
        self,
        report_id: str,
        labels: Iterable[tuple[str, str, float | None, str | None]],
        mentions: Iterable[tuple[str, EvidenceRow]],
    ) -> None:
        """Adds a labelled report: (label, status, probability, code) of each label, and (label, mention) of each mention."""
        key = (report_id, *self._key)
        self._outcomes.add([(*key, "labelled", None)])
        self._labels.add((*key, *label) for label in labels)
        numbers: dict[str, Iterator[int]] = defaultdict(itertools.count)  # by label: the numbers of its mentions
        self._evidence.add((*key, label, next(numbers[label]), *mention) for label, mention in mentions)

    def put_aside(self, report_id: str, reason: str, answer: str | None = None) -> None:
        """Adds a report that could not be labelled. `answer`: a model's answer that failed its checks."""
        self._outcomes.add([(report_id, *self._key, "quarantined", reason)])
        self._quarantine.add([(report_id, 0, reason, answer)])

    def labelled(
        self, counts: dict[str, Any], *, answers: pl.DataFrame | None = None, written: pl.DataFrame | None = None
    ) -> Labelled:
        """Returns the tables of all reports added so far."""
        return Labelled(
            self._labels.table(), self._evidence.table(), self._outcomes.table(), self._quarantine.table(),
            counts, answers, written,
        )  # fmt: skip


def as_table(rows: list[tuple[Any, ...]], schema: type[dy.Schema]) -> pl.DataFrame:
    """Returns a frame with the columns of `schema`; the schema's rules are not checked yet."""
    return pl.DataFrame(rows, schema=schema.create_empty().schema, orient="row")
