"""The probability that a hedged finding is present, by its cue. lexicon/README.md describes the file."""

from functools import cache
from pathlib import Path

from raddistill.statuses import UNCERTAIN
from raddistill.teachers.rules.lexicon import Phrase, broken, distinct, expand, read_pairs
from raddistill.teachers.rules.mentions import Matcher, resolve


class Hedges:
    """Probabilities of cues. A cue has the probability of the hedge within its words, the lowest if there are several."""

    def __init__(self, path: Path | None) -> None:
        """`path`: a CSV file with the columns cue and probability. None: no cue has a probability.

        Raises:
            InputError: the file is missing or broken (file, line, reason).
        """
        hedges = [] if path is None else _load(path)
        self._probabilities = {phrase.words: probability for phrase, probability in hedges}
        self._matcher = Matcher([phrase for phrase, _ in hedges])
        self.grade = cache(self._grade)  # a lexicon has some hundred cues

    def probability(self, status: str, cue: str | None) -> float | None:
        """Returns the probability of a mention, 0 to 1; None unless it is uncertain by a cue that has one."""
        return self.grade(cue) if status == UNCERTAIN and cue is not None else None

    def _grade(self, cue: str) -> float | None:
        """Returns 0 to 1; None if the file has no phrase within the cue, or only ones with a blank probability."""
        found = resolve(self._matcher.find(cue.split()))
        probabilities = [p for mention in found if (p := self._probabilities[mention.phrase.words]) is not None]
        return min(probabilities, default=None)


def _load(path: Path) -> list[tuple[Phrase, float | None]]:
    hedges: list[tuple[Phrase, float | None]] = []
    for number, cue, cell in read_pairs(path, "cue,probability"):
        if ".." in cue:
            raise broken(path, number, "a hedge has no `..`")
        try:
            probability = float(cell) if cell else None
        except ValueError:
            probability = -1.0
        if probability is not None and not 0 <= probability <= 1:
            raise broken(path, number, "the probability must be a number from 0 to 1, or blank for a cue without one")
        hedges += [(Phrase(words, "hedge", UNCERTAIN, None), probability) for words in expand(path, number, cue)]
    distinct(path, [phrase for phrase, _ in hedges])
    return hedges
