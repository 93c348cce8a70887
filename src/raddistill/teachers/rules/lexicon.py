"""Reads a lexicon folder: phrases of labels, phrases of conditions with codes, cues. lexicon/README.md describes the form.

The files are edited by clinicians, so whatever is broken is refused with file, line and reason. Nothing is skipped.
"""

import itertools
import math
import re
from pathlib import Path
from typing import NamedTuple

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN

GAP = ".."
IGNORE = "ignore"
# A section of a label's file: what a phrase under it says before any cue is looked at.
SECTIONS = {"mention": PRESENT, "uncertain": UNCERTAIN, "absent": ABSENT, "ignore": IGNORE}
CUES = (
    "pre_negation",
    "post_negation",
    "pre_uncertainty",
    "post_uncertainty",
    "pseudo",
    "terminators",
    "not_current",
    "verbs",
    "seen",
)
OPTIONAL_CUES = ("post_not_current", "alternatives", "adjectives")  # kinds whose file a folder may lack
MOST_ALTERNATIVES = 5_000  # phrases of one line
_WORD = re.compile(r"[a-z0-9']+\*?|[,:()?]")
_CODE = re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?")


class Phrase(NamedTuple):
    """One phrase without alternatives. `words` are literal words, beginnings (`opaci*`) and gaps (`..`)."""

    words: tuple[str, ...]
    label: str  # name of the label; of a condition: the phrase as it stands in the file; of a cue: its kind
    says: str  # present, uncertain, absent or ignore
    code: str | None  # ICD-10-CM, conditions only

    @property
    def written(self) -> str:
        return " ".join(self.words)


def label_file(folder: Path, label: str) -> Path:
    """The file of a label: its name in lower case, with underscores."""
    return folder / "multiple_choice" / (re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") + ".txt")


def load_labels(folder: Path, label_set: list[Label]) -> list[Phrase]:
    """The phrases of every label of the set.

    Raises:
        InputError: a label without a file, or a file that breaks the form (file, line, reason).
    """
    return [phrase for label in label_set for phrase in _label_phrases(label_file(folder, label.name), label.name)]


def load_conditions(folder: Path) -> list[Phrase]:
    """The phrases of open_ended/conditions.csv, each with its ICD-10-CM code, or `ignore` in its place."""
    path = folder / "open_ended" / "conditions.csv"
    phrases: list[Phrase] = []
    lines = read_lines(path)
    if not lines or lines[0][1] != "phrase,code":
        raise InputError(f"{path}: the first line that is no comment must be `phrase,code`")
    for number, line in lines[1:]:
        written, comma, code = (part.strip() for part in line.partition(","))
        if not comma or not (code == IGNORE or _CODE.fullmatch(code)):
            raise broken(path, number, "expected `phrase,code`: an ICD-10-CM code such as J91.8, or `ignore`")
        says, known = (IGNORE, None) if code == IGNORE else (PRESENT, code)
        phrases += [Phrase(words, written, says, known) for words in expand(path, number, written)]
    return distinct(path, phrases)


def load_modifiers(folder: Path) -> frozenset[str]:
    """The words that belong to a condition when they stand right before it (`mild`, `left`)."""
    path = folder / "open_ended" / "modifiers.txt"
    for number, line in read_lines(path):
        if not _WORD.fullmatch(line) or line.endswith("*"):
            raise broken(path, number, "expected one word without wildcard")
    return frozenset(line for _, line in read_lines(path))


def load_possibilities(folder: Path) -> list[Phrase]:
    """Beginnings of the cues of doubt under which a condition is no row: open_ended/possibilities.txt, if there is one."""
    path = folder / "open_ended" / "possibilities.txt"
    if not path.exists():
        return []
    phrases = [Phrase(words, "possibilities", IGNORE, None) for n, line in read_lines(path) for words in expand(path, n, line)]
    return distinct(path, phrases)


def load_cues(folder: Path) -> list[Phrase]:
    """The cues of cues/<kind>.txt, for all kinds that the folder must have and those that it may have; `label` is the kind."""
    phrases: list[Phrase] = []
    optional = [kind for kind in OPTIONAL_CUES if (folder / "cues" / f"{kind}.txt").exists()]
    for kind in (*CUES, *optional):
        path = folder / "cues" / f"{kind}.txt"
        phrases += [Phrase(words, kind, IGNORE, None) for n, line in read_lines(path) for words in expand(path, n, line)]
    return distinct(folder / "cues", phrases)


def _label_phrases(path: Path, label: str) -> list[Phrase]:
    phrases: list[Phrase] = []
    says = None
    for number, line in read_lines(path):
        if line.startswith("["):
            if line.strip("[]") not in SECTIONS:
                raise broken(path, number, f"unknown section; known: {', '.join(f'[{name}]' for name in SECTIONS)}")
            says = SECTIONS[line.strip("[]")]
        elif says is None:
            raise broken(path, number, "a phrase before the first section; begin with [mention]")
        else:
            phrases += [Phrase(words, label, says, None) for words in expand(path, number, line)]
    if not any(phrase.says == PRESENT for phrase in phrases):
        raise InputError(f"{path}: no phrase under [mention], so the label could never be present")
    return distinct(path, phrases)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are neither blank nor comment, with their numbers from 1.

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


def expand(path: Path, number: int, line: str) -> list[tuple[str, ...]]:
    """A line as word sequences: `a|b c` becomes `a c` and `b c`; a hyphen or slash is a space, as in the reports.

    Raises:
        InputError: the line breaks the form of a phrase.
    """
    slots = [slot.split("|") for slot in line.lower().replace("-", " ").replace("/", " ").split()]
    gaps = [-1, *(i for i, slot in enumerate(slots) if slot == [GAP]), len(slots)]
    if len(gaps) > 4 or 1 in {b - a for a, b in itertools.pairwise(gaps)}:
        raise broken(path, number, "`..` stands between two words, at most twice a phrase")
    for word in itertools.chain.from_iterable(slots):
        if word != GAP and not _WORD.fullmatch(word):
            raise broken(path, number, "only words, `word*`, `one|other` and `..` are allowed")
        if word.endswith("*") and len(word) < 4:
            raise broken(path, number, "a beginning needs three letters before its `*`")
    if any(GAP in slot and len(slot) > 1 for slot in slots):
        raise broken(path, number, "`..` cannot be one of several alternatives")
    if math.prod(map(len, slots)) > MOST_ALTERNATIVES:
        raise broken(path, number, f"stands for more than {MOST_ALTERNATIVES} phrases; write it as several lines")
    return list(itertools.product(*slots))


def distinct(path: Path, phrases: list[Phrase]) -> list[Phrase]:
    """The phrases as they are. Raises InputError: one stands there twice."""
    seen: set[tuple[str, ...]] = set()
    for phrase in phrases:
        if phrase.words in seen:
            raise InputError(f"{path}: the phrase '{phrase.written}' stands there twice; keep one")
        seen.add(phrase.words)
    return phrases


def broken(path: Path, line: int, reason: str) -> InputError:
    """What to raise of a line that breaks the form."""
    return InputError(f"{path}, line {line}: {reason}")
