"""Parses the body of a server's reply: chat completions and decisions, direct or from a line of a batch. Pure."""

import json
import math
from typing import Any, NamedTuple

from raddistill.llm_client.budget import Tokens
from raddistill.llm_client.messages import FAILED, FILTERED, Answer, finish_word
from raddistill.llm_client.request_failures import error_in, error_of

# Where servers with a reasoning parser put a model's thoughts, some even the whole answer. Stored as <think>...</think>, which is
# how models write thoughts into the message, so that the same parser reads both.
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
MOST_LOGPROB = 1e6  # larger ones are clipped: JSON can hold integers that no float can


class Reply(NamedTuple):
    """A reply of the expected format; fields as in `Answer`."""

    text: str | None
    finish: str
    model: str | None
    fingerprint: str | None
    logprobs: list[list[Any]] | None
    tokens: Tokens | None  # None: the server counts none

    def answer(self, key: str, asked: str, *, request_id: str | None, usd: float, mode: str) -> Answer:
        """Returns the answer for the store. `asked`: name of the model if the server gives none."""
        tokens = self.tokens or Tokens(0, 0)
        return Answer(
            key=key, text=self.text, finish=self.finish, model=self.model or asked, fingerprint=self.fingerprint,
            logprobs=self.logprobs, prompt_tokens=tokens.prompt, completion_tokens=tokens.completion,
            cached_tokens=tokens.cached, request_id=request_id, usd=usd, mode=mode,
        )  # fmt: skip


def read(form: str, data: object) -> Reply | None:
    """Returns the reply in the parsed body `data` (`form`: see `Question`); None: no reply (see request_failures.explain)."""
    if not isinstance(data, dict):
        return None
    return _decisions(data) if form == "decisions" else _chat(data)


def _chat(data: dict[str, Any]) -> Reply | None:
    tokens = _tokens(_mapping(data.get("usage")), "prompt", "completion")
    named = _word(data.get("model")), _word(data.get("system_fingerprint"))
    choices = data.get("choices")
    if choices in ([], None) and tokens and tokens.prompt and error_in(data) is None:  # filtered, but charged
        return Reply(None, "no_choices", *named, None, tokens)
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message, finish = choice.get("message"), _word(choice.get("finish_reason")) or "unknown"
    if error_of(choice) or finish_word(finish) in FAILED:
        return None
    if not isinstance(message, dict):  # if charged: filtered, or thoughts took all tokens
        paid = message is None and tokens and tokens.prompt and choice.get("finish_reason")
        finish = "no_message" if finish_word(finish) in FILTERED else finish
        return Reply(None, finish, *named, None, tokens) if paid else None
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        content = "".join(text for part in content if isinstance(text := part.get("text"), str))
    if not isinstance(content, str | None) or not isinstance(refusal, str | None):
        return None
    if refusal:
        return Reply(_word(refusal if content is None else content), "refusal", *named, _logprobs(choice), tokens)
    if not (content or "").strip():
        thoughts = (text for name in THOUGHTS if isinstance(text := message.get(name), str) and text.strip())
        content = next((f"<think>{text}</think>" for text in thoughts), content)
    return Reply(_word(content), finish, *named, _logprobs(choice), tokens)


def _decisions(data: dict[str, Any]) -> Reply | None:
    answers = data.get("answers")
    if not isinstance(answers, list):
        return None
    tokens = _tokens(_mapping(data.get("usage")), "input", "output")
    return Reply(json.dumps(answers), "stop", _word(data.get("model")), None, None, tokens)


def _tokens(usage: dict[str, Any], asked: str, answered: str) -> Tokens | None:
    """`asked` and `answered`: the API's names of the two kinds of tokens."""
    prompt, completion = _count(usage.get(f"{asked}_tokens")), _count(usage.get(f"{answered}_tokens"))
    total = _count(usage.get("total_tokens"))
    if completion is None and prompt is not None and total is not None:  # Google omits a zero
        completion = max(total - prompt, 0)
    if prompt is None or completion is None:
        return None
    details = _mapping(usage.get(f"{asked}_tokens_details"))
    cached = min(_count(details.get("cached_tokens")) or 0, prompt)
    written = min(_count(details.get("cache_write_tokens")) or 0, prompt - cached)
    return Tokens(prompt, completion, cached, written)


def _logprobs(choice: dict[str, Any]) -> list[list[Any]] | None:
    """[token, log probability, [[alternative, log probability], ...]] per token; None if an entry is malformed."""
    content = _mapping(choice.get("logprobs")).get("content")
    if not isinstance(content, list):
        return None
    tokens = [(_pair(token), [_pair(other) for other in _sequence(_mapping(token).get("top_logprobs"))]) for token in content]
    if any(pair is None or None in others for pair, others in tokens):
        return None
    return [[*pair, others] for pair, others in tokens if pair is not None]


def _pair(token: object) -> list[Any] | None:
    text, value = _mapping(token).get("token"), _mapping(token).get("logprob")
    if not isinstance(text, str) or not isinstance(value, int | float):
        return None
    number = float(max(min(value, MOST_LOGPROB), -MOST_LOGPROB))  # this order keeps nan
    return None if math.isnan(number) else [_word(text), number]


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _word(value: object) -> str | None:
    """A string without lone surrogates, which JSON can hold but UTF-8 and Parquet cannot."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
