import dataframely as dy


class Quarantine(dy.Schema):
    """Rows that a stage could not use, and why. `report_id` is the file's name where no id could be read."""

    report_id = dy.String(primary_key=True)
    n = dy.Int64(primary_key=True, min=0)  # counts rows of one id (duplicates)
    reason = dy.String()
    answer = dy.String(nullable=True)  # a teacher's raw answer that failed its checks; may quote the report
