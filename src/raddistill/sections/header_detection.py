"""Which headers stand in the lines of a text, and what each opens. The kinds of evidence: see sectioning.py."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from raddistill.sections.lexicon import (
    ALONE,
    AROUND,
    BOTH,
    EXAM,
    FINDINGS,
    IMPRESSION,
    KNOWN,
    OTHER,
    PART,
    PEOPLE,
    SAID,
    SUMMARY,
    UNKNOWN,
    VIEWS,
    WITH_COLON,
    is_prose,
    key,
    kind,
)


class Header(NamedTuple):
    """A header, or a line across the page, in code points of the text or of its line."""

    start: int
    end: int  # equal to `start` where a section begins without a header of its own
    name: str  # what it opens: one of NAMES, PART, VIEWS, UNKNOWN; SUMMARY until it is known whether an impression stands above


class _Above(NamedTuple):
    """What stands above a line."""

    name: str  # the section, "" before the first
    words: str  # of the line above
    fresh: bool  # a new sentence can begin
    titled: bool  # it is a header, and nothing follows it


def headers(text: str) -> Iterator[Header]:
    """Headers in their order. What one opens depends on the section and the line above."""
    at, concluded = 0, False
    name, last, fresh, titled = "", "", True, False
    for line in text.split("\n"):
        words, end = line.strip().strip(AROUND), 0
        if words and _may_hold(line, words):
            for start, end, opened in _in_line(line, words, _Above(name, last, fresh, titled)):
                header = Header(at + start, at + end, opened)
                if opened == PART and not name and is_prose(text[: at + start]):
                    header = Header(0, 0, opened)  # the body has begun before its first part
                if opened == SUMMARY:
                    header = header._replace(name=OTHER if concluded else IMPRESSION)
                name = header.name
                concluded = concluded or name == IMPRESSION
                yield header
        titled = end > 0 and not line[end:].strip()
        fresh = titled or not words or words[-1] in ".:!?_"
        last = words
        at += len(line) + 1


_ACROSS_OF = "_=-"  # lines across the page
# Long lines that open a section without a colon begin so, or with capitals.
_OPENS_LINE = ("Findings", "Impression", "Conclusion", "Indication", "Comparison", "Electronically", "Digitally", "Dictated")


def _may_hold(line: str, words: str) -> bool:
    """Whether it is worth a closer look: most lines are not."""
    return (
        ":" in line
        or (words[0].isupper() and (len(words) <= 40 or words[1].isupper()))
        or words[0] in _ACROSS_OF
        or words.startswith(_OPENS_LINE)
        or "IMPRESSION" in line
        or "FINDING" in line
    )


# "Electronically signed by A. Reader" at the beginning of a line; not "Signed Date".
_SIGNED = re.compile(
    r"(?:electronically|digitally) (?:signed|approved|reviewed|verified|authenticated)\b|(?:dictated|transcribed|signed) by\b",
    re.IGNORECASE,
)
_MARK = re.compile(r"(?:[-–—]+|\d{1,2}[.)])?\Z")  # before a header: the "2." of "2. FINDINGS:"; not the "2" of "2 FINDINGS:"


def _in_line(line: str, words: str, above: _Above) -> Iterator[Header]:
    """Headers of a line, counted from its start; `words` are the line without what is around them.

    A header has 80 characters at most and a mark before it 10, so that the time for a line of colons is linear.
    """
    low = 0  # the end of the last header
    first = len(line) - len(line.lstrip())
    if words[0].isupper() or line[first] in _ACROSS_OF:
        if alone := _alone(line.strip(), words, above):
            yield Header(first, len(line.rstrip()), alone)
            return
        if (bare := _bare(words, above)) and _may_open(bare[1] or bare[0], above, colon=False):
            low = line.index(words) + bare.end()
            yield Header(first, low, KNOWN[key(bare[1] or bare[0])])
    lower = line.islower()
    for mark in _marks(line):
        begins, opened = first, None
        if mark.re is _BARE_WITHIN:
            begins, opened = mark.start(1), KNOWN[key(mark[1])]
        elif low == 0 and mark.start() - first <= 80:
            opened = _at_first(line[first : mark.start()].strip(AROUND), above)
            if opened == UNKNOWN and above.name in (FINDINGS, BOTH, PART) and _VALUE.match(line, mark.end()):
                opened = None
        if not opened:
            begins, opened = _within(line, low, mark.start(), lower)
            opened = opened if begins > first else None  # what begins the line may not open
            begins = first if low == 0 and begins - first < 10 and _MARK.match(line[:begins].strip(AROUND)) else begins
        if opened:
            low = mark.end()
            yield Header(begins, begins, opened) if opened == PART else Header(begins, low, opened)
    if low == 0 and words[0].isupper() and _SIGNED.match(words):
        yield Header(first, first, OTHER)


_UNDERLINE = re.compile(r"(?:[=-]{3,}|_{10,})\Z")  # "---" below a title; not "___", words taken out
_ACROSS = re.compile(r"[_=-]{10,}\Z")  # a line across the page; not "-----"


def _alone(line: str, words: str, above: _Above) -> str | None:
    """What a line opens that is a known header, or "FINAL REPORT", without a colon, or goes across the page."""
    if above.titled and _UNDERLINE.match(line):
        return above.name
    said = words.strip("-=–— ")  # "--- FINDINGS ---"
    if len(said) <= 40 and (name := ALONE.get(key(said))) and said[0].isupper() and _may_open(said, above, colon=False):
        return name
    return EXAM if line[0] in _ACROSS_OF and _ACROSS.match(line) else None


_SURE_WORDS = "FINDINGS?(?: (?:AND|&) IMPRESSIONS?)?|IMPRESSIONS?|CONCLUSIONS?|INDICATIONS?|COMPARISONS?|TECHNIQUE|HISTORY"
# "FINDINGS The heart", "IMPRESSION 1. Edema", "FINDINGS - no mass", "HISTORY     cough", "WET READ edema"; not "IMPRESSION of
# the hilum", "WET READ VERSION 2".
_BARE = re.compile(
    rf"({_SURE_WORDS})(?:[ \t]*[-–—;.=]+(?=\s|$)|[ \t]+COLON\b|[ \t]*\t[ \t]*(?![ \t:])| {{2,}}(?=[a-z])| {{3,}}(?![ :])"
    r"|[ \t]*(?=[A-Z][a-z]|\d{1,2}[.)]\s))"
    r"|(?:ADDENDUM|WET READ)(?=[ \t]+(?!VERSION|[ \t:]))"
)
# "Findings - Clear."; not "Findings are", "History-taking".
_BARE_MIXED = re.compile(
    r"(Findings?|Impressions?|Conclusions?|Indications?|Comparisons?|Technique|History)[ \t]*(?:[;=]|[-–—]+(?=\s|$))"
)


def _bare(words: str, above: _Above) -> re.Match[str] | None:
    """A known header at the beginning of a line, without a colon."""
    bare = _BARE.match(words) if words[:2].isupper() else _BARE_MIXED.match(words)
    if bare and above.words.isupper() and not above.fresh and words.isupper() and bare[0].endswith("."):
        return None  # "NO ACUTE\nFINDINGS. HEART ..."
    return bare


_COLON = re.compile(r":(?!(?<=\d:)\d)[:*]*")  # with the marks of "**FINDINGS:**"; not in "10:30"
# The last of "The heart is large. IMPRESSION Large heart."; not "An IMPRESSION of", "large. IMPRESSION of".
_BARE_WITHIN = re.compile(rf"[.] +({_SURE_WORDS})(?:[ \t]*[-–—;.=]+(?=\s|$)|[ \t]+(?=[A-Z][a-z]|\d{{1,2}}[.)]\s))")


def _marks(line: str) -> Iterable[re.Match[str]]:
    """Where a header may end: colons, and known headers in capitals after a sentence, without a colon."""
    colons = _COLON.finditer(line) if ":" in line else ()
    if ". " in line and ("IMPRESSION" in line or "FINDING" in line):
        return sorted([*colons, *_BARE_WITHIN.finditer(line)], key=lambda mark: mark.end())
    return colons


# So sure a sign that it need not be in capitals to begin within a line: "Findings", "Reason for exam"; not "Result".
_SURE = re.compile(
    r"(?:findings?|impressions?|conclusions?)(?:(?: and |/|, )(?:findings?|impressions?|conclusions?))?\Z|indications?\Z"
    r"|comparisons?\Z|technique\Z|history\Z|addendum\Z|recommendations?\Z|clinical \w+\Z|reason for "
)
# After these words a header's word goes on with their sentence: "NO SIGNIFICANT FINDINGS: ..."; not "COUGH FINDINGS: ...".
_GOES_ON = re.compile(
    r"(?:no|the|these|this|significant|abnormal|acute|following|above|with|of|and|or|for|in|my|our|new|normal|given)\Z",
    re.IGNORECASE,
)
# A sentence that speaks of a section, before its word: "please see FINDINGS:"; not "was seen. FINDINGS:" ...
_REFERS = re.compile(
    r"\b(?:see|per|refer(?:red)? to|(?:described|mentioned|noted|listed|stated|discussed|detailed|given) (?:above )?(?:in|under))"
    r"(?: the)?\Z", re.IGNORECASE,
)  # fmt: skip
# ... or after it: "agree with the FINDINGS: above"; not "FINDINGS: above the hilum".
_REFERRED = re.compile(r":\s*(?:(?:as )?(?:above|below)(?:[.,;)]|\s*\Z)|section\b)", re.IGNORECASE)


def _may_open(said: str, above: _Above, colon: bool) -> bool:
    """Whether these words at the beginning of a line can open a section, or go on with the sentence above."""
    if above.fresh:
        return True
    if _REFERS.search(above.words[-40:]):
        return False
    # A line that is as short did not end for want of room.
    sure = said.isupper() or (said[:1].isupper() and (len(above.words) < 50 or _SURE.match(key(said)) is not None))
    above_goes_on = _GOES_ON.match(above.words.rpartition(" ")[2]) and (not colon or above.words.isupper())
    return sure and not above_goes_on


# "CHEST, PA AND LATERAL", "LUNGS"; not "Lungs", "1. LUNGS".
_CAPITALS = re.compile(r"[A-Z][A-Z0-9 \t,/()&'’.#_:\[\]-]{1,78}\Z")


def _at_first(said: str, above: _Above) -> str | None:
    """What the words between the beginning of a line and a colon open."""
    known_as, name = key(said), above.name
    if not said or not _may_open(said, above, colon=True):
        return None
    if known := WITH_COLON.get(known_as):
        return known
    capitals = _CAPITALS.match(said)
    if not capitals and not (said[0].isupper() and len(said) <= 25):
        return None
    opened = kind(known_as)
    if opened == PART:
        return _of_part(known_as, name, bool(capitals))
    # A title, or one of a part in a report on several; "HISTORY OF CABG: STERNAL WIRES."
    stays = name in SAID and (opened in (VIEWS, EXAM) or (opened == "history" and " of " in known_as))
    return None if stays or (not capitals and opened in (VIEWS, EXAM, UNKNOWN)) else opened


# What follows the name of a finding ("NGT: in place") and no header.
_VALUE = re.compile(
    r"\s*(?:none|no|nil|neg|negative|[-+]ve|absent|present|yes|normal|clear|intact|in place|small|mild|moderate|large|unchanged"
    r"|stable|not seen)\b", re.IGNORECASE,
)  # fmt: skip
_BODY_BEGINS = re.compile(  # "lungs and pleura", "heart"; not "right shoulder", of which an indication may tell
    r"(?:lungs?|heart|cardi\w+|mediastin\w+|pleura\w*|bones?|osseous|lines|tubes|support"
    r"|(?:medical )?devices|air ?(?:way|space)s?)\b"
)


def _of_part(key: str, name: str, capitals: bool) -> str | None:
    """A part of the findings stays where something is read, and opens them after a title, or if it is surely one."""
    if name in SAID or name in ("addendum", "wet_read"):
        return None
    if name in ("", EXAM, VIEWS) or _BODY_BEGINS.match(key):
        return PART
    return UNKNOWN if capitals else None


def _within(line: str, low: int, colon: int, lower: bool) -> tuple[int, str | None]:
    """Start and name of a known header before this colon: in capitals, or a sure one with a capital (`lower`: or without)."""
    headed, low = low > 0, max(low, colon - 60)
    start, longest, known = colon, colon, None
    for word in reversed(line[low:colon].split()[-5:]):
        start = line.rindex(word, low, start)
        if found := KNOWN.get(key(line[start:colon])):
            longest, known = start, found
    if not known:
        return _glued(line, low, colon)
    written, before = line[longest:colon], line[low:longest].rstrip()
    last = before.rpartition(" ")[2]
    goes_on = _GOES_ON.match(last) and (last.isupper() or not written.isupper())  # "for FINDINGS:" lost its end to redaction
    stopped = last[-1:] in tuple(".!?;")
    if key(written) in PEOPLE and not stopped:  # "Told to ATTENDING: Dr. A."
        return colon, None
    refers = _REFERS.search(before) or (not stopped and _REFERRED.match(line, colon))
    sure = written[0].isupper() or (lower and (stopped or headed))
    opens = written.isupper() or (sure and _SURE.match(key(written))) or (written == "Report" and stopped)
    return longest, known if opens and not goes_on and not refers else None


_STUCK = re.compile(  # "cough.Findings", "effusionIMPRESSION", "XXXXFINDINGS"; not "otherfindings"
    r"(?:(?<=[a-z.!?)>~|\\])(?=[A-Z][a-z])|(?=[A-Z]{7}))"
    r"((?i:findings?|impressions?|conclusions?|indications?|comparisons?|technique|history|addendum))[ \t]*\Z"
)


def _glued(line: str, low: int, colon: int) -> tuple[int, str | None]:
    """A header to which the end of a sentence sticks: "cough.Findings:", "effusionIMPRESSION:"."""
    match = _STUCK.search(line, low, colon)
    return (match.start(), KNOWN.get(match[1].lower())) if match else (colon, None)
