"""What a sentence says of its mentions: present, absent, uncertain, or nothing about the present. Computes only.

Two sweeps over the words, one forward for cues that stand before a mention ("no", "possible"), one backward for cues that stand
after it ("is not seen"), so the time is linear. A cue reaches until a terminator ("but"), the end of its parenthesis or of its
clause. Where cues from both sides reach a mention the nearer one decides, the one before it if they are equally near.

Three things are said without a cue of the lexicon, in any report: a field's value ("effusion: none", "(resolved)")
decides what stands before it, a question mark doubts, and a list of denied findings ends where one with a size begins.

After NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009), but without their window of five or six words: lists such as
"no focal consolidation, large pleural effusion or pneumothorax" are long, and clauses are what ends them.
"""

import itertools
from typing import NamedTuple

from raddistill.statuses import ABSENT, UNCERTAIN
from raddistill.teachers.rules.lexicon import IGNORE
from raddistill.teachers.rules.mentions import Matcher, Mention, resolve

BEFORE = {"pre_negation": ABSENT, "pre_uncertainty": UNCERTAIN, "not_current": IGNORE, "alternatives": UNCERTAIN}
AFTER = {"post_negation": ABSENT, "post_uncertainty": UNCERTAIN, "post_not_current": IGNORE}
STRUCTURE = ("verbs", "seen", "adjectives")  # say nothing themselves: they tell where a clause ends
NEAR = 5  # words before one of `alternatives` that it doubts: "left lower lobe atelectasis versus pneumonia"
NEAR_ENDS = (",", "and", "with", ":", "(")
SETTLED = (ABSENT, IGNORE)  # what a phrase says of itself; no cue changes it

# A value is what stands alone after a colon or in brackets: a cue of the lexicon, or one of these words, ...
VALUES = {
    **dict.fromkeys(("no", "none", "nil", "neg", "negative", "absent", "denied", "resolved", "cleared", "gone"), ABSENT),
    **dict.fromkeys(("?", "possible", "probable", "likely", "suspected", "questionable", "equivocal", "uncertain"), UNCERTAIN),
    ":": ABSENT,  # the minus of "(-)", see mentions.py
}
# ... with or without these around it: "(now resolved)", ": none seen".
FILLERS = frozenset(
    ("a", "any", "are", "been", "completely", "currently", "detected", "evident", "fully", "has", "have", "identified", "is",
     "most", "noted", "now", "observed", "present", "seen", "since", "today", "visible", "visualized", "was", "were")
)  # fmt: skip
LONGEST_VALUE = 8  # words
OTHER_FILM = frozenset(("prior", "previous", "previously", "earlier", "old", "outside"))  # "(seen on the prior study)"
BEFORE_VALUE = frozenset((",", "and", "or", ":", "(", ")", "?"))  # what a bracket speaks of does not reach past these
# Such a word after a comma or "and" begins a finding, unless "or" shows that the list goes on: "no effusion, small pneumothorax".
SIZES = frozenset(
    ("few", "mild", "mildly", "minimal", "minimally", "minor", "moderate", "moderately", "scattered", "several", "slight",
     "slightly", "small", "some", "subtle", "tiny", "trace")
)  # fmt: skip
# These do so where the next item is denied anew: "no effusion, right pneumothorax, no consolidation".
SIDES = SIZES | {"a", "an", "basilar", "bibasilar", "bilateral", "large", "left", "lower", "right", "severe", "upper"}
# A phrase that a sentence begins with, to its first comma, is not what the rest speaks of: "after drainage, the effusion ...".
FRONTS = frozenset(("after", "compared", "despite", "following", "given", "in", "on", "post", "since", "status", "with"))


class Cue(NamedTuple):
    says: str  # absent, uncertain or ignore
    written: str
    start: int  # index of its first word in the sentence; end exclusive
    end: int


