"""Columns of a table that a source must have: each there, and once."""

import difflib

from raddistill.errors import InputError

SHOWN = 40  # columns


def require(source: str, there: list[str], wanted: list[str]) -> None:
    """Nothing if each of `wanted` stands once among the columns `there` of the file `source`.

    Raises:
        InputError: one is missing (what is there and the nearest name are told) or doubled.
    """
    for column in wanted:
        if there.count(column) > 1:
            raise InputError(f"{source} has more than one column '{column}'; rename all but one")
        if column not in there:
            raise InputError(f"{source} has no column '{column}'; {_instead(column, there)}")


def _instead(column: str, there: list[str]) -> str:
    # A file without a header has its first row there, which may be report text.
    if any(len(name) > SHOWN or len(name.split()) > 4 or name.endswith(".") or name.strip().isdigit() for name in there):
        return "its first line does not look like names of columns; it needs a header"
    lower = {name.lower(): name for name in reversed(there)}
    near = difflib.get_close_matches(column.lower(), lower, n=1)
    told = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
    return (f"did you mean '{lower[near[0]]}'? " if near else "") + f"There are: {told or 'none'}"
