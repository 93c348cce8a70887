"""Pacing on a clock that stands still until told: rates, the server's headers, what a 429 changes, and how long to wait."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.llm_client import rate_limit
from raddistill.llm_client.rate_limit import RateLimiter, back_off, parse_duration, retry_after


class Clock:
    """Moves only by `sleep`, which lets others go on and returns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def limiter(requests_per_minute: int = 0, tokens_per_minute: int = 0) -> tuple[RateLimiter, Clock]:
    clock = Clock()
    return RateLimiter(requests_per_minute, tokens_per_minute, clock, clock.sleep), clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("0s", 0), ("7.66s", 7.66), ("59", 59), ("0.5", 0.5),
        ("1m", 60), ("1d", 86400), (" 1s ", 1), ("", None), (None, None), ("soon", None), ("1x", None), ("s", None),
        ("1s?", None),        ("-1s", None), ("nan", None), ("inf", None), ("9999d", None), ("1 s", None), ("²s", None),
    ],
)  # fmt: skip
def test_durations(text: str | None, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.text())
def test_any_text_is_a_sane_duration_or_none(text: str) -> None:
    for seconds in (parse_duration(text), retry_after({"retry-after": text}), retry_after({"retry-after-ms": text})):
        assert seconds is None or 0 <= seconds <= rate_limit.LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "600"}, 600),  # the SDK gives up beyond 120
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "30", "retry-after": "1"}, 0.03),
        ({"retry-after-ms": "x", "retry-after": "1"}, 1),
        ({"retry-after": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),  # gone by
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e12"}, None),
        ({}, None),
    ],
)
def test_what_the_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1000.0) == seconds


def test_back_off_doubles_up_to_a_bound_with_jitter() -> None:
    assert [back_off(n, 0.0) for n in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert back_off(1, 0.999) == pytest.approx(0.25, abs=1e-3)
    assert back_off(40, 0.0) == back_off(10_000, 0.0) == rate_limit.LONGEST_BACK_OFF_S


async def times(limit: RateLimiter, clock: Clock, requests: int, tokens: float = 10, used: float = 10) -> list[float]:
    """When each request went, in seconds."""
    went = []
    for _ in range(requests):
        await limit.wait(tokens)
        went.append(clock.now - 100)
        limit.answered({}, tokens, used)
    return went


def test_requests_a_minute_are_spread_evenly() -> None:
    limit, clock = limiter(requests_per_minute=120)
    went = asyncio.run(times(limit, clock, 240))
    for start in (0, 30, 60):
        assert sum(start <= at < start + 60 for at in went) <= 120 + 3
    assert sum(at < 0.5 for at in went) <= 3  # no burst of a minute's worth
    assert went[-1] == pytest.approx(120, abs=2)


def test_tokens_a_minute_go_by_what_was_used() -> None:
    """1,000 is reserved for each, 100 is used: 60,000 a minute let 600 a minute go, not 60."""
    limit, clock = limiter(tokens_per_minute=60_000)
    assert asyncio.run(times(limit, clock, 1200, 1000, 100))[-1] == pytest.approx(120, rel=0.05)


def test_a_request_larger_than_a_minutes_tokens_still_goes() -> None:
    limit, clock = limiter(tokens_per_minute=100)
    assert asyncio.run(times(limit, clock, 1, 1000)) == [0]


@pytest.mark.parametrize(("kind", "limit", "each_s"), [("requests", 60, 1.0), ("requests", 20, 3.0), ("tokens", 600, 1.0)])
def test_the_servers_own_limit_is_kept_once_it_is_heard(kind: str, limit: int, each_s: float) -> None:
    paced, clock = limiter()
    paced.answered({f"x-ratelimit-limit-{kind}": str(limit)}, 10, 10)
    assert asyncio.run(times(paced, clock, 100))[-1] == pytest.approx(99 * each_s, rel=0.05)


def test_the_users_limit_goes_before_the_servers() -> None:
    limit, clock = limiter(requests_per_minute=60)
    limit.answered({"x-ratelimit-limit-requests": "6000"}, 10, 10)
    assert asyncio.run(times(limit, clock, 10))[-1] == pytest.approx(9, abs=0.2)


@pytest.mark.parametrize("word", ["x", "nan", "0", "-1", "inf", ""])
def test_headers_without_sense_change_nothing(word: str) -> None:
    limit, clock = limiter()
    limit.answered({"x-ratelimit-limit-requests": word, "x-ratelimit-limit-tokens": word}, 10, 10)
    assert asyncio.run(times(limit, clock, 50))[-1] == 0


def test_all_wait_for_the_retry_after_of_a_429() -> None:
    limit, clock = limiter()
    for wish in (300.0, 10.0, None):  # a shorter wish does not undo the longer one
        limit.throttled(wish)
    asyncio.run(limit.wait(10))
    assert clock.now == 400


def test_a_waiter_that_is_cancelled_holds_nothing() -> None:
    limit, _ = limiter(requests_per_minute=60)

    async def go() -> None:
        waiting = [asyncio.create_task(limit.wait(10)) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.gather(waiting[0], waiting[2], waiting[3])

    asyncio.run(asyncio.wait_for(go(), 5))
