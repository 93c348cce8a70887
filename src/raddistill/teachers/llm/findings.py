"""What an answer comes to: findings, or the fault for which it is not used."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One label of an answer that passed its checks. Offsets are code points of `reports.text`, end exclusive."""

    label: str  # of the label set; open-ended: the phrase, lower case and single spaces
    status: str
    section: str | None  # the section that the quote lies in; None without a quote (`unmentioned`, decisions)
    start: int | None
    end: int | None
    code: str | None  # ICD-10-CM with its dot; open-ended only
    probability: float | None  # that the label is present; None where the server gave none


class Fault(NamedTuple):
    """Why an answer is not used. `reason` is of a small fixed set of words (quarantine, metrics); neither holds report text.

    `feedback` is what the model reads when it is asked again: it may name label, code or the number of an item.
    """

    reason: str
    feedback: str
    advice: str = ""  # for the user, where the cause is likely the server or the settings and so shared by many answers
    final: bool = False  # asking again cannot mend it
