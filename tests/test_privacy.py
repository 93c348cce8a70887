"""Which strings may be told as ids or names, and which may be words of a report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill import privacy

IDS = [
    "a", "007", "s50414267", "p10000032", "CXR12", "b/1", "patient00001/study1", "p10/p10000032/s50414267", "none",
    "train/patient00001/study1/view1_frontal.jpg", "/data/in 2019/s1", "C:\\data\\s1.txt", "1.2.840.113619.2.55.3.604688119",
    "1.3.6.1.4.1.14519.5.2.1.7777.9002.168969969813049794019998800433", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "{F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6}", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "ACC-2019-00123", "CR 2019 0012",
    "case 12", "Case 12", "No. 12", "MRN:12345", "2019-01-02 10:33:01", "12 34", "12 (2)", "Report (12)", " s1 ", "scan_12_final",
    "Ä7", "#12",
]  # fmt: skip
WORDS = [
    "IMPRESSION: Large heart", "IMPRESSION:Normal", "No edema", "Large heart", "Normal.", "Edema?", "FINDINGS:", "unchanged;",
    "Large heart, clear lungs", "edema,effusion", "1. Large heart", "1. Edema", "T8 fracture", "2 nodules", "8 mm nodule",
    "No\u00a0edema", "The heart is enlarged", "Mild edema since 3/1/2001", "Stable since 2019", "a\nb", "a\rb", "s1\x1b[2J",
    "x" * 256, "r1 r2 r3 r4 r5", "Ruhe, bitte", "sin hallazg",
]  # fmt: skip


@pytest.mark.parametrize("report_id", IDS)
def test_ids_can_be_told(report_id: str) -> None:
    assert not privacy.may_be_text(report_id)
    assert privacy.such_as(report_id) == f" (such as {report_id})"


@pytest.mark.parametrize("words", WORDS)
def test_words_of_a_report_are_not_told_as_an_id(words: str) -> None:
    assert privacy.may_be_text(words)
    assert privacy.such_as(words) == ""


@given(st.text(), st.text())
def test_two_words_without_a_number_are_never_an_id(one: str, other: str) -> None:
    two = f"a{one}b {other}c"
    if not any(character.isdigit() for character in two):
        assert privacy.may_be_text(two)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("Edema", True), ("Enlarged Cardiomediastinum", True), ("central venous catheter via jugular vein", True),
        ("report_id", True), ("", True), ("12", False), ("-1.0", False), ("50000001", False), ("The heart is enlarged.", False),
        ("the heart is a little larger than on the film of last year", False), ("two\nlines", False),
    ],
)  # fmt: skip
def test_names_of_columns_may_have_some_words(name: str, is_one: bool) -> None:
    assert privacy.is_name(name) is is_one


def test_names_and_ids_in_a_message_are_few_and_the_others_are_counted() -> None:
    assert privacy.such_as("b", "No edema", "a", "c", "d") == " (such as b, a, c)"
    assert privacy.list_names(["Edema", "The heart is enlarged."]) == "Edema, 1 more"
    assert privacy.list_names([f"l{n}" for n in range(25)]).endswith("l19, 5 more")
