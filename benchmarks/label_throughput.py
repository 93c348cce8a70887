"""`raddistill label` on a file of the size of MIMIC-CXR: reports a second, wall time, peak memory of all its processes.

    python benchmarks/label_throughput.py                          # 228,000 reports, all cores; the bar is a minute on two
    python benchmarks/label_throughput.py --reports 20000 --jobs 1

Reports are drawn from sentences written for this file: about 50 words each, with columns findings and impression. As in real
collections most sentences recur, but about a third are new (35 % in the last quarter of Open-i's training split), so a cache of
sentences has no unfair advantage. A tenth of the reports is measured first: memory is constant if ten times as many reports need
hardly more (only the hashes of ids grow). Memory is the sum of the resident sets of the command and its processes, measured 20
times per second; shared pages count once per process. Keep the machine idle.
"""

import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

SENTENCES = [
    "The heart is mildly enlarged.", "Heart size is within normal limits.", "The cardiomediastinal silhouette is unremarkable.",
    "There is a small left pleural effusion with adjacent atelectasis.", "No pleural effusion or pneumothorax is seen.",
    "Streaky opacities at the right lung base may represent atelectasis versus pneumonia.", "The lungs are clear bilaterally.",
    "No focal consolidation, effusion, or pneumothorax.", "Mild pulmonary vascular congestion without frank edema.",
    "A calcified granuloma projects over the left upper lobe.", "Old healed fractures of the left sixth and seventh ribs.",
    "A right internal jugular catheter ends in the lower superior vena cava.", "Sternal wires and clips are again noted.",
    "Degenerative changes of the thoracic spine.", "There is no evidence of acute bony abnormality.",
    "The aorta is tortuous and calcified.", "Low lung volumes accentuate the bronchovascular markings.",
    "Blunting of the left costophrenic angle is unchanged since the prior film.", "The endotracheal tube has been removed.",
    "Pneumonia cannot be excluded in the appropriate clinical setting.", "Interval resolution of the right apical pneumothorax.",
    "Biapical pleural thickening, stable.", "An enteric tube courses below the diaphragm.", "Trachea is midline.",
]  # fmt: skip
NEW = [  # with their placeholders filled, hardly two are the same
    "A {mm} mm nodule projects over the {side} {n}th rib.", "There is a {degree} {side} pleural effusion, {mm} mm deep.",
    "The tip of the {side} chest tube lies {mm} mm from the {n}th rib; no pneumothorax.",
    "{degree} wedge deformity of T{n} with {mm} percent loss of height.", "No opacity larger than {mm} mm at the {side} base.",
    "The cardiac silhouette is {degree}ly enlarged, {mm} mm across.", "{degree} {side} basilar atelectasis over {mm} mm.",
]  # fmt: skip
NEW_SHARE = 0.42  # of the findings' sentences, which is a third of all
IMPRESSIONS = [
    "No acute cardiopulmonary process.", "Small left effusion, increased.", "Possible early pneumonia at the right base.",
    "Cardiomegaly without edema.", "No change in the left lower lobe opacity.", "Stable appearance of the chest.",
]  # fmt: skip


class Run(NamedTuple):
    seconds: float
    peak_mib: float
    largest_mib: float  # of one process


def main(
    reports: Annotated[int, typer.Option(min=10)] = 228_000,
    jobs: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
    lexicon: str = "tuned",
    task: str = "multiple_choice",
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in (reports // 10, reports):
            table = Path(folder, "reports.csv")
            words = write(table, number)
            form = ["--format", "long"] if task == "open_ended" else []
            options = ["--lexicon", lexicon, "--task", task, *form, *([] if jobs is None else ["--jobs", str(jobs)])]
            run = measure([str(table), "-o", str(Path(folder, f"labels{number}.csv")), *options])
            print(
                f"{number:,} reports of {words / number:.0f} words: {run.seconds:.1f} s, {number / run.seconds:,.0f} reports/s, "
                f"peak {run.peak_mib:.0f} MiB in all processes, {run.largest_mib:.0f} MiB in the largest"
            )


def write(table: Path, reports: int) -> int:
    """Writes a CSV of `reports` reports; returns their number of words."""
    draw = random.Random(7)
    words = 0
    with table.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["report_id", "findings", "impression"])
        for number in range(reports):
            said = [fill(draw) if draw.random() < NEW_SHARE else each for each in draw.sample(SENTENCES, 5)]
            findings, impression = " ".join(said), draw.choice(IMPRESSIONS)
            words += len(findings.split()) + len(impression.split())
            out.writerow([f"r{number}", findings, impression])
    return words


def fill(draw: random.Random) -> str:
    sentence = draw.choice(NEW).format(
        mm=f"{draw.uniform(1, 99):.1f} x {draw.uniform(1, 99):.1f}", n=draw.randrange(4, 13), side=draw.choice(("left", "right")),
        degree=draw.choice(("mild", "moderate", "marked", "slight")),
    )  # fmt: skip
    return sentence[0].upper() + sentence[1:]


def measure(options: list[str]) -> Run:
    """Runs the command and measures it."""
    began = time.monotonic()
    command = [sys.executable, "-m", "raddistill.cli", "label", *options]
    peak = largest = 0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            sizes = [resident(pid) for pid in family(process.pid)]
            peak, largest = max(peak, sum(sizes)), max(largest, *sizes)
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"the command failed: raddistill label {' '.join(options)}")
    return Run(time.monotonic() - began, peak / 1024, largest / 1024)


def family(pid: int) -> list[int]:
    """Returns a process and all its descendants (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # ended meanwhile
        return [pid]
    return [pid, *(each for child in children for each in family(int(child)))]


def resident(pid: int) -> int:
    """Returns the resident memory of a process in KiB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


if __name__ == "__main__":
    typer.run(main)
