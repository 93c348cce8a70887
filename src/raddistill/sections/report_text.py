"""Makes the text of a report that student and teacher see."""

import re

from raddistill.reading.cells import is_missing
from raddistill.sections import markup
from raddistill.sentences import with_lines

_BARE_CR = re.compile(r"\r(?!\n)")
# Line ends of one character that become "\n".
LINE_ENDS = dict.fromkeys(map(ord, "\v\f\x85\u2028\u2029"), "\n")


def section_text(cell: str | None, none_is_said: bool = False) -> str | None:
    """Returns a section from a file without markup, with single spaces and only the line ends that matter.

    These are the ones that sentences.with_lines keeps. Returns None if there are no words, or only words for "missing", such as
    "nan" and "None.". `none_is_said`: "None." is kept, as in a comparison, where it says that there is no earlier film.
    """
    return section_words(markup.plain(cell).text, none_is_said) if cell else None


def section_words(words: str, none_is_said: bool = False) -> str | None:
    """Does the same as `section_text` for words without markup."""
    return None if is_missing(words, none_is_said) else tidy(words)


def tidy(words: str) -> str | None:
    """Returns the words with single spaces and only the line ends that matter; None if there are no words."""
    return with_lines(one_line_end(words)) or None


def one_line_end(text: str) -> str:
    """Returns the text with "\\n" for every line end but "\\r\\n". The length stays."""
    return _BARE_CR.sub("\n", text).translate(LINE_ENDS)


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


def compose(findings: str | None, impression: str | None) -> str:
    """Returns the text of a report: each section that exists, after its header; "" if there is none.

    `findings` and `impression` are as `section_text` returns them, so that each can be found again in the text.
    """
    lines = [f"{header}: {words}" for header, words in (("FINDINGS", findings), ("IMPRESSION", impression)) if words]
    return "\n".join(lines)
