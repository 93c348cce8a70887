"""The adapter folder in the hands of others: what its card says loads it, and answers as it does here."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from student_world import LABELS, ROOT, RUNTIME, examples_of, train_params
from test_fetching import write_gguf

from raddistill import params
from raddistill.sources.fetch import fetching
from raddistill.student import adapters, models, tagging, training
from raddistill.student.predicting import Answerer
from raddistill.student.tagging import Codes

REVISION = "0123456789abcdef0123456789abcdef01234567"


def made(base: Path, forms: tuple[str, str], quantization: str, folder: Path) -> pl.DataFrame:
    """Writes an adapter with every weight drawn anew to folder/adapter; the examples to ask it."""
    examples, p = examples_of(base, forms), train_params(quantization=quantization)
    model = training.build_trainer(p, examples, base, folder / "checkpoints", RUNTIME).model
    drawn = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.4, generator=drawn)
    adapters.save(model, folder / "adapter", p, base, examples, training.outputs_of(examples))
    return examples.filter(split="test")


def code_of(adapter: Path) -> str:
    """The Python of the card, but that it loads in float32 what it has unpacked in bfloat16."""
    found = re.search(r"```python\n(.*?)```", (adapter / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return re.sub(r"(?<!gguf_file=file.name, dtype=torch\.)bfloat16", "float32", found[1])


def answers_of(model: Any, base: Path, asked: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    models.keep_gradients_after_evaluation(model)  # bitsandbytes' kernels of an AVX512 CPU round to bf16
    return Answerer(model, models.load_tokenizer(base), RUNTIME).answer(asked, LABELS, 4, Codes(["edema | J81.0"]))


def assert_alike(one: tuple[pl.DataFrame, pl.DataFrame], other: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    assert (one[1]["logit"] - other[1]["logit"]).abs().max() < 1e-3
    assert one[0].equals(other[0])
    assert one[1].filter(answer="yes")["logit"].std() > 0.1


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 rounds by the order of additions: base and adapter apart as others load them, as one model here."""
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.float32)
    monkeypatch.setattr(tagging, "NEAREST", 0.0)  # whatever is pointed at is an answer


@pytest.mark.parametrize(("forms", "model", "quantization", "kind"), [
    (("slots", "lines"), "base", "nf4", "CAUSAL_LM"),
    (("head", "tags"), "base", "nf4", "SEQ_CLS"),
    (("head", "tags"), "base", "none", "SEQ_CLS"),
    (("head", "lines"), "base", "none", None),
    (("slots", "tags"), "base", "nf4", None),
    (("head", "tags"), "encoder", "none", None),
])  # fmt: skip
def test_the_code_of_the_card_loads_the_model_that_answers_here(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forms: Any,
    model: str,
    quantization: str,
    kind: str | None,
) -> None:
    base = request.getfixturevalue(model)
    asked = made(base, forms, quantization, tmp_path)
    adapter = tmp_path / "adapter"
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["task_type"] == kind
    assert "base_model_name_or_path" not in config  # a folder of this machine
    assert config["target_modules"] == sorted(config["target_modules"])
    code, card = code_of(adapter), (adapter / "README.md").read_text(encoding="utf-8")
    assert code.count('("../base", ') == 1
    assert len(code.splitlines()) <= 6
    assert max(map(len, card.splitlines())) <= 150
    assert str(tmp_path) not in card
    shutil.copytree(models.base_folder(base), tmp_path / "base")
    monkeypatch.chdir(adapter)
    there: dict[str, Any] = {}
    exec(code, there)  # noqa: S102
    assert_alike(answers_of(there["model"], base, asked), answers_of(models.load_student(adapter), base, asked))


ELSEWHERE = """
import json, os, sys
from pathlib import Path
import polars as pl, torch
sys.path.insert(0, sys.argv[1])
from test_adapters import answers_of, code_of
from raddistill.student import models, tagging
models.compute_dtype, tagging.NEAREST = lambda: torch.float32, 0.0
torch.set_num_threads(1)
for folder, auto in json.loads(sys.argv[3]).items():
    folder, there = Path(folder), {}
    os.chdir(folder / "adapter")
    if auto:
        import peft
        there["model"] = eval(auto).eval()
    else:
        exec(code_of(folder / "adapter"), there)
    answered, logits = answers_of(there["model"], Path(sys.argv[2]), pl.read_parquet(folder / "asked.parquet"))
    answered.write_parquet(folder / "answered.parquet")
    logits.write_parquet(folder / "logits.parquet")
"""


