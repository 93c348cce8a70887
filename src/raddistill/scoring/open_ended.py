"""Scores of the open-ended task: every arm's phrases, as concepts, against the concepts that people coded."""

from dataclasses import replace

import numpy as np
import polars as pl

from raddistill.concepts import Concept
from raddistill.scoring import findings, labels, measures
from raddistill.scoring.concepts_of import Lexicon
from raddistill.scoring.findings import Findings
from raddistill.scoring.labels import Bools, Truth
from raddistill.scoring.measures import Figures, Judged
from raddistill.scoring.scope import Scope, TaskScores
from raddistill.scoring.statistics import f1, share

TASK = "open_ended"


def score(
    scope: Scope,
    *,
    gold: pl.DataFrame,
    teacher: pl.DataFrame,
    outcomes: pl.DataFrame,
    predictions: dict[str, pl.DataFrame],
    concepts: list[Concept],
    lexicon: Lexicon,
) -> TaskScores:
    """Metrics and plot rows; `teacher` are Labels rows, `outcomes` the teacher's, `predictions` by arm."""
    truth = labels.truth(gold, TASK, [c.concept for c in concepts], scope.p.uncertain)
    arms = {}
    for arm, asked in predictions.items():
        rows = asked.filter(pl.col("task") == TASK)
        arms[arm] = findings.from_answers(rows, scope.texts_of(rows["report_id"].to_list()), concepts, lexicon)
    reports = scope.scored(arms["student"].reports, truth.reports)
    teacher, given = teacher.filter(pl.col("task") == TASK), scope.given(outcomes, reports)
    texts, answered = scope.texts_of(given), set(outcomes.filter(pl.col("outcome") == "labelled")["report_id"])
    policies = {
        policy: findings.from_labels(teacher, texts, concepts, lexicon, answered=answered, uncertain=policy)
        for policy in (scope.p.uncertain, scope.other_uncertain)
    }
    arms["teacher"] = policies[scope.p.uncertain]
    kept = {arm: found.of(sorted(set(reports) & set(found.reports))) for arm, found in arms.items()}
    scored = np.array([c.kind == "score" for c in concepts])
    judged = {arm: _judge(scope, truth, found, scored) for arm, found in kept.items()}
    macro = truth.present[:, scored].sum(axis=0) >= scope.p.concept_macro_min_positives
    scores = scope.compare(TASK, judged, macro, named=macro)
    if given:
        as_other = _judge(scope, truth, policies[scope.other_uncertain], scored)
        scores.metrics["teacher"][f"uncertain_{scope.other_uncertain}_micro_f1"] = measures.micro_f1(as_other)
    for arm, found in kept.items():
        if found.reports:
            scores.metrics[arm] |= _own(truth.of(found.reports), found, judged[arm], concepts)
    return scores


def _judge(scope: Scope, truth: Truth, found: Findings, columns: Bools) -> Judged:
    own = truth.of(found.reports)
    decided, groups = found.decided[:, columns], scope.groups_of(found.reports)
    return Judged(_narrowed(own, columns), own.normal, groups, decided, found.unmapped, found.unparsed)


def _own(truth: Truth, found: Findings, judged: Judged, concepts: list[Concept]) -> Figures:
    """The measures that only this task has; rates are of the distinct phrases of a report."""
    device = np.array([c.kind == "device" for c in concepts])
    devices = labels.count(_narrowed(truth, device), found.decided[:, device]).sum(axis=(0, 1))
    phrases = int(found.phrases.sum())
    return {
        "abnormal_micro_f1": measures.micro_f1(judged.of(~judged.normal)),
        "unmapped": share(int(found.unmapped.sum()), phrases),
        "fuzzy": share(int(found.fuzzy.sum()), phrases),
        "ungrounded": share(int(found.ungrounded.sum()), phrases),
        "coverage": share(int((~found.unparsed).sum()), len(found.reports)),
        "category_micro_f1": float(f1(findings.category_counts(truth, found, concepts).sum(axis=0))),
        "device_micro_f1": float(f1(devices)),
    }


def _narrowed(truth: Truth, columns: Bools) -> Truth:
    names = [name for name, kept in zip(truth.names, columns, strict=True) if kept]
    return replace(truth, names=names, present=truth.present[:, columns], ambiguous=truth.ambiguous[:, columns])
