"""The review loop: a queue with known weights, three forms, answers read back, gold that the pipeline takes, and estimates."""

import html
import itertools
import json
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from openpyxl import load_workbook
from pipeline_truth import ROOT
from typer.testing import CliRunner

from raddistill import cli, concepts, labelsets, params, paths
from raddistill.apps.review import answers, choosing, estimating, forms, gold, queue
from raddistill.errors import InputError
from raddistill.sources import extracting
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.predictions import Predictions, Probabilities
from raddistill.tables.reports import Reports
from raddistill.tasks.names import MULTIPLE_CHOICE

LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
NAMES = [label.name for label in LABELS]
WRITTEN = ROOT / "gold/written_cohort"
AUTHOR = pl.read_csv(WRITTEN / "multiple_choice/author.csv", infer_schema=False)
TRUTH = {row["report_id"]: {name: row[name] in ("1", "-1") for name in NAMES} for row in AUTHOR.iter_rows(named=True)}


def extract(folder: Path, gold_folder: Path) -> extracting.Extracted:
    """The written cohort with the splits of these tests, and gold from a folder."""
    p = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
    files = p.files.model_copy(update={"sensitivity": "public", "patient": "patient_id"})
    changed = {"source": "files", "raw": str(WRITTEN / "reports.csv"), "gold": str(gold_folder), "train": 0.1, "validation": 0.3}
    return extracting.extract(
        p.model_copy(update=changed | {"files": files}), LABELS, concepts.load_concepts(ROOT / paths.CONCEPTS)
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a finished run: the student misses fractures, the teacher calls every cardiomegaly absent."""
    folder = tmp_path_factory.mktemp("pipeline")
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "lexicon/label_sets", folder / "lexicon/label_sets")
    shutil.copytree(ROOT / "gold/none", folder / "gold/none")
    reports = extract(folder, ROOT / "gold/none").reports
    tables.write(Reports, reports, folder / paths.REPORTS)
    rng = np.random.default_rng(0)
    said = {r: {n: yes and n != "Cardiomegaly" for n, yes in TRUTH[r].items()} for r in reports["report_id"]}
    rows = [
        (r, MULTIPLE_CHOICE, "t", n, "present" if yes else "unmentioned", None, None) for r in said for n, yes in said[r].items()
    ]
    labels = pl.DataFrame(rows, schema=Labels.column_names(), orient="row", infer_schema_length=None)
    tables.write(Labels, labels, folder / paths.table("labels", MULTIPLE_CHOICE))
    tables.write(Labels, labels.clear(), folder / paths.table("whole_labels", MULTIPLE_CHOICE))
    spans = [
        (r, m.start(), m.end())
        for r, text in reports.select("report_id", "text").iter_rows()
        for m in re.finditer("ffusion", text)
    ]
    marks = [
        (r, MULTIPLE_CHOICE, "t", "Pleural Effusion", n, "findings", a, b, None, "present", None)
        for n, (r, a, b) in enumerate(spans)
    ]
    tables.write(
        Evidence,
        pl.DataFrame(marks, schema=Evidence.column_names(), orient="row"),
        folder / paths.table("evidence", MULTIPLE_CHOICE),
    )
    for split in ("validation", "test"):
        ids = reports.filter(pl.col("split") == split)["report_id"].to_list()
        asked = pl.DataFrame(
            [(r, MULTIPLE_CHOICE, f"student_{split}", None) for r in ids], schema=Predictions.column_names(), orient="row"
        )
        tables.write(Predictions, asked, folder / paths.table("predictions", f"student_{split}"))
        logits = [
            (r, MULTIPLE_CHOICE, f"student_{split}", 0, n, answer, logit)
            for r in ids for n in NAMES
            for answer, logit in (("no", 0.0), ("yes", (2.0 if TRUTH[r][n] and n != "Fracture" else -2.0) + rng.normal(0, 0.8)))
        ]  # fmt: skip
        made = pl.DataFrame(logits, schema=Probabilities.column_names(), orient="row")
        tables.write(Probabilities, made, folder / paths.table("probabilities", f"student_{split}"))
    of_label = {name: {"threshold": 0.5, "teacher_uncertain_is_present": True} for name in NAMES}
    whole = {"temperature": 1.0, "against": "teacher", "reports": 9, "budget": [], "labels": of_label}
    tables.write_json(whole, folder / paths.CALIBRATION)
    return folder


@pytest.fixture
def here(pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, as working folder; no repository."""
    shutil.copytree(pipeline, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def told(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli.app, ["review", *words])
    output = done.output + (str(done.exception) if done.exception else "")
    assert done.exit_code == code, output
    return output


def made(*words: str, rows: int = 12) -> queue.Queue:
    told("make", str(rows), *words)
    return queue.load(paths.REVIEW)[0]


def correct(row: dict[str, Any], wrong: tuple[str, ...] = ()) -> dict[str, str]:
    """What a reader says who knows the truth, but reads the labels `wrong` the other way round."""
    return {n: "present" if TRUTH[row["report_id"]][n] != (n in wrong) else "absent" for n in NAMES}


def answered(q: queue.Queue, **wrong: tuple[str, ...]) -> list[dict[str, Any]]:
    """`agree`, id and labels of each row. `wrong`: report id -> labels."""
    found = []
    for row in q.rows:
        labels = correct(row, wrong.get(row["report_id"], ()))
        agree = "all" if labels == row["labels"] else "mostly"
        found.append({"report_id": row["report_id"], "agree": agree, "labels": labels})
    return found


def in_sheet(rows: list[dict[str, Any]], path: Path, source: Path = paths.REVIEW / "review.xlsx") -> Path:
    book = load_workbook(source)
    sheet = book.active
    columns = [cell.value for cell in sheet[1]]
    place = {sheet.cell(n, 1).value: n for n in range(2, sheet.max_row + 1)}
    for row in rows:
        cells = {"agree": row["agree"], **row["labels"]}
        for name, value in cells.items():
            sheet.cell(place[row["report_id"]], columns.index(name) + 1).value = value
    book.save(path)
    return path


def in_page(rows: list[dict[str, Any]], path: Path, q: queue.Queue, reader: str) -> Path:
    path.write_text(json.dumps({"queue": q.id, "reader": reader, "answers": rows}), encoding="utf-8")
    return path


def in_label_studio(rows: list[dict[str, Any]], path: Path, person: Any = 3) -> Path:
    tasks = json.loads((paths.REVIEW / "label_studio.json").read_text(encoding="utf-8"))
    said = {row["report_id"]: row for row in rows}
    for task in tasks:
        row = said[task["data"]["report_id"]]
        values = {"agree": row["agree"], **{f"label_{n}": row["labels"][name] for n, name in enumerate(NAMES, start=1)}}
        result = [{"from_name": n, "to_name": "text", "type": "choices", "value": {"choices": [v]}} for n, v in values.items()]
        result.append(
            {"from_name": "evidence", "to_name": "text", "type": "labels", "value": {"start": 0, "end": 3, "labels": ["Edema"]}}
        )
        task["annotations"] = [{"id": 1, "completed_by": person, "was_cancelled": False, "result": result}]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def in_csv(rows: list[dict[str, Any]], path: Path) -> Path:
    table = [{"report_id": row["report_id"], "agree": row["agree"], **row["labels"]} for row in rows]
    pl.DataFrame(table).write_csv(path)
    return path


# The queue


def cohort(n: int = 60, seed: int = 0) -> choosing.Cohort:
    """Reports of which every third shares its text with another; the last label is rare."""
    rng = np.random.default_rng(seed)
    groups = [f"g{i - i % 3 % 2}" for i in range(n)]
    same = [int(group[1:]) for group in groups]
    student, teacher = (rng.random((n, 4)) < [0.4, 0.3, 0.2, 0.05] for _ in range(2))
    teacher[rng.random((n, 4)) < 0.8] = student[rng.random((n, 4)) < 0.8][0]
    return choosing.Cohort(
        [f"r{i}" for i in range(n)], groups, list("abcd"), student[same], teacher[same], rng.random((n, 4))[same]
    )


def test_the_weights_are_known_and_add_up_to_the_cohort() -> None:
    whole = cohort()
    for rows, share in ((10, 0.5), (10, 1.0), (25, 0.3)):
        chosen = choosing.choose(whole, rows, share, seed=1)
        texts = [whole.text_groups[each.report] for each in chosen]
        assert len(set(texts)) == len(texts)
        assert sum(each.weight for each in chosen) == pytest.approx(60)
        useful = [each for each in chosen if each.part == choosing.USEFUL]
        assert len(useful) == rows - np.ceil(rows * share)
        assert all(each.weight == each.copies == whole.text_groups.count(whole.text_groups[each.report]) for each in useful)
        drawn = rows - len(useful)
        rest = 60 - sum(each.copies for each in useful)
        assert sum(each.copies for each in chosen) - sum(each.copies for each in useful) == drawn
        assert {each.weight / each.copies for each in chosen if each.part == choosing.RANDOM} == {rest / drawn}


def test_weighted_sums_are_unbiased() -> None:
    """Over many seeds the mean of the weighted number of positives is that of the cohort; that of the rows alone is not."""
    whole = cohort()
    truth = whole.teacher.sum(axis=0)
    sums = []
    for seed in range(400):
        chosen = choosing.choose(whole, 16, 0.5, seed)
        weights = np.array([each.weight for each in chosen])
        sums.append(weights @ whole.teacher[[each.report for each in chosen]])
    error = np.std(sums, axis=0) / np.sqrt(len(sums))
    assert (np.abs(np.mean(sums, axis=0) - truth) < 3.5 * error + 1e-9).all()


def test_the_same_seed_gives_the_same_queue_and_the_order_tells_nothing() -> None:
    whole = cohort()
    assert choosing.choose(whole, 16, 0.5, 5) == choosing.choose(whole, 16, 0.5, 5) != choosing.choose(whole, 16, 0.5, 6)
    first = [choosing.choose(whole, 16, 0.5, seed)[0].part for seed in range(60)]
    assert 15 < first.count(choosing.RANDOM) < 45


def test_the_useful_part_is_spread_over_labels_and_kinds() -> None:
    """30 reports with one same disagreement do not crowd out the one unsure and the one rare label."""
    student = np.zeros((40, 3), dtype=bool)
    teacher, margin = student.copy(), np.ones((40, 3))
    teacher[:30, 0] = True
    student[30, 1] = True
    student[31, 2] = teacher[31, 2] = True
    margin[32, 2] = 0.1
    whole = choosing.Cohort(
        [f"r{i:02}" for i in range(40)], [f"g{i:02}" for i in range(40)], list("abc"), student, teacher, margin
    )
    chosen = [each for each in choosing.choose(whole, 12, 0.5, 0) if each.part == choosing.USEFUL]
    reasons = sorted(each.reason for each in chosen)
    assert reasons == ["rare: c", "student only: b", *["teacher only: a"] * 3, "unsure: c"]
    # Nothing else is of use to find: the remaining rows are drawn at random.
    none = choosing.Cohort(
        whole.reports, whole.text_groups, list("abc"), student & teacher & False, teacher & False, np.ones((40, 3))
    )
    assert {each.part for each in choosing.choose(none, 12, 0.5, 0)} == {choosing.RANDOM}


def worth(whole: choosing.Cohort, reports: tuple[int, ...]) -> float:
    """The worth of a queue, by the table in choosing.py."""
    covered: dict[tuple[str, int], float] = {}
    for r in reports:
        for label in range(len(whole.labels)):
            student, teacher = whole.student[r, label], whole.teacher[r, label]
            n = (whole.student[:, label] | whole.teacher[:, label]).sum()
            kind, value = ("student only", 1.0) if student else ("teacher only", 1.0)
            if student == teacher:
                kind, value = ("rare", 1 / np.sqrt(n)) if student else ("unsure", 1 - whole.margins[r, label])
            covered[kind, label] = covered.get((kind, label), 0) + value
    return sum(np.log1p(value) for value in covered.values())


@pytest.mark.parametrize("seed", range(5))
def test_the_useful_part_is_worth_nearly_the_best(seed: int) -> None:
    """At least 1 - 1/e of the best by theory; of these small cohorts, nearly all of it, and more than a random choice."""
    rng = np.random.default_rng(seed)
    student, teacher = rng.random((10, 3)) < 0.3, rng.random((10, 3)) < 0.3
    ids = [f"r{i}" for i in range(10)]
    whole = choosing.Cohort(ids, ids, list("abc"), student, teacher, rng.random((10, 3)))
    chosen = choosing.choose(whole, 5, 0.2, seed)
    found = worth(whole, tuple(each.report for each in chosen if each.part == choosing.USEFUL))
    all_ = [worth(whole, each) for each in itertools.combinations(range(10), 4)]
    assert 0.95 * max(all_) <= found <= max(all_) + 1e-9
    assert found > np.mean(all_)


def test_margins_are_0_at_the_threshold_and_1_at_the_ends() -> None:
    p, t = np.array([[0.0, 0.35, 1.0, 0.175, 0.675, 0.0, 1.0]]), np.array([0.35, 0.35, 0.35, 0.35, 0.35, 0.0, 1.0])
    assert choosing.margins(p, t)[0].tolist() == pytest.approx([1, 0, 1, 0.5, 0.5, 0, 0])


def test_more_rows_than_texts() -> None:
    with pytest.raises(InputError, match=r"50 rows asked for, but the 60 reports have only 40 different texts; ask for fewer"):
        choosing.choose(cohort(), 50, 0.5, 0)


def test_a_queue_of_the_pipeline(here: Path) -> None:
    output = told("make", "12")
    q = queue.load(paths.REVIEW)[0]
    reports = tables.read(Reports, paths.REPORTS)
    split = dict(reports.select("report_id", pl.col("split").cast(str)).iter_rows())
    assert {split[row["report_id"]] for row in q.rows} == {"validation", "test"}
    assert f"Queue {q.id}: 12 of {q.about['reports']} reports, 6 of them at random" in output
    assert sum(row["weight"] for row in q.rows) == pytest.approx(q.about["reports"])
    assert q.about["teacher"] == "sections that it reads"
    shown = {row["reason"] for row in q.rows}
    assert any(reason.startswith("student only: Cardiomegaly") for reason in shown)
    assert {reason.partition(":")[0] for reason in shown} >= {"random", "student only", "rare"}, shown
    of_test = made("--split", "test", "-o", "test", rows=6), queue.load(Path("test"))[0]
    assert {split[row["report_id"]] for row in of_test[1].rows} == {"test"}
    taught = told("make", "12", "-o", "taught", "--prefill", "teacher") and queue.load(Path("taught"))[0]
    assert [row["report_id"] for row in taught.rows] == [row["report_id"] for row in q.rows]
    assert {row["labels"]["Cardiomegaly"] for row in taught.rows} == {"absent"}


def test_the_gold_budget_is_left_out_and_told(here: Path) -> None:
    content = json.loads(paths.CALIBRATION.read_text())
    ids = tables.read(Reports, paths.REPORTS).filter(pl.col("split") == "validation")["report_id"].to_list()
    tables.write_json(content | {"budget": ids[:3]}, paths.CALIBRATION)
    assert "3 reports are left out: the student's thresholds were chosen on them" in told("make", "12")
    assert not {row["report_id"] for row in queue.load(paths.REVIEW)[0].rows} & set(ids[:3])
    assert queue.load(paths.REVIEW)[1]["report_id"].n_unique() == len(ids) - 3 + sum(
        tables.read(Reports, paths.REPORTS)["split"] == "test"
    )


def test_a_text_that_is_drawn_twice_is_one_row(here: Path) -> None:
    reports = tables.read(Reports, paths.REPORTS)
    held_out = reports.filter(pl.col("split") != "train")["report_id"].sort()
    same = pl.when(pl.col("report_id").is_in(held_out[:20].to_list())).then(pl.lit("same")).otherwise("text_group")
    tables.write(Reports, reports.with_columns(text_group=same), paths.REPORTS)
    output = told("make", "12", "--random", "1")
    q = queue.load(paths.REVIEW)[0]
    assert f"Queue {q.id}: {len(q.rows)} of" in output
    assert "Not 12: a text that was drawn several times is read once" in output
    assert len(q.rows) < 12 == sum(row["copies"] for row in q.rows)
    assert sum(row["weight"] for row in q.rows) == pytest.approx(len(held_out))


def test_a_queue_is_not_replaced(here: Path) -> None:
    made()
    assert "exists, and answers may belong to it" in told("make", "12", code=1)


@pytest.mark.parametrize("ignored", [True, False])
def test_report_text_goes_nowhere_where_git_takes_it_along(here: Path, ignored: bool) -> None:
    subprocess.run(["git", "init", "-q", "."], check=True)
    if ignored:
        shutil.copy(ROOT / ".gitignore", ".gitignore")
        made()
        return
    output = told("make", "12", code=1)
    assert "where git sees it" in output
    assert not paths.REVIEW.exists()


@pytest.mark.parametrize("pattern", ["*.json", "*.xlsx\n*.html\n*.json\n*.xml\n*.parquet"])
def test_a_folder_of_which_git_ignores_some_files_only(pattern: str, here: Path) -> None:
    """The second pattern ignores all files, but none of those that are unfinished."""
    subprocess.run(["git", "init", "-q", "."], check=True)
    Path(".gitignore").write_text(pattern, encoding="utf-8")
    assert "where git sees it" in told("make", "12", "-o", "review", code=1)
    assert not Path("review").exists()


# The forms


class Outside(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def one_row(text: str, evidence: list[Any]) -> queue.Queue:
    row = {"report_id": "=r1", "text": text, "labels": dict.fromkeys(NAMES, "absent"), "evidence": evidence}
    return queue.Queue("q", NAMES, [row | {"part": "random", "weight": 41.5, "reason": "secret"}], {"prefilled_by": "student"})


def test_the_page_is_one_file_that_loads_nothing_and_holds_any_text(tmp_path: Path) -> None:
    text = "</script><img src=x onerror=alert(1)> <!-- \u2028 = \U0001f600 effusion"
    start = text.index("effusion")
    _, page, *_ = forms.write(
        one_row(text, [(start, start + 8, "Edema", "absent"), (start, start + 8, "Fracture", "absent")]), tmp_path
    )
    content = page.read_text(encoding="utf-8")
    outside = Outside()
    outside.feed(content)
    assert outside.found == []
    assert not re.search(r"https?:|@import|url\(", content)
    assert "default-src 'none'" in content
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', content, re.DOTALL)
    assert held
    data = json.loads(held[1])
    assert data["rows"] == [
        {
            "id": "=r1",
            "text": text,
            "labels": dict.fromkeys(NAMES, "absent"),
            "marks": [[start, start + 8, "Edema, Fracture", "-"]],
        }
    ]
    assert "secret" not in content
    assert "41.5" not in content


def test_the_spreadsheet_holds_text_and_no_formula(tmp_path: Path) -> None:
    path, *_ = forms.write(one_row("=1+1\x0b effusion", [(6, 14, "Pleural Effusion", "present")]), tmp_path)
    sheet = load_workbook(path).active
    assert [sheet.cell(2, n).value for n in (1, 2, 3)] == ["=r1", "=1+1  effusion", "+ Pleural Effusion: effusion"]
    assert {cell.data_type for cell in sheet[2] if cell.value} == {"s"}
    lists = {str(v.sqref): v.formula1 for v in sheet.data_validations.dataValidation}
    assert lists == {"D2": '"all,mostly,no"'} | {f"{c}2": '"present,uncertain,absent"' for c in "EFGHIJKLMNOPQ"}
    assert "secret" not in str(list(sheet.values))
    forms.write(one_row("x" * 40000, []), tmp_path)
    assert str(load_workbook(path).active.cell(2, 2).value).endswith("xxx [CUT: the page has the rest]")
    assert "x" * 40000 in (tmp_path / "review.html").read_text()


def test_tasks_of_label_studio(tmp_path: Path) -> None:
    """Their form was checked by label-studio-sdk 2.1.2 (LabelInterface.validate, validate_prediction), which is no dependency."""
    text = "\U0001f600 No effusion."
    _, _, config, file = forms.write(one_row(text, [(5, 13, "Pleural Effusion", "absent")]), tmp_path)
    tree = ElementTree.fromstring(config.read_text(encoding="utf-8"))  # noqa: S314 - our own
    controls = {each.get("name"): [choice.get("value") for choice in each] for each in tree.iter("Choices")}
    assert controls == {"agree": forms.AGREE, **{f"label_{n}": queue.VALUES for n in range(1, 14)}}
    assert [each.get("value") for each in tree.iter("Header")][1:] == NAMES
    (task,) = json.loads(file.read_text(encoding="utf-8"))
    assert task["data"] == {"report_id": "=r1", "text": text}
    *choices, span = task["predictions"][0]["result"]
    assert {(each["from_name"], *each["value"]["choices"]) for each in choices} == {
        (f"label_{n}", "absent") for n in range(1, 14)
    }
    assert span["value"] == {"start": 6, "end": 14, "text": "effusion", "labels": ["Pleural Effusion"]}  # the face counts as two


# A reader at the keyboard: agrees, corrects the first label by its control, rejects, and saves. The file goes into the page.
PRESSES = """
const press = key => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
const tell = (id, text) => document.body.append(Object.assign(document.createElement('pre'), {id, textContent: text}));
URL.createObjectURL = blob => { blob.text().then(text => tell('saved', text)); return '#' };
const before = $('where').textContent;
press('s'); tell('first', document.activeElement.id);
$('reader').value = 'anna'; $('reader').dispatchEvent(new Event('input')); press('a'); tell('typed', $('count').textContent);
$('where').focus(); press('a'); tell('moved', before + ' > ' + $('where').textContent);
press('m'); tell('mostly', $('count').textContent);
[...document.querySelectorAll('#labels input[name=label0]')].find(input => !input.checked).click();
tell('corrected', $('count').textContent + ' ' + document.querySelectorAll('.label.changed').length);
press('j'); press('n'); press('s');
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_the_page_by_keyboard_in_a_browser_without_network(here: Path) -> None:
    q = made()
    page = (paths.REVIEW / "review.html").read_text(encoding="utf-8")
    Path("page.html").write_text(page.replace("</html>", f"<script>{PRESSES}</script></html>"), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", f"--user-data-dir={here / 'profile'}", "--virtual-time-budget=3000"]
    command += ["--dump-dom", (here / "page.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    told_ = {key: html.unescape(text) for key, text in re.findall(r'<pre id="(\w+)">(.*?)</pre>', dom, re.DOTALL)}
    ids = [row["report_id"] for row in q.rows]
    assert told_["first"] == "reader"  # a name is asked for before a file is saved
    assert told_["typed"].startswith("Your name first")  # a key in the field for the name is a letter of it
    assert told_["moved"] == f"Report 1 of 12: {ids[0]} > Report 2 of 12: {ids[1]}"
    assert told_["mostly"] == "1 of 12 answered"  # mostly waits for a correction
    assert told_["corrected"] == "2 of 12 answered 1"
    Path("anna.json").write_text(told_["saved"], encoding="utf-8")
    readers, unanswered = answers.read(q, [Path("anna.json")])
    assert list(readers["anna"]) == ids[:3]
    assert readers["anna"][ids[0]] == q.rows[0]["labels"]
    changed = [n for n in NAMES if readers["anna"][ids[1]][n] != q.rows[1]["labels"][n]]
    assert changed == [NAMES[0]]
    assert readers["anna"][ids[2]] == {}
    assert unanswered[0].startswith("anna.json: anna left 9 of 12 reports open")


# The answers


def test_all_forms_give_the_same_answers(here: Path) -> None:
    q = made()
    rows = answered(q)
    files = [
        in_sheet(rows, Path("anna.xlsx")), in_page(rows, Path("x.json"), q, "ben"),
        in_label_studio(rows, Path("carl.json"), {"id": 7, "email": "c@c.invalid"}), in_csv(rows, Path("dora.csv")),
    ]  # fmt: skip
    readers, unanswered = answers.read(q, files)
    assert list(readers) == ["anna", "ben", "carl", "dora"]
    assert unanswered == []
    assert all(each == {row["report_id"]: row["labels"] for row in rows} for each in readers.values())


def test_several_accounts_of_label_studio_are_several_readers(here: Path) -> None:
    q = made()
    one, two = (json.loads(in_label_studio(answered(q), Path(f"{n}.json"), n).read_text()) for n in (3, 4))
    for task, other in zip(one, two, strict=True):
        task["annotations"] += other["annotations"]
    one[0]["annotations"][1]["was_cancelled"] = True
    Path("all.json").write_text(json.dumps(one))
    readers, unanswered = answers.read(q, [Path("all.json")])
    assert list(readers) == ["all-3", "all-4"]
    assert unanswered == [f"all.json: all-4 left 1 of 12 reports open: {q.rows[0]['report_id']}"]


WORDS = "Acute pulmonary edema, said the report."


@pytest.mark.parametrize(
    ("change", "told_"),
    [
        ({"report_id": WORDS}, "row 2: report_id is none of the queue"),
        ({"report_id": "W999"}, "row 2: report_id is none of the queue (such as W999)"),
        ({"agree": WORDS}, "row 2: 'agree' is none of all, mostly, no"),
        ({"agree": "all", "Edema": WORDS}, "row 2: 'Edema' is none of present, uncertain, absent"),
        ({"agree": "all", "Edema": "uncertain"}, "row 2: agrees with all labels, but changes Edema; mostly or no?"),
        ({"agree": "", "Edema": "uncertain"}, "row 2: has no 'agree', but changes Edema; mostly or no?"),
        ({"agree": "mostly"}, "row 2: agrees mostly, but corrects no label"),
    ],
)
def test_a_wrong_row_is_told_without_its_text(here: Path, change: dict[str, str], told_: str) -> None:
    q = made()
    rows = [{"report_id": row["report_id"], "agree": "all", **row["labels"]} for row in q.rows]
    rows[0] |= change
    pl.DataFrame(rows).write_csv("anna.csv")
    output = told("read", "anna.csv", code=1)
    assert f"anna.csv, {told_}" in output
    assert "1 rows cannot be used" in output
    assert WORDS not in output
    assert not (paths.REVIEW / "gold").exists()


def test_a_repeated_row_and_open_rows_are_told(here: Path) -> None:
    q = made()
    rows = [{"report_id": row["report_id"], "agree": "all", **row["labels"]} for row in q.rows]
    pl.DataFrame([*rows, rows[3]]).write_csv("anna.csv")
    assert f"anna.csv, row 14: report_id is that of row 5 (such as {rows[3]['report_id']})" in told("read", "anna.csv", code=1)
    rows[4]["agree"] = " "
    pl.DataFrame(rows[:-1]).write_csv("anna.csv")
    output = told("read", "anna.csv")
    assert f"anna.csv: anna left 2 of 12 reports open: row 6, {rows[-1]['report_id']}" in output
    assert "Gold of 10 reports" in output


@pytest.mark.parametrize(
    ("name", "content", "told_"),
    [
        ("a.json", "[1]", "a.json is neither a file that the page saved"),
        ("a.json", "no", "a.json is neither a file that the page saved"),
        ("a.json", '{"queue": "other", "reader": "a", "answers": []}', "a.json answers another queue"),
        ("a.json", '{"queue": "QUEUE", "reader": "../a", "answers": []}', "the reader's name must be"),
        ("a.json", '{"queue": "QUEUE", "reader": "No edema, is seen here.", "answers": []}', "the reader's name must be"),
        ("a.json", '{"queue": "QUEUE", "reader": "No edema is seen here", "answers": []}', "the reader's name must be"),
        ("a.json", '{"queue": "QUEUE", "reader": null, "answers": []}', "a.json is neither"),
        ("a.json", '{"queue": "QUEUE", "reader": "a", "answers": [7]}', "a.json is neither"),
        ("a.xlsx", "no", "a.xlsx is not a readable .xlsx file"),
        ("a.csv", "report_id,agree\nW01,all\n", "a.csv has no column 'Atelectasis'"),
        ("a.txt", "", "a.txt: answers are read from .json, .xlsx, .csv, .tsv"),
        ("b.json", None, "b.json does not exist"),
        ("b.xlsx", None, "b.xlsx does not exist"),
    ],
)
def test_a_file_that_is_no_form(here: Path, name: str, content: str | None, told_: str) -> None:
    q = made()
    if content is not None:
        Path(name).write_text(content.replace("QUEUE", q.id), encoding="utf-8")
    assert told_ in told("read", name, code=1)


def test_without_a_queue(here: Path) -> None:
    assert "holds no queue; `raddistill review make` makes one" in told("read", "anna.csv", code=1)
    assert "the student was asked about no report" not in told("make", "500", code=1)


def test_two_files_of_one_reader(here: Path) -> None:
    q = made()
    files = [in_csv(answered(q), Path("ben.csv")), in_page(answered(q), Path("x.json"), q, "ben")]
    assert "ben has answered in another file, too" in told("read", *map(str, files), code=1)


# Agreement, adjudication, gold


def test_readers_who_differ_settle_it_and_the_pipeline_takes_the_gold(here: Path) -> None:
    q = made()
    first, second = q.rows[0]["report_id"], q.rows[1]["report_id"]
    anna = in_sheet(answered(q, **{first: ("Edema", "Fracture")}), Path("anna.xlsx"))
    rows = answered(q)
    rejected = next(n for n, row in enumerate(q.rows) if rows[n]["agree"] == "all" and n > 1)
    rows[rejected] |= {"agree": "no", "labels": q.rows[rejected]["labels"]}
    ben = in_page(rows, Path("x.json"), q, "ben")
    output = told("read", str(anna), str(ben))
    assert "2 readers; 11 reports were read by several" in output
    assert f"{2 + 13} labels of 2 reports are in conflict: data/review/conflicts.xlsx" in output
    assert not (paths.REVIEW / "gold").exists()
    conflicts = paths.REVIEW / gold.CONFLICTS
    assert "exists: if it is answered, give it by --conflicts" in told("read", str(anna), str(ben), code=1)
    output = told("read", str(anna), str(ben), "--conflicts", str(conflicts), code=1)
    assert "conflicts.xlsx, row 2: 'decision' is none of present, uncertain, absent" in output
    book = load_workbook(conflicts)
    sheet = book.active
    assert [cell.value for cell in sheet[1]] == ["report_id", "report", "label", "says anna", "says ben", "decision"]
    said = {(row[0], row[2]): row[3:5] for row in sheet.iter_rows(min_row=2, values_only=True)}
    both = {label: correct({"report_id": first}, ("Edema", "Fracture"))[label] for label in ("Edema", "Fracture")}
    assert said[first, "Edema"] == (both["Edema"], correct({"report_id": first})["Edema"])
    assert said[q.rows[rejected]["report_id"], "Edema"][1] == gold.REJECTED
    for n in range(2, sheet.max_row + 1):
        sheet.cell(n, 6).value = "uncertain" if sheet.cell(n, 3).value == "Edema" else "absent"
    book.save("decided.xlsx")
    output = told("read", str(anna), str(ben), "-c", "decided.xlsx")
    assert "Gold of 12 reports: data/review/gold/v1" in output

    about = json.loads((paths.REVIEW / "gold/v1/gold.json").read_text())
    assert about["readers"] == ["anna", "ben"]
    assert about["adjudicated_labels"] == 15
    agreed = about["agreement"]
    assert agreed["labels"].get("Edema", {}).get("agree", 0) == pytest.approx(10 / 11, abs=1e-4)
    assert agreed["readers"]["low"] <= agreed["readers"]["micro_f1"] <= agreed["readers"]["high"]
    assert agreed["readers"]["micro_f1"] > agreed["student"]["micro_f1"]
    # The same answers make no new version; other answers make the next one.
    assert "gold/v1" in told("read", str(anna), str(ben), "-c", "decided.xlsx")
    assert "gold/v2" in told("read", str(in_csv(answered(q), Path("carl.csv"))))

    known = extract(here, paths.REVIEW / "gold/v1").gold.filter(pl.col("task") == MULTIPLE_CHOICE)
    assert set(known["annotator"]) == {gold.ADJUDICATED}
    assert known["report_id"].n_unique() == 12
    status = {(r, label): s for r, label, s in known.select("report_id", "label", pl.col("status").cast(str)).iter_rows()}
    assert status[first, "Edema"] == "uncertain"
    assert all(status[second, name] == correct(q.rows[1])[name] for name in NAMES)
    assert set(extract(here, paths.REVIEW / "gold/v2").gold["annotator"]) == {"carl"}


def test_majority(here: Path) -> None:
    q = made()
    first = q.rows[0]["report_id"]
    files = [str(in_csv(answered(q, **({first: ("Edema",)} if n == "a" else {})), Path(f"{n}.csv"))) for n in "abc"]
    assert "1 labels of 1 reports are in conflict" in told("read", *files)
    told("read", *files, "--majority")
    rows = pl.read_csv(paths.REVIEW / "gold/v1/multiple_choice/adjudicated.csv")
    assert rows.filter(pl.col("report_id") == first)["Edema"].item() == int(TRUTH[first]["Edema"])


def test_agreement_is_that_of_hand(here: Path) -> None:
    """Two labels, four reports: anna 2 findings, ben the same and 1 more; one report was read by anna alone."""
    rows = [{"report_id": r, "labels": {"A": "absent", "B": "absent"}} for r in "wxyz"]
    q = queue.Queue("q", ["A", "B"], rows, {"prefilled_by": "student"})
    no, a, both = {"A": "absent", "B": "absent"}, {"A": "present", "B": "absent"}, {"A": "uncertain", "B": "present"}
    figures = gold.agreement(q, {"anna": {"w": a, "x": a, "y": no, "z": a}, "ben": {"w": a, "x": both, "y": no}}, seed=0)
    assert figures["reports"] == 3
    assert figures["labels"] == {
        "A": {"reports": 3, "agree": 1.0, "kappa": 1.0},
        "B": {"reports": 3, "agree": 0.6667, "kappa": 0.0},
    }
    assert figures["readers"]["micro_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1), abs=1e-4)
    assert figures["student"]["micro_f1"] == 0


# Estimates


def simulated(rng: np.random.Generator, n: int, prevalences: np.ndarray) -> tuple[np.ndarray, choosing.Cohort]:
    """A student whose errors are more frequent where it is unsure, and a teacher that errs by itself."""
    truth = rng.random((n, len(prevalences))) < prevalences
    student = np.where(truth, rng.random(truth.shape) < 0.8, rng.random(truth.shape) < 0.04)
    teacher = truth ^ (rng.random(truth.shape) < 0.03)
    margin = np.where(student == truth, rng.beta(5, 1, truth.shape), rng.beta(1.5, 1.5, truth.shape))
    ids = [f"r{i}" for i in range(n)]
    return truth, choosing.Cohort(ids, ids, list("abc"), student, teacher, margin)


def counted(
    whole: choosing.Cohort, chosen: list[choosing.Chosen], truth: np.ndarray, label: int
) -> tuple[np.ndarray, np.ndarray]:
    useful = np.zeros(len(whole.reports), dtype=int)
    useful[[each.report for each in chosen if each.part == choosing.USEFUL]] = 1
    student = whole.student[:, label].astype(int)
    reviewed, sizes = np.zeros((2, 2, 2), dtype=np.int64), np.zeros((2, 2), dtype=np.int64)
    rows = [each.report for each in chosen]
    np.add.at(reviewed, (useful[rows], student[rows], truth[rows, label].astype(int)), 1)
    np.add.at(sizes, (useful, student), 1)
    return reviewed, sizes


def test_corrected_prevalence_covers_the_truth_in_95_of_100_cohorts() -> None:
    """The student's own share is off by 4 points where the label is rare; the queue's by far more."""
    rng = np.random.default_rng(1)
    prevalences = np.array([0.3, 0.1, 0.02])
    covered, errors, raw = [], [], []
    for _ in range(100):
        truth, whole = simulated(rng, 300, prevalences)
        chosen = choosing.choose(whole, 60, 0.6, int(rng.integers(2**31)))
        for label in range(3):
            found = estimating.prevalence(*counted(whole, chosen, truth, label), rng)["prevalence"]
            true = truth[:, label].mean()
            covered.append(found["low"] - 1e-9 <= true <= found["high"] + 1e-9)
            errors.append(found["value"] - true)
            raw.append(abs(whole.student[:, label].mean() - true))
    by_label = np.array(covered).reshape(-1, 3).mean(axis=0)
    assert 0.93 <= np.mean(covered) <= 0.99
    assert (by_label >= 0.90).all()
    assert (np.abs(np.array(errors).reshape(-1, 3).mean(axis=0)) < 0.01).all()
    assert np.array(raw).reshape(-1, 3).mean(axis=0)[2] > 0.02


def test_the_prevalence_is_rogan_and_gladens() -> None:
    """With the sensitivity and specificity of the cohort, (apparent + specificity - 1) / (sensitivity + specificity - 1)."""
    reviewed = np.array([[[40, 3], [2, 15]], [[4, 6], [5, 5]]])
    sizes = np.array([[700, 280], [10, 10]])
    found = {name: of["value"] for name, of in estimating.prevalence(reviewed, sizes, np.random.default_rng(0)).items()}
    apparent = (280 + 10) / 1000
    by_formula = (apparent + found["specificity"] - 1) / (found["sensitivity"] + found["specificity"] - 1)
    assert found["prevalence"] == pytest.approx(by_formula)
    assert found["prevalence"] == pytest.approx((700 * 3 / 43 + 280 * 15 / 17 + 6 + 5) / 1000)


def test_where_all_was_reviewed_nothing_is_uncertain() -> None:
    reviewed = np.array([[[50, 3], [2, 15]], [[0, 0], [0, 0]]])
    found = estimating.prevalence(reviewed, reviewed.sum(axis=2), np.random.default_rng(0))
    assert found["prevalence"] == {"value": 18 / 70, "low": 18 / 70, "high": 18 / 70}
    assert found["sensitivity"]["value"] == 15 / 18
    nowhere = estimating.prevalence(np.array([[[50, 0], [2, 0]]]), np.array([[50, 2]]), np.random.default_rng(0))
    assert nowhere["prevalence"]["value"] == 0
    assert np.isnan(nowhere["sensitivity"]["value"])


def reviewed(margin: list[float], wrong: list[bool], weight: list[float]) -> estimating.Reviewed:
    n = len(margin)
    said = np.array(wrong)[:, None]
    return estimating.Reviewed(
        np.zeros(n, dtype=bool), np.ones(n, dtype=np.int64), np.array(weight), said, said & False, np.array(margin)[:, None]
    )


@pytest.mark.parametrize(
    ("error", "most"),
    [(0.5, -1.0), (0.2, 0.2), (0.1, 0.4), (0.0, 0.4)],
)
def test_the_smallest_margin_that_leaves_the_error(error: float, most: float) -> None:
    """Weights: the wrong ones at 0.2 (weight 3 of 12) and 0.4 (1 of 9)."""
    r = reviewed([0.1, 0.2, 0.4, 0.6, 0.8, 0.9], [False, True, True, False, False, False], [1, 3, 1, 3, 2, 2])
    assert estimating.abstain(r, error) == most


def test_no_margin_is_enough_if_the_surest_cell_is_wrong() -> None:
    assert estimating.abstain(reviewed([0.5, 0.9], [False, True], [1, 9]), 0.1) is None
    assert estimating.abstain(reviewed([0.9, 0.9], [False, True], [1, 1]), 0.1) is None  # of equals, all are answered or none


def test_the_interval_of_the_error_covers_that_of_the_cohort() -> None:
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(80):
        truth, whole = simulated(rng, 300, np.array([0.3, 0.2, 0.1]))
        chosen = choosing.choose(whole, 60, 0.6, int(rng.integers(2**31)))
        at = [each.report for each in chosen]
        useful = np.array([each.part == choosing.USEFUL for each in chosen])
        copies, weight = np.array([each.copies for each in chosen]), np.array([each.weight for each in chosen])
        r = estimating.Reviewed(useful, copies, weight, truth[at], whole.student[at], whole.margins[at])
        found = estimating.error_among(r, np.ones_like(r.stated), rng)
        covered.append(found["low"] <= (truth != whole.student).mean() <= found["high"])
    assert 0.9 <= np.mean(covered) <= 1


def test_estimates_of_a_queue(here: Path) -> None:
    q = made("--random", "0.8", rows=20)
    anna = in_csv(answered(q), Path("anna.csv"))
    told("read", str(anna))
    output = told("estimate", "data/review/gold/v1", "--error", "0.004")
    assert f"20 reviewed reports (16 at random) stand for {q.about['reports']}" in output
    content = json.loads((paths.REVIEW / "estimate.json").read_text())
    assert content == json.loads(told("estimate", "data/review/gold/v1", "--error", "0.004", "--json"))
    assert {key: content[key] for key in ("queue", "gold", "readers", "splits")} == {
        "queue": q.id, "gold": "data/review/gold/v1", "readers": ["anna"], "splits": ["validation", "test"],
    }  # fmt: skip
    whole = queue.load(paths.REVIEW)[1]["report_id"].unique()
    for name, of in content["labels"].items():
        true = np.mean([TRUTH[report][name] for report in whole])
        assert of["prevalence"]["low"] - 1e-4 <= true <= of["prevalence"]["high"] + 1e-4, name
    assert content["labels"]["Fracture"]["apparent"] < content["labels"]["Fracture"]["prevalence"]["value"]
    assert content["abstention"]["with"]["value"] <= 0.004 < content["abstention"]["without"]["value"]
    for of in content["labels"].values():
        low, high = of["band"]
        assert 0 <= low < 0.5 < high <= 1

    told("read", str(anna), "--random-only", "-o", "fair")
    assert "has the random part only" in told("estimate", "fair/v1", code=1)
    assert "is no gold that" in told("estimate", "gold/none", code=1)
    damaged = Path("damaged")
    damaged.mkdir()
    for content in ("{", "[]", "null", "{}", '{"queue": "x"}'):
        (damaged / "gold.json").write_text(content, encoding="utf-8")
        assert "is no gold that" in told("estimate", "damaged", code=1)
    told("make", "12", "-o", "other", "--seed", "7")
    assert "is gold of another queue" in told("estimate", "data/review/gold/v1", "-q", "other", code=1)


def test_a_student_that_answers_in_words_has_no_bands(here: Path) -> None:
    for split in ("validation", "test"):
        path = paths.table("predictions", f"student_{split}")
        worded = tables.read(Predictions, path).with_columns(answer=pl.lit("Edema, Fracture"))
        tables.write(Predictions, worded, path)
    q = made("--random", "1")
    told("read", str(in_csv(answered(q), Path("anna.csv"))))
    assert "No abstention leaves" in told("estimate", "data/review/gold/v1")
    content = json.loads((paths.REVIEW / "estimate.json").read_text())
    assert content["labels"]["Edema"]["apparent"] == 1
    assert "band" not in content["labels"]["Edema"]
    assert "with" not in content["abstention"]


# The guide


def test_every_command_of_the_guide_runs(here: Path) -> None:
    guide = (ROOT / "docs/review.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", guide, re.DOTALL) for line in block.splitlines()]
    assert len(lines) >= 8
    ran = []
    for line in lines:
        words = shlex.split(line)
        if words[:3] == ["dvc", "exp", "run"]:  # its stage `extract`; the others take any gold
            folder = re.search(r"-S extract\.gold=(\S+)", line)
            assert folder
            assert extract(here, Path(folder[1])).gold["report_id"].n_unique() > 0
        else:
            assert words[:2] == ["raddistill", "review"], line
            told(*[word if word != "50" else "12" for word in words[2:]])
        ran.append(words[2])
        if words[2] == "make":
            q = queue.load(paths.REVIEW)[0]
            in_sheet(answered(q, **{q.rows[0]["report_id"]: ("Edema",)}), Path("anna.xlsx"))
            in_page(answered(q), Path("ben.json"), q, "ben")
        if (paths.REVIEW / gold.CONFLICTS).exists():
            book = load_workbook(paths.REVIEW / gold.CONFLICTS)
            for n in range(2, book.active.max_row + 1):
                book.active.cell(n, 6).value = "absent"
            book.save(paths.REVIEW / gold.CONFLICTS)
    assert {"make", "read", "estimate", "run"} <= set(ran)
    for name in (
        "review.html",
        "review.xlsx",
        "label_studio.json",
        "label_studio.xml",
        "queue.json",
        "cohort.parquet",
        "estimate.json",
    ):
        assert (paths.REVIEW / name).exists()
        assert f"`{name}`" in guide
