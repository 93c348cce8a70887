"""The text of a report as model and teacher see it."""


def single_spaced(words: str | None) -> str | None:
    """The words with single spaces between them and none around; None where there are no words."""
    return " ".join(words.split()) or None if words else None


def compose(findings: str | None, impression: str | None) -> str:
    """One line a section, under its header, for the sections that exist; "" where neither does.

    Both are single-spaced, so they hold no line break and each section's place in the text can be told.
    """
    lines = [f"{header}: {words}" for header, words in (("FINDINGS", findings), ("IMPRESSION", impression)) if words]
    return "\n".join(lines)
