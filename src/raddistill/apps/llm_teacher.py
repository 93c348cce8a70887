"""Shows what would be sent to an LLM teacher and estimates what that would cost. Nothing here contacts a server."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raddistill import params, paths
from raddistill.apps.console import print_page
from raddistill.errors import InputError
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.llm_client.budget import CHARACTERS_A_TOKEN, MILLION, Prices, Tokens, most_tokens, size, usd_of
from raddistill.llm_client.messages import Answer
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import Store
from raddistill.tables import base as tables
from raddistill.tables.reports import Reports
from raddistill.tasks.names import TASKS
from raddistill.teachers.llm.conversations import Conversation, Inquiry
from raddistill.teachers.llm.questions import Question
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.synthesizing import SynthesizeParams, TeachParams, llm_params

COLUMNS = [
    "teacher", "model", "reports", "done", "to ask", "requests", "prompt tokens", "answer tokens", "USD", "USD by batch",
]  # fmt: skip
FEEDBACK_TOKENS = 256  # the most in the sentence that tells a model what was wrong with its answer
STYLES = {"system": "dim", "user": "", "assistant": "cyan"}
Asked = tuple[Question, Answer | None]  # a question and its stored answer; None: it is still to be asked


class _Amounts(NamedTuple):
    """What a run takes. USD are None if the price table lacks the model."""

    requests: float
    prompt_tokens: float
    completion_tokens: float
    usd: float | None
    usd_batch: float | None


class Estimate(NamedTuple):
    """The cost of all questions that are still to be asked: expected values, and bounds that hold whatever the model answers."""

    expected: _Amounts
    at_most: _Amounts
    answers: int  # stored answers behind the expected values; 0: these are a guess, 4 characters per token


class Plan(NamedTuple):
    """The questions to one teacher, and how many of its reports have one left (`open`)."""

    teacher: str  # its key in params.yaml
    p: LLMParams
    reports: int
    open: int
    without: int  # reports without any of the sections
    estimate: Estimate


def plans_of(names: list[str]) -> list[Plan]:
    """Returns how much each of these teachers has to ask, and what that takes. Without `names`: all LLM teachers of params.yaml.

    Raises:
        InputError, ParamsError: as in `inquiry_of`.
    """
    reports, prices = tables.read(Reports, paths.REPORTS), Prices.load(params.load("asking", AskingParams).prices)
    with Store(paths.journal()) as store:
        return [_plan(name, reports, store, prices) for name in names or llm_teachers()]


def print_questions(report_id: str, name: str, as_json: bool) -> None:
    """Prints what would be sent to the teacher `name` about a report, and the stored answer, if there is one.

    With `as_json`: only the bodies of the requests, one per line.

    Raises:
        InputError: the report is unknown or has none of the sections; else as in `inquiry_of`.
    """
    inquiry, _ = inquiry_of(name)
    reports = tables.read(Reports, paths.REPORTS)
    one = reports.filter(pl.col("report_id") == report_id)
    if one.is_empty():
        raise InputError(f"there is no report {report_id} among the pipeline's {reports.height} reports")
    without: dict[str, str] = {}
    with Store(paths.journal()) as store:
        for excerpt in inquiry.excerpts(one, without):
            for question, answer in _asked(inquiry.conversations(excerpt, store.get)):
                if as_json:
                    print(json.dumps(question.body))
                else:
                    print_page(_question_page(question, answer), width=1_000_000)
    if without:
        raise InputError(f"report {report_id} has {without[report_id]}: it would not be asked about")


def llm_teachers() -> list[str]:
    """Returns the tasks and names of the LLM teachers in params.yaml; both tasks if it has none."""
    content = params.read()
    teachers = content.get("synthesize", {}) | content.get("teachers", {})
    return [name for name, p in teachers.items() if p.get("teacher") == "llm"] or TASKS


def inquiry_of(name: str) -> tuple[Inquiry, LLMParams]:
    """Returns the inquiry of a teacher and its settings. `name`: a task, or a name in the section `teachers` of params.yaml.

    A task whose teacher is no LLM is treated as if it had one.

    Raises:
        InputError: the teacher has no section `llm`.
        ParamsError: the teacher is unknown.
    """
    labels = load_labels(params.load("label_set", LabelSetParams).path)
    p: SynthesizeParams | TeachParams
    if name in TASKS:
        p = params.load(f"synthesize.{name}", SynthesizeParams)
        task, prompts = name, Path(p.source) if p.teacher == "llm" else paths.TEACHER_PROMPTS
    else:
        p = params.load(f"teachers.{name}", TeachParams)
        task, prompts = p.task, Path(p.source)
    if isinstance(p, TeachParams) and p.llm is None:
        raise InputError(f"teachers.{name} of params.yaml has no section `llm`; synthesize.llm shows one")
    llm = llm_params(task, p, params.load("synthesize.llm", LLMParams))
    return Inquiry(task, prompts, labels, p.sections, llm), llm


def _asked(conversations: Iterable[Conversation]) -> Iterator[Asked]:
    """Yields, conversation by conversation, the questions already asked and then the one to ask next."""
    for each in conversations:
        yield from ((turn.question, turn.answer) for turn in each.turns)
        if each.next:
            yield each.next, None


def _plan(name: str, reports: dy.DataFrame[Reports], store: Store, prices: Prices) -> Plan:
    """Returns the number of open questions about `reports` and their cost, estimated from this teacher's stored answers."""
    inquiry, p = inquiry_of(name)
    without: dict[str, str] = {}
    open_reports: list[str] = []

    def asked() -> Iterator[Asked]:
        seen: set[str] = set()  # reports with the same text share a question
        for excerpt in inquiry.excerpts(reports, without):
            conversations = inquiry.conversations(excerpt, store.get)
            open_reports.extend([excerpt.report_id] if any(each.next for each in conversations) else [])
            new = {question.key: (question, answer) for question, answer in _asked(conversations) if question.key not in seen}
            seen.update(new)
            yield from new.values()

    made = estimate(asked(), prices=prices, model=p.model, asks=p.asks)
    return Plan(name, p, reports.height, len(open_reports), len(without), made)


