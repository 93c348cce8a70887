"""Parses the text of an answer strictly, in the form that was asked for. Its content is checked later (checking.py).

Nothing is corrected or guessed: an answer that is not in that form raises `Broken`.
"""

import json
import re
from typing import Any, NamedTuple

from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

NONE = "None"  # the whole answer in text form if an open-ended report has no finding
FORM = "The model does not keep to the form: set llm.answers to the other of json_schema and text, or take another model"
_FENCE = re.compile(r"\s*```\w*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)
# Tags around a model's thoughts: of Qwen and DeepSeek, Magistral, MedGemma, gpt-oss. The opening tag is often part of the prompt.
_THINKING = re.compile(r"\s*(?:<(?:\w+:)?(?:think|thinking|thought|reasoning)>|\[THINK\]|<unused94>)", re.IGNORECASE)
_THOUGHT = re.compile(
    r"</(?:\w+:)?(?:think|thinking|thought|reasoning)>|\[/THINK\]|<unused95>|<\|channel\|>final<\|message\|>", re.IGNORECASE
)
_STATUS = re.compile(r'"status"\s*:\s*"')  # inside a JSON string its quotes would have backslashes


class Fault(NamedTuple):
    """Why an answer is not used. No field holds report text. (An answer that passes its checks gives `votes.Finding`s.)"""

    reason: str  # one of a small fixed set of words, for quarantine and metrics
    feedback: str  # for the model, when it is asked again; may name a label, a code or the number of an item
    advice: str = ""  # for the user, if the cause is likely the server or a setting, and so shared by many answers
    final: bool = False  # asking again cannot help


class Item(NamedTuple):
    """A label or phrase as answered, before it is checked. `at`: the offset of its status in the answer, in code points."""

    name: str
    status: str
    quote: str
    code: str | None
    at: int | None


class Broken(Exception):  # noqa: N818
    """An answer that is not in the form asked for."""

    def __init__(self, reason: str, feedback: str) -> None:
        self.fault = Fault(reason, feedback, FORM)


def split_thoughts(text: str) -> tuple[str, str]:
    """Returns a model's thoughts and the answer after them; ("", text) if there are no thoughts."""
    begun, ended = _THINKING.match(text), list(_THOUGHT.finditer(text))
    if not (begun or ended):
        return "", text
    begin = begun.end() if begun else 0
    return (text[begin : ended[-1].start()], text[ended[-1].end() :].strip()) if ended else (text[begin:], "")


def read_json(text: str) -> Any:
    """Returns the content of an answer in JSON. Raises Broken if it is not JSON, or an object has a name twice."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Broken("not JSON", "The answer was not JSON. Answer with JSON of the form asked for and nothing else.") from None


def is_whole(text: str) -> bool:
    """Returns whether the text is a complete JSON object, as when a model ends with blank lines until its tokens are used up."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) != len(dict(pairs)):
        raise Broken("label twice", "A name stands twice in one JSON object; every label stands there once.")
    return dict(pairs)


def _no_constant(word: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


def read_chosen(content: Any, names: list[str]) -> list[Item]:
    """Returns the entries `label: {status, quote}`. Missing and unknown labels are found later, in checking.py."""
    if not isinstance(content, dict):
        raise Broken("not of the schema", "The answer is one JSON object with an entry for every label.")
    for number, (name, entry) in enumerate(content.items(), 1):
        item = name if name in names else f"Item {number}"
        feedback = f"{item}: its entry has `status` and `quote`, both text, and nothing else."
        _require_texts(entry, {"status", "quote"}, feedback)
    return [Item(name, entry["status"], entry["quote"], None, None) for name, entry in content.items()]


def read_findings(content: Any) -> list[Item]:
    """Returns the entries of {"findings": [{phrase, code, status}, ...]}."""
    if not isinstance(content, dict) or set(content) != {"findings"} or not isinstance(content["findings"], list):
        raise Broken("not of the schema", "The answer is one JSON object with the list `findings`.")
    for number, entry in enumerate(content["findings"], 1):
        feedback = f"Item {number}: has `phrase`, `code` and `status`, all text, and nothing else."
        _require_texts(entry, {"phrase", "code", "status"}, feedback)
    return [Item(each["phrase"], each["status"], each["phrase"], each["code"], None) for each in content["findings"]]


def _require_texts(entry: Any, keys: set[str], feedback: str) -> None:
    if not isinstance(entry, dict) or set(entry) != keys or not all(isinstance(value, str) for value in entry.values()):
        raise Broken("not of the schema", feedback)


def read_lines(text: str, task: str) -> list[Item]:
    """Returns the items of an answer in text form, one per line. Skips empty lines. `None` alone: no finding (open-ended)."""
    fenced = _FENCE.fullmatch(text)
    begin, end = fenced.span(1) if fenced else (0, len(text))
    if task == OPEN_ENDED and text[begin:end].strip() == NONE:
        return []
    items: list[Item] = []
    for line in text[begin:end].split("\n"):
        if line.strip():
            items.append(_read_line(line, begin, task, len(items) + 1))
        begin += len(line) + 1
    return items


def _read_line(line: str, begin: int, task: str, number: int) -> Item:
    """Reads `Label | status | "quote"`, where the quote may hold bars, or `phrase | code | status`, where the phrase may."""
    parts = line.split("|", 2) if task == MULTIPLE_CHOICE else line.rsplit("|", 2)
    if len(parts) == 3:
        first, second, third = (part.strip() for part in parts)
        if task == OPEN_ENDED:
            return Item(first, third, first, second, begin + line.rindex("|") + 1 + _indent(parts[2]))
        if len(third) >= 2 and third[0] == third[-1] == '"':
            return Item(first, second, third[1:-1], None, begin + line.index("|") + 1 + _indent(parts[1]))
    form = 'Label | status | "quote"' if task == MULTIPLE_CHOICE else "phrase | code | status"
    raise Broken("line of another form", f"Line {number} is not of the form: {form}")


def _indent(part: str) -> int:
    return len(part) - len(part.lstrip())


def status_places(text: str) -> list[int]:
    """Returns the offset of each status word in an answer in JSON, in code points."""
    return [match.end() for match in _STATUS.finditer(text)]
