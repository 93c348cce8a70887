"""Open-i's annotations to gold: rules by hand, every head decided, codes that exist, and the counts over the whole collection."""

import csv
import tarfile
import warnings
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from defusedxml import ElementTree

from raddistill import concepts, labelsets
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.sources.collections.openi import OpenI
from raddistill.sources.gold import mapping
from raddistill.tables.gold import Gold

ROOT = Path(__file__).parents[1]
MAPPING = ROOT / "gold/openi"
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")
ARCHIVE = ROOT / "data/raw/NLMCXR_reports.tgz"

# Of all 3,955 reports; equal to the mapping behind the figures of docs (compared cell by cell when it was turned into data).
PRESENT_AND_AMBIGUOUS = {
    "Atelectasis": (332, 9),
    "Cardiomegaly": (345, 61),
    "Consolidation": (30, 183),
    "Edema": (46, 55),
    "Enlarged Cardiomediastinum": (27, 442),
    "Fracture": (84, 82),
    "Lung Lesion": (130, 436),
    "Lung Opacity": (558, 535),
    "Pleural Effusion": (163, 48),
    "Pleural Other": (58, 126),
    "Pneumonia": (42, 175),
    "Pneumothorax": (27, 0),
    "Support Devices": (291, 147),
}


def statuses_of(*majors, task="multiple_choice"):
    """Label to status of one report, the absent ones left out."""
    rows = OpenI().gold({"r": list(majors)}, MAPPING, LABELS, CONCEPTS).filter(pl.col("task") == task)
    return {label: status for label, status in rows.select("label", "status").iter_rows() if status != "absent"}


@pytest.mark.parametrize(
    ("majors", "expected"),
    [
        (["normal"], {}),
        (["Pneumothorax/right/apex"], {"Pneumothorax": "present"}),
        (["Cardiomegaly/mild"], {"Cardiomegaly": "present", "Enlarged Cardiomediastinum": "ambiguous"}),
        (["Cardiomegaly/borderline"], {"Cardiomegaly": "ambiguous", "Enlarged Cardiomediastinum": "ambiguous"}),
        (["Cardiac Shadow/enlarged/borderline"], {"Cardiomegaly": "ambiguous", "Enlarged Cardiomediastinum": "ambiguous"}),
        (["Cardiac Shadow/enlarged/mild"], {"Cardiomegaly": "present", "Enlarged Cardiomediastinum": "ambiguous"}),
        (["Heart/obscured/right"], {}),
        (["Opacity/mediastinum"], {"Lung Opacity": "ambiguous", "Enlarged Cardiomediastinum": "ambiguous"}),
        (["Opacity/ribs"], {"Lung Opacity": "present"}),
        (["Opacity/lung/base", "Density/lung"], {"Lung Opacity": "present"}),
        (["Pericardial Effusion/large"], {"Cardiomegaly": "ambiguous"}),
        (["Thickening/pleura/apex"], {"Pleural Other": "present"}),
        (["Thickening/bronchi"], {"Lung Opacity": "ambiguous"}),
        (["Aorta, Thoracic/enlarged"], {"Enlarged Cardiomediastinum": "ambiguous"}),
        (["Scoliosis", "Osteophyte"], {}),
        (["fractures,  bone/ribs"], {"Fracture": "present"}),
    ],
)
def test_labels_of_annotations(majors, expected):
    assert statuses_of(*majors) == expected


