"""What is said of an arm in both tasks: the same keys, computed alike from what it decided and what people say."""

from dataclasses import dataclass

import numpy as np

from raddistill.scoring import labels
from raddistill.scoring.labels import Ambiguous, Bools, Truth
from raddistill.scoring.statistics import Bootstrap, Counts, Ints, f1, mcnemar, share

Figures = dict[str, float]


@dataclass(frozen=True)
class Judged:
    """One arm beside the truth on its reports: `extra` (reports,) false positives that no name stands for."""

    truth: Truth  # of the names that are scored
    normal: Bools  # (reports,): people found nothing at all
    groups: list[str]  # text group of each report
    decided: Bools  # (reports, names)
    extra: Ints
    unparsed: Bools  # (reports,)

    def totals(self, ambiguous: Ambiguous = "masked") -> Counts:
        """(reports, 3)."""
        counts = labels.count(self.truth, self.decided, ambiguous).sum(axis=1)
        counts[:, 1] += self.extra
        return counts

    def of(self, rows: Bools) -> "Judged":
        """The same of some reports."""
        reports = [report for report, kept in zip(self.truth.reports, rows, strict=True) if kept]
        groups = [group for group, kept in zip(self.groups, rows, strict=True) if kept]
        return Judged(
            self.truth.of(reports), self.normal[rows], groups, self.decided[rows], self.extra[rows], self.unparsed[rows]
        )


def figures(judged: Judged, macro: Bools, resamples: int, seed: int) -> Figures:
    """The measures of design.md that both tasks share; nan where there is nothing to compute from.

    `macro` (names,): the names whose F1 is averaged. `specificity_normal`: the share of normal reports without a false alarm.
    """
    totals = judged.totals()
    tp, fp, fn = (int(n) for n in totals.sum(axis=0))
    micro = Bootstrap(judged.groups, resamples, seed).interval(totals)
    by_name = f1(labels.count(judged.truth, judged.decided).sum(axis=0))[macro]
    by_name = by_name[~np.isnan(by_name)]
    return {
        "reports": len(judged.truth.reports),
        "micro_f1": micro.value,
        "micro_f1_low": micro.low,
        "micro_f1_high": micro.high,
        "macro_f1": float(by_name.mean()) if by_name.size else float("nan"),
        "precision": share(tp, tp + fp),
        "recall": share(tp, tp + fn),
        "specificity_normal": share(int((totals[judged.normal, 1] == 0).sum()), int(judged.normal.sum())),
        "mask_absent_micro_f1": micro_f1(judged, "absent"),
        "mask_present_micro_f1": micro_f1(judged, "present"),
        "unparsed": int(judged.unparsed.sum()),
    }


def micro_f1(judged: Judged, ambiguous: Ambiguous = "masked") -> float:
    return float(f1(judged.totals(ambiguous).sum(axis=0)))


def gain(ours: Judged, theirs: Judged, resamples: int, seed: int) -> Figures:
    """Micro F1 of ours less theirs, paired on the same reports and draws, and with ambiguous cells as absent and as present.

    A gain is claimed only where all three have one sign.
    """
    assert ours.truth.reports == theirs.truth.reports, "a gain needs the same reports"
    difference = Bootstrap(ours.groups, resamples, seed).difference(ours.totals(), theirs.totals())
    return {
        "reports": len(ours.truth.reports),
        "micro_f1": difference.value,
        "low": difference.low,
        "high": difference.high,
        "mask_absent_micro_f1": micro_f1(ours, "absent") - micro_f1(theirs, "absent"),
        "mask_present_micro_f1": micro_f1(ours, "present") - micro_f1(theirs, "present"),
    }


def by_name(judged: Judged, keep: Bools, resamples: int, seed: int) -> list[dict[str, str | float]]:
    """F1 with its interval for each name that `keep` (names,) holds, in order of the names: a row each."""
    counts = labels.count(judged.truth, judged.decided)
    bootstrap = Bootstrap(judged.groups, resamples, seed)
    rows: list[dict[str, str | float]] = []
    for column in np.flatnonzero(keep):
        interval = bootstrap.interval(counts[:, column])
        tp, fp, fn = (int(n) for n in counts[:, column].sum(axis=0))
        rows.append(
            {
                "label": judged.truth.names[column],
                "positives": tp + fn,
                "f1": interval.value,
                "low": interval.low,
                "high": interval.high,
                "precision": share(tp, tp + fp),
                "recall": share(tp, tp + fn),
            }
        )
    return rows


def mcnemar_by_name(ours: Judged, theirs: Judged) -> dict[str, float]:
    """McNemar's exact p of each name, over the cells that are not ambiguous."""
    scored = ~ours.truth.ambiguous
    right, their_right = ours.decided == ours.truth.present, theirs.decided == theirs.truth.present
    only_ours = (right & ~their_right & scored).sum(axis=0)
    only_theirs = (~right & their_right & scored).sum(axis=0)
    return {name: mcnemar(int(only_ours[i]), int(only_theirs[i])) for i, name in enumerate(ours.truth.names)}
