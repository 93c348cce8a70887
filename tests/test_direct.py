"""Asking against a real server on loopback with faults, and against made-up replies where a server would not send them."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from teacher_server import TeacherServer

from raddistill import params
from raddistill.errors import InputError
from raddistill.llm_client import rate_limit, replies, request_failures
from raddistill.llm_client.ask import ask_all
from raddistill.llm_client.budget import Budget, BudgetReached, Price, Prices
from raddistill.llm_client.messages import Answer
from raddistill.llm_client.run_state import Asked
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import Store
from raddistill.teachers.llm.questions import Question

PATIENT = "the heart of patient Zanzibar is large"  # in every prompt; the server's errors repeat it
PRICES = Prices({"m": Price(input=1.0, cached_input=0.5, output=2.0, batch=0.5)})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "BACK_OFF_S", 0.01)


def asked_as(**given: Any) -> AskingParams:
    usual = {"in_flight": 16, "timeout_s": 5.0, "tries": 4, "budget_usd": -1.0}
    return params.load("asking", AskingParams).model_copy(update=usual | given)


def question(i: int, **more: Any) -> Question:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": f"Report {i}: {PATIENT}."}],
        "max_completion_tokens": 400,
    } | more
    return Question(hashlib.sha256(json.dumps(body).encode()).hexdigest(), f"r{i}", 0, 0, "text", body, [])


def questions(n: int) -> list[Question]:
    return [question(i) for i in range(n)]


class Memory:
    """A journal in memory that counts its groups."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.groups: list[int] = []

    def add(self, answers: Iterable[Answer]) -> None:
        group = list(answers)
        self.groups.append(len(group))
        for answer in group:
            assert answer.key not in self.answers, "paid twice"
            self.answers[answer.key] = answer


Respond = Callable[[httpx2.Request], httpx2.Response]


def client_of(url: str, respond: Respond | None = None) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(respond)) if respond else None
    return openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0, http_client=http)


async def asking(client: openai.AsyncOpenAI, reports: Iterable[Question], journal: Any, **given: Any) -> Asked:
    """Each report is one question, open until the journal holds its key."""
    known = journal.answers if isinstance(journal, Memory) else journal
    still_open = given.pop("still_open", None) or (lambda report: [] if report.key in known else [report])
    budget = given.pop("budget", None) or Budget(-1.0, PRICES, "m")
    more = {"progress": given.pop("progress", False), "proven": given.pop("proven", False)}
    p = asked_as(**given)
    return await ask_all(reports, still_open, client=client, asking=p, model="m", store=journal, budget=budget, **more)


def ask(
    reports: Iterable[Question],
    url: str = "http://nowhere.invalid/v1",
    *,
    respond: Respond | None = None,
    journal: Any = None,
    meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None,
    **given: Any,
) -> Asked:
    """As `asking`, in a loop of its own, while `meanwhile` runs."""

    async def go() -> Asked:
        async with client_of(url, respond) as client:
            beside = asyncio.create_task(meanwhile()) if meanwhile else None
            try:
                return await asking(client, reports, Memory() if journal is None else journal, **given)
            finally:
                if beside:
                    beside.cancel()

    return asyncio.run(go())


def counts(server: TeacherServer) -> dict[str, Any]:
    """What the server counted, once it has: it does so after the last byte has gone, when the client may have it already."""
    deadline = time.monotonic() + 2
    while server.in_flight and time.monotonic() < deadline:
        time.sleep(0.005)
    return server.counts()


def completion(text: str | None = "yes", **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    return {
        "id": "c", "object": "chat.completion", "created": 0, "model": "m-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}], "usage": usage,
    } | more  # fmt: skip


def assert_discreet(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error))
    assert "Zanzibar" not in shown
    assert error.__cause__ is None
    assert error.__context__ is None, "the SDK's exceptions hold the prompt"


# ---------------------------------------------------------------------- all goes well


def test_every_question_is_asked_once_and_journalled(tmp_path: Path) -> None:
    with TeacherServer(latency=0.02) as server, Store(tmp_path / "j") as journal:
        asked = ask(questions(200), server.url, journal=journal)
        assert asked == Asked({}, 200)
        assert all(each.key in journal for each in questions(200))
        counted = counts(server)
        assert (counted["requests"], counted["paid"]) == (200, 200)
        assert 8 <= counted["most_in_flight"] <= 16
        answer = journal.get(question(3).key)
        assert answer is not None
        assert (answer.mode, answer.finish, answer.request_id is None) == ("direct", "stop", False)
        assert answer.usd == pytest.approx((answer.prompt_tokens - answer.cached_tokens / 2 + 2 * answer.completion_tokens) / 1e6)
        assert ask(questions(200), server.url, journal=journal) == Asked({}, 0)
        assert counts(server)["requests"] == 200


def test_equal_questions_are_paid_once() -> None:
    with TeacherServer(latency=0.02) as server:
        assert ask([question(i % 7) for i in range(100)], server.url) == Asked({}, 7)
        assert counts(server)["requests"] == 7


def test_a_report_is_asked_until_nothing_about_it_is_open() -> None:
    """The second question follows from the first answer, as a re-ask does; three samples side by side."""
    kept = Memory()

    def still_open(report: Question) -> list[Question]:
        chains = [[question(int(report.report_id[1:]) * 100 + 10 * sample + ask) for ask in range(2)] for sample in range(3)]
        return [nexts[0] for chain in chains if (nexts := [each for each in chain if each.key not in kept.answers])]

    with TeacherServer() as server:
        assert ask(questions(20), server.url, journal=kept, still_open=still_open) == Asked({}, 120)


