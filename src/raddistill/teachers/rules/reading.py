"""What a lexicon finds in a report, and what is said of it. Knows no tables, no label and no disease.

Sections -> sentences -> mentions -> assertions -> status, the order of chexpert-labeler (Irvin et al. 2019).
"""

from collections import defaultdict
from collections.abc import Container, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from raddistill.labelsets import Label
from raddistill.passages import WHOLE, Passage, choose_sections, find_passages
from raddistill.sentences import sentences
from raddistill.statuses import PRESENT, RANKED, UNCERTAIN, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.assertions import Assertions
from raddistill.teachers.rules.mentions import Matcher, Mention, find_places, find_words, resolve

# What a sentence says depends on its text alone and reports repeat their sentences, so the last ones read are remembered.
REMEMBERED = 1 << 14  # sentences
LONGEST_REMEMBERED = 300  # characters
MOST_MODIFIERS = 12  # words before a condition that may belong to it


class Span(NamedTuple):
    """A mention and what is said of it; text[start:end] is the quote."""

    label: str
    says: str
    section: str
    start: int
    end: int
    cue: str | None
    code: str | None


class Reader:
    """Reads reports for one task by the lexicon in a folder."""

    def __init__(self, task: str, folder: Path, label_set: list[Label], sections: str | list[str]) -> None:
        """`sections`: one of CHOICES, or a list of sections of which all are read.

        Raises:
            InputError: unknown sections; the folder lacks a file, or a file is broken (file, line, reason).
        """
        self._made_of = (task, folder, label_set, sections)
        self._sections, self._first_only = choose_sections(sections)
        cues = lexicon.load_cues(folder)
        self._assertions = Assertions(Matcher(cues))
        self._is_labels = task == MULTIPLE_CHOICE
        self._names: list[str] = []
        self._modifiers: frozenset[str] = frozenset()
        if self._is_labels:
            self._matcher = Matcher(lexicon.load_labels(folder, label_set))
            self._names = [label.name for label in label_set]
        else:
            self._matcher = Matcher(lexicon.load_conditions(folder))
            self._modifiers = lexicon.load_modifiers(folder)
            weak = Matcher(lexicon.load_possibilities(folder))
            self._too_weak = {cue.written for cue in cues if any(m.at[0] == 0 for m in weak.find(list(cue.words)))}
        self._remembered = lru_cache(REMEMBERED)(self._read_sentence)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of  # a worker process reads the folder for itself

    def read(self, report: Mapping[str, str | None]) -> tuple[list[Span], str | None]:
        """Returns the spans of a report (`findings`, `impression`, `text`) in text order; or why it cannot be labelled."""
        passages, reason = find_passages(report, self._sections, self._first_only)
        return [span for passage in passages for span in self._spans(passage)], reason

    def read_text(self, text: str) -> tuple[list[Span], str | None]:
        """As `read`, for a report without sections: all of it is one passage, of the section `text`."""
        if not text or text.isspace():
            return [], "no text"
        return self._spans(Passage(text, WHOLE, 0, len(text))), None

    def summarize(self, found: list[Span]) -> list[tuple[str, str, str | None]]:
        """Returns one row (label, status, code) for each label of the set, or for each condition found."""
        statuses: dict[str, set[str]] = {name: set() for name in self._names}
        codes: dict[str, str | None] = {}
        for span in found:
            statuses.setdefault(span.label, set()).add(span.says)
            codes.setdefault(span.label, span.code)
        return [(label, aggregate(of_label), codes.get(label)) for label, of_label in statuses.items()]

    def _spans(self, passage: Passage) -> list[Span]:
        spans: list[Span] = []
        for begins, ends in sentences(passage.text, passage.start, passage.end):
            sentence = passage.text[begins:ends]
            read = self._remembered if len(sentence) <= LONGEST_REMEMBERED else self._read_sentence
            for label, says, _, start, end, cue, code in read(sentence):
                spans.append(Span(label, says, passage.section, begins + start, begins + end, cue, code))
        return spans

    def _read_sentence(self, sentence: str) -> list[Span]:
        """The mentions of labels, label by label; or the conditions that are stated or suspected. Places are the sentence's."""
        words = find_words(sentence)
        found = self._matcher.find(words)
        mentions = _resolve_by_label(found) if self._is_labels else resolve(found)
        spans = self._decide(mentions, words, sentence) if mentions else []
        if self._is_labels:
            return spans
        stated = [s for s in spans if s.says == PRESENT or (s.says == UNCERTAIN and s.cue not in self._too_weak)]
        return [s._replace(label=" ".join(sentence[s.start : s.end].lower().split())) for s in stated]

    def _decide(self, mentions: list[Mention], words: list[str], sentence: str) -> list[Span]:
        spans: list[Span] = []
        places = find_places(sentence)
        for mention, (says, cue) in zip(mentions, self._assertions.decide(words, mentions), strict=True):
            if says != lexicon.IGNORE:
                start = places[_extended(words, mention.at[0], self._modifiers)][0]
                end = places[mention.at[-1]][1]
                spans.append(Span(mention.phrase.label, says, "", start, end, cue, mention.phrase.code))
        return spans


def aggregate(mentioned: Container[str]) -> str:
    """Returns the status of a label in a report from those of its mentions: the strongest; `unmentioned` without any.

    Present wins against absent, since "no effusion on the right. Small left effusion." denies a part and states a part. Present
    wins against uncertain: whoever states a finding once is not in doubt of it (chexpert-labeler, stages/aggregate.py, decides
    the latter the other way round without saying so).
    """
    return next((status for status in reversed(RANKED) if status in mentioned), UNMENTIONED)


def _resolve_by_label(found: list[Mention]) -> list[Mention]:
    """Returns the mentions label by label; of those of a label that share a word only one (see `resolve`)."""
    by_label: dict[str, list[Mention]] = defaultdict(list)
    for mention in found:
        by_label[mention.phrase.label].append(mention)
    return [mention for of_label in by_label.values() for mention in resolve(of_label)]


def _extended(words: list[str], first: int, modifiers: frozenset[str]) -> int:
    """Returns the index of the first modifier before the word `first`: 0 for "edema" of "mild to moderate edema".

    "and" and "to" may join two modifiers.
    """
    farthest = first - MOST_MODIFIERS
    while first > max(farthest, 0):
        if words[first - 1] in modifiers:
            first -= 1
        elif words[first] in modifiers and words[first - 1] in ("and", "to") and first > 1 and words[first - 2] in modifiers:
            first -= 2
        else:
            break
    return first
