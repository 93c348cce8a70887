"""Sends one request: within the budget, at the allowed rate, with the answer stored before it is used.

A server's error may repeat the prompt, and the SDK's exceptions hold the request. So none of them is shown or kept: `_send` turns
each into a few fixed words. Nothing is raised inside its `except`, so no SDK error is chained.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import httpx2
import openai

from raddistill.llm_client import budget, replies, request_failures
from raddistill.llm_client.messages import Answer, Question
from raddistill.llm_client.rate_limit import RateLimiter
from raddistill.llm_client.request_failures import RequestFailure
from raddistill.llm_client.run_state import Run
from raddistill.llm_client.store import Store


class Reserved(NamedTuple):
    """The most that a request may use."""

    usd: float
    tokens: float


class _Reply(NamedTuple):
    reply: replies.Reply
    headers: Mapping[str, str]


class Sender:
    """Sends the requests of one run."""

    def __init__(self, run: Run[Any], store: Store) -> None:
        self._run = run
        self._limiter = RateLimiter(run.asking.requests_per_minute, run.asking.tokens_per_minute)
        self._writer = _Writer(store)
        self._money_freed = asyncio.Event()  # a reservation has ended

    async def reserve(self, question: Question, size: int) -> Reserved | None:
        """Waits until budget and rate allow a request of `size` bytes. None: no request in flight can free money for it."""
        usd = self._run.budget.most(question.body, body_size=size)
        while not self._run.budget.reserve(usd):
            if self._run.budget.exhausted:
                return None
            self._money_freed.clear()
            await self._money_freed.wait()
        tokens = size / budget.CHARACTERS_A_TOKEN + budget.most_completion(question.body)
        try:
            await self._limiter.wait(tokens)
        except asyncio.CancelledError:
            self._release(usd, charged=False)
            raise
        return Reserved(usd, tokens)

    async def request(self, question: Question, reserved: Reserved) -> RequestFailure | None:
        """Sends a question. Returns why there is no answer; None: the answer is stored."""
        outcome = await self._send(question)
        if isinstance(outcome, RequestFailure):
            self._limiter.answered(outcome.headers or {}, reserved.tokens, None if outcome.charged else 0)
            if outcome.throttled:
                self._limiter.throttled(outcome.retry_after_s)
            self._release(reserved.usd, charged=outcome.charged)
            return outcome
        reply, headers = outcome
        used = None if reply.tokens is None else reply.tokens.prompt + reply.tokens.completion
        self._limiter.answered(headers, reserved.tokens, used)
        usd = self._run.budget.settle(reserved.usd, reply.tokens)
        self._money_freed.set()
        answer = reply.answer(question.key, self._run.model, request_id=headers.get("x-request-id"), usd=usd, mode="direct")
        await self._writer.keep(answer)
        self._run.answered += 1
        self._run.tokens += answer.prompt_tokens + answer.completion_tokens
        return None

    async def finish(self) -> None:
        """Returns when all answers are on disk."""
        await self._writer.finish()

    def _release(self, usd: float, *, charged: bool) -> None:
        self._run.budget.release(usd, charged=charged)
        self._money_freed.set()

    async def _send(self, question: Question) -> _Reply | RequestFailure:
        """Returns failures instead of raising them: see the module's docstring."""
        client = self._run.client
        try:
            async with asyncio.timeout(self._run.asking.timeout_s):  # for the whole request; the client's own timeout is per read
                calls = cast(Any, client.decisions if question.form == "decisions" else client.chat.completions)
                # raw: servers send replies that the SDK cannot parse
                response = await calls.with_raw_response.create(**question.body)
        except (TimeoutError, openai.APIConnectionError) as error:
            late = isinstance(error, TimeoutError | openai.APITimeoutError)
            never_sent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
            return RequestFailure(f"no answer: {'timeout' if late else 'connection lost'}", again=True, charged=not never_sent)
        except openai.APIStatusError as error:
            body = _parse(error.response.content)
            return request_failures.failure_of(error.status_code, error.response.headers, request_failures.error_in(body))
        except openai.OpenAIError as error:
            name = type(error).__name__
            return RequestFailure(
                name, again=False, charged=False, stop=f"the openai package could not ask ({name}): check the key"
            )
        body = _parse(response.content)
        reply = replies.read(question.form, body)
        return request_failures.explain(body, response.headers) if reply is None else _Reply(reply, response.headers)


def _parse(content: bytes) -> object:
    """The parsed body; None if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # not JSON or not UTF-8; brackets nested too deep
        return None


class _Writer:
    """Writes answers in groups: those that arrive during a commit go into the next one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Answer] = []
        self._next: asyncio.Task[None] | None = None  # will write `_waiting`
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._one = asyncio.Lock()

    async def keep(self, answer: Answer) -> None:
        """Returns when the answer is on disk; raises what the store raises."""
        self._waiting.append(answer)
        if self._next is None:
            self._next = asyncio.create_task(self._write())
            self._tasks.add(self._next)
        await asyncio.shield(self._next)  # a cancelled request must not cancel the write of other answers

    async def _write(self) -> None:
        async with self._one:
            answers, self._waiting, self._next = self._waiting, [], None
            await asyncio.to_thread(self._store.add, answers)  # may wait for the disk or for another process's lock
        self._tasks.discard(asyncio.current_task())

    async def finish(self) -> None:
        await asyncio.gather(*filter(None, self._tasks))
