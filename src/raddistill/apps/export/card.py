"""The card of an exported model: what it was made of, what it is worth, and how to load it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from ruamel.yaml import YAML

from raddistill import paths
from raddistill.apps import results
from raddistill.apps.export.forms import Student
from raddistill.apps.pipeline import load_metrics
from raddistill.files import sha256
from raddistill.student.prompts import is_encoder
from raddistill.tables.base import write_json
from raddistill.tasks.names import MULTIPLE_CHOICE, PLAIN

LOCK = Path("dvc.lock")
SENTENCES = ["There is a small left pleural effusion.", "No pneumothorax."]  # ours


def locked_stages(adapter: Path, calibration: Path) -> dict[str, Any]:
    """Returns the stages of dvc.lock if it says that metrics/final.json scores this adapter with this calibration; else {}."""
    if not LOCK.exists() or not paths.FINAL_METRICS.exists():
        return {}
    stages: dict[str, Any] = YAML(typ="safe").load(LOCK.read_text(encoding="utf-8"))["stages"]

    def hash_in(stage: str, path: Path) -> str | None:
        entries = [entry for kind in ("deps", "outs", "metrics") for entry in stages.get(stage, {}).get(kind, [])]
        return next((entry["md5"] for entry in entries if entry["path"] == str(path)), None)

    files = [{"md5": _md5(file.read_bytes()), "relpath": file.name} for file in sorted(adapter.iterdir())]
    predictions = paths.table("predictions", "student_test")
    pairs = [
        (hash_in("predict@student_test", paths.ADAPTER), _md5(json.dumps(files, sort_keys=True).encode()) + ".dir"),
        (hash_in("predict@student_test", predictions), hash_in("final", predictions)),
        (hash_in("final", paths.CALIBRATION), _md5(calibration.read_bytes())),
        (hash_in("final", paths.FINAL_METRICS), _md5(paths.FINAL_METRICS.read_bytes())),
    ]
    return stages if all(known is not None and known == found for known, found in pairs) else {}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()  # as DVC names files


def write(folder: Path, adapter: Path, student: Student, stages: dict[str, Any], **said: Any) -> None:
    """Writes README.md and provenance.json. `stages`: from `locked_stages`. `said`: further values of card.md.jinja."""
    figures = load_metrics(paths.FINAL_METRICS) if stages else {}
    provenance = json.loads((adapter / "provenance.json").read_text(encoding="utf-8"))
    base, encoder = provenance["base"], is_encoder(student.tokenizer)
    if base["source"] == "folder":  # a path of this machine is nobody's business
        base |= {"location": "a local folder", "folder": ""}
    teachers = {task: _teacher(stages, task) for task in student.answers}
    environment = jinja2.Environment(  # autoescape off on purpose: this renders Markdown, not HTML
        loader=jinja2.PackageLoader("raddistill", "apps/export"),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
    )
    text = environment.get_template("card.md.jinja").render(
        **said,
        base=base,
        base_name=" ".join([base["location"], base["revision"]]).strip(),
        is_nf4=provenance["params"]["quantization"] == "nf4",
        adapter_sha256=sha256(adapter / "adapter_model.safetensors"),
        answers=student.answers,
        teachers=teachers,
        labels=student.names,
        by_sentence=any(task.units == "sentences" for task in student.settings.tasks.values()),
        plain=[task for task in said["tasks"] if student.answers[task] in PLAIN],
        auto="AutoModelForCausalLM" if student.in_words else "AutoModelForTokenClassification",
        is_encoder=encoder,
        begin="cls_token" if encoder else "bos_token",
        end="sep_token" if encoder else "eos_token",
        texts=SENTENCES,
        has_logits=MULTIPLE_CHOICE in said["tasks"] and student.answers[MULTIPLE_CHOICE] in ("head", "slots"),
        metrics=results.table({task: figures[task] for task in said["tasks"]}) if stages else "",
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    write_json(provenance, folder / "provenance.json")


def _teacher(stages: dict[str, Any], task: str) -> str:
    p = stages.get(f"synthesize@{task}", {}).get("params", {}).get("params.yaml", {})
    return f"`{p[f'synthesize.{task}.teacher']}` ({p[f'synthesize.{task}.source']})" if p else "not known here"
