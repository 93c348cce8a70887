"""Base model and tokenizer, loaded from the store that `fetch` filled, after their hashes were checked."""

import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from raddistill import paths
from raddistill.errors import InputError
from raddistill.files import sha256

# Models that read in both directions. They answer `head` and `tags` and write nothing.
ENCODERS = ("bert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
AGAIN = "`dvc repro --force --single-item fetch` fetches it again"


def _read(record: Path) -> dict[str, Any]:
    try:
        base: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{record} is missing; `dvc repro fetch` makes it, or `dvc pull` brings it") from None
    return base


def base_folder(record: Path) -> Path:
    """The folder of the base model that models/base.json records, every file's sha256 checked.

    Raises:
        InputError: no record, no folder, a missing or changed file.
    """
    base = _read(record)
    folder = Path(base["folder"]) if base["source"] == "folder" else paths.store() / base["folder"]
    for name, expected in base["files"].items():
        file = folder / name
        if not file.exists():
            raise InputError(f"the base model lacks {name} (not in this machine's store); {AGAIN}")
        if sha256(file) != expected:
            raise InputError(f"{name} of the base model is not the one that {record} records; {AGAIN}")
    return folder


def tell_hub_nothing(record: Path) -> None:
    """Sets environment variables of this process: a base model that is not of the hub is loaded without a call to the hub.

    Call before transformers is imported, which reads them then.
    """
    if _read(record)["source"] != "hub":
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # else a thread reports library versions to the hub


def model_type(folder: Path) -> str:
    """What the config of a model folder says that it is: llama, bert, ..."""
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))


def load_tokenizer(record: Path) -> Any:
    """The base model's tokenizer (needs no torch).

    Raises:
        InputError: see `base_folder`; or it has no chat template and is none of ENCODERS.
    """
    tell_hub_nothing(record)
    from transformers import AutoTokenizer

    folder = base_folder(record)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None and model_type(folder) not in ENCODERS:
        raise InputError(
            "the base model's tokenizer has no chat template; take an instruction-tuned model, or an encoder:"
            f" {', '.join(ENCODERS)}"
        )
    return tokenizer


def compute_dtype() -> Any:
    """bfloat16 on GPUs and on CPUs with bf16 arithmetic, else float32 (emulated bf16 is several times slower)."""
    import torch

    if torch.cuda.is_available():
        return torch.bfloat16
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return torch.bfloat16 if "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags.split() else torch.float32


def quiet_libraries() -> None:
    """Call before peft or bitsandbytes is imported: what they complain of then is nothing that a user can mend."""
    # bitsandbytes: that a package for faster CPU kernels, which fetches them from the hub, is not installed
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")  # peft on transformers


def load_base(record: Path, quantization: str) -> Any:
    """The base model as a `LlamaForCausalLM` (or whatever its config says), `nf4` or unquantised, on the GPU if there is one.

    An encoder comes as its backbone alone, without the layer that guesses hidden words.
    """
    tell_hub_nothing(record)
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    # compute dtype named: bitsandbytes' default is float32, without a word (its PR #2077)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype(),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        folder = base_folder(record)
        model = (AutoModel if model_type(folder) in ENCODERS else AutoModelForCausalLM).from_pretrained(
            folder,
            dtype=compute_dtype(),
            quantization_config=nf4 if quantization == "nf4" else None,
            device_map={"": 0} if torch.cuda.is_available() else None,
        )
    keep_gradients_after_evaluation(model)
    return model


def add_score(model: Any, outputs: int, seed: int) -> None:
    """Gives a causal model the linear layer `score` (hidden size to `outputs`, no bias) that `head` and `tags` are read from.

    Name and shape are those of transformers' `LlamaForSequenceClassification`, so that an adapter holding it loads there, too.
    float32, as the adapter: it is trained.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    score = torch.nn.Linear(model.config.hidden_size, outputs, bias=False)
    with torch.no_grad():
        score.weight.normal_(0.0, model.config.initializer_range, generator=generator)
    model.score = score.to(model.device)


def keep_gradients_after_evaluation(model: Any) -> None:
    """Works round bitsandbytes 0.50 on CPUs with AVX512-BF16.

    There one forward in eval mode repacks the weights of `Linear4bit` in place, and every later training forward takes
    a kernel without autograd: gradients upstream lose the base path, silently. tests/test_training.py shows it.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def load_student(adapter: Path) -> Any:
    """Base plus adapter, quantised as it was trained; on a CPU as one model in the compute dtype, which answers twice as fast.

    NF4 weights are unpacked once instead of at every token, and the adapter is added to them: the same model but for rounding.

    Raises:
        InputError: the adapter is missing; see also `base_folder`.
    """
    from peft import PeftModel

    path = adapter / "provenance.json"
    if not path.exists():
        raise InputError(f"{adapter} holds no adapter; `dvc repro train` makes it, or `dvc pull` brings it")
    provenance = json.loads(path.read_text(encoding="utf-8"))
    quantization = provenance["params"]["quantization"]
    base = load_base(adapter / "base.json", quantization)
    if provenance["outputs"]:
        add_score(base, provenance["outputs"], seed=0)
    if base.device.type != "cpu":
        return PeftModel.from_pretrained(base, adapter)
    if quantization == "nf4":
        base = base.dequantize()
    return PeftModel.from_pretrained(base, adapter).merge_and_unload()
