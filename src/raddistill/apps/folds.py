"""Keeps the runs of several folds and scores them as one: each report by a student that was not trained on it.

A kept run is two files in folds/NAME: `fold-<k>.parquet`, the table `Decisions`, and `fold-<k>.json`, the params and metrics of
its training. A run of the same fold with another training seed is `fold-<k>-seed-<s>`. Scores come from the code that scores a
single run.
"""

import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from raddistill import params, paths
from raddistill.apps import pipeline, results
from raddistill.apps.presets import flat
from raddistill.concepts import Concept, load_concepts
from raddistill.errors import InputError, TableError
from raddistill.labelsets import Label, LabelSetParams, load_labels
from raddistill.scoring.comparison import Comparison, compare
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.multiple_choice import label_names
from raddistill.scoring.open_ended import concept_names
from raddistill.scoring.scores import tidy
from raddistill.scoring.truth import TaskNames, from_table, read_truth
from raddistill.sources.splits import splitting
from raddistill.tables import base as tables
from raddistill.tables.decisions import Decisions
from raddistill.tables.gold import Gold
from raddistill.tables.reports import Reports
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

SHAPE_NO_DECISION = ("runtime", "asking", "remotes", "score")  # sections of params.yaml
MAY_DIFFER = ("extract.fold", "train.seed", "fetch.reports.path", "fetch.base.path")  # both paths are pinned by hash
ABSENT = "(no such key)"


@dataclass(frozen=True)
class KeptRun:
    """One run that was kept: its fold and training seed, its params, and its decisions (`Decisions`, sorted) with their path."""

    path: Path
    fold: int
    seed: int
    params: dict[str, Any]
    decisions: pl.DataFrame

    @property
    def reports(self) -> set[str]:
        """Returns the ids of the reports that its student was asked."""
        return set(self.decisions.filter(pl.col("arm") == "student")["report_id"])


def keep_last(name: str) -> Path:
    """Keeps the pipeline's last run as `name`, and returns the path of its decisions.

    Raises:
        InputError: a report is not public, or as in `keep`.
    """
    kinds = sorted(set(tables.read(Reports, paths.REPORTS)["sensitivity"]) - {"public"})
    if kinds:
        raise InputError(f"folds are kept in git, by report id, and these are {', '.join(kinds)}: score each fold by itself")
    decisions, train = tables.read(Decisions, paths.DECISIONS), pipeline.load_metrics(paths.TRAIN_METRICS)
    return keep(_folder(name), decisions, params.read(), train, pipeline.current_commit())


def show(name: str, as_json: bool) -> None:
    """Scores the runs kept as `name` as one, writes metrics/folds/NAME.json, and prints tables or, `as_json`, all figures.

    Raises:
        InputError, TableError: as in `read` and `score`.
    """
    runs, p = read(_folder(name)), params.load("score", ScoreParams)
    label_set = load_labels(params.load("label_set", LabelSetParams).path)
    metrics = score(p, runs, tables.read(Gold, paths.GOLD), names(p, label_set, load_concepts(paths.CONCEPTS)))
    file, shares = paths.FOLDS_METRICS / f"{name}.json", runs[0].params["extract"]
    tables.write_json(metrics, file)
    if as_json:
        print(json.dumps(metrics, indent=2, allow_nan=False))
        return
    missing = set(range(splitting.folds(shares["train"], shares["validation"]))) - {run.fold for run in runs}
    results.print_folds(name, metrics, sorted(missing), file)


def _folder(name: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"'{name}' is no name: letters, digits, '_', '-' and '.' only")
    return paths.FOLDS / name


def names(p: ScoreParams, label_set: list[Label], concepts: list[Concept]) -> dict[str, TaskNames]:
    """Returns the names that are scored, by task: labels of the label set, or concepts."""
    return {MULTIPLE_CHOICE: label_names(p, label_set), OPEN_ENDED: concept_names(p, concepts)}


def keep(folder: Path, decisions: pl.DataFrame, settings: dict[str, Any], train: dict[str, Any], made_by: dict[str, Any]) -> Path:
    """Writes a run into `folder` and returns the path of its decisions. It replaces a run of the same fold and seed.

    `settings`: all of params.yaml. `train`: the metrics of the training. `made_by`: the git commit.

    Raises:
        InputError: these decisions are already kept for another fold or seed, so nothing ran since.
    """
    fold, seed = settings["extract"]["fold"], settings["train"]["seed"]
    known = read(folder) if folder.is_dir() else []
    ordered = _ordered(decisions)
    for run in known:
        if (run.fold, run.seed) != (fold, seed) and run.decisions.equals(ordered):
            raise InputError(f"these are the decisions of {run.path}: `dvc repro` with the fold and seed of params.yaml first")
    taken = any(run.path.stem == f"fold-{fold}" and run.seed != seed for run in known)
    path = folder / (f"fold-{fold}-seed-{seed}.parquet" if taken else f"fold-{fold}.parquet")
    kept = {section: values for section, values in settings.items() if section not in SHAPE_NO_DECISION}
    tables.write(Decisions, decisions, path)
    tables.write_json({"fold": fold, "seed": seed, **made_by, "train": train, "params": kept}, path.with_suffix(".json"))
    return path


