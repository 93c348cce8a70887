"""Cells of other people's tables: words for nothing, lists in a string."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.reading.cells import is_missing, strings_in

NOTHING = [
    "nan", "NaN", "NAN.", "NULL", "null", "N/A", "n/a.", " NA ", "na", "<NA>", "#N/A", "(null)", "[null]", "\\N", "-nan", "n.a.",
    "NaT", "nan nan", "undefined", "", " ", "-", ".", " . . . .", "--", "nan\n",
]  # fmt: skip
NONE = ["None", "none", "NONE.", "None .", " none\t", "'None'", "nil", "None. None."]
SOMETHING = ["None seen.", "None available", "Nanette", "Na 140", "No", "Normal.", "1", "___", "XXXX", "none or mild", "A"]


@pytest.mark.parametrize("words", [*NOTHING, *NONE])
def test_words_for_nothing(words: str) -> None:
    assert is_missing(words)


@pytest.mark.parametrize("words", SOMETHING)
def test_words_that_say_something(words: str) -> None:
    assert not is_missing(words)


def test_none_can_be_an_answer() -> None:
    assert all(is_missing(words, none_is_said=True) for words in NOTHING)
    assert not any(is_missing(words, none_is_said=True) for words in NONE)


@pytest.mark.parametrize(
    ("cell", "strings"),
    [
        ("['a', 'b']", ["a", "b"]),
        ("['a' 'b']", ["a", "b"]),
        ("['a'\t 'b']", ["a", "b"]),
        ("['a'\n 'b'\n 'c']", ["a", "b", "c"]),
        ("['a','b' 'c',]", ["a", "b", "c"]),
        ('["a", "b"]', ["a", "b"]),
        ("[\"aunt's\" 'b']", ["aunt's", "b"]),
        ("[u'a', u'b']", ["a", "b"]),
        ('["\\u00e9", "a\\\\b"]', ["é", "a\\b"]),
        ("[' a ', '', ' ']", ["a"]),
        (" [] ", []),
        ("['a''b']", None),  # a quote in a string, or two strings
        ("['a'b']", None),
        ("['a'; 'b']", None),
        ("['a',, 'b']", None),
        ("['a' ... 'z']", None),  # numpy leaves out what is between
        ("[a, b]", None),
        ("[1, 2]", None),
        ("['a', None]", None),
        ("[['a'], ['b']]", None),
        ("[b'a']", None),
        ("'a'", None),
        ("a; b", None),
        ("nan", None),
        ("__import__('os')", None),
    ],
)
def test_lists_with_and_without_commas(cell: str, strings: list[str] | None) -> None:
    assert strings_in(cell) == strings


# Not a line end in a string, which numpy prints as it stands.
LABELS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).map(str.strip).filter(bool))


@given(LABELS)
def test_what_python_json_and_numpy_print_is_read(labels: list[str]) -> None:
    assert strings_in(repr(labels)) == labels
    assert strings_in(json.dumps(labels, ensure_ascii=False)) == labels
    assert strings_in(str(np.array(labels, dtype=object))) == labels


@pytest.mark.timeout(5)
@pytest.mark.parametrize("cell", ["[" + " " * 100_000, "['a'" + " " * 100_000 + "x", "['a' " * 20_000, "['" + "\\" * 100_001])
def test_lists_take_linear_time(cell: str) -> None:
    assert strings_in(cell) is None
