"""Shows the scores: a table in the terminal, and plots as CSV (for `dvc plots`) and SVG. Equal scores give equal bytes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raddistill import paths
from raddistill.files import write_whole
from raddistill.scoring.arms import ARMS, COLOURS, Arm
from raddistill.scoring.scores import Scored
from raddistill.tables import base as tables
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

WIDTH = 112  # characters that the table needs; 100 without the teacher on the whole report
GAIN = "{micro_f1:+.3f} ({low:+.3f} to {high:+.3f})"
TITLES = {MULTIPLE_CHOICE: "Multiple choice: labels", OPEN_ENDED: "Open-ended: concepts"}
STYLE: Any = {
    "svg.hashsalt": "raddistill",  # else the ids in the file differ from run to run
    "svg.fonttype": "path",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
}


def draw(scored: Scored, folder: Path) -> None:
    """Writes per_label, precision_recall and reliability into `folder`, each as .csv and .svg."""
    import matplotlib as mpl  # takes a second, which `print_table` need not wait

    with mpl.rc_context(STYLE):
        for name, picture in (
            ("per_label", _per_label(scored)),
            ("precision_recall", _precision_recall(scored.precision_recall)),
            ("reliability", _reliability(scored.reliability)),
        ):
            tables.write_csv(getattr(scored, name), folder / f"{name}.csv")
            write_svg(picture, folder / f"{name}.svg")


def shown_arms(metrics: dict[str, Any]) -> list[Arm]:
    """Returns the arms in table order; the teacher on the whole report only if a task has it."""
    whole = any("teacher_whole" in of_task for of_task in metrics.values())
    return sorted((arm for arm in ARMS if whole or arm.name != "teacher_whole"), key=lambda arm: arm.column)


def cell(figures: dict[str, Any], template: str, reports: int | None = None) -> str:
    """Returns `template` filled with the figures; "-" if one of them is missing.

    Their number of reports follows in brackets if it is not `reports`.
    """
    try:
        text = template.format(**figures)
    except KeyError:
        return "-"
    return text if reports is None or figures["reports"] == reports else f"{text} [{figures['reports']}]"


def results_table(title: str, metrics: dict[str, Any]) -> Table:
    """Returns a table with one row per task: reports, micro F1 per arm, and the gain over the teacher with its interval."""
    arms = shown_arms(metrics)
    rows = []
    for task, of_task in metrics.items():
        f1 = [cell(of_task.get(arm.name, {}), "{micro_f1:.3f}", of_task["reports"]) for arm in arms]
        rows.append([task, str(of_task["reports"]), *f1, cell(of_task.get("gain", {}), GAIN)])
    return table(title, ["task", "reports", *(arm.heading for arm in arms), "gain over teacher"], rows)


def table(title: str, heads: list[str], rows: list[list[str]], words: int = 1) -> Table:
    """Returns a table for the terminal; the first `words` columns are aligned to the left."""
    made = Table(title=title, title_justify="left")
    for column, head in enumerate(heads):
        made.add_column(head, justify="left" if column < words else "right", no_wrap=True)
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def wide(console: Console | None) -> Console:
    """Returns a console that is wide enough. Without a terminal rich assumes 80 columns and would cut figures off."""
    return console or Console(width=max(Console().width, WIDTH))


def print_table(split: str, metrics: dict[str, Any], console: Console | None = None) -> None:
    """Prints the table of a split's results, and where the other figures are."""
    out = wide(console)
    out.print(results_table(f"Micro F1 on the {split} split, against labels made by people", metrics))
    if any("teacher_whole" in of_task for of_task in metrics.values()):
        out.print("whole: the same teacher, reading the whole report and not a part of it", markup=False)
    metrics_file, folder = (
        (paths.FINAL_METRICS, paths.FINAL_PLOTS) if split == "test" else (paths.VALIDATION_METRICS, paths.VALIDATION_PLOTS)
    )
    if not any(of_task["reports"] for of_task in metrics.values()):
        other = "" if split == "test" else "; where all gold is of the test split, the stage `final` has the scores"
        out.print(f"Nobody annotated a report of the {split} split that the student was asked{other}", markup=False)
    out.print(f"Ambiguous cells are masked; [n] is another number of reports. All figures: {metrics_file}", markup=False)
    out.print(f"Per label: {folder}/per_label.svg. What is compared: docs/analysis-plan.md", markup=False)


