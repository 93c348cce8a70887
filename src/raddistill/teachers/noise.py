"""Mistakes put into a teacher's labels on purpose, to see how much noise a student withstands. Off in earnest.

Mentions are what goes wrong, as with real teachers: one is passed over, or read the wrong way round. Labels follow from the rest.
"""

import hashlib

import polars as pl
from pydantic import Field

from raddistill.errors import InputError
from raddistill.params import Section
from raddistill.statuses import ABSENT, PRESENT, RANKED, UNMENTIONED
from raddistill.teachers.teacher import Labelled


class NoiseParams(Section):
    """Shares of the mentions, 0 to 1, drawn by hash: the same mentions in every run, and the more the larger the share."""

    missed: float = Field(ge=0, le=1)  # passed over
    turned: float = Field(ge=0, le=1)  # read the wrong way round: absent as present, present and uncertain as absent

    @property
    def is_off(self) -> bool:
        return self.missed == self.turned == 0


def disturb(task: str, p: NoiseParams, labelled: Labelled) -> Labelled:
    """`labelled` with mistakes in its evidence, and the labels that follow: a report's status is the strongest of its mentions.

    Multiple choice: a label without a mention left is unmentioned. Open-ended: a phrase without one is gone. Labels that had no
    evidence stay as they are.

    Raises:
        InputError: the teacher gives no evidence at all, so there is nothing to disturb.
    """
    if labelled.evidence.is_empty() and not labelled.labels.is_empty():
        raise InputError(f"synthesize.{task}.noise: this teacher gives no evidence, and mistakes are made in that; set both to 0")
    keys = ["report_id", "task", "teacher", "label"]
    mentions = labelled.evidence.select(*keys, "n").iter_rows()
    draws = [int(hashlib.sha256(":".join(map(str, mention)).encode()).hexdigest()[:13], 16) / 2**52 for mention in mentions]
    turned = pl.col("draw") >= 1 - p.turned  # from the other end than those missed
    wrong = pl.when(pl.col("status") == ABSENT).then(pl.lit(PRESENT)).otherwise(pl.lit(ABSENT))
    evidence = labelled.evidence.with_columns(draw=pl.Series(draws, dtype=pl.Float64)).filter(pl.col("draw") >= p.missed)
    evidence = evidence.with_columns(
        status=pl.when(turned).then(wrong).otherwise(pl.col("status").cast(pl.String)).cast(evidence.schema["status"]),
        probability=pl.when(~turned).then("probability"),
    ).drop("draw")
    rank = pl.col("status").cast(pl.String).replace_strict(RANKED, range(len(RANKED)), return_dtype=pl.Int64)
    strongest = evidence.sort(rank, "probability", descending=True, nulls_last=True, maintain_order=True)
    strongest = strongest.unique(keys, keep="first", maintain_order=True).select(*keys, new="status", of="probability")
    had = labelled.evidence.select(keys).unique().with_columns(had=True)
    labels = labelled.labels.join(had, on=keys, how="left", maintain_order="left")
    labels = labels.join(strongest, on=keys, how="left", maintain_order="left")
    if task == "open_ended":
        labels = labels.filter(pl.col("had").is_null() | pl.col("new").is_not_null())
    unmentioned = pl.lit(UNMENTIONED).cast(labels.schema["status"])
    labels = labels.with_columns(
        status=pl.when("had").then(pl.coalesce("new", unmentioned)).otherwise("status"),
        probability=pl.when("had").then("of").otherwise("probability"),
    )
    return labelled._replace(labels=labels.drop("had", "new", "of"), evidence=evidence)
