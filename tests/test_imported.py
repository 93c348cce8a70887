"""Labels from a file: matched by name and id, never by order; what does not fit is refused or counted."""

import csv
import gzip
from pathlib import Path

import polars as pl
import pytest

from raddistill.errors import InputError
from raddistill.labelsets import Label, load_labels
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN, UNMENTIONED
from raddistill.teachers.imported.teacher import SILENT, ImportedTeacher

ROOT = Path(__file__).parent.parent
LABELS = [Label(name="Edema", description=""), Label(name="Pleural Effusion", description="")]
REPORTS = pl.DataFrame({"report_id": ["a", "b"]})
WIDE = "report_id,Edema,Pleural Effusion\na,1.0,0.0\nb,-1.0,\n"
LONG = "report_id,phrase,code\na,Mild  Edema,J81.1\na,scoliosis,\nb,,\n"


def label(tmp_path, content, task="multiple_choice", reports=REPORTS):
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ImportedTeacher(task, str(path)).label(reports, LABELS)


def cells(made):
    return {(r["report_id"], r["label"]): r["status"] for r in made.labels.iter_rows(named=True)}


EXPECTED = {
    ("a", "Edema"): PRESENT,
    ("a", "Pleural Effusion"): ABSENT,
    ("b", "Edema"): UNCERTAIN,
    ("b", "Pleural Effusion"): UNMENTIONED,
}


@pytest.mark.parametrize(
    "content",
    [
        WIDE,
        "report_id,Edema,Pleural Effusion\nb,-1,\na,1,0\n",
        "Pleural Effusion,report_id,Edema\n0,a,1\n,b,-1\n",
        "report_id,Edema,Pleural Effusion\r\na, 1 ,0\r\nb,-1,\r\n",
        "\ufeffreport_id,Edema,Pleural Effusion\na,1,0\nb,-1,\n",
        "report_id,Edema,Pleural Effusion\ra,1,0\rb,-1,\r",
        "report_id,Edema,Pleural Effusion\na,1,0\r\r\nb,-1,\r\r\n",
    ],
    ids=["floats", "integers-other-rows", "other-columns", "spaces-crlf", "byte-order-mark", "cr", "cr-crlf"],
)
def test_wide_codes_become_statuses_by_name(tmp_path, content):
    made = label(tmp_path, content)
    assert cells(made) == EXPECTED
    assert made.labels["teacher"].unique().to_list() == ["imported:labels"]
    assert made.outcomes["outcome"].to_list() == ["labelled", "labelled"]


def test_parquet_with_the_nan_of_pandas(tmp_path):
    frame = pl.DataFrame({"report_id": ["a", "b"], "Edema": [1.0, -1.0], "Pleural Effusion": [0.0, float("nan")]})
    frame.write_parquet(tmp_path / "labels.parquet")
    assert cells(ImportedTeacher("multiple_choice", str(tmp_path / "labels.parquet")).label(REPORTS, LABELS)) == EXPECTED


def test_other_columns_of_chexpert_are_left_out_and_counted(tmp_path):
    made = label(tmp_path, "report_id,No Finding,Edema,Airspace Opacity,Pleural Effusion\na,,1,,0\nb,1,-1,1,\n")
    assert cells(made) == EXPECTED
    assert made.counts == {"ignored_columns": 2, "labels_for_unknown_reports": 0}


ALL_14 = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,No Finding,"
    "Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)


