"""Makes a queue of reports for review from the pipeline's tables, and keeps it in a folder.

`queue.json`: its rows in order, with the text, the pre-filled labels, the part, weight and reason of each. `cohort.parquet`: what
the student says about every report that could have been in it, without text. So answers are read and figures are estimated from
the folder alone, whatever the pipeline does in between.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from raddistill import params, paths
from raddistill.apps.review.choosing import USEFUL, Chosen, Cohort, choose, margins
from raddistill.errors import InputError
from raddistill.files import write_whole
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.multiple_choice import MultipleChoice
from raddistill.scoring.truth import fill_matrix
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.tables import base as tables
from raddistill.tables import calibration
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.predictions import ArmTables
from raddistill.tables.reports import Reports
from raddistill.tasks.names import MULTIPLE_CHOICE

QUEUE, COHORT = "queue.json", "cohort.parquet"
VALUES = [PRESENT, UNCERTAIN, ABSENT]  # of a label in a form
LEFT_OUT = {  # key of `Queue.about` -> what it counts
    "not_asked": "of these splits are left out: the student was not asked about them",
    "gold_budget": "are left out: the student's thresholds were chosen on them",
    "not_labelled_by_teacher": "have no label of the teacher, so no disagreement is seen in them",
}


@dataclass(frozen=True)
class Queue:
    """The content of queue.json. A row has report_id, text, labels (pre-filled), evidence, and fields of `Chosen`."""

    id: str  # hash of the rows
    labels: list[str]
    rows: list[dict[str, Any]]
    about: dict[str, Any]  # splits, seed, sizes, and which teacher


def draw(rows: int, splits: list[str], random_share: float, prefill: str, seed: int) -> tuple[Queue, pl.DataFrame]:
    """Returns a queue, and the table cohort.parquet: a row per report and label. `prefill`: "student" or "teacher".

    Raises:
        InputError: a table is missing, the student was asked about no report of a split, or as in `choose`.
    """
    cohort, probabilities, about = _read_cohort(splits)
    chosen = choose(cohort, rows, random_share, seed)
    made = _rows(cohort, chosen, prefill)
    about |= {"seed": seed, "random_share": random_share, "prefilled_by": prefill}
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    useful = {cohort.text_groups[each.report] for each in chosen if each.part == USEFUL}
    n = len(cohort.labels)
    frame = pl.DataFrame({
        "report_id": np.repeat(cohort.reports, n), "label": cohort.labels * len(cohort.reports),
        "useful": np.repeat([group in useful for group in cohort.text_groups], n), "student": cohort.student.ravel(),
        "probability": probabilities.ravel(), "margin": cohort.margins.ravel(),
    })  # fmt: skip
    return Queue(digest, cohort.labels, made, about), frame


def save(folder: Path, queue: Queue, cohort: pl.DataFrame) -> None:
    """Writes both files of a queue; queue.json last, so that a folder without it is unfinished."""
    with write_whole(folder / COHORT) as part:
        cohort.write_parquet(part)
    tables.write_json(asdict(queue), folder / QUEUE)


def load(folder: Path) -> tuple[Queue, pl.DataFrame]:
    """Returns the queue in `folder` and the table cohort.parquet, as `draw` does.

    Raises:
        InputError: there is none, or a file is damaged.
    """
    try:
        return Queue(**json.loads((folder / QUEUE).read_text(encoding="utf-8"))), pl.read_parquet(folder / COHORT)
    except FileNotFoundError:
        raise InputError(f"{folder} holds no queue; `raddistill review make` makes one, --queue names its folder") from None
    except (ValueError, TypeError, pl.exceptions.PolarsError):
        raise InputError(f"{QUEUE} or {COHORT} in {folder} is damaged; restore them, answers cannot be read without") from None


def _read_cohort(splits: list[str]) -> tuple[Cohort, Any, dict[str, Any]]:
    """Returns the reports of `splits` that the student was asked about, its probabilities (nan: none), and counts of them.

    Reports of the calibration's gold budget are left out: on them the student's errors are no longer a fair sample.
    """
    calibrated, score = calibration.load(paths.CALIBRATION), params.load("score", ScoreParams)
    label_set = load_labels(params.load("label_set", LabelSetParams).path)
    scorer, names = MultipleChoice(score, label_set, calibrated), [label.name for label in label_set]
    reports = tables.read(Reports, paths.REPORTS).filter(pl.col("split").cast(pl.String).is_in(splits))
    texts = dict(reports.select("report_id", "text").iter_rows())
    asked, decided, probable = [], [], []
    for split in splits:
        arm = tables.read_record(ArmTables, paths.tables_of(ArmTables, f"student_{split}")).select(MULTIPLE_CHOICE)
        of_split = {each: texts[each] for each in arm.predictions["report_id"] if each in texts}
        if not of_split:
            raise InputError(f"the student was asked about no report of {split}; `dvc repro` predicts, or choose another --split")
        decisions = scorer.read_predictions("student", arm, of_split)
        nothing = np.full(decisions.decided.shape, np.nan)
        asked += decisions.reports
        decided.append(decisions.decided)
        probable.append(nothing if decisions.probabilities is None else decisions.probabilities)
    order = [i for i in np.argsort(asked) if asked[i] not in set(calibrated.budget)]
    ids = [asked[i] for i in order]
    student, probabilities = np.concatenate(decided)[order], np.concatenate(probable)[order]
    thresholds = np.array([calibrated.labels[name].threshold if calibrated.labels else 0.5 for name in names])
    margin = np.where(np.isnan(probabilities), 1.0, margins(probabilities, thresholds))
    said, which = _teacher(ids, names, {n for n, each in calibrated.labels.items() if not each.teacher_uncertain_is_present})
    teacher = np.where(said < 0, student, said == 1)
    about = {
        "splits": splits, "reports": len(ids), "not_asked": reports.height - len(asked),
        "gold_budget": len(asked) - len(ids), "thresholds": dict(zip(names, map(float, thresholds), strict=True)),
        "not_labelled_by_teacher": int((said < 0).all(axis=1).sum()), "teacher": which,
    }  # fmt: skip
    group_of = dict(reports.select("report_id", "text_group").iter_rows())
    groups = [group_of[each] for each in ids]
    # Texts that differ in punctuation alone are one text, so the student says one thing about them: that about the first.
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    one = first[group]
    return Cohort(ids, groups, names, student[one], teacher[one], margin[one]), probabilities[one], about


def _teacher(ids: list[str], names: list[str], uncertain_is_absent: set[str]) -> tuple[Any, str]:
    """Returns 1 (present), 0 or -1 (not labelled), (reports, labels), and what was read: the whole report, if that is known."""
    whole = tables.read(Labels, paths.table("whole_labels", MULTIPLE_CHOICE))
    rows = whole if whole.height else tables.read(Labels, paths.table("labels", MULTIPLE_CHOICE))
    status = pl.col("status").cast(pl.String)
    present = (status == PRESENT) | ((status == UNCERTAIN) & ~pl.col("label").is_in(list(uncertain_is_absent)))
    cells = rows.select("report_id", "label", present.cast(pl.Int8)).iter_rows()
    return fill_matrix(cells, ids, names, missing=-1).astype(
        np.int8
    ), "whole report" if whole.height else "sections that it reads"


def _rows(cohort: Cohort, chosen: list[Chosen], prefill: str) -> list[dict[str, Any]]:
    mine = pl.col("report_id").is_in([cohort.reports[each.report] for each in chosen])
    texts = dict(tables.read(Reports, paths.REPORTS).filter(mine).select("report_id", "text").iter_rows())
    evidence = tables.read(Evidence, paths.table("evidence", MULTIPLE_CHOICE)).filter(mine).sort("start", "label")
    spans: dict[str, list[tuple[int, int, str, str]]] = {}
    for report, *span in evidence.select("report_id", "start", "end", "label", pl.col("status").cast(pl.String)).iter_rows():
        spans.setdefault(report, []).append(tuple(span))
    source = cohort.student if prefill == "student" else cohort.teacher
    return [
        {
            "report_id": cohort.reports[each.report], "text": texts[cohort.reports[each.report]],
            "labels": {n: PRESENT if yes else ABSENT for n, yes in zip(cohort.labels, source[each.report], strict=True)},
            "evidence": spans.get(cohort.reports[each.report], []),
            "part": each.part, "copies": each.copies, "weight": each.weight, "reason": each.reason,
        }
        for each in chosen
    ]  # fmt: skip
