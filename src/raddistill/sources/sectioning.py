"""Sections of a free-text report. Every character that is no header belongs to exactly one section.

There is no one mark of a header, so several kinds of evidence are asked, line by line:

- a known header and a colon: at the beginning of a line, in capitals anywhere, or if it is a sure one with a capital anywhere;
- capitals and a colon at the beginning of a line: a known header misspelt ("NDICATION:"), a title of views ("CHEST, PA AND
  LATERAL:"), a part of the findings ("LUNGS:", which stays in the section it stands in), or else a header nobody knows: `other`;
- a known header alone on its line, without a colon, or in capitals before a sentence in mixed case ("FINDINGS The heart ...");
- a line across the page and "FINAL REPORT": what follows belongs to nothing above.

A line that goes on from the line above ("no acute\\nfindings: ...") is no header's place. If no header says where the findings
are, they are the body: the paragraphs below the first one of the section that stands before the impression (or at the end), or
what follows a title of views. A report without any header is findings from its first to its last character.
"""

import difflib
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from raddistill.sources.sections import single_spaced

FINDINGS, IMPRESSION, BOTH, OTHER, EXAM = "findings", "impression", "findings_and_impression", "other", "exam"
_FINDINGS = ("findings", "finding", "results", "result", "observations", "report")
_IMPRESSION = ("impression", "impressions", "conclusion", "conclusions", "opinion", "assessment", "summary")
_ALSO = ("plan", "recommendation", "recommendations", "diagnosis", "summary")
KNOWN_AS = {
    FINDINGS: (*_FINDINGS, "radiographic findings", "imaging findings", "chest findings", "interpretation"),
    IMPRESSION: (
        *_IMPRESSION, "final impression", "overall impression", "radiological impression", "diagnostic impression", "diagnosis",
        *(f"{said}{joint}{also}" for said in _IMPRESSION for joint in (" and ", "/") for also in _ALSO),
    ),
    BOTH: tuple(
        f"{one}{joint}{other}"
        for joint in (" and ", "/", ", ")
        for a, b in ((a, b) for a in _FINDINGS[:2] for b in _IMPRESSION[:4])
        for one, other in ((a, b), (b, a))
    ),
    "indication": (
        "indication", "indications", "clinical indication", "clinical indications", "reason for exam", "reason for examination",
        "reason for study", "reason for the exam", "reason for the examination", "reason for this examination", "reason",
        "exam indication", "indication for exam", "indication for study", "indications for exam", "clinical information",
        "clinical info", "clinical data", "clinical details", "clinical question", "clinical concern", "clinical impression",
        "history/indication", "indication/history", "clinical statement", "patient complaint", "reason for order",
    ),
    "history": (
        "history", "clinical history", "medical history", "past medical history", "patient history", "brief history",
        "history of present illness", "surgical history", "past surgical history", "family history", "social history",
    ),
    "comparison": (
        "comparison", "comparisons", "comparison exam", "comparison study", "comparison studies", "comparison film",
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
        "critical results", "communication", "signature", "dictated", "signed",
    ),
}  # fmt: skip
KNOWN = {header: name for name, headers in KNOWN_AS.items() for header in headers}
NAMES = tuple(KNOWN_AS)
_SUMMARY = "summary"
KNOWN[_SUMMARY] = _SUMMARY  # an impression; below one a code (CheXpert Plus)
# Lines that open a report; what follows is its title, if anything.
_OPENS = {"final report", "narrative", "radiology report", "chest radiograph report", "full result", "final result"}
_ALONE = {header: name for header, name in KNOWN.items() if name != OTHER} | dict.fromkeys(_OPENS, EXAM)
_WITH_COLON = KNOWN | dict.fromkeys(_OPENS, EXAM)
_PART = "part"  # of the findings
# So sure a sign that it need not be in capitals to begin within a line.
_SURE = re.compile(
    r"(?:findings?|impressions?|conclusions?)(?:(?: and |/|, )(?:findings?|impressions?|conclusions?))?\Z|indications?\Z"
    r"|comparisons?\Z|technique\Z|history\Z|addendum\Z|recommendations?\Z|clinical \w+\Z|reason for "
)
# After these words a header's word goes on with their sentence: "NO SIGNIFICANT FINDINGS: ...".
_GOES_ON = re.compile(
    r"(?:no|the|these|this|significant|abnormal|acute|following|above|with|of|and|or|for|in|my|our|new|normal)\Z", re.IGNORECASE
)
_SENTENCE = re.compile(r"\b(?:is|are|was|were|the|there|no|with|has|have|following|this|these|due|may|compared)\b")
_READ = frozenset({FINDINGS, IMPRESSION, BOTH, "addendum", "wet_read"})
_PARTS = re.compile(
    r"\b(?:lungs?|hearts?|cardi\w*|mediastin\w*|pleura\w*|bon(?:e|es|y)|osseous|skelet\w*|musculoskeletal|tubes?|lines?|devices?"
    r"|hardware|catheters?|support|air ?space\w*|airways?|(?:hemi)?diaphragms?|abdom\w*|soft tissues?|hil(?:a|um|ar)|vascul\w*"
    r"|vessels?|aort\w*|spine|ribs?|trache\w*|thora\w*|parenchyma|interstitium|upper|lower|right|left|bilateral|nodul\w*"
    r"|mass(?:es)?|effusions?|opacit\w*|consolidation|pneumothorax|edema|fractures?|atelectasis|pneumonia|lymph\w*|neck"
    r"|shoulders?|others?|clavicles?|scapulae?|humer\w+|pelvi\w+|hips?|nodes?|picc|ports?|drains?|ett|contours?|silhouette|volumes?"
    r"|miscellaneous|additional|notes?|comments?|chest wall|pacemaker|pacer|stomach|bowel|breasts?|size)\b"
)
_BODY_BEGINS = re.compile(
    r"(?:lungs?|heart|cardi\w+|mediastin\w+|pleura\w*|bones?|osseous|lines|tubes|support|devices|air ?(?:way|space)s?)\b"
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
    r"|reason)\b|\b(?:findings?|impressions?|conclusions?)\Z"
)
_SHOWS_CHEST = re.compile(r"\b(?:chest|cxr|radiographs?|x-?rays?|films?|views?)\b")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9 \t,/()&'’.#_:\[\]-]{1,78}\Z")
_BARE = re.compile(
    r"(FINDINGS?(?: (?:AND|&) IMPRESSIONS?)?|IMPRESSIONS?|CONCLUSIONS?|INDICATIONS?|COMPARISONS?|TECHNIQUE|HISTORY)"
    r"(?:[ \t]*[-–—;.]+(?=\s|$)|[ \t]*(?=[A-Z][a-z]|\d{1,2}[.)]\s))|(?:ADDENDUM|WET READ)(?=[ \t]+(?!VERSION|[ \t:]))"
)
_COLON = re.compile(r":(?!(?<=\d:)\d)[:*]*")  # not in "10:30"; with the marks of "**FINDINGS:**"
_STUCK = re.compile(
    r"(?:(?<=[a-z.!?)])(?=[A-Z][a-z])|(?=[A-Z]{7}))"
    r"((?i:findings?|impressions?|conclusions?|indications?|comparisons?|technique|history|addendum))[ \t]*\Z"
)
_ACROSS_OF = "_=-"
_ACROSS = re.compile(r"[_=-]{10,}\Z")
_BLANK_LINE = re.compile(r"\S[ \t\r]*\n[ \t\r]*\n\s*")
_VERSION = re.compile(r" ?(?:version )?#? ?\d+\Z")
_AROUND = " \t\r*#>[]"  # white space and the marks of other systems around a header


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


