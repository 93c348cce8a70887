"""The training that the stage runs, on a random two-layer Llama: exact real NF4, resume, stable bytes."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from student_world import LABELS, ROOT, RUNTIME, examples_of, train_params
from transformers import AutoTokenizer

from raddistill.errors import InputError
from raddistill.student import adapters, checkpoints, forward, models, tagging, trainer, training
from raddistill.student.predicting import Answerer
from raddistill.student.prompts import IGNORED, answer_ids, encode
from raddistill.student.tagging import Codes, token_targets

FORMS = [("head", "tags"), ("slots", "lines")]


@pytest.fixture(scope="module")
def examples(base: Path) -> pl.DataFrame:
    return examples_of(base)


def some(forms: tuple[str, str], base: Path, n: int) -> tuple[list[Any], list[Any]]:
    """Encoded examples of two forms, and their targets."""
    tokenizer = models.load_tokenizer(base)
    columns = ("prompt", "completion", "answers", "targets", "spans")
    rows = list(examples_of(base, forms).sort("part", "report_id", "task").head(n).select(columns).iter_rows())
    encoded = [encode(tokenizer, prompt, completion, form) for prompt, completion, form, *_ in rows]
    pairs = zip(encoded, rows, strict=True)
    return encoded, [token_targets(e.offsets, spans) if spans else targets for e, (*_, targets, spans) in pairs]


def loud_model(base: Path) -> Any:
    """The tiny base in float32 with a layer `score`."""
    model = models.load_base(base, "none").float()
    models.add_score(model, len(LABELS) + 1, seed=4)
    with torch.no_grad():
        model.score.weight.mul_(20)
    return model


@pytest.mark.parametrize("forms", FORMS)
def test_shared_prefix_changes_neither_loss_nor_gradient(forms: Any, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, targets = some(forms, base, 10)
    model, answers = loud_model(base), answer_ids(models.load_tokenizer(base))
    monkeypatch.setattr(forward, "MIN_SHARED", 4)
    assert forward.shared_length(batch) >= 4

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        each = forward.example_losses(model, batch, targets, answers)
        each.mean().backward()
        return each.detach(), model.model.layers[0].self_attn.k_proj.weight.grad.clone()

    shared, shared_gradient = run()
    monkeypatch.setattr(forward, "MIN_SHARED", 10**6)
    whole, whole_gradient = run()
    assert torch.allclose(shared, whole, atol=1e-5)
    assert torch.allclose(shared_gradient, whole_gradient, atol=1e-5)
    assert whole_gradient.abs().max() > 1e-5


def cross_entropy(logits: torch.Tensor, targets: list[float | None]) -> torch.Tensor:
    """By the textbook, over what has a target."""
    known = [i for i, t in enumerate(targets) if t is not None]
    wanted, odds = torch.tensor([targets[i] for i in known]), logits[known]
    return -(wanted * odds.sigmoid().log() + (1 - wanted) * (1 - odds.sigmoid()).log()).sum()


@pytest.mark.parametrize("forms", [*FORMS, ("list", "tags")])
def test_losses_are_those_of_the_model_run_alone(forms: Any, base: Path) -> None:
    """Against transformers' own loss (text) and a plain forward of each example (the other forms)."""
    batch, targets = some(forms, base, 8)
    model = loud_model(base)
    yes, no = answer_ids(models.load_tokenizer(base))
    got = forward.example_losses(model, batch, targets, (yes, no))
    for example, target, loss in zip(batch, targets, got, strict=True):
        ids = torch.tensor([example.input_ids])
        hidden = model.model(input_ids=ids).last_hidden_state[0]
        if example.form == "slots":
            logits = model.lm_head(hidden[example.read_at])
            expected = cross_entropy(logits[:, yes] - logits[:, no], target) / forward.LABEL_LOSS_DIVISOR
        elif example.form == "head":
            expected = cross_entropy((hidden[-1] @ model.score.weight.T)[:-1], target) / forward.LABEL_LOSS_DIVISOR
        elif example.form == "tags":
            expected = cross_entropy((hidden[example.read_at] @ model.score.weight.T)[:, -1], target) / forward.ANSWER_TOKENS
        else:
            written = sum(label != IGNORED for label in example.labels)
            expected = model(input_ids=ids, labels=torch.tensor([example.labels])).loss * written / forward.ANSWER_TOKENS
        assert loss.item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_surer_the_student_the_less_a_target_of_absent_pulls() -> None:
    """By the textbook (Zhang and Sabuncu 2018), on logits alone; other targets are untouched."""
    odds, q = torch.tensor([-3.0, 0.0, 2.0, 40.0], requires_grad=True), 0.7
    each = [forward._binary(odds[i : i + 1].unsqueeze(1), [[0.0]], q) for i in range(4)]
    p = odds.detach().sigmoid().double()
    assert [x.item() for x in each] == pytest.approx(((1 - (1 - p) ** q) / q).tolist(), rel=1e-4)
    plain = forward._binary(odds.unsqueeze(1), [[0.0]] * 4, 0.0)
    pulls, plain_pulls = (torch.autograd.grad(loss.sum(), odds)[0] for loss in (torch.stack(each), plain))
    assert (pulls / plain_pulls).tolist() == pytest.approx(((1 - p) ** q).tolist(), abs=1e-4)
    for target in (1.0, 0.4, None):
        one, other = (forward._binary(odds.unsqueeze(1), [[target]] * 4, share).tolist() for share in (q, 0.0))
        assert one == other