def _per_label(scored: Scored) -> Any:
    from matplotlib.figure import Figure

    tasks = [task for task in TITLES if scored.per_label["task"].eq(task).any()]
    rows = {task: scored.per_label.filter(pl.col("task") == task) for task in tasks}
    heights = [max(frame["label"].n_unique(), 1) for frame in rows.values()] or [1]
    figure = Figure(figsize=(7.5, 1.2 * len(heights) + 0.42 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, (task, frame) in zip(panels, rows.items(), strict=False):
        student = frame.filter(pl.col("arm") == "student").sort("positives", "label")
        labels = student["label"].to_list()
        whole = [("teacher_whole", -0.28)] if frame["arm"].eq("teacher_whole").any() else []
        for arm, offset in (*whole, ("teacher", -0.14), ("student", 0.14)):
            of_arm = frame.filter(pl.col("arm") == arm, pl.col("f1").is_not_null(), pl.col("label").is_in(labels))
            of_arm = of_arm.sort(pl.col("label").cast(pl.Enum(labels)))
            at = [labels.index(label) + offset for label in of_arm["label"]]
            errors = errors_of(of_arm["f1"], of_arm["low"], of_arm["high"])
            panel.errorbar(of_arm["f1"], at, xerr=errors, fmt="o", color=COLOURS[arm], markersize=5, elinewidth=1.4, label=arm)
        ticks = [f"{row['label']} ({row['positives']:.0f})" for row in student.iter_rows(named=True)]
        panel.set_yticks(range(len(labels)), ticks)
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(labels) - 0.4), title=f"{TITLES[task]} ({scored.split})")
        panel.grid(axis="x", color="#e5e5e5")
        panel.set_axisbelow(True)
    panels[-1].set_xlabel("F1 with 95 % interval (number of positives)")
    if rows:
        handles = {label: drawn for panel in panels for drawn, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=3)
    return figure


def errors_of(values: Iterable[float], lows: Iterable[float], highs: Iterable[float]) -> list[list[float]]:
    """Returns the lengths of error bars to the left and to the right, as matplotlib expects them."""
    rows = list(zip(values, lows, highs, strict=True))
    return [[max(value - low, 0) for value, low, _ in rows], [max(high - value, 0) for value, _, high in rows]]


def _precision_recall(points: pl.DataFrame) -> Any:
    figure, panel = _unit_square("recall", "precision", "Multiple choice, all labels pooled")
    for arm, colour in COLOURS.items():
        of_arm = points.filter(pl.col("arm") == arm)
        curve, point = (of_arm.filter(pl.col("kind") == kind) for kind in ("curve", "point"))
        if curve.height:
            panel.plot(curve["recall"], curve["precision"], color=colour, linewidth=1.6, label=arm)
        if point.height:
            panel.plot(point["recall"], point["precision"], "o", color=colour, markersize=7, label=f"{arm}, as scored")
    if panel.lines:
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _reliability(bins: pl.DataFrame) -> Any:
    figure, panel = _unit_square("predicted probability", "share that people call present", "Multiple choice, reliability")
    panel.plot([0, 1], [0, 1], color="#bbbbbb", linestyle="--", linewidth=1)
    for arm, colour in COLOURS.items():
        of_arm = bins.filter(pl.col("arm") == arm)
        if of_arm.height:
            panel.plot(of_arm["predicted"], of_arm["observed"], "o-", color=colour, markersize=5, linewidth=1.4, label=arm)
    if bins.height:
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def _unit_square(x: str, y: str, title: str) -> tuple[Any, Any]:
    """A figure with one panel; both axes go from 0 to 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.6), layout="constrained")
    panel = figure.subplots()
    panel.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel=x, ylabel=y, title=title)
    panel.grid(color="#e5e5e5")
    return figure, panel


def write_svg(figure: Any, path: Path) -> None:
    """Writes a figure as SVG without a date."""
    with write_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