@pytest.mark.parametrize(
    ("majors", "expected"),
    [
        (["normal"], {}),
        (["Pneumothorax/right"], {"pneumothorax": "present"}),
        (["Hydropneumothorax/right"], {"pneumothorax": "present", "pleural effusion": "present"}),
        (["Cardiomegaly/borderline"], {"cardiomegaly": "ambiguous"}),
        (["Lung/hypoinflation"], {"low lung volumes": "ambiguous"}),
        (["Aorta/tortuous"], {"tortuous aorta": "present", "aortic ectasia": "ambiguous"}),
        (["Calcinosis/aorta"], {"atherosclerosis": "present"}),
        (["Cicatrix/pleura"], {"pleural thickening": "present", "scar": "ambiguous", "opacity": "ambiguous"}),
        (["Diaphragm/flattened"], {"flattened diaphragm": "ambiguous"}),
        (["Catheters, Indwelling/right"], {"catheter or tube": "present", "implanted device": "ambiguous"}),
    ],
)
def test_concepts_of_annotations(majors, expected):
    assert statuses_of(*majors, task="open_ended") == expected


@pytest.mark.parametrize("majors", [["No Indexing"], ["Cardiomegaly/mild", "no indexing"]])
def test_a_report_that_was_not_annotated_is_excluded_everywhere(majors):
    rows = OpenI().gold({"r": majors}, MAPPING, LABELS, CONCEPTS)
    assert set(rows["status"]) == {"excluded"}
    assert rows.height == len(LABELS) + len(CONCEPTS)


def test_the_table_is_dense_and_keeps_its_schema():
    rows = OpenI().gold({"a": ["normal"], "b": ["Scoliosis"], "c": ["No Indexing"]}, MAPPING, LABELS, CONCEPTS)
    assert Gold.validate(rows, cast=True).height == 3 * (len(LABELS) + len(CONCEPTS))


def test_a_label_that_the_mapping_does_not_know_is_named():
    with pytest.raises(InputError, match=r"labels\.csv has no rule for Rickets"):
        OpenI().gold({}, MAPPING, [*LABELS, Label(name="Rickets", description="")], CONCEPTS)


def test_a_head_that_nobody_decided_is_named():
    with pytest.raises(InputError, match=r"heads\.csv does not decide 1 heads of the reports: rickets"):
        OpenI().gold({"r": ["Rickets/mild"]}, MAPPING, LABELS, CONCEPTS)


def test_a_concept_that_gold_concepts_does_not_have_is_named():
    with pytest.raises(InputError, match=r"names concepts that gold/concepts\.csv does not have: opacity"):
        OpenI().gold({}, MAPPING, LABELS, CONCEPTS[1:])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("heads.csv", "head,decision\n", "is not a CSV with the columns head, decision, why"),
        ("heads.csv", "head,decision,why\nAorta,maybe,\n", "unknown decision maybe"),
        ("labels.csv", "label,status,head,any_of,none_of,why\nEdema,present,Aorta, Thoracic,,,\n", "needs quotes"),
        ("labels.csv", "label,status,head,any_of,none_of,why\nEdema,absent,Aorta,,,\n", "unknown status absent"),
        ("concepts.csv", None, "is missing; params.yaml names its folder as extract.gold"),
    ],
)
def test_a_broken_mapping_says_what_is_wrong(tmp_path, file, content, message):
    for source in MAPPING.glob("*.csv"):
        (tmp_path / source.name).write_text(source.read_text())
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=message):
        OpenI().gold({}, tmp_path, LABELS, CONCEPTS)


def test_columns_of_a_mapping_go_by_name(tmp_path):
    for source in MAPPING.glob("*.csv"):
        table = pl.read_csv(source, infer_schema=False)
        table.select(reversed(table.columns)).write_csv(tmp_path / source.name)
    reordered, shipped = (OpenI().gold({"r": ["Cardiomegaly/mild"]}, folder, LABELS, CONCEPTS) for folder in (tmp_path, MAPPING))
    assert reordered.equals(shipped)


