"""Values of fields: what is alone behind a colon or question mark, or in brackets, decides the finding before it.

"Effusion: none", "pneumothorax (resolved)", "pneumonia?". Pure. Cues of a lexicon are values, too, but none is needed.
"""

from typing import NamedTuple

from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.teachers.rules.lexicon import IGNORE
from raddistill.teachers.rules.mentions import Mention

# What a cue says of the mentions that it reaches, by its kind: of cues before a mention, and of cues after it.
BEFORE = {"pre_negation": ABSENT, "pre_uncertainty": UNCERTAIN, "not_current": IGNORE, "alternatives": UNCERTAIN}
AFTER = {"post_negation": ABSENT, "post_uncertainty": UNCERTAIN, "post_not_current": IGNORE}

# These are values only alone: "(no)", not "(no calcification)"; "(possible)", not "(possibly loculated)" ...
ALONE = {
    **dict.fromkeys(("no", "none", "nil", "n", "neg", "negative", "false"), ABSENT),
    **dict.fromkeys(("yes", "y", "true", "positive"), PRESENT),
    "?": UNCERTAIN,
}
DOUBTS = dict.fromkeys(
    ("doubtful", "equivocal", "likely", "maybe", "perhaps", "possible", "possibly", "probable", "probably", "questionable",
     "suspected", "uncertain"), UNCERTAIN,
)  # fmt: skip
# ... and these also with words behind them: "(resolved since yesterday)".
ABSENCES = dict.fromkeys(("absent", "cleared", "denied", "excluded", "gone", "removed", "resolved", "unlikely"), ABSENT)
WHERE = frozenset(
    ("at", "base", "bases", "bilaterally", "either", "film", "in", "left", "lung", "lungs", "of", "on", "right", "side", "the")
)
# Around a value: "(now resolved)", ": none seen", "no evidence".
FILLERS = frozenset(
    ("a", "acute", "any", "are", "been", "both", "completely", "currently", "definite", "detected", "evidence", "evident",
     "fully", "has", "have", "highly", "identified", "interval", "is", "most", "noted", "now", "observed", "present", "seen",
     "sign", "signs", "significant", "since", "this", "today", "very", "visible", "visualized", "was", "were", "which")
)  # fmt: skip
# Around a denial before the colon of a list: "I do not see any of the following: ...".
LEADS = FILLERS | {"do", "find", "findings", "following", "for", "i", "of", "see", "the", "there", "we"}
BARE = ("absent", "neg", "negative", "nil", "none", "no")  # values without any mark, at the end of an item: "effusion none"
OTHER_FILM = frozenset(("prior", "previous", "previously", "earlier", "old", "outside"))
NOT_NAMES = frozenset(
    ("stable", "unchanged", "mild", "moderate", "severe", "small", "large", "new", "old", "chronic", "is", "are")
)
LONGEST_VALUE = 8  # words
LONGEST_NAME = 3  # words of each of several names before a value: "consolidation, effusion, pneumothorax: none"
PLACES = ("at", "in", "on", "within", "vs", "versus")  # after "?": it doubts what stands before it


class Cue(NamedTuple):
    """What a cue or value says, and where it is: indexes of its first word in the sentence and of the word after its last."""

    says: str  # present, absent, uncertain or ignore
    written: str
    start: int
    end: int


def find_values(words: list[str], cues: dict[int, Mention], mentioned: set[int]) -> dict[int, Cue]:
    """Returns each value by the index of its mark, or of its first word if it has none.

    `cues`: those of the lexicon by the index of their first word. `mentioned`: the indexes of words of mentions.
    """
    values: dict[int, Cue] = {}
    for i, word in enumerate(words):
        last = i + 1 == len(words) or words[i + 1] in (",", ")")
        if word == "?" and (last or words[i + 1] in ALONE or words[i + 1] in PLACES):
            values[i] = Cue(UNCERTAIN, "?", i, i + 1)
        if word in (":", "(", "?"):  # "effusion: none", "effusion (none)": the words up to the next mark
            most = min(i + 1 + LONGEST_VALUE, len(words))
            end = next((j for j in range(i + 1, most) if words[j] in (",", "(", ")", ":")), most)
            complete = end < most or most == len(words)
            if end < most and words[end] == ":":  # "effusion: none pneumothorax: small", without the next name
                while end - 1 in mentioned:
                    end -= 1
            if complete and mentioned.isdisjoint(range(i + 1, end)) and (says := _value_of(words, cues, i + 1, end)):
                values[i] = Cue(says, " ".join(words[i + 1 : end]), i, end)
            if words[i : i + 3] == ["(", ":", ")"]:  # "(-)", whose minus mentions.py reads as a colon
                values[i] = Cue(ABSENT, "-", i, i + 2)
        elif word in BARE and last and (i - 1 in mentioned or (words[i - 1 : i] == [","] and i - 2 in mentioned)):
            values[i] = Cue(ABSENT, word, i, i + 1)
    return values


