"""Line ends of CSV and TSV: of files of every system, and in cells that nobody quoted. No half report, no text as an id."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill import concepts, labelsets, params
from raddistill.apps.label.options import Columns
from raddistill.apps.label.report_file import Batch, ReportFile
from raddistill.errors import InputError
from raddistill.privacy import ID_IS_TEXT, may_be_text
from raddistill.reading.delimited import LINE_END, read_csv
from raddistill.sources import extracting
from raddistill.sources.collections.files import FilesParams

ROOT = Path(__file__).parent.parent
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")


def read(path: Path, content: str) -> Batch:
    path.write_bytes(content.encode())
    with ReportFile(str(path), Columns()) as reports:
        (batch,) = reports.batches()
    return batch


def texts(batch: Batch) -> dict[str, str]:
    return {r.report_id: " | ".join(words for pieces in r.sections.values() for _, words in pieces) for r in batch.reports}


def aside(batch: Batch) -> list[tuple[int | str | None, ...]]:
    return [tuple(reject) for reject in batch.rejects]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_rows_may_end_in_any_way(end: str, last: bool, tmp_path: Path) -> None:
    rows = ["report_id,text", "a,No edema.", 'b,"No ""mass"",\rno edema.\nNo effusion."', "", "c,Normal."]
    batch = read(tmp_path / "r.csv", end.join(rows) + (end if last else ""))
    assert texts(batch) == {"a": "No edema.", "b": 'No "mass",\nno edema.\nNo effusion.', "c": "Normal."}
    assert aside(batch) == []


def test_rows_of_one_file_may_end_in_two_ways(tmp_path: Path) -> None:
    for ends in (("\n", "\r\n"), ("\r\n", "\n")):
        content = "report_id,text{0}a,No edema.{1}b,No mass.{0}c,Normal.{1}d,Clear.".format(*ends)
        assert texts(read(tmp_path / "r.csv", content)) == {"a": "No edema.", "b": "No mass.", "c": "Normal.", "d": "Clear."}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_lone_cr_in_a_cell_is_one_of_its_characters(end: str, delimiter: str, tmp_path: Path) -> None:
    rows = [
        ["report_id", "text", "note"],
        ["a", "FINDINGS: No edema.\rIMPRESSION: Normal.", "x"],
        ["b", "FINDINGS: No mass.\r", "\ry"],
        ["c", "\rNo effusion.", "x"],
    ]
    batch = read(tmp_path / ("r.csv" if delimiter == "," else "r.tsv"), end.join(delimiter.join(row) for row in rows) + end)
    assert texts(batch) == {"a": "No edema. | Normal.", "b": "No mass.", "c": "No effusion."}
    assert aside(batch) == []


CUT = "FINDINGS: No edema.{}IMPRESSION: Large heart, clear lungs."  # a comma that nobody quoted, either
SHORT = "FINDINGS: No pneumothorax.{}IMPRESSION: Small left effusion."


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("within", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("cell", [CUT, SHORT, "FINDINGS: No edema.{}{}IMPRESSION: Normal.", "FINDINGS: No a, b.{}IMPRESSION: C."])
@pytest.mark.parametrize(
    "columns", [["report_id", "text"], ["text", "report_id"], ["report_id", "text", "note"], ["note", "text", "report_id"]]
)
def test_a_report_that_a_line_end_cuts_is_whole_or_set_aside(
    columns: list[str], cell: str, end: str, within: str, tmp_path: Path
) -> None:
    cut = cell.replace("{}", within)
    said = {"r0": "No edema.", "r1": cut, "r2": "No effusion.", "r3": cut, "r4": "Normal."}
    rows = [",".join({"report_id": i, "text": words, "note": "x"}[column] for column in columns) for i, words in said.items()]
    batch = read(tmp_path / "r.csv", end.join([",".join(columns), *rows]) + end)
    found = texts(batch)
    assert set(found) <= set(said)
    assert {"r0", "r2", "r4"} <= set(found) or columns[0] != "report_id"
    for i, words in found.items():
        assert len(words.split()) >= len(said[i].replace("FINDINGS:", "").replace("IMPRESSION:", "").split()), "half a report"
    told = [report_id for _, report_id, _ in aside(batch)]
    assert not any(report_id and may_be_text(report_id) for report_id in told)
    assert len(batch.reports) + len(batch.rejects) >= len(said)


def test_why_rows_are_set_aside(tmp_path: Path) -> None:
    content = f"report_id,text\nr1,{CUT}\nr2,{CUT}\nr3,{SHORT}\nr4,No mass.\n"
    batch = read(tmp_path / "r.csv", content.replace("{}", "\r", 1).replace("{}", "\n"))
    assert texts(batch) == {"r4": "No mass."}
    assert aside(batch) == [
        (1, "r1", LINE_END),
        (2, "r2", LINE_END),
        (3, None, ID_IS_TEXT),
        (4, "r3", LINE_END),
        (5, None, "1 cells, the header has 2"),
    ]


WORDS = st.text(st.sampled_from('ab \r\n",.:1'), max_size=12)


@given(st.lists(WORDS, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_what_pythons_writer_makes_comes_back(tmp_path_factory: pytest.TempPathFactory, cells: list[str], end: str) -> None:
    """Also of Pythons before 3.11.9, which left a lone CR unquoted."""
    path = tmp_path_factory.mktemp("written") / "r.csv"
    rows = [[f"r{n}", cell, "x"] for n, cell in enumerate(cells)]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end).writerows([["report_id", "text", "note"], *rows])
    path.write_bytes(out.getvalue().encode())
    header, table = read_csv(path)
    assert header == ["report_id", "text", "note"]
    assert table.rows() == [tuple(row) for row in rows]


# ------------------------------------------------------------------------------------- the other readers of such files

CHEXPERT = [
    "path_to_image", "deid_patient_id", "split", "report", "section_clinical_history", "section_history", "section_comparison",
    "section_findings", "section_impression",
]  # fmt: skip


def chexpert_plus(row: str) -> tuple[str, list[str], dict[str, object]]:
    rows = [f"train/patient0000{n}/study1/view1.jpg,,train,Seen {n}.,,,,{{}},Normal." for n in range(3)]
    made = [each.format(words) for each, words in zip(rows, ["Clear.", row, "Clear."], strict=True)]
    return ",".join(CHEXPERT), made, {"source": "chexpert_plus"}


def padchest(row: str) -> tuple[str, list[str], dict[str, object]]:
    rows = [f"{n},7{n},{{}},Physician,['normal']" for n in range(3)]
    text = ["corazon grand .", row, "pulmon limpi ."]
    made = [each.format(words) for each, words in zip(rows, text, strict=True)]
    return "ReportID,PatientID,Report,MethodLabel,Labels", made, {"source": "padchest"}


def files(row: str) -> tuple[str, list[str], dict[str, object]]:
    told = dict.fromkeys(FilesParams.model_fields, "") | {"sensitivity": "phi", "encoding": "utf-8", "id": "i", "text": "t"}
    return "i,t", ["r0,No edema.", f"r1,{row}", "r2,No mass."], {"source": "files", "files": FilesParams.model_validate(told)}


@pytest.mark.parametrize("source", [files, chexpert_plus, padchest])
@pytest.mark.parametrize("within", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("cell", [CUT, SHORT])
def test_no_source_reads_half_a_report(
    source: Callable[[str], tuple[str, list[str], dict[str, object]]], cell: str, within: str, tmp_path: Path
) -> None:
    head, rows, changed = source(cell.format(within))
    path = tmp_path / "table.csv"
    path.write_bytes("\n".join([head, *rows, ""]).encode())
    (tmp_path / "none").mkdir()
    p = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
    p = p.model_copy(update={"raw": str(path), "gold": str(tmp_path / "none"), "max_quarantine": 1.0} | changed)
    made = extracting.extract(p, LABELS, CONCEPTS)
    whole = made.reports.filter(pl.col("findings").str.contains("edema.", literal=True) & (pl.col("report_id") != "r0"))
    assert all("Large heart" in text for text in whole["text"])
    halves = made.reports.filter(pl.col("findings").str.contains("pneumothorax"))
    assert all("effusion" in text for text in halves["text"])
    assert not any(map(may_be_text, [*made.reports["report_id"], *made.quarantine["report_id"]]))
    assert made.reports.height >= 2
    assert made.metrics["quarantined"]["total"] > 0 or (within == "\r" and cell == SHORT)


def test_a_table_is_read_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for content, told in {
        "report_id,Edema\na,1\rb,0\n": f"row 1: {LINE_END}",
        "report_id,Edema\na,1\nb\n": "row 2: 1 cells, the header has 2",
        'report_id,Edema\na,"1" 2\n': "row 1: quotes within a cell are not doubled",
        'report_id,Edema\na,"1\n': "line 2: a quote is opened that nothing closes",
        "": "is empty",
    }.items():
        path.write_bytes(content.encode())
        with pytest.raises(InputError, match=told):
            read_csv(path)
    (tmp_path / "labels.csv.gz").write_bytes(b"report_id,Edema\na,1\n")
    with pytest.raises(InputError, match="is damaged, or not compressed by gzip"):
        read_csv(tmp_path / "labels.csv.gz")


def rows_of(tmp_path: Path, content: str) -> tuple[dict[str, str], list[tuple[str | None, str]]]:
    batch = read(tmp_path / "r.csv", content)
    return texts(batch), [(reject.report_id, reject.reason) for reject in batch.rejects]


@pytest.mark.parametrize("end", ["\n\r", "\n,\n", "\n \n", "\n\x1a", "\n\x00\x00", "\n\t,\n"])
def test_rows_of_blanks_are_no_rows(end: str, tmp_path: Path) -> None:
    assert rows_of(tmp_path, f"report_id,text\n1,Mild edema.{end}") == ({"1": "Mild edema."}, [])


def test_an_item_of_a_list_is_no_id(tmp_path: Path) -> None:
    labelled, rejects = rows_of(tmp_path, "report_id,text\nr1,FINDINGS:\n- Cardiomegaly, large\nr2,Edema.\n")
    assert set(labelled) == {"r2"}
    assert [report_id for report_id, _ in rejects] == ["r1", None]


def test_a_cut_cell_shows_by_the_first_column_too(tmp_path: Path) -> None:
    rows = "0,r1,Lungs clear.\n1,r2,Lungs clear\nModerate effusion, cardiomegaly, stable\n2,r3,Edema.\n"
    labelled, rejects = rows_of(tmp_path, f",report_id,text\n{rows}")
    assert set(labelled) == {"r1"}  # whether r3 is whole cannot be told
    assert [report_id for report_id, _ in rejects] == ["r2", None, "r3"]


def test_ids_of_words_and_numbers_are_ids(tmp_path: Path) -> None:
    labelled, rejects = rows_of(tmp_path, 'report_id,text\n"r1","Edema."\n"patient 12 study 3","Edema."\n"CXR 12 A","Edema."\n')
    assert set(labelled) == {"r1", "patient 12 study 3", "CXR 12 A"}
    assert rejects == []


def test_a_section_that_comes_late_in_json_lines_is_not_passed_over(tmp_path: Path) -> None:
    early = "".join(f'{{"report_id": "r{n}", "findings": "Lungs clear."}}\n' for n in range(100))
    late = '{"report_id": "late", "findings": "Lungs clear.", "impression": "Large effusion."}\n'
    path = tmp_path / "r.jsonl"
    path.write_text(early + late)
    with ReportFile(str(path), Columns()) as file:
        rejects = [reject for batch in file.batches() for reject in batch.rejects]
    assert [(r.report_id, r.reason) for r in rejects] == [("late", "the first 100 lines have no 'impression'")]


@pytest.mark.parametrize("header", ["report_id,Findings,impression", "report_id,findings,IMPRESSION"])
def test_a_section_in_another_case_is_not_passed_over(header: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean"):
        read(tmp_path / "r.csv", f"{header}\n1,Large effusion.,Lungs clear.\n")


def test_sections_and_ids_that_say_nothing(tmp_path: Path) -> None:
    rows = "1,FINDINGS: nan,IMPRESSION: None.\n2,Findings: Clear lungs.,nan;nan\nnan,Edema.,\nNone,Edema.,\n"
    labelled, rejects = rows_of(tmp_path, f"report_id,findings,impression\n{rows}")
    assert labelled == {"2": "Clear lungs."}
    assert [reason for _, reason in rejects] == ["no text", "blank report id", "blank report id"]
