"""Labels of both tasks to one table of examples: every prompt and completion rendered once, for training and prediction."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from raddistill import answers, statuses
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.student.prompts import Renderer, encode, slot_lines

TASKS = ("multiple_choice", "open_ended")


class MergeParams(Section):
    """What is trained on, and in which form."""

    seed: int
    answers: Literal["slots", "list"]
    uncertain: float = Field(ge=0, le=1)  # probability of "yes" that `uncertain` is worth; >= 0.5 is listed as present
    soft_labels: bool  # a teacher's probabilities as targets where it gives them; else its statuses
    multiple_choice_reports: int = Field(ge=-1)
    open_ended_reports: int = Field(ge=-1)
    empty: float = Field(ge=-1, lt=1)  # share of the training examples in which the teacher found nothing; -1: as they come
    validation_reports: int = Field(ge=1)
    max_tokens: int = Field(ge=64)


@dataclass(frozen=True)
class Merged:
    examples: pl.DataFrame
    metrics: dict[str, Any]


def merge(
    p: MergeParams,
    reports: pl.DataFrame,
    labels: dict[str, pl.DataFrame],
    outcomes: dict[str, pl.DataFrame],
    label_set: list[Label],
    tokenizer: Any,
    prompts: Path,
) -> Merged:
    """One example for every report and task, less the training reports whose text stands in validation or test.

    Raises:
        InputError: a prompt template is missing; instruction and answer alone are longer than max_tokens.
    """
    held_out = reports.filter(pl.col("split") != "train")["text_group"].unique().to_list()
    leaked = reports.filter((pl.col("split") == "train") & pl.col("text_group").is_in(held_out))
    kept = reports.join(leaked.select("report_id"), on="report_id", how="anti")
    renderer = Renderer(prompts, tokenizer, label_set)
    frames, metrics = [], {}
    for task in TASKS:
        said = _answers(p, task, kept, labels[task], outcomes[task], label_set)
        made, shortened = _examples(p, task, kept, said, renderer, tokenizer)
        frames.append(made)
        metrics[task] = _counts(made, leaked.height, shortened)
    examples = pl.concat(frames)
    assert examples.height == len(TASKS) * (reports.height - leaked.height)
    return Merged(examples, metrics)


@dataclass(frozen=True)
class _Answer:
    completion: str
    targets: list[float | None] | None


def _answers(
    p: MergeParams, task: str, reports: pl.DataFrame, labels: pl.DataFrame, outcomes: pl.DataFrame, label_set: list[Label]
) -> dict[str, _Answer]:
    """The teacher's answer of every report that it labelled, as text or as soft targets."""
    worth = {statuses.PRESENT: 1.0, statuses.UNCERTAIN: p.uncertain, statuses.ABSENT: 0.0, statuses.UNMENTIONED: 0.0}
    labelled = outcomes.filter(pl.col("outcome") == "labelled").join(reports, on="report_id", how="semi")["report_id"]
    said: dict[str, dict[str, tuple[float, str]]] = {report_id: {} for report_id in labelled}
    columns = labels.join(reports, on="report_id", how="semi").select("report_id", "label", "status", "probability", "code")
    for report_id, label, status, probability, code in columns.iter_rows():
        soft = p.soft_labels and probability is not None
        said[report_id][label] = (probability if soft else worth[status], code or "")
    if task == "open_ended":
        texts = dict(reports.select("report_id", "text").iter_rows())
        return {
            report_id: _Answer(answers.render_lines(_in_reading_order(found, texts[report_id])), None)
            for report_id, found in said.items()
        }
    names = [label.name for label in label_set]
    if p.answers == "list":
        return {
            report_id: _Answer(answers.render_list([n for n in names if n in found and found[n][0] >= 0.5]), None)
            for report_id, found in said.items()
        }
    lines = slot_lines(label_set)
    return {report_id: _Answer(lines, [found[n][0] if n in found else None for n in names]) for report_id, found in said.items()}


def is_empty(answer: _Answer) -> bool:
    """Whether the teacher found nothing at all."""
    if answer.targets is not None:
        return not any((target or 0.0) >= 0.5 for target in answer.targets)
    return answer.completion in (answers.NORMAL, answers.NONE)


def _in_reading_order(found: dict[str, tuple[float, str]], text: str) -> list[tuple[str, str]]:
    """Findings worth listing, as they come in the report: copying is easier to learn in the order of reading."""
    normalised = " ".join(text.lower().split())
    listed = [(phrase, code) for phrase, (worth, code) in found.items() if worth >= 0.5]
    return sorted(listed, key=lambda finding: (normalised.find(finding[0]), finding[0]))