def _value_of(words: list[str], cues: dict[int, Mention], start: int, end: int) -> str | None:
    """Returns what words[start:end] say as a value, a status or ignore; None if they are more than a value."""
    held = set(words[start:end])
    if not OTHER_FILM.isdisjoint(held):
        return IGNORE if "only" in held else None  # "(seen on the prior study only)"; "(seen on prior)" may be there still
    # Past "now" of "(now resolved)", but not past a cue that begins with such a word.
    while start < end and words[start] in FILLERS and (start not in cues or cues[start].phrase.label == "terminators"):
        start += 1
    if start == end:
        return None
    cue, word = cues.get(start), words[start]
    if cue and cue.at[-1] < end:
        if cue.phrase.label in AFTER:
            return AFTER[cue.phrase.label]
        if cue.phrase.label in BEFORE and word != "if" and set(words[cue.at[-1] + 1 : end]) <= FILLERS:
            return BEFORE[cue.phrase.label]
        if cue.phrase.label not in BEFORE:
            return None  # "no change"
    # Without a cue: the word alone ("none"), or one of ABSENCES with whatever follows ("resolved since yesterday").
    everywhere = FILLERS | WHERE if end == len(words) else FILLERS  # not ": none at the left base, some at the right"
    alone = (ALONE | DOUBTS).get(word) if set(words[start + 1 : end]) <= everywhere else None
    return ABSENCES.get(word) or alone


def find_leads(words: list[str], cues: dict[int, Mention], mentioned: set[int]) -> dict[int, Cue]:
    """Returns each denial or doubt that is alone before the colon of a list: "Not seen: effusion, pneumothorax".

    By the index of the colon.
    """
    leads: dict[int, Cue] = {}
    begin = 0
    for i, word in enumerate(words):
        if word == ":" and i > begin and mentioned.isdisjoint(range(begin, i)):
            # The first word that is more than a filler, as "not" of "I do not see any of the following:".
            is_filler = (words[j] in LEADS and (j not in cues or cues[j].phrase.label == "terminators") for j in range(begin, i))
            start = next((begin + n for n, filler in enumerate(is_filler) if not filler), i)
            cue, end = cues.get(start), start + 1
            says = (ALONE | DOUBTS | ABSENCES).get(words[start])
            if cue and cue.phrase.label in (*AFTER, "pre_negation", "pre_uncertainty"):
                says, end = (BEFORE | AFTER)[cue.phrase.label], cue.at[-1] + 1
            if says in (ABSENT, UNCERTAIN) and start < i and set(words[end:i]) <= LEADS:
                leads[i] = Cue(says, " ".join(words[start:i]), i, i + 1)
        if word in (":", ","):
            begin = i + 1
    return leads


def reach_of_values(words: list[str], cues: dict[int, Mention], values: dict[int, Cue]) -> list[Cue | None]:
    """Returns for each word the value that speaks of it: a value reaches back to the last mark, terminator or value.

    It reaches over short brackets ("effusion (left): none"). Before a colon names may be joined by "and", "or" and commas
    ("consolidation, effusion, pneumothorax: none").
    """
    reach: list[Cue | None] = [None] * len(words)
    within = {j for value in values.values() for j in range(value.start + 1, value.end)} | {
        i for i, value in values.items() if value.end == i + 1
    }
    for i, value in values.items():
        joined = words[i - 1 : i] in ([":"], [","])  # "effusion: (none)", "effusion, none"
        is_field = words[i] == ":" or joined or "both" in words[i : value.end]
        j = i - 2 if joined else i - 1
        while j >= 0:
            if words[i] == ":" and words[j] == ")" and (opened := _opened(words, j)) is not None and opened not in values:
                j = opened - 1  # over the bracket
                continue
            joins = is_field and (words[j] in ("and", "or") or (words[j] == "," and _is_name(words, j)))
            ends = words[j] in (",", "and", "or", ":", "(", ")", "?") and not joins
            if ends or j in within or (j in cues and cues[j].phrase.label == "terminators"):
                break
            reach[j] = value
            j -= 1
    return reach


def _opened(words: list[str], closed: int) -> int | None:
    """Returns the index of the "(" of a short bracket that ends at `closed`, or None."""
    return next((j for j in range(closed - 1, max(closed - 2 - LONGEST_VALUE, -1), -1) if words[j] == "("), None)


def _is_name(words: list[str], comma: int) -> bool:
    """Returns whether there is nothing but a short name before this comma, back to the mark before it."""
    piece: list[str] = []
    for j in range(comma - 1, max(comma - 2 - LONGEST_NAME, -1), -1):
        if words[j] in (",", ":", "(", ")", "?"):
            break
        piece.append(words[j])
    return 0 < len(piece) <= LONGEST_NAME and NOT_NAMES.isdisjoint(piece)
