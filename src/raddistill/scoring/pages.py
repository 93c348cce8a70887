"""What people look at: a table in the terminal, and plots as CSV (for `dvc plots`) and SVG, equal bytes for equal scores."""

from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from raddistill import paths
from raddistill.atomic import write_whole
from raddistill.scoring.scope import GAINS
from raddistill.scoring.scores import Scored
from raddistill.tables import base as tables

COLOURS = {"student": "#1b6ca8", "teacher": "#d1495b", "teacher_whole": "#e9a15b", "linear": "#6a994e", "base": "#8d99ae"}
WIDTH = 112  # columns that the table needs; 100 without the teacher on the whole report
TITLES = {"multiple_choice": "Multiple choice: labels", "open_ended": "Open-ended: concepts"}
STYLE: Any = {
    "svg.hashsalt": "raddistill",  # else the ids within differ from run to run
    "svg.fonttype": "path",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
}


def draw(scored: Scored, folder: Path) -> None:
    """Writes per_label, precision_recall and reliability, each as .csv and as .svg, into `folder`."""
    import matplotlib as mpl  # a second of import that `print_table` need not wait for

    with mpl.rc_context(STYLE):
        for name, picture in (
            ("per_label", _per_label(scored)),
            ("precision_recall", _precision_recall(scored.precision_recall)),
            ("reliability", _reliability(scored.reliability)),
        ):
            tables.write_csv(getattr(scored, name), folder / f"{name}.csv")
            write_svg(picture, folder / f"{name}.svg")


def arms_of(metrics: dict[str, Any]) -> list[str]:
    """The arms that tables show, in their order; the teacher on the whole report only where a task has it."""
    whole = any("teacher_whole" in of_task for of_task in metrics.values())
    return ["base", "linear", "teacher", *(["teacher_whole"] if whole else []), "student"]


def results_table(title: str, metrics: dict[str, Any]) -> Table:
    """Task by task: reports, micro F1 of each arm, and the gain over the teacher with its interval."""
    table, arms = Table(title=title, title_justify="left"), arms_of(metrics)
    for column in ("task", "reports", *arms, "gain over teacher"):
        told = "whole" if column == "teacher_whole" else column
        table.add_column(told, justify="left" if column == "task" else "right", no_wrap=True)
    for task, of_task in metrics.items():
        table.add_row(task, str(of_task["reports"]), *(_cell(of_task, arm) for arm in arms), _gain(of_task.get("gain", {})))
    return table


def gains_table(metrics: dict[str, Any]) -> Table:
    """Each gain of the student with its interval, and with ambiguous cells as absent and as present."""
    table = Table(title="Student less ...", title_justify="left")
    for column in ("task", "less", "reports", "micro F1", "as absent", "as present"):
        table.add_column(column, justify="left" if column in ("task", "less") else "right", no_wrap=True)
    for task, of_task in metrics.items():
        for key, other in GAINS.items():
            if gain := of_task.get(key):
                masks = (f"{gain[f'mask_{mask}_micro_f1']:+.3f}" for mask in ("absent", "present"))
                table.add_row(task, other.replace("_", ", "), str(gain["reports"]), _gain(gain), *masks)
    return table


def print_folds(name: str, metrics: dict[str, Any], missing: list[int], file: Path, console: Console | None = None) -> None:
    """The tables of pooled folds, which folds are missing, and the spread over seeds; `metrics` as `folds.score` gives them."""
    out, tasks = wide(console), {task: of for task, of in metrics.items() if task != "folds"}
    out.print(results_table(f"Micro F1 on the pooled folds {', '.join(metrics['folds'])} of {name}", tasks))
    out.print(gains_table(tasks))
    if missing:
        out.print(f"Missing: fold {', '.join(map(str, missing))}", markup=False)
    for task, of_task in tasks.items():
        if spread := of_task.get("seeds"):
            told = f"{spread['student_mean']:.3f}, SD {spread['student_sd']:.3f}"
            out.print(f"{task}: student over {spread['seeds']} seeds on {spread['folds']} folds: {told}", markup=False)
    out.print(f"Ambiguous cells are masked; [n] is another number of reports. All figures, by label too: {file}", markup=False)


