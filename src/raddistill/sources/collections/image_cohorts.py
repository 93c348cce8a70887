"""Reads CheXpert Plus and PadChest: each is one CSV with one row per image, whose rows are grouped by report.

CheXpert Plus (Chambon et al. 2024, arXiv 2405.19538), `df_chexpert_plus_240401.csv`, has 223,462 rows of 187,711 reports. The
publishers' section columns are used as they are. If they have neither findings nor impression, the whole report is split as free
text (sections/parser.py). It has no labels made by people, so gold comes only from your own annotators (gold/annotators.py).

PadChest (Bustos et al. 2020, Medical Image Analysis 66:101797) has 160,861 rows of 107,783 Spanish reports, stemmed and in lower
case. Physicians labelled 26,412 of them, a recurrent network (`RNN_model`) the others. Counted over the whole file: A report has
the same text in all its rows, without headers and line ends, so all of it is findings. 2,136 reports have rows of both methods;
only the physicians' labels are used. 1,214 reports have two patient ids, always on the same day, and nearly always with the same
sex and year of birth: one person with two ids. Ids that share a report are treated as one patient, so that no patient is in two
splits.

The label files of CheXpert Plus and the labels of PadChest's network are for a teacher (teachers/imported).
"""

import contextlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import may_be_text
from raddistill.reading import columns
from raddistill.reading.cells import NOT_UTF8, as_text, is_missing, is_utf8, strings_in
from raddistill.reading.rows import open_rows
from raddistill.sections import parser
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sections.report_text import section_text, tidy
from raddistill.sources.documents import PROGRESS_EVERY, Document, Failure, Progress, Source, no_progress
from raddistill.sources.gold import mapping as mappings
from raddistill.statuses import EXCLUDED

CHEXPERT_FILES = "df_chexpert_plus*.csv*"
TEXTS = [
    "report", "section_findings", "section_impression", "section_clinical_history", "section_history", "section_comparison",
]  # fmt: skip
CHEXPERT_COLUMNS = ["path_to_image", "deid_patient_id", "split", *TEXTS]
_STUDY = re.compile(r"(?:.*/)?(patient\d+)/(study\d+)/[^/]+")
PADCHEST_FILES = "PADCHEST*.csv*"
PADCHEST_COLUMNS = ["ReportID", "PatientID", "Report", "MethodLabel", "Labels"]
ANNOTATOR = "padchest_physician"
PHYSICIAN, NETWORK = "Physician", "RNN_model"


class Texts(NamedTuple):
    """The columns TEXTS. All but `report` are as report_text.section_text returns them."""

    report: str | None
    findings: str | None
    impression: str | None
    clinical_history: str | None
    history: str | None
    comparison: str | None


