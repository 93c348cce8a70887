"""Decides from the free memory of a GPU how many tokens a forward pass takes, and whether activations are recomputed."""

from dataclasses import dataclass
from typing import Any

LEAST = 4096  # tokens; with fewer, unpacking NF4 takes 8 % of the time or more (its cost does not depend on their number)
MOST = 8192  # unpacking NF4 takes 4 % of the time then, and much of the memory stays free for blocks of other shapes
SHARE = 0.9  # of the free memory; the rest is for fragments and the optimizer


@dataclass(frozen=True)
class MemoryPlan:
    """How a training uses the memory of a GPU.

    `tokens`: at most so many in a forward pass, with padding.
    `recompute`: the backward pass computes activations again, instead of keeping them (activation checkpointing).
    """

    tokens: int
    recompute: bool


def kept_per_token(config: Any) -> int:
    """Returns the bytes of activations that the backward pass needs for each token of a Llama, without checkpointing.

    In bf16 a layer keeps eight vectors of the hidden size, keys and values, and three of the MLP's. Measured for Llama-3.1-8B on
    an H100: 4.3 MiB a token; this says 4.7 MiB.
    """
    kv = config.hidden_size // config.num_attention_heads * getattr(config, "num_key_value_heads", config.num_attention_heads)
    return int(2 * (8 * config.hidden_size + 2 * kv + 3 * config.intermediate_size) * config.num_hidden_layers)


def plan_memory(config: Any, free: int) -> MemoryPlan:
    """Returns how to train a model of `config` with `free` bytes of GPU memory beside its weights."""
    tokens = int(free * SHARE) // kept_per_token(config)
    if tokens >= LEAST:
        return MemoryPlan(min(tokens, MOST), recompute=False)
    # one vector of the hidden size a layer is kept, and one layer's activations at a time
    each = 2 * config.hidden_size * config.num_hidden_layers + kept_per_token(config) // config.num_hidden_layers
    return MemoryPlan(max(1, min(int(free * SHARE) // each, MOST)), recompute=True)


def plan_for(model: Any) -> MemoryPlan:
    """Returns the plan for a loaded model by the memory that its GPU has left."""
    import torch

    return plan_memory(model.config, torch.cuda.mem_get_info(model.device)[0])
