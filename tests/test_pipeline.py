"""dvc.yaml tells the truth: what it says of each stage is what the stage's code does."""

import ast
import copy
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from pipeline_truth import ROOT, TEACHERS, Stage, actual, declared, dvc_yaml, entry
from ruamel.yaml import YAML

STAGES = {
    "fetch", "extract", "synthesize@multiple_choice", "synthesize@open_ended", "merge", "train",
    "predict@student_validation", "predict@student_test", "predict@base_test", "predict@linear_test",
    "calibrate", "evaluate", "final",
}  # fmt: skip
SHARED = {
    "lexicon/sections",
    "lexicon/hedges.csv",
    "lexicon/frames.txt",
    "lexicon/completions.csv",
}  # of every lexicon, so no param names them
TAUGHT = {f"teach@{name}" for name in TEACHERS}
FILES = sorted(file.stem for file in (ROOT / "stages").glob("*.py") if file.name != "__init__.py")


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return declared(dvc_yaml(), TEACHERS)


def difference(said: Stage, done: Stage) -> dict[str, list[str]]:
    """Where a stage's declaration and its code part, in words that can be pasted into dvc.yaml."""
    told = {"cmd": [] if said.cmd == done.cmd else [f"it is: {done.cmd}"]}
    for what in ("code", "files", "params"):
        have, need = getattr(said, what), getattr(done, what)
        if what == "files":  # plots are declared file by file, the code names their folder
            folders = {path for path in need - have if any(declared.startswith(f"{path}/") for declared in said.outs)}
            have, need = {path for path in have if not path.startswith(tuple(f"{f}/" for f in folders))}, need - folders
        told[what] = [f"add: {x}" for x in sorted(need - have)] + [f"drop: {x}" for x in sorted(have - need)]
    return {what: lines for what, lines in told.items() if lines}


def test_the_stages_are_those_of_the_design_and_each_file_is_one(stages: dict[str, Stage]) -> None:
    assert set(declared(dvc_yaml())) == STAGES
    assert set(stages) == STAGES | TAUGHT
    assert {name.partition("@")[0] for name in stages} == set(FILES)


@pytest.mark.parametrize("name", sorted(STAGES | TAUGHT))
def test_dvc_yaml_says_what_the_stage_does(name: str, stages: dict[str, Stage]) -> None:
    assert difference(stages[name], actual(name)) == {}


def drop(*keys: str, item: str) -> Callable[[dict[str, Any]], None]:
    def spoil(content: dict[str, Any]) -> None:
        node = content["stages"]
        for key in keys:
            node = node[key]
        node.remove(next(i for i in node if i == item or (isinstance(i, dict) and item in i)))

    return spoil


def add(*keys: str, item: str) -> Callable[[dict[str, Any]], None]:
    def spoil(content: dict[str, Any]) -> None:
        node = content["stages"]
        for key in keys:
            node = node[key]
        node.append(item)

    return spoil


