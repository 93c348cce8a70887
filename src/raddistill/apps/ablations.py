"""One question, several experiments: which settings a question compares, what they scored, and the picture of it.

A file presets/ablations/NAME.yaml holds the question and its points. `raddistill ablation queue` makes each point a DVC
experiment named NAME-<point>, `raddistill ablation draw` reads their metrics. All figures are of the validation split: a
question is no reason to look at test.
"""

import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raddistill import params, paths
from raddistill.errors import InputError
from raddistill.scoring.arms import COLOURS
from raddistill.scoring.score_output import STYLE, TITLES, errors_of, write_svg

FOLDER = Path("presets/ablations")
SHOWN = ("student", "teacher")  # the arms that are asked about validation
FIGURES = ("reports", "micro_f1", "micro_f1_low", "micro_f1_high", "macro_f1")


@dataclass(frozen=True)
class Question:
    """A file of presets/ablations: names of presets, then `shared`, then each of `points`, nested as in params.yaml."""

    name: str
    about: str
    axis: str  # what changes from point to point
    presets: list[str]
    shared: dict[str, Any]
    points: dict[str, dict[str, Any]]

    def experiment(self, point: str) -> str:
        """Returns the name of a point's DVC experiment (git allows no dots at the end, DVC no slashes)."""
        return f"{self.name}-{point}"


def questions() -> list[str]:
    """Returns the names of all questions."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read(name: str) -> Question:
    """Reads the question of that name.

    Raises:
        InputError: there is none, or its file lacks a key.
    """
    if name not in questions():
        raise InputError(f"there is no question '{name}' in {FOLDER}/; there are: {', '.join(questions())}")
    content = params.read(FOLDER / f"{name}.yaml")
    keys = {"about", "axis", "presets", "shared", "points"}
    if content.keys() != keys or not content["points"]:
        raise InputError(f"{FOLDER / f'{name}.yaml'}: its keys must be {', '.join(sorted(keys))}, and there must be points")
    points = {str(point): changes or {} for point, changes in content["points"].items()}
    return Question(name, content["about"], content["axis"], content["presets"] or [], content["shared"] or {}, points)


def gather(question: Question, machine: str) -> dict[str, Any]:
    """Reads params, seed, size and validation figures of every point that was run from its DVC experiment, and which were not.

    Raises:
        InputError: no point was run.
    """
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    points: dict[str, Any] = {}
    missing = []
    for point in question.points:
        name = question.experiment(point)
        try:
            metrics, train = (
                dvc.api.metrics_show(str(file), rev=name) for file in (paths.VALIDATION_METRICS, paths.TRAIN_METRICS)
            )
            used = dvc.api.params_show(rev=name)
        except (DvcException, SCMError):
            missing.append(point)
            continue
        points[point] = _point(metrics, train, used)
    if not points:
        raise InputError(
            f"no experiment {question.name}-... is here; `raddistill ablation queue {question.name}`, then run the queue"
        )
    return {"about": question.about, "axis": question.axis, "machine": machine, "split": "validation",
            "points": points, "missing": missing}  # fmt: skip


def _point(metrics: dict[str, Any], train: dict[str, Any], used: dict[str, Any]) -> dict[str, Any]:
    tasks = {}
    for task in TITLES:
        of_task = metrics.get(task, {})  # a student of one task is scored on no other
        arms = {arm: {key: of_task.get(arm, {"reports": 0}).get(key) for key in FIGURES} for arm in SHOWN}
        tasks[task] = {arm: {key: x for key, x in figures.items() if x is not None} for arm, figures in arms.items()}
        tasks[task]["gain"] = of_task.get("gain", {})
    size = {"steps": train["steps"], "examples": train["examples"]["train"]}
    base = used["fetch"]["base"]["location"]
    return {"base": base, "seed": used["train"]["seed"], "fold": used["extract"]["fold"], **size, **tasks}


def this_machine() -> str:
    """Returns processor and number of cores, the default name of the machine in the table."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name or platform.machine()}, {os.cpu_count()} cores"


def draw(gathered: dict[str, Any], file: Path) -> None:
    """Draws micro F1 of student and teacher at every point, with 95 % intervals, a panel a task; same figures, same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    points = list(gathered["points"])
    with mpl.rc_context({**STYLE, "axes.titlesize": 10}):
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        panels = figure.subplots(1, len(TITLES), squeeze=False, sharey=True)[0]
        for panel, (task, title) in zip(panels, TITLES.items(), strict=True):
            for arm, aside in zip(SHOWN, (-0.05, 0.05), strict=True):
                rows = [gathered["points"][point][task][arm] for point in points]
                f1, low, high = (
                    [row.get(key, math.nan) for row in rows] for key in ("micro_f1", "micro_f1_low", "micro_f1_high")
                )
                at, errors = [x + aside for x in range(len(points))], errors_of(f1, low, high)
                panel.errorbar(at, f1, yerr=errors, fmt="o", color=COLOURS[arm], markersize=5, label=arm)
            panel.set_xticks(range(len(points)), points, rotation=30, ha="right")  # settings, no scale: nothing joins them
            panel.set(title=title, xlabel=gathered["axis"], xlim=(-0.3, len(points) - 0.7))
            panel.grid(axis="y", color="#e5e5e5")
        panels[0].set_ylabel("micro F1, validation")
        panels[-1].legend(loc="best")
        write_svg(figure, file)
