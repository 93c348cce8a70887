"""The LLM teacher: asks a model behind an OpenAI-compatible API about every report and turns its answers into tables.

First it asks until no question is open, and every answer goes to the store; then it reads the store. So labels are a function of
reports, params and answers, and a run that is killed or stops at its budget loses nothing.
"""

import asyncio
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from raddistill.errors import InputError, RaddistillError
from raddistill.labelsets import Label
from raddistill.llm_client.ask import ask_all
from raddistill.llm_client.budget import Budget, Prices
from raddistill.llm_client.clients import client_for
from raddistill.llm_client.run_state import Asked, say
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import Store
from raddistill.passages import choose_sections
from raddistill.teachers.llm.conversations import Conversation, Excerpt, Inquiry, Turn
from raddistill.teachers.llm.parsing import Fault, split_thoughts
from raddistill.teachers.llm.questions import Question
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.llm.tabulating import tabulate
from raddistill.teachers.teacher import Labelled

STOPPED = "stopped; what was answered or submitted is kept, and the next run goes on with it"  # if the interrupt has no message
# How many unusable answers in a row end a run: before any usable answer, and after one (a hard report may fail now and then).
AT_FIRST = 10
LATER = 30
AS_THOUGHTS = (
    "the server sends answers as thoughts (in reasoning_content, or within <think>); they are read and checked like others; "
    "its reasoning parser is likely not the model's"
)
SEVERAL_MODELS = (
    "answers come from more than one model, as of a router that falls back; the column `model` of the table of answers says which"
)
EDIT = "Take another model, or edit the prompts"


class Interrupted(RaddistillError):  # noqa: N818
    """Ctrl-C or SIGTERM. All answers are kept; the message says how many, if known."""


class EarlyStop:
    """Ends a run early if its answers all fail for one cause, before every report is paid for. Watches answers as they come.

    A fault counts if it has advice for the user, since its cause is likely the server or a setting. Before the first usable
    answer, a report that has used up its tries counts too, whatever its fault.
    """

    def __init__(self, task: str, *, stops: bool) -> None:
        """With `stops` False, the run is never ended."""
        self._task, self._stops = task, stops
        self._asked: dict[str, list[str]] = {}  # report id: keys of its open questions
        self._in_a_row: dict[str, Fault] = {}  # by key of the question
        self._waiting: set[str] = set()  # report ids
        self._why: str | None = None  # the message, once the run is ended
        self._models: set[str] = set()
        self._print_once = functools.cache(say)
        self.any_usable_answer = False  # in this run or an earlier one

    def waits(self, report_id: str) -> bool:
        """Returns whether to ask about other reports first, so that no report uses up its tries before the run is stopped."""
        return not self.any_usable_answer and report_id in self._waiting

    def look(self, report_id: str, conversations: list[Conversation]) -> None:
        """Counts the answers about a report that came since the last call.

        Raises:
            InputError: too many answers in a row cannot be used.
        """
        asked = self._asked.pop(report_id, [])
        self._waiting.discard(report_id)
        for conversation in conversations:
            for turn in (turn for turn in conversation.turns if turn.question.key in asked):
                self._note(turn, ended=conversation.next is None)
                if turn.fault and turn.fault.advice:
                    self._waiting.add(report_id)
        if still_open := [each.next.key for each in conversations if each.next]:
            self._asked[report_id] = still_open
        if self._why is None and self._stops and len(self._in_a_row) >= (LATER if self.any_usable_answer else AT_FIRST):
            self._why = self._explain(report_id)
        if self._why is not None:
            raise InputError(self._why)

    def _note(self, turn: Turn, *, ended: bool) -> None:
        self._models.add(turn.answer.model)
        if len(self._models) > 1:
            self._print_once(SEVERAL_MODELS)
        if turn.fault is None:
            self.any_usable_answer = True
            self._in_a_row.clear()
            self._waiting.clear()
            if not split_thoughts(turn.answer.text or "")[1]:
                self._print_once(AS_THOUGHTS)
        elif self.any_usable_answer:
            if turn.fault.advice and turn.question.ask == 0:
                self._in_a_row[turn.question.key] = turn.fault
        elif turn.fault.advice or ended:
            self._in_a_row[turn.question.key] = turn.fault

    def _explain(self, report_id: str) -> str:
        faults = Counter(fault.reason for fault in self._in_a_row.values())
        reasons = ", ".join(f"{reason}: {n}" for reason, n in faults.most_common())
        advice = next((fault.advice for fault in self._in_a_row.values() if fault.advice), EDIT)
        return (
            f"{len(self._in_a_row)} answers in a row cannot be used ({reasons}). {advice}. To see one: raddistill show "
            f"{report_id} --teacher llm --task {self._task}. All answers are kept, and the next run goes on from here; "
            f"with max_quarantine: 1 it asks about all reports all the same"
        )


