"""One example: the prompt of a text, and the answer that the teacher's annotation of it becomes. Computes only."""

from collections.abc import Mapping
from typing import Any

from raddistill import answers
from raddistill.student import parts
from raddistill.student.fitting import Fitted, Fitter
from raddistill.student.prompts import Renderer, encode
from raddistill.tasks.task import Annotation, Answer, Task, Weights

BLANKED = 100_000  # added to the number of a part that comes again with words blanked: more than any report has sentences


def only(text: str) -> dict[str, str | None]:
    """A text without sections, in the form of a report."""
    return {"text": text, "findings": None, "impression": None}


class ExampleMaker:
    """Makes the examples of one task in one form of answer, and counts what was cut."""

    def __init__(self, task: Task, form: str, renderer: Renderer, tokenizer: Any, weights: Weights, max_tokens: int) -> None:
        self.task, self.form, self.labels, self.weights = task, form, renderer.labels, weights
        self._tokenizer = tokenizer
        self._fitter = Fitter(renderer, tokenizer, form, max_tokens)
        self.shortened = self.cut_away = self.of_unknown_place = 0
        self.too_long: list[str] = []  # ids of reports and sentences, one a part

    def example(self, report_id: str, report: Mapping[str, str | None], stated: Annotation | None) -> dict[str, Any]:
        """The columns prompt, completion, targets and spans of `Examples`, and `states`, the labels that the answer states.

        The answer is null where nothing is known of the text, or where it is too long.
        """
        text = report["text"] or ""
        answer = self._answer(stated, text) if stated else None
        fitted = self._fit(report, answer)
        if fitted is None:
            self.too_long.append(report_id)
            answer, fitted = None, self._fit(report, None)
        assert fitted is not None  # of an instruction alone
        self.shortened += fitted.is_cut
        if stated and answer and fitted.is_cut:
            answer = self._without_what_was_cut(stated, text, answer, fitted)
        learned = answer._asdict() if answer else dict.fromkeys(Answer._fields)
        return learned | {"prompt": fitted.prompt, "states": sorted(answer.states) if answer else []}

    def blanked_copy(self, row: dict[str, Any], text: str, stated: Annotation, blank: str) -> list[dict[str, Any]]:
        """The same part with words of its mentions blanked; none where too little is left of it, or if it had to be shortened."""
        hidden = parts.blanked(text, stated, blank, text)
        fitted = self._fit(only(hidden), self._answer(stated, text)) if hidden and row["completion"] is not None else None
        if fitted is None or fitted.is_cut:
            return []
        return [row | {"part": BLANKED + row["part"], "prompt": fitted.prompt, "asked": False}]

    def _answer(self, stated: Annotation, text: str) -> Answer:
        return self.task.answer(self.form, stated, text, self.labels, self.weights)

    def _fit(self, report: Mapping[str, str | None], answer: Answer | None) -> Fitted | None:
        slots = answers.render_slots(self.labels) if self.form == "slots" else None
        completion = answer.completion if answer else slots
        if (
            completion is not None and self.form in self.task.nothing
        ):  # which may be left of it where words are cut, and be longer
            both = (completion, self.task.nothing[self.form])
            completion = max(both, key=lambda c: len(encode(self._tokenizer, "", c, self.form).input_ids))
        return self._fitter.fit(report, completion)

    def _without_what_was_cut(self, stated: Annotation, text: str, answer: Answer, fitted: Fitted) -> Answer:
        """The answer to a shortened text: what is stated in words that it lost is not trained on."""
        lost, unknown = parts.lost_labels(stated, text, fitted.kept)
        self.cut_away += len(lost)
        self.of_unknown_place += len(unknown)
        left = self._answer(stated.without(lost), text)
        targets, spans, end = answer.targets, answer.spans, len(fitted.prompt)
        if targets is not None:
            targets = [None if label.name in lost else t for label, t in zip(self.labels, targets, strict=True)]
        if spans is not None:
            spans = [s if s["end"] <= end else s | {"end": end, "worth": None} for s in spans if s["start"] < end]
        return left._replace(targets=targets, spans=spans)
