"""Training on a CPU: plain TRL against ours on the same sentences, and the gain from each part of ours.

    python benchmarks/train_cpu.py            # from the root of the project, after `dvc repro merge`

Plain TRL is `SFTTrainer` as a competent user sets it up: the same base, NF4, LoRA, optimiser, batch size, bf16 autocast and
completion-only loss, no activation checkpointing, and TRL's defaults for the rest (random order, sdpa attention, adapters in
bf16, logits of every position). It learns answers as text: the same sentences after our instruction for the forms `list` and
`lines`, and completions with the same targets (names above 0.5, or a line per phrase and code). Ours reads a sentence without
instruction (`head`, `tags`), so plain sequences are several times as long. Compare examples per second; tokens per second counts
each side's own tokens, without padding.

Every run is its own process, and the sides take turns, so that a slower machine slows all of them. The first optimizer step warms
up and is not counted. Ratios are medians over the turns. Keep the machine idle: with another busy process threads wait for each
other, and speed can fall to a tenth.
"""

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from raddistill import answer_format, errors, labelsets, params, paths
from raddistill.student import cpu_setup, models, training
from raddistill.student.prompts import Renderer, encode
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tasks.names import PLAIN

NEVER = 10**9
ROWS = {
    "trl": "plain TRL",
    "ours": "ours",
    "tcmalloc": "ours without tcmalloc",
    "prefix": "ours, shared instruction computed for every example",
    "length": "ours, batches in random order",
    "eager": "ours, sdpa attention",
    "vocabulary": "ours, logits of every position",
}


def chosen_examples(n: int) -> pl.DataFrame:
    """Returns the first n training rows by `order`, tasks mixed as in training, and a validation row, which is not timed."""
    selected = tables.read(Examples, paths.EXAMPLES).filter(pl.col("selected") & pl.col("completion").is_not_null())
    train = selected.filter(pl.col("split") == "train")
    share = n / train.height
    first = [rows.sort("order", "part").head(round(rows.height * share)) for _, rows in sorted(train.group_by("task"))]
    return pl.concat([*first, selected.filter(pl.col("split") == "validation").head(1)])


def in_words(row: dict[str, Any], renderer: Renderer) -> tuple[str, str]:
    """Returns prompt and completion as text of a row of `Examples`, whatever its answer form."""
    prompt, form = row["prompt"], row["answers"]
    if form in PLAIN:
        prompt = renderer.prompt("list" if form == "head" else "lines", prompt)
    if row["targets"] is None:
        return prompt, row["completion"]
    present = {label.name: (worth or 0.0) > 0.5 for label, worth in zip(renderer.labels, row["targets"], strict=True)}
    if form == "slots":
        return prompt, "\n".join(f"{name}: {'yes' if is_so else 'no'}" for name, is_so in present.items())
    return prompt, answer_format.render_list(name for name, is_so in present.items() if is_so)


