"""Presets as overrides for DVC, stale stages, the git commit, and metrics files."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill import params
from raddistill.errors import InputError

PRESETS = Path("presets")


def preset_names() -> list[str]:
    """Returns the names of all presets, sorted.

    Raises:
        InputError: the working directory is not the root of the project.
    """
    names = sorted(file.stem for file in PRESETS.glob("*.yaml"))
    if not names:
        raise InputError(f"{PRESETS}/ is missing here; presets are read at the root of the project")
    return names


def load_preset(name: str) -> dict[str, Any]:
    """Returns a preset: a description `about`, and its `params`, nested as in params.yaml.

    Raises:
        InputError: there is no such preset.
    """
    if name not in (names := preset_names()):
        raise InputError(f"there is no preset '{name}' in {PRESETS}/; there are: {', '.join(names)}")
    return params.read(PRESETS / f"{name}.yaml")


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns dotted key to value of nested params: {"train.lora_rank": 8}."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def overrides(node: dict[str, Any]) -> list[str]:
    """Returns each value of nested or flat params as an override for `dvc exp run -S`, such as "train.lora_rank=8".

    The syntax is Hydra's. No override holds a space: the shell would split `$(raddistill preset NAME)` there, quoted or not.
    """
    return [f"{key}={_in_hydras_syntax(value)}" for key, value in flat(node).items()]


def _in_hydras_syntax(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_in_hydras_syntax, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        return f"'{value}'"
    return str(value)


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


def check_lock() -> list[str]:
    """Returns `stale_lines` of this checkout: none if dvc.lock belongs to its code and params.

    Raises:
        InputError: DVC cannot tell.
    """
    return list(stale_lines(json.loads(dvc_output("status", "--json"))))


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
    commit, changes = (
        subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    )
    if commit.returncode:
        return {"commit": None, "clean": False}
    return {"commit": commit.stdout.strip(), "clean": not changes.stdout.strip()}


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
