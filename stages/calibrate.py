"""Chooses temperature and thresholds for the student's logits, against the teacher or a gold budget."""

from raddistill import errors, labelsets, params, paths
from raddistill.student import calibrating
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.predictions import Probabilities
from raddistill.tasks.names import MULTIPLE_CHOICE


def main() -> None:
    p = params.load("calibrate", calibrating.CalibrateParams)
    calibration = calibrating.calibrate(
        p,
        tables.read(Probabilities, paths.table("probabilities", "student_validation")),
        tables.read(Examples, paths.EXAMPLES),
        tables.read(Labels, paths.table("labels", MULTIPLE_CHOICE)),
        tables.read(Gold, paths.GOLD),
        labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path),
    )
    tables.write_json(calibration.model_dump(), paths.CALIBRATION)


if __name__ == "__main__":
    errors.run(main)
