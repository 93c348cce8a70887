"""The command `doctor`: says what is in order on this machine and in this folder, and how to mend what is not."""

import json
from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from raddistill import paths
from raddistill.apps.doctor import machine
from raddistill.apps.doctor.machine import Verdict
from raddistill.errors import RaddistillError


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Prints a list of check, state, message and fix.")] = False,
) -> None:
    """Says what is in order, on this machine and in this folder, and how to mend what is not. Changes nothing.

    `raddistill doctor`

    `raddistill doctor --json | jq -r '.[] | select(.state == "error") | .fix'`

    Everywhere: Python, the packages and whether their versions are those of constraints.txt, torch and the GPU, tcmalloc, and the
    rules that `label` takes. In a clone, or a folder that `raddistill init` laid out, also: the base model and its hashes; an LLM
    teacher (its host, key and model; no report is sent, and no host is contacted that is neither this machine nor approved);
    whether text that is not public could get into git or into the remote `shared`; DVC's remotes; dvc.lock.

    A line is ok, a warning (it works, but slower or otherwise than it might) or an error. Exits with 1 if there is an error.
    """
    verdicts = diagnose()
    if as_json:
        print(json.dumps([verdict._asdict() for verdict in verdicts], indent=2))
    else:
        for verdict in verdicts:
            print(
                f"{verdict.state:8} {verdict.check:12} {verdict.message}",
                *([f"{'':21} -> {verdict.fix}"] * bool(verdict.fix)),
                sep="\n",
            )
        if not paths.in_pipeline():
            print(
                "\nThis folder is no pipeline: enough for `label`, `show`, `compare`, `score` and `predict --model`."
                " `raddistill init --help` says how to lay out one."
            )
    if any(verdict.state == "error" for verdict in verdicts):
        raise typer.Exit(1)


def diagnose() -> list[Verdict]:
    """Returns what all checks say; the checks of a pipeline only if the current folder is one."""
    checks = [machine.check_python, machine.check_packages, machine.check_torch, machine.check_tcmalloc, machine.check_rules]
    if paths.in_pipeline():
        from raddistill.apps.doctor import pipeline_folder as here

        checks += [here.check_base, here.check_teacher, here.check_data, here.check_remotes, here.check_lock]
    return [verdict for check in checks for verdict in outcome(check)]


def outcome(check: Callable[[], Iterable[Verdict]]) -> list[Verdict]:
    """Returns what a check says. An error that the user can fix, such as a typo in params.yaml, is its last verdict."""
    verdicts: list[Verdict] = []
    try:
        verdicts.extend(check())
    except (RaddistillError, OSError) as error:
        name = check.__name__.removeprefix("check_")
        verdicts.append(Verdict(name, "error", str(error), "mend what this line names, then run `raddistill doctor` again"))
    return verdicts
