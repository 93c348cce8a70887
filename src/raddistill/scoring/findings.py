"""Open-ended: the phrases that each arm finds, as concepts, beside how they came out (unmapped, fuzzy, ungrounded, codes)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from raddistill import answers, statuses
from raddistill.concepts import Concept
from raddistill.scoring.concepts_of import Lexicon
from raddistill.scoring.labels import Bools, Truth
from raddistill.scoring.said import Said
from raddistill.scoring.statistics import Counts, Ints

_WORD = re.compile(r"\w+")
CODELESS = ""  # the category of a finding without a code: never in the gold


@dataclass(frozen=True)
class Findings:
    """What one arm finds; phrases are distinct in a report, (reports,) each but `decided`."""

    reports: list[str]
    decided: Bools  # (reports, concepts)
    phrases: Ints
    unmapped: Ints  # phrases that are no concept: each a false positive
    fuzzy: Ints  # mapped by likeness only
    ungrounded: Ints  # phrases that do not stand in the report
    categories: list[frozenset[str]]  # three-character ICD-10-CM categories, those of optional concepts and devices left out
    unparsed: Bools  # no readable answer: scored as empty

    def of(self, reports: list[str]) -> "Findings":
        """The same of some reports, in their order."""
        at = {report: row for row, report in enumerate(self.reports)}
        rows = [at[report] for report in reports]
        return Findings(
            reports,
            self.decided[rows],
            self.phrases[rows],
            self.unmapped[rows],
            self.fuzzy[rows],
            self.ungrounded[rows],
            [self.categories[row] for row in rows],
            self.unparsed[rows],
        )

    @property
    def said(self) -> Said:
        """The same in the form that both tasks share."""
        return Said(self.reports, self.decided, self.unmapped, self.unparsed)


def from_labels(
    labels: pl.DataFrame, texts: dict[str, str], concepts: list[Concept], lexicon: Lexicon, *, answered: set[str]
) -> Findings:
    """A teacher's phrases (Labels rows without `uncertain`, see `policies`) in the reports of `texts`; absent ones do not count.

    `answered`: the reports that the teacher labelled; one of them without rows has no finding, any other is unparsed.
    """
    found: dict[str, list[tuple[str, str]]] = {report: [] for report in texts}
    rows = labels.filter(pl.col("status").cast(pl.String) == statuses.PRESENT)
    for report, phrase, code in rows.select("report_id", "label", "code").iter_rows():
        if report in found:
            found[report].append((phrase, code or ""))
    return _findings({report: found[report] if report in answered else None for report in texts}, texts, concepts, lexicon)


def from_answers(predictions: pl.DataFrame, texts: dict[str, str], concepts: list[Concept], lexicon: Lexicon) -> Findings:
    """Lines of phrase and code (Predictions rows of one task and arm); what does not parse, or is null, is scored as empty."""
    read: dict[str, list[tuple[str, str]] | None] = {}
    for report, answer in predictions.select("report_id", "answer").sort("report_id").iter_rows():
        parsed = answers.parse_lines(answer or "")
        read[report] = None if parsed.unparsed else parsed.findings
    return _findings(read, texts, concepts, lexicon)


def category_counts(truth: Truth, findings: Findings, concepts: list[Concept]) -> Counts:
    """True positives, false positives, false negatives by category, (reports, 3).

    Gold: the categories of the present concepts' codes. A category that a present concept accepts counts as its own; one of an
    ambiguous concept is neither right nor wrong.
    """
    kept = [(column, c) for column, c in enumerate(concepts) if c.kind == "score"]
    counts = np.zeros((len(truth.reports), 3), dtype=np.int64)
    for row, said in enumerate(findings.categories):
        present = [c for column, c in kept if truth.present[row, column]]
        forgiven = {category for column, c in kept if truth.ambiguous[row, column] for category in _categories(c)}
        gold = {_category(c.code) for c in present}
        instead = {category: _category(c.code) for c in present for category in _categories(c) if category not in gold}
        named = {instead.get(category, category) for category in said}
        counts[row] = len(named & gold), len(named - gold - forgiven), len(gold - named)
    return counts


def _findings(
    read: dict[str, list[tuple[str, str]] | None], texts: dict[str, str], concepts: list[Concept], lexicon: Lexicon
) -> Findings:
    column_of = {c.concept: column for column, c in enumerate(concepts)}
    outside = {c.concept for c in concepts if c.kind != "score"}
    decided = np.zeros((len(read), len(concepts)), dtype=bool)
    tallies = np.zeros((4, len(read)), dtype=np.int64)
    categories = []
    for row, (report, said) in enumerate(read.items()):
        text = _words(texts[report])
        coded = set()
        codes = {" ".join(phrase.casefold().split()): code for phrase, code in reversed(said or [])}  # the first code of a phrase
        for phrase, code in codes.items():
            match = lexicon.match(phrase)
            tallies[:, row] += (1, match.concept is None, match.fuzzy, _words(phrase) not in text)
            if match.concept is not None:
                decided[row, column_of[match.concept]] = True
            if match.concept not in outside:
                coded.add(_category(code))
        categories.append(frozenset(coded))
    unparsed = np.array([said is None for said in read.values()], dtype=bool)
    phrases, unmapped, fuzzy, ungrounded = tallies
    return Findings(list(read), decided, phrases, unmapped, fuzzy, ungrounded, categories, unparsed)


def _categories(concept: Concept) -> Iterable[str]:
    return [_category(code) for code in [concept.code, *concept.accept.split(";")] if code]


def _category(code: str) -> str:
    return code[:3] if len(code) >= 3 else CODELESS


def _words(text: str) -> str:
    """The words between single spaces, so that a phrase is looked for from word to word, whatever the punctuation."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "
