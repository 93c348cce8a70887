"""Labels of both tasks to one table of examples: every prompt and answer rendered once, for training and prediction."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator
from rich.console import Console

from raddistill import statuses
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.passages import choose_sections
from raddistill.student import teaching
from raddistill.student.blanking import blanked
from raddistill.student.fitting import fit
from raddistill.student.prompts import PLAIN, Renderer, slot_lines
from raddistill.student.reading import Part, parts_of, quote
from raddistill.student.teaching import Answer, Said, Weights
from raddistill.tables.examples import Examples

console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
BLANKED = 100_000  # added to the number of a part that comes again with words blanked: more than any report has sentences


class TaskParams(Section):
    """How the student reads reports for one task, and how much of them it is trained on."""

    units: Literal["sentences", "reports"]
    sections: str | list[str]  # what the teacher read, and so what is trained on; prediction reads the whole report
    examples: int = Field(ge=-1)  # sentences or reports to train on, rare labels first (0: none, -1: all)
    written: int = Field(ge=0)  # sentences of the teacher's own making beside them, of each label or code


class ChoiceParams(TaskParams):
    """Multiple choice."""

    answers: Literal["head", "slots", "list"]
    blanked: float = Field(ge=0, le=1)  # share of the sentences with a mention that come again with words of it blanked

    @model_validator(mode="after")
    def _lists_are_of_reports(self) -> Self:
        if self.answers == "list" and self.units == "sentences":
            raise ValueError("answers: list are of whole reports; set units: reports")
        return self


class OpenParams(TaskParams):
    """Open-ended."""

    answers: Literal["tags", "lines"]


class MergeParams(Section):
    """What is trained on, and in which form."""

    seed: int
    uncertain: float | Literal["mask"]  # probability that a teacher's `uncertain` is worth; mask: not trained on
    soft_labels: bool  # a teacher's probabilities as targets where it gives them; else its statuses
    multiple_choice: ChoiceParams
    open_ended: OpenParams
    blank: str = Field(min_length=1)  # what stands in these reports for a word that was taken out
    validation_examples: int = Field(ge=1)  # of each task, looked at for early stopping
    max_tokens: int = Field(ge=32)

    @property
    def tasks(self) -> dict[str, ChoiceParams | OpenParams]:
        """In the order of the table."""
        return {"multiple_choice": self.multiple_choice, "open_ended": self.open_ended}


class Taught(NamedTuple):
    """A teacher's tables for one task: rows of `Labels`, `Evidence`, `Outcomes` and `Written`."""

    labels: pl.DataFrame
    evidence: pl.DataFrame
    outcomes: pl.DataFrame
    written: pl.DataFrame


@dataclass(frozen=True)
class Merged:
    examples: pl.DataFrame
    metrics: dict[str, Any]


def merge(
    p: MergeParams,
    reports: pl.DataFrame,
    taught: dict[str, Taught],
    label_set: list[Label],
    tokenizer: Any,
    prompts: Path,
) -> Merged:
    """The parts of every report for both tasks, less the training reports whose text stands in validation or test.

    Raises:
        InputError: a prompt template is missing; instruction and answer alone are longer than max_tokens; sentences are asked
            for and the teacher's labels come without evidence; unknown sections.
    """
    held_out = reports.filter(pl.col("split") != "train")["text_group"].unique().to_list()
    leaked = reports.filter((pl.col("split") == "train") & pl.col("text_group").is_in(held_out))
    kept = reports.join(leaked.select("report_id"), on="report_id", how="anti")
    renderer = Renderer(prompts, tokenizer, label_set)
    frames, metrics = [], {}
    for task, how in p.tasks.items():
        graded = taught[task].labels.filter(pl.col("probability").is_not_null() & (pl.col("status") != statuses.UNCERTAIN))
        if graded.height and not p.soft_labels:
            console.print(f"{task}: {graded.height} probabilities of the teacher are not used; merge.soft_labels: true uses them")
        made = _Task(p, task, how, renderer, tokenizer).examples(kept, taught[task])
        assert made.examples.filter("asked")["report_id"].n_unique() == kept.height
        frames.append(made.examples)
        metrics[task] = made.metrics | {"dropped_text_held_out": leaked.height}
    return Merged(pl.concat(frames), metrics)


