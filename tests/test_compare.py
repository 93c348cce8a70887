"""`raddistill compare`: files of every kind, figures worked by hand or by others, and every report counted."""

import gzip
import json
import os
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pipeline_truth import ROOT
from sklearn.metrics import cohen_kappa_score, f1_score
from typer.testing import CliRunner

from raddistill import cli
from raddistill.apps.compare.comparing import compare_files, disagreements, require_memory
from raddistill.apps.compare.label_files import Labeller, read
from raddistill.errors import InputError, TableError
from raddistill.labelsets import load_labels
from raddistill.scoring import comparison
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.truth import TaskNames, from_table, read_truth
from raddistill.tables import base as tables
from raddistill.tables.decisions import Decisions
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels

NAMES = [label.name for label in load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")]
STATUSES = ["present", "absent", "uncertain", "unmentioned"]
CODES = {"present": "1", "absent": "0", "uncertain": "-1", "unmentioned": ""}
SECRET = "zanzibar"  # noqa: S105  stands for report text


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(seed: int, reports: range = range(40), words: list[str] = STATUSES) -> dict[str, list[str]]:
    """Report -> a status for each of the labels; most of them as another seed has them, so that labellers agree."""
    draw, noise = random.Random(3), random.Random(seed)
    made = {f"r{n:03}": [draw.choice(words) for _ in NAMES] for n in range(100)}
    made = {report: [noise.choice(words) if noise.random() < 0.3 else word for word in row] for report, row in made.items()}
    return {f"r{n:03}": made[f"r{n:03}"] for n in reports}


def wide(rows: dict[str, list[str]], key: str = "report_id", codes: dict[str, str] = CODES) -> pl.DataFrame:
    return pl.DataFrame([{key: report, **dict(zip(NAMES, map(codes.get, row), strict=True))} for report, row in rows.items()])


def long(rows: dict[str, list[str]], who: str = "", column: str = "teacher") -> pl.DataFrame:
    cells = [
        {"report_id": report, "task": "multiple_choice", column: who, "label": name, "status": status}
        for report, row in rows.items() for name, status in zip(NAMES, row, strict=True)
    ]  # fmt: skip
    none = {"probability": None, "code": None} if column == "teacher" else {}
    return pl.DataFrame(
        [cell | none for cell in cells], schema_overrides={"probability": pl.Float64, "code": pl.String} if none else {}
    )


def compared(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli.app, ["compare", *words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def as_json(*words: str) -> dict[str, Any]:
    return dict(json.loads(compared(*words, "--json")))


def labeller(word: str, **options: Any) -> Labeller:
    (only,) = read(word, NAMES, **options).labellers
    return only


def write_every_kind(rows: dict[str, list[str]]) -> list[str]:
    wide(rows).write_csv("a.csv")
    wide(rows).with_columns(Sex=pl.lit("F"), **{"No Finding": pl.lit("")}).write_csv("b.tsv", separator="\t")
    floats = wide(rows, codes={"present": "1.0", "absent": "0.0", "uncertain": "-1.0", "unmentioned": ""})
    Path("c.csv.gz").write_bytes(gzip.compress(floats.rename({"Lung Opacity": "Airspace Opacity"}).write_csv().encode()))
    wide(rows).with_columns(pl.col(NAMES).cast(pl.Float64, strict=False)).sample(fraction=1, shuffle=True).write_parquet(
        "d.parquet"
    )
    tables.write(Labels, long(rows, "rules"), Path("e.parquet"))
    long(rows, "rules").write_csv("f.csv")
    lines = [
        {"report_id": report, "labels": [{"label": n, "status": s} for n, s in zip(NAMES, row, strict=True)], "evidence": []}
        for report, row in rows.items()
    ]  # fmt: skip
    Path("p").mkdir()
    for part, of_part in enumerate((range(25), range(25, 40)), start=1):
        wide({f"r{n:03}": rows[f"r{n:03}"] for n in of_part if f"r{n:03}" in rows}).write_parquet(
            f"p/part-0000{part}-of-00002.parquet"
        )
    Path("g.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    numbers = {report[1:].lstrip("0") or "0": row for report, row in rows.items()}
    wide(numbers, "study_id").with_columns(subject_id=pl.lit("10000032")).write_csv("h.csv")
    return ["a.csv", "b.tsv", "c.csv.gz", "d.parquet", "e.parquet", "f.csv", "g.jsonl", "p"]


def test_files_of_every_kind_say_the_same() -> None:
    rows = said(1)
    kinds = write_every_kind(rows)
    for kind in kinds:
        found = labeller(kind)
        assert found.reports == sorted(rows), kind
        assert found.statuses.tolist() == [rows[report] for report in found.reports], kind
    mimic = labeller("h.csv")
    assert set(mimic.reports) == {f"s{n}" for n in range(40)}
    assert set(labeller("h.csv", id_column="study_id").reports) == {f"{n}" for n in range(40)}
    wide(rows, "accession").write_csv("i.csv")
    assert labeller("i.csv", id_column="accession").reports == labeller("a.csv", id_column="accession").reports == sorted(rows)
    with pytest.raises(InputError, match=r"i\.csv has no column 'report_id'; name its column of ids by --id-column"):
        read("i.csv", NAMES)
    assert read("b.tsv", NAMES).notes == ["b.tsv: columns that were not read: Sex, No Finding"]
    figures = as_json(*(f"n{at}={kind}" for at, kind in enumerate(kinds)))
    assert {pair["kappa"] for pair in figures["agreement"]} == {1.0}
    assert len(figures["agreement"]) == 8 * 7 / 2


def test_what_label_writes_is_read(here: Path) -> None:
    Path("reports.csv").write_text("report_id,text\nr1,The heart is enlarged.\nr2,Possible pneumonia.\n", encoding="utf-8")
    for form, file in (("wide", "w.parquet"), ("wide", "w.csv"), ("long", "l.tsv"), ("jsonl", "j.jsonl")):
        CliRunner().invoke(cli.app, ["label", "reports.csv", "-o", file, "--format", form], catch_exceptions=False)
    every = [labeller(file).statuses.tolist() for file in ("w.parquet", "w.csv", "l.tsv", "j.jsonl")]
    assert every[0] == every[1] == every[2] == every[3]
    assert every[0][1][NAMES.index("Pneumonia")] == "uncertain"
    assert labeller("l.tsv").name == "rules:tuned"
    assert labeller("mine=w.csv").name == "mine"


def write_gold(rows: dict[str, list[str]], name: str = "gold.parquet") -> None:
    tables.write(Gold, long(rows, "reader", "annotator"), Path(name))


GOLD_WORDS = ["present", "absent", "absent", "absent", "uncertain", "ambiguous"]


def test_f1_and_kappa_are_those_of_scikit_learn() -> None:
    gold, ours = said(5, range(5, 45), ["present", "absent"]), said(1)
    write_gold(gold)
    wide(ours).write_csv("ours.csv")
    figures = as_json("ours.csv", "--gold", "gold.parquet", "--uncertain", "present", "--resamples", "50")
    shared = sorted(set(gold) & set(ours))
    true = np.array([[word == "present" for word in gold[report]] for report in shared])
    found = np.array([[word in ("present", "uncertain") for word in ours[report]] for report in shared])
    own = figures["labellers"]["ours"]
    assert own["micro_f1"] == pytest.approx(f1_score(true, found, average="micro"), abs=1e-4)
    assert own["macro_f1"] == pytest.approx(f1_score(true, found, average="macro"), abs=1e-4)
    assert own["macro_f1_low"] < own["macro_f1"] < own["macro_f1_high"]
    for at, name in enumerate(NAMES):
        assert own["by_label"][name]["f1"] == pytest.approx(f1_score(true[:, at], found[:, at]), abs=1e-4)
        kappa = figures["agreement"][0]["by_label"][name]["kappa"]
        assert kappa == pytest.approx(cohen_kappa_score(true[:, at], found[:, at]), abs=1e-4)
    assert figures["agreement"][0]["kappa"] == pytest.approx(cohen_kappa_score(true.ravel(), found.ravel()), abs=1e-4)
    assert (own["reports"], own["scored"], own["not_in_gold"], own["only_in_gold"]) == (40, 35, 5, 5)
    assert figures["reports"] == {"all": 45, "common": 35}


def decided(rows: dict[str, list[str]], arm: str, present: set[str]) -> list[dict[str, Any]]:
    """Rows of `Decisions`. Two reports each have the same text."""
    made = []
    for report, row in rows.items():
        base = {"report_id": report, "task": "multiple_choice", "arm": arm, "count": 1, "text_group": str(int(report[1:]) // 2)}
        made.append(base | {"kind": "asked", "label": ""})
        made += [base | {"kind": "present", "label": n} for n, word in zip(NAMES, row, strict=True) if word in present]
    return made


def write_run() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables of a run: decisions of a student, a teacher and a base that was asked less; gold of more reports."""
    rows = decided(said(1), "student", {"present"}) + decided(said(2, range(7)), "base", {"present"})
    rows += decided(said(4), "teacher_present", {"present", "uncertain"}) + decided(said(4), "teacher_absent", {"present"})
    gold = said(5, range(60), GOLD_WORDS) | {"r010": ["excluded"] * 13}
    Path("data").mkdir()
    tables.write(Decisions, pl.DataFrame(rows), Path("data/decisions.parquet"))
    write_gold(gold, "data/gold.parquet")
    return tables.read(Decisions, Path("data/decisions.parquet")), tables.read(Gold, Path("data/gold.parquet"))


def test_a_run_has_the_figures_of_the_pipeline() -> None:
    """Those of scoring/comparison.py, which writes metrics/final.json: values, intervals, policies, numbers of reports."""
    rows, gold = write_run()
    names = TaskNames(NAMES, np.ones(13, bool), 12, 0)
    p = ScoreParams(seed=13, bootstrap=2000, near_duplicate=0.8, macro_min_positives=12, concept_macro_min_positives=1)
    arms = {str(arm): from_table(own, NAMES) for (arm,), own in rows.group_by("arm")}
    groups = dict(rows.select("report_id", "text_group").unique().iter_rows())
    written = comparison.compare(p, read_truth(gold, "multiple_choice", NAMES), arms, groups, names)
    figures = as_json("data/decisions.parquet", "--gold", "data/gold.parquet", "--macro-min", "12")
    assert set(figures["labellers"]) == {"base", "student", "teacher"}
    for arm, own in figures["labellers"].items():
        pipeline = written.metrics[arm]
        assert own["scored"] == pipeline["reports"]
        shared = set(own) & set(pipeline) - {"reports"}
        assert len(shared) >= 8
        assert {key: own[key] for key in shared} == {key: pytest.approx(pipeline[key], abs=6e-5) for key in shared}
    teacher = figures["labellers"]["teacher"]
    assert teacher["uncertain_as"] == {1: "present", 0: "absent"}[written.metrics["teacher"]["uncertain_is_present"]]
    (gain,) = [pair for pair in figures["differences"] if (pair["a"], pair["b"]) == ("student", "teacher")]
    assert {key: gain[key] for key in written.metrics["gain"]} == {
        k: pytest.approx(v, abs=6e-5) for k, v in written.metrics["gain"].items()
    }
    per_label = {str(row["label"]): row for row in written.per_label if row["arm"] == "student"}
    assert all(gain["by_label"][name]["mcnemar_p"] == pytest.approx(per_label[name]["mcnemar_p"], abs=6e-5) for name in NAMES)
    assert figures["gold"] == {"file": "data/gold.parquet", "reports": 59, "excluded": 1}
    assert "student" in compared("data/decisions.parquet", "-g", "data/gold.parquet", "--resamples", "10")
    only = as_json("student=data/decisions.parquet", "base=data/decisions.parquet", "-g", "data/gold.parquet", "--common")
    assert [own["scored"] for own in only["labellers"].values()] == [7, 7]
    assert [own["reports"] for own in only["labellers"].values()] == [40, 7]
    assert only["gold"]["reports"] == 59


def test_uncertain_is_decided_for_each_file() -> None:
    """One file is right if `uncertain` is present, the other if it is absent. In gold, it is present."""
    gold = {"r1": ["present"] * 13, "r2": ["uncertain"] * 13, "r3": ["absent"] * 13}
    write_gold(gold)
    wide({"r1": ["present"] * 13, "r2": ["uncertain"] * 13, "r3": ["absent"] * 13}).write_csv("bold.csv")
    wide({"r1": ["present"] * 13, "r2": ["present"] * 13, "r3": ["uncertain"] * 13}).write_csv("shy.csv")
    best, present, absent = (
        as_json("bold.csv", "shy.csv", "-g", "gold.parquet", "--resamples", "5", *more)
        for more in ([], ["--uncertain", "present"], ["--uncertain", "absent"])
    )
    assert [own["uncertain_as"] for own in best["labellers"].values()] == ["present", "absent"]
    assert [own["micro_f1"] for own in best["labellers"].values()] == [1, 1]
    assert [own["micro_f1"] for own in present["labellers"].values()] == [1, 0.8]
    assert [own["micro_f1"] for own in absent["labellers"].values()] == [0.6667, 1]
    for own in (*best["labellers"].values(), *absent["labellers"].values()):
        assert {own["uncertain_present_micro_f1"], own["uncertain_absent_micro_f1"]} in ({1, 0.8}, {0.6667, 1})
    assert as_json("bold.csv", "shy.csv")["agreement"][0]["agree"] == pytest.approx(2 / 3, abs=1e-4)
    assert as_json("bold.csv", "shy.csv", "--uncertain", "absent")["agreement"][0]["agree"] == pytest.approx(2 / 3, abs=1e-4)


def test_another_policy_is_refused_in_python() -> None:
    wide(said(1)).write_csv("a.csv")
    with pytest.raises(InputError, match="present, absent or best, not as 'maybe'"):
        compare_files(["a.csv"], "a.csv", "maybe")


def test_ambiguous_cells_are_masked_everywhere() -> None:
    row = ["ambiguous", *["present"] * 3, *["absent"] * 9]
    write_gold({"r1": row, "r2": row})
    wide({"r1": ["present"] * 4 + [""] * 9, "r2": ["absent"] + ["present"] * 3 + [""] * 9}, codes=CODES | {"": ""}).write_csv(
        "a.csv"
    )
    figures, labellers = compare_files(["a.csv"], "gold.parquet", resamples=5)
    assert figures["labellers"]["a"]["micro_f1"] == 1
    assert figures["labellers"]["a"]["mask_absent_micro_f1"] == pytest.approx(12 / 13, abs=1e-4)
    assert figures["agreement"][0]["kappa"] == 1
    assert disagreements(labellers, NAMES).height == 0


def test_disagreements_have_ids_and_statuses_and_no_more() -> None:
    wide({"r1": ["present", "uncertain", *["absent"] * 11], "r2": ["absent"] * 13}).write_csv("a.csv")
    wide({"r1": ["absent", "present", *["unmentioned"] * 11], "r3": ["present"] * 13}).write_csv("b.csv")
    write_gold({"r1": ["ambiguous", *["present"] * 2, *["absent"] * 10], "r3": ["present"] * 12 + ["absent"]})
    compared("a.csv", "b.csv", "-g", "gold.parquet", "--uncertain", "absent", "--disagreements", "d.csv", "--resamples", "5")
    rows = [line.split(",") for line in Path("d.csv").read_text(encoding="utf-8").splitlines()]
    assert rows == [
        ["report_id", "label", "a", "b", "gold"],
        ["r1", NAMES[0], "present", "absent", "ambiguous"],
        ["r1", NAMES[1], "uncertain", "present", "present"],
        ["r1", NAMES[2], "absent", "unmentioned", "present"],
        ["r3", NAMES[12], "", "present", "absent"],
    ]
    with pytest.raises(InputError, match=r"d\.csv: name a \.csv file that does not exist yet"):
        compared("a.csv", "b.csv", "--disagreements", "d.csv")


def test_rows_of_one_report_that_differ_are_left_out_and_told() -> None:
    rows = said(1, range(3))
    twice = pl.concat([wide(rows), wide({"r000": rows["r000"]}), wide({"r001": ["present"] * 13})])
    twice.write_csv("a.csv")
    found = read("a.csv", NAMES)
    assert found.labellers[0].reports == ["r000", "r002"]
    assert found.notes == ["a.csv: 1 reports are left out, since they are labelled in two ways"]
    pl.concat([long(rows), long({"r001": ["present"] * 13})]).write_csv("b.csv")
    assert read("b.csv", NAMES).labellers[0].reports == ["r000", "r002"]
    wide(rows).write_csv("c.csv")
    figures = as_json("a.csv", "c.csv")
    assert figures["notes"] == found.notes
    assert (figures["agreement"][0]["only_a"], figures["agreement"][0]["only_b"]) == (0, 1)


def test_a_difference_is_paired_and_of_the_reports_of_both() -> None:
    rows = said(1)
    write_gold(said(5, range(40), ["present", "absent"]))
    wide(rows).write_csv("a.csv")
    wide({report: row for report, row in rows.items() if report != "r000"}).write_csv("b.csv")
    (pair,) = as_json("a.csv", "b.csv", "-g", "gold.parquet", "--uncertain", "absent", "--resamples", "20")["differences"]
    assert (pair["reports"], pair["micro_f1"], pair["low"], pair["high"]) == (39, 0, 0, 0)
    assert (pair["macro_f1"], pair["macro_f1_low"], pair["macro_f1_high"]) == (0, 0, 0)
    assert {label["mcnemar_p"] for label in pair["by_label"].values()} == {1}


WRONG = {
    "no such file": (["a.csv", "none.csv"], r"none\.csv does not exist"),
    "a folder": (["a.csv", "."], r"\. is a folder with 0 parts"),
    "a part is missing": (["a.csv", "parts"], r"parts is a folder with 1 parts of `raddistill predict`, not with all"),
    "alone": (["a.csv"], "one labeller only"),
    "twice": (["a.csv", "a.csv"], "called 'a'; give a file a name"),
    "a column of the disagreements": (["label=a.csv", "b.csv"], "called 'label'"),
    "best without gold": (["a.csv", "b.csv", "--uncertain", "best"], "without gold say present or absent"),
    "a missing label": (["a.csv", "fewer.csv"], r"fewer\.csv: columns missing: Atelectasis \(is it Atelektasis\?\)"),
    "a strange code": (["a.csv", "code.csv"], r"code\.csv: column 'Edema' has 1 cells that are not 1, 0, -1 or blank"),
    "a strange status": (["a.csv", "status.csv"], "column 'status' has 1 cells that are none of present, absent"),
    "a label without a row": (["a.csv", "cut.csv"], r"some reports of rules have no row for Support Devices"),
    "ids that are text": (["a.csv", "text.csv"], r"text\.csv has 1 report ids that are blank or may be text"),
    "blank ids": (["a.csv", "blank.csv"], r"blank\.csv has 1 report ids that are blank"),
    "other ids": (["a.csv", "h.csv"], r"no report of a \(such as r000\) is one of h \(such as s0\); ids are compared as text"),
    "other ids than gold": (["h.csv", "-g", "a.csv"], r"no report of h \(such as s0\) is one of gold"),
    "no such arm": (["x=run.parquet", "a.csv"], r"run\.parquet has no labels of 'x', but of student, teacher"),
    "two in gold": (["a.csv", "-g", "run.parquet"], "has labels of student, teacher; NAME=run.parquet takes one"),
    "logits": (["a.csv", "answers.parquet"], "answers before thresholds; data/decisions.parquet has"),
    "open-ended": (["a.csv", "open.csv"], "has no labels of the task multiple_choice"),
    "phrases": (["a.csv", "phrases.jsonl"], "some reports have none of the labels of the set, but 1 others"),
    "no labels": (["a.csv", "none.jsonl"], "'labels' is not, in every row, a list of objects"),
    "no file of labels": (["a.csv", "broken.parquet"], "is not a readable CSV"),
    "a broken row": (["a.csv", "row.tsv"], r"row\.tsv: 1 rows cannot be read \(row 1: 2 cells, the header has 14\)"),
    "not UTF-8": (["a.csv", "latin.tsv"], r"latin\.tsv: 1 rows are not UTF-8"),
    "nothing in common": (["a.csv", "four.csv", "-g", "five.csv", "--common"], "no report is in all files"),
    "a labeller that is text": (["a.csv", "who.csv"], r"who\.csv: the names of its 2 labellers may be text"),
    "a labeller for each report": (["a.csv", "each.csv"], r"each\.csv: the names of its 60 labellers may be text"),
    "no decisions": (["a.csv", "kind.parquet"], r"kind\.parquet has no column 'task'"),
    "no such label set": (["a.csv", "b.csv", "--label-set", "none"], "there is no label set 'none'"),
}


@pytest.fixture
def wrong(here: Path) -> None:
    rows = said(1, range(3))
    write_every_kind(rows)
    wide(rows).write_csv("b.csv")
    wide(rows).rename({"Atelectasis": "Atelektasis"}).write_csv("fewer.csv")
    changed = (
        wide(rows).with_row_index().with_columns(Edema=pl.when(pl.col("index") == 1).then(pl.lit(SECRET)).otherwise("Edema"))
    )
    changed.drop("index").write_csv("code.csv")
    statuses = long(rows, "rules").with_row_index()
    statuses = statuses.with_columns(status=pl.when(pl.col("index") == 1).then(pl.lit(SECRET)).otherwise("status")).drop("index")
    statuses.write_csv("status.csv")
    long(rows, "rules").head(38).write_csv("cut.csv")
    wide(rows | {f"{SECRET} is enlarged.": rows["r001"]}).write_csv("text.csv")
    wide(rows | {"": rows["r001"]}).write_csv("blank.csv")
    both = decided(rows, "student", {"present"}) + decided(rows, "teacher", {"present"})
    tables.write(Decisions, pl.DataFrame(both), Path("run.parquet"))
    pl.DataFrame({"report_id": ["r1"], "arm": ["student"], "answer": [SECRET]}).write_parquet("answers.parquet")
    pl.DataFrame({"report_id": ["r1"], "task": ["open_ended"], "label": [SECRET], "status": ["present"]}).write_csv("open.csv")
    Path("phrases.jsonl").write_text(f'{{"report_id": "r1", "labels": [{{"label": "{SECRET}", "status": "present"}}]}}\n')
    header = "\t".join(["report_id", *NAMES])
    Path("latin.tsv").write_bytes(f"{header}\nr1\t{SECRET}".encode() + b"\xfc" + b"\t" * 12 + b"\n")
    wide({"r004": rows["r001"]}).write_csv("four.csv")
    wide(rows | {"r004": rows["r001"]}).write_csv("five.csv")
    Path("parts").mkdir()
    wide(rows).write_parquet("parts/part-00002-of-00002.parquet")
    text = pl.when(pl.col("report_id") == "r000").then(pl.lit(f"{SECRET} is enlarged.")).otherwise(pl.lit("anna"))
    long(rows, "rules").drop("label").join(pl.DataFrame({"label": NAMES[:-1]}), how="cross").with_columns(
        annotator=text
    ).write_csv("who.csv")
    pl.concat([long(rows, "rules").with_columns(annotator=pl.lit(f"{SECRET} {n}")) for n in range(60)]).write_csv("each.csv")
    pl.DataFrame({"report_id": ["r1"], "arm": ["student"], "kind": ["x"], "z": [SECRET]}).write_parquet("kind.parquet")
    Path("none.jsonl").write_text('{"report_id": "r1", "labels": []}\n')
    Path("broken.parquet").write_text(SECRET)
    Path("row.tsv").write_text(f"{header}\nr1\t{SECRET}\n")


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize(("words", "told"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_refused_and_no_text_told(words: list[str], told: str) -> None:
    with pytest.raises((InputError, TableError), match=told) as error:
        compared(*words)
    assert SECRET not in str(error.value)
    with pytest.raises(SystemExit):
        cli.errors.run(lambda *_: cli.app(["compare", *words], standalone_mode=False))


def test_the_guide_does_what_it_says() -> None:
    """Runs every command of docs/compare.md in a folder of its own, and compares the outputs that it shows."""
    guide = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
    write_run()
    tables.write(Labels, long(said(4), "rules"), Path("data/labels/multiple_choice.parquet"))
    Path("both.csv").write_text("report_id,report,generated\nr1,Cardiomegaly.,Cardiomegaly.\n", encoding="utf-8")
    ran, output = 0, ""
    for kind, block in re.findall(r"```(bash|text)\n(.*?)```", guide, re.DOTALL):
        if kind == "text":
            assert "\n".join(map(str.rstrip, output.splitlines())) == block.rstrip()
            continue
        for file, content in re.findall(r"cat > (\S+) <<'END'\n(.*?)END\n", block, re.DOTALL):
            Path(file).write_text(content, encoding="utf-8")
        for line in re.sub(r"cat > (\S+) <<'END'\n.*?END\n", "", block, flags=re.DOTALL).splitlines():
            name, *words = line.split()
            if name == "cat":
                output = Path(words[0]).read_text(encoding="utf-8")
                continue
            done = CliRunner().invoke(cli.app, words, catch_exceptions=False)
            assert (name, done.exit_code) == ("raddistill", 0), line
            ran, output = ran + 1, done.stdout
    assert ran == 9
    refs, hyps = ["The heart is enlarged."], ["Cardiomegaly."]
    for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        exec(block, {"refs": refs, "hyps": hyps})  # noqa: S102


def test_rows_of_an_unknown_task_are_counted(here: Path) -> None:
    rows = said(1, range(3))
    strange = long(rows, "rules").head(2).with_columns(task=pl.lit(SECRET))
    known = pl.concat([long(rows, "rules"), long(rows, "rules").head(1).with_columns(task=pl.lit("open_ended"))])
    pl.concat([known, strange]).write_csv("f.csv")
    assert read("f.csv", NAMES).notes == ["f.csv: 2 rows of an unknown task were not read"]


def test_draws_that_need_more_memory_than_there_is_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4096}.__getitem__)
    require_memory(50_000, 2000)
    with pytest.raises(InputError, match=r"2,000 draws of 1,000,000 reports need 45 GiB .* has 4; take --resamples 89:"):
        require_memory(1_000_000, 2000)
    with pytest.raises(InputError, match="take a sample of the reports"):
        require_memory(1_000_000_000, 1)
