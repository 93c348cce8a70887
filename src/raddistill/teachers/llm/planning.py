"""Before anything is sent: what would be asked about one report, and what all of it would cost. For people."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import dataframely as dy
import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raddistill.errors import InputError
from raddistill.llm_client.budget import Prices
from raddistill.llm_client.messages import Answer
from raddistill.tables.reports import Reports
from raddistill.teachers.llm.conversations import Inquiry, Known
from raddistill.teachers.llm.estimate import Estimate, estimate
from raddistill.teachers.llm.questions import Question
from raddistill.teachers.llm.settings import LLMParams

COLUMNS = [
    "teacher", "model", "reports", "done", "to ask", "requests", "prompt tokens", "answer tokens", "USD", "USD by batch",
]  # fmt: skip
STYLES = {"system": "dim", "user": "", "assistant": "cyan"}


class Plan(NamedTuple):
    """What a teacher would be asked. Reports are counted whole: `open` have a question left, `done` have none."""

    teacher: str  # the key under which params.yaml has it
    model: str
    reports: int
    done: int
    open: int
    without: int  # have none of the sections
    batches: bool  # whether batch mode takes such questions
    estimate: Estimate


def plan(teacher: str, inquiry: Inquiry, p: LLMParams, reports: dy.DataFrame[Reports], known: Known, prices: Prices) -> Plan:
    """Counts what is open about `reports` and what it will cost, by the answers of this teacher that are known already."""
    without: dict[str, str] = {}
    open_reports = {each.report_id for each in inquiry.shown(reports, without) if inquiry.open(each, known)}

    def questions() -> Iterator[Question]:
        seen: set[str] = set()  # reports that say the same are one question
        for each in inquiry.shown(reports.filter(pl.col("report_id").is_in(open_reports)), {}):
            new = [question for question in inquiry.open(each, known) if question.key not in seen]
            seen.update(question.key for question in new)
            yield from new

    def answered() -> Iterator[tuple[Question, Answer]]:
        counted: set[str] = set()
        for each in inquiry.shown(reports, {}):
            for conversation in inquiry.conversations(each, known):
                new = [turn for turn in conversation.turns if turn.question.key not in counted]
                counted.update(turn.question.key for turn in new)
                yield from ((turn.question, turn.answer) for turn in new)

    made = estimate(questions(), answered(), prices=prices, model=p.model, asks=p.asks)
    done = reports.height - len(open_reports) - len(without)
    return Plan(teacher, p.model, reports.height, done, len(open_reports), len(without), p.answers != "decisions", made)


def find_questions(inquiry: Inquiry, reports: dy.DataFrame[Reports], report_id: str, known: Known) -> list[Question]:
    """What would be asked now about the report with this id, and what was asked before, in order; a list a sample, joined.

    Raises:
        InputError: there is no such report, or it has none of the sections.
    """
    one = reports.filter(pl.col("report_id") == report_id)
    if one.is_empty():
        raise InputError(f"there is no report {report_id} among the pipeline's {reports.height} reports")
    without: dict[str, str] = {}
    asked: list[Question] = []
    for each in inquiry.shown(one, without):
        for conversation in inquiry.conversations(each, known):
            asked += [turn.question for turn in conversation.turns]
            asked += [conversation.next] if conversation.next else []
    if without:
        raise InputError(f"report {report_id} has {without[report_id]}: it would not be asked about")
    return asked


def question_page(question: Question, answer: Answer | None) -> RenderableType:
    """A request as it would be sent: messages with their line breaks, the rest of the body as JSON; and the answer if known."""
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
    """A row a teacher, and below how the figures were come by."""
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
    lines.append("requests: reports that say the same are asked about once")
    lines.append(
        "at most: every answer as long as it may be, every report asked as often as it may be with failed answers in the prompt, "
        f"a token a byte. Cap: {cap}"
    )
    return ["", *lines]


def _usd(amount: float | None) -> str:
    return "?" if amount is None else f"{amount:,.2f}"
