import dataframely as dy
import polars as pl


class Evidence(dy.Schema):
    """Where a teacher's label comes from: a span of `reports.text` in code points, end exclusive, and the cue that decided."""

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    label = dy.String(primary_key=True)
    n = dy.Int64(primary_key=True, min=0)
    section = dy.String()
    start = dy.Int64(min=0)
    end = dy.Int64(min=0)
    cue = dy.String(nullable=True)

    @dy.rule()
    def span_not_empty(cls) -> pl.Expr:  # noqa: N805
        return cls.end.col > cls.start.col
