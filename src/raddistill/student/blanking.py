"""Sentences in which the words that gave a label away are blanked: the label must then be read from what stands around them.

A rule knows its phrases and nothing else. A student that sees the phrase in every example learns little more; hiding it now and
then makes site, size and verb carry the label, so that a phrase which no rule lists is found as well (SimSeed, arXiv 2305.14794).
"""

import hashlib
import re

from raddistill.student.teaching import Said

FEWEST_WORDS = 3  # that must be left of a sentence: less says nothing of any label
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def blanked(text: str, said: Said, blank: str, key: str) -> str | None:
    """`text` with about half of the words of its mentions, at least one of each, replaced by `blank`; None if too little is left.

    Which words: by hash of `key` and the word's place, so the same sentence is always blanked alike. Every mention counts,
    denied ones too: else a blank would give a finding away.
    """
    everything = [found.span() for found in _WORD.finditer(text)]
    hidden: set[tuple[int, int]] = set()
    for mention in said.mentions:
        words = [span for span in everything if span[0] < mention.end and span[1] > mention.start]
        ranked = sorted(words, key=lambda span: hashlib.sha256(f"{key}:{span[0]}".encode()).digest())
        hidden.update(ranked[: (len(ranked) + 1) // 2])
    if not hidden or len(everything) - len(hidden) < FEWEST_WORDS:
        return None
    for start, end in sorted(hidden, reverse=True):
        text = text[:start] + blank + text[end:]
    return text
