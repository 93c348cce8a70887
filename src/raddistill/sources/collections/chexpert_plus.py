"""CheXpert Plus (Chambon et al. 2024, arXiv 2405.19538) from its CSV, `df_chexpert_plus_240401.csv`.

It has 223,462 rows, one per image, of 187,711 reports. The publishers' section columns are used as they are. If they have neither
findings nor impression, the whole report is split as free text (sections/parser.py). The collection has no labels made by people,
so gold comes only from your own annotators (sources/gold/annotators.py). Its label files are for a teacher (teachers/imported).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from raddistill.reading.cells import NOT_UTF8, is_missing, is_utf8
from raddistill.sections import parser
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sections.report_text import section_text, tidy
from raddistill.sources.collections import image_rows
from raddistill.sources.documents import Document, Failure, Progress, Source, no_progress

FILES = "df_chexpert_plus*.csv*"
TEXTS = [
    "report", "section_findings", "section_impression", "section_clinical_history", "section_history", "section_comparison",
]  # fmt: skip
COLUMNS = ["path_to_image", "deid_patient_id", "split", *TEXTS]
_STUDY = re.compile(r"(?:.*/)?(patient\d+)/(study\d+)/[^/]+")


class Texts(NamedTuple):
    """The columns TEXTS. All but `report` are as report_text.section_text returns them."""

    report: str | None
    findings: str | None
    impression: str | None
    clinical_history: str | None
    history: str | None
    comparison: str | None


class CheXpertPlus(Source):
    """The collection as one CSV, with or without gzip."""

    name = "chexpert_plus"
    sensitivity = "credentialed"

    def __init__(self, lexicon: SectionLexicon | None = None) -> None:
        self._lexicon = lexicon  # as in parser.read

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every report of the CSV `raw`, or of the only one in the folder `raw`, sorted by id.

        The id is from the path of the image: `patient00001/study1`. Rows without an id come first, as failures.
        """
        path, without_id = image_rows.the_file(raw, FILES), "path_to_image names no patient and study"
        reports = yield from image_rows.gather(path, COLUMNS, _id_of, without_id, progress)
        for report_id in sorted(reports):
            yield _document(report_id, reports.pop(report_id), self._lexicon)


def _id_of(path: str) -> str:
    """Returns patient and study from the path of an image; "" if it has none."""
    found = _STUDY.fullmatch(path.strip())
    return "/".join(found.groups()) if found else ""


def _document(report_id: str, rows: set[tuple[str, ...]], lexicon: SectionLexicon | None) -> Document | Failure:
    patients = {patient.strip() or report_id.partition("/")[0] for patient, *_ in rows}
    splits = {split.strip() for _, split, *_ in rows} - {""}
    versions = {_texts(*cells) for _, _, *cells in rows}
    reasons = {
        "id of several different reports": len(versions) > 1,
        "report of several patients": len(patients) > 1,
        NOT_UTF8: not all(is_utf8(text or "") for cells in (patients, splits, *versions) for text in cells),
    }
    if reason := image_rows.first_reason(reasons):
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
