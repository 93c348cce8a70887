"""Finds the phrases of a lexicon in a report and decides their status. Knows no tables, no label and no disease.

The order is that of chexpert-labeler (Irvin et al. 2019), a module for each step:
sections (passages.py) -> sentences (sentences.py) -> mentions (mentions.py) -> assertions (assertions.py, with clauses.py and
field_values.py) -> status (`aggregate`).
"""

from collections import defaultdict
from collections.abc import Container, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from raddistill.labelsets import Label
from raddistill.passages import WHOLE, Passage, choose_sections, find_passages
from raddistill.sentences import sentences
from raddistill.statuses import ABSENT, RANKED, UNCERTAIN, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.assertions import decide
from raddistill.teachers.rules.mentions import Matcher, PhraseMatch, find_word_spans, find_words, resolve

# A sentence's spans depend on its text alone, and reports repeat sentences, so the last ones are cached.
CACHED_SENTENCES = 1 << 14
LONGEST_CACHED = 300  # characters
MOST_MODIFIERS = 12  # modifiers that may belong to one condition, in words


class Span(NamedTuple):
    """A mention in a report with its status. `start` and `end` (exclusive) are code points of the report's text."""

    label: str
    status: str
    section: str
    start: int
    end: int
    cue: str | None
    code: str | None


class Reader:
    """Reads reports for one task by the lexicon in a folder."""

    def __init__(self, task: str, folder: Path, label_set: list[Label], sections: str | list[str]) -> None:
        """`sections`: a key of `passages.CHOICES`, or a list of sections, all of which are read.

        Raises:
            InputError: a section is unknown, the folder lacks a file, or a file is broken (file, line, reason).
        """
        self._init_args = (task, folder, label_set, sections)
        self._sections, self._first_only = choose_sections(sections)
        cues = lexicon.load_cues(folder)
        self._cues = Matcher(cues)
        self._is_multiple_choice = task == MULTIPLE_CHOICE
        self._names: list[str] = []
        self._modifiers: frozenset[str] = frozenset()
        self._possibilities: set[str] = set()  # texts of the cues under which a condition is left out
        if self._is_multiple_choice:
            self._matcher = Matcher(lexicon.load_labels(folder, label_set))
            self._names = [label.name for label in label_set]
        else:
            self._matcher = Matcher(lexicon.load_conditions(folder))
            self._modifiers = lexicon.load_modifiers(folder)
            possibilities = Matcher(lexicon.load_possibilities(folder))
            self._possibilities = {cue.text for cue in cues if any(m.first == 0 for m in possibilities.find(list(cue.words)))}
        self._read_cached = lru_cache(CACHED_SENTENCES)(self._read_sentence)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._init_args  # to pickle: a worker process reads the folder again

    def read(self, report: Mapping[str, str | None]) -> tuple[list[Span], str | None]:
        """Returns the mentions in a report and None, or [] and the reason why it cannot be labelled.

        `report` has the keys `findings`, `impression` and `text`.
        """
        passages, reason = find_passages(report, self._sections, self._first_only)
        return [span for passage in passages for span in self._spans(passage)], reason

    def read_text(self, text: str) -> tuple[list[Span], str | None]:
        """As `read`, for a report without sections: the whole text is read as the section `text`."""
        if not text.strip():
            return [], "no text"
        return self._spans(Passage(text, WHOLE, 0, len(text))), None

    def summarize(self, found: list[Span]) -> list[tuple[str, str, str | None]]:
        """Returns (label, status, code) of a report with these mentions: for each label of the set, or each condition found."""
        statuses: dict[str, set[str]] = {name: set() for name in self._names}
        codes: dict[str, str | None] = {}
        for span in found:
            statuses.setdefault(span.label, set()).add(span.status)
            codes.setdefault(span.label, span.code)
        return [(label, aggregate(of_label), codes.get(label)) for label, of_label in statuses.items()]

    def _spans(self, passage: Passage) -> list[Span]:
        spans: list[Span] = []
        for begins, ends in sentences(passage.text, passage.start, passage.end):
            sentence = passage.text[begins:ends]
            read = self._read_cached if len(sentence) <= LONGEST_CACHED else self._read_sentence
            for label, status, _, start, end, cue, code in read(sentence):
                spans.append(Span(label, status, passage.section, begins + start, begins + end, cue, code))
        return spans

    def _read_sentence(self, sentence: str) -> list[Span]:
        """Returns the spans of a sentence, label by label, or those of conditions. Offsets count from the sentence's start."""
        words = find_words(sentence)
        found = self._matcher.find(words)
        mentions = _resolve_by_label(found) if self._is_multiple_choice else resolve(found)
        if not mentions:
            return []
        spans: list[Span] = []
        word_spans = find_word_spans(sentence)
        for mention, (status, cue) in zip(mentions, decide(self._cues, words, mentions), strict=True):
            is_possibility = status == UNCERTAIN and cue in self._possibilities
            if status == lexicon.IGNORE or (not self._is_multiple_choice and (status == ABSENT or is_possibility)):
                continue
            start = word_spans[_first_modifier(words, mention.first, self._modifiers)][0]
            end = word_spans[mention.last][1]
            label = mention.phrase.label if self._is_multiple_choice else " ".join(sentence[start:end].lower().split())
            spans.append(Span(label, status, "", start, end, cue, mention.phrase.code))
        return spans


