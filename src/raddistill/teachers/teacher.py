"""The interface of every teacher: a name, and one method that turns reports into tables. Also noise made on purpose in them."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import dataframely as dy
import polars as pl
from pydantic import Field

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.statuses import ABSENT, PRESENT, RANKED, UNMENTIONED
from raddistill.tables.answers import Answers
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.written import Written
from raddistill.tasks.names import OPEN_ENDED

ROWS = 50_000
KEY = ["report_id", "task", "teacher", "label"]


class Labelled(NamedTuple):
    """A teacher's result: one table of each schema, with one row per report in `outcomes`, and counts for the metrics.

    `answers` has the answers of an LLM. `written` has sentences that the teacher wrote and labelled itself.
    """

    labels: pl.DataFrame
    evidence: pl.DataFrame
    outcomes: pl.DataFrame
    quarantine: pl.DataFrame
    counts: dict[str, Any]
    answers: pl.DataFrame = Answers.create_empty()
    written: pl.DataFrame = Written.create_empty()


class Teacher(Protocol):
    """Labels reports for the one task that it was made for. Its `name` is in the column `teacher` of its tables."""

    name: str

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled: ...


class Mention(NamedTuple):
    """A place in a report that speaks of a finding: a row of `Evidence` without its key. `end` is exclusive."""

    section: str
    start: int  # in code points of `reports.text`
    end: int
    cue: str | None
    status: str
    probability: float | None


class Finding(NamedTuple):
    """What a teacher says about one label of a report: a row of `Labels` without its key, and its mentions in text order."""

    label: str  # of the label set; open-ended: the phrase, in lower case and with single spaces
    status: str
    probability: float | None = None  # that the label is present
    code: str | None = None  # ICD-10-CM with its dot; open-ended only
    mentions: Sequence[Mention] = ()


class Rows:
    """Collects the rows of one table. At most ROWS wait as Python tuples, since a frame takes a tenth of their memory."""

    def __init__(self, schema: type[dy.Schema]) -> None:
        self._schema = schema
        self._waiting: list[tuple[Any, ...]] = []
        self._frame = as_table([], schema)

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._waiting += rows
        if len(self._waiting) >= ROWS:
            self.table()

    def table(self) -> pl.DataFrame:
        """Returns a frame of all rows added so far."""
        self._frame = pl.concat([self._frame, as_table(self._waiting, self._schema)])
        self._waiting = []
        return self._frame


class LabelRows:
    """Collects the rows of a teacher's tables, report by report."""

    def __init__(self, task: str, teacher: str) -> None:
        self._key = (task, teacher)
        self._labels, self._evidence, self._outcomes, self._quarantine = map(Rows, (Labels, Evidence, Outcomes, Quarantine))

    def add(self, report_id: str, findings: Sequence[Finding]) -> None:
        """Adds a labelled report with its findings, each of another label."""
        key = (report_id, *self._key)
        self._outcomes.add([(*key, "labelled", None)])
        self._labels.add((*key, *found[:-1]) for found in findings)
        self._evidence.add((*key, found.label, n, *mention) for found in findings for n, mention in enumerate(found.mentions))

    def put_aside(self, report_id: str, reason: str, answer: str | None = None) -> None:
        """Adds a report that could not be labelled. `answer`: a model's answer that failed its checks."""
        self._outcomes.add([(report_id, *self._key, "quarantined", reason)])
        self._quarantine.add([(report_id, 0, reason, answer)])

    def labelled(self, counts: dict[str, Any]) -> Labelled:
        """Returns the tables of all reports added so far."""
        return Labelled(self._labels.table(), self._evidence.table(), self._outcomes.table(), self._quarantine.table(), counts)


def as_table(rows: list[tuple[Any, ...]], schema: type[dy.Schema]) -> pl.DataFrame:
    """Returns a frame with the columns of `schema`; the schema's rules are not checked yet."""
    return pl.DataFrame(rows, schema=schema.create_empty().schema, orient="row")


class NoiseParams(Section):
    """How many mistakes are put into a teacher's labels on purpose, to see how much noise a student withstands. Off by default.

    Shares of the mentions, 0 to 1. Drawn by hash: the same in every run, and a larger share contains a smaller one.
    """

    missed: float = Field(ge=0, le=1)
    turned: float = Field(ge=0, le=1)  # read the wrong way round: absent as present, present and uncertain as absent

    @property
    def is_off(self) -> bool:
        return self.missed == self.turned == 0


def disturb(task: str, p: NoiseParams, labelled: Labelled) -> Labelled:
    """Returns `labelled` with mentions missed or read the wrong way round, as real teachers do. Labels follow their mentions.

    A label's status becomes the strongest of its remaining mentions.
    Without a remaining mention a label is unmentioned (multiple choice), and a phrase is dropped (open-ended). Labels that had no
    evidence do not change.

    Raises:
        InputError: the teacher gives no evidence, so no mistake can be made in it.
    """
    if labelled.evidence.is_empty() and not labelled.labels.is_empty():
        raise InputError(f"synthesize.{task}.noise: this teacher gives no evidence, and mistakes are made in that; set both to 0")
    evidence = _disturb_mentions(p, labelled.evidence)
    # Join the strongest remaining mention to each label.
    rank = pl.col("status").cast(pl.String).replace_strict(RANKED, range(len(RANKED)), return_dtype=pl.Int64)
    strongest = evidence.sort(rank, "probability", descending=True, nulls_last=True, maintain_order=True)
    strongest = strongest.unique(KEY, keep="first", maintain_order=True).select(
        *KEY, new_status="status", new_probability="probability"
    )
    had_evidence = labelled.evidence.select(KEY).unique().with_columns(had_evidence=True)
    labels = labelled.labels.join(had_evidence, on=KEY, how="left", maintain_order="left")
    labels = labels.join(strongest, on=KEY, how="left", maintain_order="left")
    if task == OPEN_ENDED:
        labels = labels.filter(pl.col("had_evidence").is_null() | pl.col("new_status").is_not_null())
    unmentioned = pl.lit(UNMENTIONED).cast(labels.schema["status"])
    labels = labels.with_columns(
        status=pl.when("had_evidence").then(pl.coalesce("new_status", unmentioned)).otherwise(pl.col("status")),
        probability=pl.when("had_evidence").then(pl.col("new_probability")).otherwise(pl.col("probability")),
    )
    return labelled._replace(labels=labels.drop("had_evidence", "new_status", "new_probability"), evidence=evidence)


def _disturb_mentions(p: NoiseParams, evidence: pl.DataFrame) -> pl.DataFrame:
    """Returns the evidence without the missed mentions. Each draws 0 to 1 by hash: low ones are missed, high ones turned."""
    mentions = evidence.select(*KEY, "n").iter_rows()
    draws = [int(hashlib.sha256(":".join(map(str, mention)).encode()).hexdigest()[:13], 16) / 2**52 for mention in mentions]
    is_turned = pl.col("draw") >= 1 - p.turned
    turned = pl.when(pl.col("status") == ABSENT).then(pl.lit(PRESENT)).otherwise(pl.lit(ABSENT))
    kept = evidence.with_columns(draw=pl.Series(draws, dtype=pl.Float64)).filter(pl.col("draw") >= p.missed)
    return kept.with_columns(
        status=pl.when(is_turned).then(turned).otherwise(pl.col("status").cast(pl.String)).cast(evidence.schema["status"]),
        probability=pl.when(~is_turned).then(pl.col("probability")),
    ).drop("draw")
