"""A report's conversation with the teacher, played again from the answers that are known. Pure: asks nobody, keeps nothing.

What was asked and what came of it is a function of the report and the journal, so a killed run, another process or a
colleague who holds the answers stands where the run stood.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from raddistill.passages import Passage, find_passages
from raddistill.teachers.llm.checking import Checker, check_prompt
from raddistill.teachers.llm.exchange import Answer, Fault, Question
from raddistill.teachers.llm.questions import Questioner
from raddistill.teachers.votes import Finding


class Excerpt(NamedTuple):
    """What the teacher is shown of a report: `reports.text[start:]`, as long as `text` is."""

    text: str
    start: int


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


class Replayer:
    """Plays conversations about reports: at most `asks` questions a sample, `samples` samples side by side.

    `reopened`: keys of questions that are followed by another one though the fault of their answer is final.
    """

    def __init__(self, questioner: Questioner, checker: Checker, asks: int, samples: int) -> None:
        self._questioner, self._checker = questioner, checker
        self._asks, self._samples = asks, samples
        self.reopened: set[str] = set()

    def conversations(self, report_id: str, shown: Excerpt, known: Known) -> list[Conversation]:
        """One a sample. Offsets of their findings are code points of `reports.text`."""
        return [self._conversation(report_id, shown, sample, known) for sample in range(self._samples)]

    def _conversation(self, report_id: str, shown: Excerpt, sample: int, known: Known) -> Conversation:
        question = self._questioner.question(report_id, shown.text, sample)
        turns: list[Turn] = []
        while (answer := known(question.key)) is not None:
            said = self._checker.check(answer, shown.text)
            if advice := check_prompt(question, answer):
                said = Fault(CUT_QUESTION, said.told if isinstance(said, Fault) else "", advice, final=True)
            if not isinstance(said, Fault):
                return Conversation([*turns, Turn(question, answer, None)], [_moved(each, shown.start) for each in said], None)
            turns.append(Turn(question, answer, said))
            if len(turns) == self._asks:
                return Conversation(turns, None, None)
            ended = said.final and question.key not in self.reopened
            question = self._questioner.again(question, answer.text or "", said.told)
            if ended and known(question.key) is None:  # reopened by an earlier run, or asked by an earlier version
                return Conversation(turns, None, None)
        return Conversation(turns, None, question)


def _moved(finding: Finding, by: int) -> Finding:
    if finding.start is None or finding.end is None:
        return finding
    return finding._replace(start=finding.start + by, end=finding.end + by)
