"""What passes from a pile of reports to whoever labels it: batches, small enough that a million rows need no more memory."""

from typing import NamedTuple


class Report(NamedTuple):
    """One report. `sections` maps findings, impression, or text (a report without sections) to its pieces.

    A piece is (start, words): where the words begin in the cell (or file) that they come from, in code points. If the cell holds
    markup they count without it, and `origins` has, by section, where each character was written: its start and its end.
    """

    row: int  # 1 for the first row of data
    report_id: str
    sections: dict[str, list[tuple[int, str]]]
    origins: dict[str, tuple[list[int], list[int]]] = {}  # noqa: RUF012 (nobody writes to it)


class Reject(NamedTuple):
    """A row that cannot be labelled, and why in a few fixed words. Never holds text of the report."""

    row: int
    report_id: str | None
    reason: str


class Batch(NamedTuple):
    """Consecutive rows of a pile: `rows` of them, each either a report or a reject."""

    rows: int
    reports: list[Report]
    rejects: list[Reject]
    digest: str  # of all rows up to and with this batch
    done: int  # how far the pile is read, in the unit of its `total`
