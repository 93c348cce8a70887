from pathlib import Path

import dataframely as dy
import polars as pl

from raddistill.tables import base as tables


class Answers(dy.Schema):
    """One row for each answer received from an LLM teacher: of a report, task, teacher, sample and ask.

    Answers that failed their checks are kept, and `fault` says why. Labels can be made from the table again without asking.
    It may quote the report.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    sample_ = dy.Int64(primary_key=True, min=0, alias="sample")  # dataframely has a method `sample`
    ask = dy.Int64(primary_key=True, min=0)  # 0: the first time; n: after n answers that failed their checks
    key = dy.String(regex="^[0-9a-f]{64}$")  # of the question
    form = dy.Enum(["json_schema", "text", "decisions"])
    examples = dy.List(dy.String())  # ids of the worked examples shown
    text = dy.String(nullable=True)
    finish = dy.String()
    fault = dy.String(nullable=True)  # why the answer was not used
    model = dy.String()  # as the server names it
    fingerprint = dy.String(nullable=True)
    logprobs = dy.String(nullable=True)  # JSON
    prompt_tokens = dy.Int64(min=0)
    completion_tokens = dy.Int64(min=0)
    cached_tokens = dy.Int64(min=0)
    request_id = dy.String(nullable=True)
    usd = dy.Float64(min=0.0)
    mode = dy.Enum(["direct", "batch"])

    @dy.rule()
    def cached_within_prompt(cls) -> pl.Expr:  # noqa: N805
        return cls.cached_tokens.col <= cls.prompt_tokens.col


def previous(path: Path) -> dy.DataFrame[Answers]:
    """Returns the table of an earlier run, which DVC keeps (`persist`); an empty one without. Errors: as in tables.base.read."""
    return tables.read(Answers, path) if path.exists() else Answers.create_empty()
