"""Scores labellers against gold, and compares them with each other on the reports that both labelled.

The measures are the pipeline's (docs/analysis-plan.md): `uncertain` in gold is present, ambiguous cells are masked, a report that
gold excludes is not scored. Intervals are 95 %, from bootstrap draws of text groups; the draws of a difference are paired.
"""

import os
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from raddistill.agreement_coefficients import cohens_kappa
from raddistill.apps.compare.label_files import Labeller, read
from raddistill.apps.label.rules import load_label_set
from raddistill.errors import InputError
from raddistill.privacy import such_as
from raddistill.scoring import metrics
from raddistill.scoring.bootstrap import LEVEL, Bootstrap, Counts, Floats, f1
from raddistill.scoring.metrics import Judged, micro_f1
from raddistill.scoring.scores import tidy
from raddistill.scoring.truth import ArmDecisions, Bools, Truth
from raddistill.statuses import ABSENT, EXCLUDED, PRESENT, UNCERTAIN

SEED = 13  # of the bootstrap, as in the shipped params.yaml
GOLD = "gold"
DRAW_BYTES = 24  # for each draw and report: measured, 5.2 GB for 100,000 reports and 2,000 draws


def compare_files(
    files: list[str], gold: str | None = None, uncertain: str | None = None, *, common: bool = False,
    label_set: str | None = None, id_column: str | None = None, resamples: int = 2000, macro_min: int = 1,
) -> tuple[dict[str, Any], list[Labeller]]:  # fmt: skip
    """Returns all figures, as `raddistill compare --json` prints them, and the labellers as they counted; the last is gold.

    The arguments are those of `raddistill compare`. `uncertain`: present, absent, best, or None for the default.

    Raises:
        InputError, TableError: an option is wrong, there is nothing to compare, or as in `label_files.read`.
    """
    names = [label.name for label in load_label_set(label_set)]
    found = [read(word, names, id_column) for word in [*files, *([gold] if gold else [])]]
    labellers = [each for file in found for each in file.labellers]
    figures: dict[str, Any] = {"labels": names, "uncertain": uncertain or ("best" if gold else PRESENT)}
    macro = np.ones(len(names), bool)
    if gold:
        if len(several := [each.name for each in found[-1].labellers]) > 1:
            raise InputError(f"--gold {gold} has labels of {', '.join(several)}; NAME={gold} takes one of them")
        labellers[-1], excluded = _without_excluded(labellers[-1])
        macro = labellers[-1].present.sum(axis=0) >= macro_min
        figures[GOLD] = {"file": labellers[-1].file, "reports": len(labellers[-1].reports), "excluded": excluded}
    elif uncertain == "best":
        raise InputError("--uncertain best is the policy with the higher F1 against --gold; without gold say present or absent")
    if figures["uncertain"] not in (PRESENT, ABSENT, "best"):
        raise InputError(f"uncertain counts as present, absent or best, not as '{uncertain}'")
    _refuse(labellers)
    sets = [set(each.reports) for each in labellers]
    if common and not (shared := set.intersection(*sets)):
        raise InputError("--common: no report is in all files; leave out a file, or --common")
    figures |= _counts(labellers, sets, bool(gold))
    if common:
        labellers = [each.select(sorted(shared)) for each in labellers]
    groups = {report: report for each in sets for report in each} | {k: v for file in found for k, v in file.text_groups.items()}
    if gold:
        labellers = _add_scores(figures, labellers, groups, macro, resamples)
    else:
        labellers = [replace(each, uncertain=figures["uncertain"]) for each in labellers]
    figures["agreement"] = [{"a": a.name, "b": b.name} | tidy(_agreement(a, b, names)) for a, b in combinations(labellers, 2)]
    return figures | {"notes": [note for file in found for note in file.notes]}, labellers


def _counts(labellers: list[Labeller], sets: list[set[str]], with_gold: bool) -> dict[str, Any]:
    """Returns the numbers of reports, of all and of each file. `sets`: the reports of each labeller; gold's are the last."""
    counts = {each.name: {"file": each.file, "reports": len(each.reports)} for each in labellers}
    if with_gold:
        del counts[GOLD]
        for name, own in zip(counts, sets, strict=False):
            counts[name] |= {"not_in_gold": len(own - sets[-1]), "only_in_gold": len(sets[-1] - own)}
    return {"reports": {"all": len(set.union(*sets)), "common": len(set.intersection(*sets))}, "labellers": counts}


