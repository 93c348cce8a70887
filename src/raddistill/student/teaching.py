"""What a teacher says of each part of a report, in the form in which a student learns it.

Labels are of whole reports. The evidence says in which sentence each mention stands, so that a sentence can be an example, too.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import polars as pl

from raddistill import answers, statuses
from raddistill.labelsets import Label
from raddistill.student.prompts import slot_lines
from raddistill.student.reading import Part

RANK = (statuses.UNMENTIONED, statuses.ABSENT, statuses.UNCERTAIN, statuses.PRESENT)  # the strongest last
Worth = float | None  # probability that something is present, as the student learns it; None: not trained on


class Mention(NamedTuple):
    """One mention of a label or phrase; `start` and `end` as in `Evidence` (None: the teacher gave no place)."""

    label: str
    status: str
    probability: float | None
    code: str
    start: int
    end: int


@dataclass(frozen=True)
class Said:
    """All that a teacher says of one report (or of one sentence that it wrote)."""

    labels: dict[str, tuple[str, float | None, str]]  # label or phrase: status, probability, code
    mentions: list[Mention] = field(default_factory=list)

    @property
    def is_placed(self) -> bool:
        """Whether every label that is present or uncertain has a mention."""
        placed = {mention.label for mention in self.mentions}
        return all(label in placed or not _is_stated(status) for label, (status, *_) in self.labels.items())


class Answer(NamedTuple):
    """An example's answer: the columns completion, targets and spans of `Examples`; and what it holds, for choosing examples."""

    completion: str
    targets: list[Worth] | None
    spans: list[dict[str, Any]] | None
    holds: frozenset[str]  # labels, or codes, that are present or uncertain


@dataclass(frozen=True)
class Weights:
    """What statuses are worth as targets."""

    uncertain: float | Literal["mask"]
    soft_labels: bool

    def of(self, status: str, probability: float | None) -> Worth:
        if self.soft_labels and probability is not None:
            return probability
        if status == statuses.UNCERTAIN:
            return None if self.uncertain == "mask" else self.uncertain
        return float(status == statuses.PRESENT)


def said_of(labels: pl.DataFrame, evidence: pl.DataFrame, outcomes: pl.DataFrame) -> dict[str, Said]:
    """By report, of the reports that were labelled: rows of one task's `Labels`, `Evidence` and `Outcomes`."""
    said = {report: Said({}) for report in outcomes.filter(pl.col("outcome") == "labelled")["report_id"]}
    for report, label, status, probability, code in labels.select(
        "report_id", "label", "status", "probability", "code"
    ).iter_rows():
        said[report].labels[label] = (status, probability, code or "")
    columns = ("report_id", "label", "status", "probability", "start", "end")
    for report, label, status, probability, start, end in evidence.select(columns).iter_rows():
        code = said[report].labels[label][2]
        said[report].mentions.append(Mention(label, status, probability, code, start, end))
    return said


def said_of_written(written: pl.DataFrame) -> dict[str, tuple[str, Said]]:
    """Text and what is said of it by sentence, of rows of `Written`."""
    found: dict[str, tuple[str, Said]] = {}
    columns = ("sentence_id", "text", "label", "status", "probability", "code", "start", "end")
    for sentence, text, label, status, probability, code, start, end in written.select(columns).iter_rows():
        said = found.setdefault(sentence, (text, Said({})))[1]
        if label is not None:
            said.mentions.append(Mention(label, status, probability, code or "", start, end))
    return found


def within(said: Said, part: Part) -> Said:
    """What is said in a part: the mentions that begin there, their places counted from its beginning."""
    kept = [
        m._replace(start=m.start - part.start, end=min(m.end, part.end) - part.start)
        for m in said.mentions
        if part.start <= m.start < part.end
    ]
    return Said({}, kept)


def cut_away(said: Said, text: str, kept: list[tuple[int, int]]) -> tuple[frozenset[str], frozenset[str]]:
    """Of the labels stated in a text: those whose words are in none of the slices `kept`, and those whose place nobody knows.

    The strongest mention counts: a finding of which only a weaker hint is left is no longer in the text. A label without a
    mention has its place where its own words stand in the text, if they do.
    """
    gone, unknown = set(), set()
    for label, (status, _) in _strongest(said).items():
        if not _is_stated(status):
            continue
        placed = [mention for mention in said.mentions if mention.label == label]
        strongest = max((RANK.index(m.status) for m in placed), default=0)
        places = [(m.start, m.end) for m in placed if RANK.index(m.status) == strongest] or _places(label, text)
        if not places:
            unknown.add(label)
        elif not any(first <= start and end <= last for start, end in places for first, last in kept):
            gone.add(label)
    return frozenset(gone), frozenset(unknown)


