"""Which sections of a report a teacher looks at, and where they stand in `reports.text`. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from raddistill.errors import InputError

SECTIONS = ("findings", "impression")  # in the order in which they stand in `reports.text`
WHOLE = "text"  # the section of what was found in a report that has none
# Named choices of sections: in which order they are looked for, and whether only the first that a report has is read.
# MIMIC-CXR's labels were made from the impression, or from the findings where there is none.
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
    """The sections to look for, in order, and whether only the first that a report has is read.

    Raises:
        InputError: a name that is no choice, or a list with an unknown section or without any.
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
    """Where the wanted sections stand in the report's text; or a reason for quarantine.

    With `first_only` the order of `sections` decides: ["impression", "findings"] takes findings where there is no impression.
    """
    places: dict[str, Passage] = {}
    text, at = report["text"] or "", 0
    for name in SECTIONS:
        if content := report[name]:
            start = text.find(content, at)
            if start < 0:
                return [], f"{name} does not stand in the text"
            at = start + len(content)
            places[name] = Passage(text, name, start, at)
    wanted = [places[name] for name in sections if name in places]
    return (wanted[:1] if first_only else wanted), None if wanted else f"no {' or '.join(sections)}"
