"""Trains the student by QLoRA on the teacher's labels; resumes an interrupted run with the same params and data."""

import shutil

from raddistill import errors, params, paths
from raddistill.student import cpu_setup, training
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples


def main() -> None:
    p = params.load("train", training.TrainParams)
    runtime = params.load("runtime", params.RuntimeParams)
    trained = training.train(p, tables.read(Examples, paths.EXAMPLES), paths.BASE, paths.checkpoints(), runtime, paths.ADAPTER)
    shutil.copy(paths.STUDENT_SETTINGS, paths.ADAPTER)  # beside the weights, so that the folder is a whole student
    tables.write_json(trained.metrics, paths.TRAIN_METRICS)
    tables.write_csv(trained.curve, paths.TRAINING_CURVE)
    tables.write_csv(trained.validation_curve, paths.VALIDATION_CURVE)


if __name__ == "__main__":
    cpu_setup.preload_tcmalloc()
    cpu_setup.train_on_all_gpus()
    errors.run(main)
