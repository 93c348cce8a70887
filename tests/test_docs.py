"""The README against what it describes: tree, picture, table, commands."""

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import networkx
import pytest
from pipeline_truth import ROOT, declared, dvc_yaml
from ruamel.yaml import YAML
from typer.testing import CliRunner

from raddistill import cli, params, paths
from raddistill.teachers.combined.teacher import HOWS
from raddistill.teachers.synthesizing import SynthesizeParams, TeachParams

README = (ROOT / "README.md").read_text(encoding="utf-8")
NEVER_IN_GIT = {"models"}  # data/ holds its .gitignore


def test_the_tree_shows_every_folder_once_with_a_comment() -> None:
    block = re.search(r"```\n(stages/.*?)```", README, re.DOTALL)
    assert block
    lines = [re.fullmatch(r"( *)([\w/]+)/ +(\S.*)", line) for line in block[1].splitlines()]
    assert all(lines)
    shown = [("src/raddistill/" if line[1] else "") + line[2] for line in lines if line]
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    folders = {name.split("/")[0] for name in files if "/" in name and not name.startswith((".", "src/"))}
    rooms = {"/".join(name.split("/")[:3]) for name in files if name.startswith("src/raddistill/") and name.count("/") > 2}
    assert len(shown) == len(set(shown))
    assert set(shown) == folders | rooms | {"src/raddistill"} | NEVER_IN_GIT


def test_the_reference_of_the_command_line_is_its_help(tmp_path: Path) -> None:
    """If this fails: `make docs`."""
    made = tmp_path / "cli.md"
    words = ["raddistill.cli", "utils", "docs", "--name", "raddistill", "--title", "Command line", "--output", str(made)]
    subprocess.run([sys.executable, "-m", "typer", *words], cwd=ROOT, capture_output=True, check=True)
    assert made.read_text(encoding="utf-8") == (ROOT / "docs/cli.md").read_text(encoding="utf-8")


GLOSSARY = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")


def test_the_glossary_points_to_what_is_there() -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \| `(.+)` \|$", GLOSSARY, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| (?!term|---)", GLOSSARY, re.MULTILINE)) > 0
    shipped = YAML(typ="safe").load(ROOT / "params.yaml")
    for term, _, where in rows:
        node = shipped
        for key in where.split("."):
            node = node.get(key, {}) if isinstance(node, dict) else {}
        assert (ROOT / where).exists() or node != {}, term


# Words in names of classes that need no explanation: of Python, of machine learning, of names of collections.
PLAIN = {
    "allowed", "answerer", "batch", "batches", "binary", "boundaries", "broken", "chart", "che", "checker", "checkpoints",
    "chest", "classes", "combine", "comparison", "console", "content", "context", "conversation", "cost", "cxr", "delimited",
    "destination", "device", "document", "early", "encoded", "engine", "error", "estimate", "excerpt", "extracted", "failure",
    "fault", "figure", "fitted", "fitter", "format", "hosts", "inquiry", "interrupted", "job", "json", "judged", "labeller",
    "limiter", "limits", "literal", "lora", "main", "maker", "match", "matcher", "member", "memory", "merged", "mimic",
    "node", "options", "packaged", "pad", "parquet", "parsed", "plain", "plus", "price", "prices", "progress", "questioner",
    "queue", "rate", "reached", "reader", "reading", "reject", "remotes", "renderer", "reply", "request", "runtime", "sealed",
    "server", "span", "store", "stored", "synthesized", "taught", "teach", "templates", "trainer", "truth", "turn", "vllm",
    "workers", "workload", "writer", "xpert", "zip",
    "sample",
    "verdict",
}  # fmt: skip


