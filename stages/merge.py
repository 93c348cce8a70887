"""Renders prompt and answer of every report once, mixes the tasks, drops training rows whose text is held out."""

from raddistill import errors, labelsets, params, paths
from raddistill.student import merging, models
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.reports import Reports


def main() -> None:
    p = params.load("merge", merging.MergeParams)
    merged = merging.merge(
        p,
        tables.read(Reports, paths.REPORTS),
        labels={
            "multiple_choice": tables.read(Labels, paths.labels("multiple_choice")),
            "open_ended": tables.read(Labels, paths.labels("open_ended")),
        },
        outcomes={
            "multiple_choice": tables.read(Outcomes, paths.outcomes("multiple_choice")),
            "open_ended": tables.read(Outcomes, paths.outcomes("open_ended")),
        },
        label_set=labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path),
        tokenizer=models.load_tokenizer(paths.BASE),
        prompts=paths.PROMPTS,
    )
    tables.write(Examples, merged.examples, paths.EXAMPLES)
    tables.write_json(merged.metrics, paths.MERGE_METRICS)


if __name__ == "__main__":
    errors.run(main)
