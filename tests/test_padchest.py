"""PadChest's form, with reports written for these tests (nothing of the collection stands here)."""

import csv
import gzip
import io
import itertools
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from raddistill import concepts, labelsets
from raddistill.errors import InputError
from raddistill.sources.collections.image_cohorts import PADCHEST_COLUMNS, PadChest, labels_of, link
from raddistill.sources.documents import Document, Failure
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold

ROOT = Path(__file__).parent.parent
MAPPING = ROOT / "gold/padchest"
SETS = {file.stem: labelsets.load_labels(file) for file in (ROOT / "lexicon/label_sets").glob("*.yaml")}
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")
ALL = ["", "ImageID", *PADCHEST_COLUMNS, "Localizations"]  # a few of the 36, in the file's order but for the first
FIRST = {"": "0", "ImageID": "1.png", "ReportID": "7", "PatientID": "70", "Report": "corazon grand . pulmon limpi .",
         "MethodLabel": "Physician", "Labels": "['cardiomegaly']", "Localizations": "['loc cardiac']"}  # fmt: skip


def write(folder: Path, *rows: dict[str, str], names: list[str] = ALL, name: str = "PADCHEST_written.csv.gz") -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / name
    content = text.getvalue().encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


def row(**changed: str) -> dict[str, str]:
    return FIRST | changed


def read(raw: Path) -> list[Document | Failure]:
    return list(PadChest().read(raw))


def gold(said: dict[str, tuple[str, ...]], label_set: str = "chest_13", mapping: Path = MAPPING) -> pl.DataFrame:
    made = PadChest().gold(said, mapping, SETS[label_set], CONCEPTS)
    return tables.check(Gold, made, "gold")


def statuses(frame: pl.DataFrame, report_id: str, task: str = "multiple_choice") -> dict[str, str]:
    return dict(frame.filter(pl.col("report_id") == report_id, pl.col("task") == task).select("label", "status").rows())


def test_rows_of_images_become_reports(tmp_path: Path) -> None:
    write(tmp_path, row(), row(ImageID="2.png"), row(ReportID="8", PatientID="80", Labels="['normal']", Report="sin hallazg ."))
    first, second = read(tmp_path)
    assert isinstance(first, Document)
    assert (first.report_id, first.patient_id, first.annotations) == ("7", "70", ("cardiomegaly",))
    assert first.findings == "corazon grand . pulmon limpi ."
    assert (first.impression, first.indication, first.comparison, first.without_headers) == (None, None, None, True)
    assert (second.report_id, second.annotations) == ("8", ("normal",))


@pytest.mark.parametrize("name", ["PADCHEST_written.csv.gz", "PADCHEST_written.csv"])
def test_the_file_or_its_folder(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, row(), name=name)
    assert read(path) == read(tmp_path)


def test_the_networks_labels_are_no_annotations(tmp_path: Path) -> None:
    write(tmp_path, row(MethodLabel="RNN_model", Labels="nan"), row(ReportID="8", MethodLabel="RNN_model", Labels="['nodule']"))
    assert [made.annotations for made in read(tmp_path)] == [(), ()]


def test_a_report_of_both_methods_has_the_physicians_labels(tmp_path: Path) -> None:
    write(tmp_path, row(MethodLabel="RNN_model", Labels="['nodule']"), row(Labels="[' kyphosis', 'nodule', '']"))
    (made,) = read(tmp_path)
    assert made.annotations == ("kyphosis", "nodule")


def test_ids_that_share_a_report_are_one_patient(tmp_path: Path) -> None:
    rows = [row(PatientID="b"), row(PatientID="a"), row(ReportID="8", PatientID="b"), row(ReportID="9", PatientID="c")]
    write(tmp_path, *rows)
    assert {made.report_id: made.patient_id for made in read(tmp_path)} == {"7": "a", "8": "a", "9": "c"}


def test_no_patient_is_none(tmp_path: Path) -> None:
    write(tmp_path, row(PatientID=" "))
    assert [made.patient_id for made in read(tmp_path)] == [None]


