"""The stage `extract`: makes the tables of reports and gold from raw files. Every report ends in `reports` or in `quarantine`.

`extract.source` names the source. Reports are turned into columns chunk by chunk to save memory: 228,000 reports as long as
MIMIC-CXR's take about 0.6 GB.
"""

import difflib
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from raddistill.concepts import Concept
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.privacy import ID_IS_TEXT, may_be_text
from raddistill.reading.cells import NOT_UTF8
from raddistill.sections import report_text
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sources import extract_metrics
from raddistill.sources.collections.files import Files, FilesParams
from raddistill.sources.collections.image_cohorts import CheXpertPlus, PadChest
from raddistill.sources.collections.mimic_cxr import MimicCXR
from raddistill.sources.collections.openi import OpenI
from raddistill.sources.documents import SECTIONS, SHOWN, Document, Failure, Source
from raddistill.sources.gold import reading_gold
from raddistill.sources.splits import splitting
from raddistill.tables.quarantine import quarantine_complaint
from raddistill.tables.reports import Reports

SOURCES = ("openi", "mimic_cxr", "chexpert_plus", "padchest", "files")
CHUNK = 20_000  # documents
_READ = pl.Schema(
    dict.fromkeys(["report_id", "patient_id", *SECTIONS, "own_split", "date", "text", "text_group", "hash_split"], pl.String)
    | {"annotations": pl.List(pl.String), "without_headers": pl.Boolean}
)
_FAILED = pl.Schema({"report_id": pl.String, "reason": pl.String, "row": pl.Int64})
SHARED = "shared"  # the DVC remote of .dvc/config that everybody may read
console = Console(stderr=True)

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ExtractParams(Section):
    """The section `extract`: the collection, how its annotations become gold, and how it is split.

    Refused: shares that leave no test split, a fold that does not exist, a fold of splits that a file gives.
    """

    source: str
    raw: str
    gold: str
    annotators: reading_gold.Adjudication
    splits: Literal["hash", "file"]
    salt: str
    train: Share
    validation: Share
    fold: Annotated[int, Field(ge=0)]
    near_duplicate: Share  # token Jaccard
    max_quarantine: Share
    files: FilesParams

    @model_validator(mode="after")
    def _has_a_test_split(self) -> Self:
        if self.train + self.validation >= 1.0:
            raise ValueError("train and validation leave nothing for the test split")
        if self.fold and self.splits == "file":
            raise ValueError("extract.fold is of extract.splits: hash; the splits of a file have no folds, so it must be 0")
        if self.fold >= (known := splitting.folds(self.train, self.validation)):
            raise ValueError(f"extract.fold is {self.fold}, but a test split of this size has the folds 0 to {known - 1}")
        return self


class RemotesParams(Section):
    """The DVC remote of models. dvc.yaml reads it, too, so `dvc push` uses it."""

    models: str


@dataclass(frozen=True)
class Extracted:
    """The outputs of the stage: three tables and its metrics (numbers only)."""

    reports: pl.DataFrame
    gold: pl.DataFrame
    quarantine: pl.DataFrame
    metrics: dict[str, Any]


