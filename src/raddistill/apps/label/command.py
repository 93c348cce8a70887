"""The command `label`, and the options that `show` has, too. What they need is imported late: the other commands start faster."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

Task = Annotated[
    Literal["multiple_choice", "open_ended"],
    typer.Option(
        metavar="TASK",
        help="multiple_choice: the labels of the label set; open_ended: conditions as phrases with their ICD-10-CM codes.",
    ),
]
Lexicon = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|NAME",
        help="The phrases and cues: tuned, cold, or a folder of your own (see lexicon/README.md). [default: tuned]",
    ),
]
LabelSet = Annotated[str | None, typer.Option(metavar="FILE|NAME", help="The labels, in their order. [default: chest_13]")]
Sections = Annotated[
    Literal["findings_and_impression", "impression_else_findings", "findings", "impression"],
    typer.Option(
        metavar="WHICH",
        help="Which sections are read: findings_and_impression, impression_else_findings (the findings only where there is no "
        "impression), findings, or impression. A report without any header is read whole.",
    ),
]
IdColumn = Annotated[
    str | None, typer.Option(metavar="NAME", rich_help_panel="Input", help="Column of the ids. [default: report_id]")
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel="Input", help="Column of whole reports. [default: text, unless both sections are there]"
    ),
]
FindingsColumn = Annotated[
    str | None, typer.Option(metavar="NAME", rich_help_panel="Input", help="Column of the findings. [default: findings]")
]
ImpressionColumn = Annotated[
    str | None, typer.Option(metavar="NAME", rich_help_panel="Input", help="Column of the impression. [default: impression]")
]
InputFormat = Annotated[
    Literal["csv", "tsv", "jsonl", "parquet", "folder"] | None,
    typer.Option(
        rich_help_panel="Input",
        help="Format of the input, if its name does not say. [default: by the name; of standard input by its first character]",
    ),
]
Encoding = Annotated[str, typer.Option(metavar="NAME", rich_help_panel="Input", help="Character encoding of text files.")]


def label(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A file, a folder of .txt files, or - for standard input.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="OUTPUT", help="File to write: .csv, .tsv or .parquet; .jsonl with --format jsonl."
        ),
    ],
    form: Annotated[
        Literal["wide", "long", "jsonl"], typer.Option("--format", help="wide, long or jsonl, as described above.")
    ] = "wide",
    task: Task = "multiple_choice",
    lexicon: Lexicon = None,
    label_set: LabelSet = None,
    sections: Sections = "findings_and_impression",
    quotes: Annotated[
        bool, typer.Option("--quotes", help="Adds the words of the evidence to JSON lines. The output then holds REPORT TEXT.")
    ] = False,
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    findings_column: FindingsColumn = None,
    impression_column: ImpressionColumn = None,
    input_format: InputFormat = None,
    encoding: Encoding = "utf-8",
    jobs: Annotated[
        int | None, typer.Option(min=1, rich_help_panel="Running", help="Number of processes. [default: all cores]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel="Running", help="Replaces an existing OUTPUT.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", rich_help_panel="Running", help="Exits with 1 if a row was set aside.")
    ] = False,
) -> None:
    """Labels reports by rules, with evidence. No model, no network, no pipeline.

    `raddistill label reports.csv -o labels.csv`

    `raddistill label notes.parquet --id-column study_id --text-column note -o labels.parquet`

    `raddistill label reports/ -o evidence.jsonl --format jsonl --sections impression_else_findings`

    `zcat reports.csv.gz | raddistill label - -o phrases.csv --task open_ended --format long`

    **Input**: CSV or TSV with a header, JSON lines, Parquet (.csv.gz and the like too), or a folder of .txt files (the id is the
    path without .txt). A report is in a column `text`, or in `findings` and `impression`. A text is split at its headers
    (FINDINGS, Impression, CONCLUSION, FINDINGS AND IMPRESSION, ..., with or without a colon). Text under other headers
    (INDICATION, COMPARISON, ...) is not read. A text without any header is read whole.

    **Formats**: `wide`: a row a report and a column a label with 1 (present), 0 (absent), -1 (uncertain) or blank (unmentioned),
    as CheXpert has them; No Finding is 1 where no label but Support Devices is 1 or -1, else blank. `long`: a row for each report
    and label (report_id, task, teacher, label, status, probability, code). `jsonl`: statuses and evidence; `start` and `end`
    count code points of the cell (or file) that holds that section, end exclusive. Open-ended phrases are words of the report;
    apart from them no text is written without --quotes. Open-ended and `long`, a report without a condition has no row; what is
    merely possible ("may be pneumonia") is no condition to the lexicon tuned.

    **Rows that cannot be used** (no id, an id that was there before or may be text, no text but "nan" or "None", not UTF-8, cut
    by a line end in a cell without quotes, ...) go to OUTPUT.quarantine.csv with row number, id and reason, never with text.
    Reports labelled and rows put aside add up to the input; order is kept.

    **OUTPUT appears when all is done**: until then it is OUTPUT.part. A run that was ended early (Ctrl-C, kill, power) starts
    anew; what a kill left is replaced.

    **Exit codes**: 0 done; 1 input or settings are wrong, or --strict and rows were put aside; 2 the command itself is; 130
    interrupted.
    """
    from raddistill.apps.label.columns import Columns
    from raddistill.apps.label.formats import choose_format
    from raddistill.apps.label.reading import load_reader
    from raddistill.apps.label.report_file import ReportFile
    from raddistill.apps.label.run import check_output, label_file, quarantine_of

    check_output(source, output, overwrite)
    reader, teacher, names = load_reader(task, lexicon, label_set, sections)
    form_of_output = choose_format(form, output.suffix.lower(), task, teacher, names, quotes)
    columns = Columns(id_column, text_column, findings_column, impression_column)
    with ReportFile(source, columns, input_format, encoding) as reports:
        done = label_file(reports, reader, form_of_output, output, jobs)
    aside = done.rejected.total()
    print(f"{done.labelled:,} of {done.labelled + aside:,} reports labelled: {output}", file=sys.stderr)
    if aside:
        reasons = "; ".join(f"{reason}: {n:,}" for reason, n in sorted(done.rejected.items()))
        print(f"{aside:,} put aside in {quarantine_of(output)} ({reasons})", file=sys.stderr)
    if strict and aside:
        raise typer.Exit(1)
