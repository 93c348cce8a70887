"""Decides whether a string from a file may be report text, which no message and no table of ids may contain.

A wrong column, or a row that a line end has cut in two, puts report text where an id should be. So code that writes an id into a
table, or an id, a column or a label into a message, checks it here first. Possible report text is counted, never shown.
"""

import itertools
import re

ID_IS_TEXT = "the report id is no id but text"
LONGEST = 255  # characters of an id or name, as of a file name
MOST_WORDS = 8  # in the name of a column or label
MOST_PARTS = 4  # in an id
MOST_IDS, MOST_NAMES = 3, 20  # in one message

_LISTED = re.compile(r"[-–—*•]\s")  # the start of an item of a list
_APART = re.compile(r"[\s,;]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # line ends, and characters that control a terminal
_DIGIT, _LETTER = re.compile(r"\d"), re.compile(r"[^\W\d_]")
_AFTER_COLON = re.compile(r"[^\W\d_]:[^\W\d_]")  # "IMPRESSION:Normal"


def may_be_text(string: str, most_words: int = 1) -> bool:
    """Returns whether a string that should be the id of a report may be report text.

    An id is one piece without spaces ("patient00001/study1", "1.2.840.10008", a UUID, a path), or several pieces that end in a
    number or letter and have no two words in a row ("case 12", "CR 2019 0012", "patient 12 study 3").

    For column or label names pass `most_words`. The caller needs another sign that the string is a name: "Pleural Effusion" is
    also a finding. One word of a report looks like an id that is a word, unless it ends in a stop.
    """
    string = string.strip()
    if (
        len(string) > LONGEST
        or _CONTROL.search(string)
        or _LISTED.match(string)
        or string.endswith((".", ",", ";", ":", "!", "?"))
    ):
        return True
    parts = [part for part in _APART.split(string) if _DIGIT.search(part) or _LETTER.search(part)]
    if most_words > 1:
        return len(parts) > most_words
    numbered = any(_DIGIT.search(part) for part in parts)
    is_word = [not _DIGIT.search(part) and (len(part) > 1 or not numbered) for part in parts]
    if len(parts) > 1:
        two_words = any(a and b for a, b in itertools.pairwise(is_word))
        return is_word[-1] or two_words or len(parts) > MOST_PARTS
    return bool(any(is_word) and _AFTER_COLON.search(string))


def is_name(string: str) -> bool:
    """Returns whether a string can be the name of a column or label: it is no number, and too short for a sentence."""
    return not may_be_text(string, MOST_WORDS) and not string.replace(".", "").strip(" -").isdigit()


def such_as(*report_ids: str) -> str:
    """Returns examples for a message, " (such as a, b)", without those that may be report text; "" if none is left."""
    ids = [report_id for report_id in report_ids if not may_be_text(report_id)][:MOST_IDS]
    return f" (such as {', '.join(ids)})" if ids else ""


def list_names(names: list[str]) -> str:
    """Returns the first MOST_NAMES names for a message. The others, and names that may be report text, are only counted."""
    short = [name for name in names if not may_be_text(name, MOST_WORDS)][:MOST_NAMES]
    return ", ".join([*short, f"{len(names) - len(short)} more"] if len(short) < len(names) else short)
