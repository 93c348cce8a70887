"""One forward pass over a batch of examples. The prefix that all of them share is computed once.

Chat template and instruction are the same for every report of a task: with 13 labels they are a third of the tokens. They go
through the model as a batch of one; then keys and values are expanded to the batch, gradients included.
"""

from collections.abc import Sequence
from typing import Any

from raddistill.student.models import ENCODERS
from raddistill.student.prompts import Encoded

MIN_SHARED = 8  # shorter prefixes are not worth the second forward pass

# On a CPU, plain matrix products beat the fused kernel while the attention matrix is small: 900 and 937 against 718 and 764
# tokens/s of training (SmolLM2-135M, batch 8, 2 cores, docs/log.md 2026-11-23). For longer texts they cost gigabytes.
EAGER_UP_TO = 256


def shared_length(examples: Sequence[Encoded]) -> int:
    """Returns how many leading tokens all examples share. It ends before the first token whose output is read."""
    if len(examples) < 2:
        return 0
    limit = min(min([e.prompt_length - 1, *e.read_at]) for e in examples)
    first, last = min(e.input_ids for e in examples), max(e.input_ids for e in examples)
    for n, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b or n == limit:
            return n if n >= MIN_SHARED else 0
    return 0


def hidden_states(backbone: Any, examples: Sequence[Encoded]) -> tuple[Any, int]:
    """Returns the last hidden states after the shared prefix, right-padded, and the length p of the prefix.

    Shape (len(examples), longest - p, hidden size). Row i, column t belongs to token p + t of example i. Padding is on the
    right, where causal attention ignores it. An encoder needs a mask and shares no prefix.
    """
    import torch

    device = next(backbone.parameters()).device
    is_encoder = backbone.config.model_type in ENCODERS
    shared = 0 if is_encoder else shared_length(examples)
    longest = max(len(e.input_ids) for e in examples)
    rows = [e.input_ids[shared:] + [0] * (longest - len(e.input_ids)) for e in examples]
    suffix = torch.tensor(rows, device=device)
    backbone.set_attn_implementation("eager" if device.type == "cpu" and longest <= EAGER_UP_TO else "sdpa")
    if is_encoder:
        mask = torch.tensor([[1] * len(e.input_ids) + [0] * (longest - len(e.input_ids)) for e in examples], device=device)
        return backbone(input_ids=suffix, attention_mask=mask).last_hidden_state, 0
    if not shared:
        return backbone(input_ids=suffix, use_cache=False).last_hidden_state, 0
    cache = prefix_cache(backbone, examples[0].input_ids[:shared], len(rows))
    return backbone(input_ids=suffix, past_key_values=cache, use_cache=True).last_hidden_state, shared


def prefix_cache(backbone: Any, prefix: Sequence[int], rows: int) -> Any:
    """Returns keys and values of `prefix`, computed once and expanded to `rows` rows; empty for an empty prefix."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache()
    if not prefix:
        return cache
    backbone(input_ids=torch.tensor([prefix], device=next(backbone.parameters()).device), past_key_values=cache, use_cache=True)
    layers: list[Any] = cache.layers
    for layer in layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return cache


def slot_logits(hidden: Any, shared: int, examples: Sequence[Encoded], head: Any, answers: tuple[int, int]) -> Any:
    """Returns the logits of " yes" and " no" at every label's name: (len(examples), labels, 2), float32."""
    import torch

    positions = torch.tensor([e.read_at for e in examples], device=hidden.device) - shared
    at_slots = hidden.gather(1, positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
    return (at_slots @ head.weight[list(answers)].to(at_slots.dtype).T).float()


def score_logits(hidden: Any, shared: int, examples: Sequence[Encoded], score: Any) -> Any:
    """Returns the outputs of the linear layer `score` at all `read_at` of all examples in turn: (positions, outputs), float32."""
    import torch

    rows = [i for i, e in enumerate(examples) for _ in e.read_at]
    columns = [position - shared for e in examples for position in e.read_at]
    at_slots = hidden[torch.tensor(rows, device=hidden.device), torch.tensor(columns, device=hidden.device)]
    return score(at_slots.to(score.weight.dtype)).float()
