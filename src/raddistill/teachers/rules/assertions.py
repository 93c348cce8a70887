"""Assertions: what a sentence states about its mentions, a status or `ignore` (about another time, or asked for). Pure.

Two sweeps over the words, so the time is linear: one forward for cues before a mention ("no", "possible"), one backward for cues
after it ("is not seen"). A cue reaches until a terminator ("but"), the end of its parenthesis or of its clause. So "no" reaches
through a list ("no effusion, pneumothorax or edema") up to a clause with its own verb; clauses.py finds these boundaries.
Where cues from both sides reach a mention the nearer one decides, the one before it if they are equally near.

Three things need no cue of the lexicon. The value of a field ("effusion: none", "(resolved)") decides about what is before it
(field_values.py), a question mark hedges, and a list of negated findings ends where a finding with a size begins.

After NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009), but without their window of five or six words: lists such as
"no focal consolidation, large pleural effusion or pneumothorax" are long, and clauses end them.
"""

from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.teachers.rules.clauses import STRUCTURE, Boundaries, find_boundaries
from raddistill.teachers.rules.field_values import AFTER, BEFORE, Cue, find_list_cues, find_values, reach_of_values
from raddistill.teachers.rules.lexicon import IGNORE
from raddistill.teachers.rules.mentions import Matcher, PhraseMatch, Sentence, resolve

WORDS_BEFORE_VERSUS = 5  # how far back `alternatives` hedge: "left lower lobe atelectasis versus pneumonia"
VERSUS_ENDS = (",", "and", "with", ":", "(")  # but not past one of these words
SETTLED = (ABSENT, IGNORE)  # statuses of a phrase that no cue changes

Decision = tuple[str, str | None]  # a status or ignore, and the cue


def decide(cues: Matcher, words: list[str], mentions: list[PhraseMatch]) -> list[Decision]:
    """Returns for each mention in a sentence its status, or ignore, and the cue that decided, as written in the lexicon.

    The cue is None if the phrase of the mention itself decided. `cues` finds the lexicon's cues.
    """
    undecided: list[Decision] = [(mention.phrase.status, None) for mention in mentions]
    if "not" not in words and all(mention.phrase.status in SETTLED for mention in mentions):
        return undecided
    found = cues.find(words)
    matches = {m.first: m for m in resolve([m for m in found if m.phrase.label not in STRUCTURE])}
    sentence = Sentence(words, matches, {i for mention in mentions for i in mention.indexes})
    values = find_values(sentence)
    if not matches and not values and "?" not in words and ":" not in words:
        return undecided
    boundaries = find_boundaries(sentence, [m for m in found if m.phrase.label in STRUCTURE])
    # A cue in the value of a field does not reach on: "no" of "effusion: no, cardiomegaly".
    in_values = {i for value in values.values() for i in range(value.start + 1, value.end)}
    outside = {i: match for i, match in matches.items() if i not in in_values}
    before = _reach_forward(sentence._replace(cues=outside), find_list_cues(sentence), boundaries)
    after = _reach_backward(sentence, boundaries)
    _reach_alternatives(sentence, before, after)
    valued = reach_of_values(sentence, values)
    decided = [_decide(words, m, before[m.last], after[m.last], valued[m.last]) for m in mentions]
    return _compare_mentions(words, mentions, decided)


def _decide(words: list[str], mention: PhraseMatch, pre: Cue | None, post: Cue | None, value: Cue | None) -> Decision:
    """Returns the decision on one mention from the cues that reach its last word: before it, after it, and values of fields.

    The last word, since a cue may be in the gap of a mention: "silhouette is not enlarged".
    """
    last = mention.last
    if mention.phrase.status in SETTLED:
        is_negated = words[last - 1] == "not" and "not" not in mention.phrase.words  # "the heart is not normal"
        return (IGNORE if is_negated else mention.phrase.status), None
    if value and not (value.status == UNCERTAIN and _negates(pre)):  # "No effusion?"
        cue: Cue | None = value
    elif pre and post:
        pre_distance, post_distance = mention.first - pre.end, post.start - last - 1
        cue = pre if pre_distance <= post_distance else post
        # "possible pneumothorax is excluded": the cue after the finding overrides the hedge before it
        if pre.status == UNCERTAIN and post.status == ABSENT and "," not in words[last : post.start]:
            cue = post
    else:
        cue = pre or post
    return (cue.status, cue.text) if cue else (mention.phrase.status, None)


