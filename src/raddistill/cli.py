"""The command line beside `dvc`: named settings, the table of results, whether dvc.lock is up to date; and labels alone.

What shapes a result of the pipeline stays in params.yaml and what runs it stays with DVC; nothing here runs a stage. `label`
and `show` need no pipeline: they read any file of reports by a lexicon.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raddistill import errors, experiments, params, paths
from raddistill.apps.label import command
from raddistill.apps.label.command import (
    Encoding,
    FindingsColumn,
    IdColumn,
    ImpressionColumn,
    InputFormat,
    LabelSet,
    Lexicon,
    Sections,
    Task,
    TextColumn,
)
from raddistill.errors import InputError

if TYPE_CHECKING:
    from raddistill.teachers.llm.history import Inquiry
    from raddistill.teachers.llm.settings import LLMParams

PRESETS = Path("presets")

app = typer.Typer(
    name="raddistill",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold report text
    rich_markup_mode="markdown",
    help="""Teaches a small LLM to read radiology reports from a noisy teacher's labels, and measures it against people's.

    The pipeline is run by DVC, from the root of the project:

    - `dvc repro` — everything that is out of date (`make repro` installs first)
    - `dvc exp run -S train.learning_rate=0.0005 evaluate` — another setting, up to validation
    - `dvc exp run $(raddistill preset quick)` — a named one
    - `dvc metrics diff`, `dvc params diff`, `dvc exp show` — what it changed
    - `raddistill results` — the table of the last run
    - `raddistill folds show NAME` — runs of several folds, scored as one

    With an LLM as teacher (docs/teachers.md):

    - `raddistill estimate` — tokens and money before anything is sent
    - `raddistill show REPORT_ID --teacher llm` — exactly what would be sent

    Without the pipeline, labels with evidence for a file of reports:

    - `raddistill label reports.csv -o labels.csv`
    - `raddistill show REPORT_ID --input reports.csv`
    """,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raddistill {metadata.version('raddistill')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Shows the version and exits.")] = False,
) -> None:
    """Options of the command itself."""


folds_app = typer.Typer(no_args_is_help=True, help="Runs of several folds (extract.fold), kept in git and scored as one.")
app.add_typer(folds_app, name="folds")

ablation_app = typer.Typer(
    no_args_is_help=True, help="Questions of several experiments: queued by one command, drawn by another."
)
app.add_typer(ablation_app, name="ablation")

app.command()(command.label)


@app.command()
def show(
    report_id: Annotated[str, typer.Argument(metavar="REPORT_ID")],
    teacher: Annotated[
        str,
        typer.Option(
            metavar="rules|llm|NAME", help="llm: as synthesize.TASK of params.yaml has it; NAME: an LLM of its section teachers."
        ),
    ] = "rules",
    as_json: Annotated[
        bool, typer.Option("--json", help="With an LLM teacher: prints the bodies of the requests only, one a line.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", metavar="INPUT", help="A file or folder, as for `label`. [default: the reports of the pipeline]"
        ),
    ] = None,
    task: Task = "multiple_choice",
    lexicon: Lexicon = None,
    label_set: LabelSet = None,
    sections: Sections = "findings_and_impression",
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    findings_column: FindingsColumn = None,
    impression_column: ImpressionColumn = None,
    input_format: InputFormat = None,
    encoding: Encoding = "utf-8",
) -> None:
    """Prints a report with its evidence marked, and the label, status and cue that each piece of it stands for.

    `[+1 ...]` present (red), `[-2 ...]` absent (green), `[?3 ...]` uncertain (yellow); numbers point into the list below.

    `raddistill show CXR12`

    `raddistill show 50414267 --input reports.csv --id-column study_id --task open_ended`

    With `--teacher llm`, of a report of the pipeline: exactly what an LLM would be sent by params.yaml, and its answer if the
    journal knows one. Sends nothing.

    `raddistill show CXR12 --teacher llm --task open_ended`
    """
    if teacher != "rules":
        if source or lexicon or label_set or sections != "findings_and_impression":
            raise InputError(
                "--teacher other than rules asks as params.yaml says, about the pipeline's reports: "
                "leave out --input, --lexicon, --label-set and --sections"
            )
        _show_questions(report_id, teacher, task, as_json)
        return
    from raddistill.apps.label.columns import Columns
    from raddistill.apps.label.reading import load_reader
    from raddistill.apps.label.render import print_report
    from raddistill.apps.label.report_file import ReportFile

    if source is None and not paths.REPORTS.exists():
        raise InputError(f"{paths.REPORTS} is missing: name a file by --input, or make it by `dvc repro extract`")
    reader, *_ = load_reader(task, lexicon, label_set, sections)
    columns = Columns(id_column, text_column, findings_column, impression_column)
    with ReportFile(source or str(paths.REPORTS), columns, input_format, encoding) as reports:
        print_report(reports, report_id, reader)


@app.command()
def estimate(
    teachers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK|NAME]...", help="Tasks, or names in the section `teachers` of params.yaml. [default: all]"),
    ] = None,
) -> None:
    """Says how many tokens and how much money an LLM teacher would take, before anything is sent. Sends nothing.

    `raddistill estimate`: the LLM teachers of params.yaml, or, where there is none, both tasks as if they had one.

    `raddistill estimate open_ended`

    Prices are those of the file that asking.prices names (prices.yaml), yours to edit. What the journal knows is not asked again.
    """
    from rich.console import Console

    from raddistill.llm_client.budget import Prices
    from raddistill.llm_client.settings import AskingParams
    from raddistill.llm_client.store import Store
    from raddistill.tables import base as tables
    from raddistill.tables.reports import Reports
    from raddistill.teachers.llm import planning

    asking = params.load("asking", AskingParams)
    reports, prices = tables.read(Reports, paths.REPORTS), Prices.load(asking.prices)
    with Store(paths.journal()) as store:
        plans = []
        for name in teachers or _llm_teachers():
            inquiry, p = _inquiry(name)
            plans.append(planning.plan(name, inquiry, p, reports, store.get, prices))
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(planning.plans_page(plans, asking.budget_usd))


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
    """Tells how two cohorts differ: length, sections, redaction marks, words, label rates. Numbers only, no text.

    `raddistill compare-cohorts here/data/reports.parquet there/data/reports.parquet`

    `raddistill compare-cohorts A.parquet B.parquet -l A_labels.parquet -l B_labels.parquet --json`

    `raddistill compare-cohorts data/reports.parquet -l data/labels/multiple_choice.parquet`: a table that holds two sources

    Tables are those that `extract` and `synthesize` write, of any checkout. Labels by one teacher compare the reports; labels
    by two, or gold of two places, compare the labellers as well. Small shares of a small cohort can tell who is meant: look
    before you pass them on.
    """
    from rich.console import Console

    from raddistill.sources import comparing, comparison_page

    comparison = comparing.compare(*comparing.read(reports, labels or []))
    if as_json:
        print(json.dumps(comparison.as_json(), indent=2, allow_nan=False))
        return
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(comparison_page.page(comparison))


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="Name of a preset; --list shows all.")] = "",
    show: Annotated[bool, typer.Option("--list", help="Lists the presets and what each is for.")] = False,
) -> None:
    """Prints a named setting as overrides for DVC; two can stand one after the other, the later one wins.

    `dvc exp run $(raddistill preset quick)`

    `dvc exp run $(raddistill preset llama-3.1-8b) $(raddistill preset paper) evaluate`
    """
    if show or not name:
        for each in _presets():
            print(f"{each:14} {params.read(PRESETS / f'{each}.yaml')['about']}")
        return
    print(" ".join(f"-S {override}" for override in overrides(_preset(name))))


@app.command()
def results(
    markdown: Annotated[bool, typer.Option("--markdown", help="Prints the table of the README.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Prints everything in metrics/ as the page docs/results.md.")] = False,
) -> None:
    """Prints the results on the test split, from metrics/final.json.

    `raddistill results`

    `dvc exp apply NAME && raddistill results`
    """
    from raddistill.scoring import results as in_markdown

    metrics = _metrics(paths.FINAL_METRICS)
    if markdown or page:
        print(in_markdown.page() if page else in_markdown.table(metrics), end="" if page else "\n")
        return
    import polars as pl  # not before: `preset` answers at once

    from raddistill.scoring import pages, scores

    no_rows = pl.DataFrame()
    pages.print_table(scores.Scored("test", metrics, no_rows, no_rows, no_rows, no_rows))


@folds_app.command("keep")
def folds_keep(
    name: Annotated[str, typer.Argument(help="Name of the runs that belong together: the folder folds/NAME.")],
) -> None:
    """Keeps the last run's decisions on its test split: folds/NAME/fold-<extract.fold>, ids and names of labels, no text.

    `dvc exp run -S extract.fold=1 && raddistill folds keep default`

    Another train.seed of a fold that is kept goes beside it. Commit the folder to git. Of public reports alone: ids and decisions
    of others are no more for git than their text.
    """
    from raddistill.scoring import folds
    from raddistill.tables import base as tables
    from raddistill.tables.decisions import Decisions
    from raddistill.tables.reports import Reports

    kinds = sorted(set(tables.read(Reports, paths.REPORTS)["sensitivity"]) - {"public"})
    if kinds:
        raise InputError(f"folds are kept in git, by report id, and these are {', '.join(kinds)}: score each fold by itself")
    decisions, train = tables.read(Decisions, paths.DECISIONS), _metrics(paths.TRAIN_METRICS)
    print(folds.keep(_folds_of(name), decisions, params.read(), train, _commit()))


@folds_app.command("show")
def folds_show(
    name: Annotated[str, typer.Argument(help="Name of a folder in folds/.")],
    as_json: Annotated[bool, typer.Option("--json", help="Prints all figures as JSON, by label too.")] = False,
) -> None:
    """Scores the kept folds as one, against data/gold.parquet, and writes metrics/folds/NAME.json.

    `raddistill folds show default`
    """
    from raddistill.concepts import load_concepts
    from raddistill.labelsets import LabelSetParams, load_labels
    from raddistill.scoring import folds, pages, scores
    from raddistill.sources import splitting
    from raddistill.tables import base as tables
    from raddistill.tables.gold import Gold

    runs, p = folds.read(_folds_of(name)), params.load("score", scores.ScoreParams)
    label_set = load_labels(params.load("label_set", LabelSetParams).path)
    names = folds.names(p, label_set, load_concepts(paths.CONCEPTS))
    metrics = folds.score(p, runs, tables.read(Gold, paths.GOLD), names)
    file, shares = paths.FOLDS_METRICS / f"{name}.json", runs[0].params["extract"]
    tables.write_json(metrics, file)
    if as_json:
        print(json.dumps(metrics, indent=2, allow_nan=False))
        return
    missing = set(range(splitting.folds(shares["train"], shares["validation"]))) - {run.fold for run in runs}
    pages.print_folds(name, metrics, sorted(missing), file)


@ablation_app.command("list")
def ablation_list() -> None:
    """The questions of presets/ablations and their points."""
    from raddistill.scoring import ablations

    for name in ablations.questions():
        question = ablations.read(name)
        print(f"{name:14} {question.about} ({question.axis}: {', '.join(question.points)})")


@ablation_app.command("queue")
def ablation_queue(name: Annotated[str, typer.Argument(help="Name of a file in presets/ablations/.")]) -> None:
    """Queues an experiment for every point of a question that has none yet, up to validation; DVC runs them one after the other.

    They run in other folders, with the files that git knows: what they would miss is named, and nothing is queued.

    `raddistill ablation queue noise && dvc exp run --run-all && raddistill ablation draw noise`
    """
    from raddistill.scoring import ablations

    question = ablations.read(name)
    shared = [each for preset in question.presets for each in overrides(_preset(preset))] + [*overrides(question.shared)]
    for changes in question.points.values():
        set_to = dict(each.split("=", 1) for each in (*overrides(params.read()), *shared, *overrides(changes)))
        experiments.refuse_missed(value.strip("'") for value in set_to.values())
    dvc = [sys.executable, "-m", "dvc"]
    told = subprocess.run([*dvc, "exp", "list", "--name-only"], capture_output=True, text=True, check=False)
    if told.returncode:
        raise InputError("`dvc exp list` failed; run it by itself to see why")
    for point, changes in question.points.items():
        experiment = question.experiment(point)
        if experiment in told.stdout.split():
            print(f"{experiment} is there; `dvc exp remove {experiment}` first, to run it again")
            continue
        settings = [f"-S={override}" for override in (*shared, *overrides(changes))]
        command = [*dvc, "exp", "run", "--queue", "--quiet", "--name", experiment, *settings, "evaluate"]
        if subprocess.run(command, check=False).returncode:
            raise InputError(f"DVC did not queue {experiment}; its own words stand above")
        print(f"{experiment} is queued")


@ablation_app.command("draw")
def ablation_draw(
    name: Annotated[str, typer.Argument(help="Name of a file in presets/ablations/.")],
    machine: Annotated[
        str, typer.Option("--machine", help="Description of the machine of the runs. [default: this machine]")
    ] = "",
) -> None:
    """Writes figures and picture of a question's experiments: metrics/ablations/NAME.json, plots/ablations/NAME.svg."""
    from raddistill.scoring import ablations
    from raddistill.tables.base import write_json

    question = ablations.read(name)
    gathered = ablations.gather(question, machine or ablations.this_machine())
    metrics, picture = paths.ABLATION_METRICS / f"{name}.json", paths.ABLATION_PLOTS / f"{name}.svg"
    write_json(gathered, metrics)
    ablations.draw(gathered, picture)
    print(f"{metrics}, {picture}")
    if gathered["missing"]:
        print(f"not run: {', '.join(gathered['missing'])}")


