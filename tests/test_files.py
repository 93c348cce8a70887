"""Anyone's own reports: every form, bad rows, splits and labels. All sentences are written for these tests."""

import gzip
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raddistill import concepts, labelsets, params, paths
from raddistill.errors import InputError, ParamsError
from raddistill.sources import extracting
from raddistill.sources.collections import files
from raddistill.sources.collections.files import FilesParams
from raddistill.sources.gold import reading_gold
from raddistill.sources.splits import splitting
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports

ROOT = Path(__file__).parent.parent
SHIPPED = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
NAMES = [label.name for label in LABELS]
CONCEPTS = concepts.load_concepts(ROOT / paths.CONCEPTS)
COLUMNS = dict.fromkeys(FilesParams.model_fields, "") | {"sensitivity": "phi", "encoding": "utf-8", "id": "report_id"}

Extract = Callable[..., extracting.Extracted]


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """Extracts a file; keys of `extract.files` by name, others of `extract` in `also`."""
    (tmp_path / "none").mkdir(exist_ok=True)

    def run(raw: Path, also: dict[str, Any] | None = None, **columns: str) -> extracting.Extracted:
        told = COLUMNS | ({} if {"text", "findings", "impression"} & set(columns) else {"text": "text"}) | columns
        changed = {"source": "files", "raw": str(raw), "gold": str(tmp_path / "none"), "max_quarantine": 1.0}
        p = SHIPPED.model_copy(update=changed | {"files": FilesParams.model_validate(told)} | (also or {}))
        return extracting.extract(p, LABELS, CONCEPTS)

    return run


def csv_of(path: Path, *rows: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(rows).encode(encoding) + b"\n")
    return path


def reasons(made: extracting.Extracted) -> dict[str, str]:
    return dict(made.quarantine.select("report_id", "reason").rows())


ROWS = [
    {"report_id": "a1", "text": "FINDINGS: The lungs are clear.\nIMPRESSION: No acute disease."},
    {"report_id": "a2", "text": "There is a small effusion on the left."},
]


def write_csv(path: Path) -> Path:
    pl.DataFrame(ROWS).write_csv(path)
    return path


def write_gz(path: Path) -> Path:
    path.write_bytes(gzip.compress(pl.DataFrame(ROWS).write_csv().encode()))
    return path


def write_tsv(path: Path) -> Path:
    pl.DataFrame(ROWS).write_csv(path, separator="\t")
    return path


def write_jsonl(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def write_parquet(path: Path) -> Path:
    pl.DataFrame(ROWS).write_parquet(path)
    return path


def write_folder(path: Path) -> Path:
    path.mkdir()
    for row in ROWS:
        (path / f"{row['report_id']}.txt").write_text(row["text"], encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_csv, "r.csv"), (write_gz, "r.csv.gz"), (write_tsv, "r.tsv"), (write_jsonl, "r.jsonl"),
        (write_parquet, "r.parquet"), (write_folder, "texts"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("within", [False, True])
def test_every_form_gives_the_same_tables(
    write: Callable[[Path], Path], name: str, within: bool, extract: Extract, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    raw = write(tmp_path / "raw" / name)
    made = extract(raw.parent if within and name != "texts" else raw)
    rows = {row["report_id"]: row for row in made.reports.iter_rows(named=True)}
    assert rows["a1"]["text"] == "FINDINGS: The lungs are clear.\nIMPRESSION: No acute disease."
    assert rows["a2"]["text"] == "FINDINGS: There is a small effusion on the left."
    assert {row["sensitivity"] for row in rows.values()} == {"phi"}
    assert made.metrics["without_headers"] == 1
    assert made.metrics["sections"] == {"findings": 2, "impression": 1, "indication": 0, "comparison": 0}
    assert made.gold.height == 0
    for schema, frame in ((Reports, made.reports), (Gold, made.gold), (Quarantine, made.quarantine)):
        tables.check(schema, frame, "table")


def test_sections_in_columns_of_any_name(extract: Extract, tmp_path: Path) -> None:
    raw = csv_of(tmp_path / "r.csv", "no,who,befund,urteil,frage", "7,p1,Clear lungs.,,Cough?", "8,p1,,Normal chest.,")
    made = extract(raw, id="no", patient="who", findings="befund", impression="urteil", indication="frage")
    first = made.reports.row(0, named=True)
    assert (first["report_id"], first["patient_id"], first["findings"], first["indication"]) == (
        "7",
        "p1",
        "Clear lungs.",
        "Cough?",
    )
    assert made.reports["split"].n_unique() == 1  # one patient
    assert made.metrics["patients"] == 1
    assert made.metrics["without_headers"] == 0


def test_sensitivity_must_be_declared(extract: Extract, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="say whether these reports are public, credentialed or phi"):
        extract(write_csv(tmp_path / "r.csv"), sensitivity="")


@pytest.mark.parametrize("columns", [{"text": "text", "findings": "f"}, {"text": ""}])
def test_text_or_sections(columns: dict[str, str], extract: Extract, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="set the others to ''"):
        extract(write_csv(tmp_path / "r.csv"), **columns)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["reportid,text", "1,Clear."], r"did you mean 'reportid'\? name it by extract\.files\.id\. There are: reportid, text"),
        (["report_id,text,text", "1,Clear.,Clear."], "more than one column 'text'"),
        (["report_id;text", "1;Clear."], "r.csv has one column only; is it separated by ';'"),
        (["report_id,text"], "holds no report"),
        ([""], "r.csv is empty; its first line must name the columns"),
        (["1,The patient coughs since a week."], "its first line does not look like names of columns"),
        (["1,Coughs now"], "its first line does not look like names of columns"),
    ],
)
def test_columns_that_are_not_there(rows: list[str], told: str, extract: Extract, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told) as refused:
        extract(csv_of(tmp_path / "r.csv", *rows))
    assert "cough" not in str(refused.value).lower()


