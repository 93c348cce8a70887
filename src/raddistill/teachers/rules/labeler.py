"""The rule-based teacher: phrases of a lexicon folder, asserted by its cues, aggregated to one status a report.

Sections -> sentences -> mentions -> assertions -> aggregate, the order of chexpert-labeler (Irvin et al. 2019). The lexicon
decides what is found; nothing here knows a label or a disease.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from rich.console import Console
from rich.progress import track

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import PRESENT, UNCERTAIN
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.aggregate import aggregate
from raddistill.teachers.rules.assertions import Assertions
from raddistill.teachers.rules.mentions import Matcher, Mention, Token, resolve, sentences
from raddistill.teachers.teacher import Labelled

SECTIONS = ("findings", "impression")  # in the order in which they stand in `reports.text`


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


class RulesTeacher:
    """Labels for one task by the lexicon in the folder `source`, looking at the named sections only."""

    def __init__(self, task: str, source: str, sections: list[str], first_section_only: bool) -> None:
        unknown = sorted(set(sections) - set(SECTIONS))
        if unknown or not sections:
            raise InputError(f"synthesize.{task}.sections must name some of {', '.join(SECTIONS)}; unknown: {', '.join(unknown)}")
        self.name = f"rules:{Path(source).name}"
        self._task, self._folder = task, Path(source)
        self._sections, self._first_only = sections, first_section_only

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """The four tables for `reports`. A report without any of the sections goes to quarantine.

        Raises:
            InputError: the lexicon folder lacks a file, or a file is broken (file, line, reason).
        """
        find, names = self._reader(label_set)
        rows: dict[str, list[tuple]] = {"labels": [], "evidence": [], "outcomes": [], "quarantine": []}
        columns = reports.select("report_id", *SECTIONS, "text").iter_rows(named=True)
        console = Console(stderr=True)
        for report in track(columns, self._task, reports.height, console=console, disable=not console.is_terminal):
            key = (report["report_id"], self._task, self.name)
            passages, reason = find_passages(report, self._sections, self._first_only)
            rows["outcomes"].append((*key, "quarantined" if reason else "labelled", reason))
            if reason:
                rows["quarantine"].append((report["report_id"], 0, reason, None))
                continue
            found = [hit for passage in passages for hit in find(passage)]
            rows["labels"] += [(*key, *cells) for cells in summarize(found, names)]
            rows["evidence"] += [(*key, *cells) for cells in _number(found)]
        return Labelled(
            _frame(rows["labels"], Labels), _frame(rows["evidence"], Evidence),
            _frame(rows["outcomes"], Outcomes), _frame(rows["quarantine"], Quarantine), {},
        )  # fmt: skip

    def _reader(self, label_set: list[Label]) -> tuple[Callable[[Passage], list[Span]], list[str] | None]:
        """What finds the spans of a section, and the labels that every report gets a row for (None: those found)."""
        assertions = Assertions(Matcher(lexicon.load_cues(self._folder)))
        if self._task == "multiple_choice":
            matcher = Matcher(lexicon.load_labels(self._folder, label_set))
            return lambda passage: read_labels(matcher, assertions, passage), [label.name for label in label_set]
        matcher = Matcher(lexicon.load_conditions(self._folder))
        modifiers = lexicon.load_modifiers(self._folder)
        return lambda passage: read_conditions(matcher, assertions, modifiers, passage), None


def find_passages(report: dict[str, Any], sections: list[str], first_only: bool) -> tuple[list[Passage], str | None]:
    """Where the wanted sections stand in the report's text; or a reason for quarantine.

    With `first_only` the order of `sections` decides: ["impression", "findings"] takes findings where there is no impression.
    """
    places: dict[str, Passage] = {}
    text, at = report["text"], 0
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


def summarize(found: list[Span], names: list[str] | None) -> list[tuple[str, str, None, str | None]]:
    """One row (label, status, probability, code) for each of `names`, or where None for each label found."""
    by_label: dict[str, list[Span]] = {name: [] for name in names or ()}
    for hit in found:
        by_label.setdefault(hit.label, []).append(hit)
    return [
        (label, aggregate(hit.says for hit in hits), None, hits[0].code if hits else None) for label, hits in by_label.items()
    ]


def _number(found: list[Span]) -> list[tuple]:
    """Rows (label, n, section, start, end, cue), n counting from 0 within a label."""
    seen: dict[str, int] = defaultdict(int)
    rows = []
    for hit in found:
        rows.append((hit.label, seen[hit.label], hit.section, hit.start, hit.end, hit.cue))
        seen[hit.label] += 1
    return rows


def _frame(rows: list[tuple], schema: Any) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema.create_empty().schema, orient="row")
