"""Decides from the free memory of a GPU how many tokens a forward pass takes, and whether activations are recomputed.

Computes from the base's config alone, so `raddistill estimate train` can ask before anything is loaded. `config` is that of
transformers, or any object with the keys of a config.json as attributes.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

from raddistill.errors import InputError

LEAST = 4096  # tokens; with fewer, unpacking NF4 takes 8 % of the time or more (its cost does not depend on their number)
MOST = 8192  # unpacking NF4 takes 4 % of the time then, and much of the memory stays free for blocks of other shapes
SHARE = 0.9  # of the free memory; the rest is for fragments and the optimizer
GIB = 2**30
# Bytes of a weight of a linear layer. NF4: half a byte, the scales of 64 weights (1 byte) and of 256 such scales (4), and the
# scales unpacked by `gpu_layers` (4 bytes for 64 weights). FP8: the weight and its copy in the other layout.
BYTES = {"nf4": 0.5 + 1 / 64 + 4 / (64 * 256) + 4 / 64, "fp8": 2.0, "none": 2.0}


@dataclass(frozen=True)
class MemoryPlan:
    """How a training uses the memory of a GPU.

    `tokens`: at most so many in a forward pass, with padding.
    `recompute`: the backward pass computes activations again, instead of keeping them (activation checkpointing).
    """

    tokens: int
    recompute: bool


def linear_shapes(config: Any) -> list[tuple[int, int]]:
    """Returns (inputs, outputs) of the linear layers of one layer of the model: attention, then MLP."""
    size, wide = config.hidden_size, config.intermediate_size
    heads, kv = _attention_sizes(config)
    is_gated = not hasattr(config, "type_vocab_size")  # BERT and its like: two matrices instead of three
    up = [(size, wide)] * (2 if is_gated else 1)
    return [(size, heads), (size, kv), (size, kv), (heads, size), *up, (wide, size)]


def linear_weights(config: Any) -> int:
    """Returns the number of weights in all linear layers; embeddings and output layer are not among them."""
    return sum(inputs * outputs for inputs, outputs in linear_shapes(config)) * int(config.num_hidden_layers)


def base_bytes(config: Any, quantization: str) -> int:
    """Returns the bytes of the frozen base on a GPU. Embeddings and output layer stay in bf16."""
    is_shared = getattr(config, "tie_word_embeddings", False) or hasattr(config, "type_vocab_size")
    embeddings = config.vocab_size * config.hidden_size * (1 if is_shared else 2)
    return int(linear_weights(config) * BYTES[quantization] + 2 * embeddings)


def require_room(config: Any, quantization: str, free: int) -> None:
    """Checks that the base fits into `free` bytes of a GPU, before any weight is read.

    Raises:
        InputError: it does not.
    """
    if (wanted := base_bytes(config, quantization)) > free:
        raise InputError(
            f"the base needs {wanted / GIB:.1f} GiB in {quantization}, {base_bytes(config, 'nf4') / GIB:.1f} in nf4, and the GPU"
            f" has {free / GIB:.1f} free. Each GPU holds the whole base, so more of them do not help: take a larger one, nf4, or"
            " a smaller base; `raddistill estimate train` shows what fits"
        )


def has_fused_kernels(config: Any) -> bool:
    """Returns whether norms and SwiGLU are Liger's on a GPU: for a Llama, if the package is installed."""
    return getattr(config, "model_type", "") == "llama" and importlib.util.find_spec("liger_kernel") is not None


def kept_per_token(config: Any, fused: bool = True) -> int:
    """Returns the bytes of activations that the backward pass needs for each token, without checkpointing.

    In bf16 a layer keeps eight vectors of the hidden size, keys and values, and three of the MLP's. Without `fused` kernels both
    norms keep a vector in float32 and one in bf16 more. Measured for Llama-3.1-8B on an H100: 4.3 MiB a token, and 5.7 without
    fused kernels; this says 4.7 and 6.2.
    """
    norms = 0 if fused else 2 * 3 * config.hidden_size
    layer = 8 * config.hidden_size + 2 * _attention_sizes(config)[1] + 3 * config.intermediate_size + norms
    return int(2 * layer * config.num_hidden_layers)


def recomputed_per_token(config: Any, fused: bool = True) -> int:
    """Returns as `kept_per_token`, with checkpointing: the input of each layer, and the activations of one layer at a time."""
    inputs = 2 * config.hidden_size * config.num_hidden_layers
    return int(inputs + kept_per_token(config, fused) // config.num_hidden_layers)


def plan_memory(config: Any, free: int, fused: bool = True) -> MemoryPlan:
    """Returns how to train a model of `config` with `free` bytes of GPU memory beside its weights."""
    tokens = int(free * SHARE) // kept_per_token(config, fused)
    if tokens >= LEAST:
        return MemoryPlan(min(tokens, MOST), recompute=False)
    return MemoryPlan(max(1, min(int(free * SHARE) // recomputed_per_token(config, fused), MOST)), recompute=True)


def plan_for(model: Any) -> MemoryPlan:
    """Returns the plan for a loaded model by the memory that its GPU has left."""
    import torch

    return plan_memory(model.config, torch.cuda.mem_get_info(model.device)[0], has_fused_kernels(model.config))


def _attention_sizes(config: Any) -> tuple[int, int]:
    """The outputs of the query layer, and of the key layer."""
    heads = config.num_attention_heads
    each = getattr(config, "head_dim", None) or config.hidden_size // heads
    return heads * each, (getattr(config, "num_key_value_heads", None) or heads) * each
