"""What was asked about each report, what came of it, and what is to be asked next: played again from the answers that are known.

The history of a report is a function of the report and the answers, so a killed run, another process, or a colleague who has the
answers goes on where the run was. Asks nobody, keeps nothing.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from raddistill.labelsets import Label
from raddistill.llm_client.messages import LARGER_CONTEXT, Answer
from raddistill.passages import SECTIONS, Passage, choose_sections, find_passages
from raddistill.teachers.llm.checking import Checker
from raddistill.teachers.llm.parsing import Fault
from raddistill.teachers.llm.questions import Question, Questioner
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.votes import Finding


class Excerpt(NamedTuple):
    """What the teacher is shown of a report: `reports.text[start:]`, as long as `text` is."""

    text: str
    start: int


class Shown(NamedTuple):
    """A report, and what the teacher is shown of it."""

    report_id: str
    excerpt: Excerpt


class Turn(NamedTuple):
    """A question, its answer, and why the answer is not used (None: it is)."""

    question: Question
    answer: Answer
    fault: Fault | None


class Conversation(NamedTuple):
    """One sample of a report. Open where `next` is a question; else `findings` are the outcome, None after the last fault."""

    turns: list[Turn]
    findings: list[Finding] | None
    next: Question | None


LEAST_CONTEXT = 64  # tokens; a smaller count is no context's but of a server that counts otherwise
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
CUT_QUESTION = "question cut to the server's context"
Known = Callable[[str], Answer | None]  # the answer of a key


def excerpt(report: Mapping[str, str | None], sections: list[str], first_only: bool) -> tuple[Excerpt | None, str | None]:
    """The lines of the report's text that hold the wanted sections, with their headers; or None and a reason for quarantine."""
    passages, reason = find_passages(report, sections, first_only)
    if reason:
        return None, reason
    text = report["text"] or ""
    first, last = min(passages, key=_begin), max(passages, key=_begin)
    start = text.rfind("\n", 0, first.start) + 1
    return Excerpt(text[start : last.end], start), None


def _begin(passage: Passage) -> int:
    return passage.start


class Inquiry:
    """Which of the reports' sections are shown, with which prompts, what is asked about them and what came of it.

    `reopened`: keys of questions that are followed by another one though the fault of their answer is final.
    """

    def __init__(self, task: str, prompts: Path, label_set: list[Label], sections: str | list[str], p: LLMParams) -> None:
        """Raises:
        ParamsError: settings that do not go together.
        InputError: unknown sections; a prompt is missing or broken (file, line).
        """
        self._sections, self._first_only = choose_sections(sections)
        self._questioner, self._checker = Questioner(task, prompts, label_set, p), Checker(task, label_set, p)
        self._asks, self._samples = p.asks, p.samples
        self.reopened: set[str] = set()

    def shown(self, reports: pl.DataFrame, without: dict[str, str]) -> Iterator[Shown]:
        """What is shown of each report; one that has none of the sections goes into `without`, with the reason."""
        for report in reports.select("report_id", *SECTIONS, "text").iter_rows(named=True):
            seen, reason = excerpt(report, self._sections, self._first_only)
            if seen is None:
                without[report["report_id"]] = str(reason)
            else:
                yield Shown(report["report_id"], seen)

    def open(self, shown: Shown, known: Known) -> list[Question]:
        """What is still to be asked about a report now, one question a sample at most; empty: nothing more."""
        return [each.next for each in self.conversations(shown, known) if each.next is not None]

    def conversations(self, shown: Shown, known: Known) -> list[Conversation]:
        """What was asked about a report and answered so far, one a sample. Offsets of findings are of `reports.text`."""
        return [self._conversation(shown.report_id, shown.excerpt, sample, known) for sample in range(self._samples)]

    def _conversation(self, report_id: str, shown: Excerpt, sample: int, known: Known) -> Conversation:
        question = self._questioner.question(report_id, shown.text, sample)
        turns: list[Turn] = []
        while (answer := known(question.key)) is not None:
            checked = self._checker.check(answer, shown.text)
            if advice := check_prompt(question, answer):
                feedback = checked.feedback if isinstance(checked, Fault) else ""
                checked = Fault(CUT_QUESTION, feedback, advice, final=True)
            if not isinstance(checked, Fault):
                return Conversation([*turns, Turn(question, answer, None)], [_moved(each, shown.start) for each in checked], None)
            turns.append(Turn(question, answer, checked))
            if len(turns) == self._asks:
                return Conversation(turns, None, None)
            ended = checked.final and question.key not in self.reopened
            question = self._questioner.again(question, answer.text or "", checked.feedback)
            if ended and known(question.key) is None:  # reopened by an earlier run, or asked by an earlier version
                return Conversation(turns, None, None)
        return Conversation(turns, None, question)


def _moved(finding: Finding, by: int) -> Finding:
    if finding.start is None or finding.end is None:
        return finding
    return finding._replace(start=finding.start + by, end=finding.end + by)


def check_prompt(question: Question, answer: Answer) -> str | None:
    """Advice for the user where the server cut the prompt, as it counted fewer tokens than the prompt has; else None.

    Servers that cut a prompt to their context cut its beginning, the instructions, and say nothing of it.
    """
    least = sum(_least_tokens(message["content"]) for message in question.body.get("messages", []))
    if not LEAST_CONTEXT <= answer.prompt_tokens < least:
        return None
    return f"The server read {answer.prompt_tokens:,} of at least {least:,} tokens of the question: {LARGER_CONTEXT}"


@functools.lru_cache(256)  # instructions and examples are the same in all questions
def _least_tokens(text: str) -> int:
    """No tokenizer makes one token of two words; with marks and rare words it is twice as many in these prompts."""
    return len(_WORD.findall(text))
