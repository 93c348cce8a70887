"""Finds where the scope of cues ends in a sentence: at the ends of clauses and lists. No files, no state."""

import itertools
from collections.abc import Collection
from typing import NamedTuple

from raddistill.teachers.rules.field_values import AFTER
from raddistill.teachers.rules.mentions import PhraseMatch, Sentence

STRUCTURE = ("verbs", "seen", "adjectives")  # kinds of cues that give no status but show where a clause ends
# A phrase that opens a sentence with such a word is not what the rest is about: "after drainage, the effusion". "s" is
# that of "s/p".
OPENERS = frozenset(
    ("after", "compared", "despite", "following", "given", "once", "post", "s", "since", "status", "upon", "with")
)
# Such a word after a comma or "and" begins a new finding, unless an "or" continues the list: "no effusion, small pneumothorax".
SIZES = frozenset(
    ("few", "mild", "mildly", "minimal", "minimally", "minor", "moderate", "moderately", "scattered", "several", "severe",
     "slight", "slightly", "small", "some", "subtle", "tiny", "trace")
)  # fmt: skip
BEFORE_SIZES = ("a", "an", "and", "again", "just", "now", "only", "still")
SINGULAR = ("is", "was", "has")
OR, NEGATION = "or", "negation"  # what may follow in a list


class Boundaries(NamedTuple):
    """Indexes of the words at which the scope of cues ends, and at which a list goes on."""

    forward: set[int]  # the reach of cues before these words ends here
    backward: set[int]  # the reach of cues after these words ends here
    list_end: set[int]  # a list of negated findings ends here
    list_continues: set[int]  # a list goes on here, whatever follows


def find_boundaries(sentence: Sentence, structure: list[PhraseMatch]) -> Boundaries:
    """Returns where the reach of cues ends. `structure`: the sentence's cues of the kinds STRUCTURE, which its `cues` lack."""
    verbs, seen, adjectives = ({m.first for m in structure if m.phrase.label == kind} for kind in STRUCTURE)
    pieces = find_pieces(sentence.words, adjectives)
    follows = _what_follows(sentence)
    return Boundaries(
        forward=forward_ends(sentence.words, pieces, verbs, seen),
        backward=backward_ends(pieces, verbs) | _opener_ends(sentence),
        list_end=_list_ends(sentence, follows),
        list_continues={i for i, word in enumerate(sentence.words) if word in (",", "and") and follows[i] == OR},
    )


def find_pieces(words: list[str], adjectives: Collection[int] = ()) -> list[range]:
    """Returns the pieces of a sentence between its commas and "and"s, as indexes of words.

    A comma after one of `adjectives` joins two of them ("no acute, displaced fracture is seen").
    """
    marks = [i for i, word in enumerate(words) if word == "and" or (word == "," and i - 1 not in adjectives)]
    return [range(before + 1, after) for before, after in itertools.pairwise([-1, *marks, len(words)])]


def forward_ends(words: list[str], pieces: list[range], verbs: set[int], seen: set[int]) -> set[int]:
    """Returns the commas and "and"s where forward cues stop: before a piece with a verb ("no effusion, the heart is enlarged").

    Other pieces are items of a list. So are those with "or" or "nor" ("no effusion, pneumothorax, or consolidation is noticed"),
    and those that begin with "and" and hold one of `seen` ("no effusion and pneumothorax are seen").
    """
    ends: set[int] = set()
    for piece in pieces[1:]:
        mark = piece.start - 1
        list_continues = any(words[i] in ("or", "nor") for i in piece) or (words[mark] == "and" and not seen.isdisjoint(piece))
        if not verbs.isdisjoint(piece) and not list_continues:
            ends.add(mark)
    return ends


def backward_ends(pieces: list[range], verbs: set[int]) -> set[int]:
    """Returns the commas and "and"s where backward cues stop: after a piece with a verb ("heart is large, edema is not seen")."""
    return {piece.stop for piece in pieces[:-1] if not verbs.isdisjoint(piece)}


def _opener_ends(sentence: Sentence) -> set[int]:
    """Returns the indexes of words where backward cues stop, since what is before them is not what the cue is about.

    The comma (or "the") after a phrase that opens the sentence ("after drainage, the effusion has resolved"), and the comma
    before a single finding with its own verb ("chest tube in place, pneumothorax has resolved").
    """
    words = sentence.words
    ends: set[int] = set()
    if words[0] in OPENERS:
        first_after = next((i for i in sorted(sentence.cues) if sentence.kind(i) in AFTER), 0)
        the = [i for i in range(2, first_after) if words[i] == "the"]
        ends.update([words.index(",")] if "," in words else the[-1:])
    comma, is_joined = -1, False  # the last comma, and whether "and", "or" or "nor" came after it
    for i, word in enumerate(words):
        if word == ",":
            comma, is_joined = i, False
        is_joined = is_joined or word in ("and", "or", "nor")
        is_singular = word in SINGULAR or words[i - 1] in SINGULAR
        if is_singular and sentence.kind(i) == "post_negation" and comma >= 0 and not is_joined:
            ends.update([comma] if not sentence.mentioned.isdisjoint(range(comma + 1, i)) else [])
    return ends


def _list_ends(sentence: Sentence, follows: list[str | None]) -> set[int]:
    """Returns the commas and "and"s where a list of negated findings ends, unless an "or" follows.

    It ends before a finding with a size, and where a later item is negated anew ("no effusion, right pneumothorax, no edema").
    """
    words = sentence.words
    ends: set[int] = set()
    for i, (word, following) in enumerate(itertools.pairwise(words)):
        if word not in (",", "and") or follows[i] == OR:
            continue
        size = words[i + 2] if following in BEFORE_SIZES and i + 2 < len(words) else following
        negated_anew = follows[i] == NEGATION and word == "," and i + 1 not in sentence.cues and following != "and"
        if size in SIZES or negated_anew:
            ends.add(i)
    return ends


def _what_follows(sentence: Sentence) -> list[str | None]:
    """Returns what follows each word in its list: OR, a NEGATION that begins an item, or None if neither.

    Any other negation, and a terminator other than a comma or "but", ends the list.
    """
    words = sentence.words
    follows: list[str | None] = [None] * len(words)
    next_one: str | None = None
    for i in reversed(range(len(words))):
        kind = sentence.kind(i)
        if words[i] in ("or", "nor"):
            next_one = OR
        elif kind == "pre_negation":
            next_one = NEGATION if words[i - 1 : i] in ([","], ["and"], ["but"]) else None
        elif kind == "terminators" and words[i] not in (",", "but"):
            next_one = None
        follows[i] = next_one
    return follows
