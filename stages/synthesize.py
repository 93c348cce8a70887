"""A teacher labels every report for one task. Never reads gold."""

from raddistill import errors, labelsets, params, paths
from raddistill.llm_client.settings import AskingParams
from raddistill.tables import answers
from raddistill.tables import base as tables
from raddistill.tables.answers import Answers
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.tables.written import Written
from raddistill.teachers import synthesizing


def main(task: str) -> None:
    p = params.load(f"synthesize.{task}", synthesizing.SynthesizeParams)
    asking = params.load("asking", AskingParams)
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    templates = synthesizing.Templates(paths.FRAMES, paths.COMPLETIONS)
    means = synthesizing.Means(asking, paths.journal(), answers.previous(paths.answers(task)), paths.HEDGES, templates)
    made = synthesizing.synthesize(task, p, tables.read(Reports, paths.REPORTS), label_set, means)
    tables.write(Labels, made.labels, paths.labels(task))
    tables.write(Evidence, made.evidence, paths.evidence(task))
    tables.write(Outcomes, made.outcomes, paths.outcomes(task))
    tables.write(Quarantine, made.quarantine, paths.synthesize_quarantine(task))
    tables.write(Answers, made.answers, paths.answers(task))
    tables.write(Written, made.written, paths.written(task))
    tables.write(Labels, made.whole, paths.whole_labels(task))
    tables.write_json(made.metrics, paths.synthesize_metrics(task))
    tables.write_json(made.spending, paths.spending_metrics(task))


if __name__ == "__main__":
    errors.run(main)
