"""Params that shape an LLM teacher's answers, and which of them fit together."""

from typing import Any, Literal

from pydantic import Field

from raddistill.errors import InputError, ParamsError
from raddistill.llm_client.settings import Endpoint
from raddistill.params import Section
from raddistill.tasks.names import MULTIPLE_CHOICE

TOP_LOGPROBS = 5  # four statuses and one for the rest; some servers allow no more
MOST_DECISIONS = 400  # questions of one request (openai/resources/decisions.py)


class LLMParams(Section):
    """How an LLM teacher is asked: server, model, form and number of answers. Section synthesize.llm, or teachers.<name>.llm.

    API keys and URLs come from the environment only.
    """

    endpoint: Endpoint
    model: str = Field(min_length=1)  # azure: the name of the deployment
    answers: Literal["json_schema", "text", "decisions"]
    temperature: float | None = Field(ge=0, le=2)  # None: not sent, as some models require
    top_p: float | None = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)  # of an answer
    examples: int = Field(ge=0)  # worked examples shown with each question
    seed: int  # draws the examples; also sent with each request, except for decisions
    asks: int = Field(ge=1)  # how often a question is asked at most until an answer passes the checks
    samples: int = Field(ge=1)  # independent answers per report (self-consistency)
    logprobs: bool  # whether to ask for log probabilities and turn them into soft labels

    def require_fitting(self, task: str, names: list[str]) -> None:
        """Checks that these settings can ask for the labels `names`.

        Raises:
            ParamsError: some settings contradict each other.
            InputError: there are too many labels for a decision, or a label's name cannot be part of a line of text.
        """
        decides = self.answers == "decisions"
        if decides and task != MULTIPLE_CHOICE:
            raise ParamsError("llm.answers: decisions answer the task multiple_choice only; take json_schema or text")
        if decides and self.logprobs:
            raise ParamsError("llm.logprobs: decisions come with probabilities of their own; set it to false")
        if self.samples > 1 and (self.temperature == 0 or decides):
            raise ParamsError("llm.samples: one answer would be paid several times; raise llm.temperature, or set samples to 1")
        if decides and len(names) > MOST_DECISIONS:
            raise InputError(f"the label set has {len(names)} labels, a decision answers {MOST_DECISIONS} at most")
        odd = [name for name in names if "|" in name or name.strip() != name or len(name.splitlines()) != 1]
        if odd and task == MULTIPLE_CHOICE and self.answers == "text":
            raise InputError(f"the label '{odd[0]}' cannot stand in a line of an answer; rename it, or ask for json_schema")

    def sampling(self) -> dict[str, Any]:
        """Returns the sampling options of a chat completion, without the seed.

        Compatible servers (vLLM, llama.cpp, transformers) all know the older name `max_tokens`.
        """
        limit = "max_tokens" if self.endpoint == "compatible" else "max_completion_tokens"
        options: dict[str, Any] = {limit: self.max_tokens, "temperature": self.temperature, "top_p": self.top_p}
        options |= {} if self.endpoint == "compatible" else {"store": False}  # the provider must not keep reports
        options |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if self.logprobs else {}
        return {name: value for name, value in options.items() if value is not None}
