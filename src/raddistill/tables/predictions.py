import dataframely as dy


class Predictions(dy.Schema):
    """One row for every report, task and arm that was asked; `answer` as it came. Null where the arm was read by logits."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    answer = dy.String(nullable=True)


class Probabilities(dy.Schema):
    """One logit for every allowed answer of a label."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    label = dy.String(primary_key=True)
    answer = dy.String(primary_key=True)
    logit = dy.Float64()
