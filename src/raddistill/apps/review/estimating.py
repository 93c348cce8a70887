"""Estimates, from reviewed reports, how often each label is true in the whole cohort, and where the student should abstain.

Prevalence. Strata are the parts of the queue (useful, random), each cut in two by what the student says. Their sizes in the
cohort are known. In each, the share of reports that state the label is drawn from Beta(k + 1/2, n - k + 1/2) (Jeffreys) for k of
n reviewed reports, and their number among the others from a binomial. A useful part that was reviewed as a whole adds no
uncertainty. Each draw gives the student's sensitivity and specificity in the cohort, and the prevalence, which is the student's
corrected for both (Rogan and Gladen 1978, Am J Epidemiol 107:71). Intervals are 95 %, percentiles of the draws.

Abstention. The student abstains where the margin (choosing.py) is at most m: a band of probabilities for each label. m is the
smallest with which the weighted share of wrong cells among the others is at most the error asked for. The interval of that share
is Jeffreys' with the effective number of cells, since the cells of a report are not independent and rows have weights (Korn and
Graubard 1998; Franco et al. 2019). m was chosen on the same reports, so the share is a little too good.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill.apps.review.choosing import USEFUL, Bools, Floats
from raddistill.apps.review.queue import Queue
from raddistill.errors import InputError
from raddistill.scoring.bootstrap import LEVEL
from raddistill.scoring.scores import tidy

Ints = npt.NDArray[np.int64]
DRAWS = 4000


class Reviewed(NamedTuple):
    """The reviewed rows of a queue: arrays (rows,) and (rows, labels)."""

    useful: Bools  # (rows,): of the useful part, else of the random one
    copies: Ints  # (rows,): as in `Chosen`
    weight: Floats  # (rows,): as in `Chosen`, and more where other rows of the part were not answered
    stated: Bools  # what people say
    student: Bools
    margin: Floats


def prevalence(reviewed: Ints, cohort: Ints, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Returns value, low and high of the corrected prevalence, sensitivity and specificity of one label.

    `reviewed` (strata, 2, 2): reports by stratum, what the student says (0 absent, 1 present), and what people say. `cohort`
    (strata, 2): all reports by stratum and what the student says.
    """
    n, k = reviewed.sum(axis=2), reviewed[:, :, 1]
    others = cohort - n
    drawn = _rates(k + rng.binomial(others, rng.beta(k + 0.5, n - k + 0.5, (DRAWS, *n.shape))), cohort)
    # A stratum that nobody reviewed tells nothing: one half, with an interval as wide as its size.
    point = _rates(k + others * np.where(n > 0, k / np.maximum(n, 1), 0.5), cohort)
    return {name: _interval(float(value), drawn[name][~np.isnan(drawn[name])]) for name, value in point.items()}


def _rates(stated: Any, cohort: Ints) -> dict[str, Any]:
    """Returns the rates of draws, (draws,), from the numbers of reports that state the label, (draws, strata, 2)."""
    absent, present = (stated[..., said].sum(axis=-1).astype(float) for said in (0, 1))
    total, called = cohort.sum(), cohort[:, 1].sum()
    with np.errstate(divide="ignore", invalid="ignore"):  # no sensitivity of a label that is nowhere
        return {
            "prevalence": (present + absent) / total,
            "sensitivity": present / (present + absent),
            "specificity": (total - called - absent) / (total - present - absent),
        }


def _interval(value: float, draws: Floats) -> dict[str, float]:
    low, high = np.percentile(draws, LEVEL) if draws.size else (np.nan, np.nan)
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def abstain(r: Reviewed, error: float) -> float | None:
    """Returns the smallest margin up to which the student must abstain; -1 if it need not, None if no margin is enough."""
    order = np.argsort(-r.margin.ravel(), kind="stable")  # the surest first
    margin, wrong = r.margin.ravel()[order], (r.stated != r.student).ravel()[order]
    weight = np.broadcast_to(r.weight[:, None], r.margin.shape).ravel()[order]
    ends = np.append(margin[1:] < margin[:-1], True)  # cells of one margin are answered together
    allowed = np.flatnonzero(ends & (np.cumsum(wrong * weight) <= error * np.cumsum(weight)))
    if not allowed.size:
        return None
    return -1.0 if allowed[-1] == len(margin) - 1 else float(margin[allowed[-1] + 1])


