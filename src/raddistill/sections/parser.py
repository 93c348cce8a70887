"""Splits a free-text report into sections. Every character outside of headers belongs to exactly one section.

First the headers are found in the lines of the text (header_detection.py, with the words of lexicon.py). The text between them
makes the sections. If none of these is the findings, they are searched for (findings_fallback.py).

Headers have no single mark, so each line is checked for several kinds of evidence:

- a known header and a colon: at the beginning of a line; anywhere, if it is in capitals, or has a capital and is unambiguous;
- capitals and a colon at the beginning of a line: a misspelt header ("NDICATION:"), a title of views ("CHEST, PA AND LATERAL:"),
  a part of the findings ("LUNGS:", which does not end its section), or else an unknown header, which opens `other`;
- a known header without a colon: alone on its line, or in capitals before a sentence in mixed case ("FINDINGS The heart ...");
- a line across the page and "FINAL REPORT": the text below belongs to no section above.

A line that continues the line above ("no acute\\nfindings: ...") has no header, and neither has "see FINDINGS: above". If no
header opens findings, they are the body of the report: the text under titles of views and under parts of the findings; and, in
the last section before the impression (or at the end), the paragraphs after the first, or the text from the first sentence about
the chest ("COMPARISON: None.\\nThe lungs are clear."). If nothing is readable then, unknown headers over prose are findings. A
report without any header is findings from its first to its last character.

When in doubt, text is read rather than lost: a sentence about the chest in a comparison ("The effusion was small then.") may
become findings if no header opens these. The findings never become a comparison.
"""

from typing import NamedTuple

from raddistill.reading.cells import is_missing
from raddistill.sections import lexicon as lexicons
from raddistill.sections import markup
from raddistill.sections.findings_fallback import Section, add_findings
from raddistill.sections.header_detection import find_headers
from raddistill.sections.lexicon import (
    BOTH,
    EXAM,
    FINDINGS,
    IMPRESSION,
    OTHER,
    PART,
    UNKNOWN,
    VIEWS,
    SectionLexicon,
    normalise,
)
from raddistill.sections.report_text import one_line_end, tidy

BETWEEN = "\n\n"  # joins the pieces of a section; it ends a sentence, so that none spans two pieces
LONGEST_CELL_HEADER = 60  # characters


class Parsed(NamedTuple):
    """Sections and headers of a text, in order. Together they cover it exactly once."""

    sections: list[Section]  # each with one of lexicon.NAMES
    headers: list[tuple[int, int]]  # start and end in code points; a line across the page counts as a header


class Words(NamedTuple):
    """The sections of the table `Reports`, as report_text.section_text returns them; None if the report lacks one."""

    findings: str | None
    impression: str | None
    indication: str | None
    comparison: str | None
    without_headers: bool


def words(text: str, lexicon: SectionLexicon | None = None) -> Words:
    """Returns findings, impression, indication (with the history) and comparison. Several sections of a kind are joined in order.

    Text under FINDINGS AND IMPRESSION counts as findings only. `lexicon` and errors: as in `read`.
    """
    text = plain_letters(markup.plain(text).text)
    parsed = read(text, lexicon)

    def joined(*names: str) -> str | None:
        pieces = [text[s.start : s.end].strip() for s in parsed.sections if s.name in names]
        none_is_said = names == ("comparison",)
        return tidy(BETWEEN.join(piece for piece in pieces if not is_missing(piece, none_is_said)))

    return Words(
        joined(FINDINGS, BOTH), joined(IMPRESSION), joined("indication", "history"), joined("comparison"), not parsed.headers
    )


_NAMED = {PART: FINDINGS, VIEWS: EXAM, UNKNOWN: OTHER}  # final names


def read(text: str, lexicon: SectionLexicon | None = None) -> Parsed:
    """Returns all sections of a report in order. A name can occur twice (addenda, several reports in one text).

    `lexicon`: None is the one that is shipped with the package.

    Raises:
        InputError: a file of the shipped lexicon was edited and is malformed.
    """
    lexicon = lexicon or lexicons.bundled()
    text = plain_letters(text)
    headers = list(find_headers(text, lexicon))
    written = [(header.start, header.end) for header in headers if header.start < header.end]
    if not written:
        return Parsed([Section(FINDINGS, 0, len(text))] if text else [], [])
    sections = [Section(EXAM, 0, headers[0].start)]
    ends = [header.start for header in headers[1:]] + [len(text)]
    sections += [Section(header.name, header.end, end) for header, end in zip(headers, ends, strict=True)]
    sections = add_findings(text, [section for section in sections if section.start < section.end], lexicon)
    return Parsed([s._replace(name=_NAMED[s.name]) if s.name in _NAMED else s for s in sections], written)


def header_length(cell: str, name: str, lexicon: SectionLexicon | None = None) -> int:
    """Returns the length of a header in the cell that repeats the name of its column, such as "FINDINGS:"; 0 if there is none."""
    header, colon, _ = cell[:LONGEST_CELL_HEADER].partition(":")
    return len(header) + 1 if colon and (lexicon or lexicons.bundled()).known.get(normalise(header)) == name else 0


# Characters to plain ones that read the same: invisible characters to spaces, small capitals and full-width letters to ASCII.
_PLAIN = (
    dict.fromkeys(map(ord, "\ufeff\u200b\u00a0"), " ")
    | {ord(small): large for small, large in zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "ABCDEFGHIJKLMNOPRSTUVWYZ", strict=True)}
    | {code + 0xFEE0: code for code in (*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1), ord(":"))}
)


def plain_letters(text: str) -> str:
    """Returns the text with plain line ends and letters. The length and all offsets stay."""
    text = one_line_end(text)
    return text if text.isascii() else text.translate(_PLAIN)
