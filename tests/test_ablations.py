"""Questions of several experiments: their files, the picture, and the page of results made from them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from raddistill import cli, params, paths
from raddistill.apps import presets, results
from raddistill.errors import InputError
from raddistill.tables import base as tables

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def known_keys() -> set[str]:
    return set(presets.flat(params.read()))


@pytest.mark.parametrize("name", [file.stem for file in sorted((ROOT / "presets/ablations").glob("*.yaml"))])
def test_every_question_changes_keys_that_exist_and_no_two_points_are_alike(name: str) -> None:
    question = presets.load_ablation(name)
    overrides = {point: tuple(presets.overrides(changes)) for point, changes in question.points.items()}
    shared = [
        *presets.overrides(question.shared),
        *(o for preset in question.presets for o in presets.overrides(presets.load_preset(preset)["params"])),
    ]
    used = {o.partition("=")[0] for o in (*shared, *(o for each in overrides.values() for o in each))}
    assert used <= known_keys()
    assert len(set(overrides.values())) == len(overrides) >= 2


def test_an_unknown_question_names_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"no question 'nonsense'.*there are: .*\w"):
        presets.load_ablation("nonsense")


@pytest.mark.parametrize("content", ["about: x\naxis: y\npresets: []\nshared: {}\npoints: {}\n", "about: x\npoints: {a: {}}\n"])
def test_a_question_without_what_it_needs_is_refused(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "q.yaml").write_text(content, encoding="utf-8")
    monkeypatch.setattr(presets, "ABLATIONS", tmp_path)
    with pytest.raises(InputError, match=r"q\.yaml: its keys must be about, axis, points, presets, shared"):
        presets.load_ablation("q")


def gathered() -> dict[str, Any]:
    arm = {"reports": 300, "micro_f1": 0.8, "micro_f1_low": 0.75, "micro_f1_high": 0.84, "macro_f1": 0.7}
    of_task = {"student": arm, "teacher": arm | {"micro_f1": 0.9, "micro_f1_high": 0.95}, "gain": {"micro_f1": -0.1}}
    point = {"base": "b", "seed": 1, "fold": 0, "steps": 1200, "examples": {"multiple_choice": 1000, "open_ended": 500}}
    points = {name: point | {"multiple_choice": of_task, "open_ended": of_task} for name in ("none", "some")}
    about = {"about": "How much?", "axis": "share", "machine": "two cores", "split": "validation"}
    return {**about, "points": points, "missing": ["all"]}


def test_the_picture_is_the_same_bytes_for_the_same_figures(tmp_path: Path) -> None:
    for name in ("one", "two"):
        presets.draw_picture(gathered(), tmp_path / f"{name}.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_page_has_a_row_a_point_and_says_what_was_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.write_json(gathered(), tmp_path / "q.json")
    monkeypatch.setattr(paths, "ABLATION_METRICS", tmp_path)
    page = results.page()
    assert "| some | 1,500 | 1,200 | 0.800 (0.750 to 0.840) | 0.900 (0.750 to 0.950) |" in page
    assert "Not run: all." in page
    assert "two cores" in page


def test_an_experiment_has_the_settings_of_its_point_last_and_needs_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "about: x\naxis: y\npresets: []\nshared: {train: {seed: 1, epochs: 2}}\npoints: {a: {train: {seed: 3}}, b: }\n"
    (tmp_path / "q.yaml").write_text(text, encoding="utf-8")
    queued: list[list[str]] = []
    checked: list[set[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        queued.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(presets, "ABLATIONS", tmp_path)
    monkeypatch.setattr(presets, "dvc_output", lambda *words: "q-b\n")
    monkeypatch.setattr(presets.subprocess, "run", run)
    monkeypatch.setattr(presets.untracked_files, "refuse_missing_files", lambda files: checked.append(set(files)))
    presets.queue("q")
    assert [[word for word in command if word.startswith("-S")] for command in queued] == [
        ["-S=train.seed=3", "-S=train.epochs=2"]
    ]
    assert capsys.readouterr().out.splitlines() == [
        "q-a is queued", "q-b exists; `dvc exp remove q-b` first, to run it again"
    ]  # fmt: skip
    assert all(files >= set(presets.untracked_files.strings_of(params.read())) for files in checked)
    assert len(checked) == 2


def test_no_experiment_of_a_question_is_an_error_that_says_how_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    question = presets.Ablation("never-run", "?", "?", [], {}, {"a": {}})
    with pytest.raises(InputError, match=r"raddistill ablation queue never-run"):
        presets.gather(question, "two cores")


def test_the_page_in_docs_is_that_of_the_metrics() -> None:
    shown = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert shown == CliRunner().invoke(cli.app, ["results", "--page"], catch_exceptions=False).output
    figures = json.loads((ROOT / "metrics/final.json").read_text(encoding="utf-8"))
    assert f"{figures['multiple_choice']['student']['micro_f1']:.3f}" in shown
