import dataframely as dy

# Reasons for the quarantine of reports that an imported label file does not have, or labels in two ways: what its maker would
# say of them is unknown.
NOT_IN_FILE = "no label in file"
ROWS_DIFFER = "rows of the label file differ"
UNKNOWN_BY_FILE = [NOT_IN_FILE, ROWS_DIFFER]


class Outcomes(dy.Schema):
    """One row for every report that a teacher was given. It separates "nothing found" from "not labelled"."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    outcome = dy.Enum(["labelled", "quarantined"])
    reason = dy.String(nullable=True)  # why quarantined
