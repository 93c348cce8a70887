"""What goes out to a model and what comes back: the types that the modules of this room share."""

from typing import Any, NamedTuple, Protocol

LARGER_CONTEXT = (  # what to do about a server whose context does not hold question and answer
    "start the server with a larger one (vLLM --max-model-len, llama.cpp --ctx-size, Ollama OLLAMA_CONTEXT_LENGTH), "
    "or lower llm.examples or llm.max_tokens"
)

FILTER = "A content filter of the server, or of a router before it, strikes: have it switched off, or take another model"

# What servers write into `finish_reason`, as `finish_word` spells it.
FILTERED = {  # Azure and OpenAI; Bedrock; Google; Cohere; Zhipu
    "content_filter", "content_filtered", "guardrail_intervened", "safety", "recitation", "blocklist", "prohibited_content",
    "spii", "error_toxic", "sensitive",
}  # fmt: skip
FAILED = {"error", "abort", "insufficient_system_resource", "network_error"}  # the server's own failure; DeepSeek's, Zhipu's


class Question(Protocol):
    """One request, and the key under which its answer is kept."""

    @property
    def key(self) -> str:
        """sha256, hex, of everything that shapes the answer: the body with model and sampling, the form, the sample's number."""

    @property
    def form(self) -> str:
        """json_schema | text | decisions"""

    @property
    def body(self) -> dict[str, Any]:
        """Keyword arguments of `chat.completions.create`, or of `decisions.create` where the form is decisions."""


class Answer(NamedTuple):
    """What was paid for, as the store keeps it."""

    key: str  # of its question
    text: str | None  # the message; for decisions, the list `answers` as JSON; None where the model sent none
    finish: str  # stop | length | content_filter | refusal | ...: the server's word. Ours: no_choices, no_message (of a filter)
    model: str  # as the server names it
    fingerprint: str | None
    logprobs: list[list[Any]] | None  # a token each: [token, log probability, [[alternative, log probability], ...]]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int  # of the prompt tokens
    request_id: str | None
    usd: float  # by the price table of that day
    mode: str  # direct | batch


def finish_word(reason: str) -> str:
    """Returns a server's `finish_reason` in one spelling: some servers write it in capitals, some with hyphens."""
    return reason.lower().replace("-", "_")
