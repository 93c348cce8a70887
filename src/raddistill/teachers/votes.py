"""Votes of several teachers, or of several answers of one teacher: findings matched, decided on, and their agreement measured.

Each voter that labelled a report has one vote on each finding: a status, or `unmentioned` if it does not list the finding. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill.agreement_coefficients import Ints, cohens_kappa, krippendorffs_alpha
from raddistill.statuses import ABSENT, PRESENT, RANKED, UNCERTAIN, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED
from raddistill.teachers.teacher import Finding

Bools = npt.NDArray[np.bool_]
STATUS_WEIGHTS = {UNMENTIONED: 0.0, ABSENT: 0.0, UNCERTAIN: 0.5, PRESENT: 1.0}  # the probability that a finding is present


class _Known(NamedTuple):
    """A finding that earlier voters list: the first one's phrase, and the codes and spans of all."""

    phrase: str
    codes: set[str]
    spans: list[tuple[int, int]]


def decide(task: str, how: str, votes: Sequence[str]) -> str:
    """Returns one status for the votes, of which there is at least one.

    `how`: `union` takes the strongest status, `intersection` the weakest, and all others vote. The first row that applies counts:

    more than half of the votes    multiple choice                               open-ended
    present                        present                                       present
    present or uncertain           uncertain                                     uncertain
    absent                         absent                                        absent
    absent or unmentioned          the more frequent of the two, absent if tied  unmentioned
    none of these                  uncertain                                     unmentioned
    """
    if how in ("union", "intersection"):
        return RANKED[(max if how == "union" else min)(map(RANKED.index, votes))]
    count, half = Counter(votes), len(votes) / 2
    if count[PRESENT] > half:
        return PRESENT
    if task == OPEN_ENDED:
        if count[PRESENT] + count[UNCERTAIN] > half:
            return UNCERTAIN
        return ABSENT if count[ABSENT] > half else UNMENTIONED
    if count[ABSENT] + count[UNMENTIONED] > half:
        return ABSENT if count[ABSENT] >= count[UNMENTIONED] else UNMENTIONED
    return UNCERTAIN


def verdict_of(task: str, how: str, n_voters: int, label: str, given: Sequence[Finding]) -> Finding:
    """Returns the common finding of `n_voters`, of whom those in `given` list it. It has no mentions.

    Its status is that of `decide`, its probability the mean, its code the most frequent one (of several such, the first voter's).
    """
    if not given:  # true of most labels, so it is worth a shortcut
        return Finding(label, UNMENTIONED, 0.0)
    votes = [found.status for found in given] + [UNMENTIONED] * (n_voters - len(given))
    weights = [STATUS_WEIGHTS[found.status] if found.probability is None else found.probability for found in given]
    codes = Counter(found.code for found in given if found.code)
    return Finding(label, decide(task, how, votes), sum(weights) / n_voters, codes.most_common(1)[0][0] if codes else None)


def group(task: str, voters: Sequence[Sequence[Finding]]) -> list[list[Finding]]:
    """Returns for each finding the entries of the voters that list it, in the order in which findings first occur.

    Multiple choice: those with the same label. Open-ended: those that `match` takes for the same finding.
    """
    numbers: Sequence[Sequence[int | str]] = match(voters) if task == OPEN_ENDED else [[f.label for f in each] for each in voters]
    groups: dict[int | str, list[Finding]] = defaultdict(list)
    for found, number in zip(chain.from_iterable(voters), chain.from_iterable(numbers), strict=True):
        groups[number].append(found)
    return list(groups.values())


def match(voters: Sequence[Sequence[Finding]]) -> list[list[int]]:
    """Returns a number for every finding of every voter; equal numbers mean the same finding.

    Findings of two voters are the same if one of these holds, tried in this order: their phrases are equal; their codes are of
    one category (three characters) and their spans overlap; their codes are equal. Each finding matches at most one of another
    voter. A finding is compared by its first voter's phrase and by the codes and spans of all voters so far, so no two findings
    share a phrase. Numbers count from 0 in the order in which findings first occur.
    """
    known: list[_Known] = []
    numbers = []
    for findings in voters:
        number_of = _assign(findings, known)
        for position, each in enumerate(findings):
            number = number_of.setdefault(position, len(known))
            if number == len(known):
                known.append(_Known(each.label, set(), []))
            known[number].spans.extend(_spans(each))
            known[number].codes.update([each.code] if each.code else [])
        numbers.append([number_of[position] for position in range(len(findings))])
    return numbers


def _assign(findings: Sequence[Finding], known: list[_Known]) -> dict[int, int]:
    """Returns the number of the known finding for each of a voter's findings (by position) that matches one."""
    tests: list[Callable[[Finding, _Known], bool]] = [
        lambda each, one: each.label == one.phrase,
        lambda each, one: _category(each.code) in map(_category, one.codes) and _overlap(_spans(each), one.spans),
        lambda each, one: each.code in one.codes,
    ]
    number_of: dict[int, int] = {}
    unmatched = list(range(len(known)))
    for is_same in tests:
        for position, each in enumerate(findings):
            number = None if position in number_of else next((n for n in unmatched if is_same(each, known[n])), None)
            if number is not None:
                number_of[position] = number
                unmatched.remove(number)
    return number_of


