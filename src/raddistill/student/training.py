"""QLoRA on the examples: TRL's SFTTrainer with our losses, batches without wasted padding, and resume.

Input: selected rows of `Examples`. Output: the adapter folder (safetensors, provenance, model card), metrics and loss curves.
Checkpoints are not among the outputs, because DVC deletes these before a run. Their folder is named by the hash of everything
that determines the training, so no run resumes from another experiment; it is deleted at the end.
"""

import hashlib
import json
import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dataframely as dy
import polars as pl
from pydantic import Field

from raddistill.errors import InputError
from raddistill.files import sha256
from raddistill.params import RuntimeParams, Section
from raddistill.student import adapters, checkpoints, cpu_setup, gpu_memory, models
from raddistill.student.gpu_memory import MemoryPlan
from raddistill.student.prompts import answer_ids, encode_rows
from raddistill.tables.examples import Examples
from raddistill.tasks.names import PLAIN


class TrainParams(Section):
    """QLoRA (Dettmers et al. 2023, arXiv 2305.14314): NF4 with double quantisation, bf16 compute, fp32 adapters.

    With `fp8` the frozen base is in FP8, and activations are scaled row by row; docs/gpu.md has speed and memory.

    `robust` is q of generalised cross entropy (Zhang and Sabuncu, arXiv 1805.07836), used only for targets of 0; with q = 0 it is
    cross entropy. A finding that the teacher missed has the target 0. There the gradient is (1 - p) ** q times that of cross
    entropy, so the surer the student is of the finding (p), the less the target counts.
    """

    seed: int
    quantization: Literal["nf4", "none", "fp8"]
    lora_rank: int = Field(ge=1)
    lora_alpha: int = Field(ge=1)
    lora_dropout: float = Field(ge=0, lt=1)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    scheduler: Literal["cosine", "linear", "constant"]
    warmup: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    gradient_accumulation: int = Field(ge=1)
    robust: float = Field(ge=0, le=1)
    evaluate_every: int = Field(ge=1)
    patience: int = Field(ge=1)


@dataclass(frozen=True)
class Trained:
    """The metrics and loss curves of a training."""

    metrics: dict[str, Any]
    curve: pl.DataFrame  # step, loss, learning_rate, grad_norm
    validation_curve: pl.DataFrame  # step, loss


def train(
    p: TrainParams, examples: dy.DataFrame[Examples], base: Path, unfinished: Path, runtime: RuntimeParams, adapter: Path
) -> Trained:
    """Trains on the selected training rows, stops early by the selected validation rows (teacher labels), writes `adapter`.

    `unfinished`: folder with the checkpoints of interrupted trainings, one folder each.

    Raises:
        InputError: no rows to train on or to validate on; the base model is missing or changed, or too large for the GPU;
            settings that exclude each other; a launch that divides the base among GPUs.
    """
    cpu_setup.refuse_sharding(p.quantization)
    chosen = examples.filter(pl.col("selected") & pl.col("completion").is_not_null())
    if chosen.filter(pl.col("split") == "train").is_empty() or chosen.filter(pl.col("split") == "validation").is_empty():
        raise InputError("no examples to train or validate on; raise the numbers in params.yaml, section merge")
    if p.quantization == "fp8" and p.lora_dropout:
        raise InputError("train.quantization fp8 goes without dropout; set train.lora_dropout to 0")
    cpu_setup.use_threads(runtime.threads)
    models.quiet_libraries()
    folder = unfinished / fingerprint(p, chosen, base)
    trainer = build_trainer(p, chosen, base, folder, runtime)
    last = checkpoints.newest_usable(folder)
    if last:
        print(f"resuming after step {last.name.split('-')[1]} of an interrupted run with the same params and data")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if not trainer.is_world_process_zero():
        sys.exit()  # of several processes, the first one writes adapter and metrics
    adapters.save(trainer.model, adapter, p, base, chosen, outputs_of(chosen))
    shutil.rmtree(folder)
    return _summary(trainer, chosen)


def build_trainer(p: TrainParams, chosen: pl.DataFrame, base: Path, folder: Path, runtime: RuntimeParams) -> Any:
    """Returns a trainer over the selected rows, not yet started. `folder`: for its checkpoints."""
    models.set_hub_offline(base)
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback

    from raddistill.student.trainer import ConsoleProgress, SealedCheckpoints, StudentTrainer, settle_precision

    tokenizer = models.load_tokenizer(base)
    trained, validated = _datasets(p, chosen, tokenizer)
    outputs = outputs_of(chosen)
    model = models.load_base(base, p.quantization)
    if outputs:
        models.add_score(model, outputs, p.seed)
    plan = gpu_memory.plan_for(model) if model.device.type == "cuda" else None
    args = _settings(p, folder, math.ceil(len(trained) / p.batch_size / p.gradient_accumulation), plan)
    progress = ConsoleProgress(runtime.progress and args.process_index == 0)
    trainer = StudentTrainer(
        model=model,
        args=args,
        peft_config=_lora(p, outputs, model.config.model_type in models.ENCODERS),
        processing_class=tokenizer,
        train_dataset=trained,
        eval_dataset=validated,
        data_collator=list,
        callbacks=[EarlyStoppingCallback(p.patience), SealedCheckpoints(), progress],
        robust=p.robust,
        answers=answer_ids(tokenizer) if "slots" in chosen["answers"] else (0, 0),
        tokens=plan.tokens if plan else None,
    )
    progress.tokens_seen = lambda: trainer.tokens_seen
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    settle_precision(trainer.model)
    if plan:
        from raddistill.student import gpu_layers

        gpu_layers.speed_up(
            trainer.model, p.quantization, p.lora_dropout, plan, show=runtime.progress and args.process_index == 0
        )
    return trainer


