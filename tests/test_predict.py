"""`raddistill predict`: what it says of a file is what the pipeline says of the same reports; shards, kills, Ray, vLLM."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from student_world import ROOT
from typer.testing import CliRunner

from raddistill import answer_format, cli, paths
from raddistill.apps.label.report_file import Shard
from raddistill.apps.predict import parts
from raddistill.apps.predict.base_model import fetch_base
from raddistill.apps.predict.parts import RUN
from raddistill.errors import InputError
from raddistill.tables import student_settings
from raddistill.tables.student_settings import TaskSettings

CODES = {"present": 1, "absent": 0}


@pytest.fixture(scope="module")
def student(walked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the adapter and calibration of the small world, and nothing else of it."""
    folder = tmp_path_factory.mktemp("student")
    shutil.copytree(walked / paths.ADAPTER, folder / "adapter")
    shutil.copy(walked / paths.CALIBRATION, folder / "calibration.json")
    return folder


@pytest.fixture(scope="module")
def reports(walked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of the test split as CSV, in the order of the table."""
    file = tmp_path_factory.mktemp("reports") / "reports.csv"
    of_split = pl.read_parquet(walked / paths.REPORTS).filter(pl.col("split") == "test")
    of_split.select("report_id", "findings", "impression").write_csv(file)
    return file


def command(student: Path, source: Path | str, output: Path, *words: str) -> list[str]:
    return ["predict", str(source), "-o", str(output), "--model", str(student / "adapter"), "--threads", "1", *words]


def predict(student: Path, source: Path | str, output: Path, *words: str, **given: Any) -> Any:
    return CliRunner().invoke(cli.app, command(student, source, output, *words), **given)


def error_of(*args: Any) -> str:
    result = predict(*args)
    assert result.exit_code
    assert result.exception
    return f"{type(result.exception).__name__}: {result.exception}"


def test_decides_as_the_pipeline_did(walked: Path, student: Path, reports: Path, tmp_path: Path) -> None:
    assert predict(student, reports, tmp_path / "long.parquet", "--format", "long").exit_code == 0
    made = pl.read_parquet(tmp_path / "long.parquet")
    decided = pl.read_parquet(walked / paths.DECISIONS).filter(arm="student", task="multiple_choice", kind="present")
    labels = [label.name for label in student_settings.load(student / "adapter/student_settings.json").labels]
    ids = pl.read_csv(reports)["report_id"].to_list()
    assert made.select("report_id", "label").rows() == [(report, label) for report in ids for label in labels]
    found = set(made.filter(status="present").select("report_id", "label").iter_rows())
    assert found == set(decided.select("report_id", "label").iter_rows()) != set()
    thresholds = json.loads((student / "calibration.json").read_text(encoding="utf-8"))["labels"]
    for label, status, probability in made.select("label", "status", "probability").iter_rows():
        assert (status == "present") == (probability >= thresholds[label]["threshold"])


def test_finds_the_phrases_that_the_pipeline_found(walked: Path, student: Path, reports: Path, tmp_path: Path) -> None:
    result = predict(student, reports, tmp_path / "found.jsonl", "--task", "open_ended", "--format", "jsonl")
    assert result.exit_code == 0, result.exception
    lines = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines()]
    made = {line["report_id"]: {(each["label"], each["code"]) for each in line["labels"]} for line in lines}
    asked = pl.read_parquet(walked / paths.table("predictions", "student_test")).filter(task="open_ended")
    assert asked.height == 6
    for report, answer in asked.select("report_id", "answer").iter_rows():
        assert made[report] == {(phrase, code or None) for phrase, code in answer_format.parse_lines(answer).findings}


def test_the_wide_form_has_the_codes_of_the_long_one(student: Path, reports: Path, tmp_path: Path) -> None:
    predict(student, reports, tmp_path / "long.csv", "--format", "long")
    predict(student, reports, tmp_path / "wide.csv")
    long, wide = pl.read_csv(tmp_path / "long.csv"), pl.read_csv(tmp_path / "wide.csv")
    cells = wide.drop("No Finding").unpivot(index="report_id", variable_name="label", value_name="code")
    both = long.join(cells, on=["report_id", "label"], suffix="_wide", validate="1:1")
    assert both.height == long.height == cells.height
    assert both["code_wide"].to_list() == [CODES[status] for status in both["status"]]


def test_a_text_is_split_at_its_headers(walked: Path, student: Path, reports: Path, tmp_path: Path) -> None:
    of_split = pl.read_parquet(walked / paths.REPORTS).filter(pl.col("split") == "test")
    of_split.select("report_id", "text").write_ndjson(tmp_path / "texts.jsonl")
    predict(student, reports, tmp_path / "sections.csv", "--format", "long")
    predict(student, tmp_path / "texts.jsonl", tmp_path / "texts.csv", "--format", "long")
    assert (tmp_path / "texts.csv").read_bytes() == (tmp_path / "sections.csv").read_bytes()
    piped = predict(student, "-", tmp_path / "piped.csv", "--format", "long", input=reports.read_bytes())
    assert piped.exit_code == 0, piped.exception
    assert (tmp_path / "piped.csv").read_bytes() == (tmp_path / "sections.csv").read_bytes()


def test_unusable_rows_are_listed(student: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("report_id,text\na,The lungs are clear.\n,No effusion.\na,Again.\nb,nan\n", encoding="utf-8")
    result = predict(student, tmp_path / "in.csv", tmp_path / "out.csv", "--strict")
    assert result.exit_code == 1
    assert "1 of 4 reports labelled" in result.output
    rejects = pl.read_csv(tmp_path / "out.csv.quarantine.csv")
    assert rejects["row"].to_list() == [2, 3, 4]
    assert "effusion" not in (tmp_path / "out.csv.quarantine.csv").read_text(encoding="utf-8")


def test_shards_together_hold_each_row_once(student: Path, reports: Path, tmp_path: Path) -> None:
    copied = tmp_path / "in.csv"
    copied.write_text(reports.read_text(encoding="utf-8") + ",no id,\n,nor here,\n", encoding="utf-8")
    predict(student, copied, tmp_path / "whole.parquet", "--format", "long")
    result = predict(student, copied, tmp_path / "parts", "--format", "long", "--shards", "3")
    assert result.exit_code == 0, result.exception
    made = sorted((tmp_path / "parts").glob("*.parquet"))
    assert [part.name for part in made] == [f"part-0000{n}-of-00003.parquet" for n in (1, 2, 3)]
    whole, together = pl.read_parquet(tmp_path / "whole.parquet"), pl.concat(map(pl.read_parquet, made))
    keys = ["report_id", "label"]
    assert all(pl.read_parquet(part).height for part in made)
    assert together.drop("probability").sort(keys).equals(whole.drop("probability").sort(keys))
    # texts in other batches: bf16 rounds by the batch's shape
    assert (together.sort(keys)["probability"] - whole.sort(keys)["probability"]).abs().max() < 0.02
    rejects = [pl.read_csv(file) for file in sorted((tmp_path / "parts").glob("*.quarantine.csv"))]
    assert sorted(row for table in rejects for row in table["row"]) == [len(whole["report_id"].unique()) + n for n in (1, 2)]


def test_a_part_that_is_there_is_not_made_again(student: Path, reports: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    assert predict(student, reports, folder, "--shard", "2/2").exit_code == 0
    made = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert set(made) == {RUN, "part-00002-of-00002.parquet"}
    again = predict(student, reports, folder, "--shards", "2")
    assert "1 of 2 parts are there already" in again.output
    assert {name: (folder / name).stat().st_mtime_ns for name in made} == made
    assert len(list(folder.glob("part-*.parquet"))) == 2


def test_parts_of_another_run_are_refused(student: Path, reports: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    predict(student, reports, folder, "--shard", "1/2")
    assert "(shards differ)" in error_of(student, reports, folder, "--shard", "1/3")
    assert "(form differ)" in error_of(student, reports, folder, "--shard", "1/2", "--format", "long")
    other = tmp_path / "other.csv"
    other.write_text(reports.read_text(encoding="utf-8") + "z,Clear.,\n", encoding="utf-8")
    assert "(input, input_content differ)" in error_of(student, other, folder, "--shard", "2/2")
    changed = tmp_path / "changed"
    shutil.copytree(student, changed)
    calibration = json.loads((changed / "calibration.json").read_text(encoding="utf-8")) | {"temperature": 2.0}
    (changed / "calibration.json").write_text(json.dumps(calibration), encoding="utf-8")
    assert "(calibration differ)" in error_of(changed, reports, folder, "--shard", "2/2")
    assert "(calibration differ)" in error_of(student, reports, folder, "--shard", "2/2", "--calibration", "none")
    (changed / "adapter/README.md").write_text("Another one.", encoding="utf-8")
    assert "(calibration, student differ)" in error_of(changed, reports, folder, "--shard", "2/2")
    (folder / RUN).unlink()
    assert f"holds parts but no {RUN}" in error_of(student, reports, folder, "--shard", "2/2")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_parts_of_an_input_that_was_edited_are_refused(kind: str, student: Path, tmp_path: Path) -> None:
    """Though it has as many bytes as before."""
    source = tmp_path / ("in" if kind == "folder" else "in.csv")
    edited = source / "a.txt" if kind == "folder" else source
    edited.parent.mkdir(exist_ok=True)
    edited.write_text("report_id,text\na,No edema.\n", encoding="utf-8")
    assert predict(student, source, tmp_path / "parts", "--shard", "1/2").exit_code == 0
    edited.write_text("report_id,text\na,An edema\n", encoding="utf-8")
    assert "(input_content differ)" in error_of(student, source, tmp_path / "parts", "--shard", "2/2")


def test_of_a_model_that_has_its_calibration_parts_without_it_are_refused(student: Path, reports: Path, tmp_path: Path) -> None:
    """As an exported model has."""
    shutil.copytree(student / "adapter", tmp_path / "adapter")
    shutil.copy(student / "calibration.json", tmp_path / "adapter")
    assert predict(tmp_path, reports, tmp_path / "parts", "--shard", "1/2").exit_code == 0
    refused = error_of(tmp_path, reports, tmp_path / "parts", "--shard", "2/2", "--calibration", "none")
    assert "(calibration differ)" in refused


@pytest.mark.parametrize(("form", "suffix"), [("wide", "parquet"), ("jsonl", "jsonl")])
def test_a_part_that_was_cut_is_not_taken_for_a_whole_one(
    form: str, suffix: str, student: Path, reports: Path, tmp_path: Path
) -> None:
    assert predict(student, reports, tmp_path / "parts", "--shards", "2", "--format", form).exit_code == 0
    part = tmp_path / f"parts/part-00002-of-00002.{suffix}"
    part.write_bytes(part.read_bytes()[:-20])
    assert f"{part} is damaged or not whole; remove it" in error_of(
        student, reports, tmp_path / "parts", "--shards", "2", "--format", form
    )
    part.unlink()
    assert predict(student, reports, tmp_path / "parts", "--shards", "2", "--format", form).exit_code == 0


def test_shards_that_start_at_once_name_one_job(tmp_path: Path) -> None:
    job = types.SimpleNamespace(identity=lambda: {"task": "x" * 5000})
    starting = threading.Barrier(8)

    def start(folder: Path) -> None:
        starting.wait()
        parts.open_folder(folder, job, 8)

    with ThreadPoolExecutor(8) as pool:
        for n in range(30):
            list(pool.map(start, [tmp_path / str(n)] * 8))
            assert [file.name for file in (tmp_path / str(n)).iterdir()] == [RUN]


@pytest.mark.parametrize(("words", "message"), [
    (["--shard", "3/2"], "--shard 3/2: say which part of how many"),
    (["--shard", "0/2"], "--shard 0/2: say which part of how many"),
    (["--shard", "2"], "--shard 2: say which part of how many"),
    (["--shards", "2", "--shard", "1/2"], "name one of them"),
    (["--ray", "2"], "say into how many by --shards"),
    (["--shards", "2", "--overwrite"], "--overwrite is for one file"),
    (["--calibration", "nowhere.json"], "nowhere.json is missing"),
    (["--model", "nowhere"], "nowhere is missing; name the folder of an adapter, or of an exported model, by --model"),
    (["--model", "nowhere", "--calibration", "none"], "nowhere is missing"),
    (["--text-column", "note"], "no column"),
    (["--task", "open_ended"], "no wide form"),
    (["--format", "jsonl"], "jsonl is written to"),
    (["--engine", "vllm"], "is no exported model"),
])  # fmt: skip
def test_a_wrong_command_is_refused(student: Path, reports: Path, tmp_path: Path, words: list[str], message: str) -> None:
    assert message in error_of(student, reports, tmp_path / "out.csv", *words)
    assert not (tmp_path / "out.csv").is_file()


def test_a_folder_that_is_no_student_is_refused(student: Path, reports: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(student, bare)
    (bare / "calibration.json").unlink()
    assert "--calibration FILE" in error_of(bare, reports, tmp_path / "out.csv")
    (bare / "adapter/student_settings.json").write_text("{}", encoding="utf-8")
    assert "does not hold the settings" in error_of(bare, reports, tmp_path / "out.csv", "--calibration", "none")
    (bare / "adapter/student_settings.json").unlink()
    assert "is no student of this version" in error_of(bare, reports, tmp_path / "out.csv", "--calibration", "none")
    settings = student_settings.load(student / "adapter/student_settings.json")
    settings.model_copy(update={"tasks": {}}).write(bare / "adapter/student_settings.json")
    assert "was not trained on multiple_choice" in error_of(bare, reports, tmp_path / "out.csv", "--calibration", "none")


@pytest.mark.parametrize(("name", "content", "told"), [
    ("adapter_model.safetensors", None, "it has no adapter_model.safetensors; get it again"),
    ("adapter_model.safetensors", lambda old: old[:-100], "is damaged or cut; get the adapter again"),
    ("adapter_config.json", None, "it has no adapter_config.json"),
    ("adapter_config.json", lambda old: old[:50], "is damaged or cut"),
    ("base.json", lambda _: b"{}", "is damaged or cut"),
    ("provenance.json", None, "it has no provenance.json"),
    ("provenance.json", lambda _: b'{"outputs": 6}', "the adapter has 6 outputs, but its student_settings.json has 13 labels"),
])  # fmt: skip
def test_an_adapter_that_is_not_whole_is_refused_before_it_is_loaded(
    name: str, content: Any, told: str, student: Path, reports: Path, tmp_path: Path
) -> None:
    shutil.copytree(student, tmp_path / "cut")
    file = tmp_path / "cut/adapter" / name
    before = file.read_bytes()
    file.unlink()
    if content:
        file.write_bytes(content(before))
    error = error_of(tmp_path / "cut", reports, tmp_path / "out.csv")
    assert error.startswith("InputError")
    assert told in error


@pytest.mark.parametrize("content", ["{", "[]", '{"folder": "x", "files": {}}'])
def test_the_base_of_what_is_no_adapter_is_not_fetched(content: str, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"has no readable base\.json"):
        fetch_base(tmp_path)


def test_an_exported_model_is_named_as_one(student: Path, reports: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/config.json").write_text("{}", encoding="utf-8")
    for name in ("adapter/student_settings.json", "calibration.json"):
        shutil.copy(student / name, tmp_path / name)
    assert "an exported model is read by --engine vllm" in error_of(tmp_path, reports, tmp_path / "out.csv")


def test_without_a_calibration_one_half_decides(student: Path, reports: Path, tmp_path: Path) -> None:
    assert predict(student, reports, tmp_path / "out.csv", "--calibration", "none", "--format", "long").exit_code == 0
    made = pl.read_csv(tmp_path / "out.csv")
    assert made["status"].to_list() == ["present" if p >= 0.5 else "absent" for p in made["probability"]]


def run(student: Path, source: Path, output: Path, *words: str) -> subprocess.Popen[bytes]:
    """Starts the command as a process."""
    line = [sys.executable, "-m", "raddistill.cli", *command(student, source, output, *words)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_on_ray_a_killed_run_goes_on(student: Path, reports: Path, tmp_path: Path) -> None:
    """With two CPUs and a store of 200 MB. The killed run's parts stay; in the end all is as in a run without Ray."""
    many, killed, undisturbed = tmp_path / "many.csv", tmp_path / "killed", tmp_path / "undisturbed"
    table = pl.read_csv(reports)
    pl.concat([table.with_columns(pl.col("report_id") + f"-{n}") for n in range(40)]).write_csv(many)
    words = ("--shards", "6", "--format", "long")
    with run(student, many, killed, *words, "--ray", "1") as process:
        deadline = time.monotonic() + 120
        while not list(killed.glob("part-*.parquet")):
            assert process.poll() is None, process.communicate()[0].decode()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    before = {file: file.stat().st_mtime_ns for file in killed.glob("part-*.parquet")}
    assert 1 <= len(before) < 6
    with run(student, many, killed, *words, "--ray", "2") as process:
        output = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 0, output
    # Ray may have finished a part or two more before it noticed.
    assert re.search(r"[1-5] of 6 parts are there already", output)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert predict(student, many, undisturbed, *words).exit_code == 0
    assert contents(killed) == contents(undisturbed)


class FakeLLM:
    """Stands for vllm.LLM as of 0.33: keeps what it is asked, gives logits that count the tokens."""

    asked: list[Any] = []  # noqa: RUF012

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        FakeLLM.asked = [settings]

    def get_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.settings["model"])

    def classify(self, prompts: list[Any], *, pooling_params: Any, use_tqdm: bool) -> list[Any]:
        FakeLLM.asked += [pooling_params, *prompts]
        sizes = [len(prompt["prompt_token_ids"]) for prompt in prompts]
        return [types.SimpleNamespace(outputs=types.SimpleNamespace(probs=[size - 10.0] * 13)) for size in sizes]

    def generate(self, prompts: list[Any], params: Any, use_tqdm: bool) -> list[Any]:
        FakeLLM.asked += [params, *prompts]
        return [types.SimpleNamespace(outputs=[types.SimpleNamespace(text="edema | J81.0")]) for _ in prompts]


