"""Open-ended answers by tagging: the student says of every token of the report whether it belongs to a finding.

The input holds the text twice, and the second copy is read. Only there does a causal model see what follows a word, and denials
often follow ("effusion is not seen"). Repeating the input beats removing the causal mask (arXiv 2601.17585, 2401.14556). Tagged
phrases are in the report by construction. Their codes come from the teacher's training labels.

A token has one output, inside or outside. With three (begin, inside, outside) phrases often began anew at their second word, and
such halves were most of the phrases without a concept (docs/log.md, 2026-11-27).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from rapidfuzz import fuzz, process

from raddistill import answer_format

# A phrase counts if one of its words reaches STATED, halfway between "possible" and "probable" of lexicon/hedges.csv. It includes
# the adjacent words that reach WITHIN, halfway between "possible" and "less likely". With one threshold "calcification of the
# aorta" fell into halves (validation, concepts against the teacher's: F1 .908 with one, .928 with two; docs/log.md, 2026-11-27).
STATED = 0.625
WITHIN = 0.375
_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+")  # "1.5" is one word
# An unknown phrase takes the code of the most similar known phrase from this ratio of rapidfuzz on (0 to 100). Phrases below it
# are dropped: mostly words of size or site without their noun. Agreement with the teacher on validation for 0, 60, 65, 70, 75:
# .938, .941, .947, .942, .943 (docs/log.md, 2026-11-27).
NEAREST = 65.0


def token_targets(offsets: Sequence[tuple[int, int]], spans: Iterable[dict[str, Any]]) -> list[float | None]:
    """Returns the target of each token. `offsets`: (start, end) of each token; `spans`: as in `Examples`.

    0 outside all spans; inside, the span's probability, or None if it is not trained on. Of overlapping spans the longest counts.
    """
    worth: list[float | None] = [0.0] * len(offsets)
    for span in sorted(spans, key=lambda s: s["end"] - s["start"]):
        for i, (start, end) in enumerate(offsets):
            if start < span["end"] and end > span["start"] and end > start:
                worth[i] = span["worth"]
    return worth


def phrases_of(text: str, offsets: Sequence[tuple[int, int]], probabilities: Sequence[float]) -> list[str]:
    """Returns the phrases in a text by the probability of each token, in text order: whole words, lower case, single spaces.

    The probability of a word is the mean of its tokens. Words with only spaces or hyphens between them form one phrase.
    """
    phrases: list[tuple[int, int, float]] = []  # start, end, the highest probability of a word in it
    for start, end, probability in _words(text, offsets, probabilities):
        if phrases and not text[phrases[-1][1] : start].strip(" -"):
            phrases[-1] = phrases[-1][0], end, max(phrases[-1][2], probability)
        else:
            phrases.append((start, end, probability))
    return [" ".join(text[start:end].lower().split()) for start, end, highest in phrases if highest >= STATED]


def _words(text: str, offsets: Sequence[tuple[int, int]], probabilities: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    """Yields start, end and probability of the words that reach WITHIN."""
    for word in _WORD.finditer(text):
        of_word = [p for (start, end), p in zip(offsets, probabilities, strict=True) if start < word.end() and end > word.start()]
        if of_word and (mean := sum(of_word) / len(of_word)) >= WITHIN:
            yield *word.span(), mean


class Codes:
    """ICD-10-CM codes of phrases, from a teacher's answers with lines `phrase | code`."""

    def __init__(self, completions: Iterable[str]) -> None:
        counts: dict[str, Counter[str]] = {}
        for completion in completions:
            for phrase, code in answer_format.parse_lines(completion).findings:
                counts.setdefault(phrase, Counter())[code] += 1
        self.known = {phrase: max(sorted(codes), key=codes.__getitem__) for phrase, codes in sorted(counts.items())}

    @classmethod
    def of(cls, known: dict[str, str]) -> Self:
        """Returns the codes of these phrases, as an earlier `known` held them."""
        codes = cls([])
        codes.known = known
        return codes

    def lookup(self, phrase: str) -> str | None:
        """Returns a phrase's most frequent code, else the code of the most similar phrase; None if none is similar."""
        if phrase in self.known:
            return self.known[phrase]
        near = process.extractOne(phrase, self.known.keys(), scorer=fuzz.token_sort_ratio, score_cutoff=NEAREST)
        return self.known[near[0]] if near else None
