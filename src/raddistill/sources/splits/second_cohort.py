"""One cohort, or two: trained at one place, tested at another.

The first cohort keeps training and validation, its test reports go to quarantine; of the second all reports are test.
Example: of 100 reports here (70, 10, 20) and 50 there, 70 train, 10 validate, and the 50 from there test.

`merge` drops training reports whose text is also held out. With two cohorts that is a text of the second, so the model can differ
from one trained on the first cohort alone where that has the same text in training and test.
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
    """The cohort that is tested on; '' as source: there is none. The columns of `extract.files` hold for it, too."""

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
    """Returns the tables of the cohort of `p`, or of two. `lexicon`: as of parser.read.

    Raises:
        ParamsError, InputError: as `extracting.extract`, of either; InputError for ids that both have.
    """
    first = extracting.extract(p, label_set, concepts, lexicon)
    if not second.source:
        return first
    all_test = {"splits": "hash", "train": 0.0, "validation": 0.0}
    there = p.model_copy(update=second.model_dump() | all_test)
    try:
        tested = extracting.extract(there, label_set, concepts, lexicon)
    except (InputError, ParamsError) as error:
        told = re.sub(r"\bextract\.(source|raw|gold)\b", r"second_cohort.\1", str(error))
        raise type(error)(f"second_cohort: {told}") from None
    return _join(first, tested, p.near_duplicate)


def _join(first: Extracted, second: Extracted, near_duplicate: float) -> Extracted:
    """Both, without the test reports of the first."""
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
        "near_neighbours": splitting.near_neighbours(reports, near_duplicate),
        "first": first.metrics,
        "second": second.metrics,
    }
    return Extracted(reports, gold, extract_metrics.numbered(quarantine), metrics)


def _under_one_name(gold: pl.DataFrame) -> pl.DataFrame:
    """By task the annotators of both as one, as each report has but one of them and scoring takes gold of one."""
    names = pl.col("annotator").cast(pl.String).unique().sort().str.join("+").over("task")
    return gold.with_columns(annotator=names)
