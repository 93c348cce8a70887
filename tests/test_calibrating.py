"""Temperature and thresholds, against the teacher or a stated gold budget."""

import numpy as np
import polars as pl
import pytest

from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.student.calibrating import MIN_POSITIVES, CalibrateParams, best_threshold, calibrate, fit_temperature

RNG = np.random.default_rng(7)
N = 400
ODDS = RNG.normal(-1.0, 3.0, N)
IDS = [f"r{i:03d}" for i in range(N)]
LABELS = [Label(name="Edema", description="")]
TEACHER = CalibrateParams(against="teacher", gold_reports=0, spend="hash")


def probabilities() -> pl.DataFrame:
    frame = pl.DataFrame({"report_id": IDS, "odds": ODDS}).with_columns(part=pl.lit(0, pl.Int64), label=pl.lit("Edema"))
    yes = frame.select("report_id", "part", "label", answer=pl.lit("yes"), logit=pl.col("odds") + 2.5)
    return pl.concat([yes, frame.select("report_id", "part", "label", answer=pl.lit("no"), logit=pl.lit(2.5))])


def taught(targets: list[float | None], ids: list[str] = IDS, part: int = 0) -> pl.DataFrame:
    """Rows of `Examples`, as far as calibration reads them."""
    frame = pl.DataFrame({"report_id": ids, "targets": [[t] for t in targets]}, schema_overrides={"targets": pl.List(pl.Float64)})
    return frame.with_columns(task=pl.lit("multiple_choice"), part=pl.lit(part, pl.Int64))


def statuses(present: np.ndarray, otherwise: str = "absent") -> pl.DataFrame:
    status = ["present" if is_so else otherwise for is_so in present]
    return pl.DataFrame({"report_id": IDS, "label": ["Edema"] * N, "status": status}).with_columns(task=pl.lit("multiple_choice"))


def test_temperature_is_found_again() -> None:
    odds = RNG.normal(0, 3, 20_000)
    truth = RNG.random(20_000) < 1 / (1 + np.exp(-odds / 2.0))  # the true temperature is 2
    assert fit_temperature(odds, truth) == pytest.approx(2.0, rel=0.08)


def test_threshold_where_f1_is_best() -> None:
    probability = np.repeat([0.05, 0.22, 0.31, 0.33, 0.36, 0.38, 0.9], MIN_POSITIVES)
    truth = np.repeat(np.array([0, 0, 1, 1, 1, 1, 1], bool), MIN_POSITIVES)
    cells = pl.DataFrame({"probability": probability, "truth": truth})
    assert best_threshold(cells, 0.7) == 0.3
    assert best_threshold(cells[::MIN_POSITIVES], 0.7) == 0.7  # too few positives


def test_against_the_teacher_the_line_is_what_the_student_learns() -> None:
    """Above 0.5 is present: a hedge of 0.75 draws the line with what is stated, one of 0.5 does not."""
    targets = [0.75 if odds > 1 else 0.5 if odds > 0 else 0.0 for odds in ODDS]
    made = calibrate(TEACHER, probabilities(), taught(targets), statuses(ODDS > 5), statuses(ODDS > 5), LABELS)
    assert (made.against, made.reports, made.budget) == ("teacher", N, [])
    edge = made.temperature * np.log(made.labels["Edema"].threshold / (1 - made.labels["Edema"].threshold))
    assert 0 <= edge <= 2  # what is learned draws the line at 1, statuses and gold at 5


def test_what_is_masked_shapes_no_threshold() -> None:
    targets: list[float | None] = [float(odds > 1) for odds in ODDS]
    half = {"r" + f"{n:03d}" for n in range(0, N, 2)}
    masked = [None if report in half else target for report, target in zip(IDS, targets, strict=True)]
    kept = [report for report in IDS if report not in half]
    alone = taught([target for report, target in zip(IDS, targets, strict=True) if report not in half], kept)
    gold = statuses(ODDS > 1)
    made = calibrate(TEACHER, probabilities(), taught(masked), gold, gold, LABELS)
    assert made == calibrate(TEACHER, probabilities(), alone, gold, gold, LABELS)
    assert made.reports == N // 2