def test_reports_are_walked_lazily() -> None:
    kept, taken = Memory(), 0

    def walked() -> Iterator[Question]:
        nonlocal taken
        for each in questions(300):
            taken += 1
            assert taken <= len(kept.answers) + 16 + 1
            yield each

    with TeacherServer() as server:
        assert ask(walked(), server.url, journal=kept).answered == 300


def test_answers_are_written_in_groups() -> None:
    class Slow(Memory):
        writing = 0

        def add(self, answers: Iterable[Answer]) -> None:
            self.writing += 1
            assert self.writing == 1, "two groups at once"
            time.sleep(0.02)
            super().add(answers)
            self.writing -= 1

    kept = Slow()
    with TeacherServer() as server:
        ask(questions(200), server.url, journal=kept)
    assert sum(kept.groups) == 200
    assert len(kept.groups) < 60  # a slow disk makes larger groups


def test_decisions_and_azure_go_where_they_belong() -> None:
    body = {"model": "m", "input": PATIENT, "questions": [{"type": "predicate", "name": "A", "instructions": "Is it A?"}]}
    decision = question(99)._replace(form="decisions", body=body)
    kept = Memory()
    with TeacherServer(api_key="k") as server:
        assert ask([decision], server.url, journal=kept).answered == 1
        answer = kept.answers[decision.key]
        assert [each["type"] for each in json.loads(answer.text or "")] == ["predicate"]
        assert answer.prompt_tokens > 0

        async def azure() -> Asked:
            url = server.url.removesuffix("/v1")
            async with openai.AsyncAzureOpenAI(
                azure_endpoint=url, api_version="2026-01-01", api_key="k", max_retries=0
            ) as client:
                return await asking(client, questions(3), kept)

        assert asyncio.run(azure()) == Asked({}, 3)


# ---------------------------------------------------------------------- faults

RETRIED = ["429", "429_ms", "429_bare", "408", "409", "500", "502", "503"]
RETRIED += ["reset", "reset_mid_body", "truncated", "malformed", "empty_body", "not_json", "hang"]


@pytest.mark.parametrize("fault", RETRIED)
def test_a_passing_fault_is_tried_again(fault: str) -> None:
    with TeacherServer(faults=[fault, fault], retry_after=0.02) as server:
        asked = ask(questions(1), server.url, timeout_s=0.5 if fault == "hang" else 5.0)
        assert asked == Asked({}, 1)
        assert counts(server)["requests"] == 3
        assert counts(server)["paid"] == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("429_bare", "no answer: HTTP 429"), ("503", "no answer: HTTP 503"), ("reset", "no answer: connection lost"),
        ("hang", "no answer: timeout"), ("malformed", "no answer: broken reply"), ("not_json", "no answer: broken reply"),
    ],
)  # fmt: skip
def test_a_lasting_fault_fails_the_question_in_fixed_words(fault: str, reason: str) -> None:
    with TeacherServer(faults={fault: 1.0}) as server:
        asked = ask(questions(2), server.url, tries=2, timeout_s=0.5 if fault == "hang" else 5.0)
        assert asked == Asked({each.key: reason for each in questions(2)}, 0)
        assert counts(server)["requests"] == 4


@pytest.mark.parametrize(("fault", "code"), [("400", "context_length_exceeded"), ("400_filter", "content_filter")])
def test_a_refused_question_fails_at_once(fault: str, code: str) -> None:
    with TeacherServer(faults=[fault]) as server:
        asked = ask(questions(3), server.url, in_flight=1)
        assert asked == Asked({question(0).key: f"refused by the server: HTTP 400, {code}"}, 2)
        assert counts(server)["requests"] == 3


