import dataframely as dy

from raddistill.statuses import GOLD_STATUSES


class Gold(dy.Schema):
    """Labels made by people: one row per report, task, annotator and label; absent labels have a row, too.

    The label is one of the label set (multiple_choice) or a concept of gold/concepts.csv (open_ended). An `ambiguous` concept is
    optional: neither a false positive if predicted nor a false negative if missed.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    annotator = dy.String(primary_key=True)
    label = dy.String(primary_key=True)
    status = dy.Enum(GOLD_STATUSES)
