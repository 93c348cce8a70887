"""All stages, one after the other, on reports written by us and a random two-layer Llama with real NF4."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import polars as pl
from conftest import N_REPORTS
from pipeline_truth import TEACHERS, declared, dvc_yaml
from walking import READ_ONLY, run_stages

from raddistill import paths

STAGES = declared(dvc_yaml(), TEACHERS)  # in the order in which data walks through them
TASKS = ["multiple_choice", "open_ended"]


def written(folder: Path) -> dict[str, str]:
    """Every file that is not an input, with its sha256."""
    inputs = (*READ_ONLY, "params.yaml")
    files = [file for file in folder.rglob("*") if file.is_file() and file.relative_to(folder).parts[0] not in inputs]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_exactly_the_declared_files_are_written(walked: Path) -> None:
    outs = {path for stage in STAGES.values() for path in stage.outs}
    folders = {path for path in outs if (walked / path).is_dir()}
    found = {next((folder for folder in folders if name.startswith(f"{folder}/")), name) for name in written(walked)}
    assert folders == {"data/raw", "models/adapter"}
    assert found == outs


def test_no_report_is_lost(walked: Path) -> None:
    def table(path: Path) -> pl.DataFrame:
        return pl.read_parquet(walked / path)

    reports, quarantine = table(paths.REPORTS), table(paths.EXTRACT_QUARANTINE)
    assert reports.height + quarantine.height == N_REPORTS
    assert quarantine["report_id"].to_list() == ["CXR1"]
    assert set(reports["split"]) == {"train", "validation", "test"}
    for task in TASKS:
        outcomes = table(paths.table("outcomes", task))
        assert set(outcomes["report_id"]) == set(reports["report_id"])
        examples = table(paths.EXAMPLES).filter(pl.col("task") == task)
        held = {"validation", "test"}
        assert set(examples.filter(pl.col("split").is_in(held))["report_id"]) == set(
            reports.filter(pl.col("split").is_in(held))["report_id"]
        )
        gold = table(paths.GOLD).filter(pl.col("task") == task)
        assert set(gold["report_id"]) == set(reports["report_id"])
        assert set(gold.filter(pl.col("report_id") == "CXR2")["status"]) == {"excluded"}
    test = reports.filter(pl.col("split") == "test").height
    for arm in ("student_test", "base_test", "linear_test"):
        predictions = table(paths.table("predictions", arm))
        assert predictions.filter(pl.col("task") == "multiple_choice").height == test
        assert predictions.filter(pl.col("task") == "open_ended").height == 6
        decided = table(paths.DECISIONS).filter(pl.col("arm") == arm.removesuffix("_test"))
        assert set(decided["report_id"]) == set(predictions["report_id"])


def test_a_report_is_asked_in_parts_and_its_answers_are_one(walked: Path) -> None:
    examples, said = (pl.read_parquet(walked / path) for path in (paths.EXAMPLES, paths.table("probabilities", "student_test")))
    asked = examples.filter(pl.col("asked"), pl.col("split") == "test", pl.col("task") == "multiple_choice")
    assert asked.height > 3 * asked["report_id"].n_unique()
    parts = ["report_id", "part"]
    assert said.select(parts).unique().sort(parts).equals(asked.select(parts).sort(parts))
    written_by_teacher = examples.filter(pl.col("report_id").str.starts_with("written:"))
    assert set(written_by_teacher.select("split", "asked").iter_rows()) == {("train", False)}


def test_the_teacher_was_learned_from_and_scored(walked: Path) -> None:
    final = json.loads((walked / paths.FINAL_METRICS).read_text(encoding="utf-8"))
    assert set(final) == set(TASKS)
    assert final["multiple_choice"]["teacher"]["micro_f1"] > 0.6  # the sentences are plain; people and rules agree on most
    assert all(math.isfinite(value) for task in final.values() for value in figures(task))


def figures(node: Any) -> list[float]:
    return [figure for child in node.values() for figure in figures(child)] if isinstance(node, dict) else [node]


def test_no_sentence_of_a_report_leaves_data_and_models(walked: Path) -> None:
    shared = [file for folder in ("metrics", "plots") for file in (walked / folder).rglob("*") if file.is_file()]
    assert len(shared) >= 10
    told = pl.read_parquet(walked / paths.REPORTS)["findings"].drop_nulls().to_list()
    sentences = {sentence.strip() for text in told for sentence in text.split(".") if len(sentence.strip()) > 20}
    assert len(sentences) >= 10
    for file in shared:
        content = file.read_bytes().decode("utf-8", errors="ignore").lower()
        assert not [sentence for sentence in sentences if sentence.lower() in content], file.name


def test_a_second_run_writes_the_same_bytes(walked: Path) -> None:
    """Of `teach`, which the default pipeline lacks; of all others tests/test_dvc_repository.py shows it."""
    before = written(walked)
    removed = [name for name in before if name.startswith(("data/teachers/", "metrics/teachers/"))]
    assert len(removed) >= 2 * len(TEACHERS)
    for name in removed:
        (walked / name).unlink()
    run_stages([f"teach@{name}" for name in TEACHERS], walked)
    assert written(walked) == before


def test_text_outputs_end_lines_as_git_keeps_them(walked: Path) -> None:
    texts = [walked / name for name in written(walked) if name.endswith((".csv", ".json", ".svg", ".md"))]
    assert len(texts) >= 10
    assert [file.name for file in texts if b"\r" in file.read_bytes()] == []