@pytest.mark.parametrize(
    ("fault", "told"), [("401", "check the key"), ("403", "rights"), ("404", "llm.model"), ("429_quota", "no money left")]
)
def test_what_nobody_will_be_granted_stops_the_run(fault: str, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    kept = Memory()
    with TeacherServer(faults=[*[None] * 5, *[fault] * 20], latency=0.01) as server:
        with pytest.raises(InputError, match=told) as caught:
            ask(questions(500), server.url, journal=kept, progress=True)
        assert counts(server)["requests"] <= 5 + 2 * 16
        assert counts(server)["paid"] == len(kept.answers) >= 5
    assert "all answers are kept" in str(caught.value)
    assert_discreet(caught.value)
    assert "Zanzibar" not in "".join(capfd.readouterr())


def test_thirty_in_a_row_without_an_answer_stop_the_run() -> None:
    with TeacherServer(faults={"500": 1.0}) as server:
        with pytest.raises(InputError, match=r"30 questions in a row.*HTTP 500.*127\.0\.0\.1") as caught:
            ask(questions(500), server.url, tries=2)
        assert counts(server)["requests"] <= 2 * (30 + 16)
    assert_discreet(caught.value)


def test_a_limit_that_never_lifts_is_named() -> None:
    told = r"HTTP 429\. It limits the rate.*in_flight"
    with TeacherServer(faults={"429_bare": 1.0}) as server, pytest.raises(InputError, match=told):
        ask(questions(100), server.url, tries=1)


def test_what_is_refused_by_proven_settings_stops_nothing() -> None:
    with TeacherServer(faults={"400": 1.0}) as server:
        with pytest.raises(InputError, match=r"30 questions in a row.*HTTP 400, context_length.*--max-model-len"):
            ask(questions(100), server.url)
        server.faults = {"400_filter": 1.0}
        with pytest.raises(InputError, match=r"30 questions in a row.*HTTP 400, content_filter.*A content filter"):
            ask(questions(100), server.url)
        asked = ask(questions(100), server.url, proven=True)  # all that an earlier run could not ask
        assert len(asked.failed) == 100
        server.faults = [None, *["400"] * 99]  # one answer proves them as well
        assert len(ask(questions(100), server.url, in_flight=1).failed) == 99
        server.faults = {"500": 1.0}
        with pytest.raises(InputError, match=r"30 questions in a row.*HTTP 500"):
            ask(questions(100), server.url, proven=True, tries=2)


def test_a_server_that_is_not_there_stops_the_run() -> None:
    with pytest.raises(InputError, match="connection lost") as caught:
        ask(questions(100), "http://127.0.0.1:9/v1", tries=1)
    assert_discreet(caught.value)


# ---------------------------------------------------------------------- replies that no sound server sends


def respond_with(*responses: tuple[int, dict[str, str], Any]) -> tuple[Respond, list[float]]:
    """Each response once, then good answers; and when each was asked for."""
    left, at = list(responses), []

    def respond(_: httpx2.Request) -> httpx2.Response:
        at.append(time.monotonic())
        status, headers, body = left.pop(0) if left else (200, {}, completion())
        return httpx2.Response(status, headers=headers, **({"content": body} if isinstance(body, bytes) else {"json": body}))

    return respond, at


BROKEN: list[Any] = [
    {}, [], "text", None, 7, {"choices": [{}]}, {"choices": [{"message": "x"}]}, {"error": {}}, {"error": {"code": ""}},
    {"message": {"role": "assistant", "content": "x"}, "done": True},  # Ollama's own form
    {"choices": [{"message": {"content": ["a"]}}]}, {"choices": [{"message": {"content": 1}}]}, b"\xff\xfe", b"[" * 100_000,
    b'{"choices": [', b"1" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_a_reply_of_another_form_is_no_answer(body: Any) -> None:
    respond, at = respond_with((200, {}, body))
    budget = Budget(1.0, PRICES, "m")
    assert ask(questions(1), respond=respond, budget=budget) == Asked({}, 1)
    assert len(at) == 2
    assert budget.lost == pytest.approx(budget.most(question(0).body))  # a model may have worked for it


PROMPT = f"{PATIENT}; rate limit"  # a message that repeats the prompt, and says more


def in_choice(error: Any) -> dict[str, Any]:
    """As OpenRouter tells of an error of its provider, part of an answer beside it."""
    choice = {"index": 0, "finish_reason": "error", "message": {"role": "assistant", "content": "{"}, "error": error}
    return completion() | {"choices": [choice]}


INNER: list[tuple[Any, str]] = [
    ({"error": {"message": PROMPT, "code": 429}}, "error 429"),
    ({"error": {"message": PROMPT, "code": "429"}}, "error 429"),
    ({"error": {"message": "", "status": 429}}, "error 429"),
    ({"error": {"message": "", "code": "rate_limit_exceeded"}}, "error 429"),
    ({"error": {"message": "", "type": "rate_limit_error"}}, "error 429"),
    ({"error": {"message": PROMPT}}, "error 429"),
    ({"error": "Too many requests"}, "error 429"),
    ({"error": "rate_limit_exceeded"}, "error 429"),
    ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], "error 429"),
    ({"errors": [{"message": "Request was throttled."}]}, "error 429"),
    ({"object": "error", "message": "slow down", "code": 429}, "error 429"),
    ({"error": {"message": "", "code": 502}, "choices": []}, "error 502"),
    ({"error": {"message": "", "code": 503}, "choices": None}, "error 503"),
    (in_choice({"code": 429, "message": PROMPT}), "error 429"),
    (in_choice({"code": 502, "message": PROMPT, "metadata": {"error_type": "provider_unavailable"}}), "error 502"),
    (in_choice(None), "an error"),
    ({"error": {"code": 1}}, "an error"),
    ({"error": PATIENT}, "an error"),
    ({"detail": PATIENT}, "an error"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "named"), INNER, ids=range(len(INNER)))
def test_an_error_within_http_200_is_what_it_says_and_costs_nothing(body: Any, named: str) -> None:
    respond, at = respond_with(*[(200, {}, body)] * 3)
    budget = Budget(1.0, PRICES, "m")
    assert ask(questions(1), respond=respond, tries=2, budget=budget).failed == {
        question(0).key: f"no answer: HTTP 200 with {named}"
    }
    assert (budget.lost, budget.spent, budget.reserved) == (0.0, 0.0, 0.0)
    assert ask(questions(1), respond=respond).answered == 1
    assert len(at) == 4


WISHES: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"retry-after-ms": "100"}, {}),
    ({}, {"metadata": {"headers": {"Retry-After": "0.1"}}}),
    ({}, {"metadata": {"retry_after_seconds": 0.1}}),
    ({}, {"retry_after": "100ms"}),
    ({}, {"details": [{"@type": "RetryInfo", "retryDelay": "0.1s"}]}),
]


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize(("headers", "more"), WISHES, ids=range(len(WISHES)))
def test_the_wish_to_wait_is_found_in_header_and_error(
    status: int, headers: dict[str, str], more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "BACK_OFF_S", 20.0)  # what is waited, at least by half, if the wish is not found
    respond, at = respond_with((status, headers, {"error": {"code": 429} | more}))
    assert ask(questions(4), respond=respond, in_flight=1).answered == 4
    assert 0.1 <= at[1] - at[0] < 10


