"""The examples for clusters run as they stand, as far as that is possible without a cluster."""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from student_world import ROOT

from raddistill import cli

CLUSTER = ROOT / "cluster"


def load(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(CLUSTER / name)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with an environment whose `raddistill` writes down how it was called."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").write_text(f'PATH="{tmp_path}/.venv/bin:$PATH"\n', encoding="utf-8")
    command = tmp_path / ".venv/bin/raddistill"
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$CALLED"\n', encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


def called(folder: Path, script: list[str], **environment: str) -> dict[str, Any]:
    """Runs a script; returns the options of `raddistill predict` in it, as the command line reads them."""
    told = folder / "called"
    subprocess.run(script, cwd=folder, env=os.environ | environment | {"CALLED": str(told)}, check=True)
    return parsed(told.read_text(encoding="utf-8").splitlines())


def parsed(words: list[str]) -> dict[str, Any]:
    group: Any = typer.main.get_command(cli.app)
    command = group.commands[words[0]]
    return command.make_context("predict", words[1:]).params


def test_slurm(here: Path) -> None:
    script = ["bash", str(CLUSTER / "slurm.sbatch"), "reports.parquet", "parts"]
    given = called(here, script, SLURM_SUBMIT_DIR=str(here), SLURM_ARRAY_TASK_ID="7")
    assert (given["source"], given["output"], given["shard"]) == ("reports.parquet", Path("parts"), "7/64")
    assert "#SBATCH --array=1-64\n" in (CLUSTER / "slurm.sbatch").read_text(encoding="utf-8")


def test_skypilot(here: Path) -> None:
    task = load("skypilot.yaml")
    ranks = {"SKYPILOT_JOB_RANK": "0", "SKYPILOT_NUM_JOBS": "64"}
    given = called(here, ["bash", "-c", task["run"]], **task["envs"], **ranks)
    assert (given["source"], given["output"], given["shard"]) == ("/bucket/reports.parquet", Path("/bucket/parts"), "1/64")
    assert all(path.startswith(tuple(task["file_mounts"])) for path in task["envs"].values())


def test_kuberay() -> None:
    spec = load("kuberay.yaml")["spec"]
    given = parsed(shlex.split(spec["entrypoint"])[1:])
    cluster = spec["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert (given["shards"], given["ray"], given["gpus"]) == (64, workers["replicas"], 1.0)
    pods = [cluster["headGroupSpec"]["template"]["spec"], workers["template"]["spec"]]
    assert [pod["containers"][0]["volumeMounts"][0]["mountPath"] for pod in pods] == ["/reports", "/reports"]
    assert pods[1]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={cluster['rayVersion']}" in pinned
