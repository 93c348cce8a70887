"""Pacing on a clock that stands still until told: rates, the server's headers, what a 429 changes, and how long to wait."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.teachers.llm import pacing
from raddistill.teachers.llm.pacing import Pacer, back_off, parse_duration, retry_after
from raddistill.teachers.llm.settings import AskingParams

INF = float("inf")


def asking(**given: Any) -> AskingParams:
    usual = {"mode": "direct", "in_flight": 8, "requests_per_minute": 0, "tokens_per_minute": 0, "timeout_s": 1.0, "tries": 3}
    rest = {"budget_usd": -1.0, "prices": "prices.yaml", "approved_hosts": [], "poll_s": 1.0}
    return AskingParams.model_validate(usual | rest | given)


class Clock:
    """Moves only by `sleep`, which lets others go on and returns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def pacer(**given: Any) -> tuple[Pacer, Clock]:
    clock = Clock()
    return Pacer(asking(**given), clock, clock.sleep), clock


def told(kind: str, limit: object, remaining: object, reset: object) -> dict[str, str]:
    values = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{word}-{kind}": str(value) for word, value in values.items() if value is not None}


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
        assert seconds is None or 0 <= seconds <= pacing.LONGEST_WAIT_S


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
    assert back_off(40, 0.0) == back_off(10_000, 0.0) == pacing.LONGEST_BACK_OFF_S


def test_no_more_in_flight_than_allowed() -> None:
    pace, _ = pacer(in_flight=2)
    first, _second = pace.go(10), pace.go(10)
    assert pace.wait(10) == INF
    pace.answered(first, {}, 5)
    assert pace.wait(10) == 0


def test_requests_a_minute_are_spread_evenly() -> None:
    pace, clock = pacer(in_flight=1000, requests_per_minute=120)

    async def go() -> list[float]:
        times = []
        for _ in range(240):
            pace.answered(await pace.turn(10), {}, 10)
            times.append(clock.now - 100)
        return times

    times = asyncio.run(go())
    for start in (0, 30, 60):
        assert sum(start <= at < start + 60 for at in times) <= 120 + 3
    assert sum(at < 0.5 for at in times) <= 3  # no burst of a minute's worth
    assert times[-1] == pytest.approx(120, abs=2)


def test_tokens_a_minute_go_by_what_was_used() -> None:
    """1,000 is reserved for each, 100 is used: 60,000 a minute let 600 a minute go, not 60."""
    pace, clock = pacer(in_flight=1000, tokens_per_minute=60_000)

    async def go() -> None:
        for _ in range(1200):
            pace.answered(await pace.turn(1000), {}, 100)

    asyncio.run(go())
    assert clock.now - 100 == pytest.approx(120, rel=0.05)


def test_a_request_larger_than_a_minutes_tokens_still_goes() -> None:
    pace, clock = pacer(tokens_per_minute=100)
    asyncio.run(pace.turn(1000))
    pace2 = Pacer(asking(), clock, clock.sleep)
    pace2.answered(pace2.go(10), told("tokens", 500, 500, "0s"), 10)
    asyncio.run(asyncio.wait_for(pace2.turn(10_000), 1))


def test_nothing_is_left_by_the_servers_word() -> None:
    pace, clock = pacer(in_flight=100)
    pace.answered(pace.go(10), told("requests", 60, 0, "1m0s"), 10)
    assert pace.wait(10) == pytest.approx(1)  # full in a minute: one a second
    clock.now += 1
    assert pace.wait(10) == 0
    pace.go(10)
    assert pace.wait(10) == pytest.approx(1)


def test_what_was_sent_after_the_answered_question_is_not_in_its_headers() -> None:
    pace, _ = pacer(in_flight=100)
    first = pace.go(10)
    for _ in range(3):
        pace.go(10)
    pace.answered(first, told("requests", 60, 3, "57s"), 10)
    assert pace.wait(10) == pytest.approx(1)
    assert pace.wait(0) == pytest.approx(1)


def test_an_answer_to_an_older_question_does_not_undo_what_a_newer_one_told() -> None:
    pace, clock = pacer(in_flight=100)
    old = pace.go(10)
    clock.now += 1
    new = pace.go(10)
    pace.answered(new, told("requests", 60, 0, "60s"), 10)
    pace.answered(old, told("requests", 60, 59, "1s"), 10)
    assert pace.wait(10) == pytest.approx(1)


def test_tokens_left_by_the_servers_word() -> None:
    pace, _ = pacer(in_flight=100)
    pace.answered(pace.go(1), told("tokens", 6000, 50, "1m0s"), 1)
    assert pace.wait(50) == 0
    assert pace.wait(150) == pytest.approx(100 / (5950 / 60))