class Assertions:
    """Decides mentions of sentences by the cues of a lexicon."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher

    def decide(self, words: list[str], mentions: list[Mention]) -> list[tuple[str, str | None]]:
        """For each mention what is said of it (a status, or ignore) and the cue that decided, as written in the lexicon."""
        if all(mention.phrase.says in SETTLED for mention in mentions):
            return [(mention.phrase.says, None) for mention in mentions]
        found = self._matcher.find(words)
        cues = {m.at[0]: m for m in resolve([m for m in found if m.phrase.label not in STRUCTURE])}
        values = _values(words, cues)
        if not cues and not values and "?" not in words:
            return [(mention.phrase.says, None) for mention in mentions]
        verbs, seen, adjectives = ({m.at[0] for m in found if m.phrase.label == kind} for kind in STRUCTURE)
        opens, closes = clause_ends(words, verbs, seen, adjectives)
        kinds = {cue.phrase.label for cue in cues.values()}
        ends = _list_ends(words, cues) if "pre_negation" in kinds else set[int]()
        before: list[Cue | None] = [None] * len(words)
        after: list[Cue | None] = [None] * len(words)
        if not kinds.isdisjoint(BEFORE) or "?" in words:
            before = _reach_forward(words, _outside(cues, values), opens, ends)
        if not kinds.isdisjoint(AFTER):
            after = _reach_backward(words, cues, closes)
        _reach_near(words, cues, before, after)
        valued = _reach_of_values(words, cues, values)
        decided = [_decide(words, mention, before, after, valued) for mention in mentions]
        return [_unless_denied(n, mentions, decided) for n in range(len(mentions))]


def _decide(
    words: list[str], mention: Mention, before: list[Cue | None], after: list[Cue | None], valued: list[Cue | None]
) -> tuple[str, str | None]:
    if mention.phrase.says in SETTLED:
        return mention.phrase.says, None
    last = mention.at[-1]  # a cue may stand in the gap: "silhouette is not enlarged"
    pre, post = before[last], after[last]
    value = valued[last]
    if value and not (value.says == UNCERTAIN and _is_denied(pre)):  # "No effusion?"
        cue: Cue | None = value
    elif pre and post:
        # "possible pneumothorax is excluded": a verdict on the doubt
        verdict = pre.says == UNCERTAIN and post.says == ABSENT and "," not in words[last : post.start]
        cue = pre if mention.at[0] - pre.end <= post.start - last - 1 and not verdict else post
    else:
        cue = pre or post
    if cue is None:
        return mention.phrase.says, None
    return cue.says, cue.written


def _unless_denied(n: int, mentions: list[Mention], decided: list[tuple[str, str | None]]) -> tuple[str, str | None]:
    """What is said of mention `n`. A mere sign of a finding ([uncertain], without a cue) is absent where its sentence denies the
    finding: "blunting of the angle, without effusion".
    """
    says, cue = decided[n]
    if says == UNCERTAIN and cue is None:
        label = mentions[n].phrase.label
        for mention, (other, by) in zip(mentions, decided, strict=True):
            if mention.phrase.label == label and other == ABSENT and by is not None:
                return ABSENT, by
    return says, cue


def _values(words: list[str], cues: dict[int, Mention]) -> dict[int, Cue]:
    """By the index of a colon, bracket or last "?": the value behind it, if nothing else stands there before the next mark."""
    values: dict[int, Cue] = {}
    for i, word in enumerate(words):
        if word == "?" and (i + 1 == len(words) or words[i + 1] in (",", ")")):
            values[i] = Cue(UNCERTAIN, "?", i, i + 1)
        if word in (":", "(", "?"):
            most = min(i + 1 + LONGEST_VALUE, len(words))
            end = next((j for j in range(i + 1, most) if words[j] in (",", "(", ")", ":")), most)
            if (end < most or most == len(words)) and (says := _value_of(words, cues, i + 1, end)):
                values[i] = Cue(says, " ".join(words[i + 1 : end]), i, end)
    return values


def _value_of(words: list[str], cues: dict[int, Mention], start: int, end: int) -> str | None:
    """What words[start:end] say as a value: a status, or ignore; None if they are more than a value."""
    if words[start:end] and words[start] in FILLERS and not OTHER_FILM.isdisjoint(words[start:end]):
        return IGNORE
    while start < end and words[start] in FILLERS and start not in cues:
        start += 1
    if cue := cues.get(start):
        rest = words[cue.at[-1] + 1 : end]
        says = (BEFORE | AFTER).get(cue.phrase.label) if set(rest) <= FILLERS and cue.at[-1] < end else None
        return says or (VALUES.get(words[start]) if set(words[start + 1 : end]) <= FILLERS else None)
    rest = words[start + 1 : end]
    return VALUES.get(words[start]) if start < end and set(rest) <= FILLERS else None


def _outside(cues: dict[int, Mention], values: dict[int, Cue]) -> dict[int, Mention]:
    """The cues that are no value of a field: "effusion: no, cardiomegaly" denies no heart."""
    within = {i for value in values.values() for i in range(value.start + 1, value.end)}
    return {i: cue for i, cue in cues.items() if i not in within}


def _reach_of_values(words: list[str], cues: dict[int, Mention], values: dict[int, Cue]) -> list[Cue | None]:
    """For each word the value that speaks of it: back to the last mark, terminator or value; a field's name may hold "and"."""
    reach: list[Cue | None] = [None] * len(words)
    for i, value in values.items():
        for j in range(i - 1, -1, -1):
            ends = words[j] in BEFORE_VALUE and not (words[i] == ":" and words[j] in ("and", "or"))
            if ends or (j in cues and cues[j].phrase.label == "terminators"):
                break
            reach[j] = value
    return reach


