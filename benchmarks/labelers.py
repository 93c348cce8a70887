"""Rules labelers side by side: ours, medspaCy and negspaCy, with the same phrases on the same reports.

    python -m benchmarks.labelers --split validation      # from the root of the project, after `make repro`

The phrases are those of our lexicons. They have wildcards and gaps, which the peers' phrase matcher does not support. So each is
replaced by all words that it finds in the reports of this run: the peers get the very mentions that ours finds. A row "cold" has
all four lists of lexicon/cold (`ignore` shields words, `absent` denies, `uncertain` is at most uncertain). A row "cold, [mention]
only" has just that list, as someone with a list of terms would start. Our phrases were tuned together with our cues, so the peers
are run with the phrases of each lexicon.

Ambiguous cells of the gold are masked, as in docs/analysis-plan.md; further columns count them as absent and as present. An
`uncertain` counts as present, and in a further column as absent. Intervals are 95 %, from a bootstrap over groups of reports with
the same text. Macro F1 is over the labels with score.macro_min_positives or more positives in all of the gold.

Every labeler is a process on one core, and the labelers take turns. Speed is reports per second of processor time in one loop
over the reports, the best of the turns. No process sees a report twice; ours caches sentences, which reports repeat. "medspaCy"
splits sentences by spaCy's sentencizer, "medspaCy, PyRuSH" as medspacy.load() does, ten times slower. Each peer has its own
environment under .store/peers, made on the first run, because they need different versions of spaCy; one that cannot be made is
reported as missing. The peers' other settings are those that were best for them on train: docs/log.md.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.peers.sides import Measured, Side, Source, list_sides, run_all
from raddistill import errors, params, paths, statuses
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.scoring import metrics
from raddistill.scoring.bootstrap import LEVEL, Bootstrap, Floats, f1
from raddistill.scoring.metrics import Judged, ScoreParams
from raddistill.scoring.truth import ArmDecisions, Bools, Truth, read_truth
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.reports import Reports

WIDTH = 160  # columns that the tables need
SCOPES = {"findings_and_impression": ["findings", "impression"], "findings": ["findings"]}
Figures = dict[str, Any]


def compare_statuses(truth: Truth, text_groups: list[str], said: list[dict[str, str]], uncertain: str) -> Judged:
    """Joins statuses with `truth`. `said`: by label, one entry per report of `truth`; `uncertain`: what it counts as."""
    counted = {statuses.PRESENT, statuses.UNCERTAIN} if uncertain == statuses.PRESENT else {statuses.PRESENT}
    decided = np.array([[of.get(name) in counted for name in truth.names] for of in said], dtype=bool)
    n = len(truth.reports)
    decisions = ArmDecisions(truth.reports, decided, np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool))
    return metrics.compare_with_truth(
        truth, decisions, dict(zip(truth.reports, text_groups, strict=True)), np.ones(len(truth.names), dtype=bool)
    )


def draw_macro(judged: Judged, macro: Bools, bootstrap: Bootstrap) -> tuple[float, Floats]:
    """Returns macro F1 over the labels of the mask `macro` (labels,), and the same for every draw (resamples,)."""
    counts = judged.counts()
    columns = np.flatnonzero(macro)
    drawn = np.array([f1(bootstrap.resample(counts[:, column])) for column in columns])
    return float(np.nanmean(f1(counts.sum(axis=0))[columns])), np.nanmean(drawn, axis=0)


class Scorer:
    """Scores sides on the same reports. `text_groups`: those of the reports; `macro`: the labels of the macro average."""

    def __init__(self, truth: Truth, text_groups: list[str], macro: Bools, p: ScoreParams) -> None:
        self._truth, self._text_groups, self._macro, self._p = truth, text_groups, macro, p
        self._bootstrap = Bootstrap(text_groups, p.bootstrap, p.seed)

    def judged(self, said: list[dict[str, str]]) -> Judged:
        return compare_statuses(self._truth, self._text_groups, said, statuses.PRESENT)

    def figures(self, said: list[dict[str, str]]) -> Figures:
        """Returns the pipeline's metrics, macro F1 with its interval, micro F1 under both policies, and F1 by label."""
        judged, draws = self.judged(said), (self._p.bootstrap, self._p.seed)
        macro, drawn = draw_macro(judged, self._macro, self._bootstrap)
        low, high = np.percentile(drawn, LEVEL)
        uncertain = {
            f"uncertain_{policy}_micro_f1": metrics.micro_f1(compare_statuses(self._truth, self._text_groups, said, policy))
            for policy in (statuses.ABSENT, statuses.PRESENT)
        }
        return {
            **metrics.figures(judged, self._macro, *draws),
            **{"macro_f1": macro, "macro_f1_low": float(low), "macro_f1_high": float(high)},
            **uncertain,
            "labels": metrics.by_name(judged, np.ones(len(self._truth.names), dtype=bool), *draws),
        }

    def difference(self, ours: list[dict[str, str]], theirs: list[dict[str, str]]) -> Figures:
        """Returns micro and macro F1 of ours minus theirs, paired on the same reports and draws."""
        own, other = self.judged(ours), self.judged(theirs)
        micro = self._bootstrap.difference(own.totals(), other.totals())
        (value, drawn), (their_value, their_drawn) = (draw_macro(j, self._macro, self._bootstrap) for j in (own, other))
        low, high = np.percentile(drawn - their_drawn, LEVEL)
        macro = {"macro_f1": value - their_value, "macro_f1_low": float(low), "macro_f1_high": float(high)}
        return {"micro_f1": micro.value, "micro_f1_low": micro.low, "micro_f1_high": micro.high, **macro}


