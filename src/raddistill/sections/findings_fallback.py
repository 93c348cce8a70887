"""Where the findings are if no header says so: the body of a report, told by where it stands and by what it says."""

import itertools
import re
from typing import NamedTuple

from raddistill.sections.lexicon import (
    BOTH,
    EXAM,
    FINDINGS,
    IMPRESSION,
    OTHER,
    PART,
    SAID,
    UNKNOWN,
    VIEWS,
    is_prose,
    is_title,
)


class Section(NamedTuple):
    """What stands under one header (or before the first): code points `start` to `end` of the text, white space included."""

    name: str  # one of NAMES; PART, VIEWS or UNKNOWN until the findings have been found
    start: int
    end: int


def with_body(text: str, sections: list[Section]) -> list[Section]:
    """The same sections, with findings where no header says them but a body of sentences is there."""
    if any(section.name in (FINDINGS, BOTH) and text[section.start : section.end].strip() for section in sections):
        return _with_bodies_below(text, sections)
    sections = _with_titled(text, sections)
    names = [section.name if text[section.start : section.end].strip() else "" for section in sections]
    if set(names) <= {EXAM, VIEWS, ""}:
        titles = [is_title(text[section.start : section.end].lower()) for section in sections]
        return [s if title else s._replace(name=FINDINGS) for s, title in zip(sections, titles, strict=True)]
    parts = FINDINGS in names or PART in names
    stop = next((at for at, name in enumerate(names) if name in SAID), len(names))
    found = _with_body_of(text, sections, range(stop), sure=parts, last_resort=stop == len(names))
    if not parts and found == sections:
        found = _with_body_of(text, sections, range(stop, len(names)), sure=True)
    if any(section.name in SAID for section in found):
        return found
    return [
        s._replace(name=FINDINGS) if s.name == UNKNOWN and is_prose(text[s.start : s.end], stops=False) else s for s in sections
    ]


def _with_titled(text: str, sections: list[Section]) -> list[Section]:
    """The same sections, with findings under titles (prose) and under unknown headers above the impression (if told)."""
    names = [section.name for section in sections]
    stop = names.index(IMPRESSION) if IMPRESSION in names else len(names)
    found = []
    for at, section in enumerate(sections):
        words = text[section.start : section.end]
        titled = section.name == VIEWS and is_prose(words, stops=False)
        told = section.name == UNKNOWN and at < stop and _told("\n" + words, same_line=True, first=True) is not None
        found.append(section._replace(name=FINDINGS) if titled or told else section)
    return found


def _with_bodies_below(text: str, sections: list[Section]) -> list[Section]:
    """The same sections, with the body of a second report that has an impression, but no header of findings."""
    ends = [at for at, section in enumerate(sections) if section.name == IMPRESSION]
    if not ends:
        return sections
    found = sections[: ends[0] + 1]
    for above, below in itertools.pairwise(ends):
        between = sections[above + 1 : below]
        said = any(section.name in SAID for section in between)
        found += between if said else _with_body_of(text, between, range(len(between)), sure=True)
        found.append(sections[below])
    return found + sections[ends[-1] + 1 :]


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


_BLANK_LINE = re.compile(r"\S[ \t\r]*\n[ \t\r]*\n\s*")  # between paragraphs; not above the first
# With nothing to compare, what follows is no comparison: "None. ", "No prior films\n", "None The heart"; not "None Available".
_NONE = re.compile(
    r"\s*(?i:none|n/a|no (?:prior|previous|relevant|comparison|old)\b)[^.\n]{0,60}?"
    r"(?:\.\s+|\n\s*| +(?=[A-Z][a-z])(?!Available))"
)


def _body(text: str, section: Section, sure: bool, last_resort: bool) -> int | None:
    """Where the body begins in this section. `sure`: only if it tells of the chest; `last_resort`: nothing else is read."""
    if section.name in (*SAID, OTHER, UNKNOWN, VIEWS, "recommendation"):
        return None
    words = text[section.start : section.end]
    if section.name in ("wet_read", "addendum"):
        return section.start if last_resort and is_prose(words) else None
    blank = _BLANK_LINE.search(words)
    below = blank.end() if blank and not sure and is_prose(words[blank.end() :], stops=not last_resort) else None
    told = _told_in(section.name, words, below, last_resort)
    if told is not None and (below is None or told < below):
        return section.start + told
    if below is not None:
        return section.start + below
    return section.start if section.name == EXAM and not sure and is_prose(words) else None


