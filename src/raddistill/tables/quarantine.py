"""The table of rows that a stage could not use."""

import dataframely as dy
import polars as pl

from raddistill.privacy import such_as


class Quarantine(dy.Schema):
    """Rows that a stage could not use, with the reason. `report_id` is the file's name if no id could be read."""

    report_id = dy.String(primary_key=True)
    n = dy.Int64(primary_key=True, min=0)  # numbers the rows of one id
    reason = dy.String()
    answer = dy.String(nullable=True)  # a teacher's raw answer that failed its checks; may quote the report


def quarantine_complaint(unusable: pl.DataFrame, n_reports: int, allowed: float, verdict: str, param: str) -> str:
    """Returns an error message if `unusable` (report_id, reason) exceeds the share `allowed` of `n_reports`, else ''.

    The message counts the reports by reason, each with one id: "3 of 4 reports cannot be used, more than
    extract.max_quarantine (0.5) allows: no findings and no impression: 3 (such as CXR1)".
    """
    if unusable.height <= allowed * n_reports:
        return ""
    by_reason = unusable.group_by("reason").agg(pl.len(), pl.col("report_id").min()).sort("reason")
    reasons = "; ".join(f"{reason}: {count}{such_as(report_id)}" for reason, count, report_id in by_reason.iter_rows())
    return f"{unusable.height} of {n_reports} reports {verdict}, more than {param} ({allowed}) allows: {reasons}"
