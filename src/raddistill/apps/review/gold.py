"""Makes gold of what readers answered: their agreement, the cells that they must settle, and versions for `extract.gold`."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from raddistill.apps.review.answers import Answers, read_table, refuse
from raddistill.apps.review.forms import ID, TEXT, write_sheet
from raddistill.apps.review.queue import VALUES, Queue
from raddistill.errors import InputError
from raddistill.files import write_whole
from raddistill.scoring.bootstrap import Bootstrap
from raddistill.scoring.scores import tidy
from raddistill.sources.gold import annotators, reading_gold
from raddistill.statuses import ABSENT, to_chexpert
from raddistill.tasks.names import MULTIPLE_CHOICE

CONFLICTS, ABOUT = "conflicts.xlsx", "gold.json"
FILES = [f"v1/{ABOUT}", f"v1/{MULTIPLE_CHOICE}/adjudicated.csv"]  # what a version holds
ADJUDICATED, DECISION = "adjudicated", "decision"
REJECTED = "(rejected)"
RESAMPLES = 2000
Cell = tuple[str, str]  # report, label


def agreement(queue: Queue, readers: dict[str, Answers], seed: int) -> dict[str, Any]:
    """Returns how the readers agree on the reports that several of them labelled, unweighted; {} if there are none.

    `labels`: kappa and share of agreement by label, where present and uncertain count alike. `readers`: micro F1 of one reader
    against another, over all pairs, with its interval: the ceiling for any model. `student`: micro F1 of the pre-filled labels
    against the same readers on the same reports (named by who pre-filled them).
    """
    rows = [(r, MULTIPLE_CHOICE, name, label, status) for name, each in readers.items() for r, of in each.items()
            for label, status in of.items()]  # fmt: skip
    shared = pl.DataFrame(rows, schema=annotators.GOLD, orient="row")
    several = shared.group_by("report_id").agg(pl.col("annotator").n_unique()).filter(pl.col("annotator") > 1)
    if several.is_empty():
        return {}
    shared = shared.join(several, on="report_id", how="semi")
    figures: dict[str, Any] = reading_gold.agreement(shared)[MULTIPLE_CHOICE]
    prefilled = {row["report_id"]: row["labels"] for row in queue.rows}
    pairs = list(itertools.combinations(readers.values(), 2))
    model = [(prefilled, each) for each in readers.values()]
    reports = sorted(several["report_id"])
    for name, compared in {"readers": pairs, queue.about["prefilled_by"]: model}.items():
        counts = [(r, *_counts(one[r], other[r])) for one, other in compared for r in reports if one.get(r) and other.get(r)]
        micro = Bootstrap([r for r, *_ in counts], RESAMPLES, seed).interval(np.array([n for _, *n in counts], dtype=np.int64))
        figures[name] = {"micro_f1": micro.value, "low": micro.low, "high": micro.high}
    return tidy(figures)


def _counts(one: dict[str, str], other: dict[str, str]) -> tuple[int, int, int]:
    """Returns how many labels both, only the first and only the second call present or uncertain."""
    a, b = ({label for label, status in labels.items() if status != ABSENT} for labels in (one, other))
    return len(a & b), len(a - b), len(b - a)


def settle(queue: Queue, readers: dict[str, Answers], majority: bool) -> tuple[dict[str, dict[str, str]], list[Cell]]:
    """Returns the settled labels by report, and the cells in conflict: readers differ, or one rejected the report.

    `majority`: what more than half of a report's readers say is settled. A reader who rejected the report counts as one of them.
    """
    settled: dict[str, dict[str, str]] = {}
    conflicts: list[Cell] = []
    for row in queue.rows:
        report = row["report_id"]
        said = [each[report] for each in readers.values() if report in each]
        for label in queue.labels if said else []:
            count, status = max((sum(of.get(label) == value for of in said), value) for value in VALUES)
            if count == len(said) or (majority and 2 * count > len(said)):
                settled.setdefault(report, {})[label] = status
            else:
                conflicts.append((report, label))
    return settled, conflicts


def write_conflicts(queue: Queue, readers: dict[str, Answers], conflicts: list[Cell], path: Path) -> None:
    """Writes a spreadsheet with a row for each cell in conflict, what each reader said, and a column for the decision.

    Raises:
        InputError: the file exists, perhaps with decisions.
    """
    if path.exists():
        raise InputError(f"{path} exists: if it is answered, give it by --conflicts; else remove it")
    texts = {row["report_id"]: row["text"] for row in queue.rows}
    rows = []
    for report, label in conflicts:
        said = {f"says {name}": each[report].get(label, REJECTED) if report in each else "" for name, each in readers.items()}
        rows.append({ID: report, TEXT: texts[report], "label": label, **said, DECISION: ""})
    write_sheet(path, rows, {DECISION: VALUES}, {ID: 16, TEXT: 80, "label": 26})


def read_conflicts(path: Path, conflicts: list[Cell]) -> dict[Cell, str]:
    """Returns the decisions in an answered file of conflicts.

    Raises:
        InputError: a conflict has no decision; or a row has an unknown or repeated cell, or an unknown value.
    """
    decided: dict[Cell, str] = {}
    problems = []
    for number, row in enumerate(read_table(path, [ID, "label", DECISION]), start=2):
        report, label, value = (str("" if cell is None else cell).strip() for cell in row.values())
        if (report, label) == ("", ""):
            continue
        if (report, label) not in conflicts or (report, label) in decided:
            problems.append(f"{path.name}, row {number}: no conflict of these readers, or one that was there before")
        elif value.lower() not in VALUES:
            problems.append(f"{path.name}, row {number}: '{DECISION}' is none of {', '.join(VALUES)}")
        decided[report, label] = value.lower()
    missing = [cell for cell in conflicts if cell not in decided]
    problems += [f"{path.name}: no row for {report}, {label}" for report, label in missing]
    refuse(problems)
    return decided


def write_version(folder: Path, labels: list[str], gold: dict[str, dict[str, str]], about: dict[str, Any]) -> Path:
    """Writes gold as the next version, `folder`/v<n>, and returns it; the last version if that is the same.

    It has multiple_choice/<annotator>.csv, as `extract.gold` takes it, and gold.json, which says how it came about. The annotator
    is the reader, or `adjudicated` if there were several.

    Raises:
        InputError: `gold` has no report.
    """
    if not gold:
        raise InputError("no report was answered, so there is no gold")
    about = about | {"reports": len(gold)}
    rows = [[report, *(int(to_chexpert(gold[report][label]) or 0) for label in labels)] for report in sorted(gold)]
    name = f"{about['readers'][0] if len(about['readers']) == 1 else ADJUDICATED}.csv"
    table = pl.DataFrame(rows, schema=[ID, *labels], orient="row").write_csv()
    files = {Path(MULTIPLE_CHOICE, name): table, Path(ABOUT): json.dumps(about, indent=2) + "\n"}
    last = max((int(each.name[1:]) for each in folder.glob("v*") if each.name[1:].isdigit()), default=0)
    latest = folder / f"v{last}"
    if all((latest / file).is_file() and (latest / file).read_text(encoding="utf-8") == text for file, text in files.items()):
        return latest
    with write_whole(folder / f"v{last + 1}") as part:
        (part / MULTIPLE_CHOICE).mkdir(parents=True)
        for file, text in files.items():
            (part / file).write_text(text, encoding="utf-8")
    return folder / f"v{last + 1}"


def load_version(version: Path, queue: Queue) -> tuple[dict[str, dict[str, bool]], dict[str, Any]]:
    """Returns whether each label is stated (present or uncertain), by report, and what gold.json says.

    Raises:
        InputError: the folder is no version of gold, or gold of another queue.
    """
    try:
        about: dict[str, Any] = json.loads((version / ABOUT).read_text(encoding="utf-8"))
        random_only, of = about["random_only"], about["queue"]
        (path,) = (version / MULTIPLE_CHOICE).glob("*.csv")
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        raise InputError(f"{version} is no gold that `raddistill review read` wrote, or it is damaged") from None
    if of != queue.id:
        raise InputError(f"{version} is gold of another queue; its figures need its own (--queue)")
    if random_only:
        raise InputError(f"{version} has the random part only, but estimates need both; read again without --random-only")
    rows = annotators.load_wide(path, queue.labels)
    stated: dict[str, dict[str, bool]] = {}
    for report, label, status in rows.select("report_id", "label", "status").iter_rows():
        stated.setdefault(report, {})[label] = status != ABSENT
    return stated, about
