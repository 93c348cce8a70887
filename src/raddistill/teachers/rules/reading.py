"""What a lexicon finds in a report, and what is said of it. Knows no tables, no label and no disease.

Sections -> sentences -> mentions -> assertions -> aggregate, the order of chexpert-labeler (Irvin et al. 2019).
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import PRESENT, UNCERTAIN
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.aggregate import aggregate
from raddistill.teachers.rules.assertions import Assertions
from raddistill.teachers.rules.mentions import Matcher, Mention, Token, resolve, sentences

SECTIONS = ("findings", "impression")  # in the order in which they stand in `reports.text`
WHOLE = "text"  # the section of what was found in a report that has none
# Named choices of sections: in which order they are looked for, and whether only the first that a report has is read.
# MIMIC-CXR's labels were made from the impression, or from the findings where there is none.
CHOICES = {
    "findings_and_impression": (("findings", "impression"), False),
    "impression_else_findings": (("impression", "findings"), True),
}


class Passage(NamedTuple):
    """A section of a report: text[start:end]."""

    text: str
    section: str
    start: int
    end: int


class Span(NamedTuple):
    """Something found and what is said of it; text[start:end] is the quote."""

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
        self._assertions = Assertions(Matcher(lexicon.load_cues(folder)))
        self._is_labels = task == "multiple_choice"
        if self._is_labels:
            self._matcher = Matcher(lexicon.load_labels(folder, label_set))
            self._modifiers: frozenset[str] = frozenset()
            self._names = [label.name for label in label_set]
        else:
            self._matcher = Matcher(lexicon.load_conditions(folder))
            self._modifiers = lexicon.load_modifiers(folder)
            self._names = []

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
        by_label: dict[str, list[Span]] = {name: [] for name in self._names}
        for span in found:
            by_label.setdefault(span.label, []).append(span)
        return [(label, aggregate(s.says for s in spans), spans[0].code if spans else None) for label, spans in by_label.items()]

    def _spans(self, passage: Passage) -> list[Span]:
        if self._is_labels:
            return read_labels(self._matcher, self._assertions, passage)
        return read_conditions(self._matcher, self._assertions, self._modifiers, passage)


def choose_sections(sections: str | list[str]) -> tuple[list[str], bool]:
    """The sections to look for, in order, and whether only the first that a report has is read.

    Raises:
        InputError: a name that is no choice, or a list with an unknown section or without any.
    """
    if isinstance(sections, str):
        if sections not in CHOICES:
            raise InputError(f"sections '{sections}' is none of {', '.join(CHOICES)}, nor a list of {', '.join(SECTIONS)}")
        named, first_only = CHOICES[sections]
        return list(named), first_only
    unknown = sorted(set(sections) - set(SECTIONS))
    if unknown or not sections:
        raise InputError(f"sections must name some of {', '.join(SECTIONS)}; unknown: {', '.join(unknown) or 'none named'}")
    return list(sections), False


def find_passages(report: Mapping[str, str | None], sections: list[str], first_only: bool) -> tuple[list[Passage], str | None]:
    """Where the wanted sections stand in the report's text; or a reason for quarantine.

    With `first_only` the order of `sections` decides: ["impression", "findings"] takes findings where there is no impression.
    """
    places: dict[str, Passage] = {}
    text, at = report["text"] or "", 0
    for name in SECTIONS:
        if content := report[name]:
            start = text.find(content, at)
            if start < 0:
                return [], f"{name} does not stand in the text"
            at = start + len(content)
            places[name] = Passage(text, name, start, at)
    wanted = [places[name] for name in sections if name in places]
    return (wanted[:1] if first_only else wanted), None if wanted else f"no {' or '.join(sections)}"


def read_labels(matcher: Matcher, assertions: Assertions, passage: Passage) -> list[Span]:
    """The mentions of labels in a passage."""
    hits: list[Span] = []
    for sentence in sentences(passage.text, passage.start, passage.end):
        words = [token.word for token in sentence]
        by_label: dict[str, list[Mention]] = defaultdict(list)
        for mention in matcher.find(words):
            by_label[mention.phrase.label].append(mention)
        mentions = [mention for found in by_label.values() for mention in resolve(found)]
        hits += _decided(assertions, mentions, sentence, passage.section)
    return hits


def read_conditions(matcher: Matcher, assertions: Assertions, modifiers: frozenset[str], passage: Passage) -> list[Span]:
    """The conditions that a passage states or suspects; label is the phrase as it stands there, with its modifiers."""
    hits: list[Span] = []
    for sentence in sentences(passage.text, passage.start, passage.end):
        mentions = resolve(matcher.find([token.word for token in sentence]))
        for hit in _decided(assertions, mentions, sentence, passage.section, modifiers):
            if hit.says in (PRESENT, UNCERTAIN):
                hits.append(hit._replace(label=" ".join(passage.text[hit.start : hit.end].lower().split())))
    return hits


def _decided(
    assertions: Assertions,
    mentions: list[Mention],
    sentence: list[Token],
    section: str,
    modifiers: frozenset[str] = frozenset(),
) -> list[Span]:
    if not mentions:
        return []
    words = [token.word for token in sentence]
    spans: list[Span] = []
    for mention, (says, cue) in zip(mentions, assertions.decide(words, mentions), strict=True):
        if says != lexicon.IGNORE:
            start = sentence[_extended(words, mention.at[0], modifiers)].start
            end = sentence[mention.at[-1]].end
            spans.append(Span(mention.phrase.label, says, section, start, end, cue, mention.phrase.code))
    return spans


def _extended(words: list[str], first: int, modifiers: frozenset[str]) -> int:
    """The index of the first of the modifiers before `first`; "and" and "to" may join two ("mild to moderate")."""
    while first > 0:
        if words[first - 1] in modifiers:
            first -= 1
        elif words[first] in modifiers and words[first - 1] in ("and", "to") and first > 1 and words[first - 2] in modifiers:
            first -= 2
        else:
            break
    return first
