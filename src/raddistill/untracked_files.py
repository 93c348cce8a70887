"""Finds files that a queued or temporary DVC experiment would miss because git does not track them.

Such an experiment runs in another folder, into which DVC copies only the files that git tracks. An untracked lexicon works in
`dvc repro`, but is missing there. If git tracks only some files of a folder, the others are left out: the result differs, and
there is no error.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from raddistill import params, paths
from raddistill.errors import InputError

CODE = ("src", "stages", str(paths.PROMPTS))
PIPELINE = Path("dvc.yaml")
ADD = "`git add` it, or, if it holds text of reports, keep it outside of the clone and write its absolute path into params.yaml"


def strings_of(node: Any) -> Iterator[str]:
    """Yields all strings among the values of params.yaml, or of a part of it."""
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from strings_of(child)
    elif isinstance(node, str):
        yield node


def missing_files(values: Iterable[str], root: Path = Path()) -> list[str]:
    """Returns a line, with the remedy, for each file or folder of `values` that an experiment would miss.

    `root` is the clone. Skipped are values that name no file or folder in it, outputs of the pipeline, which DVC copies, and
    backup files of editors.

    Raises:
        InputError: `root` is no git repository.
    """
    named = sorted({value for value in values if "/" in value or "." in value} - {".", ".."})
    existing = [name for name in named if not Path(name).is_absolute() and (root / name).exists()]
    outside = [name for name in existing if root.resolve() not in (root / name).resolve().parents]
    inside = [name for name in existing if name not in outside]
    others = ("ls-files", "-z", "--others", "--exclude-standard")
    ignored = [name for name in inside if not _is_output(root, name) and _git(root, *others, "--ignored", "--", name)]
    unknown = _git(root, *others, "--", *CODE, *inside)
    by_editors = {name for name in unknown if Path(name).name.startswith((".", "#")) or name.endswith("~")}
    return [
        *(f"{name} is not in git: {ADD}" for name in unknown if name not in by_editors),
        *(f"{name} is kept out of git by .gitignore: write its absolute path into params.yaml" for name in ignored),
        *(f"{name} is outside of the clone: write its absolute path into params.yaml" for name in outside),
    ]


def refuse_missing_files(values: Iterable[str]) -> None:
    """Refuses to queue an experiment that needs files which git does not track.

    `values`: all strings of params.yaml with the experiment's changes. Code and prompts are checked, too.

    Raises:
        InputError: the experiment would miss files. The message names them.
    """
    if lines := missing_files(values):
        raise InputError("a queued experiment gets the files that git knows, and no others\n" + "\n".join(lines))


def print_missing_files() -> None:
    """Prints on standard error which files this run misses, if it is a queued or temporary experiment."""
    root = Path(os.environ.get("DVC_ROOT") or ".")
    if root.resolve() == Path.cwd():
        return
    for line in missing_files(strings_of(params.read()), root):
        print(f"Not in this experiment, which runs with the files that git knows: {line}", file=sys.stderr)


def _is_output(root: Path, name: str) -> bool:
    """Returns whether `name` is an output of dvc.yaml, or a folder above or within one.

    An output with a template, such as "data/teachers/${item.task}/x", is compared up to the template.
    """
    for stage in params.read(root / PIPELINE)["stages"].values():
        for out in stage.get("do", stage).get("outs", []):
            path = out if isinstance(out, str) else next(iter(out))
            before, template, _ = path.partition("${")
            if f"{path}/".startswith(f"{name}/") or name.startswith(before if template else f"{path}/"):
                return True
    return False


def _git(root: Path, *words: str) -> list[str]:
    listed = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise InputError(f"`git {words[0]}` failed in {root.resolve()}; is it a clone?")
    return [name for name in listed.stdout.split("\0") if name]
