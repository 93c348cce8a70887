"""The commands of `raddistill`, as a user types them."""

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipeline_truth import ROOT, sections_of
from ruamel.yaml import YAML
from test_pipeline import STAGES
from typer.testing import CliRunner

from raddistill import cli, params, untracked_files
from raddistill.apps import pipeline, presets
from raddistill.apps import results as markdown
from raddistill.errors import InputError

NAMES = sorted(file.stem for file in (ROOT / "presets").glob("*.yaml"))
METRICS = {
    task: {
        "reports": 400,
        "positives": 500,
        **{
            arm: {"reports": 100 if arm == "base" else 400, "micro_f1": f1, "micro_f1_low": f1 - 0.02, "micro_f1_high": f1 + 0.02}
            for arm, f1 in arms.items()
        },
        "gain": {"reports": 400, "micro_f1": -0.03, "low": -0.05, "high": -0.0104},
        "gain_over_linear": {"reports": 400, "micro_f1": 0.13, "low": 0.1, "high": 0.1604},
    }
    for task, arms in {
        "multiple_choice": {"base": 0.2, "linear": 0.7, "teacher": 0.86, "student": 0.83},
        "open_ended": {"base": 0.1, "linear": 0.5, "teacher": 0.6, "student": 0.57},
    }.items()
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(*words: str) -> str:
    done = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_all_presets_were_found() -> None:
    assert set(NAMES) >= {"paper", "llama-3.1-8b", "quick", "hour", "all"}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_names_only_keys_that_exist_and_loads(name: str, project: Path) -> None:
    content = params.read(Path("params.yaml"))
    words = told("preset", name).split()
    assert words[::2] == ["-S"] * len(words[::2])
    for override in words[1::2]:
        dotted, _, value = override.partition("=")
        node: Any = content
        *above, last = dotted.split(".")
        for key in above:
            node = node[key]
        assert last in node, dotted
        node[last] = YAML(typ="safe", pure=True).load(value)  # Hydra's grammar is YAML's for the values in use
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(content, file)
    loaded = [params.load(section, into) for stage in STAGES for section, into in sections_of(stage).items()]
    assert len(loaded) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_dvc_reads_the_overrides_as_they_are_printed(name: str, project: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    words = told("preset", name).split()
    apply_overrides(Path("params.yaml"), words[1::2])
    want = params.read(ROOT / "presets" / f"{name}.yaml")["params"]
    assert presets.overrides(want) == presets.overrides(only(want, params.read(Path("params.yaml"))))


def only(shape: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """The part of `content` that has the keys of `shape`."""
    return {key: only(node, content[key]) if isinstance(node, dict) else content[key] for key, node in shape.items()}


def test_the_list_of_presets_says_what_each_is_for(project: Path) -> None:
    lines = told("preset", "--list").splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert all(len(line.split()) > 5 for line in lines)


def test_presets_elsewhere_than_at_the_root_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="presets/ is missing here"):
        cli.preset(show=True)


def test_an_unknown_preset_is_told_the_known_ones(project: Path) -> None:
    with pytest.raises(InputError, match=r"no preset 'papper'.*all, encoder, few-gold, hour, llama"):
        cli.preset("papper")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0003, "a=0.0003"),
        (True, "a=true"),
        (None, "a=null"),
        ("", "a=''"),
        ("x==1", "a='x==1'"),
        (["b", "c"], "a=[b,c]"),
        ("0e9", "a='0e9'"),
    ],
)
def test_an_override_is_in_hydras_grammar(value: object, written: str) -> None:
    assert presets.overrides({"a": value}) == [written]


@pytest.fixture
def results(project: Path) -> None:
    (project / "metrics").mkdir()
    (project / "metrics/final.json").write_text(json.dumps(METRICS), encoding="utf-8")


def test_results_are_the_table_that_the_last_stage_prints(results: None) -> None:
    output = told("results")
    assert re.search(r"multiple_choice.*400.*0\.200.*0\.700.*0\.860.*0\.830.*-0\.030", output)
    assert re.search(r"open_ended.*0\.570", output)
    assert "metrics/final.json" in output


def test_results_and_presets_as_json(results: None) -> None:
    assert json.loads(told("results", "--json")) == METRICS
    listed = json.loads(told("preset", "--list", "--json"))
    assert listed == {name: presets.load_preset(name) for name in NAMES}
    assert json.loads(told("preset", "quick", "--json")) == {"quick": listed["quick"]}


@pytest.mark.parametrize("changed", [[], ["train: params.yaml: train.seed modified"]])
def test_check_as_json(changed: list[str], project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "changes", lambda: changed)
    monkeypatch.setattr(untracked_files, "missing_files", lambda _: ["lexicon/mine is not in git"])
    done = CliRunner().invoke(cli.app, ["check", "--json"])
    assert done.exit_code == bool(changed)
    assert json.loads(done.stdout) == {"changed": changed, "missing": ["lexicon/mine is not in git"]}


