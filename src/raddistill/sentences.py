"""Text to sentences: where each begins and ends. Teachers label a report sentence by sentence, students may read it so."""

import itertools
import re
from collections.abc import Iterator

LONGEST_SENTENCE = 10_000  # characters; the longest of Open-i has 261

_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+(?:['’][^\W_]+)?|[,:()]")  # numbers with stops, words, marks
# A full stop ends a sentence before white space or a capital ("effusion.The"), and between words that were glued together
# ("effusion.small nodule"); never within a number. A question mark ends one after a word ("pneumonia? The"), unless its answer
# follows ("Effusion? No."); elsewhere it doubts what follows ("?pneumonia"). A semicolon always ends one.
_STOP = (
    r"""[.!](?=\s|$|[A-Z"')(])|(?<=[a-z)]{3})\.(?=[a-z]{2}|a\b)|(?<=\d)\.(?=[a-z]{2})"""
    r"""|(?<=[\w)])\?+(?=\s|$|[^\W_]|[("])(?!\s*(?i:no|none|nil|neg|negative|absent)\s*(?:[.,;\n)]|$))"""
)
_BREAK = re.compile(rf"(?:;|\n|{_STOP})[ \t\r]*")
# What begins an item of a list: a dash or bullet, "1." or "2)", "(3)", "a.".
_ITEM = r"(?:[-–—*•·▪◦‣]{1,2}[ \t]?(?=[^\W_]|[?(])|(?:\d{1,2}|[a-hA-H])[.)](?!\d)|\((?:\d{1,2}|[a-h])\))"
_BLANK_OR_LISTED = re.compile(rf"\n|{_ITEM}")
_NEXT = re.compile(rf"[^\W_]|[,:();\n?]|{_STOP}")
_NEXT_WORD = re.compile(r"[^\W_]+")
_LOOK_BACK = 24  # characters before a stop or a line's end in which its last word is looked for: longer than the words below
_ABBREVIATIONS = ("dr", "mr", "mrs", "ms", "vs", "v", "approx", "st", "e", "g", "i", "prob", "poss", "incl")
_CARRIED_ON = frozenset(
    (",", "(", "a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "are", "no", "nor", "not", "of", "on", "or", "than",
     "the", "to", "with", "without")
)  # fmt: skip
_ANSWERED = re.compile(r"[:=?]\s*no[ \t\r]*\Z")  # "effusion: no" goes on in no other line
_CARRIES_ON = _CARRIED_ON | {"was", "were", "has", "have", "which", "that", "but", "seen", "noted", "present"}
# Items within a line: "(1) No effusion (2) Nodule", "a) No effusion b) Nodule", "- No effusion - Nodule", "No effusion • Nodule".
_NUMBERED = re.compile(r"(?<![^\s.;:,])(\(?)(\d{1,2}|[a-h])\)\s*(?=[^\W\d_]|\?)")
_DASHED = re.compile(r"(?<=\S)[ \t]+[-–—]\s+(?=[A-Z])")
_LONGEST_BRACKET = 200  # characters: "(series 2, image 3)" holds no item
_BULLET = re.compile(r"[•▪◦‣][ \t]*")


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
    items = _items(text, start, end)
    breaks = [(found.start(), found.end()) for found in _BREAK.finditer(text, start, end)]
    for at, after in sorted([*breaks, *items]) if items else breaks:
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
    width = max(len(line.rstrip()) for line in text[start:end].split("\n"))
    for found in re.finditer(r"\n[ \t\r]*", text[start:end]):
        at, after = start + found.start(), start + found.end()
        if _ends_with_line(text, start, at, after, end, width):
            yield at, after


def _items(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Marks of items that stand within a line, each with the end of the mark; numbers and letters count from the first on."""
    items = [found.span() for found in _BULLET.finditer(text, start, end)]
    if ")" in text:
        numbered, following = [], ""
        for found in _NUMBERED.finditer(text, start, end):
            bracket, mark = found.groups()
            low = max(start, found.start() - _LONGEST_BRACKET)
            inside = not bracket and text.rfind("(", low, found.start()) > text.rfind(")", low, found.start())
            if not inside and (mark in ("1", "a") or mark == following):
                numbered.append(found.span())
                following = str(int(mark) + 1) if mark.isdigit() else chr(ord(mark) + 1)
        items += numbered if len(numbered) > 1 else []
    if text[start:end].lstrip()[:1] in ("-", "–", "—"):
        items += [found.span() for found in _DASHED.finditer(text, start, end)]
    return items


def _is_abbreviated(text: str, start: int, stop: int) -> bool:
    before = text[max(start, stop - _LOOK_BACK) : stop].lower()
    return before.endswith(_ABBREVIATIONS) and _last_word(before) in _ABBREVIATIONS


def _ends_with_line(text: str, start: int, line_end: int, after: int, end: int, width: int) -> bool:
    """Whether the sentence ends with its line: before a blank line or an item of a list, where the next line begins anew with a
    capital, or where its first word would have had room here (lines of reports are often wrapped at a fixed `width`).
    """
    if _BLANK_OR_LISTED.match(text, after, end):
        return True
    following = _NEXT.search(text, after, end)
    before = text[max(start, line_end - _LOOK_BACK) : line_end].lower()
    if following is None or _ANSWERED.search(before):
        return following is not None
    if _last_word(before) in _CARRIED_ON:
        return False
    if following.group().isupper():
        return True
    word = _NEXT_WORD.match(text, after, end)
    if word is None or word.group() in _CARRIES_ON:
        return False
    line = text[text.rfind("\n", start, line_end) + 1 : line_end].strip()
    return len(line) + 1 + len(word.group()) <= width


def _last_word(text: str) -> str:
    return next(iter(reversed(_WORD.findall(text))), "")
