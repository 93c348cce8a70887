"""Sections of a report that comes as one text, by a simple rule.

A header is one of the words below and a colon: at the beginning of a line in any case ("Findings:"), in capitals anywhere
("... cough. FINDINGS: ..."). A section runs to the next header. What stands under another header (INDICATION:, COMPARISON:) or
before the first is not part of any section. A text without a header of findings or impression has no sections.
"""

import re
from collections.abc import Iterator

HEADERS = {
    "findings": ("findings", "finding"),
    "impression": ("impression", "impressions", "conclusion", "conclusions"),
    "": (  # end a section, and are none that is read
        "indication", "indications", "history", "clinical history", "clinical information", "reason for exam",
        "reason for examination", "comparison", "comparisons", "technique", "exam", "examination", "procedure",
        "recommendation", "recommendations", "notification", "addendum", "wet read",
    ),
}  # fmt: skip
_SECTION_OF = {header: section for section, headers in HEADERS.items() for header in headers}
# The longer first: "reason for examination" before "reason for exam".
_WORDS = "|".join(re.escape(header) for header in sorted(_SECTION_OF, key=len, reverse=True))
_HEADER = re.compile(rf"(?:^[ \t]*(?i:(?P<line>{_WORDS}))|\b(?P<anywhere>{_WORDS.upper()}))[ \t]*:", re.MULTILINE)


def split(text: str) -> dict[str, list[tuple[int, str]]]:
    """`findings` and `impression`, each with its pieces (start in code points, words); without such headers all as `text`."""
    sections: dict[str, list[tuple[int, str]]] = {}
    for section, start, end in _places(text):
        if section:
            sections.setdefault(section, [])
            if piece := strip(text[start:end]):
                sections[section].append((start + piece[0], piece[1]))
    if not sections:
        whole = strip(text)
        return {"text": [whole]} if whole else {}
    return {section: pieces for section, pieces in sections.items() if pieces}


def strip(words: str) -> tuple[int, str] | None:
    """The words without white space around them, and how much stood before; None where nothing is left."""
    stripped = words.strip()
    return (words.index(stripped[0]), stripped) if stripped else None


def _places(text: str) -> Iterator[tuple[str, int, int]]:
    """Section, start and end of what follows each header."""
    if ":" not in text:
        return
    found = list(_HEADER.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=False):
        yield _SECTION_OF[(match["line"] or match["anywhere"]).lower()], match.end(), end