def test_a_moment_to_wait_for_is_milliseconds_since_1970() -> None:
    at = {"X-RateLimit-Reset": str(int((time.time() + 40) * 1000))}
    trouble = request_failures.failure_of(429, {}, {"metadata": {"headers": at}})
    assert trouble.retry_after_s == pytest.approx(40, abs=2)
    assert request_failures.failure_of(429, {}, {"metadata": {"headers": {"X-RateLimit-Reset": "1"}}}).retry_after_s is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"code": 401}, "HTTP 200 with error 401: .*check the key"), ({"message": "Invalid API key"}, "check the key"),
        ({"code": 402}, "no money left"), ({"code": "insufficient_quota"}, "no money left"),
        ({"message": "Insufficient credits"}, "no money left"), ({"code": "model_not_found"}, r"llm\.model"),
    ],
)  # fmt: skip
def test_what_nobody_will_be_granted_stops_the_run_within_http_200_too(error: dict[str, Any], told: str) -> None:
    respond, at = respond_with(*[(200, {}, {"error": error | {"param": PATIENT}})] * 50)
    with pytest.raises(InputError, match=told) as caught:
        ask(questions(50), respond=respond, in_flight=2)
    assert len(at) <= 2
    assert_discreet(caught.value)


def test_a_proxy_that_cannot_look_a_key_up_is_asked_once() -> None:
    """LiteLLM's without a database, to any key but its own."""
    respond, at = respond_with((400, {}, {"error": {"message": "No connected db.", "type": "no_db_connection", "code": "400"}}))
    with pytest.raises(InputError, match="check the key"):
        ask(questions(5), respond=respond, in_flight=1)
    assert len(at) == 1


@pytest.mark.parametrize("status", [402, 400, 429])
def test_an_account_without_money_stops_the_run(status: int) -> None:
    respond, at = respond_with((status, {}, {"error": {"message": PATIENT, "type": "budget_exceeded", "code": str(status)}}))
    with pytest.raises(InputError, match="no money left"):
        ask(questions(5), respond=respond, in_flight=1)
    assert len(at) == 1


# As vLLM, llama.cpp, llama-cpp-python, TGI, Anthropic, LM Studio and LiteLLM word it.
TOO_LONG: list[tuple[int, Any]] = [
    (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you", "code": 400}),
    (400, {"error": {"code": 400, "message": "it exceeds the available context size", "type": "exceed_context_size_error"}}),
    (400, {"error": {"message": "Requested tokens (614) exceed context window of 512", "type": None, "code": None}}),
    (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"}),
    (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 21 tokens > 20 maximum"}}),
    (400, {"error": "The number of tokens to keep from the initial prompt is greater than the context length"}),
    (400, {"error": {"message": "litellm.ContextWindowExceededError: litellm.BadRequestError", "type": None, "code": "400"}}),
    (413, {"error": {"code": "tokens_limit_reached", "message": "Request body too large for the model. Max size: 8000 tokens."}}),
    (200, {"error": {"message": "context window full", "code": 400}}),
    (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000", "error_type": "validation"}),
    (400, {"error": {"type": "invalid_request_error", "message": "input length and `max_tokens` exceed context limit"}}),
    (400, {"message": "Input is too long for requested model."}),
    (400, {"error": {"code": "invalid_parameter_error", "message": "<400> Range of input length should be [1, 6000]"}}),
    (400, {"error": {"message": "Prompt and output together should not exceed max_seq_len (512)", "code": 400}}),
    (400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "prompt is too long"}}}),
    (400, b"The prompt is too long."),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), TOO_LONG, ids=range(len(TOO_LONG)))
def test_a_context_that_is_too_small_is_named_and_not_tried_again(status: int, body: Any) -> None:
    respond, at = respond_with(*[(status, {}, body)] * 60)
    named = "HTTP 200 with error 400" if status == 200 else f"HTTP {status}"
    reason = f"refused by the server: {named}, context_length_exceeded"
    assert ask(questions(1), respond=respond).failed == {question(0).key: reason}
    assert len(at) == 1
    with pytest.raises(InputError, match=r"30 questions in a row.*context is too small.*--max-model-len.*lower llm\.examples"):
        ask(questions(50), respond=respond, in_flight=2)


# As OpenRouter (twice), xAI, OpenAI, Azure, Anthropic, Alibaba, DeepSeek and LiteLLM word it.
FLAGGED: list[tuple[int, dict[str, Any]]] = [
    (403, {"message": "m requires moderation on P. Your input was flagged", "code": 403, "metadata": {"reasons": ["violence"]}}),
    (403, {"message": "", "code": 403, "metadata": {"reasons": ["violence"], "flagged_input": PATIENT}}),
    (403, {"message": "Content violates usage guidelines. Failed check: SAFETY", "code": "The caller may not"}),
    (400, {"message": "Invalid prompt: your prompt was flagged as potentially violating", "code": "invalid_prompt"}),
    (400, {"message": "The prompt triggers the content management policy", "code": None}),
    (400, {"message": "Output blocked by content filtering policy", "type": "invalid_request_error"}),
    (400, {"message": "Input data may contain inappropriate content.", "code": "data_inspection_failed"}),
    (400, {"message": "Content Exists Risk", "type": "invalid_request_error", "code": "invalid_request_error"}),
    (400, {"message": "litellm.ContentPolicyViolationError", "type": None, "code": "400"}),
]  # fmt: skip


