"""Chooses which reports people review: the most useful ones, and a random part of the others with known weights.

The useful part is taken first, from the tables alone, so it is a stratum that is known in full. From the other reports a simple
random sample is drawn. So each row of the queue stands for a known number of reports (its weight), all weights add up to the
cohort, and weighted sums are unbiased (Horvitz and Thompson 1952). Reports with the same text are one row: nobody reads it twice.

The useful part is chosen greedily. A cell (report, label) is of at most one kind, and has a value:

| kind | when | value |
|---|---|---|
| `student only`, `teacher only` | one of both calls the label present | 1 |
| `rare` | both call it present | 1 / sqrt(n), n: texts in which one of both calls it present |
| `unsure` | both call it absent | 1 - margin |

The margin of a probability p is its distance to the label's threshold t: 0 at t, 1 at 0 and at 1, so (t - p) / t or
(p - t) / (1 - t). A queue is worth the sum, over kinds and labels, of log(1 + the values of its cells). The logarithm spreads the
queue over kinds and labels. Such a sum is monotone and submodular, so the greedy choice has at least 1 - 1/e of the best possible
worth (Nemhauser, Wolsey and Fisher 1978).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raddistill.errors import InputError

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
RANDOM, USEFUL = "random", "useful"
KINDS = ["student only", "teacher only", "rare", "unsure"]


@dataclass(frozen=True)
class Cohort:
    """What student and teacher say about the reports that may be reviewed, sorted by id."""

    reports: list[str]
    text_groups: list[str]
    labels: list[str]
    student: Bools  # (reports, labels)
    teacher: Bools  # (reports, labels); as the student where the teacher did not label the report
    margins: Floats  # (reports, labels), 0 to 1; 1 everywhere if the student answers in words


class Chosen(NamedTuple):
    """A row of the queue: the index of its report in the cohort, and why it is there."""

    report: int
    part: str  # RANDOM or USEFUL
    copies: int  # reports of this text: those drawn (random) or all of the cohort (useful)
    weight: float  # how many reports of the cohort the row stands for
    reason: str  # such as "teacher only: Edema"


def margins(probabilities: Floats, thresholds: Floats) -> Floats:
    """Returns the margins of `probabilities` (reports, labels) for `thresholds` (labels,)."""
    below = probabilities < thresholds
    room = np.where(below, thresholds, 1 - thresholds)
    return np.asarray(np.where(room > 0, np.abs(probabilities - thresholds) / np.where(room > 0, room, 1), 0.0))


def choose(cohort: Cohort, rows: int, random_share: float, seed: int) -> list[Chosen]:
    """Returns the queue in a random order that does not tell why a report is in it. Equal arguments give equal queues.

    The random part has `random_share` of the rows, rounded up; fewer rows if it draws a text twice, more if the useful part finds
    nothing else of use.

    Raises:
        InputError: the cohort has fewer different texts than `rows`.
    """
    rng = np.random.default_rng(seed)
    groups = np.array(cohort.text_groups)
    _, first, group_of, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    if rows > len(first):
        raise InputError(
            f"{rows} rows asked for, but the {len(groups)} reports have only {len(first)} different texts; ask for fewer"
        )
    drawn = int(np.ceil(round(rows * random_share, 9)))
    useful = _useful(cohort, first, rows - drawn, rng)
    chosen = [Chosen(int(first[g]), USEFUL, int(sizes[g]), float(sizes[g]), reason) for g, reason in useful]
    others = np.flatnonzero(~np.isin(group_of, [g for g, _ in useful]))
    drawn = rows - len(useful)
    sample = rng.choice(others, drawn, replace=False)
    for g, count in zip(*np.unique(group_of[sample], return_counts=True), strict=True):
        chosen.append(Chosen(int(first[g]), RANDOM, int(count), float(count * len(others) / drawn), RANDOM))
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _useful(cohort: Cohort, first: npt.NDArray[np.int64], rows: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Returns the index of the text group and the reason of up to `rows` texts. `first`: a report of each text group."""
    order = rng.permutation(len(first))  # decides between equals
    at = first[order]
    student, teacher, margin = cohort.student[at], cohort.teacher[at], cohort.margins[at]
    stated = student | teacher
    rare = np.broadcast_to(1 / np.sqrt(np.maximum(stated.sum(axis=0), 1)), stated.shape)
    value = np.where(student != teacher, 1.0, np.where(stated, rare, 1 - margin))
    kind = np.where(student != teacher, np.where(student, 0, 1), np.where(stated, 2, 3))
    columns = np.arange(len(cohort.labels))
    covered = np.zeros((len(KINDS), len(columns)))
    open_ = np.ones(len(order), dtype=bool)
    found: list[tuple[int, str]] = []
    while len(found) < rows:
        worth = np.log1p(value / (1 + covered[kind, columns]))
        total = np.where(open_, worth.sum(axis=1), 0.0)
        best = int(np.argmax(total))
        if total[best] <= 0:
            break
        label = int(np.argmax(worth[best]))
        found.append((int(order[best]), f"{KINDS[kind[best, label]]}: {cohort.labels[label]}"))
        open_[best] = False
        covered[kind[best], columns] += value[best]
    return found
