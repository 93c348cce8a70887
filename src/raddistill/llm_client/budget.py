"""Computes what answers cost by the price table, and keeps a run below its cap.

At the cap `Budget.reserve` returns False. In direct mode `_Sender.reserve` then waits until a request in flight frees money.
In batch mode `_Collector._add` leaves the question for a later round. If nothing can free money, `Run.stopped` is OUT_OF_MONEY,
and `Run.raise_if_stopped` raises BudgetReached, which ends the stage. All answers are kept; the next run has the whole cap again.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raddistill.errors import InputError, RaddistillError
from raddistill.params import Section

NO_CAP = -1.0
MILLION = 1e6
CHARACTERS_A_TOKEN = 4  # English, by OpenAI's rule of thumb; used until answers give a better estimate
# A server's chat template adds text to the body: a default system message, the date. SmolLM2's adds 20 tokens.
TEMPLATE_TOKENS = 256
DECISION_TOKENS = 64  # output of one question of a decisions call, which has no max_tokens; a probability needs far fewer


class BudgetReached(RaddistillError):  # noqa: N818 - not a user error
    """The next request could cost more than is left of the cap. All answers are kept."""


class Price(Section):
    """USD per million tokens."""

    input: float = Field(ge=0, allow_inf_nan=False)
    cached_input: float = Field(ge=0, allow_inf_nan=False)
    cache_write: float | None = Field(default=None, ge=0, allow_inf_nan=False)  # None: the price of input
    output: float = Field(ge=0, allow_inf_nan=False)
    batch: float = Field(default=1.0, gt=0, le=1)  # price in batch mode, as a share of the other prices; default: the same price

    @property
    def written(self) -> float:
        return self.input if self.cache_write is None else self.cache_write

    @property
    def highest(self) -> float:
        """The highest price of a prompt token."""
        return max(self.input, self.cached_input, self.written)


class Tokens(NamedTuple):
    """Tokens that one request used, as the server counted them."""

    prompt: int
    completion: int
    cached: int = 0  # of the prompt: read from the server's cache
    written: int = 0  # of the prompt: written to the server's cache


class Prices:
    """The price table: full names of models, and prefixes of names (`gpt-4*`)."""

    def __init__(self, prices: dict[str, Price]) -> None:
        self._prices = prices

    @classmethod
    def load(cls, path: str | Path) -> "Prices":
        """Reads the table from a YAML file.

        Raises:
            InputError: the file is missing, not YAML (line named), or has a wrong key or value (model and key named).
        """
        try:
            content = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
            return cls(TypeAdapter(dict[str, Price]).validate_python(content))
        except FileNotFoundError:
            raise InputError(f"the price table {path} does not exist; params.yaml names it as asking.prices") from None
        except ValidationError as error:
            raise InputError(f"{path}: {_wrong(error)}; see the head of the file as shipped") from None
        except (YAMLError, UnicodeDecodeError) as error:
            where = getattr(error, "problem_mark", None)
            raise InputError(f"{path}{f', line {where.line + 1}' if where else ''}: no YAML") from None

    def of(self, model: str) -> Price | None:
        """Returns the price of a model: by its full name, else by the longest prefix; None if neither is in the table."""
        prefixes = (name for name in self._prices if name.endswith("*") and model.startswith(name[:-1]))
        return self._prices.get(model) or self._prices.get(max(prefixes, key=len, default=""))


def _wrong(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {'unknown key' if first['type'] == 'extra_forbidden' else first['msg']}" if where else "holds no models"


def usd_of(price: Price, tokens: Tokens, batch: bool) -> float:
    """Returns the price in USD of the tokens of one request, or of many."""
    cached = min(tokens.cached, tokens.prompt)
    written = min(tokens.written, tokens.prompt - cached)
    plain = tokens.prompt - cached - written
    prompt = plain * price.input + cached * price.cached_input + written * price.written
    return (prompt + tokens.completion * price.output) * (price.batch if batch else 1) / MILLION


def size(body: dict[str, Any]) -> int:
    """Returns the bytes of a request body as ASCII JSON, which are at least its bytes in UTF-8."""
    return len(json.dumps(body))


def most_tokens(body: dict[str, Any], body_size: int | None = None) -> Tokens:
    """Returns an upper bound on the tokens of a request. `body_size`: its `size`, if known.

    A token of byte-level BPE, or of SentencePiece with byte fallback, is at least one byte. So a text has at most as many tokens
    as bytes.
    """
    prompt = (size(body) if body_size is None else body_size) + TEMPLATE_TOKENS
    return Tokens(prompt, most_completion(body))


def most_completion(body: dict[str, Any]) -> int:
    """Returns the most completion tokens over all choices: the body's own bound, or DECISION_TOKENS for each decision."""
    bound = body.get("max_completion_tokens") or body.get("max_tokens") or DECISION_TOKENS * len(body.get("questions", []))
    return int(bound) * int(body.get("n") or 1)