def test_a_part_that_the_teacher_did_not_read_shapes_no_threshold() -> None:
    unread = probabilities().with_columns(part=pl.lit(1, pl.Int64), logit=pl.col("logit") * -3)
    both = pl.concat([probabilities(), unread])
    examples = taught([float(odds > 1) for odds in ODDS])
    gold = statuses(ODDS > 1)
    made = calibrate(TEACHER, both, examples, gold, gold, LABELS)
    assert made == calibrate(TEACHER, probabilities(), examples, gold, gold, LABELS)
    with pytest.raises(InputError, match=r"no part .*units: sentences"):
        calibrate(TEACHER, unread, examples, gold, gold, LABELS)


def test_a_label_with_few_positives_takes_the_threshold_of_all_labels_together() -> None:
    """The line of Edema lies at odds of 1, that of Mass where too few are above to draw one."""
    below, labels = float(np.sort(ODDS)[-MIN_POSITIVES]), [*LABELS, Label(name="Mass", description="")]
    targets = pl.Series([[float(odds > 1), float(odds > below)] for odds in ODDS])
    both = pl.concat([probabilities(), probabilities().with_columns(label=pl.lit("Mass"))])
    gold = statuses(ODDS > 1)
    made = calibrate(TEACHER, both, taught([0.0] * N).with_columns(targets=targets), gold, gold, labels)
    probability = 1 / (1 + np.exp(-np.concatenate([ODDS, ODDS]) / made.temperature))
    cells = pl.DataFrame({"probability": probability, "truth": np.concatenate([ODDS > 1, ODDS - below > 0])})
    together = best_threshold(cells, 0.5)
    assert made.labels["Mass"].threshold == together
    assert made.labels["Edema"].threshold < together


def test_of_a_gold_budget_whole_reports_count_by_their_strongest_part() -> None:
    spend = CalibrateParams(against="gold", gold_reports=150, spend="hash")
    weaker = probabilities().with_columns(part=pl.lit(1, pl.Int64), logit=pl.col("logit") - (pl.col("answer") == "yes") * 4.0)
    gold = statuses(ODDS > 1)
    made = calibrate(spend, pl.concat([probabilities(), weaker]), taught([], []), gold, gold, LABELS)
    assert made == calibrate(spend, probabilities(), taught([], []), gold, gold, LABELS)


def test_gold_budget_is_named_and_used() -> None:
    teacher = statuses(ODDS > 1.0, "uncertain")
    spend, gold = CalibrateParams(against="gold", gold_reports=150, spend="hash"), statuses(ODDS > 1.0)
    made = calibrate(spend, probabilities(), taught([], []), teacher, gold, LABELS)
    assert made.reports == len(made.budget) == 150
    assert made.budget == sorted(set(made.budget))
    assert not made.labels["Edema"].teacher_uncertain_is_present  # all that it hedged is absent
    again = calibrate(spend, probabilities().reverse(), taught([], []), teacher, gold, LABELS)
    assert again == made


def test_a_budget_may_go_to_disagreements_first() -> None:
    differs = (np.arange(N) % 40) == 0  # ten reports in which the teacher says the opposite
    teacher, gold = statuses((ODDS > 0) ^ differs), statuses(ODDS > 1.0)
    spend = CalibrateParams(against="gold", gold_reports=10, spend="disagreements")
    made = calibrate(spend, probabilities(), taught([], []), teacher, gold, LABELS)
    assert made.budget == [report for report, is_apart in zip(IDS, differs, strict=True) if is_apart]


def test_excluded_and_ambiguous_gold_spend_no_budget_or_cell() -> None:
    gold = statuses(ODDS > 1.0).with_columns(
        status=pl.when(pl.col("report_id") < "r200").then(pl.lit("excluded")).otherwise("status")
    )
    spend = CalibrateParams(against="gold", gold_reports=250, spend="hash")
    with pytest.raises(InputError, match="250 asked for, validation holds 200"):
        calibrate(spend, probabilities(), taught([], []), statuses(ODDS > 1), gold, LABELS)


@pytest.mark.parametrize(("against", "n"), [("gold", 0), ("teacher", 5)])
def test_budget_and_target_go_together(against: str, n: int) -> None:
    p = CalibrateParams(against=against, gold_reports=n, spend="hash")
    with pytest.raises(ParamsError, match="go together"):
        calibrate(p, probabilities(), taught([], []), statuses(ODDS > 1), statuses(ODDS > 1), LABELS)


def test_list_answers_have_nothing_to_calibrate() -> None:
    gold = statuses(ODDS > 1)
    assert calibrate(TEACHER, probabilities().clear(), taught([], []), gold, gold, LABELS).labels == {}
