"""What may be told of a string that a file holds: whether it may be words of a report.

A wrong column, or a row that a line end has cut in two, puts words of a report where an id should be. So whoever writes an id
into a table, or names an id, a column or a label in a message, asks here first. What may be text is counted and never told.
"""

import itertools
import re

ID_IS_TEXT = "the report id is no id but text"
LONGEST = 255  # characters of an id or name; a file's name has no more
MOST_WORDS = 8  # of the name of a column or label
MOST_PARTS = 4  # of an id
MOST_IDS, MOST_NAMES = 3, 20  # in one message

_LISTED = re.compile(r"[-–—*•]\s")  # an item of a list
_APART = re.compile(r"[\s,;]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # line ends, and what would steer a terminal
_DIGIT, _LETTER = re.compile(r"\d"), re.compile(r"[^\W\d_]")
_AFTER_COLON = re.compile(r"[^\W\d_]:[^\W\d_]")  # "IMPRESSION:Normal"


def may_be_text(string: str, most_words: int = 1) -> bool:
    """Returns whether a string that should be the id of a report may be words of one.

    An id is one piece without spaces ("patient00001/study1", "1.2.840.10008", a UUID, a path), or several that end in a number
    or letter and have no two words in a row ("case 12", "CR 2019 0012", "patient 12 study 3"). Who asks about the name of a
    column or label allows more words by `most_words`, and has some other sign that the string is a name: "Pleural Effusion" is
    also a finding.

    One word of a report cannot be told from an id that is a word, unless a stop stands behind it.
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
    """Returns whether a string can be the name of a column or label: neither a number nor, by its length, a sentence."""
    return not may_be_text(string, MOST_WORDS) and not string.replace(".", "").strip(" -").isdigit()


def such_as(*report_ids: str) -> str:
    """Returns examples for a message, " (such as a, b)", without those that may be text; "" where none is left."""
    ids = [report_id for report_id in report_ids if not may_be_text(report_id)][:MOST_IDS]
    return f" (such as {', '.join(ids)})" if ids else ""


def list_names(names: list[str]) -> str:
    """Returns names of labels for a message; those that may be text, and of many the last, are only counted."""
    short = [name for name in names if not may_be_text(name, MOST_WORDS)][:MOST_NAMES]
    return ", ".join([*short, f"{len(names) - len(short)} more"] if len(short) < len(names) else short)
