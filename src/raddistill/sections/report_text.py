"""The text of a report as model and teacher see it."""

import re

from raddistill.reading.cells import is_missing
from raddistill.sections import markup
from raddistill.sentences import with_lines

_BARE_CR = re.compile(r"\r(?!\n)")
# Other line ends than "\n", one character for one.
LINE_ENDS = dict.fromkeys(map(ord, "\v\f\x85\u2028\u2029"), "\n")


def section_text(cell: str | None, none_is_said: bool = False) -> str | None:
    """Returns the words of a section of a file: without markup, with single spaces, and with the line ends that matter
    (sentences.with_lines). None where there are no words, or only such as "nan" and "None.".

    `none_is_said`: "None." is kept, as of a comparison: there was no earlier film.
    """
    return section_words(markup.plain(cell).text, none_is_said) if cell else None


def section_words(words: str, none_is_said: bool = False) -> str | None:
    """Returns what `section_text` returns, of words without markup."""
    return None if is_missing(words, none_is_said) else tidy(words)


def tidy(words: str) -> str | None:
    """Returns all words with single spaces and the line ends that matter; None where there are none."""
    return with_lines(one_line_end(words)) or None


def one_line_end(text: str) -> str:
    """Returns the text with "\\n" for every other line end but "\\r\\n", character by character."""
    return _BARE_CR.sub("\n", text).translate(LINE_ENDS)


def compose(findings: str | None, impression: str | None) -> str:
    """Returns the sections that exist, each under its header; "" where neither does.

    Both are as `section_text` makes them, so each one's place in the text can be told.
    """
    lines = [f"{header}: {words}" for header, words in (("FINDINGS", findings), ("IMPRESSION", impression)) if words]
    return "\n".join(lines)
