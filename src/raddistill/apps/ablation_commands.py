"""The commands `raddistill ablation`: one question, answered by several DVC experiments."""

import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raddistill import params, paths, untracked_files
from raddistill.apps import pipeline
from raddistill.errors import InputError

if TYPE_CHECKING:
    from raddistill.apps.ablations import Question

app = typer.Typer(
    no_args_is_help=True, help="One question, answered by several experiments: `queue` prepares them, `draw` shows their figures."
)

Name = Annotated[str, typer.Argument(help="Name of a file in presets/ablations/, such as noise.")]


@app.command("list")
def list_questions() -> None:
    """Lists the questions of presets/ablations and their points."""
    from raddistill.apps import ablations

    for name in ablations.questions():
        question = ablations.read(name)
        print(f"{name:14} {question.about} ({question.axis}: {', '.join(question.points)})")


@app.command("queue")
def queue(name: Name) -> None:
    """Queues an experiment for every point of a question that has none yet, up to validation. DVC runs them one after the other.

    They run in other folders, with the files that git knows. If one would miss a file, that file is named and nothing is queued.

    `raddistill ablation queue noise && dvc exp run --run-all && raddistill ablation draw noise`
    """
    from raddistill.apps import ablations

    for line in _queue(ablations.read(name)):
        print(line)


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
    from raddistill.apps import ablations
    from raddistill.tables.base import write_json

    question = ablations.read(name)
    gathered = ablations.gather(question, machine or ablations.this_machine())
    metrics, picture = paths.ABLATION_METRICS / f"{name}.json", paths.ABLATION_PLOTS / f"{name}.svg"
    write_json(gathered, metrics)
    ablations.draw(gathered, picture)
    print(f"{metrics}, {picture}")
    if gathered["missing"]:
        print(f"not run: {', '.join(gathered['missing'])}")


def _queue(question: "Question") -> Iterator[str]:
    """Queues a DVC experiment for every point of a question that has none yet. Yields a line for each point.

    Raises:
        InputError: an experiment would miss a file, or DVC refuses; in the first case nothing is queued.
    """
    shared = [each for name in question.presets for each in pipeline.overrides(pipeline.load_preset(name)["params"])]
    shared += pipeline.overrides(question.shared)
    before = [*pipeline.overrides(params.read()), *shared]
    for changes in question.points.values():
        settings = dict(each.split("=", 1) for each in (*before, *pipeline.overrides(changes)))  # a later one wins
        untracked_files.refuse_missing_files(value.strip("'") for value in settings.values())
    known = pipeline.dvc_output("exp", "list", "--name-only").split()
    for point, changes in question.points.items():
        name = question.experiment(point)
        if name in known:
            yield f"{name} is there; `dvc exp remove {name}` first, to run it again"
            continue
        options = [f"-S={override}" for override in (*shared, *pipeline.overrides(changes))]
        command = [sys.executable, "-m", "dvc", "exp", "run", "--queue", "--quiet", "--name", name, *options, "evaluate"]
        if subprocess.run(command, check=False).returncode:
            raise InputError(f"DVC did not queue {name}; its own words stand above")
        yield f"{name} is queued"