def test_empty_file_no_file_several_files(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/empty.csv").touch()
    with pytest.raises(InputError, match="empty"):
        extract(tmp_path / "raw/empty.csv")
    write_csv(tmp_path / "raw/r.csv")
    with pytest.raises(InputError, match=r"holds empty\.csv, r\.csv: name one of 2 files as extract\.raw"):
        extract(tmp_path / "raw")
    with pytest.raises(InputError, match=r"does not exist; params\.yaml names it as extract\.raw"):
        extract(tmp_path / "nowhere")


def test_parquet_whose_end_is_damaged(extract: Extract, tmp_path: Path) -> None:
    raw = write_parquet(tmp_path / "r.parquet")
    raw.write_bytes(raw.read_bytes()[:-30] + b"\xff" * 22 + raw.read_bytes()[-8:])
    with pytest.raises(InputError, match=r"r\.parquet is not a readable Parquet file"):
        extract(raw)


def test_rows_that_cannot_be_used_are_in_quarantine_and_the_sum_is_right(
    extract: Extract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(
        b"report_id,text\na,Clear lungs.\na,Clear lungs.\nb,Mild edema.\nb,No edema.\nc,\n,Orphan words.\n"
        b"d,caf\xe9 words\ne,One,two\n"
        b'f,"He said ""clear""."\n'
    )
    made = extract(path)
    assert sorted(made.reports["report_id"]) == ["a", "f"]
    assert made.metrics["files"] == 9 == made.reports.height + made.quarantine.height
    told = sorted(made.quarantine.select("report_id", "reason").rows())
    assert told == [
        ("a", "copy of another file"),
        ("b", "id of several different reports"),
        ("b", "id of several different reports"),
        ("c", "no findings and no impression"),
        ("d", "not UTF-8"),
        ("r.csv", "3 cells, the header has 2"),
        ("r.csv", "blank report id"),
    ]
    # Where they are is said, and stands in no table, which would depend on the order of rows.
    said = " ".join(capsys.readouterr().err.split())
    assert "r.csv: blank report id; 1 rows without an id, such as 6" in said
    assert "r.csv: 3 cells, the header has 2; 1 rows without an id, such as 8" in said


def test_a_file_of_a_folder_that_cannot_be_read_is_named(extract: Extract, tmp_path: Path) -> None:
    raw = write_folder(tmp_path / "texts")
    (raw / "a3.txt").write_bytes(b"caf\xe9")
    made = extract(raw, format="folder")
    assert sorted(made.reports["report_id"]) == ["a1", "a2"]
    assert reasons(made) == {"a3": "not UTF-8"}


def test_columns_named_for_a_folder_are_refused(extract: Extract, tmp_path: Path) -> None:
    """Else patients and labels would be left out without a word."""
    with pytest.raises(ParamsError, match=r"^extract\.files\.patient, extract\.files\.labels: a folder .* set to ''"):
        extract(write_folder(tmp_path / "texts"), patient="mrn", labels="anna")


def test_words_for_no_patient_are_no_patient(extract: Extract, tmp_path: Path) -> None:
    rows = [f"r{n},{who},Written {n}." for n, who in enumerate(["nan", "NaN", "None", "<NA>", "N/A", "", "Nancy", "p 1"])]
    made = extract(csv_of(tmp_path / "r.csv", "report_id,who,text", *rows), patient="who")
    assert made.reports["patient_id"].drop_nulls().to_list() == ["Nancy", "p 1"]


def test_json_writes_nan_for_a_section_that_is_not_there(extract: Extract, tmp_path: Path) -> None:
    raw = csv_of(tmp_path / "r.jsonl", '{"report_id": "a", "findings": "Clear.", "impression": NaN}')
    made = extract(raw, findings="findings", impression="impression")
    assert made.reports["text"].to_list() == ["FINDINGS: Clear."]


def test_words_for_a_section_that_is_not_there(extract: Extract, tmp_path: Path) -> None:
    rows = [
        "a,nan,nan,nan",
        "b,NaN,Small left effusion.,None.",
        "c,None,None,",
        "d,N/A.,IMPRESSION: NULL,",
        "e,FINDINGS: None.,Edema.,na",
    ]
    made = extract(csv_of(tmp_path / "r.csv", "report_id,f,i,c", *rows), findings="f", impression="i", comparison="c")
    assert made.reports.sort("report_id").select("report_id", "findings", "impression", "comparison").rows() == [
        ("b", None, "Small left effusion.", "None."), ("e", None, "Edema.", None),
    ]  # fmt: skip
    assert reasons(made) == dict.fromkeys("acd", "no findings and no impression")
    texts = ["a,Findings: None. Impression: Small left effusion.", "b,nan", "c,FINDINGS: None.", "d,Reason:nan Findings: Clear."]
    made = extract(csv_of(tmp_path / "t.csv", "report_id,text", *texts))
    assert made.reports.sort("report_id").select("report_id", "text", "indication").rows() == [
        ("a", "IMPRESSION: Small left effusion.", None), ("d", "FINDINGS: Clear.", None),
    ]  # fmt: skip
    assert reasons(made) == dict.fromkeys("bc", "no findings and no impression")


def test_a_date_in_the_word_nat_is_none(extract: Extract, tmp_path: Path) -> None:
    made = extract(csv_of(tmp_path / "r.csv", "report_id,when,text", "a,NaT,Clear.", "b,2024-01-01,Clear."), date="when")
    assert sorted(made.reports["report_id"]) == ["a", "b"]


def test_a_column_of_text_keeps_what_a_column_in_the_word_nan_does_not_have(extract: Extract, tmp_path: Path) -> None:
    raw = csv_of(tmp_path / "r.csv", "report_id,text,why", "a,INDICATION: Cough. FINDINGS: Clear.,nan")
    assert extract(raw, indication="why").reports["indication"].to_list() == ["Cough."]


def test_wrong_encoding_can_be_named(extract: Extract, tmp_path: Path) -> None:
    raw = csv_of(tmp_path / "r.csv", "report_id,text", "a,caf\xe9", encoding="latin-1")
    assert reasons(extract(raw)) == {"a": "not UTF-8"}
    with pytest.raises(InputError, match=r"allows: not UTF-8: 1 \(such as a\); extract\.files\.encoding names the encoding"):
        extract(raw, {"max_quarantine": 0.05})
    assert extract(raw, encoding="latin-1").reports["findings"].to_list() == ["caf\xe9"]
    raw = csv_of(tmp_path / "r16.csv", "report_id,text", "a,Clear.", encoding="utf-16")
    with pytest.raises(InputError, match=r"extract\.files\.encoding utf-16"):
        extract(raw)


def test_ids_of_two_types_are_one_id(extract: Extract, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    rows = [{"report_id": 1, "text": "Clear."}, {"report_id": "1", "text": "Edema."}, {"report_id": 2.0, "text": "Mass."}]
    path.write_text("\n".join(json.dumps(row) for row in [*rows, {"report_id": [3], "text": "Nodule."}]), encoding="utf-8")
    made = extract(path)
    assert made.reports["report_id"].to_list() == ["2"]
    assert sorted(made.quarantine["reason"]) == ["id of several different reports"] * 2 + [
        "the report id is neither text nor a whole number"
    ]


def test_of_several_versions_the_latest_is_kept(extract: Extract, tmp_path: Path) -> None:
    rows = ["a,2024-01-02,Preliminary words.", "a,2024-01-03T10:00:00+02:00,Final words.", "b,2024-01-01,One.", "c,May,Two."]
    raw = csv_of(tmp_path / "r.csv", "report_id,when,text", *rows)
    made = extract(raw, date="when")
    assert dict(made.reports.select("report_id", "findings").rows()) == {"a": "Final words.", "b": "One."}
    assert reasons(made) == {"a": "an earlier version of the report", "c": "the date is not ISO 8601"}
    made = extract(csv_of(raw, "report_id,when,text", *rows, "b,June,One more."), date="when")
    assert "b" not in made.reports["report_id"], "which of the two is the latest cannot be told"
    assert made.quarantine.filter(pl.col("report_id") == "b")["reason"].to_list() == [
        "another version of the report cannot be read", "the date is not ISO 8601",
    ]  # fmt: skip
    never = csv_of(raw, "report_id,when,text", "a,9999-12-31T23:59:59-05:00,One.")  # a day later in UTC
    assert reasons(extract(never, date="when")) == {"a": "the date is out of range"}
    pl.DataFrame({"report_id": ["a", "a"], "text": ["Old.", "New."], "when": [date(2024, 1, 1), date(2024, 2, 1)]}).write_parquet(
        tmp_path / "r.parquet"
    )
    assert extract(tmp_path / "r.parquet", date="when").reports["findings"].to_list() == ["New."]


def test_cells_of_other_types_are_not_passed_over(extract: Extract, tmp_path: Path) -> None:
    """A number as date would leave two versions without any; a list as patient would be one patient's name."""
    path = tmp_path / "r.jsonl"
    rows = [{"report_id": "a", "when": 20240102}, {"report_id": "b", "who": ["p"]}, {"report_id": "c", "who": True},
            {"report_id": "d", "who": 7, "when": None}]  # fmt: skip
    path.write_text("\n".join(json.dumps(row | {"text": "Clear."}) for row in rows), encoding="utf-8")
    made = extract(path, patient="who", date="when")
    assert made.reports.select("report_id", "patient_id").rows() == [("d", "7")]
    other = "the patient id is neither text nor a whole number"
    assert reasons(made) == {"a": "the date is not ISO 8601", "b": other, "c": other}


SPLIT_ROWS = [
    "report_id,who,split,text",
    "a,p1,train,Clear lungs and a normal heart.",
    "b,p1,TEST,A small effusion on the left.",
    "c,p2,validate,Clear lungs and a normal heart!",
    "d,p3,,Mild edema.",
    "e,p4,holdout,A nodule.",
]


def test_the_files_own_split_and_its_leaks(extract: Extract, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = extract(csv_of(tmp_path / "r.csv", *SPLIT_ROWS), {"splits": "file"}, patient="who", split="split")
    assert dict(made.reports.select("report_id", "split").rows()) == {"a": "train", "b": "test", "c": "validation"}
    assert reasons(made) == {"d": "no split in the source's file", "e": "a split of another name"}
    assert made.metrics["leaks"] == {"patients": 1, "reports_of_patients": 2, "texts": 1, "training_reports_of_texts": 1}
    assert made.metrics["near_neighbours"] == {"validation": 0, "test": 0}  # a copy is a leak, and dropped; none is near
    assert "1 patients are in more than one split" in " ".join(capsys.readouterr().err.split())
    by_hash = extract(csv_of(tmp_path / "r.csv", *SPLIT_ROWS), patient="who", split="split")
    assert by_hash.reports.height == 5
    assert by_hash.metrics["leaks"]["patients"] == 0


def test_a_section_that_says_its_header_again(extract: Extract, tmp_path: Path) -> None:
    rows = ["a,FINDINGS: Clear: both lungs.,Impression: Normal.", "b,Clear lungs.,Findings: none."]
    made = extract(csv_of(tmp_path / "r.csv", "report_id,f,i", *rows), text="", findings="f", impression="i")
    assert made.reports.sort("report_id").select("findings", "impression").rows() == [
        ("Clear: both lungs.", "Normal."), ("Clear lungs.", "Findings: none."),
    ]  # fmt: skip


def test_a_column_is_one_thing(extract: Extract, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="names the column 'mrn' twice"):
        extract(csv_of(tmp_path / "r.csv", "report_id,mrn", "1,p1"), patient="mrn", text="mrn")
    with pytest.raises(InputError, match=r"no column 'report_id'; name it by extract\.files\.id\. There are: accession, report"):
        extract(csv_of(tmp_path / "s.csv", "accession,report", "1,Clear."), text="report")


def test_a_file_without_splits_has_none_to_honour(extract: Extract, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"names no split: extract\.files\.split names the column; or use hash"):
        extract(write_csv(tmp_path / "r.csv"), {"splits": "file"})


def wide(path: Path, **said: dict[str, str]) -> Path:
    rows = [",".join([report_id, *(codes.get(name, "") for name in NAMES)]) for report_id, codes in said.items()]
    return csv_of(path, ",".join(["report_id", *NAMES]), *rows)


def statuses(made: extracting.Extracted, label: str, task: str = "multiple_choice") -> dict[str, str]:
    return dict(made.gold.filter(pl.col("task") == task, pl.col("label") == label).select("report_id", "status").rows())


@pytest.mark.parametrize(
    ("how", "edema", "annotator"),
    [
        ("first", {"r1": "present", "r2": "present", "r3": "uncertain"}, "first"),
        ("both", {"r1": "present", "r2": "absent", "r3": "uncertain"}, "both"),
        ("either", {"r1": "present", "r2": "present", "r3": "uncertain"}, "either"),
    ],
)
def test_two_annotators(how: str, edema: dict[str, str], annotator: str, extract: Extract, tmp_path: Path) -> None:
    gold = tmp_path / "gold"
    wide(gold / "multiple_choice/anna.csv", r1={"Edema": "1"}, r2={"Edema": "1.0", "Fracture": "0"}, zz={"Edema": "1"})
    wide(gold / "multiple_choice/bert.csv", r2={"Edema": "0"}, r1={"Edema": "1"}, r3={"Edema": "-1"})
    raw = csv_of(tmp_path / "r.csv", "report_id,text", *(f"r{n},Written sentence {n}." for n in range(1, 5)))
    made = extract(raw, {"gold": str(gold), "annotators": how})
    assert statuses(made, "Edema") == edema
    assert set(statuses(made, "Fracture").values()) == {"absent"}
    assert set(made.gold["annotator"]) == {annotator}
    assert set(made.gold["task"]) == {"multiple_choice"}
    assert made.gold.height == 3 * len(NAMES)  # of r4, which nobody read, there is no row
    assert made.metrics["gold"]["multiple_choice"] == {
        "annotated": 3, "excluded": 0, "present": sum(status == "present" for status in edema.values())
    }  # fmt: skip
    assert made.metrics["reports_without_gold"] == {"multiple_choice": 1, "open_ended": 4}
    assert made.metrics["gold_of_unknown_reports"] == 1
    assert reasons(made) == {"zz": "annotated, but not among the reports"}
    assert made.metrics["quarantined"] == {"total": 0}
    agreed = made.metrics["agreement"]["multiple_choice"]
    assert (agreed["reports"], agreed["annotators"]) == (2, 2)
    assert agreed["labels"] == {"Edema": {"reports": 2, "agree": 0.5, "kappa": 0.0}}
    tables.check(Gold, made.gold, "gold")


def test_gold_of_reports_in_quarantine_and_of_none(extract: Extract, tmp_path: Path) -> None:
    """The first is counted, the second listed; neither is agreed on. r3 has two versions, of which one is kept."""
    gold, edema = tmp_path / "gold", {"Edema": "1"}
    for name in ("anna", "bert"):
        wide(gold / f"multiple_choice/{name}.csv", r1=edema, r2=edema, r3=edema, zz=edema)
    csv_of(gold / "open_ended/anna.csv", "report_id,concept,status", "r2,,", "yy,,")
    rows = ["r1,2024-01-01,Clear.", "r2,2024-01-01,", "r3,2024-01-01,Old.", "r3,2024-01-02,New."]
    made = extract(csv_of(tmp_path / "r.csv", "report_id,when,text", *rows), {"gold": str(gold)}, date="when")
    assert statuses(made, "Edema") == {"r1": "present", "r3": "present"}
    assert set(made.gold["task"]) == {"multiple_choice"}
    assert (made.metrics["gold_of_quarantined_reports"], made.metrics["gold_of_unknown_reports"]) == (1, 2)
    assert sorted(made.quarantine.select("report_id", "reason").rows()) == [
        ("r2", "no findings and no impression"),
        ("r3", "an earlier version of the report"),
        ("yy", "annotated, but not among the reports"),
        ("zz", "annotated, but not among the reports"),
    ]
    assert made.metrics["reports_without_gold"] == {"multiple_choice": 0, "open_ended": 2}
    assert made.metrics["agreement"]["multiple_choice"]["reports"] == 2


def test_kappa_is_cohens() -> None:
    """As scikit-learn has it."""
    from sklearn.metrics import cohen_kappa_score

    a, b = [1, 1, 0, 0, 1, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    rows = [
        (f"r{n}", "multiple_choice", who, "Edema", "present" if said else "absent")
        for who, codes in (("a", a), ("b", b))
        for n, said in enumerate(codes)
    ]
    gold = pl.DataFrame(rows, schema=["report_id", "task", "annotator", "label", "status"], orient="row")
    told = reading_gold.agreement(gold)["multiple_choice"]["labels"]["Edema"]
    assert told["kappa"] == pytest.approx(cohen_kappa_score(a, b))
    assert told["agree"] == 0.8


def test_open_ended_gold_in_the_long_form(extract: Extract, tmp_path: Path) -> None:
    gold = tmp_path / "gold"
    names = [c.concept for c in CONCEPTS]
    csv_of(gold / "open_ended/anna.csv", "report_id,concept,status", f"a1,{names[3]},", f"a1,{names[5]},ambiguous", "a2,,")
    made = extract(write_csv(tmp_path / "r.csv"), {"gold": str(gold)})
    assert statuses(made, names[3], "open_ended") == {"a1": "present", "a2": "absent"}
    assert statuses(made, names[5], "open_ended") == {"a1": "ambiguous", "a2": "absent"}
    assert made.gold.height == 2 * len(names)
    assert set(made.gold["annotator"]) == {"anna"}


@pytest.mark.parametrize(
    ("file", "rows", "told"),
    [
        ("multiple_choice/a.csv", ["report_id,Edema", "a1,1"], "no column 'Atelectasis'"),
        (
            "multiple_choice/a.csv",
            [",".join(["report_id", *NAMES]), "a1,7" + "," * 12],
            r"'Atelectasis' is not 1, 0, -1 or blank.*a1",
        ),
        (
            "multiple_choice/a.csv",
            [",".join(["report_id", *NAMES]), *["a1,1" + "," * 12] * 2],
            r"report_id stand more.*2 rows.*a1",
        ),
        ("multiple_choice/a.csv", [",".join(["report_id", *NAMES]), ",1" + "," * 12], "row 1: blank report id"),
        (
            "multiple_choice/a.csv",
            [",".join(["report_id", *NAMES]), "q9,1" + "," * 12],
            r"none of 1 annotated ids \(such as q9\)",
        ),
        ("multiple_choice/a.csv", [",".join(["report_id", *NAMES]), "a1,1"], "a row cannot be read"),
        (
            "open_ended/a.csv",
            ["report_id,concept,status", "a1,the patient coughs,"],
            r"'concept' is none of gold/concepts.csv.*a1",
        ),
        ("open_ended/a.csv", ["report_id,concept,status", "a1,,maybe"], "'status' is none of present"),
        ("open_ended/a.csv", ["report_id,concept", "a1,x"], "no column 'status'"),
        ("heads.csv", ["head,decision,why"], r"set extract\.gold to gold/none"),
    ],
)
def test_gold_that_cannot_be_read(file: str, rows: list[str], told: str, extract: Extract, tmp_path: Path) -> None:
    csv_of(tmp_path / "gold" / file, *rows)
    with pytest.raises(InputError, match=told) as refused:
        extract(write_csv(tmp_path / "r.csv"), {"gold": str(tmp_path / "gold")})
    assert "cough" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ([], r"nothing holds no multiple_choice/<annotator>\.csv .* set extract\.gold to gold/none"),
        (["README.md"], "or their labels stand beside them, set extract"),
        (["multiple_choice/anna.tsv"], r"only <annotator>\.csv .* is read, not anna\.tsv"),
        (["multiple_choice/anna.csv", "multiple_choice/bert.xlsx"], r"is read, not bert\.xlsx"),
        (["open_ended/README.md"], r"only <annotator>\.csv .* is read; there is none"),
        (["multiple_choise/anna.csv"], "the folder multiple_choise is not read; should it be multiple_choice"),
        (["multiple_choice/anna.csv", "Open-Ended/anna.csv"], "the folder Open-Ended is not read; should it be open_ended"),
    ],
)
def test_a_folder_of_gold_that_holds_none(written: list[str], told: str, extract: Extract, tmp_path: Path) -> None:
    gold = tmp_path / "nothing"
    gold.mkdir()
    for file in written:
        wide(gold / file, a1={"Edema": "1"})
    with pytest.raises(InputError, match=told):
        extract(write_csv(tmp_path / "r.csv"), {"gold": str(gold)})


def test_a_path_of_gold_that_is_mistyped(extract: Extract, tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "r.csv")
    with pytest.raises(InputError, match=r"golt does not exist; params\.yaml names it as extract\.gold"):
        extract(raw, {"gold": str(tmp_path / "golt")})
    with pytest.raises(InputError, match=r"r\.csv is no folder"):
        extract(raw, {"gold": str(raw)})
    assert extract(raw, {"gold": str(ROOT / "gold/none")}).gold.height == 0


def test_labels_with_the_reports_in_a_list(extract: Extract, tmp_path: Path) -> None:
    rows = ["a,Edema; Fracture,One.", "b,Normal,Two.", "c,,Three.", "d,Oedema,Four."]
    made = extract(csv_of(tmp_path / "r.csv", "report_id,found,text", *rows), labels="found")
    assert statuses(made, "Edema") == {"a": "present", "b": "absent"}
    assert reasons(made) == {"d": "a label outside of the set"}
    wide(tmp_path / "gold/multiple_choice/anna.csv", a={"Edema": "0"}, c={"Edema": "1"})
    made = extract(tmp_path / "r.csv", {"gold": str(tmp_path / "gold"), "annotators": "both"}, labels="found")
    assert statuses(made, "Edema") == {"a": "absent", "b": "absent", "c": "present"}
    wide(tmp_path / "gold/multiple_choice/found.csv", a={"Edema": "0"})
    with pytest.raises(InputError, match="gold: found is the name of a file of annotations and of labels in the report file"):
        extract(tmp_path / "r.csv", {"gold": str(tmp_path / "gold")}, labels="found")


def test_two_readers_lists_with_the_reports(extract: Extract, tmp_path: Path) -> None:
    """A curated set as it often comes: one file, a column a reader, lists as pandas writes them."""
    rows = [
        """a,"['Edema', 'Fracture']",Edema,One.""",
        "b,[],['edema'],Two.",
        "c,,Normal,Three.",
        "d,[Edema],,Four.",
        "e,['E'],,Five.",
    ]
    raw = csv_of(tmp_path / "r.csv", "report_id,one,two,text", *rows)
    made = extract(raw, {"annotators": "both"}, labels="one; two")
    assert statuses(made, "Edema") == {"a": "present", "b": "absent", "c": "absent"}
    assert statuses(made, "Fracture") == {"a": "absent", "b": "absent", "c": "absent"}
    assert reasons(made) == {"d": "labels that are no list of names", "e": "a label outside of the set"}
    agreed = made.metrics["agreement"]["multiple_choice"]
    assert (agreed["annotators"], agreed["labels"]["Edema"]["reports"]) == (2, 2)
    assert statuses(extract(raw, {"annotators": "first"}, labels="one; two"), "Fracture") == {
        "a": "present",
        "b": "absent",
        "c": "absent",
    }
    with pytest.raises(InputError, match="no column 'three'"):
        extract(raw, labels="one; three")


@pytest.mark.parametrize("between", ["\t ", " ", "\n "])
def test_lists_whose_commas_are_lost(between: str, extract: Extract, tmp_path: Path) -> None:
    """As numpy prints them, or as tabs in their place leave them; two in one pair of quotes are no two (public.md D4)."""
    rows = [f"a,\"['Edema'{between}'Fracture']\",One.", "b,['Edema''Fracture'],Two."]
    made = extract(csv_of(tmp_path / "r.csv", "report_id,found,text", *rows), labels="found")
    assert statuses(made, "Edema") == statuses(made, "Fracture") == {"a": "present"}
    assert reasons(made) == {"b": "labels that are no list of names"}


def test_lists_of_parquet(extract: Extract, tmp_path: Path) -> None:
    table = pl.DataFrame({"report_id": ["a", "b"], "found": [["Edema"], []], "text": ["One.", "Two."]})
    table.write_parquet(tmp_path / "r.parquet")
    assert statuses(extract(tmp_path / "r.parquet", labels="found"), "Edema") == {"a": "present", "b": "absent"}


def test_labels_with_the_reports_in_columns(extract: Extract, tmp_path: Path) -> None:
    head = ",".join(["report_id", "text", *NAMES, "No Finding"])
    blank = "," * (len(NAMES) - 1)
    rows = [f"a,One.,1{blank},", f"b,Two.,{blank},1", f"c,Three.,{blank},", f"d,Four.,-1.0{blank},", f"e,Five.,2{blank},"]
    made = extract(csv_of(tmp_path / "r.csv", head, *rows), labels="*")
    assert statuses(made, NAMES[0]) == {"a": "present", "b": "absent", "d": "uncertain"}
    assert reasons(made) == {"e": "a code other than 1, 0, -1 and blank"}
    with pytest.raises(InputError, match="no column 'Atelectasis'"):
        extract(write_csv(tmp_path / "s.csv"), labels="*")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(order=st.permutations(range(14)))
def test_another_order_of_rows_gives_the_same_bytes(order: list[int], extract: Extract, tmp_path: Path) -> None:
    rows = [f"r{n % 7},p{n % 4},Written sentence {n % 7}.,2024-01-{1 + n % 5:02}" for n in range(10)]
    rows += [",p1,No id.,2024-01-01", ",,No id either.,", "r1,p1,A cell too many.,2024-01-01,x", "r11,p1,,2024-01-01"]

    def written(rows: list[str]) -> list[bytes]:
        made = extract(csv_of(tmp_path / "r.csv", "report_id,who,text,when", *rows), patient="who", date="when")
        parts = []
        for schema, frame in ((Reports, made.reports), (Gold, made.gold), (Quarantine, made.quarantine)):
            tables.write(schema, frame, tmp_path / "table.parquet")
            parts.append((tmp_path / "table.parquet").read_bytes())
        return [*parts, json.dumps(made.metrics).encode()]

    assert written([rows[at] for at in order]) == written(rows)


def test_how_far_the_reading_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PROGRESS_EVERY", 2)
    raw = csv_of(tmp_path / "r.csv", "report_id,text", *(f"r{n},Written sentence {n}." for n in range(5)))
    told: list[tuple[int, int | None]] = []
    source = files.Files(FilesParams.model_validate(COLUMNS | {"text": "text"}), NAMES)
    assert len(list(source.read(raw, lambda done, total: told.append((done, total))))) == 5
    size = raw.stat().st_size
    assert told == [(size, size), (size, size)]  # in bytes; so small a file is read at once


def test_no_error_or_metric_or_quarantine_holds_text(
    extract: Extract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "Zebrafish in the left lung"
    rows = [f'x,"{words}', *(f"{n},{words} {n}." for n in range(3)), f"4,{words},{words}", f"4,{words}", f'5,"a "{words}" b"']
    told = []
    for kept in (rows, rows[1:], rows[2:]):
        try:
            made = extract(csv_of(tmp_path / "r.csv", "report_id,text", *kept))
            told.append(f"{made.metrics}{made.quarantine.rows()}")
        except InputError as error:
            told.append(str(error))
    streams = capsys.readouterr()
    assert "zebra" not in ("".join(told) + streams.out + streams.err).lower()
    assert "quote" in told[0]
    assert all("3 cells, the header has 2" in one and "quotes within a cell" in one for one in told[1:])


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_words_are_those_of_the_pattern(text: str) -> None:
    """The fast way for ASCII and the slow one for all agree, so text groups stay what they were."""
    assert splitting.words_of(text) == splitting._TOKEN.findall(text.casefold())
    ascii_only = text.encode("ascii", "replace").decode()
    assert splitting.words_of(ascii_only) == splitting._TOKEN.findall(ascii_only.casefold())


def test_a_column_of_text_named_as_ids_is_never_told(extract: Extract, tmp_path: Path) -> None:
    said = ["The heart is a little larger than on the film of last year.", "No fluid, no air.", "No fluid, no air."]
    raw = csv_of(tmp_path / "r.csv", "report_id,text", *(f'"{words}","{words}"' for words in said))
    made = extract(raw)
    assert reasons(made)["r.csv"] == "the report id is no id but text"
    with pytest.raises(InputError) as refused:
        extract(raw, {"max_quarantine": 0.0})
    assert "heart" not in str(refused.value)
    assert "fluid" not in str(refused.value)
