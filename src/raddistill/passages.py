"""Finds the sections of a report that a teacher reads, and their offsets in `reports.text`."""

from collections.abc import Mapping
from typing import NamedTuple

from raddistill.errors import InputError

SECTIONS = ("findings", "impression")  # in the order of `reports.text`
WHOLE = "text"  # the section name of a report without sections, which is read whole
# Named choices: the sections in the order in which they are looked for, and whether only the first one found is read.
# MIMIC-CXR's labels were made from the impression, or from the findings if there is no impression.
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
    """Returns the sections to look for, in order, and whether only the first one that a report has is read.

    `sections` is a key of `CHOICES`, or a list such as ["impression"].

    Raises:
        InputError: the choice is unknown, or the list is empty or has an unknown section.
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
    """Returns the passages of `sections` in `report["text"]` and None; or [] and a reason for quarantine.

    With `first_only`, only the first of `sections` that the report has is returned.
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
