"""Open-ended: turns phrases into concepts, and computes the metrics of phrases and codes that only this task has."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill import answer_format, statuses
from raddistill.concepts import Concept
from raddistill.scoring.bootstrap import Counts, Ints, f1, share
from raddistill.scoring.metrics import Figures, Judged, ScoreParams, count, micro_f1
from raddistill.scoring.scorer_lexicon import Lexicon
from raddistill.scoring.truth import ArmDecisions, TaskNames, Truth
from raddistill.tables.predictions import ArmTables

Finding = tuple[str, str]  # phrase, code
_WORD = re.compile(r"\w+")
NO_CODE = ""  # the category of a finding without a code; never in the gold


@dataclass(frozen=True, kw_only=True)
class PhraseDecisions(ArmDecisions):
    """Decisions from phrases, with what their own metrics need."""

    # (reports, 4): distinct phrases; of these those without a concept, mapped by similarity only, with words not in the report
    tallies: Ints
    categories: npt.NDArray[np.object_]  # (reports,): frozensets of ICD-10-CM categories, without optional concepts and devices


def concept_names(p: ScoreParams, concepts: list[Concept]) -> TaskNames:
    """Returns all concepts as the names of the task. Only those of kind `score` count."""
    minimum = p.concept_macro_min_positives
    return TaskNames([c.concept for c in concepts], np.array([c.kind == "score" for c in concepts]), minimum, minimum)


class OpenEnded:
    """Turns answers that are phrases with codes into decisions, and computes the metrics that only this task has."""

    def __init__(self, p: ScoreParams, concepts: list[Concept], lexicon: Lexicon) -> None:
        """`lexicon`: maps phrases to concepts."""
        self.names = concept_names(p, concepts)
        self._concepts, self._lexicon = concepts, lexicon
        self._device = np.array([c.kind == "device" for c in concepts])

    def read_predictions(self, arm: str, tables: ArmTables, texts: dict[str, str]) -> PhraseDecisions:
        """Returns an arm's decisions from its lines `phrase | code`. An answer that is null or does not parse counts as empty."""
        findings: dict[str, list[Finding] | None] = {}
        for report, answer in tables.predictions.select("report_id", "answer").sort("report_id").iter_rows():
            parsed = answer_format.parse_lines(answer or "")
            findings[report] = None if parsed.unparsed else parsed.findings
        return self._map(findings, texts)

    def read_labels(self, labels: pl.DataFrame, texts: dict[str, str], answered: set[str]) -> PhraseDecisions:
        """Returns a teacher's decisions about the reports of `texts` from its labels without `uncertain`.

        `answered`: the reports that it labelled. Such a report without rows has no finding; any other report is unparsed.
        """
        found: dict[str, list[Finding]] = {report: [] for report in texts}
        present = labels.filter(pl.col("status").cast(pl.String) == statuses.PRESENT)
        for report, phrase, code in present.select("report_id", "label", "code").iter_rows():
            if report in found:
                found[report].append((phrase, code or ""))
        return self._map({report: rows if report in answered else None for report, rows in found.items()}, texts)

    def own_figures(self, truth: Truth, decisions: PhraseDecisions, judged: Judged) -> Figures:
        """Returns the metrics that only this task has. Rates are shares of the distinct phrases."""
        abnormal = [report for report, normal in zip(judged.reports, judged.normal, strict=True) if not normal]
        present, ambiguous = truth.present[:, self._device], truth.ambiguous[:, self._device]
        phrases, unmapped, fuzzy, ungrounded = (int(n) for n in decisions.tallies.sum(axis=0))
        return {
            "abnormal_micro_f1": micro_f1(judged.select(abnormal)),
            "unmapped": share(unmapped, phrases),
            "fuzzy": share(fuzzy, phrases),
            "ungrounded": share(ungrounded, phrases),
            "coverage": share(int((~decisions.unparsed).sum()), len(decisions.reports)),
            "category_micro_f1": float(f1(self._count_categories(truth, decisions).sum(axis=0))),
            "device_micro_f1": float(f1(count(present, ambiguous, decisions.decided[:, self._device]).sum(axis=(0, 1)))),
        }

    def _map(self, findings: dict[str, list[Finding] | None], texts: dict[str, str]) -> PhraseDecisions:
        """Maps the findings of each report to concepts. Findings None: the report has no readable answer."""
        column_of = {name: column for column, name in enumerate(self.names.names)}
        outside = {c.concept for c in self._concepts if c.kind != "score"}
        decided = np.zeros((len(findings), len(column_of)), dtype=bool)
        tallies = np.zeros((len(findings), 4), dtype=np.int64)
        categories = np.empty(len(findings), dtype=object)
        for row, (report, of_report) in enumerate(findings.items()):
            text, coded = _words(texts[report]), set()
            # reversed: the first code of a phrase wins
            codes = {" ".join(phrase.casefold().split()): code for phrase, code in reversed(of_report or [])}
            for phrase, code in codes.items():
                match = self._lexicon.match(phrase)
                tallies[row] += (1, match.concept is None, match.fuzzy, _words(phrase) not in text)
                if match.concept is not None:
                    decided[row, column_of[match.concept]] = True
                if match.concept not in outside:  # unmapped phrases (None) count by their code
                    coded.add(_category(code))
            categories[row] = frozenset(coded)
        unparsed = np.array([of_report is None for of_report in findings.values()], dtype=bool)
        return PhraseDecisions(list(findings), decided, tallies[:, 1], unparsed, tallies=tallies, categories=categories)

    def _count_categories(self, truth: Truth, decisions: PhraseDecisions) -> Counts:
        """Returns true positives, false positives and false negatives of ICD-10-CM categories, (reports, 3).

        Gold: the categories of the present concepts' codes. A category that a present concept accepts counts as its own. A
        category of an ambiguous concept is neither right nor wrong.
        """
        kept = [(column, c) for column, c in enumerate(self._concepts) if c.kind == "score"]
        counts = np.zeros((len(truth.reports), 3), dtype=np.int64)
        for row, coded in enumerate(decisions.categories):
            present = [c for column, c in kept if truth.present[row, column]]
            forgiven = {category for column, c in kept if truth.ambiguous[row, column] for category in _accepted(c)}
            gold = {_category(c.code) for c in present}
            instead = {category: _category(c.code) for c in present for category in _accepted(c) if category not in gold}
            named = {instead.get(category, category) for category in coded}
            counts[row] = len(named & gold), len(named - gold - forgiven), len(gold - named)
        return counts


def _accepted(concept: Concept) -> list[str]:
    """The categories of a concept's own code and of the other codes that it accepts."""
    return [_category(code) for code in [concept.code, *concept.accept.split(";")] if code]


def _category(code: str) -> str:
    """The first three characters of an ICD-10-CM code: J90 -> J90, J98.4 -> J98."""
    return code[:3] if len(code) >= 3 else NO_CODE


def _words(text: str) -> str:
    """The words, each between single spaces: phrases are found as whole words, whatever the punctuation."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "
