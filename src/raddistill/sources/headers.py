"""What is read of a report that comes as one text: findings and impression, as `sectioning` finds them, and where they stand."""

from raddistill.cells import is_missing
from raddistill.sources import sectioning
from raddistill.sources.header_words import BOTH, FINDINGS, IMPRESSION

# What stands under FINDINGS AND IMPRESSION is findings, and is not repeated.
_READ_AS = {FINDINGS: FINDINGS, BOTH: FINDINGS, IMPRESSION: IMPRESSION}


def split(text: str) -> dict[str, list[tuple[int, str]]]:
    """`findings` and `impression`, each with its pieces (start in code points, words); all as `text` where it has no header.

    `text` has no markup. The words are those of the text, with plain line ends and letters.
    """
    text = sectioning.plain_letters(text)
    found = sectioning.read(text)
    read = [(_READ_AS[section.name], section) for section in found.sections if section.name in _READ_AS]
    if not found.headers:
        whole = strip(text)
        return {"text": [whole]} if whole else {}
    sections: dict[str, list[tuple[int, str]]] = {}
    for name, section in read:
        if piece := strip(text[section.start : section.end]):
            sections.setdefault(name, []).append((section.start + piece[0], piece[1]))
    return sections


def strip(words: str) -> tuple[int, str] | None:
    """The words without white space around them, and how much stood before; None where they say nothing ("", "nan", "None.")."""
    stripped = words.strip()
    return None if is_missing(stripped) else (words.index(stripped[0]), stripped)
