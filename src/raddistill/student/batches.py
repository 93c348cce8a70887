"""Examples as token ids, and the order in which training takes them: batches without wasted padding. Computes only."""

import random
from collections.abc import Sequence
from typing import Any

import polars as pl

from raddistill.student.prompts import encode
from raddistill.student.tagging import worth_of_tokens

RUN = 32  # batches that are sorted by length together: of 8, the one with the longest sentences was half padding


def encode_rows(tokenizer: Any, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of an examples frame as token ids, in its order, with their targets."""
    rows = []
    columns = ("prompt", "completion", "answers", "targets", "spans")
    for prompt, completion, answers, targets, spans in frame.select(columns).iter_rows():
        encoded = encode(tokenizer, prompt, completion, answers)
        wanted = worth_of_tokens(encoded.places, spans) if answers == "tags" else targets
        rows.append({**encoded.__dict__, "places": [], "targets": wanted})
    return rows


def batch_order(lengths: Sequence[int], tasks: Sequence[str], seed: int, epochs: int, batch_size: int) -> list[int]:
    """Row numbers for all epochs in the order of training: every `batch_size` of them is a batch of like task and length.

    Like lengths waste no padding; like tasks share the longest prefix. Within an epoch rows are shuffled, cut into runs of
    RUN batches, sorted by task and length inside a run, and the batches shuffled again. Every row comes once an epoch.
    """
    generator = random.Random(seed)  # noqa: S311 (order of training, nothing secret)
    order: list[int] = []
    for _ in range(epochs):
        batches: list[list[int]] = []
        left: list[int] = []
        for task in sorted(set(tasks)):
            rows = [i for i, t in enumerate(tasks) if t == task]
            generator.shuffle(rows)
            run = RUN * batch_size
            ranked = [i for start in range(0, len(rows), run) for i in sorted(rows[start : start + run], key=lengths.__getitem__)]
            full = len(ranked) - len(ranked) % batch_size
            batches += [ranked[start : start + batch_size] for start in range(0, full, batch_size)]
            left += ranked[full:]
        generator.shuffle(batches)
        # what fills no batch goes last; the mixed batches across epochs share a shorter prefix, no more
        order += [i for batch in batches for i in batch] + left
    return order