@pytest.mark.parametrize("within_200", [False, True])
@pytest.mark.parametrize(("status", "error"), FLAGGED, ids=range(len(FLAGGED)))
def test_what_a_filter_refuses_is_set_aside_and_the_run_goes_on(status: int, error: dict[str, Any], within_200: bool) -> None:
    body = {"error": error | ({"code": status} if within_200 else {})}
    respond, at = respond_with((200 if within_200 else status, {}, body))
    named = f"HTTP 200 with error {status}" if within_200 else f"HTTP {status}"
    reason = f"refused by the server: {named}, content_filter"
    assert ask(questions(3), respond=respond, in_flight=1) == Asked({question(0).key: reason}, 2)
    assert len(at) == 3
    respond, _ = respond_with(*[(200 if within_200 else status, {}, body)] * 40)
    with pytest.raises(InputError, match=r"30 questions in a row.*content_filter.*A content filter") as caught:
        ask(questions(50), respond=respond)
    assert_discreet(caught.value)


@pytest.mark.parametrize("message", ["Your account was flagged", "No access to the model", ""])
def test_a_403_of_the_key_stops_the_run(message: str) -> None:
    respond, at = respond_with(*[(403, {}, {"error": {"message": message, "code": 403}})] * 5)
    with pytest.raises(InputError, match="HTTP 403: the key may not do this"):
        ask(questions(5), respond=respond, in_flight=1)
    assert len(at) == 1


# Google and Anthropic answer 400; xAI 403.
CAUSES: list[tuple[int, dict[str, Any], str]] = [
    (400, {"code": 400, "message": "API key not valid. Please pass a valid key.", "status": "INVALID_ARGUMENT"}, "check the key"),
    (400, {"code": 400, "message": "API key expired. Please renew the API key.", "status": "INVALID_ARGUMENT"}, "check the key"),
    (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API"}, "no money left"),
    (403, {"message": "Your newly created team doesn't have any credits yet."}, "no money left"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error", "told"), CAUSES, ids=range(len(CAUSES)))
def test_the_message_tells_of_key_and_money_whatever_the_status(status: int, error: dict[str, Any], told: str) -> None:
    respond, at = respond_with(*[(status, {}, [{"error": error}])] * 5)
    with pytest.raises(InputError, match=rf"HTTP {status}.*{told}"):
        ask(questions(5), respond=respond, in_flight=1)
    assert len(at) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
@pytest.mark.parametrize("message", ["API key not valid", "credit balance is too low", "moderation", "exceed context limit"])
def test_no_words_make_a_passing_fault_final(status: int, message: str) -> None:
    trouble = request_failures.failure_of(status, {}, {"message": message})
    assert (trouble.again, trouble.stop, trouble.reason) == (True, None, f"no answer: HTTP {status}")


NO_MESSAGE: list[dict[str, Any]] = [{}, {"message": None}]


@pytest.mark.parametrize("message", NO_MESSAGE, ids=["missing", "null"])
@pytest.mark.parametrize(
    ("finish", "kept_as"), [("content_filter", "no_message"), ("SAFETY", "no_message"), ("length", "length"), ("stop", "stop")]
)
def test_a_paid_choice_without_a_message_is_kept_and_not_tried_again(finish: str, kept_as: str, message: dict[str, Any]) -> None:
    body = completion() | {"choices": [{"finish_reason": finish} | message]}
    respond, at = respond_with((200, {}, body))
    budget, kept = Budget(1.0, PRICES, "m"), Memory()
    assert ask(questions(1), respond=respond, budget=budget, journal=kept) == Asked({}, 1)
    answer = kept.answers[question(0).key]
    assert (answer.text, answer.finish, answer.prompt_tokens, answer.completion_tokens) == (None, kept_as, 10, 2)
    assert budget.spent == answer.usd == pytest.approx(14e-6)
    assert (budget.lost, len(at)) == (0.0, 1)


@pytest.mark.parametrize("message", NO_MESSAGE, ids=["missing", "null"])
def test_a_filter_that_counts_no_tokens_costs_nothing_and_is_not_tried_again(message: dict[str, Any]) -> None:
    respond, at = respond_with((200, {}, {"choices": [{"finish_reason": "content_filter"} | message]}))
    budget = Budget(1.0, PRICES, "m")
    asked = ask(questions(1), respond=respond, budget=budget)
    assert asked == Asked({question(0).key: "stopped by the content filter"}, 0)
    assert (budget.lost, budget.spent, len(at)) == (0.0, 0.0, 1)


def test_a_count_of_no_completion_tokens_may_be_left_out() -> None:
    usage = {"prompt_tokens": 10, "total_tokens": 10}
    reply = replies.read("text", {"choices": [{"finish_reason": "content_filter"}], "usage": usage})
    assert reply is not None
    assert reply.tokens == (10, 0, 0, 0)


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "network_error", "abort", "ERROR"])
@pytest.mark.parametrize("message", [{"message": {"content": '{"a'}}, {"message": None}])
def test_a_choice_that_the_server_failed_is_tried_again(finish: str, message: dict[str, Any]) -> None:
    respond, at = respond_with((200, {}, completion() | {"choices": [{"finish_reason": finish} | message]}))
    budget = Budget(1.0, PRICES, "m")
    assert ask(questions(1), respond=respond, budget=budget) == Asked({}, 1)
    assert (budget.lost, len(at)) == (0.0, 2)


@pytest.mark.parametrize("choices", [[], None])
def test_a_reply_without_choices_is_set_aside_at_once(choices: Any) -> None:
    """Without a count of tokens it cost nothing, and the next run may ask again; with one it was paid for, and is kept."""
    respond, at = respond_with((200, {}, {"choices": choices}), (200, {}, completion() | {"choices": choices}))
    budget, kept = Budget(1.0, PRICES, "m"), Memory()
    first = ask(questions(1), respond=respond, budget=budget, journal=kept)
    assert first == Asked({question(0).key: "no choices in the reply"}, 0)
    assert (budget.lost, budget.spent) == (0.0, 0.0)
    assert ask(questions(1), respond=respond, budget=budget, journal=kept) == Asked({}, 1)
    answer = kept.answers[question(0).key]
    assert (answer.text, answer.finish, answer.prompt_tokens) == (None, "no_choices", 10)
    assert budget.spent == answer.usd == pytest.approx(14e-6)
    assert len(at) == 2
    respond, _ = respond_with(*[(200, {}, {"choices": choices})] * 40)
    with pytest.raises(InputError, match=r"30 questions in a row.*no choices in the reply.*filter"):
        ask(questions(50), respond=respond)


@pytest.mark.parametrize("error", [None, {}, "", [], {"message": "", "type": "", "param": "", "code": None}])
def test_an_empty_error_beside_an_answer_is_none(error: Any) -> None:
    respond, at = respond_with((200, {}, completion() | {"error": error}))
    assert ask(questions(1), respond=respond).answered == len(at) == 1


ANSWER = '{"a": 1}'
ELSEWHERE: list[tuple[dict[str, Any], str | None]] = [
    ({"content": None, "reasoning_content": ANSWER}, f"<think>{ANSWER}</think>"),
    ({"content": "", "reasoning": ANSWER}, f"<think>{ANSWER}</think>"),
    ({"content": " \n", "reasoning_content": None, "reasoning": ANSWER}, f"<think>{ANSWER}</think>"),
    ({"content": None, "thinking": ANSWER}, f"<think>{ANSWER}</think>"),
    ({"reasoning": ANSWER}, f"<think>{ANSWER}</think>"),
    ({"content": ANSWER, "reasoning_content": "First the heart."}, ANSWER),
    ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}, {"type": "text", "text": ANSWER}]}, ANSWER),
    ({"content": None, "reasoning_content": " ", "reasoning": {"a": 1}}, None),
    ({"content": "", "tool_calls": []}, ""),
    ({"content": [], "reasoning_content": ANSWER}, f"<think>{ANSWER}</think>"),
    ({"content": []}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("message", "text"), ELSEWHERE, ids=range(len(ELSEWHERE)))
