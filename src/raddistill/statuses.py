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


def to_chexpert(status: str) -> float | None:
    """Returns CheXpert's code of a status; None is the blank cell."""
    return _CHEXPERT[status]


# How files write the codes: pandas writes a column with blanks as floats, and a blank in Parquet as NaN.
CHEXPERT_CELLS = {"1": PRESENT, "1.0": PRESENT, "0": ABSENT, "0.0": ABSENT, "-1": UNCERTAIN, "-1.0": UNCERTAIN}
CHEXPERT_CELLS |= {"": UNMENTIONED, "NaN": UNMENTIONED}
# In gold, a label that the annotator did not mention is absent.
GOLD_CELLS = {written: ABSENT if status == UNMENTIONED else status for written, status in CHEXPERT_CELLS.items()}
