"""What goes out to an LLM teacher and what comes back: the words that the modules of this folder speak in. Pure."""

from typing import Any, NamedTuple

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


class Question(NamedTuple):
    """One request, and the key under which its answer is kept."""

    key: str  # sha256, hex, of everything that shapes the answer: the body with model and sampling, the form, sample number
    report_id: str
    sample: int  # of self-consistency, from 0
    ask: int  # 0: the first time; n: after n answers that failed their checks
    form: str  # json_schema | text | decisions
    body: dict[str, Any]  # keyword arguments of chat.completions.create, or of decisions.create
    examples: list[str]  # ids of the worked examples shown


def finish_word(reason: str) -> str:
    """A server's `finish_reason` in one spelling: some write it in capitals, some with hyphens."""
    return reason.lower().replace("-", "_")


class Answer(NamedTuple):
    """What was paid for; a line of the journal."""

    key: str
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


class Fault(NamedTuple):
    """Why an answer is not used. `reason` is of a small fixed set of words (quarantine, metrics); neither holds report text.

    `told` is what the model is told when it is asked again: it may name label, code or the number of an item.
    """

    reason: str
    told: str
    advice: str = ""  # for the user, where the cause is likely the server or the settings and so shared by many answers
    final: bool = False  # asking again cannot mend it
