"""The losses of the student's forms of answer, one figure an example, whatever batch it comes in."""

from collections.abc import Sequence
from typing import Any

from raddistill.student.forward import hidden_states, score_logits, slot_logits
from raddistill.student.prompts import IGNORED, Encoded
from raddistill.student.tagging import OUTSIDE, TAGS, Tag

ANSWER_TOKENS = 16  # about what a teacher's answer has; a text of so many tokens weighs as much as one report's slots
Targets = list[float | None] | None


def example_losses(
    causal: Any,
    examples: Sequence[Encoded],
    targets: Sequence[Targets],
    tags: Sequence[Sequence[Tag]],
    answers: tuple[int, int],
) -> Any:
    """One loss an example, shape (len(examples),), float32.

    Slots and head: mean binary cross entropy of the label's logit (slots: yes - no) against the soft target, over the labels that
    have one. Tags: cross entropy against the soft tag, summed over the tokens that have one, in units of ANSWER_TOKENS.
    Text: cross entropy summed over the completion's tokens, in the same units. Not the mean per example: that made the first token of
    "None" count ten times the first of a list, and the student answered None to half of what it should have listed (validation
    recall 0.37, docs/log.md 2026-11-23). Logits are computed where a loss is taken and nowhere else.
    """
    import torch

    hidden, shared = hidden_states(causal.model, examples)
    losses = torch.zeros(len(examples), device=hidden.device)
    for form in sorted({e.form for e in examples}):
        rows = [i for i, e in enumerate(examples) if e.form == form]
        of_form, at = [examples[i] for i in rows], torch.tensor(rows, device=hidden.device)
        if form == "slots":
            logits = slot_logits(hidden[at], shared, of_form, causal.lm_head, answers)
            each = _binary(logits[..., 0] - logits[..., 1], [targets[i] for i in rows])
        elif form == "head":
            logits = score_logits(hidden[at], shared, of_form, causal.score)[:, :-TAGS]
            each = _binary(logits, [targets[i] for i in rows])
        elif form == "tags":
            logits = score_logits(hidden[at], shared, of_form, causal.score)[:, -TAGS:]
            each = _tags(logits, [tags[i] for i in rows])
        else:
            each = _text(hidden, shared, causal.lm_head, examples, rows)
        losses = losses.index_add(0, at, each)
    return losses


def _tags(logits: Any, tags: Sequence[Sequence[Tag]]) -> Any:
    """A token of a span that is worth w is its tag with probability w, outside with 1 - w; worth nothing known: no loss."""
    import torch

    flat = [tag for of_example in tags for tag in of_example]
    row_of = torch.tensor([row for row, of_example in enumerate(tags) for _ in of_example], device=logits.device)
    kind = torch.tensor([tag for tag, _ in flat], device=logits.device)
    known = torch.tensor([worth is not None for _, worth in flat], device=logits.device)
    worth = torch.tensor([worth or 0.0 for _, worth in flat], device=logits.device)
    logs = logits.log_softmax(-1)
    of_kind = logs.gather(1, kind.unsqueeze(1)).squeeze(1)
    each = -(worth * of_kind + (1 - worth) * logs[:, OUTSIDE]) * known
    return torch.zeros(len(tags), device=logits.device).index_add(0, row_of, each / ANSWER_TOKENS)


def _binary(logits: Any, targets: Sequence[Targets]) -> Any:
    import torch

    rows: list[list[float]] = [[float("nan") if t is None else t for t in row or []] for row in targets]
    wanted = torch.tensor(rows, device=logits.device)
    known = ~wanted.isnan()
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted.nan_to_num(), reduction="none")
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
