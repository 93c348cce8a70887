"""The commands `label` and `show`, and their options.

Both are functions that can be called from Python. They import what they need within the function, so that other commands start
faster.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from raddistill import paths
from raddistill.apps.label.columns import Columns
from raddistill.errors import InputError

# Options of both commands: the rules, and where the report is.
Task = Annotated[
    Literal["multiple_choice", "open_ended"],
    typer.Option(
        metavar="TASK",
        help="multiple_choice: a status for each label of the label set. "
        "open_ended: the conditions that a report states, as phrases with ICD-10-CM codes.",
    ),
]
Lexicon = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|NAME",
        help="Phrases and cues of the rules: tuned, cold, or a folder of your own, such as my_lexicon/ "
        "(lexicon/README.md shows how to write one). [default: tuned]",
    ),
]
LabelSet = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME", help="The labels and their order: chest_13, or a file such as spine.yaml. [default: chest_13]"
    ),
]
Sections = Annotated[
    Literal["findings_and_impression", "impression_else_findings", "findings", "impression"],
    typer.Option(
        metavar="WHICH",
        help="Which sections are read: findings_and_impression, impression_else_findings (the findings only where there is no "
        "impression), findings, or impression. A report without any header is read whole.",
    ),
]


def _input_option(help_text: str) -> Any:
    return typer.Option(metavar="NAME", rich_help_panel="Input", help=help_text)


IdColumn = Annotated[str | None, _input_option("Column of the ids, such as study_id. [default: report_id]")]
TextColumn = Annotated[
    str | None, _input_option("Column of whole reports, such as note. [default: text, unless both sections are there]")
]
FindingsColumn = Annotated[str | None, _input_option("Column of the findings. [default: findings]")]
ImpressionColumn = Annotated[str | None, _input_option("Column of the impression. [default: impression]")]
InputFormat = Annotated[
    Literal["csv", "tsv", "jsonl", "parquet", "folder"] | None,
    typer.Option(
        rich_help_panel="Input",
        help="Format of the input, if its name does not say. [default: by the name; of standard input by its first character]",
    ),
]
Encoding = Annotated[str, _input_option("Character encoding of text files, such as latin-1.")]

# Of `label` alone.
Source = Annotated[str, typer.Argument(metavar="INPUT", help="A file, a folder of .txt files, or - for standard input.")]
Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="OUTPUT", help="File to write: .csv, .tsv or .parquet; .jsonl with --format jsonl."),
]
OutputFormat = Annotated[
    Literal["wide", "long", "jsonl"], typer.Option("--format", help="wide, long or jsonl, as described above.")
]
Quotes = Annotated[
    bool, typer.Option("--quotes", help="Adds the words of the evidence to JSON lines. The output then holds REPORT TEXT.")
]
Jobs = Annotated[int | None, typer.Option(min=1, rich_help_panel="Running", help="Number of processes. [default: all cores]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", rich_help_panel="Running", help="Replaces an existing OUTPUT.")]
Strict = Annotated[bool, typer.Option("--strict", rich_help_panel="Running", help="Exits with 1 if a row could not be used.")]

# Of `show` alone.
ReportId = Annotated[str, typer.Argument(metavar="REPORT_ID", help="The id of one report, such as CXR12.")]
Teacher = Annotated[
    str,
    typer.Option(
        metavar="rules|llm|NAME",
        help="rules; llm: the LLM of synthesize.TASK in params.yaml; or the name of an LLM in its section teachers.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="With an LLM teacher: prints only the bodies of the requests, one per line.")
]
ShownSource = Annotated[
    str | None,
    typer.Option(
        "--input", "-i", metavar="INPUT", help="A file or folder, as for `label`. [default: the reports of the pipeline]"
    ),
]

LABEL_HELP = """Labels reports by rules, with evidence. No model, no network, no pipeline.

`raddistill label reports.csv -o labels.csv`

`raddistill label notes.parquet --id-column study_id --text-column note -o labels.parquet`

`raddistill label reports/ -o evidence.jsonl --format jsonl --sections impression_else_findings`

`zcat reports.csv.gz | raddistill label - -o phrases.csv --task open_ended --format long`

**Input** is CSV or TSV with a header, JSON lines or Parquet (.csv.gz and the like too), or a folder of .txt files, where the id
is the path without .txt. A report is in a column `text`, or in `findings` and `impression`. A text is split at its headers
(FINDINGS, Impression, CONCLUSION, FINDINGS AND IMPRESSION, ..., with or without a colon). Text under other headers (INDICATION,
COMPARISON, ...) is not read. A text without any header is read whole.

**Format wide** has a row for each report and a column for each label: 1 (present), 0 (absent), -1 (uncertain) or blank
(unmentioned), as CheXpert has them. No Finding is 1 where no label but Support Devices is 1 or -1, else blank.

