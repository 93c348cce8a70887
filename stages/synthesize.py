"""A teacher labels every report for one task. Never reads gold."""

from raddistill import errors, labelsets, params, paths
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.teachers import synthesizing


def main(task: str) -> None:
    p = params.load(f"synthesize.{task}", synthesizing.SynthesizeParams)
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    made = synthesizing.synthesize(task, p, tables.read(Reports, paths.REPORTS), label_set)
    tables.write(Labels, made.labels, paths.labels(task))
    tables.write(Evidence, made.evidence, paths.evidence(task))
    tables.write(Outcomes, made.outcomes, paths.outcomes(task))
    tables.write(Quarantine, made.quarantine, paths.synthesize_quarantine(task))
    tables.write_json(made.metrics, paths.synthesize_metrics(task))


if __name__ == "__main__":
    errors.run(main)