def _told_in(name: str, words: str, below: int | None, last_resort: bool) -> int | None:
    """Where the words of a section of this name begin to tell of the chest; `below` the paragraphs below the first begin."""
    # What is known of a patient may tell of the chest, too; nothing to compare with is soon said.
    none = _NONE.match(words) if name == "comparison" else None
    of_patient = name in ("indication", "history")
    told = _told(words, same_line=none is not None or (below is None and (last_resort or not of_patient)))
    if told is not None and none and below is None and len(words[none.end() : told].split()) > 2:
        told = none.end()
    if name == "comparison" and below is None and _tells(_sentence(words)[:told]):
        told = 0  # "COMPARISON: Since May, the effusion has become large."
    return told


# A sentence begins after a stop, after the word or redacted date of a comparison that has none, or with a line; a bullet may be
# before: "large. The", "None The", "___ The", "\n- The"; not "1.5", "None available", "May 2003 and".
_BEGINS = re.compile(
    r"(?:[.!?][ \t\r]+|(?:\b(?:[Nn]one|NONE)(?: available)?|___|XXXX|\d{4}) +(?=[A-Z][a-z])|(\n)\s{0,20})"
    r"((?:[-–—•*·]{1,3}|\d{1,2}[.)])?[ \t]{0,20}[A-Za-z])"
)


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
        told = _tells(_sentence(words[start : start + 400]))
        if "\n" in begins[0]:
            line = None if told is None else start
        if told and (line is not None or same_line):
            return start if line is None else line
    return None


_ENDS = re.compile(r"[.!?](?=\s|\Z)|\n[ \t\r]*\n")  # "clear. The", a blank line; not "1.5 cm"


def _sentence(words: str) -> str:
    """The first sentence of these words, or what 400 characters hold of it."""
    return _ENDS.split(words[:400], maxsplit=1)[0]


# A sentence that tells of the chest has a noun and an assertion of these: "the lungs are clear"; not "a rod is in place", "chest
# radiograph, two views", ...
_NOUN = re.compile(
    r"\b(?:lungs?|hearts?|cardi\w+|mediastin\w+|pleura\w*|pulmonary|hil(?:a|um|ar)|effusions?|pneumothora\w+|consolidations?"
    r"|opacit\w+|atelecta\w+|o?edema|infiltrat\w+|air ?space\w*|(?:hemi)?diaphragms?|costophrenic|thora\w+|ribs?|fractures?"
    r"|tubes?|lines?|catheters?|picc|pacemaker|wires|bowel|bones?|bony|osseous|aort\w+|trachea\w*|vascul\w+|pneumonia|nodules?"
    r"|mass(?:es)?|spine)\b"
)
_ASSERTS = re.compile(
    r"\b(?:is|are|was|were|has|have|no|not|without|within|remains?|appears?|shows?|seen|noted|present|intact|unchanged|stable"
    r"|clear|normal|large|small|mild\w*|moderate\w*|enlarged|increased|decreased|improved|again|ends?|terminates?|projects?)\b"
)
# ... and none of what an indication or comparison says: "evaluate for edema", "the prior film showed"; not "the effusion was".
_TELLS_OTHER = re.compile(
    r"\A(?:(?:[cm]r?t|mri|pet|ultrasound|radiographs?|none|no (?:prior|previous|relevant|comparison|old)|comparison|he|she|status"
    r"|s/p|(?:(?:the|this) )?patient|known|has|now|with|please|question|check|look|concern)\b"
    r"|(?:the )?(?:prior|previous) (?:radiograph|stud|exam|film|x-?ray|chest|ct|report))"
    r"|history|\bevaluate\b|rule out|\br/o\b|\bassess|year.old|\by/?o\b|smok|cough|fever|dyspnea|shortness|\bpain|complain"
    r"|\b(?:hx|pt|conditions|weeks|months)\b|presents|\?"
)


def _tells(sentence: str) -> bool | None:
    """Whether a sentence says how something of the chest is; None if it speaks of the patient, or of other films."""
    said = sentence.lower().lstrip("-–—•*·0123456789.) \t")
    if _TELLS_OTHER.search(said):
        return None
    return bool(_NOUN.search(said) and _ASSERTS.search(said))
