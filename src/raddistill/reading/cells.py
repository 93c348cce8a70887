"""Reads cells of other people's tables: words that mean "missing", lists in a string, bytes of another encoding."""

import ast
import contextlib
import re
import warnings
from decimal import Decimal
from typing import Any

NOT_UTF8 = "not UTF-8"  # also of characters that no encoding has, such as JSON's "\ud800"
# How pandas, R, databases and spreadsheets write a missing value.
_NO_VALUE = {"", "nan", "null", "na", "n/a", "n.a", "nat", "undefined", r"\n"}
_NONE = {"none", "nil"}
_APART = re.compile(r"[\s;|]+")
_AROUND = " .,;:!?()[]{}<>#\"'`*-–—"  # not "_": "___" stands for redacted words
_MOST_WORDS = 6  # "nan nan", "nan;nan": joined columns

_STRING = r"[uU]?(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_LIST = re.compile(rf"\[\s*(?:{_STRING}(?:(?:\s*,\s*|\s+){_STRING})*(?:\s*,)?\s*)?\]", re.DOTALL)
_STRINGS = re.compile(_STRING, re.DOTALL)


def is_utf8(text: str) -> bool:
    """Returns False if the text has bytes of another encoding, which the readers keep as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(cell: Any) -> str | None:
    """Returns a cell as text; None for null (the readers make None of NaN, too).

    A whole number is written without decimals, also if it is a float (a column with missing numbers) or a decimal (a database).
    """
    if cell is None:
        return None
    if isinstance(cell, float | Decimal) and cell % 1 == 0:
        cell = int(cell)
    return str(cell)


def is_missing(words: str, none_is_said: bool = False) -> bool:
    """Returns whether the words only mean "missing": "nan", "None.", "N/A", "(null)", or punctuation alone.

    `none_is_said`: "none" is an answer here, as in a comparison, where it says that there is no earlier film.
    """
    parts = _APART.split(words)
    if len(parts) > _MOST_WORDS:
        return False
    known = _NO_VALUE if none_is_said else _NO_VALUE | _NONE
    return all(part.strip(_AROUND).casefold() in known for part in parts)


def is_blank(cell: Any) -> bool:
    """Returns whether a cell of any type is null, or only means "missing"."""
    return cell is None or (isinstance(cell, str) and is_missing(cell))


def strings_in(cell: str) -> list[str] | None:
    """Returns the strings of a list as Python, JSON or numpy print it, trimmed, without blank ones; None if it is no such list.

    Strings are separated by a comma, or by white space, as numpy does ("['a' 'b']"), which Python itself would join. Only the
    escapes of a single string are evaluated.
    """
    if not _LIST.fullmatch(cell.strip()):
        return None
    strings = []
    for written in _STRINGS.findall(cell):
        string = None
        with contextlib.suppress(ValueError, SyntaxError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for escapes that Python does not know
            string = ast.literal_eval(written) if "\\" in written else written.lstrip("uU")[1:-1]
        if string is None:
            return None
        strings.append(string.strip())
    return [string for string in strings if string]
