"""Mappings from people's codes to labels and concepts: CSV files in a folder of gold/, such as those of Open-i and PadChest.

A code is `head/qualifier/qualifier`. heads.csv decides every head of the collection: `coded`, `normal` (nothing was found) or
`excluded` (nobody annotated the report). labels.csv and concepts.csv have rules for the coded heads. A rule fires if the head is
the same, one of `any_of` is among the qualifiers (blank: always), and none of `none_of` is. All rules that fire count; present
beats ambiguous; a name without a rule that fires is absent. Letter case and runs of spaces do not matter.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from raddistill.errors import InputError
from raddistill.privacy import list_names
from raddistill.statuses import AMBIGUOUS, PRESENT

CODED, NORMAL, NOT_ANNOTATED = "coded", "normal", "excluded"


@dataclass(frozen=True)
class Rule:
    """One row of labels.csv or concepts.csv."""

    head: str
    label: str
    status: str
    any_of: frozenset[str]
    none_of: frozenset[str]


def head_of(major: str) -> str:
    """Returns the folded head of `Head/qualifier/qualifier`."""
    return fold(major.partition("/")[0])


def load_heads(path: Path) -> dict[str, str]:
    """Returns folded head to decision.

    Raises:
        InputError: the file is missing, or has other columns or an unknown decision.
    """
    rows = load_table(path, ["head", "decision", "why"])
    wrong = sorted({row["decision"] for row in rows} - {CODED, NORMAL, NOT_ANNOTATED})
    if wrong:
        raise InputError(f"{path}: unknown decision {', '.join(wrong)}; one of {CODED}, {NORMAL}, {NOT_ANNOTATED}")
    return {fold(row["head"]): row["decision"] for row in rows}


def load_rules(path: Path) -> list[Rule]:
    """Returns the rules of labels.csv or concepts.csv. Qualifiers are separated by ";", as some contain a comma.

    Raises:
        InputError: the file is missing, or has other columns or a status other than present and ambiguous.
    """
    rows = load_table(path, ["label", "status", "head", "any_of", "none_of", "why"])
    wrong = sorted({row["status"] for row in rows} - {PRESENT, AMBIGUOUS})
    if wrong:
        raise InputError(f"{path}: unknown status {', '.join(wrong)}; one of {PRESENT}, {AMBIGUOUS}")
    return [
        Rule(fold(row["head"]), row["label"], row["status"], qualifiers(row["any_of"], ";"), qualifiers(row["none_of"], ";"))
        for row in rows
    ]


def load_table(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Returns the rows of a file of a mapping.

    Raises:
        InputError: the file is missing or has other columns, or a row has too many or too few cells.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, restkey="", restval=None)
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; params.yaml names its folder as extract.gold") from None
    if reader.fieldnames != columns or any(None in row.values() or "" in row for row in rows):
        raise InputError(f"{path} is not a CSV with the columns {', '.join(columns)}; a cell with a comma needs quotes")
    return rows


def check_rules(rules: list[Rule], names: list[str], path: Path, concepts: bool = False) -> None:
    """
    Raises:
        InputError: a name has no rule, or (of `concepts`) a rule is for an unknown name.
    """
    if missing := [name for name in names if name not in {rule.label for rule in rules}]:
        raise InputError(f"{path} has no rule for {list_names(missing)}; add one, or take it out of the set")
    if concepts and (unknown := sorted({rule.label for rule in rules} - set(names))):
        raise InputError(f"{path} names concepts that gold/concepts.csv does not have: {', '.join(unknown)}")


def qualifiers(cell: str, separator: str) -> frozenset[str]:
    """Returns the folded parts of a cell."""
    return frozenset(fold(part) for part in cell.split(separator) if part.strip())


def fold(name: str) -> str:
    """Returns a name in lower case with single spaces."""
    return " ".join(name.split()).casefold()
