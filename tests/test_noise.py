"""Mistakes on purpose: of which mentions, what becomes of the labels, and that nothing changes when they are off."""

import polars as pl
import pytest

from raddistill.errors import InputError
from raddistill.statuses import STATUSES
from raddistill.teachers.teacher import Labelled, NoiseParams, disturb

STATUS = pl.Enum(STATUSES)
ROW = {"report_id": pl.String, "label": pl.String, "status": STATUS, "probability": pl.Float64}


def taught(reports: int = 200) -> Labelled:
    """Every report: Edema present once and hedged once, Mass denied, Fracture never mentioned."""
    said = [("Edema", 0, "present", None), ("Edema", 1, "uncertain", 0.5), ("Mass", 0, "absent", None)]
    evidence = [(f"r{n}", label, status, p, i) for n in range(reports) for label, i, status, p in said]
    labels = [
        (f"r{n}", *of)
        for n in range(reports)
        for of in (("Edema", "present", None), ("Mass", "absent", None), ("Fracture", "unmentioned", None))
    ]
    of = [pl.lit("multiple_choice").alias("task"), pl.lit("rules:cold").alias("teacher")]
    return Labelled(
        pl.DataFrame(labels, schema=ROW, orient="row").with_columns(of),
        pl.DataFrame(evidence, schema=ROW | {"n": pl.Int64}, orient="row").with_columns(of),
        pl.DataFrame(),
        pl.DataFrame(),
        {},
    )


def statuses(made: Labelled, label: str) -> dict[str, int]:
    counted = made.labels.filter(label=label).group_by(pl.col("status").cast(pl.String)).len()
    return dict(counted.iter_rows())


def test_none_missed_and_none_turned_changes_nothing() -> None:
    made = disturb("multiple_choice", NoiseParams(missed=0, turned=0), taught())
    assert made.labels.equals(taught().labels)
    assert made.evidence.equals(taught().evidence)


def test_what_is_missed_leaves_the_other_mentions() -> None:
    made = disturb("multiple_choice", NoiseParams(missed=0.3, turned=0), taught())
    assert made.evidence.height == pytest.approx(0.7 * 600, abs=40)
    left = made.evidence.group_by("report_id").agg(pl.col("label").eq("Edema").sum().alias("edema"), "status")
    assert 0 < left.filter(edema=1).height < 200
    found = statuses(made, "Edema")
    assert found["present"] == pytest.approx(140, abs=25)
    assert found["uncertain"] == pytest.approx(0.3 * 0.7 * 200, abs=20)
    assert found["unmentioned"] == pytest.approx(0.09 * 200, abs=12)
    graded = made.labels.filter((pl.col("label") == "Edema") & (pl.col("status") == "uncertain"))
    assert graded["probability"].to_list() == [0.5] * graded.height
    assert statuses(made, "Fracture") == {"unmentioned": 200}


def test_what_is_turned_round() -> None:
    made = disturb("multiple_choice", NoiseParams(missed=0, turned=1), taught())
    assert statuses(made, "Edema") == {"absent": 200}
    assert statuses(made, "Mass") == {"present": 200}
    assert made.evidence["probability"].null_count() == 600


def test_more_noise_holds_the_less() -> None:
    few, many = (
        set(taught().evidence.join(disturb("multiple_choice", NoiseParams(missed=m, turned=0), taught()).evidence,
                                   on=["report_id", "label", "n"], how="anti").select("report_id", "label", "n").rows())
        for m in (0.1, 0.4)
    )  # fmt: skip
    assert few
    assert few < many


def test_a_phrase_without_a_mention_is_gone_and_one_without_evidence_stays() -> None:
    made = disturb("open_ended", NoiseParams(missed=1, turned=0), taught())
    assert made.labels["label"].unique().to_list() == ["Fracture"]  # it had no evidence to lose
    assert made.evidence.is_empty()


def test_a_teacher_without_evidence_cannot_be_disturbed() -> None:
    without = taught()._replace(evidence=taught().evidence.clear())
    with pytest.raises(InputError, match=r"synthesize\.multiple_choice\.noise.*no evidence"):
        disturb("multiple_choice", NoiseParams(missed=0.1, turned=0), without)
