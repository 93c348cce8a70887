"""Splits text into sentences. The rules teacher labels a report sentence by sentence, and a student may read it so.

A sentence ends at a stop ("No effusion. No edema."), before an item of a list ("1. Edema 2. Effusion"), or at the end of a line
that the next line does not continue.
"""

import itertools
import re
from collections.abc import Iterator

LONGEST_TOKEN = 100  # characters
LONGEST_SENTENCE = 10_000  # characters; the longest of Open-i has 261

# Numbers with stops ("1.5"), words ("don't"), and marks.
_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+(?:['’][^\W_]+)?|[,:()]")

# --- Stops. A negative value answers a question ("Effusion? No.") or is the value of a field ("effusion .... none").
_NEGATIVE_VALUE = r"(?i:no|none|nil|neg|negative|absent|not)\b"
_STOP = "|".join(
    (
        # A full stop before white space or a capital ("effusion.The"), unless its dots lead to a value ("effusion .... none").
        rf"""[.!](?=\s|$|[A-Z"')(])(?!(?<=\.\.\.)\s*{_NEGATIVE_VALUE})""",
        # A full stop between two words without white space ("effusion.small nodule"), not within a number.
        r"(?:(?<=[A-Za-z)]{3})|(?<=\d)|(?<=\d[a-z]{2}))\.(?=[a-z]{2}|a\b)",
        # A question mark after a word ("pneumonia? The"), unless its answer follows ("Effusion? No."). Before a word it is a
        # hedge ("?pneumonia").
        rf"""(?<=[\w)])\?+(?=\s|$|[^\W_]|[("])(?!\s*[-–:]?\s*{_NEGATIVE_VALUE})""",
    )
)
# Where a sentence may end: a semicolon, a line end or a stop, with the spaces that follow.
_BREAK = re.compile(rf"(?:;|\n|{_STOP})[ \t\r]*")
# What comes next: the first letter, digit, mark or stop.
_NEXT = re.compile(rf"[^\W_]|[,:();\n?]|{_STOP}")
_LOOK_BACK = 24  # characters before a break in which the last word is looked for; longer than all words below
_ABBREVIATIONS = ("dr", "mr", "mrs", "ms", "vs", "v", "approx", "st", "e", "g", "i", "prob", "poss", "incl")

# --- Items of lists.
_BULLETS = "•▪◦‣●○■◆➢➤·"
_NUMERAL = r"\d{1,2}|[a-hA-H]|i{1,3}|iv|v"
# The mark of an item at the beginning of a line: a dash or bullet, "1." or "2)", "(3)" or "[3]", "a.", "#4".
_ITEM = rf"(?:[-–—*+{_BULLETS}]{{1,2}}[ \t]?(?=[^\W_]|[?(])|(?:\d{{1,2}}|[a-hA-H])[.)](?!\d)|[(\[](?:{_NUMERAL})[)\]]|#\d)"
_BLANK_LINE_OR_ITEM = re.compile(rf"\n|{_ITEM}")
_IS_ITEM = re.compile(rf"[ \t\r]*{_ITEM}")
# The mark of an item within a line: "(1) No effusion (2) Nodule", "a) No effusion b) Nodule", "#1 ... #2 ...", "1- ... 2- ...",
# "a.no effusion b.nodule".
_NUMBERED = re.compile(
    rf"(?<![^\s.;:,])(?:[(\[](?P<within>{_NUMERAL})[)\]]|(?P<before>{_NUMERAL})\)|#(?P<number>\d{{1,2}})[.:)]?"
    r"|(?P<plain>\d{1,2})[ \t]?[-/](?=\s)|(?P<letter>[a-h])\.(?=[a-z]{2}))\s*(?=[^\W\d_]|\?)"
)
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}
_LONGEST_BRACKET = 200  # characters: "(series 2, image 3)" holds no item
# A dash between two words. It begins an item in a text that itself begins with one ("- No effusion - Nodule"), unless a value
# or a size follows ("Effusion - none", "Effusion - small").
_DASHED = re.compile(
    r"(?<=\S)[ \t]+([-–—*>+])\s*(?=[^\W\d_])"
    r"(?!(?i:no|none|nil|neg|negative|absent|mild|moderate|severe|small|large|trace|normal|stable|unchanged)\s*(?:[.,;\n]|$))"
)
_BULLET = re.compile(rf"[{_BULLETS}][ \t]*")

# --- Lines. A line that ends with such a word continues in the next line, ...
_NEEDS_MORE = frozenset(
    (",", "(", "a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "are", "no", "nor", "not", "of", "on", "or", "than",
     "the", "to", "with", "without")
)  # fmt: skip
# ... or with such an adjective or noun, if the next line begins with a small letter, ...
_NEEDS_A_NOUN = frozenset(
    ("acute", "focal", "large", "small", "mild", "moderate", "minimal", "severe", "left", "right", "bilateral", "upper", "lower",
     "new", "old", "definite", "significant", "pleural", "pulmonary", "evidence", "sign", "signs", "any", "this", "other",
     "active")
)  # fmt: skip
# ... and a line that begins with such a word continues the one above.
_CONTINUES = _NEEDS_MORE | {"was", "were", "has", "have", "which", "that", "but", "seen", "noted", "present"}
# The end of a line with a complete field, "effusion: no": it does not continue in the next line.
_ANSWERED = re.compile(r"[:=?]\s*no[ \t\r]*\Z")
# A stop within a line, which is found in prose and not in a list of lines.
_PROSE = re.compile(r"[.!?][ \t]+[^\W_]")
_SHORT_LINE = 45  # characters; lines of a list are as short, or much shorter than the longest, and wrapped lines are not
# The end of a line that negates (or hedges) all items of the list below: "No evidence of:", "Negative for the following:".
_NEGATES_BELOW = re.compile(
    r"(?:\b(?:no|not|negatives?|without|free|denie[sd]|absent|none|excluded|ruled out|evidence|signs?|absence|lack)\b"
    r"(?:[ \t]+(?:any|of|for|the|following|seen|findings?|signs?|evidence|visible))*)[ \t]*:[ \t]*\Z"
)
# Below such a line, a short line in small letters without a stop is an item too.
_SHORT_ITEM = re.compile(r"[a-z][^\n.;:]{0,40}(?:\n|$)")

Span = tuple[int, int]  # start and end in code points; the end is exclusive


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """Yields the spans of the sentences of text[start:end], in code points from the beginning of `text`.

    A sentence longer than `LONGEST_SENTENCE` is cut between words, so that time and memory stay bounded.
    """
    for begins, ends in _split(text, start, end):
        start = begins
        while ends - start > LONGEST_SENTENCE:
            space = text.rfind(" ", start + 1, start + LONGEST_SENTENCE)
            cut = space if space > 0 else start + LONGEST_SENTENCE
            yield start, cut
            start = cut
        yield start, ends


def with_lines(text: str) -> str:
    """Returns the text with single spaces, and with line ends only where a sentence ends without a stop (lists, titles).

    The result has the same sentences as `text`. A line end becomes a blank line if a single one would not end the sentence.
    """
    if "\n" not in text:
        return " ".join(text.split())
    pieces, start = [], 0
    for at, after in [*_sentence_ends_at_lines(text, 0, len(text)), (len(text), len(text))]:
        above = text[start:at].rstrip()
        if at < len(text) and above.endswith((".", "!", ";")) and not _is_abbreviation(above, 0, len(above) - 1):
            continue  # the stop ends the sentence
        if above.strip():
            pieces.append(" ".join(above.split()))
        start = after
    joined = pieces[:1]
    for above, below in itertools.pairwise(pieces):
        both = f"{above}\n{below}"
        one_is_enough = _line_ends_sentence(both, 0, len(above), len(above) + 1, len(both), width=0)
        joined += ["\n" if one_is_enough else "\n\n", below]
    return "".join(joined)


def _split(text: str, start: int, end: int) -> Iterator[Span]:
    """Yields the spans of the sentences, of any length."""
    line_ends = dict(_sentence_ends_at_lines(text, start, end)) if text.find("\n", start, end) >= 0 else {}
    items = set(_items_within_lines(text, start, end))
    breaks = [found.span() for found in _BREAK.finditer(text, start, end)]
    for at, after in sorted({*breaks, *items}) if items else breaks:
        if at < start:
            continue  # inside the mark of an item
        if text[at] == "\n":
            ends_sentence = at in line_ends
        else:
            ends_sentence = text[at] != "." or (at, after) in items or not _is_abbreviation(text, start, at)
        if ends_sentence:
            if at > start:
                yield start, at + 1 if text[at] == "?" else at  # a question mark is part of its sentence, as it hedges it
            start = after
    if end > start:
        yield start, end


def _sentence_ends_at_lines(text: str, start: int, end: int) -> Iterator[Span]:
    """Yields for each line end of text[start:end] that ends a sentence its offset, and that of the next sentence."""
    passage = text[start:end]
    width = 0 if _PROSE.search(passage) else max(len(line.strip()) for line in passage.split("\n"))
    negated = False  # whether a line above the list negates its items; then the list is one sentence with that line
    begin = start
    for found in re.finditer(r"\n[ \t\r]*", passage):
        at, after = start + found.start(), start + found.end()
        is_item = _IS_ITEM.match(text, after, end) is not None or _SHORT_ITEM.match(text, after, end) is not None
        negated = is_item and (negated or _NEGATES_BELOW.search(text[max(begin, at - 80) : at].lower()) is not None)
        if not negated and _line_ends_sentence(text, begin, at, after, end, width):
            yield at, after
        begin = after


def _line_ends_sentence(text: str, begin: int, line_end: int, after: int, end: int, width: int) -> bool:
    """Returns whether the sentence ends with the line text[begin:line_end]; the next line begins at `after`.

    It does before a blank line, an item of a list, or a line that begins with a capital, and in a list of lines. `width`: the
    length of the longest line in a list of lines; 0 in prose.
    """
    line = text[begin:line_end].rstrip()
    before = line[-_LOOK_BACK:].lower()
    if _BLANK_LINE_OR_ITEM.match(text, after, end):
        return not before.endswith(":") or text[after] == "\n"  # "Heart:" and "- enlarged" below are one sentence
    following = _NEXT.search(text, after, end)
    if following is None or _ANSWERED.search(before):
        return following is not None
    last = _last_word(before)
    token = next(iter(text[after : after + LONGEST_TOKEN].split()), "")
    abbreviation = len(token) > 1 and token.isupper() and not line.isupper()  # "no acute" and "CHF" below are one sentence
    if last in _NEEDS_MORE or before.endswith(":") or (abbreviation and last in _NEEDS_A_NOUN):
        return False
    if following.group().isupper():
        return True
    indented = after - line_end - 1 > 0 and _IS_ITEM.match(line) is not None
    if not token[:1].isalnum() or token in _CONTINUES or last in _NEEDS_A_NOUN or indented:
        return False
    return 0 < width <= _SHORT_LINE or len(line) + 1 + len(token) <= width // 2


def _items_within_lines(text: str, start: int, end: int) -> list[Span]:
    """Returns the spans of items' marks within lines."""
    items = [found.span() for found in _BULLET.finditer(text, start, end)]
    numbered = _numbered_items(text, start, end)
    if numbered is None:
        return items
    items += numbered if len(numbered) > 1 else []
    if first := re.match(r"\s*([-–—*>+])", text[start : start + 20]):
        items += [found.span() for found in _DASHED.finditer(text, start, end) if found[1] == first[1]]
    return items


def _numbered_items(text: str, start: int, end: int) -> list[Span] | None:
    """Returns the spans of the marks of a numbered list; None if its first item is within a clause."""
    marks: list[Span] = []
    count, kind = 0, ""  # the number of the last item; the mark of the first one, "1", "a" or "i"
    for found in _NUMBERED.finditer(text, start, end):
        group = str(found.lastgroup)
        mark = found[group].lower()
        roman = kind == "i" or mark == "i"
        number = int(mark) if mark.isdigit() else _ROMAN.get(mark, 0) if roman else ord(mark[0]) - ord("a") + 1
        if group != "within" and _is_in_bracket(text, start, found.start()):
            continue
        if number == 1 and not marks and _is_in_clause(text, start, found.start()):
            return None
        if number == 1 or (marks and number == count + 1):
            kind = mark if number == 1 else kind
            marks.append(found.span())
            count = number
    return marks


def _is_in_bracket(text: str, start: int, at: int) -> bool:
    """Returns whether a bracket is open at `at`, as in "(series 2) image 3)"."""
    low = max(start, at - _LONGEST_BRACKET)
    return text.rfind("(", low, at) > text.rfind(")", low, at)


def _is_in_clause(text: str, start: int, at: int) -> bool:
    """Returns whether the first mark of a list is within a clause, as in "no (1) effusion or (2) pneumothorax"."""
    before = text[max(start, at - 80) : at].rstrip()
    return bool(before) and (before[-1] not in ".:;!?\n" or _NEGATES_BELOW.search(before.lower()) is not None)


def _is_abbreviation(text: str, start: int, stop: int) -> bool:
    """Returns whether the full stop at `stop` belongs to an abbreviation."""
    before = text[max(start, stop - _LOOK_BACK) : stop].lower()
    return before.endswith(_ABBREVIATIONS) and _last_word(before) in _ABBREVIATIONS


def _last_word(text: str) -> str:
    return next(iter(reversed(_WORD.findall(text))), "")