def accuracy_table(figures: dict[Side, Figures], title: str) -> Table:
    asides = {
        "uncertain\nabsent": "uncertain_absent_micro_f1",
        "ambiguous\nabsent": "mask_absent_micro_f1",
        "ambiguous\npresent": "mask_present_micro_f1",
    }
    heads = "labeler", "phrases", "micro F1", "macro F1", "precision", "recall"
    table = _table(title, *heads, *(f"F1,\n{name}" for name in asides))
    for side, of in figures.items():
        plain = (f"{of[key]:.3f}" for key in ("precision", "recall", *asides.values()))
        table.add_row(side.name, escape(side.source.name), _interval(of, "micro_f1"), _interval(of, "macro_f1"), *plain)
    return table


def speed_table(measured: dict[Side, Measured]) -> Table:
    """The column "of" is the number of mentions that our matcher finds with these phrases; ours drops those not current."""
    table = _table("One core", "labeler", "phrases", "reports/s", "ours: x times", "peak MiB", "mentions", "of")
    for side, of in measured.items():
        ratio = measured[Side("ours", Source(side.source.lexicon))].speed / of.speed
        numbers = f"{of.speed:,.0f}", f"{ratio:,.1f}", f"{of.peak:,.0f}", f"{of.mentions:,}", f"{of.expected:,}"
        table.add_row(side.name, escape(side.source.name), *numbers)
    return table


def label_table(figures: dict[Side, Figures]) -> Table:
    """F1 by label; without PyRuSH, whose sentences are nearly the sentencizer's."""
    shown = {side: of for side, of in figures.items() if side.splitter != "pyrush"}
    heads = [escape(f"{side.name}\n{side.source.name.replace(', ', chr(10)).removesuffix(' only')}") for side in shown]
    table = _table("F1 by label", "label", "positives", *heads)
    for rows in zip(*(of["labels"] for of in shown.values()), strict=True):
        table.add_row(rows[0]["label"], str(rows[0]["positives"]), *(_rate(row["f1"]) for row in rows))
    return table


def difference_table(differences: dict[tuple[Side, Side], Figures]) -> Table:
    table = _table("Ours minus theirs, paired", "ours", "theirs", "phrases", "micro F1", "macro F1")
    for (own, other), of in differences.items():
        gains = (_interval(of, key, "+") for key in ("micro_f1", "macro_f1"))
        table.add_row(escape(own.source.name), other.name, escape(other.source.name), *gains)
    return table


