"""The metrics of `extract`: reports, reasons for quarantine, splits, gold, and leaks between splits."""

from typing import Any

import polars as pl
from rich.console import Console

from raddistill.sources.documents import SECTIONS
from raddistill.sources.splits import splitting
from raddistill.statuses import EXCLUDED, PRESENT
from raddistill.tables.reports import SENSITIVITIES, SPLITS
from raddistill.tasks.names import TASKS

console = Console(stderr=True)


def numbered(failures: pl.DataFrame) -> pl.DataFrame:
    """Returns the Quarantine table. `n` counts the rows of one id, in an order that does not depend on the files."""
    ordered = failures.sort("report_id", "reason")
    n = pl.int_range(pl.len(), dtype=pl.Int64).over("report_id")
    return ordered.select("report_id", n.alias("n"), "reason", answer=pl.lit(None, pl.String))


def counts(reports: pl.DataFrame, gold: pl.DataFrame, quarantine: pl.DataFrame) -> dict[str, Any]:
    """Returns counts of reports by split and of reasons for quarantine, and, by task, of annotated reports and present cells."""
    reasons = quarantine.get_column("reason").value_counts().sort("reason")
    excluded = pl.col("status") == EXCLUDED
    figures = {
        "annotated": pl.col("report_id").filter(~excluded).n_unique(),
        "excluded": pl.col("report_id").filter(excluded).n_unique(),
        "present": (pl.col("status") == PRESENT).sum(),
    }
    by_task = gold.group_by("task", maintain_order=True).agg(**figures)
    tasks = by_task.rows_by_key("task", named=True, unique=True)
    return {
        "files": reports.height + quarantine.height,
        "reports": reports.height,
        "quarantined": {"total": quarantine.height} | {r.replace(" ", "_"): n for r, n in reasons.iter_rows()},
        "splits": {split: int((reports["split"] == split).sum()) for split in SPLITS},
        "text_groups": reports.get_column("text_group").n_unique(),
        "gold": tasks,
        "reports_without_gold": {task: reports.height - tasks.get(task, {}).get("annotated", 0) for task in TASKS},
    }


def corpus(kept: pl.DataFrame, reports: pl.DataFrame, near_duplicate: float) -> dict[str, Any]:
    """Returns counts of sections and patients, and of patients and texts that are in more than one split.

    `kept`: the same reports with the column `without_headers`. `near_duplicate`: the Jaccard index of near duplicates.
    """
    leaks = splitting.leaks(reports)
    if leaks["patients"]:
        console.print(
            f"extract: {leaks['patients']:,} patients are in more than one split of the source's own file "
            f"({leaks['reports_of_patients']:,} reports); extract.splits: hash keeps patients together"
        )
    return {
        "sections": {name: reports.height - reports[name].null_count() for name in SECTIONS},
        "without_headers": int(kept["without_headers"].sum()),
        "patients": reports["patient_id"].drop_nulls().n_unique(),
        "sensitivity": {name: int((reports["sensitivity"] == name).sum()) for name in SENSITIVITIES},
        "leaks": leaks,
        "near_neighbours": splitting.count_near_duplicates(reports, near_duplicate),
    }
