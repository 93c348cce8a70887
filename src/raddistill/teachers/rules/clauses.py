"""Where clauses and lists end in a sentence, so that a cue reaches no further. Pure."""

import itertools
from collections.abc import Collection
from typing import NamedTuple

from raddistill.teachers.rules.field_values import AFTER
from raddistill.teachers.rules.mentions import Mention

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


class Boundaries(NamedTuple):
    """Indexes of the words at which the reach of cues ends, and at which a list goes on."""

    forward: set[int]  # the reach of cues before these words ends here
    backward: set[int]  # the reach of cues after these words ends here
    list_end: set[int]  # a list of negated findings ends here
    list_continues: set[int]  # a list goes on here, whatever follows


def find_boundaries(words: list[str], cues: dict[int, Mention], structure: list[Mention], mentioned: set[int]) -> Boundaries:
    """Returns the boundaries in a sentence. `structure`: the cues of the kinds STRUCTURE; the rest as for `find_values`."""
    verbs, seen, adjectives = ({m.first for m in structure if m.phrase.label == kind} for kind in STRUCTURE)
    forward, backward = clause_ends(words, verbs, seen, adjectives)
    return Boundaries(forward, backward | opener_ends(words, cues, mentioned), *list_ends(words, cues))


def clause_ends(words: list[str], verbs: set[int], seen: set[int], adjectives: Collection[int] = ()) -> tuple[set[int], set[int]]:
    """Returns two sets of indexes of commas and "and"s: where forward cues stop and where backward cues stop.

    A comma or "and" only separates the items of a list unless a verb is in the piece that begins there ("no effusion, the heart
    is enlarged") or, for backward cues, in the piece that ends there ("the heart is enlarged, effusion is not seen").
    Pieces with "or" or "nor" continue the list ("no effusion, pneumothorax, or consolidation is noticed"). So do those that
    begin with "and" and hold one of `seen` ("no effusion and pneumothorax are seen"). A comma after one of `adjectives` joins two
    of them ("no acute, displaced fracture is seen"). `verbs`, `seen` and `adjectives` are indexes of words.
    """
    forward: set[int] = set()
    backward: set[int] = set()
    if "," not in words and "and" not in words:
        return forward, backward
    marks = [i for i, word in enumerate(words) if word == "and" or (word == "," and i - 1 not in adjectives)]
    bounds = [-1, *marks, len(words)]
    has_verb = [any(i in verbs for i in range(a + 1, b)) for a, b in itertools.pairwise(bounds)]  # by piece between two marks
    for n, mark in enumerate(marks):
        piece = range(mark + 1, bounds[n + 2])
        list_continues = any(words[i] in ("or", "nor") for i in piece) or (words[mark] == "and" and any(i in seen for i in piece))
        if has_verb[n + 1] and not list_continues:
            forward.add(mark)
        if has_verb[n]:
            backward.add(mark)
    return forward, backward


def opener_ends(words: list[str], cues: dict[int, Mention], mentioned: set[int]) -> set[int]:
    """Returns the indexes of words where backward cues stop, since what is before them is not what the cue is about.

    The comma (or "the") after a phrase that opens the sentence ("after drainage, the effusion has resolved"), and the comma
    before a single finding with its own verb ("chest tube in place, pneumothorax has resolved").
    """
    ends: set[int] = set()
    if words[0] in OPENERS:
        first_after = next((i for i in sorted(cues) if cues[i].phrase.label in AFTER), 0)
        the = [i for i in range(2, first_after) if words[i] == "the"]
        ends.update([words.index(",")] if "," in words else the[-1:])
    comma, is_joined = -1, False  # the last comma, and whether "and", "or" or "nor" came after it
    for i, word in enumerate(words):
        if word == ",":
            comma, is_joined = i, False
        is_joined = is_joined or word in ("and", "or", "nor")
        if i in cues and cues[i].phrase.label == "post_negation" and comma >= 0 and not is_joined:
            is_singular = word in SINGULAR or words[i - 1] in SINGULAR
            if is_singular and not mentioned.isdisjoint(range(comma + 1, i)):
                ends.add(comma)
    return ends


def list_ends(words: list[str], cues: dict[int, Mention]) -> tuple[set[int], set[int]]:
    """Returns two sets of indexes of commas and "and"s: where a list of negated findings ends, and where it goes on.

    It ends before a finding with a size, and where a later item is negated anew ("no effusion, right pneumothorax, no edema").
    It goes on where an "or" follows ("no effusion, small pneumothorax, or edema").
    """
    ends: set[int] = set()
    continues: set[int] = set()
    # From right to left. Before the next negation or terminator: does an "or" follow, and is the next item negated anew?
    or_follows = negated_anew = False
    for i in range(len(words) - 1, -1, -1):
        kind = cues[i].phrase.label if i in cues else None
        if words[i] in ("or", "nor"):
            or_follows = True
        elif kind == "pre_negation":
            or_follows, negated_anew = False, words[i - 1 : i] in ([","], ["and"], ["but"])
        elif kind == "terminators" and words[i] not in (",", "but"):
            or_follows = negated_anew = False
        if words[i] not in (",", "and") or i + 1 == len(words):
            continue
        following = words[i + 2] if words[i + 1] in BEFORE_SIZES and i + 2 < len(words) else words[i + 1]
        if or_follows:
            continues.add(i)
        elif following in SIZES or (negated_anew and words[i] == "," and i + 1 not in cues and words[i + 1] != "and"):
            ends.add(i)
    return ends, continues
