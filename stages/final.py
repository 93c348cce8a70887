"""Scores every arm on the test split, once: the published figures."""

from raddistill import errors, params, paths
from raddistill.scoring import score_output, scores
from raddistill.tables import base as tables
from raddistill.tables.decisions import Decisions


def main() -> None:
    scored = scores.score(params.load("score", scores.ScoreParams), scores.read_inputs("test", ["student", "base", "linear"]))
    tables.write(Decisions, scored.decisions, paths.DECISIONS)
    tables.write_json(scored.metrics, paths.FINAL_METRICS)
    score_output.draw(scored, paths.FINAL_PLOTS)
    score_output.print_table(scored.split, scored.metrics)


if __name__ == "__main__":
    errors.run(main)
