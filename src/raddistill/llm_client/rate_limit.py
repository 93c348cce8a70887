"""Decides how fast to ask: requests and tokens per minute, a server's Retry-After, and the pause before a retry.

`RateLimiter` gets its clock and `sleep` passed in.
"""

import asyncio
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime

BURST_S = 0.1  # of an allowance that may be used ahead of time; without it late timers would cost speed
LOOK_AGAIN_S = 1.0  # while waiting: answers that arrive meanwhile may change the limits
LONGEST_WAIT_S = 24 * 3600.0  # a longer Retry-After is taken for a mistake and ignored
BACK_OFF_S = 0.5  # before the second try, doubled for each later one
LONGEST_BACK_OFF_S = 30.0

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def parse_duration(text: str | None) -> float | None:
    """Returns the seconds of `1s`, `6m0s`, `20ms`, `1h2m3.5s` or of a bare number of seconds; None for anything else."""
    if not text:
        return None
    parts = _DURATION.findall(text.strip())
    if parts and "".join(number + unit for number, unit in parts) == text.strip():
        return _sane(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return _sane(_number(text))


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Returns the seconds of `retry-after-ms` or `retry-after` (seconds or a date); None if there is neither.

    `now`: seconds since 1970, for dates. The SDK's retries are not used: they give up if a server asks for more than two minutes.
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
    """Returns the seconds before the next try after `failed` tries (1, ...), lowered by up to half (`draw`: 0 to 1)."""
    return float(min(BACK_OFF_S * 2 ** min(failed - 1, 30), LONGEST_BACK_OFF_S)) * (1 - draw / 2)


async def pause(wait_s: float | None, failed: int) -> None:
    """Waits before the next try: a little more than the server asked for (`wait_s`), or `back_off` if it did not ask."""
    draw = random.random()  # noqa: S311 - jitter
    await asyncio.sleep(back_off(failed, draw) if wait_s is None else wait_s * (1 + draw / 10))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _sane(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_WAIT_S else None  # not nan, not inf


class _Allowance:
    """A number of units (requests or tokens) per minute, spread evenly."""

    def __init__(self, kind: str, per_minute: float) -> None:
        """`per_minute` 0: as the server's headers say; no limit before the first reply."""
        self._header = f"x-ratelimit-limit-{kind}"
        self._by_server = not per_minute
        self._a_second = per_minute / 60
        self._free_at = -math.inf  # when the units taken so far are used up at the allowed rate

    def wait(self, now: float) -> float:
        """Seconds until the next request may be sent."""
        return max(0.0, self._free_at - BURST_S - now) if self._a_second else 0.0

    def take(self, units: float, now: float) -> None:
        if self._a_second:
            self._free_at = max(self._free_at, now) + units / self._a_second

    def give_back(self, units: float) -> None:
        """Returns units that were not used (negative: takes more)."""
        if self._a_second:
            self._free_at -= units / self._a_second

    def hear(self, headers: Mapping[str, str]) -> None:
        """Adopts the limit in the server's headers."""
        limit = _number(headers.get(self._header)) if self._by_server else None
        if limit is not None and 0 < limit < math.inf:
            self._a_second = limit / 60


class RateLimiter:
    """Spaces requests evenly, within the user's limits or else the server's own.

    A Retry-After with HTTP 429 applies to the account, so all requests wait for it. The caller limits how many are in flight.
    """

    def __init__(
        self,
        requests_per_minute: int,
        tokens_per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """0 requests or tokens per minute: as the server's headers say."""
        self._requests, self._tokens = _Allowance("requests", requests_per_minute), _Allowance("tokens", tokens_per_minute)
        self._clock, self._sleep = clock, sleep
        self._closed_until = -math.inf
        self._line = asyncio.Lock()  # first come, first served: a request with many tokens must not starve

    async def wait(self, tokens: float) -> None:
        """Waits until a request with this many tokens may be sent, and counts it."""
        async with self._line:
            while seconds := self._seconds():
                await self._sleep(min(seconds, LOOK_AGAIN_S))
            now = self._clock()
            self._requests.take(1, now)
            self._tokens.take(tokens, now)

    def _seconds(self) -> float:
        now = self._clock()
        return max(0.0, self._closed_until - now, self._requests.wait(now), self._tokens.wait(now))

    def answered(self, headers: Mapping[str, str], tokens: float, used: float | None) -> None:
        """Records a reply: a request counted with `tokens` used `used` of them (None: unknown)."""
        self._requests.hear(headers)
        self._tokens.hear(headers)
        if used is not None:
            self._tokens.give_back(tokens - used)

    def throttled(self, wait_s: float | None) -> None:
        """Records HTTP 429: no request is sent for `wait_s` seconds (None: the server named no time)."""
        if wait_s:
            self._closed_until = max(self._closed_until, self._clock() + wait_s)
