"""How a student reads a report: whole, or sentence by sentence. A part is a slice of `reports.text`. Computes only."""

from collections.abc import Mapping
from typing import NamedTuple

from raddistill.passages import SECTIONS, WHOLE, Passage, find_passages
from raddistill.sentences import sentences


class Part(NamedTuple):
    """text[start:end] of a report. `asked`: the student is asked about it; `taught`: the teacher read all of it."""

    start: int
    end: int
    asked: bool
    taught: bool


def parts_of(report: Mapping[str, str | None], units: str, read: tuple[list[str], bool]) -> list[Part]:
    """The parts of a report in the order of its text, at least one of them asked; `units`: sentences | reports.

    `read` are the sections that the teacher looked at, as `passages.choose_sections` gives them. Where it read less than the
    whole report, whole reports come as two parts: the report (asked) and what the teacher read (taught). So a student may learn
    from impressions and answer about everything.
    """
    text = report["text"] or ""
    everything, broken = find_passages(report, list(SECTIONS), first_only=False)
    if broken:
        everything = [Passage(text, WHOLE, 0, len(text))]
    of_teacher, _ = find_passages(report, *read)
    if units == "reports":
        if not of_teacher:
            return [Part(0, len(text), asked=True, taught=False)]
        if {p.section for p in of_teacher} == {p.section for p in everything}:
            return [Part(0, len(text), asked=True, taught=True)]
        start, end = min(p.start for p in of_teacher), max(p.end for p in of_teacher)
        return [Part(0, len(text), asked=True, taught=False), Part(start, end, asked=False, taught=True)]
    known = {p.section for p in of_teacher}
    found = [
        Part(start, end, asked=True, taught=passage.section in known)
        for passage in everything
        for start, end in sentences(passage.text, passage.start, passage.end)
        if any(map(str.isalnum, text[start:end]))
    ]
    return found or [Part(0, len(text), asked=True, taught=False)]


def quote(text: str, part: Part) -> str:
    """The words of a part. Line ends become spaces one by one, so that places in the part are places in the report."""
    return text[part.start : part.end].replace("\r", " ").replace("\n", " ")
