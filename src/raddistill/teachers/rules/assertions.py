"""What a sentence says of its mentions: present, absent, uncertain, or nothing about the present. Pure.

Two sweeps over the words, one forward for cues that stand before a mention ("no", "possible"), one backward for cues that stand
after it ("is not seen"), so the time is linear. A cue reaches until a terminator ("but"), the end of its parenthesis or of its
clause. Where cues from both sides reach a mention the nearer one decides, the one before it if they are equally near.

Three things need no cue of the lexicon. The value of a field ("effusion: none", "(resolved)") decides what stands before it, a
question mark doubts, and a list of denied findings ends where one with a size begins. See fields.py and clauses.py.

After NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009), but without their window of five or six words: lists such as
"no focal consolidation, large pleural effusion or pneumothorax" are long, and clauses are what ends them.
"""

from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.teachers.rules.clauses import clause_ends, front_ends, list_ends
from raddistill.teachers.rules.fields import AFTER, BEFORE, Cue, find_leads, find_values, reach_of_values
from raddistill.teachers.rules.lexicon import IGNORE
from raddistill.teachers.rules.mentions import Matcher, Mention, resolve

STRUCTURE = ("verbs", "seen", "adjectives")  # kinds of cues that say nothing themselves but show where a clause ends
NEAR = 5  # words before one of `alternatives` that it doubts: "left lower lobe atelectasis versus pneumonia"
NEAR_ENDS = (",", "and", "with", ":", "(")
SETTLED = (ABSENT, IGNORE)  # what a phrase says of itself; no cue changes it


Decision = tuple[str, str | None]  # a status or ignore, and the cue


