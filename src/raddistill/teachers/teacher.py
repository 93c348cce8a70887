"""What every teacher is: a name, and one method that turns reports into the tables of the stage `synthesize`."""

from typing import Any, NamedTuple, Protocol

import polars as pl

from raddistill.labelsets import Label


class Labelled(NamedTuple):
    """What a teacher hands back: `Labels`, `Evidence`, `Outcomes` (a row a report), `Quarantine`; counts for the metrics.

    `answers`: what was paid for, an `Answers` table; None of a teacher that asks nobody. `written`: sentences that it wrote and
    labelled, a `Written` table; None of a teacher that writes none.
    """

    labels: pl.DataFrame
    evidence: pl.DataFrame
    outcomes: pl.DataFrame
    quarantine: pl.DataFrame
    counts: dict[str, Any]
    answers: pl.DataFrame | None = None
    written: pl.DataFrame | None = None


class Teacher(Protocol):
    """Labels reports for the one task that it was made for. `name` stands in the `teacher` column of every table."""

    name: str

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled: ...
