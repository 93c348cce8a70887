"""Asks questions, pays for each answer once, and never exceeds the budget (budget.py): the entry point of this package.

In direct mode many workers ask at the same time, and each answer is stored before it is used.
"""

import asyncio
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, cast

import openai

from raddistill.llm_client import budget as spending
from raddistill.llm_client import rate_limit, replies, request_failures
from raddistill.llm_client.batch_rounds import ask_in_batches
from raddistill.llm_client.batches import Limits
from raddistill.llm_client.budget import Budget
from raddistill.llm_client.clients import failure_of_call, parse_json
from raddistill.llm_client.messages import Question
from raddistill.llm_client.request_failures import RequestFailure
from raddistill.llm_client.run_state import INTERRUPTED, OUT_OF_MONEY, Asked, Progress, R, Run, Workers, on_signal
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import GroupWriter, Store

IN_A_ROW = 30  # questions without an answer, one after the other, after which the run stops


async def ask_all(
    reports: Iterable[R],
    open_questions: Callable[[R], Iterable[Question]],
    *,
    client: openai.AsyncOpenAI,
    asking: AskingParams,
    model: str,
    store: Store,
    budget: Budget,
    progress: bool,
    proven: bool = False,
    waits: Callable[[R], bool] = lambda report: False,
    limits: Limits | None = None,
) -> Asked:
    """Asks, directly or in batches (`asking.mode`), until every question has an answer or has failed for good.

    Args:
        reports: what the questions are about; of any type. Read once and lazily, in batch mode once per round.
        open_questions: returns the questions of a report that have no answer in the store; called again after answers.
        client: must not retry by itself (max_retries=0).
        proven: the server has answered questions like these before, so it accepts the settings.
        waits: whether to ask about other reports first.

    Raises:
        ParamsError: batch mode for the decisions endpoint, which takes no batches.
        InputError: the server refuses every request (401, 403, 404, a redirect, no money) or a batch, or 30 questions in a
            row had no answer.
        BudgetReached: the next request could exceed the cap.
        KeyboardInterrupt: Ctrl-C or SIGTERM. Requests in flight are awaited and their answers kept; a second signal cancels them.
        OSError: the store cannot be written.
    """
    total = operator.length_hint(reports, -1)
    run = Run(open_questions, client, asking, model, budget, None if total < 0 else total, progress)
    if asking.mode == "batch":
        await ask_in_batches(run, reports, store, limits or Limits())
    else:
        await _Direct(run, reports, _Sender(run, store), proven, waits).work()
    run.raise_if_stopped()
    return Asked(run.failed, run.answered)


class _Direct(Generic[R]):
    """The workers of one run in direct mode, each with one request in flight. `proven`, `waits`: see `ask_all`."""

    def __init__(self, run: Run[R], reports: Iterable[R], sender: "_Sender", proven: bool, waits: Callable[[R], bool]) -> None:
        self._run, self._sender, self._proven, self._waits = run, sender, proven, waits
        self._reports = self._in_order(reports)
        self._put_off: list[R] = []
        self._first_pass = True
        self._being_asked: dict[str, asyncio.Event] = {}  # by key of the question
        self._workers = Workers(run)
        self._in_a_row = 0

    async def work(self) -> None:
        """Returns when all is asked, or the run is stopped, and all answers are stored. Raises what a worker raised."""
        with Progress(self._run) as shown, on_signal(self._workers.interrupt):
            pending = {self._workers.start(self._worker(), paid=False) for _ in range(self._run.asking.in_flight)}
            try:
                while pending:
                    finished, pending = await asyncio.wait(pending, timeout=shown.every_s, return_when=asyncio.FIRST_COMPLETED)
                    if not finished:
                        shown.show()
            finally:  # cancelled from outside: no new requests, but answers in flight are kept
                if pending:
                    self._workers.stop(INTERRUPTED)
                await self._workers.finish()
                await self._sender.writer.finish()
        if self._workers.errors:
            raise self._workers.errors[0]

    def _in_order(self, reports: Iterable[R]) -> Iterator[R]:
        """Yields all reports, then the postponed ones. The workers share this iterator."""
        yield from reports
        self._first_pass = False
        yield from self._put_off

    async def _worker(self) -> None:
        """Takes reports until none is left, and asks about each until it has no open question."""
        for report in self._reports:
            while questions := self._run.still_open(report):
                if self._first_pass and self._waits(report):
                    self._put_off.append(report)
                    break
                await self._ask_once(questions[0])
            else:
                self._run.done += 1
            await asyncio.sleep(0)  # lets others run: skipping thousands of finished reports never awaits

    async def _ask_once(self, question: Question) -> None:
        """Asks a question; if another worker is asking the same one, waits for that worker instead."""
        if (other := self._being_asked.get(question.key)) is not None:
            await other.wait()
            return
        over = self._being_asked[question.key] = asyncio.Event()
        try:
            await self._ask(question)
        finally:
            del self._being_asked[question.key]
            over.set()

    async def _ask(self, question: Question) -> None:
        """Tries until the store has the answer or the question has failed.

        The SDK's retries are not used, because each try may be charged and must fit the budget.
        """
        size = spending.size(question.body)
        usd = self._run.budget.most(question.body, body_size=size)
        tokens = size / spending.CHARACTERS_A_TOKEN + spending.most_completion(question.body)
        for tries in range(1, self._run.asking.tries + 1):
            if not await self._sender.reserve(usd, tokens):
                await self._stop(OUT_OF_MONEY)
                return
            failure = await asyncio.shield(self._workers.start(self._sender.request(question, usd, tokens), paid=True))
            if failure is None:
                self._in_a_row, self._proven = 0, True
                return
            if failure.stop is not None:
                await self._stop(failure.stop)
            if not failure.again or tries == self._run.asking.tries:
                await self._fail(question, failure)
                return
            await rate_limit.pause(failure.retry_after_s, tries)

    async def _fail(self, question: Question, failure: RequestFailure) -> None:
        self._run.failed[question.key] = failure.reason
        if self._proven and not failure.again:
            return  # a resumed run meets all earlier refusals first; do not count them
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            await self._stop(_lasting(failure, self._run))

    async def _stop(self, why: str) -> None:
        """Stops the run; this worker is cancelled at the `await`."""
        self._workers.stop(why)
        await asyncio.sleep(0)


