"""What training does on a GPU, as far as a CPU can show it: layers, passes by tokens, memory plan, several processes."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from student_world import ROOT, RUNTIME, examples_of, train_params

from raddistill.errors import InputError
from raddistill.student import cpu_setup, forward, gpu_layers, models, trainer, training
from raddistill.student.gpu_memory import LEAST, MOST, MemoryPlan, kept_per_token, plan_memory, require_room
from raddistill.student.prompts import Encoded

LLAMA_8B = SimpleNamespace(
    model_type="llama",
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    tie_word_embeddings=False,
)  # Llama-3.1-8B
LLAMA_70B = SimpleNamespace(
    **vars(LLAMA_8B) | {"hidden_size": 8192, "intermediate_size": 28_672, "num_hidden_layers": 80, "num_attention_heads": 64}
)
GIB = 2**30


@pytest.mark.parametrize(("quantization", "off"), [("none", 0.03), ("nf4", 0.03), ("fp8", 0.1)])
def test_gpu_layers_compute_what_peft_computes(
    quantization: str, off: float, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.bfloat16)
    loaded = models.load_base(base, "nf4" if quantization == "nf4" else "none")
    torch.manual_seed(3)
    model = get_peft_model(loaded, training._lora(train_params(lora_rank=8), 0, is_encoder=False))
    trainer.settle_precision(model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # starts at zero, where A gets no gradient
            torch.nn.init.normal_(parameter, std=0.05)
    ids = torch.randint(0, loaded.config.vocab_size, (3, 20))

    def gradient() -> torch.Tensor:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss: Any = model(input_ids=ids, labels=ids).loss
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])

    expected = gradient()
    gpu_layers.use_gpu_layers(model, quantization)
    found = gradient()
    assert expected.norm() > 0.01
    assert 0 < (found - expected).norm() / expected.norm() < off  # not the same bits, so PEFT's own layers did not run


def test_layers_with_a_bias_stay_as_they_are() -> None:
    """Encoders have them, and `LoraLinear` has none."""
    plain = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Linear(16, 16, bias=False))
    model = get_peft_model(plain, LoraConfig(r=2, target_modules=["0", "1"]))
    gpu_layers.use_gpu_layers(model, "none")
    assert ["forward" in vars(m) for m in model.modules() if isinstance(m, LoraLayer)] == [False, True]
    with pytest.raises(InputError, match="a linear layer has a bias"):
        gpu_layers.use_gpu_layers(model, "fp8")


def test_fp8_keeps_each_row_to_three_bits() -> None:
    x = torch.randn(5, 64) * torch.tensor([1e-6, 1e-2, 1.0, 1e3, 1e6]).unsqueeze(1)
    eighths, scale = gpu_layers.quantise_rows(x)
    assert (eighths.dtype, scale.shape) == (torch.float8_e4m3fn, (5, 1))
    assert ((eighths.float() * scale - x).abs() / x.abs().amax(1, keepdim=True)).max() < 2**-4
    assert torch.equal(gpu_layers.quantise_rows(torch.zeros(1, 4))[0].float(), torch.zeros(1, 4))


def test_fp8_is_refused_where_nothing_computes_in_it(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs a GPU of compute capability 8\.9"):
        models.load_base(base, "fp8")
    p = train_params(quantization="fp8", lora_dropout=0.1)
    with pytest.raises(InputError, match="lora_dropout to 0"):
        training.train(p, examples_of(base), base, tmp_path, RUNTIME, tmp_path / "adapter")


def test_memory_decides_on_tokens_and_checkpointing() -> None:
    assert kept_per_token(LLAMA_8B) / 2**20 == pytest.approx(4.7, abs=0.1)
    large, small = plan_memory(LLAMA_8B, 70 * GIB), plan_memory(LLAMA_8B, 14 * GIB)
    assert (large.tokens, large.recompute) == (MOST, False)
    assert small.recompute
    assert LEAST < small.tokens <= MOST
    between = plan_memory(LLAMA_8B, 28 * GIB)
    assert not between.recompute
    assert between.tokens * kept_per_token(LLAMA_8B) <= 28 * GIB * 0.9
    assert plan_memory(LLAMA_8B, 0).tokens == 1
    assert plan_memory(LLAMA_8B, 50 * GIB, fused=False).tokens < plan_memory(LLAMA_8B, 50 * GIB).tokens


@pytest.mark.parametrize(("config", "quantization", "gib", "fits"), [
    (LLAMA_8B, "nf4", 8, True), (LLAMA_8B, "none", 8, False), (LLAMA_8B, "fp8", 24, True),
    (LLAMA_70B, "nf4", 79, True), (LLAMA_70B, "nf4", 24, False), (LLAMA_70B, "none", 79, False),
])  # fmt: skip
def test_a_base_larger_than_a_gpu_is_refused_with_what_to_do(config: Any, quantization: str, gib: int, fits: bool) -> None:
    if fits:
        require_room(config, quantization, gib * GIB)
        return
    with pytest.raises(InputError, match=rf"needs [\d.]+ GiB in {quantization}, .*{gib}\.0 free\. .* more of them do not help"):
        require_room(config, quantization, gib * GIB)


def test_a_base_is_refused_before_a_weight_is_read(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {0: 80 * GIB, 1: 50_000}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: (free[gpu], 80 * GIB))
    loaded = classmethod(lambda *_, **__: pytest.fail("the weights were loaded"))
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", loaded)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(InputError, match="Each GPU holds the whole base"):
        training.train(train_params(), examples_of(base), base, tmp_path, RUNTIME, tmp_path / "adapter")


@pytest.mark.parametrize(("launch", "quantization", "message"), [
    ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, "nf4", "FSDP2 with nf4 .* wrong outputs .*bitsandbytes issue 1945"),
    ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, "none", "FSDP divides the base"),
    ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "nf4", "FSDP divides the base"),
    ({"ACCELERATE_USE_DEEPSPEED": "true"}, "nf4", "DEEPSPEED divides the base"),
])  # fmt: skip
def test_a_launch_that_divides_the_base_is_refused(
    launch: dict[str, str], quantization: str, message: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in launch.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(training, "build_trainer", lambda *_: pytest.fail("the training was built"))
    p = train_params(quantization=quantization)
    with pytest.raises(InputError, match=f"{message}.*torchrun: each GPU holds the whole base"):
        training.train(p, examples_of(base), base, tmp_path, RUNTIME, tmp_path / "adapter")


def test_a_launch_by_torchrun_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    monkeypatch.setenv("FSDP_VERSION", "2")
    cpu_setup.refuse_sharding("nf4")


def test_a_batch_in_several_passes_steps_as_in_one(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.float32)
    examples, curves, passes = examples_of(base), [], []
    for tokens in (None, 60):
        built = training.build_trainer(train_params(quantization="none", batch_size=8), examples, base, tmp_path, RUNTIME)
        built._tokens = tokens
        first = [built.train_dataset[i] for i in range(8)]
        passes.append(list(built._passes(first)))
        assert [row["input_ids"] for part in passes[-1] for row in part] == [row["input_ids"] for row in first]
        built.train()
        curves.append([h["grad_norm"] for h in built.state.log_history if "grad_norm" in h])
    assert (len(passes[0]), len(passes[1]) > 2) == (1, True)
    assert all(len(part) * max(len(row["input_ids"]) for row in part) <= 60 for part in passes[1] if len(part) > 1)
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)


def test_recomputed_activations_change_no_gradient(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With prompts that share a prefix: transformers fills no cache while it recomputes activations."""
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.float32)
    examples, curves, settings = examples_of(base, ("slots", "lines")), [], training._settings
    for plan in (None, MemoryPlan(tokens=10_000, recompute=True)):
        monkeypatch.setattr(training, "_settings", lambda p, folder, steps, _, plan=plan: settings(p, folder, steps, plan))
        built = training.build_trainer(train_params(quantization="none", batch_size=8), examples, base, tmp_path, RUNTIME)
        assert forward.shared_length([Encoded(**_fields(built.train_dataset[i])) for i in range(8)]) > 8
        built.train()
        curves.append([(h["loss"], h["grad_norm"]) for h in built.state.log_history if "grad_norm" in h])
    assert len(curves[0]) >= 2
    for kept, recomputed in zip(*curves, strict=True):
        assert kept == pytest.approx(recomputed, rel=1e-3)


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Encoded.__dataclass_fields__}


