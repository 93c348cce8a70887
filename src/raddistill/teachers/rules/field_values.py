"""Values of fields: a word alone behind a colon or question mark, or in brackets, decides about the finding before it.

"Effusion: none", "pneumothorax (resolved)", "pneumonia?". Pure. A lexicon's cues count as values, but none is needed.
"""

import itertools
from typing import NamedTuple

from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.teachers.rules.lexicon import IGNORE
from raddistill.teachers.rules.mentions import Sentence

# The status that a cue of each kind gives to the mentions in its reach: cues before a mention, and cues after it.
BEFORE = {"pre_negation": ABSENT, "pre_uncertainty": UNCERTAIN, "not_current": IGNORE, "alternatives": UNCERTAIN}
AFTER = {"post_negation": ABSENT, "post_uncertainty": UNCERTAIN, "post_not_current": IGNORE}

# Values only if nothing but fillers follows: "(no)", not "(no calcification)"; "(possible)", not "(possibly loculated)".
ALONE = {
    **dict.fromkeys(("no", "none", "nil", "n", "neg", "negative", "false"), ABSENT),
    **dict.fromkeys(("yes", "y", "true", "positive"), PRESENT),
    "?": UNCERTAIN,
}
HEDGE_WORDS = dict.fromkeys(
    ("doubtful", "equivocal", "likely", "maybe", "perhaps", "possible", "possibly", "probable", "probably", "questionable",
     "suspected", "uncertain"), UNCERTAIN,
)  # fmt: skip
# Values whatever follows: "(resolved since yesterday)".
ABSENCES = dict.fromkeys(("absent", "cleared", "denied", "excluded", "gone", "removed", "resolved", "unlikely"), ABSENT)
# Words of a location, which may follow a value at the end of a sentence: ": none on the left".
LOCATIONS = frozenset(
    ("at", "base", "bases", "bilaterally", "either", "film", "in", "left", "lung", "lungs", "of", "on", "right", "side", "the")
)
# Words around a value: "(now resolved)", ": none seen", "no evidence".
FILLERS = frozenset(
    ("a", "acute", "any", "are", "been", "both", "completely", "currently", "definite", "detected", "evidence", "evident",
     "fully", "has", "have", "highly", "identified", "interval", "is", "most", "noted", "now", "observed", "present", "seen",
     "sign", "signs", "significant", "since", "this", "today", "very", "visible", "visualized", "was", "were", "which")
)  # fmt: skip
# Words around a negation before the colon of a list: "I do not see any of the following: ...".
LIST_FILLERS = FILLERS | {"do", "find", "findings", "following", "for", "i", "of", "see", "the", "there", "we"}
UNMARKED = ("absent", "neg", "negative", "nil", "none", "no")  # values without a mark, at the end of an item: "effusion none"
PRIOR_STUDY = frozenset(("prior", "previous", "previously", "earlier", "old", "outside"))
NOT_NAMES = frozenset(
    ("stable", "unchanged", "mild", "moderate", "severe", "small", "large", "new", "old", "chronic", "is", "are")
)
LONGEST_VALUE = 8  # words
LONGEST_NAME = 3  # words of each of several names before a value: "consolidation, effusion, pneumothorax: none"
AFTER_QUESTION = ("at", "in", "on", "within", "vs", "versus")  # in "mass? at the apex", "?" hedges what comes before it


class Cue(NamedTuple):
    """A cue or value in a sentence: the status that it gives, its text, and the indexes of its first word and past its last."""

    status: str  # present, absent, uncertain or ignore
    text: str
    start: int
    end: int


def find_values(sentence: Sentence) -> dict[int, Cue]:
    """Returns the values in a sentence, by the index of their mark (a colon, "?" or "("), else of their first word."""
    words, mentioned = sentence.words, sentence.mentioned
    values: dict[int, Cue] = {}
    for i, word in enumerate(words):
        is_last = i + 1 == len(words) or words[i + 1] in (",", ")")
        if word == "?" and (is_last or words[i + 1] in ALONE or words[i + 1] in AFTER_QUESTION):
            values[i] = Cue(UNCERTAIN, "?", i, i + 1)
        if word in (":", "(", "?"):  # "effusion: none", "effusion (none)": the words up to the next mark
            limit = min(i + 1 + LONGEST_VALUE, len(words))
            end = next((j for j in range(i + 1, limit) if words[j] in (",", "(", ")", ":")), limit)
            is_complete = end < limit or limit == len(words)
            if end < limit and words[end] == ":":  # "effusion: none pneumothorax: small": without the next name
                while end - 1 in mentioned:
                    end -= 1
            if is_complete and mentioned.isdisjoint(range(i + 1, end)) and (status := _value_of(sentence, i + 1, end)):
                values[i] = Cue(status, " ".join(words[i + 1 : end]), i, end)
            if words[i : i + 3] == ["(", ":", ")"]:  # "(-)", whose minus mentions.py reads as a colon
                values[i] = Cue(ABSENT, "-", i, i + 2)
        elif word in UNMARKED and is_last and (i - 1 in mentioned or (words[i - 1 : i] == [","] and i - 2 in mentioned)):
            values[i] = Cue(ABSENT, word, i, i + 1)
    return values