def test_the_glossary_has_every_word_that_a_public_class_is_named_by() -> None:
    """A new word is explained in GLOSSARY.md, or it is one that every programmer knows: then it is added to PLAIN."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in (ROOT / "src").rglob("*.py")]
    names = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    words = {word.lower() for name in names if name[0] != "_" for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", name)}
    explained = set(re.findall(r"\w+", GLOSSARY.lower()))
    assert len(words) >= 100
    assert sorted(PLAIN - words) == []
    assert sorted(w for w in words - PLAIN if not explained & {w, f"{w}s", w.removesuffix("s"), re.sub("ies$", "y", w)}) == []
    schemas = [
        file for file in (ROOT / "src/raddistill/tables").glob("*.py") if "(dy.Schema)" in file.read_text(encoding="utf-8")
    ]
    assert len(schemas) >= 10
    assert [str(file.relative_to(ROOT)) for file in schemas if str(file.relative_to(ROOT)) not in GLOSSARY] == []


def test_the_version_is_that_of_the_project() -> None:
    told = CliRunner().invoke(cli.app, ["--version"])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert told.stdout == f"raddistill {version}\n"  # if not: `make env`
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1] == version  # type: ignore[index]


def test_the_picture_is_the_pipeline() -> None:
    """Its arrows are those of dvc.yaml, tasks and arms taken together, without what follows from the others."""
    picture = re.search(r"```mermaid\nflowchart LR\n(.*?)```", README, re.DOTALL)
    assert picture
    drawn = {pair for line in picture[1].splitlines() for pair in chain(line.strip().split(" --> "))}
    stages = declared(dvc_yaml())
    makers = {path: name for name, stage in stages.items() for path in stage.outs}
    whole = networkx.DiGraph(
        (makers[path].partition("@")[0], name.partition("@")[0])
        for name, stage in stages.items() for path in stage.files if path in makers and makers[path] != name
    )  # fmt: skip
    assert drawn == set(networkx.transitive_reduction(whole).edges)


def chain(nodes: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(nodes))


def test_the_table_is_that_of_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = re.search(r"<!-- results: raddistill (.*?) -->\n(.*?)<!-- end of results -->", README, re.DOTALL)
    assert shown
    if paths.FINAL_METRICS.exists():
        assert shown[2] == CliRunner().invoke(cli.app, shown[1].split(), catch_exceptions=False).output
    else:
        assert shown[2] == "The default run has not been committed yet.\n"


def test_readme_is_short_and_what_it_names_exists() -> None:
    assert len(README.splitlines()) <= 150
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    made = {target for line in re.findall(r"make((?: [A-Z_]+=\S+)* [a-z]+)", README) for target in line.split()[-1:]}
    assert made >= {"repro", "test"}
    assert {word for word in made if f"make {word}" in README and word not in targets[1].split()} == set()
    presets = set(re.findall(r"raddistill preset ([\w.-]+)", README)) - {"--list"}
    assert presets
    assert all((ROOT / "presets" / f"{name}.yaml").exists() for name in presets)


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", "docs/cohorts.md", "docs/review.md", "docs/teachers.md", "lexicon/README.md"]
)
def test_params_that_a_guide_names_exist(file: str) -> None:
    shipped = params.read(ROOT / "params.yaml")
    text = (ROOT / file).read_text(encoding="utf-8").replace("<task>", "multiple_choice")
    named = set(re.findall(rf"(?<![\w/.])(?:{'|'.join({*shipped} - {'teachers'})})(?:\.\w+)+", text))
    for name in (name for name in named if not name.endswith((".json", ".parquet"))):
        node = shipped
        for key in name.split("."):
            assert key in node, f"{name} of {file}"
            node = node[key]


def test_make_says_what_it_can_do_and_refuses_an_old_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the `make test` that runs us
        monkeypatch.delenv(name, raising=False)
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in told.splitlines()} == {"help", "repro", "test", "lint", "types", "docs", "env", "site"}
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.10 && exit\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)
    command = ["make", "env", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert f"{old} is Python 3.8.10, Python 3.11 or newer is needed" in refused.stdout
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("failing", ["", "pytest tests/test_cohorts", "pytest tests/test_docs_commands", "--ignore="])
def test_the_processes_of_make_test_run_every_file_and_each_may_fail(tmp_path: Path, failing: str) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@"\ncase "$*" in *"{failing or "nothing"}"*) exit 1;; esac\n', encoding="utf-8")
    python.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run([".ci/test"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode != 0) == bool(failing)
    others, *named = (line.split()[2:] for line in run.stdout.splitlines())
    assert len(named) == 2
    assert all(len(files) >= 2 for files in named)
    assert [word.removeprefix("--ignore=") for word in others] == [file for files in named for file in files]
    assert all((ROOT / word.removeprefix("--ignore=")).is_file() for word in others)


def test_every_direct_dependency_is_pinned_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.fullmatch(r"([\w.-]+)==[\w.]+", line) for line in lines if line and not line.startswith("#")]
    assert all(pins)  # a local tag such as +cpu would bind everybody to one build
    pinned = {canonical(pin[1]) for pin in pins if pin}
    assert len(wanted) >= 25
    assert {canonical(re.split(r"[\[<>=]", name)[0]) for name in wanted} <= pinned


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_nothing_in_git_names_this_machine() -> None:
    found = subprocess.run(
        ["git", "grep", "-nIE", r"/(root|home|work|Users)/[a-z]", "--", ":!tests/test_docs.py", ":!LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""


def test_the_guide_to_teachers_names_what_there_is() -> None:
    guide = (ROOT / "docs/teachers.md").read_text(encoding="utf-8")
    shipped = params.read(ROOT / "params.yaml")
    for name in set(re.findall(r"`(?:synthesize\.<task>\.)?(llm|asking)\.(\w+)", guide)):
        assert name[1] in (shipped["asking"] if name[0] == "asking" else shipped["synthesize"]["llm"]), name
    variables = set(re.findall(r"\b((?:OPENAI|AZURE|RADDISTILL)_[A-Z_]+)\b", guide))
    code = "".join((ROOT / f"src/raddistill/{file}.py").read_text() for file in ("llm_client/clients", "paths")) + "OPENAI_LOG"
    assert len(variables) >= 8
    assert [name for name in variables if name not in code] == []
    presets = set(re.findall(r"raddistill preset ([\w.-]+)", guide))
    assert presets
    assert all((ROOT / "presets" / f"{name}.yaml").exists() for name in presets)
    written = re.search(r"```yaml\n(teachers:.*?)```", guide, re.DOTALL)
    assert written
    content = YAML(typ="safe", pure=True).load(written[1])
    changed = content["synthesize"]["multiple_choice"]
    SynthesizeParams.model_validate(shipped["synthesize"]["multiple_choice"] | changed)
    members = {name: TeachParams.model_validate(p) for name, p in content["teachers"].items()}
    assert list(members) == changed["combine"]["members"]
    assert changed["source"] == str(paths.taught("multiple_choice", "x").parent)
    hows = re.findall(r"^\| `(\w+)` \| ", guide[guide.index("| `how` |") :], re.MULTILINE)
    assert tuple(hows) == ("how", *HOWS)


def test_hooks_before_a_commit_are_the_commands_of_make() -> None:
    hooks = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    commands = [
        hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in hooks if ".venv" in hook["entry"]
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert len(commands) == 3
    assert [command for command in commands if f"$(RUN) {command}" not in makefile] == []