@app.command()
def check() -> None:
    """Says whether dvc.lock belongs to the code and params that stand here; exits 1 and names what changed if not.

    Works in a fresh clone that has pulled no data.
    """
    told = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False)
    if told.returncode:
        raise InputError("`dvc status` failed; run it by itself to see why")
    changed = list(stale(json.loads(told.stdout)))
    for line in changed:
        print(line)
    if changed:
        raise InputError("dvc.lock is out of date: `dvc repro`, then commit dvc.lock and metrics/")
    print("dvc.lock is up to date")
    for line in experiments.missed(experiments.strings_of(params.read())):
        print(f"missing in a clone, and in queued experiments: {line}")


def _folds_of(name: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"'{name}' is no name: letters, digits, '_', '-' and '.' only")
    return paths.FOLDS / name


def _commit() -> dict[str, Any]:
    """The commit that stands here, and whether anything was changed since; None outside of git."""
    told = [
        subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    ]
    commit = told[0].stdout.strip() if told[0].returncode == 0 else None
    return {"commit": commit, "clean": commit is not None and not told[1].stdout.strip()}


def _llm_teachers() -> list[str]:
    """Tasks and names of teachers that are LLMs by params.yaml; both tasks where there is none."""
    content = params.read()
    tasks, named = content.get("synthesize", {}), content.get("teachers", {})
    return [name for name, p in (tasks | named).items() if p.get("teacher") == "llm"] or list(tasks)