class LLMTeacher:
    """Labels reports for one task with a language model and the prompts in the folder `source`."""

    def __init__(
        self,
        task: str,
        source: str,
        sections: str | list[str],
        p: LLMParams,
        asking: AskingParams,
        answers_folder: Path,
        *,
        stops_early: bool,
    ) -> None:
        """With `stops_early` False, asking goes on even if no answer can be used."""
        choose_sections(sections)  # refused before anything is read
        self.name = f"llm:{p.model}"
        self._task, self._folder, self._sections, self._p = task, Path(source), sections, p
        self._asking, self._answers_folder, self._stops_early = asking, answers_folder, stops_early

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """Returns the tables for `reports`.

        A report goes to quarantine if it has none of the sections, if no answer came, or if its last answer failed the checks.

        Raises:
            ParamsError: some settings contradict each other.
            InputError: a prompt is missing or broken, the API key is missing, text would go to a host that is not allowed, the
                server refuses all requests, or many answers in a row cannot be used.
            BudgetReached: the next request could exceed asking.budget_usd. All answers so far are kept.
            Interrupted: by Ctrl-C or SIGTERM. All answers so far are kept.
        """
        inquiry = Inquiry(self._task, self._folder, label_set, self._sections, self._p)
        without: dict[str, str] = {}
        with Store(self._answers_folder) as store:
            watch = EarlyStop(self._task, stops=self._stops_early)
            open_ids, ended = self._look_up(inquiry, reports, store, without, watch)
            some_done = len(open_ids) < reports.height - len(without)
            if not watch.any_usable_answer:  # the cause was likely the server or a setting, which may be corrected by now
                inquiry.reopened = set(ended)
                open_ids += ended.values()
            open_reports = reports.filter(pl.col("report_id").is_in(open_ids))
            failed = self._ask(inquiry, open_reports, store, some_done, watch) if open_reports.height else {}
            history = ((each.report_id, inquiry.conversations(each, store.get)) for each in inquiry.excerpts(reports, {}))
            return tabulate(self._task, self.name, history, without, failed)

    def _look_up(
        self, inquiry: Inquiry, reports: pl.DataFrame, store: Store, without: dict[str, str], watch: EarlyStop
    ) -> tuple[list[str], dict[str, str]]:
        """Returns the ids of reports with an open question, and question key -> report id for final faults with tries left."""
        open_ids, ended = [], {}
        for each in inquiry.excerpts(reports, without):
            conversations = inquiry.conversations(each, store.get)
            watch.any_usable_answer |= any(one.findings is not None for one in conversations)
            if any(one.next is not None for one in conversations):
                open_ids.append(each.report_id)
            for last in (one.turns[-1] for one in conversations if one.turns and one.next is None):
                if last.fault is not None and last.fault.final and last.question.ask + 1 < self._p.asks:
                    ended[last.question.key] = each.report_id
        return open_ids, ended

    def _ask(self, inquiry: Inquiry, reports: pl.DataFrame, store: Store, some_done: bool, watch: EarlyStop) -> dict[str, str]:
        """Asks the open questions about `reports`; returns question key -> why it failed. `some_done`: others are done."""
        budget = Budget(self._asking.budget_usd, Prices.load(self._asking.prices), self._p.model)
        # In random order: two processes in the same order would ask, and pay, the same questions at the same time.
        shuffled = _Reports(inquiry, reports.sample(fraction=1.0, shuffle=True))

        def still_open(excerpt: Excerpt) -> list[Question]:
            conversations = inquiry.conversations(excerpt, store.get)
            watch.look(excerpt.report_id, conversations)
            return [each.next for each in conversations if each.next is not None]

        async def ask() -> Asked:
            async with client_for(self._p.endpoint, self._asking, set(reports["sensitivity"])) as client:
                return await ask_all(
                    shuffled, still_open, client=client, asking=self._asking, model=self._p.model, store=store, budget=budget,
                    progress=True, proven=some_done, waits=lambda excerpt: watch.waits(excerpt.report_id),
                )  # fmt: skip

        try:
            return asyncio.run(ask()).failed
        except KeyboardInterrupt as stopped:
            raise Interrupted(str(stopped) or STOPPED) from None


class _Reports:
    """The excerpts of reports. They can be iterated several times and are not kept in memory."""

    def __init__(self, inquiry: Inquiry, reports: pl.DataFrame) -> None:
        self._inquiry, self._reports = inquiry, reports

    def __iter__(self) -> Iterator[Excerpt]:
        return self._inquiry.excerpts(self._reports, {})

    def __len__(self) -> int:
        return self._reports.height
