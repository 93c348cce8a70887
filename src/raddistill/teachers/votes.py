"""Votes of several teachers, or of several answers of one teacher, on the findings of one report. Pure: knows no tables.

Each voter that labelled the report has one vote on each finding: a status, or `unmentioned` if it does not list the finding.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from raddistill.statuses import ABSENT, PRESENT, RANKED, UNCERTAIN, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

STATUS_WEIGHTS = {UNMENTIONED: 0.0, ABSENT: 0.0, UNCERTAIN: 0.5, PRESENT: 1.0}  # the probability that a finding is present


class Finding(NamedTuple):
    """One label of an LLM's answer that passed its checks. Offsets are code points of `reports.text`, end exclusive."""

    label: str  # of the label set; open-ended: the phrase, in lower case and with single spaces
    status: str
    section: str | None = None  # the section of the quote; None without a quote (`unmentioned`, decisions)
    start: int | None = None
    end: int | None = None
    code: str | None = None  # ICD-10-CM with its dot; open-ended only
    probability: float | None = None  # that the label is present; None if the server gave none


class PhraseVote(NamedTuple):
    """One voter's open-ended finding, to be matched with those of others. `spans`: (start, end), end exclusive."""

    phrase: str
    code: str | None
    spans: list[tuple[int, int]]


class Verdict(NamedTuple):
    """The voters' common decision on one finding."""

    status: str
    probability: float  # the mean of the voters'
    code: str | None  # the most frequent one; of several such, the first voter's


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


def verdict_of(task: str, how: str, n_voters: int, given: Sequence[tuple[str, float | None, str | None]]) -> Verdict:
    """Returns the verdict on one finding. `given`: status, probability and code by each voter that lists it, in order."""
    if not given:  # true of most labels, so it is worth a shortcut
        return Verdict(UNMENTIONED, 0.0, None)
    votes = [status for status, _, _ in given] + [UNMENTIONED] * (n_voters - len(given))
    weights = [STATUS_WEIGHTS[status] if probability is None else probability for status, probability, _ in given]
    codes = Counter(code for _, _, code in given if code)
    return Verdict(decide(task, how, votes), sum(weights) / n_voters, codes.most_common(1)[0][0] if codes else None)


def match(voters: Sequence[Sequence[PhraseVote]]) -> list[list[int]]:
    """Returns a number for every finding of every voter; equal numbers mean the same finding.

    Findings of two voters are the same if one of these holds, tried in this order: their phrases are equal; their codes are of
    one category (three characters) and their spans overlap; their codes are equal. Each finding matches at most one of another
    voter. A finding is compared by its first voter's phrase and by the codes and spans of all voters so far, so no two findings
    share a phrase. Numbers count from 0 in the order in which findings first occur.
    """
    known: list[PhraseVote] = []
    codes: list[set[str]] = []
    numbers = []
    for phrases in voters:
        number_of = _assign(phrases, known, codes)
        for position, each in enumerate(phrases):
            number = number_of.setdefault(position, len(known))
            if number == len(known):
                known.append(each._replace(spans=[]))
                codes.append(set())
            known[number].spans.extend(each.spans)
            codes[number] |= {each.code} if each.code else set()
        numbers.append([number_of[position] for position in range(len(phrases))])
    return numbers


def _assign(phrases: Sequence[PhraseVote], known: list[PhraseVote], codes: list[set[str]]) -> dict[int, int]:
    """Returns the number of the known finding for each of a voter's findings (by position) that matches one."""
    tests: list[Callable[[PhraseVote, int], bool]] = [
        lambda each, number: each.phrase == known[number].phrase,
        lambda each, number: _category(each.code) in map(_category, codes[number]) and _overlap(each.spans, known[number].spans),
        lambda each, number: each.code in codes[number],
    ]
    number_of: dict[int, int] = {}
    unmatched = list(range(len(known)))
    for is_same in tests:
        for position, each in enumerate(phrases):
            number = None if position in number_of else next((number for number in unmatched if is_same(each, number)), None)
            if number is not None:
                number_of[position] = number
                unmatched.remove(number)
    return number_of


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
    if task == MULTIPLE_CHOICE:
        numbers: Sequence[Sequence[int | str]] = [[found.label for found in sample] for sample in samples]
    else:
        numbers = match([[_phrase(found) for found in sample] for sample in samples])
    cells: dict[int | str, list[Finding]] = {}
    for sample, row in zip(samples, numbers, strict=True):
        for found, number in zip(sample, row, strict=True):
            cells.setdefault(number, []).append(found)
    voted = [_merge(task, len(samples), cell) for cell in cells.values()]
    return [found for found in voted if task == MULTIPLE_CHOICE or found.status != UNMENTIONED]


def _phrase(found: Finding) -> PhraseVote:
    return PhraseVote(found.label, found.code, [] if found.start is None or found.end is None else [(found.start, found.end)])


def _merge(task: str, n_samples: int, cell: list[Finding]) -> Finding:
    """Returns one finding for those samples that have it."""
    status, probability, code = verdict_of(task, "vote", n_samples, [(f.status, f.probability, f.code) for f in cell])
    strongest = max(cell, key=lambda found: RANKED.index(found.status))
    quoted = next((found for found in cell if found.status == status), strongest)
    return quoted._replace(label=cell[0].label, status=status, code=code, probability=probability)
