"""Loads the rules of a lexicon and label set, and applies them to a report; the command `show` prints it with its evidence."""

import bisect
import re
import sys
from collections import defaultdict
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raddistill import paths
from raddistill.apps.console import print_page
from raddistill.apps.label import options
from raddistill.apps.label.formats import Summary
from raddistill.apps.label.report_file import Piece, Report, ReportFile
from raddistill.errors import InputError
from raddistill.labelsets import Label, load_labels
from raddistill.passages import CHOICES, SECTIONS, WHOLE
from raddistill.sections.parser import BETWEEN
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN, UNMENTIONED
from raddistill.teachers.rules.reader import Reader, Span

MARKS = {PRESENT: "+", ABSENT: "-", UNCERTAIN: "?"}
STYLES = {PRESENT: "bold red", ABSENT: "green", UNCERTAIN: "bold yellow", UNMENTIONED: "dim"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # these could control the terminal


def show(
    report_id: options.ReportId,
    teacher: options.Teacher = "rules",
    as_json: options.AsJson = False,
    source: options.ShownSource = None,
    task: options.Task = "multiple_choice",
    lexicon: options.Lexicon = None,
    label_set: options.LabelSet = None,
    sections: options.Sections = "findings_and_impression",
    id_column: options.IdColumn = None,
    text_column: options.TextColumn = None,
    findings_column: options.FindingsColumn = None,
    impression_column: options.ImpressionColumn = None,
    input_format: options.InputFormat = None,
    encoding: options.Encoding = "utf-8",
) -> None:
    """Prints one report with its evidence marked, and its labels; if `teacher` is an LLM, what would be sent to it."""
    if teacher != "rules":
        from raddistill.apps import llm_teacher

        if source or lexicon or label_set or sections != "findings_and_impression":
            raise InputError(
                "--teacher other than rules reads params.yaml and the pipeline's reports: "
                "leave out --input, --lexicon, --label-set and --sections"
            )
        llm_teacher.print_questions(report_id, task if teacher == "llm" else teacher, as_json)
        return
    if source is None and not paths.REPORTS.exists():
        raise InputError(f"{paths.REPORTS} is missing: name a file by --input, or make it by `dvc repro extract`")
    reader, *_ = load_reader(task, lexicon, label_set, sections)
    columns = options.Columns(id_column, text_column, findings_column, impression_column)
    with ReportFile(source or str(paths.REPORTS), columns, input_format, encoding) as reports:
        report = reports.find(report_id)
    spans, reason = read_report(reader, report)
    if reason:
        raise InputError(f"report {report_id} has {reason}; other --sections?")
    print_chosen(lexicon, label_set)
    print_page(page(report_id, report.sections, spans, reader.summarize(spans)), width=1_000_000)  # no line breaks


def load_reader(task: str, lexicon: str | None, label_set: str | None, sections: str) -> tuple[Reader, str, list[str]]:
    """Returns the reader, the teacher's name such as "rules:tuned", and the names of the labels.

    `lexicon`: a folder, or the name of a shipped one; None is "tuned". `label_set`: a file, or the name of a shipped one; None is
    "chest_13". Shipped ones are those of the current folder, if it is a pipeline's.

    Raises:
        InputError: the lexicon or label set is unknown or malformed. The message names file, line and reason.
    """
    folder, label_file = _chosen(lexicon, label_set)
    labels = load_labels(label_file)
    reader = Reader(task, folder, labels, sections if sections in CHOICES else [sections])
    return reader, f"rules:{folder.resolve().name}", [each.name for each in labels]


def load_label_set(name: str | None) -> list[Label]:
    """Returns the labels of a file, or of a shipped label set; None is "chest_13". Errors are as in `load_reader`."""
    return load_labels(_path_of("label set", name, "chest_13", options.label_sets()))


def print_chosen(lexicon: str | None, label_set: str | None) -> None:
    """Prints on standard error which files `load_reader` takes: of the current folder, or of the installed package."""
    print("rules: {}; labels: {}".format(*_chosen(lexicon, label_set)), file=sys.stderr)


def _chosen(lexicon: str | None, label_set: str | None) -> tuple[Path, Path]:
    folder = _path_of("lexicon", lexicon, "tuned", options.lexicons())
    return folder, _path_of("label set", label_set, "chest_13", options.label_sets())


def _path_of(kind: str, name: str | None, default: str, bundled: dict[str, Path]) -> Path:
    """Returns `name` if it is a path, else the shipped file or folder of that name."""
    if name is not None and Path(name).exists():
        return Path(name)
    if (name or default) not in bundled:
        raise InputError(f"there is no {kind} '{name or default}': neither a path nor one of {', '.join(bundled) or 'none'}")
    return bundled[name or default]


def read_report(reader: Reader, report: Report) -> tuple[list[Span], str | None]:
    """Returns the spans found in a report, and the reason if it cannot be labelled.

    Offsets of spans are code points of the section's cell or file, without its markup.
    """
    if WHOLE in report.sections:
        ((start, words),) = report.sections[WHOLE]
        spans, reason = reader.read_text(words)
        return [_moved(span, [0], [start]) for span in spans], reason
    # The reader needs each section in one piece, and all sections in one text. So its spans are moved to their cells afterwards.
    findings, impression = (_joined(report.sections, section) for section in SECTIONS)
    text = f"{findings or ''}{BETWEEN}{impression or ''}"
    spans, reason = reader.read({"findings": findings, "impression": impression, "text": text})
    begins = {"findings": 0, "impression": len(findings or "") + len(BETWEEN)}
    moves = {section: _moves(begins[section], pieces) for section, pieces in report.sections.items()}
    return [_moved(span, *moves[span.section]) for span in spans], reason


def _joined(sections: dict[str, list[Piece]], section: str) -> str | None:
    return BETWEEN.join(words for _, words in sections[section]) if section in sections else None


def _moves(begin: int, pieces: list[Piece]) -> tuple[list[int], list[int]]:
    """Returns, for each piece of a section, its offset in the text that was read, and how far that is from its cell's offset."""
    begins, moves = [], []
    for start, words in pieces:
        begins.append(begin)
        moves.append(start - begin)
        begin += len(words) + len(BETWEEN)
    return begins, moves


def _moved(span: Span, begins: list[int], moves: list[int]) -> Span:
    move = moves[bisect.bisect_right(begins, span.start) - 1]
    return span._replace(start=span.start + move, end=span.end + move) if move else span


def page(report_id: str, sections: dict[str, list[Piece]], spans: list[Span], summary: Summary) -> RenderableType:
    """Returns the report, section by section, with its evidence numbered in the order of `spans`; below it the `summary`."""
    parts: list[RenderableType] = [Text(report_id, style="bold")]
    for section, pieces in sections.items():
        parts.append(Text(f"\n{section.upper()}", style="bold underline"))
        parts += [
            marked(start, words, [(n, s) for n, s in enumerate(spans, 1) if s.section == section]) for start, words in pieces
        ]
    legend = Text("\n")
    for status, mark in MARKS.items():
        legend.append(f"[{mark}n {status}]", style=STYLES[status]).append("  ")
    return Group(*parts, legend, _table(spans, summary))


def marked(start: int, words: str, spans: list[tuple[int, Span]]) -> Text:
    """Returns `words` with `[+1 ...]` around each span. `start`: the offset of `words` in the section. Spans may overlap."""
    opens: dict[int, list[tuple[int, Span]]] = defaultdict(list)
    closes: dict[int, list[Span]] = defaultdict(list)
    for n, span in sorted(spans, key=lambda each: -each[1].end):  # of spans with one start, the longer opens first
        if start <= span.start < start + len(words):
            opens[span.start - start].append((n, span))
            closes[span.end - start].append(span)
    bounds = sorted({0, len(words), *opens, *closes})
    text, inside = Text(), list[Span]()
    for at, end in zip(bounds, [*bounds[1:], len(words)], strict=True):
        for span in closes[at]:
            text.append("]", style=STYLES[span.status])
            inside.remove(span)
        for n, span in opens[at]:
            text.append(f"[{MARKS[span.status]}{n} ", style=STYLES[span.status])
            inside.append(span)
        text.append(_CONTROL.sub("", words[at:end]), style=STYLES[inside[-1].status] if inside else "")
    return text


def _table(spans: list[Span], summary: Summary) -> RenderableType:
    """Returns one row per label: its status, and number and cue of its evidence. Labels without evidence are listed below."""
    numbered: dict[str, list[tuple[int, Span]]] = defaultdict(list)
    for n, span in enumerate(spans, 1):
        numbered[span.label].append((n, span))
    with_codes = any(code for _, _, code in summary)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("label", *(["code"] if with_codes else []), "status", "evidence (cue)"):
        table.add_column(column, overflow="fold")
    for label, status, code in summary:
        if label in numbered:
            evidence = [f"{MARKS[s.status]}{n} {s.section}" + (f" ({s.cue})" if s.cue else "") for n, s in numbered[label]]
            cells = [Text(label), *([Text(code or "")] if with_codes else []), Text(status, style=STYLES[status])]
            table.add_row(*cells, Text(", ".join(evidence)))
    unmentioned = [label for label, _, _ in summary if label not in numbered]
    below = [Text(f"\n{UNMENTIONED}: {', '.join(unmentioned)}", style=STYLES[UNMENTIONED])] if unmentioned else []
    return Group(*([table] if numbered else [Text("\nnothing found")]), *below)
