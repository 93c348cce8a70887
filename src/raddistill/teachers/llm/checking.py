"""Checks what an answer means: labels of the set, quotes that are in the report, codes that exist.

Nothing is mended but a code's dot and letter case, and nothing is guessed: what breaks a rule is a `Fault`, which says so to the
model and, in fixed words, to the user. Pure, apart from the list of codes, which is read once.
"""

import re
from typing import Any

from raddistill.labelsets import Label
from raddistill.llm_client.messages import FILTER, FILTERED, LARGER_CONTEXT, Answer, finish_word
from raddistill.passages import SECTIONS, WHOLE
from raddistill.statuses import PRESENT, STATUSES, UNCERTAIN, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED
from raddistill.teachers.llm.codes import normalized
from raddistill.teachers.llm.confidence import probabilities
from raddistill.teachers.llm.parsing import (
    Broken,
    Fault,
    Item,
    is_whole,
    read_chosen,
    read_findings,
    read_json,
    read_lines,
    split_thoughts,
    status_places,
)
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.votes import Finding

OPEN_ENDED_STATUSES = [PRESENT, UNCERTAIN]  # what the report denies is not listed, as by the rules teacher
MOST_FEEDBACK = 12  # problems named at once
# What the user is advised where many answers share a fault.
NO_TEXT = "The server sends no answer in `content`: check its chat template, or take another model"
NO_THINKING = "Switch the model's thinking off at the server, raise llm.max_tokens, or take a model that does not think"
WILLING = "The model refuses what the prompt asks: take another model, or edit the prompts"
LONGER = "Raise llm.max_tokens"
CUT_OFF = Fault("answer cut off at max_tokens", "The answer was too long and was cut off. Answer shorter.", LONGER)
FILTER_STRUCK = Fault("stopped by the content filter", "The answer was stopped by a filter.", FILTER)
# Mistral, Google, Anthropic, OpenAI's Responses, Cohere and watsonx have words of their own.
LENGTHS = [
    "length", "max_tokens", "model_length", "model_context_window_exceeded", "max_output_tokens", "incomplete", "error_limit",
    "token_limit",
]  # fmt: skip
FINISHES = {  # the server's word. Any other counts as a whole answer and is judged by its content
    **dict.fromkeys(LENGTHS, CUT_OFF),
    **dict.fromkeys(FILTERED, FILTER_STRUCK),
    "no_message": FILTER_STRUCK._replace(final=True),
    "refusal": Fault("refused by the model", "Nothing is asked but to write down what the report says.", WILLING),
    "no_choices": Fault("no choices in the reply", "There was no answer.", FILTER, final=True),
}
WELL_BEFORE = 0.9  # of llm.max_tokens: an answer that was cut off before it met another limit
_HEADER = re.compile(rf"^({'|'.join(name.upper() for name in SECTIONS)}): ", re.MULTILINE)


