"""The command `compare`: prints how label files differ, as tables or as JSON."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from raddistill.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 200  # characters; on a narrower terminal figures would be cut off, so lines are broken there
REPORTS = {"reports": "{reports}", "scored": "{scored}", "not in gold": "{not_in_gold}", "only in gold": "{only_in_gold}"}
SCORES = {  # column -> format of a cell
    "uncertain as": "{uncertain_as}", "micro F1": "{micro_f1:.3f} ({micro_f1_low:.3f} to {micro_f1_high:.3f})",
    "macro F1": "{macro_f1:.3f} ({macro_f1_low:.3f} to {macro_f1_high:.3f})", "precision": "{precision:.3f}",
    "recall": "{recall:.3f}",
}  # fmt: skip
DIFFERENCES = {
    "reports": "{reports}", "micro F1": "{micro_f1:+.3f} ({low:+.3f} to {high:+.3f})",
    "macro F1": "{macro_f1:+.3f} ({macro_f1_low:+.3f} to {macro_f1_high:+.3f})",
    "as absent": "{mask_absent_micro_f1:+.3f}", "as present": "{mask_present_micro_f1:+.3f}",
}  # fmt: skip
AGREEMENT = {
    "reports of both": "{reports}", "only first": "{only_a}", "only second": "{only_b}",
    "equal cells": "{agree:.3f}", "kappa": "{kappa:.3f}",
}  # fmt: skip
MOST_WIDE = 3  # labellers whose F1 by label is shown with its interval
MOST_PAIRS = 6  # whose kappa is shown by label


Files = Annotated[list[str], typer.Argument(metavar="[NAME=]FILE...", help="Label files, or folders of parts.")]
Gold = Annotated[str | None, typer.Option("--gold", "-g", metavar="[NAME=]FILE", help="Labels made by people.")]
Uncertain = Annotated[
    Literal["present", "absent", "best"] | None,
    typer.Option(
        help="What `uncertain` (-1) in a FILE counts as. best: present or absent, whichever gives this file the higher F1. "
        "In gold it counts as present. [default: best with gold, else present]"
    ),
]
Common = Annotated[bool, typer.Option("--common", help="Takes only the reports that all files, and gold, have.")]
LabelSet = Annotated[str | None, typer.Option(metavar="FILE|NAME", help="The labels. [default: chest_13]")]
IdColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of the ids. [default: report_id, study_id]")]
Differing = Annotated[
    Path | None,
    typer.Option("--disagreements", metavar="FILE", help="Writes ids, labels and statuses that differ, as .csv. No text."),
]
Resamples = Annotated[int, typer.Option(min=1, help="Bootstrap draws.")]
MacroMin = Annotated[int, typer.Option(min=1, help="Positives in gold that a label in macro F1 needs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Prints JSON: all figures, by label too.")]
HELP = """Compares label files with gold and with each other: F1 with intervals, paired differences, kappa, disagreements by id.

`raddistill compare ours.csv chexbert.csv --gold radiologist.csv`

`raddistill compare ours=labels.csv mimic-cxr-2.0.0-chexpert.csv.gz`: without gold, agreement alone

`raddistill compare data/decisions.parquet --gold data/gold.parquet`: the arms of the pipeline's last run

`raddistill compare A.csv B.csv -g gold.csv --common --disagreements look_at.csv --json`

**A label file** is what `raddistill label` or `predict` writes; a table with an id and CheXpert's codes (1, 0, -1, blank)
in a column per label, such as CheXbert's or MIMIC-CXR's; or a table of the pipeline: gold, labels, decisions.
`NAME=FILE` names the labeller; if FILE has several (arms, teachers, annotators), it takes the one of that name.

**Reports.** F1 is of the reports that a file and gold have, differences and kappa are of those that two files have. Their
numbers are shown. `--common` takes the reports that all have. In gold, blank means absent.

