"""The passages of a report that a teacher reads: chosen sections, and where they are in `reports.text`."""

from collections.abc import Mapping
from typing import NamedTuple

from raddistill.errors import InputError

SECTIONS = ("findings", "impression")  # in the order of `reports.text`
WHOLE = "text"  # the name of the section if a report has none and is read whole
# Name to (sections in order of preference, whether only the first one that exists is read).
# MIMIC-CXR's labels were made from the impression, or from the findings of a report without one.
CHOICES = {
    "findings_and_impression": (("findings", "impression"), False),
    "impression_else_findings": (("impression", "findings"), True),
}


class Passage(NamedTuple):
    """A section of a report: text[start:end]."""

    text: str
    section: str
    start: int
    end: int


def choose_sections(sections: str | list[str]) -> tuple[list[str], bool]:
    """Returns the sections in order of preference, and whether only the first one that a report has is read.

    `sections` is a key of `CHOICES`, or a list such as ["impression"].

    Raises:
        InputError: the choice is unknown, or the list is empty or names an unknown section.
    """
    if isinstance(sections, str):
        if sections not in CHOICES:
            raise InputError(f"sections '{sections}' is none of {', '.join(CHOICES)}, nor a list of {', '.join(SECTIONS)}")
        named, first_only = CHOICES[sections]
        return list(named), first_only
    unknown = sorted(set(sections) - set(SECTIONS))
    if unknown or not sections:
        raise InputError(f"sections must name some of {', '.join(SECTIONS)}; unknown: {', '.join(unknown) or 'none named'}")
    return list(sections), False


def find_passages(report: Mapping[str, str | None], sections: list[str], first_only: bool) -> tuple[list[Passage], str | None]:
    """Returns the passages of the wanted sections in `report["text"]`, and the reason for quarantine if there is none.

    With `first_only`, the order of `sections` decides: ["impression", "findings"] reads the findings only if there is no
    impression.
    """
    found: dict[str, Passage] = {}
    text, end = report["text"] or "", 0
    for name in SECTIONS:
        if content := report[name]:
            start = text.find(content, end)
            if start < 0:
                return [], f"{name} does not stand in the text"
            end = start + len(content)
            found[name] = Passage(text, name, start, end)
    wanted = [found[name] for name in sections if name in found]
    return (wanted[:1] if first_only else wanted), None if wanted else f"no {' or '.join(sections)}"
