"""For people, before anything is sent: the questions about one report, and how much all of them would cost."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raddistill.errors import InputError
from raddistill.llm_client.budget import CHARACTERS_A_TOKEN, MILLION, Prices, Tokens, most_completion, most_tokens, size, usd_of
from raddistill.llm_client.messages import Answer
from raddistill.tables.reports import Reports
from raddistill.teachers.llm.conversations import Inquiry, Known
from raddistill.teachers.llm.questions import Question
from raddistill.teachers.llm.settings import LLMParams

COLUMNS = [
    "teacher", "model", "reports", "done", "to ask", "requests", "prompt tokens", "answer tokens", "USD", "USD by batch",
]  # fmt: skip
FEEDBACK_TOKENS = 256  # the most in the sentence that tells a model what was wrong with its answer
STYLES = {"system": "dim", "user": "", "assistant": "cyan"}


class Estimate(NamedTuple):
    """Requests, tokens and USD of a run: expected values, and upper bounds that hold whatever the model answers."""

    requests: float
    requests_at_most: int
    prompt_tokens: float
    prompt_tokens_at_most: int
    completion_tokens: float
    completion_tokens_at_most: int
    usd: float | None  # None: the model has no price
    usd_at_most: float | None
    usd_batch: float | None
    usd_batch_at_most: float | None
    answers: int  # the number of this model's answers behind the expected values; 0: a guess, 4 characters per token


class _Ratios(NamedTuple):
    """What earlier answers took, on average."""

    prompt: float  # prompt tokens per byte of a request
    cached: float  # share of the prompt tokens that were cached
    completion: Callable[[dict[str, Any]], float]  # completion tokens of a request, by its body
    asks: float  # requests per first question


class Plan(NamedTuple):
    """The questions to a teacher. Reports are counted whole: `open` have a question left, `done` have none."""

    teacher: str  # its key in params.yaml
    model: str
    reports: int
    done: int
    open: int
    without: int  # reports without any of the sections
    batches: bool  # whether batch mode accepts such questions
    estimate: Estimate


def plan(teacher: str, inquiry: Inquiry, p: LLMParams, reports: dy.DataFrame[Reports], known: Known, prices: Prices) -> Plan:
    """Returns the number of open questions about `reports` and their cost, estimated from this teacher's known answers."""
    without: dict[str, str] = {}
    open_reports = {each.report_id for each in inquiry.excerpts(reports, without) if inquiry.open(each, known)}

    def questions() -> Iterator[Question]:
        seen: set[str] = set()  # reports with the same text share a question
        for each in inquiry.excerpts(reports.filter(pl.col("report_id").is_in(open_reports)), {}):
            new = [question for question in inquiry.open(each, known) if question.key not in seen]
            seen.update(question.key for question in new)
            yield from new

    def answered() -> Iterator[tuple[Question, Answer]]:
        counted: set[str] = set()
        for each in inquiry.excerpts(reports, {}):
            for conversation in inquiry.conversations(each, known):
                new = [turn for turn in conversation.turns if turn.question.key not in counted]
                counted.update(turn.question.key for turn in new)
                yield from ((turn.question, turn.answer) for turn in new)

    made = estimate(questions(), answered(), prices=prices, model=p.model, asks=p.asks)
    done = reports.height - len(open_reports) - len(without)
    return Plan(teacher, p.model, reports.height, done, len(open_reports), len(without), p.answers != "decisions", made)


def estimate(
    questions: Iterable[Question], known: Iterable[tuple[Question, Answer]], *, prices: Prices, model: str, asks: int
) -> Estimate:
    """Returns the cost of `questions` (all open ones). `known`: this model's answers in the store, with their questions.

    The upper bounds assume that each question is asked `asks` times (LLMParams.asks), with all earlier answers in the prompt.
    """
    ratios, answers = _ratios(known)
    n, prompt, most_prompt, completion, most_out = 0, 0.0, 0, 0.0, 0
    for question in questions:
        bytes_ = size(question.body)
        most = most_tokens(question.body, bytes_)
        n += 1
        prompt += bytes_ * ratios.prompt
        completion += min(ratios.completion(question.body), most.completion)
        earlier_answers = (most.completion + FEEDBACK_TOKENS) * asks * (asks - 1) // 2
        most_prompt += most.prompt * asks + earlier_answers
        most_out += most.completion * asks
    factor = ratios.asks
    expected = Tokens(round(prompt * factor), round(completion * factor), round(prompt * factor * ratios.cached))
    price = prices.of(model)
    usd = [None if price is None else usd_of(price, expected, batch) for batch in (False, True)]
    most_usd = None if price is None else (most_prompt * price.highest + most_out * price.output) / MILLION
    return Estimate(
        n * factor, n * asks, prompt * factor, most_prompt, completion * factor, most_out,
        usd[0], most_usd, usd[1], None if price is None or most_usd is None else most_usd * price.batch, answers,
    )  # fmt: skip