@pytest.mark.parametrize(
    ("stage", "spoil", "told"),
    [
        ("train", drop("train", "deps", item="src/raddistill/errors.py"), {"code": ["add: src/raddistill/errors.py"]}),
        ("train", add("train", "deps", item="src/raddistill/concepts.py"), {"code": ["drop: src/raddistill/concepts.py"]}),
        ("train", drop("train", "deps", item="models/base.json"), {"files": ["add: models/base.json"]}),
        ("train", drop("train", "deps", item="constraints.txt"), {"files": ["add: constraints.txt"]}),
        ("merge", add("merge", "deps", item="data/gold.parquet"), {"files": ["drop: data/gold.parquet"]}),
        ("extract", drop("extract", "deps", item="${extract.gold}"), {"files": ["add: gold/openi"]}),
        ("extract", drop("extract", "metrics", item="metrics/extract.json"), {"files": ["add: metrics/extract.json"]}),
        ("train", drop("train", "plots", item="plots/training.csv"), {"files": ["add: plots/training.csv"]}),
        ("train", drop("train", "params", item="train.seed"), {"params": ["add: train.seed"]}),
        ("train", add("train", "params", item="merge.seed"), {"params": ["drop: merge.seed"]}),
        ("fetch", drop("fetch", "params", item="fetch.base.path"), {"params": ["add: fetch.base.path"]}),
        (
            "synthesize@open_ended",
            drop("synthesize", "do", "deps", item="${item.source}"),
            {"files": ["add: lexicon/cold"]},
        ),
        (
            "teach@rules_open_ended",
            drop("teach", "do", "params", item="teachers.${key}"),
            {"params": ["add: teachers.rules_open_ended"]},
        ),
        (
            "synthesize@open_ended",
            add("synthesize", "do", "params", item="asking.budget_usd"),
            {"params": ["drop: asking.budget_usd"]},
        ),
        (
            "predict@base_test",
            lambda content: content["stages"]["predict"]["foreach"]["base_test"].update(reads="models/adapter"),
            {"files": ["add: models/base.json", "drop: models/adapter"]},
        ),
        (
            "calibrate",
            lambda content: content["stages"]["calibrate"].update(cmd="python -m stages.final"),
            {"cmd": ["it is: python -m stages.calibrate"]},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_lie_is_found(stage: str, spoil: Callable[[dict[str, Any]], None], told: dict[str, list[str]]) -> None:
    content = copy.deepcopy(dvc_yaml())
    spoil(content)
    assert difference(declared(content, TEACHERS)[stage], actual(stage)) == told


def test_paths_from_params_are_templates_and_runtime_is_no_dependency(stages: dict[str, Stage]) -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert {line.strip(" -") for line in text.split("\n") if "lexicon/" in line} == SHARED  # others would not follow params.yaml
    assert "gold/openi" not in text
    assert not [param for stage in stages.values() for param in stage.params if param.startswith(("runtime", "asking"))]


def test_every_stage_has_a_description() -> None:
    described = [stage.get("do", stage).get("desc") for stage in dvc_yaml()["stages"].values()]
    assert len(described) == len(FILES)
    assert all(described)


@pytest.mark.parametrize("name", FILES)
def test_stage_files_hold_no_logic(name: str) -> None:
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8"))
    logic = (ast.For, ast.While, ast.Try, ast.ClassDef, ast.Lambda, ast.IfExp, ast.comprehension)
    assert not [node for node in ast.walk(tree) if isinstance(node, logic)]
    assert [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] == ["main"]
    assert [ast.unparse(node.test) for node in ast.walk(tree) if isinstance(node, ast.If)] == ["__name__ == '__main__'"]


def test_what_may_hold_text_goes_to_the_private_remote_and_never_to_git(stages: dict[str, Stage]) -> None:
    outs = {path: options for stage in stages.values() for path, options in stage.outs.items()}
    cached = {path for path, options in outs.items() if options.get("cache", True)}
    for path, options in outs.items():
        match path.split("/")[0]:
            case "data":
                kept = {"persist": True} if path.endswith("answers.parquet") or path.startswith("data/answers/") else {}
                assert options == {"remote": "private"} | kept, path
            case "models":
                assert options == {"remote": "shared"}, path
            case _:
                assert path.startswith(("metrics/", "plots/"))
                assert options["cache"] is False, path
    assert len(cached) == 43
    learned = [out for stage in ("fetch", "train", "calibrate") for out in dvc_yaml()["stages"][stage]["outs"]]
    assert [entry(out)[1] for out in learned][1:] == [{"remote": "${remotes.models}"}] * 3  # which params.yaml names
    # Without DVC's own entries, which it rolls back when a later stage fails (dvc #11091).
    assert ignored(cached) == cached
    assert ignored(set(outs) - cached) == set()


def ignored(names: set[str]) -> set[str]:
    told = subprocess.run(
        ["git", "check-ignore", "--verbose", "--stdin"],
        input="\n".join(sorted(names)), capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert told.returncode in (0, 1), told.stderr
    rules = [line.split("\t") for line in told.stdout.splitlines()]
    return {name for rule, name in rules if rule.startswith((".gitignore:", "data/.gitignore:"))}


def test_git_holds_nothing_below_data_and_models() -> None:
    tracked = subprocess.run(["git", "ls-files", "data", "models"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert tracked.stdout.split() == ["data/.gitignore"]


@pytest.mark.skipif(not (ROOT / "dvc.lock").exists(), reason="the default run has not been committed yet")
def test_lock_and_dvc_yaml_name_the_same_stages(stages: dict[str, Stage]) -> None:
    lock = YAML(typ="safe", pure=True).load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    assert set(lock["stages"]) == set(stages) - TAUGHT


def test_metrics_files_are_declared_and_hold_numbers_only(stages: dict[str, Stage]) -> None:
    """DVC drops what is no number, and a string is where report text could hide."""
    said = {path for stage in stages.values() for path in stage.outs if path.startswith("metrics/")}
    found = {str(file.relative_to(ROOT)) for file in (ROOT / "metrics").glob("*.json")}
    assert len(said) == 13
    assert found <= said
    for name in found:
        assert {type(value) for value in leaves_of(json.loads((ROOT / name).read_text(encoding="utf-8")))} <= {int, float}


def leaves_of(node: Any) -> list[Any]:
    return [leaf for child in node.values() for leaf in leaves_of(child)] if isinstance(node, dict) else [node]
