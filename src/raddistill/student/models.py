"""Loads base model and tokenizer from the store that `fetch` filled, after checking their hashes."""

import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from raddistill import paths
from raddistill.errors import InputError
from raddistill.files import sha256
from raddistill.student import gpu_memory

# Bidirectional models. They answer `head` and `tags`, and cannot write.
ENCODERS = ("bert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
AGAIN = "`dvc repro --force --single-item fetch` fetches it again"


def _read(record: Path) -> dict[str, Any]:
    try:
        base: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{record} is missing; `dvc repro fetch` makes it, or `dvc pull` brings it") from None
    return base


def base_folder(record: Path) -> Path:
    """Returns the folder of the base model in models/base.json, after checking the SHA-256 of every file.

    Raises:
        InputError: the record is missing, or a file is missing or changed.
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


def set_hub_offline(record: Path) -> None:
    """Takes the Hugging Face hub offline for a base model that is not from the hub; turns its telemetry off for all.

    Sets environment variables of this process, which transformers reads when it is imported: call this before.
    """
    if _read(record)["source"] != "hub":
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # else a thread sends library versions to the hub


def model_type(folder: Path) -> str:
    """Returns the model type in the config of a model folder: llama, bert, ..."""
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))


def load_tokenizer(record: Path) -> Any:
    """Returns the base model's tokenizer (needs no torch).

    Raises:
        InputError: see `base_folder`; or the model has no chat template and is not one of ENCODERS.
    """
    set_hub_offline(record)
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
    """Returns bfloat16 on GPUs and on CPUs with bf16 arithmetic, else float32 (emulated bf16 is several times slower)."""
    import torch

    return torch.bfloat16 if torch.cuda.is_available() or cpu_has_bf16() else torch.float32


def cpu_has_bf16() -> bool:
    """Returns whether this machine's CPU has bf16 arithmetic."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags.split()


def quiet_libraries() -> None:
    """Silences warnings of peft and bitsandbytes that users can do nothing about. Call it before they are imported."""
    # bitsandbytes: a package for faster CPU kernels is not installed; it would fetch them from the hub
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")  # peft on transformers


def load_base(record: Path, quantization: str) -> Any:
    """Returns the base model with its language-model head, on the GPU if there is one. Several processes have one GPU each.

    `quantization`: nf4, or none or fp8, which are both loaded unquantised (`gpu_layers` quantises to FP8). An encoder comes
    without the masked-language-model head.

    Raises:
        InputError: see `base_folder`; fp8 is asked for on a machine that cannot compute in it; the GPU has too little memory.
    """
    set_hub_offline(record)
    if quantization == "fp8":
        require_fp8()
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    # cuDNN builds a plan for every new shape of a batch: .4 s forward, .6 s backward (modelscope/FunASR issue 3704)
    torch.backends.cuda.enable_cudnn_sdp(False)
    # compute dtype given: bitsandbytes' default is silently float32 (its PR #2077)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype(),
    )
    folder, gpu = base_folder(record), int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        gpu_memory.require_room(AutoConfig.from_pretrained(folder), quantization, torch.cuda.mem_get_info(gpu)[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model = (AutoModel if model_type(folder) in ENCODERS else AutoModelForCausalLM).from_pretrained(
            folder,
            dtype=compute_dtype(),
            quantization_config=nf4 if quantization == "nf4" else None,
            device_map={"": gpu} if torch.cuda.is_available() else None,
        )
    keep_gradients_after_evaluation(model)
    return model


def require_fp8() -> None:
    """Raises InputError unless there is a GPU that multiplies FP8 matrices (compute capability 8.9: Ada, Hopper, Blackwell)."""
    import torch

    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9):
        raise InputError("quantization fp8 needs a GPU of compute capability 8.9 or more (L4, RTX 40, H100); take nf4 or none")


def add_score(model: Any, outputs: int, seed: int) -> None:
    """Adds the linear layer `score` (hidden size -> `outputs`, no bias), from which `head` and `tags` are read, to a model.

    Name and shape are those of transformers' `LlamaForSequenceClassification`, so that adapters with it load there, too. float32
    like the adapter, because it is trained.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    score = torch.nn.Linear(model.config.hidden_size, outputs, bias=False)
    with torch.no_grad():
        score.weight.normal_(0.0, model.config.initializer_range, generator=generator)
    model.score = score.to(model.device)


def keep_gradients_after_evaluation(model: Any) -> None:
    """Works around a bug of bitsandbytes 0.50 on CPUs with AVX512-BF16.

    There one forward pass in eval mode repacks the weights of `Linear4bit` in place. All later training passes use a kernel
    without autograd, so gradients through the base model are silently lost. tests/test_training.py shows it.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def load_student(adapter: Path) -> Any:
    """Returns base plus adapter, quantised as in training. On a CPU both are merged in the compute dtype, which is twice as fast.

    Merging unpacks NF4 weights once instead of at every token, and adds the adapter: the same model except for rounding.

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
        student = PeftModel.from_pretrained(base, adapter)
        if quantization == "fp8":
            from raddistill.student import gpu_layers

            gpu_layers.use_gpu_layers(student, quantization)
        return student
    if quantization == "nf4":
        base = base.dequantize()
    return PeftModel.from_pretrained(base, adapter).merge_and_unload()
