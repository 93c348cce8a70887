"""`raddistill predict`: reports a second of the default student, of each answer form, and memory against the number of rows.

    python -m benchmarks.predict                # all three, from a checkout whose pipeline has run
    python -m benchmarks.predict --only forms

- student: 100 reports with the student in models/, loading included. The bar is 60 seconds on two cores.
- forms: the untouched base model answers the same reports as head (one pass, no instruction), slots (one pass over instruction
  and label names) and list (instruction, and 30 tokens written), and once more by transformers' own `generate` in batches of 16.
  The bar for head against generation is 8. What a base model answers is nonsense, but takes as long as a student's. Reports are
  read whole in all forms.
- memory: 100,000 and 1,000,000 reports by an engine that answers at once, so that reading, splitting, remembering and writing
  are left. The model's own memory does not depend on the number of rows.

Reports are written by benchmarks/label_throughput.py: 50 words each, a third of the sentences new. Keep the machine idle.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.label_throughput import write
from raddistill import labelsets, params, paths
from raddistill.apps.label.options import Columns
from raddistill.apps.label.report_file import WHOLE_FILE
from raddistill.apps.predict.job import Job
from raddistill.labelsets import Label
from raddistill.student import linear, models
from raddistill.student.labelling import Student
from raddistill.student.predicting import Answerer
from raddistill.student.prompts import Renderer
from raddistill.student.tagging import Codes
from raddistill.tables.student_settings import StudentSettings, TaskSettings
from raddistill.tasks.names import MULTIPLE_CHOICE

REPORTS = 100
WRITTEN = 30  # tokens of a list
SIZES = (100_000, 1_000_000)


class AtOnce:
    """An engine that says no to everything."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def answer(
        self, asked: pl.DataFrame, label_set: list[Label], max_new_tokens: int, codes: Codes
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        size = asked.height * len(label_set) * 2
        table = pl.DataFrame({name: [0.0 if name == "logit" else ""] * size for name in linear.LOGITS})
        return pl.DataFrame(schema=linear.ANSWERS), table


def labels() -> list[Label]:
    return labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)


def job(table: Path) -> Job:
    return Job(
        str(table), Columns(), None, "utf-8", str(paths.ADAPTER), str(paths.CALIBRATION), MULTIPLE_CHOICE, "long", "transformers",
        0, 8192,
    )  # fmt: skip


def measure_student(folder: Path) -> None:
    table = folder / "reports.csv"
    write(table, REPORTS)
    command = [sys.executable, "-m", "raddistill.cli", "predict", str(table), "-o", str(folder / "labels.parquet")]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    print(f"student: {REPORTS} reports in {time.perf_counter() - began:.1f} s, start and loading included")


def measure_forms(folder: Path) -> None:
    table = folder / "reports.csv"
    write(table, REPORTS)
    reports = pl.read_csv(table).select("report_id", text=pl.col("findings") + "\n" + pl.col("impression"))
    runtime = params.RuntimeParams(threads=0, predict_tokens=8192, progress=False)
    answerer = Answerer.load("base", paths.BASE, runtime)
    models.add_score(answerer._causal, len(labels()) + 1, seed=13)
    answerer._ends = set()  # an untouched base may end at once or never: all write WRITTEN tokens
    renderer = Renderer(paths.PROMPTS, answerer.tokenizer, labels())
    speeds = {}
    for form in ("head", "slots", "list"):
        prompts = [renderer.prompt(form, text) for text in reports["text"]]
        asked = reports.select("report_id", task=pl.lit(MULTIPLE_CHOICE), part=pl.lit(0, pl.Int64), answers=pl.lit(form))
        asked = asked.with_columns(prompt=pl.Series(prompts))
        for rows in (asked.head(2), asked):  # two reports to warm up
            began = time.perf_counter()
            answerer.answer(rows, labels(), WRITTEN, Codes([]))
        speeds[form] = REPORTS / (time.perf_counter() - began)
    began = time.perf_counter()
    generate(answerer, [renderer.prompt("list", text) for text in reports["text"]])
    speeds["generate"] = REPORTS / (time.perf_counter() - began)
    print("forms: " + ", ".join(f"{form} {speed:.1f} reports/s" for form, speed in speeds.items()))
    for form in ("list", "generate"):
        print(f"against {form}: head {speeds['head'] / speeds[form]:.1f}, slots {speeds['slots'] / speeds[form]:.1f}")


def generate(answerer: Answerer, prompts: list[str]) -> None:
    """Writes lists as the documentation of transformers shows it."""
    tokenizer = answerer.tokenizer
    tokenizer.padding_side = "left"
    for batch in (prompts[i : i + 16] for i in range(0, len(prompts), 16)):
        ids = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False)
        with answerer._inference():
            answerer._causal.generate(**ids, max_new_tokens=WRITTEN, min_new_tokens=WRITTEN, do_sample=False)


def measure_memory(folder: Path, reports: int) -> None:
    table = folder / "reports.csv"
    write(table, reports)
    tokenizer = models.load_tokenizer(paths.BASE)
    tasks = {MULTIPLE_CHOICE: TaskSettings(answers="head", units="sentences")}
    student = Student(MULTIPLE_CHOICE, StudentSettings(labels=labels(), tasks=tasks, max_tokens=512, codes={}), AtOnce(tokenizer))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    labelled, _ = job(table).run(student, folder / "labels.parquet", WHOLE_FILE)
    assert labelled == reports
    peak, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter() - began
    mib, speed = f"peak {peak / 1024:.0f} MiB, {before / 1024:.0f} before", reports / seconds
    print(f"memory: {reports:,} reports, {mib}, {speed:,.0f} reports/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("student", "forms", "memory"))
    parser.add_argument("--reports", type=int, help="with --only memory: this number of reports, in this process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.reports:
            measure_memory(Path(folder), options.reports)
            return
        if options.only in (None, "student"):
            measure_student(Path(folder))
        if options.only in (None, "forms"):
            measure_forms(Path(folder))
    for reports in SIZES if options.only in (None, "memory") else ():  # each in a process of its own: peaks do not fall
        subprocess.run([sys.executable, "-m", "benchmarks.predict", "--only", "memory", "--reports", str(reports)], check=True)


if __name__ == "__main__":
    main()
