"""Agreement of teachers beyond chance (Cohen's kappa, Krippendorff's alpha) and by sets of findings (F1).

F1 of two teachers' sets of findings is 2 |A and B| / (|A| + |B|) over all reports. It is the same whichever counts as the truth.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill.agreement_coefficients import Ints, cohens_kappa, krippendorffs_alpha

Bools = npt.NDArray[np.bool_]


def of_values(values: Ints, n_values: int, members: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Returns agreement by label. `values` (members, reports, labels): 0 to n_values - 1, or -1 if not labelled by the member.

    `reports` counts those with two members or more. `mean_alpha` is over the labels for which alpha is defined.
    """
    by_label = {label: _of_label(values[:, :, column], n_values, members) for column, label in enumerate(labels)}
    alphas = [figures["alpha"] for figures in by_label.values() if figures["alpha"] is not None]
    return {"mean_alpha": round(sum(alphas) / len(alphas), 4) if alphas else None, "labels": by_label}


def _of_label(values: Ints, n_values: int, members: Sequence[str]) -> dict[str, Any]:
    counts = np.stack([(values == value).sum(axis=0) for value in range(n_values)], axis=1)
    pairs = {}
    for one, other in combinations(range(len(members)), 2):
        both = (values[one] >= 0) & (values[other] >= 0)
        first, second = values[one, both], values[other, both]
        same = round(float((first == second).mean()), 4) if len(first) else None
        kappa = _rounded(cohens_kappa(first, second))
        pairs[f"{members[one]} & {members[other]}"] = {"reports": len(first), "same": same, "kappa": kappa}
    alpha = krippendorffs_alpha(counts, np.ones(len(counts), dtype=np.int64))
    return {"reports": int((counts.sum(axis=1) >= 2).sum()), "alpha": _rounded(alpha), "pairs": pairs}


def of_findings(found: pl.DataFrame, has_labelled: Bools, members: Sequence[str]) -> dict[str, Any]:
    """Returns agreement on which findings a report has. `found`: distinct rows (member, report, finding), with two numbers.

    `has_labelled` (members, reports). `alpha` is over all pairs of a report and a finding that any member has in any report, each
    found or not. `same` is the share of reports with equal sets.
    """
    n_voters = has_labelled.sum(axis=0)
    by_finding = found.group_by("report", "finding").len()
    n_found, n_asked = by_finding["len"].to_numpy().astype(np.int64), n_voters[by_finding["report"]]
    # No member finds most pairs of a report and a finding. They have one row per number of voters, and `n_unfound` counts them.
    numbers = np.arange(len(members) + 1)
    n_pairs = np.bincount(n_voters, minlength=len(numbers)) * found["finding"].n_unique()
    n_unfound = n_pairs - np.bincount(n_asked, minlength=len(numbers))
    found_or_not = np.stack([n_found, n_asked - n_found], axis=1)
    counts = np.concatenate([found_or_not, np.stack([np.zeros_like(numbers), numbers], axis=1)])
    return {
        "reports": int((n_voters >= 2).sum()),
        "alpha": _rounded(krippendorffs_alpha(counts, np.concatenate([np.ones_like(n_found), n_unfound]))),
        "pairs": {
            f"{members[one]} & {members[other]}": _of_sets(found, one, other, has_labelled[one] & has_labelled[other])
            for one, other in combinations(range(len(members)), 2)
        },
    }


def _of_sets(found: pl.DataFrame, one: int, other: int, both: Bools) -> dict[str, Any]:
    """Returns agreement of two members over the reports that both labelled. `both` (reports,)."""
    asked = found.filter(pl.Series(both).gather(found["report"]), pl.col("member").is_in([one, other]))
    by_finding = asked.group_by("report", "finding").len()
    n_shared = by_finding.filter(pl.col("len") == 2).height
    n_differing = by_finding.filter(pl.col("len") == 1)["report"].n_unique()
    n = int(both.sum())
    return {
        "reports": n,
        "same": round(1 - n_differing / n, 4) if n else None,
        "f1": round(2 * n_shared / asked.height, 4) if asked.height else None,
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)
