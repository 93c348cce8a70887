import dataframely as dy


class Outcomes(dy.Schema):
    """One row for every report that a teacher was given: tells "nothing found" from "not labelled"."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    outcome = dy.Enum(["labelled", "quarantined"])
    reason = dy.String(nullable=True)  # why quarantined
