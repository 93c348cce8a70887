"""Mistakes put into a teacher's labels on purpose, to see how much noise a student withstands. Off by default.

The mistakes are made in mentions, as real teachers make them: one is missed, or read the wrong way round. Labels follow.
"""

import hashlib

import polars as pl
from pydantic import Field

from raddistill.errors import InputError
from raddistill.params import Section
from raddistill.statuses import ABSENT, PRESENT, RANKED, UNMENTIONED
from raddistill.tasks.names import OPEN_ENDED
from raddistill.teachers.teacher import Labelled

KEY = ["report_id", "task", "teacher", "label"]


class NoiseParams(Section):
    """Shares of the mentions, 0 to 1. Drawn by hash: the same in every run, and a larger share contains a smaller one."""

    missed: float = Field(ge=0, le=1)
    turned: float = Field(ge=0, le=1)  # read the wrong way round: absent as present, present and uncertain as absent

    @property
    def is_off(self) -> bool:
        return self.missed == self.turned == 0


def disturb(task: str, p: NoiseParams, labelled: Labelled) -> Labelled:
    """Returns `labelled` with mistakes in its evidence. A label's status becomes the strongest of its remaining mentions.

    Without a remaining mention a label is unmentioned (multiple choice), and a phrase is dropped (open-ended). Labels that had no
    evidence do not change.

    Raises:
        InputError: the teacher gives no evidence, so no mistake can be made in it.
    """
    if labelled.evidence.is_empty() and not labelled.labels.is_empty():
        raise InputError(f"synthesize.{task}.noise: this teacher gives no evidence, and mistakes are made in that; set both to 0")
    evidence = _disturb_mentions(p, labelled.evidence)
    # Join the strongest remaining mention to each label.
    rank = pl.col("status").cast(pl.String).replace_strict(RANKED, range(len(RANKED)), return_dtype=pl.Int64)
    strongest = evidence.sort(rank, "probability", descending=True, nulls_last=True, maintain_order=True)
    strongest = strongest.unique(KEY, keep="first", maintain_order=True).select(
        *KEY, new_status="status", new_probability="probability"
    )
    had_evidence = labelled.evidence.select(KEY).unique().with_columns(had_evidence=True)
    labels = labelled.labels.join(had_evidence, on=KEY, how="left", maintain_order="left")
    labels = labels.join(strongest, on=KEY, how="left", maintain_order="left")
    if task == OPEN_ENDED:
        labels = labels.filter(pl.col("had_evidence").is_null() | pl.col("new_status").is_not_null())
    unmentioned = pl.lit(UNMENTIONED).cast(labels.schema["status"])
    labels = labels.with_columns(
        status=pl.when("had_evidence").then(pl.coalesce("new_status", unmentioned)).otherwise(pl.col("status")),
        probability=pl.when("had_evidence").then(pl.col("new_probability")).otherwise(pl.col("probability")),
    )
    return labelled._replace(labels=labels.drop("had_evidence", "new_status", "new_probability"), evidence=evidence)


def _disturb_mentions(p: NoiseParams, evidence: pl.DataFrame) -> pl.DataFrame:
    """Returns the evidence without the missed mentions. Each draws 0 to 1 by hash: low ones are missed, high ones turned."""
    mentions = evidence.select(*KEY, "n").iter_rows()
    draws = [int(hashlib.sha256(":".join(map(str, mention)).encode()).hexdigest()[:13], 16) / 2**52 for mention in mentions]
    is_turned = pl.col("draw") >= 1 - p.turned
    turned = pl.when(pl.col("status") == ABSENT).then(pl.lit(PRESENT)).otherwise(pl.lit(ABSENT))
    kept = evidence.with_columns(draw=pl.Series(draws, dtype=pl.Float64)).filter(pl.col("draw") >= p.missed)
    return kept.with_columns(
        status=pl.when(is_turned).then(turned).otherwise(pl.col("status").cast(pl.String)).cast(evidence.schema["status"]),
        probability=pl.when(~is_turned).then(pl.col("probability")),
    ).drop("draw")
