"""The door of this room: asks N questions, pays for each answer once, within a hard budget."""

import operator
from collections.abc import Callable, Iterable

import openai

from raddistill.llm_client.batch_rounds import ask_in_batches
from raddistill.llm_client.run_batches import Limits
from raddistill.llm_client.budget import Budget
from raddistill.llm_client.direct import Direct
from raddistill.llm_client.messages import Question
from raddistill.llm_client.progress import AskingProgress
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
    """Asks until no report has an open question that could still be answered, directly or in batches as `asking.mode` says.

    Args:
        reports: what questions are about; to this room, anything. Walked once and lazily, in batch mode once a round.
        open_questions: looks into the store and returns what is still to be asked about a report; called again after answers.
        client: must not retry by itself (max_retries=0).
        proven: questions like these were answered before, so the settings are such that the server takes them.
        waits: whether to ask about other reports first.
        limits: of one batch.

    Raises:
        ParamsError: batch mode for the decisions endpoint, which takes no batches.
        InputError: the server refuses everyone (401, 403, 404, a redirect, no money) or a batch (machine code named), or 30
            questions in a row had no answer.
        BudgetReached: the next request could pass the cap.
        KeyboardInterrupt: Ctrl-C or SIGTERM; requests in flight were awaited and their answers kept. A second one awaits nothing.
        OSError: the store cannot be written.
    """
    length = operator.length_hint(reports, -1)
    run = Run(open_questions, client, asking, model, budget, None if length < 0 else length, progress)
    if asking.mode == "batch":
        await ask_in_batches(run, reports, store, limits or Limits())
    else:
        with AskingProgress(run) as shown:
            await Direct(run, reports, store, proven=proven, waits=waits).work(shown)
    if run.stopped is not None:
        run.raise_stopped()
    return Asked(run.failed, run.answered)
