"""Reads a lexicon folder: phrases of labels, phrases of conditions with codes, cues. lexicon/README.md describes the files.

Clinicians edit these files, so every error is reported with file, line and reason. Nothing is skipped.
"""

import itertools
import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED

GAP = ".."
IGNORE = "ignore"
# The sections of a label's file, and the status of a phrase in each before any cue is looked at.
SECTIONS = {"mention": PRESENT, "uncertain": UNCERTAIN, "absent": ABSENT, "ignore": IGNORE}
CUES = (
    "pre_negation", "post_negation", "pre_uncertainty", "post_uncertainty", "pseudo", "terminators", "not_current", "verbs",
    "seen",
)  # fmt: skip
OPTIONAL_CUES = ("post_not_current", "alternatives", "adjectives")  # a folder may lack these files
MOST_ALTERNATIVES = 5_000  # phrases that one line may stand for
_WORD = re.compile(r"[a-z0-9']+\*?|[,:()?]")  # a word ("opacity"), a prefix ("opaci*") or a mark
_CODE = re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?")  # ICD-10-CM: "I10", "J91.8"


class Phrase(NamedTuple):
    """One phrase without alternatives. `words` are literal words, prefixes (`opaci*`) and gaps (`..`)."""

    words: tuple[str, ...]
    label: str  # the label's name; for a condition, the phrase as written in the file; for a cue, its kind
    status: str  # without a cue: present, uncertain, absent or ignore
    code: str | None  # ICD-10-CM, conditions only

    @property
    def text(self) -> str:
        return " ".join(self.words)