def rows_of(name):
    with (MAPPING / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_coded_head_maps_to_a_concept_whatever_its_qualifiers():
    rules = mapping.load_rules(MAPPING / "concepts.csv")
    coded = [head for head, decision in mapping.load_heads(MAPPING / "heads.csv").items() if decision == "coded"]
    assert len(coded) == 117  # and `normal` and `No Indexing`: the 122 heads less three that differ by case or spaces
    for head in coded:
        own = [rule for rule in rules if rule.head == head]
        named = frozenset().union(*(rule.any_of for rule in own))
        whatever = [rule for rule in own if not rule.any_of and rule.none_of <= named]
        assert whatever, f"{head}: no rule for what its other rules leave over"


def test_rules_are_about_heads_that_are_decided_and_stand_once():
    heads = mapping.load_heads(MAPPING / "heads.csv")
    assert Counter(heads.values()) == {"coded": 117, "normal": 1, "excluded": 1}
    for name in ("labels.csv", "concepts.csv"):
        rules = rows_of(name)
        assert {mapping.head_of(rule["head"]) for rule in rules} <= {h for h, d in heads.items() if d == "coded"}
        doubled = Counter(tuple(rule[c] for c in ("label", "status", "head", "any_of", "none_of")) for rule in rules)
        assert max(doubled.values()) == 1


def test_every_debatable_row_says_why():
    for name in ("labels.csv", "concepts.csv"):
        assert [rule for rule in rows_of(name) if rule["status"] == "ambiguous" and not rule["why"]] == []
    assert [row for row in rows_of("heads.csv") if row["decision"] != "coded" and not row["why"]] == []


@pytest.fixture(scope="module")
def icd():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its way to read its own data
        import simple_icd_10_cm
    return simple_icd_10_cm


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda c: c.concept)
def test_codes_are_of_icd_10_cm(concept, icd):
    """A code is billable; with "-" at its end it is a category that has codes below it."""
    for code in [concept.code, *concept.accept.split(";")]:
        if code:
            stem = code.rstrip("-").rstrip(".")
            assert icd.is_valid_item(stem), code
            assert icd.is_leaf(stem) != code.endswith("-"), code
    assert bool(concept.code) == (concept.kind != "optional")


def test_a_concept_is_what_its_kind_says():
    """Optional ones are never present, all others can be."""
    present = {rule.label for rule in mapping.load_rules(MAPPING / "concepts.csv") if rule.status == "present"}
    assert present == {c.concept for c in CONCEPTS if c.kind != "optional"}


@pytest.fixture(scope="module")
def collection():
    if not ARCHIVE.is_file():
        pytest.skip("data/raw/NLMCXR_reports.tgz is not there: `dvc repro fetch` brings it")
    majors = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if member.name.endswith(".xml"):
                tree = ElementTree.parse(archive.extractfile(member))
                majors[tree.find("uId").get("id")] = [major.text for major in tree.findall("MeSH/major")]
    assert len(majors) == 3955
    return OpenI().gold(majors, MAPPING, LABELS, CONCEPTS), majors


def test_counts_of_the_whole_collection_are_pinned(collection):
    gold, _ = collection
    counted = gold.filter(pl.col("task") == "multiple_choice").group_by("label", "status").len()
    counts = {(label, status): n for label, status, n in counted.iter_rows()}
    found = {label: (counts.get((label, "present"), 0), counts.get((label, "ambiguous"), 0)) for label in PRESENT_AND_AMBIGUOUS}
    assert found == PRESENT_AND_AMBIGUOUS
    assert counts["Edema", "excluded"] == 95


def test_the_normal_reports_are_those_that_people_called_normal(collection):
    gold, majors = collection
    absent = gold.filter(pl.col("task") == "open_ended").group_by("report_id").agg((pl.col("status") == "absent").all())
    assert set(absent.filter(pl.col("status"))["report_id"]) == {r for r, said in majors.items() if said == ["normal"]}


def test_every_annotation_of_the_collection_maps_to_a_concept(collection):
    _, majors = collection
    rules = mapping.load_rules(MAPPING / "concepts.csv")
    heads = mapping.load_heads(MAPPING / "heads.csv")
    distinct = {major for said in majors.values() for major in said}
    assert len(distinct) == 1719
    assert [m for m in distinct if heads[mapping.head_of(m)] == "coded" and not mapping.fired(m, rules)] == []
