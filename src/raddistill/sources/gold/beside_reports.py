"""Labels made by people in the same table as the reports: one column per label with CheXpert's codes, or columns of lists.

`Document.annotations` carries them as strings "annotator<tab>status<tab>label". A string with blank status and label says that
the annotator read the report.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from raddistill.reading.cells import as_text, is_missing, strings_in
from raddistill.sources.gold.annotators import GOLD
from raddistill.statuses import ABSENT, GOLD_CELLS, PRESENT
from raddistill.tasks.names import MULTIPLE_CHOICE

WITH_REPORTS = "with_reports"  # the annotator of columns with codes; a column of lists is an annotator of its own
NO_FINDING = "No Finding"
NOTHING = {"normal", "none", "no finding", "no findings"}  # names in a list that say: nothing was found


def from_lists(columns: Mapping[str, Any], labels: Iterable[str]) -> Iterator[str]:
    """Yields the annotations of a row with lists. `columns`: annotator to cell.

    Raises:
        ValueError: a label is not in the set, or a cell begins like a list but is none. The message does not contain the cell.
    """
    label_of = {name.casefold(): name for name in labels}  # people write lists by hand
    for annotator, cell in columns.items():
        listed = (as_text(cell) or "").strip()
        if not listed or (is_missing(listed, none_is_said=True) and listed.strip("[]")):  # "nan"; but "[]" is an empty list
            continue
        yield f"{annotator}\t\t"
        for name in map(str.casefold, _names_in(listed)):
            if label := label_of.get(name):
                yield f"{annotator}\t{PRESENT}\t{label}"
            elif name not in NOTHING:
                raise ValueError("a label outside of the set")


def from_codes(columns: Mapping[str, Any], labels: Iterable[str]) -> Iterator[str]:
    """Yields the annotations of a row with codes. `columns`: label (or NO_FINDING) to cell. Only blanks: nobody read the report.

    Raises:
        ValueError: a code is none of CheXpert's. The message does not contain the cell.
    """
    codes = {name: (as_text(cell) or "").strip() for name, cell in columns.items()}
    codes = {name: "" if is_missing(code, none_is_said=True) else code for name, code in codes.items()}
    if not any(codes.values()):
        return
    yield f"{WITH_REPORTS}\t\t"
    if any(code not in GOLD_CELLS for code in codes.values()):
        raise ValueError("a code other than 1, 0, -1 and blank")
    for name in labels:
        yield f"{WITH_REPORTS}\t{GOLD_CELLS[codes[name]]}\t{name}"


def to_gold(annotations: Mapping[str, Iterable[str]], labels: list[str]) -> pl.DataFrame:
    """Returns a Gold table with the rows of each annotator of a report. Labels that are not mentioned are absent."""
    rows = []
    for report_id, strings in annotations.items():
        statuses: dict[str, dict[str, str]] = {}
        for annotator, status, label in (string.split("\t") for string in strings):
            statuses.setdefault(annotator, {})[label] = status
        rows += [
            (report_id, MULTIPLE_CHOICE, annotator, label, status_of.get(label, ABSENT))
            for annotator, status_of in statuses.items()
            for label in labels
        ]
    return pl.DataFrame(rows, schema=GOLD, orient="row")


def split_names(text: str) -> list[str]:
    """Returns the names in "Edema; Fracture"."""
    return [part.strip() for part in text.split(";") if part.strip()]


def _names_in(cell: str) -> list[str]:
    """Returns the names in "Edema; Fracture", or in a list as Python, JSON, numpy or Parquet print it."""
    if not cell.startswith("["):
        return split_names(cell)
    names = strings_in(cell)
    if names is None:
        raise ValueError("labels that are no list of names")
    return names
