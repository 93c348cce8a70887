"""medspaCy: ConText with its default rules on the phrases, in a pipeline without a trained model.

`splitter` of the job: spaCy's `sentencizer`, or PyRuSH, the default of medspacy.load(), which takes most of the time. A negated
mention is absent, a possible one uncertain; historical, hypothetical and family mentions are dropped.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import medspacy
from loguru import logger
from protocol import Said, read_lines, run, text_of
from spacy.language import Language
from spotting import GROUP, Spotter, says_and_label


def prepare(job: dict[str, Any]) -> Callable[[Iterable[dict[str, Any]]], Iterator[Said]]:
    logger.remove()  # PyRuSH writes every token of every report to stderr
    pyrush = job["splitter"] == "pyrush"
    nlp = medspacy.load(medspacy_enable={"medspacy_tokenizer", *(["medspacy_pyrush"] if pyrush else [])})
    if not pyrush:
        nlp.add_pipe("sentencizer")
    Language.component("spotter", func=Spotter(nlp, read_lines(job["phrases"])))
    nlp.add_pipe("spotter")
    nlp.add_pipe("medspacy_context", config={"input_span_type": "group", "span_group_name": GROUP})

    def label(reports: Iterable[dict[str, Any]]) -> Iterator[Said]:
        for doc in nlp.pipe(text_of(report, job["sections"]) for report in reports):
            yield [(name, status) for span in doc.spans[GROUP] for name, status in said_of(span)]

    return label


def said_of(span: Any) -> Said:
    """Returns no or one (label, status). A phrase that is itself a denial ("heart is normal") needs no cue."""
    says, label = says_and_label(span)
    about = span._
    if says == "absent":
        return [(label, says)]
    if about.is_historical or about.is_hypothetical or about.is_family:
        return []
    if about.is_negated:
        return [(label, "absent")]
    return [(label, "uncertain" if about.is_uncertain else says)]


if __name__ == "__main__":
    run(prepare)
