"""Keeps files with report text out of git."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from raddistill import paths
from raddistill.errors import InputError
from raddistill.files import part_of


def refuse_where_git_sees(files: Iterable[Path]) -> None:
    """Checks that git would add none of `files`, which lie in one repository or outside of any, nor their unfinished parts.

    Git is asked about each file, since a pattern such as data/** does not match the folder itself, and *.json no spreadsheet.

    Raises:
        InputError: the folder is in a repository, and git tracks a file or does not ignore it, or cannot tell.
    """
    whole = [file.parent.resolve() / file.name for file in files]
    there = next(folder for folder in whole[0].parents if folder.is_dir())
    if not any((folder / ".git").exists() for folder in (there, *there.parents)):
        return
    asked = [str(name) for file in whole for name in (file, part_of(file))]
    command = ["git", "-C", str(there), "check-ignore", "-z", "--stdin"]
    ignored = subprocess.run(command, input="\0".join(asked), capture_output=True, text=True, check=False).stdout.split("\0")
    if seen := [name for name in asked if name not in ignored]:
        remedy = f"name a place in {paths.REPORTS.parent}/, or outside of the clone"
        raise InputError(f"{Path(seen[0]).name} would hold report text where git sees it: {remedy}")
