"""Params of the LLM teacher: what shapes its answers (`llm`), and how, how fast and for how much it is asked (`asking`)."""

from typing import Literal

from pydantic import Field, field_validator

from raddistill.params import Section


class LLMParams(Section):
    """The section synthesize.llm, or teachers.<name>.llm. Keys and URLs come from the environment only."""

    endpoint: Literal["openai", "azure", "compatible"]
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


class AskingParams(Section):
    """The section `asking`: no stage lists it, so that it never invalidates an answer that was paid for."""

    mode: Literal["direct", "batch"]  # batch: files and batches endpoints, within a day, at the price table's batch rate
    in_flight: int = Field(ge=1)
    requests_per_minute: int = Field(ge=0)  # 0: as the server's headers say
    tokens_per_minute: int = Field(ge=0)  # 0: as the server's headers say
    timeout_s: float = Field(gt=0)  # of one request
    tries: int = Field(ge=1)  # of one request, until it counts as failed
    budget_usd: float = Field(ge=-1)  # spent by one run of the stage at most; -1: no cap, nothing else below 0
    prices: str  # the price table, a YAML file
    approved_hosts: list[str]  # where text that is not public may go, beside loopback: host or host:port
    poll_s: float = Field(gt=0)  # batch mode: between two looks at the server

    @field_validator("budget_usd")
    @classmethod
    def _cap_or_none(cls, usd: float) -> float:
        if usd < 0 and usd != -1:
            raise ValueError("a cap is 0 or more; -1: no cap")
        return usd
