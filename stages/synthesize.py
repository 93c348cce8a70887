"""A teacher labels every report for one task. Never reads gold."""

from raddistill import errors, labelsets, params, paths
from raddistill.llm_client.settings import AskingParams
from raddistill.tables import answers
from raddistill.tables import base as tables
from raddistill.tables.reports import Reports
from raddistill.teachers import synthesizing
from raddistill.teachers.rules.teacher import Templates


def main(task: str) -> None:
    p = params.load(f"synthesize.{task}", synthesizing.SynthesizeParams)
    files = paths.task_tables(task)
    context = synthesizing.TeacherContext(
        params.load("asking", AskingParams),
        paths.journal(),
        answers.previous(files["answers"]),
        paths.HEDGES,
        Templates(paths.FRAMES, paths.COMPLETIONS),
        params.load(f"synthesize.{p.teacher}", synthesizing.settings_of(p.teacher)),
    )
    label_set = labelsets.load_labels(params.load("label_set", labelsets.LabelSetParams).path)
    made = synthesizing.synthesize(task, p, tables.read(Reports, paths.REPORTS), label_set, context)
    tables.write_record(made, files)
    tables.write_json(made.metrics, paths.synthesize_metrics(task))
    tables.write_json(made.spending, paths.spending_metrics(task))


if __name__ == "__main__":
    errors.run(main)
