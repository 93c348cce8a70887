"""Memory and time of a training, from sizes alone, and how both change with each setting.

Memory is the formula of `student/gpu_memory.py`, which the training itself plans by. Time is tokens by measured tokens a second.
"""

import math
import os
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

from raddistill.apps.estimate.workload import Workload
from raddistill.errors import InputError
from raddistill.student import cpu_setup, gpu_memory
from raddistill.student.forward import EAGER_UP_TO
from raddistill.student.gpu_memory import GIB, MemoryPlan
from raddistill.student.models import cpu_has_bf16
from raddistill.student.training import TrainParams

CUDA_BYTES = GIB  # context and libraries: an assumption
PROCESS_BYTES = 700 * 2**20  # Python with torch, transformers and TRL
LOGIT_BYTES = 14  # of a logit of the vocabulary: in bf16, in float32, its probability and its gradient
# On a CPU, by trainings of 12 and 24 layers (docs/gpu.md): the bytes of an attention score, which plain matrix products keep, and
# how much more the activations take in glibc's fragments. With tcmalloc the peak was 3 to 6 % below this.
SCORE_BYTES, GLIBC = 10, 1.4
# Tokens a second of whole trainings, lowest and highest, and the weights of the linear layers of their base.
ON_H100 = {"nf4": (9_500, 11_062), "none": (10_921, 12_804), "fp8": (13_653, 15_339)}
H100_WEIGHTS, CPU_WEIGHTS = 6_979_321_856, 106_168_320
RECOMPUTED = {"nf4": 0.70, "none": 0.70, "fp8": 0.65}  # of the speed with activations kept; `none` was not measured
SECONDS_A_PASS = (0.45, 0.27)  # small passes do not fill a card: 1,194 steps of 32 sentences took 5.4 to 9 minutes
ON_CPU = (388, 850)
SOURCES = {
    True: "measured with Llama-3.1-8B's shape on one H100 (docs/log.md, 2026-11-28), scaled by the number of weights",
    False: "measured with SmolLM2-135M on two CPU cores (docs/log.md, 2026-11-23 to 2026-11-27), scaled by the number of weights",
}


class Device(NamedTuple):
    """What trains: `gpus` cards (0: the CPU) with `memory` free bytes each."""

    name: str
    gpus: int
    memory: int


class Training(NamedTuple):
    """All that memory and time follow from. `outputs`: of the layer `score`; `rate`: tokens a second, if the user gave them."""

    config: Any
    p: TrainParams
    work: Workload
    device: Device
    outputs: int
    rate: float | None


class Cost(NamedTuple):
    """`parts` sum up to the peak, in bytes. `tokens`: of a pass, with padding. Pairs are the slowest, then the fastest."""

    parts: dict[str, int]
    plan: MemoryPlan
    tokens: int
    steps: int
    rate: tuple[float, float]
    minutes: tuple[float, float] | None  # None: the number of examples is unknown

    @property
    def peak(self) -> int:
        return sum(self.parts.values())


def device_of(gpu_gib: float | None, gpus: int | None) -> Device:
    """Returns the device that the options name, else the GPUs of this machine, else its CPU. 0 GPUs: the CPU.

    Raises:
        InputError: the options contradict each other, or name GPUs of a machine that has none.
    """
    if gpu_gib and gpus == 0:
        raise InputError("--gpus 0 is the CPU, and --gpu-memory describes a GPU: leave one of them out")
    if gpu_gib:
        return Device(f"GPU of {gpu_gib:g} GiB", gpus or 1, int(gpu_gib * GIB))
    if gpus != 0 and (here := _gpus_here()):
        return Device(here[0][0], gpus or len(here), min(memory for _, memory in here))
    if gpus:
        raise InputError("no GPU is found here (nvidia-smi); describe one by --gpu-memory, such as 24 or 80")
    return Device("the CPU of this machine", 0, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _gpus_here() -> list[tuple[str, int]]:
    """Name and free bytes of the GPUs that a training would use."""
    command = ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    cards = [(name, int(free) * 2**20) for name, free in (line.rsplit(", ", 1) for line in lines)]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(cards))))).split(",")
    return (
        [card for n, card in enumerate(cards) if str(n) in chosen] if all(n.strip().isdigit() or not n for n in chosen) else cards
    )