def _examples(
    p: MergeParams, task: str, reports: pl.DataFrame, said: dict[str, _Answer], renderer: Renderer, tokenizer: Any
) -> tuple[pl.DataFrame, int]:
    form = p.answers if task == "multiple_choice" else "lines"
    template_hash = renderer.template_hash(form)
    rows, shortened = [], 0
    slots_only = _Answer(slot_lines(renderer.labels), None) if form == "slots" else None
    for report_id, split, text, findings, impression in reports.select(
        "report_id", "split", "text", "findings", "impression"
    ).iter_rows():
        answer = said.get(report_id)
        completion = answer.completion if answer else slots_only.completion if slots_only else None
        prompt, cut = fit(renderer, tokenizer, form, completion, p.max_tokens, text, findings, impression)
        shortened += cut
        rows.append(
            {
                "report_id": report_id,
                "task": task,
                "split": split,
                "answers": form,
                "prompt": prompt,
                "completion": answer.completion if answer else None,
                "targets": answer.targets if answer else None,
                "empty": answer is not None and is_empty(answer),
                "key": hashlib.sha256(f"{p.seed}:{report_id}".encode()).hexdigest(),
                "template_hash": template_hash,
            }
        )
    frame = pl.DataFrame(rows, schema_overrides={"targets": pl.List(pl.Float64), "completion": pl.String})
    return _select(p, task, frame), shortened


def _select(p: MergeParams, task: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `order`, a report's place in its split by hash, and `selected`: whether training or early stopping sees it."""
    wanted = p.multiple_choice_reports if task == "multiple_choice" else p.open_ended_reports
    train, validation = pl.col("split") == "train", pl.col("split") == "validation"
    labelled = pl.col("completion").is_not_null()
    turn = pl.col("key").rank("ordinal").over("split", labelled).cast(pl.Float64)
    if p.empty >= 0:  # an empty answer's turn comes at every 1 / empty-th place, until one kind runs out
        apart = pl.col("key").rank("ordinal").over("split", labelled, "empty")
        share = pl.when("empty").then(max(p.empty, 1e-9)).otherwise(1 - p.empty)
        turn = pl.when(train).then(apart / share).otherwise(turn)
    rank = pl.struct(turn.alias("turn"), "key").rank("ordinal").over("split", labelled) - 1
    at_most = pl.when(train).then(frame.height if wanted == -1 else wanted)
    limit = at_most.when(validation).then(p.validation_reports if wanted else 0).otherwise(0)
    return frame.with_columns(
        selected=labelled & (rank < limit),
        order=(pl.col("key").rank("ordinal").over("split") - 1).cast(pl.Int64),
    ).drop("key", "empty")


def fit(
    renderer: Renderer,
    tokenizer: Any,
    form: str,
    completion: str | None,
    max_tokens: int,
    text: str,
    findings: str | None,
    impression: str | None,
) -> tuple[str, bool]:
    """The prompt of a report, shortened if need be so that prompt and answer take at most `max_tokens`; whether it was.

    The impression, where the radiologist sums up, is kept before the findings; words go from the end of the findings,
    then of the impression. The answer is never cut.

    Raises:
        InputError: instruction and answer leave no room for a report.
    """

    def prompt_of(words: int) -> tuple[str, bool]:
        prompt = renderer.prompt(form, _first_words(findings, impression, words))
        return prompt, len(encode(tokenizer, prompt, completion, form).input_ids) <= max_tokens

    prompt = renderer.prompt(form, text)
    if len(encode(tokenizer, prompt, completion, form).input_ids) <= max_tokens:
        return prompt, False
    low, high = 0, len((findings or "").split()) + len((impression or "").split())
    if not prompt_of(0)[1]:
        raise InputError(f"merge.max_tokens: {max_tokens} tokens do not hold instruction and answer; raise it")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if prompt_of(middle)[1] else (low, middle)
    return prompt_of(low)[0], True


def _first_words(findings: str | None, impression: str | None, words: int) -> str:
    kept_impression = (impression or "").split()[:words]
    kept_findings = (findings or "").split()[: words - len(kept_impression)]
    sections = (("FINDINGS", kept_findings), ("IMPRESSION", kept_impression))
    return "\n".join(f"{name}: {' '.join(kept)}" for name, kept in sections if kept)


def _counts(examples: pl.DataFrame, leaked: int, shortened: int) -> dict[str, int]:
    chosen = examples.filter("selected")
    return {
        "train": chosen.filter(pl.col("split") == "train").height,
        "validation": chosen.filter(pl.col("split") == "validation").height,
        "available": examples.filter((pl.col("split") == "train") & pl.col("completion").is_not_null()).height,
        "not_labelled": examples["completion"].null_count(),
        "dropped_text_held_out": leaked,
        "shortened": shortened,
    }
