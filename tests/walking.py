"""Every stage of the pipeline one after the other, in this process and in a folder of its own."""

import importlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pipeline_truth import ROOT, declared, dvc_yaml

READ_ONLY = ["lexicon", "gold", "prompts"]


def walk(content: dict[str, Any], folder: Path, write: Callable[[dict[str, Any], Path], None]) -> None:
    """Runs every stage, with `content` as params.yaml."""
    for name in READ_ONLY:
        shutil.copytree(ROOT / name, folder / name)
    write(content, folder / "params.yaml")
    run_stages(declared(dvc_yaml(), content["teachers"]), folder)


def run_stages(names: Iterable[str], folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        for name in names:
            stage, _, key = name.partition("@")
            importlib.import_module(f"stages.{stage}").main(*([key] if key else []))
