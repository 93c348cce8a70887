"""The training that the stage runs, on a random two-layer Llama: exact losses, real NF4, resume, stable bytes."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoTokenizer

from raddistill import params
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student import forward, losses, models, training
from raddistill.student.prompts import IGNORED, Renderer, answer_ids, encode, slot_lines

ROOT = Path(__file__).parents[1]
LABELS = [Label(name=name, description="") for name in ("Edema", "Pleural Effusion", "Fracture")]
WORDS = ["the", "heart", "is", "enlarged", "no", "effusion", "mild", "edema", "rib", "fracture", "clear", "lungs"]
RUNTIME = params.RuntimeParams(threads=1, predict_tokens=512, progress=False)


@pytest.fixture(scope="module")
def examples(base: Path) -> pl.DataFrame:
    tokenizer = models.load_tokenizer(base)
    renderer = Renderer(ROOT / "prompts/student", tokenizer, LABELS)
    draw = random.Random(5)
    rows = []
    for n in range(40):
        text = "FINDINGS: " + " ".join(draw.choices(WORDS, k=draw.randint(3, 25)))
        for task, form in (("multiple_choice", "slots"), ("open_ended", "lines")):
            rows.append(
                {
                    "report_id": f"r{n}",
                    "task": task,
                    "split": "train" if n < 32 else "validation",
                    "answers": form,
                    "prompt": renderer.prompt(form, text),
                    "completion": slot_lines(LABELS) if form == "slots" else draw.choice(["None", "mild edema | J81.0"]),
                    "targets": [1.0, None, 0.25] if form == "slots" else None,
                    "selected": True,
                    "order": n,
                    "template_hash": form,
                }
            )
    return pl.DataFrame(rows, schema_overrides={"targets": pl.List(pl.Float64)})


def train_params(**changed: Any) -> training.TrainParams:
    p = params.load("train", training.TrainParams)
    return p.model_copy(update={"batch_size": 4, "evaluate_every": 5, "lora_rank": 4, "lora_alpha": 8, **changed})


def some(examples: pl.DataFrame, base: Path, n: int) -> tuple[list[Any], list[Any]]:
    tokenizer = models.load_tokenizer(base)
    rows = examples.sort("report_id").head(n)
    columns = rows.select("prompt", "completion", "answers").iter_rows()
    return [encode(tokenizer, p, c, a) for p, c, a in columns], rows["targets"].to_list()


def test_shared_prefix_changes_neither_loss_nor_gradient(
    examples: pl.DataFrame, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, targets = some(examples, base, 10)
    model = models.load_base(base, "none").float()
    answers = answer_ids(models.load_tokenizer(base))
    assert forward.shared_length(batch) >= forward.MIN_SHARED

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        each = losses.example_losses(model.model, model.lm_head, batch, targets, answers)
        each.mean().backward()
        return each.detach(), model.model.layers[0].self_attn.k_proj.weight.grad.clone()

    shared, shared_gradient = run()
    monkeypatch.setattr(forward, "MIN_SHARED", 10**6)
    whole, whole_gradient = run()
    assert torch.allclose(shared, whole, atol=1e-5)
    assert torch.allclose(shared_gradient, whole_gradient, atol=1e-6)
    assert whole_gradient.abs().max() > 1e-5


def test_losses_are_those_of_the_model_run_alone(examples: pl.DataFrame, base: Path) -> None:
    """Against transformers' own loss (text) and a plain forward per report (slots), one example at a time."""
    batch, targets = some(examples, base, 6)
    model = models.load_base(base, "none").float()
    yes, no = answer_ids(models.load_tokenizer(base))
    got = losses.example_losses(model.model, model.lm_head, batch, targets, (yes, no))
    for example, target, loss in zip(batch, targets, got, strict=True):
        ids = torch.tensor([example.input_ids])
        if not example.slots:
            written = sum(label != IGNORED for label in example.labels)
            expected = model(input_ids=ids, labels=torch.tensor([example.labels])).loss * written / losses.ANSWER_TOKENS
        else:
            logits = model(input_ids=ids).logits[0, example.slots]
            known = [i for i, t in enumerate(target) if t is not None]
            odds = (logits[:, yes] - logits[:, no])[known]
            wanted = torch.tensor([target[i] for i in known])
            expected = -(wanted * odds.sigmoid().log() + (1 - wanted) * (1 - odds.sigmoid()).log()).mean()
        assert loss.item() == pytest.approx(expected.item(), abs=1e-4)


