"""The command `estimate`: what an LLM teacher costs (`teachers`), and what a training takes (`train`)."""

import json
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from raddistill.tasks.names import TASKS


class _TeachersByDefault(TyperGroup):
    """Reads `estimate`, `estimate open_ended` as `estimate teachers ...`: they are older than `train`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        is_named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if is_named else ["teachers", *args])


app = typer.Typer(
    cls=_TeachersByDefault,
    help="Prints what a run will take, before it starts: money of LLM teachers, memory and time of a training."
    "\n\n`raddistill estimate` alone, or with names, is `raddistill estimate teachers`.",
)


@app.command("teachers")
def estimate_teachers(
    teachers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK|NAME]...",
            help="Tasks, or names in the section `teachers` of params.yaml. [default: all]",
            autocompletion=lambda: TASKS,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Prints a list of JSON objects, one for each teacher.")] = False,
) -> None:
    """Prints how many tokens and how much money an LLM teacher would take. Sends nothing.

    `raddistill estimate`: the LLM teachers of params.yaml. If it has none, both tasks as if they had one.

    `raddistill estimate open_ended`: one task

    Prices come from the file that asking.prices names (prices.yaml). Edit it to your contract. Answers that the journal has are
    not asked for again.
    """
    from raddistill.apps import llm_teacher
    from raddistill.apps.console import print_page

    plans = llm_teacher.plans_of(teachers or [])
    if not as_json:
        print_page(llm_teacher.plans_page(plans))
        return
    rows = [
        {"teacher": plan.teacher, "model": plan.p.model, "reports": plan.reports, "to_ask": plan.open, "without": plan.without}
        | {"expected": plan.estimate.expected._asdict(), "at_most": plan.estimate.at_most._asdict()}
        | {"learnt_from": plan.estimate.answers}
        for plan in plans
    ]
    print(json.dumps(rows, indent=2))


@app.command("train")
def estimate_train(
    gpu_memory: Annotated[
        float | None, typer.Option("--gpu-memory", metavar="GB", min=0.1, help="Memory of a GPU. [default: the GPUs here]")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", metavar="N", min=0, help="Number of GPUs; 0: the CPU. [default: all here]")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="config.json of a base that is not fetched, or its folder."),
    ] = None,
    examples: Annotated[
        int | None, typer.Option("--examples", metavar="N", min=1, help="Training examples, if `merge` has not made them yet.")
    ] = None,
    tokens_per_second: Annotated[
        float | None, typer.Option("--tokens-per-second", metavar="N", min=0.001, help="Speed of one device that you measured.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Prints JSON; memory in GiB.")] = False,
) -> None:
    """Prints memory and time of the training that params.yaml describes, and what to change. Loads no weights.

    `raddistill estimate train`: on the GPUs of this machine, else on its CPU

    `raddistill estimate train --gpu-memory 24`: on a card of 24 GB

    `raddistill estimate train --gpu-memory 80 --gpus 4 --config config.json`: on four cards; a base that is not fetched yet

    To try a preset first: `dvc exp run $(raddistill preset strong-llama31-8b) fetch`, or edit params.yaml. Memory is the formula
    by which the training itself decides on tokens a pass and on checkpointing. Time is tokens by a measured speed; the page
    says where it was measured. Early stopping can end a training sooner.
    """
    from raddistill.apps.console import print_page
    from raddistill.apps.estimate import page, training_cost

    training = page.training_of(training_cost.device_of(gpu_memory, gpus), config, examples, tokens_per_second)
    made = page.as_json(training)
    if as_json:
        print(json.dumps(made, indent=2, allow_nan=False))
    else:
        print_page(page.as_page(made))