def _inquiry(name: str) -> "tuple[Inquiry, LLMParams]":
    """What the teacher of a task, or one of `teachers`, asks; of a task whose teacher is no LLM, what one would ask."""
    from raddistill.labelsets import LabelSetParams, load_labels
    from raddistill.teachers.llm.history import Inquiry
    from raddistill.teachers.synthesizing import TASKS, SynthesizeParams, TeachParams

    labels = load_labels(params.load("label_set", LabelSetParams).path)
    p: SynthesizeParams | TeachParams
    if name in TASKS:
        p = params.load(f"synthesize.{name}", SynthesizeParams)
        task, prompts = name, Path(p.source) if p.teacher == "llm" else paths.TEACHER_PROMPTS
    else:
        p = params.load(f"teachers.{name}", TeachParams)
        task, prompts = p.task, Path(p.source)
    if p.llm is None:
        raise InputError(f"teachers.{name} of params.yaml has no section `llm`; synthesize.{task}.llm shows one")
    return Inquiry(task, prompts, labels, p.sections, p.llm), p.llm


def _show_questions(report_id: str, teacher: str, task: str, as_json: bool) -> None:
    from rich.console import Console

    from raddistill.llm_client.store import Store
    from raddistill.tables import base as tables
    from raddistill.tables.reports import Reports
    from raddistill.teachers.llm import planning

    inquiry, _ = _inquiry(task if teacher == "llm" else teacher)
    console = Console()
    console = console if console.is_terminal else Console(width=1_000_000)
    with Store(paths.journal()) as store:
        questions = planning.find_questions(inquiry, tables.read(Reports, paths.REPORTS), report_id, store.get)
        for question in questions:
            if as_json:
                print(json.dumps(question.body))
            else:
                console.print(planning.question_page(question, store.get(question.key)))


