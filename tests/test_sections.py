import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.sources.sections import compose, single_spaced

section = st.none() | st.text(min_size=1).map(single_spaced)


@pytest.mark.parametrize(
    ("findings", "impression", "text"),
    [
        ("Lungs are clear.", "Normal chest.", "FINDINGS: Lungs are clear.\nIMPRESSION: Normal chest."),
        ("Lungs are clear.", None, "FINDINGS: Lungs are clear."),
        (None, "Normal chest.", "IMPRESSION: Normal chest."),
        (None, None, ""),
    ],
    ids=["both", "findings-only", "impression-only", "neither"],
)
def test_compose(findings: str | None, impression: str | None, text: str) -> None:
    assert compose(findings, impression) == text


@given(section, section)
def test_each_section_is_one_line_and_its_place_can_be_told(findings: str | None, impression: str | None) -> None:
    lines = compose(findings, impression).split("\n")
    expected = [("FINDINGS: ", findings), ("IMPRESSION: ", impression)]
    there = [(header, words) for header, words in expected if words]
    assert [line for line in lines if line] == [header + words for header, words in there]


@given(st.none() | st.text())
def test_single_spaced_keeps_every_word(words: str | None) -> None:
    spaced = single_spaced(words)
    assert (spaced or "").split() == (words or "").split()
    assert spaced is None or (spaced == spaced.strip() != "" and "  " not in spaced and "\n" not in spaced)