def cost_of(t: Training) -> Cost:
    """Returns what a training takes.

    Raises:
        InputError: fp8 on a CPU, or with dropout.
    """
    config, p, work, gpus = t.config, t.p, t.work, t.device.gpus
    if p.quantization == "fp8" and (p.lora_dropout or not gpus):
        raise InputError("train.quantization fp8 needs a GPU (--gpu-memory) and train.lora_dropout=0; else take nf4 or none")
    fused = gpus > 0 and gpu_memory.has_fused_kernels(config)
    base, rows = gpu_memory.base_bytes(config, p.quantization), math.ceil(p.batch_size / max(gpus, 1))
    plan = MemoryPlan(rows * work.longest, recompute=False)  # a CPU takes a batch in one pass
    if gpus:
        plan = gpu_memory.plan_memory(config, max(0, t.device.memory - base - CUDA_BYTES), fused)
    tokens = max(work.longest, min(plan.tokens, rows * work.longest))
    each = (gpu_memory.recomputed_per_token if plan.recompute else gpu_memory.kept_per_token)(config, fused)
    trained = trained_parameters(config, p.lora_rank, t.outputs)
    answered = min(rows, math.ceil(tokens / _mean(work)))
    parts = {
        f"base in {p.quantization}": base,
        "adapter": 4 * trained,
        "optimizer and gradients": 12 * trained,
        f"activations {'recomputed' if plan.recompute else 'kept'}": tokens * each if gpus else _on_cpu(t, tokens * each),
        "logits": answered * work.answer * config.vocab_size * LOGIT_BYTES,
        "CUDA" if gpus else "Python and libraries": CUDA_BYTES if gpus else PROCESS_BYTES,
    }
    if gpus and p.quantization == "nf4":
        parts["a weight, unpacked"] = 2 * max(inputs * outputs for inputs, outputs in gpu_memory.linear_shapes(config))
    steps = math.ceil(work.examples * p.epochs / p.batch_size / p.gradient_accumulation)
    return Cost(parts, plan, tokens, steps, *_time(t, plan, steps))


def _on_cpu(t: Training, kept: int) -> int:
    """Bytes of the activations on a CPU, of which `kept` would be kept by a GPU."""
    short = t.work.longest <= EAGER_UP_TO
    scores = t.p.batch_size * t.work.longest**2 * t.config.num_attention_heads * t.config.num_hidden_layers if short else 0
    wide = 1 if cpu_has_bf16() else 2  # in float32
    return int((kept + scores * SCORE_BYTES) * wide * (1 if cpu_setup.find_tcmalloc() else GLIBC))


def trained_parameters(config: Any, rank: int, outputs: int) -> int:
    """Returns the number of weights of the adapter and of the layer `score`."""
    of_layer = sum(rank * (inputs + out) for inputs, out in gpu_memory.linear_shapes(config))
    return int(of_layer * config.num_hidden_layers + config.hidden_size * outputs)


def _mean(work: Workload) -> float:
    return work.tokens / work.examples if work.examples else work.longest


def _time(t: Training, plan: MemoryPlan, steps: int) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Tokens a second of one device, and minutes of training and validation; both the slowest, then the fastest.

    A forward pass is half of a step's arithmetic, since a frozen base has no gradients of its own.
    """
    p, work, devices = t.p, t.work, max(t.device.gpus, 1)
    slowest, fastest = ON_H100[p.quantization] if t.device.gpus else ON_CPU
    factor = (H100_WEIGHTS if t.device.gpus else CPU_WEIGHTS) / gpu_memory.linear_weights(t.config)
    factor *= RECOMPUTED[p.quantization] if plan.recompute else 1
    rate = (t.rate, t.rate) if t.rate else (slowest * factor, fastest * factor)
    tokens = work.tokens * p.epochs + math.ceil(steps / p.evaluate_every) * work.validation_tokens / 2
    passes = steps * p.gradient_accumulation * math.ceil(_mean(work) * p.batch_size / devices / plan.tokens)
    least = SECONDS_A_PASS if t.device.gpus and not t.rate else (0.0, 0.0)
    slow, fast = (max(tokens / devices / each, passes * floor) / 60 for each, floor in zip(rate, least, strict=True))
    return rate, (slow, fast) if work.examples else None


def changes(t: Training) -> Iterator[tuple[str, Cost]]:
    """Yields the settings that alone save memory or time, and what the training costs with them."""
    before, work = cost_of(t), t.work
    kinds = [kind for kind in gpu_memory.BYTES if kind != "fp8" or (t.device.gpus and not t.p.lora_dropout)]
    settings = [("quantization", kind) for kind in kinds]
    halved = ("lora_rank", "epochs") if t.device.gpus else ("lora_rank", "epochs", "batch_size")  # a GPU takes a batch in passes
    settings += [(key, getattr(t.p, key) // 2) for key in halved if getattr(t.p, key) > 1]
    others = {f"train.{key}={value}": t._replace(p=t.p.model_copy(update={key: value})) for key, value in settings}
    others[f"merge.max_tokens={work.longest // 2}"] = t._replace(work=work._replace(longest=work.longest // 2))
    fewer = work._replace(examples=(work.examples + 1) // 2, tokens=work.tokens // 2)
    others["half of merge.<task>.examples"] = t._replace(work=fewer)
    for name, other in others.items():
        cost = cost_of(other)
        if cost.peak < 0.99 * before.peak or (cost.minutes and before.minutes and cost.minutes[0] < 0.95 * before.minutes[0]):
            yield name, cost


def smallest_gpu(t: Training) -> int:
    """Returns the bytes of the smallest GPU: it takes one example at a time, with activations recomputed."""
    return cost_of(t._replace(p=t.p.model_copy(update={"batch_size": 1}), device=Device("", 1, 0))).peak
