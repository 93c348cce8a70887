"""The commands `raddistill folds`: runs of several folds, kept in git and scored as one."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from raddistill import params, paths
from raddistill.apps import pipeline
from raddistill.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Runs of several folds (extract.fold), kept in git and scored as one.")


@app.command("keep")
def keep(
    name: Annotated[str, typer.Argument(help="Name of the runs that belong together: the folder folds/NAME.")],
) -> None:
    """Keeps the last run's decisions on its test split in folds/NAME/fold-<extract.fold>: ids and names of labels, no text.

    `dvc exp run -S extract.fold=1 && raddistill folds keep default`

    A run of the same fold with another train.seed is kept as well. Commit the folder to git. This works with public reports
    only: ids and decisions of other reports do not belong in git.
    """
    from raddistill.apps import folds
    from raddistill.tables import base as tables
    from raddistill.tables.decisions import Decisions
    from raddistill.tables.reports import Reports

    kinds = sorted(set(tables.read(Reports, paths.REPORTS)["sensitivity"]) - {"public"})
    if kinds:
        raise InputError(f"folds are kept in git, by report id, and these are {', '.join(kinds)}: score each fold by itself")
    decisions, train = tables.read(Decisions, paths.DECISIONS), pipeline.load_metrics(paths.TRAIN_METRICS)
    print(folds.keep(_folds_folder(name), decisions, params.read(), train, pipeline.current_commit()))


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a folder in folds/, such as default.")],
    as_json: Annotated[bool, typer.Option("--json", help="Prints all figures as JSON, by label too.")] = False,
) -> None:
    """Scores the kept folds as one, against data/gold.parquet, and writes metrics/folds/NAME.json.

    `raddistill folds show default`
    """
    from raddistill.apps import folds, results
    from raddistill.concepts import load_concepts
    from raddistill.labelsets import LabelSetParams, load_labels
    from raddistill.scoring import scores
    from raddistill.sources.splits import splitting
    from raddistill.tables import base as tables
    from raddistill.tables.gold import Gold

    runs, p = folds.read(_folds_folder(name)), params.load("score", scores.ScoreParams)
    label_set = load_labels(params.load("label_set", LabelSetParams).path)
    names = folds.names(p, label_set, load_concepts(paths.CONCEPTS))
    metrics = folds.score(p, runs, tables.read(Gold, paths.GOLD), names)
    file, shares = paths.FOLDS_METRICS / f"{name}.json", runs[0].params["extract"]
    tables.write_json(metrics, file)
    if as_json:
        print(json.dumps(metrics, indent=2, allow_nan=False))
        return
    missing = set(range(splitting.folds(shares["train"], shares["validation"]))) - {run.fold for run in runs}
    results.print_folds(name, metrics, sorted(missing), file)


def _folds_folder(name: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"'{name}' is no name: letters, digits, '_', '-' and '.' only")
    return paths.FOLDS / name
