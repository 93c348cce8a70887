"""Splits a free-text report into sections. Every character outside of headers belongs to exactly one section.

First the headers are found in the lines of the text (header_detection.py, with the words of lexicon.py). The text between them
makes the sections. If no header opens the findings, they are searched for by the place and the words of the body: the text under
titles of views and under parts of the findings ("LUNGS:"); and, in the last section before the impression (or at the end), the
paragraphs after the first, or the text from the first sentence about the chest ("COMPARISON: None.\\nThe lungs are clear."). If
nothing is readable then, unknown headers over prose are findings. A report without any header is findings as a whole.

When in doubt, text is read rather than lost: a sentence about the chest in a comparison ("The effusion was small then.") may
become findings if no header opens these. The findings never become a comparison.
"""

import itertools
import re
from typing import NamedTuple

from raddistill.reading.cells import is_missing
from raddistill.sections import lexicon as lexicons
from raddistill.sections import markup
from raddistill.sections.header_detection import find_headers
from raddistill.sections.lexicon import (
    BOTH,
    EXAM,
    FINDINGS,
    IMPRESSION,
    OTHER,
    PART,
    READING,
    UNKNOWN,
    VIEWS,
    SectionLexicon,
    normalise,
)
from raddistill.sections.report_text import plain_letters, tidy

BETWEEN = "\n\n"  # joins the pieces of a section; it ends a sentence, so that none spans two pieces
LONGEST_CELL_HEADER = 60  # characters


class Section(NamedTuple):
    """The text under one header, or before the first. Offsets are code points; white space is included."""

    name: str  # one of NAMES; PART, VIEWS or UNKNOWN until the findings have been found
    start: int
    end: int


class Parsed(NamedTuple):
    """Sections and headers of a text, in order. Together they cover it exactly once."""

    sections: list[Section]  # each with one of lexicon.NAMES
    headers: list[tuple[int, int]]  # start and end in code points; a line across the page counts as a header


class Words(NamedTuple):
    """The sections of the table `Reports`, as report_text.section_text returns them; None if the report lacks one."""

    findings: str | None
    impression: str | None
    indication: str | None
    comparison: str | None
    without_headers: bool


def words(text: str, lexicon: SectionLexicon | None = None) -> Words:
    """Returns findings, impression, indication (with the history) and comparison. Several sections of a kind are joined in order.

    Text under FINDINGS AND IMPRESSION counts as findings only. `lexicon` and errors: as in `read`.
    """
    text = plain_letters(markup.plain(text).text)
    parsed = read(text, lexicon)

    def joined(*names: str) -> str | None:
        pieces = [text[s.start : s.end].strip() for s in parsed.sections if s.name in names]
        return tidy(BETWEEN.join(piece for piece in pieces if not is_missing(piece, none_is_said=names == ("comparison",))))

    sections = (joined(FINDINGS, BOTH), joined(IMPRESSION), joined("indication", "history"), joined("comparison"))
    return Words(*sections, without_headers=not parsed.headers)


_NAMED = {PART: FINDINGS, VIEWS: EXAM, UNKNOWN: OTHER}  # final names


def read(text: str, lexicon: SectionLexicon | None = None) -> Parsed:
    """Returns all sections of a report in order. A name can occur twice (addenda, several reports in one text).

    `lexicon`: None is the one that is shipped with the package.

    Raises:
        InputError: a file of the shipped lexicon was edited and is malformed.
    """
    lexicon = lexicon or lexicons.bundled()
    text = plain_letters(text)
    headers = list(find_headers(text, lexicon))
    written = [(header.start, header.end) for header in headers if header.start < header.end]
    if not written:
        return Parsed([Section(FINDINGS, 0, len(text))] if text else [], [])
    sections = [Section(EXAM, 0, headers[0].start)]
    ends = [header.start for header in headers[1:]] + [len(text)]
    sections += [Section(header.name, header.end, end) for header, end in zip(headers, ends, strict=True)]
    sections = _add_findings(text, [section for section in sections if section.start < section.end], lexicon)
    return Parsed([s._replace(name=_NAMED[s.name]) if s.name in _NAMED else s for s in sections], written)


