"""QLoRA on one GPU at the size of Llama-3.1-8B, random weights: tokens per second and peak memory, ours and plain TRL's.

    python -m benchmarks.train_gpu [--layers 32] [--seconds 15] [--only trainers|steps|answers]

Three parts in one run, so that their ratios hold on this card; one JSON line each. Needs CUDA and bitsandbytes, Liger if it is to
be used; downloads nothing. All token ids are random, so no two examples share a prefix, which is to the disadvantage of ours.

- trainers: whole trainings on the same examples (lengths of reports with an instruction, answer of 30 tokens): TRL's SFTTrainer
  as it comes (batches of 8, checkpointing), and `StudentTrainer` for NF4, bf16 and FP8. Tokens are those of the examples,
  without padding.
- steps: forward, backward and AdamW of 16 x 512 tokens with the loss of `head`; activations kept or
  checkpointed; PEFT's layers too.
- answers: reports a second of the form `head` (one pass over the report) and of `list` (instruction, 30 tokens written).
"""

import argparse
import gc
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

from raddistill.student import gpu_layers, gpu_memory, models, training
from raddistill.student.forward import example_losses, greedy, hidden_states, score_logits
from raddistill.student.prompts import IGNORED, Encoded
from raddistill.student.trainer import StudentTrainer, batch_order, settle_precision

LABELS = 13
BATCH, LENGTH = 16, 512  # of the part `steps`
MEAN_TOKENS, ANSWER = 550, 30  # of the part `trainers`: a report of 300 tokens and an instruction of 250
STEP_EXAMPLES = 64  # examples of an optimizer step
WARM_UP = 3  # steps of a training
PAPER_EXAMPLES = 13_500  # of arXiv 2409.16563
LORA = {
    "seed": 13, "lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.0, "epochs": 1, "learning_rate": 1e-4,
    "scheduler": "constant", "warmup": 0.0, "weight_decay": 0.0, "max_grad_norm": 1.0, "batch_size": STEP_EXAMPLES,
    "gradient_accumulation": 1, "robust": 0.0, "evaluate_every": 10**6, "patience": 1,
}  # fmt: skip


