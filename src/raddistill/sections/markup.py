"""Replaces markup that exports leave in reports: tags and entities of HTML, and escaped line ends. It runs before all else."""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

_LINES = "br|div|p|ul|ol|dl|dt|table|tbody|thead|tr|hr|h[1-6]|pre|section|body|html|head|title|blockquote|center"
_INLINE = "a|b|big|code|em|font|i|label|s|small|span|strong|sub|sup|tt|u|wbr|td|th|dd"
_ATTRIBUTES = r"(?:\s[^<>]{0,200})?"
# A tag that ends a line, an item of a list, a cell of a table, a tag without meaning, an entity, or an escaped line end.
_MARKUP = re.compile(
    "|".join(
        (
            rf"<(?P<line>/?(?:{_LINES}){_ATTRIBUTES}/?)>",
            rf"<(?P<item>li{_ATTRIBUTES})>",
            rf"<(?P<cell>(?:td|th|dd){_ATTRIBUTES})>",  # a row of a table is a field and its value
            rf"<(?:/?(?:{_INLINE}){_ATTRIBUTES}/?|/li|!--[^<>]{{0,500}}--)>",
            r"(?P<entity>&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8}\d{0,2});|&(?:nbsp|amp|lt|gt|quot)(?![a-z;]))",
            r"(?P<written>(?:\\r)?\\n|\\\.br\\|\\X0[AD]\\|_x000d_\n?)",  # line ends as JSON, HL7 and Excel write them
        )
    ),
    re.IGNORECASE,
)
_ESCAPED = 3  # how often an export may have escaped its text: "&amp;nbsp;" is escaped twice


class Plain(NamedTuple):
    """A text without markup. `starts`, `ends`: offsets of each character in the original; None if nothing was replaced."""

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None


def plain(text: str) -> Plain:
    """Returns the text with tags and entities replaced by their meaning: a line end, an item of a list, a character, or nothing.

    Text that was escaped twice is replaced twice. "<3 mm" and "a & b" are no markup.
    """
    read = Plain(text)
    for _ in range(_ESCAPED):
        if not any(mark in read.text for mark in "<&\\_") or _MARKUP.search(read.text) is None:
            break
        read = _once(read)
    return read


def _once(before: Plain) -> Plain:
    """Replaces the markup once. Offsets refer to the original text, also if markup was replaced before."""
    text = before.text
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, meaning in _read(text):
        pieces.append(meaning)
        unchanged = text[start:end] == meaning
        starts += range(start, end) if unchanged else [start] * len(meaning)
        ends += range(start + 1, end + 1) if unchanged else [end] * len(meaning)
    if before.starts is not None and before.ends is not None:
        starts, ends = [before.starts[at] for at in starts], [before.ends[at - 1] for at in ends]
    return Plain("".join(pieces), starts, ends)


def _read(text: str) -> Iterator[tuple[int, int, str]]:
    """Yields the whole text in pieces: start, end and meaning of each."""
    at = 0
    for found in _MARKUP.finditer(text):
        yield at, found.start(), text[at : found.start()]
        yield found.start(), found.end(), _meaning(found)
        at = found.end()
    yield at, len(text), text[at:]


def _meaning(found: re.Match[str]) -> str:
    if found["entity"]:
        return html.unescape(found["entity"]).replace("\xa0", " ").replace("\xad", "")
    if found["item"]:
        return "\n- "
    if found["line"] or found["written"]:
        return "\n"
    return " : " if found["cell"] else ""
