"""The command `predict`: labels a report file with a trained student, in one file or in parts that other machines can make."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from raddistill import paths
from raddistill.apps.label import options
from raddistill.errors import InputError

HELP = """Labels reports with a trained student, with probabilities. No params.yaml, no teacher, no network.

`raddistill predict reports.csv -o labels.csv`: 1 (present) or 0 for each label

`raddistill predict reports.parquet -o labels.parquet --format long`: a row for each report and label, with its probability

`raddistill predict notes.jsonl -o findings.jsonl --task open_ended --format jsonl`: the phrases found, with ICD-10-CM codes

`raddistill predict reports.parquet -o parts/ --shards 64`: in 64 parts; run it again after an interruption

`raddistill predict reports.parquet -o parts/ --shard 3/64`: one of them, such as a task of a Slurm array

`raddistill predict reports.parquet -o parts/ --shards 64 --ray 4`: by four workers on Ray

**Input and formats** are those of `raddistill label --help`, except that a student does not tell uncertain from absent: what it
does not find is absent (0). The probability of a label is calibrated by models/calibration.json, whose thresholds decide.

**Rows that cannot be used** go to OUTPUT.quarantine.csv with row number, id and reason, never with text.

**Parts** are Parquet files in the folder OUTPUT. A part appears whole or not at all. A part that is there is not made again.
The hash of its id says in which part a row is, so all parts together hold the rows of one run. run.json names the job; parts of
another input, student or setting are refused.

**Engines**: transformers reads an adapter on a CPU or GPU. vllm reads a folder that `raddistill export` made, on GPUs.
"""


Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="OUTPUT", help="File to write: .csv, .tsv, .parquet or .jsonl; a folder for parts."),
]
Model = Annotated[Path, typer.Option(metavar="FOLDER", help="The student: the folder of an adapter, or of an exported model.")]
Calibration = Annotated[
    str,
    typer.Option(
        metavar="FILE|none",
        help="Its thresholds; none: 0.5 for all labels. [default: calibration.json in the model's folder, else beside it]",
    ),
]


def _parts_option(metavar: str, help_text: str) -> Any:
    return typer.Option(metavar=metavar, rich_help_panel="Parts", help=help_text)


Shards = Annotated[int | None, _parts_option("N", "Writes those of N parts that are not there yet.")]
OneShard = Annotated[str | None, _parts_option("K/N", "Writes part K of N, unless it is there.")]
Ray = Annotated[int | None, _parts_option("WORKERS", "With --shards: on Ray, with so many workers (pip install 'ray[data]').")]
GPUs = Annotated[float, _parts_option("NUMBER", "With --ray: GPUs of each worker, such as 1 or 0.5.")]


def _running_option(help_text: str, **limits: int) -> Any:
    return typer.Option(rich_help_panel="Running", help=help_text, **limits)  # type: ignore[arg-type] # min only


Engine = Annotated[Literal["transformers", "vllm"], _running_option("What runs the model.")]
Threads = Annotated[int, _running_option("Threads on a CPU; 0: all cores.", min=0)]
Tokens = Annotated[int, _running_option("Tokens of a forward pass; more take more memory.", min=1)]


def predict(
    source: options.Source,
    output: Output,
    form: options.OutputFormat = "wide",
    task: options.Task = "multiple_choice",
    model: Model = paths.ADAPTER,
    calibration: Calibration = "",
    id_column: options.IdColumn = None,
    text_column: options.TextColumn = None,
    findings_column: options.FindingsColumn = None,
    impression_column: options.ImpressionColumn = None,
    input_format: options.InputFormat = None,
    encoding: options.Encoding = "utf-8",
    shards: Shards = None,
    shard: OneShard = None,
    ray: Ray = None,
    gpus: GPUs = 0.0,
    engine: Engine = "transformers",
    threads: Threads = 0,
    tokens: Tokens = 8192,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
) -> None:
    """Labels the reports in `source` with the student in `model`, and writes the labels to `output`; prints how many."""
    from raddistill.apps.label.run import print_counts
    from raddistill.apps.predict.job import Job
    from raddistill.apps.predict.parts import label_whole_or_parts

    columns = options.Columns(id_column, text_column, findings_column, impression_column)
    calibrated = _calibration_of(model, calibration)
    job = Job(source, columns, input_format, encoding, str(model), calibrated, task, form, engine, threads, tokens)
    labelled, rejected = label_whole_or_parts(job, output, shards, shard, ray, gpus, overwrite)
    print_counts(labelled, rejected, output)
    if rejected and strict:
        raise typer.Exit(1)


def _calibration_of(model: Path, named: str) -> str:
    """Returns the file with the thresholds, "" for none."""
    if not model.exists():
        raise InputError(f"{model} is missing; name the folder of an adapter, or of an exported model, by --model")
    if named:
        return "" if named == "none" else named
    found = [file for file in (model / "calibration.json", model.parent / "calibration.json") if file.exists()]
    if not found:
        raise InputError(
            f"{model} has no calibration.json, and there is none beside it: get it from where the adapter came from (`dvc get"
            " REPOSITORY models/calibration.json`), name it by --calibration FILE, or take 0.5 as the threshold of all labels by"
            " --calibration none"
        )
    return str(found[0])
