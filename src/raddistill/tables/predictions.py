import dataframely as dy


class Predictions(dy.Schema):
    """One row for every report, task and arm that was asked; `answer` as it came. Null where the arm was read by logits."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    answer = dy.String(nullable=True)


class Probabilities(dy.Schema):
    """One logit for every allowed answer of a label, for each part of a report (see `Examples`).

    A report's own logits are those of the part in which yes is farthest above no: a finding stated once is stated.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    part = dy.Int64(primary_key=True, min=0)
    label = dy.String(primary_key=True)
    answer = dy.String(primary_key=True)
    logit = dy.Float64()
