"""Precision and recall over all thresholds, and reliability: what an arm's probabilities are worth, aggregates only."""

import numpy as np

from raddistill.scoring.labels import Truth
from raddistill.scoring.statistics import Floats, share

THRESHOLDS = [round(0.01 * n, 2) for n in range(1, 100)]
BINS = 10
Rows = list[dict[str, str | float]]


def precision_recall(arm: str, truth: Truth, probabilities: Floats) -> Rows:
    """A row a threshold, 0.01 to 0.99; cells of all labels pooled, ambiguous ones left out; none where nothing is said."""
    scored = ~truth.ambiguous
    rows: Rows = []
    for threshold in THRESHOLDS:
        said = (probabilities >= threshold) & scored
        tp, n_said, n_present = int((said & truth.present).sum()), int(said.sum()), int(truth.present.sum())
        if n_said and n_present:
            point = {"threshold": threshold, "precision": share(tp, n_said), "recall": share(tp, n_present)}
            rows.append({"arm": arm, "kind": "curve", **point})
    return rows


def reliability(arm: str, truth: Truth, probabilities: Floats) -> Rows:
    """A row for each of ten bins that holds cells: mean probability, share of them present, number of cells."""
    scored = ~truth.ambiguous
    chances, present = probabilities[scored], truth.present[scored]
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    rows: Rows = []
    for bin_ in np.unique(bins):
        inside = bins == bin_
        row = {"predicted": float(chances[inside].mean()), "observed": float(present[inside].mean()), "cells": int(inside.sum())}
        rows.append({"arm": arm, **row})
    return rows
