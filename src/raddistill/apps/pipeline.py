"""Asks DVC and git about this checkout: stale stages, the commit, metrics files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from raddistill import params, untracked_files
from raddistill.apps import installed_code
from raddistill.errors import InputError


def stale_lines(status: dict[str, Any]) -> Iterator[str]:
    """Yields a line for each change in the output of `dvc status --json` that can change a result.

    Data that is missing only because it was not pulled ("deleted", "not in cache") is no such change. Nor is a stage that runs
    always, as `code` does (installed_code.py).
    """
    for stage, changes in status.items():
        for change in changes:
            if isinstance(change, str):  # "changed command", "always changed"
                yield from [] if change == "always changed" else [f"{stage}: {change}"]
                continue
            for entries in change.values():
                for path, state in entries.items():
                    if isinstance(state, dict):
                        yield from (f"{stage}: {path}: {key} {how}" for key, how in state.items())
                    elif state in ("modified", "new"):
                        yield f"{stage}: {path} {state}"


def changes() -> list[str]:
    """Returns a line for each change of this checkout since dvc.lock was written.

    Raises:
        InputError: DVC failed.
    """
    return [*stale_lines(json.loads(dvc_output("status", "--json"))), *installed_code.stale_lines()]


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Prints lists: what `changed`, and what is `missing`.")] = False,
) -> None:
    """Checks that dvc.lock belongs to the code and params of this checkout; exits with 1 and names what changed if not.

    `raddistill check`: works in a fresh clone that has pulled no data
    """
    changed = changes()
    missing = untracked_files.missing_files(untracked_files.strings_of(params.read()))
    missed = [f"missing in a clone, and in queued experiments: {line}" for line in missing]
    text = "\n".join(changed or ["dvc.lock is up to date", *missed])
    print(json.dumps({"changed": changed, "missing": missing}, indent=2) if as_json else text)
    if changed:
        raise InputError("dvc.lock is out of date: `dvc repro`, then commit dvc.lock and metrics/")


def dvc_output(*words: str, timeout_s: float | None = None) -> str:
    """Returns what `dvc WORDS` prints.

    Raises:
        InputError: the command failed, or took longer than `timeout_s`.
    """
    command = " ".join(word for word in words if not word.startswith("-"))
    try:
        result = subprocess.run(
            [sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"`dvc {command}` did not answer within {timeout_s:g} seconds") from None
    if result.returncode:
        raise InputError(f"`dvc {command}` failed; run it by itself to see why")
    return result.stdout


def current_commit() -> dict[str, Any]:
    """Returns the `commit` that is checked out (None outside of git), and whether the checkout is `clean`."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]  # "<hash>", or "<hash>-dirty"
    commit, _, dirty = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().partition("-")
    return {"commit": commit or None, "clean": bool(commit) and not dirty}


def load_metrics(path: Path) -> dict[str, Any]:
    """Returns the content of a metrics file.

    Raises:
        InputError: the file is missing, or not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `make repro` makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path} is not JSON; `git checkout {path}` or `dvc repro --force final`") from None
    return content
