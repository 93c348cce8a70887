"""The path of every file of the pipeline, relative to the root of the project.

This module is no code dependency in dvc.yaml: the stages list the files themselves.
"""

import importlib.resources
import os
from collections.abc import Iterable
from pathlib import Path

RAW = Path("data/raw")
BASE = Path("models/base.json")
REPORTS = Path("data/reports.parquet")
GOLD = Path("data/gold.parquet")
EXTRACT_QUARANTINE = Path("data/quarantine/extract.parquet")
MERGE_QUARANTINE = Path("data/quarantine/merge.parquet")
EXAMPLES = Path("data/examples.parquet")
STUDENT_SETTINGS = Path("data/student_settings.json")
ADAPTER = Path("models/adapter")
CALIBRATION = Path("models/calibration.json")
DECISIONS = Path("data/decisions.parquet")
FOLDS = Path("folds")
REVIEW = Path("data/review")
CODE = Path("code.yaml")  # in folders that `raddistill init` laid out

EXTRACT_METRICS = Path("metrics/extract.json")
MERGE_METRICS = Path("metrics/merge.json")
TRAIN_METRICS = Path("metrics/train.json")
VALIDATION_METRICS = Path("metrics/validation.json")
FINAL_METRICS = Path("metrics/final.json")
FOLDS_METRICS = Path("metrics/folds")
ABLATION_METRICS = Path("metrics/ablations")

TRAINING_CURVE = Path("plots/training.csv")
VALIDATION_CURVE = Path("plots/training_validation.csv")
VALIDATION_PLOTS = Path("plots/validation")
FINAL_PLOTS = Path("plots/final")
ABLATION_PLOTS = Path("plots/ablations")

CONCEPTS = Path("gold/concepts.csv")
SCORER_LEXICON = Path("gold/scorer_lexicon.csv")
NO_GOLD = Path("gold/none")
PROMPTS = Path("prompts/student")
TEACHER_PROMPTS = Path("prompts/teacher")
HEDGES = Path("lexicon/hedges.csv")
FRAMES = Path("lexicon/frames.txt")
COMPLETIONS = Path("lexicon/completions.csv")
SECTION_WORDS = Path("lexicon/sections")
LEXICONS = Path("lexicon")
CONSTRAINTS = Path("constraints.txt")
PIPELINE = Path("dvc.yaml")

# What a pipeline folder begins with. A wheel holds it (setup.py), and MANIFEST.in names it for the source archive.
# Of .dvc/ no more than this: its cache holds report text.
SHIPPED = (
    ".dvc/.gitignore", ".dvc/config", ".dvc/plots", ".dvcignore", ".gitattributes", ".gitignore", "constraints.txt",
    "data/.gitignore", "dvc.yaml", "gold", "lexicon", "params.yaml", "presets", "prices.yaml", "prompts", "stages",
)  # fmt: skip


TEACHER_TABLES = ("labels", "evidence", "outcomes", "quarantine", "answers")  # of every teacher


def table(name: str, key: str) -> Path:
    """Returns the path of a table of one task or arm."""
    return Path(f"data/{name}/{key}.parquet")


def tables_of(record: type, key: str) -> dict[str, Path]:
    """Returns field to path for the tables of one task or arm that are the fields of `record`."""
    return {name: table(name, key) for name in record.__annotations__}


def tables_by_key(record: type, keys: Iterable[str]) -> dict[str, dict[str, Path]]:
    """Returns key to field to path for several tasks or arms, as `tables.base.read_records` takes them."""
    return {key: tables_of(record, key) for key in keys}


def task_tables(task: str) -> dict[str, Path]:
    """Returns name to path for the tables of a task's teacher."""
    return {name: table(name, task) for name in (*TEACHER_TABLES, "written", "whole_labels")}


def taught(task: str, teacher: str) -> Path:
    """Returns the folder of one of several teachers. Those of a task share a parent folder, which `combined` reads."""
    return Path(f"data/teachers/{task}/{teacher}")


def taught_tables(task: str, teacher: str) -> dict[str, Path]:
    """Returns name to path for the tables of one of several teachers."""
    return {name: taught(task, teacher) / f"{name}.parquet" for name in TEACHER_TABLES}


def synthesize_metrics(task: str) -> Path:
    return Path(f"metrics/synthesize_{task}.json")


def spending_metrics(task: str) -> Path:
    return Path(f"metrics/spending_{task}.json")


def taught_metrics(teacher: str) -> Path:
    return Path(f"metrics/teachers/{teacher}.json")


def taught_spending_metrics(teacher: str) -> Path:
    return Path(f"metrics/teachers/{teacher}_spending.json")


def store() -> Path:
    """Returns the untracked folder of base weights, at DVC_ROOT so that queued and temporary runs share it."""
    return Path(os.environ.get("RADDISTILL_STORE") or Path(os.environ.get("DVC_ROOT") or ".") / ".store")


def checkpoints() -> Path:
    """Returns the untracked folder of unfinished trainings: one folder each, named by the hash of params and data."""
    return Path(os.environ.get("DVC_ROOT") or ".") / ".checkpoints"


def journal() -> Path:
    """Returns the untracked folder of paid answers, at DVC_ROOT so that queued and temporary runs pay for none of them again."""
    return Path(os.environ.get("RADDISTILL_JOURNAL") or Path(os.environ.get("DVC_ROOT") or ".") / ".journal")


def weights(model: str) -> Path:
    """Returns what an arm's model is loaded from: the adapter, which names its base, or the base alone."""
    return ADAPTER if model == "student" else BASE


def package() -> Path:
    """Returns the folder in which this package is installed."""
    return Path(str(importlib.resources.files("raddistill")))


def shipped() -> Path:
    """Returns the folder of dvc.yaml, lexicon/, prompts/ and all else that a pipeline folder begins with.

    It lies within the package if that was installed from a wheel (setup.py puts it there); else it is the repository.
    """
    inside = package() / "pipeline"
    return inside if inside.is_dir() else package().parents[1]


def in_pipeline() -> bool:
    """Returns whether the current folder is a clone, or a folder that `raddistill init` laid out."""
    return Path("params.yaml").is_file() and LEXICONS.is_dir()


def here_or_shipped(path: Path) -> Path:
    """Returns `path` in the current folder, if that is a pipeline's, else the file or folder that is shipped with the package."""
    return path if in_pipeline() else shipped() / path


def shipped_lexicons() -> Path:
    """Returns lexicon/: the one of the current folder, if that is a pipeline's, else the shipped one."""
    return here_or_shipped(LEXICONS)
