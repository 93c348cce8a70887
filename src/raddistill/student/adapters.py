"""The adapter folder: weights, what they were made from, and a model card. Equal trainings give equal bytes."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import polars as pl

from raddistill.params import Section

LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "polars")

CARD = """---
library_name: peft
base_model: {location}
tags: [radiology, report-labeling, lora, raddistill]
license: other
---

# Adapter made by raddistill

Reads a radiology report and answers {tasks}. Trained with {method} on labels of a teacher ({teachers} labels of
{reports} reports), not of people; what it is worth against labels made by people stands in `metrics/final.json` of the
repository that made it. Method: after Wei et al., arXiv 2409.16563.

- Base model: `{location}` {revision}
- Params, data hashes, library versions and git commit: `provenance.json`
- Prompts must be rendered as in training, with `prompts/` of that repository (`template_hashes` in `provenance.json`).

For research. Not a medical device; not for decisions about patients. It may reproduce words of the reports that it was
trained on: treat it as carefully as those.
"""


def save(model: Any, folder: Path, p: Section, base: Path, chosen: pl.DataFrame, outputs: int) -> None:
    """Writes the adapter to a new folder, then moves it to its place. `outputs`: of the layer `score`, 0 where there is none."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished, save_embedding_layers=False)
    _sort_config(unfinished / "adapter_config.json")
    shutil.copyfile(base, unfinished / "base.json")
    provenance = {
        "params": p.model_dump(),
        "outputs": outputs,
        "examples_sha256": hashlib.sha256(chosen.sort("task", "report_id", "part").write_json().encode()).hexdigest(),
        "base": json.loads(base.read_text(encoding="utf-8")),
        "template_hashes": dict(chosen.group_by("task").agg(pl.col("template_hash").first()).sort("task").iter_rows()),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "git_commit": _git_commit(),
    }
    (unfinished / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    (unfinished / "README.md").write_text(_card(provenance, chosen), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)


def _sort_config(path: Path) -> None:
    """PEFT writes sets in hash order and the base model's place on this machine: neither belongs in an output."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            config[key] = sorted(value)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _card(provenance: dict[str, Any], chosen: pl.DataFrame) -> str:
    trained = chosen.filter(pl.col("split") == "train")
    quantization = provenance["params"]["quantization"]
    return CARD.format(
        location=provenance["base"]["location"],
        revision=provenance["base"]["revision"],
        tasks=" and ".join(f"`{task}`" for task in sorted(trained["task"].unique())),
        method="QLoRA (NF4)" if quantization == "nf4" else "LoRA",
        teachers=f"{trained.height:,}",
        reports=f"{trained['report_id'].n_unique():,}",
    )


def _git_commit() -> str:
    """HEAD at the time of training, or "unknown" outside of a repository."""
    told = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
