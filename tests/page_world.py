"""A finished run of a few reports that we wrote, as tables and metrics: what the pages are made from, without the pipeline."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
from ruamel.yaml import YAML

from raddistill import params, paths
from raddistill.apps import folds
from raddistill.apps.presets import flat
from raddistill.concepts import load_concepts
from raddistill.labelsets import load_labels
from raddistill.scoring.comparison import compare
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.scores import tidy
from raddistill.scoring.truth import from_table, read_truth
from raddistill.tables import base as tables
from raddistill.tables.decisions import Decisions
from raddistill.tables.evidence import Evidence
from raddistill.tables.gold import Gold
from raddistill.tables.predictions import Predictions, Probabilities
from raddistill.tables.reports import Reports

ROOT = Path(__file__).parents[1]
CHOICE, OPEN = "multiple_choice", "open_ended"
EFFUSION, EDEMA, NODULE = "Pleural Effusion", "Edema", "Lung Lesion"
# Markup that would run if it were not escaped, in an element, in a script, in an attribute; and letters outside of the BMP.
HOSTILE = (
    "\U0001fac1 Film <script>window.hurt = 1</script> & </script><img src=x onerror='window.hurt = 2'> \"quoted\" <!--<script>. "
    "Small pleural effusion."
)
# id -> text; people, teacher, student: labels that each calls present. A label with "?" is ambiguous to people.
RUN = {
    "case-1": ("Small pleural effusion. No edema.", {EFFUSION}, {EFFUSION}, {EFFUSION}),
    "case-2": ("Zebra effusion is seen.", {EFFUSION}, set(), {EFFUSION}),  # the teacher missed it
    "case-3": ("Effusion cannot be told.", set(), {EFFUSION}, set()),  # the teacher is false
    "case-4": ("Edema and quokka shadow.", {EDEMA}, {EDEMA}, set()),  # the student missed it
    "case-5": ("A nodule, perhaps.", set(), set(), {NODULE}),  # the student is false
    "case-6": ("Hidden edema.", {EDEMA}, set(), set()),  # both missed it
    "case-7": ("Clear.", {f"{NODULE}?"}, set(), {NODULE}),  # ambiguous
    "case-8": ("Clear lungs, again.", set(), set(), set()),
    "case-9": (HOSTILE, {EFFUSION}, {EFFUSION}, set()),
    "case-10": ("Nobody annotated an effusion here.", None, {EFFUSION}, set()),
}
UNMAPPED = "case-8"  # the student answers a phrase without a concept
SURE = {("case-9", EFFUSION): 0.02, ("case-4", EDEMA): 0.3, ("case-5", NODULE): 0.95}  # of the student


def build(folder: Path) -> None:
    """Writes the run into `folder`, which is the current one."""
    for name in ("params.yaml", "lexicon/label_sets/chest_13.yaml", "gold/concepts.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    names = [label.name for label in load_labels(folder / "lexicon/label_sets/chest_13.yaml")]
    concepts = [each.concept for each in load_concepts(folder / "gold/concepts.csv")]
    _write_reports()
    _write_gold(names, concepts)
    _write_answers(names)
    write_metrics()
    write_plots()
    write_lock()


def _rows(schema: Any, rows: list[dict[str, Any]], path: Path) -> None:
    frame = pl.DataFrame(rows, infer_schema_length=None) if rows else schema.create_empty()
    missing = {column: pl.lit(None) for column in schema.column_names() if column not in frame.columns}
    tables.write(schema, frame.with_columns(**missing).select(schema.column_names()), path)


def _write_reports() -> None:
    rows = [
        {
            "report_id": report, "source": "files", "sensitivity": "phi", "findings": text, "text": f"FINDINGS: {text}",
            "indication": "Cough <b>", "split": "test", "text_group": report,
        }
        for report, (text, *_) in RUN.items()
    ]  # fmt: skip
    _rows(Reports, rows, paths.REPORTS)


def _write_gold(names: list[str], concepts: list[str]) -> None:
    status = lambda people, name: "present" if name in people else "ambiguous" if f"{name}?" in people else "absent"  # noqa: E731
    annotated = {report: people for report, (_, people, *_) in RUN.items() if people is not None}
    rows = [(report, CHOICE, name, status(people, name)) for report, people in annotated.items() for name in names]
    rows += [
        (report, OPEN, name, "present" if name == "pleural effusion" and EFFUSION in people else "absent")
        for report, people in annotated.items() for name in concepts
    ]  # fmt: skip
    columns = ("report_id", "task", "label", "status")
    _rows(Gold, [dict(zip(columns, row, strict=True)) | {"annotator": "a"} for row in rows], paths.GOLD)


def _write_answers(names: list[str]) -> None:
    decided, evidence, logits, answers = [], [], [], []
    for report, (text, _, teacher, student) in RUN.items():
        for task in (CHOICE, OPEN):
            said = {"teacher_present": teacher, "teacher_absent": teacher, "student": student}
            for arm, labels in said.items():
                own = labels if task == CHOICE else {"pleural effusion"} & {label.lower() for label in labels}
                kinds = [("asked", ""), *(("present", label) for label in own)]
                if task == OPEN and arm == "student" and report == UNMAPPED:
                    kinds.append(("unmapped", ""))
                decided += [(report, task, arm, kind, label, 1, report) for kind, label in kinds]
            answers.append((report, task, "student_test", None if task == CHOICE else "small effusion | J90"))
        start = f"FINDINGS: {text}".lower().find("pleural effusion")
        if start >= 0:
            mention = {"report_id": report, "task": CHOICE, "teacher": "rules:cold", "label": EFFUSION, "n": 0}
            span = {"section": "findings", "start": start, "end": start + len("pleural effusion")}
            evidence.append({**mention, **span, "cue": "<i>cue</i>", "status": "present"})
        for name in names:
            chance = SURE.get((report, name), 0.9 if name in student else 0.1)
            for answer, sign in (("yes", 1), ("no", -1)):
                logit = sign * float(pl.Series([chance / (1 - chance)]).log()[0]) / 2
                logits.append((report, CHOICE, "student_test", 0, name, answer, logit))
    for schema, rows, path in (
        (Decisions, decided, paths.DECISIONS),
        (Probabilities, logits, paths.table("probabilities", "student_test")),
        (Predictions, answers, paths.table("predictions", "student_test")),
    ):
        _rows(schema, [dict(zip(schema.column_names(), row, strict=True)) for row in rows], path)
    _rows(Evidence, evidence, paths.table("evidence", CHOICE))
    _rows(Evidence, [], paths.table("evidence", OPEN))
    thresholds = {name: {"threshold": 0.5, "teacher_uncertain_is_present": True} for name in names}
    fitted = {"temperature": 1.0, "against": "teacher", "reports": 0, "budget": [], "labels": thresholds}
    write_json(paths.CALIBRATION, fitted)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_metrics() -> None:
    """Scores the tables as `final` would, with few draws."""
    p = params.load("score", ScoreParams).model_copy(update={"bootstrap": 40})
    decisions, gold = tables.read(Decisions, paths.DECISIONS), tables.read(Gold, paths.GOLD)
    names = folds.names(p, load_labels("lexicon/label_sets/chest_13.yaml"), load_concepts(paths.CONCEPTS))
    metrics, per_label = {}, []
    for task, of_task in names.items():
        rows = decisions.filter(pl.col("task") == task)
        arms = {arm: from_table(rows.filter(pl.col("arm") == arm), of_task.names) for arm in set(rows["arm"])}
        groups = dict(rows.select("report_id", "text_group").iter_rows())
        found = compare(p, read_truth(gold, task, of_task.names), arms, groups, of_task)
        metrics[task] = tidy(found.metrics)
        per_label += [{"task": task, "mcnemar_p": None, **row} for row in found.per_label]
    write_json(paths.FINAL_METRICS, metrics)
    columns = ["task", "arm", "label", "positives", "f1", "low", "high", "precision", "recall", "mcnemar_p"]
    frame = (
        pl.DataFrame(per_label, infer_schema_length=None) if per_label else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    )
    tables.write_csv(
        frame.select(columns).with_columns(pl.col(pl.Float64).fill_nan(None).round(4)), paths.FINAL_PLOTS / "per_label.csv"
    )


def write_plots() -> None:
    texts = {
        paths.TRAINING_CURVE: "step,loss,learning_rate,grad_norm\n5,1.5,0.1,2.0\n10,0.7,0.1,1.0\n",
        paths.VALIDATION_CURVE: "step,loss\n10,0.25\n",
        paths.FINAL_PLOTS / "reliability.csv": "arm,predicted,observed,cells\nstudent,0.1,0.05,90.0\nstudent,0.9,0.8,10.0\n",
        paths.FINAL_PLOTS / "precision_recall.csv": (
            "arm,kind,threshold,precision,recall\nstudent,curve,0.1,0.5,1.0\nstudent,curve,0.9,1.0,0.5\nstudent,point,,0.9,0.6\n"
        ),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sizes = {"train": {CHOICE: 1234}, "validation": {CHOICE: 40}}
    write_json(paths.TRAIN_METRICS, {"examples": sizes, "steps": 10, "best_step": 5, "trainable_parameters": 4321})
    spent = {
        "answers": 7,
        "answers_by_batch": 2,
        "prompt_tokens": 900,
        "cached_tokens": 100,
        "completion_tokens": 50,
        "usd": 1.25,
    }
    write_json(paths.spending_metrics(OPEN), spent)


def write_lock(**changed: Any) -> None:
    """Writes dvc.lock: all settings of params.yaml but `changed` (dots as __), and the hash of two outputs."""
    used = flat(params.read()) | {key.replace("__", "."): value for key, value in changed.items()}
    outs = [
        {"path": str(path), "hash": "md5", "md5": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}
        for path in (paths.FINAL_METRICS, paths.DECISIONS)
    ]
    lock = {"schema": "2.0", "stages": {"final": {"cmd": "x", "params": {"params.yaml": used}, "outs": outs}}}
    with Path("dvc.lock").open("w", encoding="utf-8") as file:
        YAML().dump(lock, file)
