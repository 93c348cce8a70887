"""Finds the headers in the lines of a text, and the section that each opens.

Headers have no single mark, so each line is checked for several kinds of evidence:

- a known header and a colon: at the beginning of a line; anywhere, if it is in capitals, or has a capital and is unambiguous;
- capitals and a colon at the beginning of a line: a misspelt header ("NDICATION:"), a title of views ("CHEST, PA AND LATERAL:"),
  a part of the findings ("LUNGS:", which does not end its section), or else an unknown header, which opens `other`;
- a known header without a colon: alone on its line, or in capitals before a sentence in mixed case ("FINDINGS The heart ...");
- a line across the page and "FINAL REPORT": the text below belongs to no section above.

A line that continues the line above ("no acute\\nfindings: ...") has no header, and neither has "see FINDINGS: above".
"""

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

# Characters. These bounds keep the time for a line of colons linear.
LONGEST_LINE_HEADER, LONGEST_WITHIN, LONGEST_MARK = 80, 60, 10


class Header(NamedTuple):
    """A header, or a line across the page. Offsets are code points of the text or of its line."""

    start: int
    end: int  # equal to `start` if a section begins without a header of its own
    name: str  # what it opens: one of NAMES, PART, VIEWS, UNKNOWN; find_headers replaces SUMMARY by IMPRESSION or OTHER


class _Line(NamedTuple):
    """A line, and its context."""

    lexicon: SectionLexicon
    text: str
    words: str  # the line without the marks and white space around its words
    section: str  # the section that the line is in; "" before the first header
    above: str  # words of the line above
    may_start_sentence: bool
    follows_bare_header: bool  # the line above is a header with nothing after it


def find_headers(text: str, lexicon: SectionLexicon) -> Iterator[Header]:
    """Yields the headers in order. What a header opens depends on the section it is in and on the line above."""
    at, has_impression = 0, False
    section, above, may_start_sentence, follows_bare_header = "", "", True, False
    for line in text.split("\n"):
        words, end = line.strip().strip(AROUND), 0
        if words and _may_hold_header(line, words):
            context = _Line(lexicon, line, words, section, above, may_start_sentence, follows_bare_header)
            for start, end, opened in _in_line(context):
                header = Header(at + start, at + end, opened)
                if opened == PART and not section and lexicon.is_prose(text[: at + start]):
                    header = Header(0, 0, opened)  # the body has begun before its first part
                if opened == SUMMARY:
                    header = header._replace(name=OTHER if has_impression else IMPRESSION)
                section = header.name
                has_impression = has_impression or section == IMPRESSION
                yield header
        follows_bare_header = end > 0 and not line[end:].strip()
        may_start_sentence = follows_bare_header or not words or words[-1] in ".:!?_"
        above = words
        at += len(line) + 1


_ACROSS_OF = "_=-"  # characters of a line across the page
# A long line that opens a section without a colon begins with one of these, or with capitals.
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


# The mark before a header: "2." in "2. FINDINGS:"; not "2" in "2 FINDINGS:".
_MARK = re.compile(r"(?:[-–—]+|\d{1,2}[.)])?\Z")


def _in_line(line: _Line) -> Iterator[Header]:
    """Yields the headers of a line, with offsets from its start."""
    text, words, lexicon = line.text, line.words, line.lexicon
    search_from, is_lower_case = 0, text.islower()  # `search_from`: the end of the last header
    first = len(text) - len(text.lstrip())
    if words[0].isupper() or text[first] in _ACROSS_OF:
        if alone := _alone(line):
            yield Header(first, len(text.rstrip()), alone)
            return
        if (bare := _bare(line)) and _may_open(line, bare[1] or bare[0], colon=False):
            search_from = text.index(words) + bare.end()
            yield Header(first, search_from, lexicon.known[normalise(bare[1] or bare[0])])
    for match, has_colon in _header_ends(line):
        begins, opened = first, None
        if not has_colon:
            begins, opened = match.start(1), lexicon.known[normalise(match[1])]
        elif search_from == 0 and match.start() - first <= LONGEST_LINE_HEADER:
            opened = _at_first(line, text[first : match.start()].strip(AROUND))
            if opened == UNKNOWN and line.section in (FINDINGS, BOTH, PART) and lexicon.value.match(text, match.end()):
                opened = None  # a finding and its value: "NGT: in place"
        if not opened:
            begins, opened = _within(line, search_from, match.start(), is_lower_case)
            opened = opened if begins > first else None  # words at the line start were already rejected above
            if search_from == 0 and begins - first < LONGEST_MARK and _MARK.match(text[:begins].strip(AROUND)):
                begins = first
        if opened:
            search_from = match.end()
            yield Header(begins, begins, opened) if opened == PART else Header(begins, search_from, opened)
    if search_from == 0 and words[0].isupper() and lexicon.signature.match(words):
        yield Header(first, first, OTHER)


# "---" below a title, not "___", which stands for redacted words; and a line across the page, not "-----"
_UNDERLINE, _ACROSS = re.compile(r"(?:[=-]{3,}|_{10,})\Z"), re.compile(r"[_=-]{10,}\Z")


