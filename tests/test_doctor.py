"""`raddistill doctor`: each thing that can be broken is broken here, and has its line and its remedy."""

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from teacher_server import TeacherServer
from typer.testing import CliRunner

from raddistill import cli, files, params, paths
from raddistill.apps import new_pipeline, pipeline
from raddistill.apps.doctor import machine, pipeline_folder, run
from raddistill.apps.doctor.machine import Verdict

KEY = "sk-secret-of-the-test"


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline folder for public reports, all in git."""
    where = tmp_path_factory.mktemp("doctor")
    (where / "reports.csv").write_text("report_id,text\nr1,The heart is enlarged.\n", encoding="utf-8")
    new_pipeline.init(where / "chest", where / "reports.csv", "public")
    subprocess.run(["git", "-C", str(where / "chest"), "add", "-A"], check=True)
    return where / "chest"


@pytest.fixture
def folder(laid_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be broken."""
    shutil.copytree(laid_out, tmp_path / "chest")
    monkeypatch.chdir(tmp_path / "chest")
    for name in ("DVC_ROOT", "OPENAI_BASE_URL", "OPENAI_API_KEY", "RADDISTILL_TEACHER_URL", "RADDISTILL_TEACHER_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "chest"


def change(**values: Any) -> None:
    """Changes values of params.yaml; __ stands for a dot."""
    new_pipeline.set_params(Path("params.yaml"), {key.replace("__", "."): value for key, value in values.items()})


def only(verdicts: list[Verdict], state: str) -> Verdict:
    """The one verdict of this state. Whatever is not ok has a remedy."""
    assert all(bool(verdict.fix) == (verdict.state != "ok") for verdict in verdicts), verdicts
    (found,) = [verdict for verdict in verdicts if verdict.state == state]
    return found


def states(verdicts: list[Verdict]) -> set[str]:
    return {verdict.state for verdict in verdicts}


# ---------------------------------------------------------------- this machine


def test_packages_as_pinned_are_in_order() -> None:
    assert states(run.outcome(machine.check_packages)) == {"ok"}
    assert f"raddistill {metadata.version('raddistill')}" in only(run.outcome(machine.check_python), "ok").message


@pytest.mark.parametrize(
    ("required", "message", "fix"),
    [
        ("nosuchpackage>=1", "nosuchpackage>=1 is needed, none is installed", "pip install 'nosuchpackage>=1' -c "),
        ("typer>=1000", "typer>=1000 is needed, ", "pip install 'typer>=1000' -c "),
    ],
)
def test_a_package_that_is_missing_or_too_old(required: str, message: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ["rich>=15", required, "liger-kernel==0.8.5; extra == 'gpu'"])
    verdict = only(run.outcome(machine.check_packages), "error")
    assert verdict.message.startswith(message)
    assert verdict.fix.startswith(fix)


def test_a_package_in_another_version_than_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (paths.shipped() / "constraints.txt").read_text(encoding="utf-8")
    (tmp_path / "constraints.txt").write_text(text.replace("torch==2", "torch==1"), encoding="utf-8")
    monkeypatch.setattr(paths, "shipped", lambda: tmp_path)
    verdict = only(run.outcome(machine.check_packages), "warning")
    assert verdict.message.startswith("1 are not the versions of constraints.txt, so results may differ: torch 2")
    assert verdict.fix.startswith(f"pip install raddistill -c {tmp_path}/constraints.txt")


def test_torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert only(run.outcome(machine.check_torch), "error").message == "torch cannot be imported (ModuleNotFoundError)"


def test_a_gpu_is_there_and_torch_does_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "no GPU" in only(run.outcome(machine.check_torch), "ok").message
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert "sees no GPU, though nvidia-smi is there" in only(run.outcome(machine.check_torch), "warning").message


@pytest.mark.parametrize(("capability", "can"), [((9, 0), "bf16, fp8"), ((8, 0), "bf16, no fp8"), ((7, 5), "no bf16, no fp8")])
def test_a_gpu_is_described(capability: tuple[int, int], can: str, monkeypatch: pytest.MonkeyPatch) -> None:
    card = {
        "is_available": lambda: True, "device_count": lambda: 1, "mem_get_info": lambda _: (70 * 2**30, 80 * 2**30),
        "get_device_capability": lambda _: capability, "get_device_name": lambda _: "Card",
    }  # fmt: skip
    for name, value in card.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda _: None)
    verdicts = run.outcome(machine.check_torch)
    assert only(verdicts, "ok").message.endswith(f"GPU 0: Card, 70 of 80 GiB free, {can}")
    assert only(verdicts, "warning").fix == "pip install 'raddistill[gpu]'"
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda _: SimpleNamespace())
    assert states(run.outcome(machine.check_torch)) == {"ok"}


