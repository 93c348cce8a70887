"""How long it takes to extract a large corpus: an invented one in MIMIC-CXR's layout, and PadChest's 107,783 real reports.

    python -m benchmarks.cohorts --padchest PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz     # from the root

--tree measures the unpacked corpus, too. --csv-gigabytes 5 --turns 1 measures a CSV of that size instead: 4,452,471 rows, written
in two processor minutes, extracted in eleven, with 6.4 GB (approximate near duplicates; exact ones take longer and were not timed
at that size).

The invented corpus (benchmarks/written_cohort.py) is made once in --folder, in about a minute. "ours" is the stage `extract`,
from the zip to tables on disk: sections, splits, gold, quarantine, near duplicates across splits. "one file at a time" is a
simple script: zipfile, a regular expression for the headers, rows to Parquet, and nothing else. Each side runs in its own
process. The sides take turns, and the best turn counts. Processor time and memory (resident, every 50 ms) are summed over all
processes of a side; shared pages count once per process, so the sum of memory is an upper bound.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.label_throughput import family, resident
from benchmarks.written_cohort import STUDIES, unpack, write_cohort, write_csv
from raddistill import params, paths

ROOT = Path(__file__).parents[1]
HEADER = re.compile(r"^\s*([A-Z][A-Z /]+):", re.MULTILINE)
MOST = 16 << 20  # KiB that a side may use
WRITTEN = {"source": "mimic_cxr", "gold": "gold/mimic_cxr", "splits": "file"}
PADCHEST = {"source": "padchest", "gold": "gold/padchest", "splits": "hash"}
ONE_CSV = {"source": "files", "gold": "gold/none", "splits": "hash"}
COLUMNS = {"sensitivity": "public", "id": "path_to_image", "patient": "deid_patient_id", "text": "report"}


class Run(NamedTuple):
    """One turn of a side: seconds, processor seconds, peak MiB, reports."""

    seconds: float
    cpu: float
    peak: float
    reports: int


def main(
    folder: Annotated[Path, typer.Option(help="where the written corpus is, or is made")] = Path(".store/written_cohort"),
    studies: Annotated[int, typer.Option(help="of the written corpus")] = STUDIES,
    padchest: Annotated[Path | None, typer.Option(help="PadChest's CSV, as the torchxrayvision wheel ships it")] = None,
    tree: Annotated[bool, typer.Option(help="the written corpus also unpacked, as the tree of its files")] = False,
    csv_gigabytes: Annotated[float, typer.Option(help="a written CSV of this size instead of the corpus; 0: none")] = 0.0,
    turns: int = 2,
) -> None:
    sides: dict[tuple[str, str], Callable[[], Run]] = {}
    if csv_gigabytes:
        table = once(folder / f"{csv_gigabytes:g}GB", lambda made: write_csv(made / "written.csv", int(csv_gigabytes * 1e9)))
        there = ONE_CSV | {"raw": str(table / "written.csv")}
        sides[f"written, a CSV of {csv_gigabytes:g} GB", "ours, files"] = lambda: ours(there, COLUMNS)
    else:
        corpus = once(folder / str(studies), lambda made: write_cohort(made, studies))
        sides["written, MIMIC-CXR's layout", "ours"] = lambda: ours(WRITTEN | {"raw": str(corpus)})
        sides["written, MIMIC-CXR's layout", "one file at a time"] = lambda: plain(corpus)
        if tree:
            unpacked = once(folder / f"{studies}-tree", lambda made: unpack(corpus, made))
            sides["written, its tree", "ours"] = lambda: ours(WRITTEN | {"raw": str(unpacked)})
    if padchest:
        sides["PadChest, real", "ours"] = lambda: ours(PADCHEST | {"raw": str(padchest.resolve())})
    runs = [{side: run() for side, run in sides.items()} for _ in range(turns)]
    page = Table("corpus", "reader", *(f"{name:>}" for name in ("reports", "seconds", "reports/s", "processor s", "peak MiB")))
    for side in sides:
        best = min((turn[side] for turn in runs), key=lambda run: run.seconds)
        figures = (best.reports, best.seconds, best.reports / best.seconds, best.cpu, best.peak)
        page.add_row(*side, *(f"{figure:,.{digits}f}" for figure, digits in zip(figures, (0, 1, 0, 1, 0), strict=True)))
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(page)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end, best of {turns}")


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Returns the subfolder `files`, filled by `make` unless an earlier run has completed it."""
    if not (folder / "written").exists():
        Console(stderr=True).print(f"writing {folder}, once")
        (folder / "files").mkdir(parents=True, exist_ok=True)
        make(folder / "files")
        (folder / "written").touch()
    return (folder / "files").resolve()


def ours(extract: dict[str, Any], columns: dict[str, str] | None = None) -> Run:
    """Runs the stage in a temporary project, with changed params of `extract` and `extract.files`."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        for part in ("gold", "lexicon"):
            (project / part).symlink_to(ROOT / part)
        changed = params.read(ROOT / "params.yaml")
        changed["extract"] |= extract | {"max_quarantine": 1.0, "files": changed["extract"]["files"] | (columns or {})}
        changed["remotes"] = {"models": "private"}
        with (project / "params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(changed, file)
        run = measure([sys.executable, "-m", "stages.extract"], project)
        return run._replace(reports=pl.scan_parquet(project / paths.REPORTS).select(pl.len()).collect().item())


def plain(corpus: Path) -> Run:
    with tempfile.TemporaryDirectory() as name:
        table = Path(name, "reports.parquet")
        command = "from benchmarks.cohorts import read_plainly; import sys; read_plainly(*sys.argv[1:])"
        run = measure([sys.executable, "-c", command, str(corpus / "mimic-cxr-reports.zip"), str(table)], ROOT)
        return run._replace(reports=pl.scan_parquet(table).select(pl.len()).collect().item())


def read_plainly(archive: str, table: str) -> None:
    """A simple reader: one file after the other; a header is capitals and a colon at the start of a line."""
    rows = []
    with zipfile.ZipFile(archive) as reports:
        for name in reports.namelist():
            if not name.endswith(".txt"):
                continue
            with reports.open(name) as file:
                text = file.read().decode()
            headers = list(HEADER.finditer(text))
            row: dict[str, str | None] = {"report_id": Path(name).stem, "patient_id": Path(name).parent.name, "text": text}
            for at, header in enumerate(headers):
                end = headers[at + 1].start() if at + 1 < len(headers) else len(text)
                if (section := header[1].lower()) in ("findings", "impression", "indication", "comparison"):
                    row[section] = " ".join(text[header.end() : end].split())
            rows.append(row)
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(table)


def measure(command: list[str], folder: Path) -> Run:
    """Runs the command in the folder and measures it."""
    paths_of = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    began, before = time.monotonic(), os.times()
    peak = 0
    with subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": paths_of}) as process:
        while process.poll() is None:
            peak = max(peak, sum(resident(pid) for pid in family(process.pid)))
            if peak > MOST:
                process.kill()
                sys.exit(f"the reader took more than {MOST >> 20} GiB and was ended")
            time.sleep(0.05)
    if process.returncode:
        sys.exit("the reader failed; see its output above")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(time.monotonic() - began, cpu, peak / 1024, 0)


if __name__ == "__main__":
    typer.run(main)