TWO = """
import sys
from pathlib import Path
import polars as pl, torch
sys.path.insert(0, "tests")
from student_world import RUNTIME, train_params
from raddistill.student import adapters, models, training
models.compute_dtype = lambda: torch.float32
base, examples, folder = map(Path, sys.argv[1:])
save = adapters.save
def told(*args):
    with open(folder / "saved", "a") as file:
        file.write("once ")
    save(*args)
adapters.save = told
p = train_params(quantization="none", batch_size=8)
trained = training.train(p, pl.read_parquet(examples), base, folder / "unfinished", RUNTIME, folder / "adapter")
trained.curve.write_csv(folder / "curve.csv")
trained.validation_curve.write_csv(folder / "validation.csv")
"""


def test_two_processes_train_as_one_and_write_once(base: Path, tmp_path: Path) -> None:
    examples_of(base).write_parquet(tmp_path / "examples.parquet")
    (tmp_path / "two.py").write_text(TWO)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, command in (("one", []), ("two", launch)):
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, *command, tmp_path / "two.py", base, tmp_path / "examples.parquet", tmp_path / name],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    for table in ("curve.csv", "validation.csv"):
        one, two = (pl.read_csv(tmp_path / name / table) for name in ("one", "two"))
        assert one.columns == two.columns
        for column in one.columns:
            assert two[column].to_list() == pytest.approx(one[column].to_list(), rel=2e-3)
    files = {name: sorted(file.name for file in (tmp_path / name / "adapter").iterdir()) for name in ("one", "two")}
    assert files["one"] == files["two"]
    assert [(tmp_path / name / "saved").read_text() for name in ("one", "two")] == ["once ", "once "]
    by_one, by_two = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("one", "two"))
    assert by_one.keys() == by_two.keys()
    assert all(torch.allclose(by_one[name], by_two[name], atol=1e-3) for name in by_one)
    assert not any((tmp_path / "two" / "unfinished").iterdir())


def test_each_of_several_gpus_gets_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: calls.append(arguments[1:]))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "stages.train"])
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    cpu_setup.train_on_all_gpus()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cpu_setup.train_on_all_gpus()
    assert [" ".join(c) for c in calls] == ["-m torch.distributed.run --standalone --nproc_per_node 4 -m stages.train"]
    monkeypatch.setenv("LOCAL_RANK", "1")  # in such a process
    cpu_setup.train_on_all_gpus()
    assert len(calls) == 1
