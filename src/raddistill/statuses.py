"""The four words for what a report says of a label, and the only place that knows other systems' codes for them.

CheXpert's codes (also of the MIMIC-CXR label files): 1 present, 0 absent, -1 uncertain, blank not mentioned
(Irvin et al. 2019, arXiv 1901.07031).
"""

PRESENT = "present"
ABSENT = "absent"
UNCERTAIN = "uncertain"
UNMENTIONED = "unmentioned"
STATUSES = [PRESENT, ABSENT, UNCERTAIN, UNMENTIONED]
RANKED = [UNMENTIONED, ABSENT, UNCERTAIN, PRESENT]  # the weakest first: of several mentions of a label the strongest counts

# What people's annotations say. `ambiguous` cells are masked in the headline, `excluded` reports were not annotated.
AMBIGUOUS = "ambiguous"
EXCLUDED = "excluded"
GOLD_STATUSES = [PRESENT, ABSENT, UNCERTAIN, AMBIGUOUS, EXCLUDED]

_CHEXPERT: dict[str, float | None] = {PRESENT: 1.0, ABSENT: 0.0, UNCERTAIN: -1.0, UNMENTIONED: None}
_FROM_CHEXPERT = {code: status for status, code in _CHEXPERT.items()}


def to_chexpert(status: str) -> float | None:
    """CheXpert's code of a status; None is the blank cell."""
    return _CHEXPERT[status]


def from_chexpert(code: float | None) -> str:
    """The status of CheXpert's code; None is the blank cell.

    Raises:
        ValueError: a code other than 1, 0, -1 and blank.
    """
    if code not in _FROM_CHEXPERT:
        raise ValueError("not one of CheXpert's codes 1, 0, -1 and blank")
    return _FROM_CHEXPERT[code]


# The codes as files have them: pandas writes a column with blanks as floats, and a blank in Parquet as NaN.
CHEXPERT_CELLS = {written: from_chexpert(float(written)) for written in ("1", "1.0", "0", "0.0", "-1", "-1.0")}
CHEXPERT_CELLS |= {"": UNMENTIONED, "NaN": UNMENTIONED}
# In people's annotations: what somebody who read the report does not mention is absent.
GOLD_CELLS = {written: ABSENT if status == UNMENTIONED else status for written, status in CHEXPERT_CELLS.items()}
