import dataframely as dy
import polars as pl

from raddistill.statuses import STATUSES


class Evidence(dy.Schema):
    """The evidence for a teacher's label: one row per mention, a span of `reports.text` in code points, end exclusive.

    `cue` is the phrase that decided its status. `status` is that of this mention; the report's status (`Labels`) is the strongest
    of its mentions. `probability` is the worth of a hedge (lexicon/hedges.csv), or, from an LLM, that of the label; else null.
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