def _without_excluded(gold: Labeller) -> tuple[Labeller, int]:
    excluded = [report for report, cells in zip(gold.reports, gold.statuses, strict=True) if EXCLUDED in cells]
    return replace(gold.select(sorted({*gold.reports} - {*excluded})), name=GOLD), len(excluded)


def _refuse(labellers: list[Labeller]) -> None:
    """Refuses labellers of one name, a single one, and one that shares no report with the last, which is gold if there is any."""
    names = [each.name for each in labellers]
    if len(names) < 2:
        raise InputError("there is one labeller only: name another file, or labels made by people by --gold")
    taken = [*names, "report_id", "label"]  # columns of the disagreements
    if twice := [name for name in names if taken.count(name) > 1]:
        raise InputError(f"more than one labeller or column is called '{twice[0]}'; give a file a name by NAME=FILE")
    *others, last = labellers
    for each in others:
        if set(each.reports).isdisjoint(last.reports):
            raise InputError(
                f"no report of {each.name}{such_as(*each.reports[:1])} is one of {last.name}{such_as(*last.reports[:1])}; ids "
                "are compared as text, and study_id is read as MIMIC-CXR's (s50414267) unless --id-column names it"
            )


def _add_scores(
    figures: dict[str, Any], labellers: list[Labeller], groups: dict[str, str], macro: Bools, resamples: int
) -> list[Labeller]:
    """Adds scores and differences to the figures. Returns the labellers with the policy under which each was scored."""
    *others, gold = labellers
    require_memory(max(len({*each.reports} & {*gold.reports}) for each in others), resamples)
    truth = Truth(gold.reports, figures["labels"], gold.present, gold.masked)
    judged, chosen = dict[str, Judged](), list[Labeller]()
    for each in others:
        both = {policy: _judge(truth, replace(each, uncertain=policy), groups) for policy in (PRESENT, ABSENT)}
        f1_of = {policy: micro_f1(so) for policy, so in both.items()}
        best = ABSENT if f1_of[ABSENT] > f1_of[PRESENT] else PRESENT  # of equals present, as in scoring/comparison.py
        policy = best if figures["uncertain"] == "best" else figures["uncertain"]
        judged[each.name] = both[policy]
        own = _scores(both[policy], macro, resamples)
        if (each.statuses == UNCERTAIN).any():
            own |= {"uncertain_as": policy} | {f"uncertain_{policy}_micro_f1": value for policy, value in f1_of.items()}
        figures["labellers"][each.name] |= tidy(own)
        chosen.append(replace(each, uncertain=policy))
    figures["differences"] = [
        {"a": a, "b": b} | tidy(_difference(judged[a], judged[b], macro, resamples)) for a, b in combinations(judged, 2)
    ]
    return [*chosen, gold]


