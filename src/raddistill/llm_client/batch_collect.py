"""Puts open questions into batches that are no larger than the server takes them, within the budget."""

import json
from typing import Any, NamedTuple

from raddistill.errors import ParamsError
from raddistill.llm_client.batch_store import BatchStore
from raddistill.llm_client.messages import Question
from raddistill.llm_client.run import Run

Reserved = dict[str, float | None]  # key -> USD set aside for its question; None where nothing is (any more)


class Limits(NamedTuple):
    """Of one batch. OpenAI's; Azure's are no lower."""

    requests: int = 50_000
    bytes: int = 200_000_000  # "200 MB"; the smaller reading


class Collector:
    """Fills batches with questions."""

    def __init__(
        self, run: Run[Any], batches: BatchStore, url: str, address: str, limits: Limits, ours: dict[str, Reserved]
    ) -> None:
        self._run, self._batches, self._url, self._address, self._limits, self._ours = run, batches, url, address, limits, ours
        self._name: str | None = None  # of the batch that is being filled
        self._requests = self._bytes = 0  # in it
        self._pending: dict[str, tuple[str, float]] = {}  # key -> body and USD reserved, of what is not in the store yet
        self.awaited: set[str] = set()  # names of the batches that hold what is open

    def add(self, question: Question, at_once: int) -> bool:
        """Puts a question into a batch, if it is in none. False: money, or `at_once` batches under way, allow no more.

        Raises:
            ParamsError: a question for the decisions endpoint, which takes no batches.
        """
        holder = self._name if question.key in self._pending else self._batches.holder(question.key)
        if holder is not None:
            self.awaited.add(holder)
            return True
        if question.form == "decisions":
            raise ParamsError("asking.mode: batch takes no decisions (llm.answers); set asking.mode to direct")
        body = json.dumps(question.body)
        length = len(line_of(question.key, body, self._url))
        if length > self._limits.bytes:
            self._run.failed[question.key] = "larger than a batch may be"
            return True
        if self._requests >= self._limits.requests or self._bytes + length > self._limits.bytes:
            self.finish()
        most = self._run.budget.most(question.body, body_size=len(body), batch=True)
        if (self._name is None and len(self._ours) >= at_once) or not self._run.budget.reserve(most):
            return False
        if self._name is None:
            self._name = self._batches.start(self._address, self._run.model)
            self._ours[self._name] = Reserved()
        self._pending[question.key] = body, most
        self._requests, self._bytes = self._requests + 1, self._bytes + length
        return True

    def flush(self) -> None:
        """Writes what was added into the store. What another run has put into a batch meanwhile is waited for there."""
        if self._name is None:
            return
        claimed = self._batches.claim(self._name, [(key, body) for key, (body, _) in self._pending.items()])
        for (key, (body, most)), ours in zip(self._pending.items(), claimed, strict=True):
            if ours:
                self._ours[self._name][key] = most
                self.awaited.add(self._name)
            else:
                self._run.budget.release(most, charged=False)
                self._requests, self._bytes = self._requests - 1, self._bytes - len(line_of(key, body, self._url))
                self.awaited |= {holder for holder in [self._batches.holder(key)] if holder}
        self._pending = {}

    def finish(self) -> None:
        """The batch is complete; from now on a later run picks it up."""
        self.flush()
        if self._name is not None and self._requests:
            self._batches.note(self._name, requests=self._requests)
        elif self._name is not None:
            self._batches.remove(self._name)
            del self._ours[self._name]
        self._name, self._requests, self._bytes = None, 0, 0


def line_of(key: str, body: str, url: str) -> bytes:
    """A request of a batch. All ASCII, so that no server takes a character for the end of the line."""
    return f'{{"custom_id": "{key}", "method": "POST", "url": "{url}", "body": {body}}}\n'.encode("ascii")
