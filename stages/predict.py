"""One arm answers: raw answers and logits only, no thresholds."""

from raddistill import errors, labelsets, params, paths
from raddistill.student import allocation, predicting
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tables.predictions import Predictions, Probabilities


def main(arm: str) -> None:
    p = params.load(f"predict.{arm}", predicting.PredictParams)
    runtime = params.load("runtime", params.RuntimeParams)
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    examples = tables.read(Examples, paths.EXAMPLES)
    predicted = predicting.predict(arm, p, examples, label_set, paths.weights(p.model), paths.PROMPTS, runtime)
    tables.write(Predictions, predicted.predictions, paths.table("predictions", arm))
    tables.write(Probabilities, predicted.probabilities, paths.table("probabilities", arm))


if __name__ == "__main__":
    allocation.preload_tcmalloc()
    errors.run(main)