def _value_of(sentence: Sentence, start: int, end: int) -> str | None:
    """Returns the status (or ignore) of words[start:end] as a value; None if they say more than a value."""
    words = sentence.words
    if not PRIOR_STUDY.isdisjoint(words[start:end]):
        # "(seen on the prior study only)" says nothing about today; a finding "(seen on prior)" may still be present.
        return IGNORE if "only" in words[start:end] else None
    start = sentence.skip(start, end, FILLERS)  # "now" of "(now resolved)"
    if start == end:
        return None
    match, word = sentence.cues.get(start), words[start]
    if match and match.last < end:
        kind = match.phrase.label
        if kind not in BEFORE:
            return AFTER.get(kind)  # None: "no change"
        if word != "if" and FILLERS.issuperset(words[match.last + 1 : end]):
            return BEFORE[kind]
    if word in ABSENCES:
        return ABSENCES[word]
    fillers = FILLERS | LOCATIONS if end == len(words) else FILLERS  # not ": none at the left base, some at the right"
    return (ALONE | HEDGE_WORDS).get(word) if fillers.issuperset(words[start + 1 : end]) else None


def find_list_cues(sentence: Sentence) -> dict[int, Cue]:
    """Returns each negation or hedge alone before the colon of a list ("Not seen: effusion, edema"), by the colon's index."""
    words = sentence.words
    list_cues: dict[int, Cue] = {}
    begin = 0
    for i, word in enumerate(words):
        if word == ":" and i > begin and sentence.mentioned.isdisjoint(range(begin, i)):
            start = sentence.skip(begin, i, LIST_FILLERS)  # to "not" of "I do not see any of the following:"
            match, end = sentence.cues.get(start), start + 1
            status = (ALONE | HEDGE_WORDS | ABSENCES).get(words[start])
            if match and match.phrase.label in (*AFTER, "pre_negation", "pre_uncertainty"):
                status, end = (BEFORE | AFTER)[match.phrase.label], match.last + 1
            if status in (ABSENT, UNCERTAIN) and start < i and LIST_FILLERS.issuperset(words[end:i]):
                list_cues[i] = Cue(status, " ".join(words[start:i]), i, i + 1)
        if word in (":", ","):
            begin = i + 1
    return list_cues


def reach_of_values(sentence: Sentence, values: dict[int, Cue]) -> list[Cue | None]:
    """Returns for each word the value that decides about it, or None. A value reaches back to the last mark, terminator or value.

    It reaches over short brackets ("effusion (left): none"). Before a colon, names may be joined by "and", "or" and commas
    ("consolidation, effusion, pneumothorax: none").
    """
    words = sentence.words
    reach: list[Cue | None] = [None] * len(words)
    in_values = {j for value in values.values() for j in range(value.start + 1, value.end)}
    in_values |= {i for i, value in values.items() if value.end == i + 1}  # values of one word or mark
    for i, value in values.items():
        after_mark = words[i - 1 : i] in ([":"], [","])  # "effusion: (none)", "effusion, none"
        is_field = words[i] == ":" or after_mark or "both" in words[i : value.end]
        j = i - 2 if after_mark else i - 1
        while j >= 0:
            opened = _opening_bracket(words, j) if words[i] == ":" and words[j] == ")" else None
            if opened is not None and opened not in values:
                j = opened - 1
                continue
            joins_names = is_field and (words[j] in ("and", "or") or (words[j] == "," and _is_name(words, j)))
            ends = words[j] in (",", "and", "or", ":", "(", ")", "?") and not joins_names
            if ends or j in in_values or sentence.kind(j) == "terminators":
                break
            reach[j] = value
            j -= 1
    return reach


def _opening_bracket(words: list[str], closed: int) -> int | None:
    """Returns the index of the "(" of a short bracket that ends at `closed`, or None."""
    return next((j for j in range(closed - 1, max(closed - 2 - LONGEST_VALUE, -1), -1) if words[j] == "("), None)


def _is_name(words: list[str], comma: int) -> bool:
    """Returns whether only a short name comes between this comma and the mark before it."""
    before = reversed(words[max(comma - 1 - LONGEST_NAME, 0) : comma])
    name = list(itertools.takewhile(lambda word: word not in (",", ":", "(", ")", "?"), before))
    return 0 < len(name) <= LONGEST_NAME and NOT_NAMES.isdisjoint(name)
