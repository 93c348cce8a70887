"""MIMIC-CXR's files, written for the tests in PhysioNet's layout: no text and no label of the collection is here."""

import errno
import gzip
import os
import zipfile
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from raddistill import concepts, labelsets, params
from raddistill.errors import InputError
from raddistill.reading.lines import Row
from raddistill.reading.rows import open_rows
from raddistill.sources import extracting
from raddistill.sources.collections import archives, mimic_cxr
from raddistill.sources.collections.archives import LARGEST_FILE
from raddistill.sources.collections.mimic_cxr import MimicCXR, load_splits, parse
from raddistill.sources.documents import Document, Failure
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold

ROOT = Path(__file__).parent.parent
MAPPING = ROOT / "gold/mimic_cxr"
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")
HEAD = (
    "study_id,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Lesion,Airspace Opacity,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices\n"
)
ROW = ",0.0,,1.0,,1.0,-1.0,,,,0.0,,,,1.0\n"  # in HEAD's order, after the study

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with a cough.

 COMPARISON:  None.

 FINDINGS:

 The heart is large.  There is a small
 effusion on the left.

 IMPRESSION:

 1.  Large heart.
 2.  Small effusion.
"""


def path_of(study: int, patient: int = 10000001) -> str:
    return f"files/p{str(patient)[:2]}/p{patient}/s{study}.txt"


def zipped(folder: Path, files: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w", method) as archive:
        archive.mkdir("files")
        for name, content in files.items():
            archive.writestr(name, content)
    return folder


def tree(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(raw: Path) -> list[Document | Failure]:
    return list(MimicCXR().read(raw))


def told(raw: Path) -> list[tuple[str, str]]:
    return [(made.report_id, made.reason if isinstance(made, Failure) else "read") for made in read(raw)]


def test_a_report_has_the_ids_of_its_path_and_the_sections_of_its_text(tmp_path: Path) -> None:
    assert read(zipped(tmp_path, {path_of(50000001): REPORT})) == [
        Document(
            report_id="s50000001",
            patient_id="p10000001",
            findings="The heart is large. There is a small effusion on the left.",
            impression="1. Large heart. 2. Small effusion.",
            indication="___ year old woman with a cough.",
            comparison="None.",
            annotations=(),
        )
    ]


FILES: dict[str, bytes | str] = {
    path_of(50000002, 11000001): " IMPRESSION:  Clear lungs.\n",
    path_of(50000001): REPORT,
    path_of(50000003): "The lungs are clear.",
}


def test_zip_and_tree_give_the_same_whatever_the_order(tmp_path: Path) -> None:
    made = read(zipped(tmp_path / "a", FILES))
    assert [m.report_id for m in made] == ["s50000001", "s50000003", "s50000002"]
    assert made == read(zipped(tmp_path / "b", dict(reversed(FILES.items())), zipfile.ZIP_STORED))
    assert made == read(tree(tmp_path / "c", FILES)) == read(tree(tmp_path / "d" / "mimic-cxr-reports", FILES).parent)
    assert made == read(tmp_path / "c" / "files") == read(tmp_path / "a" / "mimic-cxr-reports.zip")


def read_as_folder(raw: Path) -> list[Row]:
    return list(open_rows(str(raw), "folder", "utf-8").rows(["report_id", "text"]))


@pytest.mark.parametrize("reader", [read, read_as_folder])
def test_a_folder_that_must_not_be_read_loses_no_report_silently(
    reader: Callable[[Path], Sized], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tree(tmp_path, {path_of(50000001): REPORT, path_of(50000002, 10000002): REPORT})
    assert len(reader(raw)) == 2

    def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
        def refused(path: Any = ".") -> Any:
            if Path(path).name == "p10000002":
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return function(path)

        return refused

    for name in ("listdir", "scandir"):  # the user root, as whom containers run tests, may read every folder
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    with pytest.raises(PermissionError, match="p10000002"):
        reader(raw)


def test_two_processes_give_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path_of(50000000 + n): f" FINDINGS:  Nodule of {n} mm.\n" for n in range(40)}
    archive = zipped(tmp_path, files) / "mimic-cxr-reports.zip"
    reports = archives.Zip(archive, lambda name: name.endswith(".txt"))
    monkeypatch.setattr(archives, "CHUNK", 7)
    monkeypatch.setattr(archives, "AHEAD", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    alone = list(archives.each(reports, parse))
    assert len(alone) == 40
    monkeypatch.setattr(archives, "MANY", 1)
    assert list(archives.each(reports, parse)) == alone
    some: Any = archives.each(reports, parse)
    assert next(some) == alone[0]
    some.close()  # and the processes end


def test_how_far_the_reading_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimic_cxr, "PROGRESS_EVERY", 2)
    told: list[tuple[int, int | None]] = []
    assert len(list(MimicCXR().read(zipped(tmp_path, FILES), lambda done, total: told.append((done, total))))) == 3
    assert told == [(2, 3)]


def test_what_is_no_report_is_left_alone(tmp_path: Path) -> None:
    others = {
        "files/p10/p10000001/s50000001/picture.jpg": "no text",
        "files/p10/index.html": "<html>",
        "__MACOSX/files/p10/p10000001/._s50000001.txt": "a mark of another system",
    }
    assert told(zipped(tmp_path / "a", {path_of(50000001): REPORT, **others})) == [("s50000001", "read")]
    inside = {"files/p10/p10000001/s50000001/s50000009.txt": "no report", "files/p10/README.txt": "no report"}
    assert told(tree(tmp_path / "b", {path_of(50000001): REPORT, **others, **inside})) == [("s50000001", "read")]


NAME = "no name like files/p10/p10000032/s50414267.txt"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (path_of(50000002), b"", ("s50000002", "empty file")),
        (path_of(50000002), b" \n \n", ("s50000002", "empty file")),
        (path_of(50000002), "FINDINGS: h\xe9".encode("latin-1"), ("s50000002", "not UTF-8")),
        (path_of(50000002), b"\x00" * (LARGEST_FILE + 1), ("s50000002", "file too large")),
        ("../files/p10/p10000001/s50000002.txt", REPORT, ("../files/p10/p10000001/s50000002.txt", NAME)),
        ("/files/p10/p10000001/s50000002.txt", REPORT, ("/files/p10/p10000001/s50000002.txt", NAME)),
        ("files/p10/p10000001/notes.txt", REPORT, ("files/p10/p10000001/notes.txt", NAME)),
        ("s50000002.txt", REPORT, ("s50000002.txt", NAME)),
    ],
)
def test_a_file_that_cannot_be_used_is_named(name: str, content: bytes | str, expected: tuple[str, str], tmp_path: Path) -> None:
    raw = zipped(tmp_path, {path_of(50000001): REPORT, name: content})
    assert sorted(told(raw)) == sorted([("s50000001", "read"), expected])


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_on_disk_that_is_no_utf8(tmp_path: Path) -> None:
    raw = tree(tmp_path, {path_of(50000001): REPORT})
    (raw / "files/p10/p10000001" / os.fsdecode(b"s\xe9.txt")).write_text(REPORT)
    assert sorted(told(raw)) == [("p10/p10000001/s?.txt", NAME), ("s50000001", "read")]


def spoil(raw: Path, what: bytes, put: bytes, count: int = -1) -> Path:
    """The zip with some bytes changed."""
    archive = raw / "mimic-cxr-reports.zip"
    content = archive.read_bytes()
    assert what in content
    archive.write_bytes(content.replace(what, put, count))
    return raw


def test_a_damaged_member_costs_only_itself(tmp_path: Path) -> None:
    text = "FINDINGS: clear lungs, and nothing else."
    stored = zipped(tmp_path / "a", {path_of(50000001): text, path_of(50000002): REPORT}, zipfile.ZIP_STORED)
    expected = [("s50000001", "damaged in the archive"), ("s50000002", "read")]
    assert told(spoil(stored, b"clear lungs", b"clear lunGs")) == expected
    deflated = zipped(tmp_path / "b", {path_of(50000001): text, path_of(50000002): REPORT})
    name = path_of(50000001).encode()
    assert told(spoil(deflated, name + b"\x73", name + b"\xff", 1)) == expected
    header = zipped(tmp_path / "c", {path_of(50000001): text, path_of(50000002): REPORT})
    with zipfile.ZipFile(header / "mimic-cxr-reports.zip") as archive:
        at = archive.getinfo(path_of(50000001)).header_offset
    content = bytearray((header / "mimic-cxr-reports.zip").read_bytes())
    content[at : at + 4] = b"none"
    (header / "mimic-cxr-reports.zip").write_bytes(content)
    assert told(header) == expected


@pytest.mark.parametrize("offset", [-5, 1 << 63])
def test_a_place_that_no_file_has(offset: int, tmp_path: Path) -> None:
    archive = zipped(tmp_path, FILES) / "mimic-cxr-reports.zip"
    reports = archives.Zip(archive, lambda name: name.endswith(".txt"))
    for member in reports.members:
        member.header_offset = offset
    assert {made.reason for made in archives.each(reports, parse)} == {"damaged in the archive"}


def test_other_ways_of_packing(tmp_path: Path) -> None:
    raw = zipped(tmp_path / "a", {path_of(50000001): REPORT}, zipfile.ZIP_LZMA)
    assert told(raw) == [("s50000001", "packed by an unknown method")]
    raw = zipped(tmp_path / "b", {path_of(50000001): REPORT})
    content = bytearray((raw / "mimic-cxr-reports.zip").read_bytes())
    content[content.rindex(b"PK\x01\x02" + content[content.rindex(b"PK\x01\x02") + 4 :][:4]) + 8] |= 1  # the flag of encryption
    (raw / "mimic-cxr-reports.zip").write_bytes(content)
    assert told(raw) == [("s50000001", "encrypted")]


def test_a_truncated_or_missing_archive_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a", FILES) / "mimic-cxr-reports.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"mimic-cxr-reports\.zip is truncated or no zip"):
        read(tmp_path / "a")
    for raw in (tmp_path, tmp_path / "none", zipped(tmp_path / "b", {})):
        with pytest.raises(InputError, match="holds no report of MIMIC-CXR: neither"):
            read(raw)


# ------------------------------------------------------------------------------------------------------- its split


def splits(folder: Path, rows: str, head: str = "dicom_id,study_id,subject_id,split\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(gzip.compress((head + rows).encode()))
    return folder


def test_the_split_of_images_becomes_one_of_studies(tmp_path: Path) -> None:
    rows = (
        "a,50000001,10000001,train\nb,50000001,10000001,train\nc,50000002,11000001,validate\n"
        "d,50000003,10000001,train\ne,50000003,10000001,test\nf,59999999,19999999,test\n"
    )
    made = read(splits(zipped(tmp_path, FILES), rows))
    assert {m.report_id: m.split for m in made if isinstance(m, Document)} == {
        "s50000001": "train",
        "s50000002": "validate",
        "s50000003": "test and train",  # no word of a split, so it goes to quarantine where the file's split is asked for
    }


def test_without_the_file_or_the_row_there_is_no_split(tmp_path: Path) -> None:
    assert {m.split for m in read(zipped(tmp_path, FILES))} == {None}
    made = read(splits(tmp_path, "a,50000001,10000001,train\n"))
    assert [m.split for m in made] == ["train", None, None]


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("dicom_id,study_id,subject_id\n", "a,1,2\n", r"split\.csv\.gz has no column 'split'; There are: dicom_id, study_id"),
        ("dicom_id,study,subject_id,split\n", "a,1,2,train\n", "no column 'study_id'; did you mean 'study'"),
        ("study_id,study_id,split\n", "1,1,train\n", "more than one column 'study_id'"),
        ("study_id,split\n", "x,train\n,test\n", "column 'study_id' has 2 cells that are no number of a study"),
        ("", "", "is empty, damaged, or no readable CSV"),
        ("study_id,split\n", "1,train\r2,test\n", "row 1: a line end within a cell without quotes"),
        ("study_id,split\n", "1,train\n2\n", "row 2: 1 cells, the header has 2"),
    ],
)
def test_a_split_file_of_another_form_is_refused(head: str, rows: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(splits(zipped(tmp_path, FILES), rows, head))


def test_a_damaged_split_file_is_refused(tmp_path: Path) -> None:
    path = splits(zipped(tmp_path, FILES), "a,50000001,10000001,train\n") / "mimic-cxr-2.0.0-split.csv.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF  # of the checksum
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"split\.csv\.gz is empty, damaged,"):
        read(tmp_path)


def test_a_study_is_the_same_with_and_without_its_letter(tmp_path: Path) -> None:
    made = load_splits(splits(tmp_path, "s50000001,train\n50000002,test\n50000003.0,test\n", "study_id,split\n").joinpath(
        "mimic-cxr-2.0.0-split.csv.gz"
    ))  # fmt: skip
    assert made == {"s50000001": "train", "s50000002": "test", "s50000003": "test"}


# -------------------------------------------------------------------------------------------------------- its gold


def gold_of(raw: Path, labels: list[labelsets.Label] = LABELS, mapping: Path = MAPPING) -> pl.DataFrame:
    source = MimicCXR()
    said = {made.report_id: made.annotations for made in source.read(raw) if isinstance(made, Document)}
    return source.gold(said, mapping, labels, CONCEPTS)


def annotated(folder: Path, rows: str, head: str = HEAD) -> Path:
    zipped(folder, FILES)
    (folder / "mimic-cxr-2.1.0-test-set-labeled.csv").write_text(head + rows)
    return folder


def test_gold_has_a_row_for_every_annotated_report_and_label(tmp_path: Path) -> None:
    gold = gold_of(annotated(tmp_path, "50000001" + ROW))
    tables.check(Gold, gold, "gold")
    assert gold.height == 13
    assert gold.select("task", "annotator").unique().rows() == [("multiple_choice", "mimic_cxr_radiologist")]
    assert dict(gold.select("label", "status").rows()) == {
        **dict.fromkeys([label.name for label in LABELS], "absent"),
        "Cardiomegaly": "present",
        "Lung Opacity": "present",  # the column Airspace Opacity
        "Support Devices": "present",
        "Edema": "uncertain",
    }


def test_gold_does_not_depend_on_the_order_of_rows_or_columns(tmp_path: Path) -> None:
    one = gold_of(annotated(tmp_path / "a", f"50000001{ROW}50000002,1.0,,,,,,,,,,,,,\n"))
    turned = ",".join(reversed(HEAD.strip().split(","))) + "\n"
    rows = [",".join(reversed(row.split(","))) + "\n" for row in ("50000002,1,,,,,,,,,,,,,", "50000001" + ROW.strip())]
    other = gold_of(annotated(tmp_path / "b", "".join(rows), turned))
    key = ["report_id", "label"]
    assert one.sort(key).equals(other.sort(key))
    assert set(one.filter(pl.col("report_id") == "s50000002")["status"]) == {"absent"}


def test_nobody_annotated_anything(tmp_path: Path) -> None:
    gold = gold_of(zipped(tmp_path, FILES))
    tables.check(Gold, gold, "gold")
    assert gold.height == 0


def test_an_annotated_study_without_report_has_its_rows(tmp_path: Path) -> None:
    gold = gold_of(annotated(tmp_path, f"50000001{ROW}59999999{ROW}"))
    assert set(gold["report_id"]) == {"s50000001", "s59999999"}


def test_gold_of_studies_in_quarantine_and_of_none(tmp_path: Path) -> None:
    """A study of another encoding, one without text, one that is not there: only the last is listed so."""
    raw = annotated(tmp_path, "".join(f"{study}{ROW}" for study in (50000001, 50000002, 50000004, 59999999)))
    zipped(raw, FILES | {path_of(50000002, 11000001): "FINDINGS: h\xe9".encode("latin-1"), path_of(50000004): "FINDINGS:\n"})
    p = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
    p = p.model_copy(update={"source": "mimic_cxr", "raw": str(raw), "gold": str(MAPPING), "max_quarantine": 1.0})
    made = extracting.extract(p, LABELS, CONCEPTS)
    assert set(made.gold["report_id"]) == {"s50000001"}
    assert (made.metrics["gold_of_quarantined_reports"], made.metrics["gold_of_unknown_reports"]) == (2, 1)
    assert made.metrics["reports_without_gold"] == {"multiple_choice": 1, "open_ended": 2}
    assert sorted(made.quarantine.select("report_id", "reason").rows()) == [
        ("s50000002", "not UTF-8"),
        ("s50000004", "no findings and no impression"),
        ("s59999999", "annotated, but not among the reports"),
    ]


def test_a_label_set_of_another_size_and_a_label_without_column(tmp_path: Path) -> None:
    raw = annotated(tmp_path, "50000001" + ROW)
    assert gold_of(raw, LABELS[:2]).height == 2
    with pytest.raises(
        InputError, match=r"labels\.csv names no column, or several, for Emphysema, 1 more; there are: Airspace.* gold/none"
    ):
        gold_of(raw, [labelsets.Label(name=name, description="") for name in ("Emphysema", "A sentence of a report.")])


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        (HEAD, "50000001" + ROW.replace("-1.0", "2"), "column 'Edema' has 1 cells that are not 1, 0, -1 or blank"),
        (HEAD, f"50000001{ROW}50000001{ROW.replace('-1.0', '1')}", "1 rows repeat a study_id with other codes"),
        (HEAD.replace("study_id", "study"), "50000001" + ROW, "no column 'study_id'; did you mean 'study'"),
        (HEAD.replace("Edema", "Fracture"), "50000001" + ROW, "more than one column 'Fracture'"),
        (HEAD.replace("Edema", "Oedema"), "50000001" + ROW, r"labels\.csv does not decide the columns Oedema"),
    ],
)
def test_a_gold_file_of_another_form_is_refused(head: str, rows: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        gold_of(annotated(tmp_path, rows, head))


def test_a_row_that_stands_twice_is_one(tmp_path: Path) -> None:
    assert gold_of(annotated(tmp_path, f"50000001{ROW}50000001{ROW}")).height == 13


def test_the_mapping_is_checked(tmp_path: Path) -> None:
    raw = annotated(tmp_path / "raw", "50000001" + ROW)
    with pytest.raises(InputError, match=r"labels\.csv is missing; params\.yaml names its folder as extract\.gold"):
        gold_of(raw, mapping=tmp_path)
    (tmp_path / "labels.csv").write_text("column,label\nEdema,Edema\n")
    with pytest.raises(InputError, match="is not a CSV with the columns column, label, why"):
        gold_of(raw, mapping=tmp_path)


def test_two_files_of_one_kind_are_refused(tmp_path: Path) -> None:
    raw = annotated(tmp_path, "50000001" + ROW)
    (raw / "mimic-cxr-2.2.0-test-set-labeled.csv").write_text(HEAD)
    with pytest.raises(InputError, match="keep one"):
        read(raw)


def test_files_beside_what_is_named_are_not_left_out_without_a_word(tmp_path: Path) -> None:
    raw = annotated(zipped(tmp_path, FILES), "50000001,1.0")
    for named in (raw / "mimic-cxr-reports.zip", raw / "files"):
        with pytest.raises(InputError, match=r"next to it is mimic-cxr-.*name the folder"):
            list(MimicCXR().read(named))