def _presets() -> list[str]:
    known = sorted(file.stem for file in PRESETS.glob("*.yaml"))
    if not known:
        raise InputError(f"{PRESETS}/ is missing here; presets are read at the root of the project")
    return known


def _preset(name: str) -> dict[str, Any]:
    if name not in (known := _presets()):
        raise InputError(f"there is no preset '{name}' in {PRESETS}/; there are: {', '.join(known)}")
    return params.read(PRESETS / f"{name}.yaml")["params"]


def overrides(node: dict[str, Any], at: str = "") -> Iterator[str]:
    """`train.lora_rank=8`, ...: each leaf as an override in Hydra's grammar, which `dvc exp run -S` reads.

    No override holds a space: the shell splits `$(raddistill preset NAME)` there and takes no notice of quotes.
    """
    for key, value in node.items():
        name = f"{at}.{key}" if at else key
        if isinstance(value, dict):
            yield from overrides(value, name)
        else:
            yield f"{name}={_hydra(value)}"


def _hydra(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_hydra, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        return f"'{value}'"
    return str(value)


def stale(status: dict[str, Any]) -> Iterator[str]:
    """What of `dvc status --json` means another result; data that was merely not pulled does not."""
    for stage, changes in status.items():
        for change in changes:
            if isinstance(change, str):  # "changed command", "always changed"
                yield f"{stage}: {change}"
                continue
            for entries in change.values():
                for path, how in entries.items():
                    if isinstance(how, dict):
                        yield from (f"{stage}: {path}: {key} {what}" for key, what in how.items())
                    elif how in ("modified", "new"):
                        yield f"{stage}: {path} {how}"


def _metrics(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `make repro` makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path} is not JSON; `git checkout {path}` or `dvc repro --force final`") from None


def main() -> None:
    """Entry point of the command `raddistill`."""
    errors.run(lambda *words: app(list(words)))


if __name__ == "__main__":
    main()
