"""The LLM teacher in a DVC repository: what is asked, what is not asked again, and what a colleague needs to go on."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clones import Clone, another, copied, planted, ran
from conftest import N_REPORTS
from teacher_server import TeacherServer

from raddistill.llm_client.store import Store
from raddistill.params import read

TASKS = ["multiple_choice", "open_ended"]
HOTTER = "synthesize.multiple_choice.llm={temperature: 0.5}"  # of one task; synthesize.llm is of both


@pytest.fixture(scope="module")
def server() -> Iterator[TeacherServer]:
    with TeacherServer() as running:
        yield running


@pytest.fixture(scope="module")
def remotes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remotes")


@pytest.fixture(scope="module")
def by_llm(small_params: dict[str, Any]) -> dict[str, Any]:
    """The small world's params, with the server of the tests as teacher of both tasks."""
    content = json.loads(json.dumps(small_params))
    for task in TASKS:
        content["synthesize"][task] |= {"teacher": "llm", "source": "prompts/teacher"}
    content["synthesize"]["llm"] |= {"endpoint": "compatible", "model": "mock-1"}
    content["asking"] |= {"budget_usd": -1.0}
    return content


@pytest.fixture(scope="module")
def extracted(
    tmp_path_factory: pytest.TempPathFactory,
    remotes: Path,
    server: TeacherServer,
    by_llm: dict[str, Any],
    write_params: Callable[[dict[str, Any], Path], None],
) -> Clone:
    """The project with its reports, nothing asked yet; to be copied."""
    clone = planted(tmp_path_factory.mktemp("repository") / "extracted", remotes, by_llm, write_params)
    clone.env["RADDISTILL_TEACHER_URL"] = server.url
    clone.run("dvc", "repro", "extract")
    return clone


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, extracted: Clone) -> Clone:
    """All is asked, merged and committed; to be copied, too."""
    clone = copied(extracted, tmp_path_factory.mktemp("merged") / "project")
    assert ran(clone.run("dvc", "repro", "merge"))[-1] == "merge"
    clone.commit("run")
    return clone


def metrics(clone: Clone, name: str) -> dict[str, Any]:
    return json.loads((clone.folder / f"metrics/{name}.json").read_text(encoding="utf-8"))


def asked(server: TeacherServer) -> int:
    return server.counts()["requests"]


def table(clone: Clone, path: str) -> pl.DataFrame:
    return pl.read_parquet(clone.folder / f"data/{path}.parquet")


def test_every_report_is_labelled_and_what_it_cost_is_told(project: Clone) -> None:
    for task in TASKS:
        made, spent = metrics(project, f"synthesize_{task}"), metrics(project, f"spending_{task}")
        assert made["reports"] == made["labelled"] == N_REPORTS - 1
        assert spent["answers"] == table(project, f"answers/{task}")["key"].n_unique() > 0
        assert spent["prompt_tokens"] > spent["answers"]


def test_answers_never_reach_git(project: Clone) -> None:
    assert (project.folder / ".journal/answers.sqlite").stat().st_size > 10_000
    assert project.run("git", "status", "--porcelain", "--untracked-files=all") == ""
    held = project.run("git", "ls-files").splitlines()
    assert not [name for name in held if "answers" in name and not name.startswith(("src/", "tests/"))]
    assert "journal" not in project.run("dvc", "data", "status")


def test_there_and_back_again_asks_once(project: Clone, server: TeacherServer, tmp_path: Path) -> None:
    clone = copied(project, tmp_path / "clone")
    before, labels = asked(server), table(clone, "labels/multiple_choice")
    stage = "synthesize@multiple_choice"
    assert ran(clone.run("dvc", "exp", "run", "-S", HOTTER, stage)) == [stage]
    paid = asked(server)
    assert paid > before
    clone.run("git", "checkout", "-q", "params.yaml")
    clone.run("dvc", "repro", stage)
    assert asked(server) == paid
    assert table(clone, "labels/multiple_choice").equals(labels)
    temporary = "synthesize.llm.seed=5"
    clone.run("dvc", "exp", "run", "--temp", "-S", temporary, stage)
    paid = asked(server)
    clone.run("dvc", "exp", "run", "-S", temporary, stage)  # the journal outlived the temporary folder
    assert asked(server) == paid
    assert metrics(clone, "synthesize_multiple_choice")["labelled"] == N_REPORTS - 1