def test_prefix_stops_short_of_identical_prompts(examples: pl.DataFrame, base: Path) -> None:
    batch, _ = some(examples.filter(pl.col("task") == "open_ended"), base, 1)
    assert forward.shared_length([batch[0], batch[0]]) == batch[0].prompt_length - 1
    assert forward.shared_length(batch) == 0


@pytest.mark.parametrize("seed", range(3))
def test_every_row_comes_once_an_epoch_in_batches_of_like_length(seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.randint(50, 400) for _ in range(203)]
    tasks = [draw.choice(["multiple_choice", "open_ended"]) for _ in lengths]
    order = training.batch_order(lengths, tasks, train_params(seed=seed, epochs=2, batch_size=8))
    assert sorted(order[:203]) == sorted(order[203:]) == list(range(203))
    assert order[:203] != order[203:]
    batches = [order[i : i + 8] for i in range(0, 184, 8)]
    padded = sum(8 * max(lengths[i] for i in b) for b in batches)
    assert padded < 1.15 * sum(lengths[i] for b in batches for i in b)  # in random order it is about 1.6


def test_gradients_after_an_evaluation_equal_those_without(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    """bitsandbytes 0.50 on AVX512-BF16 CPUs loses the base path of gradients after one forward in eval mode."""
    first = training.build_trainer(train_params(), examples, base, tmp_path, RUNTIME)
    rows = [first.train_dataset[i] for i in range(4)]

    def gradients(evaluate: bool) -> dict[str, torch.Tensor]:
        trainer = training.build_trainer(train_params(), examples, base, tmp_path, RUNTIME)
        for name, parameter in trainer.model.named_parameters():  # B starts at zero: then no gradient goes upstream at all
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.02)
        if evaluate:
            trainer.evaluate()
        trainer.model.train()
        trainer._losses(trainer.model, rows).mean().backward()
        return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}

    without, after = gradients(False), gradients(True)
    assert without.keys() == after.keys()
    assert len(without) == 28  # 7 linears, A and B, in 2 layers
    assert all(g.abs().max() > 0 for g in without.values())
    assert all(torch.equal(without[name], after[name]) for name in without)


