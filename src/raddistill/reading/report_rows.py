"""Checks whether a row of a table is a report: its id is an id, and its text is text."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from raddistill.privacy import ID_IS_TEXT, may_be_text
from raddistill.reading.cells import NOT_UTF8, as_text, is_blank, is_utf8

BLANK_ID = "blank report id"
ID_OF_OTHER_TYPE = "the report id is neither text nor a whole number"
NOT_TEXT = "the report is not text"


def id_of(cell: Any) -> str | None:
    """Returns a string or a whole number as text, else None."""
    is_number = isinstance(cell, int | float | Decimal) and not isinstance(cell, bool) and cell % 1 == 0
    return as_text(cell) if is_number or isinstance(cell, str) else None


def safe_id(report_id: str | None) -> str | None:
    """Returns the id, with "?" for wrong bytes, if it may be shown; None if it may be report text."""
    printable = None if report_id is None else report_id.encode("utf-8", "replace").decode()
    return None if printable is None or may_be_text(printable) else printable


def reason_against(report_id: Any, texts: list[Any], others: Iterable[Any] = (), patient: Any = None) -> str | None:
    """Returns why a row is no report, or None. `texts`: its cells of text; `others`: cells that must only be UTF-8.

    `patient`: the id of the patient, which may be blank.
    """
    if is_blank(report_id):
        return BLANK_ID
    for whose, cell in (("report", report_id), ("patient", patient)):
        if not is_blank(cell) and (reason := _reason_against_id(cell, whose)):
            return reason
    if any(not isinstance(cell, str | None) for cell in texts):
        return NOT_TEXT
    return None if all(is_utf8(cell) for cell in (*texts, *others) if isinstance(cell, str)) else NOT_UTF8


def _reason_against_id(cell: Any, whose: str) -> str | None:
    """Returns why a cell is no id, or None. `whose`: the report's or the patient's."""
    name = id_of(cell)
    if name is None:
        return ID_OF_OTHER_TYPE.replace("report", whose)
    if not is_utf8(name):
        return NOT_UTF8
    return ID_IS_TEXT.replace("report", whose) if may_be_text(name) else None