class _Header(NamedTuple):
    start: int
    end: int  # equal to `start` where a section begins without a header of its own
    name: str


def read(text: str) -> Found:
    """All sections of a report, one after the other; a name can come twice (addenda, several reports in one text)."""
    text = text.replace("：", ":")
    headers = list(_headers(text))
    if not any(header.start < header.end for header in headers):
        return Found([Section(FINDINGS, 0, len(text))] if text else [], [])
    sections = [Section(EXAM, 0, headers[0].start)]
    ends = [header.start for header in headers[1:]] + [len(text)]
    sections += [Section(header.name, header.end, end) for header, end in zip(headers, ends, strict=True)]
    sections = _with_body(text, [section for section in sections if section.start < section.end])
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


def _headers(text: str) -> Iterator[_Header]:
    """Headers in their order."""
    at, concluded = 0, False
    name, last, fresh = "", "", True
    for line in text.split("\n"):
        words, end = line.strip().strip(_AROUND), 0
        if words and _may_hold(line, words):
            for start, end, opened in _in_line(line, words, _Above(name, last, fresh)):
                header = _Header(at + start, at + end, opened)
                if start == end and not name and _is_prose(text[: at + start]):
                    header = _Header(0, 0, opened)  # the body has begun before its first part
                if opened == _SUMMARY:
                    header = header._replace(name=OTHER if concluded else IMPRESSION)
                name = header.name
                concluded = concluded or name == IMPRESSION
                yield header
        fresh = not words or words[-1] in ".:!?_" or (end > 0 and not line[end:].strip())
        last = words
        at += len(line) + 1


