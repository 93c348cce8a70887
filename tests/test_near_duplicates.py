"""Near duplicates by hand, and as a comparison of every pair finds them; counted between splits."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill import near_duplicates
from raddistill.near_duplicates import has_near_duplicate
from raddistill.sources.splits import splitting

TEXTS = st.lists(st.lists(st.sampled_from([*"abcdefghij", "Ä", "."]), max_size=8).map(" ".join), max_size=12)


@pytest.mark.parametrize(
    ("text", "near"),
    [("a b c d", True), ("D, c; b A", True), ("a b c d e", True), ("a b c d e f", False), ("x", False), ("...", False)],
)
def test_by_hand(text: str, near: bool) -> None:
    """Against {a, b, c, d}: 4 of 5 words are a Jaccard index of 0.8, 4 of 6 are 0.67."""
    assert has_near_duplicate([text], ["a b c d", "y z"], jaccard=0.8).tolist() == [near]


def test_without_texts_or_without_words() -> None:
    assert has_near_duplicate([], ["a"], 0.8).tolist() == []
    assert has_near_duplicate(["a", ""], [], 0.8).tolist() == [False, False]
    assert has_near_duplicate(["a", "..."], ["", "-"], 0.8).tolist() == [False, True]  # two empty sets are equal


@given(TEXTS, TEXTS, st.sampled_from([0.0, 0.2, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 1.0]))
def test_every_pair_that_a_full_comparison_finds(texts: list[str], training: list[str], jaccard: float) -> None:
    """In parts of few texts, with few of the words dense."""
    sets = [[set(near_duplicates.WORD.findall(text.lower())) for text in some] for some in (texts, training)]
    expected = [any(len(one & other) >= jaccard * len(one | other) - 1e-9 for other in sets[1]) for one in sets[0]]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FREQUENT": 3, "TRAINING_AT_ONCE": 5, "HELD_OUT_AT_ONCE": 2}.items():
            patch.setattr(near_duplicates, name, value)
        assert has_near_duplicate(texts, training, jaccard).tolist() == expected
    assert has_near_duplicate(pl.Series(texts, dtype=pl.String), training, jaccard).tolist() == expected


def test_counts_by_split_leave_out_training_texts_that_are_held_out() -> None:
    rows = [
        ("a b c d", "1", "train"), ("a b c d e", "2", "test"), ("e d c b a", "3", "test"), ("a b c d f", "4", "validation"),
        ("v w x y", "5", "train"), ("v w x y", "5", "validation"), ("v w x y z", "6", "test"), ("q", "7", "validation"),
    ]  # fmt: skip
    reports = pl.DataFrame(rows, schema=["text", "text_group", "split"], orient="row").with_columns(
        patient_id=pl.lit(None, pl.String)
    )
    assert splitting.count_near_duplicates(reports, 0.8) == {"validation": 1, "test": 2}
    assert splitting.count_near_duplicates(reports.reverse(), 0.8) == {"validation": 1, "test": 2}
    assert splitting.count_near_duplicates(reports, 1.0) == {"validation": 0, "test": 0}
    assert splitting.leaks(reports) == {"patients": 0, "reports_of_patients": 0, "texts": 1, "training_reports_of_texts": 1}
