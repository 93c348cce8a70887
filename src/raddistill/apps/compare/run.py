"""The command `compare`: prints how label files differ, as tables or as JSON."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from raddistill.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

MOST_WIDE = 4  # labellers whose F1 by label is shown with its interval
MOST_PAIRS = 6  # whose kappa is shown by label


def compare(
    files: Annotated[list[str], typer.Argument(metavar="[NAME=]FILE...", help="Label files, or folders of Parquet parts.")],
    gold: Annotated[str | None, typer.Option("--gold", "-g", metavar="[NAME=]FILE", help="Labels made by people.")] = None,
    uncertain: Annotated[
        Literal["present", "absent", "best"] | None,
        typer.Option(
            help="What `uncertain` (-1) in a FILE counts as. best: present or absent, whichever gives this file the higher F1. "
            "In gold it counts as present. [default: best with gold, else present]"
        ),
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Takes only the reports that all files, and gold, have.")] = False,
    label_set: Annotated[str | None, typer.Option(metavar="FILE|NAME", help="The labels. [default: chest_13]")] = None,
    id_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the ids. [default: report_id, study_id]")
    ] = None,
    disagreements: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Writes ids, labels and statuses that differ, as .csv. No text.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap draws.")] = 2000,
    macro_min: Annotated[int, typer.Option(min=1, help="Positives in gold that a label in macro F1 needs.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Prints JSON: all figures, by label too.")] = False,
) -> None:
    """Compares label files with gold and with each other: F1 with intervals, paired differences, kappa, disagreements by id.

    `raddistill compare ours.csv chexbert.csv --gold radiologist.csv`

    `raddistill compare ours=labels.csv mimic-cxr-2.0.0-chexpert.csv.gz`: without gold, agreement alone

    `raddistill compare data/decisions.parquet --gold data/gold.parquet`: the arms of the pipeline's last run

    `raddistill compare A.csv B.csv -g gold.csv --common --disagreements look_at.csv --json`

    **A label file** is what `raddistill label` writes, in any format; a table with an id and CheXpert's codes (1, 0, -1, blank)
    in a column per label, such as CheXbert's or MIMIC-CXR's; or a table of the pipeline: gold, labels, decisions, predictions.
    `NAME=FILE` names the labeller; if FILE has several (arms, teachers, annotators), it takes the one of that name.

    **Reports.** F1 is of the reports that a file and gold have, differences and kappa are of those that two files have. Their
    numbers are shown. `--common` takes the reports that all have. In gold, blank means absent.

    **Intervals** are 95 %, from bootstrap draws of reports. Reports with equal texts are drawn together if data/decisions.parquet
    is among the files: no other file tells which these are.

    **Exit codes**: 0 done. 1 a file or an option is wrong. 2 the command is wrong.
    """
    from rich.console import Group

    from raddistill.apps.compare.comparing import compare_files
    from raddistill.apps.console import print_page
    from raddistill.tables.base import write_csv

    if disagreements and (disagreements.exists() or disagreements.suffix != ".csv" or not disagreements.parent.is_dir()):
        raise InputError(f"--disagreements {disagreements}: name a .csv file that does not exist yet, in a folder that does")
    figures, differing = compare_files(
        files, gold, uncertain, common=common, label_set=label_set, id_column=id_column, resamples=resamples, macro_min=macro_min
    )
    if disagreements:
        write_csv(differing, disagreements)
        print(f"{differing.height:,} cells (of a report and a label) on which two differ: {disagreements}", file=sys.stderr)
    if as_json:
        print(json.dumps(figures, indent=2, allow_nan=False))
        return
    print_page(Group(*_tables(figures)))
    for note in figures["notes"]:
        print(note, file=sys.stderr)


def _tables(figures: dict[str, Any]) -> "Iterator[Table | str]":
    from raddistill.scoring.score_output import GAIN, cell, table

    labellers, pairs = figures["labellers"], figures["agreement"]
    of_label = "{f1:.3f} ({low:.3f} to {high:.3f}) [{positives}]" if len(labellers) <= MOST_WIDE else "{f1:.3f} [{positives}]"
    if "gold" in figures:
        heads = ["labeller", "reports", "scored", "only in gold", "uncertain as", "micro F1", "macro F1", "precision", "recall"]
        forms = ["{reports}", "{scored}", "{only_in_gold}", "{uncertain_as}", _span("micro_f1"), _span("macro_f1")]
        forms += ["{precision:.3f}", "{recall:.3f}"]
        rows = [[name, *(cell(own, form) for form in forms)] for name, own in labellers.items()]
        yield table(f"F1 against {figures['gold']['file']}, with 95 % intervals", heads, rows)
        shown = {name: own["by_label"] for name, own in labellers.items()}
        rows = [[label, *(cell(own[label], of_label) for own in shown.values())] for label in figures["labels"]]
        yield table("F1 by label [positives in gold]", ["label", *shown], rows)
    if figures.get("differences"):
        heads = ["labeller", "minus", "reports", "micro F1", "macro F1", "micro F1, ambiguous absent", "and present"]
        macro = GAIN.replace("micro_f1", "macro_f1").replace("{low", "{macro_f1_low").replace("{high", "{macro_f1_high")
        forms = ["{reports}", GAIN, macro, "{mask_absent_micro_f1:+.3f}", "{mask_present_micro_f1:+.3f}"]
        rows = [[each["a"], each["b"], *(cell(each, form) for form in forms)] for each in figures["differences"]]
        yield table("Differences on the same reports", heads, rows, words=2)
    forms = ["{reports}", "{only_a}", "{only_b}", "{agree:.3f}", "{kappa:.3f}"]
    rows = [[each["a"], each["b"], *(cell(each, form) for form in forms)] for each in pairs]
    heads = ["first", "second", "reports of both", "only first", "only second", "equal cells", "kappa"]
    yield table("Agreement", heads, rows, words=2)
    if len(pairs) <= MOST_PAIRS:
        heads = ["label", *(f"{each['a']} / {each['b']}" for each in pairs)]
        rows = [[label, *(cell(each["by_label"][label], "{kappa:.3f}") for each in pairs)] for label in figures["labels"]]
        yield table("Cohen's kappa by label", heads, rows)
    yield "{all:,} reports in all, {common:,} that all have. Uncertain counts as: {as_}.".format(
        **figures["reports"], as_=figures["uncertain"]
    )
    if "gold" in figures:
        yield "{reports:,} reports of gold, without the {excluded:,} that it excludes. Ambiguous cells are masked.".format(
            **figures["gold"]
        )


def _span(name: str) -> str:
    return f"{{{name}:.3f}} ({{{name}_low:.3f}} to {{{name}_high:.3f}})"
