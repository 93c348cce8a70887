"""Worked examples: reports that we wrote, with the right answers, shown to the model before the report in question.

`examples/<task>.yaml` is a list of `id`, `report` and `answer`. The answer is, in multiple choice, label -> `status` and `quote`,
where missing labels are unmentioned; in open-ended, a list of `phrase`, `code` and `status`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.llm_client.messages import Answer
from raddistill.statuses import UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.llm.checking import Checker
from raddistill.teachers.llm.parsing import NONE, Fault
from raddistill.teachers.llm.settings import LLMParams


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _LabelAnswer(_Strict):
    status: str
    quote: str


class _FindingAnswer(_Strict):
    phrase: str
    code: str
    status: str


class _Choice(_Strict):
    id: str
    report: str
    answer: dict[str, _LabelAnswer]


class _List(_Strict):
    id: str
    report: str
    answer: list[_FindingAnswer]


class Example(NamedTuple):
    """A report and its answer in the form `llm.answers`."""

    id: str
    report: str
    answer: str


def load_examples(path: Path, task: str, label_set: list[Label], p: LLMParams) -> list[Example]:
    """Returns the examples of a file, in its order. Each has passed the checks of a model's answers.

    Raises:
        InputError: the file is missing or broken, an id is there twice, or an answer fails the checks (file, line, reason).
    """
    read = YAML(typ="rt", pure=True)
    try:
        content = read.load(path.read_text(encoding="utf-8"))
        kind: Any = TypeAdapter(list[_Choice] if task == MULTIPLE_CHOICE else list[_List])
        entries = kind.validate_python(content)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; put examples there or set llm.examples to 0") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"{path} is not YAML in UTF-8{f' (line {mark.line + 1})' if mark else ''}") from None
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        line = f" line {_line(content, where[0])}:" if where and isinstance(where[0], int) else ""
        raise InputError(f"{path}:{line} {'.'.join(map(str, where)) or 'file'}: {error.errors()[0]['msg']}") from None
    checker = Checker(task, label_set, p.model_copy(update={"logprobs": False}))
    examples: list[Example] = []
    for number, entry in enumerate(entries):
        answer = _render_choice(entry, label_set, p.answers) if task == MULTIPLE_CHOICE else _render_list(entry, p.answers)
        checked = checker.check(Answer("", answer, "stop", "", None, None, 0, 0, 0, None, 0.0, "direct"), entry.report)
        doubled = entry.id in {example.id for example in examples}
        if doubled or isinstance(checked, Fault):
            why = "an id that comes twice" if doubled else f"{checked.reason}: {checked.feedback}"  # type: ignore[union-attr]
            raise InputError(f"{path}: line {_line(content, number)}: example '{entry.id}': {why}")
        examples.append(Example(entry.id, entry.report, answer))
    return examples


def choose(examples: list[Example], number: int, seed: int, text: str) -> list[Example]:
    """Returns `number` of the examples, drawn by a hash of seed and report text, in the file's order.

    By the text, not by the report's id, so that equal reports get the same question, which is paid for once. In the file's order
    more questions begin alike, which helps prompt caches.
    """
    drawn = sorted(examples, key=lambda e: hashlib.sha256(f"{seed}\n{e.id}\n{text}".encode("utf-8", "replace")).digest())
    chosen = {example.id for example in drawn[:number]}
    return [example for example in examples if example.id in chosen]


def _line(content: Any, number: int) -> int:
    return int(content.lc.item(number)[0]) + 1


def _render_choice(entry: _Choice, label_set: list[Label], form: str) -> str:
    """Returns the answer with the labels in the set's order. A label that is not in the set stays, so that the checks find it."""
    labels = {
        label.name: entry.answer.get(label.name, _LabelAnswer(status=UNMENTIONED, quote="")) for label in label_set
    } | entry.answer
    if form == "json_schema":
        return _compact({name: s.model_dump() for name, s in labels.items()})
    return "\n".join(f'{name} | {s.status} | "{s.quote}"' for name, s in labels.items())


def _render_list(entry: _List, form: str) -> str:
    if form == "json_schema":
        return _compact({"findings": [f.model_dump() for f in entry.answer]})
    return "\n".join(f"{f.phrase} | {f.code} | {f.status}" for f in entry.answer) or NONE


def _compact(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))  # white space is paid for
