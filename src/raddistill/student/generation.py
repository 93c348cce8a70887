"""Greedy decoding of a batch of prompts. Finished rows leave the batch.

transformers' `generate` keeps all rows until the longest answer ends, but most reports have no finding or one. Here finished rows
leave batch and cache, and the prefix that all prompts share is computed once.
"""

from collections.abc import Collection, Sequence
from typing import Any

from raddistill.student.forward import prefix_cache, shared_length
from raddistill.student.prompts import Encoded


def greedy(causal: Any, prompts: Sequence[Encoded], max_new_tokens: int, ends: Collection[int]) -> list[list[int]]:
    """Returns the greedy token ids after each prompt, up to one of `ends` (not included) or `max_new_tokens`."""
    import torch

    device = next(causal.parameters()).device
    shared = shared_length(prompts)
    rest = [prompt.input_ids[shared:] for prompt in prompts]
    longest = max(map(len, rest))
    # padding between shared prefix and rest, so that all rows end at the same position
    step = torch.tensor([[0] * (longest - len(ids)) + ids for ids in rest], device=device)
    mask = torch.tensor([[1] * shared + [0] * (longest - len(ids)) + [1] * len(ids) for ids in rest], device=device)
    causal.set_attn_implementation("sdpa")
    cache = prefix_cache(causal.model, prompts[0].input_ids[:shared], len(prompts))
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    for _ in range(max_new_tokens):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -step.shape[1] :]
        tokens = causal(
            input_ids=step, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1].argmax(-1)  # fmt: skip
        going = [n for n, token in enumerate(tokens.tolist()) if token not in ends]
        rows = [rows[n] for n in going]
        if not rows:
            break
        if len(going) < len(tokens):
            kept = torch.tensor(going, device=device)
            tokens, mask = tokens[kept], mask[kept]
            cache.batch_select_indices(kept)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            written[row].append(token)
        step = tokens.unsqueeze(1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
    return written
