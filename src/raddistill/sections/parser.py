"""Sections of a free-text report. Every character that is no header belongs to exactly one section.

The plan: headers are found in the lines of the text (header_detection.py, with the words of lexicon.py), what stands between
them are the sections, and if none of these is the findings, they are looked for (findings_fallback.py).

There is no one mark of a header, so several kinds of evidence are asked, line by line:

- a known header and a colon: at the beginning of a line, in capitals anywhere, or if it is a sure one with a capital anywhere;
- capitals and a colon at the beginning of a line: a known header misspelt ("NDICATION:"), a title of views ("CHEST, PA AND
  LATERAL:"), a part of the findings ("LUNGS:", which stays in the section it stands in), or else a header nobody knows: `other`;
- a known header alone on its line, without a colon, or in capitals before a sentence in mixed case ("FINDINGS The heart ...");
- a line across the page and "FINAL REPORT": what follows belongs to nothing above.

A line that goes on from the line above ("no acute\\nfindings: ...") is no header's place, and "see FINDINGS: above" is none. If
no header says where the findings are, they are the body: what stands under titles of views and of parts; and of the last section
before the impression (or at the end) the paragraphs below the first, or what follows from the first sentence on that tells
of the chest ("COMPARISON: None.\\nThe lungs are clear."). If nothing at all can be read then, headers that nobody knows are. A
report without any header is findings from its first to its last character.

In doubt words are rather read than lost: a sentence of a comparison that tells of the chest ("The effusion was small then.") may
become findings where no header says these, the findings never a comparison.
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
    LONGEST_HEADER,
    OTHER,
    PART,
    UNKNOWN,
    VIEWS,
    SectionLexicon,
    normalise,
)
from raddistill.sections.report_text import one_line_end, tidy

BETWEEN = "\n\n"  # ends a sentence, so nothing is read across two pieces of a section


class Parsed(NamedTuple):
    """Sections and headers of a text, both in its order; together they cover it once."""

    sections: list[Section]  # each with one of lexicon.NAMES
    headers: list[tuple[int, int]]  # start and end in code points; a line across the page is one, too


class Words(NamedTuple):
    """The sections that the table of reports has, as report_text.section_text makes them; None where there is none."""

    findings: str | None
    impression: str | None
    indication: str | None
    comparison: str | None
    without_headers: bool


def words(text: str, lexicon: SectionLexicon | None = None) -> Words:
    """Returns findings, impression, indication (with the history) and comparison; several of a kind are joined in their order.

    What stands under FINDINGS AND IMPRESSION is findings, and is not repeated as impression. `lexicon`: as of `read`.
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


_NAMED = {PART: FINDINGS, VIEWS: EXAM, UNKNOWN: OTHER}  # what they are once the findings have been found


def read(text: str, lexicon: SectionLexicon | None = None) -> Parsed:
    """Returns all sections of a report, one after the other; a name can come twice (addenda, several reports in one text).

    `lexicon`: the words of headers; None: those that come with the package.

    Raises:
        InputError: a file of the package's words was edited and breaks its form.
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
    """Returns how many characters a header takes that says again what the column `name` holds; 0 where there is none."""
    header, colon, _ = cell[:LONGEST_HEADER].partition(":")
    return len(header) + 1 if colon and (lexicon or lexicons.bundled()).known.get(normalise(header)) == name else 0


# What reads the same, one character for one: what cannot be seen, small and wide letters.
_PLAIN = (
    dict.fromkeys(map(ord, "\ufeff\u200b\u00a0"), " ")
    | {ord(small): large for small, large in zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "ABCDEFGHIJKLMNOPRSTUVWYZ", strict=True)}
    | {code + 0xFEE0: code for code in (*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1), ord(":"))}
)


def plain_letters(text: str) -> str:
    """Returns the text with plain line ends and letters, each character where it was."""
    text = one_line_end(text)
    return text if text.isascii() else text.translate(_PLAIN)
