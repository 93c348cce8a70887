"""Reads the gold of the extracted reports: from annotators' files, or from the source's own annotations."""

from pathlib import Path

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.sources.documents import Source
from raddistill.sources.gold import annotators
from raddistill.statuses import EXCLUDED

UNKNOWN = "annotated, but not among the reports"


def annotations_by_id(read: pl.DataFrame, kept: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Returns report id to its annotations, if it has any. Includes reports in quarantine, whose gold is counted."""
    lost = read.join(kept.select("report_id"), on="report_id", how="anti").sort(
        "report_id", pl.col("annotations").list.join("\n")
    )
    coded = pl.concat([kept.select(read.columns), lost]).filter(pl.col("annotations").list.len() > 0)
    return {report_id: tuple(codes) for report_id, codes in coded.iter_rows()}


def read_gold(
    source: Source, annotations: dict[str, tuple[str, ...]], folder: Path, label_set: list[Label], concepts: list[Concept],
    known: pl.Series,
) -> pl.DataFrame:  # fmt: skip
    """Returns gold from the annotators' files in `folder`; if it has none, from the source's own annotations.

    A folder called `none` means that there are no annotations. Labels in the report file of the source `files` are always used.

    Raises:
        InputError: an annotator's file and labels in the report file have the same name.
    """
    if source.needs_mapping and folder.name != annotators.NONE and not annotators.are_in(folder):
        return source.gold(annotations, folder, label_set, concepts)
    written = annotators.load(folder, label_set, concepts, known)
    if source.needs_mapping:
        return written
    own = source.gold(annotations, folder, label_set, concepts)
    if twice := own.join(written, on=["task", "annotator"], how="semi")["annotator"].unique().sort().to_list():
        raise InputError(
            f"{folder}: {twice[0]} is the name of a file of annotations and of labels in the report file (extract.files.labels); "
            "rename the file, or leave out one of them"
        )
    return pl.concat([written, own], how="vertical_relaxed")


def of_known_reports(gold: pl.DataFrame, reports: pl.Series, quarantined: pl.Series) -> tuple[pl.DataFrame, int, pl.DataFrame]:
    """Returns the gold of `reports`, the number of annotated reports in quarantine, and a failure for each unknown report.

    A report that all its annotators excluded does not count as annotated.
    """
    others = gold.select("report_id").unique().join(reports.to_frame("report_id"), on="report_id", how="anti")
    stated = pl.DataFrame(schema={"report_id": pl.String})
    if others.height:
        annotated_ids = gold.filter(pl.col("status") != EXCLUDED).select("report_id").unique()
        stated = annotated_ids.join(others, on="report_id", how="semi")
        gold = gold.join(others, on="report_id", how="anti", maintain_order="left")
    quarantined_too = stated["report_id"].is_in(quarantined.implode())
    unknown = stated.filter(~quarantined_too).select("report_id", reason=pl.lit(UNKNOWN))
    by_task = gold.group_by("task", "annotator").agg(pl.len(), pl.col("report_id").n_unique(), pl.col("label").n_unique())
    for task, _, rows, annotated, names in by_task.iter_rows():
        assert rows == annotated * names, f"{task}: an annotated report lacks a row of a label"
    return gold, int(quarantined_too.sum()), unknown
