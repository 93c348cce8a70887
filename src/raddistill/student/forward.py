"""From a batch of examples to hidden states, logits, losses and greedy answers. The prefix that all share is computed once.

Chat template and instruction are the same for every report of a task: with 13 labels they are a third of the tokens. They go
through the model as a batch of one; then keys and values are expanded to the batch, gradients included.
"""

from collections.abc import Collection, Sequence
from typing import Any

from raddistill.student.models import ENCODERS
from raddistill.student.prompts import IGNORED, Encoded

MIN_SHARED = 8  # shorter prefixes are not worth the second forward pass

# On a CPU, plain matrix products beat the fused kernel while the attention matrix is small: 900 and 937 against 718 and 764
# tokens/s of training (SmolLM2-135M, batch 8, 2 cores, docs/log.md 2026-11-23). For longer texts they cost gigabytes.
EAGER_UP_TO = 256

ANSWER_TOKENS = 16  # about as many as a teacher's answer has
# Not the number of labels: a sentence states about one of 13, and its mean loss vanished against that of tags.
LABEL_LOSS_DIVISOR = 4
Targets = list[float | None] | None


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
    right, where causal attention ignores it. An encoder needs a mask and shares no prefix; nor does a training that recomputes
    activations.
    """
    import torch

    device = next(backbone.parameters()).device
    is_encoder = backbone.config.model_type in ENCODERS
    # transformers drops the cache, with a warning only, while it recomputes activations: the prefix would be lost
    recomputes = backbone.training and backbone.is_activation_checkpointing
    shared = 0 if is_encoder or recomputes else shared_length(examples)
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


def example_losses(
    causal: Any,
    examples: Sequence[Encoded],
    targets: Sequence[Targets],
    answers: tuple[int, int],
    robust: float = 0.0,
) -> Any:
    """Returns one loss per example, shape (len(examples),), float32.

    - Slots and head: binary cross entropy of the label's logit (slots: yes - no) against its target, summed over the labels with
      a target, divided by LABEL_LOSS_DIVISOR.
    - Tags: the same, summed over the tokens of the text, divided by ANSWER_TOKENS.
    - Text: cross entropy summed over the tokens of the completion, divided by ANSWER_TOKENS. Not the mean per example: with it
      the first token of "None" counted ten times as much as that of a list, and the student answered None to half of the reports
      with findings (validation recall 0.37, docs/log.md 2026-11-23).

    Logits are computed only at positions with a loss.
    """
    import torch

    hidden, shared = hidden_states(causal.base_model, examples)
    losses = torch.zeros(len(examples), device=hidden.device)
    for form in sorted({e.form for e in examples}):
        rows = [i for i, e in enumerate(examples) if e.form == form]
        of_form, at = [examples[i] for i in rows], torch.tensor(rows, device=hidden.device)
        if form == "slots":
            logits = slot_logits(hidden[at], shared, of_form, causal.lm_head, answers)
            each = _binary(logits[..., 0] - logits[..., 1], [targets[i] for i in rows], robust) / LABEL_LOSS_DIVISOR
        elif form == "head":
            logits = score_logits(hidden[at], shared, of_form, causal.score)[:, :-1]
            each = _binary(logits, [targets[i] for i in rows], robust) / LABEL_LOSS_DIVISOR
        elif form == "tags":
            logits = score_logits(hidden[at], shared, of_form, causal.score)[:, -1]
            tokens = _binary(logits.unsqueeze(1), [[worth] for i in rows for worth in targets[i] or []], robust)
            row_of = torch.tensor([n for n, e in enumerate(of_form) for _ in e.read_at], device=hidden.device)
            each = torch.zeros(len(rows), device=hidden.device).index_add(0, row_of, tokens / ANSWER_TOKENS)
        else:
            each = _text(hidden, shared, causal.lm_head, examples, rows)
        losses = losses.index_add(0, at, each)
    return losses


def _binary(logits: Any, targets: Sequence[Targets], robust: float) -> Any:
    """The loss of each row of `logits`, summed over its targets. `robust`: see `TrainParams`."""
    import torch

    rows: list[list[float]] = [[float("nan") if t is None else t for t in row or []] for row in targets]
    wanted = torch.tensor(rows, device=logits.device)
    known = ~wanted.isnan()
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted.nan_to_num(), reduction="none")
    if robust:  # (1 - (1 - p) ** q) / q, computed from the logit
        of_absent = -torch.expm1(robust * torch.nn.functional.logsigmoid(-logits)) / robust
        each = torch.where(wanted == 0, of_absent, each)
    return (each * known).sum(1)


def _text(hidden: Any, shared: int, head: Any, examples: Sequence[Encoded], written: list[int]) -> Any:
    import torch

    rows, columns, wanted = [], [], []
    for n, i in enumerate(written):
        positions = [t for t, label in enumerate(examples[i].labels) if label != IGNORED]
        rows += [n] * len(positions)
        columns += [t - 1 - shared for t in positions]  # the token before predicts it
        wanted += [examples[i].labels[t] for t in positions]
    row_of = torch.tensor(rows, device=hidden.device)
    at = hidden[torch.tensor(written, device=hidden.device)][row_of, torch.tensor(columns, device=hidden.device)]
    logits = (at @ head.weight.to(at.dtype).T).float()
    each = torch.nn.functional.cross_entropy(logits, torch.tensor(wanted, device=hidden.device), reduction="none")
    return torch.zeros(len(written), device=hidden.device).index_add(0, row_of, each / ANSWER_TOKENS)


def greedy(causal: Any, prompts: Sequence[Encoded], max_new_tokens: int, ends: Collection[int]) -> list[list[int]]:
    """Returns the greedy token ids after each prompt, up to one of `ends` (not included) or `max_new_tokens`.

    transformers' `generate` keeps all rows until the longest answer ends, but most reports have no finding or one. Here finished
    rows leave batch and cache.
    """
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
