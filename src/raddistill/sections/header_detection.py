"""Finds the headers in the lines of a text, and what each opens. parser.py lists the kinds of evidence."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from raddistill.sections.lexicon import (
    AROUND,
    BOTH,
    EXAM,
    FINDINGS,
    IMPRESSION,
    OTHER,
    PART,
    READING,
    SUMMARY,
    UNKNOWN,
    VIEWS,
    SectionLexicon,
    normalise,
)

LONGEST_HEADER, LONGEST_WITHIN, LONGEST_MARK = 80, 60, 10  # characters: bounds that keep the time for a line of colons linear


class Header(NamedTuple):
    """A header, or a line across the page, in code points of the text or of its line."""

    start: int
    end: int  # equal to `start` where a section begins without a header of its own
    name: str  # what it opens: one of NAMES, PART, VIEWS, UNKNOWN; SUMMARY until it is known whether an impression stands above


class _Line(NamedTuple):
    """A line, and what stands above it."""

    lexicon: SectionLexicon
    text: str
    words: str  # the line without what is around its words
    section: str  # the section above, "" before the first
    above: str  # words of the line above
    fresh: bool  # a new sentence can begin
    titled: bool  # the line above is a header, and nothing follows it


def find_headers(text: str, lexicon: SectionLexicon) -> Iterator[Header]:
    """Yields headers in their order. What one opens depends on the section and the line above."""
    at, concluded = 0, False
    section, above, fresh, titled = "", "", True, False
    for line in text.split("\n"):
        words, end = line.strip().strip(AROUND), 0
        if words and _may_hold_header(line, words):
            for start, end, opened in _in_line(_Line(lexicon, line, words, section, above, fresh, titled)):
                header = Header(at + start, at + end, opened)
                if opened == PART and not section and lexicon.is_prose(text[: at + start]):
                    header = Header(0, 0, opened)  # the body has begun before its first part
                if opened == SUMMARY:
                    header = header._replace(name=OTHER if concluded else IMPRESSION)
                section = header.name
                concluded = concluded or section == IMPRESSION
                yield header
        titled = end > 0 and not line[end:].strip()
        fresh = titled or not words or words[-1] in ".:!?_"
        above = words
        at += len(line) + 1


_ACROSS_OF = "_=-"  # lines across the page
# Long lines that open a section without a colon begin so, or with capitals.
_OPENS_LINE = ("Findings", "Impression", "Conclusion", "Indication", "Comparison", "Electronically", "Digitally", "Dictated")


def _may_hold_header(line: str, words: str) -> bool:
    """Returns whether a line is worth a closer look: most are not."""
    return (
        ":" in line
        or (words[0].isupper() and (len(words) <= 40 or words[1].isupper()))
        or words[0] in _ACROSS_OF
        or words.startswith(_OPENS_LINE)
        or "IMPRESSION" in line
        or "FINDING" in line
    )


# Before a header: the "2." of "2. FINDINGS:"; not the "2" of "2 FINDINGS:".
_MARK = re.compile(r"(?:[-–—]+|\d{1,2}[.)])?\Z")


def _in_line(line: _Line) -> Iterator[Header]:
    """Yields the headers of a line, counted from its start."""
    text, words, lexicon = line.text, line.words, line.lexicon
    low, lower = 0, text.islower()  # `low`: the end of the last header
    first = len(text) - len(text.lstrip())
    if words[0].isupper() or text[first] in _ACROSS_OF:
        if alone := _alone(line):
            yield Header(first, len(text.rstrip()), alone)
            return
        if (bare := _bare(line)) and _may_open(line, bare[1] or bare[0], colon=False):
            low = text.index(words) + bare.end()
            yield Header(first, low, lexicon.known[normalise(bare[1] or bare[0])])
    for mark in _marks(line):
        begins, opened = first, None
        if mark.re.groups:  # a header without a colon
            begins, opened = mark.start(1), lexicon.known[normalise(mark[1])]
        elif low == 0 and mark.start() - first <= LONGEST_HEADER:
            opened = _at_first(line, text[first : mark.start()].strip(AROUND))
            if opened == UNKNOWN and line.section in (FINDINGS, BOTH, PART) and lexicon.value.match(text, mark.end()):
                opened = None  # the name of a finding, and what is said of it: "NGT: in place"
        if not opened:
            begins, opened = _within(line, low, mark.start(), lower)
            opened = opened if begins > first else None  # what begins the line may not open
            if low == 0 and begins - first < LONGEST_MARK and _MARK.match(text[:begins].strip(AROUND)):
                begins = first
        if opened:
            low = mark.end()
            yield Header(begins, begins, opened) if opened == PART else Header(begins, low, opened)
    if low == 0 and words[0].isupper() and lexicon.signature.match(words):
        yield Header(first, first, OTHER)


_UNDERLINE = re.compile(r"(?:[=-]{3,}|_{10,})\Z")  # "---" below a title; not "___", words taken out
_ACROSS = re.compile(r"[_=-]{10,}\Z")  # a line across the page; not "-----"


def _alone(line: _Line) -> str | None:
    """Returns what a line opens that is a known header, or "FINAL REPORT", without a colon, or goes across the page."""
    stripped = line.text.strip()
    if line.titled and _UNDERLINE.match(stripped):
        return line.section
    header = line.words.strip("-=–— ")  # "--- FINDINGS ---"
    opened = line.lexicon.alone.get(normalise(header)) if len(header) <= 40 else None
    if opened and header[0].isupper() and _may_open(line, header, colon=False):
        return opened
    return EXAM if stripped[0] in _ACROSS_OF and _ACROSS.match(stripped) else None


def _bare(line: _Line) -> re.Match[str] | None:
    """Returns the match of a known header at the beginning of a line, without a colon."""
    main, words = line.lexicon.main, line.words
    bare = main.bare.match(words) if words[:2].isupper() else main.bare_capitalised.match(words)
    if bare and line.above.isupper() and not line.fresh and words.isupper() and bare[0].endswith("."):
        return None  # "NO ACUTE\nFINDINGS. HEART ..."
    return bare


_COLON = re.compile(r":(?!(?<=\d:)\d)[:*]*")  # with the marks of "**FINDINGS:**"; not in "10:30"


def _marks(line: _Line) -> Iterable[re.Match[str]]:
    """Returns where a header may end: colons, and (with a group) main headers in capitals after a sentence, without a colon."""
    text = line.text
    colons = _COLON.finditer(text) if ":" in text else ()
    if ". " in text and ("IMPRESSION" in text or "FINDING" in text):
        within = line.lexicon.main.bare_within.finditer(text)
        return sorted([*colons, *within], key=lambda mark: mark.end())
    return colons


def _goes_on(line: _Line, word: str) -> bool:
    """Returns whether a header's word after this one belongs to its sentence: "no acute FINDINGS"."""
    return word.lower() in line.lexicon.goes_on


