"""Gathers what templates/errors.html shows: every test report with its TEXT, its evidence, and what each arm says."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from raddistill import params, paths
from raddistill.apps.page.cells import SHOWN, Cells
from raddistill.errors import TableError
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.multiple_choice import MultipleChoice
from raddistill.statuses import AMBIGUOUS
from raddistill.tables import base as tables
from raddistill.tables import calibration
from raddistill.tables.evidence import Evidence
from raddistill.tables.predictions import ArmTables
from raddistill.tables.reports import Reports
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

UNMAPPED = "(phrases without a concept)"  # a false answer to the open-ended task that is no label
ARMS = [arm for arm in SHOWN if arm != "linear"]
_MARK = ("task", "label", "status", "section", "cue", "start", "end")


def gather(cells: dict[str, Cells]) -> dict[str, Any]:
    """Returns the data of the error browser, as JSON knows it.

    `reports`: id, `segments` of the text ([words, numbers of its marks]), `marks` (the teacher's evidence), `context` (sections
    that nobody reads), `phrases` (the student's open-ended answer), and `cells` by task: [name, people, arms..., probability of
    the student]. 1 is present, 0 absent, None not asked or not annotated. Cells that are absent everywhere are left out.

    Raises:
        InputError: a table is missing.
        TableError: a table breaks its schema, or a decision is about no report.
    """
    asked = {report for each in cells.values() for report in each.arms["student"].reports}
    rows = tables.read(Reports, paths.REPORTS).filter(pl.col("report_id").is_in(asked)).sort("report_id")
    if rows.height < len(asked):
        raise TableError(f"{len(asked) - rows.height} reports of {paths.DECISIONS} are not in {paths.REPORTS}; `dvc repro final`")
    student = tables.read_record(ArmTables, paths.tables_of(ArmTables, "student_test"))
    chances = _chances(student, dict(rows.select("report_id", "text").iter_rows()))
    by_task = {task: _by_report(each, chances if task == MULTIPLE_CHOICE else {}) for task, each in cells.items()}
    phrases = dict(student.select(OPEN_ENDED).predictions.select("report_id", "answer").iter_rows())
    marks = _evidence(list(cells))
    reports = []
    for row in rows.iter_rows(named=True):
        report, own = row["report_id"], sorted(marks[row["report_id"]], key=lambda mark: (mark["start"], mark["end"]))
        reports.append({
            "id": report, "segments": list(segments(row["text"], [(m["start"], m["end"]) for m in own])), "marks": own,
            "context": {section: row[section] for section in ("indication", "comparison") if row[section]},
            "cells": {task: of_task[report] for task, of_task in by_task.items() if report in of_task},
            "phrases": phrases.get(report) or "",
        })  # fmt: skip
    names = {task: sorted({cell[0] for of_report in of_task.values() for cell in of_report}) for task, of_task in by_task.items()}
    return {"arms": ARMS, "names": names, "reports": reports, "sensitivity": sorted(set(rows["sensitivity"]))}


def segments(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, list[int]]]:
    """Yields the pieces of `text` between all ends of `spans` (code points), each with the numbers of the spans around it."""
    bounds = sorted({0, len(text), *(min(bound, len(text)) for span in spans for bound in span)})
    for start, end in itertools.pairwise(bounds):
        yield text[start:end], [n for n, span in enumerate(spans) if span[0] <= start and end <= span[1]]


def _evidence(tasks: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in tasks:
        for row in tables.read(Evidence, paths.table("evidence", task)).to_dicts():
            found[row["report_id"]].append({key: row[key] for key in _MARK})
    return found


def _chances(student: ArmTables, texts: dict[str, str]) -> dict[tuple[str, str], float]:
    """Returns the student's probabilities by report and label, after calibration; {} if it answers in words."""
    of_task = student.select(MULTIPLE_CHOICE)
    label_set = load_labels(params.load("label_set", LabelSetParams).path)
    scorer = MultipleChoice(params.load("score", ScoreParams), label_set, calibration.load(paths.CALIBRATION))
    read = scorer.read_predictions("student", of_task, {report: texts[report] for report in of_task.predictions["report_id"]})
    if read.probabilities is None:
        return {}
    cells = zip(read.reports, read.probabilities, strict=True)
    return {(report, name): round(float(p), 3) for report, row in cells for name, p in zip(scorer.names.names, row, strict=True)}


def _by_report(cells: Cells, chances: dict[tuple[str, str], float]) -> dict[str, list[list[Any]]]:
    """Returns report to its cells in which anybody says present, or people's labels are ambiguous."""
    truth, names = cells.truth, [*cells.names.names, UNMAPPED]
    gold = np.where(truth.ambiguous, AMBIGUOUS, truth.present.astype(int).astype(object))
    people = dict(zip(truth.reports, np.column_stack([gold, np.zeros(len(gold), dtype=int)]).tolist(), strict=True))
    arms: dict[str, dict[str, list[Any]]] = {arm: {} for arm in ARMS}
    for arm in set(ARMS) & set(cells.arms):
        decisions = cells.arms[arm]
        said = np.column_stack([decisions.decided, decisions.unmapped > 0]).astype(int)
        arms[arm] = dict(zip(decisions.reports, said.tolist(), strict=True))
    nobody, counts = [None] * len(names), [*cells.names.scored, True]
    return {
        report: [
            [name, of_people, *of_arms, chances.get((report, name))]
            for name, scored, of_people, *of_arms in zip(
                names, counts, people.get(report, nobody), *(arms[arm].get(report, nobody) for arm in ARMS), strict=True
            )
            if scored and (of_people or any(of_arms))
        ]
        for report in cells.arms["student"].reports
    }
