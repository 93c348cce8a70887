"""The probability that each label is present, from the log probabilities of the tokens of its status word. Pure."""

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raddistill.statuses import STATUSES
from raddistill.teachers.votes import STATUS_WEIGHTS

TOLERATED = 0.05  # largest error of the probability from token prefixes that two statuses share


def probabilities(answer_text: str, logprobs: Sequence[Sequence[Any]], places: Mapping[str, int]) -> dict[str, float | None]:
    """Returns the probability that each label is present: P(present) + P(uncertain) / 2, over the mass of the four statuses.

    Args:
        answer_text: the message.
        logprobs: its tokens, each [token, log probability, [[alternative, log probability], ...]].
        places: label -> offset of its status word in `answer_text`, in code points.

    Returns:
        One probability per label. None if the tokens do not make up the text (a character may be split into bytes), if no status
        has any mass, or if the error could be above 0.05.
    """
    tokens = [str(entry[0]) for entry in logprobs]
    # The last occurrence: tokens may include thoughts before the message, and white space or an end token after it.
    offset = "".join(tokens).rfind(answer_text)
    if offset < 0 or not tokens:
        return dict.fromkeys(places)
    begins, at = [], -offset
    for token in tokens:
        begins.append(at)
        at += len(token)
    return {label: _present(logprobs, begins, place) for label, place in places.items()}


class _Split(NamedTuple):
    """The probability mass of the alternatives at one token."""

    decided: dict[str, float]  # of alternatives that fit one status, by this status
    open: dict[frozenset[str], float]  # of alternatives that fit several, by these: "un" begins two


def _present(logprobs: Sequence[Sequence[Any]], begins: list[int], place: int) -> float | None:
    """Returns the probability for the status word at `place`. Follows its tokens until the chosen ones fit one status only."""
    index = bisect.bisect_right(begins, place) - 1
    before = str(logprobs[index][0])[: place - begins[index]]  # the part of this token before the status word
    word, weight = "", 1.0
    mass = dict.fromkeys(STATUSES, 0.0)
    unfollowed = 0.0
    while index < len(logprobs):
        chosen = str(logprobs[index][0]).removeprefix(before)
        split = _split(_alternatives(logprobs[index]), before, word)
        for status, share in split.decided.items():
            mass[status] += weight * share
        fits = _fitting(word + chosen)
        for statuses, share in split.open.items():
            if statuses != fits:
                unfollowed += weight * share * _spread(statuses)
                for status in statuses:
                    mass[status] += weight * share / len(statuses)
        if len(fits) <= 1:
            break
        weight *= split.open.get(fits, 0.0)
        word, before, index = word + chosen, "", index + 1
    total = sum(mass.values())
    if total <= 0 or unfollowed / total > TOLERATED:
        return None
    return min(1.0, sum(mass[status] * weight for status, weight in STATUS_WEIGHTS.items()) / total)


def _alternatives(entry: Sequence[Any]) -> dict[str, float]:
    """Returns token -> probability. The chosen token may be missing from the server's alternatives."""
    pairs = [(entry[0], entry[1]), *(entry[2] or [])]
    return {str(token): math.exp(min(0.0, logprob)) for token, logprob in pairs}


def _split(alternatives: dict[str, float], before: str, word: str) -> _Split:
    """Returns the mass of the alternatives. Those that begin no status, or do not reach the status word, are left out."""
    split = _Split({}, {})
    for token, share in alternatives.items():
        rest = token.removeprefix(before)
        if not token.startswith(before) or not rest:
            continue
        fits = _fitting(word + rest)
        if len(fits) == 1:
            (status,) = fits
            split.decided[status] = split.decided.get(status, 0.0) + share
        elif fits:
            split.open[fits] = split.open.get(fits, 0.0) + share
    return split


def _fitting(beginning: str) -> frozenset[str]:
    """Returns the statuses of which `beginning` is a prefix, or that are a prefix of it."""
    return frozenset(status for status in STATUSES if status.startswith(beginning) or beginning.startswith(status))


def _spread(statuses: frozenset[str]) -> float:
    """Returns the largest error of an even split between these statuses, in probability that the label is present."""
    weights = [STATUS_WEIGHTS[status] for status in statuses]
    mean = sum(weights) / len(weights)
    return max(max(weights) - mean, mean - min(weights))
