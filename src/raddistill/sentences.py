"""Text to sentences: where each begins and ends. Teachers label a report sentence by sentence, students may read it so."""

import itertools
import re
from collections.abc import Iterator

LONGEST_TOKEN = 100  # characters
LONGEST_SENTENCE = 10_000  # characters; the longest of Open-i has 261

_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+(?:['’][^\W_]+)?|[,:()]")  # numbers with stops, words, marks
_VALUE = r"(?i:no|none|nil|neg|negative|absent|not)\b"  # begins the answer to a question, or the value of a field
# A full stop ends a sentence before white space or a capital ("effusion.The"), and between words that were glued together
# ("effusion.small nodule"); never within a number, and dots that lead to a value end none ("effusion .... none"). A question
# mark ends one after a word ("pneumonia? The"), unless its answer follows ("Effusion? No."); elsewhere it doubts what follows
# ("?pneumonia"). A semicolon always ends one.
_STOP = "|".join(
    (
        rf"""[.!](?=\s|$|[A-Z"')(])(?!(?<=\.\.\.)\s*{_VALUE})""",
        r"(?:(?<=[A-Za-z)]{3})|(?<=\d)|(?<=\d[a-z]{2}))\.(?=[a-z]{2}|a\b)",
        rf"""(?<=[\w)])\?+(?=\s|$|[^\W_]|[("])(?!\s*[-–:]?\s*{_VALUE})""",
    )
)
_BREAK = re.compile(rf"(?:;|\n|{_STOP})[ \t\r]*")
# What begins an item of a list: a dash or bullet, "1." or "2)", "(3)" or "[3]", "a.", "#4".
_BULLETS = "•▪◦‣●○■◆➢➤·"
_MARKS = r"\d{1,2}|[a-hA-H]|i{1,3}|iv|v"
_ITEM = rf"(?:[-–—*+{_BULLETS}]{{1,2}}[ \t]?(?=[^\W_]|[?(])|(?:\d{{1,2}}|[a-hA-H])[.)](?!\d)|[(\[](?:{_MARKS})[)\]]|#\d)"
_BLANK_OR_LISTED = re.compile(rf"\n|{_ITEM}")
_IS_ITEM = re.compile(rf"[ \t\r]*{_ITEM}")
_NEXT = re.compile(rf"[^\W_]|[,:();\n?]|{_STOP}")
_LOOK_BACK = 24  # characters before a stop or a line's end in which its last word is looked for: longer than the words below
_ABBREVIATIONS = ("dr", "mr", "mrs", "ms", "vs", "v", "approx", "st", "e", "g", "i", "prob", "poss", "incl")
# A line that ends so goes on in the next one, ...
_CARRIED_ON = frozenset(
    (",", "(", "a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "are", "no", "nor", "not", "of", "on", "or", "than",
     "the", "to", "with", "without")
)  # fmt: skip
# ... or so, if the next one begins with a small letter, ...
_DESCRIBES = frozenset(
    ("acute", "focal", "large", "small", "mild", "moderate", "minimal", "severe", "left", "right", "bilateral", "upper", "lower",
     "new", "old", "definite", "significant", "pleural", "pulmonary", "evidence", "sign", "signs", "any", "this", "other",
     "active")
)  # fmt: skip
# ... and a line that begins so goes on from the one above.
_CARRIES_ON = _CARRIED_ON | {"was", "were", "has", "have", "which", "that", "but", "seen", "noted", "present"}
_ANSWERED = re.compile(r"[:=?]\s*no[ \t\r]*\Z")  # "effusion: no" goes on in no other line
# A list of lines has no stop within a line. Its lines are short, or leave much room to their right; wrapped ones do not.
_PROSE = re.compile(r"[.!?][ \t]+[^\W_]")
_SHORT_LINE = 45  # characters
# Words before a colon that deny (or doubt) all items of the list below: "No evidence of:", "Negative for the following:".
_DENIES_BELOW = re.compile(
    r"(?:\b(?:no|not|negatives?|without|free|denie[sd]|absent|none|excluded|ruled out|evidence|signs?|absence|lack)\b"
    r"(?:[ \t]+(?:any|of|for|the|following|seen|findings?|signs?|evidence|visible))*)[ \t]*:[ \t]*\Z"
)
_SHORT_ITEM = re.compile(r"[a-z][^\n.;:]{0,40}(?:\n|$)")  # below such words a short line in small letters is an item, too
# Items within a line, counted from the first on: "(1) No effusion (2) Nodule", "a) No effusion b) Nodule", "#1 ... #2 ...",
# "1- ... 2- ...", "a.no effusion b.nodule".
_NUMBERED = re.compile(
    rf"(?<![^\s.;:,])(?:[(\[](?P<within>{_MARKS})[)\]]|(?P<before>{_MARKS})\)|#(?P<number>\d{{1,2}})[.:)]?"
    r"|(?P<plain>\d{1,2})[ \t]?[-/](?=\s)|(?P<letter>[a-h])\.(?=[a-z]{2}))\s*(?=[^\W\d_]|\?)"
)
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}
_LONGEST_BRACKET = 200  # characters: "(series 2, image 3)" holds no item
_DASHED = re.compile(
    r"(?<=\S)[ \t]+([-–—*>+])\s*(?=[^\W\d_])"
    r"(?!(?i:no|none|nil|neg|negative|absent|mild|moderate|severe|small|large|trace|normal|stable|unchanged)\s*(?:[.,;\n]|$))"
)  # in a text that begins so: "- No effusion - Nodule"
_BULLET = re.compile(rf"[{_BULLETS}][ \t]*")


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of the sentences of text[start:end], in code points from the beginning of `text`.

    What goes on without a stop for longer than any sentence is cut between words, so that time and memory stay bounded.
    """
    for begins, ends in _stopped(text, start, end):
        start = begins
        while ends - start > LONGEST_SENTENCE:
            space = text.rfind(" ", start + 1, start + LONGEST_SENTENCE)
            cut = space if space > 0 else start + LONGEST_SENTENCE
            yield start, cut
            start = cut
        yield start, ends


def with_lines(text: str) -> str:
    """The text with single spaces, and with a line end only where a sentence ends without a stop: in lists, below titles.

    Its sentences are those of `text`: a line end stands alone where the words around it tell that a sentence ends, else doubled.
    """
    if "\n" not in text:
        return " ".join(text.split())
    pieces, start = [], 0
    for at, after in [*_line_ends(text, 0, len(text)), (len(text), len(text))]:
        above = text[start:at].rstrip()
        if at < len(text) and above.endswith((".", "!", ";")) and not _is_abbreviated(above, 0, len(above) - 1):
            continue  # its stop is enough
        if above.strip():
            pieces.append(" ".join(above.split()))
        start = after
    joined = pieces[:1]
    for above, below in itertools.pairwise(pieces):
        two = f"{above}\n{below}"
        alone = _ends_with_line(two, 0, len(above), len(above) + 1, len(two), width=0)
        joined += ["\n" if alone else "\n\n", below]
    return "".join(joined)


def _stopped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    lines = dict(_line_ends(text, start, end)) if text.find("\n", start, end) >= 0 else {}
    items = set(_items(text, start, end))
    breaks = [(found.start(), found.end()) for found in _BREAK.finditer(text, start, end)]
    for at, after in sorted({*breaks, *items}) if items else breaks:
        if at < start:
            continue  # within the mark of an item
        is_item = (at, after) in items
        if at in lines if text[at] == "\n" else text[at] != "." or is_item or not _is_abbreviated(text, start, at):
            if at > start:
                yield start, at + (text[at] == "?")
            start = after
    if end > start:
        yield start, end


def _line_ends(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Line ends of text[start:end] at which a sentence ends, each with where the next one begins."""
    passage = text[start:end]
    width = 0 if _PROSE.search(passage) else max(len(line.strip()) for line in passage.split("\n"))
    denied = False  # by the line above the list
    begin = start
    for found in re.finditer(r"\n[ \t\r]*", passage):
        at, after = start + found.start(), start + found.end()
        listed = _IS_ITEM.match(text, after, end) is not None or _SHORT_ITEM.match(text, after, end) is not None
        denied = listed and (denied or _DENIES_BELOW.search(text[max(begin, at - 80) : at].lower()) is not None)
        if not denied and _ends_with_line(text, begin, at, after, end, width):
            yield at, after
        begin = after


def _items(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Marks of items that stand within a line, each with the end of the mark."""
    items = [found.span() for found in _BULLET.finditer(text, start, end)]
    numbered: list[tuple[int, int]] = []
    count, kind = 0, ""
    for found in _NUMBERED.finditer(text, start, end):
        group = str(found.lastgroup)
        mark = found[group].lower()
        number = (
            int(mark) if mark.isdigit() else _ROMAN.get(mark, 0) if kind == "i" or mark == "i" else ord(mark[0]) - ord("a") + 1
        )
        low = max(start, found.start() - _LONGEST_BRACKET)
        if group != "within" and text.rfind("(", low, found.start()) > text.rfind(")", low, found.start()):
            continue
        if number == 1 and not numbered and _within_clause(text, start, found.start()):
            return items
        if number == 1 or (numbered and number == count + 1):
            kind = mark if number == 1 else kind
            numbered.append(found.span())
            count = number
    items += numbered if len(numbered) > 1 else []
    if first := re.match(r"\s*([-–—*>+])", text[start : start + 20]):
        items += [found.span() for found in _DASHED.finditer(text, start, end) if found[1] == first[1]]
    return items


def _within_clause(text: str, start: int, at: int) -> bool:
    """Whether the first mark of a list stands within a clause: "no (1) effusion or (2) pneumothorax"."""
    before = text[max(start, at - 80) : at].rstrip()
    return bool(before) and (before[-1] not in ".:;!?\n" or _DENIES_BELOW.search(before.lower()) is not None)


def _is_abbreviated(text: str, start: int, stop: int) -> bool:
    before = text[max(start, stop - _LOOK_BACK) : stop].lower()
    return before.endswith(_ABBREVIATIONS) and _last_word(before) in _ABBREVIATIONS


def _ends_with_line(text: str, begin: int, line_end: int, after: int, end: int, width: int) -> bool:
    """Whether the sentence ends with the line text[begin:line_end]: before a blank line or an item of a list, where the next line
    begins anew with a capital, and in lists of lines; `width` is that of their longest, 0 where they are prose.
    """
    line = text[begin:line_end].rstrip()
    before = line[-_LOOK_BACK:].lower()
    if _BLANK_OR_LISTED.match(text, after, end):
        return not before.endswith(":") or text[after] == "\n"  # "Heart:" and "- enlarged" below
    following = _NEXT.search(text, after, end)
    if following is None or _ANSWERED.search(before):
        return following is not None
    last = _last_word(before)
    token = next(iter(text[after : after + LONGEST_TOKEN].split()), "")
    abbreviation = len(token) > 1 and token.isupper() and not line.isupper()  # "no acute" and "CHF" below
    if last in _CARRIED_ON or before.endswith(":") or (abbreviation and last in _DESCRIBES):
        return False
    if following.group().isupper():
        return True
    indented = after - line_end - 1 > 0 and _IS_ITEM.match(line) is not None
    if not token[:1].isalnum() or token in _CARRIES_ON or last in _DESCRIBES or indented:
        return False
    return 0 < width <= _SHORT_LINE or len(line) + 1 + len(token) <= width // 2


def _last_word(text: str) -> str:
    return next(iter(reversed(_WORD.findall(text))), "")
