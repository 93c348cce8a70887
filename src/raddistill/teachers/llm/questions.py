"""Turns a report into the request that asks about it: prompt files, worked examples, schema, sampling.

A question's key depends on everything that shapes the answer and on nothing else: equal texts share a key, whatever their ids.
Worked examples are reports that we wrote, with the right answers. `examples/<task>.yaml` is a list of `id`, `report` and
`answer`: in multiple choice, label -> `status` and `quote`, where missing labels are unmentioned; in open-ended, a list of
`phrase`, `code` and `status`. Pure, apart from reading files.
"""

import hashlib
import json
import re
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.llm_client.messages import Answer
from raddistill.statuses import STATUSES, UNMENTIONED
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.llm.checking import OPEN_ENDED_STATUSES, Checker
from raddistill.teachers.llm.parsing import NONE, Fault
from raddistill.teachers.llm.settings import LLMParams

VERSION = 1  # of questions and of how answers are read; with another number everything is asked, and paid for, again
NO_ANSWER = "(no answer)"  # replaces an empty answer when asked again, since some servers refuse an empty message
TEMPLATE_ERRORS = (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError)  # all that a template can raise


class Question(NamedTuple):
    """One request about a report, and the key under which its answer is kept."""

    key: str  # sha256, hex, of everything that shapes the answer: the body with model and sampling, the form, sample number
    report_id: str
    sample: int  # of self-consistency, from 0
    ask: int  # the number of earlier answers that failed the checks
    form: str  # json_schema | text | decisions
    body: dict[str, Any]  # keyword arguments of chat.completions.create, or of decisions.create
    examples: list[str]  # ids of the worked examples shown


class Example(NamedTuple):
    """A worked example: a report and its answer in the form `llm.answers`."""

    id: str
    report: str
    answer: str


class Questioner:
    """Renders reports into questions with the prompt files of `folder`.

    The first message is system.jinja and the task's file (variables: task, form, labels). It is the same for all reports, so that
    prompt caches hit. Then come the chosen examples as turns of a conversation, then report.jinja (report, tag). Decisions use
    decisions.jinja for each predicate (label) and no examples.

    Raises:
        ParamsError: some settings contradict each other.
        InputError: a prompt file is missing or broken (file, line), there are too few examples, or a label does not fit the form.
    """

    def __init__(self, task: str, folder: Path, label_set: list[Label], p: LLMParams) -> None:
        self._task, self._folder, self._p = task, folder, p
        p.require_fitting(task, [label.name for label in label_set])
        loader = jinja2.FileSystemLoader(folder)
        # no autoescape, since these are prompts and not HTML
        self._environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
        words = {"task": task, "form": p.answers, "labels": label_set}
        self._system = "\n\n".join(self._render(name, **words) for name in ("system.jinja", f"{task}.jinja"))
        path = folder / "examples" / f"{task}.yaml"
        self._examples = load_examples(path, task, label_set, p) if p.examples and p.answers != "decisions" else []
        self._turns = {
            each.id: [{"role": "user", "content": self._enclosed(each.report)}, {"role": "assistant", "content": each.answer}]
            for each in self._examples
        }
        self._format: dict[str, Any] = {}
        if p.answers == "json_schema":
            self._format = {"response_format": _response_format(task, [label.name for label in label_set])}
        self._predicates = [
            {"type": "predicate", "name": label.name, "instructions": self._render("decisions.jinja", label=label)}
            for label in (label_set if p.answers == "decisions" else [])
        ]

    def question(self, report_id: str, text: str, sample: int = 0) -> Question:
        """Returns the first question about a report. Parts of the body are shared between questions: do not change them."""
        chosen = choose(self._examples, self._p.examples, self._p.seed, text) if self._examples else []
        shown = [turn for example in chosen for turn in self._turns[example.id]]
        messages = [{"role": "system", "content": self._system}, *shown, {"role": "user", "content": self._enclosed(text)}]
        return self._keyed(report_id, sample, 0, self._body(messages, sample), [example.id for example in chosen])

    def follow_up(self, question: Question, answer_text: str | None, feedback: str) -> Question:
        """Returns the question after an answer that failed its checks: the same conversation with that answer and the feedback.

        Decisions take no feedback: the same question is asked under another key.
        """
        body = question.body
        if question.form != "decisions":
            failed = answer_text if answer_text and answer_text.strip() else NO_ANSWER
            feedback = self._render("again.jinja", told=feedback)
            turns = [{"role": "assistant", "content": failed}, {"role": "user", "content": feedback}]
            body = body | {"messages": [*body["messages"], *turns]}
        return self._keyed(question.report_id, question.sample, question.ask + 1, body, question.examples)

    def _body(self, messages: list[dict[str, str]], sample: int) -> dict[str, Any]:
        if self._p.answers == "decisions":
            return {"model": self._p.model, "input": messages, "questions": self._predicates}
        seed = self._p.seed + sample  # equal seeds would make equal samples
        return {"model": self._p.model, "messages": messages, **self._p.sampling(), "seed": seed, **self._format}

    def _keyed(self, report_id: str, sample: int, ask: int, body: dict[str, Any], examples: list[str]) -> Question:
        form = self._p.answers
        shapes = [VERSION, self._p.endpoint, self._task, form, sample, ask, body]
        key = hashlib.sha256(json.dumps(shapes, sort_keys=True, ensure_ascii=True).encode("ascii")).hexdigest()
        return Question(key, report_id, sample, ask, form, body, examples)

    def _enclosed(self, report: str) -> str:
        """Returns the report between tags. If it contains the usual tags, others are used, so that it cannot close them."""
        tag, number = "report", 0
        while re.search(rf"</?\s*{tag}\s*>", report, re.IGNORECASE):
            number += 1
            tag = f"report-{number}"
        return self._render("report.jinja", report=report, tag=tag)

    def _render(self, name: str, **words: Any) -> str:
        """
        Raises:
            InputError: a template is missing or broken, or uses an unknown variable.
        """
        try:
            return self._environment.get_template(name).render(**words).strip()
        except jinja2.TemplateNotFound:
            hint = "`source` of the teacher llm is a folder of prompts, such as the shipped one that docs/teachers.md names"
            raise InputError(f"{self._folder / name} is missing; {hint}") from None
        except TEMPLATE_ERRORS as error:
            frames = traceback.extract_tb(error.__traceback__)
            at = [frame.lineno for frame in frames if frame.filename.startswith(str(self._folder))]
            at = [error.lineno] if isinstance(error, jinja2.TemplateSyntaxError) else at
            line = f" line {at[-1]}:" if at else ""
            raise InputError(f"{self._folder / name}:{line} {type(error).__name__}; see docs of jinja2") from None