def assert_answered_elsewhere(base: Path, asked: dict[Path, pl.DataFrame], autos: dict[Path, str], **environment: str) -> None:
    """The models of the cards in FOLDER/adapter (or of an expression in `autos`) answer in another process as they do here."""
    for folder, examples in asked.items():
        examples.write_parquet(folder / "asked.parquet")
    cases = json.dumps({str(folder): autos.get(folder, "") for folder in asked})
    words = [sys.executable, "-c", ELSEWHERE, ROOT / "tests", base, cases]
    run = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for folder, examples in asked.items():
        there = (pl.read_parquet(folder / "answered.parquet"), pl.read_parquet(folder / "logits.parquet"))
        assert_alike(there, answers_of(models.load_student(folder / "adapter"), base, examples))


def test_a_base_of_the_hub_is_found_by_its_name(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads(base.read_text()) | {"source": "hub", "location": "somebody/tiny", "revision": REVISION, "folder": "tiny"}
    monkeypatch.setenv("RADDISTILL_STORE", str(tmp_path / "store"))
    shutil.copytree(models.base_folder(base), tmp_path / "store/tiny")
    shutil.copytree(models.base_folder(base), tmp_path / f"hub/hub/models--somebody--tiny/snapshots/{REVISION}")
    (tmp_path / "base.json").write_text(json.dumps(record))
    words, heads, card = (tmp_path / name for name in ("words", "heads", "card"))
    autos = {
        words: "peft.AutoPeftModelForCausalLM.from_pretrained('.', dtype=torch.float32)",
        heads: "peft.AutoPeftModelForSequenceClassification.from_pretrained('.', dtype=torch.float32, num_labels=4)",
    }
    asked = {}
    for folder, forms in ((words, ("slots", "lines")), (heads, ("head", "tags")), (card, ("head", "tags"))):
        folder.mkdir()
        asked[folder] = made(tmp_path / "base.json", forms, "none", folder)
        config = json.loads((folder / "adapter/adapter_config.json").read_text())
        assert (config["base_model_name_or_path"], config["revision"]) == ("somebody/tiny", REVISION)
        assert "base_model: somebody/tiny\n" in (folder / "adapter/README.md").read_text()
    assert_answered_elsewhere(tmp_path / "base.json", asked, autos, HF_HOME=str(tmp_path / "hub"), HF_HUB_OFFLINE="1")


@pytest.mark.parametrize("kind", ["gguf", "safetensors"])
def test_a_base_from_a_wheel_is_unpacked_by_the_card(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The wheel as pip would install it; the record as `fetch` makes it of such a wheel."""
    installed = tmp_path / "site"
    if kind == "gguf":
        (installed / "tiny").mkdir(parents=True)
        write_gguf(installed / "tiny/tiny.gguf")
        fetching._convert(installed / "tiny/tiny.gguf", tmp_path / "store/base/0000000000000000")
        folder = tmp_path / "store/base/0000000000000000"
    else:
        shutil.copytree(tiny_base, installed / "tiny")
        of_wheel = fetching.hashes(tiny_base)["model.safetensors"][:16]
        folder = tmp_path / f"store/base/{of_wheel}"
        shutil.copytree(tiny_base, folder)
    (installed / "tiny_wheel-1.0.dist-info").mkdir()
    (installed / "tiny_wheel-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n")
    files = [file.relative_to(installed).as_posix() for file in (installed / "tiny").iterdir()]
    (installed / "tiny_wheel-1.0.dist-info/RECORD").write_text("".join(f"{name},,\n" for name in files))
    record = {"source": "package", "location": "tiny-wheel==1.0", "revision": "", "folder": f"base/{folder.name}"}
    (tmp_path / "base.json").write_text(json.dumps(record | {"files": fetching.hashes(folder)}))
    monkeypatch.setenv("RADDISTILL_STORE", str(tmp_path / "store"))
    asked = made(tmp_path / "base.json", ("head", "tags"), "none", tmp_path)
    where = os.pathsep.join([str(installed), str(params.__file__).removesuffix("raddistill/params.py")])
    assert_answered_elsewhere(tmp_path / "base.json", {tmp_path: asked}, {}, PYTHONPATH=where)
