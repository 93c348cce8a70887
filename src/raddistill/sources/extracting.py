"""Raw files to the tables of reports and gold. Every report of the source ends in `reports` or in `quarantine`.

Sources are named by `extract.source`; each declares the sensitivity of what it holds.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import polars as pl
from pydantic import Field, model_validator

from raddistill.concepts import Concept
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.sources import sections, splitting
from raddistill.sources.documents import Document, Failure, Source
from raddistill.sources.openi import OpenI
from raddistill.statuses import EXCLUDED, PRESENT
from raddistill.tables.reports import SPLITS, Reports

SOURCES: dict[str, Source] = {source.name: source for source in (OpenI(),)}

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ExtractParams(Section):
    """Which collection, by which mapping its annotations become gold, and how it is split."""

    source: str
    gold: str
    salt: str
    train: Share
    validation: Share
    max_quarantine: Share

    @model_validator(mode="after")
    def _leaves_a_test_split(self) -> Self:
        if self.train + self.validation >= 1.0:
            raise ValueError("train and validation leave nothing for the test split")
        return self


@dataclass(frozen=True)
class Extracted:
    """What the stage writes: three tables and its metrics (numbers only)."""

    reports: pl.DataFrame
    gold: pl.DataFrame
    quarantine: pl.DataFrame
    metrics: dict[str, Any]


def extract(p: ExtractParams, raw: Path, label_set: list[Label], concepts: list[Concept]) -> Extracted:
    """Reads the collection in the folder `raw`.

    Raises:
        ParamsError: a source that does not exist.
        InputError: the collection is missing or damaged; too many of its reports cannot be used (counts by reason).
    """
    if p.source not in SOURCES:
        raise ParamsError(f"extract.source: there is no '{p.source}'; known: {', '.join(sorted(SOURCES))}")
    source = SOURCES[p.source]
    documents: list[Document] = []
    failures: list[Failure] = []
    for made in source.read(raw):
        if isinstance(made, Document):
            documents.append(made)
        else:
            failures.append(made)
    kept, unusable = _sift(documents)
    reports, quarantine = _reports(p, source, kept), _quarantine(failures + unusable)
    assert reports.height + quarantine.height == len(documents) + len(failures), "a report was lost"
    _refuse_too_many(quarantine, reports.height, p.max_quarantine)
    gold = source.gold({d.report_id: d.annotations for d in kept}, Path(p.gold), label_set, concepts)
    assert set(gold["report_id"]) == set(reports["report_id"]), "gold and reports are not the same reports"
    return Extracted(reports, gold, quarantine, _metrics(reports, gold, quarantine))


def _sift(documents: list[Document]) -> tuple[list[Document], list[Failure]]:
    """Documents with a text under an id of their own. Of equal copies one is kept; of copies that differ none is:
    nobody could say which of them is the report."""
    copies: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        copies[document.report_id].append(document)
    kept, unusable = [], []
    for report_id, same in copies.items():
        if any(document != same[0] for document in same):
            unusable += [Failure(report_id, "id of several different reports")] * len(same)
            continue
        unusable += [Failure(report_id, "copy of another file")] * (len(same) - 1)
        if same[0].findings or same[0].impression:
            kept.append(same[0])
        else:
            unusable.append(Failure(report_id, "no findings and no impression"))
    return kept, unusable


def _reports(p: ExtractParams, source: Source, documents: list[Document]) -> pl.DataFrame:
    rows = []
    for d in documents:
        group = splitting.text_group(d.findings, d.impression)
        rows.append(
            {
                "report_id": d.report_id,
                "patient_id": d.patient_id,
                "source": source.name,
                "sensitivity": source.sensitivity,
                "findings": d.findings,
                "impression": d.impression,
                "indication": d.indication,
                "comparison": d.comparison,
                "text": sections.compose(d.findings, d.impression),
                "split": splitting.split(d.patient_id or group, p.salt, p.train, p.validation),
                "text_group": group,
            }
        )
    return pl.DataFrame(rows, schema=dict.fromkeys(Reports.columns(), pl.String))


def _quarantine(failures: list[Failure]) -> pl.DataFrame:
    seen: Counter[str] = Counter()
    rows = []
    for failure in failures:
        rows.append((failure.report_id, seen[failure.report_id], failure.reason, None))
        seen[failure.report_id] += 1
    schema = {"report_id": pl.String, "n": pl.Int64, "reason": pl.String, "answer": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _refuse_too_many(quarantine: pl.DataFrame, kept: int, allowed: float) -> None:
    files = kept + quarantine.height
    if quarantine.height <= allowed * files:
        return
    reasons = quarantine.group_by("reason").agg(pl.len(), pl.col("report_id").min()).sort("reason")
    told = "; ".join(f"{reason}: {count} (such as {report_id})" for reason, count, report_id in reasons.iter_rows())
    raise InputError(
        f"{quarantine.height} of {files} reports cannot be used, more than extract.max_quarantine ({allowed}) allows: {told}"
    )


def _metrics(reports: pl.DataFrame, gold: pl.DataFrame, quarantine: pl.DataFrame) -> dict[str, Any]:
    """Counts of reports; for each task of the gold also the cells in which people state something."""
    reasons = quarantine.get_column("reason").value_counts().sort("reason")
    tasks = {}
    for (task,), cells in gold.group_by("task", maintain_order=True):
        excluded = cells.filter(pl.col("status") == EXCLUDED).get_column("report_id").n_unique()
        tasks[str(task)] = {
            "annotated": reports.height - excluded,
            "excluded": excluded,
            "present": cells.filter(pl.col("status") == PRESENT).height,
        }
    return {
        "files": reports.height + quarantine.height,
        "reports": reports.height,
        "quarantined": {"total": quarantine.height} | {r.replace(" ", "_"): n for r, n in reasons.iter_rows()},
        "splits": {split: reports.filter(pl.col("split") == split).height for split in SPLITS},
        "text_groups": reports.get_column("text_group").n_unique(),
        "gold": tasks,
    }
