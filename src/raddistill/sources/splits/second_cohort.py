"""Extracts one cohort, or two: to train on the first and test on the second.

The first cohort keeps its training and validation reports; its test reports go to quarantine. All reports of the second are test.
Example: with 100 reports in the first (70, 10, 20) and 50 in the second, 70 train, 10 validate, and 50 test.

`merge` drops training reports whose text is also held out. Here "held out" means texts of the second cohort, so the model can
differ from one that was trained on the first cohort alone, if that has the same text in training and test.
"""

import re
from dataclasses import replace

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.privacy import such_as
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sources import extract_metrics, extracting
from raddistill.sources.extracting import Extracted, ExtractParams
from raddistill.sources.gold import reading_gold
from raddistill.sources.splits import splitting

SET_ASIDE = "test split of the first cohort"


class SecondParams(Section):
    """The second cohort; '' as source: none. The columns of `extract.files` are used for it, too."""

    source: str
    raw: str
    gold: str


def extract(
    p: ExtractParams,
    second: SecondParams,
    label_set: list[Label],
    concepts: list[Concept],
    lexicon: SectionLexicon | None = None,
) -> Extracted:
    """Returns the tables of one cohort or of both. `lexicon`: as in parser.read.

    Raises:
        ParamsError, InputError: as in `extracting.extract`, for either cohort.
        InputError: both cohorts have a report with the same id.
    """
    first = extracting.extract(p, label_set, concepts, lexicon)
    if not second.source:
        return first
    all_test = {"splits": "hash", "train": 0.0, "validation": 0.0}
    there = p.model_copy(update=second.model_dump() | all_test)
    try:
        tested = extracting.extract(there, label_set, concepts, lexicon)
    except (InputError, ParamsError) as error:
        message = re.sub(r"\bextract\.(source|raw|gold)\b", r"second_cohort.\1", str(error))
        raise type(error)(f"second_cohort: {message}") from None
    return _join(first, tested, p.near_duplicate)


def _join(first: Extracted, second: Extracted, near_duplicate: float) -> Extracted:
    """Returns both cohorts, without the test reports of the first."""
    shared = first.reports.join(second.reports, on="report_id", how="semi")["report_id"].sort().to_list()
    if shared:
        raise InputError(
            f"{len(shared)} reports of both cohorts have the same id{such_as(shared[0])}; ids of one must "
            "be changed in its files, and in the files of labels that go with it"
        )
    if set(first.reports["source"]) & set(second.reports["source"]):
        second = replace(second, reports=second.reports.with_columns(pl.col("source") + "_second"))
    kept, aside = first.reports.filter(pl.col("split") != "test"), first.reports.filter(pl.col("split") == "test")
    reports = pl.concat([kept, second.reports])
    gold_here = first.gold.join(kept, on="report_id", how="semi", maintain_order="left")
    gold = _under_one_name(pl.concat([gold_here, second.gold], how="vertical_relaxed"))  # PadChest's columns are enums
    set_aside = aside.select("report_id", reason=pl.lit(SET_ASIDE))
    quarantine = pl.concat([part.select("report_id", "reason") for part in (first.quarantine, second.quarantine, set_aside)])
    training = kept.filter(pl.col("split") == "train")
    metrics = extract_metrics.counts(reports, gold, quarantine.filter(pl.col("reason") != reading_gold.UNKNOWN)) | {
        "texts_of_training_in_second": second.reports.join(training, on="text_group", how="semi").height,
        "patients_of_training_in_second": second.reports.join(training, on="patient_id", how="semi").height,
        "near_neighbours": splitting.count_near_duplicates(reports, near_duplicate),
        "first": first.metrics,
        "second": second.metrics,
    }
    return Extracted(reports, gold, extract_metrics.numbered(quarantine), metrics)


def _under_one_name(gold: pl.DataFrame) -> pl.DataFrame:
    """Names the annotators of a task as one: each report has only one of them, and scoring requires one name."""
    names = pl.col("annotator").cast(pl.String).unique().sort().str.join("+").over("task")
    return gold.with_columns(annotator=names)
