"""Turns conversations into the tables of a teacher. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from raddistill.llm_client.messages import Answer
from raddistill.tables.answers import Answers
from raddistill.teachers.llm.conversations import Conversation, Turn
from raddistill.teachers.teacher import Finding, Labelled, LabelRows, Rows
from raddistill.teachers.votes import vote_samples

CROSSED = "no answer: asked by another run at the same time"


def tabulate(
    task: str,
    teacher: str,
    history: Iterable[tuple[str, list[Conversation]]],
    without: Mapping[str, str],
    failed: Mapping[str, str],
) -> Labelled:
    """Returns the tables of all reports. `without`: report id -> why not asked. `failed`: question key -> why it failed."""
    rows, answers = LabelRows(task, teacher), Rows(Answers)
    n_missing = 0  # samples without an answer, of reports with another sample
    for report_id, reason in without.items():
        rows.put_aside(report_id, reason)
    for report_id, conversations in history:
        answers.add((report_id, task, teacher, *_answer_row(turn)) for each in conversations for turn in each.turns)
        samples = [each.findings for each in conversations if each.findings is not None]
        if samples:
            n_missing += len(conversations) - len(samples)
            findings = samples[0] if len(conversations) == 1 else vote_samples(task, samples)
            rows.add(report_id, [_with_its_mention(found) for found in findings])
        else:
            rows.put_aside(report_id, *_why(conversations[-1], failed))
    labelled, table = rows.labelled({}), answers.table()
    counts = {
        "asked_again": table.filter(pl.col("ask") > 0).height,
        "samples_without_answer": n_missing,
        "labels_with_probability": labelled.labels["probability"].count(),
        "models": table["model"].n_unique(),  # more than one where a router fell back
        "faults": dict(table["fault"].drop_nulls().value_counts().sort("fault").iter_rows()),
    }
    return labelled._replace(counts=counts, answers=table)


def _answer_row(turn: Turn) -> tuple[Any, ...]:
    """Returns the columns of `Answers` after the key of the report."""
    question, answer = turn.question, turn.answer
    fault = turn.fault.reason if turn.fault else None
    logprobs = None if answer.logprobs is None else json.dumps(answer.logprobs)
    return (
        question.sample, question.ask, question.key, question.form, question.examples,
        answer.text, answer.finish, fault, answer.model, answer.fingerprint, logprobs,
        answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens, answer.request_id, answer.usd, answer.mode,
    )  # fmt: skip


def _with_its_mention(found: Finding) -> Finding:
    """Returns the finding with its quote as a mention that has the status and probability decided on."""
    return found._replace(mentions=[m._replace(status=found.status, probability=found.probability) for m in found.mentions])


def _why(last: Conversation, failed: Mapping[str, str]) -> tuple[str, str | None]:
    """Returns reason and raw answer of a report that has no labels."""
    if last.next is not None:
        # Not in `failed` if another process stored a faulty answer in the meantime, which opens a new question for the next run.
        return failed.get(last.next.key, CROSSED), None
    turn = last.turns[-1]
    assert turn.fault is not None
    return turn.fault.reason, turn.answer.text


def restored(answers: pl.DataFrame) -> Iterable[Answer]:
    """Yields the answers of an `Answers` table as they came from the server."""
    for row in answers.iter_rows(named=True):
        logprobs = None if row["logprobs"] is None else json.loads(row["logprobs"])
        yield Answer(**{name: row[name] for name in Answer._fields if name != "logprobs"}, logprobs=logprobs)