def _rate(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _interval(of: Figures, key: str, sign: str = "") -> str:
    low, high = of[f"{key}_low"], of[f"{key}_high"]
    return f"{of[key]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        words = column in ("labeler", "phrases", "label", "ours", "theirs")
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    return table


def chosen_reports(split: str, sections: list[str], scope: str, annotated: list[str]) -> pl.DataFrame:
    """Returns the split's annotated reports with any of the sections (`findings`: with both), sorted by id."""
    reports = tables.read(Reports, paths.REPORTS).filter((pl.col("split").cast(pl.String) == split) | (split == "all"))
    has = pl.all_horizontal if scope == "findings" else pl.any_horizontal
    reports = reports.filter(has(pl.col("findings", "impression").is_not_null()))
    return reports.filter(pl.col("report_id").is_in(annotated)).sort("report_id")


def compare(scope: str, split: str, sides: list[Side], repeats: int, console: Console) -> Figures:
    """Runs, scores and prints all sides on one scope of text."""
    p = params.load("score", ScoreParams)
    names = [label.name for label in load_labels(params.load("label_set", LabelSetParams).path)]
    gold = read_truth(tables.read(Gold, paths.GOLD), "multiple_choice", names)
    chosen = chosen_reports(split, SCOPES[scope], scope, gold.reports)
    rows = chosen.select("report_id", "findings", "impression", "text").rows(named=True)
    measured = run_all(sides, rows, SCOPES[scope], repeats)
    truth = gold.select(chosen["report_id"].to_list())
    scorer = Scorer(truth, chosen["text_group"].to_list(), gold.present.sum(axis=0) >= p.macro_min_positives, p)
    figures = {side: scorer.figures(of.said) for side, of in measured.items()}
    ours = [side for side in figures if side.labeler == "ours"]
    differences = {
        (own, other): scorer.difference(measured[own].said, measured[other].said)
        for other in figures
        for own in ours
        if other.labeler != "ours" and (own.source.lexicon == other.source.lexicon or own == ours[-1])
    }
    title = f"{scope.replace('_', ' ')}, {split}: {chosen.height:,} reports, {int(truth.present.sum()):,} positives"
    console.print(accuracy_table(figures, f"{title}; uncertain counts as present, ambiguous masked"))
    for table in (speed_table(measured), label_table(figures), difference_table(differences)):
        console.print(table)
    for missing in sorted({side.name for side in sides if side not in measured}):
        wanted = f"benchmarks/peers/{missing.split(',')[0].lower()}.txt"
        console.print(f"{missing}: missing, as pip could not install {wanted} (no network? not Python 3.11?)")
    return _as_json(figures, measured, differences)


def _as_json(
    figures: dict[Side, Figures], measured: dict[Side, Measured], differences: dict[tuple[Side, Side], Figures]
) -> Figures:
    sides = [
        {"labeler": side.name, "phrases": side.source.name, **of, "reports_per_second": measured[side].speed,
         "peak_mib": measured[side].peak, "mentions": measured[side].mentions}
        for side, of in figures.items()
    ]  # fmt: skip
    gains = [
        {"ours": own.source.name, "labeler": other.name, "phrases": other.source.name, **of}
        for (own, other), of in differences.items()
    ]
    return {"sides": sides, "differences": gains}


def _without_nan(content: Any) -> Any:
    """Replaces nan (F1 of a label that neither people nor labeler found) by null, as JSON has no nan."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)  # local variables hold report text


@app.command()
def main(
    split: Annotated[Literal["train", "validation", "test", "all"], typer.Option(help="whose reports")] = "validation",
    text: Annotated[list[str] | None, typer.Option(help=f"{' | '.join(SCOPES)}; may be given twice; both if not given")] = None,
    lexicons: Annotated[list[Path] | None, typer.Option("--lexicon", help="a lexicon folder; may be given again")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="turns; the best speed counts")] = 3,
    peers: Annotated[bool, typer.Option(help="medspaCy and negspaCy, too")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="writes all figures here")] = None,
) -> None:
    folders = lexicons or [folder for folder in (Path("lexicon/cold"), Path("lexicon/tuned")) if folder.is_dir()]
    if unknown := sorted(set(text or ()) - set(SCOPES)):
        raise errors.InputError(f"--text {unknown[0]}: none of {', '.join(SCOPES)}")
    console = Console(width=max(Console().width, WIDTH))
    if split in ("test", "all"):
        console.print("The test split is scored: look once, at the end; nothing may be tuned after it.", style="bold red")
    sides = list_sides(folders, peers)
    figures = {scope: compare(scope, split, sides, repeats, console) for scope in text or SCOPES}
    if json_file:
        tables.write_json(_without_nan({"split": split, **figures}), json_file)


if __name__ == "__main__":
    errors.run(lambda *_: app())