def extract(
    p: ExtractParams, label_set: list[Label], concepts: list[Concept], lexicon: SectionLexicon | None = None
) -> Extracted:
    """Returns the tables of the collection in `extract.raw`, a folder or a file. `lexicon`: as in parser.read.

    Raises:
        ParamsError: the source is unknown, or has no splits of its own though `extract.splits` is file.
        InputError: the collection is missing or damaged, or too many of its reports are unusable (counted by reason).
    """
    source, raw = source_named(p, label_set, lexicon), Path(p.raw)
    if not raw.exists():
        raise InputError(f"{raw} does not exist; params.yaml names it as extract.raw, of the source {p.source}")
    documents, failed = _gather(p, source, raw)
    read = documents.select("report_id", "annotations")
    documents, unusable = _sift(documents, failed["report_id"])  # same name: frees what was read
    kept, unsplit = _split(p, documents)
    quarantine = pl.concat([failed, unusable, unsplit])
    assert kept.height + quarantine.height == read.height + failed.height, "a report was lost"
    if complaint := quarantine_complaint(
        quarantine, kept.height + quarantine.height, p.max_quarantine, "cannot be used", "extract.max_quarantine"
    ):
        is_encoding = p.source == "files" and NOT_UTF8 in quarantine["reason"]
        raise InputError(complaint + ("; extract.files.encoding names the encoding" if is_encoding else ""))
    known = pl.concat([read["report_id"], failed["report_id"]])
    written = reading_gold.read_gold(source, reading_gold.annotations_by_id(read, kept), Path(p.gold), label_set, concepts, known)
    gold, n_quarantined, unknown = reading_gold.of_known_reports(written, kept["report_id"], quarantine["report_id"])
    agreed, gold = reading_gold.agreement(gold), reading_gold.adjudicate(gold, p.annotators)
    reports = kept.with_columns(source=pl.lit(source.name), sensitivity=pl.lit(source.sensitivity)).select(*Reports.columns())
    metrics = extract_metrics.counts(reports, gold, quarantine) | extract_metrics.corpus(kept, reports, p.near_duplicate)
    metrics |= {"gold_of_quarantined_reports": n_quarantined, "gold_of_unknown_reports": unknown.height}
    metrics |= {"agreement": agreed} if agreed else {}
    return Extracted(reports, gold, extract_metrics.numbered(pl.concat([quarantine, unknown])), metrics)


