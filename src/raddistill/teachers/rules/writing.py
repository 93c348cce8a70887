"""Sentences written with a lexicon's own phrases, and labelled by the reader of the same lexicon.

What a sentence says is what the reader finds in it, never what was meant by it: "No {}" with a phrase that the reader does not
take for denied is no denial. So the sentences teach what the teacher says, also of labels and statuses that reports seldom hold.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import ABSENT
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.hedges import Hedges
from raddistill.teachers.rules.lexicon import GAP, IGNORE, Phrase, broken, read_pairs, read_sections
from raddistill.teachers.rules.reading import Reader

MOST = 20_000  # sentences of a task; a student draws some thousand of them, and a table of more is but time and disk
BARE = "bare"  # the section of the frames that take any phrase
SECTIONS = (BARE, "affirmed", "denied", "hedged", "past", "mixed")
HEADER = "begins,complete"
HOLE = "{}"
TAKES_NOUN = {"of", "in", "within", "at", "over", "overlying", "to", "above", "adjacent", "on"}  # "enlargement of .. heart"
VERBS = {"is", "are", "remains", "remain", "appears", "appear"}
_COMPLETE = re.compile(r"[a-z0-9']+")


class Templates(NamedTuple):
    """The two files that sentences are written by."""

    frames: Path
    completions: Path


class Literal(NamedTuple):
    """A phrase without wildcards. `bare`: a clause of its own, or the normal form, which goes into no frame but a bare one."""

    text: str
    about: str
    bare: bool


class Frame(NamedTuple):
    text: str
    bare: bool


def write(
    task: str, folder: Path, label_set: list[Label], reader: Reader, hedges: Hedges, templates: Templates
) -> tuple[list[tuple[Any, ...]], int]:
    """Returns rows of the table `Written`, and how many phrases were left out as a beginning in them has no completion.

    Raises:
        InputError: a file of the lexicon, the frames or the completions is missing or broken (file, line, reason).
    """
    frames, completions = load_frames(templates.frames), load_completions(templates.completions)
    given = lexicon.load_labels(folder, label_set) if task == MULTIPLE_CHOICE else lexicon.load_conditions(folder)
    asked = [phrase for phrase in given if phrase.says != IGNORE]
    literals = [literal for phrase in asked for literal in complete(phrase, completions)]
    left_out = sum(not _completions(phrase, completions) for phrase in asked)
    rows = [row for text, about in compose(literals, frames) for row in _label(task, text, about, reader, hedges)]
    return rows, left_out


def load_frames(path: Path) -> list[Frame]:
    """The frames, a line each, under the sections of SECTIONS.

    Raises:
        InputError: the file is missing or broken (file, line, reason), or has no frame.
    """
    frames: list[Frame] = []
    for number, section, line in read_sections(path, SECTIONS, "frame"):
        if line.count(HOLE) not in (1, 2) or "{" in line.replace(HOLE, "") or "}" in line.replace(HOLE, ""):
            raise broken(path, number, "a frame holds `{}` once or twice, and no other brace")
        if section == BARE and line.count(HOLE) > 1:
            raise broken(path, number, "a bare frame holds `{}` once")
        if line in {frame.text for frame in frames}:
            raise broken(path, number, "this frame stands there twice; keep one")
        frames.append(Frame(line, section == BARE))
    if not frames:
        raise InputError(f"{path}: no frame, so no sentence could be written")
    return frames


def load_completions(path: Path) -> dict[str, list[str]]:
    """Whole words for each beginning (`opacit*`).

    Raises:
        InputError: the file is missing or broken (file, line, reason).
    """
    completions: dict[str, list[str]] = {}
    for number, *cells in read_pairs(path, HEADER):
        begins, words = cells[0].lower(), cells[1].lower().split("|")
        if not begins.endswith("*") or begins in completions:
            raise broken(path, number, f"expected `{HEADER}`: a beginning with its `*`, each once")
        if not all(_COMPLETE.fullmatch(word) and word.startswith(begins[:-1]) for word in words):
            raise broken(path, number, "every whole word must begin with the letters before the `*`; `|` parts two")
        completions[begins] = words
    return completions


def complete(phrase: Phrase, completions: dict[str, list[str]]) -> list[Literal]:
    """Returns the phrase in whole words, a text for each way of completing its beginnings and joining its gaps.

    "opacit* .. lung" has the words "opacity" and "opacities" by completions.csv, and those of `_joined` for the gap.
    """
    about = phrase.code or phrase.label
    bare = GAP in phrase.words or phrase.says == ABSENT or not VERBS.isdisjoint(phrase.words)
    texts = [text for words in _completions(phrase, completions) for text in _joined(words)]
    return [Literal(text, about, bare) for text in dict.fromkeys(texts)]


def _completions(phrase: Phrase, completions: dict[str, list[str]]) -> list[tuple[str, ...]]:
    """Returns the phrase's words with each beginning completed in every way; nothing if one has no completion."""
    return list(itertools.product(*(completions.get(word, []) if word.endswith("*") else [word] for word in phrase.words)))