class _Task:
    """Makes one task's examples."""

    def __init__(self, p: MergeParams, task: str, how: ChoiceParams | OpenParams, renderer: Renderer, tokenizer: Any) -> None:
        self.p, self.task, self.how = p, task, how
        self.renderer, self.tokenizer = renderer, tokenizer
        self.weights = Weights(p.uncertain, p.soft_labels)
        self.by_mention = how.units == "sentences" or how.answers == "tags"
        self.shortened = self.unplaced = 0

    def examples(self, reports: pl.DataFrame, taught: Taught) -> Merged:
        said = teaching.said_of(
            *(frame.join(reports, on="report_id", how="semi") for frame in (taught.labels, taught.evidence, taught.outcomes))
        )
        self._refuse_labels_without_places(said)
        read = choose_sections(self.how.sections)
        rows = []
        columns = ("report_id", "split", "text", "findings", "impression")
        for report in reports.select(columns).iter_rows(named=True):
            key = hashlib.sha256(f"{self.p.seed}:{report['report_id']}".encode()).hexdigest()
            for n, part in enumerate(parts_of(report, self.how.units, read)):
                told = said.get(report["report_id"])
                answer = self._answer(told, part, report["text"]) if told and part.taught else None
                words = quote(report["text"], part)
                row = self._row(report["report_id"], n, part, words, report, answer)
                rows.append(row | {"split": report["split"], "key": key, "asked": part.asked})
                if report["split"] == "train" and told and answer and self._is_blanked(f"{key}:{n}"):
                    hidden = blanked(words, teaching.within(told, part), self.p.blank, words)
                    if hidden:
                        again = self._row(report["report_id"], BLANKED + n, part, hidden, report, answer)
                        rows.append(again | {"split": "train", "key": key, "asked": False})
        written = teaching.said_of_written(taught.written) if self.how.written else {}
        about = dict(taught.written.select("sentence_id", "about").iter_rows()) if written else {}
        for sentence, (text, told) in sorted(written.items()):
            part = Part(0, len(text), asked=False, taught=True)
            row = self._row(sentence, 0, part, text, {}, self._answer(told, part, text))
            rows.append(row | {"split": "train", "key": sentence, "asked": False, "about": about[sentence]})
        return self._select(pl.DataFrame(rows, schema=self._schema(), orient="row"))

    def _is_blanked(self, key: str) -> bool:
        return self.by_mention and fraction_of(f"{self.p.seed}:blank:{key}") <= getattr(self.how, "blanked", 0.0)

    def _answer(self, said: Said, part: Part, text: str) -> Answer | None:
        """What the teacher says of a part; None where it cannot be told apart from the rest of the report."""
        if self.by_mention:
            if said.labels and not said.is_placed:
                return None
            said = teaching.within(said, part)
        labels = self.renderer.labels
        forms: dict[str, Callable[[], Answer]] = {
            "head": lambda: teaching.answer_head(said, labels, self.weights),
            "slots": lambda: teaching.answer_slots(said, labels, self.weights),
            "list": lambda: teaching.answer_list(said, labels, self.weights),
            "lines": lambda: teaching.answer_lines(said, text, self.weights),
            "tags": lambda: teaching.answer_tags(said, self.weights),
        }
        return forms[self.how.answers]()

    def _row(
        self, report_id: str, n: int, part: Part, words: str, sections: dict[str, str | None], answer: Answer | None
    ) -> dict[str, Any]:
        form = self.how.answers
        completion = answer.completion if answer else slot_lines(self.renderer.labels) if form == "slots" else None
        whole = self.how.units == "reports" and part.asked and form not in PLAIN
        text, findings = (sections["text"], sections["findings"]) if whole else (words, None)
        impression = sections["impression"] if whole else words
        prompt, cut = fit(self.renderer, self.tokenizer, form, completion, self.p.max_tokens, text or "", findings, impression)
        self.shortened += cut
        spans = answer.spans if answer else None
        return {
            "report_id": report_id,
            "part": n,
            "prompt": prompt,
            "completion": answer.completion if answer else None,
            "targets": answer.targets if answer else None,
            "spans": [s for s in spans if s["end"] <= len(prompt)] if spans is not None else None,
            "holds": sorted(answer.holds) if answer else [],
            "about": None,
        }

    def _refuse_labels_without_places(self, said: dict[str, Said]) -> None:
        """Counts the reports whose labels have no place in the text; refuses a teacher that never gives one."""
        if not self.by_mention or not said:
            return
        self.unplaced = sum(not told.is_placed for told in said.values())
        stated = sum(bool(told.mentions) for told in said.values())
        if self.unplaced and not stated:
            key, form = f"merge.{self.task}", "lines" if self.task == "open_ended" else self.how.answers
            raise InputError(
                f"{self.task}: the teacher's labels come without evidence, so no sentence can be told from the others;"
                f" set {key}.units: reports" + (f" and {key}.answers: {form}" if self.how.answers == "tags" else "")
            )

    def _schema(self) -> dict[str, Any]:
        schema = Examples.create_empty().schema
        columns = ("report_id", "part", "prompt", "completion", "targets", "spans", "split", "asked")
        return {name: schema[name] for name in columns} | {"holds": pl.List(pl.String), "about": pl.String, "key": pl.String}

    def _select(self, frame: pl.DataFrame) -> Merged:
        """Adds `order`, a report's place in its split, and `selected`: whether training or early stopping sees a part."""
        labelled = pl.col("completion").is_not_null() & (pl.col("about").is_null())
        first = pl.struct("prompt", "split").is_first_distinct().over(labelled)
        counts = teaching.frequencies(map(frozenset, frame.filter(labelled & first & (pl.col("split") == "train"))["holds"]))
        turns = [turn(f"{key}:{n}", holds, counts) for key, n, holds in frame.select("key", "part", "holds").iter_rows()]
        frame = frame.with_columns(
            turn=pl.Series(turns, dtype=pl.Float64),
            known=labelled,
            first=first & labelled,
            order=(pl.col("key").rank("dense").over("split") - 1).cast(pl.Int64),
        )
        place = pl.col("turn").rank("ordinal").over("split", "first")
        of_validation = pl.struct("order", "part").rank("ordinal").over("split", "first")
        n, train = self.how.examples, pl.col("split") == "train"
        limit = frame.height if n == -1 else n
        chosen = pl.when(train).then(place <= limit).otherwise((of_validation <= self.p.validation_examples) & (n != 0))
        of_written = pl.col("key").rank("ordinal").over("about") <= (self.how.written if n else 0)
        frame = frame.with_columns(
            selected=(pl.col("first") & chosen & (pl.col("split") != "test")) | (pl.col("about").is_not_null() & of_written)
        )
        metrics = self._counts(frame)
        frame = frame.filter(pl.col("asked") | pl.col("known") | pl.col("selected"))
        added = {"task": self.task, "answers": self.how.answers, "template_hash": self.renderer.template_hash(self.how.answers)}
        frame = frame.with_columns(pl.lit(value).alias(name) for name, value in added.items())
        return Merged(frame.select(Examples.column_names()), metrics)

    def _counts(self, frame: pl.DataFrame) -> dict[str, int]:
        chosen, train = frame.filter("selected"), frame.filter(pl.col("split") == "train")
        return {
            "train": chosen.filter((pl.col("split") == "train") & pl.col("about").is_null()).height,
            "written": chosen.filter(pl.col("about").is_not_null()).height,
            "validation": chosen.filter(pl.col("split") == "validation").height,
            "available": train.filter("known").height,
            "repeated": train.filter(pl.col("known") & ~pl.col("first")).height,
            "not_taught": frame.filter("asked")["completion"].null_count(),
            "reports_without_evidence": self.unplaced,
            "shortened": self.shortened,
        }


def turn(key: str, holds: list[str], counts: dict[str, int]) -> float:
    """When an example's turn comes: the lower the earlier. Drawn without replacement, weighted by the rarest label it holds.

    Exponential with rate 1 / frequency (Efraimidis and Spirakis 2006): a report with a label of 20 others' is some 50 times as
    likely to come first as one of 1,000 in which nothing was found.
    """
    rarest = min((counts.get(label, 1) for label in holds), default=counts.get("", 1))
    return -math.log(fraction_of(key)) * rarest


def fraction_of(key: str) -> float:
    """A number above 0 and up to 1 by hash, evenly spread."""
    return (int(hashlib.sha256(key.encode()).hexdigest()[:13], 16) + 1) / 2**52
