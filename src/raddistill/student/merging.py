"""Merges the labels of all tasks into one table of examples, with prompts and answers for training and prediction."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import dataframely as dy
import polars as pl
from pydantic import Field
from rich.console import Console

from raddistill import statuses
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.passages import choose_sections
from raddistill.student import parts
from raddistill.student.examples import ExampleMaker, fraction_of, only, select
from raddistill.student.parts import Part
from raddistill.student.prompts import Renderer
from raddistill.student.tagging import Codes
from raddistill.tables.evidence import Evidence
from raddistill.tables.examples import Examples
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.tables.student_settings import StudentSettings, TaskSettings
from raddistill.tables.written import Written
from raddistill.tasks.multiple_choice import ChoiceParams
from raddistill.tasks.names import IN_WORDS, PLAIN
from raddistill.tasks.open_ended import OpenParams
from raddistill.tasks.registry import TASKS
from raddistill.tasks.task import Annotation, TargetRule, Task, TaskParams

console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
SHOWN = 10  # ids on the console; the quarantine has all


class MergeParams(Section):
    """What the student is trained on, and in which answer form."""

    seed: int
    uncertain: float | Literal["mask"]  # target of a teacher's `uncertain` (tasks/task.py, TargetRule); mask: not trained on
    soft_labels: bool  # a teacher's probabilities, if it gives any, are the targets; else its statuses
    multiple_choice: ChoiceParams
    open_ended: OpenParams
    blank: str = Field(min_length=1)  # the reports' own placeholder for a removed word
    validation_examples: int = Field(ge=1)  # per task, for early stopping
    max_tokens: int = Field(ge=32)

    def block_of(self, task: str) -> TaskParams:
        """Returns the block of a task."""
        block: TaskParams = getattr(self, task)
        return block


class Taught(NamedTuple):
    """The tables of one task's teacher that a student learns from."""

    labels: dy.DataFrame[Labels]
    evidence: dy.DataFrame[Evidence]
    outcomes: dy.DataFrame[Outcomes]
    written: dy.DataFrame[Written]


class Merged(NamedTuple):
    """The output of the stage `merge`."""

    examples: pl.DataFrame  # of `Examples`
    quarantine: pl.DataFrame  # of `Quarantine`: reports and sentences whose answer is too long to train on
    metrics: dict[str, Any]
    settings: StudentSettings


def merge(
    p: MergeParams,
    reports: dy.DataFrame[Reports],
    taught: Mapping[str, Taught],
    label_set: list[Label],
    tokenizer: Any,
    prompts: Path,
) -> Merged:
    """Returns examples, quarantine and metrics of all tasks, and how the student will read reports.

    Examples: one row per part of each report, without training reports whose text is in another split, too; written sentences;
    copies with blanked words. A row is kept if prediction asks about it, or if it has an answer to train on.

    Raises:
        InputError: a prompt template is missing; max_tokens are too few for an instruction or for every answer of a task; units
            are sentences, but the teacher's labels have no evidence; unknown sections.
    """
    held_out = reports.filter(pl.col("split") != "train")["text_group"].unique().to_list()
    leaked = reports.filter((pl.col("split") == "train") & pl.col("text_group").is_in(held_out))
    kept = reports.join(leaked.select("report_id"), on="report_id", how="anti")
    renderer = Renderer(prompts, tokenizer, label_set)
    examples, too_long, metrics = [], [], {}
    for name, task in TASKS.items():
        labels, form = taught[name].labels, p.block_of(name).answers
        graded = labels.filter(pl.col("probability").is_not_null() & (pl.col("status") != statuses.UNCERTAIN))
        if graded.height and not p.soft_labels:
            console.print(f"{name}: {graded.height} probabilities of the teacher are not used; merge.soft_labels: true uses them")
        maker = ExampleMaker(task, form, renderer, tokenizer, TargetRule(p.uncertain, p.soft_labels), p.max_tokens)
        merger = _Merger(p, task, maker)
        rows = merger.merge(kept, taught[name])
        assert rows.filter("asked")["report_id"].n_unique() == kept.height
        metrics[name] = merger.counts(rows) | {"dropped_text_held_out": leaked.height}
        constant = {"task": name, "answers": form, "template_hash": renderer.template_hash(form)}
        of_use = rows.filter(pl.col("asked") | pl.col("known") | pl.col("selected"))
        examples.append(of_use.with_columns(pl.lit(value).alias(column) for column, value in constant.items()))
        too_long += [(report, f"{name}: the answer is too long for merge.max_tokens") for report in maker.too_long]
    quarantine = pl.DataFrame(too_long, schema={"report_id": pl.String, "reason": pl.String}, orient="row")
    quarantine = quarantine.with_columns(n=pl.int_range(pl.len()).over("report_id"), answer=pl.lit(None, pl.String))
    made = pl.concat(examples).select(Examples.column_names())
    return Merged(made, quarantine.select(Quarantine.column_names()), metrics, _settings(p, made, label_set))


def _settings(p: MergeParams, examples: pl.DataFrame, label_set: list[Label]) -> StudentSettings:
    trained = examples.filter(pl.col("selected") & (pl.col("split") == "train"))
    names = [name for name in TASKS if name in trained["task"]]
    return StudentSettings(
        labels=label_set,
        tasks={name: TaskSettings(answers=(of_task := p.block_of(name)).answers, units=of_task.units) for name in names},
        max_tokens=p.max_tokens,
        codes=Codes(trained.filter(pl.col("answers") == "tags")["completion"]).known,
    )