def _alone(line: _Line) -> str | None:
    """Returns what a line opens that is nothing but a header without a colon, or that goes across the page."""
    stripped = line.text.strip()
    if line.follows_bare_header and _UNDERLINE.match(stripped):
        return line.section
    header = line.words.strip("-=–— ")  # "--- FINDINGS ---"
    opened = line.lexicon.alone.get(normalise(header)) if len(header) <= 40 else None
    if opened and header[0].isupper() and _may_open(line, header, colon=False):
        return opened
    return EXAM if stripped[0] in _ACROSS_OF and _ACROSS.match(stripped) else None


def _bare(line: _Line) -> re.Match[str] | None:
    """Returns the match of a known header without a colon at the beginning of a line."""
    main, words = line.lexicon.main, line.words
    bare = main.bare.match(words) if words[:2].isupper() else main.bare_capitalised.match(words)
    if bare and line.above.isupper() and not line.may_start_sentence and words.isupper() and bare[0].endswith("."):
        return None  # "NO ACUTE\nFINDINGS. HEART ..."
    return bare


_COLON = re.compile(r":(?!(?<=\d:)\d)[:*]*")  # with the marks of "**FINDINGS:**"; not in "10:30"


def _header_ends(line: _Line) -> Iterable[tuple[re.Match[str], bool]]:
    """Returns the matches at which a header may end, in order, and whether each is a colon.

    The others match a main header in capitals without a colon, after a sentence; their first group is the header.
    """
    text = line.text
    ends = [(colon, True) for colon in _COLON.finditer(text)]
    if ". " in text and ("IMPRESSION" in text or "FINDING" in text):
        ends += [(header, False) for header in line.lexicon.main.bare_within.finditer(text)]
        ends.sort(key=lambda end: end[0].end())
    return ends


def _may_open(line: _Line, header: str, colon: bool) -> bool:
    """Returns whether these words at the beginning of a line can open a section: they do not continue the sentence above."""
    if line.may_start_sentence:
        return True
    if line.lexicon.refers.search(line.above[-40:]):
        return False
    # A line above that is shorter than 50 characters was not wrapped.
    sure = header.isupper() or (
        header[:1].isupper() and (len(line.above) < 50 or line.lexicon.without_capitals.match(normalise(header)) is not None)
    )
    # A sentence goes on after words such as "no acute", so that the next one is no header: "no acute FINDINGS".
    above_goes_on = line.above.rpartition(" ")[2].lower() in line.lexicon.goes_on and (not colon or line.above.isupper())
    return sure and not above_goes_on


# "CHEST, PA AND LATERAL", "LUNGS"; not "Lungs", "1. LUNGS".
_CAPITALS = re.compile(r"[A-Z][A-Z0-9 \t,/()&'’.#_:\[\]-]{1,78}\Z")


def _at_first(line: _Line, header: str) -> str | None:
    """Returns what the words between the beginning of a line and a colon open, or None."""
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
    # Within findings or impression, neither a title nor "HISTORY OF CABG: STERNAL WIRES." ends these.
    keeps = section in READING and (opened in (VIEWS, EXAM) or (opened == "history" and " of " in normalised))
    return None if keeps or (not capitals and opened in (VIEWS, EXAM, UNKNOWN)) else opened


def _of_part(line: _Line, normalised: str, capitals: bool) -> str | None:
    """Returns what a part of the findings, such as "LUNGS:", opens: nothing within findings or impression."""
    if line.section in READING or line.section in ("addendum", "wet_read"):
        return None
    if line.section in ("", EXAM, VIEWS) or line.lexicon.begins_findings.match(normalised):
        return PART
    return UNKNOWN if capitals else None


# Text after words that only refer to a section: "agree with the FINDINGS: above"; not "FINDINGS: above the hilum".
_REFERRED = re.compile(r":\s*(?:(?:as )?(?:above|below)(?:[.,;)]|\s*\Z)|section\b)", re.IGNORECASE)


def _within(line: _Line, search_from: int, colon: int, is_lower_case: bool) -> tuple[int, str | None]:
    """Returns start and section (None: no header) of the longest known header between `search_from` and a colon.

    The header is in capitals, or one of the lexicon's `without_capitals` with a capital, which a line in lower case may lack.
    """
    text, lexicon = line.text, line.lexicon
    low = max(search_from, colon - LONGEST_WITHIN)
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
    # A word that goes on before a header in capitals does not: "for FINDINGS:", where the words between were redacted.
    goes_on = last.lower() in lexicon.goes_on and (last.isupper() or not header.isupper())
    stopped = last[-1:] in tuple(".!?;")
    if normalise(header) in lexicon.people and not stopped:  # "Told to ATTENDING: Dr. A."
        return colon, None
    refers = lexicon.refers.search(before) or (not stopped and _REFERRED.match(text, colon))
    sure = header[0].isupper() or (is_lower_case and (stopped or search_from > 0))
    opens = header.isupper() or (sure and lexicon.without_capitals.match(normalise(header))) or (header == "Report" and stopped)
    return longest, known if opens and not goes_on and not refers else None
