"""Reads a lexicon folder: phrases of labels, phrases of conditions with codes, cues. lexicon/README.md describes the form.

The files are edited by clinicians, so whatever is broken is refused with file, line and reason. Nothing is skipped.
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
# A section of a label's file: what a phrase under it says before any cue is looked at.
SECTIONS = {"mention": PRESENT, "uncertain": UNCERTAIN, "absent": ABSENT, "ignore": IGNORE}
CUES = (
    "pre_negation", "post_negation", "pre_uncertainty", "post_uncertainty", "pseudo", "terminators", "not_current", "verbs",
    "seen",
)  # fmt: skip
OPTIONAL_CUES = ("post_not_current", "alternatives", "adjectives")  # kinds whose file a folder may lack
MOST_ALTERNATIVES = 5_000  # phrases of one line
_WORD = re.compile(r"[a-z0-9']+\*?|[,:()?]")  # "opacity", a beginning "opaci*", or a mark
_CODE = re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?")  # ICD-10-CM: "I10", "J91.8"


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
    return folder / MULTIPLE_CHOICE / (re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") + ".txt")


def load_labels(folder: Path, label_set: list[Label]) -> list[Phrase]:
    """The phrases of every label of the set.

    Raises:
        InputError: a label without a file, or a file that breaks the form (file, line, reason).
    """
    return [phrase for label in label_set for phrase in _label_phrases(label_file(folder, label.name), label.name)]


def _label_phrases(path: Path, label: str) -> list[Phrase]:
    lines = read_sections(path, SECTIONS, "phrase")
    phrases = [Phrase(words, label, SECTIONS[name], None) for n, name, line in lines for words in expand(path, n, line)]
    if not any(phrase.says == PRESENT for phrase in phrases):
        raise InputError(f"{path}: no phrase under [mention], so the label could never be present")
    return distinct(path, phrases)


def load_conditions(folder: Path) -> list[Phrase]:
    """The phrases of open_ended/conditions.csv, each with its ICD-10-CM code, or `ignore` in its place."""
    path = folder / OPEN_ENDED / "conditions.csv"
    phrases: list[Phrase] = []
    for number, written, code in read_pairs(path, "phrase,code"):
        if not (code == IGNORE or _CODE.fullmatch(code)):
            raise broken(path, number, "expected `phrase,code`: an ICD-10-CM code such as J91.8, or `ignore`")
        says, known = (IGNORE, None) if code == IGNORE else (PRESENT, code)
        phrases += [Phrase(words, written, says, known) for words in expand(path, number, written)]
    return distinct(path, phrases)


def load_modifiers(folder: Path) -> frozenset[str]:
    """The words that belong to a condition when they stand right before it (`mild`, `left`)."""
    path = folder / OPEN_ENDED / "modifiers.txt"
    lines = read_lines(path)
    for number, line in lines:
        if not _WORD.fullmatch(line) or line.endswith("*"):
            raise broken(path, number, "expected one word without wildcard")
    return frozenset(line for _, line in lines)


def load_possibilities(folder: Path) -> list[Phrase]:
    """Beginnings of the cues of doubt under which a condition is no row: open_ended/possibilities.txt, if there is one."""
    path = folder / OPEN_ENDED / "possibilities.txt"
    return distinct(path, _cue_phrases(path, "possibilities")) if path.exists() else []


def load_cues(folder: Path) -> list[Phrase]:
    """The cues of cues/<kind>.txt, for all kinds that the folder must have and those that it may have; `label` is the kind."""
    optional = [kind for kind in OPTIONAL_CUES if (folder / "cues" / f"{kind}.txt").exists()]
    phrases = [cue for kind in (*CUES, *optional) for cue in _cue_phrases(folder / "cues" / f"{kind}.txt", kind)]
    return distinct(folder / "cues", phrases)


def _cue_phrases(path: Path, kind: str) -> list[Phrase]:
    return [Phrase(words, kind, IGNORE, None) for number, line in read_lines(path) for words in expand(path, number, line)]


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


def read_sections(path: Path, sections: Collection[str], what: str) -> Iterator[tuple[int, str, str]]:
    """Number, section and line of all lines but the headers `[section]`. `what` a line holds, for messages.

    Raises:
        InputError: an unknown section, or a line before the first one.
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
    """Number and both cells, trimmed, of the rows of a CSV file with the two columns that `header` names.

    Raises:
        InputError: another first line, or a row without a comma.
    """
    first, *rest = read_lines(path) or [(0, "")]
    if first[1] != header:
        raise InputError(f"{path}: the first line that is no comment must be `{header}`")
    for number, line in rest:
        if "," not in line:
            raise broken(path, number, f"expected `{header}`")
        one, _, other = line.partition(",")
        yield number, one.strip(), other.strip()


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
    """The error to raise for a line that breaks the form."""
    return InputError(f"{path}, line {line}: {reason}")
