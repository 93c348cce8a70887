"""Selects the examples to train on: rare labels first, each text once. A larger sample contains the smaller. Computes only."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable

import polars as pl


def select(rows: pl.DataFrame, examples: int, written: int, validation_examples: int) -> pl.DataFrame:
    """Returns the rows with the columns `order`, `selected`, `known` and `first`.

    `order`: rank of the report in its split; `selected`: used for training or early stopping; `known`: part of a report with an
    answer; `first`: known, and the first row of its split with this text.

    Args:
        rows: of one task, with columns of `Examples`, and `key` (hash that decides the order), `stated` (labels or codes that the
            answer states) and `about` (label that a written sentence is about; null for parts of reports).
        examples, written: as in `TaskParams`.
        validation_examples: as in `MergeParams`.
    """
    known = pl.col("completion").is_not_null() & pl.col("about").is_null()
    first = pl.struct("prompt", "split").is_first_distinct().over(known)
    train = pl.col("split") == "train"
    counts = frequencies(rows.filter(known & first & train)["stated"])
    turns = [turn(f"{key}:{part}", stated, counts) for key, part, stated in rows.select("key", "part", "stated").iter_rows()]
    rows = rows.with_columns(
        turn=pl.Series(turns, dtype=pl.Float64),
        known=known,
        first=first & known,
        order=(pl.col("key").rank("dense").over("split") - 1).cast(pl.Int64),
    )
    # training takes rows by turn, early stopping by order of the reports; written sentences are limited per label
    place_in_training = pl.col("turn").rank("ordinal").over("split", "first")
    place_in_validation = pl.struct("order", "part").rank("ordinal").over("split", "first")
    place_of_written = pl.col("key").rank("ordinal").over("about")
    in_training = train & (place_in_training <= (rows.height if examples == -1 else examples))
    in_validation = (pl.col("split") == "validation") & (place_in_validation <= validation_examples) & (examples != 0)
    of_report = pl.col("first") & (in_training | in_validation)
    of_teacher = pl.col("about").is_not_null() & (place_of_written <= (written if examples else 0))
    return rows.with_columns(selected=of_report | of_teacher)


def turn(key: str, stated: Iterable[str], counts: dict[str, int]) -> float:
    """Returns when an example is drawn; lower is earlier. Weighted sampling without replacement by the rarest label it states.

    Exponential with rate 1 / frequency (Efraimidis and Spirakis 2006): an example with a label that occurs 20 times is drawn
    before one with a label that occurs 1,000 times in 50 of 51 cases.
    """
    rarest = min((counts.get(label, 1) for label in stated), default=counts.get("", 1))
    return -math.log(fraction_of(key)) * rarest


def fraction_of(key: str) -> float:
    """Returns a uniform number in (0, 1] by hash."""
    return (int(hashlib.sha256(key.encode()).hexdigest()[:13], 16) + 1) / 2**52


def frequencies(stated: Iterable[Iterable[str]]) -> dict[str, int]:
    """Returns the number of examples that state each label or code; '' counts those that state none."""
    return Counter(label for labels in stated for label in list(labels) or [""])
