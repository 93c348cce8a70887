"""PadChest (Bustos et al. 2020, Medical Image Analysis 66:101797): 107,783 Spanish reports in the CSV of its 160,861 images.

The reports are stemmed and in lower case. Physicians labelled 26,412 of them, a recurrent network (`RNN_model`) the others.

Counted over the whole file: A report has the same text in all its rows, without headers and line ends, so all of it is findings.
2,136 reports have rows of both methods; only the physicians' labels are used. The network's labels are for a teacher
(teachers/imported). 1,214 reports have two patient ids, always on the same day, and nearly always with the same sex and year of
birth: one person with two ids. Ids that share a report are treated as one patient, so that no patient is in two splits.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from raddistill.concepts import Concept
from raddistill.labelsets import Label
from raddistill.privacy import may_be_text
from raddistill.reading.cells import NOT_UTF8, is_utf8, strings_in
from raddistill.sections.report_text import section_text
from raddistill.sources.collections import image_rows
from raddistill.sources.documents import Document, Failure, Progress, no_progress
from raddistill.sources.gold import mapping as mappings
from raddistill.statuses import EXCLUDED

FILES = "PADCHEST*.csv*"
COLUMNS = ["ReportID", "PatientID", "Report", "MethodLabel", "Labels"]
ANNOTATOR = "padchest_physician"
PHYSICIAN, NETWORK = "Physician", "RNN_model"


class PadChest:
    """The collection as one CSV, with or without gzip."""

    name = "padchest"
    sensitivity = "credentialed"  # its terms: for research only, no redistribution
    needs_mapping = True

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every report of the CSV `raw`, or of the only one in the folder `raw`, sorted by id.

        Rows without an id come first, as failures.
        """
        path = image_rows.the_file(raw, FILES)
        reports = yield from image_rows.gather(path, COLUMNS, _id_of, "no report id", progress)
        persons = link(_patients(rows) for rows in reports.values())
        for report_id in sorted(reports):
            yield _document(report_id, reports[report_id], persons)

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """Returns the physicians' labels as gold of both tasks; an empty table if they annotated no report.

        Reports that only the network labelled are excluded, and so are those that have only `exclude` and `unchanged`.
        """
        gold = mappings.to_gold(annotations, mapping, label_set, concepts, ANNOTATOR, heads_are_labels=True)
        return gold if (gold["status"] != EXCLUDED).any() else gold.clear()


def link(groups: Iterable[set[str]]) -> dict[str, str]:
    """Returns each id to the smallest id that it shares a group with, directly or through others (union-find).

    PadChest has 1,121 pairs and no chain. So a new report changes the split of a patient's other reports only if it links two ids
    of that patient.
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
    """Returns the distinct items of a list such as "['kyphosis', ' nodule']", sorted; None if the cell is not a list."""
    words = strings_in(cell)
    return None if words is None else tuple(sorted(set(words)))


def _id_of(cell: str) -> str:
    return cell.strip() if is_utf8(cell) and not may_be_text(cell) else ""


def _patients(rows: set[tuple[str, ...]]) -> set[str]:
    return {patient.strip() for patient, *_ in rows} - {""}


def _document(report_id: str, rows: set[tuple[str, ...]], persons: dict[str, str]) -> Document | Failure:
    patients, methods = _patients(rows), {method for _, _, method, _ in rows}
    texts = {section_text(text) for _, text, _, _ in rows}
    cells = {labels for _, _, method, labels in rows if method == PHYSICIAN}
    annotations = {labels_of(cell) for cell in cells}
    reasons = {
        "id of several different reports": len(texts) > 1,
        "MethodLabel is neither Physician nor RNN_model": bool(methods - {PHYSICIAN, NETWORK}),
        "Labels are no list of words": None in annotations,
        "physicians' labels differ between rows": len(annotations) > 1,
        NOT_UTF8: not all(is_utf8(text or "") for text in texts | patients | cells),
    }
    if reason := image_rows.first_reason(reasons):
        return Failure(report_id, reason)
    text = texts.pop()
    return Document(
        report_id=report_id,
        patient_id=persons[min(patients)] if patients else None,
        findings=text,
        annotations=(annotations.pop() or ()) if annotations else (),
        without_headers=text is not None,
    )
