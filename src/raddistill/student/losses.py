"""The losses of the student's answer forms: one number per example, independent of its batch."""

from collections.abc import Sequence
from typing import Any

from raddistill.student.forward import hidden_states, score_logits, slot_logits
from raddistill.student.prompts import IGNORED, Encoded

ANSWER_TOKENS = 16  # about as many as a teacher's answer has
# Not the number of labels: a sentence states about one of 13, and its mean loss vanished against that of tags.
LABEL_LOSS_DIVISOR = 4
Targets = list[float | None] | None


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
