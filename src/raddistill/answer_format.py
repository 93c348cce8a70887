"""How answers are written for the model to learn and read back when it answers: one place, so that parse(render(x)) == x.

Multiple choice in the `list` format: label names separated by commas, or "Normal" (Wei et al., arXiv 2409.16563).
Open-ended: one line per finding, `verbatim phrase | ICD-10-CM code`, or "None". Reading never raises.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raddistill.errors import InputError
from raddistill.labelsets import Label

NORMAL = "Normal"
NONE = "None"


def render_slots(label_set: Sequence[Label]) -> str:
    """The label names, one a line, without any answer: the answers are read as logits at the last token of each name."""
    return "\n".join(label.name for label in label_set)


def render_list(names: Iterable[str]) -> str:
    """The label names in the order given, or "Normal".

    Raises:
        InputError: a name that could not be read back: it holds a comma or a line break, or is "Normal".
    """
    names = list(names)
    for name in names:
        if "," in name or len(name.splitlines()) != 1 or _key(name) in ("", _key(NORMAL)):
            raise InputError(f"the label '{name}' cannot stand in a comma-separated answer; rename it, or answer in slots")
    return ", ".join(names) or NORMAL


def parse_list(answer: str, label_set: Sequence[Label]) -> list[str] | None:
    """The names in an answer, in the label set's order, each once; [] for "Normal".

    None where the answer does not parse: a name outside the set, "Normal" beside a name, nothing at all. Letter case, spaces
    and a full stop at the end do not matter.
    """
    named = {_key(part) for part in answer.strip().removesuffix(".").split(",")}
    if named == {_key(NORMAL)}:
        return []
    if not named <= {_key(label.name) for label in label_set}:
        return None
    return [label.name for label in label_set if _key(label.name) in named]


@dataclass(frozen=True)
class Parsed:
    """An open-ended answer as read: findings are (phrase, code), each pair once, in the answer's order."""

    findings: list[tuple[str, str]]
    bad_lines: int  # lines without a bar or without a phrase; the lines beside them still count
    unparsed: bool  # not one finding and not "None": counted, and scored as empty


def render_lines(findings: Iterable[tuple[str, str]]) -> str:
    """One line per (phrase, code), or "None".

    What would break a line is mended: white space, line breaks among it, becomes single spaces, a bar within becomes "/".
    A finding without a code ends in a bare bar.
    """
    lines = []
    for phrase, code in findings:
        assert phrase.strip(), "a finding without a phrase"
        lines.append(f"{_one_line(phrase)} | {_one_line(code)}".rstrip())
    return "\n".join(lines) or NONE


def parse_lines(answer: str) -> Parsed:
    """The findings of an open-ended answer; empty lines do not matter. The last bar of a line separates the code."""
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
