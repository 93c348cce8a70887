"""From what is said of each mention of a label to the report's status.

| mentions say | status of the report |
|---|---|
| present, whatever else | present |
| uncertain, never present | uncertain |
| absent, neither of the above | absent |
| nothing about the present, or no mention | unmentioned |

Present wins against absent, since "no effusion on the right. Small left effusion." denies a part and states a part. Present wins
against uncertain: whoever states a finding once is not in doubt of it (chexpert-labeler, stages/aggregate.py, decides the
latter the other way round without saying so).
"""

from collections.abc import Container

from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN, UNMENTIONED


def aggregate(said: Container[str]) -> str:
    """The status of a label (or phrase) by the table above."""
    for status in (PRESENT, UNCERTAIN, ABSENT):
        if status in said:
            return status
    return UNMENTIONED
