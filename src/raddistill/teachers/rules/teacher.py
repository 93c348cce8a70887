"""The rule-based teacher: labels reports by a lexicon, and writes sentences with the lexicon's phrases that it labels likewise.

A written sentence's labels are what the reader finds in it, never what its frame was meant to say: "No {}" is a negation only if
the reader takes it for one. So the sentences teach what the teacher says, also for labels and statuses that are rare in reports.
"""

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from rich.console import Console
from rich.progress import track

from raddistill import passages
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.statuses import ABSENT, UNCERTAIN
from raddistill.tables.written import Written
from raddistill.tasks.names import MULTIPLE_CHOICE
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.lexicon import GAP, IGNORE, Phrase, broken, read_pairs, read_sections
from raddistill.teachers.rules.reader import Hedges, Reader
from raddistill.teachers.teacher import Finding, Labelled, LabelRows, Mention, as_table

MOST = 20_000  # sentences of a task; a student draws some thousand of them
BARE = "bare"  # the section of frames that take any phrase
SECTIONS = (BARE, "affirmed", "denied", "hedged", "past", "mixed")
HEADER = "begins,complete"
HOLE = "{}"
TAKES_NOUN = {"of", "in", "within", "at", "over", "overlying", "to", "above", "adjacent", "on"}  # "enlargement of .. heart"
VERBS = {"is", "are", "remains", "remain", "appears", "appear"}
_COMPLETE = re.compile(r"[a-z0-9']+")


class Templates(NamedTuple):
    """The two files from which sentences are written."""

    frames: Path
    completions: Path


class Literal(NamedTuple):
    """A phrase of the lexicon written out in whole words, to be put into frames.

    `bare`: it is a clause of its own ("heart is enlarged"), or it stands under [absent], so it fits bare frames only.
    """

    text: str
    about: str  # the label; for a condition, its code
    bare: bool


class Frame(NamedTuple):
    """A sentence with a `{}` for each phrase ("No {}."). `bare`: it says nothing itself, so any phrase fits."""

    text: str
    bare: bool


class RulesTeacher:
    """Labels reports for one task by the lexicon in the folder `source`. Reads the chosen sections only (see passages.CHOICES).

    `hedges`: the file with probabilities of hedges; without it no label has a probability. `templates`: the files from which
    sentences are written; without them none are written.
    """

    def __init__(
        self, task: str, source: str, sections: str | list[str], hedges: Path | None = None, templates: Templates | None = None
    ) -> None:
        passages.choose_sections(sections)  # refused before anything is read
        self.name = f"rules:{Path(source).name}"
        self._task, self._folder, self._sections = task, Path(source), sections
        self._hedges, self._templates = hedges, templates

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """Returns the tables for `reports`. A report without any of the sections goes to quarantine.

        If sentences are written, `counts` has `sentences` and `phrases_left_out` (those with a prefix without a whole word).

        Raises:
            InputError: the lexicon folder, or a file of templates, is missing or broken (file, line, reason).
        """
        hedges = Hedges(self._hedges)
        reader = Reader(self._task, self._folder, label_set, self._sections)
        rows = LabelRows(self._task, self.name)
        columns = reports.select("report_id", *passages.SECTIONS, "text").iter_rows(named=True)
        console = Console(stderr=True)
        for report in track(columns, self._task, reports.height, console=console, disable=not console.is_terminal):
            spans, reason = reader.read(report)
            if reason:
                rows.put_aside(report["report_id"], reason)
                continue
            mentions: dict[str, list[Mention]] = defaultdict(list)
            for s in spans:
                probability = hedges.probability(s.status, s.cue)
                mentions[s.label].append(Mention(s.section, s.start, s.end, s.cue, s.status, probability))
            rows.add(report["report_id"], [_finding(*row, mentions[row[0]]) for row in reader.summarize(spans)])
        if self._templates is None:
            return rows.labelled({})
        written, left_out = self._write(self._templates, label_set, reader, hedges)
        counts = {"sentences": written["sentence_id"].n_unique(), "phrases_left_out": left_out}
        return rows.labelled(counts)._replace(written=written)

    def _write(self, templates: Templates, label_set: list[Label], reader: Reader, hedges: Hedges) -> tuple[pl.DataFrame, int]:
        """Returns a table `Written`, and how many phrases were left out."""
        frames, completions = load_frames(templates.frames), load_completions(templates.completions)
        is_choice = self._task == MULTIPLE_CHOICE
        phrases = lexicon.load_labels(self._folder, label_set) if is_choice else lexicon.load_conditions(self._folder)
        literals = [in_whole_words(phrase, completions) for phrase in phrases if phrase.status != IGNORE]
        sentences = compose(list(itertools.chain.from_iterable(literals)), frames)
        rows = [row for text, about in sentences for row in _label(self._task, text, about, reader, hedges)]
        return as_table(rows, Written), literals.count([])


def _finding(label: str, status: str, code: str | None, mentions: list[Mention]) -> Finding:
    """Returns a finding with the highest probability of its mentions, if it is uncertain."""
    probabilities = [mention.probability for mention in mentions if mention.probability is not None and status == UNCERTAIN]
    return Finding(label, status, max(probabilities, default=None), code, mentions)