def test_what_is_masked_moves_nothing(base: Path) -> None:
    batch, targets = some(("head", "tags"), base, 6)
    model = loud_model(base)
    masked = [[None] * len(of_example) for of_example in targets]
    assert forward.example_losses(model, batch, masked, (0, 0)).tolist() == [0.0] * 6


def test_prefix_stops_short_of_identical_prompts(base: Path) -> None:
    batch = [example for example in some(("list", "lines"), base, 2)[0] if example.form == "lines"]
    assert forward.shared_length([batch[0], batch[0]]) == batch[0].prompt_length - 1
    assert forward.shared_length(batch) == 0


@pytest.mark.parametrize("form", ["head", "tags"])
def test_a_batch_of_one_example_twice_has_its_loss_twice(base: Path, form: str) -> None:
    """An epoch's last example may stand beside the next epoch's first."""
    batch, targets = some(("head", "tags"), base, 2)
    n, model = [e.form for e in batch].index(form), loud_model(base)
    alone = forward.example_losses(model, batch[n : n + 1], targets[n : n + 1], (0, 0)).tolist()
    twice = forward.example_losses(model, [batch[n]] * 2, [targets[n]] * 2, (0, 0)).tolist()
    assert twice == pytest.approx(alone * 2, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_every_row_comes_once_an_epoch_in_batches_of_like_length(seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.randint(50, 400) for _ in range(203)]
    tasks = [draw.choice(["multiple_choice", "open_ended"]) for _ in lengths]
    order = trainer.batch_order(lengths, tasks, seed, epochs=2, batch_size=8)
    assert sorted(order[:203]) == sorted(order[203:]) == list(range(203))
    assert order[:203] != order[203:]
    batches = [order[i : i + 8] for i in range(0, 184, 8)]
    padded = sum(8 * max(lengths[i] for i in b) for b in batches)
    assert padded < 1.15 * sum(lengths[i] for b in batches for i in b)  # in random order it is about 1.6


def opened(trainer: Any) -> Any:
    """With B of its adapters off zero, where it starts: there no gradient goes upstream at all."""
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(parameter, 0.02)
    return trainer


def test_gradients_after_an_evaluation_equal_those_without(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    """bitsandbytes 0.50 on AVX512-BF16 CPUs loses the base path of gradients after one forward in eval mode."""

    def gradients(evaluate: bool) -> dict[str, torch.Tensor]:
        trainer = opened(training.build_trainer(train_params(), examples, base, tmp_path, RUNTIME))
        if evaluate:
            trainer.evaluate()
        trainer.model.train()
        trainer._losses(trainer.model, [trainer.train_dataset[i] for i in range(8)]).mean().backward()
        return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}

    without, after = gradients(False), gradients(True)
    assert without.keys() == after.keys()
    assert len(without) == 29  # 7 linears, A and B, in 2 layers, and the layer that answers are read from
    assert all(g.abs().max() > 0 for g in without.values())
    assert all(torch.equal(without[name], after[name]) for name in without)


def test_real_nf4_and_fp32_adapters(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    from bitsandbytes.nn import Linear4bit

    model = training.build_trainer(train_params(), examples, base, tmp_path, RUNTIME).model
    quantised = [m for m in model.modules() if isinstance(m, Linear4bit)]
    assert len(quantised) == 14
    weight: Any = quantised[0].weight
    assert (weight.quant_state.quant_type, weight.quant_state.nested, weight.dtype) == ("nf4", True, torch.uint8)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    trained = {name for name, p in model.named_parameters() if p.requires_grad and "lora" not in name}
    assert trained == {"base_model.model.score.modules_to_save.default.weight"}
    plain = training.build_trainer(train_params(quantization="none"), examples, base, tmp_path, RUNTIME).model
    assert not any(isinstance(m, Linear4bit) for m in plain.modules())


def test_what_is_written_or_read_at_names_needs_no_layer_of_its_own(base: Path, tmp_path: Path) -> None:
    frame = examples_of(base, ("slots", "lines"))
    assert training.outputs_of(frame) == 0
    assert not hasattr(training.build_trainer(train_params(), frame, base, tmp_path, RUNTIME).model.get_base_model(), "score")
    assert training.outputs_of(examples_of(base, ("slots", "tags"))) == training.outputs_of(examples_of(base)) == 4
    assert training.outputs_of(examples_of(base, ("list", "tags"))) == 1


def test_evaluation_loss_weighs_every_example_alike(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    few = examples.filter((pl.col("split") == "train") | (pl.col("order") < 3))
    trainer = training.build_trainer(train_params(batch_size=5), few, base, tmp_path, RUNTIME)
    assert len(trainer.eval_dataset) % 5
    trainer.model.eval()
    with torch.no_grad():
        each = torch.cat([trainer._losses(trainer.model, [row]) for row in trainer.eval_dataset])
    assert trainer.evaluate()["eval_loss"] == pytest.approx(each.mean().item(), abs=2e-3)


def test_accumulated_batches_step_as_one_large_batch_does(
    examples: pl.DataFrame, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.float32)
    in_order = list(range(examples.filter(split="train").height))
    monkeypatch.setattr(trainer, "batch_order", lambda *_: in_order[:40])
    curves = []
    for size, accumulated in ((8, 1), (4, 2)):
        p = train_params(batch_size=size, gradient_accumulation=accumulated, quantization="none")
        folder = tmp_path / str(size)
        curves.append(training.train(p, examples, base, folder / "checkpoints", RUNTIME, folder / "adapter"))
    assert [c.metrics["steps"] for c in curves] == [5, 5]
    for column in ("loss", "grad_norm", "learning_rate"):
        assert curves[0].curve[column].to_list() == pytest.approx(curves[1].curve[column].to_list(), rel=1e-3)


@pytest.fixture(scope="module")
def undisturbed(examples: pl.DataFrame, base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, training.Trained]:
    """The folder of a whole training, in `adapter` what it wrote, and what it told."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trained = training.train(train_params(), examples, base, folder / "checkpoints", RUNTIME, folder / "adapter")
    return folder, trained


KILLED = """
import json, os, signal, sys
import polars as pl, torch
from pathlib import Path
from raddistill.student import training
from transformers import TrainerCallback
sys.path.insert(0, "tests")
from student_world import RUNTIME, train_params
base, folder, adapter, examples = map(Path, sys.argv[1:5])
step, moment = int(sys.argv[5]), sys.argv[7]
class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step and moment == "between":
            os.kill(os.getpid(), signal.SIGKILL)
save = torch.save
def half(content, file, *args, **kwargs):
    save(content, file, *args, **kwargs)
    if moment == "writing" and str(file).endswith(f"checkpoint-{step}/optimizer.pt"):
        os.truncate(file, os.path.getsize(file) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = half
build = training.build_trainer
def killing(*args):
    trainer = build(*args)
    trainer.add_callback(Kill())
    return trainer
training.build_trainer = killing
training.train(train_params(**json.loads(sys.argv[6])), pl.read_parquet(examples), base, folder, RUNTIME, adapter)
"""


def kill_at(step: int, examples: pl.DataFrame, base: Path, folder: Path, moment: str = "between", **changed: Any) -> None:
    """A training that is sent kill -9 after a step, or while it writes the step's checkpoint (`writing`).

    It leaves examples.parquet and checkpoints/ in the folder.
    """
    examples.write_parquet(folder / "examples.parquet")
    places = [base, folder / "checkpoints", folder / "adapter", folder / "examples.parquet"]
    words = [sys.executable, "-c", KILLED, *places, str(step), json.dumps(changed), moment]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == -9, run.stderr
    assert not (folder / "adapter").exists()


@pytest.fixture(scope="module")
def killed(examples: pl.DataFrame, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was sent kill -9 at step 13, with examples.parquet and two checkpoints, of steps 5 and 10."""
    folder = tmp_path_factory.mktemp("killed")
    kill_at(13, examples, base, folder)
    assert steps(folder) == [5, 10]
    return folder


def steps(folder: Path) -> list[int]:
    return sorted(int(c.name.split("-")[1]) for c in folder.glob("checkpoints/*/checkpoint-*"))


def newest(folder: Path, step: int = 10) -> Path:
    (checkpoint,) = folder.glob(f"checkpoints/*/checkpoint-{step}")
    return checkpoint


def gone_on(killed: Path, base: Path, **changed: Any) -> training.Trained:
    table = pl.read_parquet(killed / "examples.parquet")
    return training.train(train_params(**changed), table, base, killed / "checkpoints", RUNTIME, killed / "adapter")


WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize(("damaged", "message"), [
    ((), "resuming after step 10"),
    ((10,), "resuming after step 5"),
    ((5, 10), "the training starts anew"),
])  # fmt: skip
def test_a_killed_run_goes_on_after_its_newest_whole_checkpoint_and_ends_with_the_same_bytes(
    base: Path,
    killed: Path,
    undisturbed: tuple[Path, training.Trained],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damaged: tuple[int, ...],
    message: str,
) -> None:
    folder = tmp_path / "moved"  # the paths in the checkpoints are of another place
    shutil.copytree(killed, folder)
    for step in damaged:
        os.truncate(newest(folder, step) / WEIGHTS, 100)
    trained = gone_on(folder, base)
    output = capsys.readouterr().out
    assert message in output
    assert output.count(f"has a damaged {WEIGHTS}; deleted") == len(damaged)
    assert all(f"checkpoint-{step} has" in output for step in damaged)
    assert trained.metrics == undisturbed[1].metrics
    assert trained.curve.equals(undisturbed[1].curve)
    whole, adapter = undisturbed[0] / "adapter", folder / "adapter"
    assert sorted(os.listdir(whole)) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "base.json", "provenance.json",
    ]  # fmt: skip
    assert {name: (whole / name).read_bytes() for name in os.listdir(whole)} == {
        name: (adapter / name).read_bytes() for name in os.listdir(adapter)
    }
    for ended in (folder, undisturbed[0]):
        assert not list((ended / "checkpoints").iterdir())


def test_a_run_killed_while_it_writes_a_checkpoint_ends_with_the_same_bytes(
    examples: pl.DataFrame,
    base: Path,
    undisturbed: tuple[Path, training.Trained],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kill_at(10, examples, base, tmp_path, moment="writing")
    assert steps(tmp_path) == [5, 10]
    assert (newest(tmp_path) / WEIGHTS).exists()
    trained = gone_on(tmp_path, base)
    output = capsys.readouterr().out
    assert "checkpoint-10 was not written to its end; deleted" in output
    assert "resuming after step 5" in output
    assert trained.curve.equals(undisturbed[1].curve)
    whole, adapter = undisturbed[0] / "adapter", tmp_path / "adapter"
    assert sorted(os.listdir(whole)) == sorted(os.listdir(adapter))
    assert [n for n in os.listdir(whole) if (whole / n).read_bytes() != (adapter / n).read_bytes()] == []


def zeroed(file: Path) -> None:
    """As a file system leaves it that lost power before it wrote the end."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def garbled(file: Path) -> None:
    file.write_bytes(b"{" + file.read_bytes())


@pytest.mark.parametrize("name", [
    WEIGHTS, "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_config.json", "SHA256SUMS",
])  # fmt: skip
@pytest.mark.parametrize("spoil", [Path.unlink, zeroed, garbled, lambda file: os.truncate(file, file.stat().st_size // 2)])
def test_a_damaged_checkpoint_is_named_with_its_file_and_passed_over(
    killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, spoil: Any
) -> None:
    shutil.copytree(killed / "checkpoints", tmp_path / "checkpoints")
    checkpoint = newest(tmp_path)
    spoil(checkpoint / name)
    found = checkpoints.newest_usable(checkpoint.parent)
    output = capsys.readouterr().out
    assert found is not None
    assert found.name == "checkpoint-5"
    assert str(checkpoint) in output
    assert (name in output) or (name == "SHA256SUMS" and output)
    assert steps(tmp_path) == [5]


def test_a_checkpoint_whose_best_one_is_damaged_is_not_gone_on_from(
    killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """transformers would end with the last weights instead of the best, and say so in a warning among others."""
    shutil.copytree(killed / "checkpoints", tmp_path / "checkpoints")
    state = newest(tmp_path) / "trainer_state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"best_global_step": 5}))
    checkpoints.seal(newest(tmp_path))
    folder = newest(tmp_path).parent
    assert checkpoints.newest_usable(folder) == newest(tmp_path)
    zeroed(newest(tmp_path, 5) / WEIGHTS)
    assert checkpoints.newest_usable(folder) is None
    output = capsys.readouterr().out
    assert "checkpoint-5 has a damaged" in output
    assert "checkpoint-10 cannot be resumed from" in output
    assert "the training starts anew" in output


def test_a_killed_run_stops_as_early_as_one_that_was_not(
    examples: pl.DataFrame, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evaluations without a better loss before the kill count, too."""
    changed = {"learning_rate": 0.5, "scheduler": "constant", "evaluate_every": 2, "patience": 3}
    whole = training.train(train_params(**changed), examples, base, tmp_path / "other", RUNTIME, tmp_path / "adapter")
    stopped, best = whole.metrics["steps"], whole.metrics["best_step"]
    assert stopped == best + 6
    (tmp_path / "killed").mkdir()
    kill_at(stopped - 1, examples, base, tmp_path / "killed", **changed)
    assert gone_on(tmp_path / "killed", base, **changed).metrics == whole.metrics
    assert f"resuming after step {stopped - 2}" in capsys.readouterr().out


def test_a_training_without_an_interrupted_one_says_nothing_of_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoints.newest_usable(tmp_path / "none") is None
    assert capsys.readouterr().out == ""


def test_checkpoints_of_other_params_or_data_are_not_taken_up(examples: pl.DataFrame, base: Path) -> None:
    told = training.fingerprint(train_params(), examples, base)
    assert told == training.fingerprint(train_params(), examples.reverse(), base)
    assert told != training.fingerprint(train_params(learning_rate=0.002), examples, base)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapters, "versions", lambda: {"torch": "0"})
        assert told != training.fingerprint(train_params(), examples, base)
    for column in ("targets", "spans"):
        other = examples.with_columns(pl.when(report_id="train3").then(None).otherwise(column).alias(column))
        assert told != training.fingerprint(train_params(), other, base)


def test_adapter_says_what_it_was_made_from(
    examples: pl.DataFrame, base: Path, undisturbed: tuple[Path, training.Trained]
) -> None:
    adapter, trained = undisturbed[0] / "adapter", undisturbed[1]
    provenance = json.loads((adapter / "provenance.json").read_text())
    assert provenance["params"] == train_params().model_dump()
    assert provenance["outputs"] == 4
    assert set(provenance["libraries"]) >= {"torch", "trl", "peft"}
    assert provenance["answers"] == {"multiple_choice": "head", "open_ended": "tags"}
    assert all(re.fullmatch(r"[\d.]+", version) for version in provenance["libraries"].values())  # not which build of it
    assert (adapter / "base.json").read_bytes() == base.read_bytes()
    train = examples.filter(split="train")
    card = (adapter / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: peft")
    assert f"on {train.height} labels that a teacher, not a\nperson, gave to 16 reports and to 0 sentences" in card
    assert trained.metrics["examples"]["train"] == dict.fromkeys(("multiple_choice", "open_ended"), train.height // 2)
    assert trained.validation_curve["loss"].min() == pytest.approx(trained.metrics["validation_loss"], abs=1e-4)


def test_adapter_holds_the_trained_layer_that_answers_are_read_from(base: Path, undisturbed: tuple[Path, Any]) -> None:
    adapter = undisturbed[0] / "adapter"
    saved = {name: w for name, w in load_file(adapter / "adapter_model.safetensors").items() if "lora" not in name}
    assert list(saved) == ["base_model.model.score.weight"]
    untrained = models.load_base(base, "none")
    models.add_score(untrained, 4, train_params().seed)
    (weight,) = saved.values()
    assert (weight - untrained.score.weight).abs().max() > 1e-3
    assert torch.equal(models.load_student(adapter).score.weight.float(), weight)


@pytest.mark.parametrize("quantization", ["nf4", "none"])
def test_the_adapter_folder_answers_as_the_model_that_was_trained(
    examples: pl.DataFrame, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantization: str
) -> None:
    """Labels and phrases of a model with every weight drawn anew, in float32: bf16 rounds by the batch's shape."""
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.float32)
    monkeypatch.setattr(tagging, "NEAREST", 0.0)  # whatever is pointed at is an answer
    p = train_params(quantization=quantization)
    model = training.build_trainer(p, examples, base, tmp_path / "checkpoints", RUNTIME).model
    drawn = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.4, generator=drawn)
    adapters.save(model, tmp_path / "adapter", p, base, examples, 4)
    before, after = (
        Answerer(m, models.load_tokenizer(base), RUNTIME).answer(
            examples.filter(split="test"), LABELS, 1, Codes(["edema | J81.0"])
        )
        for m in (model, models.load_student(tmp_path / "adapter"))
    )
    assert before[0].equals(after[0])
    assert before[0]["answer"].n_unique() > 5
    assert (before[1]["logit"] - after[1]["logit"]).abs().max() < 1e-3
    assert before[1].filter(answer="yes")["logit"].std() > 0.1


def test_a_training_of_one_step_ends_with_its_figures(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    p, few = train_params(batch_size=32, evaluate_every=100), examples.filter(pl.col("order") < 2)
    told = training.train(p, few, base, tmp_path / "checkpoints", RUNTIME, tmp_path / "adapter")
    assert (told.metrics["steps"], told.curve["step"].to_list(), told.validation_curve["step"].to_list()) == (1, [1], [1])


def test_nothing_to_train_on(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    for left in (pl.col("split") == "train", pl.col("split") == "validation"):
        with pytest.raises(InputError, match="no examples to train or validate on"):
            training.train(train_params(), examples.filter(left), base, tmp_path, RUNTIME, tmp_path / "adapter")


def test_changed_and_missing_weights_are_named(base: Path, tmp_path: Path) -> None:
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


def test_looking_for_the_base_sets_no_environment_variable(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    models.base_folder(base)
    assert os.environ == {}


def test_tokenizer_without_chat_template(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    shutil.copy(tiny_base / "config.json", folder)
    (tmp_path / "base.json").write_text(json.dumps({"source": "folder", "folder": str(folder), "files": {}}))
    with pytest.raises(InputError, match="no chat template"):
        models.load_tokenizer(tmp_path / "base.json")
