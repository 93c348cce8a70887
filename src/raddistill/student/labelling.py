"""Labels any reports with a trained student: splits them as in training, asks the model, and applies the thresholds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl

from raddistill import answer_format
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.passages import SECTIONS
from raddistill.student import parts
from raddistill.student.examples import ExampleMaker, only
from raddistill.student.prompts import Renderer
from raddistill.student.tagging import Codes
from raddistill.tables.calibration import Calibration
from raddistill.tables.student_settings import StudentSettings
from raddistill.tasks.names import MULTIPLE_CHOICE, PLAIN
from raddistill.tasks.registry import TASKS
from raddistill.tasks.task import TargetRule

REMEMBERED = 200_000  # texts whose answers are kept: reports repeat sentences, and each of them is asked once
EVERYTHING = (list(SECTIONS), False)  # a student reads the whole report, whatever its teacher read
THRESHOLD = 0.5  # without a calibration
NEW_TOKENS = 96  # most of an answer in words, as predict.*.max_new_tokens has it


class Engine(Protocol):
    """A model that answers rows of `Examples`, such as `student.predicting.Answerer`."""

    tokenizer: Any

    def answer(
        self, asked: pl.DataFrame, label_set: list[Label], max_new_tokens: int, codes: Codes
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Returns tables with the columns of `linear.ANSWERS` and of `linear.LOGITS`, in the order of the rows asked."""


class StudentLabel(NamedTuple):
    """What the student says about one label, or one phrase that it found. `probability`: None if the answer was in words."""

    label: str
    present: bool
    probability: float | None
    code: str | None


class Student:
    """A trained student that labels reports for one task."""

    def __init__(
        self,
        task: str,
        settings: StudentSettings,
        engine: Engine,
        calibration: Calibration | None = None,
        prompts: Path = Path(),
    ) -> None:
        """
        Args:
            task: multiple_choice or open_ended.
            calibration: temperature and thresholds; None: 1 and THRESHOLD.
            prompts: folder of the prompt templates, for answer forms that have one.

        Raises:
            InputError: the student was not trained on the task, or the calibration lacks a label.
        """
        if task not in settings.tasks:
            raise InputError(f"this student was not trained on {task}, only on {', '.join(settings.tasks) or 'nothing'}")
        self._task, self._labels, self._engine = task, settings.labels, engine
        self._form, self._units = settings.tasks[task].answers, settings.tasks[task].units
        renderer = Renderer(prompts, engine.tokenizer, settings.labels)
        rule = TargetRule(uncertain=0.0, soft_labels=False)  # nothing is taught here, so it is not used
        self._maker = ExampleMaker(TASKS[task], self._form, renderer, engine.tokenizer, rule, settings.max_tokens)
        self._codes = Codes.of(settings.codes)
        self._known: dict[str, Any] = {}  # prompt -> log-odds of the labels, or the answer in words
        self.names = [label.name for label in settings.labels] if task == MULTIPLE_CHOICE else []
        of_label = calibration.labels if calibration else {}
        if calibration and (without := [name for name in self.names if name not in of_label]):
            raise InputError(f"the calibration has no threshold for {', '.join(without)}: it belongs to another student")
        self._temperature = calibration.temperature if calibration else 1.0
        self._thresholds = [of_label[name].threshold if of_label else THRESHOLD for name in self.names]

    @property
    def shortened(self) -> int:
        """Returns how many texts lost words at their end, since they are longer than the student reads."""
        return self._maker.shortened

    def forget(self) -> None:
        """Forgets all answers. What a model answers depends, by rounding, on the texts that it is asked about together."""
        self._known.clear()

    def label(self, reports: Sequence[Mapping[str, str | None]]) -> list[list[StudentLabel] | None]:
        """Returns for each report one entry per label of the set, or the phrases found; None if no answer could be read.

        `reports` have the keys text, findings and impression, as the table `Reports`.
        """
        prompts = [self._prompts(report) for report in reports]
        self._ask([prompt for of_report in prompts for prompt in of_report])
        answers = [[self._known[prompt] for prompt in of_report] for of_report in prompts]
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]  # the oldest
        if self._task == MULTIPLE_CHOICE:
            return [self._decide(of_report) for of_report in answers]
        return [_phrases(of_report) for of_report in answers]

    def _prompts(self, report: Mapping[str, str | None]) -> list[str]:
        """Returns the prompts of the parts of a report, as the stage `merge` renders them."""
        is_whole = self._units == "reports" and self._form not in PLAIN
        texts = [only(parts.quote(report["text"] or "", part)) for part in parts.parts_of(report, self._units, EVERYTHING)]
        return [self._maker.example("", report if is_whole else text, None)["prompt"] for text in texts]

    def _ask(self, prompts: list[str]) -> None:
        """Puts the answers to all prompts into `_known`."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if not new:
            return
        ids = [str(n) for n in range(len(new))]
        asked = pl.DataFrame({"report_id": ids, "prompt": new}).with_columns(
            task=pl.lit(self._task), part=pl.lit(0, pl.Int64), answers=pl.lit(self._form)
        )
        answered, logits = self._engine.answer(asked, self._labels, NEW_TOKENS, self._codes)
        if logits.is_empty():
            assert answered["report_id"].to_list() == ids
            self._known |= zip(new, answered["answer"], strict=True)
            return
        yes_no = logits["logit"].to_numpy().reshape(len(new), len(self._labels), 2)  # rows: text, label, yes before no
        self._known |= zip(new, yes_no[..., 0] - yes_no[..., 1], strict=True)

    def _decide(self, answers: list[Any]) -> list[StudentLabel] | None:
        """Returns the labels of a report from the answers to its parts: a finding stated in one part is stated."""
        if isinstance(answers[0], str):
            named = answer_format.parse_list(answers[0], self._labels)
            return None if named is None else [StudentLabel(name, name in named, None, None) for name in self.names]
        odds = np.clip(np.max(answers, axis=0) / self._temperature, -500, 500)
        chances = (1 / (1 + np.exp(-odds))).tolist()
        each = zip(self.names, chances, self._thresholds, strict=True)
        return [StudentLabel(name, chance >= threshold, round(chance, 6), None) for name, chance, threshold in each]


def _phrases(answers: list[str]) -> list[StudentLabel] | None:
    """Returns the phrases in the answers to the parts of a report, each once; None if no part has a readable answer."""
    parsed = [answer_format.parse_lines(answer) for answer in answers]
    if all(each.unparsed for each in parsed):
        return None
    found = dict.fromkeys(finding for each in parsed for finding in each.findings)
    return [StudentLabel(phrase, True, None, code) for phrase, code in found]
