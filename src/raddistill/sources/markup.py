"""Markup that exports leave in reports: tags and entities of HTML, line ends written out. Read once, before anything else."""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

_LINES = "br|div|p|ul|ol|dl|dt|dd|table|tbody|thead|tr|hr|h[1-6]|pre|section|body|html|head|title|blockquote|center"
_INLINE = "a|b|big|code|em|font|i|label|s|small|span|strong|sub|sup|tt|u"
# <br>, </p>, <b>, <td class="x">, a comment; "&nbsp;", "&#39;"; Excel's and HL7's line ends, and a backslash before an n.
# Not "<3 mm", and not "a & b".
_MARKUP = re.compile(
    rf"<(?P<lines>/?(?:{_LINES})(?:\s[^<>]{{0,200}})?/?)>|<(?P<item>li(?:\s[^<>]{{0,200}})?)>"
    rf"|<(?P<cell>/(?:td|th))\s*>"
    rf"|<(?:(?:td|th|/?(?:{_INLINE}))(?:\s[^<>]{{0,200}})?|/li|!--[^<>]{{0,500}}--)>"
    r"|(?P<entity>&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8}\d{0,2});|&(?:nbsp|amp|lt|gt|quot)(?![a-z;]))"
    r"|(?P<written>(?:\\r)?\\n|\\\.br\\|_x000d_\n?)",
    re.IGNORECASE,
)


class Plain(NamedTuple):
    """A text without markup. `starts` and `ends`: where each of its characters was written; None where nothing was replaced."""

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None


def plain(text: str) -> Plain:
    """The text with tags and entities as what they mean: a line end, an item of a list, a character, or nothing.

    An entity is read once: "&amp;lt;" becomes "&lt;".
    """
    if not any(mark in text for mark in "<&\\_") or _MARKUP.search(text) is None:
        return Plain(text)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, meaning in _read(text):
        pieces.append(meaning)
        whole = len(meaning) == end - start and text[start:end] == meaning
        starts += range(start, end) if whole else [start] * len(meaning)
        ends += range(start + 1, end + 1) if whole else [end] * len(meaning)
    return Plain("".join(pieces), starts, ends)


def _read(text: str) -> Iterator[tuple[int, int, str]]:
    """All of the text in pieces: where each begins and ends, and what it means."""
    at = 0
    for found in _MARKUP.finditer(text):
        yield at, found.start(), text[at : found.start()]
        yield found.start(), found.end(), _meaning(found)
        at = found.end()
    yield at, len(text), text[at:]


def _meaning(found: re.Match[str]) -> str:
    if found["entity"]:
        return html.unescape(found["entity"]).replace("\xa0", " ")
    if found["item"]:
        return "\n- "
    if found["lines"] or found["written"]:
        return "\n"
    return ": " if found["cell"] else ""  # a row of a table is a field and its value