@pytest.mark.parametrize("key", ["report_id", "subject_id,study_id", "path_to_image"])
@pytest.mark.parametrize(("label_set", "left_out"), [("three", 11), ("chest_13", 1)])
def test_any_set_of_chexperts_labels_takes_a_file_of_all_14(tmp_path, key, label_set, left_out):
    first = {"report_id": "s1", "subject_id,study_id": "9,1", "path_to_image": "train/s/1/view1.jpg"}[key]
    (tmp_path / "labels.csv").write_text(f"{key},{ALL_14}\n{first}{',1.0' * 14}\n")
    labels = load_labels(ROOT / f"lexicon/label_sets/{label_set}.yaml")
    reports = pl.DataFrame({"report_id": ["s1" if key != "path_to_image" else "s/1"]})
    made = ImportedTeacher("multiple_choice", str(tmp_path / "labels.csv")).label(reports, labels)
    assert made.labels["label"].to_list() == [one.name for one in labels]
    assert made.counts == {"ignored_columns": left_out, "labels_for_unknown_reports": 0}


def test_a_report_without_label_is_quarantined_and_foreign_labels_are_counted(tmp_path):
    made = label(tmp_path, "report_id,Edema,Pleural Effusion\nb,1,0\nc,1,0\nd,1,0\nSmall effusion.,1,0\n")
    assert made.outcomes.select("report_id", "outcome", "reason").rows() == [
        ("a", "quarantined", "no label in file"),
        ("b", "labelled", None),
    ]
    unknown = [(report_id, "labelled in the file, but not among the reports") for report_id in ("c", "d")]
    assert made.quarantine.select("report_id", "reason").rows() == [("a", "no label in file"), *unknown]
    assert set(made.labels["report_id"]) == {"b"}
    assert made.counts["labels_for_unknown_reports"] == 3  # the last id may be text of a report, so it is counted only


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("report_id,Edema\na,1\n", r"labels\.csv: columns missing: Pleural Effusion"),
        ("report_id,Edema,Pleural Effusion,Sex\na,1,0,F\n", "columns unknown: Sex; rename or drop them"),
        ("study,Edema,Pleural Effusion\na,1,0\n", "missing: report_id; unknown: study"),
        ("report_id,edema,Pleural Effusion\na,1,0\n", r"missing: Edema \(is it edema\?\); unknown: edema"),
        ("report_id,Edema,Edema,Pleural Effusion\na,1,1,0\n", "more than one column 'Edema'"),
        ("report_id,Edema,Pleural Effusion\na,2,0\nb,x,0\n", "column 'Edema' has 2 cells that are not 1, 0, -1 or blank"),
        ("report_id,Edema,Pleural Effusion\n,1,0\n", "column 'report_id' is blank in 1 rows"),
        (",report_id,Edema,Pleural Effusion\n0,a,1,0\n", r"unknown: \(one without a name\); rename or drop"),
        ("10000001,50000001,1.0,0.0\n1,2,3,4\n", r"labels\.csv: its first line does not look like names of columns"),
        ("", "not a readable CSV"),
        ("report_id;Edema;Pleural Effusion\na;1;0\n", r"labels\.csv has one column only; is it separated by ';'"),
        (WIDE.replace("\na,", "\nx,").replace("\nb,", "\ny,"), r"none of its 2 .* \(such as x\) is one of ours \(such as a\)"),
        (b"report_id,Edema,Pleural Effusion\n\xe9,1,0\n", "not a readable CSV.* row 1: not UTF-8"),
        (WIDE.encode("utf-16"), "not a readable CSV.* is UTF-16, not UTF-8: save it as UTF-8"),
        ("report_id,Edema,Pleural Effusion\na,1,0,1,1\n", "not a readable CSV.* row 1: 5 cells, the header has 3"),
        ("report_id,Edema,Pleural Effusion\na,1,0\nb,1\n", "not a readable CSV.* row 2: 2 cells, the header has 3"),  # no blank
        ("report_id,Edema,Pleural Effusion\na,1,0\rb,0,1\n", "row 1: a line end within a cell without quotes"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        label(tmp_path, content)


def test_a_missing_file_names_its_param(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv does not exist; params\.yaml names it as synthesize\.open_ended\.source"):
        ImportedTeacher("open_ended", str(tmp_path / "none.csv")).label(REPORTS, LABELS)


def test_long_form_is_normalised_and_an_empty_phrase_says_nothing_found(tmp_path):
    made = label(tmp_path, LONG, task="open_ended")
    rows = made.labels.select("report_id", "label", "status", "code").rows()
    assert sorted(rows) == [("a", "mild edema", PRESENT, "J81.1"), ("a", "scoliosis", PRESENT, None)]
    assert made.outcomes["outcome"].to_list() == ["labelled", "labelled"]


def test_a_finding_in_the_word_nan_is_none(tmp_path):
    made = label(tmp_path, "report_id,phrase,code\na,edema,NaN\nb,nan,nan\n", task="open_ended")
    assert made.labels.select("report_id", "label", "code").rows() == [("a", "edema", None)]
    assert made.outcomes["outcome"].to_list() == ["labelled", "labelled"]


def reasons(made):
    return dict(made.outcomes.filter(pl.col("outcome") == "quarantined").select("report_id", "reason").rows())


@pytest.mark.parametrize(
    ("task", "content"),
    [
        ("multiple_choice", WIDE + "a,1,1\n"),
        ("multiple_choice", "report_id,Edema,Pleural Effusion\na,1,\nb,-1,\na,,\na,1,\n"),
        ("open_ended", "report_id,phrase,code\na,edema,J81.1\na, EDEMA ,J81.0\nb,scoliosis,\n"),
        ("open_ended", "report_id,phrase,code\na,edema,J81.1\na,,\nb,scoliosis,\n"),
    ],
    ids=["two codes", "a code and a blank", "two codes of a phrase", "a finding and none"],
)
def test_a_report_whose_rows_differ_is_set_aside_and_the_others_are_taken(tmp_path, task, content):
    made = label(tmp_path, content + "c,1,1\nc,0,1\n", task)
    assert reasons(made) == {"a": "rows of the label file differ"}
    assert set(made.labels["report_id"]) == {"b"}
    assert made.counts["labels_for_unknown_reports"] == 1
    assert dict(made.quarantine.select("report_id", "reason").rows())["a"] == "rows of the label file differ"


@pytest.mark.parametrize(
    ("task", "content", "rows"),
    [
        ("multiple_choice", WIDE + "a,1,0\nb,-1.0,\n", 4),
        ("multiple_choice", "report_id,Edema,Pleural Effusion,No Finding\na,1,0,\nb,-1,,\na,1,0,1\n", 4),
        ("open_ended", LONG + "a, mild edema,J81.1\nb,,\n", 2),
    ],
    ids=["wide", "another column differs", "long"],
)
def test_rows_that_say_the_same_are_one(tmp_path, task, content, rows):
    made = label(tmp_path, content, task)
    assert made.outcomes["outcome"].to_list() == ["labelled", "labelled"]
    assert made.labels.height == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("report_id,phrase\na,edema\n", "columns missing: code"),
        ("report_id,phrase,code\na,mild\nedema,J81.1\n", "row 1: 2 cells, the header has 3"),
    ],
)
def test_long_form_refusals(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        label(tmp_path, content, task="open_ended")


# ------------------------------------------------------------------------------------------------- files of others

STUDIES = pl.DataFrame({"report_id": ["s50000001", "s50000002"]})
MIMIC = "subject_id,study_id,Edema,Fracture,No Finding,Pleural Effusion\n10000001,50000001,1.0,,,0.0\n10000002,50000002,-1.0,,,\n"
OF_STUDIES = {(f"s5000000{'ab'.index(r) + 1}", label): status for (r, label), status in EXPECTED.items()}


@pytest.mark.parametrize("content", [MIMIC, MIMIC.replace(",5000", ",s5000"), MIMIC + "10000002,50000002,-1.0,,,\n"])
def test_label_files_of_mimic_cxr(tmp_path, content):
    path = tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz"
    path.write_bytes(gzip.compress(content.encode()))
    made = ImportedTeacher("multiple_choice", str(path)).label(STUDIES, LABELS)
    assert cells(made) == OF_STUDIES
    assert made.counts == {"ignored_columns": 2, "labels_for_unknown_reports": 0}
    assert made.labels["teacher"].unique().to_list() == ["imported:mimic-cxr-2.0.0-chexpert"]


def test_airspace_opacity_is_lung_opacity(tmp_path):
    (tmp_path / "labels.csv").write_text("study_id,Airspace Opacity\n50000001,1.0\n50000002,\n")
    labels = [Label(name="Lung Opacity", description="")]
    made = ImportedTeacher("multiple_choice", str(tmp_path / "labels.csv")).label(STUDIES, labels)
    assert cells(made) == {("s50000001", "Lung Opacity"): PRESENT, ("s50000002", "Lung Opacity"): UNMENTIONED}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MIMIC.replace("Edema", "Oedema"), r"columns missing: Edema \(is it Oedema\?\); unknown: Oedema"),
        (MIMIC.replace("Fracture", "Fractures"), "columns unknown: Fractures; rename or drop them"),
        (MIMIC.replace("No Finding", "Airspace Opacity").replace("Fracture", "Lung Opacity"), "unknown: Airspace Opacity"),
        (MIMIC.replace("subject_id", "path_to_image"), "unknown: path_to_image"),
        (MIMIC.replace("50000001", "x"), "column 'study_id' has 1 cells that are not such ids"),
        (MIMIC.replace("-1.0", "-2"), "column 'Edema' has 1 cells that are not 1, 0, -1 or blank"),
    ],
)
def test_a_label_file_of_mimic_cxr_with_faults(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        label(tmp_path, content, reports=STUDIES)


def line(image, edema, effusion):
    return f'{{"path_to_image": "{image}", "Edema": {edema}, "Pleural Effusion": {effusion}, "No Finding": null}}\n'


CHEXBERT = (
    line("train/patient00001/study1/view1_frontal.jpg", "1.0", "0.0")
    + line("train/patient00001/study1/view2_lateral.jpg", "1.0", "0.0")
    + line("valid/patient00002/study3/view1_frontal.jpg", "-1.0", "null")
)


def test_chexbert_lines_of_chexpert_plus_are_of_images(tmp_path):
    (tmp_path / "impression_fixed.json").write_text(CHEXBERT)
    reports = pl.DataFrame({"report_id": ["patient00001/study1", "patient00002/study3"]})
    made = ImportedTeacher("multiple_choice", str(tmp_path / "impression_fixed.json")).label(reports, LABELS)
    assert cells(made) == {(reports["report_id"]["ab".index(r)], label): status for (r, label), status in EXPECTED.items()}


def test_a_study_with_two_versions_of_labels_is_set_aside(tmp_path):
    """Two de-identified versions of one report, each labelled by itself (public.md D1)."""
    versions = CHEXBERT.replace('view2_lateral.jpg", "Edema": 1.0', 'view2.jpg", "Edema": null')
    (tmp_path / "report_fixed.json").write_text(versions)
    reports = pl.DataFrame({"report_id": ["patient00001/study1", "patient00002/study3"]})
    made = ImportedTeacher("multiple_choice", str(tmp_path / "report_fixed.json")).label(reports, LABELS)
    assert reasons(made) == {"patient00001/study1": "rows of the label file differ"}
    assert set(made.labels["report_id"]) == {"patient00002/study3"}


def test_a_study_of_mimic_cxr_with_two_rows_is_set_aside(tmp_path):
    made = label(tmp_path, MIMIC + "10000002,50000002,1.0,,,\n", reports=STUDIES)
    assert reasons(made) == {"s50000002": "rows of the label file differ"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2", "not a readable CSV"),
        ("", "not a readable CSV"),
        (line("train/patient00001/study1/view1.jpg", "[1.0]", "0.0"), "columns Edema hold lists or objects"),
        (CHEXBERT.replace("No Finding", "No Findings"), "columns unknown: No Findings"),
        (CHEXBERT.replace("No Finding", "subject_id"), "columns unknown: subject_id"),
        (CHEXBERT.replace("train/patient00001/study1/", ""), "column 'path_to_image' has 2 cells that are not such ids"),
    ],
)
def test_chexbert_lines_with_faults(tmp_path, content, message):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(InputError, match=message):
        ImportedTeacher("multiple_choice", str(tmp_path / "labels.json")).label(REPORTS, LABELS)


