"""Text to sentences to mentions: where the phrases of a lexicon stand. Computes only; knows neither files nor tables.

All phrases share one tree over words, so a sentence is walked once however many labels there are, and the time grows
linearly with the text: from each word at most `MAX_GAP` words per gap are looked ahead, whatever the text repeats.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from raddistill.teachers.rules.lexicon import GAP, Phrase

MAX_GAP = 8  # words (commas count) that a `..` may span: "heart size, mediastinal contour, and hila are normal"

# A full stop ends a sentence before white space or a capital ("effusion.The"), never within a number; a semicolon always does.
# A line ends one before a list mark or a blank line; other line ends are decided by `_starts_anew`, since reports are often
# wrapped at a fixed width.
_TOKEN = re.compile(
    r"""(?P<word>\d+(?:\.\d+)+|[^\W_]+(?:['’][^\W_]+)?)
      |(?P<stop>;|[.!?](?=\s|$|[A-Z"')(])|\n[ \t]*\n|\n(?=[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]))
      |(?P<line>\n)
      |(?P<mark>[,:()])""",
    re.VERBOSE,
)
_ABBREVIATIONS = frozenset(("dr", "mr", "mrs", "ms", "vs", "approx", "st", "e", "g", "i"))
_CARRIED_ON = frozenset(
    (",", "(", "a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "are", "no", "nor", "not", "of", "on", "or", "than",
     "the", "to", "with", "without")
)  # fmt: skip


class Token(NamedTuple):
    word: str  # lower case; punctuation marks are words of their own
    start: int  # code points into the text that was split; end exclusive
    end: int


class Mention(NamedTuple):
    """A phrase found in a sentence. `at` are the indexes of its words; what a gap spans is not among them."""

    phrase: Phrase
    at: tuple[int, ...]

    @property
    def gap(self) -> int:
        return self.at[-1] - self.at[0] + 1 - len(self.at)


def sentences(text: str, start: int, end: int) -> Iterator[list[Token]]:
    """The sentences of text[start:end]; offsets count from the beginning of `text`."""
    sentence: list[Token] = []
    new_line = False
    for match in _TOKEN.finditer(text, start, end):
        kind = match.lastgroup
        if kind == "line":
            new_line = True
            continue
        last = sentence[-1].word if sentence else ""
        abbreviated = match.group() == "." and last in _ABBREVIATIONS
        if (kind == "stop" and not abbreviated) or (new_line and _starts_anew(last, match.group())):
            if sentence:
                yield sentence
            sentence = []
        new_line = False
        if kind != "stop":
            sentence.append(Token(match.group().lower().replace("’", "'"), match.start(), match.end()))
    if sentence:
        yield sentence


def _starts_anew(last: str, following: str) -> bool:
    return following[0].isupper() and last not in _CARRIED_ON


class Matcher:
    """Finds phrases in sentences. A node of the tree is a dict from a word, a beginning or a gap to the next node."""

    _END = ""  # no word is empty, so this key can hold the phrases that end at a node

    def __init__(self, phrases: list[Phrase]) -> None:
        self._root: dict = {}
        self._keys: set[str] = set()
        for phrase in phrases:
            node = self._root
            for word in phrase.words:
                node = node.setdefault(word, {})
            node.setdefault(self._END, []).append(phrase)
            self._keys.update(phrase.words)
        self._lengths = sorted({len(key) - 1 for key in self._keys if key.endswith("*")})
        self._keys_of = lru_cache(maxsize=1 << 16)(self._find_keys)

    def _find_keys(self, word: str) -> tuple[str, ...]:
        """The keys of the tree that a word of a report fits: itself and its beginnings."""
        beginnings = (word[:n] + "*" for n in self._lengths if n <= len(word))
        return tuple(key for key in (word, *beginnings) if key in self._keys)

    def find(self, words: list[str]) -> list[Mention]:
        """All mentions in a sentence, overlapping ones too, in the order of their first words."""
        found: list[Mention] = []
        keys = [self._keys_of(word) for word in words]
        for i, fitting in enumerate(keys):
            for key in fitting:
                if key in self._root:
                    self._walk(self._root[key], keys, (i,), found)
        return found

    def _walk(self, node: dict, keys: list[tuple[str, ...]], at: tuple[int, ...], found: list[Mention]) -> None:
        found.extend(Mention(phrase, at) for phrase in node.get(self._END, ()))
        following = at[-1] + 1
        for key in keys[following] if following < len(keys) else ():
            if key in node:
                self._walk(node[key], keys, (*at, following), found)
        if GAP in node:
            for i in range(following, min(following + MAX_GAP + 1, len(keys))):
                for key in keys[i]:
                    if key in node[GAP]:
                        self._walk(node[GAP][key], keys, (*at, i), found)


def resolve(found: list[Mention]) -> list[Mention]:
    """Of mentions that share a word one; in the order of the text.

    The longer if it holds all words of the other ("degenerative changes of the spine"), else the tighter (fewer words in gaps: in
    "heart enlarged, lungs normal" `heart .. enlarged` must win against `heart .. normal`), else the longer.
    Called with mentions of one label, of all conditions, or of all cues.
    """
    if len(found) < 2:
        return found
    covering: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for mention in found:
        for i in mention.at:
            covering[i].append(mention.at)
    whole = [m for m in found if not any(set(m.at) < set(other) for other in covering[m.at[0]])]
    taken: set[int] = set()
    kept: list[Mention] = []
    for mention in sorted(whole, key=lambda m: (m.gap, -len(m.at), m.at)):
        if taken.isdisjoint(mention.at):
            taken.update(mention.at)
            kept.append(mention)
    return sorted(kept, key=lambda m: m.at)