def _list_ends(words: list[str], cues: dict[int, Mention]) -> set[int]:
    """Indexes of commas and "and"s after which a list of denied findings is over: see SIZES and SIDES."""
    ends: set[int] = set()
    or_follows = anew = False  # before the next cue that denies or terminates; the next item is denied
    for i in range(len(words) - 1, -1, -1):
        kind = cues[i].phrase.label if i in cues else None
        if kind in ("pre_negation", "terminators"):
            or_follows, anew = False, kind == "pre_negation"
        elif words[i] in ("or", "nor"):
            or_follows = True
        elif words[i] in (",", "and") and i + 1 < len(words):
            if not or_follows and (words[i + 1] in SIZES or (anew and words[i] == "," and words[i + 1] in SIDES)):
                ends.add(i)
            anew = anew and i + 1 in cues
    return ends


def _reach_forward(words: list[str], cues: dict[int, Mention], opens: set[int], ends: set[int]) -> list[Cue | None]:
    """For each word the cue before it that reaches it."""
    reach: list[Cue | None] = [None] * len(words)
    active: Cue | None = None
    outside: Cue | None = None  # what reached the parenthesis that we are in
    comma = False  # since the active cue
    for i, word in enumerate(words):
        outside = active if word == "(" else outside
        active = outside if word == ")" else active
        comma = comma or word == ","
        if i in opens or (i in ends and _is_denied(active)):
            active = None
        if word == "?" and not _is_denied(active):
            active, comma = Cue(UNCERTAIN, "?", i, i + 1), False
        if i in cues:
            kind, end = cues[i].phrase.label, cues[i].at[-1] + 1
            if kind == "terminators":
                of_cue = word == ":" and active is not None and active.end == i  # "negative for: effusion"
                active = active if of_cue else None
            elif kind in BEFORE and not _goes_on(active, kind, comma):
                active, comma = Cue(BEFORE[kind], cues[i].phrase.written, i, end), False
        reach[i] = active
    return reach


def _goes_on(active: Cue | None, kind: str, comma: bool) -> bool:
    """Whether the active cue outlives one of `kind`: doubt that follows is part of what is denied ("no opacity suggesting
    pneumonia"), unless a comma parts them, and alternatives are part of what is doubted ("may be atelectasis versus pneumonia").
    """
    if kind == "alternatives" and active is not None and active.says == UNCERTAIN:
        return True
    return _is_denied(active) and BEFORE[kind] == UNCERTAIN and not comma


def _is_denied(active: Cue | None) -> bool:
    return active is not None and active.says in (ABSENT, IGNORE)


def _reach_backward(words: list[str], cues: dict[int, Mention], closes: set[int]) -> list[Cue | None]:
    """For each word the cue after it that reaches it."""
    reach: list[Cue | None] = [None] * len(words)
    active: Cue | None = None
    outside: Cue | None = None
    for i in range(len(words) - 1, -1, -1):
        outside = active if words[i] == ")" else outside
        active = outside if words[i] == "(" else active
        if i in closes:
            active = None
        if i in cues:
            kind, end = cues[i].phrase.label, cues[i].at[-1] + 1
            if kind == "terminators":
                active = None
            elif kind in AFTER:
                active = Cue(AFTER[kind], cues[i].phrase.written, i, end)
        reach[i] = active
    return reach


def _reach_near(words: list[str], cues: dict[int, Mention], before: list[Cue | None], after: list[Cue | None]) -> None:
    """Lets each of `alternatives` ("A versus B") doubt the words just before it as well, unless they are denied."""
    for i, cue in cues.items():
        doubt = before[i]
        if cue.phrase.label == "alternatives" and doubt is not None and doubt.start == i:
            for j in range(i - 1, max(i - 1 - NEAR, -1), -1):
                if words[j] in NEAR_ENDS:
                    break
                if not _is_denied(before[j]):
                    after[j] = doubt


def clause_ends(
    words: list[str], verbs: set[int], seen: set[int], adjectives: set[int] | frozenset[int] = frozenset()
) -> tuple[set[int], set[int]]:
    """Indexes of commas and "and"s that end a clause: for cues before them, and for cues after them.

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
    marks = [i for i, word in enumerate(words) if word == "and" or (word == "," and i - 1 not in adjectives)]
    bounds = [-1, *marks, len(words)]
    has_verb = [any(i in verbs for i in range(a + 1, b)) for a, b in itertools.pairwise(bounds)]
    for n, mark in enumerate(marks):
        piece = range(mark + 1, bounds[n + 2])
        goes_on = any(words[i] in ("or", "nor") for i in piece)
        belongs = words[mark] == "and" and any(i in seen for i in piece)
        if has_verb[n + 1] and not goes_on and not belongs:
            opens.add(mark)
        if has_verb[n] or (n == 0 and words[mark] == "," and words[0] in FRONTS):
            closes.add(mark)
    return opens, closes
