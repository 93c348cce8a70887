"""What the user can say to `raddistill label` and `raddistill show`: their options, and the help texts."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from raddistill import paths


class Columns(NamedTuple):
    """The names of the columns with id and report; None where the user named none."""

    id: str | None = None
    text: str | None = None
    findings: str | None = None
    impression: str | None = None


def lexicons() -> dict[str, Path]:
    """Returns name to folder of the lexicons that need no path."""
    return {cues.parent.name: cues.parent for cues in sorted(paths.shipped_lexicons().glob("*/cues"))}


def label_sets() -> dict[str, Path]:
    """Returns name to file of the label sets that need no path."""
    return {file.stem: file for file in sorted(paths.shipped_lexicons().glob("label_sets/*.yaml"))}


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
        autocompletion=lexicons,
    ),
]
LabelSet = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="The labels and their order: chest_13, or a file such as spine.yaml. [default: chest_13]",
        autocompletion=label_sets,
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

HELP = """Teaches a small LLM to read radiology reports from a noisy teacher's labels, and measures it against people's.

DVC runs the pipeline, from the root of the project:

- `dvc repro` — everything that is out of date (`make repro` installs first)
- `dvc exp run -S train.learning_rate=0.0005 evaluate` — another setting, up to validation
- `dvc exp run $(raddistill preset quick)` — a named one
- `dvc metrics diff`, `dvc params diff`, `dvc exp show` — what it changed
- `raddistill results` — the table of the last run
- `raddistill folds show NAME` — runs of several folds, scored as one

With an LLM as teacher (docs/teachers.md):

- `raddistill estimate` — tokens and money before anything is sent
- `raddistill show REPORT_ID --teacher llm` — exactly what would be sent

Without the pipeline, labels with evidence for a file of reports:

- `raddistill label reports.csv -o labels.csv`
- `raddistill show REPORT_ID --input reports.csv`

A name such as tuned or chest_13 means a file of the current folder, in a clone or where `raddistill init` was; else the installed
package's. `raddistill doctor` says what is in order, and what is not.

Exit codes of all commands: 0 done. 1 something is wrong that the message names. 2 the command is wrong. 130 interrupted.
"""

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

**OUTPUT appears at the end.** Until then it is OUTPUT.<8 letters>.part. After an interruption (Ctrl-C, kill, power) run the
command again: it starts anew and removes such files.

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
