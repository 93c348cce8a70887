"""Open-i's MeSH annotations (`Head/qualifier/qualifier`, coded by people) to gold for both tasks.

The mapping is data, three files in a folder. heads.csv decides every head of the collection: `coded`, `normal` (nothing was
found) or `excluded` (the report was not annotated: `No Indexing`). labels.csv and concepts.csv hold the rules for the coded ones:
a rule fires when the head is its own, one of `any_of` is among the qualifiers (blank: always) and none of `none_of` is. All that
fire count; present beats ambiguous; what no rule names is absent. Letter case and runs of spaces do not matter (three annotations
of 8,298 differ from their head by these alone).
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import list_names
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, PRESENT

ANNOTATOR = "openi_mesh"
CODED, NORMAL, NOT_ANNOTATED = "coded", "normal", "excluded"


@dataclass(frozen=True)
class Rule:
    """One row of labels.csv or concepts.csv."""

    head: str
    label: str
    status: str
    any_of: frozenset[str]
    none_of: frozenset[str]


def gold(majors: dict[str, list[str]], mapping: Path, label_set: list[Label], concepts: list[Concept]) -> pl.DataFrame:
    """The rows of a Gold table: both tasks, each label of the set and each concept, for every report.

    `majors` holds a report's `major` strings. A concept of the kind `optional` is `ambiguous` where a rule fires, never present.

    Raises:
        InputError: a file of the mapping is missing or breaks its form, has no rule for a label or concept, or one for an unknown
            concept; a head of the reports is not decided.
    """
    heads = load_heads(mapping / "heads.csv")
    _check_decided(majors, heads, mapping / "heads.csv")
    names = {"multiple_choice": [label.name for label in label_set], "open_ended": [c.concept for c in concepts]}
    rules = {
        "multiple_choice": load_rules(mapping / "labels.csv"),
        "open_ended": _no_optional_is_present(load_rules(mapping / "concepts.csv"), concepts),
    }
    _check_named(rules["multiple_choice"], names["multiple_choice"], mapping / "labels.csv")
    _check_named(rules["open_ended"], names["open_ended"], mapping / "concepts.csv")
    unknown = sorted({rule.label for rule in rules["open_ended"]} - set(names["open_ended"]))
    if unknown:
        raise InputError(f"{mapping / 'concepts.csv'} names concepts that gold/concepts.csv does not have: {', '.join(unknown)}")
    rows: list[tuple[str, str, str, str, str]] = []
    for task, of_task in names.items():
        fired = {major: _fired(major, rules[task]) for major in {m for strings in majors.values() for m in strings}}
        for report_id, strings in majors.items():
            annotated = all(heads[head_of(major)] != NOT_ANNOTATED for major in strings)
            found = set().union(*(fired[major] for major in strings))
            rows += [(report_id, task, ANNOTATOR, name, _status(name, found, annotated)) for name in of_task]
    columns = ["report_id", "task", "annotator", "label", "status"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def head_of(major: str) -> str:
    return _key(major.partition("/")[0])


def load_heads(path: Path) -> dict[str, str]:
    """Head (folded) to its decision.

    Raises:
        InputError: missing file, other columns, another decision.
    """
    rows = _read(path, ["head", "decision", "why"])
    wrong = sorted({row["decision"] for row in rows} - {CODED, NORMAL, NOT_ANNOTATED})
    if wrong:
        raise InputError(f"{path}: unknown decision {', '.join(wrong)}; one of {CODED}, {NORMAL}, {NOT_ANNOTATED}")
    return {_key(row["head"]): row["decision"] for row in rows}


def load_rules(path: Path) -> list[Rule]:
    """The rules of labels.csv or concepts.csv; qualifiers are separated by ";" there, as some hold a comma.

    Raises:
        InputError: missing file, other columns, a status other than present and ambiguous.
    """
    rows = _read(path, ["label", "status", "head", "any_of", "none_of", "why"])
    wrong = sorted({row["status"] for row in rows} - {PRESENT, AMBIGUOUS})
    if wrong:
        raise InputError(f"{path}: unknown status {', '.join(wrong)}; one of {PRESENT}, {AMBIGUOUS}")
    return [
        Rule(_key(row["head"]), row["label"], row["status"], _qualifiers(row["any_of"], ";"), _qualifiers(row["none_of"], ";"))
        for row in rows
    ]


def _read(path: Path, columns: list[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, restkey="", restval=None)
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; params.yaml names its folder as extract.gold") from None
    if reader.fieldnames != columns or any(None in row.values() or "" in row for row in rows):
        raise InputError(f"{path} is not a CSV with the columns {', '.join(columns)}; a comma in a cell asks for quotes")
    return rows


def _check_decided(majors: dict[str, list[str]], heads: dict[str, str], path: Path) -> None:
    if unknown := sorted({head_of(major) for strings in majors.values() for major in strings} - set(heads)):
        raise InputError(f"{path} does not decide {len(unknown)} heads of the reports: {list_names(unknown)}; add a row for each")


def _check_named(rules: list[Rule], names: list[str], path: Path) -> None:
    if missing := [name for name in names if name not in {rule.label for rule in rules}]:
        raise InputError(f"{path} has no rule for {list_names(missing)}; add one, or take it out of the set")


def _no_optional_is_present(rules: list[Rule], concepts: list[Concept]) -> list[Rule]:
    optional = {c.concept for c in concepts if c.kind == "optional"}
    return [replace(rule, status=AMBIGUOUS) if rule.label in optional else rule for rule in rules]


def _fired(major: str, rules: list[Rule]) -> set[tuple[str, str]]:
    head, qualifiers = head_of(major), _qualifiers(major.partition("/")[2], "/")
    return {
        (rule.label, rule.status)
        for rule in rules
        if rule.head == head and (not rule.any_of or rule.any_of & qualifiers) and not rule.none_of & qualifiers
    }


def _status(name: str, found: set[tuple[str, str]], annotated: bool) -> str:
    if not annotated:
        return EXCLUDED
    return next((status for status in (PRESENT, AMBIGUOUS) if (name, status) in found), ABSENT)


def _qualifiers(cell: str, separator: str) -> frozenset[str]:
    return frozenset(_key(part) for part in cell.split(separator) if part.strip())


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()