def _spans(found: Finding) -> list[tuple[int, int]]:
    return [(mention.start, mention.end) for mention in found.mentions]


def _category(code: str | None) -> str | None:
    return code[:3] if code else None


def _overlap(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    return any(start < other_end and other_start < end for start, end in some for other_start, other_end in others)


def vote_samples(task: str, samples: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Returns the findings on which most of several answers about one report agree (self-consistency, arXiv 2203.11171).

    One finding per label (in multiple choice every answer has all labels) or phrase. Its quote is that of the first answer with
    the status decided on, else (multiple choice, a tie) of the first answer with the strongest status.
    """
    assert samples, "no sample to vote on"
    voted = [_merge(task, len(samples), cell) for cell in group(task, samples)]
    return [found for found in voted if task == MULTIPLE_CHOICE or found.status != UNMENTIONED]


def _merge(task: str, n_samples: int, cell: list[Finding]) -> Finding:
    """Returns one finding for those samples that have it."""
    verdict = verdict_of(task, "vote", n_samples, cell[0].label, cell)
    strongest = max(cell, key=lambda found: RANKED.index(found.status))
    quoted = next((found for found in cell if found.status == verdict.status), strongest)
    return verdict._replace(mentions=quoted.mentions)


def agreement_of_values(values: Ints, n_values: int, members: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Returns agreement by label. `values` (members, reports, labels): 0 to n_values - 1, or -1 if not labelled by the member.

    `reports` counts those with two members or more. `mean_alpha` is over the labels for which alpha is defined.
    """
    by_label: dict[str, Any] = {}
    for of_label, label in zip(np.moveaxis(values, 2, 0), labels, strict=True):
        counts = np.stack([(of_label == value).sum(axis=0) for value in range(n_values)], axis=1)
        by_label[label] = {
            "reports": int((counts.sum(axis=1) >= 2).sum()),
            "alpha": _rounded(krippendorffs_alpha(counts, np.ones(len(counts), dtype=np.int64))),
            "pairs": {pair: _same_values(of_label[one], of_label[other]) for pair, one, other in _pairs(members)},
        }
    alphas = [figures["alpha"] for figures in by_label.values() if figures["alpha"] is not None]
    return {"mean_alpha": round(sum(alphas) / len(alphas), 4) if alphas else None, "labels": by_label}


def _same_values(first: Ints, second: Ints) -> dict[str, Any]:
    both = (first >= 0) & (second >= 0)
    first, second = first[both], second[both]
    same = float((first == second).mean()) if len(first) else None
    return {"reports": len(first), "same": _rounded(same), "kappa": _rounded(cohens_kappa(first, second))}


def agreement_of_findings(found: pl.DataFrame, has_labelled: Bools, members: Sequence[str]) -> dict[str, Any]:
    """Returns agreement on which findings a report has. `found`: distinct rows (member, report, finding), with two numbers.

    `has_labelled` (members, reports). `alpha` is over all pairs of a report and a finding that any member has in any report, each
    found or not. `same` is the share of reports with equal sets. `f1` of two members' sets A and B is 2 |A and B| / (|A| + |B|).
    """
    n_voters = has_labelled.sum(axis=0)
    by_finding = found.group_by("report", "finding").len()
    n_found, n_asked = by_finding["len"].to_numpy().astype(np.int64), n_voters[by_finding["report"]]
    # No member finds most pairs of a report and a finding. They have one row per number of voters, and `n_unfound` counts them.
    numbers = np.arange(len(members) + 1)
    n_pairs = np.bincount(n_voters, minlength=len(numbers)) * found["finding"].n_unique()
    n_unfound = n_pairs - np.bincount(n_asked, minlength=len(numbers))
    found_or_not = np.stack([n_found, n_asked - n_found], axis=1)
    counts = np.concatenate([found_or_not, np.stack([np.zeros_like(numbers), numbers], axis=1)])
    alpha = krippendorffs_alpha(counts, np.concatenate([np.ones_like(n_found), n_unfound]))
    pairs = {
        pair: _same_findings(found.filter(pl.col("member").is_in([one, other])), has_labelled[one] & has_labelled[other])
        for pair, one, other in _pairs(members)
    }
    return {"reports": int((n_voters >= 2).sum()), "alpha": _rounded(alpha), "pairs": pairs}


def _same_findings(found: pl.DataFrame, both: Bools) -> dict[str, Any]:
    """Returns the agreement of two members. `both` (reports,): whether both labelled a report; the others are left out."""
    found = found.filter(pl.Series(both).gather(found["report"]))
    times = found.group_by("report", "finding").len()
    n_shared, n = times.filter(pl.col("len") == 2).height, int(both.sum())
    n_differing = times.filter(pl.col("len") == 1)["report"].n_unique()
    same, f1 = 1 - n_differing / n if n else None, 2 * n_shared / found.height if found.height else None
    return {"reports": n, "same": _rounded(same), "f1": _rounded(f1)}


def _pairs(members: Sequence[str]) -> list[tuple[str, int, int]]:
    """Returns name and indexes of each pair of members."""
    return [(f"{one} & {other}", i, j) for (i, one), (j, other) in combinations(enumerate(members), 2)]


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)
