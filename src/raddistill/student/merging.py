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

from raddistill import answers, statuses
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.passages import choose_sections
from raddistill.student import teaching
from raddistill.student.blanking import blanked
from raddistill.student.fitting import Fitted, fit
from raddistill.student.prompts import PLAIN, Renderer, encode, slot_lines
from raddistill.student.reading import Part, parts_of, quote
from raddistill.student.teaching import Answer, Said, Weights
from raddistill.tables.examples import Examples
from raddistill.tables.quarantine import Quarantine

console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
SHOWN = 10  # ids on the console; the quarantine has all
NOTHING = {"list": answers.NORMAL, "lines": answers.NONE}  # the answer where there is nothing to answer
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
    quarantine: pl.DataFrame  # what is asked but not trained on, as its answer is too long: report_id, n, reason, answer (null)
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
        InputError: a prompt template is missing; max_tokens hold no instruction, or no answer of a task; sentences are asked
            for and the teacher's labels come without evidence; unknown sections.
    """
    held_out = reports.filter(pl.col("split") != "train")["text_group"].unique().to_list()
    leaked = reports.filter((pl.col("split") == "train") & pl.col("text_group").is_in(held_out))
    kept = reports.join(leaked.select("report_id"), on="report_id", how="anti")
    renderer = Renderer(prompts, tokenizer, label_set)
    frames, aside, metrics = [], [], {}
    for task, how in p.tasks.items():
        graded = taught[task].labels.filter(pl.col("probability").is_not_null() & (pl.col("status") != statuses.UNCERTAIN))
        if graded.height and not p.soft_labels:
            console.print(f"{task}: {graded.height} probabilities of the teacher are not used; merge.soft_labels: true uses them")
        made = _Task(p, task, how, renderer, tokenizer).examples(kept, taught[task])
        assert made.examples.filter("asked")["report_id"].n_unique() == kept.height
        frames.append(made.examples)
        aside.append(made.quarantine)
        metrics[task] = made.metrics | {"dropped_text_held_out": leaked.height}
    numbered = pl.concat(aside).with_columns(n=pl.int_range(pl.len()).over("report_id"), answer=pl.lit(None, pl.String))
    return Merged(pl.concat(frames), numbered.select(Quarantine.column_names()), metrics)


class _Task:
    """Makes one task's examples."""

    def __init__(self, p: MergeParams, task: str, how: ChoiceParams | OpenParams, renderer: Renderer, tokenizer: Any) -> None:
        self.p, self.task, self.how = p, task, how
        self.renderer, self.tokenizer = renderer, tokenizer
        self.weights = Weights(p.uncertain, p.soft_labels)
        self.by_mention = how.units == "sentences" or how.answers == "tags"
        self.shortened = self.unplaced = self.cut_away = self.of_unknown_place = 0
        self.too_long: list[str] = []  # ids of reports and sentences, one a part

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
                in_part = self._said_in(told, part) if told and part.taught else None
                words = quote(report["text"], part)
                row = self._row(report["report_id"], n, part, words, report, in_part)
                rows.append(row | {"split": report["split"], "key": key, "asked": part.asked})
                if report["split"] == "train" and in_part and self._is_blanked(f"{key}:{n}"):
                    rows += [again | {"key": key} for again in self._blanked_row(row, words, in_part)]
        written = teaching.said_of_written(taught.written) if self.how.written else {}
        about = dict(taught.written.select("sentence_id", "about").iter_rows()) if written else {}
        for sentence, (text, told) in sorted(written.items()):
            part = Part(0, len(text), asked=False, taught=True)
            row = self._row(sentence, 0, part, text, {}, told)
            if row["completion"] is not None:
                rows.append(row | {"split": "train", "key": sentence, "asked": False, "about": about[sentence]})
        self._refuse_no_answer(rows)
        return self._select(pl.DataFrame(rows, schema=self._schema(), orient="row"))

    def _is_blanked(self, key: str) -> bool:
        return self.by_mention and fraction_of(f"{self.p.seed}:blank:{key}") <= getattr(self.how, "blanked", 0.0)

    def _said_in(self, said: Said, part: Part) -> Said | None:
        """What the teacher says of a part; None where it cannot be told apart from the rest of the report."""
        if self.by_mention and said.labels and not said.is_placed:
            return None
        within = teaching.within(said, part)
        return within if self.by_mention else Said(said.labels, within.mentions)

    def _answer(self, said: Said, text: str) -> Answer:
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
        self, report_id: str, n: int, part: Part, words: str, sections: dict[str, str | None], said: Said | None
    ) -> dict[str, Any]:
        form = self.how.answers
        whole = self.how.units == "reports" and part.asked and form not in PLAIN
        text = (sections["text"] or "") if whole else words
        places = (text, sections["findings"], sections["impression"]) if whole else (text, None, None)
        answer = self._answer(said, text) if said else None
        fitted = self._fit(answer, *places)
        if fitted is None:
            self.too_long.append(report_id)
            answer, fitted = None, self._fit(None, *places)
        assert fitted is not None  # of an instruction alone
        self.shortened += fitted.is_cut
        if said and answer and fitted.is_cut:
            answer = self._without_what_was_cut(said, text, answer, fitted)
        return {
            "report_id": report_id,
            "part": n,
            "prompt": fitted.prompt,
            "completion": answer.completion if answer else None,
            "targets": answer.targets if answer else None,
            "spans": answer.spans if answer else None,
            "holds": sorted(answer.holds) if answer else [],
            "about": None,
        }

    def _fit(self, answer: Answer | None, text: str, findings: str | None, impression: str | None) -> Fitted | None:
        form = self.how.answers
        completion = answer.completion if answer else slot_lines(self.renderer.labels) if form == "slots" else None
        if completion is not None and form in NOTHING:  # which may be left of it where words are cut, and be longer
            completion = max(completion, NOTHING[form], key=lambda c: len(encode(self.tokenizer, "", c, form).input_ids))
        return fit(self.renderer, self.tokenizer, form, completion, self.p.max_tokens, text, findings, impression)

    def _without_what_was_cut(self, said: Said, text: str, answer: Answer, fitted: Fitted) -> Answer:
        """The answer to a shortened text: what is stated in words that it lost is not trained on."""
        gone, unknown = teaching.cut_away(said, text, fitted.kept)
        self.cut_away += len(gone)
        self.of_unknown_place += len(unknown)
        left = self._answer(teaching.without(said, gone), text)
        targets, spans, end = answer.targets, answer.spans, len(fitted.prompt)
        if targets is not None:
            targets = [None if label.name in gone else t for label, t in zip(self.renderer.labels, targets, strict=True)]
        if spans is not None:
            spans = [s if s["end"] <= end else s | {"end": end, "worth": None} for s in spans if s["start"] < end]
        return left._replace(targets=targets, spans=spans)

    def _blanked_row(self, row: dict[str, Any], words: str, said: Said) -> list[dict[str, Any]]:
        """The same part with words of its mentions blanked; none where too little is left of it, or if it had to be shortened."""
        hidden = blanked(words, said, self.p.blank, words)
        answer = self._answer(said, words)
        fitted = self._fit(answer, hidden, None, None) if hidden and row["completion"] is not None else None
        if fitted is None or fitted.is_cut:
            return []
        return [row | {"part": BLANKED + row["part"], "prompt": fitted.prompt, "split": "train", "asked": False}]

    def _refuse_no_answer(self, rows: list[dict[str, Any]]) -> None:
        """Tells of the answers that were too long for max_tokens; refuses settings that leave none."""
        if not self.too_long:
            return
        key = f"merge.max_tokens: {self.p.max_tokens} tokens"
        if all(row["completion"] is None for row in rows):
            raise InputError(f"{key} do not hold one answer of {self.task} ({self.how.answers}); raise it")
        shown = ", ".join(dict.fromkeys(self.too_long[:SHOWN])) + (", ..." if len(self.too_long) > SHOWN else "")
        console.print(f"{self.task}: {len(self.too_long)} answers are not trained on, {key} do not hold them: {shown}")

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
        reason = f"{self.task}: the answer is too long for merge.max_tokens"
        aside = pl.DataFrame({"report_id": self.too_long}, schema={"report_id": pl.String}).with_columns(reason=pl.lit(reason))
        return Merged(frame.select(Examples.column_names()), aside, metrics)

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
            "targets_cut_away": self.cut_away,  # labels or phrases whose words a shortened text lost: not trained on
            "targets_of_unknown_place": self.of_unknown_place,  # of shortened texts, trained on: they may have lost their words
            "answer_too_long": len(self.too_long),
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