**Format long** has a row for each report and label: report_id, task, teacher, label, status, probability, code. In the open-ended
task a report without a condition has no row. What is only possible ("may be pneumonia") is no condition to the lexicon tuned.

**Format jsonl** has a line for each report, with statuses and evidence. `start` and `end` count code points of the cell (or file)
that holds the section; `end` is exclusive. Open-ended phrases are words of the report. No other text is written without --quotes.

**Rows that cannot be used** go to OUTPUT.quarantine.csv with row number, id and reason, never with text. Such a row has, for
example, no id, an id that was there before or may be text, no text but "nan" or "None", is not UTF-8, or is cut by a line end in
a cell without quotes. Labelled reports and unusable rows add up to the input. The order is kept.

**OUTPUT appears at the end.** Until then it is OUTPUT.part. After an interruption (Ctrl-C, kill, power) run the command again:
it starts anew and replaces OUTPUT.part.

**Exit codes**: 0 done. 1 the input or the settings are wrong, or --strict and a row could not be used. 2 the command is wrong.
130 interrupted.
"""

SHOW_HELP = """Prints a report with its evidence marked, and below it the status of each label with the cue that led to it.

`[+1 ...]` is present (red), `[-2 ...]` absent (green), `[?3 ...]` uncertain (yellow). The numbers point into the list below.

`raddistill show CXR12`

`raddistill show 50414267 --input reports.csv --id-column study_id --task open_ended`

With `--teacher llm` it prints exactly what would be sent to the LLM of params.yaml about a report of the pipeline, and its answer
if the journal has one. It sends nothing.

`raddistill show CXR12 --teacher llm --task open_ended`
"""
_OPTIONS_OF_RULES = (
    "--teacher other than rules reads params.yaml and the pipeline's reports: "
    "leave out --input, --lexicon, --label-set and --sections"
)


def label(
    source: Source,
    output: Output,
    form: OutputFormat = "wide",
    task: Task = "multiple_choice",
    lexicon: Lexicon = None,
    label_set: LabelSet = None,
    sections: Sections = "findings_and_impression",
    quotes: Quotes = False,
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    findings_column: FindingsColumn = None,
    impression_column: ImpressionColumn = None,
    input_format: InputFormat = None,
    encoding: Encoding = "utf-8",
    jobs: Jobs = None,
    overwrite: Overwrite = False,
    strict: Strict = False,
) -> None:
    """Labels the reports in `source` by rules and writes the labels to `output`; prints how many.

    Raises:
        InputError: the input or the settings are wrong.
        typer.Exit: with code 1, if `strict` and a row could not be used.
    """
    from raddistill.apps.label import formats, rules, run
    from raddistill.apps.label.report_file import ReportFile

    run.check_output(source, output, overwrite)
    reader, teacher, names = rules.load_reader(task, lexicon, label_set, sections)
    form_of_output = formats.choose_format(form, output.suffix.lower(), task, teacher, names, quotes)
    columns = Columns(id_column, text_column, findings_column, impression_column)
    with ReportFile(source, columns, input_format, encoding) as reports:
        result = run.label_file(reports, reader, form_of_output, output, jobs)
    print(result.message(output), file=sys.stderr)
    if strict and result.rejected:
        raise typer.Exit(1)


def show(
    report_id: ReportId,
    teacher: Teacher = "rules",
    as_json: AsJson = False,
    source: ShownSource = None,
    task: Task = "multiple_choice",
    lexicon: Lexicon = None,
    label_set: LabelSet = None,
    sections: Sections = "findings_and_impression",
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    findings_column: FindingsColumn = None,
    impression_column: ImpressionColumn = None,
    input_format: InputFormat = None,
    encoding: Encoding = "utf-8",
) -> None:
    """Prints one report with the evidence of the rules; with another `teacher`, what would be sent to an LLM about it.

    Raises:
        InputError: the report is unknown, or the input or the settings are wrong.
    """
    if teacher != "rules":
        from raddistill.apps import llm_teacher

        if source or lexicon or label_set or sections != "findings_and_impression":
            raise InputError(_OPTIONS_OF_RULES)
        llm_teacher.print_questions(report_id, task if teacher == "llm" else teacher, as_json)
        return
    from raddistill.apps.label import render, rules
    from raddistill.apps.label.report_file import ReportFile

    if source is None and not paths.REPORTS.exists():
        raise InputError(f"{paths.REPORTS} is missing: name a file by --input, or make it by `dvc repro extract`")
    reader, *_ = rules.load_reader(task, lexicon, label_set, sections)
    columns = Columns(id_column, text_column, findings_column, impression_column)
    with ReportFile(source or str(paths.REPORTS), columns, input_format, encoding) as reports:
        render.print_report(reports, report_id, reader)
