"""Asks DVC and git about this checkout: stale stages, the commit, metrics files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill.errors import InputError


def stale_lines(status: dict[str, Any]) -> Iterator[str]:
    """Yields a line for each change in the output of `dvc status --json` that can change a result.

    Data that is missing only because it was not pulled ("deleted", "not in cache") is no such change.
    """
    for stage, changes in status.items():
        for change in changes:
            if isinstance(change, str):  # "changed command", "always changed"
                yield f"{stage}: {change}"
                continue
            for entries in change.values():
                for path, state in entries.items():
                    if isinstance(state, dict):
                        yield from (f"{stage}: {path}: {key} {how}" for key, how in state.items())
                    elif state in ("modified", "new"):
                        yield f"{stage}: {path} {state}"


def dvc_output(*words: str) -> str:
    """Returns what `dvc WORDS` prints.

    Raises:
        InputError: the command failed.
    """
    result = subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=False)
    if result.returncode:
        command = " ".join(word for word in words if not word.startswith("-"))
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
