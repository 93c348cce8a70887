"""Votes of several teachers, or of several answers of one, on the findings of one report. Pure: knows no tables.

Everybody who labelled the report has one vote on each finding: a status, `unmentioned` where they do not list it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from raddistill.statuses import ABSENT, PRESENT, RANKED, UNCERTAIN, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

STATUS_WEIGHTS = {UNMENTIONED: 0.0, ABSENT: 0.0, UNCERTAIN: 0.5, PRESENT: 1.0}  # the probability that a finding is present


class Finding(NamedTuple):
    """One label of an LLM's answer that passed its checks. Offsets are code points of `reports.text`, end exclusive."""

    label: str  # of the label set; open-ended: the phrase, lower case and single spaces
    status: str
    section: str | None  # the section that the quote lies in; None without a quote (`unmentioned`, decisions)
    start: int | None
    end: int | None
    code: str | None  # ICD-10-CM with its dot; open-ended only
    probability: float | None  # that the label is present; None where the server gave none


class Phrase(NamedTuple):
    """An open-ended finding as it is matched with those of other voters. `spans`: (start, end), end exclusive."""

    phrase: str
    code: str | None
    spans: list[tuple[int, int]]


class Verdict(NamedTuple):
    """What the voters together say of one finding."""

    status: str
    probability: float  # the mean of the voters'
    code: str | None  # the one that most give; of several such, the first voter's


def decide(task: str, how: str, votes: Sequence[str]) -> str:
    """Returns one status for the votes, of which there is at least one.

    `how`: `union` takes the strongest, `intersection` the weakest, all others the majority. Where no status has more than half,
    multiple choice is uncertain, unless the negative ones together have more than half: then the more frequent of the two, or
    absent. Open-ended it is uncertain if that and present together have more than half, else the finding is not there.
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


def judge(task: str, how: str, n_voters: int, given: Sequence[tuple[str, float | None, str | None]]) -> Verdict:
    """Returns the verdict on one finding; `given` has status, probability and code of the voters that list it, in order."""
    if not given:  # most cells of multiple choice
        return Verdict(UNMENTIONED, 0.0, None)
    votes = [status for status, _, _ in given] + [UNMENTIONED] * (n_voters - len(given))
    weights = [STATUS_WEIGHTS[status] if probability is None else probability for status, probability, _ in given]
    codes = Counter(code for _, _, code in given if code)
    return Verdict(decide(task, how, votes), sum(weights) / n_voters, codes.most_common(1)[0][0] if codes else None)


def match(voters: Sequence[Sequence[Phrase]]) -> list[list[int]]:
    """Returns a number for every finding of every voter; equal numbers mean the same finding.

    Findings of two voters are the same, each at most once, where, tried in this order: their phrases are equal; their codes are
    of one category (three characters) and their spans overlap; their codes are equal. Numbers count from 0 in the order in which
    findings first come. A finding goes by its first voter's phrase, and by the codes and spans of all voters so far, so that no
    two findings go by one phrase.
    """
    known: list[Phrase] = []
    codes: list[set[str]] = []
    numbers = []
    for phrases in voters:
        number_at = _assign(phrases, known, codes)
        for place, each in enumerate(phrases):
            number = number_at.setdefault(place, len(known))
            if number == len(known):
                known.append(each._replace(spans=[]))
                codes.append(set())
            known[number].spans.extend(each.spans)
            codes[number] |= {each.code} if each.code else set()
        numbers.append([number_at[place] for place in range(len(phrases))])
    return numbers


def _assign(phrases: Sequence[Phrase], known: list[Phrase], codes: list[set[str]]) -> dict[int, int]:
    """Returns which of a voter's findings (by place) is which known one (by number)."""
    tests: list[Callable[[Phrase, int], bool]] = [
        lambda each, number: each.phrase == known[number].phrase,
        lambda each, number: _category(each.code) in map(_category, codes[number]) and _overlap(each.spans, known[number].spans),
        lambda each, number: each.code in codes[number],
    ]
    number_at: dict[int, int] = {}
    free = list(range(len(known)))
    for is_same in tests:
        for place, each in enumerate(phrases):
            number = None if place in number_at else next((number for number in free if is_same(each, number)), None)
            if number is not None:
                number_at[place] = number
                free.remove(number)
    return number_at


def _category(code: str | None) -> str | None:
    return code[:3] if code else None


def _overlap(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    return any(start < other_end and other_start < end for start, end in some for other_start, other_end in others)


def vote_samples(task: str, samples: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Self-consistency (Wang et al. 2023, arXiv 2203.11171): returns the majority's findings of several answers about one report.

    One finding a label (multiple choice, where every answer has all of them) or phrase. Its quote is that of the first answer
    that says what was decided, else (multiple choice, a tie) of the first of the strongest status.
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


def _phrase(found: Finding) -> Phrase:
    return Phrase(found.label, found.code, [] if found.start is None or found.end is None else [(found.start, found.end)])


def _merge(task: str, n_samples: int, cell: list[Finding]) -> Finding:
    """Returns one finding for those of the samples that have it."""
    status, probability, code = judge(task, "vote", n_samples, [(f.status, f.probability, f.code) for f in cell])
    strongest = max(cell, key=lambda found: RANKED.index(found.status))
    quoted = next((found for found in cell if found.status == status), strongest)
    return quoted._replace(label=cell[0].label, status=status, code=code, probability=probability)