def test_real_nf4_and_fp32_adapters(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    from bitsandbytes.nn import Linear4bit

    model = training.build_trainer(train_params(), examples, base, tmp_path, RUNTIME).model
    quantised = [m for m in model.modules() if isinstance(m, Linear4bit)]
    assert len(quantised) >= 14
    state = quantised[0].weight.quant_state
    assert (state.quant_type, state.nested, quantised[0].weight.dtype) == ("nf4", True, torch.uint8)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    plain = training.build_trainer(train_params(quantization="none"), examples, base, tmp_path, RUNTIME).model
    assert not any(isinstance(m, Linear4bit) for m in plain.modules())


def test_evaluation_loss_weighs_every_example_alike(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    trainer = training.build_trainer(train_params(batch_size=5), examples, base, tmp_path, RUNTIME)  # 16 examples: 5, 5, 5, 1
    trainer.model.eval()
    with torch.no_grad():
        each = torch.cat([trainer._losses(trainer.model, [row]) for row in trainer.eval_dataset])
    assert trainer.evaluate()["eval_loss"] == pytest.approx(each.mean().item(), abs=2e-3)


@pytest.fixture(scope="module")
def undisturbed(examples: pl.DataFrame, base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, training.Trained]:
    """The folder of a whole training, in `adapter` what it wrote, and what it told."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trained = training.train(train_params(), examples, base, folder / "checkpoints", RUNTIME, folder / "adapter")
    return folder, trained


KILLED = """
import os, signal, sys
import polars as pl
from pathlib import Path
from raddistill import params
from raddistill.student import training
from transformers import TrainerCallback
sys.path.insert(0, "tests")
from test_training import RUNTIME, train_params
base, folder, adapter, examples = map(Path, sys.argv[1:])
class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 8:
            os.kill(os.getpid(), signal.SIGKILL)
build = training.build_trainer
def killing(*args):
    trainer = build(*args)
    trainer.add_callback(Kill())
    return trainer
training.build_trainer = killing
training.train(train_params(), pl.read_parquet(examples), base, folder, RUNTIME, adapter)
"""


def test_killed_run_resumes_to_the_same_bytes(
    examples: pl.DataFrame,
    base: Path,
    undisturbed: tuple[Path, training.Trained],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """kill -9 at step 8; the next run goes on after step 5 and ends as an undisturbed one does."""
    table, checkpoints, adapter = tmp_path / "examples.parquet", tmp_path / "checkpoints", tmp_path / "adapter"
    examples.write_parquet(table)
    words = [sys.executable, "-c", KILLED, base, checkpoints, adapter, table]
    killed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert not adapter.exists()
    assert [c.name for c in checkpoints.glob("*/checkpoint-*")] == ["checkpoint-5"]
    trained = training.train(train_params(), pl.read_parquet(table), base, checkpoints, RUNTIME, adapter)
    assert "resuming after step 5" in capsys.readouterr().out
    assert trained.metrics == undisturbed[1].metrics
    assert sorted(p.name for p in adapter.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "base.json", "provenance.json",
    ]  # fmt: skip
    whole = undisturbed[0] / "adapter"
    for name in set(os.listdir(whole)) - {"provenance.json"}:
        assert (whole / name).read_bytes() == (adapter / name).read_bytes(), name
    here, there = (json.loads((folder / "provenance.json").read_text()) for folder in (whole, adapter))
    assert here | {"git_commit": ""} == there | {"git_commit": ""}  # who works in this clone may commit between the two
    for folder in (checkpoints, undisturbed[0] / "checkpoints"):
        assert not list(folder.iterdir())


def test_checkpoints_of_other_params_or_data_are_not_taken_up(examples: pl.DataFrame, base: Path) -> None:
    told = training.fingerprint(train_params(), examples, base)
    assert told == training.fingerprint(train_params(), examples.reverse(), base)
    assert told != training.fingerprint(train_params(learning_rate=0.002), examples, base)
    other = examples.with_columns(targets=pl.when(pl.col("report_id") == "r3").then(None).otherwise("targets"))
    assert told != training.fingerprint(train_params(), other, base)


def test_adapter_says_what_it_was_made_from(base: Path, undisturbed: tuple[Path, training.Trained]) -> None:
    adapter, trained = undisturbed[0] / "adapter", undisturbed[1]
    provenance = json.loads((adapter / "provenance.json").read_text())
    assert provenance["params"] == train_params().model_dump()
    assert set(provenance["libraries"]) >= {"torch", "trl", "peft"}
    assert len(provenance["git_commit"]) == 40
    assert (adapter / "base.json").read_bytes() == base.read_bytes()
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None
    assert config["target_modules"] == sorted(config["target_modules"])
    card = (adapter / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: peft")
    assert "64 labels of\n32 reports" in card
    assert trained.metrics["examples"]["train"] == {"multiple_choice": 32, "open_ended": 32}
    assert trained.validation_curve["loss"].min() == pytest.approx(trained.metrics["validation_loss"], abs=1e-4)
    assert models.load_student(adapter).config.num_hidden_layers == 2


def test_nothing_to_train_on(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no examples to train or validate on"):
        training.train(train_params(), examples.filter(pl.col("split") == "train"), base, tmp_path, RUNTIME, tmp_path / "adapter")


def test_changed_and_missing_weights_are_named(base: Path, tiny_base: Path, tmp_path: Path) -> None:
    record = json.loads(base.read_text())
    other = tmp_path / "base.json"
    other.write_text(json.dumps(record | {"files": record["files"] | {"config.json": "0" * 64}}))
    with pytest.raises(InputError, match=r"config\.json of the base model is not the one that .*base\.json records"):
        models.base_folder(other)
    other.write_text(json.dumps(record | {"files": {"gone.safetensors": "0" * 64}}))
    with pytest.raises(InputError, match=r"lacks gone\.safetensors"):
        models.base_folder(other)
    with pytest.raises(InputError, match=r"base\.json is missing"):
        models.base_folder(tmp_path / "none" / "base.json")
    with pytest.raises(InputError, match="holds no adapter"):
        models.load_student(tmp_path)


def test_tokenizer_without_chat_template(base: Path, tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    (tmp_path / "base.json").write_text(json.dumps({"source": "folder", "folder": str(folder), "files": {}}))
    with pytest.raises(InputError, match="no chat template"):
        models.load_tokenizer(tmp_path / "base.json")
