"""The estimate of the training in params.yaml, as JSON and as a page."""

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from raddistill import params, paths
from raddistill.apps.estimate import training_cost, workload
from raddistill.apps.estimate.training_cost import Cost, Device, Training
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.sources.fetch.fetching import FetchParams
from raddistill.student.gpu_memory import GIB
from raddistill.student.merging import MergeParams
from raddistill.student.models import ENCODERS
from raddistill.student.training import TrainParams
from raddistill.tasks.names import PLAIN, TASKS


def training_of(device: Device, config: Path | None, examples: int | None, rate: float | None) -> Training:
    """Returns the training that params.yaml describes. `config`, `examples`, `rate`: as the options; None: found out here.

    Raises:
        InputError, ParamsError: as `workload.read_config`; params.yaml or the label set is wrong.
    """
    merge, p = params.load("merge", MergeParams), params.load("train", TrainParams)
    labels = len(load_labels(params.load("label_set", LabelSetParams).path))
    base, folder = workload.read_config(config, params.load("fetch", FetchParams).base)
    is_encoder = getattr(base, "model_type", "") in ENCODERS
    changed = workload.changed_settings()
    if paths.EXAMPLES.is_file() and not examples and not changed:
        work = workload.of_examples(folder, is_encoder)
    else:
        other = f"was made with another {', '.join(changed[:3])}{', ...' if changed[3:] else ''}" if changed else "is not read"
        why = f"{paths.EXAMPLES} {other if paths.EXAMPLES.is_file() else 'is not made yet'}"
        work = workload.of_settings(merge, labels, examples, is_encoder, why)
    answers = [merge.block_of(task).answers for task in TASKS]
    outputs = (0 if answers[0] == "list" else labels) + 1 if {*answers} & {*PLAIN} else 0
    return Training(base, p, work, device, outputs, rate)


def as_json(t: Training) -> dict[str, Any]:
    """Returns memory in GiB, and time in minutes, from the slowest to the fastest; `changes` as of each alone."""
    cost, gpus = training_cost.cost_of(t), t.device.gpus
    notes = [f"examples: {t.work.source}", f"speed: {'--tokens-per-second' if t.rate else training_cost.SOURCES[gpus > 0]}"]
    notes += ["other cards than an H100 are slower: measure some steps and give --tokens-per-second"] * (gpus > 0 and not t.rate)
    notes += ["each GPU holds the whole base and takes a share of each batch; several were never measured"] * (gpus > 1)
    notes += ["a pass is chosen by what is free, and so is checkpointing: train.batch_size changes no peak"] * (gpus > 0)
    return {
        "device": t.device.name,
        "gpus": gpus,
        "there_is_gib": _gib(t.device.memory),
        **_figures(t, cost),
        "smallest_gpu_gib": _gib(training_cost.smallest_gpu(t)) if gpus else None,
        "parts_gib": {name: _gib(size) for name, size in cost.parts.items() if size},
        "activations": "recomputed" if cost.plan.recompute else "kept",
        "tokens_of_a_pass": cost.tokens,
        "tokens_of_the_longest_example": t.work.longest,
        "examples": t.work.examples or None,
        "tokens_of_an_epoch": t.work.tokens if t.work.examples else None,
        "epochs": t.p.epochs,
        "steps": cost.steps or None,
        "tokens_per_second": [round(rate, 1) for rate in cost.rate],
        "changes": {name: _figures(t, other) for name, other in training_cost.changes(t)},
        "notes": notes,
    }


def _figures(t: Training, cost: Cost) -> dict[str, Any]:
    fits = cost.peak <= t.device.memory
    minutes = [round(m, 1) for m in cost.minutes] if cost.minutes and fits else None
    return {"peak_gib": _gib(cost.peak), "fits": fits, "minutes": minutes}


def _gib(size: int) -> float:
    return round(size / GIB, 2)


def as_page(made: dict[str, Any]) -> RenderableType:
    """Returns the page of what `as_json` returns."""
    memory = Table("memory, GiB", "", box=None, pad_edge=False)
    rows = {**made["parts_gib"], "peak": made["peak_gib"], "there is": made["there_is_gib"]}
    for name, size in rows.items():
        memory.add_row(name, f"{size:,.2f}", style="bold" if name == "peak" else None)
    changes = Table("change", "peak, GiB", "fits", "time", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name, figures in {"as it is": made, **made["changes"]}.items():
        fits = "yes" if figures["fits"] else "no"
        changes.add_row(name, f"{figures['peak_gib']:,.2f}", fits, _duration(figures["minutes"]))
    verdict = "[green]It fits.[/]" if made["fits"] else "[red]It does not fit.[/]"
    if made["gpus"]:
        verdict += f" The smallest GPU for it has {made['smallest_gpu_gib']:.1f} GiB free."
    head = f"{made['gpus']} x {made['device']}" if made["gpus"] else made["device"]
    head += f"; activations {made['activations']}; {made['tokens_of_a_pass']:,} tokens a pass"
    head += f", the longest example {made['tokens_of_the_longest_example']:,}"
    if made["examples"]:
        head += f"\n{made['examples']:,} examples of {made['tokens_of_an_epoch']:,} tokens, {made['epochs']} x"
        head += f"; {made['steps']:,} steps; time: {_duration(made['minutes'])}"
    return Group(f"{head}\n", memory, f"\n{verdict}\n", changes, "", *made["notes"])


def _duration(minutes: list[float] | None) -> str:
    """A range such as "6.1 to 12.9 min" or "2.1 to 3.0 h"."""
    if minutes is None:
        return "-"
    unit, size = ("h", 60) if minutes[0] >= 90 else ("min", 1)
    longest, shortest = (f"{each / size:,.1f}" for each in minutes)
    return f"{shortest} to {longest} {unit}" if shortest != longest else f"{longest} {unit}"