def _datasets(p: TrainParams, chosen: pl.DataFrame, tokenizer: Any) -> tuple[Any, Any]:
    """The training rows of all epochs in the order of training, and the validation rows by length, as fields of `Encoded`."""
    from datasets import Dataset

    from raddistill.student.trainer import batch_order

    chosen = chosen.sort("task", "order", "report_id", "part")
    train, validation = (chosen.filter(pl.col("split") == name) for name in ("train", "validation"))
    rows = encode_rows(tokenizer, train)
    order = batch_order([len(row["input_ids"]) for row in rows], train["task"].to_list(), p.seed, p.epochs, p.batch_size)
    by_length = sorted(encode_rows(tokenizer, validation), key=lambda row: len(row["input_ids"]))
    return Dataset.from_list([rows[i] for i in order]), Dataset.from_list(by_length)


def _settings(p: TrainParams, folder: Path, steps: int, plan: MemoryPlan | None) -> Any:
    """TRL's settings for a training of `steps` steps. `folder`: for its checkpoints. `plan`: on a GPU."""
    import torch
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(folder),
        seed=p.seed,
        num_train_epochs=1,  # `batch_order` has all epochs in it, so that a resumed run sees the same batches
        train_sampling_strategy="sequential",
        per_device_train_batch_size=p.batch_size,
        per_device_eval_batch_size=p.batch_size,
        gradient_accumulation_steps=p.gradient_accumulation,
        learning_rate=p.learning_rate,
        lr_scheduler_type=p.scheduler,
        warmup_steps=p.warmup,
        weight_decay=p.weight_decay,
        max_grad_norm=p.max_grad_norm,
        optim="adamw_torch_fused" if plan else "adamw_torch",
        bf16=models.compute_dtype() == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=plan is not None and plan.recompute,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=min(p.evaluate_every, steps),
        save_steps=min(p.evaluate_every, steps),
        save_total_limit=3,  # the newest, the one before in case that is damaged, and the best
        restore_callback_states_from_checkpoint=True,  # of early stopping: the number of evaluations without a better loss
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=min(5, steps),
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _lora(p: TrainParams, outputs: int, is_encoder: bool) -> Any:
    """Adapters on all linear layers; the layer `score`, if there is one, is fully trained."""
    from peft import LoraConfig

    return LoraConfig(
        r=p.lora_rank,
        lora_alpha=p.lora_alpha,
        lora_dropout=p.lora_dropout,
        target_modules="all-linear",
        exclude_modules=["score"] if outputs else None,
        modules_to_save=["score"] if outputs else None,
        task_type="FEATURE_EXTRACTION" if is_encoder else "CAUSAL_LM",
    )


def outputs_of(chosen: pl.DataFrame) -> int:
    """Returns the number of outputs of the layer `score`: one per label, then one for tags; 0 if no form reads it."""
    if not any(form in chosen["answers"] for form in PLAIN):
        return 0
    return max(map(len, chosen["targets"].drop_nulls()), default=0) + 1


def fingerprint(p: TrainParams, chosen: pl.DataFrame, base: Path) -> str:
    """Returns a hash of all that determines a training: params, examples, base model, and versions of libraries."""
    parts = [p.model_dump(), adapters.versions(), sha256(base), adapters.hash_of(chosen)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _summary(trainer: Any, chosen: pl.DataFrame) -> Trained:
    history = trainer.state.log_history
    curve = [h for h in history if "loss" in h]
    validation = [h for h in history if "eval_loss" in h]
    counts = {
        split: {task: chosen.filter((pl.col("split") == split) & (pl.col("task") == task)).height
                for task in sorted(chosen["task"].unique())}
        for split in ("train", "validation")
    }  # fmt: skip
    metrics = {
        "examples": counts,
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step or trainer.state.global_step,
        "loss": round(curve[-1]["loss"], 4),
        "validation_loss": round(min(h["eval_loss"] for h in validation), 4),
        "trainable_parameters": sum(x.numel() for x in trainer.model.parameters() if x.requires_grad),
    }
    columns = ("loss", "learning_rate", "grad_norm")
    return Trained(
        metrics,
        pl.DataFrame([{"step": h["step"]} | {k: round(float(h[k]), 6) for k in columns} for h in curve]),
        pl.DataFrame([{"step": h["step"], "loss": round(float(h["eval_loss"]), 6)} for h in validation]),
    )