def require_memory(reports: int, resamples: int) -> None:
    """Raises an InputError if bootstrap draws of so many reports need more memory than this machine has: a kill says nothing."""
    if (needed := DRAW_BYTES * reports * resamples) > (memory := os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")):
        fits = memory // (DRAW_BYTES * reports)
        remedy = f"--resamples {fits // 2}" if fits > 1 else "a sample of the reports"
        raise InputError(
            f"{resamples:,} draws of {reports:,} reports need {needed / 2**30:,.0f} GiB of memory, and this machine has"
            f" {memory / 2**30:,.0f}; take {remedy}: intervals of so many reports are narrow"
        )


def _judge(truth: Truth, labeller: Labeller, groups: dict[str, str]) -> Judged:
    own = labeller.select(sorted({*labeller.reports} & {*truth.reports}))
    nothing = np.zeros(len(own.reports), np.int64)
    decisions = ArmDecisions(own.reports, own.present, nothing, nothing.astype(bool))
    return metrics.compare_with_truth(truth, decisions, groups, np.ones(len(truth.names), bool))


def _scores(judged: Judged, macro: Bools, resamples: int) -> dict[str, Any]:
    made: dict[str, Any] = metrics.figures(judged, macro, resamples, SEED)
    drawn = f1(draw(judged.counts(), Bootstrap(judged.text_groups, resamples, SEED)))
    rows = metrics.by_name(judged, np.ones(len(judged.names), bool), resamples, SEED)
    made |= limits("macro_f1", mean_f1(drawn[:, macro])) | {"by_label": {str(row.pop("label")): row for row in rows}}
    return {"scored": made.pop("reports")} | {name: figure for name, figure in made.items() if name != "unparsed"}


def _difference(ours: Judged, theirs: Judged, macro: Bools, resamples: int) -> dict[str, Any]:
    """Returns `ours` minus `theirs` on the reports of both: as `metrics.gain`, and macro F1 and F1 of each label."""
    theirs = theirs.select(ours.reports)
    ours = ours.select(theirs.reports)
    if not ours.reports:
        return {"reports": 0}
    bootstrap, p_values = Bootstrap(ours.text_groups, resamples, SEED), metrics.mcnemar_by_name(ours, theirs)
    one, other = (np.vstack([f1(each.counts().sum(axis=0)), f1(draw(each.counts(), bootstrap))]) for each in (ours, theirs))
    macros, labels = mean_f1(one[:, macro]) - mean_f1(other[:, macro]), one - other  # first the figure, then its draws
    by_label = {
        name: {"f1": float(values[0]), "mcnemar_p": p_values[name]} | limits("f1", values[1:])
        for name, values in zip(ours.names, labels.T, strict=True)
    }
    macro_f1 = {"macro_f1": float(macros[0])} | limits("macro_f1", macros[1:])
    return dict(metrics.gain(ours, theirs, resamples, SEED)) | macro_f1 | {"by_label": by_label}


def draw(counts: Counts, bootstrap: Bootstrap) -> Counts:
    """Returns the summed counts of each label in each draw, (resamples, labels, 3), from counts (reports, labels, 3)."""
    return np.stack([bootstrap.resample(counts[:, label]) for label in range(counts.shape[1])], axis=1)


def mean_f1(of_labels: Floats) -> Floats:
    """Returns the mean along the last axis, without undefined values; nan if all are."""
    defined = ~np.isnan(of_labels)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, of_labels, 0).sum(axis=-1) / defined.sum(axis=-1))


def limits(name: str, drawn: Floats) -> dict[str, float]:
    """Returns the ends of a figure's interval, `<name>_low` and `<name>_high`; {} if it is undefined in all draws."""
    drawn = drawn[~np.isnan(drawn)]
    return dict(zip((f"{name}_low", f"{name}_high"), np.percentile(drawn, LEVEL).tolist(), strict=True)) if drawn.size else {}


def _agreement(a: Labeller, b: Labeller, names: list[str]) -> dict[str, Any]:
    """Returns the share of equal cells, and Cohen's kappa, of all cells and by label, without ambiguous cells of gold."""
    one = a.select(b.reports)
    other = b.select(one.reports)
    asked, cells = ~(one.masked | other.masked), (one.present, other.present)
    shared = {
        "reports": len(one.reports),
        "only_a": len(a.reports) - len(one.reports),
        "only_b": len(b.reports) - len(one.reports),
    }
    by_label = {name: _agree(*(side[asked[:, i], i] for side in cells)) for i, name in enumerate(names)}
    return shared | _agree(*(side[asked] for side in cells)) | {"by_label": by_label}


def _agree(one: Bools, other: Bools) -> dict[str, float]:
    kappa = cohens_kappa(one.astype(np.int8), other.astype(np.int8))
    return ({"agree": float((one == other).mean())} if one.size else {}) | ({} if kappa is None else {"kappa": kappa})


def disagreements(labellers: list[Labeller], names: list[str]) -> pl.DataFrame:
    """Returns report_id, label and a status per labeller (null: not labelled), where two decide differently."""
    cells = pl.DataFrame(schema={"report_id": pl.String, "label": pl.String})
    decided = list[str]()
    for each in labellers:
        at = {"report_id": np.repeat(each.reports, len(names)), "label": np.tile(names, len(each.reports))}
        own = pl.DataFrame(at | {each.name: each.statuses.ravel().tolist()}, schema_overrides={each.name: pl.String})
        states = pl.Series(f"\t{each.name}", each.present.ravel()).set(pl.Series(each.masked.ravel()), None)
        cells = cells.join(own.with_columns(states), on=["report_id", "label"], how="full", coalesce=True)
        decided.append(states.name)
    differ = pl.any_horizontal(decided) & ~pl.all_horizontal(pl.col(decided).fill_null(True))
    return cells.filter(differ).drop(decided).sort("report_id", "label")
