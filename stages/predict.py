"""Lets one arm answer: raw answers and logits, no thresholds."""

from raddistill import errors, labelsets, params, paths
from raddistill.student import cpu_setup, predicting
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tables.predictions import ArmTables


def main(arm: str) -> None:
    p = params.load(f"predict.{arm}", predicting.PredictParams)
    runtime = params.load("runtime", params.RuntimeParams)
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    examples = tables.read(Examples, paths.EXAMPLES)
    predicted = predicting.predict(arm, p, examples, label_set, paths.weights(p.model), paths.PROMPTS, runtime)
    tables.write_record(predicted, paths.tables_of(ArmTables, arm))


if __name__ == "__main__":
    cpu_setup.preload_tcmalloc()
    errors.run(main)
