"""The results in Markdown: the README's table, and docs/results.md, made from what metrics/ holds and from nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill import params, paths
from raddistill.scoring.pages import arms_of
from raddistill.scoring.scope import GAINS

FORM, GAIN = "{micro_f1:.3f} ({micro_f1_low:.3f} to {micro_f1_high:.3f})", "{micro_f1:+.3f} ({low:+.3f} to {high:+.3f})"
HEAD = """# Results

<!-- Written by `raddistill results --page > docs/results.md`; do not edit. -->

Micro F1 against labels made by people, with 95 % intervals (bootstrap by text group), on Open-i. Ambiguous cells are masked. The
teacher counts its `uncertain` under the better of its two policies. What is compared, and why:
[analysis-plan.md](analysis-plan.md). What was tried, and what failed: [log.md](log.md).
"""


def table(metrics: dict[str, Any]) -> str:
    """In Markdown, a line a task: reports, micro F1 of each arm, gains over teacher and linear, all with 95 % intervals."""
    arms = arms_of(metrics)
    names = ["teacher, whole report" if arm == "teacher_whole" else arm for arm in arms]
    head = ["task", "reports", *names, "gain over teacher", "gain over linear"]
    lines = [head, ["---", *("---:" for _ in head[1:])]]
    for task, figures in metrics.items():
        of_arms = [_interval(figures, arm, FORM) for arm in arms]
        gains = [_interval(figures, gain, GAIN) for gain in ("gain", "gain_over_linear")]
        lines.append([task, str(figures["reports"]), *of_arms, *gains])
    return _markdown(lines)


def _interval(figures: dict[str, Any], part: str, form: str, reports: int | None = None) -> str:
    """A figure with its interval, its own number of reports where it is not `reports`, and "-" where it could not be computed."""
    of_part = figures.get(part, {})
    if "micro_f1" not in of_part:
        return "-"
    usual = figures["reports"] if reports is None else reports
    return form.format(**of_part) + (f" [{of_part['reports']}]" if of_part["reports"] != usual else "")


def page() -> str:
    """docs/results.md: the default run, the pooled folds, the ablations."""
    return "\n".join([HEAD, *_default(), *_pooled(), *_ablations()]) + "\n"


def _default() -> Iterator[str]:
    if paths.FINAL_METRICS.exists():
        metrics = _read(paths.FINAL_METRICS)
        yield "## The default run\n\n`dvc repro`, test split. " + _settings(params.read(), _read(paths.TRAIN_METRICS)) + "\n"
        yield f"{table(metrics)}\n\n{gains(metrics)}\n"


def _pooled() -> Iterator[str]:
    for file in sorted(paths.FOLDS_METRICS.glob("*.json")):
        metrics = _read(file)
        tasks = {task: figures for task, figures in metrics.items() if task != "folds"}
        kept = [_read(run) for run in sorted((paths.FOLDS / file.stem).glob("fold-*.json"))]
        yield f"## Folds of {file.stem}\n\nFolds {', '.join(metrics['folds'])} of 0 to 4, each report tested by a student not"
        yield f"trained on it; kept in `folds/{file.stem}`, scored by `raddistill folds show {file.stem}`.\n"
        yield "".join(f"- Fold {run['fold']}: {_settings(run['params'], run['train'])}\n" for run in kept)
        yield f"{table(tasks)}\n\n{gains(tasks)}\n"


def _ablations() -> Iterator[str]:
    for file in sorted(paths.ABLATION_METRICS.glob("*.json")):
        gathered = _read(file)
        yield f"## {gathered['about']}\n"
        bases, seeds = ({str(point[key]) for point in gathered["points"].values()} for key in ("base", "seed"))
        yield f"Base {', '.join(sorted(bases))}, seed {', '.join(sorted(seeds))}, validation split, {gathered['machine']};"
        yield f"`raddistill ablation queue {file.stem}` queues it.\n"
        head = [
            gathered["axis"],
            "examples",
            "steps",
            *(f"{task}: {arm}" for task in _tasks(gathered) for arm in ("student", "teacher")),
        ]
        lines = [head, ["---", *("---:" for _ in head[1:])]]
        for point, of_point in gathered["points"].items():
            cells = [_interval(of_point[task], arm, FORM, of_point[task]["student"]["reports"]) for task in _tasks(gathered)
                     for arm in ("student", "teacher")]  # fmt: skip
            lines.append([point, f"{sum(of_point['examples'].values()):,}", f"{of_point['steps']:,}", *cells])
        yield _markdown(lines) + "\n"
        if gathered["missing"]:
            yield f"Not run: {', '.join(gathered['missing'])}.\n"
        yield f"![{gathered['about']}](../{paths.ABLATION_PLOTS / f'{file.stem}.svg'})\n"


def gains(metrics: dict[str, Any]) -> str:
    """In Markdown, what the student gains over each other arm, under the three treatments of ambiguous cells."""
    lines = [["task", "student less", "masked", "as absent", "as present"], ["---", "---", "---:", "---:", "---:"]]
    for task, figures in metrics.items():
        for key, other in GAINS.items():
            if "low" in (gain := figures.get(key, {})):
                masks = [f"{gain[f'mask_{mask}_micro_f1']:+.3f}" for mask in ("absent", "present")]
                lines.append([task, other.replace("_", ", "), GAIN.format(**gain), *masks])
    return _markdown(lines)


def _settings(used: dict[str, Any], train: dict[str, Any]) -> str:
    """Base, seed, size and learning rate in a sentence."""
    examples = ", ".join(f"{n:,} {task.replace('_', ' ')}" for task, n in sorted(train["examples"]["train"].items()))
    p = used["train"]
    return (
        f"Base {used['fetch']['base']['location']}, seed {p['seed']}, {p['quantization']}, rank {p['lora_rank']}, learning rate"
        f" {p['learning_rate']}, {p['epochs']} epochs of {examples} examples: {train['steps']:,} steps."
    )


def _tasks(gathered: dict[str, Any]) -> list[str]:
    return [task for task in ("multiple_choice", "open_ended") if all(task in point for point in gathered["points"].values())]


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))
