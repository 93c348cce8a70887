"""Defines a question to a model and its answer, as all modules of this package share them."""

from typing import Any, NamedTuple, Protocol

LARGER_CONTEXT = (  # advice if the server's context is too small for question and answer
    "start the server with a larger one (vLLM --max-model-len, llama.cpp --ctx-size, Ollama OLLAMA_CONTEXT_LENGTH), "
    "or lower llm.examples or llm.max_tokens"
)

FILTER = "A content filter of the server, or of a router before it, blocks requests: have it switched off, or take another model"

# What servers write into `finish_reason`, as `finish_word` spells it.
FILTERED = {  # Azure and OpenAI; Bedrock; Google; Cohere; Zhipu
    "content_filter", "content_filtered", "guardrail_intervened", "safety", "recitation", "blocklist", "prohibited_content",
    "spii", "error_toxic", "sensitive",
}  # fmt: skip
FAILED = {"error", "abort", "insufficient_system_resource", "network_error"}  # the server's own failure; DeepSeek's, Zhipu's


class Question(Protocol):
    """One request, and the key under which its answer is stored."""

    @property
    def key(self) -> str:
        """SHA-256, hex, of all that determines the answer: the body with model and sampling, `form`, the number of the sample."""

    @property
    def form(self) -> str:
        """How the answer is asked for (`llm.answers`): json_schema | text | decisions."""

    @property
    def body(self) -> dict[str, Any]:
        """Keyword arguments of `chat.completions.create`, or of `decisions.create` if `form` is decisions."""


class Answer(NamedTuple):
    """A paid answer, as stored."""

    key: str  # of the question
    text: str | None  # the message; for decisions, the list `answers` as JSON; None if the model sent none
    finish: str  # the server's word: stop | length | content_filter | refusal | ...; or ours: no_choices, no_message (filtered)
    model: str  # as the server names it
    fingerprint: str | None
    logprobs: list[list[Any]] | None  # one entry per token: [token, log probability, [[alternative, log probability], ...]]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int  # of the prompt tokens
    request_id: str | None
    usd: float  # by the price table of that day
    mode: str  # direct | batch


def finish_word(reason: str) -> str:
    """Returns a server's `finish_reason` in one spelling: some servers write it in capitals, some with hyphens."""
    return reason.lower().replace("-", "_")
