"""How fast to ask: requests in flight, requests and tokens a minute, the server's own word on them, and what a 429 teaches.

Logic on a clock that is handed in; nothing here waits by itself but `Pacer.turn`, through the `sleep` that is handed in.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from raddistill.teachers.llm.settings import AskingParams

BURST_S = 1.0  # a minute's allowance is spread evenly: at most a second's worth at once (providers cut minutes up, too)
DECREASE = 0.5  # of the window, on a 429
INCREASE = 1 / 16  # of in_flight, a round trip without a 429: back from half in 8 round trips
LOOK_AGAIN_S = 1.0  # while waiting: answers that arrive meanwhile may tell that there is more room, or less
LONGEST_WAIT_S = 24 * 3600.0  # what a server asks for beyond that is no instruction but a mistake
BACK_OFF_S = 0.5  # before the second try, doubled for each later one
LONGEST_BACK_OFF_S = 30.0

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def parse_duration(text: str | None) -> float | None:
    """Seconds of a reset header: `1s`, `6m0s`, `20ms`, `1h2m3.5s`, or a bare number of seconds; None for anything else."""
    if not text:
        return None
    parts = _DURATION.findall(text.strip())
    if parts and "".join(number + unit for number, unit in parts) == text.strip():
        return _sane(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return _sane(_number(text))


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date. None: it does not say.

    `now`: seconds since 1970, for dates.
    """
    ms = _sane(_number(headers.get("retry-after-ms")))
    if ms is not None:
        return _sane(ms / 1000)
    text = headers.get("retry-after")
    seconds = _sane(_number(text))
    if seconds is not None or not text:
        return seconds
    try:
        return _sane(max(0.0, parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)))
    except (ValueError, OverflowError):
        return None