def _may_hold(line: str, words: str) -> bool:
    """Whether it is worth a closer look: most lines are not."""
    return ":" in line or (words[0].isupper() and (len(words) <= 40 or words[1].isupper())) or words[0] in _ACROSS_OF


def _in_line(line: str, words: str, above: _Above) -> Iterator[_Header]:
    """Headers of a line; `words` are the line without what is around them."""
    low = 0
    first = len(line) - len(line.lstrip())
    if words[0].isupper() or line[first] in _ACROSS_OF:
        if alone := _alone(line.strip(), words, above):
            yield _Header(first, len(line.rstrip()), alone)
            return
        shouted = above.words.isupper() and not above.fresh  # "NO ACUTE\nFINDINGS. HEART ..."
        if words[:2].isupper() and not shouted and (bare := _BARE.match(words)) and _may_open(bare[0], above, colon=False):
            low = line.index(words) + bare.end()
            yield _Header(first, low, KNOWN[_key(bare[1] or bare[0])])
    for colon in _COLON.finditer(line) if ":" in line else ():
        begins, opened = first, None
        if low == 0 and colon.start() - first <= 80:
            opened = _opened(line[first : colon.start()].strip(_AROUND), above)
        if not opened:
            begins, opened = _within(line, low, colon.start())
            opened = opened if low or begins > first else None
        if opened:
            low = colon.end()
            yield _Header(begins, begins, FINDINGS) if opened == _PART else _Header(begins, low, opened)


def _alone(line: str, words: str, above: _Above) -> str | None:
    """What a line opens that is a known header, or "FINAL REPORT", without a colon, or goes across the page."""
    if len(words) <= 40 and (name := _ALONE.get(_key(words))) and words[0].isupper() and _may_open(words, above, colon=False):
        return name
    return EXAM if line[0] in _ACROSS_OF and _ACROSS.match(line) else None


def _may_open(said: str, above: _Above, colon: bool) -> bool:
    """Whether these words at the beginning of a line can open a section, or go on with the sentence above."""
    if above.fresh:
        return True
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
    if kind == EXAM:  # a title of views, or of a part in a report on several
        return None if name in (FINDINGS, BOTH, IMPRESSION) or not capitals else kind
    return None if kind == OTHER and not capitals else kind


def _of_part(key: str, name: str, capitals: bool) -> str | None:
    """A part of the findings stays where something is read, and opens them after a title, or if it is surely one."""
    if name in _READ:
        return None
    if name in ("", EXAM) or _BODY_BEGINS.match(key):
        return _PART
    return OTHER if capitals else None


def _within(line: str, low: int, colon: int) -> tuple[int, str | None]:
    """Start and name of a known header before this colon: in capitals, or a sure one with a capital."""
    low = max(low, colon - 60)
    start, longest, known = colon, colon, None
    said = line[low:colon].split()[-5:]
    for word in reversed(said):
        start = line.rindex(word, low, start)
        if found := KNOWN.get(_key(line[start:colon])):
            longest, known = start, found
    written, before = line[longest:colon], line[low:longest].rstrip()
    if not known:
        return _glued(line, low, colon)
    last = before.rpartition(" ")[2]
    goes_on = _GOES_ON.match(last) and (last.isupper() or not written.isupper())  # "for FINDINGS:" lost its end to redaction
    opens = written.isupper() or (written[0].isupper() and _SURE.match(_key(written)))
    return longest, known if opens and not goes_on else None


