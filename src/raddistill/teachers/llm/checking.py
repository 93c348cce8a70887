"""Checks the content of an answer: labels of the set, quotes that are in the report, ICD-10-CM codes that exist.

Only a code's dot and letter case are corrected, and nothing is guessed. An answer that breaks a rule gives a `Fault`, with
feedback for the model and a fixed reason for the user. Pure, apart from the list of codes, which is read once.
"""

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

from raddistill.labelsets import Label
from raddistill.llm_client.messages import LARGER_CONTEXT, Answer, finish_word
from raddistill.passages import SECTIONS, WHOLE
from raddistill.statuses import PRESENT, STATUSES, UNCERTAIN, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED
from raddistill.teachers.llm import parsing
from raddistill.teachers.llm.parsing import CUT_OFF, FINISHES, NO_TEXT, NO_THINKING, Broken, Fault, Item
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.teacher import Finding, Mention

OPEN_ENDED_STATUSES = [PRESENT, UNCERTAIN]  # absent findings are not listed, as by the rules teacher
# Problems named at once. Feedback is part of the next question: with other words it is asked, and paid for, again.
MOST_FEEDBACK = 12
WELL_BEFORE = 0.9  # of llm.max_tokens: an answer that was cut off with fewer tokens met another limit
_HEADER = re.compile(rf"^({'|'.join(name.upper() for name in SECTIONS)}): ", re.MULTILINE)
_STATUS = re.compile(r'"status"\s*:\s*"')  # inside a JSON string its quotes would have backslashes
_CODE = re.compile(r"[A-Z][0-9A-Z]{2,6}")  # a code or category; a chapter is a number, a block has a hyphen


class Checker:
    """Checks the answers of one task, in the form `p.answers`, and turns them into findings.

    Multiple choice: an answer has every label of the set exactly once, in any order. A missing label is a fault, since it may
    have been overlooked. Every status except `unmentioned` needs a quote: words of the report in one piece (white space and
    letter case may differ). If they occur twice in the report, the first place is used.
    Open-ended: a phrase is its own quote. Its code or category must be in ICD-10-CM. A phrase listed twice is one finding if
    status and code are equal, else a fault.
    Decisions: a label is present from a probability of 0.5, else unmentioned, as the answer only tells "not stated as present".
    Text form: backticks around the whole answer are removed; nothing else may come before or after the lines.
    An answer that was cut off at its limit is read if its JSON is complete.
    Thoughts before the answer are skipped; if nothing follows them, they are read as the answer.
    """

    def __init__(self, task: str, label_set: list[Label], p: LLMParams) -> None:
        self._task, self._p = task, p
        self._names = [label.name for label in label_set]

    def check(self, answer: Answer, report_text: str) -> list[Finding] | Fault:
        """Returns the findings or the fault. Multiple choice: one per label, in the set's order. Offsets are in `report_text`."""
        text = answer.text or ""
        thoughts, reply = parsing.split_thoughts(text)
        fault = FINISHES.get(finish_word(answer.finish))
        if fault is CUT_OFF:
            if not (self._p.answers == "json_schema" and parsing.is_whole(reply or thoughts)):
                return _cut_off(answer, reply, self._p.max_tokens)
        elif fault is not None:
            return fault
        if not text.strip():
            return Fault("empty answer", "The answer was empty.", NO_TEXT)
        of_all = self._check_content(text, answer, report_text)
        if not isinstance(of_all, Fault) or reply == text:
            return of_all
        of_reply = self._check_content(reply or thoughts, answer, report_text)
        if isinstance(of_reply, Fault) and not reply:
            return Fault("thoughts without an answer", of_all.feedback, NO_THINKING, final=True)
        return of_reply

    def _check_content(self, text: str, answer: Answer, report_text: str) -> list[Finding] | Fault:
        """Returns the findings or the fault of `text`, which is the answer or a part of it."""
        try:
            if self._p.answers == "decisions":
                return self._read_decisions(text)
            items = self._items(text)
        except Broken as broken:
            return broken.fault
        checked = self._check_labels(items, report_text) if self._task == MULTIPLE_CHOICE else _check_phrases(items, report_text)
        if isinstance(checked, Fault) or not self._p.logprobs:
            return checked
        key = _phrase_key if self._task == OPEN_ENDED else str
        places = {key(item.name): item.at for item in reversed(items) if item.at is not None}
        by_label = parsing.probabilities(text, answer.logprobs or [], places)
        return [finding._replace(probability=by_label.get(finding.label)) for finding in checked]

    def _items(self, text: str) -> list[Item]:
        if self._p.answers == "text":
            return parsing.read_lines(text, self._task)
        content = parsing.read_json(text)
        items = parsing.read_chosen(content, self._names) if self._task == MULTIPLE_CHOICE else parsing.read_findings(content)
        places = [match.end() for match in _STATUS.finditer(text)]
        if len(places) != len(items):  # a key was written with escapes
            return items
        return [item._replace(at=at) for item, at in zip(items, places, strict=True)]

    def _read_decisions(self, text: str) -> list[Finding]:
        content = parsing.read_json(text)
        if not isinstance(content, list) or len(content) != len(self._names):
            raise Broken("not of the schema", "One answer to each question was expected.")
        return [_decision(each, name) for each, name in zip(content, self._names, strict=True)]

    def _check_labels(self, items: list[Item], text: str) -> list[Finding] | Fault:
        faults: list[Fault] = []
        found: dict[str, Finding] = {}
        for number, item in enumerate(items, 1):
            if item.name not in self._names:
                faults.append(Fault("label not of the set", f"Item {number} is none of the labels asked for."))
            elif item.name in found:
                faults.append(Fault("label twice", f"{item.name}: stands there twice; every label stands there once."))
            else:
                checked = _check_quote(item, item.name, STATUSES, text)
                faults += [checked] if isinstance(checked, Fault) else []
                found[item.name] = checked if isinstance(checked, Finding) else Finding(item.name, UNMENTIONED)
        missing = [name for name in self._names if name not in found]
        faults += [Fault("label missing", f"{name}: is missing; every label stands there once.") for name in missing]
        return _join(faults) if faults else [found[name] for name in self._names]


