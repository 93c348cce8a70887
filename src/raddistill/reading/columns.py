"""Columns of a table that a reader needs: each there, and once. All readers tell here of columns that are not."""

import difflib
from collections.abc import Iterable

from raddistill.errors import InputError
from raddistill.privacy import is_name

SHOWN = 40  # columns
_NEAR = 0.7  # of difflib: "Pleural Other" is not near to "Pleural Effusion"


def require(
    source: str, there: list[str], wanted: list[str], named_by: dict[str, str] | None = None, tabs: str = "in a .tsv file"
) -> None:
    """Returns nothing if each of `wanted` stands once among the columns `there` of the file `source`.

    `named_by`: the option, or the key of params.yaml, by which the user names a column. `tabs`: where tabs part columns.

    Raises:
        InputError: one is missing (what is there and the nearest name are told, unless they may be words of a report) or doubled.
    """
    for column in wanted:
        if column in there:
            continue
        _refuse_what_is_no_header(source, there, f"Commas are read, and tabs {tabs}")
        near = _nearest(column, [name for name in there if name not in wanted])  # no column is two things
        hint = f"did you mean '{near}'? " if near else ""
        by = f"name it by {named_by[column]}. " if named_by and column in named_by else ""
        listed = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
        if there and not _is_any_near(wanted, there):
            listed = f"{len(there)}, not shown here, as words of a report may stand in the place of a header"
        raise InputError(f"{source} has no column '{column}'; {hint}{by}There are: {listed or 'none'}")
    refuse_doubled(source, [column for column in there if column in wanted])


def require_only(source: str, there: list[str], wanted: list[str], also: Iterable[str]) -> None:
    """Returns nothing if the columns `there` are all of `wanted` and no others but `also`.

    Raises:
        InputError: one is missing, or unknown: it may be a wanted one in another spelling. All of them are told, and what may be
            meant, unless they may be words of a report.
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
    """Returns each missing name, with the one of the others that may be meant, for a message: "Edema (is it Oedema?)"."""
    near = {name: _nearest(name, others) for name in missing}
    return [f"{name} (is it {near[name]}?)" if near[name] else name for name in missing]


def refuse_doubled(source: str, there: list[str], has_header: bool = True) -> None:
    """Returns nothing if no two of the columns `there` have one name. `has_header`: names may be told, as some are known.

    Raises:
        InputError: some have; the name is told unless it may be a cell.
    """
    if doubled := [column for column in there if there.count(column) > 1]:
        which = f"'{doubled[0]}'" if has_header and is_name(doubled[0]) else "of one name (or it lacks a header)"
        raise InputError(f"{source} has more than one column {which}; rename all but one")


def _refuse_what_is_no_header(source: str, there: list[str], separators: str, wanted: list[str] | None = None) -> None:
    """Raises InputError if the columns are not parted, or not names: a file without a header has its first row there, which may
    be report text. Where `wanted` are given, one of them must be there or near.
    """
    if len(there) == 1 and (mark := next((mark for mark in ";\t|" if mark in there[0]), None)):
        raise InputError(f"{source} has one column only; is it separated by {mark!r}? {separators}")
    if not all(map(is_name, there)) or (wanted and not _is_any_near(wanted, there)):
        raise InputError(f"{source}: its first line does not look like names of columns; it needs a header")


def _is_any_near(wanted: list[str], there: list[str]) -> bool:
    """Returns whether one of `wanted` is there, or nearly: then the first line is a header, and may be told."""
    return any(_nearest(name, there) for name in wanted)


def _nearest(column: str, names: list[str]) -> str | None:
    """Returns the one of `names` that looks most like `column`, in any case of letters; None where none does."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[near] for near in difflib.get_close_matches(column.lower(), lower, n=1, cutoff=_NEAR)), None)
