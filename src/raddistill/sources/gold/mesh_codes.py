"""Converts Open-i's MeSH codes (`Head/qualifier/qualifier`, made by people) to gold of both tasks, by a mapping (mapping.py).

The head `No Indexing` means excluded.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import list_names
from raddistill.sources.gold.annotators import GOLD
from raddistill.sources.gold.mapping import NOT_ANNOTATED, Rule, check_rules, head_of, load_heads, load_rules, qualifiers
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, PRESENT
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

ANNOTATOR = "openi_mesh"


def gold(majors: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]) -> pl.DataFrame:
    """Returns a Gold table of both tasks: one row per report and label or concept.

    `majors`: report id to its `major` strings. A concept of the kind `optional` is `ambiguous` if a rule fires, never present.

    Raises:
        InputError: a file of the mapping is missing or malformed, has no rule for a label or concept, has a rule for an unknown
            concept, or does not decide a head of the reports.
    """
    heads = load_heads(mapping / "heads.csv")
    _check_decided(majors, heads, mapping / "heads.csv")
    names = {MULTIPLE_CHOICE: [label.name for label in label_set], OPEN_ENDED: [c.concept for c in concepts]}
    rules = {
        MULTIPLE_CHOICE: load_rules(mapping / "labels.csv"),
        OPEN_ENDED: _no_optional_is_present(load_rules(mapping / "concepts.csv"), concepts),
    }
    check_rules(rules[MULTIPLE_CHOICE], names[MULTIPLE_CHOICE], mapping / "labels.csv")
    check_rules(rules[OPEN_ENDED], names[OPEN_ENDED], mapping / "concepts.csv", concepts=True)
    rows: list[tuple[str, str, str, str, str]] = []
    for task, of_task in names.items():
        fired = {major: _fired(major, rules[task]) for major in {m for strings in majors.values() for m in strings}}
        for report_id, strings in majors.items():
            annotated = all(heads[head_of(major)] != NOT_ANNOTATED for major in strings)
            found = set().union(*(fired[major] for major in strings))
            rows += [(report_id, task, ANNOTATOR, name, _status(name, found, annotated)) for name in of_task]
    return pl.DataFrame(rows, schema=GOLD, orient="row")


def _check_decided(majors: dict[str, tuple[str, ...]], heads: dict[str, str], path: Path) -> None:
    if unknown := sorted({head_of(major) for strings in majors.values() for major in strings} - set(heads)):
        raise InputError(f"{path} does not decide {len(unknown)} heads of the reports: {list_names(unknown)}; add a row for each")


def _no_optional_is_present(rules: list[Rule], concepts: list[Concept]) -> list[Rule]:
    optional = {c.concept for c in concepts if c.kind == "optional"}
    return [replace(rule, status=AMBIGUOUS) if rule.label in optional else rule for rule in rules]


def _fired(major: str, rules: list[Rule]) -> set[tuple[str, str]]:
    head, given = head_of(major), qualifiers(major.partition("/")[2], "/")
    return {
        (rule.label, rule.status)
        for rule in rules
        if rule.head == head and (not rule.any_of or rule.any_of & given) and not rule.none_of & given
    }


def _status(name: str, found: set[tuple[str, str]], annotated: bool) -> str:
    if not annotated:
        return EXCLUDED
    return next((status for status in (PRESENT, AMBIGUOUS) if (name, status) in found), ABSENT)
