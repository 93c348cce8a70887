"""Reads files of words that a clinician can edit: one word or phrase per line, under a [section].

The head of each file in lexicon/sections explains its format. Blank lines and lines that begin with # are skipped. `(a|b)` is
a or b, `(a|)` is a or nothing, `word*` is any word that begins with these letters, `*word*` any that contains them, and ` ..` at
the end stands for any further words. A malformed line is an error, never skipped.
"""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from raddistill.errors import InputError

MOST_ALTERNATIVES = 1000  # phrases of one line
_GROUP = re.compile(r"\(([^()]*)\)")
_REST = " .."


def load(path: Path, sections: Iterable[str]) -> dict[str, list[str]]:
    """Returns the phrases of each section in order, with all alternatives expanded.

    Raises:
        InputError: the file is missing or not UTF-8; a section is unknown, missing, repeated or empty; a line is above the first
            section, not in lower case, malformed, or repeats a phrase of its section. The message names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    found: dict[str, list[str]] = {}
    name = ""
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            name = line[1:-1]
            if line != f"[{name}]" or name not in sections or name in found:
                raise InputError(f"{path}, line {number}: {line} is none of the sections {', '.join(sections)}, or is repeated")
            found[name] = []
            continue
        phrases, reason = _expanded(line)
        if not name:
            reason = "it is above the first [section]"
        elif again := next((phrase for phrase in phrases if phrase in found[name]), None):
            reason = f"'{again}' is there already"
        if reason:
            raise InputError(f"{path}, line {number}: {reason}")
        found[name] += phrases
    if empty := [name for name in sections if not found.get(name)]:
        raise InputError(f"{path} has no phrases of [{empty[0]}]; add the section with one phrase per line")
    return found


def _expanded(line: str) -> tuple[list[str], str]:
    """Returns the phrases of a line, and an error message ("" if it is well-formed)."""
    literals, groups = _GROUP.split(line)[::2], [group.split("|") for group in _GROUP.findall(line)]
    if any(mark in literal for literal in literals for mark in "()|"):
        return [], "each ( needs its ), with | between alternatives, and none within another"
    made = itertools.product(*groups)
    phrases = ["".join(itertools.chain(*itertools.zip_longest(literals, chosen, fillvalue=""))) for chosen in made]
    if any(phrase != " ".join(phrase.split()).lower() for phrase in phrases):
        return [], "phrases are in lower case, with one space between words"
    return phrases, "" if len(phrases) <= MOST_ALTERNATIVES else f"more than {MOST_ALTERNATIVES} alternatives"


def any_of(phrases: Iterable[str]) -> str:
    """Returns a regular expression for any of the phrases, as whole words unless a `*` or ` ..` allows more."""
    by_edges: dict[tuple[str, str], list[str]] = {}
    for phrase in phrases:
        word = phrase.removesuffix(_REST).strip("*")
        begins = r"\b" if word[0].isalnum() and not phrase.startswith("*") else ""
        ends = " .*" if phrase.endswith(_REST) else r"\w*" if phrase.endswith("*") else r"\b" if word[-1].isalnum() else ""
        by_edges.setdefault((begins, ends), []).append(re.escape(word))
    # One group for all phrases with the same edges is several times as fast as edges around each phrase.
    groups = [f"{begins}(?:{'|'.join(words)}){ends}" for (begins, ends), words in by_edges.items()]
    return f"(?:{'|'.join(groups)})"
