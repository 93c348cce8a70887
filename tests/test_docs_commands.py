"""Every command in a ```bash block of the documents: its own parser reads it, and it is run where that takes seconds.

Bash itself reads the blocks. It finds no program, so it hands each command, with all variables and substitutions replaced, to a
function that notes it. Commands of raddistill are then run in the small world, in this process.
"""

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from conftest import report
from dvc.cli import parse_args
from pipeline_truth import ROOT, declared, dvc_yaml
from typer.testing import CliRunner

from raddistill import cli, params
from raddistill.apps import presets

# Pages whose commands a test of their own runs, with the files that these need. Here their options are read.
ELSEWHERE = {
    "docs/compare.md": "test_compare.py",
    "docs/review.md": "test_review.py",
    "docs/share.md": "test_dvc_repository.py",
}
# Commands that no test runs as they stand, by how they begin, with the reason.
NOT_RUN = {
    "make": "installs, trains or runs all tests: .ci/run does",
    "git": "needs the address of a repository, or is part of an experiment",
    "pip install": "changes the environment of the tests",
    "dvc exp": "trains: test_dvc_repository.py and test_cohorts.py run experiments on the small world",
    "dvc queue": "trains: test_ablations.py and test_dvc_repository.py run experiments",
    "dvc repro": "trains: test_dvc_repository.py runs it on the small world",
    "dvc push": "test_dvc_repository.py pushes",
    "dvc metrics diff": "test_dvc_repository.py compares with a commit",
    "dvc params diff": "test_dvc_repository.py compares with a commit",
    "dvc plots diff": "test_page_browser.py opens what it writes",
    "vllm serve": "another program, with a GPU",
    "llama-server": "another program",
    "curl": "talks to another program",
    "raddistill predict reports.parquet -o parts/ --shards 64 --engine vllm": "needs a GPU: test_predict.py, with a stand-in",
    "raddistill folds": "needs a run as a DVC repository: test_dvc_repository.py and test_folds.py",
    "raddistill ablation queue": "trains: test_ablations.py",
    "raddistill ablation draw": "needs experiments: test_ablations.py",
    "raddistill compare-cohorts": "needs two cohorts: test_cohorts.py",
    "raddistill report": "needs a run as a DVC repository: test_page.py",
    "raddistill offline-plots": "needs a DVC repository: test_page.py",
    "raddistill doctor": "needs a DVC repository, else it names that as an error: test_doctor.py",
}
SHELL = r"""
set -u
PATH=/nowhere
cd() { :; }
source() { :; }
cat() { if [ $# = 0 ]; then while IFS= read -r line; do printf '%s\n' "$line"; done; else command_not_found_handle cat "$@"; fi; }
command_not_found_handle() {
    if [ "$1 ${2-}" = "raddistill preset" ] && [ -e "$PRESETS/${3-}" ]; then printf '%s' "$(<"$PRESETS/$3")"; fi
    { printf '%s\x1f' "$@"; printf '\x1e'; } >> "$CALLS"
}
"""


