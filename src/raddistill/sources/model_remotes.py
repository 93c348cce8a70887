"""Checks the DVC remote of models: a model that learned from text that is not public may repeat it."""

import polars as pl

from raddistill.errors import ParamsError
from raddistill.params import Section

SHARED = "shared"  # the remote of .dvc/config that everybody may read
PUBLIC = "public"


class RemotesParams(Section):
    """The remote of models. dvc.yaml reads it, too, so `dvc push` uses it."""

    models: str


def refuse_sharing(p: RemotesParams, reports: pl.DataFrame) -> None:
    """Passes if models that learn from the table `reports` may go to the remote that `p` names.

    Raises:
        ParamsError: text of train or validation is not public, and the remote is the shared one.
    """
    learned = reports.filter((pl.col("split") != "test") & (pl.col("sensitivity") != PUBLIC))
    if p.models == SHARED and learned.height:
        kinds = " and ".join(learned["sensitivity"].cast(pl.String).unique().sort())
        raise ParamsError(
            f"remotes.models: '{SHARED}' is for everybody, but {learned.height:,} reports to learn from are {kinds}, and a model "
            "may repeat what it learned; set it to private, or to another DVC remote that may hold such a model (docs/cohorts.md)"
        )
