"""One of several teachers labels every report; `synthesize` with the teacher `combined` puts them together. Never reads gold."""

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
from raddistill.teachers import synthesizing


def main(name: str) -> None:
    p = params.load(f"teachers.{name}", synthesizing.TeachParams)
    asking = params.load("asking", AskingParams)
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    folder = paths.taught(p.task, name)
    means = synthesizing.Means(asking, paths.journal(), answers.previous(folder / "answers.parquet"), paths.HEDGES)
    made = synthesizing.synthesize(p.task, p, tables.read(Reports, paths.REPORTS), label_set, means)
    tables.write(Labels, made.labels, folder / "labels.parquet")
    tables.write(Evidence, made.evidence, folder / "evidence.parquet")
    tables.write(Outcomes, made.outcomes, folder / "outcomes.parquet")
    tables.write(Quarantine, made.quarantine, folder / "quarantine.parquet")
    tables.write(Answers, made.answers, folder / "answers.parquet")
    tables.write_json(made.metrics, paths.taught_metrics(name))
    tables.write_json(made.spending, paths.taught_spending_metrics(name))


if __name__ == "__main__":
    errors.run(main)