def _response_format(task: str, names: list[str]) -> dict[str, Any]:
    """Returns a strict schema: every field is required and no other is allowed (OpenAI's guide on structured outputs)."""
    if task == MULTIPLE_CHOICE:
        label = _object({"status": {"type": "string", "enum": STATUSES}, "quote": {"type": "string"}})
        schema = _object({name: {"$ref": "#/$defs/said"} for name in names}) | {"$defs": {"said": label}}
    else:
        status = {"type": "string", "enum": OPEN_ENDED_STATUSES}
        finding = _object({"phrase": {"type": "string"}, "code": {"type": "string"}, "status": status})
        schema = _object({"findings": {"type": "array", "items": finding}})
    return {"type": "json_schema", "json_schema": {"name": task, "strict": True, "schema": schema}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


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


def load_examples(path: Path, task: str, label_set: list[Label], p: LLMParams) -> list[Example]:
    """Returns the examples of a file, in its order. Each has passed the checks of a model's answers.

    Raises:
        InputError: the file is missing or broken, an id is there twice, an answer fails the checks (file, line, reason), or there
            are fewer than p.examples.
    """
    try:
        content = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
        kind: Any = list[_Choice] if task == MULTIPLE_CHOICE else list[_List]
        entries = TypeAdapter(kind).validate_python(content)
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
    examples: dict[str, Example] = {}
    for number, entry in enumerate(entries):
        example = Example(entry.id, entry.report, _render_answer(entry.answer, label_set, p.answers))
        answer = Answer("", example.answer, "stop", "", None, None, 0, 0, 0, None, 0.0, "direct")
        checked = checker.check(answer, example.report)
        why = f"{checked.reason}: {checked.feedback}" if isinstance(checked, Fault) else ""
        if why or example.id in examples:
            why = "an id that comes twice" if example.id in examples else why
            raise InputError(f"{path}: line {_line(content, number)}: example '{example.id}': {why}")
        examples[example.id] = example
    if len(examples) < p.examples:
        raise InputError(f"{path} holds {len(examples)} examples, llm.examples asks for {p.examples}")
    return list(examples.values())


def choose(examples: list[Example], number: int, seed: int, text: str) -> list[Example]:
    """Returns `number` of the examples, drawn by a hash of seed and report text, in the file's order.

    By the text, not by the report's id, so that equal reports get the same question, which is paid for once. In the file's order
    more questions begin alike, which helps prompt caches.
    """
    drawn = sorted(examples, key=lambda e: hashlib.sha256(f"{seed}\n{e.id}\n{text}".encode("utf-8", "replace")).digest())
    return sorted(drawn[:number], key=examples.index)


def _line(content: Any, number: int) -> int:
    return int(content.lc.item(number)[0]) + 1


def _render_answer(given: Any, label_set: list[Label], form: str) -> str:
    """Returns an answer as a model would give it. A label that is not in the set stays, so that the checks find it."""
    if isinstance(given, dict):
        answers = {label.name: _LabelAnswer(status=UNMENTIONED, quote="") for label in label_set} | given
        content: dict[str, Any] = {name: said.model_dump() for name, said in answers.items()}
        lines = [f'{name} | {said.status} | "{said.quote}"' for name, said in answers.items()]
    else:
        content = {"findings": [found.model_dump() for found in given]}
        lines = [f"{found.phrase} | {found.code} | {found.status}" for found in given] or [NONE]
    compact = json.dumps(content, ensure_ascii=False, separators=(",", ":"))  # white space is paid for
    return compact if form == "json_schema" else "\n".join(lines)
