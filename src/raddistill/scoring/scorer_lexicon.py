"""Maps predicted phrases to concepts by the scorer's own lexicon (gold/scorer_lexicon.csv), which no teacher may import.

The lexicon was written from knowledge of the domain and the concepts' names, then frozen. Its columns are phrase and concept.

- A row without a concept is a stop word (laterality, site, severity, size, change, hedge): it says how or where, not what. Stop
  words and redaction marks (XXXX) are removed before phrases are compared, word by word, in lower case and singular.
- The longest phrase of the lexicon within the predicted phrase wins; of equally long ones the first.
- Else the most similar phrase wins if rapidfuzz gives 90 or more; the match is flagged as fuzzy. Else there is none.
- One predicted phrase is one concept: "emphysema and fibrosis" counts once.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rapidfuzz import fuzz, process

from raddistill.concepts import Concept, read_rows
from raddistill.errors import InputError

FUZZY = 90.0  # rapidfuzz's ratio, 0 to 100; fixed in docs/analysis-plan.md
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Match:
    """The concept of a phrase; None if unmapped. `fuzzy`: found by the most similar phrase of the lexicon."""

    concept: str | None
    fuzzy: bool


class Lexicon:
    """Finds the concept of a phrase."""

    def __init__(self, phrases: dict[str, str], stripped: frozenset[str]) -> None:
        self._stripped = stripped
        self._concepts: dict[tuple[str, ...], str] = {}
        for phrase, concept in phrases.items():
            words = self.words(phrase)
            if not words or self._concepts.setdefault(words, concept) != concept:
                raise InputError(f"the scorer's lexicon: '{phrase}' has only stop words, or belongs to two concepts")
        self._longest = max(map(len, self._concepts), default=0)
        self._joined = {" ".join(words): concept for words, concept in self._concepts.items()}
        self.match = cache(self._match)

    def words(self, phrase: str) -> tuple[str, ...]:
        """Returns the words of a phrase in lower case and singular, without stop words."""
        found = _WORD.findall(phrase.casefold())
        return tuple(_singular(word) for word in found if word not in self._stripped and not set(word) <= {"x"})

    def _match(self, phrase: str) -> Match:
        words = self.words(phrase)
        for length in range(min(len(words), self._longest), 0, -1):
            for start in range(len(words) - length + 1):
                if concept := self._concepts.get(words[start : start + length]):
                    return Match(concept, fuzzy=False)
        closest = process.extractOne(" ".join(words), self._joined.keys(), scorer=fuzz.ratio, score_cutoff=FUZZY)
        return Match(self._joined[closest[0]], fuzzy=True) if closest else Match(None, fuzzy=False)


def load_lexicon(path: Path, concepts: list[Concept]) -> Lexicon:
    """Reads the frozen lexicon.

    Raises:
        InputError: missing file, wrong columns, a concept that gold/concepts.csv lacks, or a phrase with two concepts.
    """
    rows = read_rows(path, ["phrase", "concept"])
    unknown = sorted({row["concept"] for row in rows} - {c.concept for c in concepts} - {""})
    if unknown:
        raise InputError(f"{path} names concepts that gold/concepts.csv does not have: {', '.join(unknown)}")
    stripped = frozenset(word for row in rows if not row["concept"] for word in _WORD.findall(row["phrase"]))
    return Lexicon({row["phrase"]: row["concept"] for row in rows if row["concept"]}, stripped)


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word
