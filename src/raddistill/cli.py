"""The commands of `raddistill`. Each is a short function that can be called from Python; the work is done in apps/.

No command runs a stage: settings stay in params.yaml, and DVC runs the pipeline. `label` and `show` need no pipeline.
A command imports polars, and what else takes long, within its function, so that `raddistill preset` answers at once.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from raddistill import errors, paths
from raddistill.apps import pipeline, presets
from raddistill.apps import score as scoring
from raddistill.apps.compare import run as comparing
from raddistill.apps.doctor.run import doctor
from raddistill.apps.estimate import commands as estimating
from raddistill.apps.export.command import HELP as EXPORT_HELP
from raddistill.apps.export.command import export
from raddistill.apps.label import options
from raddistill.apps.label.rules import show
from raddistill.apps.label.run import label
from raddistill.apps.new_pipeline import init
from raddistill.apps.page import command as reporting
from raddistill.apps.page.offline_plots import offline_plots
from raddistill.apps.predict import command as predicting
from raddistill.apps.predict.base_model import fetch_base
from raddistill.apps.review import commands as review

app = typer.Typer(
    name="raddistill",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold report text
    rich_markup_mode="markdown",
    help=options.HELP,
)
folds_app = typer.Typer(no_args_is_help=True, help="Runs of several folds (extract.fold), kept in git and scored as one.")
app.add_typer(folds_app, name="folds")
app.add_typer(presets.app, name="ablation")
app.add_typer(review.app, name="review")
app.add_typer(estimating.app, name="estimate")


def _presets() -> list[str]:  # for the shell, which gets no errors
    return sorted(file.stem for file in presets.PRESETS.glob("*.yaml"))


def _folds() -> list[str]:
    return sorted(folder.name for folder in paths.FOLDS.glob("*/"))


app.command(help=options.LABEL_HELP)(label)
app.command(help=options.SHOW_HELP)(show)
app.command(help=predicting.HELP)(predicting.predict)
app.command()(fetch_base)
app.command(help=reporting.HELP)(reporting.report)
app.command()(offline_plots)
app.command(help=comparing.HELP)(comparing.compare)
app.command(help=scoring.HELP)(scoring.score)
app.command(help=EXPORT_HELP)(export)
app.command()(init)
app.command()(doctor)
app.command()(pipeline.check)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raddistill {metadata.version('raddistill')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Shows the version and exits.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def compare_cohorts(
    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORTS...", help="One table of two sources, or two tables: data/reports.parquet.")
    ],
    labels: Annotated[
        list[Path] | None,
        typer.Option("--labels", "-l", metavar="TABLE", help="Tables of labels or gold: as many as REPORTS, in the same order."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Prints JSON, with uncertain and absent labels too; shares from 0 to 1.")
    ] = False,
) -> None:
    """Prints how two cohorts differ: length, sections, redaction marks, words, label rates. Numbers only, no text.

    `raddistill compare-cohorts here/data/reports.parquet there/data/reports.parquet`

    `raddistill compare-cohorts A.parquet B.parquet -l A_labels.parquet -l B_labels.parquet --json`

    `raddistill compare-cohorts data/reports.parquet -l data/labels/multiple_choice.parquet`: a table that holds two sources

    The tables are those that `extract` and `synthesize` write, of any checkout. Labels of one teacher compare the reports. Labels
    of two teachers, or gold of two places, compare the labellers as well. Small shares of a small cohort can tell who is meant:
    check the figures before you pass them on.
    """
    from raddistill.apps import cohorts
    from raddistill.apps import compare_cohorts as comparing
    from raddistill.apps.console import print_page

    both = cohorts.read(reports, labels or [])
    if as_json:
        print(json.dumps(comparing.as_json(*both), indent=2, allow_nan=False))
    else:
        print_page(comparing.page(*both))


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="Name of a preset, such as quick; --list shows all.", autocompletion=_presets)] = "",
    show: Annotated[bool, typer.Option("--list", help="Lists the presets and what each is for.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Prints the preset, or with --list all, as JSON.")] = False,
) -> None:
    """Prints a named setting as overrides for DVC. If two presets set the same key, the later one wins.

    `dvc exp run $(raddistill preset quick)`

    `dvc exp run $(raddistill preset paper-llama31-8b) $(raddistill preset mimic-cxr) evaluate`
    """
    found = {each: presets.load_preset(each) for each in ([name] if name and not show else presets.names())}
    if as_json:
        print(json.dumps(found, indent=2))
    elif name and not show:
        print(" ".join(f"-S {override}" for override in presets.overrides(found[name]["params"])))
    else:
        for each, content in found.items():
            print(f"{each:18} {content['about']}")


@app.command()
def results(
    markdown: Annotated[bool, typer.Option("--markdown", help="Prints the table of the README.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Prints everything in metrics/ as the page docs/results.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Prints all figures as JSON, by label too.")] = False,
) -> None:
    """Prints the results on the test split, from metrics/final.json.

    `raddistill results`: of the last run

    `dvc exp apply NAME && raddistill results`: of an experiment
    """
    from raddistill.apps import results as printed

    metrics = pipeline.load_metrics(paths.FINAL_METRICS)
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    if markdown or page:
        print(printed.page() if page else printed.table(metrics), end="" if page else "\n")
        return
    from raddistill.scoring import score_output

    score_output.print_table("test", metrics)


@folds_app.command("keep")
def keep_fold(
    name: Annotated[str, typer.Argument(help="Name of the runs that belong together: the folder folds/NAME.")],
) -> None:
    """Keeps the last run's decisions on its test split in folds/NAME/fold-<extract.fold>: ids and names of labels, no text.

    `dvc exp run -S extract.fold=1 && raddistill folds keep default`

    A run of the same fold with another train.seed is kept as well. Commit the folder to git. This works with public reports
    only: ids and decisions of other reports do not belong in git.
    """
    from raddistill.apps import folds

    print(folds.keep_last(name))


@folds_app.command("show")
def show_folds(
    name: Annotated[str, typer.Argument(help="Name of a folder in folds/, such as default.", autocompletion=_folds)],
    as_json: Annotated[bool, typer.Option("--json", help="Prints all figures as JSON, by label too.")] = False,
) -> None:
    """Scores the kept folds as one, against data/gold.parquet, and writes metrics/folds/NAME.json.

    `raddistill folds show default`
    """
    from raddistill.apps import folds

    folds.show(name, as_json)


def main() -> None:
    """Entry point of the command `raddistill`."""
    errors.run(lambda *words: app(list(words), prog_name="raddistill"))


if __name__ == "__main__":
    main()
