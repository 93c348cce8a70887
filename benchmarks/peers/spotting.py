"""Finds the phrases in a spaCy document, for both peers alike, by spaCy's PhraseMatcher on lower case."""

from typing import Any

from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc, Span

GROUP = "mentions"  # the span group that a Spotter fills
SEPARATOR = "|"


class Spotter:
    """A pipeline component: fills doc.spans[GROUP] with the mentions, named `says|label`.

    Of a label's overlapping phrases the longest counts; one with `ignore` only blocks its words, as in ours. Mentions of
    different labels may overlap, so they are a span group, not entities. `last_word`: keep only the last word of each mention.
    """

    def __init__(self, nlp: Any, phrases: list[dict[str, str]], last_word: bool = False) -> None:
        self._last_word = last_word
        self._matcher = PhraseMatcher(nlp.vocab, attr="LOWER")
        texts: dict[str, list[str]] = {}
        for phrase in phrases:
            texts.setdefault(phrase["says"] + SEPARATOR + phrase["label"], []).append(phrase["phrase"])
        for name, of in texts.items():
            self._matcher.add(name, list(nlp.tokenizer.pipe(of)))

    def __call__(self, doc: Doc) -> Doc:
        found = sorted(self._matcher(doc, as_spans=True), key=lambda span: (span.start - span.end, span.start))
        taken: dict[str, set[int]] = {}
        kept: list[Span] = []
        for span in found:
            says, label = span.label_.split(SEPARATOR)
            words = taken.setdefault(label, set())
            if words.isdisjoint(range(span.start, span.end)):
                words.update(range(span.start, span.end))
                if says != "ignore":
                    kept.append(Span(doc, span.end - 1, span.end, span.label_) if self._last_word else span)
        doc.spans[GROUP] = kept
        return doc


def says_and_label(span: Span) -> tuple[str, str]:
    says, label = span.label_.split(SEPARATOR)
    return says, label
