"""Section headers are data: an edit of lexicon/sections is followed, and what is broken is told with its file and line."""

import pickle
import shutil
from pathlib import Path

import pytest

from raddistill import paths
from raddistill.errors import InputError
from raddistill.sections import lexicon, parser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(paths.SECTION_WORDS, tmp_path / "sections"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_header_that_is_added_opens_its_section(folder: Path) -> None:
    text = "Cough.\nBEFUND: Clear lungs."
    edit(folder / "headers.txt", "[findings]\n", "[findings]\n# as written here\n(rx |)befund\n")
    assert parser.words(text).indication is None
    assert parser.words(text, lexicon.load(folder))[:2] == ("Clear lungs.", None)
    assert {"befund", "rx befund"} <= set(lexicon.load(folder).known)


def test_another_process_reads_the_same_words(folder: Path) -> None:
    words = lexicon.load(folder)
    assert pickle.loads(pickle.dumps(words)) is words  # noqa: S301


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("headers", "\ntitle\n", "\nTitle\n", r"headers\.txt, line \d+: phrases are in lower case"),
        ("headers", "\ntitle\n", "\nti  tle\n", r"line \d+: .* one space between words"),
        ("headers", "\ntitle\n", "\ntitle(s\n", r"line \d+: each \( needs its \)"),
        ("headers", "\ntitle\n", "\ntitle\n(sub|)title\n", r"line \d+: 'title' is there already"),
        ("headers", "\ntitle\n", "\nreport\n", r"headers\.txt: 'report' opens two sections"),
        ("headers", "[main]\n", "[main]\ntitles\n", r"headers\.txt: 'titles' opens no section"),
        ("headers", "[exam]", "[examm]", r"line \d+: \[examm\] is none of the sections findings, .*"),
        ("headers", "[findings]", "finding\n[findings]", r"line \d+: it is above the first \[section\]"),
        ("titles", "[chest]\n", "", r"titles\.txt has no phrases of \[chest\]"),
        ("parts", "lung(s|)", "(a|b)" * 10, r"line \d+: more than 1000 alternatives"),
    ],
)
def test_what_is_broken_is_told(folder: Path, file: str, old: str, new: str, reason: str) -> None:
    if file == "titles":
        path = folder / "titles.txt"
        path.write_text(path.read_text(encoding="utf-8").partition(old)[0], encoding="utf-8")
    else:
        edit(folder / f"{file}.txt", old, new)
    with pytest.raises(InputError, match=reason):
        lexicon.load(folder)


def test_a_file_that_is_missing_is_told(folder: Path) -> None:
    (folder / "chest.txt").unlink()
    with pytest.raises(InputError, match=r"chest\.txt cannot be read: No such file"):
        lexicon.load(folder)
