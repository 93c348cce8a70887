"""A real model as teacher: `transformers serve` on loopback labels real reports through `dvc exp run` with -S.

    python -m benchmarks.real_teacher --reports 20          # the embedded 135M model; minutes on two cores

Needs FastAPI and Uvicorn for the server (`pip install fastapi uvicorn`), and a finished stage `fetch`: reports come from
data/raw, the model from the store. The pipeline runs in a clone in a temporary folder. Prints the metrics of both tasks, with
outcomes and number of answers. A model of this size is no useful teacher; the benchmark shows that the path works.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from raddistill import paths

ROOT = Path(__file__).parents[1]
TASKS = ("multiple_choice", "open_ended")
STARTS_WITHIN_S = 180


def pack(reports: int, archive: Path) -> str:
    """Writes a sample of the collection's files, by hash of their names, into a .tgz; returns its SHA-256."""
    (whole,) = (ROOT / paths.RAW).glob("*.tgz")
    with tarfile.open(whole) as source, tarfile.open(archive, "w:gz") as few:
        members = [member for member in source if member.name.endswith(".xml")]
        members.sort(key=lambda member: hashlib.sha256(member.name.encode()).hexdigest())
        for member in members[:reports]:
            few.addfile(member, source.extractfile(member))
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def serve(model: Path, port: int) -> subprocess.Popen[bytes]:
    """Starts the server and waits until it answers."""
    words = [str(Path(sys.executable).parent / "transformers"), "serve", str(model), "--port", str(port), "--continuous-batching"]
    server = subprocess.Popen(
        words, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return server
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    server.kill()
    raise SystemExit("`transformers serve` did not start; run it by itself to see why (are fastapi and uvicorn installed?)")


def overrides(archive: Path, sha256: str, model: Path, asks: int, examples: int) -> list[str]:
    llm = {"endpoint": "compatible", "model": model, "answers": "text", "max_tokens": 220, "examples": examples, "asks": asks}
    said = {"fetch.reports.path": archive, "fetch.reports.sha256": sha256, "asking.budget_usd": -1, "asking.in_flight": 8}
    said["asking.timeout_s"] = 900
    said |= {f"synthesize.llm.{key}": value for key, value in llm.items()}
    for task in TASKS:
        said |= {f"synthesize.{task}.teacher": "llm", f"synthesize.{task}.source": "prompts/teacher"}
        said[f"synthesize.{task}.max_quarantine"] = 1.0  # most answers of so small a model fail their checks
    return [word for key, value in said.items() for word in ("-S", f"{key}={value}")]


def main(
    reports: Annotated[int, typer.Option(help="Real reports to label.")] = 20,
    asks: Annotated[int, typer.Option(help="As llm.asks.")] = 2,
    examples: Annotated[int, typer.Option(help="As llm.examples.")] = 2,
    port: Annotated[int, typer.Option(help="Of the server.")] = 8123,
) -> None:
    record = json.loads((ROOT / paths.BASE).read_text(encoding="utf-8"))
    model = (paths.store() / record["folder"]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        sha256 = pack(reports, Path(folder) / "few.tgz")
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(clone / "src"),
            "RADDISTILL_STORE": str(paths.store().resolve()), "RADDISTILL_TEACHER_URL": f"http://127.0.0.1:{port}/v1",
        }  # fmt: skip
        server = serve(model, port)
        try:
            words = ["dvc", "exp", "run", *overrides(Path(folder) / "few.tgz", sha256, model, asks, examples), "synthesize"]
            subprocess.run(words, cwd=clone, env=env, check=True)
        finally:
            server.terminate()
        for task in TASKS:
            for name in ("synthesize", "spending"):
                print(name, task, (clone / f"metrics/{name}_{task}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    typer.run(main)