class CheXpertPlus(Source):
    """CheXpert Plus as one CSV, with or without gzip."""

    name = "chexpert_plus"
    sensitivity = "credentialed"

    def __init__(self, lexicon: SectionLexicon | None = None) -> None:
        self._lexicon = lexicon  # as in parser.read

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every report of the CSV `raw`, or of the only one in the folder `raw`, sorted by id.

        The id is from the path of the image: `patient00001/study1`. Rows without an id come first, as failures.
        """
        path, without_id = _the_file(raw, CHEXPERT_FILES), "path_to_image names no patient and study"
        reports = yield from _gather(path, CHEXPERT_COLUMNS, _study_of, without_id, progress)
        for report_id in sorted(reports):
            yield _of_chexpert(report_id, reports.pop(report_id), self._lexicon)


def _study_of(path: str) -> str:
    """Returns patient and study from the path of an image; "" if it has none."""
    found = _STUDY.fullmatch(path.strip())
    return "/".join(found.groups()) if found else ""


def _of_chexpert(report_id: str, rows: set[tuple[str, ...]], lexicon: SectionLexicon | None) -> Document | Failure:
    patients = {patient.strip() or report_id.partition("/")[0] for patient, *_ in rows}
    splits = {split.strip() for _, split, *_ in rows} - {""}
    versions = {_texts(*cells) for _, _, *cells in rows}
    reasons = {
        "id of several different reports": len(versions) > 1,
        "report of several patients": len(patients) > 1,
        NOT_UTF8: not all(is_utf8(text or "") for cells in (patients, splits, *versions) for text in cells),
    }
    if reason := _first_reason(reasons):
        return Failure(report_id, reason)
    texts = versions.pop()
    history = tidy(" ".join(words for words in (texts.clinical_history, texts.history) if words))
    sections = parser.Words(texts.findings, texts.impression, history, texts.comparison, without_headers=False)
    if not texts.findings and not texts.impression and texts.report:
        read = parser.words(texts.report, lexicon)
        sections = read._replace(indication=history or read.indication, comparison=texts.comparison or read.comparison)
    return Document(
        report_id=report_id,
        patient_id=patients.pop(),
        split=" and ".join(sorted(splits)) or None,  # two give no valid split
        **sections._asdict(),
    )


def _texts(report: str, *sections: str) -> Texts:
    names = Texts._fields[1:]
    words = (section_text(text, none_is_said=name == "comparison") for name, text in zip(names, sections, strict=True))
    return Texts(None if is_missing(report) else report.strip(), *words)


class PadChest:
    """PadChest as one CSV, with or without gzip."""

    name = "padchest"
    sensitivity = "credentialed"  # its terms: for research only, no redistribution
    needs_mapping = True

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every report of the CSV `raw`, or of the only one in the folder `raw`, sorted by id.

        Rows without an id come first, as failures.
        """
        path = _the_file(raw, PADCHEST_FILES)
        reports = yield from _gather(path, PADCHEST_COLUMNS, _id, "no report id", progress)
        persons = link(_patients(rows) for rows in reports.values())
        for report_id in sorted(reports):
            yield _of_padchest(report_id, reports[report_id], persons)

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


def _id(cell: str) -> str:
    return cell.strip() if is_utf8(cell) and not may_be_text(cell) else ""


def _patients(rows: set[tuple[str, ...]]) -> set[str]:
    return {patient.strip() for patient, *_ in rows} - {""}


def _of_padchest(report_id: str, rows: set[tuple[str, ...]], persons: dict[str, str]) -> Document | Failure:
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
    if reason := _first_reason(reasons):
        return Failure(report_id, reason)
    text = texts.pop()
    return Document(
        report_id=report_id,
        patient_id=persons[min(patients)] if patients else None,
        findings=text,
        annotations=(annotations.pop() or ()) if annotations else (),
        without_headers=text is not None,
    )


def _the_file(raw: Path, pattern: str) -> Path:
    """Returns `raw`, or the only file in the folder `raw` that matches the pattern.

    Raises:
        InputError: `raw` is a folder with none or several such files.
    """
    if not raw.is_dir():
        return raw
    found = sorted(raw.glob(pattern))
    if len(found) != 1:
        raise InputError(f"{raw} holds {len(found)} files {pattern}; extract.raw names the folder of the one, or the file itself")
    return found[0]


def _gather(
    path: Path, wanted: list[str], id_of: Callable[[str], str], without_id: str, progress: Progress
) -> Generator[Failure, None, dict[str, set[tuple[str, ...]]]]:
    """Returns report id to the distinct rows of the report, as tuples of the wanted cells but the first.

    `id_of` returns the report's id from the first wanted cell, "" if there is none. Yields a failure for each such row
    (its reason is `without_id`) and each broken one.

    Raises:
        InputError: the file is damaged or has no row, or a column is missing or repeated.
    """
    reports: dict[str, set[tuple[str, ...]]] = {}
    with contextlib.closing(open_rows(str(path), None, "utf-8")) as table:
        columns.require(str(path), table.columns, wanted)
        number = 0
        for number, row in enumerate(table.rows(wanted), start=1):
            if number % PROGRESS_EVERY == 0:
                progress(table.done(), table.total)
            first, *others = (as_text(cell) or "" for cell in row.cells)  # in Parquet, ids may be numbers
            if row.reason or not (report_id := id_of(first)):
                yield Failure(path.name, row.reason or without_id, number)
            else:
                reports.setdefault(report_id, set()).add(tuple(others))
        if not number:
            raise InputError(f"{path} holds no row")
    return reports


def _first_reason(reasons: dict[str, bool]) -> str | None:
    """Returns the first reason for quarantine that holds; None if the report is usable."""
    return next((reason for reason, holds in reasons.items() if holds), None)