class Budget:
    """The money of one run.

    Reserve the most that a request can cost, send it, then settle at its actual cost, or release the reservation.

    Spent, lost and reserved money together never exceed the cap, however requests overlap. A request whose answer never arrived
    (timeout, dropped connection) may have been charged, so its whole reservation counts as lost.
    """

    def __init__(self, cap_usd: float, prices: Prices, model: str) -> None:
        """`cap_usd` -1: no cap.

        Raises:
            InputError: there is a cap, but no price for the model.
        """
        self._price = prices.of(model)
        if cap_usd != NO_CAP and self._price is None:
            raise InputError(
                f"asking.budget_usd is set, but the price table has no price for '{model}': add a row to the file that "
                f"asking.prices names, such as {model}: {{input: 0, cached_input: 0, output: 0}}, or set asking.budget_usd to -1"
            )
        self.cap = math.inf if cap_usd == NO_CAP else cap_usd
        self.spent = 0.0  # USD, for answers
        self.lost = 0.0  # USD, the most that requests without an answer may have cost
        self.reserved = 0.0  # USD, the most that open requests may cost
        self._open = 0  # number of reservations

    def most(self, body: dict[str, Any], *, body_size: int | None = None, batch: bool = False) -> float:
        """Returns the most that a request can cost, in USD. `body_size`: its `size`, if known."""
        if self._price is None:
            return 0.0
        tokens = most_tokens(body, body_size)
        usd = tokens.prompt * self._price.highest + tokens.completion * self._price.output
        return usd * (self._price.batch if batch else 1) / MILLION

    def reserve(self, usd: float) -> bool:
        """Reserves `usd`. False: the cap does not allow it; it may later, unless `nothing_reserved`."""
        # a 0 reservation is always allowed: it is a batch already paid for
        if usd and self.spent + self.lost + self.reserved + usd > self.cap:
            return False
        self.reserved += usd
        self._open += 1
        return True

    def settle(self, reserved: float, tokens: Tokens | None, *, batch: bool = False) -> float:
        """Ends a reservation and returns the actual cost in USD; the whole reservation if the server did not count `tokens`."""
        usd = reserved if tokens is None else 0.0 if self._price is None else usd_of(self._price, tokens, batch)
        self._end(reserved)
        self.spent += usd
        return usd

    def release(self, reserved: float, *, charged: bool) -> None:
        """Ends a reservation without an answer. `charged`: the server may charge for the request all the same."""
        self._end(reserved)
        self.lost += reserved if charged else 0.0

    @property
    def nothing_reserved(self) -> bool:
        """Whether no reservation is open that could free money."""
        return self._open == 0

    def _end(self, reserved: float) -> None:
        self._open -= 1
        assert self._open >= 0, "more reservations ended than made"
        self.reserved = self.reserved - reserved if self._open else 0.0  # 0: no rounding errors left over

    def summary(self) -> str:
        """Returns what was spent, and the cap, for the console."""
        if self._price is None:
            return "USD unknown, as the price table has no price for this model"
        cap = "no cap" if self.cap == math.inf else f"cap {_money(self.cap)}"
        lost = f", and up to {_money(self.lost)} for requests whose answer was lost" if self.lost else ""
        return f"{_money(self.spent)} USD spent{lost} ({cap})"


def _money(usd: float) -> str:
    """Two decimals; two significant digits below a cent."""
    return f"{usd:.2f}" if usd >= 0.01 or usd == 0 else f"{usd:.2g}"