def _may_open(line: _Line, header: str, colon: bool) -> bool:
    """Returns whether these words at the beginning of a line can open a section, or go on with the sentence above."""
    if line.fresh:
        return True
    if line.lexicon.refers.search(line.above[-40:]):
        return False
    # A line that is as short did not end for want of room.
    sure = header.isupper() or (
        header[:1].isupper() and (len(line.above) < 50 or line.lexicon.without_capitals.match(normalise(header)) is not None)
    )
    above_goes_on = _goes_on(line, line.above.rpartition(" ")[2]) and (not colon or line.above.isupper())
    return sure and not above_goes_on


# "CHEST, PA AND LATERAL", "LUNGS"; not "Lungs", "1. LUNGS".
_CAPITALS = re.compile(r"[A-Z][A-Z0-9 \t,/()&'’.#_:\[\]-]{1,78}\Z")


def _at_first(line: _Line, header: str) -> str | None:
    """Returns what the words between the beginning of a line and a colon open."""
    if not header or not _may_open(line, header, colon=True):
        return None
    normalised, section = normalise(header), line.section
    if known := line.lexicon.with_colon.get(normalised):
        return known
    capitals = _CAPITALS.match(header)
    if not capitals and not (header[0].isupper() and len(header) <= 25):
        return None
    opened = line.lexicon.kind(normalised)
    if opened == PART:
        return _of_part(line, normalised, bool(capitals))
    # A title, or one of a part in a report on several; "HISTORY OF CABG: STERNAL WIRES."
    stays = section in READING and (opened in (VIEWS, EXAM) or (opened == "history" and " of " in normalised))
    return None if stays or (not capitals and opened in (VIEWS, EXAM, UNKNOWN)) else opened


def _of_part(line: _Line, normalised: str, capitals: bool) -> str | None:
    """Returns what a part of the findings opens: nothing within a reading; the findings after a title, or if it is sure."""
    if line.section in READING or line.section in ("addendum", "wet_read"):
        return None
    if line.section in ("", EXAM, VIEWS) or line.lexicon.begins_findings.match(normalised):
        return PART
    return UNKNOWN if capitals else None


# What follows a header that only refers to a section: "agree with the FINDINGS: above"; not "FINDINGS: above the hilum".
_REFERRED = re.compile(r":\s*(?:(?:as )?(?:above|below)(?:[.,;)]|\s*\Z)|section\b)", re.IGNORECASE)


def _within(line: _Line, low: int, colon: int, lower: bool) -> tuple[int, str | None]:
    """Returns start and section of a known header between `low` and a colon.

    It is in capitals, or one of the lexicon's `without_capitals` with a capital (in a line in `lower` case: or without).
    """
    text, lexicon = line.text, line.lexicon
    headed, low = low > 0, max(low, colon - LONGEST_WITHIN)
    start, longest, known = colon, colon, None
    for word in reversed(text[low:colon].split()[-5:]):
        start = text.rindex(word, low, start)
        if found := lexicon.known.get(normalise(text[start:colon])):
            longest, known = start, found
    if not known:
        match = lexicon.main.glued.search(text, low, colon)
        return (match.start(), lexicon.known.get(match[1].lower())) if match else (colon, None)
    header, before = text[longest:colon], text[low:longest].rstrip()
    last = before.rpartition(" ")[2]
    goes_on = _goes_on(line, last) and (last.isupper() or not header.isupper())  # "for FINDINGS:" lost its end to redaction
    stopped = last[-1:] in tuple(".!?;")
    if normalise(header) in lexicon.people and not stopped:  # "Told to ATTENDING: Dr. A."
        return colon, None
    refers = lexicon.refers.search(before) or (not stopped and _REFERRED.match(text, colon))
    sure = header[0].isupper() or (lower and (stopped or headed))
    opens = header.isupper() or (sure and lexicon.without_capitals.match(normalise(header))) or (header == "Report" and stopped)
    return longest, known if opens and not goes_on and not refers else None
