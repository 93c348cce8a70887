"""Where clauses and lists end in a sentence, so that a cue reaches no further. Pure."""

import itertools

from raddistill.teachers.rules.fields import AFTER
from raddistill.teachers.rules.mentions import Mention

# A phrase at the beginning of a sentence, up to its first comma, is not what the rest speaks of: "after drainage, the effusion".
FRONTS = frozenset(("after", "compared", "despite", "following", "given", "once", "post", "s", "since", "status", "upon", "with"))
# Such a word after a comma or "and" begins a finding, unless "or" shows that the list goes on: "no effusion, small pneumothorax".
SIZES = frozenset(
    ("few", "mild", "mildly", "minimal", "minimally", "minor", "moderate", "moderately", "scattered", "several", "severe",
     "slight", "slightly", "small", "some", "subtle", "tiny", "trace")
)  # fmt: skip
BEFORE_SIZES = ("a", "an", "and", "again", "just", "now", "only", "still")
SINGULAR = ("is", "was", "has")


def clause_ends(
    words: list[str], verbs: set[int], seen: set[int], adjectives: set[int] | frozenset[int] = frozenset()
) -> tuple[set[int], set[int]]:
    """Returns the indexes of commas and "and"s that end a clause: for cues before them, and for cues after them.

    A comma or "and" is a mere list mark unless a verb stands in the piece that begins there ("no effusion, the heart is
    enlarged") or, looking back, in the piece that ends there ("the heart is enlarged, effusion is not seen").
    Pieces with "or" or "nor" go on with the list ("no effusion, pneumothorax, or consolidation is noticed"), and so do those that
    an "and" begins and one of `seen` ends ("no effusion and pneumothorax are seen"). A comma after one of `adjectives` joins two
    of them ("no acute, displaced fracture is seen"). `verbs`, `seen` and `adjectives` are indexes of words.
    """
    opens: set[int] = set()
    closes: set[int] = set()
    if "," not in words and "and" not in words:
        return opens, closes
    # The pieces between two marks, and which of them have a verb.
    marks = [i for i, word in enumerate(words) if word == "and" or (word == "," and i - 1 not in adjectives)]
    bounds = [-1, *marks, len(words)]
    has_verb = [any(i in verbs for i in range(a + 1, b)) for a, b in itertools.pairwise(bounds)]
    for n, mark in enumerate(marks):
        piece = range(mark + 1, bounds[n + 2])
        goes_on = any(words[i] in ("or", "nor") for i in piece)
        belongs = words[mark] == "and" and any(i in seen for i in piece)
        if has_verb[n + 1] and not goes_on and not belongs:
            opens.add(mark)
        if has_verb[n]:
            closes.add(mark)
    return opens, closes


def front_ends(words: list[str], cues: dict[int, Mention], mentioned: set[int]) -> set[int]:
    """Returns the indexes of words that end a clause for the cues after them.

    The comma (or "the") behind a phrase that opens the sentence ("after drainage, the effusion has resolved"), and the comma
    before a single finding with its own verb ("chest tube in place, pneumothorax has resolved").
    """
    ends: set[int] = set()
    if words[0] in FRONTS:
        last = next((i for i in sorted(cues) if cues[i].phrase.label in AFTER), 0)
        the = [i for i in range(2, last) if words[i] == "the"]
        ends.update([words.index(",")] if "," in words else the[-1:])
    comma, joined = -1, False
    for i, word in enumerate(words):
        if word == ",":
            comma, joined = i, False
        joined = joined or word in ("and", "or", "nor")
        if i in cues and cues[i].phrase.label == "post_negation" and comma >= 0 and not joined:
            singular = word in SINGULAR or words[i - 1] in SINGULAR
            if singular and not mentioned.isdisjoint(range(comma + 1, i)):
                ends.add(comma)
    return ends


def list_ends(words: list[str], cues: dict[int, Mention]) -> tuple[set[int], set[int]]:
    """Returns the indexes of commas and "and"s after which a list of denied findings is over, and where it goes on.

    It is over before a finding with a size, and where a later item is denied anew ("no effusion, right pneumothorax, no edema").
    It goes on where an "or" follows ("no effusion, small pneumothorax, or edema").
    """
    over: set[int] = set()
    goes_on: set[int] = set()
    or_follows = anew = False  # before the next cue that denies or terminates; the next item is denied
    for i in range(len(words) - 1, -1, -1):
        kind = cues[i].phrase.label if i in cues else None
        if words[i] in ("or", "nor"):
            or_follows = True
        elif kind == "pre_negation":
            or_follows, anew = False, words[i - 1 : i] in ([","], ["and"], ["but"])
        elif kind == "terminators" and words[i] not in (",", "but"):
            or_follows = anew = False
        if words[i] not in (",", "and") or i + 1 == len(words):
            continue
        following = words[i + 2] if words[i + 1] in BEFORE_SIZES and i + 2 < len(words) else words[i + 1]
        if or_follows:
            goes_on.add(i)
        elif following in SIZES or (anew and words[i] == "," and i + 1 not in cues and words[i + 1] != "and"):
            over.add(i)
    return over, goes_on
