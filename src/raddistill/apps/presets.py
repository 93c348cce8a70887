"""Named settings: presets, and ablations, each of which asks one question of several DVC experiments.

A preset may begin from others (`presets`). An ablation is a question and its points: `queue` makes each point a DVC experiment
named NAME-<point>, `draw` reads their metrics. All figures are of validation: a question is no reason to look at test.
"""

import json
import math
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raddistill import params, paths, untracked_files
from raddistill.apps.pipeline import dvc_output
from raddistill.errors import InputError
from raddistill.tasks.names import TASKS

PRESETS = Path("presets")
ABLATIONS = PRESETS / "ablations"
SHOWN = ("student", "teacher")  # the arms that have scores on validation
FIGURES = ("reports", "micro_f1", "micro_f1_low", "micro_f1_high", "macro_f1")

HELP = "One question, answered by several experiments: `queue` prepares them, `draw` shows their figures."
app = typer.Typer(no_args_is_help=True, help=HELP)
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


@app.command("list")
def list_questions() -> None:
    """Lists the questions of presets/ablations and their points."""
    for name in names(ABLATIONS):
        ablation = load_ablation(name)
        print(f"{name:14} {ablation.about} ({ablation.axis}: {', '.join(ablation.points)})")


@app.command("queue")
def queue(name: Name) -> None:
    """Queues an experiment for every point of a question that has none yet, up to validation. DVC runs them one after the other.

    They run in other folders, with the files that git knows. If one would miss a file, that file is named and nothing is queued.

    `raddistill ablation queue noise && dvc exp run --run-all && raddistill ablation draw noise`
    """
    ablation = load_ablation(name)
    shared: dict[str, Any] = {}
    for part in (*(load_preset(preset)["params"] for preset in ablation.presets), ablation.shared):
        shared |= flat(part)
    settings = {f"{name}-{point}": shared | flat(changes) for point, changes in ablation.points.items()}  # a later one wins
    before = flat(params.read())
    for changed in settings.values():
        untracked_files.refuse_missing_files(untracked_files.strings_of(before | changed))
    known = dvc_output("exp", "list", "--name-only").split()
    for experiment, changed in settings.items():
        if experiment in known:
            print(f"{experiment} exists; `dvc exp remove {experiment}` first, to run it again")
            continue
        options = [f"-S={override}" for override in overrides(changed)]
        command = ["dvc", "exp", "run", "--queue", "--quiet", "--name", experiment, *options, "evaluate"]
        if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
            raise InputError(f"DVC did not queue {experiment}; its message is above")
        print(f"{experiment} is queued")


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

    gathered = gather(load_ablation(name), machine or _this_machine())
    metrics, picture = paths.ABLATION_METRICS / f"{name}.json", paths.ABLATION_PLOTS / f"{name}.svg"
    write_json(gathered, metrics)
    draw_picture(gathered, picture)
    print(f"{metrics}, {picture}")
    if gathered["missing"]:
        print(f"not run: {', '.join(gathered['missing'])}")


def names(folder: Path = PRESETS) -> list[str]:
    """Returns the names of all presets, or of all ablations, sorted.

    Raises:
        InputError: the working directory is not the root of the project.
    """
    if not (found := sorted(file.stem for file in folder.glob("*.yaml"))):
        raise InputError(f"{folder}/ is missing here; presets are read at the root of the project")
    return found


def load_preset(name: str) -> dict[str, Any]:
    """Returns a preset: a description `about`, and its `params` by dotted key; its own come after those of its `presets`.

    Raises:
        InputError: there is no such preset.
    """
    content = _load("preset", name, PRESETS)
    begun = [load_preset(other)["params"] for other in content.get("presets", ())]
    merged = {key: value for part in (*begun, content["params"]) for key, value in flat(part).items()}
    return {"about": content["about"], "params": merged}


def load_ablation(name: str) -> Ablation:
    """Returns the ablation of that name.

    Raises:
        InputError: there is none, or its file lacks a key.
    """
    content = _load("question", name, ABLATIONS)
    keys = {"about", "axis", "presets", "shared", "points"}
    if content.keys() != keys or not content["points"]:
        raise InputError(f"{ABLATIONS / f'{name}.yaml'}: its keys must be {', '.join(sorted(keys))}, and there must be points")
    points = {str(point): changes or {} for point, changes in content["points"].items()}
    return Ablation(name, content["about"], content["axis"], content["presets"] or [], content["shared"] or {}, points)


def _load(kind: str, name: str, folder: Path) -> dict[str, Any]:
    if name not in (known := names(folder)):
        raise InputError(f"there is no {kind} '{name}' in {folder}/; there are: {', '.join(known)}")
    return params.read(folder / f"{name}.yaml")


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns dotted key to value of nested params: {"train.lora_rank": 8}."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def overrides(node: dict[str, Any]) -> list[str]:
    """Returns each value of nested or flat params as an override for `dvc exp run -S`, such as "train.lora_rank=8".

    The syntax is Hydra's. No override holds a space: the shell would split `$(raddistill preset NAME)` there, quoted or not.
    """
    return [f"{key}={_in_hydras_syntax(value)}" for key, value in flat(node).items()]


def _in_hydras_syntax(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_in_hydras_syntax, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        return f"'{value}'"
    return str(value)


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
    for point in ablation.points:
        name = f"{ablation.name}-{point}"
        try:
            metrics, train = (dvc.api.metrics_show(str(f), rev=name) for f in (paths.VALIDATION_METRICS, paths.TRAIN_METRICS))
            used = dvc.api.params_show(rev=name)
        except (DvcException, SCMError):
            continue
        points[point] = _point(metrics, train, used)
    if not points:
        queue = f"`raddistill ablation queue {ablation.name}`"
        raise InputError(f"no experiment {ablation.name}-... is here; {queue}, then run the queue")
    return {"about": ablation.about, "axis": ablation.axis, "machine": machine, "split": "validation",
            "points": points, "missing": [point for point in ablation.points if point not in points]}  # fmt: skip


def _point(metrics: dict[str, Any], train: dict[str, Any], used: dict[str, Any]) -> dict[str, Any]:
    point = {"base": used["fetch"]["base"]["location"], "seed": used["train"]["seed"], "fold": used["extract"]["fold"]}
    point |= {"steps": train["steps"], "examples": train["examples"]["train"]}
    for task in TASKS:
        of_task = metrics.get(task, {})  # a student of one task is scored on no other
        arms = {arm: of_task.get(arm, {"reports": 0}) for arm in SHOWN}
        point[task] = {arm: {key: figures[key] for key in FIGURES if key in figures} for arm, figures in arms.items()}
        point[task]["gain"] = of_task.get("gain", {})
    return point


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
                f1, low, high = ([row.get(f"micro_f1{end}", math.nan) for row in rows] for end in ("", "_low", "_high"))
                at, errors = [x + aside for x in range(len(points))], errors_of(f1, low, high)
                panel.errorbar(at, f1, yerr=errors, fmt="o", color=COLOURS[arm], markersize=5, label=arm)
            panel.set_xticks(range(len(points)), points, rotation=30, ha="right")  # points are settings, not a scale: no line
            panel.set(title=title, xlabel=gathered["axis"], xlim=(-0.3, len(points) - 0.7))
            panel.grid(axis="y", color="#e5e5e5")
        panels[0].set_ylabel("micro F1, validation")
        panels[-1].legend(loc="best")
        write_svg(figure, file)
