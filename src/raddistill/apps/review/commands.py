"""The commands `raddistill review make`, `read` and `estimate`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from raddistill import paths
from raddistill.errors import InputError

app = typer.Typer(
    no_args_is_help=True, help="People review reports: a queue, its forms, and gold from the answers (docs/review.md)."
)
QueueFolder = Annotated[Path, typer.Option("--queue", "-q", metavar="FOLDER", help="The folder that `review make` made.")]
SPLITS = {"validation": ["validation"], "test": ["test"], "both": ["validation", "test"]}


class Form(StrEnum):
    """The forms in which a queue can be answered."""

    SPREADSHEET, PAGE, LABEL_STUDIO = "spreadsheet", "page", "label-studio"


@app.command()
def make(
    reports: Annotated[int, typer.Argument(min=2, metavar="REPORTS", help="How many reports people shall read.")] = 50,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where queue and forms go.")] = paths.REVIEW,
    forms: Annotated[list[Form] | None, typer.Option("--form", "-f", help="Repeat it for several. [default: all]")] = None,
    split: Annotated[Literal["validation", "test", "both"], typer.Option(help="Whose reports; never those of train.")] = "both",
    random_share: Annotated[
        float, typer.Option("--random", min=0.1, max=1.0, help="Share of reports drawn at random, on which estimates rest.")
    ] = 0.5,
    prefill: Annotated[Literal["student", "teacher"], typer.Option(help="Whose labels are shown to be agreed with.")] = "student",
    seed: Annotated[int, typer.Option(help="Equal seeds and tables give equal queues.")] = 13,
) -> None:
    """Chooses reports for people to review, and writes forms with the student's labels filled in.

    `raddistill review make`: 50 reports, half of them at random, in data/review

    `raddistill review make 200 -o ../review --form page --random 0.8`

    The other half are those of most use: student and teacher disagree, the student is unsure, or a label is rare.

    **The forms hold REPORT TEXT.** So FOLDER must be one that git ignores, or outside of a repository.
    """
    from raddistill.apps.review import forms as writing
    from raddistill.apps.review import queue as queues

    queues.refuse_tracked(output)
    if (output / queues.QUEUE).exists():
        raise InputError(f"{output / queues.QUEUE} exists, and answers may belong to it; name another folder by --output")
    queue, cohort = queues.draw(reports, SPLITS[split], random_share, prefill, seed)
    written = [path for form in forms or list(Form) for path in writing.FORMS[form.value](queue, output)]
    queues.save(output, queue, cohort)
    useful = sum(row["part"] != "random" for row in queue.rows)
    about = queue.about
    print(
        f"Queue {queue.id}: {len(queue.rows)} of {about['reports']:,} reports, {len(queue.rows) - useful} at random, {useful} of most use"
    )
    for key, told in queues.LEFT_OUT.items():
        if about[key]:
            print(f"{about[key]:,} reports {told}")
    print("They hold report text: " + ", ".join(map(str, written)))
    print(f"Then: raddistill review read ANSWERS... --queue {output}")


@app.command()
def read(
    files: Annotated[
        list[Path], typer.Argument(metavar="ANSWERS...", help="A file per reader, of any form: anna.xlsx ben.json.")
    ],
    queue_folder: QueueFolder = paths.REVIEW,
    conflicts: Annotated[Path | None, typer.Option("--conflicts", "-c", metavar="FILE", help="The answered conflicts.")] = None,
    majority: Annotated[bool, typer.Option("--majority", help="What more than half of the readers say is no conflict.")] = False,
    random_only: Annotated[
        bool, typer.Option("--random-only", help="Gold of the random part alone, an unbiased sample.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where versions of gold go. [default: gold in the queue's folder]"),
    ] = None,
) -> None:
    """Reads answers, prints how readers agree, and writes gold that the pipeline takes.

    `raddistill review read anna.xlsx`

    `raddistill review read anna.xlsx ben.json`: if they differ, it writes conflicts.xlsx for a third reader, or for both; then

    `raddistill review read anna.xlsx ben.json --conflicts data/review/conflicts.xlsx`

    A reader is named like the file, or as given in the page. Gold is a new version each time (gold/v1, v2, ...), unless nothing
    changed: `dvc exp run -S extract.gold=... extract`.
    """
    from raddistill.apps.review import answers, gold
    from raddistill.apps.review import queue as queues

    queue, folder = queues.load(queue_folder), output or queue_folder / "gold"
    queues.refuse_tracked(folder)
    readers, unanswered = answers.read(queue, files)
    for line in unanswered:
        print(line)
    figures = gold.agreement(queue, readers, queue.about["seed"])
    _print_agreement(figures)
    settled, open_cells = gold.settle(queue, readers, majority)
    if open_cells and conflicts is None:
        path = queue_folder / gold.CONFLICTS
        gold.write_conflicts(queue, readers, open_cells, path)
        print(f"{len(open_cells)} labels of {len({r for r, _ in open_cells})} reports are in conflict: {path}")
        print("No gold yet. Answer its column `decision`, then read again with --conflicts")
        return
    decided = gold.read_conflicts(conflicts, open_cells) if conflicts else {}
    for (report, label), status in decided.items():
        settled.setdefault(report, {})[label] = status
    if random_only:
        at_random = {row["report_id"] for row in queue.rows if row["part"] == "random"}
        settled = {report: labels for report, labels in settled.items() if report in at_random}
    if not settled:
        raise InputError("no report was answered, so there is no gold")
    about: dict[str, Any] = {
        "queue": queue.id, "readers": sorted(readers), "reports": len(settled), "adjudicated_labels": len(decided),
        "majority": majority, "random_only": random_only, "agreement": figures,
    }  # fmt: skip
    version = gold.write_version(folder, queue.labels, settled, about)
    print(f"Gold of {len(settled)} reports: {version}")
    print(f"Use it: dvc exp run -S extract.gold={version} extract")


def _print_agreement(figures: dict[str, Any]) -> None:
    if not figures:
        return
    print(
        f"{figures['annotators']} readers, {figures['reports']} reports read by several of them. Kappa, and share of reports on which they agree:"
    )
    for label, of in figures["labels"].items():
        kappa = f"{of['kappa']:6.2f}" if "kappa" in of else "     -"
        print(f"  {label:28}{kappa}  {of['agree']:.3f}")
    for name in ("readers", "student", "teacher"):
        if of := figures.get(name):
            whom = "one reader against another" if name == "readers" else f"the {name} against the readers"
            print(f"Micro F1 of {whom}: {of['micro_f1']:.3f} ({of['low']:.3f} to {of['high']:.3f})")


@app.command()
def estimate(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="A version that `review read` wrote.")],
    queue_folder: QueueFolder = paths.REVIEW,
    error: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of labels that may be wrong where the student answers.")
    ] = 0.02,
    as_json: Annotated[bool, typer.Option("--json", help="Prints estimate.json instead of a table.")] = False,
) -> None:
    """Estimates prevalences in the whole cohort, corrected for the student's errors, and where the student should abstain.

    `raddistill review estimate data/review/gold/v1 --error 0.01`

    Writes estimate.json beside the queue: numbers only. Small shares of a small cohort can tell who is meant.
    """
    import polars as pl

    from raddistill.apps.review import estimating
    from raddistill.apps.review import gold as versions
    from raddistill.apps.review import queue as queues
    from raddistill.tables import base as tables

    queue = queues.load(queue_folder)
    stated, about = versions.load_version(gold, queue)
    cohort = pl.read_parquet(queue_folder / queues.COHORT)
    data = {"queue": queue.id, "gold": str(gold), "readers": about["readers"], "splits": queue.about["splits"]}
    figures = data | estimating.estimate(queue, cohort, stated, error)
    tables.write_json(figures, queue_folder / "estimate.json")
    if as_json:
        print(json.dumps(figures, indent=2, allow_nan=False))
        return
    _print_estimate(figures)
    print(f"All figures: {queue_folder / 'estimate.json'}")


def _print_estimate(figures: dict[str, Any]) -> None:
    print(
        f"{figures['reviewed']} reviewed reports ({figures['reviewed_random']} at random) stand for {figures['reports']:,}. Share of reports:"
    )
    print(f"  {'label':28}{'student says':>12}  {'corrected (95 %)':24}band of abstention")
    for label, of in figures["labels"].items():
        share = of["prevalence"]
        band = "-" if of.get("band") is None else "{:.3f} to {:.3f}".format(*of["band"])
        corrected = f"{share['value']:.3f} ({share['low']:.3f} to {share['high']:.3f})"
        print(f"  {label:28}{of['apparent']:12.3f}  {corrected:24}{band}")
    overall = figures["abstention"]
    for key, told in {
        "without_abstention": "Wrong labels, if it answers everything",
        "answered": "Wrong labels, where it answers",
    }.items():
        if of := overall.get(key):
            covered = f"; it answers {of['coverage']:.1%} of all labels" if "coverage" in of else ""
            print(
                f"{told}: {of['error']:.4f} ({of['low']:.4f} to {of['high']:.4f}), {of['wrong']} of {of['cells']} reviewed{covered}"
            )
    if "answered" not in overall:
        print(f"No band leaves an error of {overall['error_asked_for']} or less on these reports")
