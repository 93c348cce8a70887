import dataframely as dy

NOT_IN_FILE = "no label in file"  # the reason of those that whoever made a file of labels was never given


class Outcomes(dy.Schema):
    """One row for every report that a teacher was given: tells "nothing found" from "not labelled"."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    outcome = dy.Enum(["labelled", "quarantined"])
    reason = dy.String(nullable=True)  # why quarantined
