"""Text to sentences to mentions: where the phrases of a lexicon stand. Computes only; knows neither files nor tables.

All phrases share one tree over words, so a sentence is walked once however many labels there are, and the time grows
linearly with the text: from each word at most `MAX_GAP` words per gap are looked ahead, whatever the text repeats.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from raddistill.teachers.rules.lexicon import GAP, Phrase

MAX_GAP = 8  # words (commas count) that a `..` may span: "heart size, mediastinal contour, and hila are normal"

LONGEST_SENTENCE = 10_000  # characters; the longest of Open-i has 261
LONGEST_WORD = 40  # characters; what longer ones fit is not remembered
_REMEMBERED_WORDS = 1 << 15

_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+(?:['’][^\W_]+)?|[,:()]")  # numbers with stops, words, marks
# A full stop ends a sentence before white space or a capital ("effusion.The"), never within a number; a semicolon always does.
# A line ends one before a list mark or a blank line; other line ends are decided by the next word, since reports are often
# wrapped at a fixed width.
_STOP = r"""[.!?](?=\s|$|[A-Z"')(])"""
_BREAK = re.compile(rf"(?:;|\n|{_STOP})[ \t\r]*")
_BLANK_OR_LISTED = re.compile(r"\n|(?:[-*•]|\d{1,2}[.)])[ \t]")
_NEXT = re.compile(rf"[^\W_]|[,:();\n]|{_STOP}")
_LOOK_BACK = 24  # characters before a stop or a line's end in which its last word is looked for: longer than the words below
_ABBREVIATIONS = ("dr", "mr", "mrs", "ms", "vs", "v", "approx", "st", "e", "g", "i")
_CARRIED_ON = frozenset(
    (",", "(", "a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "are", "no", "nor", "not", "of", "on", "or", "than",
     "the", "to", "with", "without")
)  # fmt: skip


class Mention(NamedTuple):
    """A phrase found in a sentence. `at` are the indexes of its words; what a gap spans is not among them."""

    phrase: Phrase
    at: tuple[int, ...]

    @property
    def gap(self) -> int:
        return self.at[-1] - self.at[0] + 1 - len(self.at)


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of the sentences of text[start:end], in code points from the beginning of `text`.

    What goes on without a stop for longer than any sentence is cut between words, so that time and memory stay bounded.
    """
    for begins, ends in _stopped(text, start, end):
        start = begins
        while ends - start > LONGEST_SENTENCE:
            space = text.rfind(" ", start + 1, start + LONGEST_SENTENCE)
            cut = space if space > 0 else start + LONGEST_SENTENCE
            yield start, cut
            start = cut
        yield start, ends


def _stopped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for found in _BREAK.finditer(text, start, end):
        at, after = found.span()
        if text[at] == "\n":
            ends = _ends_with_line(text, start, at, after, end)
        else:
            ends = text[at] != "." or not _is_abbreviated(text, start, at)
        if ends:
            if at > start:
                yield start, at
            start = after
    if end > start:
        yield start, end


def _is_abbreviated(text: str, start: int, stop: int) -> bool:
    before = text[max(start, stop - _LOOK_BACK) : stop].lower()
    return before.endswith(_ABBREVIATIONS) and _last_word(before) in _ABBREVIATIONS


def _ends_with_line(text: str, start: int, line_end: int, after: int, end: int) -> bool:
    """Whether the sentence ends with its line: before a blank line or a list mark, or where the next one begins anew."""
    if _BLANK_OR_LISTED.match(text, after, end):
        return True
    following = _NEXT.search(text, after, end)
    if following is None or not following.group().isupper():
        return False
    return _last_word(text[max(start, line_end - _LOOK_BACK) : line_end].lower()) not in _CARRIED_ON


def _last_word(text: str) -> str:
    return next(iter(reversed(_WORD.findall(text))), "")


def find_words(sentence: str) -> list[str]:
    """The words in lower case; punctuation marks are words of their own."""
    return _WORD.findall(_lower(sentence))


def find_places(sentence: str) -> list[tuple[int, int]]:
    """Start and end of each of `find_words`."""
    return [found.span() for found in _WORD.finditer(_lower(sentence))]


def _lower(sentence: str) -> str:
    """In lower case and as long as before, so that places stay: "İ" would become two characters."""
    lower = sentence.lower()
    if len(lower) != len(sentence):
        lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in sentence)
    return lower.replace("’", "'")


class Node:
    """A place in the tree of phrases: those that end here, and the nodes that a word leads to, at once or after a gap."""

    __slots__ = ("after_gap", "ends", "following")

    def __init__(self) -> None:
        self.ends: list[Phrase] = []
        self.following: dict[str, Node] = {}
        self.after_gap: dict[str, Node] = {}


class Fits(dict[str, tuple[str, ...]]):
    """Which of `keys` a word fits: itself and its beginnings (`opaci*`). Remembers, within bounds."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self._keys = keys
        self._lengths = sorted({len(key) - 1 for key in keys if key.endswith("*")})

    def __missing__(self, word: str) -> tuple[str, ...]:
        beginnings = (word[:n] + "*" for n in self._lengths if n <= len(word))
        fitting = tuple(key for key in (word, *beginnings) if key in self._keys)
        if len(word) <= LONGEST_WORD:
            if len(self) >= _REMEMBERED_WORDS:
                self.clear()
            self[word] = fitting
        return fitting


class Matcher:
    """Finds phrases in sentences."""

    def __init__(self, phrases: list[Phrase]) -> None:
        self._first: dict[str, Node] = {}
        for phrase in phrases:
            edges, node = self._first, None
            for word in phrase.words:
                if word == GAP and node is not None:
                    edges = node.after_gap
                else:
                    node = edges.setdefault(word, Node())
                    edges = node.following
            if node is not None:
                node.ends.append(phrase)
        self._fits = Fits({word for phrase in phrases for word in phrase.words})

    def find(self, words: list[str]) -> list[Mention]:
        """All mentions in a sentence, overlapping ones too, in the order of their first words."""
        found: list[Mention] = []
        keys = [*map(self._fits.__getitem__, words), ()]  # the last one: where the sentence ends nothing follows
        for i, fitting in enumerate(keys):
            for key in fitting:
                if key in self._first:
                    self._walk(self._first[key], keys, (i,), found)
        return found

    def _walk(self, node: Node, keys: list[tuple[str, ...]], at: tuple[int, ...], found: list[Mention]) -> None:
        for phrase in node.ends:
            found.append(Mention(phrase, at))
        following = at[-1] + 1
        if node.following:
            for key in keys[following]:
                if key in node.following:
                    self._walk(node.following[key], keys, (*at, following), found)
        if node.after_gap:
            for i, fitting in enumerate(keys[following : following + MAX_GAP + 1], start=following):
                for key in fitting:
                    if key in node.after_gap:
                        self._walk(node.after_gap[key], keys, (*at, i), found)


def resolve(found: list[Mention]) -> list[Mention]:
    """Of mentions that share a word one; in the order of the text.

    The longer if it holds all words of the other ("degenerative changes of the spine"), else the tighter (fewer words in gaps: in
    "heart enlarged, lungs normal" `heart .. enlarged` must win against `heart .. normal`), else the longer.
    Called with mentions of one label, of all conditions, or of all cues.
    """
    places = [i for mention in found for i in mention.at]
    if len(set(places)) == len(places):
        return found
    covering: dict[int, list[frozenset[int]]] = defaultdict(list)
    sets = [frozenset(mention.at) for mention in found]
    for held in set(sets):
        for i in held:
            covering[i].append(held)
    whole = [m for m, held in zip(found, sets, strict=True) if not any(held < other for other in covering[m.at[0]])]
    taken: set[int] = set()
    kept: list[Mention] = []
    for mention in sorted(whole, key=lambda m: (m.gap, -len(m.at), m.at)):
        if taken.isdisjoint(mention.at):
            taken.update(mention.at)
            kept.append(mention)
    return sorted(kept, key=lambda m: m.at)
