"""The commands `raddistill ablation`: one question, answered by several DVC experiments.

A file presets/ablations/NAME.yaml holds the question and its points. `queue` makes each point a DVC experiment named
NAME-<point>, `draw` reads their metrics. All figures are of the validation split: a question is no reason to look at test.
"""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raddistill import params, paths, untracked_files
from raddistill.apps import pipeline
from raddistill.errors import InputError

FOLDER = Path("presets/ablations")
SHOWN = ("student", "teacher")  # the arms that have scores on validation
FIGURES = ("reports", "micro_f1", "micro_f1_low", "micro_f1_high", "macro_f1")


app = typer.Typer(
    no_args_is_help=True, help="One question, answered by several experiments: `queue` prepares them, `draw` shows their figures."
)
Name = Annotated[str, typer.Argument(help="Name of a file in presets/ablations/, such as noise.")]


@dataclass(frozen=True)
class Ablation:
    """A file of presets/ablations. The settings of a point are those of `presets`, then `shared`, then the point's own.

    `shared` and `points` are nested as in params.yaml.
    """

    name: str
    about: str
    axis: str  # what changes from point to point
    presets: list[str]
    shared: dict[str, Any]
    points: dict[str, dict[str, Any]]

    def experiment(self, point: str) -> str:
        """Returns the name of a point's DVC experiment (git allows no dots at the end, DVC no slashes)."""
        return f"{self.name}-{point}"


@app.command("list")
def list_questions() -> None:
    """Lists the questions of presets/ablations and their points."""
    for name in names():
        ablation = read(name)
        print(f"{name:14} {ablation.about} ({ablation.axis}: {', '.join(ablation.points)})")


@app.command("queue")
def queue(name: Name) -> None:
    """Queues an experiment for every point of a question that has none yet, up to validation. DVC runs them one after the other.

    They run in other folders, with the files that git knows. If one would miss a file, that file is named and nothing is queued.

    `raddistill ablation queue noise && dvc exp run --run-all && raddistill ablation draw noise`
    """
    for line in _queue(read(name)):
        print(line)


@app.command("draw")
def draw(
    name: Name,
    machine: Annotated[
        str, typer.Option("--machine", help='Description of the machine of the runs, such as "one H100". [default: this machine]')
    ] = "",
) -> None:
    """Writes figures and picture of a question's experiments: metrics/ablations/NAME.json, plots/ablations/NAME.svg.

    `raddistill ablation draw noise`
    """
    from raddistill.tables.base import write_json

    gathered = gather(read(name), machine or _this_machine())
    metrics, picture = paths.ABLATION_METRICS / f"{name}.json", paths.ABLATION_PLOTS / f"{name}.svg"
    write_json(gathered, metrics)
    draw_picture(gathered, picture)
    print(f"{metrics}, {picture}")
    if gathered["missing"]:
        print(f"not run: {', '.join(gathered['missing'])}")


def names() -> list[str]:
    """Returns the names of all ablations, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read(name: str) -> Ablation:
    """Reads the ablation of that name.

    Raises:
        InputError: there is none, or its file lacks a key.
    """
    if name not in names():
        raise InputError(f"there is no question '{name}' in {FOLDER}/; there are: {', '.join(names())}")
    content = params.read(FOLDER / f"{name}.yaml")
    keys = {"about", "axis", "presets", "shared", "points"}
    if content.keys() != keys or not content["points"]:
        raise InputError(f"{FOLDER / f'{name}.yaml'}: its keys must be {', '.join(sorted(keys))}, and there must be points")
    points = {str(point): changes or {} for point, changes in content["points"].items()}
    return Ablation(name, content["about"], content["axis"], content["presets"] or [], content["shared"] or {}, points)


def _queue(ablation: Ablation) -> Iterator[str]:
    """Queues a DVC experiment for every point of an ablation that has none yet. Yields a line for each point.

    Raises:
        InputError: an experiment would miss a file, or DVC refuses; in the first case nothing is queued.
    """
    shared: dict[str, Any] = {}
    for part in (*(pipeline.load_preset(name)["params"] for name in ablation.presets), ablation.shared):
        shared |= pipeline.flat(part)
    settings = {point: shared | pipeline.flat(changes) for point, changes in ablation.points.items()}  # a later one wins
    before = pipeline.flat(params.read())
    for changed in settings.values():
        untracked_files.refuse_missing_files(untracked_files.strings_of(before | changed))
    known = pipeline.dvc_output("exp", "list", "--name-only").split()
    for point, changed in settings.items():
        name = ablation.experiment(point)
        if name in known:
            yield f"{name} exists; `dvc exp remove {name}` first, to run it again"
            continue
        options = [f"-S={override}" for override in pipeline.overrides(changed)]
        command = [sys.executable, "-m", "dvc", "exp", "run", "--queue", "--quiet", "--name", name, *options, "evaluate"]
        if subprocess.run(command, check=False).returncode:
            raise InputError(f"DVC did not queue {name}; its message is above")
        yield f"{name} is queued"


def gather(ablation: Ablation, machine: str) -> dict[str, Any]:
    """Returns settings, training size and validation figures of every point, from its DVC experiment.

    Points that were not run are listed as `missing`.

    Raises:
        InputError: no point was run.
    """
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    points: dict[str, Any] = {}
    missing = []
    for point in ablation.points:
        name = ablation.experiment(point)
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
            f"no experiment {ablation.name}-... is here; `raddistill ablation queue {ablation.name}`, then run the queue"
        )
    return {"about": ablation.about, "axis": ablation.axis, "machine": machine, "split": "validation",
            "points": points, "missing": missing}  # fmt: skip


def _point(metrics: dict[str, Any], train: dict[str, Any], used: dict[str, Any]) -> dict[str, Any]:
    from raddistill.scoring.score_output import TITLES

    tasks = {}
    for task in TITLES:
        of_task = metrics.get(task, {})  # a student of one task is scored on no other
        arms = {arm: {key: of_task.get(arm, {"reports": 0}).get(key) for key in FIGURES} for arm in SHOWN}
        tasks[task] = {arm: {key: x for key, x in figures.items() if x is not None} for arm, figures in arms.items()}
        tasks[task]["gain"] = of_task.get("gain", {})
    size = {"steps": train["steps"], "examples": train["examples"]["train"]}
    base = used["fetch"]["base"]["location"]
    return {"base": base, "seed": used["train"]["seed"], "fold": used["extract"]["fold"], **size, **tasks}


def _this_machine() -> str:
    """Returns processor and number of cores."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name or platform.machine()}, {os.cpu_count()} cores"


def draw_picture(gathered: dict[str, Any], file: Path) -> None:
    """Draws micro F1 of student and teacher at every point, with 95 % intervals, one panel per task.

    Equal figures give equal bytes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from raddistill.scoring.arms import COLOURS
    from raddistill.scoring.score_output import STYLE, TITLES, errors_of, write_svg

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
            panel.set_xticks(range(len(points)), points, rotation=30, ha="right")  # points are settings, not a scale: no line
            panel.set(title=title, xlabel=gathered["axis"], xlim=(-0.3, len(points) - 0.7))
            panel.grid(axis="y", color="#e5e5e5")
        panels[0].set_ylabel("micro F1, validation")
        panels[-1].legend(loc="best")
        write_svg(figure, file)
