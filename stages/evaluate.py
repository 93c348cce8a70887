"""Scores the student on validation, beside its teacher: what sweeps look at."""

from raddistill import concepts, errors, labelsets, params, paths
from raddistill.scoring import pages, scores
from raddistill.tables import base as tables
from raddistill.tables import calibration
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
        split="validation",
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
            "student": tables.read(Predictions, paths.table("predictions", "student_validation")),
        },
        probabilities={
            "student": tables.read(Probabilities, paths.table("probabilities", "student_validation")),
        },
        calibration=calibration.load(paths.CALIBRATION),
        label_set=labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path),
        concepts=concepts.load_concepts(paths.CONCEPTS),
        lexicon=paths.SCORER_LEXICON,
    )
    tables.write_json(scored.metrics, paths.VALIDATION_METRICS)
    pages.draw(scored, paths.VALIDATION_PLOTS)
    pages.print_table(scored)


if __name__ == "__main__":
    errors.run(main)
