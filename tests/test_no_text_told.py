"""Report text stands in the tables of reports and nowhere else: not in errors, logs, metrics, nor in what quarantine tells.

Every text cell, section and file of every source is made of words with one stem that no program prints, in good input and in bad.
What a run says on any way, and exceptions with all that they were raised from, is searched for the stem.
"""

import csv
import gzip
import importlib
import io
import json
import logging
import random
import re
import tarfile
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from raddistill import cli, concepts, labelsets, params, paths
from raddistill.apps import cohorts, compare_cohorts
from raddistill.errors import RaddistillError
from raddistill.sources import extracting
from raddistill.sources.collections.files import FilesParams
from raddistill.sources.splits import second_cohort
from raddistill.tables import base as tables
from raddistill.tables.reports import Reports
from raddistill.teachers.imported.teacher import ImportedTeacher

ROOT = Path(__file__).parent.parent
STEM = "zorilla"
P = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
NAMES = [label.name for label in LABELS]
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")
NO_SECOND = second_cohort.SecondParams(source="", raw="", gold="")
FILES = dict.fromkeys(FilesParams.model_fields, "") | {"sensitivity": "phi", "encoding": "utf-8", "id": "report_id"}

Case = Callable[[Path], dict[str, Any]]  # writes its files into the folder; returns changes of `extract`
Overhear = Callable[[Callable[[], Any]], tuple[str, Any]]


def said(place: str, words: int = 12) -> str:
    """A sentence of so many words, each with the stem."""
    return " ".join([STEM.capitalize(), *(f"{STEM}{place}{n}" for n in range(2, words + 1))]) + "."