class _Merger:
    """Makes the table of one task."""

    def __init__(self, p: MergeParams, task: Task, maker: ExampleMaker) -> None:
        self.p, self.name, self.block, self.maker = p, task.name, p.block_of(task.name), maker
        self.sections = choose_sections(self.block.sections)
        self.by_mention = self.block.units == "sentences" or maker.form == "tags"
        self.without_evidence = 0

    def merge(self, reports: pl.DataFrame, taught: Taught) -> pl.DataFrame:
        """Returns the rows of all parts of all reports and of written sentences, with the columns that `select` adds."""
        of_reports = (frame.join(reports, on="report_id", how="semi") for frame in taught[:3])
        annotations = parts.annotations_of(*of_reports)  # type: ignore[arg-type] # a semi-join keeps the schema
        self._refuse_labels_without_places(annotations)
        rows = []
        for report in reports.select("report_id", "split", "text", "findings", "impression").iter_rows(named=True):
            rows += self._rows_of_report(report, annotations.get(report["report_id"]))
        if self.block.written:
            rows += self._rows_of_written(taught.written)
        self._refuse_no_answer(rows)
        schema: dict[str, Any] = dict(Examples.create_empty().schema)
        columns = ("report_id", "part", "split", "prompt", "completion", "targets", "spans", "asked")
        added = {"stated": pl.List(pl.String), "about": pl.String, "key": pl.String}
        frame = pl.DataFrame(rows, schema={name: schema[name] for name in columns} | added, orient="row")
        return select(frame, self.block.examples, self.block.written, self.p.validation_examples)

    def _rows_of_report(self, report: dict[str, Any], annotation: Annotation | None) -> list[dict[str, Any]]:
        key = hashlib.sha256(f"{self.p.seed}:{report['report_id']}".encode()).hexdigest()
        rows = []
        for n, part in enumerate(parts.parts_of(report, self.block.units, self.sections)):
            of_part = self._stated_in(part, annotation) if annotation and part.taught else None
            words = parts.quote(report["text"], part)
            is_whole = self.block.units == "reports" and part.asked and self.maker.form not in PLAIN
            row = {"report_id": report["report_id"], "part": n, "split": report["split"], "asked": part.asked, "key": key}
            row |= self.maker.example(report["report_id"], report if is_whole else only(words), of_part)
            rows.append(row)
            if report["split"] == "train" and of_part and self._is_blanked(f"{key}:{n}"):
                rows += self.maker.blanked_copy(row, words, of_part, self.p.blank)
        return rows

    def _rows_of_written(self, written: dy.DataFrame[Written]) -> list[dict[str, Any]]:
        about = dict(written.select("sentence_id", "about").iter_rows())
        rows = []
        for sentence, (text, annotation) in sorted(parts.annotations_of_written(written).items()):
            row = {"report_id": sentence, "part": 0, "split": "train", "asked": False, "key": sentence, "about": about[sentence]}
            row |= self.maker.example(sentence, only(text), annotation)
            rows += [row] if row["completion"] is not None else []
        return rows

    def _stated_in(self, part: Part, annotation: Annotation) -> Annotation | None:
        """What the teacher states in a part; None if it is unknown which of its labels belong to the part."""
        if self.by_mention and annotation.labels and not annotation.has_all_places:
            return None
        within = parts.within(annotation, part)
        return within if self.by_mention else Annotation(annotation.labels, within.mentions)

    def _is_blanked(self, key: str) -> bool:
        return self.by_mention and fraction_of(f"{self.p.seed}:blank:{key}") <= self.block.blanked_share

    def _refuse_no_answer(self, rows: list[dict[str, Any]]) -> None:
        """Prints the reports whose answers are too long for max_tokens; raises if no answer is left."""
        if not self.maker.too_long:
            return
        key, name = f"merge.max_tokens: {self.p.max_tokens} tokens", self.name
        if all(row["completion"] is None for row in rows):
            raise InputError(f"{key} do not hold one answer of {name} ({self.maker.form}); raise it")
        shown = ", ".join(dict.fromkeys(self.maker.too_long[:SHOWN])) + (", ..." if len(self.maker.too_long) > SHOWN else "")
        console.print(f"{name}: {len(self.maker.too_long)} answers are not trained on, {key} do not hold them: {shown}")

    def _refuse_labels_without_places(self, annotations: dict[str, Annotation]) -> None:
        """Counts the reports with a label without a mention; raises if the teacher gives no mentions at all."""
        if not self.by_mention or not annotations:
            return
        self.without_evidence = sum(not annotation.has_all_places for annotation in annotations.values())
        if self.without_evidence and not any(annotation.mentions for annotation in annotations.values()):
            key = f"merge.{self.name}"
            raise InputError(
                f"{self.name}: the teacher's labels have no evidence, so the sentences that state them are unknown;"
                f" set {key}.units: reports" + (f" and {key}.answers: {IN_WORDS['tags']}" if self.maker.form == "tags" else "")
            )

    def counts(self, frame: pl.DataFrame) -> dict[str, int]:
        """Returns the figures of metrics/merge.json for the rows that `merge` made."""
        chosen, train = frame.filter("selected"), frame.filter(pl.col("split") == "train")
        return {
            "train": chosen.filter((pl.col("split") == "train") & pl.col("about").is_null()).height,
            "written": chosen.filter(pl.col("about").is_not_null()).height,
            "validation": chosen.filter(pl.col("split") == "validation").height,
            "available": train.filter("known").height,
            "repeated": train.filter(pl.col("known") & ~pl.col("first")).height,
            "not_taught": frame.filter("asked")["completion"].null_count(),
            "reports_without_evidence": self.without_evidence,
            "shortened": self.maker.shortened,
            # of shortened texts: labels or phrases not trained on, as their words were cut; and those trained on although it is
            # unknown whether their words were cut
            "targets_cut_away": self.maker.cut_away,
            "targets_of_unknown_place": self.maker.of_unknown_place,
            "answer_too_long": len(self.maker.too_long),
        }
