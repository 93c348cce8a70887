"""What answers cost: the price table, and the cap that no run passes."""

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
CHARACTERS_A_TOKEN = 4  # English, by OpenAI's own rule of thumb; only where no answer tells better
# A server's chat template adds what the body does not show: a default system message, the date. SmolLM2's adds 20 tokens.
TEMPLATE_TOKENS = 256
DECISION_TOKENS = 64  # output of one question of a decisions call, which takes no bound of ours; a probability needs far fewer


class BudgetReached(RaddistillError):  # noqa: N818 - not a user error
    """The next request could cost more than is left of the cap. Everything answered is kept."""


class Price(Section):
    """USD per million tokens."""

    input: float = Field(ge=0, allow_inf_nan=False)
    cached_input: float = Field(ge=0, allow_inf_nan=False)
    cache_write: float | None = Field(default=None, ge=0, allow_inf_nan=False)  # None: as input
    output: float = Field(ge=0, allow_inf_nan=False)
    batch: float = Field(default=1.0, gt=0, le=1)  # batch mode, as a share of the others; left out: as dear

    @property
    def written(self) -> float:
        return self.input if self.cache_write is None else self.cache_write

    @property
    def highest(self) -> float:
        """Of a prompt token."""
        return max(self.input, self.cached_input, self.written)


class Tokens(NamedTuple):
    """What one request used, as its server counted."""

    prompt: int
    completion: int
    cached: int = 0  # of the prompt: read from the server's cache
    written: int = 0  # of the prompt: put into it


class Prices:
    """The price table: exact names, and beginnings of names."""

    def __init__(self, prices: dict[str, Price]) -> None:
        self._exact = {name: price for name, price in prices.items() if not name.endswith("*")}
        starts = [(name[:-1], price) for name, price in prices.items() if name.endswith("*")]
        self._starts = sorted(starts, key=lambda start: -len(start[0]))

    @classmethod
    def load(cls, path: str | Path) -> "Prices":
        """The table in a YAML file.

        Raises:
            InputError: the file is missing, no YAML (line named) or not of the table's form (model and key named).
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
        """The exact name wins, then the longest beginning."""
        return self._exact.get(model) or next((price for start, price in self._starts if model.startswith(start)), None)


def _wrong(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {'unknown key' if first['type'] == 'extra_forbidden' else first['msg']}" if where else "holds no models"


def usd_of(price: Price, tokens: Tokens, batch: bool) -> float:
    """USD for the tokens of one request or of many."""
    cached = min(tokens.cached, tokens.prompt)
    written = min(tokens.written, tokens.prompt - cached)
    plain = tokens.prompt - cached - written
    prompt = plain * price.input + cached * price.cached_input + written * price.written
    return (prompt + tokens.completion * price.output) * (price.batch if batch else 1) / MILLION


def size(body: dict[str, Any]) -> int:
    """Bytes of a request as JSON in ASCII: no fewer than its bytes in UTF-8, roles, names and schema included."""
    return len(json.dumps(body))


def most_tokens(body: dict[str, Any], body_size: int | None = None) -> Tokens:
    """More than a server can count for a request.

    Tokens of byte-level BPE and SentencePiece with byte fallback hold one byte at least, so no text has more tokens than bytes.
    """
    prompt = (size(body) if body_size is None else body_size) + TEMPLATE_TOKENS
    return Tokens(prompt, most_completion(body))


def most_completion(body: dict[str, Any]) -> int:
    """The bound on completion tokens that a body asks for itself, over all its choices; of a decisions call, ours."""
    bound = body.get("max_completion_tokens") or body.get("max_tokens") or DECISION_TOKENS * len(body.get("questions", []))
    return int(bound) * int(body.get("n") or 1)


class Budget:
    """Money of one run under its cap. Reserve the most that a request can cost, send it, settle with what it did cost.

    What is spent and what is reserved together never pass the cap, so neither does the run, however requests overlap.
    A request whose answer never arrived (timeout, dropped connection) may have been charged: it counts as the most it can cost.
    """

    def __init__(self, cap_usd: float, prices: Prices, model: str) -> None:
        """`cap_usd` -1: no cap.

        Raises:
            InputError: a cap on a model that has no price.
        """
        self._price = prices.of(model)
        if cap_usd != NO_CAP and self._price is None:
            raise InputError(
                f"asking.budget_usd is set, but the price table has no price for '{model}': add a row to the file that "
                f"asking.prices names, such as {model}: {{input: 0, cached_input: 0, output: 0}}, or set asking.budget_usd to -1"
            )
        self.cap = math.inf if cap_usd == NO_CAP else cap_usd
        self.spent = 0.0  # USD that answers cost
        self.lost = 0.0  # USD that requests without an answer may have cost, at most
        self.reserved = 0.0  # USD that requests under way may cost, at most
        self._open = 0

    def most(self, body: dict[str, Any], *, body_size: int | None = None, batch: bool = False) -> float:
        """USD that a request can cost at most; `body_size` where it is known already."""
        if self._price is None:
            return 0.0
        tokens = most_tokens(body, body_size)
        usd = tokens.prompt * self._price.highest + tokens.completion * self._price.output
        return usd * (self._price.batch if batch else 1) / MILLION

    def reserve(self, usd: float) -> bool:
        """Sets `usd` aside; False, and nothing set aside, where the cap does not allow it (now: see `exhausted`)."""
        if usd and self.spent + self.lost + self.reserved + usd > self.cap:  # 0: a batch of an earlier run may have passed it
            return False
        self.reserved += usd
        self._open += 1
        return True

    def settle(self, reserved: float, tokens: Tokens | None, *, batch: bool = False) -> float:
        """Ends a reservation with what was used, and returns its USD; tokens None: the server did not say, so the most counts."""
        usd = reserved if tokens is None else 0.0 if self._price is None else usd_of(self._price, tokens, batch)
        self._end(reserved)
        self.spent += usd
        return usd

    def release(self, reserved: float, *, charged: bool) -> None:
        """Ends a reservation without an answer; `charged`: the server may have worked for it all the same."""
        self._end(reserved)
        self.lost += reserved if charged else 0.0

    @property
    def exhausted(self) -> bool:
        """Nothing is under way whose end could make room."""
        return self._open == 0

    def _end(self, reserved: float) -> None:
        self._open -= 1
        assert self._open >= 0, "more reservations ended than made"
        self.reserved = self.reserved - reserved if self._open else 0.0  # no remainders of rounding

    def summary(self) -> str:
        """For people: what was spent, and under which cap."""
        if self._price is None:
            return "USD unknown, as the price table has no price for this model"
        cap = "no cap" if self.cap == math.inf else f"cap {_money(self.cap)}"
        lost = f", and up to {_money(self.lost)} for requests whose answer was lost" if self.lost else ""
        return f"{_money(self.spent)} USD spent{lost} ({cap})"


def _money(usd: float) -> str:
    """Cents, and for less than that two digits that say something."""
    return f"{usd:.2f}" if usd >= 0.01 or usd == 0 else f"{usd:.2g}"