class Checker:
    """Reads the answers of one task, in the form that `p.answers` names.

    Multiple choice: every label of the set exactly once, in any order; a label left out is a fault in every form, as it could
    be one that was overlooked. A quote stands in the report's text word by word (white space and letter case may differ) and
    goes with every status but `unmentioned`, which has none. Of several places the first counts.
    Open-ended: phrases are quotes themselves; codes exist in ICD-10-CM, categories among them; a phrase that comes twice is one
    finding where status and code are equal, else a fault.
    Decisions: a label is present from a probability of 0.5, else unmentioned, as "not stated as present" is all that is known.
    Text form: a fence of backticks around the whole answer is taken off; nothing else may stand beside the lines.
    An answer that ended by its length is read where its JSON is complete.
    Thoughts that a model writes before its answer are passed over; where nothing follows them, they are read as the answer.
    """

    def __init__(self, task: str, label_set: list[Label], p: LLMParams) -> None:
        self._task, self._p = task, p
        self._names = [label.name for label in label_set]

    def check(self, answer: Answer, report_text: str) -> list[Finding] | Fault:
        """The findings, offsets in code points of `report_text`; for multiple choice one a label, in the set's order."""
        text = answer.text or ""
        thoughts, reply = split_thoughts(text)
        fault = FINISHES.get(finish_word(answer.finish))
        if fault is CUT_OFF:
            if not (self._p.answers == "json_schema" and is_whole(reply or thoughts)):
                return _cut_off(answer, reply, self._p.max_tokens)
        elif fault is not None:
            return fault
        if not text.strip():
            return Fault("empty answer", "The answer was empty.", NO_TEXT)
        judged = self._judged(text, answer, report_text)
        if not isinstance(judged, Fault) or reply == text:
            return judged
        behind = self._judged(reply or thoughts, answer, report_text)
        if isinstance(behind, Fault) and not reply:
            return Fault("thoughts without an answer", judged.feedback, NO_THINKING, final=True)
        return behind

    def _judged(self, text: str, answer: Answer, report_text: str) -> list[Finding] | Fault:
        """What `text`, the answer or the part of it behind the thoughts, comes to."""
        try:
            if self._p.answers == "decisions":
                return self._decided(text)
            items = self._items(text)
        except Broken as broken:
            return broken.fault
        judged = self._chosen(items, report_text) if self._task == MULTIPLE_CHOICE else _phrases(items, report_text)
        if isinstance(judged, Fault) or not self._p.logprobs:
            return judged
        key = _key if self._task == OPEN_ENDED else str
        places = {key(item.name): item.at for item in reversed(items) if item.at is not None}
        sure = probabilities(text, answer.logprobs or [], places)
        return [finding._replace(probability=sure.get(finding.label)) for finding in judged]

    def _items(self, text: str) -> list[Item]:
        if self._p.answers == "text":
            return read_lines(text, self._task)
        content = read_json(text)
        items = read_chosen(content, self._names) if self._task == MULTIPLE_CHOICE else read_findings(content)
        places = status_places(text)
        if len(places) != len(items):  # a key spelt with escapes
            return items
        return [item._replace(at=at) for item, at in zip(items, places, strict=True)]

    def _decided(self, text: str) -> list[Finding]:
        content = read_json(text)
        if not isinstance(content, list) or len(content) != len(self._names):
            raise Broken("not of the schema", "One answer to each question was expected.")
        return [_decision(each, name) for each, name in zip(content, self._names, strict=True)]

    def _chosen(self, items: list[Item], text: str) -> list[Finding] | Fault:
        faults: list[Fault] = []
        found: dict[str, Finding] = {}
        for number, item in enumerate(items, 1):
            if item.name not in self._names:
                faults.append(Fault("label not of the set", f"Item {number} is none of the labels asked for."))
            elif item.name in found:
                faults.append(Fault("label twice", f"{item.name}: stands there twice; every label stands there once."))
            else:
                judged = _quoted(item, item.name, STATUSES, text)
                faults += [judged] if isinstance(judged, Fault) else []
                found[item.name] = judged if isinstance(judged, Finding) else _silent(item.name)
        missing = [name for name in self._names if name not in found]
        faults += [Fault("label missing", f"{name}: is missing; every label stands there once.") for name in missing]
        return _all_of(faults) if faults else [found[name] for name in self._names]


