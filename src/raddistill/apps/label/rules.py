"""Loads the rules of a lexicon and label set, and applies them to a report."""

import bisect
from pathlib import Path

from raddistill import paths
from raddistill.apps.label.report_file import Piece, Report
from raddistill.errors import InputError
from raddistill.labelsets import load_labels
from raddistill.passages import CHOICES, SECTIONS, WHOLE
from raddistill.sections.parser import BETWEEN
from raddistill.teachers.rules.reader import Reader, Span


def load_reader(task: str, lexicon: str | None, label_set: str | None, sections: str) -> tuple[Reader, str, list[str]]:
    """Returns the reader, the teacher's name such as "rules:tuned", and the names of the labels.

    `lexicon`: a folder, or the name of a shipped one; None is "tuned". `label_set`: a file, or the name of a shipped one; None is
    "chest_13".

    Raises:
        InputError: the lexicon or label set is unknown or malformed. The message names file, line and reason.
    """
    bundled = paths.shipped_lexicons()
    lexicons = {cues.parent.name: cues.parent for cues in sorted(bundled.glob("*/cues"))}
    folder = _path_of("lexicon", lexicon, "tuned", lexicons)
    files = {file.stem: file for file in sorted(bundled.glob("label_sets/*.yaml"))}
    labels = load_labels(_path_of("label set", label_set, "chest_13", files))
    reader = Reader(task, folder, labels, sections if sections in CHOICES else [sections])
    return reader, f"rules:{folder.resolve().name}", [each.name for each in labels]


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