def test_what_a_reasoning_parser_took_for_thoughts_is_kept_as_thoughts(message: dict[str, Any], text: str | None) -> None:
    choice = {"message": {"role": "assistant"} | message, "finish_reason": "stop"}
    reply = replies.read("text", completion() | {"choices": [choice]})
    assert reply is not None
    assert (reply.text, reply.finish) == (text, "stop")


def test_what_a_reply_lacks_is_left_empty() -> None:
    kept = Memory()
    bare = {"choices": [{"message": {"content": None, "refusal": "I will not."}}], "usage": {"prompt_tokens": True}}
    respond, _ = respond_with(
        (200, {}, bare), (200, {"x-request-id": "q"}, json.dumps(completion("half \ud83d pair", system_fingerprint="f")).encode())
    )
    budget = Budget(1.0, PRICES, "m")
    ask(questions(2), respond=respond, journal=kept, in_flight=1, budget=budget)
    first, second = kept.answers[question(0).key], kept.answers[question(1).key]
    assert (first.text, first.finish, first.model, first.request_id) == ("I will not.", "refusal", "m", None)
    assert (first.prompt_tokens, first.completion_tokens) == (0, 0)
    assert first.usd == pytest.approx(budget.most(question(0).body))  # a server that counts nothing is charged the most
    assert (second.text, second.fingerprint, second.request_id, second.model) == ("half \ufffd pair", "f", "q", "m-1")
    assert (second.prompt_tokens, second.completion_tokens) == (10, 2)


def test_log_probabilities_and_cached_tokens() -> None:
    top = [{"token": "yes", "logprob": -0.1, "bytes": None}, {"token": "no", "logprob": -2.3, "bytes": None}]
    choice = {"message": {"content": "yes"}, "finish_reason": "length", "logprobs": {"content": [top[0] | {"top_logprobs": top}]}}
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 5}}
    reply = replies.read("text", {"choices": [choice], "usage": usage})
    assert reply is not None
    assert reply.logprobs == [["yes", -0.1, [["yes", -0.1], ["no", -2.3]]]]
    assert reply.tokens == (10, 1, 10, 0)
    assert reply.finish == "length"
    choice["logprobs"] = {"content": [{"token": "yes"}]}
    assert (replies.read("text", {"choices": [choice]}) or reply).logprobs is None


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
NAMES = st.sampled_from(
    ["choices", "message", "content", "usage", "logprobs", "token", "logprob", "top_logprobs", "answers", "model"]
)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5))


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_no_reply_is_too_odd_to_read(any_: Any, message: Any, logprobs: Any, usage: Any) -> None:
    odd = {"choices": [{"message": message, "logprobs": logprobs}], "usage": usage, "answers": any_, "model": any_}
    good = {"choices": [{"message": {"content": "x"}, "logprobs": {"content": logprobs}}], "usage": usage}
    for data in (any_, odd, good):
        for form in ("text", "decisions"):
            reply = replies.read(form, data)
            assert reply is None or json.dumps(reply.answer("0" * 64, "m", request_id=None, usd=0.0, mode="direct"))