@dataclass(frozen=True)
class Block:
    """A block of a page, as written."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    for page in (page for page in listed.stdout.splitlines() if (ROOT / page).exists()):
        text = (ROOT / page).read_text(encoding="utf-8")
        for found in re.finditer(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            yield Block(page, text.count("\n", 0, found.start(1)) + 1, found[1])


BLOCKS = list(blocks())


@pytest.fixture(scope="module")
def printed_presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets")
    for name in presets.names():
        printed = CliRunner().invoke(cli.app, ["preset", name], catch_exceptions=False).stdout
        (folder / name).write_text(printed, encoding="utf-8")
    return folder


@pytest.fixture
def commands(printed_presets: Path, tmp_path: Path) -> Callable[[Block, Path], list[list[str]]]:
    """The commands of a block, as lists of words. What it writes by `cat > FILE` is written into the folder."""

    def read(block: Block, folder: Path) -> list[list[str]]:
        calls = tmp_path / "calls"
        calls.write_text("", encoding="utf-8")
        env = {"CALLS": str(calls), "PRESETS": str(printed_presets)}
        command = ["/bin/bash", "--noprofile", "--norc", "-c", SHELL + block.text]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.stderr == "", f"{block}: {done.stderr}"
        return [call.split("\x1f")[:-1] for call in calls.read_text(encoding="utf-8").split("\x1e")[:-1]]

    return read


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_command_is_one_that_its_program_takes(
    block: Block, commands: Callable[[Block, Path], list[list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    found = commands(block, tmp_path / "empty")
    assert found or "export " in block.text, f"{block} has no command"
    for words in found:
        assert words[0] in CHECKS, f"{block}: {words[0]} is not known to this test"
        try:
            CHECKS[words[0]](words[1:])
        except Exception as error:
            raise AssertionError(f"{block}: {' '.join(words)}: {error or type(error).__name__}") from error


def check_raddistill(words: list[str]) -> None:
    with contextlib.suppress(typer.Exit):  # --help, --version; a wrong command raises a usage error
        descend(typer.main.get_command(cli.app), "raddistill", words)


def descend(command: Any, name: str, words: list[str], parent: Any = None) -> None:
    context = command.make_context(name, list(words), parent=parent)
    if hasattr(command, "commands"):
        name, below, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        descend(below, name, rest, context)


def check_dvc(words: list[str]) -> None:
    given = parse_args(words)
    if words[0] == "repro" or words[:2] == ["exp", "run"]:
        assert [name for name in given.targets or [] if name not in stages()] == []
    for override in getattr(given, "set_param", None) or []:
        node: Any = shipped()
        for key in override.partition("=")[0].lstrip("+").split("."):
            assert key in node, f"{override} is no setting of params.yaml"
            node = node[key]


@functools.cache
def stages() -> set[str]:
    names = set(declared(dvc_yaml()))
    return names | {name.partition("@")[0] for name in names}


@functools.cache
def shipped() -> dict[str, Any]:
    return params.read(ROOT / "params.yaml")


def check_make(words: list[str]) -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    assert words
    assert {word for word in words if "=" not in word} <= set(targets[1].split())


def check_git(words: list[str]) -> None:
    assert words[0] in {"add", "checkout", "clone", "commit", "push", "tag"}
    told = subprocess.run(["git", words[0], "-h"], capture_output=True, text=True, check=False)
    assert [word for word in words if re.fullmatch(r"-\w", word) and f" {word}" not in told.stdout + told.stderr] == []


def check_pip(words: list[str]) -> None:
    assert words[0] in {"install", "wheel"}


def check_python(words: list[str]) -> None:
    assert words[0] == "-m"
    assert importlib.util.find_spec(words[1])


def others(_: list[str]) -> None:
    """Programs of others, and cat."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "raddistill": check_raddistill, "dvc": check_dvc, "make": check_make, "git": check_git, "pip": check_pip,
    "python": check_python, **dict.fromkeys(("cat", "curl", "llama-server", "vllm"), others),
}  # fmt: skip


@pytest.fixture
def world(walked: Path, tmp_path: Path) -> Path:
    """The small world as a project, with files of reports under the names that the documents use."""
    folder = tmp_path / "project"
    shutil.copytree(walked, folder)
    for name in ("presets", "dvc.yaml", "prices.yaml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    made = [report(number) for number in range(2, 14)]
    texts = [f"FINDINGS: {fields['FINDINGS']}\nIMPRESSION: {fields['IMPRESSION']}" for fields in made]
    ids = [str(50414267 + number) for number in range(len(made))]
    table = pl.DataFrame({"report_id": [fields["id"] for fields in made], "text": texts, "study_id": ids, "note": texts})
    table.write_csv(folder / "reports.csv")
    table.write_parquet(folder / "reports.parquet")
    table.write_ndjson(folder / "notes.jsonl")
    table.select("study_id", "note").write_parquet(folder / "notes.parquet")
    return folder


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS} - ELSEWHERE.keys()))
def test_commands_that_take_seconds_are_run(
    page: str, commands: Callable[[Block, Path], list[list[str]]], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "RADDISTILL_", "DVC_"))]:
        monkeypatch.delenv(name)
    for block in (block for block in BLOCKS if block.page == page):
        for words in commands(block, world):
            if words[0] == "cat":
                assert (world / words[1]).stat().st_size > 0
            elif not reason(words):
                done = CliRunner().invoke(cli.app, words[1:])
                assert done.exit_code == 0, f"{block}: {' '.join(words)}: {done.output} {done.exception}"


def reason(words: list[str]) -> str | None:
    """Why a command is not run: the reason of the longest beginning that it has. Help is always run."""
    line = " ".join(words)
    begun = [begin for begin in NOT_RUN if f"{line} ".startswith(f"{begin} ")]
    return NOT_RUN[max(begun, key=len)] if begun and "--help" not in words else None


def test_what_is_not_run_is_named_with_a_reason_that_holds(
    commands: Callable[[Block, Path], list[list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    by_page = [(block.page, " ".join(words)) for block in BLOCKS for words in commands(block, tmp_path / "empty")]
    called = [line for _, line in by_page]
    assert [begin for begin in NOT_RUN if not any(f"{line} ".startswith(f"{begin} ") for line in called)] == []
    here = [line for page, line in by_page if page not in ELSEWHERE]
    assert [line for line in here if not line.startswith(("raddistill ", "cat ")) and not reason(line.split())] == []
    named = set(re.findall(r"test_\w+\.py", " ".join(NOT_RUN.values())))
    assert [file for file in sorted(named) if not (ROOT / "tests" / file).exists()] == []
    assert [page for page, file in ELSEWHERE.items() if page not in (ROOT / "tests" / file).read_text(encoding="utf-8")] == []
