"""Labels from a file: matched by name and id, never by order; what does not fit is refused or counted."""

import polars as pl
import pytest

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN, UNMENTIONED
from raddistill.teachers.imported import ImportedTeacher

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
    ],
    ids=["floats", "integers-other-rows", "other-columns", "spaces-crlf", "byte-order-mark"],
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


def test_no_finding_is_left_out_and_counted(tmp_path):
    made = label(tmp_path, "report_id,No Finding,Edema,Pleural Effusion\na,,1,0\nb,1,-1,\n")
    assert cells(made) == EXPECTED
    assert made.counts == {"ignored_columns": 1, "labels_for_unknown_reports": 0}


def test_a_report_without_label_is_quarantined_and_foreign_labels_are_counted(tmp_path):
    made = label(tmp_path, "report_id,Edema,Pleural Effusion\nb,1,0\nc,1,0\nd,1,0\n")
    assert made.outcomes.select("report_id", "outcome", "reason").rows() == [
        ("a", "quarantined", "no label in file"),
        ("b", "labelled", None),
    ]
    assert made.quarantine.select("report_id", "reason").rows() == [("a", "no label in file")]
    assert set(made.labels["report_id"]) == {"b"}
    assert made.counts["labels_for_unknown_reports"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("report_id,Edema\na,1\n", r"labels\.csv: columns missing: Pleural Effusion"),
        ("report_id,Edema,Pleural Effusion,Sex\na,1,0,F\n", "columns unknown: Sex; rename or drop them"),
        ("study,Edema,Pleural Effusion\na,1,0\n", "missing: report_id; unknown: study"),
        ("report_id,edema,Pleural Effusion\na,1,0\n", "missing: Edema; unknown: edema"),
        ("report_id,Edema,Edema,Pleural Effusion\na,1,1,0\n", "columns unknown|not a readable CSV"),
        (WIDE + "a,1,1\n", "1 rows repeat an earlier report_id"),
        ("report_id,Edema,Pleural Effusion\na,2,0\nb,x,0\n", "column 'Edema' has 2 cells that are not 1, 0, -1 or blank"),
        ("report_id,Edema,Pleural Effusion\n,1,0\n", "column 'report_id' is blank in 1 rows"),
        ("", "not a readable CSV"),
        (b"report_id,Edema,Pleural Effusion\n\xe9,1,0\n", "not a readable CSV"),
        ("report_id,Edema,Pleural Effusion\na,1,0,1,1\n", "not a readable CSV"),
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("report_id,phrase\na,edema\n", "columns missing: code"),
        ("report_id,phrase,code\na,edema,J81.1\na, EDEMA ,J81.0\n", "1 rows repeat an earlier report_id and label"),
    ],
)
def test_long_form_refusals(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        label(tmp_path, content, task="open_ended")
