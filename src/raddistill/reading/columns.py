"""Checks that a table has the columns that a reader needs, each of them once.

Names in a file may be words of a report, if it has no header. A message shows them only if they look like names of columns.
"""

import difflib
from collections.abc import Iterable

from raddistill.errors import InputError
from raddistill.privacy import is_name

SHOWN = 40  # columns
_NEAR = 0.7  # of difflib: "Pleural Other" is not near to "Pleural Effusion"


def require(
    source: str, there: list[str], wanted: list[str], named_by: dict[str, str] | None = None, tabs: str = "in a .tsv file"
) -> None:
    """Checks that each column of `wanted` is once among the columns `there` of the file `source`.

    `named_by`: column to the option, or key of params.yaml, by which the user names it. `tabs`: which files have tabs between
    columns, for messages.

    Raises:
        InputError: a column is missing or repeated. The message has the nearest name.
    """
    if missing := [column for column in wanted if column not in there]:
        _refuse_what_is_no_header(source, there, f"Commas are read, and tabs {tabs}")
        near = _nearest(missing[0], [name for name in there if name not in wanted])  # no column is two things
        hint = f"did you mean '{near}'? " if near else ""
        by = f"name it by {named_by[missing[0]]}. " if named_by and missing[0] in named_by else ""
        listed = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
        if there and not _is_any_near(wanted, there):
            listed = f"{len(there)}, not shown here, as words of a report may stand in the place of a header"
        raise InputError(f"{source} has no column '{missing[0]}'; {hint}{by}There are: {listed or 'none'}")
    refuse_doubled(source, [column for column in there if column in wanted])


def require_only(source: str, there: list[str], wanted: list[str], also: Iterable[str]) -> None:
    """Checks that a file has all columns of `wanted`, and no others but those of `also`.

    Raises:
        InputError: a column is missing, or unknown: it may be a wanted one in another spelling. The message lists both kinds.
    """
    missing = [name for name in wanted if name not in there]
    unknown = [name for name in there if name not in {*wanted, *also}]
    if not missing and not unknown:
        return
    _refuse_what_is_no_header(source, there, "Commas are read", wanted)
    lists = {"missing": with_nearest(missing, unknown), "unknown": [name or "(one without a name)" for name in unknown]}
    wrong = "; ".join(f"{what}: {', '.join(names)}" for what, names in lists.items() if names)
    raise InputError(f"{source}: columns {wrong}; rename or drop them, matching is by name")


def with_nearest(missing: list[str], others: list[str]) -> list[str]:
    """Returns each missing name for a message, with the nearest of the others: "Edema (is it Oedema?)"."""
    near = {name: _nearest(name, others) for name in missing}
    return [f"{name} (is it {near[name]}?)" if near[name] else name for name in missing]


def refuse_doubled(source: str, there: list[str], has_header: bool = True) -> None:
    """Checks that no two columns have the same name. `has_header`: the file surely has a header, so a message may show the name.

    Raises:
        InputError: two columns have the same name.
    """
    if doubled := [column for column in there if there.count(column) > 1]:
        which = f"'{doubled[0]}'" if has_header and is_name(doubled[0]) else "of one name (or it lacks a header)"
        raise InputError(f"{source} has more than one column {which}; rename all but one")


def _refuse_what_is_no_header(source: str, there: list[str], separators: str, wanted: list[str] | None = None) -> None:
    """Raises an InputError if the file has one column because of another separator, or if its first line is not a header.

    `wanted`: a header has one of these names, or nearly.
    """
    if len(there) == 1 and (mark := next((mark for mark in ";\t|" if mark in there[0]), None)):
        raise InputError(f"{source} has one column only; is it separated by {mark!r}? {separators}")
    if not all(map(is_name, there)) or (wanted and not _is_any_near(wanted, there)):
        raise InputError(f"{source}: its first line does not look like names of columns; it needs a header")


def _is_any_near(wanted: list[str], there: list[str]) -> bool:
    """Returns whether the file has one of the `wanted` names, or nearly: then its first line is a header."""
    return any(_nearest(name, there) for name in wanted)


def _nearest(column: str, names: list[str]) -> str | None:
    """Returns the name that looks most like `column`, ignoring letter case; None if none does."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[near] for near in difflib.get_close_matches(column.lower(), lower, n=1, cutoff=_NEAR)), None)
