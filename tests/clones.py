"""The project as a DVC repository in a clone, for tests that run what users run."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from pipeline_truth import ROOT


@dataclass
class Clone:
    """A clone of the project with its own environment variables, to run commands in."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, fails: bool = False) -> str:
        """Standard output and error of a command; its exit code must be as expected."""
        done = subprocess.run(words, **self._place(), check=False)
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command in a process group of its own, as a shell starts one, left running."""
        return subprocess.Popen(words, **self._place(), start_new_session=True)

    def _place(self) -> dict[str, Any]:
        bin_folder = str(Path(sys.executable).parent)
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "RADDISTILL_", "AWS_", "OPENAI_"))
        }
        env |= {"PATH": f"{bin_folder}{os.pathsep}{env['PATH']}", "PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}
        return {
            "cwd": self.folder, "env": env | self.env, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT,
        }  # fmt: skip

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-q", "-m", message)

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words))


def planted(folder: Path, remotes: Path, content: dict[str, Any], write: Callable[[dict[str, Any], Path], None]) -> Clone:
    """What git would commit of this working tree, less its results, as a repository of its own with `content` as params.yaml."""
    clone = Clone(folder)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    results = ("metrics/", "plots/", "dvc.lock")
    for name in files:
        if name and (ROOT / name).is_file() and not name.startswith(results):
            (clone.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone.folder / name)
    write(content, clone.folder / "params.yaml")
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("git", "config", "user.name", "t")
    clone.run("git", "config", "user.email", "t@t.invalid")
    for remote in ("shared", "private"):
        clone.run("dvc", "remote", "modify", remote, "url", str(remotes / remote))
    clone.commit("the project, on a small collection")
    return clone


def another(project: Clone, folder: Path) -> Clone:
    """A colleague's clone: what git holds, no data."""
    project.run("git", "clone", "-q", ".", str(folder))
    return Clone(folder, dict(project.env))


def copied(project: Clone, folder: Path) -> Clone:
    """The whole working folder with data, cache and journal: what costs several commands to bring about in a clone."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return Clone(folder, dict(project.env))


def ran(output: str) -> list[str]:
    """The stages that DVC says it ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


def readable(content: bytes) -> bytes:
    """What can be read in a file: cells of Parquet, files in an archive, else its bytes, as of JSON, pickles or weights."""
    if content.startswith(b"PAR1"):
        return pl.read_parquet(io.BytesIO(content)).write_ndjson().encode()
    if content.startswith(b"\x1f\x8b"):
        return readable(gzip.decompress(content))
    if content.startswith(b"PK"):  # a zip file, such as a model that torch saved
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            return b"\n".join(readable(members.read(name)) for name in members.namelist())
    return content
