"""Reads the output and error files of a batch, whose lines may be in any order, doubled or damaged."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from raddistill.llm_client import replies, request_failures
from raddistill.llm_client.budget import Budget
from raddistill.llm_client.messages import Answer
from raddistill.llm_client.request_failures import NO_MONEY, RequestFailure
from raddistill.llm_client.store import Store

DAMAGED, STRANGE = "damaged lines", "lines about what was not asked"
MISSING = RequestFailure("no answer: missing from the batch", again=True, charged=True)


class Reading:
    """The answers of one ended batch, stored as they are read."""

    def __init__(self, model: str, reserved: dict[str, float | None], store: Store, budget: Budget) -> None:
        """`reserved`: key -> USD reserved, or None once the question is answered; updated while reading."""
        self._model, self._reserved, self._store, self._budget = model, reserved, store, budget
        self._odd: dict[str, Counter[str]] = {}  # file id -> what is wrong -> number of lines
        self._seen: set[str] = set()  # keys that occurred in a line
        self.failures: dict[str, RequestFailure] = {}  # by key; ignored if another line holds the answer
        self.answered = 0

    def begin(self, file: str) -> None:
        """Starts reading a file from its beginning, perhaps for the second time."""
        self._of_file = self._odd[file] = Counter()

    def take(self, lines: Iterable[bytes]) -> None:
        """Stores the answers of complete lines, in one transaction."""
        answers = [answer for line in lines if line.strip() and (answer := self._answer(line))]
        if answers:
            self._store.add(answers)
        self.answered += len(answers)

    @property
    def lines(self) -> int:
        """The number of distinct lines so far, damaged ones included."""
        return len(self._seen) + sum(counts[DAMAGED] for counts in self._odd.values())

    def odd_lines(self) -> str:
        """Counts of unusable lines, for the console."""
        return "".join(f", {n:,} {what}" for what, n in sum(self._odd.values(), Counter()).items())

    def unanswered(self) -> dict[str, RequestFailure]:
        """Why each unanswered question has no answer, by key."""
        return {key: self.failures.get(key, MISSING) for key, usd in self._reserved.items() if usd is not None}

    def _answer(self, line: bytes) -> Answer | None:
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        key = data.get("custom_id") if isinstance(data, dict) else None
        if not isinstance(key, str):
            self._of_file[DAMAGED] += 1
            return None
        if key not in self._reserved:
            self._of_file[STRANGE] += 1
            return None
        self._seen.add(key)
        reserved = self._reserved[key]
        if reserved is None:  # doubled or read before; the first answer counts
            return None
        outcome = _read_line(data)
        if isinstance(outcome, RequestFailure):
            self.failures[key] = outcome
            return None
        usd = self._budget.settle(reserved, outcome.tokens, batch=True)
        self._reserved[key] = None
        return outcome.answer(key, self._model, request_id=_request_id(data), usd=usd, mode="batch")


def _read_line(data: dict[str, Any]) -> replies.Reply | RequestFailure:
    """The reply in a line of an output or error file, or why it holds none."""
    response, error = data.get("response"), data.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    body = response.get("body") if isinstance(response, dict) else None
    if status == 200:
        return replies.read("text", body) or request_failures.explain(body, {})
    if isinstance(status, int) and status >= 400:
        return request_failures.failure_of(status, {}, request_failures.error_in(body))
    codes = request_failures.codes_of(error)
    if codes & NO_MONEY:
        return request_failures.failure_of(429, {}, error)
    code = request_failures.shown_code(codes)  # batch_expired, batch_cancelled
    return RequestFailure(f"no answer: {code}", again=True, charged=False) if code else request_failures.explain(None, {})


def _request_id(data: dict[str, Any]) -> str | None:
    request_id = data["response"].get("request_id")
    return request_id if isinstance(request_id, str) else None