def estimate(asked: Iterable[Asked], *, prices: Prices, model: str, asks: int) -> Estimate:
    """Returns the cost of the questions without an answer, estimated from the answers to the others. Reads `asked` once.

    The bounds assume that each question is asked `asks` times (LLMParams.asks), with all earlier answers in the prompt. An answer
    whose server counted no tokens teaches nothing.
    """
    open_bytes = most_prompt = 0
    lengths: Counter[tuple[int, float]] = Counter()  # of the open questions' answers in tokens: the most, and a guess
    seen: Counter[str] = Counter()  # sums over the answered questions
    for question, answer in asked:
        if answer is None:
            most = most_tokens(question.body, bytes_ := size(question.body))
            open_bytes, most_prompt = open_bytes + bytes_, most_prompt + most.prompt * asks
            lengths[most.completion, _guess(question.body, most.completion)] += 1
        elif answer.prompt_tokens:
            seen.update(n=1, first=question.ask == 0, bytes=size(question.body), prompt=answer.prompt_tokens)
            seen.update(cached=answer.cached_tokens, completion=answer.completion_tokens)
    n_open = lengths.total()
    n = seen["n"]
    factor = n / max(seen["first"], 1) if n else 1.0  # requests per first question
    prompt = factor * open_bytes * (seen["prompt"] / seen["bytes"] if n else 1 / CHARACTERS_A_TOKEN)
    cached = prompt * seen["cached"] / seen["prompt"] if n else 0.0
    completion = factor * sum(k * min(seen["completion"] / n if n else guess, most) for (most, guess), k in lengths.items())
    most_out = asks * sum(k * most for (most, _), k in lengths.items())
    most_prompt += (most_out + n_open * asks * FEEDBACK_TOKENS) * (asks - 1) // 2  # earlier answers, each with feedback
    usd: list[float | None] = [None] * 4
    if price := prices.of(model):
        tokens = Tokens(round(prompt), round(completion), round(cached))
        most_usd = (most_prompt * price.highest + most_out * price.output) / MILLION
        usd = [usd_of(price, tokens, False), usd_of(price, tokens, True), most_usd, most_usd * price.batch]
    expected = _Amounts(n_open * factor, prompt, completion, usd[0], usd[1])
    return Estimate(expected, _Amounts(n_open * asks, most_prompt, most_out, usd[2], usd[3]), n)


