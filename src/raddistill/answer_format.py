"""Writes answers for the student to learn, and parses its answers. parse(render(x)) == x.

Multiple choice, answer form `list`: label names separated by commas, or "Normal" (Wei et al., arXiv 2409.16563).
Open-ended, answer form `lines`: one line per finding, `verbatim phrase | ICD-10-CM code`, or "None". Parsing never raises.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raddistill.errors import InputError
from raddistill.labelsets import Label

NORMAL = "Normal"
NONE = "None"


def render_slots(label_set: Sequence[Label]) -> str:
    """Returns the label names, one per line, without answers: those are read as logits at the last token of each name."""
    return "\n".join(label.name for label in label_set)


def render_list(names: Iterable[str]) -> str:
    """Returns the label names in the order given, or "Normal" if there are none.

    Raises:
        InputError: a name that could not be parsed again: it is blank or "Normal", or contains a comma or a line break.
    """
    names = list(names)
    for name in names:
        if "," in name or len(name.splitlines()) != 1 or _key(name) in ("", _key(NORMAL)):
            raise InputError(f"the label '{name}' does not fit a comma-separated answer; rename it, or answer in slots")
    return ", ".join(names) or NORMAL


def parse_list(answer: str, label_set: Sequence[Label]) -> list[str] | None:
    """Returns the names in an answer, in the label set's order, each once; [] for "Normal".

    Returns None for an answer that does not parse: it is empty, has a name outside the set, or has "Normal" and a name. Letter
    case, white space and a full stop at the end do not matter.
    """
    named = {_key(part) for part in answer.strip().removesuffix(".").split(",")}
    if named == {_key(NORMAL)}:
        return []
    if not named <= {_key(label.name) for label in label_set}:
        return None
    return [label.name for label in label_set if _key(label.name) in named]


@dataclass(frozen=True)
class Parsed:
    """A parsed open-ended answer."""

    findings: list[tuple[str, str]]  # (phrase, code), each pair once, in the answer's order
    bad_lines: int  # lines without a bar or without a phrase; the other lines still count
    unparsed: bool  # neither a finding nor "None": counted, and scored as empty


def render_lines(findings: Iterable[tuple[str, str]]) -> str:
    """Returns one line per (phrase, code), or "None" if there are none.

    Runs of white space become single spaces, and a bar becomes "/". A finding without a code ends in a bar.
    """
    lines = []
    for phrase, code in findings:
        assert phrase.strip(), "a finding without a phrase"
        lines.append(f"{_one_line(phrase)} | {_one_line(code)}".rstrip())
    return "\n".join(lines) or NONE


def parse_lines(answer: str) -> Parsed:
    """Returns the findings of an open-ended answer. Blank lines are skipped. The last bar of a line separates the code."""
    findings: dict[tuple[str, str], None] = {}
    bad, none = 0, False
    for line in filter(str.strip, answer.splitlines()):
        before, bar, code = line.rpartition("|")
        phrase = _one_line(before)
        if phrase:
            findings[phrase, _one_line(code)] = None
        elif not bar and _key(line).removesuffix(".") == _key(NONE):
            none = True
        else:
            bad += 1
    return Parsed(list(findings), bad, unparsed=not findings and not none)


def _one_line(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()
