"""Renders prompts and answers of all reports and tasks, and drops training reports whose text is also in another split."""

from raddistill import errors, labelsets, params, paths
from raddistill.student import merging, models
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.tasks.names import TASKS


def main() -> None:
    merged = merging.merge(
        params.load("merge", merging.MergeParams),
        tables.read(Reports, paths.REPORTS),
        tables.read_records(merging.Taught, paths.tables_by_key(merging.Taught, TASKS)),
        labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path),
        models.load_tokenizer(paths.BASE),
        paths.PROMPTS,
    )
    tables.write(Examples, merged.examples, paths.EXAMPLES)
    tables.write(Quarantine, merged.quarantine, paths.MERGE_QUARANTINE)
    merged.settings.write(paths.STUDENT_SETTINGS)
    tables.write_json(merged.metrics, paths.MERGE_METRICS)


if __name__ == "__main__":
    errors.run(main)
