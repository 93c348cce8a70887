"""Several people's annotations to one gold: adjudicated, with their agreement."""

from itertools import combinations
from typing import Any, Literal

import polars as pl

from raddistill.agreement_coefficients import cohens_kappa
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, PRESENT, UNCERTAIN

Adjudication = Literal["first", "both", "either"]
RANKS = {ABSENT: 0, AMBIGUOUS: 1, UNCERTAIN: 2, PRESENT: 3}  # how much is stated
STATED = [PRESENT, UNCERTAIN]


def adjudicate(gold: pl.DataFrame, how: Adjudication) -> pl.DataFrame:
    """Returns one annotator a task: `gold` itself, or where a task has several, what they say together, under the name of `how`.

    Of those who annotated a report, `first` takes the first by name, `both` the least that they say (present if all say so),
    `either` the most that one of them says.
    """
    if not _several(gold):  # 10 million rows of one annotator are not copied
        return gold
    return pl.concat([_adjudicated(rows, how) for _, rows in gold.group_by("task", maintain_order=True)])


def _adjudicated(gold: pl.DataFrame, how: Adjudication) -> pl.DataFrame:
    if gold["annotator"].n_unique() <= 1:
        return gold
    annotated = gold.filter(pl.col("status") != EXCLUDED)
    if how == "first":
        first = annotated.group_by("report_id").agg(pl.col("annotator").min())
        made = annotated.join(first, on=["report_id", "annotator"], how="semi")
    else:
        ranked = pl.col("status").sort_by(pl.col("status").replace_strict(RANKS, return_dtype=pl.Int8))
        least_or_most = ranked.first() if how == "both" else ranked.last()
        made = annotated.group_by("report_id", "task", "label", maintain_order=True).agg(least_or_most)
    return made.with_columns(annotator=pl.lit(how)).select(gold.columns)


def agreement(gold: pl.DataFrame) -> dict[str, Any]:
    """By task: how many reports two annotators share, and for each label what they agree on, over all pairs of annotators.

    Present and uncertain against absent; ambiguous and excluded cells are left out. `kappa` (Cohen 1960) is the mean over
    pairs, and there only where it is defined: for some pair, not all cells are alike.
    """
    by_task: dict[str, Any] = {}
    if not _several(gold):
        return by_task
    for (task,), rows in gold.group_by("task", maintain_order=True):
        if rows["annotator"].n_unique() > 1:
            by_task[str(task)] = _agreement(rows.filter(~pl.col("status").is_in([AMBIGUOUS, EXCLUDED])))
    return by_task


def _several(gold: pl.DataFrame) -> bool:
    """Returns whether some task has more than one annotator."""
    return bool(gold.select("task", "annotator").unique()["task"].is_duplicated().any())


def _agreement(rows: pl.DataFrame) -> dict[str, Any]:
    stated = rows.select("report_id", "annotator", "label", stated=pl.col("status").is_in(STATED))
    parts = stated.partition_by("annotator", as_dict=True)
    pairs = [
        parts[one].join(parts[other], on=["report_id", "label"]).select("report_id", "label", a="stated", b="stated_right")
        for one, other in combinations(sorted(parts), 2)
    ]
    both = pl.concat(pairs).with_columns(pl.col("label").cast(pl.String))  # an Enum would not be sorted by name
    agreed: dict[str, Any] = {"reports": both["report_id"].n_unique(), "annotators": len(parts), "labels": {}}
    for (name,), cells in both.sort("label").group_by("label", maintain_order=True):
        if not cells.select((pl.col("a") | pl.col("b")).any()).item():
            continue
        agreed["labels"][name] = {"reports": cells.height, "agree": (cells["a"] == cells["b"]).mean()}
        of_pairs = [pair.filter(pl.col("label") == name) for pair in pairs]
        kappas = [kappa for pair in of_pairs if (kappa := cohens_kappa(pair["a"], pair["b"])) is not None]
        if kappas:
            agreed["labels"][name]["kappa"] = sum(kappas) / len(kappas)
    return agreed