def load_frames(path: Path) -> list[Frame]:
    """Returns the frames of a file, one per line.

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
            raise broken(path, number, "this frame is listed twice; keep one")
        frames.append(Frame(line, section == BARE))
    if not frames:
        raise InputError(f"{path}: no frame, so no sentence could be written")
    return frames


def load_completions(path: Path) -> dict[str, list[str]]:
    """Returns the whole words for each prefix (`opacit*`).

    Raises:
        InputError: the file is missing or broken (file, line, reason).
    """
    completions: dict[str, list[str]] = {}
    for number, *cells in read_pairs(path, HEADER):
        prefix, words = cells[0].lower(), cells[1].lower().split("|")
        if not prefix.endswith("*") or prefix in completions:
            raise broken(path, number, f"expected `{HEADER}`: `word*`, each once, and its whole words")
        if not all(_COMPLETE.fullmatch(word) and word.startswith(prefix[:-1]) for word in words):
            raise broken(path, number, "every whole word must begin with the letters before the `*`; `|` separates words")
        completions[prefix] = words
    return completions


def in_whole_words(phrase: Phrase, completions: dict[str, list[str]]) -> list[Literal]:
    """Returns the phrase in whole words, once for every way to complete its prefixes and fill its gaps.

    For "opacit* .. lung", completions.csv has "opacity" and "opacities", and `_fill_gaps` has words for the gap. The list is
    empty if a prefix has no completion.
    """
    about = phrase.code or phrase.label
    bare = GAP in phrase.words or phrase.status == ABSENT or not VERBS.isdisjoint(phrase.words)
    choices = [completions.get(word, []) if word.endswith("*") else [word] for word in phrase.words]
    texts = [text for words in itertools.product(*choices) for text in _fill_gaps(words)]
    return [Literal(text, about, bare) for text in dict.fromkeys(texts)]


def _fill_gaps(words: tuple[str, ...]) -> Iterator[str]:
    """Yields the words as text with each gap filled.

    "the" after a preposition ("enlargement of the heart"), nothing if the phrase has a verb, else both "is" and nothing ("heart
    is enlarged", "heart enlarged").
    """
    has_verb = not VERBS.isdisjoint(words)
    choices = [[word] for word in words]
    for i, word in enumerate(words):
        if word == GAP:
            before = words[i - 1]
            plural = before.endswith("s") and not before.endswith(("ss", "is", "us"))
            choices[i] = ["the"] if before in TAKES_NOUN else [""] if has_verb else ["are" if plural else "is", ""]
    for chosen in itertools.product(*choices):
        yield re.sub(r" ([,:])", r"\1", " ".join(word for word in chosen if word))  # no space before a mark: "heart, lungs"


def compose(literals: list[Literal], frames: list[Frame]) -> list[tuple[str, str]]:
    """Returns pairs of a sentence and the label (for a condition, the code) of the phrase that was put into it.

    No sentence comes twice; the order is that of phrases and frames. If there are more than MOST, every phrase keeps about as
    many sentences: those with the smallest hashes.
    """
    nouns = [literal for literal in literals if not literal.bare]
    ranked: dict[str, tuple[str, int]] = {}  # sentence -> label or code, and its rank by hash among the sentences of its phrase
    for literal in literals:
        filled = [_fill(frame, literal, nouns) for frame in frames if frame.bare or not literal.bare]
        new = sorted({text for text in filled if text and text not in ranked}, key=_hash)
        ranks = {text: rank for rank, text in enumerate(new)}
        ranked |= {text: (literal.about, ranks[text]) for text in filled if text in ranks}
    chosen = set(sorted(ranked, key=lambda text: (ranked[text][1], _hash(text)))[:MOST])
    return [(text, about) for text, (about, _) in ranked.items() if text in chosen]


def _fill(frame: Frame, literal: Literal, nouns: list[Literal]) -> str:
    """Returns the sentence; '' if the frame also takes a phrase of another label and no noun is one."""
    other = ""
    if frame.text.count(HOLE) == 2:
        start = int(_hash(f"{frame.text} {literal.text}"), 16) % len(nouns)
        rotated = itertools.chain(nouns[start:], nouns[:start])  # begins at an index drawn by hash
        other = next((noun.text for noun in rotated if noun.about != literal.about), "")
        if not other:
            return ""
    text = frame.text.replace(HOLE, literal.text, 1).replace(HOLE, other)
    return text[0].upper() + text[1:]


def _label(task: str, text: str, about: str, reader: Reader, hedges: Hedges) -> list[tuple[Any, ...]]:
    """Returns one row per mention that the reader finds; one row without a label if it finds none."""
    key = f"written:{_hash(text)[:16]}"
    spans, _ = reader.read_text(text)
    rows = [
        (key, task, n, text, s.label, s.status, hedges.probability(s.status, s.cue), s.code, s.start, s.end, about)
        for n, s in enumerate(spans)
    ]
    return rows or [(key, task, 0, text, None, None, None, None, None, None, about)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
