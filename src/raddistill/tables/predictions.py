import dataframely as dy


class Predictions(dy.Schema):
    """One row per report, task and arm that was asked. `answer` is the raw answer; null if the arm's answer is its logits."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    answer = dy.String(nullable=True)


class Probabilities(dy.Schema):
    """One logit per allowed answer of a label and part of a report (see `Examples`).

    The logits of a report are those of the part in which yes exceeds no the most: a finding stated once is stated.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    part = dy.Int64(primary_key=True, min=0)
    label = dy.String(primary_key=True)
    answer = dy.String(primary_key=True)
    logit = dy.Float64()
