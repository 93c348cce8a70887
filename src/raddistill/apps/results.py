"""Shows the content of metrics/: the README's table and docs/results.md in Markdown, and pooled folds in the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill import params, paths
from raddistill.apps.pipeline import load_metrics
from raddistill.scoring import score_output
from raddistill.scoring.arms import GAINS
from raddistill.scoring.score_output import GAIN, cell, shown_arms
from raddistill.tasks.names import TASKS

F1 = "{micro_f1:.3f} ({micro_f1_low:.3f} to {micro_f1_high:.3f})"
HEAD = """# Results

<!-- Written by `raddistill results --page > docs/results.md`; do not edit. -->

Micro F1 against labels made by people, with 95 % intervals (bootstrap by text group), on Open-i. Ambiguous cells are masked. The
teacher counts its `uncertain` under the better of its two policies. What is compared, and why:
[analysis-plan.md](analysis-plan.md). What was tried, and what failed: [log.md](log.md).
"""


def table(metrics: dict[str, Any]) -> str:
    """Returns a Markdown table with one row per task: reports, micro F1 of each arm, gains over teacher and linear."""
    arms = shown_arms(metrics)
    lines = [["task", "reports", *(arm.title for arm in arms), "gain over teacher", "gain over linear"]]
    for task, figures in metrics.items():
        parts = [*((arm.name, F1) for arm in arms), ("gain", GAIN), ("gain_over_linear", GAIN)]
        cells = [cell(figures.get(part, {}), form, figures["reports"]) for part, form in parts]
        lines.append([task, str(figures["reports"]), *cells])
    return _markdown(lines)


def gain_rows(metrics: dict[str, Any]) -> list[list[str]]:
    """Returns one row per gain of the student: task, other arm, reports, and the difference of micro F1 three times.

    Ambiguous cells are masked, count as absent, and count as present.
    """
    rows = []
    for task, figures in metrics.items():
        for key, other in GAINS.items():
            if "low" in (gain := figures.get(key, {})):
                masks = [f"{gain[f'mask_{mask}_micro_f1']:+.3f}" for mask in ("absent", "present")]
                rows.append([task, other.replace("_", ", "), str(gain["reports"]), cell(gain, GAIN), *masks])
    return rows


def print_folds(name: str, metrics: dict[str, Any], missing: list[int], file: Path) -> None:
    """Prints the tables of pooled folds, the missing folds, and the spread over seeds. `metrics`: from `folds.score`."""
    out, tasks = score_output.wide(None), {task: figures for task, figures in metrics.items() if task != "folds"}
    out.print(score_output.results_table(f"Micro F1 on the pooled folds {', '.join(metrics['folds'])} of {name}", tasks))
    heads = ["task", "minus", "reports", "micro F1", "as absent", "as present"]
    out.print(score_output.table("Student minus ...", heads, gain_rows(tasks), words=2))
    if missing:
        out.print(f"Missing: fold {', '.join(map(str, missing))}", markup=False)
    for task, of_task in tasks.items():
        if spread := of_task.get("seeds"):
            mean = f"{spread['student_mean']:.3f}, SD {spread['student_sd']:.3f}"
            out.print(f"{task}: student over {spread['seeds']} seeds on {spread['folds']} folds: {mean}", markup=False)
    out.print(f"Ambiguous cells are masked; [n] is another number of reports. All figures, by label too: {file}", markup=False)


def page() -> str:
    """Returns docs/results.md: the default run, the pooled folds, the ablations."""
    return "\n".join([HEAD, *_default(), *_pooled(), *_ablations()]) + "\n"


def _default() -> Iterator[str]:
    if paths.FINAL_METRICS.exists():
        metrics, train = load_metrics(paths.FINAL_METRICS), load_metrics(paths.TRAIN_METRICS)
        yield f"## The default run\n\n`dvc repro`, test split. {_settings(params.read(), train)}\n"
        yield f"{table(metrics)}\n\n{gains(metrics)}\n"


def _pooled() -> Iterator[str]:
    for file in sorted(paths.FOLDS_METRICS.glob("*.json")):
        metrics = load_metrics(file)
        tasks = {task: figures for task, figures in metrics.items() if task != "folds"}
        kept = [load_metrics(run) for run in sorted((paths.FOLDS / file.stem).glob("fold-*.json"))]
        yield f"## Folds of {file.stem}\n\nFolds {', '.join(metrics['folds'])} of 0 to 4, each report tested by a student not"
        yield f"trained on it; kept in `folds/{file.stem}`, scored by `raddistill folds show {file.stem}`.\n"
        yield "".join(f"- Fold {run['fold']}: {_settings(run['params'], run['train'])}\n" for run in kept)
        yield f"{table(tasks)}\n\n{gains(tasks)}\n"


def _ablations() -> Iterator[str]:
    for file in sorted(paths.ABLATION_METRICS.glob("*.json")):
        gathered = load_metrics(file)
        yield f"## {gathered['about']}\n"
        bases, seeds = ({str(point[key]) for point in gathered["points"].values()} for key in ("base", "seed"))
        yield f"Base {', '.join(sorted(bases))}, seed {', '.join(sorted(seeds))}, validation split, {gathered['machine']};"
        yield f"`raddistill ablation queue {file.stem}` queues it.\n"
        columns = [(task, arm) for task in TASKS for arm in ("student", "teacher")]
        lines = [[gathered["axis"], "examples", "steps", *(f"{task}: {arm}" for task, arm in columns)]]
        for name, point in gathered["points"].items():
            cells = [cell(point[task][arm], F1, point[task]["student"]["reports"]) for task, arm in columns]
            lines.append([name, f"{sum(point['examples'].values()):,}", f"{point['steps']:,}", *cells])
        yield _markdown(lines) + "\n"
        if gathered["missing"]:
            yield f"Not run: {', '.join(gathered['missing'])}.\n"
        yield f"![{gathered['about']}](../{paths.ABLATION_PLOTS / f'{file.stem}.svg'})\n"


def gains(metrics: dict[str, Any]) -> str:
    """Returns the gains as a Markdown table, without the number of reports."""
    heads = ["task", "student minus", "masked", "as absent", "as present"]
    return _markdown([heads, *([*row[:2], *row[3:]] for row in gain_rows(metrics))], words=2)


def _settings(used: dict[str, Any], train: dict[str, Any]) -> str:
    """Returns base, seed, size and learning rate as a sentence."""
    examples = ", ".join(f"{n:,} {task.replace('_', ' ')}" for task, n in sorted(train["examples"]["train"].items()))
    p = used["train"]
    return (
        f"Base {used['fetch']['base']['location']}, seed {p['seed']}, {p['quantization']}, rank {p['lora_rank']}, learning rate"
        f" {p['learning_rate']}, {p['epochs']} epochs of {examples} examples: {train['steps']:,} steps."
    )


def _markdown(lines: list[list[str]], words: int = 1) -> str:
    """A table whose first line holds its heads; the first columns, as many as `words`, are aligned to the left."""
    rule = ["---" if column < words else "---:" for column in range(len(lines[0]))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