def read(folder: Path) -> list[KeptRun]:
    """Returns the kept runs by fold; within a fold, the first kept run comes before its other seeds.

    Raises:
        InputError: there are none, or the JSON file of one is missing or damaged.
    """
    runs = []
    for path in folder.glob("fold-*.parquet"):
        record = path.with_suffix(".json")
        try:
            content = json.loads(record.read_text(encoding="utf-8"))
            made_by = (content["fold"], content["seed"], content["params"])
        except (FileNotFoundError, KeyError, ValueError):
            raise InputError(f"{record} is missing or damaged; `git checkout {record}` restores it") from None
        runs.append(KeptRun(path, *made_by, _ordered(tables.read(Decisions, path))))
    if not runs:
        raise InputError(f"{folder} holds no runs; `raddistill folds keep {folder.name}` puts the last one there")
    return sorted(runs, key=lambda run: (run.fold, "-seed-" in run.path.stem, run.seed))


def refuse_mixture(runs: list[KeptRun]) -> None:
    """Checks that runs may be scored as one.

    Raises:
        InputError: the params of the runs differ, two folds share reports, or the reports of a fold differ between its runs.
    """
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = flat(run.params), flat(first.params)
        for key in sorted(set(ours) | set(theirs)):
            if key not in MAY_DIFFER and (one := ours.get(key, ABSENT)) != (other := theirs.get(key, ABSENT)):
                raise InputError(f"{run.path.with_suffix('.json')}: {key} is {one}, but {other} in {first.path.stem}.json")
    for before, run in itertools.combinations(runs, 2):
        if run.fold != before.fold and (shared := run.reports & before.reports):
            raise InputError(f"{run.path} and {before.path.name} are of two folds, but share {len(shared)} reports")
        if run.fold == before.fold and (not_shared := run.reports ^ before.reports):
            raise InputError(f"{run.path} and {before.path.name} are of one fold, but differ in {len(not_shared)} reports")


def score(p: ScoreParams, runs: list[KeptRun], gold: dy.DataFrame[Gold], names: dict[str, TaskNames]) -> dict[str, Any]:
    """Returns the metrics of all folds as one run, by task: those of `final`, `labels`, and `seeds` if there are several.

    The teacher has one policy for `uncertain` in all folds: the one that scores better on the pooled reports.

    Raises:
        InputError: the runs do not belong together.
        TableError: a label is not among the names, or gold lacks rows.
    """
    refuse_mixture(runs)
    firsts = [next(run for run in runs if run.fold == fold) for fold in sorted({run.fold for run in runs})]
    metrics: dict[str, Any] = {"folds": {str(run.fold): len(run.reports) for run in firsts}}
    for task, of_task in names.items():
        pooled = _pool(p, task, firsts, gold, of_task)
        metrics[task] = pooled.metrics | {"labels": _by_label(pooled)}
        if seeds := _score_seeds(p, task, runs, gold, of_task):
            metrics[task]["seeds"] = seeds
    return tidy(metrics)


def _pool(p: ScoreParams, task: str, runs: list[KeptRun], gold: dy.DataFrame[Gold], names: TaskNames) -> Comparison:
    rows = pl.concat([run.decisions for run in runs]).filter(pl.col("task") == task)
    if strange := sorted(set(rows["label"]) - {*names.names, ""}):
        raise TableError(f"{runs[0].path.parent}: decisions of {task} about labels that no longer exist: {', '.join(strange)}")
    text_groups = dict(rows.select("report_id", "text_group").unique().iter_rows())
    arms = {arm: from_table(rows.filter(pl.col("arm") == arm), names.names) for arm in {"student", *rows["arm"]}}
    return compare(p, read_truth(gold, task, names.names), arms, text_groups, names)


def _by_label(pooled: Comparison) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in pooled.per_label:
        figures = {key: value for key, value in row.items() if key not in ("arm", "label")}
        found.setdefault(str(row["label"]), {})[str(row["arm"])] = figures
    return found


def _score_seeds(p: ScoreParams, task: str, runs: list[KeptRun], gold: dy.DataFrame[Gold], names: TaskNames) -> dict[str, float]:
    """Returns the spread of student and gain over the seeds that all folds with several seeds share; {} for less than two."""
    seeds_of = Counter(run.fold for run in runs)
    folds = {fold for fold, seeds in seeds_of.items() if seeds > 1}
    shared = set.intersection(*({run.seed for run in runs if run.fold == fold} for fold in folds)) if folds else set()
    if len(shared) < 2:
        return {}
    of_seeds = [[run for run in runs if run.fold in folds and run.seed == seed] for seed in sorted(shared)]
    metrics = [_pool(p, task, of_seed, gold, names).metrics for of_seed in of_seeds]
    spread: dict[str, float] = {"seeds": len(shared), "folds": len(folds), "reports": metrics[0]["reports"]}
    for part in ("student", "gain"):
        values = np.array([of_seed[part]["micro_f1"] for of_seed in metrics if part in of_seed])
        if values.size > 1:
            spread |= {f"{part}_mean": float(values.mean()), f"{part}_sd": float(values.std(ddof=1))}
            spread |= {f"{part}_min": float(values.min()), f"{part}_max": float(values.max())}
    return spread


def _ordered(decisions: pl.DataFrame) -> pl.DataFrame:
    return decisions.with_columns(pl.col("kind").cast(pl.String)).sort(Decisions.primary_key())