def wide(console: Console | None) -> Console:
    """Without a terminal, rich takes 80 columns and would cut figures off; a longer line does less harm."""
    return console or Console(width=max(Console().width, WIDTH))


def print_table(scored: Scored, console: Console | None = None) -> None:
    """The table of results, and where to look next."""
    out = wide(console)
    out.print(results_table(f"Micro F1 on the {scored.split} split, against labels made by people", scored.metrics))
    if any("teacher_whole" in metrics for metrics in scored.metrics.values()):
        out.print("whole: the same teacher, reading the whole report and not a part of it", markup=False)
    metrics_file, folder = (
        (paths.FINAL_METRICS, paths.FINAL_PLOTS) if scored.split == "test" else (paths.VALIDATION_METRICS, paths.VALIDATION_PLOTS)
    )
    if not any(metrics["reports"] for metrics in scored.metrics.values()):
        other = "" if scored.split == "test" else "; where all gold is of the test split, the stage `final` has the scores"
        out.print(f"Nobody annotated a report of the {scored.split} split that the student was asked{other}", markup=False)
    out.print(f"Ambiguous cells are masked; [n] is another number of reports. All figures: {metrics_file}", markup=False)
    out.print(f"Per label: {folder}/per_label.svg. What is compared: docs/analysis-plan.md", markup=False)


def _cell(metrics: dict[str, Any], arm: str) -> str:
    figures = metrics.get(arm, {})
    if "micro_f1" not in figures:
        return "-"
    own = "" if figures["reports"] == metrics["reports"] else f" \\[{figures['reports']}]"
    return f"{figures['micro_f1']:.3f}{own}"


def _gain(gain: dict[str, float]) -> str:
    if not {"micro_f1", "low", "high"} <= gain.keys():
        return "-"
    return f"{gain['micro_f1']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"


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
            of_arm = {row["label"]: row for row in frame.filter(pl.col("arm") == arm).iter_rows(named=True)}
            shown = [(y, of_arm[label]) for y, label in enumerate(labels) if of_arm.get(label, {}).get("f1") is not None]
            f1 = [row["f1"] for _, row in shown]
            errors = [[max(row["f1"] - row["low"], 0) for _, row in shown], [max(row["high"] - row["f1"], 0) for _, row in shown]]
            at = [y + offset for y, _ in shown]
            panel.errorbar(f1, at, xerr=errors, fmt="o", color=COLOURS[arm], markersize=5, elinewidth=1.4, label=arm)
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


def _precision_recall(points: pl.DataFrame) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.6), layout="constrained")
    panel = figure.subplots()
    for arm, colour in COLOURS.items():
        curve = points.filter((pl.col("arm") == arm) & (pl.col("kind") == "curve"))
        if curve.height:
            panel.plot(curve["recall"], curve["precision"], color=colour, linewidth=1.6, label=arm)
        point = points.filter((pl.col("arm") == arm) & (pl.col("kind") == "point"))
        if point.height:
            panel.plot(point["recall"], point["precision"], "o", color=colour, markersize=7, label=f"{arm}, as scored")
    panel.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title="Multiple choice, all labels pooled")
    panel.grid(color="#e5e5e5")
    if panel.lines:
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _reliability(bins: pl.DataFrame) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.6), layout="constrained")
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color="#bbbbbb", linestyle="--", linewidth=1)
    for arm, colour in COLOURS.items():
        of_arm = bins.filter(pl.col("arm") == arm)
        if of_arm.height:
            panel.plot(of_arm["predicted"], of_arm["observed"], "o-", color=colour, markersize=5, linewidth=1.4, label=arm)
    panel.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="predicted probability", ylabel="share that people call present")
    panel.set_title("Multiple choice, reliability")
    panel.grid(color="#e5e5e5")
    if bins.height:
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def write_svg(figure: Any, path: Path) -> None:
    with write_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
