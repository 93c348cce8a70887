"""The stage `synthesize`: a teacher, chosen by name, labels every report for one task. Never reads gold."""

from collections.abc import Callable
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.teachers.imported import ImportedTeacher
from raddistill.teachers.rules.labeler import RulesTeacher
from raddistill.teachers.teacher import Labelled, Teacher

TASKS = ("multiple_choice", "open_ended")


class SynthesizeParams(Section):
    """The section synthesize.<task>."""

    teacher: str
    source: str
    sections: str | list[str]  # rules: findings_and_impression | impression_else_findings | a list
    max_quarantine: float  # share of the reports, 0 to 1


TEACHERS: dict[str, Callable[[str, SynthesizeParams], Teacher]] = {
    "rules": lambda task, p: RulesTeacher(task, p.source, p.sections),
    "imported": lambda task, p: ImportedTeacher(task, p.source),
}


class Synthesized(NamedTuple):
    """The tables of the stage and its metrics (numbers only)."""

    labels: dy.DataFrame[Labels]
    evidence: dy.DataFrame[Evidence]
    outcomes: dy.DataFrame[Outcomes]
    quarantine: dy.DataFrame[Quarantine]
    metrics: dict[str, Any]


def synthesize(task: str, p: SynthesizeParams, reports: dy.DataFrame[Reports], label_set: list[Label]) -> Synthesized:
    """Labels `reports` (a row each) for `task`; what the teacher could not label is in quarantine, with the reason.

    Raises:
        ParamsError: unknown task or teacher.
        InputError: the teacher's source is missing or broken, or a larger share than p.max_quarantine is in quarantine.
    """
    if task not in TASKS:
        raise ParamsError(f"unknown task '{task}'; known: {', '.join(TASKS)}")
    if p.teacher not in TEACHERS:
        raise ParamsError(f"synthesize.{task}.teacher: unknown teacher '{p.teacher}'; known: {', '.join(TEACHERS)}")
    labelled = TEACHERS[p.teacher](task, p).label(reports, label_set)
    outcomes = tables.check(Outcomes, labelled.outcomes, f"outcomes of {task}")
    assert outcomes["report_id"].sort().equals(reports["report_id"].sort()), "a teacher must return one outcome a report"
    metrics = measure(task, labelled)
    quarantined = metrics["reports"] - metrics["labelled"]
    if quarantined > p.max_quarantine * metrics["reports"]:
        reasons = "; ".join(f"{reason}: {n}" for reason, n in metrics["quarantined"].items())
        raise InputError(
            f"{quarantined} of {metrics['reports']} reports could not be labelled for {task} ({reasons}), more than "
            f"synthesize.{task}.max_quarantine = {p.max_quarantine} allows; mend {p.source} or raise that share"
        )
    return Synthesized(
        tables.check(Labels, labelled.labels, f"labels of {task}"),
        tables.check(Evidence, labelled.evidence, f"evidence of {task}"),
        outcomes,
        tables.check(Quarantine, labelled.quarantine, f"quarantine of {task}"),
        metrics,
    )


def measure(task: str, labelled: Labelled) -> dict[str, Any]:
    """Counts of reports and labels. `quarantined` counts by reason; `present`, `uncertain`, `absent` count reports by label."""
    outcomes, labels = labelled.outcomes, labelled.labels
    reasons = outcomes.filter(pl.col("outcome") == "quarantined").group_by("reason").len().sort("reason")
    n_labelled = outcomes.filter(pl.col("outcome") == "labelled").height
    metrics: dict[str, Any] = {
        "reports": outcomes.height,
        "labelled": n_labelled,
        "quarantined": dict(reasons.iter_rows()),
        **labelled.counts,
    }
    if task == "multiple_choice":
        counted = labels.group_by("label").agg(
            (pl.col("status") == status).sum().alias(status) for status in (PRESENT, UNCERTAIN, ABSENT)
        )
        return metrics | {"labels": {row.pop("label"): row for row in counted.sort("label").iter_rows(named=True)}}
    return metrics | {
        "distinct_phrases": labels["label"].n_unique(),
        "reports_with_findings": labels["report_id"].n_unique(),
        "findings_per_report": round(labels.height / n_labelled, 4) if n_labelled else None,
        **{status: labels.filter(pl.col("status") == status).height for status in (PRESENT, UNCERTAIN, ABSENT)},
    }
