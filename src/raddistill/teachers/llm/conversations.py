"""The conversations about each report: questions, answers, and the question to ask next. Rebuilt from the known answers.

A conversation is a function of the report and the answers. So a killed run can be continued, also by another process or by a
colleague who has the answers. Sends nothing and stores nothing.
"""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from raddistill.labelsets import Label
from raddistill.llm_client.messages import LARGER_CONTEXT, Answer
from raddistill.passages import SECTIONS, choose_sections, find_passages
from raddistill.teachers.llm.checking import Checker
from raddistill.teachers.llm.parsing import Fault
from raddistill.teachers.llm.questions import Question, Questioner
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.teacher import Finding


class Excerpt(NamedTuple):
    """The part of a report that the teacher is shown: `text` begins at `start` in `reports.text`."""

    report_id: str
    text: str
    start: int


class Turn(NamedTuple):
    """A question, its answer, and why the answer is not used (None: it is used)."""

    question: Question
    answer: Answer
    fault: Fault | None


class Conversation(NamedTuple):
    """The turns about a report that lead to one of its samples (independent answers, see LLMParams.samples).

    It is open if `next` is a question. Else `findings` is its result, or None if every answer failed the checks.
    """

    turns: list[Turn]
    findings: list[Finding] | None
    next: Question | None


LEAST_CONTEXT = 64  # tokens; a smaller count comes from a server that counts otherwise, not from a small context
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
CUT_QUESTION = "question cut to the server's context"
Known = Callable[[str], Answer | None]  # returns the known answer to a question's key


class Inquiry:
    """Rebuilds the conversations of one LLM teacher about reports from the answers that are known.

    `reopened`: keys of questions to ask again although the fault of their answer was final.
    """

    def __init__(self, task: str, prompts: Path, label_set: list[Label], sections: str | list[str], p: LLMParams) -> None:
        """
        Raises:
            ParamsError: some settings contradict each other.
            InputError: a section is unknown, or a prompt is missing or broken (file, line).
        """
        self._sections, self._first_only = choose_sections(sections)
        self._questioner, self._checker = Questioner(task, prompts, label_set, p), Checker(task, label_set, p)
        self._asks, self._samples = p.asks, p.samples
        self.reopened: set[str] = set()

    def excerpts(self, reports: pl.DataFrame, without: dict[str, str]) -> Iterator[Excerpt]:
        """Yields the lines of each report that hold the sections, with headers.

        A report without any of the sections is put into `without`, with the reason.
        """
        for report in reports.select("report_id", *SECTIONS, "text").iter_rows(named=True):
            passages, reason = find_passages(report, self._sections, self._first_only)
            if reason:
                without[report["report_id"]] = reason
                continue
            start = report["text"].rfind("\n", 0, min(passage.start for passage in passages)) + 1
            yield Excerpt(report["report_id"], report["text"][start : max(passage.end for passage in passages)], start)

    def conversations(self, excerpt: Excerpt, known: Known) -> list[Conversation]:
        """Returns the conversations about a report so far, one per sample. Offsets of findings are of `reports.text`."""
        return [self._conversation(excerpt, sample, known) for sample in range(self._samples)]

    def _conversation(self, excerpt: Excerpt, sample: int, known: Known) -> Conversation:
        question = self._questioner.question(excerpt.report_id, excerpt.text, sample)
        turns: list[Turn] = []
        while (answer := known(question.key)) is not None:
            checked = self._checker.check(answer, excerpt.text)
            if advice := check_prompt(question, answer):
                feedback = checked.feedback if isinstance(checked, Fault) else ""
                checked = Fault(CUT_QUESTION, feedback, advice, final=True)
            if not isinstance(checked, Fault):
                findings = [_moved(each, excerpt.start) for each in checked]
                return Conversation([*turns, Turn(question, answer, None)], findings, None)
            turns.append(Turn(question, answer, checked))
            if len(turns) == self._asks:
                return Conversation(turns, None, None)
            ended = checked.final and question.key not in self.reopened
            question = self._questioner.follow_up(question, answer.text, checked.feedback)
            if ended and known(question.key) is None:  # it is known if an earlier run reopened it, or an earlier version asked on
                return Conversation(turns, None, None)
        return Conversation(turns, None, question)


def _moved(found: Finding, by: int) -> Finding:
    return found._replace(mentions=[m._replace(start=m.start + by, end=m.end + by) for m in found.mentions])


def check_prompt(question: Question, answer: Answer) -> str | None:
    """Returns advice for the user if the server counted fewer tokens than the prompt has, so that it cut the prompt; else None.

    Servers that cut a prompt to their context silently cut its beginning, the instructions.
    """
    least = sum(_least_tokens(message["content"]) for message in question.body.get("messages", []))
    if not LEAST_CONTEXT <= answer.prompt_tokens < least:
        return None
    return f"The server read {answer.prompt_tokens:,} of at least {least:,} tokens of the question: {LARGER_CONTEXT}"


@functools.lru_cache(256)  # instructions and examples are the same in all questions
def _least_tokens(text: str) -> int:
    """Returns the number of words: a lower bound, since no token spans two words. In these prompts there are twice as many."""
    return len(_WORD.findall(text))
