"""Pointing at findings: what a token is worth, which phrases its probabilities give, which codes they get."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.student.tagging import STATED, WITHIN, Codes, phrases_of, token_targets

TEXT = "Mild cardio-megaly, left  pleural effusion."
#       Mild      cardio    -          mega       ly         ,          left       pleural    eff        usion
PLACES = [(0, 4), (4, 11), (11, 12), (12, 16), (16, 18), (18, 19), (19, 24), (25, 33), (33, 37), (37, 42), (42, 43)]


def span(start: int, end: int, worth: float | None) -> dict[str, float | None]:
    return {"start": start, "end": end, "worth": worth}


def test_tokens_inside_a_span_have_its_worth_and_others_none_at_all() -> None:
    worth = token_targets(PLACES, [span(5, 18, 0.6), span(26, 42, None)])
    assert worth == [0.0, 0.6, 0.6, 0.6, 0.6, 0.0, 0.0, None, None, None, 0.0]
    assert token_targets(PLACES, []) == [0.0] * 11


def test_of_spans_that_overlap_the_longest_counts() -> None:
    for spans in ([span(20, 42, 1.0), span(26, 33, 0.3)], [span(26, 33, 0.3), span(20, 42, 1.0)]):
        assert token_targets(PLACES, spans)[6:] == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_a_token_without_letters_of_its_own_is_worth_nothing() -> None:
    assert token_targets([(0, 4), (4, 4), (4, 11)], [span(0, 11, 1.0)]) == [1.0, 0.0, 1.0]


HIGH, MIDDLE, LOW = STATED + 0.01, WITHIN + 0.01, WITHIN - 0.01


@pytest.mark.parametrize(
    ("probabilities", "phrases"),
    [
        ([LOW] * 11, []),
        ([HIGH] * 11, ["mild cardio-megaly", "left pleural effusion"]),  # the comma breaks, hyphen and spaces do not
        ([LOW] * 6 + [MIDDLE, MIDDLE, HIGH, HIGH, LOW], ["left pleural effusion"]),  # carried by one word that is stated
        ([MIDDLE] * 11, []),  # nothing is stated
        ([LOW] * 6 + [HIGH, LOW, HIGH, HIGH, LOW], ["left", "effusion"]),
        ([LOW] * 8 + [1.0, 0.3, LOW], ["effusion"]),  # a word is the mean of its tokens, and whole
        ([LOW] * 8 + [1.0, 0.2, LOW], []),
        ([HIGH, LOW, 1.0, LOW, LOW] + [LOW] * 6, ["mild"]),  # marks are no words
    ],
)
def test_phrases_by_the_probability_of_their_tokens(probabilities: list[float], phrases: list[str]) -> None:
    assert phrases_of(TEXT, PLACES, probabilities) == phrases


def test_a_decimal_number_is_one_word() -> None:
    text = "A 1.5 cm nodule."
    places = [(0, 1), (2, 3), (3, 4), (4, 5), (6, 8), (9, 15), (15, 16)]
    assert phrases_of(text, places, [LOW, *[HIGH] * 5, LOW]) == ["1.5 cm nodule"]


@given(st.text("aBé-,. \n2", max_size=30), st.data())
def test_a_phrase_stands_in_the_text_as_whole_words_in_reading_order(text: str, data: st.DataObject) -> None:
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text))))})
    places = list(itertools.pairwise(cuts))
    probabilities = data.draw(st.lists(st.floats(0, 1), min_size=len(places), max_size=len(places)))
    normalised, at = " ".join(text.lower().split()), 0
    for phrase in phrases_of(text, places, probabilities):
        found = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)").search(normalised, at)
        assert found
        at = found.end()


def test_codes_of_known_similar_and_unknown_phrases() -> None:
    codes = Codes(["small left effusion | J90\nold rib fracture | S22.3", "rib fracture | S22.4", "rib fracture | S22.3", "None"])
    codes_twice = Codes(["rib fracture | S22.4", "rib fracture | S22.4", "rib fracture | S22.3"])
    assert codes.lookup("old rib fracture") == "S22.3"
    assert codes_twice.lookup("rib fracture") == "S22.4"  # the most frequent
    assert codes.lookup("rib fracture") == "S22.3"  # of equals the first by name
    assert codes.lookup("left small effusions") == "J90"  # the most similar
    assert codes.lookup("scoliosis") is None
    assert Codes([]).lookup("rib fracture") is None
    assert Codes(["rib fracture | "]).lookup("rib fractures") == ""  # a teacher without codes
