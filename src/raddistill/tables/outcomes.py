import dataframely as dy

# Reasons for quarantine of reports that an imported label file lacks, or labels in two ways: the labels of its maker are unknown.
NOT_IN_FILE = "no label in file"
ROWS_DIFFER = "rows of the label file differ"
UNKNOWN_BY_FILE = [NOT_IN_FILE, ROWS_DIFFER]


class Outcomes(dy.Schema):
    """One row per report that a teacher was given. It distinguishes "nothing found" from "not labelled"."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    outcome = dy.Enum(["labelled", "quarantined"])
    reason = dy.String(nullable=True)  # why quarantined
