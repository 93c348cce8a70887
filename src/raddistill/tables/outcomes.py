import dataframely as dy

NOT_IN_FILE = "no label in file"  # the reason of those that whoever made a file of labels was never given
ROWS_DIFFER = "rows of the label file differ"  # the reason of those that it labels in two ways
UNKNOWN_BY_FILE = [NOT_IN_FILE, ROWS_DIFFER]  # of these nobody knows what the maker of the file would say


class Outcomes(dy.Schema):
    """One row for every report that a teacher was given: tells "nothing found" from "not labelled"."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    outcome = dy.Enum(["labelled", "quarantined"])
    reason = dy.String(nullable=True)  # why quarantined
