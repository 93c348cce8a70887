"""Shows a report with its evidence: in colours, and with marks for terminals without colours."""

import re
from collections import defaultdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raddistill.apps.console import print_page
from raddistill.apps.label.formats import Summary
from raddistill.apps.label.report_file import Piece, ReportFile
from raddistill.apps.label.rules import read_report
from raddistill.errors import InputError
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN, UNMENTIONED
from raddistill.teachers.rules.reader import Reader, Span

MARKS = {PRESENT: "+", ABSENT: "-", UNCERTAIN: "?"}
STYLES = {PRESENT: "bold red", ABSENT: "green", UNCERTAIN: "bold yellow", UNMENTIONED: "dim"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # these could control the terminal


def print_report(reports: ReportFile, report_id: str, reader: Reader) -> None:
    """Prints one report with its evidence marked, and its labels.

    Raises:
        InputError: the report is unknown, or cannot be used.
    """
    report = reports.find(report_id)
    spans, reason = read_report(reader, report)
    if reason:
        raise InputError(f"report {report_id} has {reason}; other --sections?")
    print_page(page(report_id, report.sections, spans, reader.summarize(spans)), width=1_000_000)  # no line breaks


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