def tell(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def llama_8b(layers: int, quantization: str) -> Any:
    """Llama-3.1-8B's shape with random weights, made layer by layer on the GPU; NF4 with double quantisation, or bf16."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    config = LlamaConfig(  # type: ignore[call-arg]
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=layers, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=8192, rope_theta=500_000.0, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    for name, module in list(model.model.layers.named_modules()):
        if isinstance(module, torch.nn.Linear) and quantization == "nf4":
            weight = torch.randn(module.out_features, module.in_features, device="cuda", dtype=torch.bfloat16) * 0.02
            shape = (module.in_features, module.out_features)
            packed = Linear4bit(*shape, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", device="meta")
            packed.weight = Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=True).to("cuda")  # type: ignore[misc]
            parent, _, attribute = name.rpartition(".")
            setattr(model.model.layers.get_submodule(parent), attribute, packed)
    for name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            owner, _, attribute = name.rpartition(".")
            norm = attribute == "weight" and "norm" in owner.rpartition(".")[2]
            filled = (
                torch.ones(parameter.shape) if norm else torch.randn(parameter.shape, device="cuda", dtype=torch.bfloat16) * 0.02
            )
            setattr(
                model.get_submodule(owner), attribute, torch.nn.Parameter(filled.to("cuda", torch.bfloat16), requires_grad=False)
            )
    model.is_loaded_in_4bit = quantization == "nf4"  # peft checks this
    model.model.rotary_emb = type(model.model.rotary_emb)(config).to("cuda")
    return model


def params(quantization: str) -> training.TrainParams:
    return training.TrainParams.model_validate(LORA | {"quantization": quantization})


def free() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


class Clock(TrainerCallback):
    """Stops a training after `seconds` of steps; the first WARM_UP do not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self.steps, self.elapsed = seconds, 0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        torch.cuda.synchronize()
        if state.global_step == WARM_UP:
            self._began = time.perf_counter()
        elif state.global_step > WARM_UP:
            self.steps, self.elapsed = state.global_step - WARM_UP, time.perf_counter() - self._began
            control.should_training_stop = self.elapsed > self._seconds


def examples(number: int) -> list[list[int]]:
    """Random token ids; lengths are log-normal, 150 to 2,048 tokens."""
    generator = random.Random(13)
    lengths = [min(2048, max(150, round(generator.lognormvariate(0, 0.4) * MEAN_TOKENS / 1.083))) for _ in range(number)]
    return [[generator.randrange(1000, 100_000) for _ in range(n)] for n in lengths]


def train_by_trl(options: argparse.Namespace, data: list[list[int]], folder: str) -> None:
    """TRL with nothing changed but what QLoRA needs; the adapter is ours in rank and place."""
    rows = [{"input_ids": ids, "labels": [IGNORED] * (len(ids) - ANSWER) + ids[-ANSWER:]} for ids in data]
    clock = Clock(options.seconds)
    trainer = SFTTrainer(
        model=llama_8b(options.layers, "nf4"),
        args=SFTConfig(
            output_dir=folder, max_length=2048, per_device_train_batch_size=8, gradient_accumulation_steps=STEP_EXAMPLES // 8,
            num_train_epochs=1, report_to="none", disable_tqdm=True, logging_steps=5, save_strategy="no",
            train_sampling_strategy="sequential",
            dataset_kwargs={"skip_prepare_dataset": True}, pad_token="<pad>",
        ),
        peft_config=training._lora(params("nf4"), 0, is_encoder=False),
        processing_class=toy_tokenizer(),
        train_dataset=Dataset.from_list(rows),
        callbacks=[clock],
    )  # fmt: skip
    report("TRL as it comes, nf4", trainer, clock, [len(ids) for ids in data])


def train_by_ours(options: argparse.Namespace, data: list[list[int]], folder: str, quantization: str) -> None:
    """`StudentTrainer`, set up as `training.build_trainer` does for a GPU."""
    p = params(quantization)
    rows = [{**text_example(ids).__dict__, "targets": None} for ids in data]
    order = batch_order([len(ids) for ids in data], ["text"] * len(data), p.seed, 1, STEP_EXAMPLES)
    clock, model = Clock(options.seconds), llama_8b(options.layers, quantization)
    plan = gpu_memory.plan_for(model)
    trainer = StudentTrainer(
        model=model,
        args=training._settings(p, Path(folder), len(rows) // STEP_EXAMPLES, plan),
        peft_config=training._lora(p, 0, is_encoder=False),
        processing_class=toy_tokenizer(),
        train_dataset=Dataset.from_list([rows[i] for i in order]),
        eval_dataset=Dataset.from_list(rows[:1]),
        data_collator=list,
        callbacks=[clock],
        robust=0.0,
        answers=(0, 0),
        tokens=plan.tokens,
    )
    settle_precision(trainer.model)
    gpu_layers.speed_up(trainer.model, quantization, 0.0, plan, show=True)
    report(f"ours, {quantization}", trainer, clock, [len(data[i]) for i in order])


def text_example(ids: list[int]) -> Encoded:
    """An example whose last tokens are the answer."""
    begin = len(ids) - ANSWER
    return Encoded(ids, [IGNORED] * begin + ids[begin:], [], begin, "lines", [])


def toy_tokenizer() -> Any:
    """TRL asks for a tokenizer; the examples are tokens already."""
    made = Tokenizer(WordLevel({"<pad>": 0, "</s>": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


def report(name: str, trainer: Any, clock: Clock, lengths: list[int]) -> None:
    """Trains until the clock stops it. `lengths`: tokens of the examples in the order of training."""
    trainer.train()
    done = STEP_EXAMPLES * clock.steps
    tokens = sum(lengths[WARM_UP * STEP_EXAMPLES :][:done])
    tell(
        training=name, tokens_per_second=round(tokens / clock.elapsed), examples_per_second=round(done / clock.elapsed, 2),
        paper_epoch_minutes=round(PAPER_EXAMPLES / done * clock.elapsed / 60, 1), mean_tokens=round(tokens / done),
        peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 1), steps=clock.steps,
        gradient_norms=[round(h["grad_norm"], 4) for h in trainer.state.log_history if "grad_norm" in h][:3],
    )  # fmt: skip


def measure_steps(name: str, model: Any, seconds: float) -> None:
    """Two steps to warm up, then steps for `seconds`."""
    generator = torch.Generator().manual_seed(13)
    ids = torch.randint(1000, 100_000, (BATCH, LENGTH), generator=generator).tolist()
    rows = [Encoded(row, [IGNORED] * LENGTH, [LENGTH - 1], LENGTH, "head", []) for row in ids]
    targets: list[list[float | None] | None] = [[0.0] * LABELS for _ in rows]
    # so small a rate that the gradient stays what it is, and can be looked at
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-9, fused=True)
    free()
    done, began, norm = -2, 0.0, torch.zeros(())
    while done < 2 or time.perf_counter() - began < seconds:
        with torch.autocast("cuda", torch.bfloat16):
            loss = example_losses(model.get_base_model(), rows, targets, (0, 0)).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        done += 1
        if done == 0:
            began = time.perf_counter()
    elapsed = time.perf_counter() - began
    tell(
        step=name, tokens_per_second=round(done * BATCH * LENGTH / elapsed), steps=done, gradient_norm=round(norm.item(), 5),
        peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 1),
    )  # fmt: skip


def with_lora(model: Any, quantization: str) -> Any:
    models.add_score(model, LABELS + 1, seed=13)
    made = get_peft_model(model, training._lora(params(quantization), LABELS + 1, is_encoder=False))
    settle_precision(made)
    return made


def checkpoint(model: Any, on: bool) -> None:
    if on:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()


def measure_answers(model: Any, seconds: float) -> None:
    """Reports of 100 tokens; `list` has an instruction of 250 tokens before them, which all share."""
    generator = random.Random(13)
    reports = [[generator.randrange(1000, 100_000) for _ in range(100)] for _ in range(256)]
    instruction = [generator.randrange(1000, 100_000) for _ in range(250)]
    causal = model.get_base_model().eval()

    def head(batch: list[list[int]]) -> None:
        rows = [Encoded(ids, [], [len(ids) - 1], len(ids), "head", []) for ids in batch]
        score_logits(*hidden_states(causal.base_model, rows), rows, causal.score).tolist()

    def listed(batch: list[list[int]]) -> None:
        greedy(causal, [Encoded(instruction + ids, [], [], 350, "list", []) for ids in batch], ANSWER, {-1})

    forms: dict[str, Callable[[list[list[int]]], None]] = {"head": head, "list": listed}
    for name, ask in forms.items():
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            ask(reports)
            torch.cuda.synchronize()
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                ask(reports)
                torch.cuda.synchronize()
                done += len(reports)
        tell(answers=name, reports_per_second=round(done / (time.perf_counter() - began), 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=32, help="fewer for a smaller card")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each setting")
    parser.add_argument("--only", choices=("trainers", "steps", "answers"))
    options = parser.parse_args()
    tell(device=torch.cuda.get_device_name(), torch=torch.__version__, layers=options.layers)
    if options.only in (None, "trainers"):
        data = examples(STEP_EXAMPLES * 40)
        with tempfile.TemporaryDirectory() as folder:
            train_by_trl(options, data, folder)
            free()
            for quantization in ("nf4", "none", "fp8"):
                train_by_ours(options, data, folder, quantization)
                free()
    for quantization in ("nf4", "fp8") if options.only != "trainers" else ():
        model = with_lora(llama_8b(options.layers, quantization if quantization == "nf4" else "none"), quantization)
        if quantization == "nf4" and options.only != "answers":
            measure_steps("nf4, PEFT's layers, kept", model, options.seconds)
        gpu_layers.use_gpu_layers(model, quantization)
        kernels = gpu_layers.use_fused_kernels(model.get_base_model())
        for on in (False, True) if options.only != "answers" else ():
            checkpoint(model, on)
            how = f"Liger {'on' if kernels else 'off'}, activations {'checkpointed' if on else 'kept'}"
            measure_steps(f"{quantization}, ours, {how}", model, options.seconds)
        checkpoint(model, on=False)
        if quantization == "nf4" and options.only != "steps":
            measure_answers(model, options.seconds)
        del model
        free()


if __name__ == "__main__":
    main()