def _lasting(failure: RequestFailure, run: Run[Any]) -> str:
    """The message after many questions in a row without an answer: what to check."""
    why = (
        f"and what is behind it if it is a proxy, and that {run.client.base_url.host} is the host you mean "
        f"(its URL comes from the environment)"
        if failure.again
        else f"and takes llm.answers, llm.logprobs and llm.max_tokens as they are, and has the model '{run.model}'"
    )
    advice = failure.advice or f"Check that the server runs, {why}"
    return f"{IN_A_ROW} questions in a row had no answer, the last: {failure.reason}. {advice}"


class _Sender:
    """Sends the requests of one run, within the budget and at the allowed rate."""

    def __init__(self, run: Run[Any], store: Store) -> None:
        self._run = run
        self._limiter = rate_limit.RateLimiter(run.asking.requests_per_minute, run.asking.tokens_per_minute)
        self._money_freed = asyncio.Event()  # a reservation has ended
        self.writer = GroupWriter(store)

    async def reserve(self, usd: float, tokens: float) -> bool:
        """Waits until budget and rate allow a request that uses at most so much. False: nothing in flight can free the money."""
        while not self._run.budget.reserve(usd):
            if self._run.budget.nothing_reserved:
                return False
            self._money_freed.clear()
            await self._money_freed.wait()
        try:
            await self._limiter.wait(tokens)
        except asyncio.CancelledError:
            self._run.budget.release(usd, charged=False)
            self._money_freed.set()
            raise
        return True

    async def request(self, question: Question, usd: float, tokens: float) -> RequestFailure | None:
        """Sends a question whose `usd` and `tokens` are reserved. Returns why there is no answer; None: the answer is stored."""
        outcome, headers = await self._send(question)
        if isinstance(outcome, RequestFailure):
            self._limiter.answered(headers, tokens, None if outcome.charged else 0)
            if outcome.throttled:
                self._limiter.throttled(outcome.retry_after_s)
            self._run.budget.release(usd, charged=outcome.charged)
            self._money_freed.set()
            return outcome
        self._limiter.answered(headers, tokens, outcome.tokens and outcome.tokens.prompt + outcome.tokens.completion)
        paid = self._run.budget.settle(usd, outcome.tokens)
        self._money_freed.set()
        request_id = headers.get("x-request-id")
        answer = outcome.answer(question.key, self._run.model, request_id=request_id, usd=paid, mode="direct")
        await self.writer.keep(answer)
        self._run.answered += 1
        self._run.tokens += answer.prompt_tokens + answer.completion_tokens
        return None

    async def _send(self, question: Question) -> tuple[replies.Reply | RequestFailure, Mapping[str, str]]:
        """Returns the reply, or why there is none, and the reply's headers."""
        client = self._run.client
        calls = cast(Any, client.decisions if question.form == "decisions" else client.chat.completions)
        try:
            async with asyncio.timeout(self._run.asking.timeout_s):  # for the whole request; the client's own timeout is per read
                # raw: servers send replies that the SDK cannot parse
                response = await calls.with_raw_response.create(**question.body)
        except (TimeoutError, openai.OpenAIError) as error:
            return failure_of_call(error), error.response.headers if isinstance(error, openai.APIStatusError) else {}
        body = parse_json(response.content)
        return replies.read(question.form, body) or request_failures.explain(body, response.headers), response.headers
