"""Agreement beyond chance, of annotators and of teachers. Pure: numbers in, numbers out.

Cohen's kappa (Cohen 1960, Educ Psychol Meas 20:37): (o - e) / (1 - e), where o is the share of units with equal values and e the
sum over values of the product of both shares. Two raters, units that both rated.
Krippendorff's alpha, nominal (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D): of any number of
raters, each of whom may lack units: 1 - (n - 1) (n - sum o_cc) / (n^2 - sum n_c^2), where n_c counts value c over the units
with two values or more, n all of these values, and o_cc adds n_uc (n_uc - 1) / (m_u - 1) over units u with m_u values.
Both are 1 for full agreement and 0 for chance; None where only one value was ever used, which leaves them undefined.

Own code for two reasons: scikit-learn's kappa warns where it is undefined, which is common here, and takes a column a rater, not
a table; the package krippendorff is under the GPL. Tests compare with both definitions.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]


def contingency(first: npt.ArrayLike, second: npt.ArrayLike, n_values: int) -> Ints:
    """Counts the units with the first rater's value (row) and the second's (column); values are 0 to n_values - 1."""
    cells = np.asarray(first, dtype=np.int64) * n_values + np.asarray(second, dtype=np.int64)
    return np.bincount(cells, minlength=n_values**2).reshape(n_values, n_values)


def cohens_kappa(table: Ints) -> float | None:
    """Returns Cohen's kappa of a contingency table; None if it is empty or both raters used the same one value."""
    n = int(table.sum())
    if not n:
        return None
    by_chance = float(table.sum(axis=1) @ table.sum(axis=0)) / n**2
    return None if by_chance == 1.0 else (float(np.trace(table)) / n - by_chance) / (1 - by_chance)


def krippendorffs_alpha(counts: Ints, times: Ints) -> float | None:
    """Returns alpha, or None. `counts` (kinds of units, values): raters by value; `times` (kinds,): units of that kind."""
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