def _ratios(known: Iterable[tuple[Question, Answer]]) -> tuple[_Ratios, int]:
    """Returns the ratios of the known answers, and the number of these answers."""
    n, first, bytes_, prompt, cached, completion = 0, 0, 0, 0, 0, 0
    for question, answer in known:
        if answer.prompt_tokens == 0:  # its server counts no tokens
            continue
        n += 1
        first += question.ask == 0
        bytes_ += size(question.body)
        prompt += answer.prompt_tokens
        cached += answer.cached_tokens
        completion += answer.completion_tokens
    if not n:
        return _Ratios(1 / CHARACTERS_A_TOKEN, 0.0, _guess, 1.0), 0
    mean = completion / n
    return _Ratios(prompt / bytes_, cached / prompt, lambda body: mean, n / max(first, 1)), n


def _guess(body: dict[str, Any]) -> float:
    """Returns completion tokens: as many as the worked examples' answers, else half the limit; of decisions, one per question."""
    if "questions" in body:
        return float(len(body["questions"]))
    shown = [message["content"] for message in body["messages"] if message["role"] == "assistant"]
    return sum(map(len, shown)) / len(shown) / CHARACTERS_A_TOKEN if shown else most_completion(body) / 2


def find_questions(inquiry: Inquiry, reports: dy.DataFrame[Reports], report_id: str, known: Known) -> list[Question]:
    """Returns the questions about one report, sample by sample: those already asked, then the one to ask next.

    Raises:
        InputError: the report is unknown, or it has none of the sections.
    """
    one = reports.filter(pl.col("report_id") == report_id)
    if one.is_empty():
        raise InputError(f"there is no report {report_id} among the pipeline's {reports.height} reports")
    without: dict[str, str] = {}
    asked: list[Question] = []
    for each in inquiry.excerpts(one, without):
        for conversation in inquiry.conversations(each, known):
            asked += [turn.question for turn in conversation.turns]
            asked += [conversation.next] if conversation.next else []
    if without:
        raise InputError(f"report {report_id} has {without[report_id]}: it would not be asked about")
    return asked


def question_page(question: Question, answer: Answer | None) -> RenderableType:
    """Returns a request as it would be sent (messages with line breaks, the rest of the body as JSON) and its answer if known."""
    name = Text(f"report {question.report_id}, sample {question.sample}, ask {question.ask}, form {question.form}", style="bold")
    parts: list[RenderableType] = [name, Text(f"key {question.key}", style="dim")]
    parts.append(Text(f"worked examples: {', '.join(question.examples) or 'none'}", style="dim"))
    content = "input" if "input" in question.body else "messages"
    for message in question.body[content]:
        parts.append(Text(f"\n[{message['role']}]", style="bold underline"))
        parts.append(Text(str(message["content"]), style=STYLES.get(str(message["role"]), "")))
    rest = {key: value for key, value in question.body.items() if key != content}
    parts += [Text("\n[rest of the request]", style="bold underline"), Text(json.dumps(rest, indent=2))]
    if answer is not None:
        parts += [Text(f"\n[answer in the journal: {answer.model}, {answer.finish}]", style="bold underline")]
        parts += [Text(answer.text or "", style="green")]
    return Group(*parts)


def plans_page(plans: list[Plan], budget_usd: float) -> RenderableType:
    """Returns a table with two rows per teacher, and notes on how the figures were estimated."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("teacher", "model") else "right", overflow="fold")
    for each in plans:
        e = each.estimate
        cells = [f"{each.reports:,}", f"{each.done:,}", f"{each.open:,}", f"{e.requests:,.0f}"]
        tokens = [f"{e.prompt_tokens:,.0f}", f"{e.completion_tokens:,.0f}"]
        cells += [*tokens, _usd(e.usd), _usd(e.usd_batch) if each.batches else "-"]
        table.add_row(each.teacher, each.model, *cells)
        batch = _usd(e.usd_batch_at_most) if each.batches else "-"
        most = [f"{e.requests_at_most:,}", f"{e.prompt_tokens_at_most:,}", f"{e.completion_tokens_at_most:,}"]
        table.add_row("", "at most", "", "", "", *most, _usd(e.usd_at_most), batch, style="dim")
    return Group(table, *(Text(line, style="dim") for line in _notes(plans, budget_usd)))


def _notes(plans: list[Plan], budget_usd: float) -> list[str]:
    lines = [
        f"{each.teacher}: learnt from {each.estimate.answers:,} answers in the journal"
        if each.estimate.answers
        else f"{each.teacher}: a guess, as the journal has no answer to these questions (4 characters a token, "
        "answers as long as the examples')"
        for each in plans
        if each.open
    ]
    lines += [f"{each.teacher}: {each.without:,} reports have none of the sections" for each in plans if each.without]
    lines += [
        f"{each.teacher}: no price for {each.model}; add it to the file that asking.prices names"
        for each in plans
        if each.estimate.usd is None
    ]
    cap = "none" if budget_usd == -1 else f"{budget_usd:.2f} USD a run"
    lines.append("requests: reports with the same text are asked about once")
    lines.append(
        "at most: every answer as long as it may be, every report asked as often as it may be with failed answers in the prompt, "
        f"a token a byte. Cap: {cap}"
    )
    return ["", *lines]


def _usd(amount: float | None) -> str:
    return "?" if amount is None else f"{amount:,.2f}"
