"""The state of one run of asking, direct or in batches."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import openai

from raddistill.errors import InputError
from raddistill.llm_client.budget import Budget, BudgetReached
from raddistill.llm_client.messages import Question
from raddistill.llm_client.settings import AskingParams

R = TypeVar("R")

INTERRUPTED, OUT_OF_MONEY, BROKEN = "interrupted", "budget", "error"  # why a run stopped; any other reason is shown as it is


class Asked(NamedTuple):
    """The result of a run."""

    failed: dict[str, str]  # key of the question -> why it has no answer, in fixed words
    answered: int  # questions answered and stored by this run


@dataclass
class Run(Generic[R]):
    """The settings and counters of a run."""

    open_questions: Callable[[R], Iterable[Question]]
    client: openai.AsyncOpenAI
    asking: AskingParams
    model: str
    budget: Budget
    total: int | None  # number of reports; None: unknown
    progress: bool  # whether to show progress
    stopped: str | None = None  # why the run was stopped
    failed: dict[str, str] = field(default_factory=dict)  # as in Asked
    done: int = 0  # reports with nothing left to ask
    answered: int = 0
    tokens: int = 0

    def still_open(self, report: R) -> list[Question]:
        """Returns the questions about a report without an answer that have not failed."""
        return [question for question in self.open_questions(report) if question.key not in self.failed]

    def say(self, text: str) -> None:
        """Prints a line on standard error if progress is shown."""
        if self.progress:
            say(text)

    def raise_if_stopped(self) -> None:
        """Raises the error for the reason in `stopped`, if there is one.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM.
            BudgetReached: the next request could exceed the cap.
            InputError: any other reason.
        """
        if self.stopped is None:
            return
        of = "" if self.total is None else f" of {self.total:,}"
        kept = (
            f"{self.done:,}{of} reports are done, {self.answered:,} questions were answered by this run; all answers are kept, "
            f"and the next run asks only for what is missing"
        )
        if self.stopped == INTERRUPTED:
            raise KeyboardInterrupt(kept)
        if self.stopped == OUT_OF_MONEY:
            raise BudgetReached(
                f"asking.budget_usd: {self.budget.summary()}, and the next request could pass it. {kept}. "
                f"The cap is for one run: run again to spend as much again, or raise asking.budget_usd"
            )
        raise InputError(f"{self.stopped}. {kept}")


def say(text: str) -> None:
    """Prints a line on standard error."""
    print(f"asking: {text}", file=sys.stderr, flush=True)
