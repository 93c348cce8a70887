"""Reads the concepts by which open-ended answers are scored: gold/concepts.csv, one row per concept.

Columns: `concept` (its name), `code` (ICD-10-CM; it may end in "-" for a category, or be blank), `accept` (further codes,
";"-separated), `kind` and `note`. Kinds: `score`; `optional` (neither a false positive if predicted nor a false negative if
missed); `device` (scored separately, not in the headline).
"""

import csv
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from raddistill.errors import InputError


class Concept(BaseModel):
    """One row of gold/concepts.csv."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    concept: str
    code: str
    accept: str
    kind: Literal["score", "optional", "device"]
    note: str


def read_rows(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Returns the rows of a CSV file of the repository.

    Raises:
        InputError: the file is missing or has other columns, or a row has too many or too few cells.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, restkey="")
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; it is part of the repository: `git checkout {path}`") from None
    if sorted(reader.fieldnames or []) != sorted(columns) or any(None in row.values() or "" in row for row in rows):
        raise InputError(f"{path} is not a CSV with the columns {', '.join(columns)}; a cell with a comma needs quotes")
    return rows


def load_concepts(path: Path) -> list[Concept]:
    """Returns the concepts in the file's order.

    Raises:
        InputError: the file is missing, its columns or a kind are wrong, or it names a concept twice.
    """
    try:
        concepts = [Concept.model_validate(row) for row in read_rows(path, list(Concept.model_fields))]
    except ValidationError as error:
        raise InputError(f"{path}: a row has a wrong {', '.join(str(e['loc'][0]) for e in error.errors())}") from None
    names = [c.concept for c in concepts]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{path} names twice: {', '.join(doubled)}")
    return concepts
