"""Scores every arm on the test split, once: the published figures."""

from raddistill import concepts, errors, labelsets, params, paths
from raddistill.scoring import pages, scores
from raddistill.tables import base as tables
from raddistill.tables import calibration
from raddistill.tables.decisions import Decisions
from raddistill.tables.examples import Examples
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.predictions import Predictions, Probabilities
from raddistill.tables.reports import Reports


def main() -> None:
    p = params.load("score", scores.ScoreParams)
    scored = scores.score(
        p,
        split="test",
        reports=tables.read(Reports, paths.REPORTS),
        gold=tables.read(Gold, paths.GOLD),
        labels={
            "multiple_choice": tables.read(Labels, paths.table("labels", "multiple_choice")),
            "open_ended": tables.read(Labels, paths.table("labels", "open_ended")),
        },
        whole_labels={
            "multiple_choice": tables.read(Labels, paths.table("whole_labels", "multiple_choice")),
            "open_ended": tables.read(Labels, paths.table("whole_labels", "open_ended")),
        },
        outcomes={
            "multiple_choice": tables.read(Outcomes, paths.table("outcomes", "multiple_choice")),
            "open_ended": tables.read(Outcomes, paths.table("outcomes", "open_ended")),
        },
        examples=tables.read(Examples, paths.EXAMPLES),
        predictions={
            "student": tables.read(Predictions, paths.table("predictions", "student_test")),
            "base": tables.read(Predictions, paths.table("predictions", "base_test")),
            "linear": tables.read(Predictions, paths.table("predictions", "linear_test")),
        },
        probabilities={
            "student": tables.read(Probabilities, paths.table("probabilities", "student_test")),
            "base": tables.read(Probabilities, paths.table("probabilities", "base_test")),
            "linear": tables.read(Probabilities, paths.table("probabilities", "linear_test")),
        },
        calibration=calibration.load(paths.CALIBRATION),
        label_set=labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path),
        concepts=concepts.load_concepts(paths.CONCEPTS),
        lexicon=paths.SCORER_LEXICON,
    )
    tables.write(Decisions, scored.decisions, paths.DECISIONS)
    tables.write_json(scored.metrics, paths.FINAL_METRICS)
    pages.draw(scored, paths.FINAL_PLOTS)
    pages.print_table(scored)


if __name__ == "__main__":
    errors.run(main)