class Assertions:
    """Decides mentions of sentences by the cues of a lexicon."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher

    def decide(self, words: list[str], mentions: list[Mention]) -> list[Decision]:
        """Returns for each mention what is said of it (a status, or ignore) and the cue that decided, as in the lexicon."""
        if "not" not in words and all(mention.phrase.says in SETTLED for mention in mentions):
            return [(mention.phrase.says, None) for mention in mentions]
        found = self._matcher.find(words)
        cues = {m.at[0]: m for m in resolve([m for m in found if m.phrase.label not in STRUCTURE])}
        mentioned = {i for mention in mentions for i in mention.at}
        values = find_values(words, cues, mentioned)
        if not cues and not values and "?" not in words and ":" not in words:
            return [(mention.phrase.says, None) for mention in mentions]
        leads = find_leads(words, cues, mentioned)
        verbs, seen, adjectives = ({m.at[0] for m in found if m.phrase.label == kind} for kind in STRUCTURE)
        opens, closes = clause_ends(words, verbs, seen, adjectives)
        over, goes_on = list_ends(words, cues)
        before = _reach_forward(words, _outside(cues, values), leads, opens, over, goes_on)
        after = _reach_backward(words, cues, closes | front_ends(words, cues, mentioned))
        _reach_near(words, cues, before, after)
        valued = reach_of_values(words, cues, values)
        decided = [_decide(words, mention, before, after, valued) for mention in mentions]
        return _settle(words, mentions, decided)


def _decide(
    words: list[str], mention: Mention, before: list[Cue | None], after: list[Cue | None], valued: list[Cue | None]
) -> Decision:
    """Returns the decision on one mention from the cues that reach its last word: before it, after it, and values of fields."""
    last = mention.at[-1]
    if mention.phrase.says in SETTLED:
        not_normal = words[last - 1] == "not" and "not" not in mention.phrase.words  # "the heart is not normal"
        return (IGNORE if not_normal else mention.phrase.says), None
    # The last word, as a cue may be in the gap of a mention: "silhouette is not enlarged".
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


def _settle(words: list[str], mentions: list[Mention], decided: list[Decision]) -> list[Decision]:
    """Returns what is said of each mention in view of the others of its label.

    A mere sign of a finding ([uncertain], without a cue) is absent where the sentence denies the finding: "blunting of the angle,
    without effusion". A name before a colon or question mark says nothing if the answer repeats it: "Edema: no lung edema".
    """
    denied = {m.phrase.label: (says, cue) for m, (says, cue) in zip(mentions, decided, strict=True) if says == ABSENT and cue}
    last = {label: mention.at[0] for mention in mentions for label in (mention.phrase.label, mention.phrase.code) if label}
    settled: list[Decision] = []
    for mention, (says, cue) in zip(mentions, decided, strict=True):
        following = words[mention.at[-1] + 1 : mention.at[-1] + 2]
        again = max(last.get(mention.phrase.label, -1), last.get(mention.phrase.code or "", -1)) > mention.at[-1]
        if following in ([":"], ["?"]) and again and says in (PRESENT, UNCERTAIN):
            settled.append((IGNORE, None))
        elif says == UNCERTAIN and cue is None:
            settled.append(denied.get(mention.phrase.label, (says, cue)))
        else:
            settled.append((says, cue))
    return settled


def _outside(cues: dict[int, Mention], values: dict[int, Cue]) -> dict[int, Mention]:
    """Returns the cues that are no value of a field: "no" of "effusion: no, cardiomegaly" does not deny what follows."""
    within = {i for value in values.values() for i in range(value.start + 1, value.end)}
    return {i: cue for i, cue in cues.items() if i not in within}


def _reach_forward(
    words: list[str], cues: dict[int, Mention], leads: dict[int, Cue], opens: set[int], over: set[int], goes_on: set[int]
) -> list[Cue | None]:
    """Returns for each word the cue before it that reaches it."""
    reach: list[Cue | None] = [None] * len(words)
    active: Cue | None = None
    outside: Cue | None = None  # what reached the parenthesis that we are in
    inside = False
    comma = False  # since the active cue
    for i, word in enumerate(words):
        if word == "(":
            outside, inside = active, True
        elif word == ")" and inside:  # not the mark of an item, "1)"
            active, inside = outside, False
        comma = comma or word == ","
        # Where does the active cue end?
        if i in opens or (i in over and _is_denied(active)):
            active = None
        if word == "?" and not _is_denied(active):
            active, comma = Cue(UNCERTAIN, "?", i, i + 1), False
        # Does another one begin?
        if i in cues:
            kind, end = cues[i].phrase.label, cues[i].at[-1] + 1
            if kind == "terminators":
                list_goes_on = word == "," and i in goes_on  # ", mild" of "no effusion, mild edema or nodule"
                of_cue = word == ":" and active is not None and active.end == i  # "negative for: effusion"
                active = active if list_goes_on or of_cue else None
            elif kind == "post_negation" and words[end : end + 1] in (["a"], ["an"], ["any"]):  # "have not seen a fracture"
                active, comma = Cue(ABSENT, cues[i].phrase.written, i, end), False
            elif kind in BEFORE and not _goes_on(active, kind, comma):
                active, comma = Cue(BEFORE[kind], cues[i].phrase.written, i, end), False
        if i in leads:
            active, comma = leads[i], False
        reach[i] = active
    return reach


def _goes_on(active: Cue | None, kind: str, comma: bool) -> bool:
    """Returns whether the active cue goes on at a cue of `kind`.

    Doubt that follows is part of what is denied ("no opacity suggesting pneumonia"), unless there is a comma between them, and
    alternatives are part of what is doubted ("may be atelectasis versus pneumonia").
    """
    if kind == "alternatives" and active is not None and active.says == UNCERTAIN:
        return True
    return _is_denied(active) and BEFORE[kind] == UNCERTAIN and not comma


def _is_denied(active: Cue | None) -> bool:
    return active is not None and active.says in (ABSENT, IGNORE)


def _reach_backward(words: list[str], cues: dict[int, Mention], closes: set[int]) -> list[Cue | None]:
    """Returns for each word the cue after it that reaches it."""
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
