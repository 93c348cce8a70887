"""Open-ended labels of the rules labeler against people's annotations, for several lexicons on the same reports.

    python -m benchmarks.conditions --split validation      # from the root of the project, after `dvc repro synthesize`

Micro F1 over concepts, as the stage `final` computes it for the teacher: the scorer's lexicon maps phrases to concepts, unmapped
phrases are false positives, optional concepts never count, annotated reports only. Intervals are 95 %, from a bootstrap over
groups of reports with the same text. The difference is the last lexicon minus the first, paired. Each table has `uncertain`
counted as present, then as absent.
"""

from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from raddistill import concepts, errors, params, paths, statuses
from raddistill.scoring import metrics
from raddistill.scoring.bootstrap import Bootstrap, Interval, share
from raddistill.scoring.comparison import IS_PRESENT, resolve
from raddistill.scoring.metrics import Judged, ScoreParams
from raddistill.scoring.open_ended import OpenEnded
from raddistill.scoring.scorer_lexicon import load_lexicon
from raddistill.scoring.truth import read_truth
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.reports import Reports
from raddistill.teachers.rules.teacher import RulesTeacher

TASK = "open_ended"


def label_and_compare(p: ScoreParams, lexicon: str, split: str, uncertain: str) -> Judged:
    """Returns what the lexicon finds in the annotated reports of a split, with the concepts that people coded."""
    known = concepts.load_concepts(paths.CONCEPTS)
    scorer = OpenEnded(p, known, load_lexicon(paths.SCORER_LEXICON, known))
    reports = tables.read(Reports, paths.REPORTS).filter(pl.col("split").cast(pl.String) == split)
    gold = tables.read(Gold, paths.GOLD).filter(pl.col("report_id").is_in(reports["report_id"].implode()))
    truth = read_truth(gold, TASK, scorer.names.names)
    reports = reports.filter(pl.col("report_id").is_in(truth.reports)).sort("report_id")
    made = RulesTeacher(TASK, lexicon, "findings_and_impression").label(reports, [])
    answered = set(made.outcomes.filter(pl.col("outcome").cast(pl.String) == "labelled")["report_id"])
    texts = dict(reports.select("report_id", "text").iter_rows())
    found = scorer.read_labels(resolve(made.labels, IS_PRESENT[uncertain]), texts, answered).select(truth.reports)
    text_groups = dict(reports.select("report_id", "text_group").iter_rows())
    return metrics.compare_with_truth(truth, found, text_groups, scorer.names.scored)


def main(
    split: Annotated[str, typer.Option(help="train | validation | test")] = "validation",
    lexicon: Annotated[list[str] | None, typer.Option(help="A lexicon folder; may be given more than once.")] = None,
) -> None:
    """Prints micro F1, precision and recall of each lexicon, and the paired difference."""
    console = Console(width=None if Console().is_terminal else 120)
    if split == "test":
        console.print("The test split is scored: look once, at the end; nothing may be tuned after it.")
    p = params.load("score", ScoreParams)
    lexicons = lexicon or ["lexicon/cold", "lexicon/tuned"]
    table = Table(
        "lexicon", "uncertain as", "reports", "micro F1", "precision", "recall", "unmapped", title=f"open-ended, {split}"
    )
    for policy in (statuses.PRESENT, statuses.ABSENT):
        judged = {name: label_and_compare(p, name, split, policy) for name in lexicons}
        for name, of in judged.items():
            tp, fp, fn = (int(n) for n in of.totals().sum(axis=0))
            f1 = _shown(Bootstrap(of.text_groups, p.bootstrap, p.seed).interval(of.totals()), "")
            rates = (f"{share(tp, tp + fp):.3f}", f"{share(tp, tp + fn):.3f}", f"{int(of.unmapped.sum())}")
            table.add_row(name, policy, f"{len(of.reports):,}", f1, *rates)
        ours, theirs = judged[lexicons[-1]], judged[lexicons[0]]
        gain = Bootstrap(ours.text_groups, p.bootstrap, p.seed).difference(ours.totals(), theirs.totals())
        table.add_row("last minus first", policy, "", _shown(gain, "+"), "", "", "", end_section=True)
    console.print(table)


def _shown(interval: Interval, sign: str) -> str:
    return f"{interval.value:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


if __name__ == "__main__":
    errors.run(lambda *words: typer.run(main))