def header_length(cell: str, name: str, lexicon: SectionLexicon | None = None) -> int:
    """Returns the length of a header in the cell that repeats the name of its column, such as "FINDINGS:"; 0 if there is none."""
    header, colon, _ = cell[:LONGEST_CELL_HEADER].partition(":")
    return len(header) + 1 if colon and (lexicon or lexicons.bundled()).known.get(normalise(header)) == name else 0


def _add_findings(text: str, sections: list[Section], lexicon: SectionLexicon) -> list[Section]:
    """Returns the same sections, with the body named as findings if no header opens any."""
    if any(section.name in (FINDINGS, BOTH) and text[section.start : section.end].strip() for section in sections):
        return _add_below_impressions(text, sections, lexicon)
    sections = _name_by_first_sentence(text, sections, lexicon)
    names = [section.name if text[section.start : section.end].strip() else "" for section in sections]
    if set(names) <= {EXAM, VIEWS, ""}:
        titles = [lexicon.is_title(text[section.start : section.end].lower()) for section in sections]
        return [s if title else s._replace(name=FINDINGS) for s, title in zip(sections, titles, strict=True)]
    has_findings_parts = FINDINGS in names or PART in names
    first_reading = next((at for at, name in enumerate(names) if name in READING), len(names))
    is_last_resort = first_reading == len(names)
    found = _add_last_body(text, sections, range(first_reading), lexicon, has_findings_parts, is_last_resort)
    if not has_findings_parts and found == sections:
        found = _add_last_body(text, sections, range(first_reading, len(names)), lexicon, chest_only=True)
    if any(section.name in READING for section in found):
        return found
    # Nothing readable was found: prose under unknown headers becomes findings.
    prose = [s.name == UNKNOWN and lexicon.is_prose(text[s.start : s.end], stops=False) for s in found]
    return [s._replace(name=FINDINGS) if is_prose else s for s, is_prose in zip(found, prose, strict=True)]


def _name_by_first_sentence(text: str, sections: list[Section], lexicon: SectionLexicon) -> list[Section]:
    """Names as findings: prose under titles, and, above the impression, unknown sections that begin with a chest finding."""
    names = [section.name for section in sections]
    stop = names.index(IMPRESSION) if IMPRESSION in names else len(names)
    found = []
    for at, section in enumerate(sections):
        words = text[section.start : section.end]
        titled = section.name == VIEWS and lexicon.is_prose(words, stops=False)
        chest = section.name == UNKNOWN and at < stop and _chest_offset("\n" + words, lexicon, True, first=True) is not None
        found.append(section._replace(name=FINDINGS) if titled or chest else section)
    return found


def _add_below_impressions(text: str, sections: list[Section], lexicon: SectionLexicon) -> list[Section]:
    """Names as findings the body of a further report in the text, which has an impression but no header of findings."""
    ends = [at for at, section in enumerate(sections) if section.name == IMPRESSION]
    if not ends:
        return sections
    found = sections[: ends[0] + 1]
    for above, below in itertools.pairwise(ends):
        between = sections[above + 1 : below]
        has_reading = any(section.name in READING for section in between)
        found += between if has_reading else _add_last_body(text, between, range(len(between)), lexicon, chest_only=True)
        found.append(sections[below])
    return found + sections[ends[-1] + 1 :]


def _add_last_body(
    text: str, sections: list[Section], among: range, lexicon: SectionLexicon, chest_only: bool = False, last_resort: bool = False
) -> list[Section]:
    """Returns the same sections, with the body in the last section of `among` that contains one named as findings.

    `chest_only`: accept only text about the chest. `last_resort`: no other section is readable.
    """
    for at in reversed(among):
        section = sections[at]
        if (start := _body_start(text, section, lexicon, chest_only, last_resort)) is not None:
            above = [Section(section.name, section.start, start)] if start > section.start else []
            return [*sections[:at], *above, Section(FINDINGS, start, section.end), *sections[at + 1 :]]
    return sections


