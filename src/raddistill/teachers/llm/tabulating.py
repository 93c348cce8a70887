"""Turns conversations into the tables of a teacher. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from raddistill.llm_client.messages import Answer
from raddistill.tables.answers import Answers
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.teachers.llm.conversations import Conversation
from raddistill.teachers.teacher import Labelled
from raddistill.teachers.votes import Finding, vote_samples

CROSSED = "no answer: asked by another run at the same time"
Row = tuple[Any, ...]
ROWS = 50_000  # as Python tuples at once; frames take a tenth of the memory


def tabulate(
    task: str,
    teacher: str,
    history: Iterable[tuple[str, list[Conversation]]],
    without: Mapping[str, str],
    failed: Mapping[str, str],
) -> Labelled:
    """Returns the tables of all reports. `without`: report id -> why not asked. `failed`: question key -> why it failed."""
    tables = _Tables(task, teacher)
    for report_id, reason in without.items():
        tables.put_aside(report_id, reason, None)
    for report_id, conversations in history:
        tables.keep(report_id, conversations)
        samples = [each.findings for each in conversations if each.findings is not None]
        if samples:
            tables.count("samples_without_answer", len(conversations) - len(samples))
            tables.find(report_id, samples[0] if len(conversations) == 1 else vote_samples(task, samples))
        else:
            tables.put_aside(report_id, *_why(conversations[-1], failed))
    return tables.done()


def _why(last: Conversation, failed: Mapping[str, str]) -> tuple[str, str | None]:
    """Returns reason and raw answer of a report that has no labels."""
    if last.next is not None:
        # Not in `failed` if another process stored a faulty answer in the meantime, which opens a new question for the next run.
        return failed.get(last.next.key, CROSSED), None
    turn = last.turns[-1]
    assert turn.fault is not None
    return turn.fault.reason, turn.answer.text


class _Tables:
    """Collects rows, and turns them into frames when there are many."""

    def __init__(self, task: str, teacher: str) -> None:
        self._key = (task, teacher)
        self._schemas: dict[str, Any] = {
            "labels": Labels, "evidence": Evidence, "outcomes": Outcomes, "quarantine": Quarantine, "answers": Answers,
        }  # fmt: skip
        self._rows: dict[str, list[Row]] = {name: [] for name in self._schemas}
        self._frames: dict[str, pl.DataFrame] = {name: schema.create_empty() for name, schema in self._schemas.items()}
        self._counts: Counter[str] = Counter(asked_again=0, samples_without_answer=0, labels_with_probability=0)
        self._faults: Counter[str] = Counter()
        self._models: set[str] = set()  # more than one where a router fell back

    def count(self, what: str, n: int) -> None:
        self._counts[what] += n

    def put_aside(self, report_id: str, reason: str, answer: str | None) -> None:
        self._add("outcomes", (report_id, *self._key, "quarantined", reason))
        self._add("quarantine", (report_id, 0, reason, answer))

    def find(self, report_id: str, findings: list[Finding]) -> None:
        self._add("outcomes", (report_id, *self._key, "labelled", None))
        for found in findings:  # one per label
            self.count("labels_with_probability", found.probability is not None)
            self._add("labels", (report_id, *self._key, found.label, found.status, found.probability, found.code))
            if found.start is not None:
                place = (0, found.section, found.start, found.end, None)
                self._add("evidence", (report_id, *self._key, found.label, *place, found.status, found.probability))

    def keep(self, report_id: str, conversations: list[Conversation]) -> None:
        for turn in (turn for each in conversations for turn in each.turns):
            question, answer = turn.question, turn.answer
            self.count("asked_again", int(question.ask > 0))
            self._models.add(answer.model)
            if turn.fault:
                self._faults[turn.fault.reason] += 1
            place = (report_id, *self._key, question.sample, question.ask, question.key, question.form, question.examples)
            fault = turn.fault.reason if turn.fault else None
            logprobs = None if answer.logprobs is None else json.dumps(answer.logprobs)
            used = (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens, answer.request_id, answer.usd)
            self._add(
                "answers",
                (*place, answer.text, answer.finish, fault, answer.model, answer.fingerprint, logprobs, *used, answer.mode),
            )

    def done(self) -> Labelled:
        whole = {name: self._flush(name) for name in self._rows}
        self.count("models", len(self._models))
        return Labelled(**whole, counts={**self._counts, "faults": dict(sorted(self._faults.items()))})

    def _add(self, name: str, row: Row) -> None:
        self._rows[name].append(row)
        if len(self._rows[name]) >= ROWS:
            self._flush(name)

    def _flush(self, name: str) -> pl.DataFrame:
        known = self._frames[name]
        self._frames[name] = pl.concat([known, pl.DataFrame(self._rows[name], schema=known.schema, orient="row")])
        self._rows[name] = []
        return self._frames[name]


def restored(answers: pl.DataFrame) -> Iterable[Answer]:
    """Yields the answers of an `Answers` table as they came from the server."""
    for row in answers.iter_rows(named=True):
        logprobs = None if row["logprobs"] is None else json.loads(row["logprobs"])
        yield Answer(**{name: row[name] for name in Answer._fields if name != "logprobs"}, logprobs=logprobs)
