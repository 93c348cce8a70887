"""Turns a report into the request that asks about it: prompt files, examples, schema, sampling. Pure, apart from reading files.

A question's key depends on everything that shapes the answer and on nothing else: equal texts share a key, whatever their ids.
"""

import hashlib
import json
import re
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.statuses import STATUSES
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.llm.checking import OPEN_ENDED_STATUSES
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.llm.worked_examples import Example, choose, load_examples

VERSION = 1  # of questions and of how answers are read; with another number everything is asked, and paid for, again
TOP_LOGPROBS = 5  # four statuses and one for the rest; some servers allow no more
MOST_DECISIONS = 400  # questions of one request (openai/resources/decisions.py)
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


class Questioner:
    """Renders reports into questions with the prompt files of `folder`.

    The first message is system.jinja and the task's file (variables: task, form, labels). It is the same for all reports, so that
    prompt caches hit. Then come the chosen examples as turns of a conversation, then report.jinja (report, tag). Decisions use
    decisions.jinja for each predicate (label) and no examples.

    Raises:
        ParamsError: some settings contradict each other.
        InputError: a prompt file is missing or broken (file and line), there are too few examples, or a label's name cannot be
            part of a line of text.
    """

    def __init__(self, task: str, folder: Path, label_set: list[Label], p: LLMParams) -> None:
        self._task, self._folder, self._p, self._labels = task, folder, p, label_set
        self._require_fitting()
        # no autoescape, since these are prompts and not HTML
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701
        )
        words = {"task": task, "form": p.answers, "labels": label_set}
        self._system = "\n\n".join(self._render(name, **words) for name in ("system.jinja", f"{task}.jinja"))
        self._examples = self._load_examples()
        self._turns = {each.id: self._shown(each) for each in self._examples}
        self._sampling = _sampling(p)
        self._format = _response_format(task, [label.name for label in label_set]) if p.answers == "json_schema" else None
        self._predicates = [
            {"type": "predicate", "name": label.name, "instructions": self._render("decisions.jinja", label=label)}
            for label in (label_set if p.answers == "decisions" else [])
        ]

    def question(self, report_id: str, text: str, sample: int = 0) -> Question:
        """Returns the first question about a report. Parts of the body are shared between questions: do not change them."""
        chosen = choose(self._examples, self._p.examples, self._p.seed, text) if self._examples else []
        messages = [{"role": "system", "content": self._system}]
        for example in chosen:
            messages += self._turns[example.id]
        messages.append({"role": "user", "content": self._enclosed(text)})
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
        body: dict[str, Any] = {"model": self._p.model, "messages": messages, **self._sampling}
        body["seed"] = self._p.seed + sample  # equal seeds would make equal samples
        return body | ({"response_format": self._format} if self._format else {})

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

    def _shown(self, example: Example) -> list[dict[str, str]]:
        return [{"role": "user", "content": self._enclosed(example.report)}, {"role": "assistant", "content": example.answer}]

    def _load_examples(self) -> list[Example]:
        if not self._p.examples or self._p.answers == "decisions":
            return []
        path = self._folder / "examples" / f"{self._task}.yaml"
        examples = load_examples(path, self._task, self._labels, self._p)
        if len(examples) < self._p.examples:
            raise InputError(f"{path} holds {len(examples)} examples, llm.examples asks for {self._p.examples}")
        return examples

    def _require_fitting(self) -> None:
        """Raises ParamsError or InputError for settings and labels that cannot be asked."""
        names = [label.name for label in self._labels]
        if self._p.answers == "decisions" and self._task != MULTIPLE_CHOICE:
            raise ParamsError("llm.answers: decisions answer the task multiple_choice only; take json_schema or text")
        if self._p.answers == "decisions" and self._p.logprobs:
            raise ParamsError("llm.logprobs: decisions come with probabilities of their own; set it to false")
        if self._p.samples > 1 and (self._p.temperature == 0 or self._p.answers == "decisions"):
            raise ParamsError("llm.samples: one answer would be paid several times; raise llm.temperature, or set samples to 1")
        if self._p.answers == "decisions" and len(names) > MOST_DECISIONS:
            raise InputError(f"the label set has {len(names)} labels, a decision answers {MOST_DECISIONS} at most")
        odd = [name for name in names if "|" in name or name.strip() != name or len(name.splitlines()) != 1]
        if odd and self._task == MULTIPLE_CHOICE and self._p.answers == "text":
            raise InputError(f"the label '{odd[0]}' cannot stand in a line of an answer; rename it, or ask for json_schema")

    def _render(self, name: str, **words: Any) -> str:
        """
        Raises:
            InputError: a template is missing or broken, or uses an unknown variable.
        """
        try:
            return self._environment.get_template(name).render(**words).strip()
        except jinja2.TemplateNotFound:
            raise InputError(
                f"{self._folder / name} is missing; `source` of the teacher llm is a folder of prompts, such as the shipped "
                f"one that docs/teachers.md names"
            ) from None
        except TEMPLATE_ERRORS as error:
            line = _line_of(error, self._folder)
            raise InputError(f"{self._folder / name}:{line} {type(error).__name__}; see docs of jinja2") from None


def _line_of(error: Exception, folder: Path) -> str:
    """Returns the line at which a template failed, from the error or its traceback."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f" line {error.lineno}:"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(folder))]
    return f" line {frames[-1].lineno}:" if frames else ""


def _sampling(p: LLMParams) -> dict[str, Any]:
    """Returns the sampling options. Compatible servers (vLLM, llama.cpp, transformers) all know the older name `max_tokens`."""
    limit = "max_tokens" if p.endpoint == "compatible" else "max_completion_tokens"
    sampling: dict[str, Any] = {limit: p.max_tokens}
    if p.temperature is not None:
        sampling["temperature"] = p.temperature
    if p.top_p is not None:
        sampling["top_p"] = p.top_p
    if p.endpoint != "compatible":
        sampling["store"] = False  # the provider must not keep reports
    if p.logprobs:
        sampling |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    return sampling


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