def error_among(r: Reviewed, answered: Bools, rng: np.random.Generator) -> dict[str, Any]:
    """Returns the weighted share of wrong cells among the `answered` (rows, labels), its interval, and both numbers of cells."""
    wrong = (r.stated != r.student) & answered
    cells, errors = answered.sum(axis=1) * r.weight, wrong.sum(axis=1) * r.weight
    share = errors.sum() / cells.sum()
    residual = ((errors - share * cells) / cells.sum())[~r.useful]  # the useful part was not sampled
    variance = len(residual) * residual.var(ddof=1) if len(residual) > 1 else 0.0
    size = cells.sum() ** 2 / (answered.sum(axis=1) * r.weight**2).sum()
    if variance > 0 and share < 1:
        size = min(size, share * (1 - share) / variance)
    draws = rng.beta(share * size + 0.5, (1 - share) * size + 0.5, DRAWS)
    return {**_interval(float(share), draws), "cells": int(answered.sum()), "wrong": int(wrong.sum())}


def estimate(queue: Queue, cohort: pl.DataFrame, stated: dict[str, dict[str, bool]], error: float) -> dict[str, Any]:
    """Returns the figures of the whole cohort and of each label. `stated`: what people say, by report and label.

    Raises:
        InputError: no row of the random part was reviewed, so nothing is known about the cohort.
    """
    rng, labels = np.random.default_rng(queue.about["seed"]), queue.labels
    columns = ("student", "margin", "useful")
    student, margin, useful = (cohort[name].to_numpy().reshape(-1, len(labels)) for name in columns)
    place = {report: n for n, report in enumerate(cohort["report_id"].gather_every(len(labels)))}
    r = _reviewed(queue, stated, student, margin, place)
    most = None if cohort["probability"].is_nan().any() else abstain(r, error)
    figures: dict[str, Any] = {}
    for n, label in enumerate(labels):
        reviewed, sizes = np.zeros((2, 2, 2), dtype=np.int64), np.zeros((2, 2), dtype=np.int64)
        np.add.at(reviewed, (r.useful.astype(int), r.student[:, n].astype(int), r.stated[:, n].astype(int)), r.copies)
        np.add.at(sizes, (useful[:, n].astype(int), student[:, n].astype(int)), 1)
        figures[label] = {"apparent": float(student[:, n].mean()), "reviewed_present": int(r.stated[:, n].sum())}
        figures[label] |= prevalence(reviewed, sizes, rng)
        if most is not None:
            t = queue.about["thresholds"][label]
            figures[label]["band"] = None if most < 0 else [t * (1 - most), t + (1 - t) * most]
            figures[label]["coverage"] = float((margin[:, n] > most).mean())
    whole: dict[str, Any] = {"asked_for": error, "without": error_among(r, np.ones_like(r.stated), rng)}
    if most is not None:
        whole |= {"margin": most, "with": error_among(r, r.margin > most, rng), "coverage": float((margin > most).mean())}
        whole["reports_answered_fully"] = float((margin > most).all(axis=1).mean())
    about = {"reports": len(place), "reviewed": len(r.weight), "reviewed_at_random": int((~r.useful).sum())}
    return tidy({**about, "abstention": whole, "labels": figures})


def _reviewed(queue: Queue, stated: dict[str, dict[str, bool]], student: Any, margin: Any, place: dict[str, int]) -> Reviewed:
    rows = [row for row in queue.rows if row["report_id"] in stated]
    useful = np.array([row["part"] == USEFUL for row in rows], dtype=bool)
    if not rows or useful.all():
        raise InputError("no report of the random part is in this gold, so nothing is known about the rest of the cohort")
    weight = np.array([row["weight"] for row in rows])
    for part in {True, False} & set(useful.tolist()):
        whole = sum(row["weight"] for row in queue.rows if (row["part"] == USEFUL) == part)
        weight[useful == part] *= whole / weight[useful == part].sum()
    at = [place[row["report_id"]] for row in rows]
    said = np.array([[stated[row["report_id"]][label] for label in queue.labels] for row in rows])
    return Reviewed(useful, np.array([row["copies"] for row in rows]), weight, said, student[at], margin[at])