def _cut_off(answer: Answer, reply: str, max_tokens: int) -> Fault:
    """Returns the fault of an answer that was cut off. `reply`: the part of it after the thoughts."""
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
    """Returns start and end of the first place of the quote in the text, as whole words; white space and letter case may differ.

    In code points, the end exclusive. None: the quote is not in the text, or has neither letter nor digit.
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
    """Returns the section (`findings`, `impression`) of the offset `at`; `text` if no header comes before it."""
    headers = [match[1].lower() for match in _HEADER.finditer(text) if match.start() <= at]
    return headers[-1] if headers else WHOLE


def _check_phrases(items: list[Item], text: str) -> list[Finding] | Fault:
    faults: list[Fault] = []
    found: dict[str, Finding] = {}
    for number, item in enumerate(items, 1):
        code = canonical_code(item.code or "")
        checked = _check_quote(item, f"Item {number}", OPEN_ENDED_STATUSES, text)
        if isinstance(checked, Fault):
            faults.append(checked)
        elif code is None:
            faults.append(Fault("code does not exist", f"Item {number}: its code is not in ICD-10-CM."))
        else:
            (quote,) = checked.mentions
            finding = checked._replace(label=_phrase_key(text[quote.start : quote.end]), code=code)
            if found.setdefault(finding.label, finding) != finding:
                feedback = f"Item {number}: the phrase stands there before with another status or code; quote more of its words."
                faults.append(Fault("phrase twice", feedback))
    return _join(faults) if faults else list(found.values())


def _check_quote(item: Item, name: str, statuses: list[str], text: str) -> Finding | Fault:
    """Returns the finding, or the fault of its status or quote. `name`: how the feedback calls the item."""
    if item.status not in statuses:
        return Fault("status unknown", f"{name}: the status is one of {', '.join(statuses)}.")
    if item.status == UNMENTIONED:
        wrong = Fault("quote without a mention", f"{name}: an unmentioned label has an empty quote.")
        return wrong if item.quote.strip() else Finding(item.name, UNMENTIONED)
    if not item.quote.strip():
        return Fault("no quote", f"{name}: the words of the report that say so are missing.")
    span = locate(item.quote, text)
    if span is None:
        feedback = f"{name}: these words do not stand in the report; copy words in one piece, exactly as they stand there."
        return Fault("quote not in the report", feedback)
    mention = Mention(section_at(text, span[0]), *span, None, item.status, None)
    return Finding(item.name, item.status, None, item.code, [mention])


def _phrase_key(phrase: str) -> str:
    """Returns the phrase as in the table of labels: in lower case, with single spaces."""
    return " ".join(phrase.split()).lower()


def _join(faults: list[Fault]) -> Fault:
    """Returns one fault: the reason of the first, and the feedback of all."""
    return Fault(faults[0].reason, "\n".join(fault.feedback for fault in faults[:MOST_FEEDBACK]))


def _decision(content: Any, name: str) -> Finding:
    """Returns the finding of one entry of a decision's `answers` (openai.types.decision).

    Raises:
        Broken: the entry is a refusal, or not an answer to this question.
    """
    if not isinstance(content, dict) or content.get("name") not in (None, name):
        raise Broken("not of the schema", f"{name}: no answer to this question.")
    if content.get("type") == "refusal":
        raise Broken("refused by the model", f"{name}: was refused.")
    probability = content.get("probability")
    if content.get("type") != "predicate" or isinstance(probability, bool):
        probability = None
    if not (isinstance(probability, int | float) and 0 <= probability <= 1):
        raise Broken("not of the schema", f"{name}: a predicate's probability was expected.")
    return Finding(name, PRESENT if probability >= 0.5 else UNMENTIONED, probability=float(probability))


def canonical_code(code: str) -> str | None:
    """Returns the code in capitals and with its dot (`j189` gives J18.9); None if ICD-10-CM has no such code or category."""
    plain = code.strip().upper()
    if len(plain) > 3 and plain[3] == ".":
        plain = plain[:3] + plain[4:]
    if plain not in known_codes():
        return None
    return plain if len(plain) == 3 else f"{plain[:3]}.{plain[3:]}"


@functools.cache
def known_codes() -> frozenset[str]:
    """Returns all codes and categories of ICD-10-CM (98,000), without dots, from the package simple-icd-10-cm.

    Importing the package builds a tree of all descriptions, which takes 1.4 s and 185 MB. So its list of codes is read from a
    file (50 ms); if a version has no such file, the package is imported.
    """
    package = importlib.util.find_spec("simple_icd_10_cm")
    folders = package.submodule_search_locations if package else None
    assert folders, "simple-icd-10-cm is a dependency of raddistill"
    lists = list(Path(folders[0], "data").glob("code-list-*.txt"))
    if len(lists) == 1:
        names = lists[0].read_text(encoding="utf-8").split()
    else:
        import simple_icd_10_cm  # slow, see above

        names = simple_icd_10_cm.get_all_codes(False)
    return frozenset(name for name in names if _CODE.fullmatch(name))
