"""Temperature and thresholds, against the teacher or a stated gold budget."""

import numpy as np
import polars as pl
import pytest

from raddistill.errors import InputError, ParamsError
from raddistill.student.calibrating import CalibrateParams, best_threshold, calibrate, fit_temperature

RNG = np.random.default_rng(7)
N = 400
ODDS = RNG.normal(-1.0, 3.0, N)
IDS = [f"r{i:03d}" for i in range(N)]


def probabilities() -> pl.DataFrame:
    frame = pl.DataFrame({"report_id": IDS, "odds": ODDS}).with_columns(label=pl.lit("Edema"))
    yes = frame.select("report_id", "label", answer=pl.lit("yes"), logit=pl.col("odds") + 2.5)
    return pl.concat([yes, frame.select("report_id", "label", answer=pl.lit("no"), logit=pl.lit(2.5))])


def statuses(present: np.ndarray, otherwise: str = "absent") -> pl.DataFrame:
    status = ["present" if is_so else otherwise for is_so in present]
    return pl.DataFrame({"report_id": IDS, "label": ["Edema"] * N, "status": status}).with_columns(task=pl.lit("multiple_choice"))


def test_temperature_is_found_again() -> None:
    odds = RNG.normal(0, 3, 20_000)
    truth = RNG.random(20_000) < 1 / (1 + np.exp(-odds / 2.0))  # the true temperature is 2
    assert fit_temperature(odds, truth) == pytest.approx(2.0, rel=0.08)


def test_threshold_where_f1_is_best() -> None:
    probability = np.array([0.05, 0.22, 0.31, 0.33, 0.36, 0.38, 0.9])
    assert best_threshold(probability, np.array([0, 0, 1, 1, 1, 1, 1], bool)) == 0.3
    assert best_threshold(probability, np.array([0, 0, 1, 1, 1, 0, 0], bool)) == 0.5  # three positives: kept


def test_against_the_teacher_its_uncertain_is_present() -> None:
    teacher = statuses(ODDS > 1.0, "absent").with_columns(
        status=pl.when(pl.col("status") == "present").then(pl.lit("uncertain")).otherwise("status")
    )
    made = calibrate(CalibrateParams(against="teacher", gold_reports=0), probabilities(), teacher, statuses(ODDS > 5))
    assert (made.against, made.reports, made.budget) == ("teacher", N, [])
    edge = made.temperature * np.log(made.labels["Edema"].threshold / (1 - made.labels["Edema"].threshold))
    assert 0 <= edge <= 2  # the teacher draws the line at 1, gold at 5


def test_gold_budget_is_named_and_used() -> None:
    teacher = statuses(ODDS > 1.0, "uncertain")
    made = calibrate(CalibrateParams(against="gold", gold_reports=150), probabilities(), teacher, statuses(ODDS > 1.0))
    assert made.reports == len(made.budget) == 150
    assert made.budget == sorted(set(made.budget))
    assert not made.labels["Edema"].teacher_uncertain_is_present  # all that it hedged is absent
    again = calibrate(CalibrateParams(against="gold", gold_reports=150), probabilities().reverse(), teacher, statuses(ODDS > 1.0))
    assert again == made


def test_excluded_and_ambiguous_gold_spend_no_budget_or_cell() -> None:
    gold = statuses(ODDS > 1.0).with_columns(
        status=pl.when(pl.col("report_id") < "r200").then(pl.lit("excluded")).otherwise("status")
    )
    with pytest.raises(InputError, match="250 asked for, validation holds 200"):
        calibrate(CalibrateParams(against="gold", gold_reports=250), probabilities(), statuses(ODDS > 1), gold)


@pytest.mark.parametrize(("against", "n"), [("gold", 0), ("teacher", 5)])
def test_budget_and_target_go_together(against: str, n: int) -> None:
    with pytest.raises(ParamsError, match="go together"):
        calibrate(CalibrateParams(against=against, gold_reports=n), probabilities(), statuses(ODDS > 1), statuses(ODDS > 1))  # type: ignore[arg-type]


def test_list_answers_have_nothing_to_calibrate() -> None:
    made = calibrate(
        CalibrateParams(against="teacher", gold_reports=0), probabilities().clear(), statuses(ODDS > 1), statuses(ODDS > 1)
    )
    assert made.labels == {}
