"""Writes the forms of one student side by side: merges, saves, compares with the adapter, adds the card."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import polars as pl

from raddistill import params, paths
from raddistill.apps.export import card, forms, gguf_form
from raddistill.apps.export.agreement import Answers, Sample
from raddistill.errors import InputError
from raddistill.files import write_whole
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.multiple_choice import MultipleChoice
from raddistill.student import adapters
from raddistill.student.predicting import Answerer, PredictParams
from raddistill.student.tagging import Codes
from raddistill.tables import base as tables
from raddistill.tables import calibration, student_settings
from raddistill.tables.calibration import Calibration
from raddistill.tables.examples import Examples
from raddistill.tables.reports import Reports
from raddistill.tables.student_settings import StudentSettings
from raddistill.tables.written import ID_PREFIX


def private_reports(adapter: Path, data: Path) -> str:
    """Returns what the training reports are if they are not known to be public, such as "credentialed"; else "".

    Raises:
        InputError: a table is missing.
    """
    chosen, reports = _trained(_examples(data)), tables.read(Reports, data / paths.REPORTS.name)
    of_reports = chosen.filter(~pl.col("report_id").str.starts_with(ID_PREFIX)).select("report_id").unique()
    kinds = of_reports.join(reports, on="report_id", how="left")["sensitivity"]
    if kinds.null_count() or not _is_of(adapter, chosen):
        return f"unknown (the adapter was not trained on the tables in {data})"
    return " and ".join(sorted(set(kinds) - {"public"}))


def write_all(folder: Path, wanted: list[str], adapter: Path, data: Path, base: str, weights: str, reports: int) -> list[str]:
    """Writes the wanted forms, all or none, and returns a line about each. Errors are as in `command.export`."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}  # read when transformers is imported; all files are here
    settings = student_settings.load(adapter / paths.STUDENT_SETTINGS.name)
    calibrated = calibration.load(adapter.parent / paths.CALIBRATION.name)
    sample, is_new, lines = _sample(settings, calibrated, _examples(data), reports), not folder.exists(), []
    answerer = Answerer.load("student", adapter, sample.runtime)
    student = forms.Student(answerer.tokenizer, settings, paths.PROMPTS)
    if "classifier" in wanted:  # before minutes of answers
        forms.refuse_classifier(student)
    if "gguf" in wanted:
        gguf_form.pre_tokenizer(student.tokenizer)
    reference = sample.ask(answerer, student.answers)
    del answerer  # makes room for the merged model
    student.model = forms.merge(adapter, base)
    said = _training(adapter, data) | {"merged_into": base}
    said["stages"] = card.locked_stages(adapter, adapter.parent / paths.CALIBRATION.name)
    try:
        with contextlib.ExitStack() as stack:
            for form in wanted:
                part = stack.enter_context(write_whole(folder / form))
                part.mkdir()
                tasks = _write(form, student, part, weights)
                settings.write(part / paths.STUDENT_SETTINGS.name)  # both for `raddistill predict`, too
                without_ids = calibrated.model_copy(update={"budget": []})
                tables.write_json(without_ids.model_dump(), part / paths.CALIBRATION.name)
                found = sample.compare(reference, _ask(form, part, student, sample, tasks), form)
                kind = weights if form == "gguf" else "bf16"
                card.write(part, adapter, student, form=form, tasks=tasks, agreement=found, weights=kind, **said)
                size = sum(file.stat().st_size for file in part.iterdir())
                lines += [f"{folder / form}: {size / 1e6:,.1f} MB, compared with the adapter", *(f"  {each}" for each in found)]
    finally:
        if is_new and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    return lines


def _training(adapter: Path, data: Path) -> dict[str, Any]:
    """What the card says of the training data: numbers only."""
    chosen, private = _trained(_examples(data)), private_reports(adapter, data)
    if not _is_of(adapter, chosen):
        return {"private": private, "trained": "not known here", "reports": "not known here"}
    of_task = chosen.filter(pl.col("split") == "train").group_by("task").len().sort("task")
    of_split = tables.read(Reports, data / paths.REPORTS.name).group_by("source", "split").len().sort("source", "split")
    return {
        "private": private,
        "trained": ", ".join(f"{n:,} of {task}" for task, n in of_task.iter_rows()),
        "reports": ", ".join(f"{n:,} of {source} in {split}" for source, split, n in of_split.iter_rows()),
    }


def _provenance(adapter: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((adapter / "provenance.json").read_text(encoding="utf-8"))
    return content


def _examples(data: Path) -> pl.DataFrame:
    return tables.read(Examples, data / paths.EXAMPLES.name)


def _is_of(adapter: Path, chosen: pl.DataFrame) -> bool:
    """Whether the adapter was trained on these examples."""
    same: bool = _provenance(adapter)["examples_sha256"] == adapters.hash_of(chosen)
    return same


def _trained(examples: pl.DataFrame) -> pl.DataFrame:
    return examples.filter(pl.col("selected") & pl.col("completion").is_not_null())


def _sample(settings: StudentSettings, calibrated: Calibration, examples: pl.DataFrame, reports: int) -> Sample:
    """The first validation reports by hash, of the tasks of the student, and how the answers are read."""
    answers = [(task, of_task.answers) for task, of_task in settings.tasks.items()]
    kinds = pl.DataFrame(answers, schema=["task", "answers"], orient="row")
    asked = examples.filter((pl.col("split") == "validation") & pl.col("asked")).with_columns(pl.col("answers").cast(pl.String))
    asked = asked.join(kinds, on=["task", "answers"], how="semi")
    asked = asked.filter(pl.col("order").rank("dense").over("task") <= reports).sort("task", "order", "report_id", "part")
    if set(asked["task"]) != set(settings.tasks):
        raise InputError("the validation split has no reports that are asked as this student was trained; run `dvc repro merge`")
    return Sample(
        asked,
        MultipleChoice(params.load("score", ScoreParams), settings.labels, calibrated),
        Codes.of(settings.codes),
        settings.labels,
        params.load("predict.student_validation", PredictParams).max_new_tokens,
        params.load("runtime", params.RuntimeParams),
    )


def _write(form: str, student: forms.Student, part: Path, weights: str) -> list[str]:
    """Writes the model, and returns the tasks that it answers."""
    if form == "gguf":
        return gguf_form.write(student, part, weights)
    return forms.write_merged(student, part) if form == "merged" else forms.write_classifier(student, part)


def _ask(form: str, part: Path, student: forms.Student, sample: Sample, tasks: list[str]) -> Answers:
    if form == "classifier":
        return sample.ask_classifier(part)
    model = gguf_form.read(part, student.model.config) if form == "gguf" else forms.read_merged(part, student)
    return sample.ask(Answerer(model, student.tokenizer, sample.runtime), tasks)