PADCHEST = """,ImageID,ReportID,Report,MethodLabel,Labels
0,1.png,11,words,RNN_model,"['edema', ' Pleural effusion']"
1,2.png,11,words,RNN_model,"['edema', ' Pleural effusion']"
2,3.png,12,words,RNN_model,"['', 'normal']"
3,4.png,13,words,Physician,['edema']
4,5.png,14,words,RNN_model,nan
5,6.png,15,words,RNN_model,"['exclude', ' unchanged']"
6,7.png,16,words,RNN_model,"['', ' ']"
7,8.png,17,words,RNN_model,[]
8,9.png,18,words,RNN_model,"['unchanged', 'edema ']"
"""


def test_padchest_gives_the_labels_of_its_network_and_not_those_of_physicians(tmp_path):
    made = label(tmp_path, PADCHEST, reports=pl.DataFrame({"report_id": [str(n) for n in range(11, 19)]}))
    assert cells(made) == {
        ("11", "Edema"): PRESENT,
        ("11", "Pleural Effusion"): PRESENT,
        ("12", "Edema"): ABSENT,
        ("12", "Pleural Effusion"): ABSENT,
        ("18", "Edema"): PRESENT,
        ("18", "Pleural Effusion"): ABSENT,
    }
    assert made.quarantine["report_id"].to_list() == ["13", "14", "15", "16", "17"]
    assert made.counts == {"ignored_columns": 3, "labels_for_unknown_reports": 0}


