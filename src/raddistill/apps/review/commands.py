"""The commands `raddistill review make`, `read` and `estimate`."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from raddistill import paths
from raddistill.apps.git_guard import refuse_where_git_sees
from raddistill.errors import InputError

app = typer.Typer(no_args_is_help=True, help="People review reports: a queue, forms, gold, estimates (docs/review.md).")
QueueFolder = Annotated[Path, typer.Option("--queue", "-q", metavar="FOLDER", help="The folder that `review make` made.")]
Answers = Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="A file per reader, of any form: anna.xlsx ben.json.")]
Conflicts = Annotated[Path | None, typer.Option("--conflicts", "-c", metavar="FILE", help="Answered conflicts.xlsx.")]
Majority = Annotated[bool, typer.Option("--majority", help="What more than half of the readers say is no conflict.")]
RandomOnly = Annotated[bool, typer.Option("--random-only", help="Gold of the random part alone, a fair sample.")]
GoldFolder = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Of the gold. [default: gold, in the queue's folder]")
]
SPLITS = {"validation": ["validation"], "test": ["test"], "both": ["validation", "test"]}


@app.command()
def make(
    reports: Annotated[int, typer.Argument(min=2, metavar="REPORTS", help="How many reports people shall read.")] = 50,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="For queue and forms.")] = paths.REVIEW,
    split: Annotated[Literal["validation", "test", "both"], typer.Option(help="Whose reports; never those of train.")] = "both",
    random_share: Annotated[
        float, typer.Option("--random", min=0.1, max=1.0, help="Share of the reports drawn at random; estimates rest on them.")
    ] = 0.5,
    prefill: Annotated[Literal["student", "teacher"], typer.Option(help="Whose labels are shown to be agreed with.")] = "student",
    seed: Annotated[int, typer.Option(help="The same seed and tables give the same queue.")] = 13,
) -> None:
    """Chooses reports for people to review, and writes forms with the student's labels filled in.

    `raddistill review make`: 50 reports in data/review, half of them at random

    `raddistill review make 200 -o ../review --split test --random 0.8`

    The other half are of most use: student and teacher disagree, the student is unsure, or a label is rare.

    **The forms hold REPORT TEXT.** So FOLDER must be one that git ignores, or outside of a repository.
    """
    from raddistill.apps.review import forms
    from raddistill.apps.review import queue as queues

    refuse_where_git_sees(output / name for name in (queues.QUEUE, queues.COHORT, *forms.FORMS))
    if (output / queues.QUEUE).exists():
        raise InputError(f"{output / queues.QUEUE} exists, and answers may belong to it; name another folder by --output")
    queue, cohort = queues.draw(reports, SPLITS[split], random_share, prefill, seed)
    written = forms.write(queue, output)
    queues.save(output, queue, cohort)
    at_random = sum(row["part"] == "random" for row in queue.rows)
    print(f"Queue {queue.id}: {len(queue.rows)} of {queue.about['reports']:,} reports, {at_random} of them at random")
    if len(queue.rows) < reports:
        print(f"Not {reports}: a text that was drawn several times is read once, and counts as often")
    for key, told in queues.LEFT_OUT.items():
        if queue.about[key]:
            print(f"{queue.about[key]:,} reports {told}")
    print(f"Forms, with report text: {', '.join(map(str, written))}")
    print(f"When they are answered: raddistill review read ANSWERS... --queue {shlex.quote(str(output))}")


READ_HELP = """Reads answers, prints how readers agree, and writes gold that the pipeline takes.

`raddistill review read anna.xlsx`

`raddistill review read anna.xlsx ben.json`: if they differ, it writes conflicts.xlsx for a third reader, or for both; then

`raddistill review read anna.xlsx ben.json --conflicts data/review/conflicts.xlsx`