def test_a_long_retry_after_is_honoured_and_ctrl_c_ends_it() -> None:
    """The SDK gives up beyond 120 s. Here the wait is cut short by the interrupt, and nothing was asked meanwhile."""
    respond, at = respond_with(*[(429, {"retry-after": "600"}, {})] * 2)

    async def interrupt() -> None:
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ask(questions(50), respond=respond, in_flight=1, meanwhile=interrupt)
    assert len(at) == 1
    assert time.monotonic() - began < 3


def test_retry_after_is_waited_for_by_all() -> None:
    respond, at = respond_with((429, {"retry-after-ms": "300"}, {}))
    assert ask(questions(10), respond=respond, in_flight=2).answered == 10
    assert sum(moment - at[0] < 0.3 for moment in at) <= 2


@pytest.mark.parametrize(("status", "word", "tries"), [(500, "false", 1), (500, "true", 2), (400, "true", 2), (400, "false", 1)])
def test_the_server_may_say_whether_to_try_again(status: int, word: str, tries: int) -> None:
    respond, at = respond_with((status, {"x-should-retry": word}, {}))
    asked = ask(questions(1), respond=respond)
    assert len(at) == tries
    assert asked.answered == tries - 1


@pytest.mark.parametrize("code", ["Zanzibar", "a b", "x" * 61, "", 7, None, ["a"], {"a": 1}])
def test_no_code_is_repeated_that_could_be_text(code: Any) -> None:
    respond, _ = respond_with((400, {}, {"error": {"message": PATIENT, "code": code, "type": PATIENT}}))
    assert ask(questions(1), respond=respond).failed == {question(0).key: "refused by the server: HTTP 400"}


@pytest.mark.parametrize("kind", ["invalid_request_error", ["a"], {"a": 1}, None, 7])
def test_the_code_that_says_more_is_shown(kind: Any) -> None:
    respond, _ = respond_with((400, {}, {"error": {"message": PATIENT, "code": "string_above_max_length", "type": kind}}))
    told = "refused by the server: HTTP 400, string_above_max_length"
    assert ask(questions(1), respond=respond).failed == {question(0).key: told}


@pytest.mark.parametrize(
    "body", [b"", b"no JSON: " + PATIENT.encode(), {"error": PATIENT}, {"error": [PATIENT]}, [PATIENT], PATIENT]
)
def test_errors_of_any_form_are_failures_in_fixed_words(body: Any) -> None:
    respond, _ = respond_with((400, {}, body))
    assert ask(questions(1), respond=respond).failed == {question(0).key: "refused by the server: HTTP 400"}


def test_a_redirect_is_not_followed() -> None:
    async def go() -> Asked:
        http = httpx2.AsyncClient(
            transport=httpx2.MockTransport(lambda _: httpx2.Response(307, headers={"location": "http://e/"}))
        )
        async with openai.AsyncOpenAI(
            base_url="http://nowhere.invalid/v1", api_key="k", max_retries=0, http_client=http
        ) as client:
            return await asking(client, questions(3), Memory())

    with pytest.raises(InputError, match="HTTP 307, a redirect"):
        asyncio.run(go())


def test_a_reply_that_drips_runs_into_the_timeout() -> None:
    """A timeout of each read, as the client has, would never end it."""

    handlers = []

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
            await writer.wait_closed()

    async def go() -> Asked:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with client_of(f"http://127.0.0.1:{port}/v1") as client:
            asked = await asking(client, questions(2), Memory(), tries=1, timeout_s=0.2)
        await asyncio.gather(*handlers)
        server.close()
        await server.wait_closed()
        return asked

    began = time.monotonic()
    assert set(asyncio.run(go()).failed.values()) == {"no answer: timeout"}
    assert time.monotonic() - began < 2


# ---------------------------------------------------------------------- stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_requests_in_flight_are_awaited_and_kept(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    kept, before = Memory(), signal.getsignal(number)
    with TeacherServer(latency=0.2) as server:

        async def interrupt() -> None:
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), number)

        with pytest.raises(KeyboardInterrupt) as caught:
            ask(questions(500), server.url, journal=kept, meanwhile=interrupt, progress=True)
        assert counts(server)["requests"] == counts(server)["paid"] == len(kept.answers)
        assert 16 <= len(kept.answers) < 100
        assert f"{len(kept.answers)} questions were answered" in str(caught.value)
        begun, server.latency = len(kept.answers), 0.0
        missing = [question for question in questions(500) if question.key not in kept.answers]
        ask(questions(500), server.url, journal=kept)
        assert len(missing) == 500 - begun
        assert counts(server)["requests"] == counts(server)["paid"] == len(kept.answers) == 500
    assert signal.getsignal(number) == before
    assert "the next run asks only for what is missing" in str(caught.value)
    assert "the next run" not in capfd.readouterr().err  # told once, by whoever ends the run


def test_a_second_interrupt_still_keeps_what_has_arrived() -> None:
    kept = Memory()
    with TeacherServer(faults=[None] * 5 + ["hang"] * 100) as server:

        async def interrupt() -> None:
            while server.paid.total() < 5:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # on their way
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0.02)

        with pytest.raises(KeyboardInterrupt):
            ask(questions(50), server.url, journal=kept, meanwhile=interrupt, timeout_s=60.0)
        assert len(kept.answers) == counts(server)["paid"] == 5


