"""Files of reports that somebody hands in: formats, columns, the rule for headers, and rows that are no report."""

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from raddistill.apps.label import report_file
from raddistill.apps.label.options import Columns
from raddistill.apps.label.report_file import Batch, ReportFile, choose_columns, split_sections
from raddistill.errors import InputError

ROWS = [
    {"report_id": "a", "findings": "No effusion,\nno \"mass\".", "impression": "Normal."},
    {"report_id": "b/1", "findings": None, "impression": "Überblähte Lunge; no pneumothorax."},
    {"report_id": "007", "findings": "Heart\tis enlarged.", "impression": None},
]  # fmt: skip
SECTIONS = [
    {"findings": [(0, 'No effusion,\nno "mass".')], "impression": [(0, "Normal.")]},
    {"impression": [(0, "Überblähte Lunge; no pneumothorax.")]},
    {"findings": [(0, "Heart\tis enlarged.")]},
]


def csv_bytes(separator: str = ",") -> bytes:
    return pl.DataFrame(ROWS).write_csv(separator=separator, line_terminator="\r\n").encode()


WRITTEN: dict[str, Callable[[Path], Any]] = {
    "r.csv": lambda path: path.write_bytes(csv_bytes()),
    "bom.CSV": lambda path: path.write_bytes(b"\xef\xbb\xbf" + csv_bytes()),
    "r.csv.gz": lambda path: path.write_bytes(gzip.compress(csv_bytes())),
    "r.tsv": lambda path: path.write_bytes(csv_bytes("\t")),
    "r.jsonl": lambda path: path.write_text("\n\n".join(json.dumps(row) for row in ROWS), encoding="utf-8"),
    "r.ndjson.gz": lambda path: path.write_bytes(gzip.compress("\r\n".join(json.dumps(row) for row in ROWS).encode())),
    "r.parquet": lambda path: pl.DataFrame(ROWS).write_parquet(path, row_group_size=2),
    "categories.pq": lambda path: pl.DataFrame(ROWS).cast(pl.Categorical).write_parquet(path),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_holds_the_same_reports(name: str, tmp_path: Path) -> None:
    WRITTEN[name](tmp_path / name)
    with ReportFile(str(tmp_path / name), Columns()) as reports:
        (batch,) = reports.batches()
    assert [report.report_id for report in batch.reports] == ["a", "b/1", "007"]
    assert [report.sections for report in batch.reports] == SECTIONS
    assert [report.row for report in batch.reports] == [1, 2, 3]
    assert batch.rejects == []
    assert batch.done == reports.total  # all is read


def test_other_columns_in_any_order_and_numbers_as_ids(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    frame = pl.DataFrame({"note": ["No edema.", "No mass."], "x": [1, 2], "study": [50414267, 2]})
    frame.write_parquet(path)
    assert ids(read(path, Columns(id="study", text="note"))) == ["50414267", "2"]
    frame.cast({"study": pl.Float64}).write_parquet(path)
    assert ids(read(path, Columns(id="study", text="note"))) == ["50414267", "2"]


def read(path: Path, columns: Columns | None = None, form: str | None = None, encoding: str = "utf-8") -> Batch:
    (batch,) = read_all(path, columns, form, encoding)
    return batch


def read_all(path: Path, columns: Columns | None = None, form: str | None = None, encoding: str = "utf-8") -> list[Batch]:
    with ReportFile(str(path), columns or Columns(), form, encoding) as reports:
        return list(reports.batches())


def ids(batch: Batch) -> list[str]:
    return [report.report_id for report in batch.reports]


def reasons(batch: Batch) -> list[tuple[int | str | None, ...]]:
    return [tuple(reject) for reject in batch.rejects]


def test_a_folder_is_read_name_by_name(tmp_path: Path) -> None:
    for name, content in {
        "p10/s2.txt": b"No edema.\r\n",
        "p10/s10.TXT": b"\xef\xbb\xbfImpression: Normal.",
        "a.b.txt": b"No mass.",
        "empty.txt": b" \n",
        "latin.txt": "Überblähung".encode("latin-1"),
        "notes.md": b"no report",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    batch = read(tmp_path)
    assert {report.report_id: report.sections for report in batch.reports} == {
        "a.b": {"text": [(0, "No mass.")]},
        "p10/s10": {"impression": [(12, "Normal.")]},
        "p10/s2": {"text": [(0, "No edema.")]},
    }
    assert reasons(batch) == [(2, "empty", "no text"), (3, "latin", "not UTF-8")]
    assert ids(read(tmp_path, encoding="latin-1")) == ["a.b", "latin", "p10/s10", "p10/s2"]


def test_bad_rows_are_put_aside_with_their_reason_and_nothing_of_their_text(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(
        b"report_id,text\n"
        b"a,No SECRET.\n"
        b",No SECRET.\n"
        b"  ,No SECRET.\n"
        b"b, \n"
        b"b,Normal.\n"  # the row before had no text, so this is the first
        b"a,No SECRET.\n"
        b"c,No \xfc SECRET.\n"
        b"\xfcd,No SECRET.\n"
        b"\n"
        b"e,No, SECRET.\n"
        b"SECRET\n"
        b'f,"No "SECRET" mass."\n'
        b'g,"No ""mass""."\n'
    )
    batch = read(path)
    assert ids(batch) == ["a", "b", "g"]
    assert reasons(batch) == [
        (2, "", "blank report id"),
        (3, "  ", "blank report id"),
        (4, "b", "no text"),
        (6, "a", "report_id stands in an earlier row, too"),
        (7, "c", "not UTF-8"),
        (8, "?d", "not UTF-8"),
        (9, None, "3 cells, the header has 2"),
        (10, None, "1 cells, the header has 2"),
        (11, None, "quotes within a cell are not doubled"),
    ]
    assert len(batch.reports) + len(batch.rejects) == 12
    assert "SECRET" not in str(batch.rejects)


def test_bad_lines_of_json(tmp_path: Path) -> None:
    lines = [
        b'{"report_id": "a", "text": "No mass."}', b'{"report_id": "b"}', b"[1]", b"{", b'{"text": "No mass."}', b"[" * 99_999,
        b'{"report_id": true, "text": "x"}', b'{"report_id": "c", "text": ["x"]}', b'{"report_id": "d", "text": "\\ud800"}',
        b'{"report_id": "e", "text": "\xff"}', b'{"report_id": 12, "text": "No mass."}',
    ]  # fmt: skip
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\n".join(lines))
    batch = read(path)
    assert ids(batch) == ["a", "12"]
    assert [reason for _, _, reason in batch.rejects] == [
        "no text", "not a JSON object", "not a JSON object", "blank report id", "not a JSON object",
        "the report id is neither text nor a whole number", "the report is not text", "not UTF-8", "not UTF-8",
    ]  # fmt: skip


def test_a_bad_byte_in_parquet_spoils_its_own_row_only(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.array([b"No mass.", b"\xff", None]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"report_id": ["a", "b", "c"], "text": text}), tmp_path / "r.parquet")
    batch = read(tmp_path / "r.parquet")
    assert ids(batch) == ["a"]
    assert reasons(batch) == [(2, "b", "not UTF-8"), (3, "c", "no text")]


def test_parquet_of_databases_has_decimals_for_ids_and_bytes_for_text(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.array([Decimal("12.00"), Decimal("1.50"), None], pa.decimal128(12, 2))
    pq.write_table(pa.table({"report_id": numbers, "text": [b"No mass."] * 3}), tmp_path / "r.parquet")
    batch = read(tmp_path / "r.parquet")
    assert ids(batch) == ["12"]
    assert reasons(batch) == [(2, None, "the report id is neither text nor a whole number"), (3, None, "blank report id")]


@pytest.mark.parametrize(
    ("there", "asked", "wanted"),
    [
        (["report_id", "text"], {}, {"text": "text"}),
        (["report_id", "text", "findings", "impression"], {}, {"findings": "findings", "impression": "impression"}),
        (["report_id", "text", "findings"], {}, {"text": "text"}),
        (["report_id", "impression"], {}, {"impression": "impression"}),
        (["report_id", "findings", "impression", "text"], {"text": "text"}, {"text": "text"}),
        (["report_id", "findings", "impression", "note"], {"text": "note"}, {"text": "note"}),
        (["report_id", "f", "impression", "text"], {"findings": "f"}, {"findings": "f", "impression": "impression"}),
        (["report_id", "f", "text"], {"findings": "f"}, {"findings": "f"}),
        (["report_id", "f", "i"], {"findings": "f", "impression": "i"}, {"findings": "f", "impression": "i"}),
    ],
)
def test_which_columns_are_read(there: list[str], asked: dict[str, str], wanted: dict[str, str]) -> None:
    assert choose_columns("r.csv", there, Columns(**asked)) == ("report_id", wanted)


@pytest.mark.parametrize(
    ("there", "asked", "message"),
    [
        (["ReportID", "text"], {}, r"r\.csv has no column 'report_id'; did you mean 'ReportID'\? name it by --id-column"),
        (
            ["report_id", "texts"],
            {},
            r"no column 'text'; did you mean 'texts'.*--text-column \(or --findings.*are: report_id, texts",
        ),
        (["report_id", "text"], {"impression": "imp"}, r"no column 'imp'.*--impression-column\. There are: report_id, text"),
        (["report_id", "text", "text"], {}, r"more than one column 'text'"),
        (["report_id", "text"], {"text": "text", "findings": "f"}, r"name one kind"),
        (["7", "No SECRET."], {}, r"first line does not look like names of columns; it needs a header$"),
        (["7", "a SECRET that is long", "x"], {}, r"needs a header$"),
        (["report_id;text"], {}, r"one column only; is it separated by ';'\? Commas are read, and tabs"),
        (["report_id", *(f"c{n}" for n in range(99))], {}, r"c38 and 60 more$"),
        (["s7", "SECRET"], {}, r"name it by --id-column\. There are: 2, not shown here, as words of a report may stand"),
    ],
)
def test_columns_that_are_not_there(there: list[str], asked: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as told:
        choose_columns("r.csv", there, Columns(**asked))
    assert "SECRET" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", b"", r"is empty; its first line must name the columns"),
        ("r.csv", b'report_id,text\na,"No SECRET\nb,x\n', r"r\.csv, line 2: a quote is opened that nothing closes"),
        ("r.csv", "report_id,text\n".encode("utf-16"), r"is UTF-16, not UTF-8: --encoding utf-16"),
        ("r.csv", b'report_id,"te"xt\n', r"line 1: the header is no row of CSV"),
        ("r.xlsx", b"PK", r"what kind of file is it\? Known by name: \.csv, .*--input-format"),
        ("r.jsonl", b"SECRET\n", r"none of its first lines is a JSON object"),
        ("r.parquet", b"SECRET", r"is not a readable Parquet file"),
        ("r.csv", b"PAR1SECRET", r"r\.csv is Parquet, .* --input-format parquet"),
        ("r.csv.gz", b"SECRET", r"is damaged, or not compressed by gzip"),
        ("r.csv.gz", gzip.compress(b"report_id,text\n" + b"a,No SECRET.\n" * 9999)[:-40], r"its compressed data end too early"),
    ],
)
def test_files_that_are_not_what_they_should_be(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as told:
        read_all(tmp_path / name)
    assert "SECRET" not in str(told.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.txt file"):
        ReportFile(str(tmp_path), Columns())
    with pytest.raises(InputError, match="does not exist"):
        ReportFile(str(tmp_path / "r.csv"), Columns())
    with pytest.raises(InputError, match="is a folder, not a file"):
        ReportFile(str(tmp_path), Columns(), form="csv")
    (tmp_path / "r.txt").write_text("report_id\ttext\na\tNo mass.\n", encoding="utf-16")
    for encoding in ("latin-99", "base64"):
        with pytest.raises(InputError, match=f"no encoding '{encoding}'"):
            ReportFile(str(tmp_path / "r.txt"), Columns(), "tsv", encoding)
    assert ids(read(tmp_path / "r.txt", form="tsv", encoding="utf-16")) == ["a"]


def test_batches_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_file, "BATCH_ROWS", 10)
    path = tmp_path / "r.csv"
    path.write_text("\n".join(["report_id,text", *(f"{n},No mass {n}." for n in range(25))]), encoding="utf-8")
    assert [len(batch.reports) for batch in read_all(path)] == [10, 10, 5]
    path.write_text("report_id,text\na,{0}\nb,{0}\nc,x\n".format("mass " * 300_000), encoding="utf-8")
    assert [len(batch.reports) for batch in read_all(path)] == [1, 1, 1]


def test_one_report_is_found_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("report_id,text\na,No mass.\nb,\n", encoding="utf-8")
    with ReportFile(str(path), Columns()) as reports:
        assert reports.find("a").sections == {"text": [(0, "No mass.")]}
    with pytest.raises(InputError, match="row 2: report b cannot be used: no text"), ReportFile(str(path), Columns()) as reports:
        reports.find("b")
    with pytest.raises(InputError, match="no report c among the 2 of"), ReportFile(str(path), Columns()) as reports:
        reports.find("c")


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("No mass.", {"text": "No mass."}),
        ("FINDINGS: No mass. IMPRESSION: Normal.", {"findings": "No mass.", "impression": "Normal."}),
        ("IMPRESSION: Normal.\nFINDINGS:\n\n No mass.\n", {"impression": "Normal.", "findings": "No mass."}),
        ("Findings:\r\nNo mass.\r\n  Impression : Normal.", {"findings": "No mass.", "impression": "Normal."}),
        ("The findings: as before.", {"text": "The findings: as before."}),
        ("INDICATION: cough. FINDINGS: No mass. COMPARISON: none.", {"findings": "No mass."}),
        ("HISTORY: fall.\nCONCLUSION: No fracture.", {"impression": "No fracture."}),
        ("INDICATION: pneumonia?\n\nNo mass.", {"findings": "No mass."}),  # what is asked for is no finding
        ("INDICATION: pneumonia?", {}),
        ("FINDINGS AND IMPRESSION: No mass.", {"findings": "No mass."}),
        ("No mass seen.\nIMPRESSION: Normal.", {"findings": "No mass seen.", "impression": "Normal."}),
        ("FINDINGS: LUNGS: clear. HEART: normal.", {"findings": "LUNGS: clear. HEART: normal."}),
        ("REASON FOR EXAMINATION: cough.\nIMPRESSION: Normal.\nRecommendation: none.", {"impression": "Normal."}),
        ("FINDINGS: \nIMPRESSION: Normal.", {"impression": "Normal."}),
        ("FINDINGS:\nIMPRESSION:\n", {}),
        ("FINDINGS:IMPRESSION:", {}),
        (" \n\t", {}),
    ],
)
def test_headers_part_a_text(text: str, sections: dict[str, str]) -> None:
    found = split_sections(text)
    assert {section: words for section, ((_, words),) in found.items()} == sections
    assert all(text[at : at + len(words)] == words for pieces in found.values() for at, words in pieces)


def test_a_section_that_comes_twice_has_two_pieces() -> None:
    text = "FINDINGS: No mass. IMPRESSION: Normal. ADDENDUM: seen again. FINDINGS: A small effusion."
    assert split_sections(text) == {"findings": [(10, "No mass."), (71, "A small effusion.")], "impression": [(31, "Normal.")]}