def plain_trl(p: training.TrainParams, chosen: pl.DataFrame, folder: str) -> Any:
    """Returns TRL's trainer on the training rows, all as text."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    tokenizer = models.load_tokenizer(paths.BASE)
    labels = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    renderer = Renderer(paths.PROMPTS, tokenizer, labels)
    rows = []
    for row in chosen.filter(pl.col("split") == "train").iter_rows(named=True):
        prompt, completion = in_words(row, renderer)
        ids = encode(tokenizer, prompt, completion, "lines")
        mask = [0] * ids.prompt_length + [1] * (len(ids.input_ids) - ids.prompt_length)
        rows.append({"input_ids": ids.input_ids, "completion_mask": mask})
    lora = LoraConfig(r=p.lora_rank, lora_alpha=p.lora_alpha, lora_dropout=p.lora_dropout, target_modules="all-linear")
    model = models.load_base(paths.BASE, p.quantization)
    model.set_attn_implementation("sdpa")  # the default of transformers
    return SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=folder,
            seed=p.seed,
            num_train_epochs=1,
            per_device_train_batch_size=p.batch_size,
            gradient_accumulation_steps=p.gradient_accumulation,
            learning_rate=p.learning_rate,
            lr_scheduler_type=p.scheduler,
            warmup_steps=p.warmup,
            weight_decay=p.weight_decay,
            max_grad_norm=p.max_grad_norm,
            optim="adamw_torch",
            bf16=models.compute_dtype() == torch.bfloat16,
            use_cpu=True,
            activation_checkpointing=False,
            completion_only_loss=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        peft_config=lora,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
    )


def take_away(part: str) -> None:
    """Disables one part of ours in this process. (tcmalloc is disabled when the process starts.)"""
    from raddistill.student import forward, trainer

    if part == "prefix":
        forward.MIN_SHARED = NEVER
    elif part == "eager":
        forward.EAGER_UP_TO = 0
    elif part == "length":
        trainer.batch_order = lambda lengths, tasks, seed, *_: random.Random(seed).sample(range(len(lengths)), len(lengths))
    elif part == "vocabulary":

        def with_all_logits(backbone: Any, examples: Any) -> tuple[Any, int]:
            """As ours, but also computes logits and gradients of every position, which do not change the result."""
            hidden, shared = forward.hidden_states(backbone, examples)
            logits = (hidden @ backbone.get_input_embeddings().weight.to(hidden.dtype).T).float()
            return hidden + 0 * logits.logsumexp(-1, keepdim=True).to(hidden.dtype), shared

        forward.hidden_states = with_all_logits


def measure(side: str, n: int) -> dict[str, float]:
    """Trains in this process; returns tokens and examples per second after the first step, and peak memory in GiB."""
    from transformers import TrainerCallback

    p = params.load("train", training.TrainParams).model_copy(update={"epochs": 1, "evaluate_every": NEVER})
    runtime = params.load("runtime", params.RuntimeParams).model_copy(update={"progress": False})
    cpu_setup.use_threads(runtime.threads)
    seen: list[int] = []  # length of each example, as it comes
    ends: list[tuple[float, int]] = []  # of each step: when, and how many examples had come

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append((time.perf_counter(), len(seen)))

    with tempfile.TemporaryDirectory() as folder:
        if side == "trl":
            trainer = plain_trl(p, chosen_examples(n), folder)
        else:
            take_away(side)
            trainer = training.build_trainer(p, chosen_examples(n), paths.BASE, Path(folder), runtime)
        step = trainer.training_step

        def counted(model: Any, inputs: Any, *args: Any) -> Any:
            rows = inputs if isinstance(inputs, list) else inputs["attention_mask"].tolist()
            seen.extend(len(row["input_ids"]) if isinstance(row, dict) else sum(row) for row in rows)
            return step(model, inputs, *args)

        trainer.training_step = counted
        trainer.add_callback(Clock())
        trainer.train()
    if len(ends) < 2:
        raise errors.InputError(f"--examples: no second step; more than {p.batch_size * p.gradient_accumulation} are needed")
    (began, first), (ended, last) = ends[0], ends[-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"tokens": sum(seen[first:last]) / (ended - began), "examples": (last - first) / (ended - began), "peak": peak}


def run_apart(side: str, n: int) -> dict[str, float]:
    """Runs `measure` in a new process, without this one's preloaded library."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"} | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--side", side, "--examples", str(n)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else sys.exit(done.stderr[-2000:])


def show(turns: list[dict[str, dict[str, float]]]) -> None:
    table = Table("training", "tokens/s", "examples/s", "ours: x tokens/s", "ours: x examples/s", "peak GiB")
    for side in turns[0]:
        middle = {key: statistics.median(turn[side][key] for turn in turns) for key in turns[0][side]}
        ratio = {key: statistics.median(t["ours"][key] / t[side][key] for t in turns) for key in ("tokens", "examples")}
        figures = middle["tokens"], middle["examples"], ratio["tokens"], ratio["examples"], middle["peak"]
        table.add_row(ROWS[side], *(f"{figure:,.2f}" for figure in figures))
    Console().print(table)


def main(
    examples: Annotated[int, typer.Option(min=2, help="training rows of both tasks; two batches at least")] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="turns")] = 2,
    ablations: Annotated[bool, typer.Option(help="also ours without each of its parts")] = True,
    side: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    if side:
        if side not in ("trl", "tcmalloc"):
            cpu_setup.preload_tcmalloc()
        print(json.dumps(measure(side, examples)))
        return
    has_instruction = not set(chosen_examples(examples)["answers"]) <= set(PLAIN)  # which examples may share
    sides = [each for each in ROWS if has_instruction or each != "prefix"] if ablations else ["trl", "ours"]
    show([{name: run_apart(name, examples) for name in sides} for _ in range(repeats)])


if __name__ == "__main__":
    errors.run(lambda *_: typer.run(main))
