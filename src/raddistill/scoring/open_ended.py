"""Scores of the open-ended task: every arm's phrases, as concepts, against the concepts that people coded."""

import numpy as np
import polars as pl

from raddistill.concepts import Concept
from raddistill.scoring import findings, labels, measures, policies
from raddistill.scoring.concepts_of import Lexicon
from raddistill.scoring.findings import Findings
from raddistill.scoring.labels import Truth
from raddistill.scoring.measures import Figures, Judged
from raddistill.scoring.said import judge, narrowed
from raddistill.scoring.scope import ARMS, Scope, TaskScores
from raddistill.scoring.statistics import f1, share

TASK = "open_ended"


def score(
    scope: Scope,
    *,
    gold: pl.DataFrame,
    teachers: dict[str, pl.DataFrame],
    outcomes: pl.DataFrame,
    predictions: dict[str, pl.DataFrame],
    concepts: list[Concept],
    lexicon: Lexicon,
) -> TaskScores:
    """Metrics, plot rows and decisions; `teachers` are Labels rows (see `policies.arms`), `outcomes` the teacher's, of one task.

    `predictions` by arm; they and the labels may hold other tasks.
    """
    names = [c.concept for c in concepts]
    truth = labels.truth(gold, TASK, names)
    arms = {}
    for arm, asked in predictions.items():
        rows = asked.filter(pl.col("task") == TASK)
        arms[arm] = findings.from_answers(rows, scope.texts_of(rows["report_id"].to_list()), concepts, lexicon)
    reports = scope.scored(arms["student"].reports, truth.reports)
    texts = scope.texts_of(scope.given(outcomes, arms["student"].reports))
    answered = set(outcomes.filter(pl.col("outcome") == "labelled")["report_id"])
    for arm, rows in policies.arms(teachers, TASK).items():
        # A report may lack the part that the teacher is told to read; of the whole report there is always something to read.
        able = set(texts) if arm.startswith("teacher_whole") else answered
        arms[arm] = findings.from_labels(rows, texts, concepts, lexicon, answered=able)
    kept = {arm: found.of(sorted(set(reports) & set(found.reports))) for arm, found in arms.items()}
    scored = np.array([c.kind == "score" for c in concepts])
    judged = {arm: judge(truth, scope.groups, found.said, scored) for arm, found in kept.items()}
    macro = truth.present[:, scored].sum(axis=0) >= scope.p.concept_macro_min_positives
    scores = scope.compare(TASK, judged, macro, named=macro)
    scope.add_unseen(scores, judged)
    scores.decisions = scope.rows_of(TASK, {arm: found.said for arm, found in arms.items()}, names)
    for arm in set(ARMS) & set(scores.metrics):
        as_arm = scores.chosen.get(arm, arm)
        scores.metrics[arm] |= _own(truth.of(kept[as_arm].reports), kept[as_arm], judged[as_arm], concepts)
    return scores


def _own(truth: Truth, found: Findings, judged: Judged, concepts: list[Concept]) -> Figures:
    """The measures that only this task has; rates are of the distinct phrases of a report."""
    device = np.array([c.kind == "device" for c in concepts])
    devices = labels.count(narrowed(truth, device), found.decided[:, device]).sum(axis=(0, 1))
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
