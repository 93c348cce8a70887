"""Lexicon folders: broken files are refused with file, line and reason; the cold one is valid, and frozen."""

import hashlib
import shutil
import warnings
from pathlib import Path

import pytest

from raddistill.errors import InputError
from raddistill.labelsets import Label, load_labels
from raddistill.statuses import PRESENT
from raddistill.teachers.rules import lexicon

COLD = Path("lexicon/cold")
# The cold lexicon is the noisy teacher whose student is judged. It was written from knowledge of the domain before any gold was
# looked at; whoever improves it afterwards knows more than it may know, and every published comparison would have to be run anew.
# Improve a copy in another folder instead. To change this one deliberately: rerun all, say why in docs/log.md, set the new hash.
FROZEN = "84253ac04c5c20388814e1ee3f0b08114011aebf48ba9aab4b8c14f508bc4077"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(COLD, tmp_path / "lexicon")
    return tmp_path / "lexicon"


def test_the_cold_lexicon_is_frozen():
    files = sorted(path for path in COLD.rglob("*") if path.is_file())
    assert len(files) == 24  # 13 labels, 9 kinds of cues, conditions, modifiers
    content = b"".join(path.relative_to(COLD).as_posix().encode() + b"\0" + path.read_bytes() + b"\0" for path in files)
    assert hashlib.sha256(content).hexdigest() == FROZEN


def test_every_file_of_the_cold_lexicon_begins_with_a_comment():
    assert all(path.read_text(encoding="utf-8").startswith("# ") for path in COLD.rglob("*.*"))


def test_every_label_has_its_file_and_no_file_is_left_over():
    labels = load_labels("lexicon/label_sets/chest_13.yaml")
    assert {phrase.label for phrase in lexicon.load_labels(COLD, labels)} == {label.name for label in labels}
    assert {lexicon.label_file(COLD, label.name) for label in labels} == set((COLD / "multiple_choice").iterdir())


def test_every_condition_has_a_billable_icd_10_cm_code():
    with warnings.catch_warnings():  # the package reads its data through a deprecated function of importlib.resources
        warnings.simplefilter("ignore", DeprecationWarning)
        import simple_icd_10_cm
    codes = {phrase.code for phrase in lexicon.load_conditions(COLD)} - {None}
    assert len(codes) >= 100
    assert [code for code in codes if not (simple_icd_10_cm.is_valid_item(code) and simple_icd_10_cm.is_leaf(code))] == []


def test_phrases_expand_to_every_alternative(tmp_path):
    (tmp_path / "multiple_choice").mkdir()
    (tmp_path / "multiple_choice" / "lung_lesion.txt").write_text(
        "[mention]\n\nbig|small Mass-like opaci* # no comment\n".replace(" # no comment", "")
    )
    found = lexicon.load_labels(tmp_path, [Label(name="Lung Lesion", description="")])
    assert found == [lexicon.Phrase((size, "mass", "like", "opaci*"), "Lung Lesion", PRESENT, None) for size in ("big", "small")]


def test_a_file_of_notepad_is_read(folder):
    path = folder / "multiple_choice" / "edema.txt"
    before = lexicon.load_labels(folder, [Label(name="Edema", description="")])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert lexicon.load_labels(folder, [Label(name="Edema", description="")]) == before


def test_cues_know_their_kind():
    kinds = {phrase.text: phrase.label for phrase in lexicon.load_cues(COLD)}
    assert (kinds["no"], kinds["cannot exclude"], kinds["no change"]) == ("pre_negation", "pre_uncertainty", "pseudo")
    assert set(kinds.values()) == set(lexicon.CUES)


LABEL, CONDITIONS = "multiple_choice/edema.txt", "open_ended/conditions.csv"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (LABEL, "# c\n[mentions]\nedema\n", r"edema\.txt, line 2: unknown section; known: \[mention\]"),
        (LABEL, "edema\n", "line 1: a phrase before the first section"),
        (LABEL, "[mention]\n.. edema\n", r"line 2: `\.\.` must be between two words"),
        (LABEL, "[mention]\nedema ..\n", r"line 2: `\.\.` must be between two words"),
        (LABEL, "[mention]\na .. .. b\n", r"line 2: `\.\.` must be between two words"),
        (LABEL, "[mention]\na .. b .. c .. d\n", r"line 2: .* at most twice"),
        (LABEL, "[mention]\na ..|b c\n", r"line 2: `\.\.` cannot be one of several"),
        (LABEL, "[mention]\na|\n", "line 2: only words"),
        (LABEL, "[mention]\n" + "a|b|c " * 20, "line 2: stands for more than 5000 phrases"),
        (LABEL, "[mention]\n(a)+\n", "line 2: only words"),
        (LABEL, "[mention]\ned*\n", r"line 2: `word\*` needs three letters"),
        (LABEL, "[mention]\n-\n", r"line 2: `\.\.` must be between|line 2: no word"),
        (LABEL, "[mention]\nedema\n[ignore]\nEdema\n", "the phrase 'edema' is listed twice"),
        (LABEL, "[absent]\nedema\n", r"edema\.txt: no phrase under \[mention\]"),
        (LABEL, "", r"no phrase under \[mention\]"),
        (LABEL, b"[mention]\nedema\n\xe9\n", r"edema\.txt, line 3: not UTF-8"),
        (CONDITIONS, "edema,J81.1\n", "first line that is not a comment must be `phrase,code`"),
        (CONDITIONS, "phrase,code\nedema\n", r"conditions\.csv, line 2: expected `phrase,code`"),
        (CONDITIONS, "phrase,code\nedema,81.1\n", "line 2: expected `phrase,code`: an ICD-10-CM code"),
        (CONDITIONS, "phrase,code\nedema,J81.1,x\n", "line 2: expected `phrase,code`"),
        (CONDITIONS, "phrase,code\nedema,J81.1\nedema,J81.0\n", "the phrase 'edema' is listed twice"),
        ("open_ended/modifiers.txt", "mild\nvery mild\n", r"modifiers\.txt, line 2: expected one word"),
        ("cues/pre_negation.txt", "no\nno?\n", r"pre_negation\.txt, line 2: only words"),
        ("cues/pre_negation.txt", "no\nis absent\n", "the phrase 'is absent' is listed twice"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused(folder, file, content, message):
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        load_all(folder)


@pytest.mark.parametrize("file", [LABEL, CONDITIONS, "open_ended/modifiers.txt", "cues/verbs.txt"])
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(InputError, match=rf"{Path(file).stem}\.\w+ is missing"):
        load_all(folder)


def load_all(folder):
    lexicon.load_labels(folder, load_labels("lexicon/label_sets/chest_13.yaml"))
    lexicon.load_conditions(folder)
    lexicon.load_modifiers(folder)
    lexicon.load_cues(folder)
