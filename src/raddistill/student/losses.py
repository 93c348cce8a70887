"""The two losses of the student, one figure an example, whatever batch it comes in."""

from collections.abc import Sequence
from typing import Any

from raddistill.student.forward import hidden_states, slot_logits
from raddistill.student.prompts import IGNORED, Encoded

ANSWER_TOKENS = 16  # about what a teacher's answer has; a text of so many tokens weighs as much as one report's slots


def example_losses(
    backbone: Any, head: Any, examples: Sequence[Encoded], targets: Sequence[list[float | None] | None], answers: tuple[int, int]
) -> Any:
    """One loss an example, shape (len(examples),), float32.

    Slots: mean binary cross entropy of sigmoid(yes - no) against the soft target, over the labels that have one (a two-way
    softmax over the allowed answers, not over the vocabulary). Text: cross entropy summed over the completion's tokens, in
    units of ANSWER_TOKENS. Not the mean per example: that made the first token of "None" count ten times the first of a list, and
    the student answered None to half of what it should have listed (validation recall 0.37, docs/log.md 2026-11-23).
    Logits are computed where a loss is taken and nowhere else.
    """
    import torch

    hidden, shared = hidden_states(backbone, examples)
    losses = torch.zeros(len(examples), device=hidden.device)
    slotted = [i for i, e in enumerate(examples) if e.slots]
    if slotted:
        at = torch.tensor(slotted, device=hidden.device)
        logits = slot_logits(hidden[at], shared, [examples[i] for i in slotted], head, answers)
        losses = losses.index_add(0, at, _two_way(logits, [targets[i] for i in slotted]))
    written = [i for i, e in enumerate(examples) if not e.slots]
    if written:
        losses = losses.index_add(0, torch.tensor(written, device=hidden.device), _text(hidden, shared, head, examples, written))
    return losses


def _two_way(logits: Any, targets: Sequence[list[float | None] | None]) -> Any:
    import torch

    rows: list[list[float]] = [[float("nan") if t is None else t for t in row or []] for row in targets]
    wanted = torch.tensor(rows, device=logits.device)
    known = ~wanted.isnan()
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[..., 0] - logits[..., 1], wanted.nan_to_num(), reduction="none"
    )
    return (each * known).sum(1) / known.sum(1).clamp(min=1)


def _text(hidden: Any, shared: int, head: Any, examples: Sequence[Encoded], written: list[int]) -> Any:
    import torch

    rows, columns, wanted = [], [], []
    for n, i in enumerate(written):
        positions = [t for t, label in enumerate(examples[i].labels) if label != IGNORED]
        rows += [n] * len(positions)
        columns += [t - 1 - shared for t in positions]  # the token before predicts
        wanted += [examples[i].labels[t] for t in positions]
    row_of = torch.tensor(rows, device=hidden.device)
    at = hidden[torch.tensor(written, device=hidden.device)][row_of, torch.tensor(columns, device=hidden.device)]
    logits = (at @ head.weight.to(at.dtype).T).float()
    each = torch.nn.functional.cross_entropy(logits, torch.tensor(wanted, device=hidden.device), reduction="none")
    return torch.zeros(len(written), device=hidden.device).index_add(0, row_of, each / ANSWER_TOKENS)
