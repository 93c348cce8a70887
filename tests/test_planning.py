"""`raddistill estimate` and `raddistill show --teacher llm`: nothing is sent, and what is told is what would be sent."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pipeline_truth import ROOT
from teacher_server import TeacherServer
from test_synthesizing import as_reports
from typer.testing import CliRunner

from raddistill import cli, labelsets, params, paths
from raddistill.apps.llm_teacher import FEEDBACK_TOKENS, estimate
from raddistill.errors import InputError, ParamsError
from raddistill.llm_client.budget import Prices, most_tokens
from raddistill.llm_client.settings import AskingParams
from raddistill.tables import base as tables
from raddistill.tables.answers import Answers
from raddistill.tables.reports import Reports
from raddistill.teachers.llm.questions import Question
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.synthesizing import SynthesizeParams, TeacherContext, synthesize

REPORTS = as_reports(["The heart is enlarged. No effusion.", "Small left effusion.", "Clear.", "Clear."])
PRICES = "mock-1: {input: 10, cached_input: 5, output: 20, batch: 0.5}\n"
Write = Callable[[dict[str, Any], Path], None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params: Write) -> Path:
    """A project with reports and an LLM as teacher of one task."""
    for name in ("lexicon", "prompts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    content = params.read(ROOT / "params.yaml")
    section = content["synthesize"]["multiple_choice"]
    section |= {"teacher": "llm", "source": "prompts/teacher"}
    content["synthesize"]["llm"] |= {"endpoint": "compatible", "model": "mock-1"}
    (tmp_path / "prices.yaml").write_text(PRICES, encoding="utf-8")
    write_params(content, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    tables.write(Reports, REPORTS, paths.REPORTS)
    return tmp_path


def told(*words: str) -> str:
    return CliRunner().invoke(cli.app, list(words), catch_exceptions=False).output


def label(reports: pl.DataFrame = REPORTS) -> None:
    p = params.load("synthesize.multiple_choice", SynthesizeParams)
    llm = params.load("synthesize.llm", LLMParams)
    context = TeacherContext(params.load("asking", AskingParams), paths.journal(), Answers.create_empty(), settings=llm)
    label_set = labelsets.load_labels("lexicon/label_sets/chest_13.yaml")
    synthesize("multiple_choice", p, Reports.validate(reports, cast=True), label_set, context)


def figures(page: str) -> dict[str, list[str]]:
    """The two rows of the table: expected, and at most."""
    rows = [line.split() for line in page.splitlines()]
    return {"expected": next(r for r in rows if r[:2] == ["multiple_choice", "mock-1"])[2:],
            "most": next(r for r in rows if r[:2] == ["at", "most"])[2:]}  # fmt: skip


def test_before_the_first_answer_it_is_a_guess(project: Path) -> None:
    page = told("estimate")
    expected, most = figures(page).values()
    assert expected[:3] == ["4", "0", "4"]  # reports, done, to ask
    assert "a guess" in page
    assert "10.00 USD a run" in page
    assert [float(a.replace(",", "")) <= float(b.replace(",", "")) for a, b in zip(expected[3:], most, strict=True)] == [True] * 5
    assert float(expected[-1]) == pytest.approx(float(expected[-2]) / 2, abs=0.011)
    assert "open_ended" not in page  # its teacher is no LLM
    assert "no LLM in params.yaml" not in page
    assert "open_ended: no LLM in params.yaml" in told("estimate", "open_ended")
    (row,) = json.loads(told("estimate", "open_ended", "--json"))
    assert list(row) == ["teacher", "model", "reports", "to_ask", "without", "expected", "at_most", "learnt_from"]
    assert row["expected"]["usd"] < row["at_most"]["usd"]


def test_at_most_every_answer_is_as_long_as_may_be_and_in_the_next_prompt() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Clear."}], "max_tokens": 10}
    open_questions = [(Question(str(n), f"r{n}", 0, 0, "text", body, []), None) for n in range(2)]
    once, thrice = (estimate(open_questions, prices=Prices({}), model="m", asks=asks) for asks in (1, 3))
    prompt = most_tokens(body).prompt
    assert once.expected.completion_tokens == 10  # half of the limit each, as no example is shown
    assert (thrice.at_most.requests, thrice.at_most.completion_tokens) == (6, 60)
    assert once.at_most.prompt_tokens == 2 * prompt
    assert thrice.at_most.prompt_tokens == 2 * (
        3 * prompt + (1 + 2) * (10 + FEEDBACK_TOKENS)
    )  # 1 answer before ask 2, 2 before 3


def test_the_estimate_is_met_once_the_journal_knows_answers(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TeacherServer() as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        label(REPORTS.head(1))
        asked = server.counts()["requests"]
        page = told("estimate")
        assert server.counts()["requests"] == asked == 1
        assert "learnt from 1 answers" in page
        expected, most = figures(page).values()
        assert expected[:3] == ["4", "1", "3"]
        label()
        spent = server.counts()["paid_tokens"]
        assert figures(told("estimate"))["expected"][:4] == ["4", "4", "0", "0"]
    said = sum(int(cell.replace(",", "")) for cell in expected[4:6])
    assert expected[3] == "2"  # the last two reports say the same
    assert said == pytest.approx(spent * 2 / 3, rel=0.2)  # of three answers one was paid before
    assert spent < sum(int(cell.replace(",", "")) for cell in most[1:3])


def test_show_prints_what_is_sent(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (body,) = told("show", "r1", "--teacher", "llm", "--json").splitlines()
    page = told("show", "r1", "--teacher", "llm")
    assert "Small left effusion." in page
    assert "answer in the journal" not in page
    with TeacherServer() as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        label(REPORTS.filter(pl.col("report_id") == "r1"))
        (sent,) = server.bodies
        assert sent == json.loads(body)
        for message in sent["messages"]:
            assert message["content"] in page
        assert "answer in the journal: mock-1" in told("show", "r1", "--teacher", "llm")
        assert server.counts()["requests"] == 1


def test_show_of_a_task_whose_teacher_is_no_llm_uses_the_shipped_prompts(project: Path) -> None:
    page = told("show", "r0", "--teacher", "llm", "--task", "open_ended")
    assert "ICD-10-CM" in page


@pytest.mark.parametrize(
    ("words", "error", "match"),
    [
        (["show", "r9", "--teacher", "llm"], InputError, "no report r9 among the pipeline's 4 reports"),
        (["show", "r1", "--teacher", "llm", "--input", "other.csv"], InputError, "leave out --input"),
        (["show", "r1", "--teacher", "gpt"], ParamsError, "no key 'gpt'"),
        (["estimate", "gpt"], ParamsError, "no key 'gpt'"),
    ],
)
def test_what_is_not_there_is_named(project: Path, words: list[str], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        told(*words)


def test_one_of_several_teachers_by_its_name(project: Path, write_params: Write) -> None:
    content = params.read(Path("params.yaml"))
    llm = content["synthesize"]["llm"]
    entry = {"task": "open_ended", "teacher": "llm", "source": "prompts/teacher", "max_quarantine": 1.0}
    entry["sections"] = ["impression"]
    content["teachers"] = {"second": entry | {"llm": llm}, "none": entry | {"teacher": "rules"}}
    write_params(content, Path("params.yaml"))
    page = told("estimate")
    assert "second" in page
    assert "second: 4 reports have none of the sections" in page  # they have findings only
    with pytest.raises(InputError, match="no impression: it would not be asked about"):
        told("show", "r0", "--teacher", "second")
    with pytest.raises(InputError, match=r"teachers\.none of params\.yaml has no section `llm`"):
        told("estimate", "none")