_BLANK_LINE = re.compile(r"\S[ \t\r]*\n[ \t\r]*\n\s*")  # between paragraphs; not above the first
# A comparison that says that there is none ends here: "None. ", "No prior films\n", "None The heart"; not "None Available".
_NONE = re.compile(
    r"\s*(?i:none|n/a|no (?:prior|previous|relevant|comparison|old)\b)[^.\n]{0,60}?"
    r"(?:\.\s+|\n\s*| +(?=[A-Z][a-z])(?!Available))"
)


def _body_start(text: str, section: Section, lexicon: SectionLexicon, chest_only: bool, last_resort: bool) -> int | None:
    """Returns the offset in `text` at which the body begins within this section, or None."""
    if section.name in (*READING, OTHER, UNKNOWN, VIEWS, "recommendation"):
        return None
    words = text[section.start : section.end]
    if section.name in ("wet_read", "addendum"):
        return section.start if last_resort and lexicon.is_prose(words) else None
    blank = _BLANK_LINE.search(words)
    below = blank.end() if blank and not chest_only and lexicon.is_prose(words[blank.end() :], stops=not last_resort) else None
    chest = _chest_start(section.name, words, below, lexicon, last_resort)
    starts = [start for start in (chest, below) if start is not None]
    if starts:
        return section.start + min(starts)
    return section.start if section.name == EXAM and not chest_only and lexicon.is_prose(words) else None


def _chest_start(name: str, words: str, below: int | None, lexicon: SectionLexicon, last_resort: bool) -> int | None:
    """Returns the offset in `words` at which chest findings begin, or None. `below`: where paragraphs after the first begin."""
    # A history can mention the chest, so it does not count. "No comparison" is short, so the findings start right after it.
    none = _NONE.match(words) if name == "comparison" else None
    of_patient = name in ("indication", "history")
    same_line = none is not None or (below is None and (last_resort or not of_patient))
    start = _chest_offset(words, lexicon, same_line)
    if start is not None and none and below is None and len(words[none.end() : start].split()) > 2:
        start = none.end()
    if name == "comparison" and below is None and lexicon.topic(_first_sentence(words)[:start]) == "chest":
        start = 0  # "COMPARISON: Since May, the effusion has become large."
    return start


# Where a sentence begins: after a stop ("large. The"), after a comparison without one ("None The", "___ The"), or with a line,
# also after a bullet ("\n- The"); not "1.5", "None available", "May 2003 and".
_BEGINS = re.compile(
    r"(?:[.!?][ \t\r]+|(?:\b(?:[Nn]one|NONE)(?: available)?|___|XXXX|\d{4}) +(?=[A-Z][a-z])|(\n)\s{0,20})"
    r"((?:[-–—•*·]{1,3}|\d{1,2}[.)])?[ \t]{0,20}[A-Za-z])"
)


def _chest_offset(words: str, lexicon: SectionLexicon, same_line: bool, first: bool = False) -> int | None:
    """Returns the offset of the first sentence about the chest, or of its line; None if there is none.

    `same_line`: it may begin within the first line. `first`: it may be the first sentence of all.
    A line after a long line without a stop does not begin a sentence, since that line may have been wrapped.
    """
    line = None
    for begins in itertools.islice(_BEGINS.finditer(words), 200):  # each costs some 100 microseconds
        start = begins.start(2)
        sentence_end = begins.start() + (0 if begins[1] else 1)  # with its stop, if it has one
        above = words[max(0, sentence_end - 200) : sentence_end].rstrip()
        stopped = above[-1:] in tuple(".!?:")
        short = len(above) - above.rfind("\n") <= 50
        if not (above or first) or not (stopped or short) or not (stopped or begins[2][-1].isupper()):
            continue
        topic = lexicon.topic(_first_sentence(words[start : start + 400]))
        if "\n" in begins[0]:
            line = None if topic == "other films" else start
        if topic == "chest" and (line is not None or same_line):
            return start if line is None else line
    return None


_ENDS = re.compile(r"[.!?](?=\s|\Z)|\n[ \t\r]*\n")  # "clear. The", a blank line; not "1.5 cm"


def _first_sentence(words: str) -> str:
    """Returns the first sentence, at most 400 characters of it."""
    return _ENDS.split(words[:400], maxsplit=1)[0]
