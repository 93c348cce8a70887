"""`raddistill report`: the page of a run holds its figures and no text; the error browser lies where git does not see it."""

import contextlib
import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import page_world as world
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from raddistill import cli, paths
from raddistill.apps.page import browsing, command, offline_plots, provenance
from raddistill.errors import InputError, TableError
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.reports import Reports


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    with contextlib.chdir(folder):
        world.build(folder)
    return folder


@pytest.fixture
def run(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def both(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with its two pages, for tests that only read them."""
    folder = tmp_path_factory.mktemp("both") / "run"
    shutil.copytree(built, folder)
    with contextlib.chdir(folder):
        command.report(Path("page.html"), private=Path("errors.html"))
    return folder


def words_of(html: str) -> str:
    body = re.sub(r"<(style|svg)\b.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace(" ,", ",").strip()


def page(**options: Any) -> str:
    """The words of the page of the current folder, which is written anew."""
    command.report(Path("page.html"), overwrite=True, **options)
    return words_of(Path("page.html").read_text(encoding="utf-8"))


@pytest.fixture
def html(both: Path) -> str:
    return (both / "page.html").read_text(encoding="utf-8")


@pytest.fixture
def told(html: str) -> str:
    return words_of(html)


def data(path: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return json.loads(found[1])


def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *words], check=True, capture_output=True)


def test_the_page_holds_no_text_and_no_id(html: str) -> None:
    html = html.lower()
    assert len(html) > 20_000
    for report, (text, *_) in world.RUN.items():
        assert report not in html
        assert text.lower() not in html
    assert [word for word in ("zebra", "quokka", "window.hurt", "cough", "small effusion") if word in html] == []


def test_the_page_loads_nothing_and_runs_nothing(html: str) -> None:
    assert "<script" not in html
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', html) == []
    assert "default-src 'none'" in html


def test_the_headline_has_interval_and_number_of_reports(both: Path, told: str) -> None:
    figures = json.loads((both / paths.FINAL_METRICS).read_text())["multiple_choice"]["student"]
    assert (
        f"{figures['micro_f1']:.3f} 95 % interval {figures['micro_f1_low']:.3f} to {figures['micro_f1_high']:.3f}, 9 reports"
        in told
    )
    assert "no clear difference" in told  # 9 reports cannot tell student from teacher


def test_every_label_has_its_figures(told: str) -> None:
    # people: 1, 2 and 9; student: 1 and 2; teacher: 1, 3 and 9
    assert re.search(r"Pleural Effusion 3 0\.80 \([\d. to]+\) P 1\.00, R 0\.67 0\.67 \([\d. to]+\) P 0\.67, R 0\.67", told)


def test_confusion_counts_cells(told: str) -> None:
    # found, false, missed, rightly absent of student, then of the teacher; ambiguous
    assert "Pleural Effusion 2 0 1 6 2 1 1 5 0" in told
    assert "Lung Lesion 0 1 0 7 0 0 0 8 1" in told


def test_noise_counts_what_the_student_mends_and_adds(told: str) -> None:
    # 9 reports with 13 labels, one of them ambiguous; the teacher misses 2 and 6 and is false in 3
    assert (
        "the teacher is wrong in 3 of 116 cells (2 missed, 1 false). The student is right in 2 of these, and wrong in 3" in told
    )
    assert "Pleural Effusion 1 1 1 1 1" in told
    assert "Edema 1 0 0 0 1" in told


def test_money_and_training_are_told(told: str) -> None:
    assert "metrics/spending_open_ended.json 7 2 900 100 50 1.25" in told
    assert "10 steps, the best of them (by validation loss) 5. 4,321 trainable parameters." in told
    assert "train multiple_choice 1,234" in told


def test_charts_are_described_to_those_who_do_not_see_them(html: str) -> None:
    described = re.findall(r'<div role="img" aria-label="([^"]+)"><svg', html)
    assert len(described) == 8
    assert len(set(described)) == 8
    assert html.count("<svg") == 8
    assert html.count("<table>") == html.count("<caption>") > 5


def test_settings_that_differ_from_a_revision(run: Path) -> None:
    git("init", "-q")
    git("add", "params.yaml")
    git("commit", "-qm", "x")
    assert [provenance.gather(None)[key] for key in ("revision", "settings", "edited")] == ["HEAD", [], []]
    git("tag", "v0.1.0")
    private = {"fetch__base__path": f"{Path('/')}srv/jane/base.gguf", "asking__hosts": ["http://jane:8000/v1"]}
    world.write_lock(train__learning_rate=0.5, **private)
    told = page()
    assert "train.learning_rate 0.5 0.001" in told
    assert f"fetch.base.path {provenance.HIDDEN}" in told
    assert f"asking.hosts {provenance.HIDDEN} {provenance.GONE}" in told
    assert "jane" not in told
    assert "params.yaml has been changed since this run: fetch.base.path, train.learning_rate" in told
    assert "params.yaml at v0.1.0" in told
    with pytest.raises(InputError, match=r"git knows no params\.yaml at 'nowhere'"):
        provenance.gather("nowhere")


def test_outside_of_git_nothing_is_compared(run: Path) -> None:
    assert "Not compared with the defaults: this is no git repository." in page()


def test_files_that_are_not_of_the_run_are_told(run: Path) -> None:
    assert [here for *_, here in provenance.gather(None)["outputs"]] == [provenance.SAME] * 2
    paths.FINAL_METRICS.write_text(paths.FINAL_METRICS.read_text() + "\n", encoding="utf-8")
    assert "Not of the run in dvc.lock: metrics/final.json." in page()


def test_decisions_of_another_run_are_refused(run: Path) -> None:
    metrics = json.loads(paths.FINAL_METRICS.read_text())
    metrics["open_ended"]["student"]["micro_f1"] += 0.01
    world.write_json(paths.FINAL_METRICS, metrics)
    with pytest.raises(InputError, match=r"do not give the figures of open_ended, student in metrics/final\.json"):
        page()


def test_what_is_not_here_is_named_on_the_page_and_on_standard_error(run: Path, capsys: Any) -> None:
    (paths.FINAL_PLOTS / "per_label.csv").unlink()
    paths.DECISIONS.unlink()
    told = page()
    assert "Not shown, because not here: plots/final/per_label.csv" in told
    assert told.count("Not shown, because not here: data/decisions.parquet") == 2  # confusion, noise
    error = capsys.readouterr().err
    assert "(labels): plots/final/per_label.csv" in error
    assert "(cells): data/decisions.parquet" in error
    with pytest.raises(InputError, match=r"data/decisions\.parquet is missing; `dvc repro` makes it, or `dvc pull` brings it"):
        page(private=Path("errors.html"))
    paths.FINAL_METRICS.unlink()
    with pytest.raises(InputError, match=r"metrics/final\.json is missing"):
        page()


def test_without_annotations_the_pages_show_where_student_and_teacher_disagree(run: Path) -> None:
    tables.write(Gold, tables.read(Gold, paths.GOLD).clear(), paths.GOLD)
    world.write_metrics()
    told = page(private=Path("errors.html"))
    assert "nobody annotated a report that the student was asked" in told
    cells = {report["id"]: report["cells"]["multiple_choice"] for report in data(Path("errors.html"))["reports"]}
    assert cells["case-2"] == [[world.EFFUSION, None, 1, 0, None, 0.9]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-o", "no/page.html"], "the folder no does not exist"),
        (["-o", "data"], "data is a folder"),
        (["-o", "there.html"], "there.html exists; --overwrite replaces it"),
        (["--private", "report.html"], "is the page itself"),
        (["--private", "there.html"], "there.html exists"),
    ],
)
def test_wrong_names_of_files(run: Path, words: list[str], told: str) -> None:
    Path("there.html").touch()
    before = sorted(Path().iterdir())
    done = CliRunner().invoke(cli.app, ["report", *words])
    assert isinstance(done.exception, InputError)
    assert told in str(done.exception)
    assert sorted(Path().iterdir()) == before


def test_the_private_page_lies_where_git_does_not_see_it(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    git("init", "-q")
    Path(".gitignore").write_text("/data/**\n/only.html\n/tracked.*\n", encoding="utf-8")
    Path("tracked.html").touch()
    git("add", "--force", "tracked.html", "params.yaml")
    git("commit", "-qm", "x")
    for seen in ("errors.html", "only.html", "tracked.html"):  # only.html.part would be seen
        with pytest.raises(InputError, match="would hold report text where git sees it: name a place in data/"):
            command.refuse_where_git_sees([Path(seen)])
    Path("broken").mkdir()
    Path("broken/.git").write_text("gitdir: nowhere\n", encoding="utf-8")
    with pytest.raises(InputError, match="where git sees it"):
        command.refuse_where_git_sees([Path("broken/errors.html")])
    outside = tmp_path_factory.mktemp("outside") / "errors.html"
    for private in (Path("data/errors.html"), outside):
        done = CliRunner().invoke(cli.app, ["report", "--private", str(private), "--overwrite"], catch_exceptions=False)
        assert f"{private}: holds REPORT TEXT" in done.output
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    assert "errors.html" not in status


def test_the_private_page_has_every_report_with_its_cells(both: Path) -> None:
    found = data(both / "errors.html")
    assert {report["id"] for report in found["reports"]} == set(world.RUN)
    reports = {report["id"]: report for report in found["reports"]}
    assert found["arms"] == ["student", "teacher", "teacher_whole"]
    assert reports["case-9"]["cells"]["multiple_choice"] == [[world.EFFUSION, 1, 0, 1, None, 0.02]]
    assert reports["case-7"]["cells"]["multiple_choice"] == [[world.NODULE, "ambiguous", 1, 0, None, 0.9]]
    assert reports["case-8"]["cells"]["multiple_choice"] == []
    assert "".join(words for words, _ in reports["case-9"]["segments"]) == f"FINDINGS: {world.HOSTILE}"
    assert [words for words, marks in reports["case-9"]["segments"] if marks] == ["pleural effusion"]
    assert reports["case-1"]["phrases"] == "small effusion | J90"


def test_markup_in_a_report_ends_no_script(both: Path) -> None:
    html = (both / "errors.html").read_text(encoding="utf-8")
    assert html.count("<script") == html.count("</script>") == 2
    assert "<img" not in html


def test_a_decision_about_no_report_is_refused(run: Path) -> None:
    reports = tables.read(Reports, paths.REPORTS)
    tables.write(Reports, reports.filter(pl.col("report_id") != "case-3"), paths.REPORTS)
    with pytest.raises(TableError, match=r"1 reports of data/decisions\.parquet are not in data/reports\.parquet"):
        page(private=Path("errors.html"))


@given(st.text(max_size=20), st.lists(st.tuples(st.integers(0, 19), st.integers(1, 8)), max_size=4))
def test_segments_are_the_text_and_know_their_spans(text: str, drawn: list[tuple[int, int]]) -> None:
    spans = [(start, start + length) for start, length in drawn if start + length <= len(text)]
    found = list(browsing.segments(text, spans))
    assert "".join(words for words, _ in found) == text
    for n, (start, end) in enumerate(spans):
        assert "".join(words for words, marks in found if n in marks) == text[start:end]


def test_without_altair_the_remedy_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(InputError, match=r"pip install 'raddistill\[page\]'"):
        page()
    assert not Path("page.html").exists()


def test_plots_offline_needs_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="run this from the root of the project"):
        offline_plots.offline_plots()
