"""Sections of a free-text report. Every character that is no header belongs to exactly one section.

There is no one mark of a header, so several kinds of evidence are asked, line by line:

- a known header and a colon: at the beginning of a line, in capitals anywhere, or if it is a sure one with a capital anywhere;
- capitals and a colon at the beginning of a line: a known header misspelt ("NDICATION:"), a title of views ("CHEST, PA AND
  LATERAL:"), a part of the findings ("LUNGS:", which stays in the section it stands in), or else a header nobody knows: `other`;
- a known header alone on its line, without a colon, or in capitals before a sentence in mixed case ("FINDINGS The heart ...");
- a line across the page and "FINAL REPORT": what follows belongs to nothing above.

A line that goes on from the line above ("no acute\\nfindings: ...") is no header's place, and "see FINDINGS: above" is none. If
no header says where the findings are, they are the body: what stands under titles of views and of parts; and of the last section
before the impression (or at the end) the paragraphs below the first, or what follows from the first sentence on that tells
of the chest ("COMPARISON: None.\\nThe lungs are clear."). If nothing at all can be read then, headers that nobody knows are. A
report without any header is findings from its first to its last character.

In doubt words are rather read than lost: a sentence of a comparison that tells of the chest ("The effusion was small then.") may
become findings where no header says these, the findings never a comparison.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from raddistill.sources.sections import single_spaced

FINDINGS, IMPRESSION, BOTH, OTHER, EXAM = "findings", "impression", "findings_and_impression", "other", "exam"
_FINDINGS = ("findings", "finding", "results", "result", "observations", "report")
_IMPRESSION = ("impression", "impressions", "conclusion", "conclusions", "opinion", "assessment", "summary")
_ALSO = ("plan", "recommendation", "recommendations", "diagnosis", "summary")
KNOWN_AS = {
    FINDINGS: (*_FINDINGS, "radiographic findings", "imaging findings", "chest findings", "interpretation"),
    IMPRESSION: (
        *_IMPRESSION, "imp", "impr", "result impression",
        "final diagnosis", "radiological diagnosis", "radiologic diagnosis", "overall assessment", "final impression",
        "overall impression", "radiological impression", "diagnostic impression", "diagnosis",
        *(f"{said}{joint}{also}" for said in _IMPRESSION for joint in (" and ", "/") for also in _ALSO),
    ),
    BOTH: tuple(
        f"{one}{joint}{other}"
        for joint in (" and ", "/", ", ", "-")
        for a, b in ((a, b) for a in _FINDINGS[:2] for b in _IMPRESSION[:4])
        for one, other in ((a, b), (b, a))
    ),
    "indication": (
        "indication", "indications", "clinical indication", "clinical indications", "reason for exam", "reason for examination",
        "reason for study", "reason for the exam", "reason for the examination", "reason for this examination", "reason",
        "exam indication", "indication for exam", "indication for study", "indications for exam", "clinical information",
        "clinical info", "clinical data", "clinical details", "clinical question", "clinical concern", "clinical impression",
        "history/indication", "indication/history", "clinical statement", "patient complaint", "reason for order",
        "indic",
    ),
    "history": (
        "hx", "clinical hx",
        "history", "clinical history", "medical history", "past medical history", "patient history", "brief history",
        "history of present illness", "surgical history", "past surgical history", "family history", "social history",
    ),
    "comparison": (
        "comparison", "comparisons", "comp", "comparison exam", "comparison study", "comparison studies", "comparison film",
        "comparison films", "compared to", "compared with", "prior", "priors", "prior studies", "prior study", "correlation",
    ),
    "technique": (
        "technique", "techniques", "imaging technique", "technical factors", "protocol", "procedure", "procedure comments",
        "procedures", "number of views",
    ),
    EXAM: (
        "exam", "exams", "examination", "examinations", "study", "type of exam", "type of examination", "exam type", "study type",
        "title", "exam date", "date of exam", "study date",
    ),
    "addendum": ("addendum", "addenda", "final addendum", "addendum report"),
    "wet_read": ("wet read", "wet reading", "wetread", "preliminary read", "preliminary report", "preliminary reading"),
    "recommendation": ("recommendation", "recommendations", "recommend", "plan", "follow up", "followup", "follow-up"),
    OTHER: (
        "notification", "notifications", "end of impression", "accession number", "dictated by", "signed by", "attestation",
        "electronically signed by", "transcribed by", "reviewed by", "interpreted by", "approved by", "critical result",
        "critical results", "communication", "signature", "dictated", "signed", "reported by", "read by", "verified by",
        "primary diagnostic code", "report status", "primary interpreting staff",
        "radiologist", "attending", "attending radiologist", "attending physician", "resident", "transcriptionist",
    ),
}  # fmt: skip
KNOWN = {header: name for name, headers in KNOWN_AS.items() for header in headers}
NAMES = tuple(KNOWN_AS)
_SUMMARY = "summary"
KNOWN[_SUMMARY] = _SUMMARY  # an impression; below one a code (CheXpert Plus)
_PEOPLE = {"radiologist", "attending", "attending radiologist", "attending physician", "resident", "transcriptionist"}
# Lines that open a report; what follows is its title, if anything.
_OPENS = {
    "final report", "narrative", "narrative and impression", "radiology report", "chest radiograph report", "full result",
    "final result", "end of addendum", "result narrative",
}  # fmt: skip
_ALONE = {header: name for header, name in KNOWN.items() if name != OTHER} | dict.fromkeys(_OPENS, EXAM)
_WITH_COLON = KNOWN | dict.fromkeys(_OPENS, EXAM)
# What sections are until it is known where the findings are: part of them, title of views, or a header that nobody knows.
_PART, _VIEWS, _UNKNOWN = "part", "views", "unknown"
_NAMED = {_PART: FINDINGS, _VIEWS: EXAM, _UNKNOWN: OTHER}
# So sure a sign that it need not be in capitals to begin within a line.
_SURE = re.compile(
    r"(?:findings?|impressions?|conclusions?)(?:(?: and |/|, )(?:findings?|impressions?|conclusions?))?\Z|indications?\Z"
    r"|comparisons?\Z|technique\Z|history\Z|addendum\Z|recommendations?\Z|clinical \w+\Z|reason for "
)
# After these words a header's word goes on with their sentence: "NO SIGNIFICANT FINDINGS: ...".
_GOES_ON = re.compile(
    r"(?:no|the|these|this|significant|abnormal|acute|following|above|with|of|and|or|for|in|my|our|new|normal|given)\Z",
    re.IGNORECASE,
)
# A sentence that speaks of a section, before its word or after it: "please see FINDINGS:", "agree with the FINDINGS: above".
_REFERS = re.compile(
    r"\b(?:see|per|refer(?:red)? to|(?:described|mentioned|noted|listed|stated|discussed|detailed|given) (?:above )?(?:in|under))"
    r"(?: the)?\Z", re.IGNORECASE,
)  # fmt: skip
_REFERRED = re.compile(r":\s*(?:(?:as )?(?:above|below)(?:[.,;)]|\s*\Z)|section\b)", re.IGNORECASE)
_SENTENCE = re.compile(r"\b(?:is|are|was|were|the|there|no|with|has|have|following|this|these|due|may|compared)\b")
_TOLD = re.compile(r"\b(?:discussed|called|communicated|conveyed|relayed|notified)\b")
_SAID = frozenset({FINDINGS, BOTH, IMPRESSION, _PART})
_OF_PATIENT = ("indication", "history")
_READ = _SAID | {"addendum", "wet_read"}
_PARTS = re.compile(
    r"\b(?:lungs?|hearts?|cardi\w*|mediastin\w*|pleura\w*|bon(?:e|es|y)|osseous|skelet\w*|musculoskeletal|tubes?|lines?|devices?"
    r"|hardware|catheters?|support|air ?space\w*|airways?|(?:hemi)?diaphragms?|abdom\w*|soft tissues?|hil(?:a|um|ar)|vascul\w*"
    r"|vessels?|aort\w*|spine|ribs?|trache\w*|thora\w*|parenchyma|interstitium|upper|lower|right|left|bilateral|nodul\w*"
    r"|mass(?:es)?|effusions?|opacit\w*|consolidation|pneumothorax|edema|fractures?|atelectasis|pneumonia|lymph\w*|neck"
    r"|shoulders?|others?|clavicles?|scapulae?|humer\w+|pelvi\w+|hips?|nodes?|picc|ports?|drains?|ett|contours?|silhouette|volumes?"
    r"|miscellaneous|additional|notes?|comments?|chest wall|pacemaker|pacer|stomach|bowel|breasts?|size|granulom\w*|calcif\w*"
    r"|infiltrat\w*|post-?op\w*|surgical|degenerat\w*|emphysema\w*|scar\w*|stents?|valves?|hernias?|scoliosis|wires?|interstitial"
    r"|congest\w*|changes|diseases?)\b"
)
_BODY_BEGINS = re.compile(
    r"(?:lungs?|heart|cardi\w+|mediastin\w+|pleura\w*|bones?|osseous|lines|tubes|support"
    r"|(?:medical )?devices|air ?(?:way|space)s?)\b"
)
_TITLE = re.compile(
    r"(?:chest|radiograph(?:s|y|ic)?|x-?rays?|cxr|xr|films?|views?|pa|ap|lateral|left|right|portable|frontal|single|one|two|three"
    r"|upright|supine|(?:semi-?)?erect|semi-?upright|sitting|bedside|decubitus|examination|exam|study|series|of|the|and|a|in|at|on"
    r"|with|performed|obtained|dated|taken|were|was|is|[ap]\.?m|hours|hrs|hr|date|time|reference|plain|digital|upper|lower|ribs?|abdomen"
    r"|ct)\Z"
)
# Known headers with more words: "HISTORY AND PHYSICAL", "FINDINGS (CHEST)", "CLINICAL QUESTION TO ANSWER", "CT FINDINGS".
_LONGER = re.compile(
    r"\A(?:findings|impression|conclusion|addendum|recommendations?|indications?|history|comparisons?|technique|clinical"
    r"|reason)\b|\b(?:findings?|impressions?|conclusions?)\Z|\bimpression(?= and |/)"
)
_TWO = re.compile(r"(?:findings?\b.*\b(?:impression|conclusion)|(?:impression|conclusion)s?\b.*\bfinding)")
_SHOWS_CHEST = re.compile(r"\b(?:chest|cxr|radiographs?|x-?rays?|films?|views?)\b")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9 \t,/()&'’.#_:\[\]-]{1,78}\Z")
_SURE_WORDS = "FINDINGS?(?: (?:AND|&) IMPRESSIONS?)?|IMPRESSIONS?|CONCLUSIONS?|INDICATIONS?|COMPARISONS?|TECHNIQUE|HISTORY"
_BARE = re.compile(
    rf"({_SURE_WORDS})(?:[ \t]*[-–—;.=]+(?=\s|$)|[ \t]+COLON\b|[ \t]*\t[ \t]*(?![ \t:])| {{2,}}(?=[a-z])| {{3,}}(?![ :])"
    r"|[ \t]*(?=[A-Z][a-z]|\d{1,2}[.)]\s))"
    r"|(?:ADDENDUM|WET READ)(?=[ \t]+(?!VERSION|[ \t:]))"
)
_BARE_MIXED = re.compile(
    r"(Findings?|Impressions?|Conclusions?|Indications?|Comparisons?|Technique|History)[ \t]*(?:[;=]|[-–—]+(?=\s|$))"
)
# Within a line: "FINDINGS The heart is large. IMPRESSION Large heart."
_BARE_WITHIN = re.compile(rf"[.] +({_SURE_WORDS})(?:[ \t]*[-–—;.=]+(?=\s|$)|[ \t]+(?=[A-Z][a-z]|\d{{1,2}}[.)]\s))")
# Long lines that open a section without a colon begin so, or with capitals.
_OPENS_LINE = ("Findings", "Impression", "Conclusion", "Indication", "Comparison", "Electronically", "Digitally", "Dictated")
_SIGNED = re.compile(
    r"(?:electronically|digitally) (?:signed|approved|reviewed|verified|authenticated)\b|(?:dictated|transcribed|signed) by\b",
    re.IGNORECASE,
)
_COLON = re.compile(r":(?!(?<=\d:)\d)[:*]*")  # not in "10:30"; with the marks of "**FINDINGS:**"
_STUCK = re.compile(
    r"(?:(?<=[a-z.!?)>~|\\])(?=[A-Z][a-z])|(?=[A-Z]{7}))"
    r"((?i:findings?|impressions?|conclusions?|indications?|comparisons?|technique|history|addendum))[ \t]*\Z"
)
_ACROSS_OF = "_=-"
_ACROSS = re.compile(r"[_=-]{10,}\Z")
_UNDERLINE = re.compile(r"(?:[=-]{3,}|_{10,})\Z")  # three of the last are words taken out
_BLANK_LINE = re.compile(r"\S[ \t\r]*\n[ \t\r]*\n\s*")
_AS_FOLLOWS = re.compile(r" (?:is |are )?as follows\Z")
_VERSION = re.compile(r" ?(?:version )?#? ?\d+\Z")
_AROUND = " \t\r*#<>[]{}~|•▪●·"  # white space and the marks of other systems around a header
_MARK = re.compile(r"(?:[-–—]+|\d{1,2}[.)])?\Z")  # before a header: "2. FINDINGS:"
# What reads the same, one character for one: other line ends, what cannot be seen, small and wide letters.
_PLAIN = (
    dict.fromkeys(map(ord, "\u2028\u2029\x85"), "\n")
    | dict.fromkeys(map(ord, "\ufeff\u200b\u00a0"), " ")
    | {ord(small): large for small, large in zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "ABCDEFGHIJKLMNOPRSTUVWYZ", strict=True)}
    | {code + 0xFEE0: code for code in (*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1), ord(":"))}
)
# A sentence that tells of the chest has a noun and an assertion of these, and none of what an indication or comparison says.
# It begins after a stop, after the word or redacted date of a comparison that has none, or with a line; a bullet may be before.
_BEGINS = re.compile(
    r"(?:[.!?][ \t\r]+|(?:\b(?:[Nn]one|NONE)(?: available)?|___|XXXX|\d{4}) +(?=[A-Z][a-z])|(\n)\s{0,20})"
    r"((?:[-–—•*·]{1,3}|\d{1,2}[.)])?[ \t]{0,20}[A-Za-z])"
)
_ENDS = re.compile(r"[.!?](?=\s|\Z)|\n[ \t\r]*\n|\Z")
_NOUN = re.compile(
    r"\b(?:lungs?|hearts?|cardi\w+|mediastin\w+|pleura\w*|pulmonary|hil(?:a|um|ar)|effusions?|pneumothora\w+|consolidations?"
    r"|opacit\w+|atelecta\w+|o?edema|infiltrat\w+|air ?space\w*|(?:hemi)?diaphragms?|costophrenic|thora\w+|ribs?|fractures?"
    r"|tubes?|lines?|catheters?|picc|pacemaker|wires|bowel|bones?|bony|osseous|aort\w+|trachea\w*|vascul\w+|pneumonia|nodules?|mass(?:es)?|spine)\b"
)
_ASSERTS = re.compile(
    r"\b(?:is|are|was|were|has|have|no|not|without|within|remains?|appears?|shows?|seen|noted|present|intact|unchanged|stable"
    r"|clear|normal|large|small|mild\w*|moderate\w*|enlarged|increased|decreased|improved|again|ends?|terminates?|projects?)\b"
)
_TELLS_OTHER = re.compile(
    r"\A(?:(?:[cm]r?t|mri|pet|ultrasound|radiographs?|none|no (?:prior|previous|relevant|comparison|old)|comparison|he|she|status"
    r"|s/p|(?:(?:the|this) )?patient|known|has|now|with|please|question|check|look|concern)\b"
    r"|(?:the )?(?:prior|previous) (?:radiograph|stud|exam|film|x-?ray|chest|ct|report))"
    r"|history|\bevaluate\b|rule out|\br/o\b|\bassess|year.old|\by/?o\b|smok|cough|fever|dyspnea|shortness|\bpain|complain"
    r"|\b(?:hx|pt|conditions|weeks|months)\b|presents|\?"
)
# With nothing to compare, what follows is no comparison.
_NONE = re.compile(
    r"\s*(?i:none|n/a|no (?:prior|previous|relevant|comparison|old)\b)[^.\n]{0,60}?"
    r"(?:\.\s+|\n\s*| +(?=[A-Z][a-z])(?!Available))"
)


class Section(NamedTuple):
    """What stands under one header (or before the first): code points `start` to `end` of the text, white space included."""

    name: str  # one of NAMES
    start: int
    end: int


class Found(NamedTuple):
    """Sections and headers of a text, both in its order; together they cover it once."""

    sections: list[Section]
    headers: list[tuple[int, int]]  # start and end in code points; a rule across the page is one, too


class Words(NamedTuple):
    """The sections that the table of reports has, single-spaced, None where there is none."""

    findings: str | None
    impression: str | None
    indication: str | None
    comparison: str | None
    without_headers: bool


class _Above(NamedTuple):
    """What stands above a line."""

    name: str  # the section, "" before the first
    words: str  # of the line above
    fresh: bool  # a new sentence can begin
    titled: bool = False  # it is a header, and nothing follows it


class _Header(NamedTuple):
    start: int
    end: int  # equal to `start` where a section begins without a header of its own
    name: str


def read(text: str) -> Found:
    """All sections of a report, one after the other; a name can come twice (addenda, several reports in one text)."""
    text = _plain(text)
    headers = list(_headers(text))
    if not any(header.start < header.end for header in headers):
        return Found([Section(FINDINGS, 0, len(text))] if text else [], [])
    sections = [Section(EXAM, 0, headers[0].start)]
    ends = [header.start for header in headers[1:]] + [len(text)]
    sections += [Section(header.name, header.end, end) for header, end in zip(headers, ends, strict=True)]
    sections = _with_body(text, [section for section in sections if section.start < section.end])
    sections = [s._replace(name=_NAMED[s.name]) if s.name in _NAMED else s for s in sections]
    return Found(sections, [(header.start, header.end) for header in headers if header.start < header.end])


def words(text: str) -> Words:
    """Findings, impression, indication (with the history) and comparison; several of a kind are joined in their order.

    What stands under FINDINGS AND IMPRESSION is findings, and is not repeated as impression.
    """
    found = read(text)

    def joined(*names: str) -> str | None:
        return single_spaced(" ".join(text[s.start : s.end] for s in found.sections if s.name in names))

    return Words(
        joined(FINDINGS, BOTH), joined(IMPRESSION), joined("indication", "history"), joined("comparison"), not found.headers
    )


def _plain(text: str) -> str:
    """The text with plain line ends and letters, each character where it was."""
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    text = text.replace("\f", "\n").replace("\v", "\n")
    return text if text.isascii() else text.translate(_PLAIN)


def _headers(text: str) -> Iterator[_Header]:
    """Headers in their order."""
    at, concluded = 0, False
    name, last, fresh, titled = "", "", True, False
    for line in text.split("\n"):
        words, end = line.strip().strip(_AROUND), 0
        if words and _may_hold(line, words):
            for start, end, opened in _in_line(line, words, _Above(name, last, fresh, titled)):
                header = _Header(at + start, at + end, opened)
                if opened == _PART and not name and _is_prose(text[: at + start]):
                    header = _Header(0, 0, opened)  # the body has begun before its first part
                if opened == _SUMMARY:
                    header = header._replace(name=OTHER if concluded else IMPRESSION)
                name = header.name
                concluded = concluded or name == IMPRESSION
                yield header
        titled = end > 0 and not line[end:].strip()
        fresh = titled or not words or words[-1] in ".:!?_"
        last = words
        at += len(line) + 1


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


def _in_line(line: str, words: str, above: _Above) -> Iterator[_Header]:
    """Headers of a line; `words` are the line without what is around them."""
    low = 0
    first = len(line) - len(line.lstrip())
    if words[0].isupper() or line[first] in _ACROSS_OF:
        if alone := _alone(line.strip(), words, above):
            yield _Header(first, len(line.rstrip()), alone)
            return
        if (bare := _bare(words, above)) and _may_open(bare[1] or bare[0], above, colon=False):
            low = line.index(words) + bare.end()
            yield _Header(first, low, KNOWN[_key(bare[1] or bare[0])])
    lower = line.islower()
    for mark in _marks(line):
        begins, opened = first, None
        if mark.re is _BARE_WITHIN:
            begins, opened = mark.start(1), KNOWN[_key(mark[1])]
        elif low == 0 and mark.start() - first <= 80:
            opened = _opened(line[first : mark.start()].strip(_AROUND), above)
        if not opened and mark.re is _COLON:
            begins, opened = _within(line, low, mark.start(), lower)
            opened = opened if low or begins > first else None
            begins = first if low == 0 and begins - first < 10 and _MARK.match(line[:begins].strip(_AROUND)) else begins
        if opened and begins >= low:
            low = mark.end()
            yield _Header(begins, begins, opened) if opened == _PART else _Header(begins, low, opened)
    if low == 0 and words[0].isupper() and above.name in _SAID and _SIGNED.match(words):
        yield _Header(first, first, OTHER)


def _marks(line: str) -> Iterable[re.Match[str]]:
    """Where a header may end: colons, and known headers in capitals after a sentence, without a colon."""
    colons = _COLON.finditer(line) if ":" in line else ()
    if ". " in line and ("IMPRESSION" in line or "FINDING" in line):
        return sorted([*colons, *_BARE_WITHIN.finditer(line)], key=lambda mark: mark.end())
    return colons


def _bare(words: str, above: _Above) -> re.Match[str] | None:
    """A known header at the beginning of a line, without a colon."""
    bare = _BARE.match(words) if words[:2].isupper() else _BARE_MIXED.match(words)
    if bare and above.words.isupper() and not above.fresh and words.isupper() and bare[0].endswith("."):
        return None  # "NO ACUTE\nFINDINGS. HEART ..."
    return bare


def _alone(line: str, words: str, above: _Above) -> str | None:
    """What a line opens that is a known header, or "FINAL REPORT", without a colon, or goes across the page."""
    if above.titled and _UNDERLINE.match(line):
        return above.name
    said = words.strip("-=–— ")  # "--- FINDINGS ---"
    if len(said) <= 40 and (name := _ALONE.get(_key(said))) and said[0].isupper() and _may_open(said, above, colon=False):
        return name
    return EXAM if line[0] in _ACROSS_OF and _ACROSS.match(line) else None


def _may_open(said: str, above: _Above, colon: bool) -> bool:
    """Whether these words at the beginning of a line can open a section, or go on with the sentence above."""
    if above.fresh:
        return True
    if _REFERS.search(above.words[-40:]):
        return False
    # A line that is as short did not end for want of room.
    sure = said.isupper() or (said[:1].isupper() and (len(above.words) < 50 or _SURE.match(_key(said)) is not None))
    above_goes_on = _GOES_ON.match(above.words.rpartition(" ")[2]) and (not colon or above.words.isupper())
    return sure and not above_goes_on


def _opened(said: str, above: _Above) -> str | None:
    """What the words between the beginning of a line and a colon open."""
    key, name = _key(said), above.name
    if not said or not _may_open(said, above, colon=True):
        return None
    if known := _WITH_COLON.get(key):
        return known
    capitals = _CAPITALS.match(said)
    if not capitals and not (said[0].isupper() and len(said) <= 25):
        return None
    kind = _kind(key)
    if kind == _PART:
        return _of_part(key, name, bool(capitals))
    # A title, or one of a part in a report on several; "HISTORY OF CABG: STERNAL WIRES."
    stays = name in _SAID and (kind in (_VIEWS, EXAM) or (kind == "history" and " of " in key))
    return None if stays or (not capitals and kind in (_VIEWS, EXAM, _UNKNOWN)) else kind


def _of_part(key: str, name: str, capitals: bool) -> str | None:
    """A part of the findings stays where something is read, and opens them after a title, or if it is surely one."""
    if name in _READ:
        return None
    if name in ("", EXAM, _VIEWS) or _BODY_BEGINS.match(key):
        return _PART
    return _UNKNOWN if capitals else None


def _within(line: str, low: int, colon: int, lower: bool) -> tuple[int, str | None]:
    """Start and name of a known header before this colon: in capitals, or a sure one with a capital (`lower`: or without)."""
    headed, low = low > 0, max(low, colon - 60)
    start, longest, known = colon, colon, None
    said = line[low:colon].split()[-5:]
    for word in reversed(said):
        start = line.rindex(word, low, start)
        if found := KNOWN.get(_key(line[start:colon])):
            longest, known = start, found
    written, before = line[longest:colon], line[low:longest].rstrip()
    key = _key(written)
    if not known:
        return _glued(line, low, colon)
    last = before.rpartition(" ")[2]
    goes_on = _GOES_ON.match(last) and (last.isupper() or not written.isupper())  # "for FINDINGS:" lost its end to redaction
    stopped = last[-1:] in tuple(".!?;")
    if key in _PEOPLE and not stopped:  # "Told to ATTENDING: Dr. A."
        return colon, None
    refers = _REFERS.search(before) or (not stopped and _REFERRED.match(line, colon))
    sure = written[0].isupper() or (lower and (stopped or headed))
    opens = written.isupper() or (sure and _SURE.match(key)) or (written == "Report" and stopped)
    return longest, known if opens and not goes_on and not refers else None


def _glued(line: str, low: int, colon: int) -> tuple[int, str | None]:
    """A header to which the end of a sentence sticks: "cough.Findings:", "effusionIMPRESSION:"."""
    match = _STUCK.search(line, low, colon)
    return (match.start(), KNOWN.get(match[1].lower())) if match else (colon, None)


@functools.lru_cache(maxsize=1 << 14)
def _key(said: str) -> str:
    """The header as KNOWN has it: lower case, single spaces, "and" for "&", without "(s)" or the number of a version."""
    key = " ".join(said.strip(_AROUND).lower().replace("(s)", "s").replace("&", " and ").replace("+", " and ").split())
    if len(key) > 9 and not key[1::2].strip():  # "F I N D I N G S"
        key = key.replace(" ", "")
    key = _AS_FOLLOWS.sub("", key)
    return _VERSION.sub("", key.replace(" / ", "/").replace("/ ", "/").replace(" /", "/")) if key not in KNOWN else key


@functools.lru_cache(maxsize=1 << 14)
def _kind(key: str) -> str | None:
    """What capitals before a colon are that are no known header: a name, _PART, or None (a sentence)."""
    said = key.split()
    if not key.strip("x _"):  # words taken out
        return None
    if _SHOWS_CHEST.search(key) and _is_title(key):
        return _VIEWS
    if len(said) > 9 or ". " in key or _SENTENCE.search(key):
        return None
    if longer := _LONGER.search(key):
        named = BOTH if _TWO.match(key) else KNOWN.get(longer[0], "indication")
        return OTHER if _TOLD.search(key) else named
    if _PARTS.search(key) or key == "chest":
        return _PART
    # 0.87 takes one letter that is missing or two that changed places; OCCLUSION and COMPRESSION stay apart (0.84, 0.86).
    # A millisecond each: not for what holds a number or a name, which is new in every report.
    worth = 6 <= len(key) <= 30 and key.replace(" ", "").isalpha()
    near = difflib.get_close_matches(key, KNOWN, n=1, cutoff=0.87) if worth else []
    return KNOWN[near[0]] if near else _UNKNOWN


def _with_body(text: str, sections: list[Section]) -> list[Section]:
    """The same sections, with findings where no header says them but a body of sentences is there."""
    if any(section.name in (FINDINGS, BOTH) and text[section.start : section.end].strip() for section in sections):
        return _with_bodies_below(text, sections)
    sections = _with_titled(text, sections)
    names = [section.name if text[section.start : section.end].strip() else "" for section in sections]
    if set(names) <= {EXAM, _VIEWS, ""}:
        titles = [_is_title(text[section.start : section.end].lower()) for section in sections]
        return [s if title else s._replace(name=FINDINGS) for s, title in zip(sections, titles, strict=True)]
    parts = FINDINGS in names or _PART in names
    stop = next((at for at, name in enumerate(names) if name in _SAID), len(names))
    with_body = _with_body_of(text, sections, range(stop), sure=parts, last_resort=stop == len(names))
    if not parts and with_body == sections:
        with_body = _with_body_of(text, sections, range(stop, len(names)), sure=True)
    if any(section.name in _SAID for section in with_body):
        return with_body
    return [
        s._replace(name=FINDINGS) if s.name == _UNKNOWN and _is_prose(text[s.start : s.end], stops=False) else s for s in sections
    ]


def _with_titled(text: str, sections: list[Section]) -> list[Section]:
    """The same sections, with findings under titles (prose) and under unknown headers above the impression (if told)."""
    names = [section.name for section in sections]
    stop = names.index(IMPRESSION) if IMPRESSION in names else len(names)
    found = []
    for at, section in enumerate(sections):
        words = text[section.start : section.end]
        titled = section.name == _VIEWS and _is_prose(words, stops=False)
        told = section.name == _UNKNOWN and at < stop and _told("\n" + words, same_line=True, first=True) is not None
        found.append(section._replace(name=FINDINGS) if titled or told else section)
    return found


def _with_bodies_below(text: str, sections: list[Section]) -> list[Section]:
    """The same sections, with the body of a second report that has an impression, but no header of findings."""
    ends = [at for at, section in enumerate(sections) if section.name == IMPRESSION]
    found = sections[: ends[0] + 1] if ends else sections
    for above, below in itertools.pairwise(ends):
        between = sections[above + 1 : below]
        said = any(section.name in _SAID for section in between)
        found += between if said else _with_body_of(text, between, range(len(between)), sure=True)
        found.append(sections[below])
    return found + sections[ends[-1] + 1 :] if ends else found


def _with_body_of(
    text: str, sections: list[Section], among: range, sure: bool = False, last_resort: bool = False
) -> list[Section]:
    """The same sections, with the body that stands in the last of those `among` which can hold one."""
    for at in reversed(among):
        section = sections[at]
        if (start := _body(text, section, sure, last_resort)) is not None:
            above = [Section(section.name, section.start, start)] if start > section.start else []
            return [*sections[:at], *above, Section(FINDINGS, start, section.end), *sections[at + 1 :]]
    return sections


def _body(text: str, section: Section, sure: bool, last_resort: bool) -> int | None:
    """Where the body begins in this section. `sure`: only if it tells of the chest; `last_resort`: there is no impression."""
    if section.name in (*_SAID, OTHER, _UNKNOWN, _VIEWS, "recommendation"):
        return None
    words = text[section.start : section.end]
    if section.name in ("wet_read", "addendum"):
        return section.start if last_resort and not sure and _is_prose(words) else None
    blank = _BLANK_LINE.search(words)
    below = blank.end() if blank and not sure and _is_prose(words[blank.end() :], stops=not last_resort) else None
    # What is known of a patient may tell of the chest, too; nothing to compare with is soon said.
    none = _NONE.match(words) if section.name == "comparison" else None
    told = _told(words, same_line=none is not None or (below is None and (last_resort or section.name not in _OF_PATIENT)))
    if told is not None and none and below is None and len(words[none.end() : told].split()) > 2:
        told = none.end()
    if section.name == "comparison" and below is None and _tells(_ENDS.split(words[:400], maxsplit=1)[0][:told]):
        told = 0  # "COMPARISON: Since May, the effusion has become large."
    if told is not None and (below is None or told < below):
        return section.start + told
    if below is not None:
        return section.start + below
    return section.start if section.name == EXAM and not sure and _is_prose(words) else None


def _told(words: str, same_line: bool, first: bool = False) -> int | None:
    """Where the first sentence begins that tells of the chest: with its line, or (`same_line`) within the first.

    A line does not begin a sentence if the line above, without a stop, is so long that it may have ended for want of room.
    """
    line = None
    for begins in itertools.islice(_BEGINS.finditer(words), 200):  # each costs some 100 microseconds
        start, at = begins.start(2), begins.start() + (begins[1] is None)
        above = words[max(0, at - 200) : at].rstrip()
        stopped = above[-1:] in tuple(".!?:")
        short = len(above) - above.rfind("\n") <= 50
        if not (above or first) or not (stopped or short) or not (stopped or begins[2][-1].isupper()):
            continue
        ends = _ENDS.search(words, start, start + 400)
        told = _tells(words[start : ends.start() if ends else start + 400])
        if "\n" in begins[0]:
            line = None if told is None else start
        if told and (line is not None or same_line):
            return start if line is None else line
    return None


def _tells(sentence: str) -> bool | None:
    """Whether a sentence says how something of the chest is; None if it speaks of the patient, or of other films."""
    said = sentence.lower().lstrip("-–—•*·0123456789.) \t")
    if _TELLS_OTHER.search(said):
        return None
    return bool(_NOUN.search(said) and _ASSERTS.search(said))


def _is_prose(words: str, stops: bool = True) -> bool:
    """Sentences (with their stops, if these are asked for), and not only a title such as "Chest radiograph, two views."."""
    return ("." in words or not stops) and len(words.split()) >= 2 and not _is_title(words.lower())


def _is_title(words: str) -> bool:
    """Nothing but words of titles, numbers and redactions."""
    said = (word.strip(".,:;()[]#") for word in re.split(r"[\s,/]+", words))
    return all(_TITLE.match(word) or not any(map(str.isalpha, word)) for word in said)