def source_named(p: ExtractParams, label_set: list[Label], lexicon: SectionLexicon | None) -> Source:
    """Returns the collection `extract.source`, or raises a ParamsError if there is none of this name."""
    match p.source:
        case "openi":
            return OpenI()
        case "mimic_cxr":
            return MimicCXR(lexicon)
        case "chexpert_plus":
            return CheXpertPlus(lexicon)
        case "padchest":
            return PadChest()
        case "files":
            return Files(p.files, [label.name for label in label_set], lexicon)
        case _:
            near = difflib.get_close_matches(p.source, SOURCES, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise ParamsError(f"extract.source: there is no '{p.source}'; {hint}Known: {', '.join(SOURCES)}")


def refuse_sharing(p: RemotesParams, reports: pl.DataFrame) -> None:
    """Raises a ParamsError if models go to the shared remote, but learn from text of `reports` that is not public."""
    learned = reports.filter((pl.col("split") != "test") & (pl.col("sensitivity") != "public"))
    if p.models == SHARED and learned.height:
        kinds = " and ".join(learned["sensitivity"].cast(pl.String).unique().sort())
        raise ParamsError(
            f"remotes.models: '{SHARED}' is for everybody, but {learned.height:,} reports to learn from are {kinds}, and a model "
            "may repeat what it learned; set it to private, or to another DVC remote that may hold such a model (docs/cohorts.md)"
        )


def _gather(p: ExtractParams, source: Source, raw: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns a row of _READ for each document, and id and reason of each failure. Prints how many rows lack an id."""
    documents, failures, done = [pl.DataFrame(schema=_READ)], [pl.DataFrame(schema=_FAILED)], 0
    bar = (TextColumn("extract: {task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, transient=True) as progress:
        task = progress.add_task(f"reading {p.source}", total=None)
        read = source.read(raw, lambda completed, total: progress.update(task, completed=completed, total=total))
        while chunk := [_refuse_text_as_id(made, raw) for made in itertools.islice(read, CHUNK)]:
            rows = [_row(p, made) for made in chunk if isinstance(made, Document)]
            broken = [(made.report_id, made.reason, made.row) for made in chunk if isinstance(made, Failure)]
            documents.append(pl.DataFrame(rows, schema=_READ, orient="row"))
            failures.append(pl.DataFrame(broken, schema=_FAILED, orient="row"))
            done += len(chunk)
            progress.update(task, description=f"{done:,} reports of {p.source} read")
    failed = pl.concat(failures)
    nameless = failed.drop_nulls("row").group_by("report_id", "reason").agg("row").sort("report_id", "reason")
    for name, reason, at in nameless.iter_rows():
        shown = ", ".join(map(str, at[:SHOWN]))
        console.print(f"extract: {name}: {reason}; {len(at):,} rows without an id, such as {shown}", markup=False)
    return pl.concat(documents), failed.select("report_id", "reason")


def _refuse_text_as_id(made: Document | Failure, raw: Path) -> Document | Failure:
    """Replaces an id that may be report text, which no table may contain: by the name of `raw`, and a document by a failure."""
    if not may_be_text(made.report_id):
        return made
    return Failure(raw.name, ID_IS_TEXT) if isinstance(made, Document) else replace(made, report_id=raw.name)


def _row(p: ExtractParams, d: Document) -> tuple[Any, ...]:
    """Returns the cells of a document in the columns of _READ."""
    group = splitting.text_group(d.findings, d.impression)
    hash_split = splitting.split_of(d.patient_id or group, p.salt, p.train, p.validation, p.fold)
    words = (d.findings, d.impression, d.indication, d.comparison)
    text = report_text.compose(d.findings, d.impression)
    return d.report_id, d.patient_id, *words, d.split, d.date, text, group, hash_split, list(d.annotations), d.without_headers


def _sift(documents: pl.DataFrame, failed: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the usable documents, one per id, and failures for the others. The result does not depend on their order.

    If reports have dates, the latest of each id is kept, unless a version with that id is among `failed`: it may be later.
    """
    unusable = []
    if documents["date"].null_count() < documents.height:
        doubtful = pl.col("date").is_not_null() & pl.col("report_id").is_in(failed.implode())
        documents, doubted = _set_aside(documents, doubtful, "another version of the report cannot be read")
        unusable.append(doubted)
    if documents["report_id"].is_duplicated().any():
        # 1. The latest version of an id, if all its versions have a date.
        latest = pl.col("date").max().over("report_id")
        dated = ~pl.col("date").is_null().any().over("report_id")
        documents, older = _set_aside(documents, dated & (pl.col("date") < latest), "an earlier version of the report")
        # 2. None of the remaining versions if they differ, else one of them.
        other_columns = (column for column in _READ if column not in ("report_id", "annotations"))
        content = pl.struct(pl.col("annotations").list.join("\n"), *other_columns)
        repeated = documents["report_id"].is_duplicated().arg_true()  # only these rows, so that few texts are copied
        contents = documents[repeated].select("report_id", content=content)
        versions_per_id = contents.select(pl.col("content").n_unique().over("report_id")).to_series()
        differ = pl.repeat(False, documents.height, eager=True).scatter(repeated, versions_per_id > 1)
        documents, several = _set_aside(documents, differ, "id of several different reports")
        documents, copies = _set_aside(documents, ~pl.col("report_id").is_first_distinct(), "copy of another file")
        unusable += [older, several, copies]
    documents, empty = _set_aside(documents, pl.col("text") == "", "no findings and no impression")
    return documents, pl.concat([*unusable, empty])


def _set_aside(documents: pl.DataFrame, unusable: pl.Expr | pl.Series, reason: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the documents that are not `unusable`, and a failure with this `reason` for each of the others."""
    marks = documents.select(unusable=unusable).to_series()
    failures = documents.filter(marks).select("report_id", reason=pl.lit(reason))
    return (documents.filter(~marks) if failures.height else documents), failures  # avoids a copy


def _split(p: ExtractParams, documents: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the documents with their `split`, and failures for those that have none in the source's own file.

    Raises:
        ParamsError: `extract.splits` is file, and no document has a split.
    """
    if p.splits == "hash":
        return documents.with_columns(split=pl.col("hash_split")), pl.DataFrame(schema=_FAILED).drop("row")
    if documents.height and documents["own_split"].is_null().all():
        where = "extract.files.split names the column" if p.source == "files" else "docs/cohorts.md tells which file has it"
        raise ParamsError(f"extract.splits: file, but what was read of {p.source} names no split: {where}; or use hash")
    documents, without_split = _set_aside(documents, pl.col("own_split").is_null(), "no split in the source's file")
    ours = pl.col("own_split").str.to_lowercase().replace_strict(splitting.OF_FILES, default=None, return_dtype=pl.String)
    documents, other_name = _set_aside(documents.with_columns(split=ours), ours.is_null(), "a split of another name")
    return documents, pl.concat([without_split, other_name])