**Intervals** are 95 %, from bootstrap draws of reports. Reports with equal texts are drawn together if data/decisions.parquet
is among the files: no other file tells which these are.

**Exit codes**: 0 done. 1 a file or an option is wrong. 2 the command is wrong.
"""


def compare(
    files: Files,
    gold: Gold = None,
    uncertain: Uncertain = None,
    common: Common = False,
    label_set: LabelSet = None,
    id_column: IdColumn = None,
    differing: Differing = None,
    resamples: Resamples = 2000,
    macro_min: MacroMin = 1,
    as_json: AsJson = False,
) -> None:
    """Compares label files with gold and with each other, and prints the figures; HELP says how."""
    from rich.console import Console

    from raddistill.apps.compare.comparing import compare_files, disagreements
    from raddistill.tables.base import write_csv

    if differing and (differing.exists() or differing.suffix != ".csv" or not differing.parent.is_dir()):
        raise InputError(f"--disagreements {differing}: name a .csv file that does not exist yet, in a folder that does")
    figures, labellers = compare_files(
        files, gold, uncertain, common=common, label_set=label_set, id_column=id_column, resamples=resamples, macro_min=macro_min
    )
    if differing:
        cells = disagreements(labellers, figures["labels"])
        write_csv(cells, differing)
        print(f"{cells.height:,} cells (of a report and a label) on which two differ: {differing}", file=sys.stderr)
    if as_json:
        print(json.dumps(figures, indent=2, allow_nan=False))
        return
    Console(width=max(Console().width, WIDTH)).print(*_tables(figures), sep="\n")
    for note in figures["notes"]:
        print(note, file=sys.stderr)


def _tables(figures: dict[str, Any]) -> "Iterator[Table | str]":
    from rich.markup import escape

    from raddistill.scoring.score_output import cell, table

    def grid(title: str, names: list[str], columns: dict[str, str], rows: "Iterable[tuple[list[str], Any]]") -> "Table":
        cells = [[*words, *(cell(own, form) for form in columns.values())] for words, own in rows]
        return table(title, [*names, *columns], cells, words=len(names))

    labellers, pairs = figures["labellers"], [([each["a"], each["b"]], each) for each in figures["agreement"]]
    if "gold" in figures:
        each = [([name], own) for name, own in labellers.items()]
        yield grid("Reports", ["labeller"], REPORTS, each)
        yield grid(f"F1 against {escape(figures['gold']['file'])}, with 95 % intervals", ["labeller"], SCORES, each)
        form = "{f1:.3f} ({low:.3f} to {high:.3f}) [{positives}]" if len(labellers) <= MOST_WIDE else "{f1:.3f} [{positives}]"
        shown = [[cell(own["by_label"][label], form) for own in labellers.values()] for label in figures["labels"]]
        rows = [[label, *cells] for label, cells in zip(figures["labels"], shown, strict=True)]
        yield table("F1 by label; in brackets, the positives in gold", ["label", *map(escape, labellers)], rows)
    if figures.get("differences"):
        differences = (([each["a"], each["b"]], each) for each in figures["differences"])
        yield grid(
            "Differences of F1 on the same reports, and with ambiguous cells as absent or present",
            ["labeller", "minus"],
            DIFFERENCES,
            differences,
        )
    yield grid("Agreement", ["first", "second"], AGREEMENT, pairs)
    if len(pairs) <= MOST_PAIRS:
        rows = [[label, *(cell(each["by_label"][label], "{kappa:.3f}") for _, each in pairs)] for label in figures["labels"]]
        yield table("Cohen's kappa by label", ["label", *(escape(" / ".join(names)) for names, _ in pairs)], rows)
    said = "{all:,} reports in all, {common:,} that all have. Uncertain counts as: {as_}."
    yield said.format(**figures["reports"], as_=figures["uncertain"])
    if "gold" in figures:
        yield "Gold: {reports:,} reports, without {excluded:,} that it excludes. Ambiguous cells are masked.".format(
            **figures["gold"]
        )
