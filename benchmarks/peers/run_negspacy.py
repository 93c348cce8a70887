"""negspaCy: NegEx with its termset `en_clinical` on the phrases. It knows only negation: what is not absent is present.

It looks for cues before and after a mention, never inside. Ours may have a gap ("heart is not enlarged"), so it gets only the
last word of each mention.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import spacy
from negspacy.negation import Negex  # noqa: F401 (registers the component)
from negspacy.termsets import termset
from protocol import Said, read_lines, run, text_of
from spacy.language import Language
from spotting import GROUP, Spotter, says_and_label


def prepare(job: dict[str, Any]) -> Callable[[Iterable[dict[str, Any]]], Iterator[Said]]:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    Language.component("spotter", func=Spotter(nlp, read_lines(job["phrases"]), last_word=True))
    nlp.add_pipe("spotter")
    nlp.add_pipe("negex", config={"neg_termset": termset("en_clinical").get_patterns(), "span_keys": [GROUP]})

    def label(reports: Iterable[dict[str, Any]]) -> Iterator[Said]:
        for doc in nlp.pipe(text_of(report, job["sections"]) for report in reports):
            yield [said_of(span) for span in doc.spans[GROUP]]

    return label


def said_of(span: Any) -> tuple[str, str]:
    says, label = says_and_label(span)
    return label, "absent" if span._.negex else says


if __name__ == "__main__":
    run(prepare)