@pytest.fixture
def exported(student: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder as `raddistill export` lays it out, and a stand-in for vLLM, which needs a GPU."""
    folder = tmp_path / "exported"
    shutil.copytree(tiny_base, folder / "adapter")
    for name in ("adapter/student_settings.json", "calibration.json"):
        shutil.copy(student / name, folder / name)
    fake = types.ModuleType("vllm")
    vars(fake).update(LLM=FakeLLM, PoolingParams=lambda **k: k, SamplingParams=lambda **k: k)
    monkeypatch.setitem(sys.modules, "vllm", fake)
    return folder


def test_vllm_reads_the_token_ids_that_the_student_was_trained_on(exported: Path, reports: Path, tmp_path: Path) -> None:
    result = predict(exported, reports, tmp_path / "out.csv", "--engine", "vllm", "--format", "long", "--calibration", "none")
    assert result.exit_code == 0, result.exception
    settings, pooling, *prompts = FakeLLM.asked
    assert settings["runner"] == "pooling"
    assert pooling == {"use_activation": False}
    end = FakeLLM(**settings).get_tokenizer().eos_token_id
    assert all(prompt["prompt_token_ids"][-1] == end for prompt in prompts)
    longest = max(len(prompt["prompt_token_ids"]) for prompt in prompts) - 10
    made = pl.read_csv(tmp_path / "out.csv")
    assert made["probability"].max() == pytest.approx(1 / (1 + 2.718281828**-longest), abs=1e-5)


def test_vllm_writes_lines_and_refuses_tags(exported: Path, reports: Path, tmp_path: Path) -> None:
    words = ("--engine", "vllm", "--task", "open_ended", "--format", "long")
    assert "cannot answer in the form tags" in error_of(exported, reports, tmp_path / "out.csv", *words)
    file = exported / "adapter/student_settings.json"
    settings = student_settings.load(file)
    settings.model_copy(update={"tasks": {"open_ended": TaskSettings(answers="lines", units="reports")}}).write(file)
    result = predict(exported, reports, tmp_path / "out.csv", *words)
    assert result.exit_code == 0, result.exception
    assert FakeLLM.asked[1] == {"temperature": 0.0, "max_tokens": 96}
    assert pl.read_csv(tmp_path / "out.csv").select("label", "code").unique().rows() == [("edema", "J81.0")]


def test_a_shard_is_chosen_by_the_id() -> None:
    ids = [f"r{n}" for n in range(1000)]
    shares = [[i for row, i in enumerate(ids) if Shard(k, 4).holds(i, row)] for k in (1, 2, 3, 4)]
    assert sorted(report for share in shares for report in share) == sorted(ids)
    assert all(200 < len(share) < 300 for share in shares)
    assert [Shard(k, 3).holds(None, 7) for k in (1, 2, 3)] == [False, True, False]
