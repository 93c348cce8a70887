"""Puts the arms' decisions on the test split beside people's annotations, for both pages."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from raddistill import params, paths
from raddistill.apps.folds import names
from raddistill.concepts import load_concepts
from raddistill.errors import InputError
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.scoring.comparison import choose_policies
from raddistill.scoring.metrics import Judged, ScoreParams, compare_with_truth, micro_f1
from raddistill.scoring.scores import tidy
from raddistill.scoring.truth import ArmDecisions, TaskNames, Truth, from_table, read_truth
from raddistill.tables import base as tables
from raddistill.tables.decisions import Decisions
from raddistill.tables.gold import Gold

SHOWN = ("student", "teacher", "teacher_whole", "linear")
UNANNOTATED = "present"  # the policy of a teacher where nobody annotated, so that nothing can choose one


@dataclass(frozen=True)
class Cells:
    """The decisions about one task, and people's annotations. A teacher has the policy under which it is compared."""

    names: TaskNames
    truth: Truth  # of all annotated reports
    arms: dict[str, ArmDecisions]  # about all reports that the student was asked
    judged: dict[str, Judged]  # on those of them that people annotated; names that count only


def read_cells(metrics: dict[str, Any]) -> dict[str, Cells]:
    """Returns the cells of each task that the student was asked about. `metrics`: content of metrics/final.json.

    Raises:
        InputError: a table is missing, or is of another run than `metrics`.
        TableError: a table breaks its schema.
    """
    p = params.load("score", ScoreParams)
    label_set = load_labels(params.load("label_set", LabelSetParams).path)
    decisions, gold = tables.read(Decisions, paths.DECISIONS), tables.read(Gold, paths.GOLD)
    found = {}
    for task, of_task in names(p, label_set, load_concepts(paths.CONCEPTS)).items():
        rows = decisions.filter(pl.col("task") == task)
        if "student" in rows["arm"]:
            found[task] = _of_task(rows, read_truth(gold, task, of_task.names), of_task)
            _refuse_another_run(task, found[task], metrics.get(task, {}))
    if not found:
        raise InputError(f"{paths.DECISIONS} holds no decision of the student; `dvc repro final` makes it")
    return found


def _of_task(rows: pl.DataFrame, truth: Truth, of_task: TaskNames) -> Cells:
    text_groups = dict(rows.select("report_id", "text_group").unique().iter_rows())
    arms = {arm: from_table(rows.filter(pl.col("arm") == arm), of_task.names) for arm in sorted(set(rows["arm"]))}
    reports = sorted(set(arms["student"].reports) & set(truth.reports))
    judged = {arm: compare_with_truth(truth, each.select(reports), text_groups, of_task.scored) for arm, each in arms.items()}
    policies = choose_policies(judged) if reports else {}
    chosen = {arm: policies.get(arm, arm if arm in arms else f"{arm}_{UNANNOTATED}") for arm in SHOWN}
    there = {arm: sub_arm for arm, sub_arm in chosen.items() if sub_arm in arms}
    return Cells(of_task, truth, {a: arms[s] for a, s in there.items()}, {a: judged[s] for a, s in there.items()})


def _refuse_another_run(task: str, cells: Cells, metrics: dict[str, Any]) -> None:
    for arm in ("student", "teacher"):
        if arm in cells.judged and arm in metrics and metrics[arm]["reports"]:
            judged = cells.judged[arm]
            ours = tidy({"reports": len(judged.reports), "micro_f1": micro_f1(judged)})
            if any(ours.get(key) != metrics[arm].get(key) for key in ("reports", "micro_f1")):
                raise InputError(
                    f"{paths.DECISIONS} and {paths.GOLD} do not give the figures of {task}, {arm} in {paths.FINAL_METRICS}: "
                    "they are of another run; `dvc checkout` brings those of dvc.lock, `dvc repro final` makes them anew"
                )
