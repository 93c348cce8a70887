"""Prices, the cap, and the estimate. The figures are worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.apps.llm_teacher import FEEDBACK_TOKENS, estimate
from raddistill.errors import InputError
from raddistill.llm_client import budget as spending
from raddistill.llm_client.budget import Budget, Price, Prices, Tokens, most_tokens, size, usd_of
from raddistill.llm_client.messages import Answer
from raddistill.teachers.llm.questions import Question

ROOT = Path(__file__).parents[1]
TABLE = Prices(
    {
        "gpt-x": Price(input=2.0, cached_input=0.5, output=8.0, batch=0.5),
        "gpt-x-*": Price(input=1.0, cached_input=0.5, output=2.0, batch=0.5),
        "gpt-x-mini*": Price(input=0.1, cached_input=0.01, cache_write=0.125, output=0.5, batch=0.25),
        "local": Price(input=0, cached_input=0, output=0, batch=1),
    }
)


def body(text: str = "The heart is large.", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-x", "messages": [{"role": "user", "content": text}], "max_completion_tokens": 100} | more


def question(of: dict[str, Any], ask: int = 0) -> Question:
    return Question("0" * 64, "r1", 0, ask, "text", of, [])


def answer(prompt: int, completion: int, cached: int = 0) -> Answer:
    return Answer("0" * 64, "", "stop", "gpt-x", None, None, prompt, completion, cached, None, 0.0, "direct")


def write(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_table_loads_and_snapshots_cost_what_their_model_costs() -> None:
    prices = Prices.load(ROOT / "prices.yaml")
    for model in ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-6-luna"]:
        price = prices.of(model)
        assert price is not None
        assert price == prices.of(f"{model}-2026-01-31"), model
    assert prices.of("gpt-4o") != prices.of("gpt-4o-mini")  # the one name begins with the other
    assert prices.of("gpt-4o-audio-preview") is None  # and this one costs 16 times as much
    assert prices.of("gpt-7") is None


@pytest.mark.parametrize(
    ("model", "tokens", "batch", "usd"),
    [
        ("gpt-x", Tokens(1_000_000, 0), False, 2.0),
        ("gpt-x", Tokens(0, 1_000_000), False, 8.0),
        ("gpt-x", Tokens(1_000_000, 100_000, cached=400_000), False, 0.6 * 2 + 0.4 * 0.5 + 0.1 * 8),
        ("gpt-x", Tokens(1_000_000, 100_000, cached=400_000), True, (0.6 * 2 + 0.4 * 0.5 + 0.1 * 8) / 2),
        ("gpt-x", Tokens(100, 0, cached=1000), False, 50e-6),  # more cached than sent: no negative rest
        ("gpt-x-2026", Tokens(1_000_000, 0), False, 1.0),  # a beginning
        ("gpt-x-mini-2", Tokens(1_000_000, 0), False, 0.1),  # the longest beginning
        ("gpt-x-mini-2", Tokens(1_000_000, 0, cached=200_000, written=500_000), False, 0.3 * 0.1 + 0.2 * 0.01 + 0.5 * 0.125),
    ],
)
def test_usd(model: str, tokens: Tokens, batch: bool, usd: float) -> None:
    price = TABLE.of(model)
    assert price is not None
    assert usd_of(price, tokens, batch) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gpt-x: {input: 1\ngpt-y: 2", "line 2"),
        ("gpt-x: {input: 1, cached_input: 1}", "gpt-x.output: Field required"),
        ("gpt-x: {input: -1, cached_input: 1, output: 1, batch: 1}", "gpt-x.input"),
        ("gpt-x: {input: .nan, cached_input: 1, output: 1, batch: 1}", "gpt-x.input"),
        ("gpt-x: {input: 1, cached_input: 1, output: one, batch: 1}", "gpt-x.output"),
        ("gpt-x: {input: 1, cached_input: 1, output: 1, batch: 1, per: day}", "gpt-x.per: unknown key"),
        ("gpt-x: {input: 1, cached_input: 1, output: 1, batch: 1}\ngpt-x: {}", "no YAML"),
        ("[]", "holds no models"),
        ("", "holds no models"),
    ],
)
def test_a_broken_table_says_where(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=r"prices\.yaml.*") as caught:
        Prices.load(write(tmp_path, text))
    assert told in str(caught.value)


def test_a_missing_table_names_the_param(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"asking\.prices"):
        Prices.load(tmp_path / "none.yaml")


def test_a_cap_needs_a_price_and_no_cap_does_not() -> None:
    with pytest.raises(InputError, match=r"no price for 'other'.*asking\.prices"):
        Budget(10.0, TABLE, "other")
    free = Budget(-1.0, TABLE, "other")
    assert free.reserve(free.most(body()))
    assert free.settle(0.0, Tokens(10, 10)) == 0.0
    assert Budget(10.0, TABLE, "local").most(body()) == 0.0  # a price of 0 is a price


def test_a_cap_of_nothing_asks_nothing() -> None:
    budget = Budget(0.0, TABLE, "gpt-x")
    assert not budget.reserve(budget.most(body()))
    assert budget.nothing_reserved


def test_a_batch_of_an_earlier_run_that_was_dearer_than_the_cap_leaves_the_count_whole() -> None:
    budget = Budget(1.0, TABLE, "gpt-x")
    assert budget.reserve(0.0)
    assert budget.settle(0.0, Tokens(2_000_000, 0)) > budget.cap
    assert budget.reserve(0.0)  # of the next such batch
    assert not budget.reserve(1e-9)
    budget.release(0.0, charged=False)
    assert budget.nothing_reserved


def test_room_comes_back_when_an_answer_costs_less_than_reserved() -> None:
    budget = Budget(0.0016, TABLE, "gpt-x")
    most = budget.most(body(), body_size=44)
    assert most == pytest.approx(((44 + spending.TEMPLATE_TOKENS) * 2 + 100 * 8) / 1e6)  # 0.0014
    assert budget.reserve(most)
    assert not budget.reserve(most)
    assert not budget.nothing_reserved
    assert budget.settle(most, Tokens(10, 10)) == pytest.approx(100e-6)
    assert budget.cap - budget.spent - budget.reserved == pytest.approx(0.0015)
    assert budget.reserve(most)


def test_an_answer_that_was_lost_counts_as_the_most_it_can_cost() -> None:
    budget = Budget(1.0, TABLE, "gpt-x")
    for charged in (True, False):
        assert budget.reserve(0.25)
        budget.release(0.25, charged=charged)
    assert (budget.spent, budget.lost, budget.reserved) == (0.0, 0.25, 0.0)
    assert "up to 0.25" in budget.summary()


def test_an_answer_whose_tokens_nobody_counted_costs_the_most() -> None:
    budget = Budget(1.0, TABLE, "gpt-x")
    assert budget.reserve(0.25)
    assert budget.settle(0.25, None) == 0.25


@given(
    cap=st.floats(0, 0.01),
    steps=st.lists(st.tuples(st.text(max_size=60), st.integers(1, 300), st.floats(0, 1), st.sampled_from("sclu")), max_size=60),
    batch=st.booleans(),
)
def test_the_cap_is_never_passed(cap: float, steps: list[tuple[str, int, float, str]], batch: bool) -> None:
    """However requests overlap and end, as long as a server counts no more tokens than bytes and no more than it was allowed."""
    budget = Budget(cap, TABLE, "gpt-x-mini")
    under_way: list[tuple[float, Tokens]] = []
    for text, allowed, used, end in steps:
        asked = body(text, max_completion_tokens=allowed)
        most = most_tokens(asked)
        if budget.reserve(reserved := budget.most(asked, batch=batch)):
            under_way.append(
                (reserved, Tokens(round(most.prompt * used), round(allowed * used), written=round(most.prompt * used)))
            )
        if under_way and end != "u":
            reserved, tokens = under_way.pop(0)
            if end == "s":
                budget.settle(reserved, tokens, batch=batch)
            else:
                budget.release(reserved, charged=end == "l")
        assert budget.spent + budget.lost + budget.reserved <= cap * (1 + 1e-12)
        assert budget.nothing_reserved == (not under_way)
    for reserved, tokens in under_way:
        budget.settle(reserved, tokens, batch=batch)
    assert budget.spent + budget.lost <= cap * (1 + 1e-12)
    assert budget.reserved == 0.0


@given(st.text())
def test_no_text_has_more_bytes_than_its_size(text: str) -> None:
    assert size(body(text)) >= len(text.encode("utf-8", "surrogatepass"))


def test_bounds_on_completions() -> None:
    assert spending.most_completion(body()) == 100
    assert spending.most_completion({"max_tokens": 7, "n": 3}) == 21
    assert spending.most_completion({"questions": [{}, {}]}) == 2 * spending.DECISION_TOKENS


def test_an_estimate_without_answers_is_a_guess_and_says_so() -> None:
    shown = [{"role": "user", "content": "r"}, {"role": "assistant", "content": "x" * 80}, {"role": "user", "content": "r"}]
    asked = question(body(messages=shown))
    got = estimate([(asked, None)] * 10, prices=TABLE, model="gpt-x", asks=2)
    n = size(asked.body)
    assert got.answers == 0
    assert (got.expected.requests, got.at_most.requests) == (10, 20)
    assert got.expected.prompt_tokens == pytest.approx(10 * n / 4)
    assert got.expected.completion_tokens == pytest.approx(10 * 80 / 4)  # as long as the worked example's answer
    assert got.at_most.completion_tokens == 10 * 2 * 100
    assert got.at_most.prompt_tokens == 10 * (2 * (n + spending.TEMPLATE_TOKENS) + 100 + FEEDBACK_TOKENS)
    assert got.expected.usd == pytest.approx(
        (got.expected.prompt_tokens * 2 + got.expected.completion_tokens * 8) / 1e6, rel=1e-3
    )
    assert got.expected.usd_batch == pytest.approx((got.expected.usd or 0) / 2)
    assert got.at_most.usd == pytest.approx((got.at_most.prompt_tokens * 2 + got.at_most.completion_tokens * 8) / 1e6)
    assert got.at_most.usd_batch == pytest.approx((got.at_most.usd or 0) / 2)


def test_a_guess_without_worked_examples_is_half_of_what_is_allowed_and_a_token_a_decision() -> None:
    assert estimate([(question(body()), None)], prices=TABLE, model="gpt-x", asks=1).expected.completion_tokens == 50
    decisions = question({"model": "gpt-x", "input": "r", "questions": [{"type": "predicate"}] * 13})
    assert estimate([(decisions, None)], prices=TABLE, model="gpt-x", asks=1).expected.completion_tokens == 13


def test_an_estimate_learns_from_this_models_answers() -> None:
    asked = question(body())
    n = size(asked.body)
    known: list[tuple[Question, Answer | None]] = [
        (asked, answer(n, 20, cached=n // 2)),
        (question(body(), ask=1), answer(n, 40, cached=n // 2)),
    ]
    known += [(asked, answer(0, 0))]  # its server counted nothing
    got = estimate([(asked, None)] * 6 + known, prices=TABLE, model="gpt-x", asks=3)
    assert got.answers == 2
    assert got.expected.requests == 12  # every question that was asked was asked again once
    assert got.expected.prompt_tokens == pytest.approx(12 * n)
    assert got.expected.completion_tokens == pytest.approx(12 * 30)
    cached = 12 * (n // 2)
    assert got.expected.usd == pytest.approx(((12 * n - cached) * 2 + cached * 0.5 + 360 * 8) / 1e6, rel=1e-3)
    assert got.at_most.requests == 18


def test_an_estimate_of_a_model_without_a_price_has_tokens_only() -> None:
    got = estimate([(question(body()), None)], prices=TABLE, model="other", asks=1)
    assert got.expected.prompt_tokens > 0
    assert (got.expected.usd, got.at_most.usd, got.expected.usd_batch, got.at_most.usd_batch) == (None, None, None, None)


def test_nothing_open_costs_nothing() -> None:
    got = estimate([], prices=TABLE, model="gpt-x", asks=3)
    assert (got.expected.requests, got.at_most.requests, got.expected.usd, got.at_most.usd) == (0, 0, 0.0, 0.0)


@given(st.lists(st.text(max_size=40), max_size=8), st.integers(1, 4))
def test_expected_is_at_most_the_bound(texts: list[str], asks: int) -> None:
    got = estimate([(question(body(text)), None) for text in texts], prices=TABLE, model="gpt-x", asks=asks)
    assert got.expected.prompt_tokens <= got.at_most.prompt_tokens
    assert got.expected.completion_tokens <= got.at_most.completion_tokens
    assert (got.expected.usd or 0) <= (got.at_most.usd or 0) + 1e-12
