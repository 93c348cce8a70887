"""Converts people's codes to gold by a mapping: CSV files in a folder of gold/, such as those of Open-i and PadChest.

A code is `head/qualifier/qualifier`. heads.csv decides every head of the collection: `coded`, `normal` (nothing was found) or
`excluded` (nobody annotated the report; of labels of sentences: this one says nothing). labels.csv and concepts.csv have rules
for the coded heads. A rule fires if the head is the same (or the rule's head is `*`), one of `any_of` is among the qualifiers
(blank: always), and none of `none_of` is. All rules that fire count; present beats ambiguous; a name without a rule that fires is
absent. Letter case and runs of spaces do not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from raddistill.concepts import Concept, read_rows
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import list_names
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, GOLD_STATUSES, PRESENT
from raddistill.tables.gold import Gold
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED, TASKS

CODED, NORMAL, NOT_ANNOTATED = "coded", "normal", "excluded"
ANY = "*"  # the head of a rule for findings that the collection has no code for, so nobody could say that they are absent
_INDEX = {status: index for index, status in enumerate(GOLD_STATUSES)}


@dataclass(frozen=True)
class Rule:
    """One row of labels.csv or concepts.csv."""

    head: str
    label: str
    status: str
    any_of: frozenset[str] = frozenset()
    none_of: frozenset[str] = frozenset()


def to_gold(
    annotations: Mapping[str, Sequence[str]], folder: Path, label_set: list[Label], concepts: list[Concept], annotator: str,
    heads_are_labels: bool = False,
) -> pl.DataFrame:  # fmt: skip
    """Returns a Gold table of both tasks: one row per report of `annotations` (report id to its codes) and label or concept.

    A concept of the kind `optional` is `ambiguous` if a rule fires, never present. A report with an excluded head is excluded.
    `heads_are_labels`: codes label sentences, so a report is excluded only if all its heads are; they have no qualifiers; and a
    label of the set without a rule stands for the head of the same name.

    Raises:
        InputError: a file in `folder` is missing or malformed, has no rule for a label or concept, has a rule for an unknown
            concept, or does not decide a head of the reports.
    """
    heads = load_heads(folder / "heads.csv")
    codes = {code for given in annotations.values() for code in given}
    if unknown := sorted({head_of(code) for code in codes} - set(heads)):
        of = "labels" if heads_are_labels else "heads of the reports"
        raise InputError(f"{folder / 'heads.csv'} does not decide {len(unknown)} {of}: {list_names(unknown)}; add a row for each")
    telling = {head for head, decision in heads.items() if decision != NOT_ANNOTATED}
    labels, names = [label.name for label in label_set], [concept.concept for concept in concepts]
    rules = load_rules(folder / "labels.csv")
    if heads_are_labels:
        rules += _rules_of_heads(folder / "labels.csv", rules, labels, telling)
    of_concepts = load_rules(folder / "concepts.csv")
    _check_rules(rules, labels, folder / "labels.csv")
    _check_rules(of_concepts, names, folder / "concepts.csv")
    if others := sorted({rule.label for rule in of_concepts} - set(names)):
        raise InputError(f"{folder / 'concepts.csv'} names concepts that gold/concepts.csv does not have: {', '.join(others)}")
    optional = {concept.concept for concept in concepts if concept.kind == "optional"}
    of_concepts = [replace(rule, status=AMBIGUOUS) if rule.label in optional else rule for rule in of_concepts]
    told = {report_id: [code for code in given if head_of(code) in telling] for report_id, given in annotations.items()}
    if not heads_are_labels:
        told = {report_id: codes if len(codes) == len(annotations[report_id]) else [] for report_id, codes in told.items()}
    words = pl.Enum(list(dict.fromkeys(labels + names)))
    tables = []
    for task, of_task, rules_of_task in ((MULTIPLE_CHOICE, labels, rules), (OPEN_ENDED, names, of_concepts)):
        rows = _rows(told, pl.Series(of_task, dtype=words), rules_of_task)
        tables.append(rows.with_columns(task=pl.lit(task, pl.Enum(TASKS)), annotator=pl.lit(annotator, pl.Enum([annotator]))))
    return pl.concat(tables).select(*Gold.columns())


def _rules_of_heads(path: Path, rules: list[Rule], labels: list[str], heads: set[str]) -> list[Rule]:
    """Returns a rule for each label without one that is among the `heads`."""
    if qualified := sorted({rule.head for rule in rules if rule.any_of or rule.none_of}):
        raise InputError(f"{path}: any_of and none_of stay blank, its codes have no qualifiers; see {', '.join(qualified)}")
    return [Rule(fold(name), name, PRESENT) for name in _without_rule(rules, labels) if fold(name) in heads]


def _rows(told: dict[str, list[str]], names: pl.Series, rules: list[Rule]) -> pl.DataFrame:
    """Returns a row per report and name, with the status. Enums of one byte: PadChest has ten million rows with 13 labels."""
    column_of = {name: column for column, name in enumerate(names)}
    columns: dict[tuple[str, str], list[int]] = {}  # of code and status
    for code in {code for given in told.values() for code in given}:
        for label, status in fired(code, rules):
            if label in column_of:  # else the rule is for a label that is not in the set
                columns.setdefault((code, status), []).append(column_of[label])
    statuses = np.full((len(told), len(names)), _INDEX[EXCLUDED], np.uint8)
    for row, given in zip(statuses, told.values(), strict=True):
        if given:
            row[:] = _INDEX[ABSENT]
        for status in (AMBIGUOUS, PRESENT):  # present beats ambiguous
            row[[column for code in given for column in columns.get((code, status), ())]] = _INDEX[status]
    report, name = (np.ravel(index).astype(np.uint32) for index in np.indices(statuses.shape))
    return pl.DataFrame(
        {
            "report_id": pl.Series(list(told), dtype=pl.String).gather(report),
            "label": names.gather(name),
            "status": pl.Series(GOLD_STATUSES, dtype=pl.Enum(GOLD_STATUSES)).gather(statuses.ravel()),
        }
    )


def fired(code: str, rules: list[Rule]) -> set[tuple[str, str]]:
    """Returns label and status of each rule that fires for a code."""
    head, given = head_of(code), qualifiers(code.partition("/")[2], "/")
    return {
        (rule.label, rule.status)
        for rule in rules
        if rule.head in (head, ANY) and (not rule.any_of or rule.any_of & given) and not rule.none_of & given
    }


def head_of(code: str) -> str:
    """Returns the folded head of `Head/qualifier/qualifier`."""
    return fold(code.partition("/")[0])


def load_heads(path: Path) -> dict[str, str]:
    """Returns folded head to decision.

    Raises:
        InputError: the file is missing, or has other columns or an unknown decision.
    """
    rows = load_table(path, ["head", "decision", "why"])
    if wrong := sorted({row["decision"] for row in rows} - {CODED, NORMAL, NOT_ANNOTATED}):
        raise InputError(f"{path}: unknown decision {', '.join(wrong)}; one of {CODED}, {NORMAL}, {NOT_ANNOTATED}")
    return {fold(row["head"]): row["decision"] for row in rows}


def load_rules(path: Path) -> list[Rule]:
    """Returns the rules of labels.csv or concepts.csv. Qualifiers are separated by ";", as some contain a comma.

    Raises:
        InputError: the file is missing, or has other columns or a status other than present and ambiguous.
    """
    rows = load_table(path, ["label", "status", "head", "any_of", "none_of", "why"])
    if wrong := sorted({row["status"] for row in rows} - {PRESENT, AMBIGUOUS}):
        raise InputError(f"{path}: unknown status {', '.join(wrong)}; one of {PRESENT}, {AMBIGUOUS}")
    return [
        Rule(fold(row["head"]), row["label"], row["status"], qualifiers(row["any_of"], ";"), qualifiers(row["none_of"], ";"))
        for row in rows
    ]


def load_table(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Returns the rows of a file of a mapping. Raises an InputError if it is missing, or as concepts.read_rows does."""
    if not path.exists():
        raise InputError(f"{path} is missing; params.yaml names its folder as extract.gold")
    return read_rows(path, columns)


def _check_rules(rules: list[Rule], names: list[str], path: Path) -> None:
    if missing := _without_rule(rules, names):
        raise InputError(f"{path} has no rule for {list_names(missing)}; add one, or take it out of the set")


def _without_rule(rules: list[Rule], names: list[str]) -> list[str]:
    ruled = {rule.label for rule in rules}
    return [name for name in names if name not in ruled]


def qualifiers(cell: str, separator: str) -> frozenset[str]:
    """Returns the folded parts of a cell."""
    return frozenset(fold(part) for part in cell.split(separator) if part.strip())


def fold(name: str) -> str:
    """Returns a name in lower case with single spaces."""
    return " ".join(name.split()).casefold()
