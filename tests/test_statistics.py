import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from raddistill.scoring import metrics
from raddistill.scoring.bootstrap import Bootstrap, f1, mcnemar, share
from raddistill.scoring.truth import ArmDecisions, Truth


def judged(present, decided):
    reports, names = [str(i) for i in range(len(present))], [str(i) for i in range(present.shape[1])]
    truth = Truth(reports, names, present, np.zeros_like(present))
    none = np.zeros(len(present), dtype=np.int64)
    decisions = ArmDecisions(reports, decided, none, none.astype(bool))
    return metrics.compare_with_truth(truth, decisions, dict(zip(reports, reports, strict=True)), np.ones(len(names), dtype=bool))


@pytest.mark.parametrize("seed", range(5))
def test_micro_and_macro_f1_are_those_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    present, decided = draw.random((60, 5)) < 0.3, draw.random((60, 5)) < 0.4
    figures = metrics.figures(judged(present, decided), np.ones(5, dtype=bool), resamples=10, seed=1)
    assert figures["micro_f1"] == pytest.approx(f1_score(present, decided, average="micro"))
    assert figures["macro_f1"] == pytest.approx(f1_score(present, decided, average="macro"))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((2, 1, 1), 4 / 6), ((0, 3, 0), 0.0), ((0, 0, 3), 0.0), ((5, 0, 0), 1.0)],
)
def test_f1_by_hand(counts, expected):
    assert f1(np.array(counts)) == pytest.approx(expected)


def test_nothing_to_find_and_nothing_said_is_no_figure():
    assert math.isnan(f1(np.array([0, 0, 0])))
    assert math.isnan(share(0, 0))


def test_a_draw_keeps_the_reports_of_a_group_together():
    counts = np.array([[1, 0, 0], [0, 0, 1]])
    apart = Bootstrap(["a", "b"], resamples=500, seed=1).interval(counts)
    together = Bootstrap(["a", "a"], resamples=500, seed=1).interval(counts)
    assert (apart.low, apart.high) == (0.0, 1.0)
    assert (together.low, together.high) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_the_same_seed_draws_the_same_and_another_does_not():
    counts = np.random.default_rng(0).integers(0, 2, (50, 3))
    groups = [str(i) for i in range(50)]
    first, again, other = (Bootstrap(groups, 200, seed).interval(counts) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_intervals_hold_the_true_value_as_often_as_they_say():
    """Every report is one true positive with chance 0.6, else one miss: the true F1 is 2 x 0.6 / 1.6."""
    draw, true, held = np.random.default_rng(7), 1.2 / 1.6, 0
    for _ in range(300):
        hit = draw.random(150) < 0.6
        counts = np.stack([hit, np.zeros(150), ~hit], axis=1).astype(np.int64)
        interval = Bootstrap([str(i) for i in range(150)], 400, seed=3).interval(counts)
        held += interval.low <= true <= interval.high
    assert 0.91 <= held / 300 <= 0.98


def test_an_interval_is_as_wide_as_the_normal_one_of_a_known_distribution():
    hit = np.arange(400) < 240
    counts = np.stack([hit, np.zeros(400), ~hit], axis=1).astype(np.int64)
    interval = Bootstrap([str(i) for i in range(400)], 4000, seed=3).interval(counts)
    slope = 2 / (1 + 0.6) ** 2  # of F1 = 2 r / (1 + r) in recall r, by the delta method
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * slope * math.sqrt(0.6 * 0.4 / 400), rel=0.1)


def test_a_paired_difference_is_narrower_than_two_that_are_drawn_apart():
    draw = np.random.default_rng(2)
    hit = draw.random(300) < 0.6
    better = hit | (draw.random(300) < 0.05)
    theirs, ours = (np.stack([h, np.zeros(300), ~h], axis=1).astype(np.int64) for h in (hit, better))
    bootstrap = Bootstrap([str(i) for i in range(300)], 1000, seed=5)
    difference, own = bootstrap.difference(ours, theirs), bootstrap.interval(ours)
    assert difference.value == pytest.approx(float(f1(ours.sum(axis=0)) - f1(theirs.sum(axis=0))))
    assert 0 <= difference.low <= difference.value <= difference.high
    assert difference.high - difference.low < 0.5 * (own.high - own.low)


def test_no_gain_over_oneself():
    counts = np.random.default_rng(4).integers(0, 3, (40, 3))
    difference = Bootstrap([str(i) for i in range(40)], 100, seed=5).difference(counts, counts)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("only_ours", "only_theirs", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (6, 0, 2 / 64), (8, 2, 2 * 56 / 1024)],  # 56 = 1 + 10 + 45
)
def test_mcnemar_by_hand(only_ours, only_theirs, p):
    assert mcnemar(only_ours, only_theirs) == pytest.approx(p)
    assert mcnemar(only_theirs, only_ours) == pytest.approx(p)


def test_mcnemar_counts_the_cells_that_one_arm_alone_got_right():
    present = np.array([[True], [True], [True], [False], [False]])
    ours, theirs = present.copy(), present.copy()
    theirs[[0, 1, 3], 0] ^= True
    ours[4, 0] ^= True
    assert metrics.mcnemar_by_name(judged(present, ours), judged(present, theirs)) == {"0": mcnemar(3, 1)}


bools = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=8)


@given(bools, bools, st.permutations(range(3)))
def test_counts_do_not_depend_on_the_order_of_names(present, decided, order):
    n = min(len(present), len(decided))
    present, decided = np.array(present[:n]), np.array(decided[:n])
    one, other = judged(present, decided), judged(present[:, list(order)], decided[:, list(order)])
    assert (one.totals() == other.totals()).all()
    swapped = judged(decided, present).totals()  # gold and decisions change places: fp and fn do
    assert (one.totals() == swapped[:, [0, 2, 1]]).all()
    assert one.counts().sum() == (present | decided).sum()