def _places(phrase: str, text: str) -> list[tuple[int, int]]:
    words = r"\s+".join(map(re.escape, phrase.split()))
    return [found.span() for found in re.finditer(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE)]


def without(said: Said, labels: frozenset[str]) -> Said:
    """What a teacher says, but for some labels."""
    left = {label: of_label for label, of_label in said.labels.items() if label not in labels}
    return Said(left, [mention for mention in said.mentions if mention.label not in labels])


def answer_head(said: Said, label_set: list[Label], weights: Weights) -> Answer:
    """A probability for each label; of several mentions the strongest counts: present, else uncertain."""
    stated = _strongest(said)
    unsaid = None if said.labels else 0.0  # a label that a report's labels lack is unknown; one without a mention is not there
    targets = [weights.of(*stated[label.name]) if label.name in stated else unsaid for label in label_set]
    return Answer("", targets, None, _held(stated))


def answer_slots(said: Said, label_set: list[Label], weights: Weights) -> Answer:
    """As `answer_head`, read at the label names."""
    return answer_head(said, label_set, weights)._replace(completion=slot_lines(label_set))


def answer_list(said: Said, label_set: list[Label], weights: Weights) -> Answer:
    """The labels worth more than 0.5. A text cannot leave a label open: a masked one is not listed."""
    stated = _strongest(said)
    names = [n.name for n in label_set if n.name in stated and (weights.of(*stated[n.name]) or 0.0) > 0.5]
    return Answer(answers.render_list(names), None, None, _held(stated))


def answer_lines(said: Said, text: str, weights: Weights) -> Answer:
    """The phrases worth more than 0.5 with their codes, in the order of the text: copying is easier to learn in reading order."""
    if not said.labels:
        return answer_tags(said, weights)._replace(spans=None)
    normalised = " ".join(text.lower().split())
    listed = [(phrase, code) for phrase, (status, p, code) in said.labels.items() if (weights.of(status, p) or 0.0) > 0.5]
    listed.sort(key=lambda finding: (normalised.find(finding[0]), finding[0]))
    codes = frozenset(code for status, _, code in said.labels.values() if _is_stated(status))
    return Answer(answers.render_lines(listed), None, None, codes)


def answer_tags(said: Said, weights: Weights) -> Answer:
    """The places of all that is present or uncertain, and the lines that they stand for."""
    stated = sorted((m for m in said.mentions if _is_stated(m.status)), key=lambda m: m.start)
    spans = [{"start": m.start, "end": m.end, "worth": weights.of(m.status, m.probability)} for m in stated]
    listed = {(m.label, m.code): None for m in stated if (weights.of(m.status, m.probability) or 0.0) > 0.5}
    return Answer(answers.render_lines(listed), None, spans, frozenset(m.code for m in stated))


def _strongest(said: Said) -> dict[str, tuple[str, float | None]]:
    """Status and probability by label: the report's own where known, else those of the strongest mention."""
    if said.labels:
        return {label: (status, probability) for label, (status, probability, _) in said.labels.items()}
    by_label: dict[str, list[Mention]] = defaultdict(list)
    for mention in said.mentions:
        by_label[mention.label].append(mention)
    strongest = {
        label: max(found, key=lambda m: (RANK.index(m.status), m.probability or 0.0)) for label, found in by_label.items()
    }
    return {label: (m.status, m.probability) for label, m in strongest.items()}


def _held(stated: Mapping[str, tuple[str, Any]]) -> frozenset[str]:
    return frozenset(label for label, (status, _) in stated.items() if _is_stated(status))


def _is_stated(status: str) -> bool:
    return status in (statuses.PRESENT, statuses.UNCERTAIN)


def frequencies(held: Iterable[frozenset[str]]) -> dict[str, int]:
    """In how many examples each label (or code) is held; '' counts those that hold none."""
    counts: dict[str, int] = defaultdict(int)
    for labels in held:
        for label in labels or ("",):
            counts[label] += 1
    return counts
