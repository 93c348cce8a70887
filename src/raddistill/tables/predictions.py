from dataclasses import dataclass

import dataframely as dy
import polars as pl


class Predictions(dy.Schema):
    """One row per report, task and arm that was asked. `answer` is the raw answer; null if the arm's answer is its logits."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    answer = dy.String(nullable=True)


class Probabilities(dy.Schema):
    """One logit per allowed answer of a label and part of a report (see `Examples`).

    The logits of a report are those of the part in which yes exceeds no the most: a finding stated once is stated.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    part = dy.Int64(primary_key=True, min=0)
    label = dy.String(primary_key=True)
    answer = dy.String(primary_key=True)
    logit = dy.Float64()


@dataclass(frozen=True)
class ArmTables:
    """The answers of one arm."""

    predictions: dy.DataFrame[Predictions]
    probabilities: dy.DataFrame[Probabilities]

    def select(self, task: str) -> "ArmTables":
        """Returns the rows of one task."""
        of_task = pl.col("task") == task
        return ArmTables(
            Predictions.cast(self.predictions.filter(of_task)), Probabilities.cast(self.probabilities.filter(of_task))
        )
