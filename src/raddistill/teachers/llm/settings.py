"""Params that shape what an LLM teacher answers."""

from typing import Literal

from pydantic import Field

from raddistill.llm_client.settings import Endpoint
from raddistill.params import Section


class LLMParams(Section):
    """The section synthesize.llm, or teachers.<name>.llm. Keys and URLs come from the environment only."""

    endpoint: Endpoint
    model: str = Field(min_length=1)  # azure: the name of the deployment
    answers: Literal["json_schema", "text", "decisions"]
    temperature: float | None = Field(ge=0, le=2)  # None: not sent, as some models ask for
    top_p: float | None = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)  # of the answer
    examples: int = Field(ge=0)  # worked examples shown with each question
    seed: int  # draws the examples; sent along where the endpoint takes it
    asks: int = Field(ge=1)  # how often a report is asked, the first time included, until an answer passes its checks
    samples: int = Field(ge=1)  # independent answers a report (self-consistency)
    logprobs: bool  # asks for log probabilities and makes soft labels of them
