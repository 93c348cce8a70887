"""One of several teachers labels every report; `synthesize` combines them (teacher: combined). Never reads gold."""

from raddistill import errors, labelsets, params, paths
from raddistill.llm_client.settings import AskingParams
from raddistill.tables import answers
from raddistill.tables import base as tables
from raddistill.tables.reports import Reports
from raddistill.teachers import synthesizing


def main(name: str) -> None:
    p = params.load(f"teachers.{name}", synthesizing.TeachParams)
    files = paths.taught_tables(p.task, name)
    context = synthesizing.TeacherContext(
        params.load("asking", AskingParams), paths.journal(), answers.previous(files["answers"]), paths.HEDGES
    )
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    made = synthesizing.synthesize(p.task, p, tables.read(Reports, paths.REPORTS), label_set, context)
    tables.write_record(made, files)
    tables.write_json(made.metrics, paths.taught_metrics(name))
    tables.write_json(made.spending, paths.taught_spending_metrics(name))


if __name__ == "__main__":
    errors.run(main)
