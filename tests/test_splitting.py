import string
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.sources.splits import splitting

words = st.text(string.ascii_letters + string.digits + "éß", min_size=1)
sentences = st.lists(words, min_size=1).map(" ".join)


@given(st.text(), st.text(), st.floats(0, 0.7), st.floats(0, 0.3))
def test_same_group_same_split(group: str, salt: str, train: float, validation: float) -> None:
    first = splitting.split_of(group, salt, train, validation, fold=0)
    assert first in {"train", "validation", "test"}
    assert splitting.split_of(group, salt, train, validation, fold=0) == first


@given(st.text(), st.text())
def test_shares_of_nothing_and_all(group: str, salt: str) -> None:
    assert splitting.split_of(group, salt, 1.0, 0.0, fold=0) == "train"
    assert splitting.split_of(group, salt, 0.0, 1.0, fold=0) == "validation"
    assert splitting.split_of(group, salt, 0.0, 0.0, fold=0) == "test"


@given(st.text(), st.text(), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_training_share_takes_nobody_out_of_training(group: str, salt: str, less: float, more: float) -> None:
    less, more = sorted((less, more))
    if splitting.split_of(group, salt, less, 0.1, fold=0) == "train":
        assert splitting.split_of(group, salt, more, 0.1, fold=0) == "train"


def test_shares_are_met() -> None:
    splits = [splitting.split_of(f"patient {n}", "salt", 0.7, 0.1, fold=0) for n in range(20_000)]
    # Four standard errors of a share of 0.7 among 20,000 are 0.013.
    assert splits.count("train") / 20_000 == pytest.approx(0.7, abs=0.013)
    assert splits.count("validation") / 20_000 == pytest.approx(0.1, abs=0.013)
    few = [splitting.split_of(f"patient {n}", "salt", 0.0005, 0.0, fold=0) for n in range(20_000)]
    assert 0 < few.count("train") < 30  # 10 expected: a share is not rounded to a coarse step of the hash


def test_salt_reshuffles() -> None:
    assert len({splitting.split_of("patient 1", str(salt), 0.7, 0.1, fold=0) for salt in range(100)}) == 3


def test_pinned() -> None:
    """Another hash would move every report of every user: not by accident."""
    assert [splitting.split_of(str(n), "raddistill", 0.7, 0.1, fold=0) for n in range(10)] == [
        "validation",
        "validation",
        "train",
        "train",
        "train",
        "test",
        "test",
        "train",
        "train",
        "train",
    ]
    assert splitting.text_group("No pneumothorax.") == "c54969eb37674a71"


@given(sentences)
def test_text_group_knows_no_case_no_punctuation_no_spacing(sentence: str) -> None:
    dressed = "  " + sentence.upper().replace(" ", " ,\n- ") + "."
    assert splitting.text_group(dressed) == splitting.text_group(sentence)


@given(st.lists(words, min_size=2, max_size=6), st.integers(1, 5))
def test_text_group_knows_no_sections(parts: list[str], cut: int) -> None:
    cut = min(cut, len(parts) - 1)
    apart = splitting.text_group(" ".join(parts[:cut]), " ".join(parts[cut:]))
    assert apart == splitting.text_group(None, " ".join(parts)) == splitting.text_group(" ".join(parts), None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("No effusion.", "Effusion."),
        ("Nodule of 5 mm.", "Nodule of 6 mm."),
        ("Rib fracture 1 2", "Rib fracture 12"),
    ],
    ids=["negation", "size", "word-borders"],
)
def test_different_words_different_groups(one: str, other: str) -> None:
    assert splitting.text_group(one) != splitting.text_group(other)


@given(st.text(), st.text(), st.integers(1, 9), st.integers(0, 999))
def test_a_group_is_in_test_in_one_fold_of_all(group: str, salt: str, k: int, thousandths: int) -> None:
    """Shares as people write them; 0.7 + 0.1 is not 0.8 in floats."""
    k = {3: 4, 6: 8, 7: 10, 9: 20}.get(k, k)  # those whose share is a decimal
    train = round((1 - 1 / k) * thousandths / 1000, 4)
    validation = round(1 - 1 / k - train, 6)
    assert splitting.folds(train, validation) == k
    placed = [splitting.split_of(group, salt, train, validation, fold) for fold in range(k)]
    assert placed.count("test") == 1


@given(st.text(), st.text())
def test_of_five_folds_a_group_is_tested_in_one(group: str, salt: str) -> None:
    assert splitting.folds(0.7, 0.1) == 5
    assert [splitting.split_of(group, salt, 0.7, 0.1, fold) for fold in range(5)].count("test") == 1


@pytest.mark.parametrize("at", ["0.2", "0.4", "0.6", "0.8", "0.7", "0.5", "0.3", "0.1"])
def test_no_group_falls_between_the_folds(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The places of the hash on both sides of each border, which are the ones that rounding would move."""
    for place in range(int(Fraction(at) * 2**48) - 2, int(Fraction(at) * 2**48) + 3):
        found = SimpleNamespace(digest=lambda place=place: place.to_bytes(6, "big"))
        monkeypatch.setattr(splitting, "hashlib", SimpleNamespace(sha256=lambda _, found=found: found))
        assert [splitting.split_of("", "", 0.7, 0.1, fold) for fold in range(5)].count("test") == 1
        first = splitting.split_of("", "", 0.7, 0.1, 0)
        assert first == ("train" if place / 2**48 < 0.7 else "validation" if place / 2**48 < 0.7 + 0.1 else "test")


def test_a_share_that_is_no_part_of_one_has_no_folds() -> None:
    assert splitting.folds(0.6, 0.1) == 1
