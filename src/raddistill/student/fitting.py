"""Prompts that fit: what is too long for the model is cut at its least telling end, never the answer."""

import re
from typing import Any, NamedTuple

from raddistill.errors import InputError
from raddistill.passages import WHOLE, Passage, find_passages
from raddistill.student.prompts import PLAIN, Renderer, encode, is_encoder

_WORD = re.compile(r"\S+")


class Fitted(NamedTuple):
    """A prompt, and which slices of the text it still holds, as (start, end)."""

    prompt: str
    kept: list[tuple[int, int]]
    is_cut: bool


def fit(
    renderer: Renderer,
    tokenizer: Any,
    form: str,
    completion: str | None,
    max_tokens: int,
    text: str,
    findings: str | None,
    impression: str | None,
) -> Fitted | None:
    """The prompt of a text, shortened if need be so that prompt and answer take at most `max_tokens`.

    The impression, where the radiologist sums up, is kept before the findings; words go from the end of the findings,
    then of the impression. The answer is never cut: None where it leaves no room for the instruction. What is read without an
    instruction (head, tags) is cut at its end.

    Raises:
        InputError: the instruction alone leaves no room for a report.
    """

    def is_short(prompt: str, answer: str | None) -> bool:
        return len(encode(tokenizer, prompt, answer, form).input_ids) <= max_tokens

    if form in PLAIN:
        kept = _first_tokens(tokenizer, form, text, max_tokens)
        return Fitted(kept, [(0, len(kept))], len(kept) < len(text))
    whole = renderer.prompt(form, text)
    if is_short(whole, completion):
        return Fitted(whole, [(0, len(text))], False)
    if not is_short(renderer.prompt(form, ""), completion):
        if form == "slots" or not is_short(renderer.prompt(form, ""), None):  # the same for every report
            raise InputError(f"merge.max_tokens: {max_tokens} tokens do not hold the instruction of {form}; raise it")
        return None
    sections = _sections(text, findings, impression)

    def prompt_of(words: int) -> Fitted:
        kept = _first_words(sections, words)
        return Fitted(renderer.prompt(form, "\n".join(text[start:end] for start, end in kept)), kept, True)

    low, high = 0, sum(len(section.ends) for section in sections)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_short(prompt_of(middle).prompt, completion) else (low, middle)
    return prompt_of(low)


class _Section(NamedTuple):
    """Where a section begins, its header included, and where each of its words ends."""

    start: int
    ends: list[int]


def _sections(text: str, findings: str | None, impression: str | None) -> list[_Section]:
    """The sections of a text, the most telling first."""
    report = {"text": text, "findings": findings, "impression": impression}
    passages, reason = find_passages(report, ["findings", "impression"], first_only=False)
    if reason:
        passages = [Passage(text, WHOLE, 0, len(text))]
    found, before = [], 0
    for passage in passages:
        start = before + len(text[before : passage.start]) - len(text[before : passage.start].lstrip())
        found.append(_Section(start, [word.end() for word in _WORD.finditer(text, passage.start, passage.end)]))
        before = passage.end
    return found[::-1]


def _first_words(sections: list[_Section], words: int) -> list[tuple[int, int]]:
    """Slices of the text that hold its so many most telling words, in the order of the text."""
    kept = []
    for section in sections:
        ends = section.ends[:words]
        words -= len(ends)
        if ends:
            kept.append((section.start, ends[-1]))
    return sorted(kept)


def _first_tokens(tokenizer: Any, form: str, text: str, max_tokens: int) -> str:
    """As much of a text as fits, to a whole token; a beginning, so that places in it stay."""
    over = len(encode(tokenizer, text, None, form).input_ids) - max_tokens
    if over <= 0:
        return text
    places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    dropped = -(-over // 2) if form == "tags" and not is_encoder(tokenizer) else over  # a tagged text stands twice in an LLM
    return text[: places[len(places) - dropped - 1][1]]
