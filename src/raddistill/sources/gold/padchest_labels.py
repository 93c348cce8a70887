"""Converts the labels that physicians gave to PadChest's reports to gold of both tasks, by a mapping (mapping.py).

Here a head is one of PadChest's own labels, without qualifiers. A report is excluded if all its labels are: `exclude` and
`unchanged` alone say nothing. A rule with the head `*` fires for every annotated report: PadChest has no label for such a
finding, so nobody could say that it is absent. A label of the set without a rule stands for the head of the same name, so that
PadChest's own labels can be a label set.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import list_names
from raddistill.sources.gold.mapping import NOT_ANNOTATED, Rule, check_rules, head_of, load_heads, load_rules
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, GOLD_STATUSES, PRESENT
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED, TASKS

ANNOTATOR = "padchest_physician"
ANY = "*"
TASK = pl.Enum(TASKS)
CODE = {status: code for code, status in enumerate(GOLD_STATUSES)}


def gold(annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]) -> pl.DataFrame:
    """Returns a Gold table of both tasks: one row per report and label or concept; empty if no report is annotated.

    A concept of the kind `optional` is `ambiguous` if a rule fires, never present.

    Raises:
        InputError: a file of the mapping is missing or malformed, has no rule for a label or concept, has a rule for an unknown
            concept, or does not decide a label of the reports.
    """
    heads = load_heads(mapping / "heads.csv")
    folded = {label: head_of(label) for given in annotations.values() for label in given}
    if unknown := sorted(set(folded.values()) - set(heads)):
        raise InputError(f"{mapping / 'heads.csv'} does not decide {len(unknown)} labels: {list_names(unknown)}")
    names = {MULTIPLE_CHOICE: [label.name for label in label_set], OPEN_ENDED: [c.concept for c in concepts]}
    own = {head for head, decision in heads.items() if decision != NOT_ANNOTATED}
    rules = {
        MULTIPLE_CHOICE: _rules(mapping / "labels.csv", names[MULTIPLE_CHOICE], own),
        OPEN_ENDED: _rules(mapping / "concepts.csv", names[OPEN_ENDED], set()),
    }
    check_rules(rules[OPEN_ENDED], names[OPEN_ENDED], mapping / "concepts.csv", concepts=True)
    optional = frozenset(c.concept for c in concepts if c.kind == "optional")
    telling = {report_id: own.intersection(folded[label] for label in given) for report_id, given in annotations.items()}
    ids = list(telling) if any(telling.values()) else []
    words = pl.Enum(list(dict.fromkeys(name for of_task in names.values() for name in of_task)))
    tables = []
    for task, of_task in names.items():
        codes = _codes(telling, of_task, rules[task], optional if task == OPEN_ENDED else frozenset())
        tables.append(_rows(ids, task, pl.Series(of_task, dtype=words), codes[: len(ids)]))
    return pl.concat(tables)


def _rules(path: Path, names: list[str], own: set[str]) -> list[Rule]:
    """Returns the file's rules, and one for each name without a rule that is one of the `own` heads, which it stands for."""
    rules = load_rules(path)
    if qualified := sorted({rule.head for rule in rules if rule.any_of or rule.none_of}):
        raise InputError(f"{path}: any_of and none_of stay blank, PadChest has no qualifiers; see {', '.join(qualified)}")
    missing = [name for name in names if name not in {rule.label for rule in rules}]
    if lost := [name for name in missing if name.casefold() not in own]:
        raise InputError(f"{path} has no rule for {list_names(lost)}; add one, or take it out of the set")
    return rules + [Rule(name.casefold(), name, PRESENT, frozenset(), frozenset()) for name in missing]


def _codes(telling: dict[str, set[str]], names: list[str], rules: list[Rule], optional: frozenset[str]) -> np.ndarray:
    """Returns an array (reports x names) of indices into GOLD_STATUSES, as bytes."""
    at = {name: column for column, name in enumerate(names)}
    fires: dict[str, dict[str, list[int]]] = {PRESENT: defaultdict(list), AMBIGUOUS: defaultdict(list)}
    for rule in rules:
        if rule.label in at:  # else the rule is for a label that is not in the set
            fires[AMBIGUOUS if rule.label in optional else rule.status][rule.head].append(at[rule.label])
    annotated = np.full(len(names), CODE[ABSENT], np.uint8)
    annotated[fires[AMBIGUOUS][ANY]] = CODE[AMBIGUOUS]
    codes = np.full((len(telling), len(names)), CODE[EXCLUDED], np.uint8)
    for row, given in enumerate(telling.values()):
        if given:
            codes[row] = annotated
        for status in (AMBIGUOUS, PRESENT):  # present beats ambiguous
            codes[row, [column for head in given for column in fires[status].get(head, ())]] = CODE[status]
    return codes


def _rows(report_ids: list[str], task: str, names: pl.Series, codes: np.ndarray) -> pl.DataFrame:
    """Returns one row per cell. All columns but the ids are enums of one byte: PadChest has ten million cells with 13 labels."""
    reports, width = codes.shape
    columns = {
        "report_id": pl.Series(report_ids, dtype=pl.String).gather(np.repeat(np.arange(reports, dtype=np.uint32), width)),
        "label": names.gather(np.tile(np.arange(width, dtype=np.uint32), reports)),
        "status": pl.Series(GOLD_STATUSES, dtype=pl.Enum(GOLD_STATUSES)).gather(codes.reshape(-1)),
    }
    frame = pl.DataFrame(columns).with_columns(task=pl.lit(task, TASK), annotator=pl.lit(ANNOTATOR, pl.Enum([ANNOTATOR])))
    return frame.select("report_id", "task", "annotator", "label", "status")
