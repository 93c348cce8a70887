"""F1 from counts, bootstrap intervals over text groups, paired differences, McNemar's exact test.

A text group holds the reports with the same text, because they are not independent: the most frequent text occurs 53 times in
Open-i's 3,955 reports. Percentile intervals, 95 % (Efron and Tibshirani 1993). F1 is computed from counts summed by text
group, so all draws are one matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]  # (..., 3): true positives, false positives, false negatives
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LEVEL = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def f1(counts: Counts) -> Floats:
    """Returns F1 along the last axis (tp, fp, fn), shape (...); nan if nothing is present and nothing was found."""
    tp, fp, fn = (counts[..., i].astype(np.float64) for i in range(3))
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * tp / (2 * tp + fp + fn))


def share(part: float, whole: float) -> float:
    """Returns part / whole; nan if the whole is zero."""
    return part / whole if whole else float("nan")


class Bootstrap:
    """Bootstrap resamples of one set of reports: text groups drawn with replacement.

    Every arm gets the same draws, so differences between arms are paired.
    """

    def __init__(self, text_groups: Sequence[str] | npt.NDArray[np.str_], resamples: int, seed: int) -> None:
        """`text_groups`: that of each report, in the order of the rows of `counts` below."""
        names, self._group_of = np.unique(np.asarray(text_groups, dtype=object).astype(str), return_inverse=True)
        draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / max(len(names), 1)), size=resamples)
        self._draws = draws.astype(np.float64)

    def interval(self, counts: Counts) -> Interval:
        """Returns micro F1 of counts (reports, 3) with its interval."""
        return _interval(float(f1(counts.sum(axis=0))), f1(self.resample(counts)))

    def difference(self, ours: Counts, theirs: Counts) -> Interval:
        """Returns micro F1 of `ours` minus that of `theirs`, both (reports, 3), on the same draws."""
        value = float(f1(ours.sum(axis=0)) - f1(theirs.sum(axis=0)))
        return _interval(value, f1(self.resample(ours)) - f1(self.resample(theirs)))

    def resample(self, counts: Counts) -> Counts:
        """Returns the summed counts (reports, 3) of every draw: (resamples, 3)."""
        by_group = np.zeros((self._draws.shape[1], 3))
        np.add.at(by_group, self._group_of, counts)
        return np.rint(self._draws @ by_group).astype(np.int64)


def mcnemar(only_ours: int, only_theirs: int) -> float:
    """Returns McNemar's exact two-sided p (1947), from the numbers of cells that only one arm got right; 1 if both are 0."""
    n, fewer = only_ours + only_theirs, min(only_ours, only_theirs)
    return min(1.0, float(2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n))


def _interval(value: float, drawn: Floats) -> Interval:
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.percentile(drawn, LEVEL) if drawn.size else (float("nan"), float("nan"))
    return Interval(value, float(low), float(high))
