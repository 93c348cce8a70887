"""Hedges graded by their cue: the scale, which words of a cue count, what becomes of a label, and broken files."""

from pathlib import Path

import polars as pl
import pytest

from raddistill import labelsets, paths
from raddistill.errors import InputError
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.reader import Hedges
from raddistill.teachers.rules.teacher import RulesTeacher

LABELS = labelsets.load_labels("lexicon/label_sets/chest_13.yaml")
HEDGES = Hedges(paths.HEDGES)
DOUBT = ("pre_uncertainty", "post_uncertainty", "alternatives")


@pytest.mark.parametrize(
    ("cue", "worth"),
    [
        ("most consistent with", 0.9),
        ("suspicious for", 0.75),
        ("is most likely", 0.75),
        ("likely represent", 0.75),
        ("suggestive", 0.75),
        ("possible", 0.5),
        ("may represent", 0.5),  # what "may" takes from "represent"
        ("thought to be possible", 0.5),
        ("cannot be entirely excluded", 0.5),
        ("concerning for", 0.5),
        ("versus", 0.5),
        ("is less likely", 0.25),  # not the "likely" in it
        ("are less likely atelec*", 0.25),
        ("is felt less likely", 0.25),
        ("is less likely than", None),
        ("favored over", None),
        ("not well seen on the", None),
        ("vanishing", None),
    ],
)
def test_what_a_cue_is_worth(cue, worth):
    assert HEDGES.probability(UNCERTAIN, cue) == worth


def test_only_what_is_uncertain_by_a_cue_is_graded():
    assert [HEDGES.probability(says, "possible") for says in (PRESENT, ABSENT)] == [None, None]
    assert HEDGES.probability(UNCERTAIN, None) is None
    assert Hedges(None).probability(UNCERTAIN, "possible") is None


def test_every_cue_of_doubt_of_cold_is_graded():
    cues = [cue.text for cue in lexicon.load_cues(Path("lexicon/cold")) if cue.label in DOUBT]
    assert len(cues) > 100
    assert [cue for cue in cues if HEDGES.probability(UNCERTAIN, cue) is None] == []


def test_cues_of_tuned_that_are_not_graded_are_few_of_kind():
    """That the film does not show it well, and which of two is likelier."""
    cues = [cue.text for cue in lexicon.load_cues(Path("lexicon/tuned")) if cue.label in DOUBT]
    left = [cue for cue in cues if HEDGES.probability(UNCERTAIN, cue) is None]
    assert len(left) < len(cues) / 10
    assert [cue for cue in left if "than" not in cue.split() and "over" not in cue.split() and not cue.startswith("not ")] == [
        "less likely"
    ]


def label(text, task="multiple_choice"):
    report = {"report_id": "r", "findings": text, "impression": None, "text": f"FINDINGS: {text}"}
    reports = pl.DataFrame([report], schema_overrides={"impression": pl.String})
    return RulesTeacher(task, "lexicon/cold", "findings_and_impression", paths.HEDGES).label(reports, LABELS)


@pytest.mark.parametrize(
    ("text", "status", "probability", "mentions"),
    [
        ("Possible edema. Edema is likely.", UNCERTAIN, 0.75, [(UNCERTAIN, 0.5), (UNCERTAIN, 0.75)]),
        ("Probable edema. Edema cannot be excluded. No edema.", UNCERTAIN, 0.75,
         [(UNCERTAIN, 0.75), (UNCERTAIN, 0.5), (ABSENT, None)]),
        ("Possible edema. Edema is seen.", PRESENT, None, [(UNCERTAIN, 0.5), (PRESENT, None)]),
        ("No edema.", ABSENT, None, [(ABSENT, None)]),
    ],
)  # fmt: skip
def test_a_label_is_worth_its_strongest_hedge(text, status, probability, mentions):
    made = label(text)
    assert made.labels.filter(label="Edema").select("status", "probability").rows() == [(status, probability)]
    assert made.evidence.filter(label="Edema").select("status", "probability").rows() == mentions


def test_doubt_of_a_phrase_has_no_cue_and_so_no_probability():
    made = label("Borderline cardiomegaly.")
    assert made.labels.filter(label="Cardiomegaly").select("status", "probability").rows() == [(UNCERTAIN, None)]
    assert label("Probable scoliosis.", "open_ended").labels.select("status", "probability").rows() == [(UNCERTAIN, 0.75)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("possible,0.5\n", "first line that is not a comment must be `cue,probability`"),
        ("# c\ncue,probability\npossible\n", r"hedges\.csv, line 3: expected `cue,probability`"),
        ("cue,probability\npossible,1.5\n", "line 2: the probability must be a number from 0 to 1"),
        ("cue,probability\npossible,nan\n", "line 2: the probability must be a number from 0 to 1"),
        ("cue,probability\npossible,half\n", "line 2: the probability must be a number from 0 to 1"),
        ("cue,probability\nis .. likely,0.5\n", r"line 2: a hedge has no `\.\.`"),
        ("cue,probability\nis likely?,0.5\n", "line 2: only words"),
        ("cue,probability\n,0.5\n", "line 2: "),
        ("cue,probability\nmay|might,0.5\nmight,0.4\n", "the phrase 'might' is listed twice"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, content, message):
    (tmp_path / "hedges.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        Hedges(tmp_path / "hedges.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"hedges\.csv is missing"):
        Hedges(tmp_path / "hedges.csv")
