"""Which split a report belongs to: a hash of its patient, or of its normalised text where no patient is known.

A hash, not a draw: the split of a report depends on no other report, so it is stable under row order and growth.
"""

import hashlib
import re

_TOKEN = re.compile(r"[^\W_]+")


def text_group(*sections: str | None) -> str:
    """16 hex digits, equal for reports that say the same but for case, punctuation and spacing.

    Headers are left out, so a text in the findings of one report and the impression of another is the same text.
    """
    words = _TOKEN.findall(" ".join(section for section in sections if section).casefold())
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


def split(group: str, salt: str, train: float, validation: float) -> str:
    """`train`, `validation` or `test` for a patient's id or a text group; `train` and `validation` are shares in [0, 1]."""
    digest = hashlib.sha256(f"{salt}\n{group}".encode()).digest()
    place = int.from_bytes(digest[:6], "big") / 2**48  # 48 bits: exact in a float, so never rounded up to 1.0
    if place < train:
        return "train"
    return "validation" if place < train + validation else "test"