A reader is named like the file, or as in the page. Each change makes a new version, gold/v1, gold/v2, ...
"""


@app.command(help=READ_HELP)
def read(
    files: Answers,
    queue_folder: QueueFolder = paths.REVIEW,
    conflicts: Conflicts = None,
    majority: Majority = False,
    random_only: RandomOnly = False,
    output: GoldFolder = None,
) -> None:
    """Reads answers, prints how readers agree, and writes gold; READ_HELP says how."""
    from raddistill.apps.review import answers, gold
    from raddistill.apps.review import queue as queues

    (queue, _), folder = queues.load(queue_folder), output or queue_folder / "gold"
    refuse_where_git_sees(folder / name for name in gold.FILES)
    refuse_where_git_sees([queue_folder / gold.CONFLICTS])
    readers, unanswered = answers.read(queue, files)
    for line in unanswered:
        print(line)
    figures = gold.agreement(queue, readers, queue.about["seed"])
    _print_agreement(figures)
    settled, in_conflict = gold.settle(queue, readers, majority)
    if in_conflict and conflicts is None:
        gold.write_conflicts(queue, readers, in_conflict, queue_folder / gold.CONFLICTS)
        reports = {report for report, _ in in_conflict}
        print(f"{len(in_conflict)} labels of {len(reports)} reports are in conflict: {queue_folder / gold.CONFLICTS}")
        print("No gold yet: fill in its column `decision`, then read again with --conflicts")
        return
    decided = gold.read_conflicts(conflicts, in_conflict) if conflicts else {}
    for (report, label), status in decided.items():
        settled.setdefault(report, {})[label] = status
    about: dict[str, Any] = {
        "queue": queue.id, "readers": sorted(readers), "adjudicated_labels": len(decided), "majority": majority,
        "random_only": random_only, "agreement": figures,
    }  # fmt: skip
    kept = {row["report_id"] for row in queue.rows if row["part"] == "random" or not random_only} & set(settled)
    version = gold.write_version(folder, queue.labels, {report: settled[report] for report in kept}, about)
    print(f"Gold of {len(kept)} reports: {version}. The pipeline takes it by -S {shlex.quote(f'extract.gold={version}')}")


@app.command()
def estimate(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="A version that `review read` wrote.")],
    queue_folder: QueueFolder = paths.REVIEW,
    error: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of labels that may be wrong if it answers.")] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Prints estimate.json instead of a table.")] = False,
) -> None:
    """Estimates prevalences in the whole cohort, corrected for the student's errors, and where the student should abstain.

    `raddistill review estimate data/review/gold/v1 --error 0.005`

    Writes estimate.json beside the queue: numbers only. Small shares of a small cohort can tell who is meant.
    """
    from raddistill.apps.review import estimating
    from raddistill.apps.review import gold as versions
    from raddistill.apps.review import queue as queues
    from raddistill.tables import base as tables

    queue, cohort = queues.load(queue_folder)
    stated, about = versions.load_version(gold, queue)
    data = {"queue": queue.id, "gold": str(gold), "readers": about["readers"], "splits": queue.about["splits"]}
    figures = data | estimating.estimate(queue, cohort, stated, error)
    tables.write_json(figures, queue_folder / "estimate.json")
    if as_json:
        print(json.dumps(figures, indent=2, allow_nan=False))
        return
    _print_estimate(figures)
    print(f"All figures: {queue_folder / 'estimate.json'}")


def _told(of: dict[str, float], key: str = "value") -> str:
    return f"{of[key]:.3f} ({of['low']:.3f} to {of['high']:.3f})"


def _print_agreement(figures: dict[str, Any]) -> None:
    if not figures:
        return
    print(
        f"{figures['annotators']} readers; {figures['reports']} reports were read by several. Kappa, and share of reports alike:"
    )
    for label, of in figures["labels"].items():
        print(f"  {label:28}{of.get('kappa', float('nan')):6.2f}  {of['agree']:.3f}")
    print(f"Micro F1 of one reader against another, on these reports: {_told(figures['readers'], 'micro_f1')}")
    for name in {"student", "teacher"} & set(figures):
        print(f"Micro F1 of the {name} against the readers, on the same: {_told(figures[name], 'micro_f1')}")


def _print_estimate(figures: dict[str, Any]) -> None:
    reviewed = f"{figures['reviewed']} reviewed reports ({figures['reviewed_at_random']} at random)"
    print(f"{reviewed} stand for {figures['reports']:,}. Share of reports with a label:")
    print(f"  {'':28}{'student says':>12}  {'corrected (95 %)':24}it abstains at probabilities")
    for label, of in figures["labels"].items():
        band = "{:.3f} to {:.3f}".format(*of["band"]) if of.get("band") else "-"
        print(f"  {label:28}{of['apparent']:12.3f}  {_told(of['prevalence']):24}{band}")
    whole = figures["abstention"]
    for key, where in {"without": "where it answers everything", "with": "with abstention"}.items():
        if of := whole.get(key):
            print(f"Share of labels that are wrong {where}: {_told(of)}; {of['wrong']} of {of['cells']} reviewed")
    if "with" in whole:
        print(f"With abstention it answers {whole['coverage']:.1%} of all labels")
    else:
        print(f"No abstention leaves {whole['asked_for']} or less on these reports")
