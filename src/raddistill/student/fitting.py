"""Prompts that fit: what is too long for the model is cut at its least telling end, never the answer."""

from typing import Any

from raddistill.errors import InputError
from raddistill.student.prompts import PLAIN, Renderer, encode, is_encoder


def fit(
    renderer: Renderer,
    tokenizer: Any,
    form: str,
    completion: str | None,
    max_tokens: int,
    text: str,
    findings: str | None,
    impression: str | None,
) -> tuple[str, bool]:
    """The prompt of a report, shortened if need be so that prompt and answer take at most `max_tokens`; whether it was.

    The impression, where the radiologist sums up, is kept before the findings; words go from the end of the findings,
    then of the impression. The answer is never cut. What is read without an instruction (head, tags) is cut at its end.

    Raises:
        InputError: instruction and answer leave no room for a report.
    """

    def prompt_of(words: int) -> tuple[str, bool]:
        prompt = renderer.prompt(form, _first_words(findings, impression, words))
        return prompt, len(encode(tokenizer, prompt, completion, form).input_ids) <= max_tokens

    if form in PLAIN:
        return _first_tokens(tokenizer, form, text, max_tokens)
    prompt = renderer.prompt(form, text)
    if len(encode(tokenizer, prompt, completion, form).input_ids) <= max_tokens:
        return prompt, False
    low, high = 0, len((findings or "").split()) + len((impression or "").split())
    if not prompt_of(0)[1]:
        raise InputError(f"merge.max_tokens: {max_tokens} tokens do not hold instruction and answer; raise it")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if prompt_of(middle)[1] else (low, middle)
    return prompt_of(low)[0], True


def _first_words(findings: str | None, impression: str | None, words: int) -> str:
    kept_impression = (impression or "").split()[:words]
    kept_findings = (findings or "").split()[: words - len(kept_impression)]
    sections = (("FINDINGS", kept_findings), ("IMPRESSION", kept_impression))
    return "\n".join(f"{name}: {' '.join(kept)}" for name, kept in sections if kept)


def _first_tokens(tokenizer: Any, form: str, text: str, max_tokens: int) -> tuple[str, bool]:
    """As much of a text as fits, to a whole token; a beginning, so that places in it stay."""
    over = len(encode(tokenizer, text, None, form).input_ids) - max_tokens
    if over <= 0:
        return text, False
    places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    dropped = -(-over // 2) if form == "tags" and not is_encoder(tokenizer) else over  # a tagged text stands twice in an LLM
    return text[: places[len(places) - dropped - 1][1]], True