def _compare_mentions(words: list[str], mentions: list[PhraseMatch], decided: list[Decision]) -> list[Decision]:
    """Returns the decisions, changed where other mentions of the same label say more.

    A sign of a finding ([uncertain], without a cue) is absent if the sentence negates the finding: "blunting of the angle,
    without effusion". A name before a colon or question mark says nothing if the answer repeats it: "Edema: no lung edema".
    """
    negated = {
        m.phrase.label: (status, cue) for m, (status, cue) in zip(mentions, decided, strict=True) if status == ABSENT and cue
    }
    last_begin = {name: mention.first for mention in mentions for name in (mention.phrase.label, mention.phrase.code) if name}
    compared: list[Decision] = []
    for mention, (status, cue) in zip(mentions, decided, strict=True):
        names = (mention.phrase.label, mention.phrase.code or "")
        is_named_again_later = any(last_begin.get(name, -1) > mention.last for name in names)
        before_answer = words[mention.last + 1 : mention.last + 2] in ([":"], ["?"])
        if before_answer and is_named_again_later and status in (PRESENT, UNCERTAIN):
            compared.append((IGNORE, None))
        elif status == UNCERTAIN and cue is None:
            compared.append(negated.get(mention.phrase.label, (status, cue)))
        else:
            compared.append((status, cue))
    return compared


def _reach_forward(sentence: Sentence, list_cues: dict[int, Cue], boundaries: Boundaries) -> list[Cue | None]:
    """Returns for each word the cue before it that reaches it."""
    words = sentence.words
    reach: list[Cue | None] = [None] * len(words)
    active: Cue | None = None
    before_bracket: Cue | None = None  # the cue that was active where the bracket opened
    in_bracket = False
    after_comma = False  # whether a comma came since the active cue
    for i, word in enumerate(words):
        if word == "(":
            before_bracket, in_bracket = active, True
        elif word == ")" and in_bracket:  # not the mark of an item, "1)"
            active, in_bracket = before_bracket, False
        after_comma = after_comma or word == ","
        # Does the active cue end here?
        if i in boundaries.forward or (i in boundaries.list_end and _negates(active)):
            active = None
        if word == "?" and not _negates(active):
            active, after_comma = Cue(UNCERTAIN, "?", i, i + 1), False
        # Does another cue begin here?
        if match := sentence.cues.get(i):
            kind, text, end = match.phrase.label, match.phrase.text, match.last + 1
            if kind == "terminators":
                list_continues = word == "," and i in boundaries.list_continues  # ", mild" of "no effusion, mild edema or nodule"
                of_cue = word == ":" and active is not None and active.end == i  # "negative for: effusion"
                active = active if list_continues or of_cue else None
            elif kind == "post_negation" and words[end : end + 1] in (["a"], ["an"], ["any"]):  # "have not seen a fracture"
                active, after_comma = Cue(ABSENT, text, i, end), False
            elif kind in BEFORE and not _absorbs(active, kind, after_comma):
                active, after_comma = Cue(BEFORE[kind], text, i, end), False
        if i in list_cues:
            active, after_comma = list_cues[i], False
        reach[i] = active
    return reach


def _absorbs(active: Cue | None, kind: str, after_comma: bool) -> bool:
    """Returns whether the active cue stays active at a cue of `kind`.

    A hedge is part of what is negated ("no opacity suggesting pneumonia"), unless a comma comes before it. Alternatives are part
    of what is hedged ("may be atelectasis versus pneumonia").
    """
    if kind == "alternatives" and active is not None and active.status == UNCERTAIN:
        return True
    return _negates(active) and BEFORE[kind] == UNCERTAIN and not after_comma


def _negates(cue: Cue | None) -> bool:
    """Returns whether the cue negates, or says nothing about the present."""
    return cue is not None and cue.status in (ABSENT, IGNORE)


def _reach_backward(sentence: Sentence, boundaries: Boundaries) -> list[Cue | None]:
    """Returns for each word the cue after it that reaches it."""
    words = sentence.words
    reach: list[Cue | None] = [None] * len(words)
    active: Cue | None = None
    after_bracket: Cue | None = None  # the cue that was active where the bracket closed
    for i in range(len(words) - 1, -1, -1):
        after_bracket = active if words[i] == ")" else after_bracket
        active = after_bracket if words[i] == "(" else active
        if i in boundaries.backward:
            active = None
        if match := sentence.cues.get(i):
            kind = match.phrase.label
            if kind == "terminators":
                active = None
            elif kind in AFTER:
                active = Cue(AFTER[kind], match.phrase.text, i, match.last + 1)
        reach[i] = active
    return reach


def _reach_alternatives(sentence: Sentence, before: list[Cue | None], after: list[Cue | None]) -> None:
    """Lets each of `alternatives` ("A versus B") also hedge words just before it, unless they are negated. Changes `after`."""
    words = sentence.words
    for i, match in sentence.cues.items():
        cue = before[i]
        if match.phrase.label == "alternatives" and cue is not None and cue.start == i:
            for j in range(i - 1, max(i - 1 - WORDS_BEFORE_VERSUS, -1), -1):
                if words[j] in VERSUS_ENDS:
                    break
                if not _negates(before[j]):
                    after[j] = cue
