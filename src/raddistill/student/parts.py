"""Splits reports into the parts that a student reads, and finds what the teacher states in each. Computes only.

A student reads whole reports or single sentences. Labels belong to whole reports; the evidence has the offsets of each mention,
so that a sentence can be an example, too.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

import dataframely as dy
import polars as pl

from raddistill.passages import SECTIONS, WHOLE, Passage, find_passages
from raddistill.sentences import sentences
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.written import Written
from raddistill.tasks.task import AnnotatedMention, Annotation

FEWEST_WORDS = 3  # that blanking must leave; fewer say nothing about any label
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


class Part(NamedTuple):
    """text[start:end] of a report. `asked`: prediction asks about it; `taught`: the teacher read all of it."""

    start: int
    end: int
    asked: bool
    taught: bool


def parts_of(report: Mapping[str, str | None], units: str, read: tuple[list[str], bool]) -> list[Part]:
    """Returns the parts of a report in text order, at least one of them asked. `units`: sentences | reports.

    `read`: the sections that the teacher read, from `passages.choose_sections`. If these are not the whole report, units of
    reports give two parts: the report (asked), and what the teacher read (taught). So a student may learn from impressions and
    answer about everything.
    """
    text = report["text"] or ""
    everything, broken = find_passages(report, list(SECTIONS), first_only=False)
    if broken:
        everything = [Passage(text, WHOLE, 0, len(text))]
    of_teacher, _ = find_passages(report, *read)
    known = {passage.section for passage in of_teacher}
    whole = Part(0, len(text), asked=True, taught=known == {passage.section for passage in everything})
    if units == "reports":
        if whole.taught or not of_teacher:
            return [whole]
        start, end = min(p.start for p in of_teacher), max(p.end for p in of_teacher)
        return [whole, Part(start, end, asked=False, taught=True)]
    found = [
        Part(start, end, asked=True, taught=passage.section in known)
        for passage in everything
        for start, end in sentences(passage.text, passage.start, passage.end)
        if any(map(str.isalnum, text[start:end]))
    ]
    return found or [whole._replace(taught=False)]


def quote(text: str, part: Part) -> str:
    """Returns the text of a part. Each line end becomes one space, so offsets stay valid."""
    return text[part.start : part.end].replace("\r", " ").replace("\n", " ")


def annotations_of(
    labels: dy.DataFrame[Labels], evidence: dy.DataFrame[Evidence], outcomes: dy.DataFrame[Outcomes]
) -> dict[str, Annotation]:
    """Returns one task's annotations by report id, for the reports that the teacher labelled."""
    found = {report: Annotation({}) for report in outcomes.filter(pl.col("outcome") == "labelled")["report_id"]}
    columns = ("report_id", "label", "status", "probability")
    for report, label, status, probability, code in labels.select(*columns, "code").iter_rows():
        found[report].labels[label] = (status, probability, code or "")
    for report, label, status, probability, start, end in evidence.select(*columns, "start", "end").iter_rows():
        code = found[report].labels[label][2]
        found[report].mentions.append(AnnotatedMention(label, status, probability, code, start, end))
    return found


def annotations_of_written(written: dy.DataFrame[Written]) -> dict[str, tuple[str, Annotation]]:
    """Returns text and annotation of written sentences, by sentence id."""
    found: dict[str, tuple[str, Annotation]] = {}
    columns = ("sentence_id", "text", "label", "status", "probability", "code", "start", "end")
    for sentence, text, label, status, probability, code, start, end in written.select(columns).iter_rows():
        annotation = found.setdefault(sentence, (text, Annotation({})))[1]
        if label is not None:
            annotation.mentions.append(AnnotatedMention(label, status, probability, code or "", start, end))
    return found


def within(annotation: Annotation, part: Part) -> Annotation:
    """Returns the mentions that begin in a part, with offsets from the start of the part."""
    kept = [
        m._replace(start=m.start - part.start, end=min(m.end, part.end) - part.start)
        for m in annotation.mentions
        if part.start <= m.start < part.end
    ]
    return Annotation({}, kept)


def lost_labels(annotation: Annotation, text: str, kept: list[tuple[int, int]]) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the stated labels whose words are outside all slices `kept`, and those whose place is unknown.

    Only the strongest mentions count: a finding with only a weaker mention left is lost. A label without a mention is looked for
    by its own words.
    """
    lost, unknown = set(), set()
    for label in annotation.stated():
        mentions = [mention for mention in annotation.mentions if mention.label == label]
        strongest = max((mention.strength for mention in mentions), default=0)
        places = [(m.start, m.end) for m in mentions if m.strength == strongest] or _places(label, text)
        if not places:
            unknown.add(label)
        elif not any(first <= start and end <= last for start, end in places for first, last in kept):
            lost.add(label)
    return frozenset(lost), frozenset(unknown)


def _places(phrase: str, text: str) -> list[tuple[int, int]]:
    """The spans of a phrase in a text, as whole words, whatever the letter case and the spaces."""
    words = r"\s+".join(map(re.escape, phrase.split()))
    return [found.span() for found in re.finditer(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE)]


def blanked(text: str, annotation: Annotation, blank: str, key: str) -> str | None:
    """Returns `text` with half of the words of each mention (rounded up) replaced by `blank`; None if too few words are left.

    A student that sees the phrase in every example learns only the phrases of the rules. If a phrase is sometimes hidden, site,
    size and verb have to carry the label, and phrases that no rule lists are found, too (SimSeed, arXiv 2305.14794). Denied
    mentions are blanked as well, else a blank would mean a finding. The words are chosen by hash of `key` and offset, so always
    the same.
    """
    everything = [found.span() for found in _WORD.finditer(text)]
    hidden: set[tuple[int, int]] = set()
    for mention in annotation.mentions:
        words = [span for span in everything if span[0] < mention.end and span[1] > mention.start]
        ranked = sorted(words, key=lambda span: hashlib.sha256(f"{key}:{span[0]}".encode()).digest())
        hidden.update(ranked[: (len(ranked) + 1) // 2])
    if not hidden or len(everything) - len(hidden) < FEWEST_WORDS:
        return None
    for start, end in sorted(hidden, reverse=True):
        text = text[:start] + blank + text[end:]
    return text