def test_a_stage_that_always_runs_is_not_stale() -> None:
    assert list(pipeline.stale_lines({"code": ["always changed"]})) == []


def test_results_in_markdown_are_a_line_a_task(results: None) -> None:
    lines = told("results", "--markdown").splitlines()
    assert len(lines) == 4
    assert lines[2] == (
        "| multiple_choice | 400 | 0.200 (0.180 to 0.220) [100] | 0.700 (0.680 to 0.720) | 0.860 (0.840 to 0.880) "
        "| 0.830 (0.810 to 0.850) | -0.030 (-0.050 to -0.010) | +0.130 (+0.100 to +0.160) |"
    )


def test_the_teacher_on_the_whole_report_is_a_column_where_there_is_one() -> None:
    metrics = {task: dict(figures) for task, figures in METRICS.items()}
    metrics["open_ended"]["teacher_whole"] = METRICS["open_ended"]["teacher"]
    lines = markdown.table(metrics).splitlines()
    assert lines[0] == (
        "| task | reports | base | linear | teacher | teacher, whole report | student | gain over teacher | gain over linear |"
    )
    assert lines[2].split(" | ")[5] == "-"
    assert lines[3].split(" | ")[5] == "0.600 (0.580 to 0.620)"


def test_what_could_not_be_computed_is_a_dash() -> None:
    lines = markdown.table({"open_ended": {"reports": 2, "gain": {"reports": 2}}}).splitlines()
    assert lines[2] == "| open_ended | 2 | - | - | - | - | - | - |"


def test_results_before_there_are_any(project: Path) -> None:
    with pytest.raises(InputError, match=r"metrics/final\.json is missing; `make repro` makes it"):
        cli.results()


def test_stale_takes_what_changed_and_leaves_what_was_not_pulled() -> None:
    status = {
        "train": [
            {"changed deps": {"params.yaml": {"train.seed": "modified"}, "src/a.py": "modified", "data/x.parquet": "deleted"}},
            {"changed outs": {"models/adapter": "not in cache"}},
            "changed command",
        ],
        "merge": [{"changed outs": {"data/examples.parquet": "deleted"}}],
    }
    changed = ["train: params.yaml: train.seed modified", "train: src/a.py modified", "train: changed command"]
    assert list(pipeline.stale_lines(status)) == changed
    assert list(pipeline.stale_lines({})) == []


def test_the_commit_is_told_with_whether_its_files_are_as_they_were(project: Path) -> None:
    assert pipeline.current_commit() == {"commit": None, "clean": False}
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    for words in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    told = pipeline.current_commit()
    assert re.fullmatch("[0-9a-f]{40}", told["commit"])
    assert told["clean"]
    Path("params.yaml").write_text("changed: 1\n", encoding="utf-8")
    assert pipeline.current_commit() == told | {"clean": False}


def test_errors_end_in_one_line_and_exit_code_1(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["raddistill", "results"])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err == "InputError: metrics/final.json is missing; `make repro` makes it\n"


def incomplete(spoil: Callable[[dict[str, Any]], object]) -> list[str]:
    """What .ci/complete.py says of a whole metrics file after `spoil`."""
    check = runpy.run_path(str(ROOT / ".ci/complete.py"))
    metrics: dict[str, Any] = {
        task: {"reports": 400, "positives": 500} | {part: dict.fromkeys(keys, 1) for part, keys in check["PARTS"].items()}
        for task in check["TASKS"]
    }
    spoil(metrics)
    return check["wrong"](metrics)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda m: None, []),
        (lambda m: m["open_ended"]["base"].pop("precision"), []),
        (lambda m: m["open_ended"]["student"].pop("precision"), ["open_ended.student.precision"]),
        (lambda m: m["open_ended"].pop("gain"), [f"open_ended.gain.{key}" for key in ("reports", "micro_f1", "low", "high")]),
        (lambda m: m["multiple_choice"].update(positives=None), ["multiple_choice.positives"]),
        (lambda m: m["multiple_choice"]["linear"].update(macro_f1=float("nan")), ["multiple_choice.linear.macro_f1"]),
        (lambda m: m["multiple_choice"]["gain"].update(low=2), ["multiple_choice.gain.micro_f1 is outside of its interval"]),
        (lambda m: m["open_ended"]["teacher"].pop("uncertain_is_present"), ["open_ended.teacher.uncertain_is_present"]),
        (
            lambda m: m["open_ended"].update(gain_over_graded={"low": 1, "micro_f1": 1, "high": 1}),
            ["open_ended.gain_over_graded.reports"],
        ),
        (lambda m: m["multiple_choice"].update(reports=0), ["multiple_choice: nothing was scored"]),
    ],
    ids=[
        "whole",
        "base-calls-nothing",
        "no-precision",
        "no-gain",
        "null",
        "nan",
        "interval",
        "no-policy",
        "half-a-gain",
        "no-report",
    ],
)
def test_ci_refuses_an_incomplete_metrics_file(spoil: Callable[[dict[str, Any]], object], told: list[str]) -> None:
    assert incomplete(spoil) == told