@pytest.fixture
def overhear(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Overhear:
    """Runs something; returns all that could be heard of it, and what it returned. Errors must be of our own kinds."""
    caplog.set_level(logging.DEBUG)

    def run(work: Callable[[], Any]) -> tuple[str, Any]:
        caplog.clear()
        made, told = None, []
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                made = work()
            except RaddistillError as error:
                told = list(chain(error))
        streams = capfd.readouterr()
        return "\n".join([*told, streams.out, streams.err, caplog.text, *(str(w.message) for w in warned)]), made

    return run


def chain(error: BaseException | None) -> Iterator[str]:
    """The error and those it was raised from, also where `from None` hides them: a debugger or a reporter of errors sees them."""
    while error is not None:
        yield "".join(traceback.format_exception(error, chain=False))
        yield repr(error.args)
        error = error.__cause__ or error.__context__


def searched(told: str) -> list[str]:
    """The lines in which the stem stands."""
    return [line for line in told.splitlines() if STEM in line.casefold()]


# ------------------------------------------------------------------------------------------------------------- openi


def document(report_id: str = "CXR9", head: str = "", major: str = "Cardiomegaly/mild", words: str = "") -> bytes:
    sections = "".join(
        f'<AbstractText Label="{name}">{said(name)}{words}</AbstractText>'
        for name in ("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION")
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{head}<eCitation><uId id="{report_id}"/><note>{said("note")}</note>{sections}'
        f"<MeSH><major>{major}</major><automatic>{said('automatic')}</automatic></MeSH></eCitation>"
    ).encode()


def openi(*files: bytes, name: str = "{}.xml", cut: int = 0) -> Case:
    """Five good files and these, as an archive from whose end some bytes are cut."""

    def write(folder: Path) -> dict[str, Any]:
        with tarfile.open(folder / "reports.tgz", "w:gz") as packed:
            for n, content in enumerate([*(document(f"CXR{n}") for n in range(5)), *files]):
                member = tarfile.TarInfo(name.format(n))
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
        content = (folder / "reports.tgz").read_bytes()
        (folder / "reports.tgz").write_bytes(content[: len(content) - cut])
        return {"source": "openi", "raw": str(folder), "gold": str(ROOT / "gold/openi")}

    return write


BOMB = f'<!DOCTYPE e [<!ENTITY a "{said("bomb")}"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = f'<!DOCTYPE e [<!ENTITY a SYSTEM "file:///{STEM}">]>'
OPENI = {
    "good": openi(),
    "cut file": openi(document()[:500], said("alone").encode(), b"\0" + document()),
    "bomb": openi(document(head=BOMB, words="&b;"), document(head=OUTSIDE, words="&a;"), document(words="&zorilla;")),
    "encoding": openi(document(words="\xe9").decode().encode("latin-1"), document().replace(b"utf-8", STEM.encode())),
    "no id": openi(document("  "), document().replace(b"uId", b"uid")),
    "no text": openi(document().replace(b"AbstractText", b"Abstract")),
    "doubled ids": openi(document("CXR1"), document("CXR2", words=said("other")), document("CXR3", major="Pneumonia")),
    "text as id": openi(*[document(said("id"), words=said(str(n))) for n in range(2)]),
    "text as code": openi(document(major=said("major"))),
    "truncated": openi(cut=150),
    "escaping": openi(name="../{}.xml"),
    "no reports": openi(name="{}.txt"),
}


# --------------------------------------------------------------------------------------------------------- MIMIC-CXR

HEAD = ["study_id", *("Airspace Opacity" if name == "Lung Opacity" else name for name in NAMES), "No Finding"]
CODES = ["1.0", "", "0.0", *[""] * (len(HEAD) - 4)]
REPORT = f""" WET READ: {said("wet")}
________________________________________
                                 FINAL REPORT
 EXAMINATION: {said("exam")}
 HISTORY: {said("history")}
 COMPARISON: {said("comparison")}
 FINDINGS: {said("findings")}
 {said("more")}
 IMPRESSION:
 1. {said("impression")}
 NOTIFICATION: {said("other")}"""


def study(number: int) -> str:
    return f"files/p10/p1000000{number}/s5000000{number}.txt"


def lines(*rows: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


SPLITS = lines(
    ["dicom_id", "study_id", "subject_id", "split"],
    *([f"{STEM}{n}", f"5000000{n}", f"1000000{n}", "train"] for n in range(1, 6)),
)
ANNOTATED = lines(HEAD, *([f"5000000{n}", *CODES] for n in range(1, 4)))


def mimic(
    also: dict[str, bytes] | None = None, split: bytes = SPLITS, gold: bytes = ANNOTATED, tree: bool = False,
    harm: Callable[[bytes], bytes] = lambda content: content,
) -> Case:  # fmt: skip
    """Five good reports and these."""

    def write(folder: Path) -> dict[str, Any]:
        files = {study(n): f"{REPORT}\n {n}.".encode() for n in range(1, 6)} | (also or {})
        if tree:
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        else:
            with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            path = folder / "mimic-cxr-reports.zip"
            path.write_bytes(harm(path.read_bytes()))
        (folder / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(gzip.compress(split))
        (folder / "mimic-cxr-2.1.0-test-set-labeled.csv").write_bytes(gold)
        return {"source": "mimic_cxr", "raw": str(folder), "gold": str(ROOT / "gold/mimic_cxr")}

    return write


UNUSABLE = {study(7): REPORT.encode() + b"\xe9", study(8): b" \n", study(9): REPORT.encode() * 2000}
BAD_TABLES = {  # of any file with a header, whose first column is that of ids
    "no header": lambda head: lines([said("a", 2), said("b", 2)], [said("c"), said("d")]),
    "no header, ids": lambda head: lines(["50000001", said("b", 3)], ["50000002", said("d")]),
    "no header, one word": lambda head: lines(["s50000001", STEM], ["s50000002", STEM]),
    "text as ids": lambda head: lines(head, *[[said(str(n))] * len(head) for n in range(3)]),
    "short text as ids": lambda head: lines(head, *[[said(str(n), 4)] * len(head) for n in [0, 1, 1]]),
    "text as cells": lambda head: lines(head, *[[f"5000000{n}"] + [said(str(n))] * (len(head) - 1) for n in range(1, 4)]),
    "ragged": lambda head: lines(head, ["50000001", said("a")], ["50000002", *[said("b")] * 40]),
    "quotes": lambda head: lines(head) + f'50000001,a "{said("a")}" b,"{said("b")}\n{said("c")}\n'.encode(),
    "encoding": lambda head: lines(head, ["50000001", *[said("a") + "\xe9"] * (len(head) - 1)]).decode().encode("latin-1"),
    "utf-16": lambda head: lines(head, ["50000001", *[said("a")] * (len(head) - 1)]).decode().encode("utf-16"),
    "doubled column": lambda head: lines([*head, head[0]], ["50000001", *[said("a")] * len(head)]),
    "doubled column of text": lambda head: lines([*head, said("x", 3), said("x", 3)], ["1", *[said("a")] * (len(head) + 1)]),
    "missing column": lambda head: lines([head[0] + "s", *head[1:]], ["50000001", *[said("a")] * (len(head) - 1)]),
    "cut by line ends": lambda head: lines(head, ["50000001", *[""] * (len(head) - 1)]) + b"".join(
        f"5000000{n},{said('a', 3)}{end}{said('b', 3)[:-1]}{','.join([said('c', 3)] * (len(head) - 1))}\n".encode()
        for n, end in enumerate(["\n", "\r", "\r\n", ","], start=2)
    ),
    "few words as ids": lambda head: lines(head, *[[f"{STEM} {STEM}"] * len(head)] * 2),
    "binary": lambda head: b"\0\1" + said("binary").encode(),
    "empty": lambda head: b"",
    "semicolons": lambda head: ";".join(head).encode() + f"\n1;{said('a')}\n".encode(),
}  # fmt: skip
MIMIC = {
    "good": mimic(),
    "good tree": mimic(tree=True),
    "unusable": mimic(UNUSABLE),
    "unusable tree": mimic(UNUSABLE, tree=True),
    "names": mimic({"../../etc/s1.txt": REPORT.encode(), "files/p10/p10000001/notes.txt": REPORT.encode()}),
    "names are text": mimic({f"files/p10/p10000001/{STEM} {STEM}.txt": REPORT.encode(), f"{said('name')}txt": REPORT.encode()}),
    "truncated": mimic(harm=lambda content: content[:-300]),
    "damaged": mimic(harm=lambda content: content.replace(b"findings2", b"findings3")),
    "no zip": mimic(harm=lambda content: said("zip").encode()),
    "unknown codes": mimic(gold=lines(HEAD, ["50000001", said("code"), *CODES[1:]])),
    "unknown studies": mimic(gold=lines(HEAD, ["59999999", *CODES], ["50000001", *CODES])),
    "two codes": mimic(gold=lines(HEAD, ["50000001", *CODES], ["50000001", *reversed(CODES)])),
    "unknown splits": mimic(split=SPLITS.replace(b"train", said("split").encode())),
    **{f"split: {name}": mimic(split=bad(["study_id", "split"])) for name, bad in BAD_TABLES.items()},
    **{f"gold: {name}": mimic(gold=bad(HEAD)) for name, bad in BAD_TABLES.items()},
}


# ----------------------------------------------------------------------------------------- tables with a row an image

CHEXPERT = [
    "path_to_image", "deid_patient_id", "split", "report", "section_narrative", "section_clinical_history", "section_history",
    "section_comparison", "section_findings", "section_impression", "section_summary", "age",
]  # fmt: skip
PADCHEST = ["ReportID", "PatientID", "Report", "MethodLabel", "Labels", "Localizations"]


def chexpert_row(number: int, **changed: str) -> dict[str, str]:
    row = {name: said(name) for name in CHEXPERT} | {"deid_patient_id": f"patient0000{number}", "split": "train"}
    return row | {"path_to_image": f"train/patient0000{number}/study1/view1.jpg"} | changed


def padchest_row(number: int, **changed: str) -> dict[str, str]:
    row = {name: said(name) for name in PADCHEST} | {"ReportID": f"{number}", "PatientID": f"7{number}"}
    return row | {"Report": said(f"r{number}"), "MethodLabel": "Physician", "Labels": "['normal']"} | changed


def images(source: str, of: list[dict[str, str]], pack: Callable[[bytes], bytes] = lambda content: content) -> Case:
    """A CSV of these rows, after four good ones."""
    row, columns = (chexpert_row, CHEXPERT) if source == "chexpert_plus" else (padchest_row, PADCHEST)
    rows = [row(n) for n in range(4)] + of
    return one_table(source, pack(lines(columns, *([r[name] for name in columns] for r in rows))))


def one_table(source: str, content: bytes) -> Case:
    def write(folder: Path) -> dict[str, Any]:
        (folder / "table.csv").write_bytes(content)
        gold = "gold/padchest" if source == "padchest" else "gold/none"
        return {"source": source, "raw": str(folder / "table.csv"), "gold": str(ROOT / gold)}

    return write


def of_images(source: str, head: list[str], row: Callable[..., dict[str, str]], texts: list[str]) -> dict[str, Case]:
    """The cases that both sources of a row an image have; `texts` are columns that hold no text of reports."""
    return {
        "good": images(source, []),
        "gzip cut": images(source, [], lambda content: gzip.compress(content)[:200]),
        "ragged": images(
            source, [], lambda content: content + f"1,{said('short')}\n1,{','.join([said('long')] * 40)}\n".encode()
        ),
        "quotes": images(source, [], lambda content: content + f'1,a "{said("stray")}" b,c\n'.encode()),
        "open quote": images(source, [], lambda content: content + f'1,"{said("open")}\n{said("below")}\n'.encode()),
        "another text": images(source, [row(1) | {name: said("other") for name in head if row(1)[name].startswith("Z")}]),
        **{
            f"text as {name}": images(source, [row(9, **{name: said("cell")}), row(8, **{name: said("few", 3)})])
            for name in texts
        },
        **{f"encoding of {name}": images(source, [row(9, **{name: said("cell") + "\udce9"})]) for name in head},
        **{f"file: {name}": one_table(source, bad(head)) for name, bad in BAD_TABLES.items()},
    }


CHEXPERT_PLUS = of_images("chexpert_plus", CHEXPERT, chexpert_row, ["path_to_image", "deid_patient_id", "split"])
PADCHEST_CASES = of_images("padchest", PADCHEST, padchest_row, ["ReportID", "PatientID", "MethodLabel", "Labels"]) | {
    "text as labels": images("padchest", [padchest_row(9, Labels=f"['{said('label')}', '{said('few', 3)}']")]),
    "doubled text as id": images("padchest", [padchest_row(9, ReportID=said("id"), Report=said(f"r{n}")) for n in range(2)]),
}


# ------------------------------------------------------------------------------------------------------------- files

WHOLE = f"{REPORT}\n"
ROWS: list[dict[str, Any]] = [
    {"report_id": f"a{n}", "who": f"p{n}", "text": f"{WHOLE}{n}"} | {name: said(name) for name in ("note", "why", "with")}
    for n in range(5)
]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    head = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, head, delimiter=delimiter, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def as_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def own(content: bytes | dict[str, bytes], name: str = "r.csv", gold: dict[str, bytes] | None = None, **columns: str) -> Case:
    """A file (or a folder of files) of one's own, with annotators' files."""

    def write(folder: Path) -> dict[str, Any]:
        files = {name: content} if isinstance(content, bytes) else {f"{name}/{each}": of for each, of in content.items()}
        for each, of in (files | {f"gold/{each}": of for each, of in (gold or {}).items()}).items():
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / each).write_bytes(of)
        told = FilesParams.model_validate(FILES | ({"text": "text"} if "findings" not in columns else {}) | columns)
        return {
            "source": "files",
            "raw": str(folder / name),
            "gold": str(folder / "gold" if gold else ROOT / "gold/none"),
            "files": told,
        }

    return write


def also(rows: list[dict[str, Any]], **columns: str) -> dict[str, Case]:
    """The rows after the good ones, as CSV and as JSON lines."""
    return {"csv": own(as_csv(ROWS + rows), **columns), "jsonl": own(as_lines(ROWS + rows), "r.jsonl", **columns)}


WIDE, LONG = ["report_id", *NAMES], ["report_id", "concept", "status"]
FORMS = {
    "csv": own(as_csv(ROWS), patient="who"),
    "gz": own(gzip.compress(as_csv(ROWS)), "r.csv.gz"),
    "tsv": own(as_csv(ROWS, "\t"), "r.tsv"),
    "jsonl": own(as_lines(ROWS), "r.jsonl"),
    "parquet": own(as_parquet(pl.DataFrame(ROWS)), "r.parquet"),
    "folder": own({f"{row['report_id']}.txt": row["text"].encode() for row in ROWS}, "texts", format="folder"),
    "sections": own(as_csv(ROWS), findings="text", impression="note", indication="why", comparison="with"),
}
BAD = {
    "text as id": {"report_id": said("id"), "text": WHOLE},
    "text as doubled id": {"report_id": "a1", "text": said("other")},
    "text as patient": {"report_id": "b", "who": said("who"), "text": WHOLE},
    "text as date": {"report_id": "b", "when": said("when"), "text": WHOLE},
    "text as split": {"report_id": "b", "part": said("part"), "text": WHOLE},
    "text as labels": {"report_id": "b", "found": f"{said('found')}; Edema; {STEM}", "text": WHOLE},
    "lists": {"report_id": [said("id")], "who": [said("who")], "text": [WHOLE]},
    "objects": {"report_id": {said("id"): said("id")}, "who": {}, "text": {said("key"): WHOLE}},
    "no id": {"report_id": "", "text": WHOLE},
    "no text": {"report_id": "b", "text": "", "note": said("note")},
    "encoding": {"report_id": "b", "text": WHOLE + "\udce9"},
    "encoding of id": {"report_id": STEM + "\udce9", "text": WHOLE},
}
NAMED = {"patient": "who", "date": "when", "split": "part", "labels": "found"}
OWN = {
    **FORMS,
    **{
        f"{name}, {form}": case
        for name, row in BAD.items()
        for form, case in also([{"when": "", "part": "train", "found": ""} | row], **NAMED).items()
    },
    **{f"file: {name}": own(bad(["report_id", "text"])) for name, bad in BAD_TABLES.items()},
    "short text as id": own(as_csv([*ROWS, *({"report_id": said("id", 4), "text": said(str(n))} for n in range(3))])),
    "short texts as ids": own(as_csv([{"report_id": said(str(n // 2), 2), "text": said(str(n))} for n in range(6)])),
    "text as code": own(as_csv([row | dict.fromkeys(NAMES, said("code")) for row in ROWS]), labels="*"),
    "lines that are no objects": own(as_lines(ROWS) + f'"{said("a")}"\n{{"report_id": "{said("b")}\n[1\n'.encode(), "r.jsonl"),
    "no line is an object": own(said("a").encode(), "r.jsonl"),
    "ids of two types": own(as_lines([*ROWS, *({"report_id": i, "text": said(str(i))} for i in (7, "7", 7.0, 7.5))]), "r.jsonl"),
    "keys are text": own(as_lines([{said("key", 3): said("cell"), STEM: STEM}]), "r.jsonl"),
    "parquet of bytes": own(as_parquet(pl.DataFrame({"report_id": ["a"], "text": [WHOLE.encode() + b"\xe9"]})), "r.parquet"),
    "parquet of lists": own(as_parquet(pl.DataFrame({"report_id": [["a"]], "text": [[WHOLE]]})), "r.parquet"),
    "parquet cut": own(as_parquet(pl.DataFrame(ROWS))[:-60], "r.parquet"),
    "parquet damaged": own(as_parquet(pl.DataFrame(ROWS)).replace(b"FINAL", b"\xff" * 5), "r.parquet"),
    "csv named parquet": own(as_csv(ROWS), "r.parquet"),
    "parquet named csv": own(as_parquet(pl.DataFrame(ROWS)), "r.csv"),
    "gz cut": own(gzip.compress(as_csv(ROWS))[:-80], "r.csv.gz"),
    "csv named gz": own(as_csv(ROWS), "r.csv.gz"),
    "utf-16": own(as_csv(ROWS).decode().encode("utf-16")),
    "utf-16 that is none": own(as_csv(ROWS), encoding="utf-16"),
    "unknown kind": own(as_csv(ROWS), "r.doc"),
    "folder of other encodings": own({"a.txt": WHOLE.encode() + b"\xe9", "b.txt": b"", "c.txt": WHOLE.encode()}, "texts"),
    "no column": own(as_csv(ROWS), patient="whom"),
    **{f"wide: {name}": own(as_csv(ROWS), gold={"multiple_choice/a.csv": bad(WIDE)}) for name, bad in BAD_TABLES.items()},
    **{f"long: {name}": own(as_csv(ROWS), gold={"open_ended/a.csv": bad(LONG)}) for name, bad in BAD_TABLES.items()},
    "wide: unknown reports": own(
        as_csv(ROWS), gold={"multiple_choice/a.csv": lines(WIDE, *([i, *[""] * 13] for i in ["a1", "zz"]))}
    ),
    "wide: text for an id": own(
        as_csv(ROWS), gold={"multiple_choice/a.csv": lines(WIDE, *([i, *[""] * 13] for i in ["a1", said("id")]))}
    ),
    "wide: few words for an id": own(
        as_csv(ROWS), gold={"multiple_choice/a.csv": lines(WIDE, *([i, *["7"] * 13] for i in ["a1", said("id", 2)]))}
    ),
    "long: text for a concept": own(as_csv(ROWS), gold={"open_ended/a.csv": lines(LONG, ["a1", said("concept"), ""])}),
    "long: text for a status": own(as_csv(ROWS), gold={"open_ended/a.csv": lines(LONG, ["a1", "", said("status")])}),
}


def two(first: Case, second: Case) -> Case:
    """Both; what is returned holds the second under its own key."""

    def write(folder: Path) -> dict[str, Any]:
        for name in ("first", "second"):
            (folder / name).mkdir()
        here, there = first(folder / "first"), second(folder / "second")
        files = {"files": there.pop("files")} if "files" in there else {}
        return here | files | {"second": second_cohort.SecondParams(**there)}

    return write


TWO = {
    "good": two(OPENI["good"], FORMS["csv"]),
    "bad": two(OPENI["doubled ids"], own(as_csv(ROWS + list(BAD.values())[:1]))),
    "same": two(OPENI["good"], OPENI["good"]),
    "first refused": two(OPENI["text as code"], FORMS["csv"]),
    "second refused": two(OPENI["good"], own(BAD_TABLES["no header"]([]))),
    "ids are text": two(OPENI["text as id"], OPENI["text as id"]),
    "ids are few words": two(openi(document(said("id", 3))), openi(document(said("id", 3)))),
}
CASES = {
    f"{source}: {name}": case
    for source, cases in {
        "openi": OPENI, "mimic_cxr": MIMIC, "chexpert_plus": CHEXPERT_PLUS, "padchest": PADCHEST_CASES, "files": OWN, "two": TWO,
    }.items()
    for name, case in cases.items()
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_extract_tells_no_text(case: Case, overhear: Overhear, tmp_path: Path) -> None:
    changed = case(tmp_path)
    second = changed.pop("second", NO_SECOND)
    for allowed, splits in ((1.0, "hash"), (1.0, "file"), (0.0, "hash")):
        p = P.model_copy(update=changed | {"max_quarantine": allowed, "splits": splits})
        told, made = overhear(partial(second_cohort.extract, p, second, LABELS, CONCEPTS))
        assert searched(told) == []
        if made:
            assert made.reports.is_empty() or made.reports["text"].str.to_lowercase().str.contains(STEM).any()
            assert searched(json.dumps(made.metrics) + str(made.quarantine["reason"])) == []
            assert searched(str(made.quarantine.rows())) == []
            assert searched(str(made.reports["report_id"].to_list())) == []
        elif (allowed, splits) == (1.0, "hash"):
            return  # refused on the way, and so would the others be


@pytest.mark.parametrize("name", [name for name in CASES if "good" in name or name.removeprefix("files: ") in FORMS])
def test_good_cases_are_read_and_their_text_is_there(name: str, tmp_path: Path) -> None:
    """So that the test above searches for what it should."""
    changed = CASES[name](tmp_path)
    second = changed.pop("second", NO_SECOND)
    made = second_cohort.extract(P.model_copy(update=changed | {"max_quarantine": 1.0}), second, LABELS, CONCEPTS)
    assert made.reports.height >= 4
    assert made.reports["text"].str.to_lowercase().str.count_matches(STEM).min() >= 12


SPOILING = [
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b",",
    b"\xe9",
    b"",
    b'""',
    b"{",
    b"[",
    b"\\u",
    b"-1",
    b"&x;",
    b"</a>",
    b"NaN",
    b"\x1f\x8b",
    b"PK",
]
SPOILT = [name for name in CASES if name.endswith("good") or name.removeprefix("files: ") in FORMS]


def spoil(folder: Path, draw: random.Random) -> None:
    """Puts something into, or in the place of something in, one of the folder's files, at times below its gzip."""
    path = draw.choice([each for each in sorted(folder.rglob("*")) if each.is_file()])
    content = path.read_bytes()
    below = path.suffix in (".gz", ".tgz") and draw.random() < 0.7
    content = gzip.decompress(content) if below else content
    at = draw.randrange(len(content)) % draw.choice([200, len(content)])
    at = draw.choice([at, len(content) - at])
    content = content[:at] + draw.choice([*SPOILING, draw.randbytes(3)]) + content[at + draw.choice([0, 0, 1, 2, 5, 40, 400]) :]
    path.write_bytes(gzip.compress(content) if below else content)


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_bytes_tell_no_text_and_are_errors_of_ours(name: str, overhear: Overhear, tmp_path: Path) -> None:
    draw = random.Random(name)
    for n in range(8):
        (folder := tmp_path / f"{n}").mkdir()
        changed = CASES[name](folder)
        second = changed.pop("second", NO_SECOND)
        spoil(folder, draw)
        p = P.model_copy(update=changed | {"max_quarantine": draw.choice([0.0, 1.0])})
        told, made = overhear(partial(second_cohort.extract, p, second, LABELS, CONCEPTS))
        assert searched(told) == []
        if made:
            assert searched(json.dumps(made.metrics) + str(made.quarantine.rows())) == []


# -------------------------------------------------------------------------------------------------- what reads reports

LABELLED = {
    "wide": lines(WIDE, *([f"a{n}", "1", *[""] * 12] for n in range(4)), [said("id"), *[""] * 13]),
    "codes": lines(WIDE, *([f"a{n}", said("code"), *[""] * 12] for n in range(4))),
    "doubled": lines(WIDE, *([said("id"), "1", *[""] * 12] for _ in range(2))),
    "studies": lines(["study_id", "subject_id", *NAMES], [said("id"), "1", *[""] * 13]),
    "images": as_lines([{"path_to_image": said("id")} | dict.fromkeys(NAMES, 1)]),
    "lists": as_lines([{"report_id": "a1"} | {label: [said("code")] for label in NAMES}]),
    "no json": f'{{"report_id": "{said("cut")}'.encode(),
    "padchest": lines(PADCHEST, ["7", "70", said("text"), "RNN_model", said("labels"), ""]),
    "padchest, a list": lines(PADCHEST, ["7", "70", said("text"), "RNN_model", f"['{said('label')}']", ""]),
    **{f"table: {name}": bad(WIDE) for name, bad in BAD_TABLES.items()},
}
PHRASES = {
    "long": lines(["report_id", "phrase", "code"], ["a1", said("phrase"), said("code")], [said("id"), said("phrase"), ""]),
    "doubled": lines(["report_id", "phrase", "code"], *[["a1", said("phrase"), ""]] * 2),
    **{f"table: {name}": bad(["report_id", "phrase", "code"]) for name, bad in BAD_TABLES.items()},
}


@pytest.mark.parametrize(
    ("task", "content"),
    [
        *(pytest.param("multiple_choice", content, id=name) for name, content in LABELLED.items()),
        *(pytest.param("open_ended", content, id=f"phrases: {name}") for name, content in PHRASES.items()),
    ],
)
def test_labels_of_others_are_imported_without_telling_text(
    task: str, content: bytes, overhear: Overhear, tmp_path: Path
) -> None:
    path = tmp_path / ("labels.jsonl" if content.startswith(b"{") else "labels.csv")
    path.write_bytes(content)
    reports = pl.DataFrame({"report_id": [f"a{n}" for n in range(5)], "text": [said("text")] * 5})
    told, made = overhear(lambda: ImportedTeacher(task, str(path)).label(reports, LABELS))
    assert searched(told) == []
    if made:
        assert searched(str(made.quarantine.rows()) + str(made.outcomes.rows()) + json.dumps(made.counts)) == []


class Words:
    """In the place of the base model's tokenizer: a token a word."""

    bos_token_id = cls_token_id = None
    eos_token_id = 0
    chat_template = "{{ messages }}"

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "\n".join(message["content"] for message in messages)

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        words = [found.span() for found in re.finditer(r"\S+", text)]
        return {"input_ids": [1] * len(words), "offset_mapping": words}


SEEN = (
    f"FINDINGS: {said('x', 3)} There is a {STEM} effusion. No {STEM} edema.\n"
    f"IMPRESSION: Large heart, {STEM}. Possible {STEM} pneumonia at the base. {said('y', 3)[:-1]} {{}}"
)


@pytest.fixture
def small_world(write_params: Callable[[dict[str, Any], Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports and gold to run the stages on, without a language model: every arm is the linear one."""
    rows = [{"report_id": f"r{n}", "who": f"p{n % 25}", "text": SEEN.format(n % 40)} for n in range(60)]
    bad = [{"report_id": "r1", "text": said("other")}, {"report_id": "", "text": WHOLE}, {"report_id": said("id"), "text": WHOLE}]
    seen = [f"r{n}" for n in range(2, 60)]
    gold = {
        "multiple_choice/a.csv": lines(WIDE, *([i, "1", *[""] * 12] for i in seen)),
        "open_ended/a.csv": lines(LONG, *([i, "cardiomegaly", "present"] for i in seen)),
    }
    changed = own(as_csv(rows + bad), patient="who", gold=gold)(tmp_path)
    content = params.read(ROOT / "params.yaml")
    content["extract"] |= changed | {"files": changed["files"].model_dump(), "max_quarantine": 0.1}
    content["remotes"] = {"models": "private"}  # as text that is not public demands
    content["score"] |= {"bootstrap": 20, "macro_min_positives": 1, "concept_macro_min_positives": 1}
    for arm in content["predict"].values():
        arm["model"] = "linear"
    for name in ("lexicon", "prompts"):
        (tmp_path / name).symlink_to(ROOT / name)
    for path in (paths.CONCEPTS, paths.SCORER_LEXICON):
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    write_params(content, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("raddistill.student.models.load_tokenizer", lambda _: Words())


def stages(*named: str) -> list[Callable[[], Any]]:
    """Their mains, with their keys."""
    mains = [(importlib.import_module(f"stages.{name.partition('@')[0]}").main, name.partition("@")[2]) for name in named]
    return [partial(main, *([key] if key else [])) for main, key in mains]


def points_at_text(path: Path) -> None:
    """Open-ended answers as a student gives them who points at words that no lexicon has."""
    answers = pl.when(pl.col("task") == "open_ended").then(pl.lit(f"{STEM} heart | {STEM}\nlarge heart | I51.7\n{STEM}"))
    pl.read_parquet(path).with_columns(answer=answers).write_parquet(path)


def test_from_extract_to_folds_no_stage_tells_text(overhear: Overhear, small_world: None) -> None:
    Path("metrics").mkdir()
    tables.write_json({"steps": 0}, paths.TRAIN_METRICS)
    arms = ("student_validation", "student_test", "base_test", "linear_test")
    work = [
        *stages("extract", "synthesize@multiple_choice", "synthesize@open_ended", "merge"),
        assert_that_the_small_world_holds_what_could_be_told,
        *stages(*(f"predict@{arm}" for arm in arms)),
        *(lambda arm=arm: points_at_text(paths.table("predictions", arm)) for arm in ("student_validation", "student_test")),
        *stages("calibrate", "evaluate", "final"),
        lambda: pl.read_parquet(paths.REPORTS).with_columns(sensitivity=pl.lit("public")).write_parquet(paths.REPORTS),
        lambda: cli.keep_fold("kept"),  # refused of what is not public (tests/test_folds.py); searched all the same
        lambda: cli.show_folds("kept"),
    ]
    for each in work:
        told, _ = overhear(each)
        assert "Error" not in told
        assert searched(told) == []
    for_git = [file for folder in ("metrics", "plots", "folds") for file in Path(folder).rglob("*") if file.is_file()]
    textless = [paths.CALIBRATION, paths.DECISIONS, *Path("data/quarantine").glob("*"), *Path("data/written").glob("*")]
    assert len(for_git) >= 20
    assert len(textless) == 8
    for path in [*for_git, *textless]:
        told = str(pl.read_parquet(path).rows()) if path.suffix == ".parquet" else path.read_text(encoding="utf-8")
        assert told
        assert searched(told) == [], path


def assert_that_the_small_world_holds_what_could_be_told() -> None:
    """So that the test above searches for what it should."""
    examples = pl.read_parquet(paths.EXAMPLES)
    asked, written = (examples.filter(of) for of in (pl.col("asked"), pl.col("report_id").str.starts_with("written:")))
    assert asked.height >= 500
    assert asked["prompt"].str.to_lowercase().str.contains(STEM).all()
    assert written.height >= 500
    assert not written["prompt"].str.to_lowercase().str.contains(STEM).any()
    assert examples.filter(~pl.col("asked"))["prompt"].str.contains("XXXX").any()
    for name in (paths.table("labels", "multiple_choice"), paths.table("whole_labels", "multiple_choice")):
        assert pl.read_parquet(name).filter(pl.col("status") == "present").height >= 50, name
    assert pl.read_parquet(paths.EXTRACT_QUARANTINE).height == 4


def test_two_cohorts_are_compared_without_telling_text(overhear: Overhear, tmp_path: Path) -> None:
    files = []
    for name in ("openi: good", "mimic_cxr: good"):
        (tmp_path / name[:5]).mkdir()
        changed = CASES[name](tmp_path / name[:5])
        made = extracting.extract(P.model_copy(update=changed | {"max_quarantine": 1.0}), LABELS, CONCEPTS)
        files.append(tmp_path / name[:5] / "reports.parquet")
        tables.write(Reports, made.reports, files[-1])

    def compare() -> None:
        both = cohorts.read(files, [])
        Console(width=200).print(compare_cohorts.page(*both), json.dumps(compare_cohorts.as_json(*both)))

    told, _ = overhear(compare)
    assert "never uses" in told
    assert searched(told) == []