def test_padchests_words_that_tell_nothing_are_those_that_its_gold_excludes():
    with (ROOT / "gold/padchest/heads.csv").open(encoding="utf-8", newline="") as lines:
        assert {row["head"] for row in csv.DictReader(lines) if row["decision"] == "excluded"} == SILENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PADCHEST.replace("edema", "oedema"), r"no report of PadChest has the label Edema \(is it oedema\?\)"),
        (PADCHEST.replace("['edema']", "a sentence"), "column 'Labels' has a cell that is no list of labels$"),
        (PADCHEST.replace("['edema']", "'edema'"), "no list of labels$"),  # a string is not a list of its letters
        (PADCHEST.replace("['edema']", "[1]"), "no list of labels$"),
        (PADCHEST.replace("['edema']", "['edema''normal']"), "no list of labels$"),
    ],
)
def test_padchest_with_faults(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        label(tmp_path, content)


@pytest.mark.parametrize("between", ["'\t '", "' '", "'\n '", "' , '"], ids=["tab", "space", "line end", "comma"])
def test_lists_whose_commas_are_lost_are_two_labels(tmp_path, between):
    made = label(tmp_path, PADCHEST.replace("', '", between), reports=pl.DataFrame({"report_id": ["11", "12", "18"]}))
    assert {key for key, status in cells(made).items() if status == PRESENT} == {
        ("11", "Edema"), ("11", "Pleural Effusion"), ("18", "Edema"),
    }  # fmt: skip


def test_a_report_of_padchest_with_two_lists_is_set_aside(tmp_path):
    reports = pl.DataFrame({"report_id": ["11", "18"]})
    made = label(tmp_path, PADCHEST + "9,10.png,18,words,RNN_model,['normal']\n", reports=reports)
    assert reasons(made) == {"18": "rows of the label file differ"}
