"""Metrics of one arm against people's annotations, and of two arms on the same reports. Both tasks are scored alike.

Ambiguous cells are masked, or count as absent or as present. The headline figure masks them, because on Open-i they outnumber the
positives, and counting them as present would forgive false alarms.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from raddistill.params import Section
from raddistill.scoring.bootstrap import Bootstrap, Counts, Floats, Ints, f1, mcnemar, share
from raddistill.scoring.truth import ArmDecisions, Bools, ByReport, Truth

Ambiguous = Literal["masked", "absent", "present"]
Figures = dict[str, float]
Rows = list[dict[str, str | float]]

THRESHOLDS = [round(0.01 * n, 2) for n in range(1, 100)]
BINS = 10


class ScoreParams(Section):
    """How arms are scored."""

    seed: int
    bootstrap: int  # resamples
    near_duplicate: float  # token Jaccard
    macro_min_positives: int
    concept_macro_min_positives: int


@dataclass(frozen=True)
class Judged(ByReport):
    """One arm's decisions beside people's annotations, on the reports that have both, for the names that count."""

    names: list[str]
    text_groups: npt.NDArray[np.str_]  # (reports,)
    normal: Bools  # (reports,): people found nothing
    present: Bools  # (reports, names), as are the next two
    ambiguous: Bools
    decided: Bools
    unmapped: Ints  # (reports,): phrases without a name, each a false positive
    unparsed: Bools  # (reports,)

    def counts(self, ambiguous: Ambiguous = "masked") -> Counts:
        """Returns true positives, false positives and false negatives per cell, (reports, names, 3)."""
        return count(self.present, self.ambiguous, self.decided, ambiguous)

    def totals(self, ambiguous: Ambiguous = "masked") -> Counts:
        """Returns true positives, false positives (unmapped phrases too) and false negatives per report, (reports, 3)."""
        counts: Counts = self.counts(ambiguous).sum(axis=1)
        counts[:, 1] += self.unmapped
        return counts


def count(present: Bools, ambiguous: Bools, decided: Bools, taken_as: Ambiguous = "masked") -> Counts:
    """Returns true positives, false positives and false negatives per cell, (reports, names, 3)."""
    is_present = present | ambiguous if taken_as == "present" else present
    scored = ~ambiguous if taken_as == "masked" else np.ones_like(ambiguous)
    return np.stack([decided & is_present, decided & ~is_present & scored, ~decided & is_present], axis=-1).astype(np.int64)


def compare_with_truth(truth: Truth, decisions: ArmDecisions, text_groups: dict[str, str], scored: Bools) -> Judged:
    """Returns an arm's decisions beside the truth, on the reports that have both.

    `text_groups`: report -> text group. `scored` (names,): which names count.
    """
    own = truth.select(decisions.reports)
    names = [name for name, counts in zip(truth.names, scored, strict=True) if counts]
    of_reports = np.array([text_groups[report] for report in own.reports], dtype=str)
    matrices = own.present[:, scored], own.ambiguous[:, scored], decisions.decided[:, scored]
    return Judged(own.reports, names, of_reports, own.normal, *matrices, decisions.unmapped, decisions.unparsed)


def figures(judged: Judged, macro: Bools, resamples: int, seed: int) -> Figures:
    """Returns the metrics that both tasks share (docs/analysis-plan.md); nan if undefined.

    `macro` (names,): the names whose F1 is averaged. `specificity_normal`: share of normal reports without a false positive.
    """
    totals = judged.totals()
    tp, fp, fn = (int(n) for n in totals.sum(axis=0))
    micro = Bootstrap(judged.text_groups, resamples, seed).interval(totals)
    f1_of_names = f1(judged.counts().sum(axis=0))[macro]
    f1_of_names = f1_of_names[~np.isnan(f1_of_names)]
    return {
        "reports": len(judged.reports),
        "micro_f1": micro.value,
        "micro_f1_low": micro.low,
        "micro_f1_high": micro.high,
        "macro_f1": float(f1_of_names.mean()) if f1_of_names.size else float("nan"),
        "precision": share(tp, tp + fp),
        "recall": share(tp, tp + fn),
        "specificity_normal": share(int((totals[judged.normal, 1] == 0).sum()), int(judged.normal.sum())),
        "mask_absent_micro_f1": micro_f1(judged, "absent"),
        "mask_present_micro_f1": micro_f1(judged, "present"),
        "unparsed": int(judged.unparsed.sum()),
    }


def micro_f1(judged: Judged, ambiguous: Ambiguous = "masked") -> float:
    """Returns F1 of all cells pooled; nan if nothing is present and nothing was found."""
    return float(f1(judged.totals(ambiguous).sum(axis=0)))


def gain(ours: Judged, theirs: Judged, resamples: int, seed: int) -> Figures:
    """Returns micro F1 of `ours` minus that of `theirs` on the same reports, with its interval from paired bootstrap draws.

    It is given three times: with ambiguous cells masked, as absent, and as present. A gain is claimed only if all three have the
    same sign.
    """
    assert ours.reports == theirs.reports, "a gain needs the same reports"
    difference = Bootstrap(ours.text_groups, resamples, seed).difference(ours.totals(), theirs.totals())
    return {
        "reports": len(ours.reports),
        "micro_f1": difference.value,
        "low": difference.low,
        "high": difference.high,
        "mask_absent_micro_f1": micro_f1(ours, "absent") - micro_f1(theirs, "absent"),
        "mask_present_micro_f1": micro_f1(ours, "present") - micro_f1(theirs, "present"),
    }


def by_name(judged: Judged, shown: Bools, resamples: int, seed: int) -> Rows:
    """Returns one row per name for which `shown` (names,) is true: positives, F1 with its interval, precision, recall."""
    counts = judged.counts()
    bootstrap = Bootstrap(judged.text_groups, resamples, seed)
    rows: Rows = []
    for column in np.flatnonzero(shown):
        interval = bootstrap.interval(counts[:, column])
        tp, fp, fn = (int(n) for n in counts[:, column].sum(axis=0))
        row: dict[str, str | float] = {"label": judged.names[column], "positives": tp + fn, "f1": interval.value}
        row |= {"low": interval.low, "high": interval.high, "precision": share(tp, tp + fp), "recall": share(tp, tp + fn)}
        rows.append(row)
    return rows


def mcnemar_by_name(ours: Judged, theirs: Judged) -> dict[str, float]:
    """Returns, by name, the exact p of McNemar's test that both arms are right equally often. Ambiguous cells are left out."""
    scored = ~ours.ambiguous
    right, their_right = ours.decided == ours.present, theirs.decided == theirs.present
    only_ours = (right & ~their_right & scored).sum(axis=0)
    only_theirs = (~right & their_right & scored).sum(axis=0)
    return {name: mcnemar(int(only_ours[i]), int(only_theirs[i])) for i, name in enumerate(ours.names)}


def precision_recall(judged: Judged, probabilities: Floats) -> Rows:
    """Returns one row per threshold, 0.01 to 0.99, all cells pooled; no row if nothing is found or present."""
    scored = ~judged.ambiguous
    rows: Rows = []
    for threshold in THRESHOLDS:
        decided = (probabilities >= threshold) & scored
        tp, n_decided, n_present = int((decided & judged.present).sum()), int(decided.sum()), int(judged.present.sum())
        if n_decided and n_present:
            rows.append({"threshold": threshold, "precision": share(tp, n_decided), "recall": share(tp, n_present)})
    return rows


def reliability(judged: Judged, probabilities: Floats) -> Rows:
    """Returns one row per non-empty tenth of the probabilities: mean probability, share present, number of cells."""
    scored = ~judged.ambiguous
    chances, present = probabilities[scored], judged.present[scored]
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    inside = [bins == bin_ for bin_ in np.unique(bins)]
    return [{"predicted": float(chances[i].mean()), "observed": float(present[i].mean()), "cells": int(i.sum())} for i in inside]