def test_a_blank_report_is_left_to_extract(tmp_path: Path) -> None:
    write(tmp_path, row(Report="  "))
    (made,) = read(tmp_path)
    assert (made.findings, made.without_headers) == (None, False)


def test_a_report_in_the_word_nan_is_none(tmp_path: Path) -> None:
    """As 112 of the real ones."""
    write(tmp_path, row(Report="nan"), row(ReportID="8", Report=" . . . ."))
    assert [made.findings for made in read(tmp_path)] == [None, None]


def test_physicians_lists_whose_commas_are_lost(tmp_path: Path) -> None:
    write(tmp_path, row(Labels="['kyphosis'\t 'nodule']"), row(ReportID="8", Labels="['kyphosis''nodule']"))
    first, second = read(tmp_path)
    assert isinstance(first, Document)
    assert first.annotations == ("kyphosis", "nodule")
    assert second == Failure("8", "Labels are no list of words")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"Report": "otra cosa ."}, "id of several different reports"),
        ({"Labels": "['nodule']"}, "physicians' labels differ between rows"),
        ({"Labels": "nan"}, "Labels are no list of words"),
        ({"Labels": "__import__('os')"}, "Labels are no list of words"),
        ({"Labels": "['cardiomegaly'"}, "Labels are no list of words"),
        ({"Labels": "[cardiomegaly]"}, "Labels are no list of words"),
        ({"MethodLabel": "Nurse"}, "MethodLabel is neither Physician nor RNN_model"),
        ({"PatientID": "\udce9"}, "not UTF-8"),
    ],
    ids=["text", "labels", "nan", "code", "open", "bare", "method", "encoding"],
)
def test_a_report_whose_rows_do_not_fit(other: dict[str, str], reason: str, tmp_path: Path) -> None:
    rows = [row(), row(ImageID="2.png", **other), row(ReportID="8")]
    for order in itertools.permutations(rows):
        write(tmp_path, *order)
        failure, document = read(tmp_path)
        assert failure == Failure("7", reason)
        assert document.report_id == "8"


def test_a_text_of_another_encoding(tmp_path: Path) -> None:
    write(tmp_path, row(Report="caf\udce9 ."), row(ReportID="8"))
    failure, _ = read(tmp_path)
    assert failure == Failure("7", "not UTF-8")


def test_rows_without_an_id_or_of_another_width(tmp_path: Path) -> None:
    path = write(tmp_path, row(ReportID=" "), row(), name="PADCHEST_written.csv")
    path.write_text(path.read_text(encoding="utf-8") + "3,secret words\n", encoding="utf-8")
    *failures, document = read(path)
    assert failures == [
        Failure("PADCHEST_written.csv", "no report id", 1),
        Failure("PADCHEST_written.csv", "2 cells, the header has 8", 3),
    ]
    assert isinstance(document, Document)
    assert document.report_id == "7"
    assert "secret" not in str(read(path))


def test_columns_are_missing_or_doubled(tmp_path: Path) -> None:
    write(tmp_path, {}, names=["ReportId", "PatientID", "Report", "MethodLabel", "Labels"])
    with pytest.raises(InputError, match=r"no column 'ReportID'; did you mean 'ReportId'\? There are: ReportId, PatientID"):
        read(tmp_path)
    write(tmp_path, names=[*ALL, "Labels"])
    with pytest.raises(InputError, match="more than one column 'Labels'"):
        read(tmp_path)
    write(tmp_path, names=["un parrafo de un informe que nadie debe ver .", "a"])
    with pytest.raises(InputError, match="it needs a header") as caught:
        read(tmp_path)
    assert "parrafo" not in str(caught.value)