def test_a_second_interrupt_waits_for_nothing() -> None:
    with TeacherServer(faults={"hang": 1.0}) as server:

        async def interrupt() -> None:
            for _ in range(2):
                await asyncio.sleep(0.2)
                os.kill(os.getpid(), signal.SIGINT)

        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ask(questions(50), server.url, meanwhile=interrupt, timeout_s=60.0)
        assert time.monotonic() - began < 3


def test_cancelled_from_outside_keeps_what_is_paid() -> None:
    kept = Memory()
    with TeacherServer(latency=0.2) as server:

        async def go() -> None:
            async with client_of(server.url) as client:
                await asyncio.wait_for(asking(client, questions(500), kept), 0.5)

        with pytest.raises(TimeoutError):
            asyncio.run(go())
        assert counts(server)["paid"] == len(kept.answers) > 0


def test_works_in_a_thread_where_signals_cannot_be_handled() -> None:
    with TeacherServer() as server:
        got: list[Asked] = []
        thread = threading.Thread(target=lambda: got.append(ask(questions(10), server.url)))
        thread.start()
        thread.join(10)
        assert got == [Asked({}, 10)]


def test_a_journal_that_cannot_be_written_stops_the_run() -> None:
    class Full(Memory):
        def add(self, answers: Iterable[Answer]) -> None:
            if len(self.answers) >= 20:
                raise OSError(28, "No space left on device", "answers.jsonl")
            super().add(answers)

    with TeacherServer(latency=0.01) as server:
        with pytest.raises(OSError, match="No space left"):
            ask(questions(500), server.url, journal=Full())
        assert counts(server)["requests"] < 20 + 4 * 16


def test_what_the_reader_of_the_journal_raises_comes_through_and_paid_answers_are_kept() -> None:
    kept = Memory()

    def still_open(report: Question) -> list[Question]:
        if len(kept.answers) >= 30:
            raise InputError("the journal is damaged")
        return [] if report.key in kept.answers else [report]

    with TeacherServer(latency=0.01) as server:
        with pytest.raises(InputError, match="the journal is damaged"):
            ask(questions(500), server.url, journal=kept, still_open=still_open)
        assert counts(server)["paid"] == len(kept.answers)


# ---------------------------------------------------------------------- money and pace


def test_the_run_stops_at_its_cap_and_goes_on_under_another() -> None:
    kept, budget = Memory(), Budget(0.02, PRICES, "m")
    with TeacherServer(latency=0.01) as server:
        with pytest.raises(BudgetReached, match=r"asking\.budget_usd.*cap 0\.02.*all answers are kept.*run again") as caught:
            ask(questions(500), server.url, journal=kept, budget=budget)
        assert counts(server)["paid"] == len(kept.answers) > 50
        spent = sum(answer.usd for answer in kept.answers.values())
        assert spent == pytest.approx(budget.spent)
        most = budget.most(question(499).body)
        assert 0.02 - most <= spent <= 0.02  # none is left over that would have done for another question
        assert_discreet(caught.value)
        n = len(kept.answers)
        assert ask(questions(500), server.url, journal=kept).answered == 500 - n
        assert counts(server)["paid"] == 500


def test_lost_answers_count_towards_the_cap() -> None:
    budget = Budget(1.0, PRICES, "m")
    with TeacherServer(faults=["reset_mid_body", "truncated", "500", "429_ms", "hang"], retry_after=0.01) as server:
        ask(questions(1), server.url, budget=budget, tries=6, timeout_s=0.3)
    most = budget.most(question(0).body)
    assert budget.lost == pytest.approx(3 * most)  # not for a 500, nor for a 429
    assert (budget.reserved, budget.nothing_reserved) == (0.0, True)


def test_a_connection_that_was_never_made_cost_nothing() -> None:
    budget = Budget(1.0, PRICES, "m")
    assert ask(questions(1), "http://127.0.0.1:9/v1", budget=budget, tries=2).failed == {
        question(0).key: "no answer: connection lost"
    }
    assert (budget.lost, budget.spent, budget.reserved) == (0.0, 0.0, 0.0)


def test_the_servers_limits_are_kept() -> None:
    """20 requests a second and 5 left: with the headers heeded there are few 429."""
    with TeacherServer(requests_per_minute=1200) as server:
        server.buckets["requests"].left = 5.0
        began = time.monotonic()
        assert ask(questions(40), server.url, in_flight=4, tries=10) == Asked({}, 40)
        assert time.monotonic() - began > 1.2
        assert counts(server)["statuses"].get("429", 0) <= 4


def test_the_users_limit_is_kept() -> None:
    with TeacherServer() as server:
        began = time.monotonic()
        assert ask(questions(40), server.url, requests_per_minute=1200).answered == 40
        assert time.monotonic() - began > 0.9


# ---------------------------------------------------------------------- what is shown


def test_progress_shows_counts_and_no_text(capfd: pytest.CaptureFixture[str]) -> None:
    with TeacherServer(faults=["400"]) as server:
        ask(questions(30), server.url, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "30/30 reports, 1 failed, 29 answers, " in err
    assert "USD spent (no cap)" in err
    assert "Zanzibar" not in err


def test_quiet_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with TeacherServer(faults=["500"]) as server:
        ask(questions(5), server.url)
    assert capfd.readouterr() == ("", "")
