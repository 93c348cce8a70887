"""Reads the gold of the extracted reports, adjudicates it if there are several annotators, and computes their agreement.

It comes from annotators' files, or from the source's own annotations.
"""

from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import polars as pl

from raddistill.agreement_coefficients import cohens_kappa
from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.sources.documents import Source
from raddistill.sources.gold import annotators
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, PRESENT, UNCERTAIN

Adjudication = Literal["first", "both", "either"]
RANKS = {ABSENT: 0, AMBIGUOUS: 1, UNCERTAIN: 2, PRESENT: 3}  # by the strength of the statement
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


def adjudicate(gold: pl.DataFrame, how: Adjudication) -> pl.DataFrame:
    """Returns gold with one annotator per task. Several annotators of a task are combined to one with the name `how`.

    Among the annotators of a report, `first` takes the first by name, `both` the weakest status of each label (present if all say
    so), and `either` the strongest.
    """
    several = _of_several(gold)
    if not several:  # does not copy the 10 million rows of PadChest
        return gold
    by_task = gold.group_by("task", maintain_order=True)
    return pl.concat([_adjudicated(rows, how) if task in several else rows for (task,), rows in by_task])


def _adjudicated(gold: pl.DataFrame, how: Adjudication) -> pl.DataFrame:
    annotated = gold.filter(pl.col("status") != EXCLUDED)
    if how == "first":
        first = annotated.group_by("report_id").agg(pl.col("annotator").min())
        made = annotated.join(first, on=["report_id", "annotator"], how="semi")
    else:
        ranked = pl.col("status").sort_by(pl.col("status").replace_strict(RANKS, return_dtype=pl.Int8))
        least_or_most = ranked.first() if how == "both" else ranked.last()
        made = annotated.group_by("report_id", "task", "label", maintain_order=True).agg(least_or_most)
    return made.with_columns(annotator=pl.lit(how)).select(gold.columns)


def agreement(gold: pl.DataFrame) -> dict[str, Any]:
    """Returns, by task, the number of shared reports and, by label, the agreement of all pairs of annotators; {} without pairs.

    Present and uncertain count alike, against absent; ambiguous and excluded cells are left out. `kappa` (Cohen 1960) is the mean
    over the pairs for which it is defined, and missing if there is no such pair.
    """
    said = gold.filter(pl.col("task").is_in(_of_several(gold)) & ~pl.col("status").is_in([AMBIGUOUS, EXCLUDED]))
    return {str(task): _agreement(rows) for (task,), rows in said.group_by("task", maintain_order=True)}


def _of_several(gold: pl.DataFrame) -> list[str]:
    """Returns the tasks with more than one annotator."""
    pairs = gold.select("task", "annotator").unique()
    return pairs.filter(pl.col("task").is_duplicated())["task"].unique().to_list()


def _agreement(rows: pl.DataFrame) -> dict[str, Any]:
    stated = rows.select("report_id", "annotator", "label", stated=pl.col("status").is_in([PRESENT, UNCERTAIN]))
    parts = stated.partition_by("annotator", as_dict=True)
    pairs = [
        parts[one].join(parts[other], on=["report_id", "label"]).select("report_id", "label", a="stated", b="stated_right")
        for one, other in combinations(sorted(parts), 2)
    ]
    both = pl.concat(pairs).with_columns(pl.col("label").cast(pl.String))  # an Enum would not be sorted by name
    agreed: dict[str, Any] = {"reports": both["report_id"].n_unique(), "annotators": len(parts), "labels": {}}
    for (name,), cells in both.sort("label").group_by("label", maintain_order=True):
        if not cells.select((pl.col("a") | pl.col("b")).any()).item():
            continue
        agreed["labels"][name] = {"reports": cells.height, "agree": (cells["a"] == cells["b"]).mean()}
        of_pairs = [pair.filter(pl.col("label") == name) for pair in pairs]
        kappas = [kappa for pair in of_pairs if (kappa := cohens_kappa(pair["a"], pair["b"])) is not None]
        if kappas:
            agreed["labels"][name]["kappa"] = sum(kappas) / len(kappas)
    return agreed
