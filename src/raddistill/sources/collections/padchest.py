"""PadChest (Bustos et al. 2020, Medical Image Analysis 66:101797): 107,783 Spanish reports, stemmed and in lower case, in the CSV
of its 160,861 images. Physicians labelled 26,412 of them, a recurrent network (`RNN_model`) the others.

Counted over all of the file: a report's text is the same in all its rows, and has neither headers nor line ends, so all of it is
findings. 2,136 reports have rows of both methods; the physicians' labels are taken there. The network's are never read here: they
are a teacher's (teachers/imported). 1,214 reports stand under two patient ids, always on one day and but for a few with one
sex and year of birth: a person with two numbers. Ids that share a report are taken for one, else such a person's reports would
stand on both sides of a split.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from raddistill.concepts import Concept
from raddistill.labelsets import Label
from raddistill.privacy import may_be_text
from raddistill.reading.cells import NOT_UTF8, is_utf8, strings_in
from raddistill.sections.report_text import section_text
from raddistill.sources.collections import image_rows
from raddistill.sources.documents import Document, Failure, Progress, no_progress
from raddistill.sources.gold import padchest_labels

FILES = "PADCHEST*.csv*"
COLUMNS = ["ReportID", "PatientID", "Report", "MethodLabel", "Labels"]
PHYSICIAN, NETWORK = "Physician", "RNN_model"


@dataclass(slots=True)
class Gathered:
    """What the rows of one report say."""

    texts: set[str | None] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    methods: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)  # the physicians' cells as they stand

    def add(self, cells: list[str]) -> None:
        """The cells of COLUMNS."""
        _, patient, text, method, labels = cells
        self.texts.add(section_text(text))
        self.methods.add(method)
        if patient.strip():
            self.patients.add(patient.strip())
        if method == PHYSICIAN:
            self.labels.add(labels)


class PadChest:
    """The collection as one CSV, packed by gzip or not."""

    name = "padchest"
    sensitivity = "credentialed"  # its terms: for research, not to be passed on
    needs_mapping = True

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Every report of the CSV `raw`, or of the one in the folder `raw`, sorted by id. Rows that cannot be told to belong to a
        report come first, as failures.

        Raises:
            InputError: as `image_rows.the_file` and `image_rows.gather`.
        """
        path = image_rows.the_file(raw, FILES)
        reports = yield from image_rows.gather(path, COLUMNS, _id_of, "no report id", Gathered, progress)
        persons = link(gathered.patients for gathered in reports.values())
        for report_id in sorted(reports):
            yield _document(report_id, reports[report_id], persons)

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """Returns the physicians' labels as gold of both tasks; reports that only the network labelled are excluded."""
        return padchest_labels.gold(annotations, mapping, label_set, concepts)


def link(groups: Iterable[set[str]]) -> dict[str, str]:
    """Each id to the smallest of those that it shares a group with, directly or by others (PadChest: 1,121 pairs, no chain).

    So a new report can move those of a person, and of nobody else, to another split: if it shows two ids to be one.
    """
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while (up := above.setdefault(name, name)) != name:
            name = up
        return name

    for group in filter(None, groups):
        roots = sorted({root(name) for name in group})
        above.update(dict.fromkeys(roots, roots[0]))
    return {name: root(name) for name in above}


def labels_of(cell: str) -> tuple[str, ...] | None:
    """Returns the words of a list such as "['kyphosis', ' nodule']", sorted, each once; None where the cell is no list."""
    words = strings_in(cell)
    return None if words is None else tuple(sorted(set(words)))


def _id_of(cell: str) -> str:
    return cell.strip() if is_utf8(cell) and not may_be_text(cell) else ""


def _document(report_id: str, gathered: Gathered, persons: dict[str, str]) -> Document | Failure:
    annotations = {labels_of(cell) for cell in gathered.labels}
    if reason := _reason(gathered, annotations):
        return Failure(report_id, reason)
    text = gathered.texts.pop()
    return Document(
        report_id=report_id,
        patient_id=persons[min(gathered.patients)] if gathered.patients else None,
        findings=text,
        impression=None,
        indication=None,
        comparison=None,
        annotations=(annotations.pop() or ()) if annotations else (),
        without_headers=text is not None,
    )


def _reason(gathered: Gathered, annotations: set[tuple[str, ...] | None]) -> str | None:
    """Returns why the report cannot be used; None if it can."""
    reasons = {
        "id of several different reports": len(gathered.texts) > 1,
        "MethodLabel is neither Physician nor RNN_model": bool(gathered.methods - {PHYSICIAN, NETWORK}),
        "Labels are no list of words": None in annotations,
        "physicians' labels differ between rows": len(annotations) > 1,
        NOT_UTF8: not all(is_utf8(text or "") for text in gathered.texts | gathered.patients | gathered.labels),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
