"""Finds the phrases of a lexicon in a sentence. Pure: knows neither files nor tables.

All phrases share one tree over words (a trie), so each sentence is read once for all labels. The time grows linearly with the
text, as a gap spans at most `MAX_GAP` words.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from raddistill.teachers.rules.lexicon import GAP, Phrase

MAX_GAP = 8  # words (commas count) that a `..` may span: "heart size, mediastinal contour, and hila are normal"

LONGEST_WORD = 40  # characters; longer words are not cached
_CACHED_WORDS = 1 << 15

# The value at the end of a field: "effusion: not seen."
_VALUE = "none|nil|neg|negative|absent|resolved|unlikely|excluded|possible|probable|likely|suspected|not[ ](?:seen|present)"
# One word or mark of a sentence in lower case. A dash or arrow is a mark only where it separates a name from its value.
_WORD = re.compile(
    rf"""
      \d+(?:\.\d+)+                  # a number with stops: "1.5"
    | (?<!\w)[-–−+]ve\b              # "-ve", "+ve"
    | [^\W_]+(?:'[^\W_]+)?           # a word: "effusion", "isn't"
    | [,:()?=]                       # a mark
    | (?<=\()[-–−](?=\))             # the minus of "(-)"
    | (?: (?<=\s)[-–—]{{1,2}}         # a mark between a name and its value: "effusion - none",
        | -{{1,2}}> | →              #     "effusion -> none",
        | (?<=\.\.)\.                #     "effusion .... none",
        | (?<=__)_                   #     "effusion ____ none";
      ) (?= \s*(?:no|{_VALUE})\s*(?:[.,;)]|$) )
    | (?<=[\w)])[-–—]{{1,2}}(?=(?:none|nil|neg|negative|absent)\b)  # and without spaces: "effusion-none"
    """,
    re.VERBOSE,
)
_VARIANTS = dict.fromkeys(map(ord, "’‘ʼ`´′"), "'") | {ord("["): "(", ord("]"): ")"}  # characters read as another one
_NEGATED = ("is", "are", "was", "were", "has", "have", "had", "do", "does", "did", "would", "could", "should", "need", "must")
# Words that are read as others: contractions as two words, marks between a name and its value as a colon. "can't" is missing,
# since lexicons list it, like "cannot".
_EXPANSIONS: dict[str, tuple[str, ...]] = {
    **{f"{verb}n{mark}t": (verb, "not") for verb in _NEGATED for mark in ("'", "")},
    **{f"{verb}n": (verb, "not") for verb in _NEGATED if verb not in ("do", "need", "must")},  # "isn t"
    "n't": ("not",), "won't": ("will", "not"), "ain't": ("is", "not"), "cant": ("can't",), "there's": ("there", "is"),
    **dict.fromkeys(("-ve", "–ve", "−ve"), ("negative",)), "+ve": ("positive",),
    **dict.fromkeys(("=", "-", "--", "–", "–-", "—", "−", "->", "-->", "→", ".", "_"), (":",)),
}  # fmt: skip


class PhraseMatch(NamedTuple):
    """A mention or a cue found in a sentence. `indexes` are those of its words, without the words in its gaps."""

    phrase: Phrase
    indexes: tuple[int, ...]

    @property
    def first(self) -> int:
        return self.indexes[0]

    @property
    def last(self) -> int:
        return self.indexes[-1]

    @property
    def gap(self) -> int:
        """The number of words in its gaps."""
        return self.last - self.first + 1 - len(self.indexes)


class Sentence(NamedTuple):
    """A sentence with the cues and mentions that were found in it."""

    words: list[str]
    cues: dict[int, PhraseMatch]  # by the index of their first word; no two share a word
    mentioned: set[int]  # the indexes of the words of mentions

    def kind(self, i: int) -> str | None:
        """Returns the kind of the cue that begins with the word `i`; None if none does."""
        return self.cues[i].phrase.label if i in self.cues else None

    def skip(self, start: int, end: int, fillers: Collection[str]) -> int:
        """Returns the index of the first word in [start, end) that is no filler, or that begins a cue; `end` if there is none."""
        while start < end and self.words[start] in fillers and self.kind(start) in (None, "terminators"):
            start += 1
        return start


def find_words(sentence: str) -> list[str]:
    """Returns the words in lower case, contractions as two ("isn't": "is", "not"); each punctuation mark is a word."""
    words = _WORD.findall(_lower(sentence))
    return words if _EXPANSIONS.keys().isdisjoint(words) else list(_expand(words))


def find_word_spans(sentence: str) -> list[tuple[int, int]]:
    """Returns start and end of each word of `find_words`; both words of a contraction have the same span."""
    return [m.span() for m in _WORD.finditer(_lower(sentence)) for _ in _EXPANSIONS.get(m.group(), ("",))]


def _expand(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from _EXPANSIONS.get(word, (word,))


def _lower(sentence: str) -> str:
    """Returns the sentence in lower case with its length unchanged, so that offsets stay true ("İ" would become two)."""
    lower = sentence.lower()
    if len(lower) != len(sentence):
        lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in sentence)
    return lower.translate(_VARIANTS)


class Node:
    """A node of the tree: the phrases that end here, and the nodes that the next word leads to, directly or after a gap."""

    __slots__ = ("after_gap", "following", "phrases")

    def __init__(self) -> None:
        self.phrases: list[Phrase] = []
        self.following: dict[str, Node] = {}
        self.after_gap: dict[str, Node] = {}


class WordKeys(dict[str, tuple[str, ...]]):
    """Maps a word to those of `keys` that match it: the word itself and prefixes of it (`opaci*`). A cache of limited size."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self._keys = keys
        self._prefix_lengths = sorted({len(key) - 1 for key in keys if key.endswith("*")})

    def __missing__(self, word: str) -> tuple[str, ...]:
        prefixes = (word[:n] + "*" for n in self._prefix_lengths if n <= len(word))
        matching = tuple(key for key in (word, *prefixes) if key in self._keys)
        if len(word) <= LONGEST_WORD:
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[word] = matching
        return matching