def test_a_colleague_without_key_or_journal_goes_on_from_pulled_answers(
    project: Clone, server: TeacherServer, tmp_path: Path
) -> None:
    project.run("dvc", "push")
    clone = another(project, tmp_path / "clone")
    del clone.env["RADDISTILL_TEACHER_URL"]
    clone.run("dvc", "pull", "--allow-missing")
    before = asked(server)
    assert ran(clone.run("dvc", "repro", "merge")) == []
    code = clone.folder / "src/raddistill/teachers/llm/tabulating.py"
    code.write_text(code.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    output = clone.run("dvc", "repro", "merge")
    assert sorted(ran(output)) == [f"synthesize@{task}" for task in TASKS]
    assert "Stage 'merge' didn't change" in output
    assert asked(server) == before
    refused = clone.run("dvc", "exp", "run", "-S", HOTTER, "merge", fails=True)
    assert "RADDISTILL_TEACHER_URL is not set" in refused
    assert table(clone, "answers/multiple_choice").height >= N_REPORTS - 1  # still there for another try


def test_two_tasks_at_once_share_the_journal(extracted: Clone, tmp_path: Path) -> None:
    clone = copied(extracted, tmp_path / "clone")
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(clone.run, "dvc", "repro", "--single-item", f"synthesize@{task}") for task in TASKS]
        outputs = [run.result() for run in running]
    assert [ran(output) for output in outputs] == [[f"synthesize@{task}"] for task in TASKS]
    with Store(clone.folder / ".journal") as store:
        ((answers, paid),) = store.read("SELECT count(*), sum(times_paid) FROM answers")
    assert answers == paid == sum(metrics(clone, f"spending_{task}")["answers"] for task in TASKS)


def test_ctrl_c_keeps_what_was_paid(extracted: Clone, server: TeacherServer, tmp_path: Path) -> None:
    clone = copied(extracted, tmp_path / "clone")
    begin = server.paid.total()
    server.latency = 0.2
    running = clone.start("dvc", "repro", "synthesize@open_ended")
    while server.paid.total() - begin < 5:
        assert running.poll() is None
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: DVC, its shell and the stage get it
    told = running.communicate(timeout=60)[0]
    server.latency = 0.0
    assert running.returncode != 0
    assert "all answers are kept" in told
    assert "Traceback" not in told
    assert ran(clone.run("dvc", "repro", "synthesize@open_ended")) == ["synthesize@open_ended"]
    distinct = metrics(clone, "spending_open_ended")["answers"]
    assert server.paid.total() - begin == distinct


def test_several_teachers_become_one(
    project: Clone, server: TeacherServer, tmp_path: Path, write_params: Callable[[dict[str, Any], Path], None]
) -> None:
    clone = copied(project, tmp_path / "clone")
    content = read(clone.folder / "params.yaml")
    section = content["synthesize"]["multiple_choice"]
    common = {"task": "multiple_choice", "sections": section["sections"], "max_quarantine": 0.05}
    content["teachers"] = {
        "by_rules": common | {"teacher": "rules", "source": "lexicon/tuned"},
        "by_llm": common | {"teacher": "llm", "source": "prompts/teacher", "llm": content["synthesize"]["llm"]},
    }
    section |= {"teacher": "combined", "source": "data/teachers/multiple_choice"}
    section["combine"] = {"how": "union", "members": ["by_rules", "by_llm"]}
    write_params(content, clone.folder / "params.yaml")
    before = asked(server)
    *taught, last = ran(clone.run("dvc", "repro", "synthesize@multiple_choice"))
    assert sorted(taught) == ["teach@by_llm", "teach@by_rules"]
    assert last == "synthesize@multiple_choice"
    assert asked(server) == before  # the same question as the single teacher's
    made = metrics(clone, "synthesize_multiple_choice")
    assert made["labelled"] == N_REPORTS - 1
    assert made["members"] == {"by_rules": N_REPORTS - 1, "by_llm": N_REPORTS - 1}
    assert metrics(clone, "teachers/by_llm_spending")["answers"] > 0
    labels = table(clone, "labels/multiple_choice")
    assert set(labels["teacher"]) == {"combined:union"}
    members = [table(clone, f"teachers/multiple_choice/{name}/labels") for name in content["teachers"]]
    found = [set(each.filter(pl.col("status") == "present").select("report_id", "label").iter_rows()) for each in members]
    assert set(labels.filter(pl.col("status") == "present").select("report_id", "label").iter_rows()) == found[0] | found[1]
    assert clone.run("git", "status", "--porcelain", "--untracked-files=all", "data") == ""
    content["synthesize"]["multiple_choice"]["combine"]["how"] = "vote"
    write_params(content, clone.folder / "params.yaml")
    assert ran(clone.run("dvc", "repro", "synthesize@multiple_choice")) == ["synthesize@multiple_choice"]


def test_no_text_of_a_report_is_told(project: Clone, server: TeacherServer, tmp_path: Path) -> None:
    clone = copied(project, tmp_path / "clone")
    sentences = {
        sentence.strip().lower()
        for text in table(clone, "reports")["text"]
        for sentence in text.replace("\n", ". ").split(".")
        if len(sentence.strip()) > 15
    }
    server.faults = {"invented_quotes": 0.3, "400": 0.1, "500": 0.05, "malformed": 0.05}
    clone.env["OPENAI_LOG"] = "debug"
    told = clone.run("dvc", "exp", "run", "-v", "-S", HOTTER.replace("0.5", "0.9"), "synthesize@multiple_choice", fails=True)
    server.faults = {}
    logs = [file for folder in (".dvc/tmp", "metrics") for file in (clone.folder / folder).rglob("*") if file.is_file()]
    everything = told.lower() + "".join(file.read_bytes().decode("utf-8", "ignore").lower() for file in logs)
    assert "could not be labelled" in told
    assert len(sentences) > 20
    assert [sentence for sentence in sentences if sentence in everything] == []
