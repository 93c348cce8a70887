"""The presets of an 8B model go their way through the pipeline, with a random two-layer Llama in the model's place."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pipeline_truth import declared, dvc_yaml
from walking import READ_ONLY, run_stages, walk

from raddistill import paths
from raddistill.apps import presets
from raddistill.errors import InputError

TASKS = ["multiple_choice", "open_ended"]
STUDENT = ["synthesize@multiple_choice", "synthesize@open_ended", "merge", "train", "predict@student_test"]
SMALL = {"train.epochs": 1, "train.batch_size": 8, "train.evaluate_every": 4, "merge.max_tokens": 2000}
Write = Callable[[dict[str, Any], Path], None]


def with_preset(small: dict[str, Any], name: str, **smaller: Any) -> dict[str, Any]:
    """The small world's params with those of a preset, but for the base, and with `smaller` sizes; both by dotted key."""
    content = copy.deepcopy(small)
    of_preset = {key: value for key, value in presets.load_preset(name)["params"].items() if not key.startswith("fetch.")}
    for key, value in (of_preset | SMALL | smaller).items():
        *above, last = key.split(".")
        node = content
        for word in above:
            node = node[word]
        assert last in node, key
        node[last] = value
    return content


def table(folder: Path, path: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / path)


@pytest.mark.parametrize("name", ["paper-llama31-8b", "strong-llama31-8b", "few-gold"])
def test_the_base_is_llama(name: str) -> None:
    of_preset = presets.load_preset(name)["params"]
    assert of_preset["fetch.base.location"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert of_preset["train.learning_rate"] == (0.0003 if name.startswith("paper") else 0.0002)
    assert of_preset["train.batch_size"] * of_preset.get("train.gradient_accumulation", 1) == {"p": 128, "s": 64, "f": 8}[name[0]]


def test_a_preset_begins_from_others_and_its_own_settings_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "PRESETS", tmp_path)
    (tmp_path / "a.yaml").write_text("about: a\nparams: {train: {seed: 1, epochs: 1}}\n")
    (tmp_path / "b.yaml").write_text("about: b\nparams: {train: {epochs: 2, patience: 2}}\n")
    (tmp_path / "c.yaml").write_text("about: c\npresets: [a, b]\nparams: {train: {patience: 3}}\n")
    told = presets.load_preset("c")
    assert told == {"about": "c", "params": {"train.seed": 1, "train.epochs": 2, "train.patience": 3}}
    assert presets.overrides(told["params"]) == ["train.seed=1", "train.epochs=2", "train.patience=3"]
    (tmp_path / "d.yaml").write_text("about: d\npresets: [z]\nparams: {}\n")
    with pytest.raises(InputError, match="no preset 'z'"):
        presets.load_preset("d")


def test_both_tasks_in_words_as_in_the_paper_go_the_whole_way(
    tmp_path: Path, small_params: dict[str, Any], write_params: Write
) -> None:
    walk(with_preset(small_params, "paper-llama31-8b"), tmp_path, write_params)
    examples, predictions = table(tmp_path, paths.EXAMPLES), table(tmp_path, paths.table("predictions", "student_test"))
    assert set(examples["answers"]) == {"list", "lines"}
    assert examples.filter("asked").group_by("report_id", "task").len()["len"].unique().to_list() == [1]
    assert predictions["answer"].null_count() == 0
    assert table(tmp_path, paths.table("probabilities", "student_test")).is_empty()
    final = json.loads((tmp_path / paths.FINAL_METRICS).read_text(encoding="utf-8"))
    assert all(final[task]["student"]["reports"] == final[task]["reports"] > 0 for task in TASKS)


def test_the_strongest_setting_learns_sentences_and_answers_without_a_word(
    tmp_path: Path, walked: Path, small_params: dict[str, Any], write_params: Write
) -> None:
    for name in (*READ_ONLY, "data/reports.parquet", "models/base.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (shutil.copytree if (walked / name).is_dir() else shutil.copy)(walked / name, tmp_path / name)
    fewer = {"merge.multiple_choice.written": 1, "merge.open_ended.written": 0}
    fewer |= {f"merge.{task}.examples": 30 for task in TASKS}
    write_params(with_preset(small_params, "strong-llama31-8b", **fewer), tmp_path / "params.yaml")
    run_stages(STUDENT, tmp_path)
    examples = table(tmp_path, paths.EXAMPLES)
    assert set(examples["answers"]) == {"head", "tags"}
    assert table(tmp_path, paths.table("evidence", "multiple_choice"))["teacher"].unique().to_list() == ["rules:tuned"]
    told = table(tmp_path, paths.table("probabilities", "student_test"))
    asked = examples.filter(pl.col("asked"), pl.col("split") == "test", pl.col("task") == "multiple_choice")
    assert set(told["report_id"]) == set(asked["report_id"])
    assert asked.height > asked["report_id"].n_unique()


def test_a_few_reports_that_people_labelled_teach_and_others_judge(
    tmp_path: Path, small_params: dict[str, Any], write_params: Write
) -> None:
    """As docs/cohorts.md says it, with the reports of gold/written_cohort: labels of train and validation teach, test is gold."""
    own = {
        "extract.source": "files",
        "extract.raw": "gold/written_cohort/reports.csv",
        "extract.gold": "gold/written_cohort",
        "extract.files.sensitivity": "public",
        "synthesize.multiple_choice.source": "curated.csv",
        "merge.multiple_choice.examples": 20,
    }
    stages = list(declared(dvc_yaml()))
    for name in READ_ONLY:
        shutil.copytree(Path(__file__).parents[1] / name, tmp_path / name)
    write_params(with_preset(small_params, "few-gold", **own), tmp_path / "params.yaml")
    run_stages(stages[: stages.index("extract") + 1], tmp_path)
    reports = table(tmp_path, paths.REPORTS)
    curated = reports.filter(pl.col("split") != "test")["report_id"]
    labels = pl.read_csv(tmp_path / "gold/written_cohort/multiple_choice/author.csv")
    labels.filter(pl.col("report_id").is_in(curated.implode())).write_csv(tmp_path / "curated.csv")
    run_stages(stages[stages.index("extract") + 1 :], tmp_path)
    chosen = table(tmp_path, paths.EXAMPLES).filter("selected")
    train = chosen.filter(split="train")
    assert train.height == train["report_id"].n_unique() == 20
    assert set(chosen["report_id"]) <= set(curated)
    assert set(chosen["answers"]) == {"slots"}
    final = json.loads((tmp_path / paths.FINAL_METRICS).read_text(encoding="utf-8"))["multiple_choice"]
    held_out = reports.height - curated.len()
    assert final["student"]["reports"] == final["base"]["reports"] == held_out > 5
    assert final.get("teacher", {}).get("reports", 0) == 0