def _cut_off(answer: Answer, reply: str, max_tokens: int) -> Fault:
    """The fault of an answer that was cut off, of which `reply` came, beside thoughts."""
    counted = answer.prompt_tokens and (answer.completion_tokens or not reply)
    if counted and answer.completion_tokens < WELL_BEFORE * max_tokens:
        advice = (
            f"The server ended an answer after {answer.completion_tokens:,} tokens, where llm.max_tokens allows {max_tokens:,} "
            f"(its prompt had {answer.prompt_tokens:,}): {LARGER_CONTEXT}"
        )
        return Fault("answer cut off at the server's context", CUT_OFF.feedback, advice, final=True)
    if not reply.strip():
        return Fault("answer cut off at max_tokens while thinking", CUT_OFF.feedback, NO_THINKING, final=True)
    return CUT_OFF


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Where the quote first stands in the text, as whole words; white space and letter case may differ.

    Code points, end exclusive. None: nowhere, or the quote has neither letter nor digit.
    """
    words = quote.split()
    wanted = " ".join(words)
    if not any(char.isalnum() for char in wanted) or len(wanted) > len(text):
        return None
    before = r"(?<!\w)" if re.match(r"\w", wanted) else ""
    after = r"(?!\w)" if re.search(r"\w$", wanted) else ""
    match = re.search(before + r"\s+".join(map(re.escape, words)) + after, text, re.IGNORECASE)
    return match.span() if match else None


def section_at(text: str, at: int) -> str:
    """The section (`findings`, `impression`) whose line the place lies in; `text` before any header or where there is none."""
    headers = [match[1].lower() for match in _HEADER.finditer(text) if match.start() <= at]
    return headers[-1] if headers else WHOLE


def _phrases(items: list[Item], text: str) -> list[Finding] | Fault:
    faults: list[Fault] = []
    found: dict[str, Finding] = {}
    for number, item in enumerate(items, 1):
        code = normalized(item.code or "")
        judged = _quoted(item, f"Item {number}", OPEN_ENDED_STATUSES, text)
        if isinstance(judged, Fault):
            faults.append(judged)
        elif code is None:
            faults.append(Fault("code does not exist", f"Item {number}: its code is not in ICD-10-CM."))
        else:
            finding = judged._replace(label=_key(text[judged.start : judged.end]), code=code)
            if found.setdefault(finding.label, finding) != finding:
                feedback = f"Item {number}: the phrase stands there before with another status or code; quote more of its words."
                faults.append(Fault("phrase twice", feedback))
    return _all_of(faults) if faults else list(found.values())


def _quoted(item: Item, name: str, statuses: list[str], text: str) -> Finding | Fault:
    """The finding, or what is wrong with its status or quote. `name` is what the model is told that it is about."""
    if item.status not in statuses:
        return Fault("status unknown", f"{name}: the status is one of {', '.join(statuses)}.")
    if item.status == UNMENTIONED:
        wrong = Fault("quote without a mention", f"{name}: an unmentioned label has an empty quote.")
        return wrong if item.quote.strip() else _silent(item.name)
    if not item.quote.strip():
        return Fault("no quote", f"{name}: the words of the report that say so are missing.")
    span = locate(item.quote, text)
    if span is None:
        feedback = f"{name}: these words do not stand in the report; copy words in one piece, exactly as they stand there."
        return Fault("quote not in the report", feedback)
    return Finding(item.name, item.status, section_at(text, span[0]), *span, item.code, None)


def _silent(name: str) -> Finding:
    return Finding(name, UNMENTIONED, None, None, None, None, None)


def _key(phrase: str) -> str:
    """As phrases stand in the table of labels."""
    return " ".join(phrase.split()).lower()


def _all_of(faults: list[Fault]) -> Fault:
    """One fault: the reason of the first, and what is to be told of all."""
    return Fault(faults[0].reason, "\n".join(fault.feedback for fault in faults[:MOST_FEEDBACK]))


def _decision(content: Any, name: str) -> Finding:
    """One entry of the `answers` of a decision (openai.types.decision): a predicate's probability, or a refusal."""
    if not isinstance(content, dict) or content.get("name") not in (None, name):
        raise Broken("not of the schema", f"{name}: no answer to this question.")
    if content.get("type") == "refusal":
        raise Broken("refused by the model", f"{name}: was refused.")
    wrong = Broken("not of the schema", f"{name}: a predicate's probability was expected.")
    probability = content.get("probability")
    if content.get("type") != "predicate" or isinstance(probability, bool) or not isinstance(probability, int | float):
        raise wrong
    if not 0 <= probability <= 1:
        raise wrong
    return _silent(name)._replace(status=PRESENT if probability >= 0.5 else UNMENTIONED, probability=float(probability))
