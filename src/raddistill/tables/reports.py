import dataframely as dy

from raddistill.tasks.names import SPLITS

__all__ = ["SENSITIVITIES", "SPLITS", "Reports"]

SENSITIVITIES = ["public", "credentialed", "phi"]


class Reports(dy.Schema):
    """One row per report. `text` is findings and impression with their headers, as student and teacher see it."""

    report_id = dy.String(primary_key=True)
    patient_id = dy.String(nullable=True)  # Open-i has none
    source = dy.String()
    sensitivity = dy.Enum(SENSITIVITIES)
    findings = dy.String(nullable=True)
    impression = dy.String(nullable=True)
    indication = dy.String(nullable=True)
    comparison = dy.String(nullable=True)
    text = dy.String(min_length=1)
    split = dy.Enum(SPLITS)
    text_group = dy.String()  # hash of the normalised text, equal for reports with the same text
