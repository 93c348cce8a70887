"""Defines the section `asking` of params.yaml."""

from typing import Literal

from pydantic import Field, field_validator

from raddistill.params import Section

Endpoint = Literal["openai", "azure", "compatible"]


class AskingParams(Section):
    """How fast, for how much money and at which hosts a model is asked.

    No stage of dvc.yaml lists this section, so changing it never makes a paid answer stale.
    """

    mode: Literal["direct", "batch"]  # batch: files and batches endpoints, within a day, at the price table's batch rate
    in_flight: int = Field(ge=1)
    requests_per_minute: int = Field(ge=0)  # 0: as the server's headers say
    tokens_per_minute: int = Field(ge=0)  # 0: as the server's headers say
    timeout_s: float = Field(gt=0)  # of one request
    tries: int = Field(ge=1)  # of one request, until it counts as failed
    budget_usd: float = Field(ge=-1)  # the most that one run of the stage may spend; -1: no cap
    prices: str  # the price table, a YAML file
    approved_hosts: list[str]  # host or host:port that may get text that is not public; loopback always may
    poll_s: float = Field(gt=0)  # batch mode: seconds between two polls of the server

    @field_validator("budget_usd")
    @classmethod
    def _cap_or_none(cls, usd: float) -> float:
        if usd < 0 and usd != -1:
            raise ValueError("a cap is 0 or more; -1: no cap")
        return usd
