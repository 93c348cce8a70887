"""Estimates, from reviewed reports, how often each label is true in the whole cohort, and where the student should abstain.

Prevalence. Strata are the parts of the queue (useful, random), each split by what the student says; their sizes in the cohort are
known. In each, the share of reports that state the label is drawn from Beta(k + 1/2, n - k + 1/2) (Jeffreys), for k of n reviewed
reports, and the number among the others from a binomial. So the useful part, if all of it was reviewed, adds no uncertainty. Each
draw gives the student's sensitivity and specificity in the cohort, and from these and the share that the student calls present
the corrected prevalence (Rogan and Gladen 1978). Intervals are 95 %, from the 2.5th to the 97.5th percentile of the draws.

Abstention. The student abstains where the margin (choosing.py) is at most m: a band of probabilities for each label. m is the
smallest with which the weighted share of wrong cells among the others is at most the error asked for. The interval of that share
is Jeffreys' with the effective number of cells, since the cells of a report are not independent and rows have weights (Korn and
Graubard 1998; Franco et al. 2019).
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
    """The reviewed rows of a queue beside what the student says: arrays (rows,) and (rows, labels)."""

    useful: Bools  # (rows,)
    reports: Ints  # (rows,): `copies` of `Chosen`
    weight: Floats  # (rows,): made larger where other rows of the part were not answered
    stated: Bools  # what people say
    student: Bools
    margin: Floats


def rogan_gladen(apparent: Floats, sensitivity: Floats, specificity: Floats) -> Floats:
    """Returns the prevalence, 0 to 1, at which a share `apparent` is called present; nan if the calls tell nothing."""
    informed = sensitivity + specificity - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(informed > 1e-12, np.clip((apparent + specificity - 1) / informed, 0, 1), np.nan))


def prevalence(reviewed: Ints, cohort: Ints, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Returns value, low and high of the corrected prevalence, sensitivity and specificity of one label.

    `reviewed` (strata, 2, 2): reports by stratum, what the student says (0 absent, 1 present), and what people say. `cohort`
    (strata, 2): all reports by stratum and what the student says.
    """
    n, k = reviewed.sum(axis=2), reviewed[:, :, 1]
    others = cohort - n
    share = rng.beta(k + 0.5, n - k + 0.5, (DRAWS, *n.shape))
    drawn = _rates(k + rng.binomial(others, share), cohort)
    # A stratum that nobody reviewed tells nothing: 1/2, with an interval as wide as its size.
    point = _rates(k + others * np.where(n > 0, k / np.maximum(n, 1), 0.5), cohort)
    found = {}
    for name, value in point.items():
        draws = drawn[name][~np.isnan(drawn[name])]
        low, high = np.percentile(draws, LEVEL) if draws.size else (np.nan, np.nan)
        found[name] = {"value": float(value), "low": min(float(low), float(value)), "high": max(float(high), float(value))}
    return found


def _rates(stated: Any, cohort: Ints) -> dict[str, Any]:
    """Returns the rates of draws, (draws,), from the reports that state the label, (draws, strata, 2)."""
    absent, present = (stated[..., said].sum(axis=-1).astype(float) for said in (0, 1))
    total, called = cohort.sum(), cohort[:, 1].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = present / (present + absent)
        specificity = (total - called - absent) / (total - present - absent)
    corrected = rogan_gladen(np.asarray(called / total), sensitivity, specificity)
    nothing = present + absent == 0  # no sensitivity then, and no need for a correction
    return {"prevalence": np.where(nothing, 0.0, corrected), "sensitivity": sensitivity, "specificity": specificity}


def abstain(r: Reviewed, error: float) -> float | None:
    """Returns the smallest margin up to which the student must abstain; -1 if it need not, None if no margin is enough."""
    order = np.argsort(-r.margin.ravel(), kind="stable")  # the surest first
    margin = r.margin.ravel()[order]
    weight = np.broadcast_to(r.weight[:, None], r.margin.shape).ravel()[order]
    wrong = (r.stated != r.student).ravel()[order] * weight
    ends = np.append(margin[1:] < margin[:-1], True)  # cells of one margin are answered together
    allowed = np.flatnonzero(ends & (np.cumsum(wrong) <= error * np.cumsum(weight)))
    if not allowed.size:
        return None
    last = int(allowed[-1])
    return -1.0 if last == len(margin) - 1 else float(margin[last + 1])


