"""What a hedge is worth: the probability that a finding is there, by the cue that doubts it. lexicon/README.md has the form."""

from functools import cache
from pathlib import Path

from raddistill.statuses import UNCERTAIN
from raddistill.teachers.rules.lexicon import Phrase, broken, distinct, expand, read_pairs
from raddistill.teachers.rules.mentions import Matcher, resolve


class Hedges:
    """Probabilities of cues. A cue is worth what the hedge within its words is worth, the lowest where there are several."""

    def __init__(self, path: Path | None) -> None:
        """`path`: a CSV file with the columns cue and probability; None: no cue is graded.

        Raises:
            InputError: the file is missing or broken (file, line, reason).
        """
        graded = [] if path is None else _load(path)
        self._worth = {phrase.words: worth for phrase, worth in graded}
        self._matcher = Matcher([phrase for phrase, _ in graded])
        self.grade = cache(self._grade)  # a lexicon has some hundred cues

    def of(self, says: str, cue: str | None) -> float | None:
        """The probability of a mention; None unless it is uncertain by a cue that is graded."""
        return self.grade(cue) if says == UNCERTAIN and cue is not None else None

    def _grade(self, cue: str) -> float | None:
        """0 to 1; None where the file holds none of the cue's words, or grades them not."""
        found = resolve(self._matcher.find(cue.split()))
        worth = [w for mention in found if (w := self._worth[mention.phrase.words]) is not None]
        return min(worth, default=None)


def _load(path: Path) -> list[tuple[Phrase, float | None]]:
    graded: list[tuple[Phrase, float | None]] = []
    for number, written, cell in read_pairs(path, "cue,probability"):
        if ".." in written:
            raise broken(path, number, "a hedge has no `..`")
        worth = _probability(path, number, cell)
        graded += [(Phrase(words, "hedge", UNCERTAIN, None), worth) for words in expand(path, number, written)]
    distinct(path, [phrase for phrase, _ in graded])
    return graded


def _probability(path: Path, number: int, cell: str) -> float | None:
    try:
        worth = float(cell) if cell else None
    except ValueError:
        worth = -1.0
    if worth is not None and not 0 <= worth <= 1:
        raise broken(path, number, "the probability must be a number from 0 to 1, or blank for a cue that says none")
    return worth
