"""The scorer's own lexicon: from phrases as people write them to concepts."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill import concepts
from raddistill.errors import InputError
from raddistill.scoring.scorer_lexicon import Match, load_lexicon

ROOT = Path(__file__).parents[1]
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")
LEXICON = load_lexicon(ROOT / "gold/scorer_lexicon.csv", CONCEPTS)


@pytest.mark.parametrize(
    ("phrase", "concept"),
    [
        ("Small left pleural effusion", "pleural effusion"),
        ("effusions", "pleural effusion"),
        ("pericardial effusion", "pericardial effusion"),
        ("heart is mildly enlarged", "cardiomegaly"),
        ("enlarged cardiac silhouette", "cardiomegaly"),
        ("cardiomegaly", "cardiomegaly"),
        ("bibasilar airspace opacities", "opacity"),
        ("patchy right lower lobe consolidation", "consolidation"),
        ("streaky XXXX atelectasis", "atelectasis"),
        ("8 mm nodule in the right upper lobe", "nodule"),
        ("calcified granuloma", "old granuloma"),
        ("calcified left hilar lymph nodes", "calcified node"),
        ("atherosclerotic calcification of the thoracic aorta", "atherosclerosis"),
        ("tortuous thoracic aorta", "tortuous aorta"),
        ("degenerative changes of the thoracic spine", "degenerative spine"),
        ("multilevel degenerative disc disease", "degenerative spine"),
        ("degenerative changes of the left shoulder", "osteoarthritis"),
        ("mild dextroscoliosis", "scoliosis"),
        ("healed right sixth rib fracture", "fracture"),
        ("compression deformity of T12", "fracture"),
        ("elevated right hemidiaphragm", "elevated diaphragm"),
        ("right apical pneumothorax", "pneumothorax"),
        ("pneumothoraces", "pneumothorax"),
        ("biapical pleural thickening", "pleural thickening"),
        ("chronic obstructive pulmonary disease", "emphysema or COPD"),
        ("hyperexpanded lungs", "hyperinflation"),
        ("low lung volumes", "low lung volumes"),
        ("blunting of the left costophrenic angle", "blunted angle"),
        ("pulmonary vascular congestion", "pulmonary congestion"),
        ("interstitial pulmonary edema", "pulmonary edema"),
        ("subcutaneous emphysema", "subcutaneous emphysema"),
        ("right internal jugular central venous catheter", "catheter or tube"),
        ("dual lead pacemaker", "implanted device"),
        ("median sternotomy wires", "surgical material"),
        ("large hiatal hernia", "hiatal hernia"),
        ("osteopenia", "bone demineralization"),
        ("fibrosis", "interstitial lung disease"),
        ("scarring in the lingula", "scar"),
    ],
)
def test_phrases_to_concepts(phrase, concept):
    assert LEXICON.match(phrase) == Match(concept, fuzzy=False)


@pytest.mark.parametrize(("phrase", "concept"), [("pleural efusion", "pleural effusion"), ("cardiomegally", "cardiomegaly")])
def test_a_slip_of_spelling_is_mapped_and_flagged(phrase, concept):
    assert LEXICON.match(phrase) == Match(concept, fuzzy=True)


@pytest.mark.parametrize("phrase", ["", "left", "XXXX", "zebra sign", "clear lungs", "normal heart size", "| |", "the patient"])
def test_what_is_no_finding_is_unmapped(phrase):
    assert LEXICON.match(phrase) == Match(None, fuzzy=False)


@given(st.text())
def test_no_phrase_raises(phrase):
    assert LEXICON.match(phrase).concept in {None, *(c.concept for c in CONCEPTS)}


def test_every_phrase_of_the_lexicon_finds_its_own_concept():
    with (ROOT / "gold/scorer_lexicon.csv").open(newline="") as lines:
        everything = list(csv.DictReader(lines))
    rows = [row for row in everything if row["concept"]]
    assert len(rows) > 1500
    assert all(row["phrase"].isalnum() for row in everything if not row["concept"])  # a stripped row is one word
    assert [row["phrase"] for row in rows if LEXICON.match(row["phrase"]) != Match(row["concept"], fuzzy=False)] == []
    assert {row["concept"] for row in rows} == {c.concept for c in CONCEPTS}
    assert all(row["phrase"] == row["phrase"].casefold() for row in rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("phrase,code\n", "is not a CSV with the columns phrase, concept"),
        ("phrase,concept\nzebra,zebras\n", "does not have: zebras"),
        ("phrase,concept\nscar,scar\nscars,opacity\n", "'scars' has only stop words, or belongs to two concepts"),
        ("phrase,concept\nleft,\nleft,scar\n", "'left' has only stop words"),
    ],
)
def test_a_broken_lexicon_says_what_is_wrong(tmp_path, content, message):
    (tmp_path / "lexicon.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        load_lexicon(tmp_path / "lexicon.csv", CONCEPTS)


def test_a_missing_lexicon_says_how_to_get_it_back(tmp_path):
    with pytest.raises(InputError, match="git checkout"):
        load_lexicon(tmp_path / "none.csv", CONCEPTS)
