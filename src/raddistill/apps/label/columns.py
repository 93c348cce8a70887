"""Which columns of a table hold the id and the report."""

import difflib
from typing import NamedTuple

from raddistill.errors import InputError
from raddistill.privacy import is_name, may_be_text

DEFAULTS = {"id": "report_id", "text": "text", "findings": "findings", "impression": "impression"}
SHOWN = 40  # columns


class Columns(NamedTuple):
    """What the columns are called; None where the user did not say."""

    id: str | None = None
    text: str | None = None
    findings: str | None = None
    impression: str | None = None


def choose_columns(source: str, there: list[str], asked: Columns) -> tuple[str, dict[str, str]]:
    """Returns the column of the id, and by section the columns that are read: `text`, or `findings` and `impression`.

    If the user names none, sections go before a whole text where both of their columns are there.

    Raises:
        InputError: a column is missing or there twice, or the user named both `text` and sections.
    """
    if asked.text and (asked.findings or asked.impression):
        raise InputError(
            "--text-column is for reports in one column, --findings-column and --impression-column for two: name one kind"
        )
    named = {key: getattr(asked, key) or default for key, default in DEFAULTS.items()}
    sections = {key: named[key] for key in ("findings", "impression")}
    present = {key: column for key, column in sections.items() if column in there}
    wanted = {"text": named["text"]}
    if asked.findings or asked.impression:
        # The other section, too, if it was named or is there.
        wanted = {key: column for key, column in sections.items() if getattr(asked, key) or key in present}
    elif not asked.text and present and (len(present) == len(sections) or "text" not in there):
        wanted = present
    if "text" not in wanted:  # "Findings" beside "impression" would be passed over without a word
        for key, name in sections.items():
            if key not in wanted and name.lower() in map(str.lower, there):
                raise InputError(_missing(source, there, key, name))
    for key, column in {"id": named["id"], **wanted}.items():
        if there.count(column) != 1:
            raise InputError(_missing(source, there, key, column))
    return named["id"], wanted


def _missing(source: str, there: list[str], key: str, column: str) -> str:
    """Says which columns there are, unless they look like a report: a file without a header has its first row there."""
    if column in there:
        return f"{source} has more than one column '{column}'; rename all but one"
    if len(there) == 1 and (mark := next((mark for mark in ";\t|" if mark in there[0]), None)):
        return f"{source} has one column only; is it separated by {mark!r}? Commas are read, and tabs (--input-format tsv)"
    lower = {each.lower(): each for each in reversed(there)}
    if not all(map(is_name, there)):
        return f"{source} has no column '{column}': its first line does not look like names of columns; it needs a header"
    near = [lower[each] for each in difflib.get_close_matches(column.lower(), lower, n=1)]
    listed = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
    if any(map(may_be_text, there)) and not any(difflib.get_close_matches(usual, lower, n=1) for usual in DEFAULTS.values()):
        listed = f"{len(there)}, not shown here, as words of a report may stand in the place of a header"
    hint = f"did you mean '{near[0]}'? " if near else ""
    others = " (or --findings-column, --impression-column)" if key == "text" else ""
    return f"{source} has no column '{column}'; {hint}name it by --{key}-column{others}. There are: {listed or 'none'}"
