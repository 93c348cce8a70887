"""What one `raddistill predict` does: its student, its input, and the files it writes. A job can be sent to another machine."""

import hashlib
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from raddistill import params, paths
from raddistill.apps.label.formats import Format, ReportLabels, choose_format
from raddistill.apps.label.options import Columns
from raddistill.apps.label.report_file import Batch, Reject, Report, ReportFile, Shard
from raddistill.apps.label.run import LabelledBatch, write_labels
from raddistill.apps.predict.base_model import require_adapter, require_base
from raddistill.files import sha256
from raddistill.reading.lines import STDIN
from raddistill.sections.parser import BETWEEN
from raddistill.sections.report_text import compose, tidy
from raddistill.statuses import ABSENT, PRESENT
from raddistill.student.labelling import Student, StudentLabel
from raddistill.tables import calibration as calibrations
from raddistill.tables import student_settings
from raddistill.tasks.names import MULTIPLE_CHOICE

ARM = "student"  # what the column `teacher` of the long format says
UNREADABLE = "the student's answer cannot be read"
SMALL_FILE = 1 << 26  # bytes; of larger files only name and size are compared


class Job(NamedTuple):
    """All settings of a prediction that shape its output, and how fast it runs."""

    source: str
    columns: Columns
    input_format: str | None
    encoding: str
    model: str  # folder of the adapter, or of an exported model
    calibration: str  # file, or "" for thresholds of 0.5
    task: str
    form: str
    engine: str
    threads: int
    predict_tokens: int

    def check(self, output: Path) -> None:
        """Checks input, form and settings of the student before a model is loaded.

        Raises:
            InputError: as in `student` and `run`.
        """
        settings = student_settings.load(Path(self.model) / paths.STUDENT_SETTINGS.name)
        if self.engine == "transformers":
            require_adapter(Path(self.model), len(settings.labels))
            require_base(Path(self.model))
        names = [label.name for label in settings.labels] if self.task == MULTIPLE_CHOICE else []
        choose_format(self.form, output.suffix.lower(), self.task, ARM, names, quotes=False)
        if self.source != STDIN:
            ReportFile(self.source, self.columns, self.input_format, self.encoding).close()

    def student(self) -> Student:
        """Returns the student, loaded.

        Raises:
            InputError: the folder is no student, a file of it is missing or malformed, or the engine cannot load it.
        """
        model = Path(self.model)
        settings = student_settings.load(model / paths.STUDENT_SETTINGS.name)
        calibration = calibrations.load(Path(self.calibration)) if self.calibration else None
        engine: Any
        if self.engine == "vllm":
            from raddistill.student.vllm_engine import VLLMEngine

            engine = VLLMEngine(model, settings.tasks[self.task].answers if self.task in settings.tasks else "")
        else:
            require_adapter(model, len(settings.labels))  # again: on Ray, this is another machine
            require_base(model)
            from raddistill.student.predicting import Answerer

            runtime = params.RuntimeParams(threads=self.threads, predict_tokens=self.predict_tokens, progress=False)
            engine = Answerer.load("student", model, runtime)
        return Student(self.task, settings, engine, calibration, paths.PROMPTS)

    def run(self, student: Student, output: Path, shard: Shard) -> tuple[int, Counter[str]]:
        """Labels the reports of a shard and writes `output` and its quarantine, whole or not at all. Shows progress.

        Returns the number of labelled reports, and reason to number of unusable rows.

        Raises:
            InputError: the input is missing or damaged, or the form does not go with the task or the suffix.
        """
        student.forget()  # so that a part has the same bytes whatever was labelled before it
        form = choose_format(self.form, output.suffix.lower(), self.task, ARM, student.names, quotes=False)
        with ReportFile(self.source, self.columns, self.input_format, self.encoding) as reports:
            return write_labels(_labelled(student, form, reports, shard), form, output, reports.total)

    def identity(self) -> dict[str, Any]:
        """Returns what all parts of a folder must have in common: settings, and the hashes of the student's files and the input.

        Of a large input, or a folder, names and sizes are compared, since a hash of ten million reports would take longer than a
        shard.
        """
        speed = {"threads", "predict_tokens", "source", "model"}
        settings = {name: value for name, value in self._asdict().items() if name not in speed}
        source, calibration = Path(self.source), Path(self.calibration)
        return settings | {
            "columns": self.columns._asdict(), "input": source.name, "input_content": _content(source),
            "student": _content(Path(self.model)), "calibration": _content(calibration) if self.calibration else "none",
        }  # fmt: skip


def _content(path: Path) -> Any:
    """Returns a hash of a file, or of what a folder holds; of a file that is not small, its size; None of standard input."""
    if path.is_file():
        return sha256(path) if (size := path.stat().st_size) < SMALL_FILE else size
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{_content(file)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _labelled(student: Student, form: Format, reports: ReportFile, shard: Shard) -> Generator[LabelledBatch, None, None]:
    for batch in reports.batches(shard):
        yield _label_batch(student, form, batch)


def _label_batch(student: Student, form: Format, batch: Batch) -> LabelledBatch:
    answers = student.label([_row(report) for report in batch.reports])
    labelled, rejects = [], list(batch.rejects)
    for report, labels in zip(batch.reports, answers, strict=True):
        if labels is None:
            rejects.append(Reject(report.row, report.report_id, UNREADABLE))
        else:
            labelled.append(_report_labels(report, labels))
    return LabelledBatch(form.encode(labelled), len(labelled), sorted(rejects, key=lambda reject: reject.row), batch.done)


def _row(report: Report) -> dict[str, str | None]:
    """Returns the report as the stage `extract` would write it. A report without headers is findings as a whole."""
    words = {name: tidy(BETWEEN.join(piece for _, piece in pieces)) for name, pieces in report.sections.items()}
    findings, impression = words.get("findings", words.get("text")), words.get("impression")
    return {"findings": findings, "impression": impression, "text": compose(findings, impression)}


def _report_labels(report: Report, labels: list[StudentLabel]) -> ReportLabels:
    summary = [(each.label, PRESENT if each.present else ABSENT, each.code) for each in labels]
    return ReportLabels(report, [], summary, {e.label: e.probability for e in labels if e.probability is not None})
