"""Renders prompt and answer of every report once, mixes the tasks, drops training rows whose text is held out."""

from raddistill import errors, labelsets, params, paths
from raddistill.student import merging, models
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.examples import Examples
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.tables.written import Written


def main() -> None:
    p = params.load("merge", merging.MergeParams)
    merged = merging.merge(
        p,
        tables.read(Reports, paths.REPORTS),
        taught={
            "multiple_choice": merging.Taught(
                tables.read(Labels, paths.labels("multiple_choice")),
                tables.read(Evidence, paths.evidence("multiple_choice")),
                tables.read(Outcomes, paths.outcomes("multiple_choice")),
                tables.read(Written, paths.written("multiple_choice")),
            ),
            "open_ended": merging.Taught(
                tables.read(Labels, paths.labels("open_ended")),
                tables.read(Evidence, paths.evidence("open_ended")),
                tables.read(Outcomes, paths.outcomes("open_ended")),
                tables.read(Written, paths.written("open_ended")),
            ),
        },
        label_set=labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path),
        tokenizer=models.load_tokenizer(paths.BASE),
        prompts=paths.PROMPTS,
    )
    tables.write(Examples, merged.examples, paths.EXAMPLES)
    tables.write(Quarantine, merged.quarantine, paths.MERGE_QUARANTINE)
    tables.write_json(merged.metrics, paths.MERGE_METRICS)


if __name__ == "__main__":
    errors.run(main)
