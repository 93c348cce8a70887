"""Makes examples and selects those to train on: the prompt of a text, and the answer from the teacher's annotation of it.

Long texts lose words at the end, findings first. Answers are never cut. Rare labels are selected first, each text once; a larger
sample contains the smaller. Computes only.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from raddistill import answer_format
from raddistill.errors import InputError
from raddistill.passages import WHOLE, Passage, find_passages
from raddistill.student import parts
from raddistill.student.prompts import Renderer, encode, is_encoder
from raddistill.tasks.names import PLAIN
from raddistill.tasks.task import Annotation, ExampleAnswer, TargetRule, Task

BLANKED = 100_000  # added to the part number of a blanked copy; more than any report has sentences
_WORD = re.compile(r"\S+")


class Fitted(NamedTuple):
    """A prompt, and the slices (start, end) of the text that it holds."""

    prompt: str
    kept: list[tuple[int, int]]
    is_cut: bool


class Fitter:
    """Renders texts into prompts of one answer form, which have at most `max_tokens` tokens with their answer."""

    def __init__(self, renderer: Renderer, tokenizer: Any, form: str, max_tokens: int) -> None:
        self._renderer, self._tokenizer, self._form, self._max_tokens = renderer, tokenizer, form, max_tokens

    def fit(self, report: Mapping[str, str | None], completion: str | None) -> Fitted | None:
        """Returns the prompt of report["text"], shortened if need be.

        Words are dropped from the end of the findings, then of the impression, which sums the report up. Text without an
        instruction (head, tags) is cut at its end. None: instruction and answer alone are too long.

        Raises:
            InputError: the instruction alone is too long.
        """
        text = report["text"] or ""
        if self._form in PLAIN:
            kept = self._first_tokens(text)
            return Fitted(kept, [(0, len(kept))], len(kept) < len(text))
        whole = self._renderer.prompt(self._form, text)
        if self._is_short(whole, completion):
            return Fitted(whole, [(0, len(text))], False)
        if not self._is_short(self._renderer.prompt(self._form, ""), completion):
            # with slots every report has the same answer, so none would fit
            if self._form == "slots" or not self._is_short(self._renderer.prompt(self._form, ""), None):
                tokens = f"merge.max_tokens: {self._max_tokens} tokens"
                raise InputError(f"{tokens} do not hold the instruction of {self._form}; raise it")
            return None
        sections = _sections(report)
        low, high = 0, sum(len(section.ends) for section in sections)
        while high - low > 1:  # the largest number of words that fits, by bisection
            middle = (low + high) // 2
            fits = self._is_short(self._shortened(text, sections, middle).prompt, completion)
            low, high = (middle, high) if fits else (low, middle)
        return self._shortened(text, sections, low)

    def _is_short(self, prompt: str, completion: str | None) -> bool:
        return len(encode(self._tokenizer, prompt, completion, self._form).input_ids) <= self._max_tokens

    def _shortened(self, text: str, sections: list["_Section"], words: int) -> Fitted:
        kept = _first_words(sections, words)
        return Fitted(self._renderer.prompt(self._form, "\n".join(text[start:end] for start, end in kept)), kept, True)

    def _first_tokens(self, text: str) -> str:
        """The longest prefix of whole tokens that fits. As a prefix it keeps all offsets valid."""
        over = len(encode(self._tokenizer, text, None, self._form).input_ids) - self._max_tokens
        if over <= 0:
            return text
        offsets = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        is_repeated = self._form == "tags" and not is_encoder(self._tokenizer)  # each dropped token saves two
        dropped = -(-over // 2) if is_repeated else over
        return text[: offsets[len(offsets) - dropped - 1][1]]


class _Section(NamedTuple):
    """The offset of a section, header included, and the end offset of each of its words."""

    start: int
    ends: list[int]


def _sections(report: Mapping[str, str | None]) -> list[_Section]:
    """The sections of a report, the most important first."""
    text = report["text"] or ""
    passages, reason = find_passages(report, ["findings", "impression"], first_only=False)
    if reason:
        passages = [Passage(text, WHOLE, 0, len(text))]
    found, before = [], 0
    for passage in passages:
        header = text[before : passage.start]
        start = before + len(header) - len(header.lstrip())
        found.append(_Section(start, [word.end() for word in _WORD.finditer(text, passage.start, passage.end)]))
        before = passage.end
    return found[::-1]  # impression before findings


def _first_words(sections: list[_Section], words: int) -> list[tuple[int, int]]:
    """The slices of the text with its `words` most important words, in the order of the text."""
    kept = []
    for section in sections:
        ends = section.ends[:words]
        words -= len(ends)
        if ends:
            kept.append((section.start, ends[-1]))
    return sorted(kept)


def only(text: str) -> dict[str, str | None]:
    """Returns a report that consists of this text, without sections."""
    return {"text": text, "findings": None, "impression": None}


class ExampleMaker:
    """Makes the examples of one task in one answer form, and counts what was cut."""

    def __init__(self, task: Task, form: str, renderer: Renderer, tokenizer: Any, rule: TargetRule, max_tokens: int) -> None:
        self.task, self.form, self.labels, self.rule = task, form, renderer.labels, rule
        self._tokenizer = tokenizer
        self._fitter = Fitter(renderer, tokenizer, form, max_tokens)
        self.shortened = self.cut_away = self.of_unknown_place = 0
        self.too_long: list[str] = []  # ids of reports and sentences, one entry per part

    def example(self, report_id: str, report: Mapping[str, str | None], annotation: Annotation | None) -> dict[str, Any]:
        """Returns the columns prompt, completion, targets and spans of `Examples`, and `stated` as in `ExampleAnswer`.

        The answer is null if the teacher states nothing about the text, or if it is too long.
        """
        text = report["text"] or ""
        answer = self._answer(annotation, text) if annotation else None
        fitted = self._fit(report, answer)
        if fitted is None:
            self.too_long.append(report_id)
            answer, fitted = None, self._fit(report, None)
        assert fitted is not None  # without an answer the prompt always fits
        self.shortened += fitted.is_cut
        if annotation and answer and fitted.is_cut:
            answer = self._without_what_was_cut(annotation, text, answer, fitted)
        learned = answer._asdict() if answer else dict.fromkeys(ExampleAnswer._fields)
        return learned | {"prompt": fitted.prompt, "stated": sorted(answer.stated) if answer else []}

    def blanked_copy(self, row: dict[str, Any], text: str, annotation: Annotation, blank: str) -> list[dict[str, Any]]:
        """Returns the row with words of its mentions blanked; no row if too few words are left, or if the text is too long."""
        hidden = parts.blanked(text, annotation, blank, text)
        fitted = self._fit(only(hidden), self._answer(annotation, text)) if hidden and row["completion"] is not None else None
        if fitted is None or fitted.is_cut:
            return []
        return [row | {"part": BLANKED + row["part"], "prompt": fitted.prompt, "asked": False}]

    def _answer(self, annotation: Annotation, text: str) -> ExampleAnswer:
        return self.task.answer(self.form, annotation, text, self.labels, self.rule)

    def _fit(self, report: Mapping[str, str | None], answer: ExampleAnswer | None) -> Fitted | None:
        completion = answer.completion if answer else None
        if completion is None and self.form == "slots":  # its completion is the same for every report
            completion = answer_format.render_slots(self.labels)
        if completion is not None and self.form in self.task.nothing:
            # if words are cut, the answer may become "nothing", which may be the longer one
            both = (completion, self.task.nothing[self.form])
            completion = max(both, key=lambda c: len(encode(self._tokenizer, "", c, self.form).input_ids))
        return self._fitter.fit(report, completion)

    def _without_what_was_cut(self, annotation: Annotation, text: str, answer: ExampleAnswer, fitted: Fitted) -> ExampleAnswer:
        """The answer to a shortened text. Labels whose words were cut are not trained on."""
        lost, unknown = parts.lost_labels(annotation, text, fitted.kept)
        self.cut_away += len(lost)
        self.of_unknown_place += len(unknown)
        left = self._answer(annotation.without(lost), text)
        targets, spans, end = answer.targets, answer.spans, len(fitted.prompt)  # with spans the prompt is the text
        if targets is not None:
            targets = [None if label.name in lost else t for label, t in zip(self.labels, targets, strict=True)]
        if spans is not None:
            spans = [_clip_span(span, end) for span in spans if span["start"] < end]
        return left._replace(targets=targets, spans=spans)


def _clip_span(span: dict[str, Any], end: int) -> dict[str, Any]:
    """A span that goes beyond `end` is clipped there and not trained on."""
    return span if span["end"] <= end else span | {"end": end, "worth": None}


def select(rows: pl.DataFrame, examples: int, written: int, validation_examples: int) -> pl.DataFrame:
    """Marks the rows that are trained on: keeps all rows, and adds `order`, `selected`, `known`, `first` and `turn`.

    `order`: rank of the report in its split; `selected`: used for training or early stopping; `known`: part of a report with an
    answer; `first`: known, and the first row of its split with this text.

    Args:
        rows: of one task, with columns of `Examples`, and `key` (hash that decides the order), `stated` (labels or codes that the
            answer states) and `about` (label that a written sentence is about; null for parts of reports).
        examples, written: as in `TaskParams`; `examples` limits rows (sentences or reports, by `units`), -1: all.
        validation_examples: as in `MergeParams`.
    """
    known = pl.col("completion").is_not_null() & pl.col("about").is_null()
    first = pl.struct("prompt", "split").is_first_distinct().over(known)
    train = pl.col("split") == "train"
    counts = frequencies(rows.filter(known & first & train)["stated"])
    turns = [turn(f"{key}:{part}", stated, counts) for key, part, stated in rows.select("key", "part", "stated").iter_rows()]
    rows = rows.with_columns(
        turn=pl.Series(turns, dtype=pl.Float64),
        known=known,
        first=first & known,
        order=(pl.col("key").rank("dense").over("split") - 1).cast(pl.Int64),
    )
    # training takes rows by turn, early stopping by order of the reports; written sentences are limited per label
    place_in_training = pl.col("turn").rank("ordinal").over("split", "first")
    place_in_validation = pl.struct("order", "part").rank("ordinal").over("split", "first")
    place_of_written = pl.col("key").rank("ordinal").over("about")
    in_training = train & (place_in_training <= (rows.height if examples == -1 else examples))
    in_validation = (pl.col("split") == "validation") & (place_in_validation <= validation_examples) & (examples != 0)
    of_report = pl.col("first") & (in_training | in_validation)
    of_teacher = pl.col("about").is_not_null() & (place_of_written <= (written if examples else 0))
    return rows.with_columns(selected=of_report | of_teacher)


def turn(key: str, stated: Iterable[str], counts: dict[str, int]) -> float:
    """Returns when an example is drawn; lower is earlier. Weighted sampling without replacement by the rarest label it states.

    Exponential with rate 1 / frequency (Efraimidis and Spirakis 2006): an example with a label that occurs 20 times is drawn
    before one with a label that occurs 1,000 times in 50 of 51 cases.
    """
    rarest = min((counts.get(label, 1) for label in stated), default=counts.get("", 1))
    return -math.log(fraction_of(key)) * rarest


def fraction_of(key: str) -> float:
    """Returns a uniform number in (0, 1] by hash."""
    return (int(hashlib.sha256(key.encode()).hexdigest()[:13], 16) + 1) / 2**52


def frequencies(stated: Iterable[Iterable[str]]) -> dict[str, int]:
    """Returns the number of examples that state each label or code; '' counts those that state none."""
    return Counter(label for labels in stated for label in list(labels) or [""])
