"""Open-ended answers by pointing: every token of the report is tagged as the begin of a finding, its inside, or neither.

The text stands twice in the input and the second copy is tagged: a causal model sees what follows a word only then, and denials
often follow ("effusion is not seen"). Repeating the input beats removing the causal mask (arXiv 2601.17585, 2401.14556).
What is pointed at stands in the report by construction. The code of a phrase comes from the teacher's own training labels.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rapidfuzz import fuzz, process

from raddistill import answers

OUTSIDE, BEGIN, INSIDE = range(3)
TAGS = 3
NEAREST = 60.0  # rapidfuzz's ratio, 0 to 100, from which the code of the most similar known phrase is taken
Tag = tuple[int, float | None]  # what a token is if the span is a finding, and how probable that is (None: no loss)


def tags_of(places: Sequence[tuple[int, int]], spans: Iterable[dict[str, Any]]) -> list[Tag]:
    """The tag of each token of a text; `places` are the tokens' (start, end), `spans` as in `Examples`. First span wins."""
    tags: list[Tag] = [(OUTSIDE, 1.0)] * len(places)
    taken = [False] * len(places)
    for span in sorted(spans, key=lambda s: (s["start"], -s["end"])):
        inside = [i for i, (start, end) in enumerate(places) if start < span["end"] and end > span["start"] and end > start]
        if any(taken[i] for i in inside):
            continue
        for n, i in enumerate(inside):
            tags[i] = (INSIDE if n else BEGIN, span["worth"])
            taken[i] = True
    return tags


def phrases_of(text: str, places: Sequence[tuple[int, int]], tags: Sequence[int]) -> list[str]:
    """The phrases that tags point at, in the order of the text: lower case, single spaces, whole words."""
    found: list[list[int]] = []
    for (start, end), tag in zip(places, tags, strict=True):
        if tag == BEGIN or (tag == INSIDE and (not found or not found[-1][2])):
            found.append([start, end, True])
        elif tag == INSIDE:
            found[-1][1] = end
        elif found:
            found[-1][2] = False
    phrases = (" ".join(text[slice(*_whole_words(text, start, end))].lower().split()) for start, end, _ in found)
    return [phrase for phrase in phrases if phrase]


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    while start > 0 and text[start - 1].isalnum() and start < end:
        start -= 1
    while end < len(text) and text[end].isalnum() and end > start:
        end += 1
    return start, end


class Codes:
    """ICD-10-CM codes of phrases, from the answers that a teacher gave: `phrase | code`, one a line."""

    def __init__(self, completions: Iterable[str]) -> None:
        said: dict[str, Counter[str]] = {}
        for completion in completions:
            for phrase, code in answers.parse_lines(completion).findings:
                said.setdefault(phrase, Counter())[code] += 1
        self._codes = {phrase: max(sorted(codes), key=codes.__getitem__) for phrase, codes in sorted(said.items())}

    def of(self, phrase: str) -> str:
        """The code of a phrase: the teacher's most frequent, else that of the most similar phrase, else none ('')."""
        if phrase in self._codes:
            return self._codes[phrase]
        near = process.extractOne(phrase, self._codes.keys(), scorer=fuzz.token_sort_ratio, score_cutoff=NEAREST)
        return self._codes[near[0]] if near else ""
