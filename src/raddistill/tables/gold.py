import dataframely as dy

from raddistill.statuses import GOLD_STATUSES


class Gold(dy.Schema):
    """Labels made by people: one row for every report, task, annotator and label of the task (no row is implied).

    The label is one of the label set (multiple_choice) or a concept of gold/concepts.csv (open_ended).
    `ambiguous` for a concept means optional: predicted, no false positive; missed, no false negative.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    annotator = dy.String(primary_key=True)
    label = dy.String(primary_key=True)
    status = dy.Enum(GOLD_STATUSES)
