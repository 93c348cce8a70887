"""Open-ended: which conditions does the report name, as phrases of its own with their ICD-10-CM codes?"""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

import polars as pl

from raddistill import answer_format
from raddistill.labelsets import Label
from raddistill.tasks.names import OPEN_ENDED
from raddistill.tasks.task import Annotation, Classes, ExampleAnswer, TargetRule, Task, TaskParams, is_stated

MIN_LINES = 5  # a classifier learns the answer lines of at least this many training examples


class OpenParams(TaskParams):
    """The block merge.open_ended of params.yaml."""

    answers: Literal["tags", "lines"]


class OpenEnded(Task):
    """Its answer forms are tags and lines."""

    name = OPEN_ENDED
    nothing: ClassVar = {"lines": answer_format.NONE}
    has_logits = False

    def answer(self, form: str, annotation: Annotation, text: str, labels: list[Label], rule: TargetRule) -> ExampleAnswer:
        """Returns a line `phrase | code` per phrase above 0.5; for tags also the spans of all mentions present or uncertain."""
        if form == "lines" and annotation.labels:
            return _lines_of_report(annotation, text, rule)
        stated = sorted((m for m in annotation.mentions if is_stated(m.status)), key=lambda m: m.start)
        listed = {(m.label, m.code): None for m in stated if rule.is_listed(m.status, m.probability)}
        spans = [{"start": m.start, "end": m.end, "worth": rule.target(m.status, m.probability)} for m in stated]
        codes = frozenset(m.code for m in stated)
        return ExampleAnswer(answer_format.render_lines(listed), None, spans if form == "tags" else None, codes)

    def classes(self, examples: pl.DataFrame, labels: list[Label]) -> Classes:
        """Returns the (phrase, code) pairs of the frequent answer lines."""
        lines = [answer_format.parse_lines(completion).findings for completion in examples["completion"]]
        counts = Counter(finding for found in lines for finding in found)
        names = sorted(finding for finding, count in counts.items() if count >= MIN_LINES)
        return Classes(names, [[float(name in found) for name in names] for found in map(set, lines)])

    def write(self, names: Sequence[tuple[str, str]]) -> str:
        """Returns one line per (phrase, code), or "None"."""
        return answer_format.render_lines(names)


def _lines_of_report(annotation: Annotation, text: str, rule: TargetRule) -> ExampleAnswer:
    """Returns a line per phrase of a whole report, in the order of its text: copying is easier to learn in reading order."""
    normalised = " ".join(text.lower().split())
    listed = [(phrase, code) for phrase, (status, p, code) in annotation.labels.items() if rule.is_listed(status, p)]
    listed.sort(key=lambda finding: (normalised.find(finding[0]), finding[0]))
    codes = frozenset(code for status, _, code in annotation.labels.values() if is_stated(status))
    return ExampleAnswer(answer_format.render_lines(listed), None, None, codes)
