"""Gathers what templates/page.html shows of a run: aggregates from metrics/, plots/ and two tables. No text, no ids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from raddistill import paths
from raddistill.apps import pipeline, results
from raddistill.apps.page import charts
from raddistill.apps.page.cells import Cells
from raddistill.apps.page.charts import Chart, Rows
from raddistill.scoring.metrics import Judged
from raddistill.scoring.score_output import shown_arms
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

FILES = {  # what each section shows beside metrics/final.json
    "labels": (paths.FINAL_PLOTS / "per_label.csv",),
    "learning": (paths.TRAINING_CURVE, paths.VALIDATION_CURVE, paths.TRAIN_METRICS),
    "reliability": (paths.FINAL_PLOTS / "reliability.csv", paths.FINAL_PLOTS / "precision_recall.csv"),
    "cells": (paths.DECISIONS, paths.GOLD),
}
TITLES = {MULTIPLE_CHOICE: "Multiple choice", OPEN_ENDED: "Open-ended"}
MENDED, ADDED = "teacher wrong, student right", "teacher right, student wrong"
BARS = {MENDED: "var(--student)", ADDED: "var(--teacher)"}


def gather(metrics: dict[str, Any], cells: dict[str, Cells]) -> dict[str, Any]:
    """Returns the variables of the template. `metrics`: content of metrics/final.json. `cells`: {} if its tables are not here."""
    labels, bins, curve = (read_csv(file) for file in (*FILES["labels"], *FILES["reliability"]))
    losses = [{"arm": "training", **row} for row in read_csv(paths.TRAINING_CURVE)]
    losses += [{"arm": "validation", **row} for row in read_csv(paths.VALIDATION_CURVE)]
    given = {
        "metrics": metrics,
        "arms": {task: [a.name for a in reversed(shown_arms({task: f})) if a.name in f] for task, f in metrics.items()},
        "titles": TITLES,
        "names": charts.TITLES,
        "gains": results.gain_rows(metrics),
        "labels": {task: _by_label([row for row in labels if row["task"] == task]) for task in metrics},
        "losses": losses,
        "train": read_metrics(paths.TRAIN_METRICS),
        "bins": bins,
        "curve": curve,
        "confusion": {task: _confusion(each) for task, each in cells.items()},
        "noise": {task: _noise(each) for task, each in cells.items() if "teacher" in each.judged},
        "missing": {part: gone for part, files in FILES.items() if (gone := [str(f) for f in files if not f.exists()])},
    }
    return given | {"charts": dict(_charts(given))}


def read_csv(path: Path) -> Rows:
    """Returns the rows of a CSV of plots/, with None for what could not be computed; [] if it is missing."""
    return pl.read_csv(path, infer_schema_length=None).to_dicts() if path.exists() else []


def read_metrics(path: Path) -> dict[str, Any]:
    """Returns a metrics file; {} if it is missing."""
    return pipeline.load_metrics(path) if path.exists() else {}


def _by_label(rows: Rows) -> dict[str, dict[str, Any]]:
    """Returns label to arm to its row, most frequent label first."""
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (-row["positives"], row["label"])):
        found.setdefault(row["label"], {})[row["arm"]] = row
    return found


def _by_positives(judged: Judged) -> list[int]:
    return sorted(range(len(judged.names)), key=lambda i: (-int(judged.present[:, i].sum()), judged.names[i]))


def _confusion(cells: Cells) -> dict[str, Any]:
    """Returns, by label and arm, how many cells are found, false, missed, rightly absent, ambiguous."""
    arms = {arm: judged for arm, judged in cells.judged.items() if arm in ("student", "teacher") and judged.reports}
    rows: dict[str, dict[str, list[int]]] = {}
    for arm, judged in arms.items():
        counts, ambiguous = judged.counts().sum(axis=0), judged.ambiguous.sum(axis=0)
        absent = len(judged.reports) - ambiguous - counts.sum(axis=1)
        for i in _by_positives(judged):
            rows.setdefault(judged.names[i], {})[arm] = [*counts[i].tolist(), int(absent[i]), int(ambiguous[i])]
    shown = {label: of_arms for label, of_arms in rows.items() if any(any(row[:3]) for row in of_arms.values())}
    unmapped = {arm: int(judged.unmapped.sum()) for arm, judged in arms.items()}
    reports = {arm: len(judged.reports) for arm, judged in arms.items()}
    return {"arms": reports, "rows": shown, "left": len(rows) - len(shown), "unmapped": unmapped}


def _noise(cells: Cells) -> dict[str, Any]:
    """Returns, by label, where people say that the teacher is wrong, and whether the student is right there; and the reverse."""
    teacher = cells.judged["teacher"]
    student = cells.judged["student"].select(teacher.reports)
    scored = ~teacher.ambiguous
    wrong, ours = (scored & (judged.decided != judged.present) for judged in (teacher, student))
    missed, false = wrong & teacher.present, wrong & ~teacher.present
    kinds = np.stack([missed, missed & ~ours, false, false & ~ours, ~wrong & ours], axis=-1).sum(axis=0)
    rows = {teacher.names[i]: kinds[i].tolist() for i in _by_positives(teacher) if kinds[i].any()}
    return {"reports": len(teacher.reports), "cells": int(scored.sum()), "rows": rows, "sums": kinds.sum(axis=0).tolist()}


def _charts(given: dict[str, Any]) -> Iterator[tuple[str, Chart]]:
    for task, of_task in given["metrics"].items():
        known = [arm for arm in given["arms"][task] if "micro_f1_low" in of_task[arm]]
        rows = [{"arm": arm, "label": charts.TITLES[arm], "f1": of_task[arm]["micro_f1"]} for arm in known]
        rows = [row | {end: of_task[row["arm"]][f"micro_f1_{end}"] for end in ("low", "high")} for row in rows]
        title, order = f"{TITLES[task]}: micro F1 of each arm, with its 95 % interval", [charts.TITLES[arm] for arm in known]
        yield f"headline_{task}", charts.dots(title, rows, order, several=False)
        by_arm = [row for of_label in given["labels"][task].values() for row in of_label.values()]
        rows = [row for row in by_arm if row["arm"] in ("student", "teacher", "teacher_whole")]
        title = f"{TITLES[task]}: F1 per label, with its 95 % interval"
        yield f"labels_{task}", charts.dots(title, rows, list(given["labels"][task]), several=True)
    for task, noise in given["noise"].items():
        sides = {label: {MENDED: n[1] + n[3], ADDED: -n[4]} for label, n in noise["rows"].items()}
        rows = [{"label": label, "kind": kind, "cells": n} for label, of in sides.items() for kind, n in of.items()]
        title = f"{TITLES[task]}: to the right, cells where the student mends its teacher; to the left, where it errs alone"
        yield f"noise_{task}", charts.bars(title, rows, list(sides), BARS)
    title = "Reliability: share that people call present, by probability"
    yield "learning", charts.lines("Loss by training step", given["losses"], "step", "loss")
    yield "reliability", charts.lines(title, given["bins"], "predicted", "observed", unit=True, diagonal=True)
    yield "precision_recall", charts.lines("Precision against recall", given["curve"], "recall", "precision", unit=True)