@pytest.mark.parametrize(
    ("limit", "left"), [(None, 0), (60, None), ("x", 0), (60, "nan"), (0, 0), (-1, -1), ("inf", 0), ("nan", 0)]
)
def test_headers_without_sense_change_nothing(limit: object, left: object) -> None:
    pace, _ = pacer()
    pace.answered(pace.go(10), told("requests", limit, left, "1s"), 10)
    assert pace.wait(10) == 0


def test_a_reset_that_is_not_told_is_a_minutes() -> None:
    pace, _ = pacer()
    pace.answered(pace.go(10), told("requests", 60, 0, None), 10)
    assert pace.wait(10) == pytest.approx(1)


def test_a_429_halves_the_window_once_a_round_trip_and_successes_bring_it_back() -> None:
    pace, clock = pacer(in_flight=8)
    turns = [pace.go(10) for _ in range(8)]
    clock.now += 1
    for turn in turns:
        pace.throttled(turn, {}, None)
    assert pace.window == 4
    clock.now += 1
    turns = [pace.go(10) for _ in range(4)]
    assert pace.wait(10) == INF
    for turn in turns:
        pace.answered(turn, {}, 10)
    assert 4 < pace.window < 5
    for _ in range(200):
        pace.answered(pace.go(10), {}, 10)
    assert pace.window == 8


def test_the_window_never_closes() -> None:
    pace, clock = pacer(in_flight=8)
    for _ in range(20):
        clock.now += 1
        pace.throttled(pace.go(10), {}, None)
    assert pace.window == 1
    assert pace.wait(10) == 0


def test_all_wait_for_the_retry_after_of_a_429() -> None:
    pace, clock = pacer()
    first, second = pace.go(10), pace.go(10)
    pace.throttled(first, {}, 300.0)
    pace.throttled(second, {}, 10.0)  # a shorter wish does not undo the longer one
    assert pace.wait(10) == 300
    asyncio.run(pace.turn(10))
    assert clock.now == 400


def test_failures_say_nothing_of_pace() -> None:
    pace, _ = pacer()
    pace.failed(pace.go(10))
    assert pace.window == 8
    assert pace.in_flight == 0


def test_many_wait_for_a_turn_and_each_gets_one() -> None:
    pace, _ = pacer(in_flight=3)
    most = 0

    async def one() -> None:
        nonlocal most
        turn = await pace.turn(10)
        most = max(most, pace.in_flight)
        await asyncio.sleep(0)
        pace.answered(turn, {}, 10)

    async def go() -> None:
        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(100))), 5)

    asyncio.run(go())
    assert (most, pace.in_flight) == (3, 0)


def test_a_waiter_that_is_cancelled_holds_nothing() -> None:
    pace, _ = pacer(in_flight=1)

    async def go() -> None:
        turn = await pace.turn(10)
        waiting = [asyncio.create_task(pace.turn(10)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        pace.answered(turn, {}, 10)
        pace.answered(await waiting[1], {}, 10)
        pace.answered(await waiting[2], {}, 10)

    asyncio.run(asyncio.wait_for(go(), 5))
    assert pace.in_flight == 0


def test_better_news_end_a_long_wait() -> None:
    """Nothing is left for six minutes; then an answer to a newer question tells otherwise."""
    pace, clock = pacer(in_flight=100)
    pace.answered(pace.go(10), told("requests", 60, 0, "1h"), 10)
    clock.now += 1
    newer = pace.go(10)
    assert pace.wait(10) > 60

    async def go() -> None:
        waiting = asyncio.create_task(pace.turn(10))
        await asyncio.sleep(0)
        pace.answered(newer, told("requests", 60, 50, "10s"), 10)
        await waiting

    asyncio.run(go())
    assert clock.now - 100 < 3


@pytest.mark.parametrize(("limit", "each_s"), [(60, 1.0), (20, 3.0)])
def test_headers_that_are_heard_once_do_not_stop_the_run_for_ever(limit: int, each_s: float) -> None:
    """A gateway that sends rate headers with its 429 only: what it said then refills at its pace, whatever was sent since."""
    paced, clock = pacer()

    async def run() -> None:
        paced.throttled(await paced.turn(1), told("requests", limit, 0, "60s"), None)
        begin = clock.now
        for _ in range(5 * limit):
            paced.answered(await paced.turn(1), {}, None)
        assert clock.now - begin == pytest.approx(5 * limit * each_s, rel=0.05)

    asyncio.run(run())