def error_among(r: Reviewed, answered: Bools, rng: np.random.Generator) -> dict[str, float]:
    """Returns the weighted share of wrong cells among the answered ones, with its interval, and the number of both."""
    wrong = (r.stated != r.student) & answered
    cells, errors = answered.sum(axis=1) * r.weight, wrong.sum(axis=1) * r.weight
    counts: dict[str, float] = {"cells": int(answered.sum()), "wrong": int(wrong.sum())}
    if not counts["cells"]:
        return counts
    share = errors.sum() / cells.sum()
    residual = (errors - share * cells) / cells.sum()
    variance = sum(
        len(of) / max(len(of) - 1, 1) * ((of - of.mean()) ** 2).sum() for of in (residual[~r.useful],) if len(of)
    )  # the useful part was taken as a whole
    size = cells.sum() ** 2 / (answered.sum(axis=1) * r.weight**2).sum()
    if variance > 0 and 0 < share < 1:
        size = min(size, share * (1 - share) / variance)
    low, high = np.percentile(rng.beta(share * size + 0.5, (1 - share) * size + 0.5, DRAWS), LEVEL)
    return {"error": share, "low": min(low, share), "high": max(high, share), **counts}


def estimate(queue: Queue, cohort: pl.DataFrame, stated: dict[str, dict[str, bool]], error: float) -> dict[str, Any]:
    """Returns the figures of the whole cohort and of each label. `stated`: what people say, by report and label.

    Raises:
        InputError: no row of the random part was reviewed, so nothing is known about the cohort.
    """
    rng = np.random.default_rng(queue.about["seed"])
    shape = (-1, len(queue.labels))
    student, margin, useful = (cohort[name].to_numpy().reshape(shape) for name in ("student", "margin", "useful"))
    place = {report: n for n, report in enumerate(cohort["report_id"].gather_every(len(queue.labels)))}
    r = _reviewed(queue, stated, student, margin, place)
    tau = None if cohort["probability"].is_nan().any() else abstain(r, error)
    figures: dict[str, Any] = {}
    for n, label in enumerate(queue.labels):
        counted = [[[r.reports[(r.useful == part) & (r.student[:, n] == says) & (r.stated[:, n] == truth)].sum()
                     for truth in (False, True)] for says in (False, True)] for part in (False, True)]  # fmt: skip
        sizes = [
            [int(((useful[:, 0] == part) & (student[:, n] == says)).sum()) for says in (False, True)] for part in (False, True)
        ]
        figures[label] = {"apparent": float(student[:, n].mean()), "reviewed_present": int(r.stated[:, n].sum())}
        figures[label] |= prevalence(np.array(counted), np.array(sizes), rng)
        if tau is not None:
            only = np.zeros(r.margin.shape, dtype=bool)
            only[:, n] = r.margin[:, n] > tau
            figures[label]["answered"] = {"coverage": float((margin[:, n] > tau).mean()), **error_among(r, only, rng)}
            figures[label]["band"] = _band(queue.about["thresholds"][label], tau)
    overall: dict[str, Any] = {"error_asked_for": error, "without_abstention": error_among(r, np.ones_like(r.stated), rng)}
    if tau is not None:
        answered = {
            "coverage": float((margin > tau).mean()),
            "reports_without_abstention": float((margin > tau).all(axis=1).mean()),
        }
        overall |= {"margin": tau, "answered": answered | error_among(r, r.margin > tau, rng)}
    about = {"reports": len(place), "reviewed": len(r.weight), "reviewed_random": int((~r.useful).sum())}
    return tidy({**about, "abstention": overall, "labels": figures})


def _band(threshold: float, tau: float) -> list[float] | None:
    return None if tau < 0 else [threshold * (1 - tau), threshold + (1 - threshold) * tau]


def _reviewed(queue: Queue, stated: dict[str, dict[str, bool]], student: Any, margin: Any, place: dict[str, int]) -> Reviewed:
    rows = [row for row in queue.rows if row["report_id"] in stated]
    useful = np.array([row["part"] == USEFUL for row in rows], dtype=bool)
    if not rows or useful.all():
        raise InputError("no report of the random part is in this gold, so nothing is known about the rest of the cohort")
    weight = np.array([row["weight"] for row in rows])
    for part in (False, True):
        of_part = sum(row["weight"] for row in queue.rows if (row["part"] == USEFUL) == part)
        weight[useful == part] *= of_part / max(weight[useful == part].sum(), 1e-12)
    at = [place[row["report_id"]] for row in rows]
    said = np.array([[stated[row["report_id"]][label] for label in queue.labels] for row in rows])
    count = np.array([row["copies"] for row in rows], dtype=np.int64)
    return Reviewed(useful, count, weight, said, student[at], margin[at])
