"""Lets one arm answer a sample of a split: raw text and logits, no thresholds.

The models of arms are `student` (base and adapter), `base` (untouched), and `linear` (TF-IDF and logistic regression on the same
labels). An untouched base has no layer `score`, so in place of `head` and `tags` it is asked in words (`list` and `lines`).
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import dataframely as dy
import polars as pl
from pydantic import Field
from rich.progress import track

from raddistill import answer_format
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import RuntimeParams, Section
from raddistill.student import cpu_setup, linear, models
from raddistill.student.forward import greedy, hidden_states, score_logits, slot_logits
from raddistill.student.linear import ANSWERS, LOGITS
from raddistill.student.prompts import Encoded, Renderer, answer_ids, encode
from raddistill.student.tagging import Codes, phrases_of
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tables.predictions import ArmTables, Predictions, Probabilities
from raddistill.tasks.names import FORMS, IN_WORDS, PLAIN, TASKS


class PredictParams(Section):
    """The model of an arm, and the reports that it is asked about."""

    model: Literal["student", "base", "linear"]
    split: Literal["train", "validation", "test"]
    multiple_choice_reports: int = Field(ge=-1)  # -1: all
    open_ended_reports: int = Field(ge=-1)
    max_new_tokens: int = Field(ge=1)

    def reports(self, task: str) -> int:
        """Returns the number of reports to ask about for a task; -1: all."""
        number: int = getattr(self, f"{task}_reports")
        return number


def predict(
    arm: str,
    p: PredictParams,
    examples: dy.DataFrame[Examples],
    label_set: list[Label],
    weights: Path,
    prompts: Path,
    runtime: RuntimeParams,
) -> ArmTables:
    """Returns the answers of `arm` about the first reports of its split, by column `order`, for all tasks.

    Raises:
        InputError: the split holds no report; model files are missing or changed; the student was not trained on a task.
    """
    asked = _asked(arm, p, examples)
    trained = examples.filter(pl.col("selected") & (pl.col("split") == "train"))
    if asked.is_empty():  # do not load a model for nothing
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
    return ArmTables(
        tables.check(Predictions, predictions, f"predictions of {arm}"),
        tables.check(Probabilities, logits.with_columns(arm=pl.lit(arm)), f"logits of {arm}"),
    )


def _asked(arm: str, p: PredictParams, examples: pl.DataFrame) -> pl.DataFrame:
    """The parts of the first reports of the split, with the number of reports per task in the params."""
    of_split = examples.filter((pl.col("split") == p.split) & pl.col("asked"))
    if of_split.is_empty():
        raise InputError(f"predict.{arm}: the split '{p.split}' holds no report")
    limits = {task: of_split.height if p.reports(task) == -1 else p.reports(task) for task in TASKS}
    first = (
        of_split.filter((pl.col("task") == task) & (pl.col("order").rank("dense") <= limit)) for task, limit in limits.items()
    )
    return pl.concat(first).sort("task", "order", "report_id", "part")


def _refuse_untrained(arm: str, asked: pl.DataFrame, trained: pl.DataFrame) -> None:
    """Raises if the student is asked about a task that it was not trained on: its adapter has no outputs for the answers."""
    untrained = asked.filter(pl.col("answers").is_in(PLAIN)).join(trained, on="task", how="anti")["task"].unique().sort()
    if len(untrained):
        raise InputError(
            f"predict.{arm}: the student was not trained on {untrained[0]}; raise merge.{untrained[0]}.examples, or set"
            f" predict.{arm}.{untrained[0]}_reports to 0"
        )


def in_words(asked: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    """Joins the parts of a report into one text prompt, for models without the layer `score`."""
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
    """A model with its tokenizer, ready to answer examples."""

    def __init__(self, model: Any, tokenizer: Any, runtime: RuntimeParams) -> None:
        model.eval()
        self._causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.tokenizer = tokenizer
        self._runtime = runtime
        generation = getattr(self._causal, "generation_config", None)  # an encoder has none
        stated = generation.eos_token_id if generation else None  # Llama 3.1 has three, any of which ends an answer
        self._ends = {tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])}

    @classmethod
    def load(cls, model: str, weights: Path, runtime: RuntimeParams) -> "Answerer":
        """Loads the student from its adapter folder, or the unquantised base from models/base.json."""
        cpu_setup.use_threads(runtime.threads)
        models.quiet_libraries()
        if model == "student":
            return cls(models.load_student(weights), models.load_tokenizer(weights / "base.json"), runtime)
        return cls(models.load_base(weights, "none"), models.load_tokenizer(weights), runtime)

    def answer(
        self, asked: pl.DataFrame, label_set: list[Label], max_new_tokens: int, codes: Codes
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Returns tables with the columns of ANSWERS and of LOGITS for rows of `Examples`."""
        rows = {form: asked.filter(pl.col("answers") == form) for form in FORMS}
        written = pl.concat(rows[form] for form in FORMS if form not in ("slots", *PLAIN))
        texts = [self.write(written, max_new_tokens), self.tag_phrases(rows["tags"], codes)]
        logits = [self.read_slots(rows["slots"], label_set), self.read_head(rows["head"], label_set)]
        return linear.one_answer(pl.concat(texts)), pl.concat(logits)

    def read_slots(self, asked: pl.DataFrame, label_set: list[Label]) -> pl.DataFrame:
        """Returns the logits of yes and no at every label's name, from one forward pass per batch."""
        yes_no = answer_ids(self.tokenizer) if asked.height else (0, 0)

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> Any:
            return slot_logits(hidden, shared, examples, self._causal.lm_head, yes_no).tolist()

        pairs = self._forward(asked, answer_format.render_slots(label_set), "slots", read)
        return linear.tabulate(asked, pairs, label_set)

    def read_head(self, asked: pl.DataFrame, label_set: list[Label]) -> pl.DataFrame:
        """Returns the outputs of `score` at the end of every part as logits of yes; the logit of no is 0."""

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> Any:
            return score_logits(hidden, shared, examples, self._causal.score)[:, :-1].tolist()

        odds = self._forward(asked, None, "head", read)
        return linear.tabulate(asked, [[(yes, 0.0) for yes in of_part] for of_part in odds], label_set)

    def tag_phrases(self, asked: pl.DataFrame, codes: Codes) -> pl.DataFrame:
        """Returns the tagged phrases of every part, as lines `phrase | code`. Phrases unlike any known one are left out."""

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> list[Any]:
            tags = score_logits(hidden, shared, examples, self._causal.score)[:, -1].sigmoid().tolist()
            ends = list(itertools.accumulate(len(e.read_at) for e in examples))
            return [(e.offsets, tags[end - len(e.read_at) : end]) for e, end in zip(examples, ends, strict=True)]

        lines = []
        for text, (offsets, tags) in zip(asked["prompt"], self._forward(asked, None, "tags", read), strict=True):
            coded = {phrase: codes.lookup(phrase) for phrase in phrases_of(text, offsets, tags)}
            lines.append(answer_format.render_lines((phrase, code) for phrase, code in coded.items() if code is not None))
        return _answered(asked, lines)

    def write(self, asked: pl.DataFrame, max_new_tokens: int) -> pl.DataFrame:
        """Returns greedy answers, without special tokens."""
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
        """Applies `read` to the hidden states of each prompt. Reports repeat sentences, so each text is computed once."""
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
        """Yields batches of row numbers, sorted by length, of at most `runtime.predict_tokens` tokens; shows progress."""
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
        """Turns gradients off, and uses bf16 if the machine computes in it."""
        import torch

        is_bf16 = models.compute_dtype() == torch.bfloat16
        with torch.inference_mode(), torch.autocast(self._causal.device.type, torch.bfloat16, enabled=is_bf16):
            yield


def _answered(asked: pl.DataFrame, texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"report_id": asked["report_id"], "task": asked["task"], "answer": texts}, schema=ANSWERS)


def _task_of(asked: pl.DataFrame) -> str:
    return str(asked["task"][0]) if asked.height else ""
