"""Text to sentences: where each begins and ends. Teachers label a report sentence by sentence, students may read it so."""

import re
from collections.abc import Iterator

LONGEST_SENTENCE = 10_000  # characters; the longest of Open-i has 261

_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+(?:['’][^\W_]+)?|[,:()]")  # numbers with stops, words, marks
# A full stop ends a sentence before white space or a capital ("effusion.The"), never within a number; a semicolon always does.
# A line ends one before a list mark or a blank line; other line ends are decided by the next word, since reports are often
# wrapped at a fixed width.
_STOP = r"""[.!?](?=\s|$|[A-Z"')(])"""
_BREAK = re.compile(rf"(?:;|\n|{_STOP})[ \t\r]*")
_BLANK_OR_LISTED = re.compile(r"\n|(?:[-*•]|\d{1,2}[.)])[ \t]")
_NEXT = re.compile(rf"[^\W_]|[,:();\n]|{_STOP}")
_LOOK_BACK = 24  # characters before a stop or a line's end in which its last word is looked for: longer than the words below
_ABBREVIATIONS = ("dr", "mr", "mrs", "ms", "vs", "v", "approx", "st", "e", "g", "i")
_CARRIED_ON = frozenset(
    (",", "(", "a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "are", "no", "nor", "not", "of", "on", "or", "than",
     "the", "to", "with", "without")
)  # fmt: skip


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


def _stopped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for found in _BREAK.finditer(text, start, end):
        at, after = found.span()
        if text[at] == "\n":
            ends = _ends_with_line(text, start, at, after, end)
        else:
            ends = text[at] != "." or not _is_abbreviated(text, start, at)
        if ends:
            if at > start:
                yield start, at
            start = after
    if end > start:
        yield start, end


def _is_abbreviated(text: str, start: int, stop: int) -> bool:
    before = text[max(start, stop - _LOOK_BACK) : stop].lower()
    return before.endswith(_ABBREVIATIONS) and _last_word(before) in _ABBREVIATIONS


def _ends_with_line(text: str, start: int, line_end: int, after: int, end: int) -> bool:
    """Whether the sentence ends with its line: before a blank line or a list mark, or where the next one begins anew."""
    if _BLANK_OR_LISTED.match(text, after, end):
        return True
    following = _NEXT.search(text, after, end)
    if following is None or not following.group().isupper():
        return False
    return _last_word(text[max(start, line_end - _LOOK_BACK) : line_end].lower()) not in _CARRIED_ON


def _last_word(text: str) -> str:
    return next(iter(reversed(_WORD.findall(text))), "")
