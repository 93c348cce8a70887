"""Parses the text of an answer strictly, in the form that was asked for, and reads how sure the model was of each status.

Nothing is corrected or guessed: an answer that is not in that form raises `Broken`. Its content is checked later (checking.py).
Pure.
"""

import bisect
import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raddistill.llm_client.messages import FILTER, FILTERED
from raddistill.statuses import STATUSES
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED
from raddistill.teachers.votes import STATUS_WEIGHTS

NONE = "None"  # the whole answer in text form if an open-ended report has no finding
TOLERATED = 0.05  # largest error of a probability from token prefixes that two statuses share
_FENCE = re.compile(r"\s*```\w*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)
# Tags around a model's thoughts: of Qwen and DeepSeek, Magistral, MedGemma, gpt-oss. The opening tag is often part of the prompt.
_THINKING = re.compile(r"\s*(?:<(?:\w+:)?(?:think|thinking|thought|reasoning)>|\[THINK\]|<unused94>)", re.IGNORECASE)
_THOUGHT = re.compile(
    r"</(?:\w+:)?(?:think|thinking|thought|reasoning)>|\[/THINK\]|<unused95>|<\|channel\|>final<\|message\|>", re.IGNORECASE
)


class Fault(NamedTuple):
    """Why an answer is not used. No field holds report text. (An answer that passes its checks gives `Finding`s.)"""

    reason: str  # one of a small fixed set of words, for quarantine and metrics
    feedback: str  # for the model, when it is asked again; may name a label, a code or the number of an item
    advice: str = ""  # for the user, if the cause is likely the server or a setting, and so shared by many answers
    final: bool = False  # asking again cannot help


# Advice for the user if many answers share a fault.
NO_TEXT = "The server sends no answer in `content`: check its chat template, or take another model"
NO_THINKING = "Switch the model's thinking off at the server, raise llm.max_tokens, or take a model that does not think"
WILLING = "The model refuses what the prompt asks: take another model, or edit the prompts"
LONGER = "Raise llm.max_tokens"
FORM = "The model does not keep to the form: set llm.answers to the other of json_schema and text, or take another model"
CUT_OFF = Fault("answer cut off at max_tokens", "The answer was too long and was cut off. Answer shorter.", LONGER)
FILTER_STRUCK = Fault("stopped by the content filter", "The answer was stopped by a filter.", FILTER)
# The finish reasons that mean "too long", also of Mistral, Google, Anthropic, OpenAI's Responses, Cohere and watsonx.
LENGTHS = [
    "length", "max_tokens", "model_length", "model_context_window_exceeded", "max_output_tokens", "incomplete", "error_limit",
    "token_limit",
]  # fmt: skip
FINISHES = {  # by the server's finish reason. With any other the answer is whole and is checked by its content
    **dict.fromkeys(LENGTHS, CUT_OFF),
    **dict.fromkeys(FILTERED, FILTER_STRUCK),
    "no_message": FILTER_STRUCK._replace(final=True),
    "refusal": Fault("refused by the model", "Nothing is asked but to write down what the report says.", WILLING),
    "no_choices": Fault("no choices in the reply", "There was no answer.", FILTER, final=True),
}


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


def probabilities(answer_text: str, logprobs: Sequence[Sequence[Any]], places: Mapping[str, int]) -> dict[str, float | None]:
    """Returns the probability that each label is present: P(present) + P(uncertain) / 2, over the mass of the four statuses.

    Args:
        answer_text: the message.
        logprobs: its tokens, each [token, log probability, [[alternative, log probability], ...]].
        places: label -> offset of its status word in `answer_text`, in code points.

    Returns:
        One probability per label. None if the tokens do not make up the text (a character may be split into bytes), if no status
        has any mass, or if the error could be above TOLERATED.
    """
    tokens = [str(entry[0]) for entry in logprobs]
    # The last occurrence: tokens may include thoughts before the message, and white space or an end token after it.
    offset = "".join(tokens).rfind(answer_text)
    if offset < 0 or not tokens:
        return dict.fromkeys(places)
    begins = [end - offset for end in itertools.accumulate(map(len, tokens[:-1]), initial=0)]
    return {label: _present(logprobs, begins, place) for label, place in places.items()}


def _present(logprobs: Sequence[Sequence[Any]], begins: list[int], place: int) -> float | None:
    """Returns the probability for the status word at `place`. Follows its tokens until the chosen ones fit one status only."""
    index = bisect.bisect_right(begins, place) - 1
    before = str(logprobs[index][0])[: place - begins[index]]  # the part of this token before the status word
    word, weight, unfollowed = "", 1.0, 0.0
    mass = dict.fromkeys(STATUSES, 0.0)
    for chosen, logprob, alternatives in logprobs[index:]:
        shares: dict[frozenset[str], float] = defaultdict(float)  # statuses that a token fits ("un" fits two) -> probability
        # The chosen token may be missing from the server's alternatives.
        for token, log_share in dict([(chosen, logprob), *(alternatives or [])]).items():
            if token.startswith(before) and token != before:  # else it ends before the status word
                shares[_fitting(word + token.removeprefix(before))] += math.exp(min(0.0, log_share))
        word, before = word + chosen.removeprefix(before), ""
        fits = _fitting(word)
        followed = shares.pop(fits, 0.0) if len(fits) > 1 else 0.0
        for statuses, share in sorted(shares.items(), key=lambda each: len(each[0])):
            mean = sum(STATUS_WEIGHTS[status] for status in statuses) / max(len(statuses), 1)
            unfollowed += weight * share * max((abs(STATUS_WEIGHTS[status] - mean) for status in statuses), default=0.0)
            for status in statuses:
                mass[status] += weight * share / len(statuses)
        if len(fits) <= 1:
            break
        weight *= followed
    total = sum(mass.values())
    if total <= 0 or unfollowed / total > TOLERATED:
        return None
    return min(1.0, sum(mass[status] * weight for status, weight in STATUS_WEIGHTS.items()) / total)


def _fitting(beginning: str) -> frozenset[str]:
    """Returns the statuses of which `beginning` is a prefix, or that are a prefix of it."""
    return frozenset(status for status in STATUSES if status.startswith(beginning) or beginning.startswith(status))