class Matcher:
    """Finds the given phrases in sentences. Build it once: it puts all phrases into one tree over words."""

    def __init__(self, phrases: list[Phrase]) -> None:
        self._first: dict[str, Node] = {}
        for phrase in phrases:
            edges, node = self._first, None
            for word in _expand(phrase.words):
                if word == GAP and node is not None:
                    edges = node.after_gap
                else:
                    node = edges.setdefault(word, Node())
                    edges = node.following
            if node is not None:
                node.phrases.append(phrase)
        self._keys_of = WordKeys({word for phrase in phrases for word in _expand(phrase.words)})

    def find(self, words: list[str]) -> list[PhraseMatch]:
        """Returns all matches in a sentence, also those that overlap, in the order of their first words."""
        found: list[PhraseMatch] = []
        keys = [*map(self._keys_of.__getitem__, words), ()]  # the last entry: nothing follows the end of the sentence
        for i, matching in enumerate(keys):
            for key in matching:
                if key in self._first:
                    self._walk(self._first[key], keys, (i,), found)
        return found

    def _walk(self, node: Node, keys: list[tuple[str, ...]], indexes: tuple[int, ...], found: list[PhraseMatch]) -> None:
        """Adds to `found` the phrases that begin with the words at `indexes`, which lead to `node`."""
        for phrase in node.phrases:
            found.append(PhraseMatch(phrase, indexes))
        following = indexes[-1] + 1
        if node.following:
            for key in keys[following]:
                if key in node.following:
                    self._walk(node.following[key], keys, (*indexes, following), found)
        if node.after_gap:
            for i, matching in enumerate(keys[following : following + MAX_GAP + 1], start=following):
                for key in matching:
                    if key in node.after_gap:
                        self._walk(node.after_gap[key], keys, (*indexes, i), found)


def resolve(found: list[PhraseMatch]) -> list[PhraseMatch]:
    """Returns matches of which no two share a word, in text order. `found`: those of one label, all conditions or all cues.

    Of two that share a word, the one that holds all words of the other is kept ("degenerative changes of the spine"). Else the
    one with fewer words in gaps: in "heart enlarged, lungs normal", `heart .. enlarged` wins against `heart .. normal`. Else the
    longer one.
    """
    all_indexes = [i for match in found for i in match.indexes]
    if len(set(all_indexes)) == len(all_indexes):
        return found
    sets = [frozenset(match.indexes) for match in found]
    sets_at: dict[int, list[frozenset[int]]] = defaultdict(list)  # by the index of a word: the matches that hold it
    for indexes in set(sets):
        for i in indexes:
            sets_at[i].append(indexes)
    maximal = [m for m, indexes in zip(found, sets, strict=True) if not any(indexes < other for other in sets_at[m.first])]
    taken: set[int] = set()
    kept: list[PhraseMatch] = []
    for match in sorted(maximal, key=lambda m: (m.gap, -len(m.indexes), m.indexes)):
        if taken.isdisjoint(match.indexes):
            taken.update(match.indexes)
            kept.append(match)
    return sorted(kept, key=lambda m: m.indexes)
