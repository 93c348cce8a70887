"""What is asked about reports for one task: which of their sections are shown, with which prompts, checked how."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from raddistill.labelsets import Label
from raddistill.passages import SECTIONS, choose_sections
from raddistill.teachers.llm.checking import Checker
from raddistill.teachers.llm.conversing import Conversation, Excerpt, Known, Replayer, excerpt
from raddistill.teachers.llm.exchange import Question
from raddistill.teachers.llm.questions import Questioner
from raddistill.teachers.llm.settings import LLMParams


class Shown(NamedTuple):
    """A report, and what the teacher is shown of it."""

    report_id: str
    excerpt: Excerpt


class Inquiry:
    """The questions about every report, and what came of them."""

    def __init__(self, task: str, prompts: Path, label_set: list[Label], sections: str | list[str], p: LLMParams) -> None:
        """Raises:
        ParamsError: settings that do not go together.
        InputError: unknown sections; a prompt is missing or broken (file, line).
        """
        self._sections, self._first_only = choose_sections(sections)
        self._replayer = Replayer(Questioner(task, prompts, label_set, p), Checker(task, label_set, p), p.asks, p.samples)

    def shown(self, reports: pl.DataFrame, without: dict[str, str]) -> Iterator[Shown]:
        """What is shown of each report; one that has none of the sections goes into `without`, with the reason."""
        for report in reports.select("report_id", *SECTIONS, "text").iter_rows(named=True):
            seen, reason = excerpt(report, self._sections, self._first_only)
            if seen is None:
                without[report["report_id"]] = str(reason)
            else:
                yield Shown(report["report_id"], seen)

    def reopen(self, keys: set[str]) -> None:
        """Asks once more where the conversation had ended with the answers to these questions."""
        self._replayer.reopened = keys

    def open(self, shown: Shown, known: Known) -> list[Question]:
        """What is still to be asked about a report now, one question a sample at most; empty: nothing more."""
        return [said.next for said in self.conversations(shown, known) if said.next is not None]

    def conversations(self, shown: Shown, known: Known) -> list[Conversation]:
        """What was asked about a report and answered so far, one a sample."""
        return self._replayer.conversations(*shown, known)
