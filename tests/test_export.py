"""`raddistill export`: what others load answers as the adapter does, or is not written."""

import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from ruamel.yaml import YAML
from student_world import LABELS, ROOT, RUNTIME, examples_of, train_params
from test_cli import told
from typer.testing import CliRunner

from raddistill import cli, params, paths
from raddistill.apps.export import card, command, forms, gguf_form
from raddistill.apps.export.agreement import is_fault
from raddistill.apps.export.command import Form, export
from raddistill.errors import InputError
from raddistill.student import adapters, models, tagging, training
from raddistill.student.predicting import Answerer
from raddistill.tables import base as tables
from raddistill.tables import student_settings
from raddistill.tables.examples import Examples
from raddistill.tables.reports import Reports
from raddistill.tasks.names import TASKS

Make = Callable[..., Path]
CALIBRATION = {
    "temperature": 0.8, "against": "teacher", "reports": 8, "budget": ["secret-id"],
    "labels": {label.name: {"threshold": 0.4, "teacher_uncertain_is_present": True} for label in LABELS},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an export asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tagging, "NEAREST", 0.0)  # whatever is pointed at is an answer


def make(folder: Path, base: Path, answers: tuple[str, str], quantization: str = "none") -> None:
    """A pipeline's folder with an adapter of random weights, trained on nothing."""
    examples = examples_of(base, answers)
    chosen, p = examples.filter("selected"), train_params(quantization=quantization)
    model = training.build_trainer(p, chosen, base, folder / "checkpoints", RUNTIME).model
    drawn = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2, generator=drawn)
    adapters.save(model, folder / paths.ADAPTER, p, base, chosen, training.outputs_of(chosen))
    tables.write_json(CALIBRATION, folder / paths.CALIBRATION)
    tables.write(Examples, examples, folder / paths.EXAMPLES)
    write_reports(folder, examples, "public")
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    student_settings.StudentSettings(
        labels=LABELS,
        tasks={
            task: student_settings.TaskSettings(answers=form, units="sentences")
            for task, form in zip(TASKS, answers, strict=True)
        },
        max_tokens=512,
        codes={"mild edema": "J81.0"},
    ).write(folder / paths.ADAPTER / paths.STUDENT_SETTINGS.name)
    content = params.read(ROOT / "params.yaml")
    content["predict"]["student_validation"]["max_new_tokens"] = 4
    content["runtime"] |= {"threads": 1, "progress": False}
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(content, file)


def write_reports(folder: Path, examples: pl.DataFrame, sensitivity: str) -> None:
    rows = examples.select("report_id", "split").unique().with_columns(
        source=pl.lit("ours"), sensitivity=pl.lit(sensitivity), text=pl.lit("x"), text_group=pl.col("report_id"),
        **{name: pl.lit(None, pl.String) for name in ("patient_id", "findings", "impression", "indication", "comparison")},
    )  # fmt: skip
    tables.write(Reports, rows.select(Reports.column_names()), folder / paths.REPORTS)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, base: Path, encoder: Path) -> Make:
    made: dict[tuple[str, ...], Path] = {}

    def find(*answers: str, model: str = "llama", quantization: str = "none") -> Path:
        key = (*answers, model, quantization)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("project")
            make(made[key], encoder if model == "bert" else base, answers, quantization)
        return made[key]

    return find


