"""Agreement beyond chance, of annotators and of teachers. Pure: numbers in, numbers out.

Cohen's kappa (Cohen 1960, Educ Psychol Meas 20:37) of two raters is scikit-learn's. Krippendorff's alpha, nominal (Krippendorff
2011, "Computing Krippendorff's Alpha-Reliability", section D), takes any number of raters, who need not have rated every unit.
Both are 1 for full agreement and 0 for chance. They are undefined, and None here, if only one value was ever used.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]


def cohens_kappa(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Returns Cohen's kappa of the values that two raters gave the same units; None without units or with one value only."""
    from sklearn.metrics import cohen_kappa_score  # takes a second to import

    return float(cohen_kappa_score(first, second)) if len(np.union1d(first, second)) > 1 else None


def krippendorffs_alpha(counts: Ints, times: Ints) -> float | None:
    """Returns Krippendorff's alpha, or None. `counts` (kinds of units, values): how many raters give a unit of a kind each value.

    `times` (kinds,): how many units are of each kind. Alpha is 1 - (n - 1) (n - sum o_cc) / (n^2 - sum n_c^2). n_c counts value c
    over the units with two values or more, n all of these values, and o_cc adds n_uc (n_uc - 1) / (m_u - 1) over units u with m_u
    values. Our own code, since the package krippendorff is under the GPL; a test compares it with the definition on pairs.
    """
    values = counts.sum(axis=1)
    paired = values >= 2
    counts, times, values = counts[paired].astype(float), times[paired], values[paired]
    of_value = times @ counts
    n = float(of_value.sum())
    expected = n**2 - float((of_value**2).sum())
    if not expected:
        return None
    equal = float(times @ ((counts * (counts - 1)).sum(axis=1) / (values - 1)))
    return 1 - (n - 1) * (n - equal) / expected
