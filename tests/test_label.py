"""`raddistill label` and `raddistill show`: the same labels from every form of input, nothing lost, nothing leaked."""

import csv
import errno
import gzip
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pipeline_truth import ROOT
from typer.testing import CliRunner

from raddistill import cli
from raddistill.apps.label import formats, report_file, run
from raddistill.apps.label.formats import choose_format
from raddistill.apps.label.report_file import Report
from raddistill.errors import InputError
from raddistill.labelsets import load_labels
from raddistill.sections.report_text import compose
from raddistill.statuses import to_chexpert
from raddistill.tables import base as tables
from raddistill.tables.labels import Labels
from raddistill.teachers.rules.teacher import RulesTeacher

LABELS = [label.name for label in load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")]
SENTENCES = [
    "The heart is enlarged.", "No pleural effusion or pneumothorax.", "Possible pneumonia at the left base.",
    "A right chest port is seen.", "Small left pleural effusion.", "The lungs are clear.", "No focal consolidation.",
    "Bibasilar atelectasis, größer als zuvor.", "Heart size is normal.", "Old rib fracture.",
]  # fmt: skip
SECRET = "zanzibar"  # noqa: S105  stands for report text: never in errors, nor on stderr, nor in a table


def reports(number: int) -> pl.DataFrame:
    """So many, of which some lack a section."""
    draw = random.Random(5)
    rows = []
    for n in range(number):
        findings = None if n % 7 == 3 else " ".join([f"{SECRET} film {n}.", *draw.sample(SENTENCES, 3)])
        impression = None if n % 5 == 2 and findings else draw.choice(SENTENCES)
        rows.append({"report_id": f"r{n}", "findings": findings, "impression": impression, "text": compose(findings, impression)})
    return pl.DataFrame(rows)


def label(*words: str | Path, code: int = 0) -> str:
    """What the command says on stderr; with the frozen lexicon, so that another one may change."""
    done = CliRunner().invoke(cli.app, ["label", "--lexicon", "cold", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    assert SECRET not in done.output
    return done.stderr


def refused(match: str, *words: str | Path) -> None:
    with pytest.raises(InputError, match=match) as told:
        label(*words)
    assert SECRET not in str(told.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reports_csv(here: Path) -> Path:
    reports(40).select("report_id", "findings", "impression").write_csv("reports.csv")
    return Path("reports.csv")


def folder_of(frame: pl.DataFrame) -> None:
    for row in frame.iter_rows(named=True):
        Path("folder").mkdir(exist_ok=True)
        Path(f"folder/{row['report_id']}.txt").write_text(row["text"], encoding="utf-8")


BOTH = ["report_id", "findings", "impression"]
FORMS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "r.csv": lambda frame: frame.select(BOTH).write_csv("r.csv"),
    "r.tsv": lambda frame: frame.select(BOTH).write_csv("r.tsv", separator="\t"),
    "r.jsonl": lambda frame: frame.select(BOTH).write_ndjson("r.jsonl"),
    "r.parquet": lambda frame: frame.select(BOTH).write_parquet("r.parquet"),
    "text.csv": lambda frame: frame.select("report_id", "text").write_csv("text.csv"),
    "folder": folder_of,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_input_gives_the_labels_of_the_pipeline(name: str, here: Path) -> None:
    frame = reports(40)
    FORMS[name](frame)
    told = label(name, "-o", "long.csv", "--format", "long")
    assert told.splitlines()[1:] == ["40 of 40 reports labelled: long.csv"]
    expected = RulesTeacher("multiple_choice", str(ROOT / "lexicon/cold"), "findings_and_impression").label(
        frame, load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
    )
    written = tables.check(
        Labels, pl.read_csv("long.csv", schema_overrides={"code": pl.String, "probability": pl.Float64}), "long.csv"
    )
    keys = Labels.primary_key()
    assert written.sort(keys).equals(tables.check(Labels, expected.labels, "expected").sort(keys))
    label(name, "-o", "e.jsonl", "--format", "jsonl", "--quotes")
    cells = {row["report_id"]: row for row in frame.iter_rows(named=True)}
    column = "text" if name in ("text.csv", "folder") else None
    quoted = 0
    for line in Path("e.jsonl").read_text(encoding="utf-8").splitlines():
        told_of = json.loads(line)
        for each in told_of["evidence"]:
            cell = cells[told_of["report_id"]][column or each["section"]]
            assert cell[each["start"] : each["end"]] == each["quote"]
            quoted += 1
    assert quoted == expected.evidence.height > 100


def test_wide_has_chexperts_codes_and_no_finding(reports_csv: Path) -> None:
    Path("r.csv").write_text(
        "report_id,text\n"
        "ill,Small effusion. No pneumothorax. Possible pneumonia.\n"
        "well,No effusion or pneumothorax.\n"
        "device,A right chest port is seen. No effusion.\n"
        "doubt,Possible pneumonia.\n"
        "silent,Film.\n",
        encoding="utf-8",
    )
    label("r.csv", "-o", "wide.csv")
    rows = list(csv.DictReader(io.StringIO(Path("wide.csv").read_text(encoding="utf-8"))))
    assert list(rows[0]) == ["report_id", *LABELS, "No Finding"]
    said = {row.pop("report_id"): {label: cell for label, cell in row.items() if cell} for row in rows}
    assert said == {
        "ill": {"Pleural Effusion": "1", "Pneumothorax": "0", "Pneumonia": "-1"},
        "well": {"Pleural Effusion": "0", "Pneumothorax": "0", "No Finding": "1"},
        "device": {"Support Devices": "1", "Pleural Effusion": "0", "No Finding": "1"},
        "doubt": {"Pneumonia": "-1"},
        "silent": {"No Finding": "1"},
    }
    codes = {str(int(code)) for code in map(to_chexpert, ("present", "absent", "uncertain")) if code is not None}
    assert codes == {"1", "0", "-1"}


def test_tables_say_the_same_in_csv_tsv_and_parquet(reports_csv: Path) -> None:
    for form in ("wide", "long"):
        for suffix in (".csv", ".tsv", ".parquet"):
            label(reports_csv, "-o", f"{form}{suffix}", "--format", form)
        as_csv, as_parquet = pl.read_csv(f"{form}.csv", infer_schema=False), pl.read_parquet(f"{form}.parquet")
        assert pl.read_csv(f"{form}.tsv", separator="\t", infer_schema=False).equals(as_csv)
        assert as_parquet.cast(pl.String).equals(as_csv)
    assert set(pl.read_parquet("wide.parquet").schema.values()) == {pl.String, pl.Int8}
    assert tables.read(Labels, Path("long.parquet")).height == 40 * len(LABELS)
    assert sorted(file.suffix for file in Path().iterdir()) == [".csv"] * 3 + [".parquet"] * 2 + [".tsv"] * 2


def test_no_text_is_written_unless_quotes_are_asked_for(reports_csv: Path) -> None:
    Path("r.csv").write_text(f"report_id,text\na,Small {SECRET} effusion. Port {SECRET} seen.\n", encoding="utf-8")
    for name in ("a.csv", "a.jsonl"):
        label("r.csv", "-o", name, *(["--format", "jsonl"] if name == "a.jsonl" else []))
        assert SECRET not in Path(name).read_text(encoding="utf-8")
        assert "quote" not in Path(name).read_text(encoding="utf-8")


@pytest.mark.timeout(20)
def test_a_megabyte_in_pieces_takes_linear_time_and_keeps_its_offsets(here: Path) -> None:
    text = "FINDINGS: Small effusion. IMPRESSION: Possible pneumonia. " * 17_000
    Path("r.jsonl").write_text(json.dumps({"report_id": "a", "text": text}), encoding="utf-8")
    label("r.jsonl", "-o", "e.jsonl", "--format", "jsonl", "--quotes")
    evidence = json.loads(Path("e.jsonl").read_text(encoding="utf-8"))["evidence"]
    assert len(evidence) == 34_000
    assert all(text[each["start"] : each["end"]] == each["quote"] for each in evidence)
    assert {each["quote"] for each in evidence} == {"effusion", "pneumonia"}
    assert len({each["start"] for each in evidence}) == 34_000


def test_phrases_have_codes_and_lines_for_reports_without_any(reports_csv: Path) -> None:
    Path("r.csv").write_text("report_id,text\na,Small left pleural effusion.\nb,Normal.\n", encoding="utf-8")
    label("r.csv", "-o", "p.jsonl", "--format", "jsonl", "--task", "open_ended")
    first, second = map(json.loads, Path("p.jsonl").read_text(encoding="utf-8").splitlines())
    assert first["labels"] == [{"label": "small left pleural effusion", "status": "present", "code": "J90"}]
    assert second == {"report_id": "b", "labels": [], "evidence": []}
    label("r.csv", "-o", "p.csv", "--format", "long", "--task", "open_ended")
    assert Path("p.csv").read_text(encoding="utf-8").splitlines()[1:] == [
        "a,open_ended,rules:cold,small left pleural effusion,present,,J90"
    ]
    refused("open_ended has no wide form", "r.csv", "-o", "wide.csv", "--task", "open_ended")


@pytest.mark.parametrize(
    ("sections", "present"),
    [
        ("findings_and_impression", {"a": "Edema Pleural Effusion", "b": "Pleural Effusion", "c": "Edema", "d": "Edema"}),
        ("impression_else_findings", {"a": "Edema", "b": "Pleural Effusion", "c": "Edema", "d": "Edema"}),
        ("findings", {"a": "Pleural Effusion", "b": "Pleural Effusion", "d": "Edema"}),
        ("impression", {"a": "Edema", "c": "Edema", "d": "Edema"}),
    ],
)
def test_sections_that_are_read(sections: str, present: dict[str, str], here: Path) -> None:
    """Of a report without sections (d) all is read; who lacks what is read is put aside."""
    texts = ["FINDINGS: Effusion. IMPRESSION: Edema.", "FINDINGS: Effusion.", "IMPRESSION: Edema.", "Edema."]
    pl.DataFrame({"report_id": list("abcd"), "text": texts}).write_csv("r.csv")
    label("r.csv", "-o", "o.csv", "--sections", sections)
    rows = list(csv.DictReader(io.StringIO(Path("o.csv").read_text(encoding="utf-8"))))
    assert {row["report_id"]: " ".join(name for name in LABELS if row[name] == "1") for row in rows} == present
    aside = Path("o.csv.quarantine.csv")
    assert (aside.read_text(encoding="utf-8").count("\n") - 1 if aside.exists() else 0) == 4 - len(present)


def test_what_is_put_aside_is_counted_and_strict_makes_it_an_error(here: Path) -> None:
    frame = reports(30).select("report_id", "text")
    bad = pl.DataFrame({"report_id": ["r1", "", "x", "y"], "text": [SECRET, SECRET, "", f"FINDINGS: {SECRET}"]})
    pl.concat([frame, bad]).write_csv("r.csv")
    told = label("r.csv", "-o", "o.csv", "--sections", "impression", "--strict", code=1)
    written = Path("o.csv").read_text(encoding="utf-8").count("\n") - 1
    aside = Path("o.csv.quarantine.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(aside)))
    assert written + len(rows) == 34
    assert [int(row["row"]) for row in rows] == sorted(int(row["row"]) for row in rows)
    assert [row["reason"] for row in rows[-4:]] == [
        "report_id stands in an earlier row, too", "blank report id", "no text", "no impression",
    ]  # fmt: skip
    assert SECRET not in aside
    assert f"{written} of 34 reports labelled: o.csv\n{len(rows)} unusable, listed in o.csv.quarantine.csv (" in told
    assert "blank report id: 1; no impression: 6; no text: 1" in told
    label("r.csv", "-o", "o.csv", "--overwrite")


def positives(name: str) -> dict[str, str]:
    """What is 1 in a wide table, by report."""
    rows = csv.DictReader(io.StringIO(Path(name).read_text(encoding="utf-8")))
    return {row["report_id"]: " ".join(label for label in [*LABELS, "No Finding"] if row[label] == "1") for row in rows}


def test_a_carriage_return_in_a_cell_without_quotes(here: Path) -> None:
    """What pandas wrote before Python 3.11.9 (public.md D2): r2 has a comma that nobody quoted, so it cannot be told."""
    Path("cr.csv").write_bytes(
        b"report_id,text\nr1,FINDINGS: No pneumothorax.\rIMPRESSION: Small left effusion. Right base clear.\n"
        b"r2,FINDINGS: No edema.\rIMPRESSION: Large heart, clear lungs.\n"
    )
    label("cr.csv", "-o", "o.csv")
    assert positives("o.csv") == {"r1": "Pleural Effusion"}
    assert Path("o.csv.quarantine.csv").read_text(encoding="utf-8").splitlines()[1:] == [
        "2,r2,a line end within a cell without quotes"
    ]


def test_words_for_nothing_are_no_report(here: Path) -> None:
    """As programs write sections that are not there (public.md D3)."""
    Path("nan.csv").write_text(
        "report_id,findings,impression\na,nan,nan\nb,nan,Small left effusion.\nc,None,None\nd, N/A. ,NULL\n", encoding="utf-8"
    )
    label("nan.csv", "-o", "o.csv")
    assert positives("o.csv") == {"b": "Pleural Effusion"}
    assert [line.split(",", 1)[1] for line in Path("o.csv.quarantine.csv").read_text(encoding="utf-8").splitlines()[1:]] == [
        "a,no text", "c,no text", "d,no text",
    ]  # fmt: skip
    texts = ["Findings: None. Impression: Small left effusion.", "None.", "FINDINGS: nan\nIMPRESSION: NaN", "Indication:nan"]
    pl.DataFrame({"report_id": list("abcd"), "text": texts}).write_csv("text.csv")
    label("text.csv", "-o", "t.jsonl", "--format", "jsonl")
    (line,) = Path("t.jsonl").read_text(encoding="utf-8").splitlines()
    assert {each["section"] for each in json.loads(line)["evidence"]} == {"impression"}
    Path("n.jsonl").write_text('{"report_id": "a", "findings": NaN, "impression": "Small effusion."}\n', encoding="utf-8")
    label("n.jsonl", "-o", "n.csv")
    assert positives("n.csv") == {"a": "Pleural Effusion"}


def test_text_is_never_an_id(here: Path) -> None:
    rows = [("IMPRESSION: Large heart", "clear lungs."), (f"No {SECRET}", "Edema."), ("case 12", "Edema."), ("r1", "Edema.")]
    for write in (pl.DataFrame.write_csv, pl.DataFrame.write_ndjson, pl.DataFrame.write_parquet):
        name = f"r.{ {'write_csv': 'csv', 'write_ndjson': 'jsonl', 'write_parquet': 'parquet'}[write.__name__] }"
        write(pl.DataFrame(rows, schema=["report_id", "text"], orient="row"), name)
        label(name, "-o", "o.csv", "--overwrite")
        assert positives("o.csv") == {"case 12": "Edema", "r1": "Edema"}
        assert Path("o.csv.quarantine.csv").read_text(encoding="utf-8").splitlines()[1:] == [
            "1,,the report id is no id but text", "2,,the report id is no id but text",
        ]  # fmt: skip
    Path("folder").mkdir()
    Path("folder/No acute disease.txt").write_text("Edema.", encoding="utf-8")
    Path("folder/case 12.txt").write_text("Edema.", encoding="utf-8")
    label("folder", "-o", "f.csv")
    assert positives("f.csv") == {"case 12": "Edema"}


def test_bytes_do_not_depend_on_the_number_of_processes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_file, "BATCH_ROWS", 20)
    pl.concat([reports(300), reports(10)]).write_ndjson("r.jsonl")
    for jobs in (1, 2):
        label("r.jsonl", "-o", f"{jobs}.jsonl", "--format", "jsonl", "--jobs", str(jobs))
    assert Path("1.jsonl").read_bytes() == Path("2.jsonl").read_bytes()
    assert Path("1.jsonl.quarantine.csv").read_bytes() == Path("2.jsonl.quarantine.csv").read_bytes()


def test_the_command_is_a_function_too(reports_csv: Path) -> None:
    label(reports_csv, "-o", "by_command.csv")
    cli.label(str(reports_csv), Path("by_function.csv"), lexicon="cold")
    assert Path("by_function.csv").read_bytes() == Path("by_command.csv").read_bytes()


def test_settings_that_do_not_go_together(reports_csv: Path) -> None:
    refused(
        r"wide is written to \.csv, \.tsv, \.parquet, not to '\.jsonl'; for JSON lines say --format jsonl",
        reports_csv,
        "-o",
        "o.jsonl",
    )
    refused(r"jsonl is written to \.jsonl, \.ndjson, not to '\.csv'", reports_csv, "-o", "o.csv", "--format", "jsonl")
    refused(r"not to 'no suffix'", reports_csv, "-o", "o")
    refused(r"--quotes writes the words", reports_csv, "-o", "o.csv", "--quotes")
    refused(r"no lexicon 'warm': neither a path nor one of cold", reports_csv, "-o", "o.csv", "--lexicon", "warm")
    refused(r"no label set 'spine': neither a path nor one of chest_13", reports_csv, "-o", "o.csv", "--label-set", "spine")
    refused(r"the folder nowhere does not exist", reports_csv, "-o", "nowhere/o.csv")
    refused(r"is the input itself", reports_csv, "-o", reports_csv, "--overwrite")
    for name in ("o.csv.part", "o.csv.quarantine.csv"):
        shutil.copy(reports_csv, name)
        refused(r"is the input itself, or would replace it", name, "-o", "o.csv")
        Path(name).unlink()
    refused(r"must name a file, not ", reports_csv, "-o", "-")
    refused(r"no column 'report'; did you mean 'report_id'", reports_csv, "-o", "o.csv", "--id-column", "report")
    refused(r"no column 'note'", reports_csv, "-o", "o.csv", "--text-column", "note")
    assert [str(file) for file in Path().iterdir()] == ["reports.csv"]
    assert "wide" in label(reports_csv, "-o", "o.csv", "--format", "narrow", code=2)
    assert "No such option" in label(reports_csv, "-o", "o.csv", "--resume", code=2)
    label(reports_csv, "-o", "o.csv")
    refused(r"o\.csv exists; --overwrite replaces it", reports_csv, "-o", "o.csv")


def test_a_label_set_and_a_lexicon_of_ones_own(reports_csv: Path) -> None:
    shutil.copytree(ROOT / "lexicon/cold", "spine")
    Path("spine/multiple_choice/stenosis.txt").write_text("[mention]\nstenosis\n", encoding="utf-8")
    Path("spine.yaml").write_text("- name: Stenosis\n  description: narrow canal\n", encoding="utf-8")
    Path("r.csv").write_text("report_id,text\na,No stenosis.\n", encoding="utf-8")
    label("r.csv", "-o", "o.csv", "--lexicon", "spine", "--label-set", "spine.yaml")
    assert Path("o.csv").read_text(encoding="utf-8") == "report_id,Stenosis,No Finding\na,0,1\n"
    Path("spine/multiple_choice/stenosis.txt").write_text("[mention]\n..\n", encoding="utf-8")
    refused(r"stenosis\.txt, line 2: ", "r.csv", "-o", "p.csv", "--lexicon", "spine", "--label-set", "spine.yaml")


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_of_two_that_write_one_file_at_once_the_first_to_finish_wins(name: str, here: Path) -> None:
    """The other's unfinished file never stands in its place, and none is left."""
    form = choose_format("wide", Path(name).suffix, "multiple_choice", "rules", ["Edema"], quotes=False)

    def batch(report_id: str) -> run.LabelledBatch:
        labels = formats.ReportLabels(Report(1, report_id, {}), [], [("Edema", "present", None)])
        return run.LabelledBatch(form.encode([labels]), 1, [], 1)

    def slow() -> Generator[run.LabelledBatch, None, None]:
        yield batch("slow")
        run.write_labels((batch("fast") for _ in range(3)), form, Path(name), None)
        yield batch("slow")

    with pytest.raises(InputError, match=f"another process has written {name}"):
        run.write_labels(slow(), form, Path(name), None)
    read = pl.read_parquet(name) if name.endswith("parquet") else pl.read_csv(name)
    assert read["report_id"].to_list() == ["fast"] * 3
    assert [str(file) for file in Path().glob("o.*")] == [name]


# Real processes from here on.


def started(*words: str | Path, **options: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "raddistill.cli", "label", "--lexicon", "cold", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **options)


def ended(process: "subprocess.Popen[bytes]", part: str, how: signal.Signals) -> bytes:
    """Ends it in the middle of writing, and waits until its own processes have ended, too."""
    until = time.monotonic() + 60
    while not any(each.stat().st_size for each in Path().glob(part)) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    family = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    children = [int(pid) for pid in family.read_text(encoding="ascii").split()] if family.exists() else []
    process.send_signal(how)
    _, stderr = process.communicate(timeout=20)
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < until, "a process outlived its parent"
        time.sleep(0.01)
    return stderr


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with r.csv, long enough to be still at it when a signal comes, and what a whole run makes of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    frame = reports(8_000).select(BOTH)
    pl.concat([frame, frame[:30]]).write_csv(folder / "r.csv")
    label(folder / "r.csv", "-o", folder / "o.csv", "--jobs", "1")
    return folder


@pytest.mark.parametrize(("how", "code", "left"), [(signal.SIGKILL, -9, 2), (signal.SIGINT, 130, 0)])
def test_a_run_that_is_ended_leaves_no_output_and_the_next_one_starts_anew(
    how: signal.Signals, code: int, left: int, undisturbed: Path, here: Path
) -> None:
    process = started(undisturbed / "r.csv", "-o", "o.csv", "--jobs", "2")
    assert SECRET.encode() not in ended(process, "o.csv.????????.part", how)
    assert process.returncode == code
    assert len([*Path().glob("o.csv*")]) == len([*Path().glob("o.csv*.part")]) == left
    label(undisturbed / "r.csv", "-o", "o.csv", "--jobs", "1")
    for name in ("o.csv", "o.csv.quarantine.csv"):
        assert Path(name).read_bytes() == (undisturbed / name).read_bytes()
    assert len([*Path().glob("o.csv*")]) == 2


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_an_error_leaves_the_output_that_was_there(name: str, reports_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the files is the one that cannot be written; what --overwrite replaces goes with its quarantine."""
    Path("bad.csv").write_text(reports_csv.read_text(encoding="utf-8") + "r1,x,x\n", encoding="utf-8")
    label("bad.csv", "-o", name)
    before = {file: file.read_bytes() for file in Path().glob(f"{name}*")}
    assert {*map(str, before)} == {name, f"{name}.quarantine.csv"}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=rf"No space left on device: '{name}"):
            CliRunner().invoke(cli.app, ["label", str(reports_csv), "-o", name, "--overwrite"], catch_exceptions=False)
    assert {file: file.read_bytes() for file in Path().glob(f"{name}*")} == before
    label(reports_csv, "-o", name, "--overwrite")
    assert [*map(str, Path().glob(f"{name}*"))] == [name]


def test_rows_of_parquet_are_whole_in_every_row_group(reports_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_file, "BATCH_ROWS", 7)
    label(reports_csv, "-o", "one.parquet")
    monkeypatch.setattr(formats, "ROW_GROUP", 10)
    label(reports_csv, "-o", "some.parquet")
    assert pl.read_parquet("some.parquet").equals(pl.read_parquet("one.parquet"))
    Path("none.csv").write_text("report_id,text\na,\n", encoding="utf-8")
    for form in ("wide", "long"):
        label("none.csv", "-o", f"{form}.parquet", "--format", form)
        assert pl.read_parquet(f"{form}.parquet").height == 0


def test_standard_input_is_csv_or_json_lines_packed_or_not(reports_csv: Path) -> None:
    label(reports_csv, "-o", "file.csv")
    reports(40).select(BOTH).write_ndjson("r.jsonl")
    Path("r.csv.gz").write_bytes(gzip.compress(Path("reports.csv").read_bytes()))
    for n, source in enumerate(("reports.csv", "r.jsonl", "r.csv.gz")):
        with Path(source).open("rb") as stream:
            process = started("-", "-o", f"{n}.csv", stdin=stream)
            _, stderr = process.communicate(timeout=60)
        assert stderr.splitlines()[1:] == [f"40 of 40 reports labelled: {n}.csv".encode()]
        assert Path(f"{n}.csv").read_bytes() == Path("file.csv").read_bytes()


def test_errors_are_a_line_and_exit_1(reports_csv: Path) -> None:
    Path("bad.csv").write_text(f'report_id,text\na,No mass.\nb,"{SECRET} {SECRET}\n', encoding="utf-8")
    process = started("bad.csv", "-o", "o.csv")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == b"InputError: bad.csv, line 3: a quote is opened that nothing closes\n"


MEMORY = """
import re, sys
from pathlib import Path
from raddistill import cli
from raddistill.apps.label import formats, report_file, run
from raddistill.apps.label.formats import choose_format
from raddistill.apps.label.report_file import Report
try:
    cli.main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_file(here: Path) -> None:
    """Twenty times as many rows take less than 12 MiB more; kept, their texts alone would be 20."""
    peaks = {}
    for rows in (1_000, 20_000):
        with Path("r.csv").open("w", encoding="utf-8") as file:
            file.write("report_id,text\n")
            file.writelines(f"r{n},{'film' * 250}\n" for n in range(rows))
        words = ["label", "r.csv", "-o", "o.csv", "--jobs", "1", "--overwrite", "--lexicon", "cold"]
        done = subprocess.run([sys.executable, "-c", MEMORY, *words], capture_output=True, text=True, check=True)
        peaks[rows] = int(done.stdout) / 1024
    assert Path("o.csv").read_bytes().count(b"\n") == 20_001
    assert peaks[20_000] - peaks[1_000] < 12, peaks


def test_label_and_help_start_without_torch_and_polars() -> None:
    code = "import sys; from raddistill import cli; {}; print(sorted({{'torch', 'polars', 'pyarrow'}} & set(sys.modules)))"
    imports = "from raddistill.apps.label import rules, run"
    done = subprocess.run([sys.executable, "-c", code.format(imports)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def shown(*words: str, colour: bool = False) -> str:
    environment = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "100"} if colour else {}
    done = CliRunner().invoke(cli.app, ["show", "--lexicon", "cold", *words], env=environment, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_show_marks_the_evidence_and_lists_it(here: Path) -> None:
    text = "FINDINGS: Small effusion. No pneumothorax.\r\nIMPRESSION: Possible pneumonia. \x1b[2J"
    Path("r.jsonl").write_text(json.dumps({"report_id": "a/1", "text": text}), encoding="utf-8")
    output = shown("a/1", "--input", "r.jsonl")
    assert output.startswith("a/1\n\nFINDINGS\nSmall [+1 effusion]. No [-2 pneumothorax].")
    assert "\nIMPRESSION\nPossible [?3 pneumonia]. [2J\n" in output
    assert "[+n present]  [-n absent]  [?n uncertain]" in output
    assert re.search(r"\nPleural Effusion +present +\+1 findings +\n", output)
    assert re.search(r"\nPneumothorax +absent +-2 findings \(no\) *\n", output)
    assert re.search(r"\nPneumonia +uncertain +\?3 impression \(possible\) *\n", output)
    assert re.search(r"\nunmentioned: Atelectasis, .*, Support Devices\n", output)
    assert "\x1b" not in output
    coloured = shown("a/1", "--input", "r.jsonl", colour=True)
    assert "\x1b[1;31m[+1 \x1b[0m\x1b[1;31meffusion" in coloured
    assert "\x1b[32m[-2 " in coloured
    assert "\x1b[1;33m[?3 " in coloured
    assert "\x1b[2J" not in coloured  # the report's own control characters do nothing


def test_show_marks_spans_within_spans(here: Path) -> None:
    Path("r.csv").write_text("report_id,text\na,Effusion and atelectasis are seen.\n", encoding="utf-8")
    shutil.copytree(ROOT / "lexicon/cold", "mine")
    with Path("mine/multiple_choice/lung_opacity.txt").open("a", encoding="utf-8") as file:
        file.write("\n[mention]\neffusion and atelectasis are\n")
    output = shown("a", "--input", "r.csv", "--lexicon", "mine")
    assert re.search(r"\n\[\+\d \[\+\d Effusion\] and \[\+\d atelectasis\] are\] seen\.\n", output)


def test_show_reads_the_pipelines_reports_unless_told_another_file(here: Path) -> None:
    with pytest.raises(InputError, match=r"data/reports\.parquet is missing: name a file by --input"):
        cli.show("r1")
    Path("data").mkdir()
    reports(5).write_parquet("data/reports.parquet")
    assert "\nFINDINGS\nzanzibar film 1." in shown("r1")
    assert re.search(r"\nheart is enlarged +I51\.7 +present +\+1 findings", shown("r1", "--task", "open_ended"))
    with pytest.raises(InputError, match=r"no report r9 among the 5 of data/reports\.parquet"):
        cli.show("r9")
    with pytest.raises(InputError, match=r"report r3 has no findings; other --sections\?"):
        cli.show("r3", sections="findings")
