"""What a lexicon finds in a report, and what is said of it. Knows no tables, no label and no disease.

Sections -> sentences -> mentions -> assertions -> aggregate, the order of chexpert-labeler (Irvin et al. 2019).
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from raddistill.labelsets import Label
from raddistill.passages import WHOLE, Passage, choose_sections, find_passages
from raddistill.sentences import sentences
from raddistill.statuses import PRESENT, UNCERTAIN
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.aggregate import aggregate
from raddistill.teachers.rules.assertions import Assertions
from raddistill.teachers.rules.mentions import Matcher, Mention, find_places, find_words, resolve

# What a sentence says depends on its text alone and reports repeat their sentences, so the last ones read are remembered.
REMEMBERED = 1 << 14  # sentences
LONGEST_REMEMBERED = 300  # characters
MOST_MODIFIERS = 12  # words before a condition that may belong to it


class Finding(NamedTuple):
    """Something found in a sentence and what is said of it; sentence[start:end] is the quote."""

    label: str
    says: str
    start: int
    end: int
    cue: str | None
    code: str | None


class Span(NamedTuple):
    """A finding in its report; text[start:end] is the quote."""

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
        self._is_labels = task == "multiple_choice"
        if self._is_labels:
            self._matcher = Matcher(lexicon.load_labels(folder, label_set))
            self._modifiers: frozenset[str] = frozenset()
            self._too_weak: frozenset[str] = frozenset()
            self._names = [label.name for label in label_set]
        else:
            self._matcher = Matcher(lexicon.load_conditions(folder))
            self._modifiers = lexicon.load_modifiers(folder)
            weak = Matcher(lexicon.load_possibilities(folder))
            self._too_weak = frozenset(cue.written for cue in cues if any(m.at[0] == 0 for m in weak.find(list(cue.words))))
            self._names = []
        self._remembered = lru_cache(REMEMBERED)(self._findings)

    def read(self, report: Mapping[str, str | None]) -> tuple[list[Span], str | None]:
        """The spans of a report (`findings`, `impression`, `text`) in the order read; or a reason why it cannot be labelled."""
        passages, reason = find_passages(report, self._sections, self._first_only)
        return [span for passage in passages for span in self._spans(passage)], reason

    def read_text(self, text: str) -> tuple[list[Span], str | None]:
        """As `read`, for a report without sections: all of it is one passage, of the section `text`."""
        if not text or text.isspace():
            return [], "no text"
        return self._spans(Passage(text, WHOLE, 0, len(text))), None

    def __reduce__(self) -> tuple:
        return type(self), self._made_of  # a worker process reads the folder for itself

    def summarize(self, found: list[Span]) -> list[tuple[str, str, str | None]]:
        """One row (label, status, code) for each label of the set, or for each condition found."""
        said: dict[str, set[str]] = {name: set() for name in self._names}
        codes: dict[str, str | None] = {}
        for span in found:
            said.setdefault(span.label, set()).add(span.says)
            codes.setdefault(span.label, span.code)
        return [(label, aggregate(says), codes.get(label)) for label, says in said.items()]

    def _spans(self, passage: Passage) -> list[Span]:
        spans: list[Span] = []
        for begins, ends in sentences(passage.text, passage.start, passage.end):
            sentence = passage.text[begins:ends]
            read = self._remembered if len(sentence) <= LONGEST_REMEMBERED else self._findings
            for label, says, start, end, cue, code in read(sentence):
                spans.append(Span(label, says, passage.section, begins + start, begins + end, cue, code))
        return spans

    def _findings(self, sentence: str) -> list[Finding]:
        if self._is_labels:
            return read_labels(self._matcher, self._assertions, sentence)
        found = read_conditions(self._matcher, self._assertions, self._modifiers, sentence)
        return [finding for finding in found if finding.says != UNCERTAIN or finding.cue not in self._too_weak]


def read_labels(matcher: Matcher, assertions: Assertions, sentence: str) -> list[Finding]:
    """The mentions of labels in a sentence, label by label."""
    words = find_words(sentence)
    by_label: dict[str, list[Mention]] = defaultdict(list)
    for mention in matcher.find(words):
        by_label[mention.phrase.label].append(mention)
    mentions = [mention for found in by_label.values() for mention in resolve(found)]
    return _decided(assertions, mentions, words, sentence) if mentions else []


def read_conditions(matcher: Matcher, assertions: Assertions, modifiers: frozenset[str], sentence: str) -> list[Finding]:
    """The conditions that a sentence states or suspects; label is the phrase as it stands there, with its modifiers."""
    words = find_words(sentence)
    mentions = resolve(matcher.find(words))
    findings = _decided(assertions, mentions, words, sentence, modifiers) if mentions else []
    stated = [finding for finding in findings if finding.says in (PRESENT, UNCERTAIN)]
    return [f._replace(label=" ".join(sentence[f.start : f.end].lower().split())) for f in stated]


def _decided(
    assertions: Assertions, mentions: list[Mention], words: list[str], sentence: str, modifiers: frozenset[str] = frozenset()
) -> list[Finding]:
    findings: list[Finding] = []
    places = find_places(sentence)
    for mention, (says, cue) in zip(mentions, assertions.decide(words, mentions), strict=True):
        if says != lexicon.IGNORE:
            start = places[_extended(words, mention.at[0], modifiers)][0]
            end = places[mention.at[-1]][1]
            findings.append(Finding(mention.phrase.label, says, start, end, cue, mention.phrase.code))
    return findings


def _extended(words: list[str], first: int, modifiers: frozenset[str]) -> int:
    """The index of the first of the modifiers before `first`; "and" and "to" may join two ("mild to moderate")."""
    farthest = first - MOST_MODIFIERS
    while first > max(farthest, 0):
        if words[first - 1] in modifiers:
            first -= 1
        elif words[first] in modifiers and words[first - 1] in ("and", "to") and first > 1 and words[first - 2] in modifiers:
            first -= 2
        else:
            break
    return first
