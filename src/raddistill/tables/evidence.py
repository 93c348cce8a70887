import dataframely as dy
import polars as pl

from raddistill.statuses import STATUSES


class Evidence(dy.Schema):
    """Where a teacher's label comes from: a span of `reports.text` in code points, end exclusive, and the cue that decided.

    `status` is what this one mention says; the report's status (`Labels`) is the strongest of its mentions. `probability` is
    what a hedge is worth where the teacher says so (lexicon/hedges.csv); an LLM's is that of its label; null elsewhere.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    label = dy.String(primary_key=True)
    n = dy.Int64(primary_key=True, min=0)
    section = dy.String()
    start = dy.Int64(min=0)
    end = dy.Int64(min=0)
    cue = dy.String(nullable=True)
    status = dy.Enum(STATUSES)
    probability = dy.Float64(nullable=True, min=0.0, max=1.0)

    @dy.rule()
    def span_not_empty(cls) -> pl.Expr:  # noqa: N805
        return cls.end.col > cls.start.col