def test_files_that_are_no_padchest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds 0 files PADCHEST"):
        read(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nowhere")
    path = write(tmp_path)
    with pytest.raises(InputError, match="holds no row"):
        read(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty; its first line must name the columns"):
        read(tmp_path)
    path.write_bytes(gzip.compress(b"x" * 5000)[:20])
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path)
    write(tmp_path, name="PADCHEST_other.csv")
    with pytest.raises(InputError, match="holds 2 files"):
        read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(data=st.data())
def test_the_order_of_rows_does_not_matter(data: st.DataObject, tmp_path: Path) -> None:
    rows = [row(ReportID=str(n // 2), PatientID=str(n % 5), Report=f"frase {n // 2} .", ImageID=f"{n}.png") for n in range(12)]
    write(tmp_path, *rows)
    before = read(tmp_path)
    write(tmp_path, *data.draw(st.permutations(rows)))
    assert read(tmp_path) == before


@given(st.lists(st.sets(st.sampled_from("abcdefgh"), max_size=3), max_size=8))
def test_linked_ids_are_the_connected_ones(groups: list[set[str]]) -> None:
    found = link(groups)
    assert set(found) == set().union(*groups)
    assert all(len({found[name] for name in group}) <= 1 for group in groups)
    for name, smallest in found.items():
        reached = {name}
        while grown := set().union(*(group for group in groups if group & reached)) - reached:
            reached |= grown
        assert smallest == min(reached)


# Python writes these without a backslash, of which no label has one.
PLAIN = st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters="\\"), max_size=12).filter(
    lambda word: not ("'" in word and '"' in word)
)


@example(["aunt's", ' a "b" ', "a, b]", "", " ", "a"])
@given(st.lists(PLAIN, max_size=5))
def test_a_list_as_python_writes_it_is_read(words: list[str]) -> None:
    assert labels_of(repr(words)) == tuple(sorted({word.strip() for word in words} - {""}))


@given(st.text(max_size=3), st.text(max_size=3))
def test_what_is_beside_a_list_is_no_list(before: str, after: str) -> None:
    assume(before.strip() or after.strip())
    assert labels_of(f"{before}['a']{after}") is None


def test_gold_has_a_row_for_everything() -> None:
    made = gold(
        {"a": ("cardiomegaly", "NSG tube"), "b": (), "c": ("unchanged",), "d": ("unchanged", "Pneumothorax "), "e": ("normal",)}
    )
    width = len(SETS["chest_13"]) + len(CONCEPTS)
    assert made.height == 5 * width
    assert made["annotator"].unique().to_list() == ["padchest_physician"]
    a = statuses(made, "a")
    assert {name for name, status in a.items() if status == "present"} == {"Cardiomegaly", "Support Devices"}
    assert {name for name, status in a.items() if status == "ambiguous"} == {"Enlarged Cardiomediastinum"}
    for nobody in ("b", "c"):
        assert set(statuses(made, nobody).values()) == set(statuses(made, nobody, "open_ended").values()) == {"excluded"}
    assert statuses(made, "d")["Pneumothorax"] == "present"
    assert set(statuses(made, "e").values()) == {"absent"}
    assert statuses(made, "a", "open_ended")["cardiomegaly"] == "present"
    assert {statuses(made, one, "open_ended")["sarcoidosis"] for one in "ade"} == {"ambiguous"}


def test_present_beats_ambiguous() -> None:
    made = statuses(gold({"a": ("infiltrates", "consolidation", "costophrenic angle blunting", "pleural effusion")}), "a")
    assert (made["Consolidation"], made["Pleural Effusion"], made["Pneumonia"]) == ("present", "present", "ambiguous")


def test_an_optional_concept_is_never_present() -> None:
    optional = [c.concept for c in CONCEPTS if c.kind == "optional"]
    heads = [line.split(",")[0] for line in (MAPPING / "heads.csv").read_text(encoding="utf-8").splitlines()[1:]]
    made = statuses(gold({"a": tuple(heads)}), "a", "open_ended")
    assert {made[name] for name in optional} == {"ambiguous"}
    assert {made[c.concept] for c in CONCEPTS if c.kind == "device"} == {"present"}


def test_nobody_annotated_anything() -> None:
    assert gold({"a": (), "b": ("unchanged",)}).height == 0


def test_its_own_labels_are_a_label_set() -> None:
    own = [label.name for label in SETS["padchest"]]
    assert len(own) == 190
    made = statuses(gold({"a": ("COPD signs", "pneumonia"), "b": ("normal",)}, "padchest"), "a")
    assert list(made) == own
    assert {name for name, status in made.items() if status == "present"} == {"COPD signs", "pneumonia"}
    assert set(made.values()) == {"present", "absent"}


def test_a_smaller_label_set_uses_the_rules_of_the_larger() -> None:
    made = statuses(gold({"a": ("empyema",)}, "three"), "a")
    assert made == {"Cardiomegaly": "absent", "Pleural Effusion": "present", "Pneumothorax": "absent"}


def test_every_label_of_the_set_is_decided_and_has_its_head() -> None:
    heads = (MAPPING / "heads.csv").read_text(encoding="utf-8").splitlines()[1:]
    decided = {line.split(",")[0]: line.split(",")[1] for line in heads}
    assert {name for name, decision in decided.items() if decision == "coded"} == {label.name for label in SETS["padchest"]}
    assert {name: decision for name, decision in decided.items() if decision != "coded"} == {
        "exclude": "excluded", "normal": "normal", "unchanged": "excluded",
    }  # fmt: skip


# Where label and concept mean one thing, the two files decide alike; but for these heads, of which CheXpert knows more.
SAME = {
    "Atelectasis": "atelectasis", "Cardiomegaly": "cardiomegaly", "Consolidation": "consolidation", "Fracture": "fracture",
    "Lung Opacity": "opacity", "Pleural Effusion": "pleural effusion", "Pleural Other": "pleural thickening",
    "Pneumonia": "pneumonia", "Pneumothorax": "pneumothorax",
}  # fmt: skip
OF_CHEXPERT = {"Pleural Other": {("ambiguous", "pulmonary fibrosis")}, "Pneumonia": {("ambiguous", "tuberculosis")}}


def decisions(file: str) -> dict[str, set[tuple[str, str]]]:
    made: dict[str, set[tuple[str, str]]] = {}
    for rule in csv.DictReader((MAPPING / file).read_text(encoding="utf-8").splitlines()):
        made.setdefault(rule["label"], set()).add((rule["status"], rule["head"]))
    return made


def test_labels_and_concepts_of_one_meaning_are_decided_alike() -> None:
    labels, found = decisions("labels.csv"), decisions("concepts.csv")
    assert {name: labels[name] - OF_CHEXPERT.get(name, set()) for name in SAME} == {n: found[c] for n, c in SAME.items()}
    for by_name in (labels, found):  # none has two decisions
        assert [name for name, rules in by_name.items() if len({head for _, head in rules}) < len(rules)] == []


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("labels.csv", "Edema,present,kerley lines,loc basal,,\n", "any_of and none_of stay blank.*kerley lines"),
        ("concepts.csv", "zebra,present,nodule,,,\n", "concepts that gold/concepts.csv does not have: zebra"),
        ("labels.csv", "Edema,maybe,nodule,,,\n", "unknown status maybe"),
    ],
)
def test_a_mapping_that_breaks_its_form(name: str, line: str, told: str, tmp_path: Path) -> None:
    for file in MAPPING.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes() + (line.encode() if file.name == name else b""))
    with pytest.raises(InputError, match=told):
        gold({"a": ("nodule",)}, mapping=tmp_path)


def test_labels_nobody_decided_and_label_sets_without_rules(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"heads\.csv does not decide 1 labels: zebra"):
        gold({"a": ("Zebra", "nodule")})
    with pytest.raises(InputError, match=r"labels\.csv has no rule for Zebra"):
        PadChest().gold({"a": ("nodule",)}, MAPPING, [labelsets.Label(name="Zebra", description="")], CONCEPTS)
    with pytest.raises(InputError, match=r"heads\.csv is missing"):
        gold({"a": ("nodule",)}, mapping=tmp_path)


def test_parquet_with_numbers_for_ids(tmp_path: Path) -> None:
    """As whoever made it of the CSV may have them."""
    cells = {"ReportID": [7], "PatientID": [70.0], "Report": ["corazon grand ."], "MethodLabel": ["RNN_model"], "Labels": [None]}
    pl.DataFrame(cells).write_parquet(tmp_path / "PADCHEST.parquet")
    (made,) = read(tmp_path / "PADCHEST.parquet")
    assert isinstance(made, Document)
    assert (made.report_id, made.patient_id, made.annotations) == ("7", "70", ())
