"""Turns raw files into reports with splits, and people's annotations into gold; unusable rows go to quarantine."""

from raddistill import concepts, errors, labelsets, params, paths
from raddistill.sections import lexicon
from raddistill.sources import extracting
from raddistill.sources.splits import second_cohort
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports


def main() -> None:
    p = params.load("extract", extracting.ExtractParams)
    second = params.load("second_cohort", second_cohort.SecondParams)
    remotes = params.load("remotes", extracting.RemotesParams)
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    words = lexicon.load(paths.SECTION_WORDS)
    extracted = second_cohort.extract(p, second, label_set, concepts.load_concepts(paths.CONCEPTS), words)
    extracting.refuse_sharing(remotes, extracted.reports)
    tables.write(Reports, extracted.reports, paths.REPORTS)
    tables.write(Gold, extracted.gold, paths.GOLD)
    tables.write(Quarantine, extracted.quarantine, paths.EXTRACT_QUARANTINE)
    tables.write_json(extracted.metrics, paths.EXTRACT_METRICS)


if __name__ == "__main__":
    errors.run(main)