def _guess(body: dict[str, Any], most: int) -> float:
    """Returns completion tokens: as many as the worked examples' answers, else half the limit; of decisions, one per question."""
    if "questions" in body:
        return float(len(body["questions"]))
    shown = [message["content"] for message in body["messages"] if message["role"] == "assistant"]
    return sum(map(len, shown)) / len(shown) / CHARACTERS_A_TOKEN if shown else most / 2


def _question_page(question: Question, answer: Answer | None) -> RenderableType:
    """Returns a request as it would be sent (messages with line breaks, the rest of the body as JSON) and its answer if known."""
    name = f"report {question.report_id}, sample {question.sample}, ask {question.ask}, form {question.form}"
    about = f"key {question.key}\nworked examples: {', '.join(question.examples) or 'none'}"
    parts = [Text(name, style="bold"), Text(about, style="dim")]
    content = "input" if "input" in question.body else "messages"
    for message in question.body[content]:
        parts.append(Text(f"\n[{message['role']}]", style="bold underline"))
        parts.append(Text(message["content"], style=STYLES[message["role"]]))
    rest = {key: value for key, value in question.body.items() if key != content}
    parts += [Text("\n[rest of the request]", style="bold underline"), Text(json.dumps(rest, indent=2))]
    if answer is not None:
        head = Text(f"\n[answer in the journal: {answer.model}, {answer.finish}]", style="bold underline")
        parts += [head, Text(answer.text or "", style="green")]
    return Group(*parts)


def plans_page(plans: list[Plan]) -> RenderableType:
    """Returns a table with two rows per teacher, and notes on how the figures were estimated."""
    budget_usd = params.load("asking", AskingParams).budget_usd
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("teacher", "model") else "right", overflow="fold")
    for each in plans:
        counts = [f"{n:,}" for n in (each.reports, each.reports - each.open - each.without, each.open)]
        table.add_row(each.teacher, each.p.model, *counts, *_cells(each.estimate.expected, each.p))
        table.add_row("", "at most", "", "", "", *_cells(each.estimate.at_most, each.p), style="dim")
    learnt = "learnt from {:,} answers in the journal"
    guess = "a guess, as the journal has no answer to these questions (4 characters a token, answers as long as the examples')"
    lines = [f"{e.teacher}: {learnt.format(n) if (n := e.estimate.answers) else guess}" for e in plans if e.open]
    assumed = [e.teacher for e in plans if params.read()["synthesize"].get(e.teacher, {}).get("teacher", "llm") != "llm"]
    lines += [f"{task}: no LLM in params.yaml; a preset may let it read other sections (docs/teachers.md)" for task in assumed]
    lines += [f"{each.teacher}: {each.without:,} reports have none of the sections" for each in plans if each.without]
    unpriced = [each for each in plans if each.estimate.expected.usd is None]
    lines += [f"{e.teacher}: no price for {e.p.model}; add it to the file that asking.prices names" for e in unpriced]
    cap = "none" if budget_usd == -1 else f"{budget_usd:.2f} USD a run"
    lines += [
        "requests: reports with the same text are asked about once",
        "at most: every answer as long as it may be, every report asked as often as it may be with failed answers in the prompt, "
        f"a token a byte. Cap: {cap}",
    ]
    return Group(table, *(Text(line, style="dim") for line in ["", *lines]))


def _cells(amounts: _Amounts, p: LLMParams) -> list[str]:
    usd, usd_batch = ("?" if amount is None else f"{amount:,.2f}" for amount in (amounts.usd, amounts.usd_batch))
    tokens = [f"{number:,.0f}" for number in (amounts.requests, amounts.prompt_tokens, amounts.completion_tokens)]
    return [*tokens, usd, usd_batch if p.answers != "decisions" else "-"]  # decisions take no batches