def label_file(folder: Path, label: str) -> Path:
    """Returns the file of a label: its name in lower case, with underscores."""
    return folder / MULTIPLE_CHOICE / (re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") + ".txt")


def load_labels(folder: Path, label_set: list[Label]) -> list[Phrase]:
    """Returns the phrases of every label of the set.

    Raises:
        InputError: a label has no file, or a file is broken (file, line, reason).
    """
    return [phrase for label in label_set for phrase in _label_phrases(label_file(folder, label.name), label.name)]


def _label_phrases(path: Path, label: str) -> list[Phrase]:
    lines = read_sections(path, SECTIONS, "phrase")
    phrases = [Phrase(words, label, SECTIONS[name], None) for n, name, line in lines for words in expand(path, n, line)]
    if not any(phrase.status == PRESENT for phrase in phrases):
        raise InputError(f"{path}: no phrase under [mention], so the label could never be present")
    return distinct(path, phrases)


def load_conditions(folder: Path) -> list[Phrase]:
    """Returns the phrases of open_ended/conditions.csv. Each has an ICD-10-CM code or the status `ignore`."""
    path = folder / OPEN_ENDED / "conditions.csv"
    phrases: list[Phrase] = []
    for number, phrase, cell in read_pairs(path, "phrase,code"):
        if not (cell == IGNORE or _CODE.fullmatch(cell)):
            raise broken(path, number, "expected `phrase,code`: an ICD-10-CM code such as J91.8, or `ignore`")
        status, code = (IGNORE, None) if cell == IGNORE else (PRESENT, cell)
        phrases += [Phrase(words, phrase, status, code) for words in expand(path, number, phrase)]
    return distinct(path, phrases)


def load_modifiers(folder: Path) -> frozenset[str]:
    """Returns the words that belong to a condition if they come right before it (`mild`, `left`)."""
    path = folder / OPEN_ENDED / "modifiers.txt"
    lines = read_lines(path)
    for number, line in lines:
        if not _WORD.fullmatch(line) or line.endswith("*"):
            raise broken(path, number, "expected one word without wildcard")
    return frozenset(line for _, line in lines)


def load_possibilities(folder: Path) -> list[Phrase]:
    """Returns the phrases of open_ended/possibilities.txt, none without that file. A cue that begins so gives no condition."""
    path = folder / OPEN_ENDED / "possibilities.txt"
    return distinct(path, _cue_phrases(path, "possibilities")) if path.exists() else []


def load_cues(folder: Path) -> list[Phrase]:
    """Returns the cues of all files cues/<kind>.txt; `label` is the kind."""
    optional = [kind for kind in OPTIONAL_CUES if (folder / "cues" / f"{kind}.txt").exists()]
    phrases = [cue for kind in (*CUES, *optional) for cue in _cue_phrases(folder / "cues" / f"{kind}.txt", kind)]
    return distinct(folder / "cues", phrases)


def _cue_phrases(path: Path, kind: str) -> list[Phrase]:
    return [Phrase(words, kind, IGNORE, None) for number, line in read_lines(path) for words in expand(path, number, line)]


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Returns the lines that are neither blank nor comments, with their numbers from 1.

    Raises:
        InputError: the file is missing, or not UTF-8.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")  # Notepad begins a file with a byte order mark
    except FileNotFoundError:
        raise InputError(f"{path} is missing; every label of the label set and every kind of cue needs its file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise broken(path, line, "not UTF-8; save the file as UTF-8") from None
    numbered = ((number, line.strip()) for number, line in enumerate(content.split("\n"), start=1))
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


def read_sections(path: Path, sections: Collection[str], what: str) -> Iterator[tuple[int, str, str]]:
    """Yields number, section and text of each line below a header `[section]`. `what` names a line in messages.

    Raises:
        InputError: a section is unknown, or a line comes before the first one.
    """
    section = None
    for number, line in read_lines(path):
        if line.startswith("["):
            section = line.strip("[]")
            if section not in sections:
                raise broken(path, number, f"unknown section; known: {', '.join(f'[{name}]' for name in sections)}")
        elif section is None:
            raise broken(path, number, f"a {what} before the first section; begin with [{next(iter(sections))}]")
        else:
            yield number, section, line


def read_pairs(path: Path, header: str) -> Iterator[tuple[int, str, str]]:
    """Yields line number and both cells, trimmed, of each row of a CSV file with the two columns that `header` names.

    Raises:
        InputError: the first line is not `header`, or a row has no comma.
    """
    first, *rest = read_lines(path) or [(0, "")]
    if first[1] != header:
        raise InputError(f"{path}: the first line that is not a comment must be `{header}`")
    for number, line in rest:
        if "," not in line:
            raise broken(path, number, f"expected `{header}`")
        one, _, other = line.partition(",")
        yield number, one.strip(), other.strip()


def expand(path: Path, number: int, line: str) -> list[tuple[str, ...]]:
    """Returns the word sequences of a line: `a|b c` gives `a c` and `b c`. Hyphens and slashes count as spaces.

    Raises:
        InputError: the line is not a phrase as lexicon/README.md describes it.
    """
    slots = [slot.split("|") for slot in line.lower().replace("-", " ").replace("/", " ").split()]
    gaps = [-1, *(i for i, slot in enumerate(slots) if slot == [GAP]), len(slots)]
    if len(gaps) > 4 or 1 in {b - a for a, b in itertools.pairwise(gaps)}:
        raise broken(path, number, "`..` must be between two words, at most twice per phrase")
    for word in itertools.chain.from_iterable(slots):
        if word != GAP and not _WORD.fullmatch(word):
            raise broken(path, number, "only words, `word*`, `one|other` and `..` are allowed")
        if word.endswith("*") and len(word) < 4:
            raise broken(path, number, "`word*` needs three letters before its `*`")
    if any(GAP in slot and len(slot) > 1 for slot in slots):
        raise broken(path, number, "`..` cannot be one of several alternatives")
    if math.prod(map(len, slots)) > MOST_ALTERNATIVES:
        raise broken(path, number, f"stands for more than {MOST_ALTERNATIVES} phrases; write it as several lines")
    return list(itertools.product(*slots))


def distinct(path: Path, phrases: list[Phrase]) -> list[Phrase]:
    """Returns the phrases unchanged. Raises InputError if one is listed twice."""
    seen: set[tuple[str, ...]] = set()
    for phrase in phrases:
        if phrase.words in seen:
            raise InputError(f"{path}: the phrase '{phrase.text}' is listed twice; keep one")
        seen.add(phrase.words)
    return phrases


def broken(path: Path, line: int, reason: str) -> InputError:
    """Returns the error to raise for a broken line."""
    return InputError(f"{path}, line {line}: {reason}")
