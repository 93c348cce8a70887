"""Params that shape an LLM teacher's answers."""

from typing import Literal

from pydantic import Field

from raddistill.llm_client.settings import Endpoint
from raddistill.params import Section


class LLMParams(Section):
    """The section synthesize.llm, or teachers.<name>.llm. Keys and URLs come from the environment only."""

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
