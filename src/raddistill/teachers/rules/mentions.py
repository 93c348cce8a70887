"""Sentences to mentions: where the phrases of a lexicon stand. Computes only; knows neither files nor tables.

All phrases share one tree over words, so a sentence is walked once however many labels there are, and the time grows
linearly with the text: from each word at most `MAX_GAP` words per gap are looked ahead, whatever the text repeats.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from raddistill.teachers.rules.lexicon import GAP, Phrase

MAX_GAP = 8  # words (commas count) that a `..` may span: "heart size, mediastinal contour, and hila are normal"

LONGEST_WORD = 40  # characters; what longer ones fit is not remembered
_REMEMBERED_WORDS = 1 << 15

# What may stand at the end of a field: "effusion: not seen."
_VALUE = "none|nil|neg|negative|absent|resolved|unlikely|excluded|possible|probable|likely|suspected|not[ ](?:seen|present)"
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
_SAME = dict.fromkeys(map(ord, "’‘ʼ`´′"), "'") | {ord("["): "(", ord("]"): ")"}  # marks that are read as another
_NEGATED = ("is", "are", "was", "were", "has", "have", "had", "do", "does", "did", "would", "could", "should", "need", "must")
# What one word of a report stands for. "can't" is not here: lexicons name it, as they do "cannot".
_MEANS: dict[str, tuple[str, ...]] = {
    **{f"{verb}n{mark}t": (verb, "not") for verb in _NEGATED for mark in ("'", "")},
    **{f"{verb}n": (verb, "not") for verb in _NEGATED if verb not in ("do", "need", "must")},  # "isn t"
    "n't": ("not",), "won't": ("will", "not"), "ain't": ("is", "not"), "cant": ("can't",), "there's": ("there", "is"),
    **dict.fromkeys(("-ve", "–ve", "−ve"), ("negative",)), "+ve": ("positive",),
    **dict.fromkeys(("=", "-", "--", "–", "–-", "—", "−", "->", "-->", "→", ".", "_"), (":",)),
}  # fmt: skip


class Mention(NamedTuple):
    """A phrase found in a sentence. `at` are the indexes of its words; what a gap spans is not among them."""

    phrase: Phrase
    at: tuple[int, ...]

    @property
    def gap(self) -> int:
        return self.at[-1] - self.at[0] + 1 - len(self.at)


def find_words(sentence: str) -> list[str]:
    """The words in lower case, contractions as two ("isn't": "is", "not"); punctuation marks are words of their own."""
    words = _WORD.findall(_lower(sentence))
    return words if _MEANS.keys().isdisjoint(words) else list(_written_out(words))


def find_places(sentence: str) -> list[tuple[int, int]]:
    """Start and end of each of `find_words`; both words of a contraction have its place."""
    return [m.span() for m in _WORD.finditer(_lower(sentence)) for _ in _MEANS.get(m.group(), ("",))]


def _written_out(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from _MEANS.get(word, (word,))


def _lower(sentence: str) -> str:
    """In lower case and as long as before, so that places stay: "İ" would become two characters."""
    lower = sentence.lower()
    if len(lower) != len(sentence):
        lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in sentence)
    return lower.translate(_SAME)


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
            for word in _written_out(phrase.words):
                if word == GAP and node is not None:
                    edges = node.after_gap
                else:
                    node = edges.setdefault(word, Node())
                    edges = node.following
            if node is not None:
                node.ends.append(phrase)
        self._fits = Fits({word for phrase in phrases for word in _written_out(phrase.words)})

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
    # Those whose words are all held by a longer one go first: "degenerative changes" within "degenerative changes of the spine".
    covering: dict[int, list[frozenset[int]]] = defaultdict(list)
    sets = [frozenset(mention.at) for mention in found]
    for held in set(sets):
        for i in held:
            covering[i].append(held)
    whole = [m for m, held in zip(found, sets, strict=True) if not any(held < other for other in covering[m.at[0]])]
    # Of the rest the tightest takes its words, then the next that shares none with those taken.
    taken: set[int] = set()
    kept: list[Mention] = []
    for mention in sorted(whole, key=lambda m: (m.gap, -len(m.at), m.at)):
        if taken.isdisjoint(mention.at):
            taken.update(mention.at)
            kept.append(mention)
    return sorted(kept, key=lambda m: m.at)
