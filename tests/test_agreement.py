"""Agreement of teachers: figures that the literature gives, scikit-learn's kappa, and alpha by its definition on pairs."""

from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from raddistill.agreement_coefficients import cohens_kappa, krippendorffs_alpha
from raddistill.teachers.votes import agreement_of_findings, agreement_of_values


def counts_of(values, n_values):
    """(units, values) of a list of observers, None where one has no value."""
    return np.array([[column.count(value) for value in range(n_values)] for column in zip(*values, strict=True)])


def alpha_of(observers, values):
    counts = counts_of([[None if v == "." else values.index(v) for v in row] for row in observers], len(values))
    return krippendorffs_alpha(counts, np.ones(len(counts), dtype=int))


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),  # equal 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
        ([[45, 15], [25, 15]], 0.1304),  # equal 0.6; by chance 0.6 * 0.7 + 0.4 * 0.3 = 0.54
        ([[25, 35], [5, 35]], 0.2593),  # equal 0.6; by chance 0.6 * 0.3 + 0.4 * 0.7 = 0.46
        ([[0, 5], [5, 0]], -1.0),
        ([[3, 0, 0], [0, 4, 0], [0, 0, 5]], 1.0),
        ([[0, 0], [0, 0]], None),  # no report
        ([[7, 0], [0, 0]], None),  # one value
    ],
)
def test_kappa_worked_by_hand(table, kappa):
    first, second = np.repeat(np.indices(np.shape(table)).reshape(2, -1), np.ravel(table), axis=1)
    assert cohens_kappa(first, second) == (kappa and pytest.approx(kappa, abs=5e-5))


def test_alpha_of_krippendorffs_examples():
    """Krippendorff 2011: binary data (A), nominal data of two observers (B), four observers with missing values (C)."""
    assert alpha_of(["0100000010", "1110010000"], "01") == pytest.approx(0.095, abs=5e-4)
    assert alpha_of(["aabbdcccedda", "babbbccceddd"], "abcde") == pytest.approx(0.692, abs=5e-4)
    four = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    assert alpha_of(four, "12345") == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_undefined_where_nothing_can_differ():
    assert alpha_of(["000", "000"], "01") is None
    assert alpha_of(["01.", "..0"], "01") is None  # no unit with two values
    assert krippendorffs_alpha(np.zeros((0, 2), dtype=int), np.zeros(0, dtype=int)) is None


observations = st.integers(2, 4).flatmap(
    lambda members: st.lists(st.lists(st.integers(-1, 3), min_size=members, max_size=members), min_size=1, max_size=30)
)


@settings(deadline=None)
@given(observations)
def test_alpha_is_one_less_observed_by_expected_disagreement(units):
    """By its definition: disagreement of ordered pairs within units against that of all pairable values."""
    paired = [[value for value in unit if value >= 0] for unit in units]
    paired = [unit for unit in paired if len(unit) >= 2]
    values = [value for unit in paired for value in unit]
    counts = np.array([[unit.count(value) for value in range(4)] for unit in units])
    alpha = krippendorffs_alpha(counts, np.ones(len(units), dtype=int))
    if len(set(values)) < 2:
        assert alpha is None
        return
    observed = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in paired) / len(values)
    expected = sum(a != b for a, b in permutations(values, 2)) / (len(values) * (len(values) - 1))
    assert alpha == pytest.approx(1 - observed / expected)
    assert krippendorffs_alpha(np.repeat(counts, 3, axis=0), np.ones(3 * len(units), dtype=int)) == pytest.approx(
        krippendorffs_alpha(counts, np.full(len(units), 3))
    )


def test_values_by_label_and_pair_match_scikit_learn():
    drawn = np.random.default_rng(5)
    values = drawn.choice([-1, 0, 1, 2, 3], size=(3, 400, 2), p=[0.1, 0.4, 0.3, 0.1, 0.1])
    values[1] = np.where(drawn.random((400, 2)) < 0.6, values[0], values[1])
    told = agreement_of_values(values, 4, ["rules", "a", "b"], ["Edema", "Pneumonia"])
    assert list(told["labels"]) == ["Edema", "Pneumonia"]
    edema = told["labels"]["Edema"]
    assert list(edema["pairs"]) == ["rules & a", "rules & b", "a & b"]
    for pair, (one, other) in zip(edema["pairs"].values(), [(0, 1), (0, 2), (1, 2)], strict=True):
        both = (values[one, :, 0] >= 0) & (values[other, :, 0] >= 0)
        first, second = values[one, both, 0], values[other, both, 0]
        assert pair["reports"] == both.sum()
        assert pair["same"] == pytest.approx((first == second).mean(), abs=5e-5)
        assert pair["kappa"] == pytest.approx(cohen_kappa_score(first, second), abs=5e-5)
    assert edema["reports"] == ((values[:, :, 0] >= 0).sum(axis=0) >= 2).sum()
    alphas = [label["alpha"] for label in told["labels"].values()]
    assert told["mean_alpha"] == pytest.approx(sum(alphas) / 2, abs=1e-4)


def test_values_of_members_that_share_no_report():
    told = agreement_of_values(np.array([[[1], [-1]], [[-1], [1]]]), 4, ["a", "b"], ["Edema"])
    assert told == {
        "mean_alpha": None,
        "labels": {"Edema": {"reports": 0, "alpha": None, "pairs": {"a & b": {"reports": 0, "same": None, "kappa": None}}}},
    }


FINDINGS = [(0, 0, "J98"), (1, 0, "J98"), (0, 1, "J98"), (1, 1, "I51"), (0, 2, "S22"), (2, 0, "J98"), (2, 0, "I51")]
SAY = np.array([[True, True, True, True], [True, True, False, True], [True, False, False, False]])


def findings(rows=FINDINGS):
    schema = {"member": pl.Int64, "report": pl.Int64, "finding": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_findings_by_pair():
    """Report 3 has none by either; report 2 is labelled by one member only."""
    told = agreement_of_findings(findings(), SAY, ["a", "b", "c"])
    assert told["reports"] == 3
    assert told["pairs"] == {
        "a & b": {"reports": 3, "same": 0.6667, "f1": 0.5},  # one shared; two of a, two of b
        "a & c": {"reports": 1, "same": 0.0, "f1": 0.6667},
        "b & c": {"reports": 1, "same": 0.0, "f1": 0.6667},
    }


def test_alpha_of_findings_is_that_of_the_whole_matrix():
    drawn = np.random.default_rng(7)
    say = drawn.random((3, 40)) < 0.8
    say[:, :3] = False
    has = (drawn.random((3, 40, 6)) < 0.25) & say[:, :, None]
    rows = [(int(m), int(r), f"c{f}") for m, r, f in np.argwhere(has)]
    values = np.where(say[:, :, None], has, -1).reshape(3, -1)
    counts = np.stack([(values == value).sum(axis=0) for value in (0, 1)], axis=1)
    whole = krippendorffs_alpha(counts, np.ones(len(counts), dtype=int))
    assert agreement_of_findings(findings(rows), say, ["a", "b", "c"])["alpha"] == pytest.approx(whole, abs=5e-5)


def test_no_finding_at_all():
    told = agreement_of_findings(findings([]), SAY[:2], ["a", "b"])
    assert told == {"reports": 3, "alpha": None, "pairs": {"a & b": {"reports": 3, "same": 1.0, "f1": None}}}