def back_off(failed: int, draw: float) -> float:
    """Seconds before the next try after `failed` tries (1, 2, ...): doubled each time, less up to a half by `draw` of [0, 1)."""
    return min(BACK_OFF_S * 2 ** min(failed - 1, 30), LONGEST_BACK_OFF_S) * (1 - draw / 2)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _sane(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_WAIT_S else None  # not nan, not inf


class _Rate:
    """An allowance a minute of the user's own, spread evenly. Units are requests or tokens."""

    def __init__(self, per_minute: int) -> None:
        self._a_second = per_minute / 60
        self._free_at = -math.inf  # when all that was taken will have been earned

    def wait(self, now: float) -> float:
        """Seconds until the next may go."""
        return max(0.0, self._free_at - BURST_S - now) if self._a_second else 0.0

    def take(self, units: float, now: float) -> None:
        if self._a_second:
            self._free_at = max(self._free_at, now) + units / self._a_second

    def give_back(self, units: float) -> None:
        """Units taken too many (negative: too few)."""
        if self._a_second:
            self._free_at -= units / self._a_second


class _Told:
    """What the server's headers say is left of one kind, carried forward: refilled with time, less what was sent since.

    A server counts a request when it arrives, so the headers of an answer know nothing of what was sent after its question.
    """

    def __init__(self, kind: str) -> None:
        self._limit, self._left, self._reset = (f"x-ratelimit-{word}-{kind}" for word in ("limit", "remaining", "reset"))
        self.sent = 0.0  # units, ever
        self._of: tuple[float, float] | None = None  # limit, units a second
        self._there, self._at, self._heard = (
            0.0,
            -math.inf,
            -math.inf,
        )  # units left at a time; when the question of the headers went

    def wait(self, units: float, now: float) -> float:
        """Seconds until `units` will be there."""
        if self._of is None:
            return 0.0
        limit, a_second = self._of
        self._refill(now)
        lacking = min(units, limit) - self._there  # what is larger than the limit goes when all is there
        return max(0.0, lacking / a_second)

    def take(self, units: float, now: float) -> None:
        """Counts units that are sent now."""
        self.sent += units
        if self._of is not None:
            self._refill(now)
            self._there -= units

    def hear(self, headers: Mapping[str, str], sent_at: float, sent_then: float, now: float) -> None:
        """Headers of an answer to what went at `sent_at`, when `sent_then` units had been sent, its own included."""
        text = headers.get(self._left)
        if text is None or sent_at < self._heard:
            return
        limit, left = _number(headers.get(self._limit)), _number(text)
        if limit is None or left is None or not (0 < limit < math.inf) or not math.isfinite(left):
            return
        left = min(max(left, 0.0), limit)
        reset = parse_duration(headers.get(self._reset))
        a_second = (limit - left) / reset if reset and left < limit else limit / 60  # it is full again after `reset`
        self._of, self._heard = (limit, a_second), sent_at
        self._there, self._at = left - (self.sent - sent_then), sent_at
        self._refill(now)

    def _refill(self, now: float) -> None:
        """Up to the limit; what was sent is off by then, or a server that goes silent would stop us for ever."""
        assert self._of is not None
        limit, a_second = self._of
        self._there, self._at = min(limit, self._there + a_second * max(0.0, now - self._at)), now


class Turn(NamedTuple):
    """A request that may go: what was known when it went."""

    at: float
    tokens: float  # that it was taken to need
    requests_sent: float
    tokens_sent: float


class Pacer:
    """Says when the next request may go, and learns from every answer.

    Requests in flight follow AIMD: halved by a 429 (once a round trip: those that went before the last halving do not count),
    grown by 1/16 of `in_flight` a round trip of successes. A Retry-After on a 429 is about the account, so all wait for it.
    """

    def __init__(
        self,
        asking: AskingParams,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._most = asking.in_flight
        self.window = float(asking.in_flight)
        self.in_flight = 0
        self._rates = _Rate(asking.requests_per_minute), _Rate(asking.tokens_per_minute)
        self._told = _Told("requests"), _Told("tokens")
        self._closed_until = -math.inf
        self._halved_at = -math.inf
        self._freed = asyncio.Event()
        self._line = asyncio.Lock()  # first come, first served: the wait for many tokens must not starve

    def wait(self, tokens: float) -> float:
        """Seconds until a request of so many tokens may go; inf: when one in flight has ended."""
        if self.in_flight >= max(1, int(self.window)):
            return math.inf
        now = self._clock()
        requests, of_tokens = self._told
        waits = [self._closed_until - now, requests.wait(1, now), of_tokens.wait(tokens, now)]
        return max(0.0, *waits, *(rate.wait(now) for rate in self._rates))

    def go(self, tokens: float) -> Turn:
        """Counts a request that goes now."""
        now = self._clock()
        self.in_flight += 1
        for rate, told, units in zip(self._rates, self._told, (1.0, tokens), strict=True):
            rate.take(units, now)
            told.take(units, now)
        return Turn(now, tokens, self._told[0].sent, self._told[1].sent)

    async def turn(self, tokens: float) -> Turn:
        """Waits until a request of so many tokens may go, and counts it."""
        async with self._line:
            while wait := self.wait(tokens):
                if wait == math.inf:
                    self._freed.clear()
                    await self._freed.wait()
                else:
                    await self._sleep(min(wait, LOOK_AGAIN_S))
            return self.go(tokens)

    def answered(self, turn: Turn, headers: Mapping[str, str], used: float | None) -> None:
        """The request has ended with an answer that used so many tokens (None: unknown)."""
        self._end()
        self._hear(turn, headers)
        if used is not None:
            self._rates[1].give_back(turn.tokens - used)
        self.window = min(self._most, self.window + self._most * INCREASE / self.window)

    def failed(self, turn: Turn, headers: Mapping[str, str] | None = None) -> None:
        """The request has ended without an answer, for a reason that says nothing of pace."""
        self._end()
        if headers is not None:
            self._hear(turn, headers)

    def throttled(self, turn: Turn, headers: Mapping[str, str], wait_s: float | None) -> None:
        """The request was answered with 429 (and the wish that we wait for so many seconds)."""
        self._end()
        self._hear(turn, headers)
        self._rates[1].give_back(turn.tokens)
        now = self._clock()
        if turn.at >= self._halved_at:
            self.window = max(1.0, self.window * DECREASE)
            self._halved_at = now
        if wait_s:
            self._closed_until = max(self._closed_until, now + wait_s)

    def _end(self) -> None:
        self.in_flight -= 1
        assert self.in_flight >= 0, "more requests ended than went"
        self._freed.set()

    def _hear(self, turn: Turn, headers: Mapping[str, str]) -> None:
        requests, tokens = self._told
        now = self._clock()
        requests.hear(headers, turn.at, turn.requests_sent, now)
        tokens.hear(headers, turn.at, turn.tokens_sent, now)