def test_tcmalloc_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    assert "apt-get install libtcmalloc-minimal4" in only(run.outcome(machine.check_tcmalloc), "warning").fix
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"{name}.so")
    assert only(run.outcome(machine.check_tcmalloc), "ok").message == "tcmalloc_minimal.so"


def test_the_rules_are_those_of_the_folder_and_a_damaged_file_is_named(folder: Path) -> None:
    assert only(run.outcome(machine.check_rules), "ok").message.startswith("this folder's: cold, tuned;")
    Path("lexicon/label_sets/chest_13.yaml").write_text("- name: 3\n", encoding="utf-8")
    assert only(run.outcome(machine.check_rules), "error").message.startswith("lexicon/label_sets/chest_13.yaml is not a YAML")


# ---------------------------------------------------------------- base model


def test_the_base_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(run.outcome(pipeline_folder.check_base), "warning").fix == "dvc repro fetch"
    Path("models/mine").mkdir(parents=True)
    Path("models/mine/config.json").write_text("{}", encoding="utf-8")
    record = {
        "source": "folder",
        "folder": "models/mine",
        "files": {"config.json": files.sha256(Path("models/mine/config.json"))},
    }
    Path("models/base.json").write_text(json.dumps(record), encoding="utf-8")
    assert only(run.outcome(pipeline_folder.check_base), "ok").message.startswith(record["folder"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    change(train__quantization="fp8")
    assert only(run.outcome(pipeline_folder.check_base), "error").fix == "params.yaml: train.quantization: nf4"
    change(train__quantization="nf4")
    for hashes, message in (({"config.json": "0"}, "config.json of the base model is not the one"), ({"x": "0"}, "lacks x")):
        Path("models/base.json").write_text(json.dumps(record | {"files": hashes}), encoding="utf-8")
        verdict = only(run.outcome(pipeline_folder.check_base), "error")
        assert message in verdict.message
        assert "dvc repro --force --single-item fetch" in verdict.fix


# ---------------------------------------------------------------- data


def test_data_in_order(folder: Path) -> None:
    verdicts = run.outcome(pipeline_folder.check_data)
    assert [verdict.message for verdict in verdicts] == [
        "the reports are public; models go to the remote shared",
        "git ignores data, models, .journal, .checkpoints, .dvc/cache",
    ]
    assert states(verdicts) == {"ok"}


def share_models_of_patients() -> None:
    change(extract__files__sensitivity="phi")


def share_models_of_a_second_cohort() -> None:
    change(second_cohort={"source": "mimic_cxr", "raw": "x", "gold": "gold/none"})


def drop_gitignore() -> None:
    Path(".gitignore").write_text("*.pyc\n", encoding="utf-8")


def force_a_table_into_git() -> None:
    Path("data/reports.parquet").write_text("x", encoding="utf-8")
    subprocess.run(["git", "add", "-f", "data/reports.parquet"], check=True)


def keep_reports_beside_the_code() -> None:
    Path("reports.csv").write_text("report_id,text\n", encoding="utf-8")
    subprocess.run(["git", "add", "reports.csv"], check=True)
    change(extract__raw="reports.csv")


def leave_git() -> None:
    shutil.rmtree(".git")


@pytest.mark.parametrize(
    ("spoil", "message", "fix"),
    [
        (
            share_models_of_patients,
            "are phi; models go to the remote shared, which everybody may read",
            "remotes.models: private",
        ),
        (share_models_of_a_second_cohort, "the reports are credentialed and public; models go", "remotes.models: private"),
        (
            drop_gitignore,
            "git does not ignore models, .journal, .checkpoints: report text",
            ".gitignore: /models/** /.journal/**",
        ),
        (
            force_a_table_into_git,
            "git holds 1 files where report text lies, such as data/reports.parquet",
            "git rm --cached data/",
        ),
        (keep_reports_beside_the_code, "reports.csv lie in this repository, and git does not ignore them", "move them out"),
        (leave_git, "this folder is in no git repository; `git init` makes it one", "mend what this line names"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_text_could_get_where_it_must_not(spoil: Callable[[], None], message: str, fix: str, folder: Path) -> None:
    spoil()
    verdict = only(run.outcome(pipeline_folder.check_data), "error")
    assert message in verdict.message
    assert fix in verdict.fix


def test_a_file_that_queued_experiments_would_miss(folder: Path) -> None:
    shutil.copytree("lexicon/tuned", "lexicon/ours")
    change(synthesize__open_ended__source="lexicon/ours")
    verdicts = run.outcome(pipeline_folder.check_data)
    assert states(verdicts) == {"ok", "warning"}
    assert any(verdict.message.startswith("lexicon/ours/cues/") and "`git add` it" in verdict.fix for verdict in verdicts)


# ---------------------------------------------------------------- teacher


def test_rules_need_no_server(folder: Path) -> None:
    assert only(run.outcome(pipeline_folder.check_teacher), "ok").message == "no LLM is a teacher: no text leaves this machine"


def ask(model: str = "mock-1", endpoint: str = "compatible") -> list[Verdict]:
    change(synthesize__multiple_choice__teacher="llm", synthesize__llm__endpoint=endpoint, synthesize__llm__model=model)
    return run.outcome(pipeline_folder.check_teacher)


def test_a_server_on_this_machine_is_asked_for_its_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(extract__files__sensitivity="phi")
    assert "RADDISTILL_TEACHER_URL is not set" in only(ask(), "error").message
    with TeacherServer(api_key=KEY) as server:
        place = server.url.split("/")[2]
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        monkeypatch.setenv("RADDISTILL_TEACHER_KEY", KEY)
        assert only(ask(), "ok").message == f"{place} answers and has mock-1; the reports may go there"
        assert only(ask("other-2"), "error").message == f"{place} has no model other-2; it has mock-1"
        assert not server.counts()["requests"]  # no report, no question
    down = only(ask(), "error")
    assert down.message.startswith(f"{place} did not say which models it has: no answer")
    assert "RADDISTILL_TEACHER_URL" in down.fix


def test_one_of_several_teachers_is_checked_too(folder: Path) -> None:
    llm = params.read()["synthesize"]["llm"] | {"endpoint": "compatible"}
    content = {"task": "open_ended", "teacher": "llm", "source": "prompts/teacher", "sections": "impression", "llm": llm}
    change(teachers={"mine": content | {"max_quarantine": 0.1}})
    assert only(run.outcome(pipeline_folder.check_teacher), "error").check == "teacher mine"


def test_no_host_elsewhere_is_contacted_without_approval(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://teacher.invalid/v1")
    assert "OPENAI_API_KEY is not set" in only(ask(endpoint="openai"), "error").message
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    verdict = only(ask(endpoint="openai"), "warning")  # a request would fail, and be an error
    assert "it was not contacted" in verdict.message
    assert verdict.fix == "params.yaml: asking.approved_hosts: [teacher.invalid:443]"
    change(extract__files__sensitivity="phi")
    refused = only(ask(endpoint="openai"), "error")
    assert "teacher.invalid:443, but there are reports that are phi" in refused.message
    change(asking__approved_hosts=["teacher.invalid"])
    asked = only(ask(endpoint="openai"), "error")
    assert asked.message.startswith("teacher.invalid:443 did not say which models it has")
    assert KEY not in "".join([*verdict, *refused, *asked])


# ---------------------------------------------------------------- DVC


def test_remotes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = run.outcome(pipeline_folder.check_remotes)
    assert [verdict.state for verdict in verdicts] == ["ok", "ok"]
    assert (
        verdicts[0].message == f"private is the folder {folder}/.remotes/private, in this clone, so nobody else can pull from it"
    )

    def configured(*lines: str) -> list[Verdict]:
        def dvc(*words: str, timeout_s: float | None = None) -> str:
            if words[0] == "config":
                return "\n".join(("core.remote=private", *lines))
            raise pipeline.InputError("`dvc ls-url` failed")

        monkeypatch.setattr(pipeline, "dvc_output", dvc)
        return run.outcome(pipeline_folder.check_remotes)

    here = f"remote.private.url={folder}"
    assert only(configured(here), "error").fix == "dvc remote add --local shared ..."
    same = only(configured(here, f"remote.shared.url={folder}"), "error")
    assert same.message == "shared is the same place as private, to which report text goes"
    away = only(configured(here, "remote.shared.url=https://user:word@away.invalid/x"), "warning")
    assert away.message.startswith("shared cannot be listed")
    assert "word" not in "".join(away)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written to" in only(configured(here, "remote.shared.url=s3://bucket/x"), "error").message


def test_a_command_of_dvc_that_hangs_is_given_up(folder: Path) -> None:
    with pytest.raises(pipeline.InputError, match=r"`dvc config` did not answer within 0\.01 seconds"):
        pipeline.dvc_output("config", "--list", timeout_s=0.01)


def test_the_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(run.outcome(pipeline_folder.check_lock), "warning").message.startswith("there is none")
    Path("dvc.lock").touch()
    monkeypatch.setattr(
        pipeline, "changes", lambda: ["train: params.yaml: train.seed modified", "train: x modified", "merge: y new"]
    )
    verdict = only(run.outcome(pipeline_folder.check_lock), "warning")
    assert (verdict.message, verdict.fix) == ("out of date: merge, train (raddistill check says why)", "dvc repro")
    monkeypatch.setattr(pipeline, "changes", list)
    assert only(run.outcome(pipeline_folder.check_lock), "ok").message == "up to date"


# ---------------------------------------------------------------- the command


def test_the_command_prints_lines_or_json_and_exits_with_1_on_an_error(folder: Path) -> None:
    done = CliRunner().invoke(cli.app, ["doctor"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (
        "\nwarning  base model   models/base.json is missing: nothing was fetched yet\n                      -> dvc repro fetch\n"
        in done.output
    )
    drop_gitignore()
    Path("params.yaml").write_text("train: {}\n", encoding="utf-8")
    done = CliRunner().invoke(cli.app, ["doctor", "--json"], catch_exceptions=False)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert {verdict["check"] for verdict in found} >= {"python", "packages", "torch", "rules", "data", "remotes", "dvc.lock"}
    assert all(verdict.keys() == {"check", "state", "message", "fix"} for verdict in found)
    assert any(verdict["message"].startswith("params.yaml has no section") for verdict in found)


def test_outside_of_a_pipeline_only_the_machine_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["doctor"], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"the installed package's: {', '.join(['cold', 'tuned'])}" in done.output
    assert "This folder is no pipeline: enough for `label`, `show`, `compare`, `score` and `predict --model`." in done.output
    assert "remotes" not in done.output