@pytest.mark.parametrize(("answers", "model", "quantization", "served"), [
    (("head", "tags"), "llama", "nf4", {"merged": "TokenClassification", "classifier": "SequenceClassification", "gguf": ""}),
    (("slots", "lines"), "llama", "none", {"merged": "CausalLM", "gguf": ""}),
    (("head", "lines"), "llama", "none", {"merged": "CausalLM", "classifier": "SequenceClassification"}),
    (("head", "tags"), "bert", "none", {"merged": "TokenClassification"}),
])  # fmt: skip
def test_each_form_answers_as_the_adapter_and_its_card_loads_it(
    projects: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: Any, model: str, quantization: str, served: Any
) -> None:
    project = projects(*answers, model=model, quantization=quantization)
    monkeypatch.chdir(project)
    printed = told("export", str(tmp_path / "out"), *(word for form in served for word in ("--form", form)))
    student = Answerer.load("student", paths.ADAPTER, RUNTIME)
    for form, architecture in served.items():
        folder = tmp_path / "out" / form
        assert f"{folder}: " in printed
        files = {file.name for file in folder.iterdir()}
        assert files >= {"README.md", "provenance.json", "calibration.json", "student_settings.json"}
        assert not [file for file in files if file.startswith("adapter")]
        readable = "".join(file.read_text() for file in folder.iterdir() if file.suffix in (".md", ".json"))
        assert str(tmp_path) not in readable
        assert "secret-id" not in readable
        assert str(models.base_folder(paths.ADAPTER / "base.json")) not in readable
        if architecture:
            assert json.loads((folder / "config.json").read_text())["architectures"] == [f"{model.title()}For{architecture}"]
        monkeypatch.chdir(folder)
        there: dict[str, Any] = {}
        code = re.search(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
        assert code
        exec(code[1], there)  # noqa: S102
        monkeypatch.chdir(project)
        if answers[0] == "head" and "logits" in there:
            asked = pl.DataFrame({"report_id": "r", "task": "multiple_choice", "part": [0, 1], "prompt": card.SENTENCES})
            here = (
                student.read_head(asked, LABELS).filter(answer="yes").group_by("label", maintain_order=True).agg(pl.max("logit"))
            )
            assert there["logits"].tolist() == pytest.approx(here["logit"].to_list(), abs=0.15)
            assert here["logit"].std() > 0.3
        if answers[1] == "tags" and form != "classifier":
            assert 0 < there["of_words"].min() < there["of_words"].max() < 1
        if answers[1] == "lines" and form == "merged":
            assert isinstance(there["answer"], str)


@pytest.mark.parametrize(("answers", "model", "form", "message"), [
    (("slots", "lines"), "llama", "classifier", "slots.*export --form merged"),
    (("list", "lines"), "llama", "classifier", "in words .list."),
    (("head", "tags"), "bert", "classifier", "token classifier"),
    (("head", "tags"), "bert", "gguf", "tokenizers of GPT-2, SmolLM and Llama 3, .*; export --form merged"),
])  # fmt: skip
def test_a_form_that_does_not_fit_is_refused_with_one_that_does(
    projects: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: Any, model: str, form: str, message: str
) -> None:
    monkeypatch.chdir(projects(*answers, model=model))
    monkeypatch.setattr(Answerer, "answer", None)  # minutes, with a real model
    with pytest.raises(InputError, match=message):
        export(tmp_path / "out", [Form(form)])
    assert not (tmp_path / "out").exists()


def unpermuted(model: Any) -> Any:
    config = model.config
    config.num_attention_heads, kept = 1, config.num_attention_heads
    yield from TENSORS(model)
    config.num_attention_heads = kept


TENSORS, MERGE, TOKENIZER = gguf_form._tensors, forms.merge, forms.text_tokenizer


def forgotten(adapter: Path, base: str) -> Any:
    """The base without the adapter, but with its `score`."""
    score = MERGE(adapter, base).score
    model = models.load_base(adapter / "base.json", "none").to(torch.bfloat16)
    model.score = score
    return model


def padded_by_the_end(tokenizer: Any) -> Any:
    made = TOKENIZER(tokenizer)
    made.pad_token = made.eos_token
    return made


@pytest.mark.parametrize(("form", "module", "name", "broken"), [
    ("merged", forms, "merge", forgotten),
    ("classifier", forms, "text_tokenizer", padded_by_the_end),
    ("gguf", gguf_form, "_tensors", unpermuted),
])  # fmt: skip
def test_what_does_not_answer_as_the_adapter_is_not_written(
    projects: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, module: Any, name: str, broken: Any
) -> None:
    monkeypatch.chdir(projects("head", "tags", quantization="nf4"))
    monkeypatch.setattr(module, name, broken)
    with pytest.raises(InputError, match=rf"{form} does not answer as the adapter .*multiple_choice: \d+ of \d+ stated by both"):
        export(tmp_path / "new/out", [Form(form)], sample=8)
    assert not (tmp_path / "new/out").exists()


@pytest.mark.parametrize(("either", "both", "decisions", "largest", "wrong"), [
    (100, 96, 1000, 0.1, False),
    (100, 94, 1000, 0.1, True),  # of 1,000 decisions 6 differ
    (100, 94, 100_000, 0.1, True),  # nearly all decisions are "absent" by both
    (100, 95, 0, None, False),
    (100, 94, 0, None, True),
    (100, 100, 1000, float("nan"), True),
])  # fmt: skip
def test_bars(either: int, both: int, decisions: int, largest: float | None, wrong: bool) -> None:
    assert is_fault(either, both, decisions, largest) == wrong


def test_a_model_of_private_reports_needs_a_word(projects: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = shutil.copytree(projects("head", "tags", quantization="nf4"), tmp_path / "project")
    monkeypatch.chdir(project)
    words = ["export", str(tmp_path / "out"), "--form", "classifier", "--sample", "3"]
    examples = pl.read_parquet(paths.EXAMPLES)
    write_reports(project, examples, "phi")
    with pytest.raises(InputError, match=r"are phi\. .*--saw-private-reports"):
        CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert not (tmp_path / "out").exists()
    at_a_terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    with monkeypatch.context() as patch:
        patch.setattr(command, "sys", at_a_terminal)
        asked = CliRunner().invoke(cli.app, words, input="n\n", catch_exceptions=False)
        assert (asked.exit_code, "Export it? [y/N]" in asked.output) == (1, True)
        assert not (tmp_path / "out").exists()
        assert CliRunner().invoke(cli.app, words, input="y\n", catch_exceptions=False).exit_code == 0
        shutil.rmtree(tmp_path / "out")
    told(*words, "--saw-private-reports")
    assert "TRAINING REPORTS ARE PHI" in (tmp_path / "out/classifier/README.md").read_text()
    with pytest.raises(InputError, match="is there already"):
        CliRunner().invoke(cli.app, words, catch_exceptions=False)
    write_reports(project, examples, "public")
    write_reports(project, examples.filter(pl.col("report_id") != "train0"), "public")
    with pytest.raises(InputError, match="unknown"):
        export(tmp_path / "other", [Form.MERGED])
    write_reports(project, examples, "public")
    tables.write(Examples, examples.with_columns(selected=pl.col("report_id") != "train0"), paths.EXAMPLES)
    with pytest.raises(InputError, match=r"unknown .*not trained on"):
        export(tmp_path / "other", [Form.MERGED])


def test_figures_are_told_only_of_the_adapter_that_they_belong_to(
    projects: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    project = shutil.copytree(projects("head", "tags", quantization="nf4"), tmp_path / "project")
    monkeypatch.chdir(project)
    assert card.locked_stages(paths.ADAPTER, paths.CALIBRATION) == {}
    predicted = paths.table("predictions", "student_test")
    for file in (predicted, paths.FINAL_METRICS):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    stages = {
        "predict@student_test": {"cmd": "true", "deps": [str(paths.ADAPTER)], "outs": [{str(predicted): {"persist": True}}]},
        "final": {
            "cmd": "true",
            "deps": [str(predicted), str(paths.CALIBRATION)],
            "metrics": [{str(paths.FINAL_METRICS): {"cache": False, "persist": True}}],
        },
    }
    Path("dvc.yaml").write_text(json.dumps({"stages": {name.replace("@", "-"): stage for name, stage in stages.items()}}))
    repo = Repo.init(no_scm=True)
    repo.commit(force=True)
    Path("dvc.lock").write_text(Path("dvc.lock").read_text().replace("predict-student_test", "predict@student_test"))
    assert set(card.locked_stages(paths.ADAPTER, paths.CALIBRATION)) == set(stages)
    for file in (paths.FINAL_METRICS, paths.CALIBRATION, paths.ADAPTER / "README.md"):
        before = file.read_text()
        file.write_text(before + " ")
        assert card.locked_stages(paths.ADAPTER, paths.CALIBRATION) == {}, file
        file.write_text(before)
    assert card.locked_stages(paths.ADAPTER, paths.CALIBRATION)


def test_llama_cpp_is_told_the_rotary_scaling_of_llama_3() -> None:
    """By the formula of llama.cpp's converter: unscaled, scaled, and between."""
    from transformers import LlamaConfig

    scaling = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = LlamaConfig(
        hidden_size=256, num_attention_heads=2, rope_parameters=scaling | {"original_max_position_embeddings": 8192}
    )
    wanted = []
    for n in range(0, 128, 2):
        waves = 8192 / (2 * torch.pi * 500000.0 ** (n / 128))
        wanted.append(1.0 if waves > 4 else 8.0 if waves < 1 else 1 / ((1 - (waves - 1) / 3) / 8 + (waves - 1) / 3))
    assert len(set(wanted)) > 4
    assert gguf_form._rotary_factors(config).tolist() == pytest.approx(wanted, rel=1e-4)
    config.rope_parameters = {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 8.0}
    with pytest.raises(InputError, match="rotary scaling yarn"):
        gguf_form._rotary_factors(config)


DIGITS, SPLIT = {"type": "Digits", "individual_digits": True}, {"type": "Split", "pattern": {"Regex": gguf_form._LLAMA3}}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


@pytest.mark.parametrize(("steps", "name"), [
    ([BYTES], "gpt-2"),
    ([DIGITS, BYTES], "smollm"),
    ([SPLIT, BYTES | {"use_regex": False}], "llama-bpe"),
    ([SPLIT, BYTES], ""),
    ([BYTES | {"add_prefix_space": True}], ""),
    ([{"type": "Metaspace"}], ""),
])  # fmt: skip
def test_llama_cpp_is_told_how_the_tokenizer_splits(steps: Any, name: str) -> None:
    step = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}
    parts = json.dumps({"pre_tokenizer": step, "normalizer": None, "model": {"type": "BPE"}})
    tokenizer = SimpleNamespace(backend_tokenizer=SimpleNamespace(to_str=lambda: parts))
    if name:
        assert gguf_form.pre_tokenizer(tokenizer) == name
    else:
        with pytest.raises(InputError, match="has another one"):
            gguf_form.pre_tokenizer(tokenizer)
