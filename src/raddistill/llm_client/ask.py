"""The entry point of this package: asks questions, pays for each answer once, and never exceeds the budget (budget.py)."""

import operator
from collections.abc import Callable, Iterable

import openai

from raddistill.llm_client.batch_rounds import ask_in_batches
from raddistill.llm_client.budget import Budget
from raddistill.llm_client.direct import Direct
from raddistill.llm_client.messages import Question
from raddistill.llm_client.progress import AskingProgress
from raddistill.llm_client.run_batches import Limits
from raddistill.llm_client.run_state import Asked, R, Run
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import Store


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
        with AskingProgress(run) as shown:
            await Direct(run, reports, store, proven=proven, waits=waits).work(shown)
    run.raise_if_stopped()
    return Asked(run.failed, run.answered)