def _glued(line: str, low: int, colon: int) -> tuple[int, str | None]:
    """A header to which the end of a sentence sticks: "cough.Findings:", "effusionIMPRESSION:"."""
    match = _STUCK.search(line, low, colon)
    return (match.start(), KNOWN.get(match[1].lower())) if match else (colon, None)


@functools.lru_cache(maxsize=1 << 14)
def _key(said: str) -> str:
    """The header as KNOWN has it: lower case, single spaces, "and" for "&", without "(s)" or the number of a version."""
    key = " ".join(said.strip(_AROUND).lower().replace("(s)", "s").replace("&", " and ").split())
    return _VERSION.sub("", key.replace(" / ", "/").replace("/ ", "/").replace(" /", "/")) if key not in KNOWN else key


@functools.lru_cache(maxsize=1 << 14)
def _kind(key: str) -> str | None:
    """What capitals before a colon are that are no known header: a name, _PART, or None (a sentence)."""
    said = key.split()
    if not key.strip("x _"):  # words taken out
        return None
    if _SHOWS_CHEST.search(key) and _is_title(key):
        return EXAM
    if len(said) > 9 or ". " in key or _SENTENCE.search(key):
        return None
    if longer := _LONGER.search(key):
        return KNOWN.get(longer[0], "indication")
    if _PARTS.search(key) or key == "chest":
        return _PART
    # 0.87 takes one letter that is missing or two that changed places; OCCLUSION and COMPRESSION stay apart (0.84, 0.86).
    # A millisecond each: not for what holds a number or a name, which is new in every report.
    worth = 6 <= len(key) <= 30 and key.replace(" ", "").isalpha()
    near = difflib.get_close_matches(key, KNOWN, n=1, cutoff=0.87) if worth else []
    return KNOWN[near[0]] if near else OTHER


def _with_body(text: str, sections: list[Section]) -> list[Section]:
    """The same sections, with findings where no header says them but a body of sentences is there."""
    if any(section.name in (FINDINGS, BOTH) and text[section.start : section.end].strip() for section in sections):
        return sections
    names = [section.name for section in sections]
    if set(names) == {EXAM}:
        titles = [_is_title(text[section.start : section.end].lower()) for section in sections]
        return [s if title else s._replace(name=FINDINGS) for s, title in zip(sections, titles, strict=True)]
    stop = names.index(IMPRESSION) if IMPRESSION in names else len(sections)
    for at in reversed(range(stop)):
        section = sections[at]
        if (start := _body(text, section, last_resort=stop == len(sections))) is not None:
            above = [Section(section.name, section.start, start)] if start > section.start else []
            return [*sections[:at], *above, Section(FINDINGS, start, section.end), *sections[at + 1 :]]
    return sections


def _body(text: str, section: Section, last_resort: bool) -> int | None:
    """Where the body begins in this section. `last_resort`: there is no impression either."""
    if section.name in (FINDINGS, OTHER, "recommendation"):
        return None
    words = text[section.start : section.end]
    if section.name in ("wet_read", "addendum"):
        return section.start if last_resort and _is_prose(words) else None
    if (blank := _BLANK_LINE.search(words)) and _is_prose(words[blank.end() :], stops=not last_resort):
        return section.start + blank.end()
    return section.start if section.name == EXAM and _is_prose(words) else None


def _is_prose(words: str, stops: bool = True) -> bool:
    """Sentences (with their stops, if these are asked for), and not only a title such as "Chest radiograph, two views."."""
    return ("." in words or not stops) and len(words.split()) >= 2 and not _is_title(words.lower())


def _is_title(words: str) -> bool:
    """Nothing but words of titles, numbers and redactions."""
    said = (word.strip(".,:;()[]#") for word in re.split(r"[\s,/]+", words))
    return all(_TITLE.match(word) or not any(map(str.isalpha, word)) for word in said)
