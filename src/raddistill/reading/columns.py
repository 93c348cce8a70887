"""Columns of a table that a source must have: each there, and once."""

import difflib

from raddistill.errors import InputError
from raddistill.privacy import is_name

SHOWN = 40  # columns


def require(source: str, there: list[str], wanted: list[str], param_of: dict[str, str] | None = None) -> None:
    """Nothing if each of `wanted` stands once among the columns `there` of the file `source`.

    `param_of`: the key of params.yaml that names a column.

    Raises:
        InputError: one is missing (what is there and the nearest name are told) or doubled.
    """
    for column in wanted:
        if column not in there:
            named = f", which {param_of[column]} names" if param_of and column in param_of else ""
            raise InputError(f"{source} has no column '{column}'{named}; {what_instead(column, there, wanted)}")
    refuse_doubled(source, [column for column in there if column in wanted])


def refuse_doubled(source: str, there: list[str]) -> None:
    """Nothing if no two of the columns `there` have one name.

    Raises:
        InputError: some have; the name is told unless it may be a cell.
    """
    if doubled := [column for column in there if there.count(column) > 1]:
        told = f"'{doubled[0]}'" if is_name(doubled[0]) else "of one name"
        raise InputError(f"{source} has more than one column {told}; rename all but one")


def what_instead(column: str, there: list[str], wanted: list[str]) -> str:
    """Returns what to do about a missing column, for a message: the nearest name, the columns there are, or that a header lacks.

    Names of columns are only told where all of them look like names.
    """
    if len(there) == 1 and (mark := next((mark for mark in ";\t|" if mark in there[0]), None)):
        return f"it has one column only; is it separated by {mark!r}? Commas are read, and tabs in a .tsv file"
    # A file without a header has its first row there, which may be report text.
    lower = {name.lower(): name for name in reversed(there)}
    known = any(difflib.get_close_matches(name.lower(), lower, n=1) for name in wanted)
    if not known or not all(map(is_name, there)):
        return "its first line does not look like names of columns; it needs a header"
    free = [name for name in lower if lower[name] not in wanted]  # no column is two things
    near = difflib.get_close_matches(column.lower(), free, n=1)
    listed = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
    return (f"did you mean '{lower[near[0]]}'? " if near else "") + f"There are: {listed or 'none'}"
