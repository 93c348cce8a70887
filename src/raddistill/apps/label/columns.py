"""Which columns of a table hold the id and the report."""

from typing import NamedTuple

from raddistill.errors import InputError
from raddistill.reading import columns

DEFAULTS = {"id": "report_id", "text": "text", "findings": "findings", "impression": "impression"}


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
    required = [named["id"], *wanted.values()]
    if "text" not in wanted:  # "Findings" beside "impression" would be passed over without a word
        lower = {column.lower() for column in there}
        required += [name for key, name in sections.items() if key not in wanted and name.lower() in lower]
    options = {named[key]: f"--{key}-column" for key in DEFAULTS}
    if "text" in wanted:
        options[named["text"]] += " (or --findings-column, --impression-column)"
    columns.require(source, there, required, options, "(--input-format tsv)")
    return named["id"], wanted
