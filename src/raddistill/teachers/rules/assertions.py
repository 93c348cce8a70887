"""What a sentence says of its mentions: present, absent, uncertain, or nothing about the present. Computes only.

Two sweeps over the words, one forward for cues that stand before a mention ("no", "possible"), one backward for cues that stand
after it ("is not seen"), so the time is linear. A cue reaches until a terminator ("but"), the end of its parenthesis or of its
clause. Where cues from both sides reach a mention the nearer one decides, the one before it if they are equally near.

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
        if not cues:
            return [(mention.phrase.says, None) for mention in mentions]
        verbs, seen, adjectives = ({m.at[0] for m in found if m.phrase.label == kind} for kind in STRUCTURE)
        opens, closes = clause_ends(words, verbs, seen, adjectives)
        kinds = {cue.phrase.label for cue in cues.values()}
        before: list[Cue | None] = [None] * len(words)
        after: list[Cue | None] = [None] * len(words)
        if not kinds.isdisjoint(BEFORE):
            before = _reach_forward(words, cues, opens)
        if not kinds.isdisjoint(AFTER):
            after = _reach_backward(words, cues, closes)
        _reach_near(words, cues, before, after)
        return [_decide(mention, before, after) for mention in mentions]


def _decide(mention: Mention, before: list[Cue | None], after: list[Cue | None]) -> tuple[str, str | None]:
    if mention.phrase.says in SETTLED:
        return mention.phrase.says, None
    last = mention.at[-1]  # a cue may stand in the gap: "silhouette is not enlarged"
    pre, post = before[last], after[last]
    if pre and post:
        cue: Cue | None = pre if mention.at[0] - pre.end <= post.start - last - 1 else post
    else:
        cue = pre or post
    if cue is None:
        return mention.phrase.says, None
    return cue.says, cue.written


def _reach_forward(words: list[str], cues: dict[int, Mention], opens: set[int]) -> list[Cue | None]:
    """For each word the cue before it that reaches it."""
    reach: list[Cue | None] = [None] * len(words)
    active: Cue | None = None
    outside: Cue | None = None  # what reached the parenthesis that we are in
    comma = False  # since the active cue
    for i, word in enumerate(words):
        outside = active if word == "(" else outside
        active = outside if word == ")" else active
        comma = comma or word == ","
        if i in opens:
            active = None
        if i in cues:
            kind, end = cues[i].phrase.label, cues[i].at[-1] + 1
            if kind == "terminators":
                active = None
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
        if has_verb[n]:
            closes.add(mark)
    return opens, closes
