"""The four statuses of a label in a report, and CheXpert's codes for them, which the MIMIC-CXR label files use, too.

The codes: 1 present, 0 absent, -1 uncertain, blank not mentioned (Irvin et al. 2019, arXiv 1901.07031).
"""

PRESENT = "present"
ABSENT = "absent"
UNCERTAIN = "uncertain"
UNMENTIONED = "unmentioned"
STATUSES = [PRESENT, ABSENT, UNCERTAIN, UNMENTIONED]
RANKED = [UNMENTIONED, ABSENT, UNCERTAIN, PRESENT]  # weakest first: the strongest mention of a label counts

# The statuses in gold. `ambiguous` cells are masked in the headline, `excluded` reports were not annotated.
AMBIGUOUS = "ambiguous"
EXCLUDED = "excluded"
GOLD_STATUSES = [PRESENT, ABSENT, UNCERTAIN, AMBIGUOUS, EXCLUDED]

_CHEXPERT: dict[str, float | None] = {PRESENT: 1.0, ABSENT: 0.0, UNCERTAIN: -1.0, UNMENTIONED: None}
_FROM_CHEXPERT = {code: status for status, code in _CHEXPERT.items()}


def to_chexpert(status: str) -> float | None:
    """Returns CheXpert's code of a status; None is the blank cell."""
    return _CHEXPERT[status]


def from_chexpert(code: float | None) -> str:
    """Returns the status of CheXpert's code; None is the blank cell.

    Raises:
        ValueError: the code is none of 1, 0, -1 and blank.
    """
    if code not in _FROM_CHEXPERT:
        raise ValueError("not one of CheXpert's codes 1, 0, -1 and blank")
    return _FROM_CHEXPERT[code]


# How files write the codes: pandas writes a column with blanks as floats, and a blank in Parquet as NaN.
CHEXPERT_CELLS = {written: from_chexpert(float(written)) for written in ("1", "1.0", "0", "0.0", "-1", "-1.0")}
CHEXPERT_CELLS |= {"": UNMENTIONED, "NaN": UNMENTIONED}
# In gold, a label that the annotator did not mention is absent.
GOLD_CELLS = {written: ABSENT if status == UNMENTIONED else status for written, status in CHEXPERT_CELLS.items()}
