"""Scores student and teacher on the validation split; sweeps compare these figures."""

from raddistill import errors, params, paths
from raddistill.scoring import score_output, scores
from raddistill.tables import base as tables


def main() -> None:
    scored = scores.score(params.load("score", scores.ScoreParams), scores.read_inputs("validation", ["student"]))
    tables.write_json(scored.metrics, paths.VALIDATION_METRICS)
    score_output.draw(scored, paths.VALIDATION_PLOTS)
    score_output.print_table(scored.split, scored.metrics)


if __name__ == "__main__":
    errors.run(main)
