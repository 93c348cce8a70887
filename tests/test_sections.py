import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddistill.sections import markup
from raddistill.sections.report_text import compose, section_text, tidy
from raddistill.sentences import sentences, with_lines

section = st.none() | st.text(min_size=1).map(tidy)
LAYOUTS = st.lists(
    st.sampled_from(
        ["No effusion", "small nodule", "The heart is large.", "- Left nodule",
         "1. ", "2) ", "(1) ", " ", "  ", "\n", "\n\n", ",", "and ",
         "is ", "no ", "vs.", "nodule?", " ?nodule", "; ",
         ": no", "\t", "\r\n", "of", "effusion", "a"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


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
def test_the_place_of_each_section_can_be_told(findings: str | None, impression: str | None) -> None:
    there = [(h, words) for h, words in (("FINDINGS: ", findings), ("IMPRESSION: ", impression)) if words]
    assert compose(findings, impression) == "\n".join(header + words for header, words in there)


@given(st.text())
def test_every_word_is_kept_and_spaces_are_single(words: str) -> None:
    tidied = tidy(words)
    assert (tidied or "").split() == words.split()
    assert tidied is None or (tidied == tidied.strip() != "" and "  " not in tidied and "\n\n\n" not in tidied)


@given(LAYOUTS)
@settings(max_examples=500)
def test_the_sentences_are_those_of_the_text_as_it_was_written(text: str) -> None:
    def read(words: str) -> list[list[str]]:
        return [said for start, end in sentences(words, 0, len(words)) if (said := words[start:end].split())]

    once = with_lines(text)
    assert read(once) == read(text)
    assert with_lines(once) == once


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("The lungs are\nclear. No\r\neffusion.", "The lungs are clear. No effusion."),
        ("- No effusion\n-  Left nodule\n", "- No effusion\n- Left nodule"),
        ("no effusion\nleft upper lobe nodule", "no effusion\n\nleft upper lobe nodule"),
        ("No&nbsp;effusion<br>Left nodule", "No effusion\nLeft nodule"),
        ("No&amp;nbsp;effusion&lt;br&gt;nodule &amp;lt; 3 mm", "No effusion\n\nnodule < 3 mm"),
        ("Nodule <3 mm and >2 mm & stable", "Nodule <3 mm and >2 mm & stable"),
        ("<p></p> \n", None),
        (None, None),
    ],
    ids=["wrapped", "list", "lower-case-lines", "markup", "escaped-twice", "no-markup", "nothing-but-markup", "nothing"],
)
def test_section_text(cell: str | None, words: str | None) -> None:
    assert section_text(cell) == words


PIECES = st.sampled_from(["No", " effusion", "<br>", "&nbsp;", "<b>", "&amp;", "<li>", "é", "&eacute;", "_x000D_", "\\n"])


@given(st.lists(PIECES, max_size=10))
def test_every_character_knows_where_it_was_written(pieces: list[str]) -> None:
    text = "".join(pieces)
    read = markup.plain(text)
    if read.starts is None or read.ends is None:
        assert read.text == text
        return
    assert len(read.text) == len(read.starts) == len(read.ends)
    for char, start, end in zip(read.text, read.starts, read.ends, strict=True):
        assert text[start:end] == char or char in markup.plain(text[start:end]).text
