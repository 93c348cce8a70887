"""Ends a run early if its answers all fail for one cause, before every report is paid for."""

from collections import Counter

from raddistill.errors import InputError
from raddistill.llm_client.run_state import say
from raddistill.teachers.llm.conversations import Conversation, Turn
from raddistill.teachers.llm.parsing import Fault, split_thoughts

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


class EarlyStop:
    """Watches the answers of one run as they come.

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
        self._printed: set[str] = set()
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
            for turn in conversation.turns:
                if turn.question.key in asked:
                    self._note(turn, ended=conversation.next is None)
                    if turn.fault is not None and turn.fault.advice:
                        self._waiting.add(report_id)
        if still_open := [each.next.key for each in conversations if each.next is not None]:
            self._asked[report_id] = still_open
        if self._why is None and self._stops and len(self._in_a_row) >= (LATER if self.any_usable_answer else AT_FIRST):
            self._why = self._explain(report_id)
        if self._why is not None:
            raise InputError(self._why)

    def _print_once(self, text: str) -> None:
        if text not in self._printed:
            self._printed.add(text)
            say(text)

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