def _joined(words: tuple[str, ...]) -> Iterator[str]:
    """Yields the words with something in place of each gap.

    An article after a preposition ("enlargement of the heart"), nothing if the phrase has a verb, else both "is" and nothing
    ("heart is enlarged", "heart enlarged").
    """
    has_verb = not VERBS.isdisjoint(words)
    ways = [[word] for word in words]
    for i, word in enumerate(words):
        if word == GAP:
            before = words[i - 1]
            plural = before.endswith("s") and not before.endswith(("ss", "is", "us"))
            ways[i] = ["the"] if before in TAKES_NOUN else [""] if has_verb else ["are" if plural else "is", ""]
    for way in itertools.product(*ways):  # marks lose the space before them: "heart , lungs"
        yield re.sub(r" ([,:])", r"\1", " ".join(word for word in way if word))


def compose(literals: list[Literal], frames: list[Frame]) -> list[tuple[str, str]]:
    """Returns distinct sentences with what each is about, in the order of phrases and frames.

    Of more than MOST, every phrase keeps about as many: those whose sentences have the smallest hashes.
    """
    nouns = [literal for literal in literals if not literal.bare]
    found: dict[str, tuple[str, int]] = {}  # text to what it is about and its turn among the sentences of its phrase
    for literal in literals:
        made = [_filled(frame, literal, nouns) for frame in frames if frame.bare or not literal.bare]
        new = sorted({text for text in made if text and text not in found}, key=_hash)
        turns = {text: turn for turn, text in enumerate(new)}
        found |= {text: (literal.about, turns[text]) for text in made if text in turns}
    chosen = set(sorted(found, key=lambda text: (found[text][1], _hash(text)))[:MOST])
    return [(text, about) for text, (about, _) in found.items() if text in chosen]


def _filled(frame: Frame, literal: Literal, nouns: list[Literal]) -> str:
    """Returns the sentence; '' where the frame has a place for a phrase of another label and there is none."""
    other = ""
    if frame.text.count(HOLE) == 2:
        start = int(_hash(f"{frame.text} {literal.text}"), 16) % len(nouns)
        turned = itertools.chain(nouns[start:], nouns[:start])  # from a place drawn by hash
        other = next((noun.text for noun in turned if noun.about != literal.about), "")
        if not other:
            return ""
    text = frame.text.replace(HOLE, literal.text, 1).replace(HOLE, other)
    return text[0].upper() + text[1:]


def _label(task: str, text: str, about: str, reader: Reader, hedges: Hedges) -> list[tuple[Any, ...]]:
    """Returns a row for each mention that the reader finds; one without a label where it finds none."""
    key = f"written:{_hash(text)[:16]}"
    spans, _ = reader.read_text(text)
    rows = [
        (key, task, n, text, span.label, span.says, hedges.of(span.says, span.cue), span.code, span.start, span.end, about)
        for n, span in enumerate(spans)
    ]
    return rows or [(key, task, 0, text, None, None, None, None, None, None, about)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
