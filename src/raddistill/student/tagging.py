"""Open-ended answers by pointing: of every token of the report the student says whether it belongs to a finding.

The text stands twice in the input and the second copy is read: a causal model sees what follows a word only then, and denials
often follow ("effusion is not seen"). Repeating the input beats removing the causal mask (arXiv 2601.17585, 2401.14556).
What is pointed at stands in the report by construction. The code of a phrase comes from the teacher's own training labels.

One output a token, inside or outside. Begin, inside and outside (three outputs) were tried: a phrase often began anew at its
second word, and such halves were most of the phrases that no concept stands for (docs/log.md, 2026-11-27).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rapidfuzz import fuzz, process

from raddistill import answer_format

# A phrase is stated where one of its words reaches STATED, halfway between "possible" and "probable" of lexicon/hedges.csv.
# Around such a word it takes all that reach WITHIN, halfway to "less likely". With one threshold "calcification of the aorta"
# fell into halves (validation, concepts against the teacher's: F1 .908 with one, .928 with two; docs/log.md, 2026-11-27).
STATED = 0.625
WITHIN = 0.375
_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+")  # "1.5" is one word
# rapidfuzz's ratio, 0 to 100, from which a phrase takes the code of the most similar known one. Below, it is no phrase but mostly
# a word of size or site that lost its noun. Agreement with the teacher on validation for 0, 60, 65, 70, 75: .938, .941, .947,
# .942, .943 (docs/log.md, 2026-11-27).
NEAREST = 65.0


def worth_of_tokens(places: Sequence[tuple[int, int]], spans: Iterable[dict[str, Any]]) -> list[float | None]:
    """What each token of a text is worth as a target; `places` are the tokens' (start, end), `spans` as in `Examples`.

    0 outside of all spans; inside, the span's probability, or None where it is not trained on. Of spans that overlap the longest
    counts.
    """
    worth: list[float | None] = [0.0] * len(places)
    for span in sorted(spans, key=lambda s: s["end"] - s["start"]):
        for i, (start, end) in enumerate(places):
            if start < span["end"] and end > span["start"] and end > start:
                worth[i] = span["worth"]
    return worth


def phrases_of(text: str, places: Sequence[tuple[int, int]], probabilities: Sequence[float]) -> list[str]:
    """The phrases in a text by the probability of each token, in the order of the text: lower case, single spaces, whole words.

    A word counts by the mean of its tokens. Words with nothing but spaces or hyphens between them are one phrase.
    """
    phrases: list[tuple[int, int, float]] = []  # start, end, the highest probability of a word in it
    for start, end, probability in _words(text, places, probabilities):
        if phrases and not text[phrases[-1][1] : start].strip(" -"):
            phrases[-1] = phrases[-1][0], end, max(phrases[-1][2], probability)
        else:
            phrases.append((start, end, probability))
    return [" ".join(text[start:end].lower().split()) for start, end, highest in phrases if highest >= STATED]


def _words(text: str, places: Sequence[tuple[int, int]], probabilities: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    """Start, end and probability of the words that may belong to a finding."""
    for word in _WORD.finditer(text):
        of_word = [p for (start, end), p in zip(places, probabilities, strict=True) if start < word.end() and end > word.start()]
        if of_word and (mean := sum(of_word) / len(of_word)) >= WITHIN:
            yield *word.span(), mean


class Codes:
    """ICD-10-CM codes of phrases, from the answers that a teacher gave: `phrase | code`, one a line."""

    def __init__(self, completions: Iterable[str]) -> None:
        counts: dict[str, Counter[str]] = {}
        for completion in completions:
            for phrase, code in answer_format.parse_lines(completion).findings:
                counts.setdefault(phrase, Counter())[code] += 1
        self._codes = {phrase: max(sorted(codes), key=codes.__getitem__) for phrase, codes in sorted(counts.items())}

    def of(self, phrase: str) -> str | None:
        """The code of a phrase: the teacher's most frequent, else that of the most similar phrase; None where none is similar."""
        if phrase in self._codes:
            return self._codes[phrase]
        near = process.extractOne(phrase, self._codes.keys(), scorer=fuzz.token_sort_ratio, score_cutoff=NEAREST)
        return self._codes[near[0]] if near else None
