"""Ours: the reader of the rules teacher, with the lexicon of the job."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from protocol import Said, run

from raddistill.labelsets import load_labels
from raddistill.teachers.rules.reader import Reader


def prepare(job: dict[str, Any]) -> Callable[[Iterable[dict[str, Any]]], Iterator[Said]]:
    reader = Reader("multiple_choice", Path(job["lexicon"]), load_labels(job["label_set"]), job["sections"])

    def label(reports: Iterable[dict[str, Any]]) -> Iterator[Said]:
        for report in reports:
            found, _ = reader.read(report)
            yield [(span.label, span.status) for span in found]

    return label


if __name__ == "__main__":
    run(prepare)
