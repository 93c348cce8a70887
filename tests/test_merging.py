"""From labels to examples: nobody is lost, held-out texts are not trained on, answers are never cut."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from transformers import AutoTokenizer

from raddistill import params
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student.merging import Merged, MergeParams, merge
from raddistill.student.prompts import encode
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples

ROOT = Path(__file__).parents[1]
LABELS = [
    Label(name="Edema", description="water"),
    Label(name="Fracture", description="broken"),
    Label(name="Mass", description="mass"),
]
LONG = " ".join(["The lungs are clear."] * 200)


def reports() -> pl.DataFrame:
    rows = [
        ("a", "train", "Edema is possible, with a rib fracture.", None, "g1"),
        ("b", "train", "Clear.", "Clear.", "g2"),
        ("c", "train", "As in the test split.", None, "g3"),
        ("d", "validation", "Mild edema.", None, "g4"),
        ("e", "test", "As in the test split.", None, "g3"),
        ("f", "train", LONG, "A small effusion.", "g5"),
    ]
    frame = pl.DataFrame(rows, schema=["report_id", "split", "findings", "impression", "text_group"], orient="row")
    found, summed = pl.format("FINDINGS: {}", "findings"), pl.format("IMPRESSION: {}", "impression")
    return frame.with_columns(text=pl.concat_str(found, summed, separator="\n", ignore_nulls=True))


def said(task: str, rows: list[tuple[str, str, str, str | None]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["report_id", "label", "status", "code"], orient="row")
    return frame.with_columns(task=pl.lit(task), probability=pl.lit(None, dtype=pl.Float64))


MULTIPLE_CHOICE = said(
    "multiple_choice",
    [(r, label, "unmentioned", None) for r in "bcde" for label in ("Edema", "Mass")]
    + [("a", "Edema", "uncertain", None), ("a", "Fracture", "present", None), ("a", "Mass", "absent", None)],
)
OPEN_ENDED = said(
    "open_ended",
    [("a", "rib fracture", "present", "S22.39XA"), ("a", "edema", "uncertain", "J81.0"), ("d", "mild edema", "present", "J81.0")],
)
OUTCOMES = pl.DataFrame({"report_id": list("abcdef"), "outcome": ["labelled"] * 5 + ["quarantined"]})


def merged(tiny_base: Path, multiple_choice: pl.DataFrame | None = None, **changed: Any) -> Merged:
    p = params.load("merge", MergeParams).model_copy(update={"max_tokens": 600, **changed})
    return merge(
        p,
        reports(),
        {"multiple_choice": MULTIPLE_CHOICE if multiple_choice is None else multiple_choice, "open_ended": OPEN_ENDED},
        {"multiple_choice": OUTCOMES, "open_ended": OUTCOMES},
        LABELS,
        AutoTokenizer.from_pretrained(tiny_base),
        ROOT / "prompts/student",
    )


def row(made: Merged, report_id: str, task: str) -> dict[str, Any]:
    return made.examples.row(by_predicate=(pl.col("report_id") == report_id) & (pl.col("task") == task), named=True)


def test_table_follows_its_schema_and_loses_nobody(tiny_base: Path) -> None:
    made = merged(tiny_base)
    checked = tables.check(Examples, made.examples, "examples")
    assert sorted(checked["report_id"].to_list()) == sorted("abdef" * 2)
    assert made.metrics["open_ended"] == {
        "train": 2, "validation": 1, "available": 2, "not_labelled": 1, "dropped_text_held_out": 1, "shortened": 1,
    }  # fmt: skip


def test_training_text_that_is_held_out_is_dropped(tiny_base: Path) -> None:
    assert "c" not in merged(tiny_base).examples["report_id"].to_list()


def test_soft_targets_in_the_order_of_the_label_set(tiny_base: Path) -> None:
    made = merged(tiny_base, uncertain=0.7)
    assert row(made, "a", "multiple_choice")["targets"] == [0.7, 1.0, 0.0]
    assert row(made, "b", "multiple_choice")["targets"] == [0.0, None, 0.0]  # no row for Fracture: not trained on
    assert row(made, "a", "multiple_choice")["completion"] == "Edema\nFracture\nMass"


def test_list_answers_name_what_is_worth_half_or_more(tiny_base: Path) -> None:
    assert row(merged(tiny_base, answers="list"), "a", "multiple_choice")["completion"] == "Edema, Fracture"
    assert row(merged(tiny_base, answers="list", uncertain=0.4), "a", "multiple_choice")["completion"] == "Fracture"
    assert row(merged(tiny_base, answers="list"), "b", "multiple_choice")["completion"] == "Normal"


def test_phrases_come_in_the_order_of_reading(tiny_base: Path) -> None:
    assert row(merged(tiny_base), "a", "open_ended")["completion"] == "edema | J81.0\nrib fracture | S22.39XA"
    assert row(merged(tiny_base), "b", "open_ended")["completion"] == "None"


def test_quarantined_report_is_asked_and_not_trained_on(tiny_base: Path) -> None:
    example = row(merged(tiny_base), "f", "multiple_choice")
    assert example["completion"] is None
    assert not example["selected"]


def test_long_report_keeps_impression_and_answer(tiny_base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    example = row(merged(tiny_base), "f", "open_ended")
    assert "IMPRESSION: A small effusion." in example["prompt"]
    assert LONG not in example["prompt"]
    full, one_more = len(encode(tokenizer, example["prompt"], None, "lines").input_ids), " lungs"
    assert full <= 600
    assert full + 3 * len(tokenizer(one_more)["input_ids"]) > 600  # as much of the report as there is room for


def test_no_room_for_instruction_and_answer(tiny_base: Path) -> None:
    with pytest.raises(InputError, match=r"merge\.max_tokens: 70 tokens do not hold"):
        merged(tiny_base, max_tokens=70)


def test_samples_grow_and_test_is_never_selected(tiny_base: Path) -> None:
    one = merged(tiny_base, multiple_choice_reports=1).examples.filter("selected")
    two = merged(tiny_base, multiple_choice_reports=2).examples.filter("selected")
    assert set(one.select("report_id", "task").iter_rows()) < set(two.select("report_id", "task").iter_rows())
    assert "test" not in two["split"].to_list()
    assert merged(tiny_base, open_ended_reports=0).examples.filter("selected")["task"].unique().to_list() == ["multiple_choice"]


def test_share_of_empty_answers(tiny_base: Path) -> None:
    """Of the training answers in `list`, b alone is empty, a is not; e is of no training split, d of validation."""
    chosen = merged(tiny_base, multiple_choice_reports=1, empty=0.0).examples.filter("selected")
    train = chosen.filter((pl.col("split") == "train") & (pl.col("task") == "multiple_choice"))
    assert train["report_id"].to_list() == ["a"]
    chosen = merged(tiny_base, multiple_choice_reports=1, empty=0.99).examples.filter("selected")
    train = chosen.filter((pl.col("split") == "train") & (pl.col("task") == "multiple_choice"))
    assert train["report_id"].to_list() == ["b"]
    every = merged(tiny_base, multiple_choice_reports=2, empty=0.0).examples.filter("selected")
    assert every.filter(pl.col("split") == "train", task="multiple_choice").height == 2  # one kind runs out: the other fills


def test_probabilities_are_targets_only_if_asked(tiny_base: Path) -> None:
    edema = pl.col("label") == "Edema"
    soft = MULTIPLE_CHOICE.with_columns(probability=pl.when(edema).then(0.8))  # the others have none
    by_status = row(merged(tiny_base, soft, soft_labels=False), "a", "multiple_choice")
    by_probability = row(merged(tiny_base, soft, soft_labels=True), "a", "multiple_choice")
    assert by_status["targets"] == row(merged(tiny_base), "a", "multiple_choice")["targets"]
    assert by_probability["targets"] == [0.8, *by_status["targets"][1:]]
    assert by_status["targets"][0] != 0.8