def aggregate(mentioned: Container[str]) -> str:
    """Returns a label's status in a report: the strongest status of its mentions, or `unmentioned` if it has none.

    Present wins against absent: "No effusion on the right. Small left effusion." Present wins against uncertain, as a finding
    that is stated once is not in doubt. (chexpert-labeler, stages/aggregate.py, lets uncertain win without saying why.)
    """
    return next((status for status in reversed(RANKED) if status in mentioned), UNMENTIONED)


def _resolve_by_label(found: list[PhraseMatch]) -> list[PhraseMatch]:
    """Returns the mentions label by label, resolved within each label."""
    by_label: dict[str, list[PhraseMatch]] = defaultdict(list)
    for mention in found:
        by_label[mention.phrase.label].append(mention)
    return [mention for of_label in by_label.values() for mention in resolve(of_label)]


def _first_modifier(words: list[str], first: int, modifiers: frozenset[str]) -> int:
    """Returns the index of the first of the modifiers before the word `first`, else `first`. "and" and "to" may join two.

    It is 0 for "edema" in "mild to moderate edema".
    """
    earliest = first - MOST_MODIFIERS
    while first > max(earliest, 0):
        if words[first - 1] in modifiers:
            first -= 1
        elif words[first] in modifiers and words[first - 1] in ("and", "to") and first > 1 and words[first - 2] in modifiers:
            first -= 2
        else:
            break
    return first


class Hedges:
    """The probability that a hedged finding is present, by its cue. lexicon/README.md describes the file.

    A cue has the probability of the hedge within its words, the lowest if there are several.
    """

    def __init__(self, path: Path | None) -> None:
        """`path`: a CSV file with the columns cue and probability. None: no cue has a probability.

        Raises:
            InputError: the file is missing or broken (file, line, reason).
        """
        hedges = [] if path is None else _load_hedges(path)
        self._probabilities = {phrase.words: probability for phrase, probability in hedges}
        self._matcher = Matcher([phrase for phrase, _ in hedges])
        self._lowest_cached = cache(self._lowest)  # a lexicon has some hundred cues

    def probability(self, status: str, cue: str | None) -> float | None:
        """Returns the probability of a mention, 0 to 1; None unless it is uncertain by a cue that has one."""
        return self._lowest_cached(cue) if status == UNCERTAIN and cue is not None else None

    def _lowest(self, cue: str) -> float | None:
        """Returns 0 to 1; None if the file has no phrase within the cue, or only ones with a blank probability."""
        found = resolve(self._matcher.find(cue.split()))
        probabilities = [p for mention in found if (p := self._probabilities[mention.phrase.words]) is not None]
        return min(probabilities, default=None)


def _load_hedges(path: Path) -> list[tuple[lexicon.Phrase, float | None]]:
    hedges: list[tuple[lexicon.Phrase, float | None]] = []
    for number, cue, cell in lexicon.read_pairs(path, "cue,probability"):
        if ".." in cue:
            raise lexicon.broken(path, number, "a hedge has no `..`")
        try:
            probability = float(cell) if cell else None
        except ValueError:
            probability = -1.0
        if probability is not None and not 0 <= probability <= 1:
            raise lexicon.broken(path, number, "the probability must be a number from 0 to 1, or blank for a cue without one")
        hedges += [(lexicon.Phrase(words, "hedge", UNCERTAIN, None), probability) for words in lexicon.expand(path, number, cue)]
    lexicon.distinct(path, [phrase for phrase, _ in hedges])
    return hedges
