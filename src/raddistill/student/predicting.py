"""One arm answers a stated sample of a split: raw text and logits, no threshold.

Arms differ in what answers: `student` (base and adapter), `base` (untouched), `linear` (TF-IDF and logistic regression on
the same labels). An untouched base has no layer to read `head` and `tags` from: it is asked in words (`list` and `lines`).
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field
from rich.progress import track

from raddistill import answers
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import RuntimeParams, Section
from raddistill.student import allocation, linear, models
from raddistill.student.forward import hidden_states, score_logits, slot_logits
from raddistill.student.generation import greedy
from raddistill.student.linear import ANSWERS, LOGITS
from raddistill.student.prompts import PLAIN, Encoded, Renderer, answer_ids, encode, slot_lines
from raddistill.student.tagging import Codes, phrases_of


class PredictParams(Section):
    """Who answers how many reports of which split."""

    model: Literal["student", "base", "linear"]
    split: Literal["train", "validation", "test"]
    multiple_choice_reports: int = Field(ge=-1)  # -1: all
    open_ended_reports: int = Field(ge=-1)
    max_new_tokens: int = Field(ge=1)


@dataclass(frozen=True)
class Predicted:
    predictions: pl.DataFrame  # report_id, task, arm, answer (null where read by logits)
    probabilities: pl.DataFrame  # report_id, task, arm, part, label, answer, logit


def predict(
    arm: str,
    p: PredictParams,
    examples: pl.DataFrame,
    label_set: list[Label],
    weights: Path,
    prompts: Path,
    runtime: RuntimeParams,
) -> Predicted:
    """Answers of `arm` to the first reports by hash of its split, for both tasks.

    Raises:
        InputError: the split holds no report; model files are missing or changed.
    """
    wanted = {"multiple_choice": p.multiple_choice_reports, "open_ended": p.open_ended_reports}
    of_split = examples.filter((pl.col("split") == p.split) & pl.col("asked"))
    if of_split.is_empty():
        raise InputError(f"predict.{arm}: the split '{p.split}' holds no report")
    asked = pl.concat(
        of_split.filter((pl.col("task") == task) & (pl.col("order").rank("dense") <= (of_split.height if n == -1 else n)))
        for task, n in wanted.items()
    ).sort("task", "order", "report_id", "part")
    learned = examples.filter(pl.col("selected") & (pl.col("split") == "train"))
    if p.model == "linear":
        answered, logits = linear.predict(learned, asked, label_set)
    else:
        untaught = asked.filter(pl.col("answers").is_in(PLAIN)).join(learned, on="task", how="anti")["task"].unique().sort()
        if p.model == "student" and len(untaught):
            raise InputError(
                f"predict.{arm}: the student was not trained on {untaught[0]}; raise merge.{untaught[0]}.examples, or set"
                f" predict.{arm}.{untaught[0]}_reports to 0"
            )
        answerer = Answerer.load(p.model, weights, runtime)
        if p.model == "base":
            asked = in_words(asked, Renderer(prompts, answerer.tokenizer, label_set))
        codes = Codes(learned.filter(pl.col("task") == "open_ended")["completion"])
        answered, logits = answerer.answer(asked, label_set, p.max_new_tokens, codes)
    reports = asked.select("report_id", "task").unique(maintain_order=True)
    predictions = reports.join(answered, on=["report_id", "task"], how="left", validate="1:1")
    assert predictions.height == reports.height
    return Predicted(
        predictions.with_columns(arm=pl.lit(arm)).select("report_id", "task", "arm", "answer"),
        logits.with_columns(arm=pl.lit(arm)).select("report_id", "task", "arm", "part", "label", "answer", "logit"),
    )


def in_words(asked: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    """Rows of `Examples` to be answered in words: the parts of a report that were to be read by `score` as one prompt."""
    form = {"head": "list", "tags": "lines"}
    plain = asked.filter(pl.col("answers").is_in(PLAIN))
    whole = plain.group_by("report_id", "task", maintain_order=True).agg(
        pl.col("prompt").str.join("\n"), pl.col("answers").first().cast(pl.String).replace_strict(form), part=pl.lit(0, pl.Int64)
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
        of_form = {str(form): rows for (form,), rows in asked.group_by("answers", maintain_order=True)}
        none = asked.clear()
        written = pl.concat([of_form.get("list", none), of_form.get("lines", none)])
        texts = [self.write(written, max_new_tokens), self.point(of_form.get("tags", none), codes)]
        logits = [self.read_slots(of_form.get("slots", none), label_set), self.read_head(of_form.get("head", none), label_set)]
        return linear.one_answer(pl.concat(texts)), pl.concat(logits)

    def read_slots(self, asked: pl.DataFrame, label_set: list[Label]) -> pl.DataFrame:
        """Logits of yes and no at every label's slot: one forward a batch, nothing generated."""
        if asked.is_empty():
            return pl.DataFrame(schema=LOGITS)
        of_answers, lines = answer_ids(self.tokenizer), slot_lines(label_set)

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> list[Any]:
            return slot_logits(hidden, shared, examples, self._causal.lm_head, of_answers).tolist()

        pairs = self._forward(asked, lines, "slots", read)
        return linear.tabulate(asked, [[(yes, no) for yes, no in of_part] for of_part in pairs], label_set)

    def read_head(self, asked: pl.DataFrame, label_set: list[Label]) -> pl.DataFrame:
        """The label outputs of `score` at the end of every part, as the logit of yes; that of no is 0."""
        if asked.is_empty():
            return pl.DataFrame(schema=LOGITS)

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> list[Any]:
            return score_logits(hidden, shared, examples, self._causal.score)[:, :-1].tolist()

        odds = self._forward(asked, None, "head", read)
        return linear.tabulate(asked, [[(yes, 0.0) for yes in of_part] for of_part in odds], label_set)

    def point(self, asked: pl.DataFrame, codes: Codes) -> pl.DataFrame:
        """The phrases that the tags point at in every part, a line each with its code, if they are like a known one."""
        if asked.is_empty():
            return pl.DataFrame(schema=ANSWERS)

        def read(hidden: Any, shared: int, examples: list[Encoded]) -> list[Any]:
            tags = score_logits(hidden, shared, examples, self._causal.score)[:, -1].sigmoid().tolist()
            ends = list(itertools.accumulate(len(e.slots) for e in examples))
            return [(e.places, tags[end - len(e.slots) : end]) for e, end in zip(examples, ends, strict=True)]

        pointed = self._forward(asked, None, "tags", read)
        lines = []
        for text, (places, tags) in zip(asked["prompt"], pointed, strict=True):
            coded = {phrase: codes.of(phrase) for phrase in phrases_of(text, places, tags)}
            lines.append(answers.render_lines((phrase, code) for phrase, code in coded.items() if code is not None))
        return asked.select("report_id", "task").with_columns(answer=pl.Series(lines, dtype=pl.String))

    def _forward(
        self, asked: pl.DataFrame, completion: str | None, form: str, read: Callable[[Any, int, list[Encoded]], list[Any]]
    ) -> list[Any]:
        """What `read` takes from the hidden states of each row's prompt. Reports repeat their sentences: each text goes once."""
        import torch

        texts = asked["prompt"].unique(maintain_order=True).to_list()
        encoded = [encode(self.tokenizer, text, completion, form) for text in texts]
        found: dict[str, Any] = {}
        with torch.inference_mode(), self._precision():
            for batch in self._batches(encoded, str(asked["task"][0])):
                examples = [encoded[i] for i in batch]
                hidden, shared = hidden_states(self._causal.base_model, examples)
                found |= zip((texts[i] for i in batch), read(hidden, shared, examples), strict=True)
        return [found[text] for text in asked["prompt"]]

    def write(self, asked: pl.DataFrame, max_new_tokens: int) -> pl.DataFrame:
        """Greedy answers, batched by length, special tokens left out."""
        import torch

        if asked.is_empty():
            return pl.DataFrame(schema=ANSWERS)
        encoded = [encode(self.tokenizer, prompt, None, "lines") for prompt in asked["prompt"]]
        said: dict[int, str] = {}
        with torch.inference_mode(), self._precision():
            for batch in self._batches(encoded, f"{asked['task'][0]}, answers up to {max_new_tokens} tokens"):
                made = greedy(self._causal, [encoded[i] for i in batch], max_new_tokens, self._ends)
                said |= dict(zip(batch, self.tokenizer.batch_decode(made, skip_special_tokens=True), strict=True))
        texts = [said[i] for i in range(asked.height)]
        return pl.DataFrame({"report_id": asked["report_id"], "task": asked["task"], "answer": texts}, schema=ANSWERS)

    def _batches(self, encoded: list[Encoded], what: str) -> Iterator[list[int]]:
        """Row numbers by length, as many a batch as `runtime.predict_tokens` holds; a progress bar over them."""
        batches: list[list[int]] = []
        for i in sorted(range(len(encoded)), key=lambda i: len(encoded[i].input_ids)):
            size = len(encoded[i].input_ids)
            if batches and size * (len(batches[-1]) + 1) <= self._runtime.predict_tokens:
                batches[-1].append(i)
            else:
                batches.append([i])
        return iter(track(batches, description=f"predict {what}", disable=not self._runtime.progress))

    def _precision(self) -> Any:
        import torch

        return torch.autocast(self._causal.device.type, torch.bfloat16, enabled=models.compute_dtype() == torch.bfloat16)
