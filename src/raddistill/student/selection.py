"""Which examples are trained on: rare labels first, each text once, samples that grow with their size. Computes only."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable

import polars as pl


def select(rows: pl.DataFrame, examples: int, written: int, validation_examples: int) -> pl.DataFrame:
    """Adds `order`, a report's place in its split, and `selected`: whether training or early stopping sees a row.

    Also adds `known` (has an answer, and is of a report) and `first` (its text comes for the first time in the split). The
    numbers are those of `TaskParams` and `MergeParams`.

    `rows` are one task's: columns of `Examples`, and `key` (hash that decides the order), `states` (labels that the answer
    states) and `about` (label that a sentence of the teacher was written for; null for parts of reports).
    """
    known = pl.col("completion").is_not_null() & pl.col("about").is_null()
    first = pl.struct("prompt", "split").is_first_distinct().over(known)
    train = pl.col("split") == "train"
    counts = frequencies(rows.filter(known & first & train)["states"])
    turns = [turn(f"{key}:{part}", states, counts) for key, part, states in rows.select("key", "part", "states").iter_rows()]
    rows = rows.with_columns(
        turn=pl.Series(turns, dtype=pl.Float64),
        known=known,
        first=first & known,
        order=(pl.col("key").rank("dense").over("split") - 1).cast(pl.Int64),
    )
    # training takes rows by turn, early stopping by the order of the reports, and each so many written sentences of a label
    place_in_training = pl.col("turn").rank("ordinal").over("split", "first")
    place_in_validation = pl.struct("order", "part").rank("ordinal").over("split", "first")
    place_of_written = pl.col("key").rank("ordinal").over("about")
    in_training = train & (place_in_training <= (rows.height if examples == -1 else examples))
    in_validation = (pl.col("split") == "validation") & (place_in_validation <= validation_examples) & (examples != 0)
    of_report = pl.col("first") & (in_training | in_validation)
    of_teacher = pl.col("about").is_not_null() & (place_of_written <= (written if examples else 0))
    return rows.with_columns(selected=of_report | of_teacher)


def turn(key: str, states: Iterable[str], counts: dict[str, int]) -> float:
    """When an example's turn comes: the lower the earlier. Drawn without replacement, weighted by the rarest label it states.

    Exponential with rate 1 / frequency (Efraimidis and Spirakis 2006): a report with a label of 20 others' is some 50 times as
    likely to come first as one of 1,000 in which nothing was found.
    """
    rarest = min((counts.get(label, 1) for label in states), default=counts.get("", 1))
    return -math.log(fraction_of(key)) * rarest


def fraction_of(key: str) -> float:
    """A number above 0 and up to 1 by hash, evenly spread."""
    return (int(hashlib.sha256(key.encode()).hexdigest()[:13], 16) + 1) / 2**52


def frequencies(stated: Iterable[Iterable[str]]) -> dict[str, int]:
    """In how many examples each label (or code) is stated; '' counts those that state none."""
    return Counter(label for labels in stated for label in list(labels) or [""])
