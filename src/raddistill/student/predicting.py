"""One arm answers a stated sample of a split: raw text and logits, no threshold.

Arms differ in what answers: `student` (base and adapter), `base` (untouched), `linear` (TF-IDF and logistic regression on
the same labels). An untouched base has no layer to read `head` and `tags` from: it is asked in words (`list` and `lines`).
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import dataframely as dy
import polars as pl
from pydantic import Field
from rich.progress import track

from raddistill import answer_format
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import RuntimeParams, Section
from raddistill.student import allocation, linear, models
from raddistill.student.forward import hidden_states, score_logits, slot_logits
from raddistill.student.generation import greedy
from raddistill.student.linear import ANSWERS, LOGITS
from raddistill.student.prompts import Encoded, Renderer, answer_ids, encode
from raddistill.student.tagging import Codes, phrases_of
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tables.predictions import Predictions, Probabilities
from raddistill.tasks.names import FORMS, IN_WORDS, PLAIN, TASKS


class PredictParams(Section):
    """Who answers how many reports of which split."""

    model: Literal["student", "base", "linear"]
    split: Literal["train", "validation", "test"]
    multiple_choice_reports: int = Field(ge=-1)  # -1: all
    open_ended_reports: int = Field(ge=-1)
    max_new_tokens: int = Field(ge=1)

    def reports(self, task: str) -> int:
        """How many reports are asked for a task; -1: all."""
        number: int = getattr(self, f"{task}_reports")
        return number


class Predicted(NamedTuple):
    """What one arm answered."""

    predictions: dy.DataFrame[Predictions]
    probabilities: dy.DataFrame[Probabilities]


def predict(
    arm: str,
    p: PredictParams,
    examples: dy.DataFrame[Examples],
    label_set: list[Label],
    weights: Path,
    prompts: Path,
    runtime: RuntimeParams,
) -> Predicted:
    """Returns the answers of `arm` to the first reports of its split, in the order of their hash, for all tasks.

    Raises:
        InputError: the split holds no report; model files are missing or changed.
    """
    asked = _asked(arm, p, examples)
    trained = examples.filter(pl.col("selected") & (pl.col("split") == "train"))
    if asked.is_empty():  # no model is loaded for an arm that is asked nothing
        answered, logits = pl.DataFrame(schema=ANSWERS), pl.DataFrame(schema=LOGITS)
    elif p.model == "linear":
        answered, logits = linear.predict(trained, asked, label_set)
    else:
        if p.model == "student":
            _refuse_untrained(arm, asked, trained)
        answerer = Answerer.load(p.model, weights, runtime)
        if p.model == "base":
            asked = in_words(asked, Renderer(prompts, answerer.tokenizer, label_set))
        codes = Codes(trained.filter(pl.col("answers") == "tags")["completion"])
        answered, logits = answerer.answer(asked, label_set, p.max_new_tokens, codes)
    reports = asked.select("report_id", "task", arm=pl.lit(arm)).unique(maintain_order=True)
    predictions = reports.join(answered, on=["report_id", "task"], how="left", validate="1:1")
    assert predictions.height == reports.height
    return Predicted(
        tables.check(Predictions, predictions, f"predictions of {arm}"),
        tables.check(Probabilities, logits.with_columns(arm=pl.lit(arm)), f"logits of {arm}"),
    )


def _asked(arm: str, p: PredictParams, examples: pl.DataFrame) -> pl.DataFrame:
    """The parts of the first reports of the split, as many for each task as the params say."""
    of_split = examples.filter((pl.col("split") == p.split) & pl.col("asked"))
    if of_split.is_empty():
        raise InputError(f"predict.{arm}: the split '{p.split}' holds no report")
    limits = {task: of_split.height if p.reports(task) == -1 else p.reports(task) for task in TASKS}
    first = (
        of_split.filter((pl.col("task") == task) & (pl.col("order").rank("dense") <= limit)) for task, limit in limits.items()
    )
    return pl.concat(first).sort("task", "order", "report_id", "part")


def _refuse_untrained(arm: str, asked: pl.DataFrame, trained: pl.DataFrame) -> None:
    """An adapter that was not trained on a task has no outputs for its plain form."""
    untrained = asked.filter(pl.col("answers").is_in(PLAIN)).join(trained, on="task", how="anti")["task"].unique().sort()
    if len(untrained):
        raise InputError(
            f"predict.{arm}: the student was not trained on {untrained[0]}; raise merge.{untrained[0]}.examples, or set"
            f" predict.{arm}.{untrained[0]}_reports to 0"
        )


def in_words(asked: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    """Rows of `Examples` to be answered in words: the parts of a report that were to be read by `score` as one prompt."""
    plain = asked.filter(pl.col("answers").is_in(PLAIN))
    form = pl.col("answers").first().cast(pl.String).replace_strict(IN_WORDS)
    whole = plain.group_by("report_id", "task", maintain_order=True).agg(
        pl.col("prompt").str.join("\n"), form, part=pl.lit(0, pl.Int64)
    )
    prompts = [renderer.prompt(form, text) for text, form in whole.select("prompt", "answers").iter_rows()]
    columns = ("report_id", "task", "part", "answers", "prompt")
    others = asked.filter(~pl.col("answers").is_in(PLAIN)).with_columns(pl.col("answers").cast(pl.String)).select(columns)
    return pl.concat([others, whole.with_columns(prompt=pl.Series(prompts, dtype=pl.String)).select(columns)])


class Answerer:
    """A causal language model with its tokenizer, ready to answer examples."""

    def __init__(self, model: Any, tokenizer: Any, runtime: RuntimeParams) -> None:
        self._model = model.eval()
        self._causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.tokenizer = tokenizer
        self._runtime = runtime
        generation = getattr(self._causal, "generation_config", None)  # an encoder has none: it writes nothing
        stated = generation.eos_token_id if generation else None  # Llama 3.1 has three, the base may use any of them
        self._ends = {tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])}

    @classmethod
    def load(cls, model: str, weights: Path, runtime: RuntimeParams) -> "Answerer":
        """The student from its adapter folder, or the base from models/base.json, unquantised as its makers ship it."""
        allocation.use_threads(runtime.threads)
        models.quiet_libraries()
        if model == "student":
            return cls(models.load_student(weights), models.load_tokenizer(weights / "base.json"), runtime)
        return cls(models.load_base(weights, "none"), models.load_tokenizer(weights), runtime)

    def answer(
        self, asked: pl.DataFrame, label_set: list[Label], max_new_tokens: int, codes: Codes
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(report_id, task, answer) and (report_id, task, part, label, answer, logit) for rows of the examples table."""
        rows = {form: asked.filter(pl.col("answers") == form) for form in FORMS}
        written = pl.concat(rows[form] for form in FORMS if form not in ("slots", *PLAIN))
        texts = [self.write(written, max_new_tokens), self.point(rows["tags"], codes)]
        logits = [self.read_slots(rows["slots"], label_set), self.read_head(rows["head"], label_set)]
        return linear.one_answer(pl.concat(texts)), pl.concat(logits)

    def read_slots(self, asked: pl.DataFrame, label_set: list[Label]) -> pl.DataFrame:
        """Logits of yes and no at every label's slot: one forward a batch, nothing generated."""
        yes_no = answer_ids(self.tokenizer) if asked.height else (0, 0)

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> Any:
            return slot_logits(hidden, shared, examples, self._causal.lm_head, yes_no).tolist()

        pairs = self._forward(asked, answer_format.render_slots(label_set), "slots", read)
        return linear.tabulate(asked, pairs, label_set)

    def read_head(self, asked: pl.DataFrame, label_set: list[Label]) -> pl.DataFrame:
        """The label outputs of `score` at the end of every part, as the logit of yes; that of no is 0."""

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> Any:
            return score_logits(hidden, shared, examples, self._causal.score)[:, :-1].tolist()

        odds = self._forward(asked, None, "head", read)
        return linear.tabulate(asked, [[(yes, 0.0) for yes in of_part] for of_part in odds], label_set)

    def point(self, asked: pl.DataFrame, codes: Codes) -> pl.DataFrame:
        """The phrases that the tags point at in every part, a line each with its code, if they are like a known one."""

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> list[Any]:
            tags = score_logits(hidden, shared, examples, self._causal.score)[:, -1].sigmoid().tolist()
            ends = list(itertools.accumulate(len(e.slots) for e in examples))
            return [(e.places, tags[end - len(e.slots) : end]) for e, end in zip(examples, ends, strict=True)]

        lines = []
        for text, (places, tags) in zip(asked["prompt"], self._forward(asked, None, "tags", read), strict=True):
            coded = {phrase: codes.of(phrase) for phrase in phrases_of(text, places, tags)}
            lines.append(answer_format.render_lines((phrase, code) for phrase, code in coded.items() if code is not None))
        return _answered(asked, lines)

    def write(self, asked: pl.DataFrame, max_new_tokens: int) -> pl.DataFrame:
        """Greedy answers, batched by length, special tokens left out."""
        encoded = [encode(self.tokenizer, prompt, None, "lines") for prompt in asked["prompt"]]
        texts = [""] * asked.height
        with self._inference():
            for batch in self._batches(encoded, f"{_task_of(asked)}, answers up to {max_new_tokens} tokens"):
                made = greedy(self._causal, [encoded[i] for i in batch], max_new_tokens, self._ends)
                for i, text in zip(batch, self.tokenizer.batch_decode(made, skip_special_tokens=True), strict=True):
                    texts[i] = text
        return _answered(asked, texts)

    def _forward(
        self, asked: pl.DataFrame, completion: str | None, form: str, read: Callable[[Any, int, list[Encoded]], Any]
    ) -> list[Any]:
        """What `read` takes from the hidden states of each row's prompt. Reports repeat their sentences: each text goes once."""
        texts = asked["prompt"].unique(maintain_order=True).to_list()
        encoded = [encode(self.tokenizer, text, completion, form) for text in texts]
        found: dict[str, Any] = {}
        with self._inference():
            for batch in self._batches(encoded, _task_of(asked)):
                examples = [encoded[i] for i in batch]
                hidden, shared = hidden_states(self._causal.base_model, examples)
                found |= zip((texts[i] for i in batch), read(hidden, shared, examples), strict=True)
        return [found[text] for text in asked["prompt"]]

    def _batches(self, encoded: list[Encoded], what: str) -> Iterator[list[int]]:
        """Row numbers by length, as many a batch as `runtime.predict_tokens` holds; a progress bar over them."""
        batches: list[list[int]] = []
        for i in sorted(range(len(encoded)), key=lambda i: len(encoded[i].input_ids)):
            size = len(encoded[i].input_ids)
            if batches and size * (len(batches[-1]) + 1) <= self._runtime.predict_tokens:
                batches[-1].append(i)
            else:
                batches.append([i])
        return iter(track(batches, description=f"predict {what}", disable=not (batches and self._runtime.progress)))

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        """No gradients, and bf16 where the machine computes in it."""
        import torch

        is_bf16 = models.compute_dtype() == torch.bfloat16
        with torch.inference_mode(), torch.autocast(self._causal.device.type, torch.bfloat16, enabled=is_bf16):
            yield


def _answered(asked: pl.DataFrame, texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"report_id": asked["report_id"], "task": asked["task"], "answer": texts}, schema=ANSWERS)


def _task_of(asked: pl.DataFrame) -> str:
    return str(asked["task"][0]) if asked.height else ""
