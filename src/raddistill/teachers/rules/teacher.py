"""The rule-based teacher: reads every report by a lexicon and returns the labels as tables."""

from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import track

from raddistill.labelsets import Label
from raddistill.passages import SECTIONS, choose_sections
from raddistill.statuses import UNCERTAIN
from raddistill.tables.written import Written
from raddistill.teachers.rules.hedges import Hedges
from raddistill.teachers.rules.reader import Reader
from raddistill.teachers.rules.writing import Templates, write
from raddistill.teachers.teacher import EvidenceRow, Labelled, LabelRows, as_table


class RulesTeacher:
    """Labels reports for one task by the lexicon in the folder `source`. Reads the chosen sections only (see passages.CHOICES).

    `hedges`: the file with probabilities of hedges; without it no label has a probability. `templates`: the files from which
    sentences are written; without them none are written.
    """

    def __init__(
        self, task: str, source: str, sections: str | list[str], hedges: Path | None = None, templates: Templates | None = None
    ) -> None:
        choose_sections(sections)  # refused before anything is read
        self.name = f"rules:{Path(source).name}"
        self._task, self._folder, self._sections = task, Path(source), sections
        self._hedges, self._templates = hedges, templates

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """Returns the tables for `reports`. A report without any of the sections goes to quarantine.

        If sentences are written, `counts` has `sentences` and `phrases_left_out` (those with a prefix without a whole word).

        Raises:
            InputError: the lexicon folder lacks a file, or a file is broken (file, line, reason).
        """
        hedges = Hedges(self._hedges)
        reader = Reader(self._task, self._folder, label_set, self._sections)
        rows = LabelRows(self._task, self.name)
        columns = reports.select("report_id", *SECTIONS, "text").iter_rows(named=True)
        console = Console(stderr=True)
        for report in track(columns, self._task, reports.height, console=console, disable=not console.is_terminal):
            spans, reason = reader.read(report)
            if reason:
                rows.put_aside(report["report_id"], reason)
                continue
            mentions = [
                (s.label, EvidenceRow(s.section, s.start, s.end, s.cue, s.status, hedges.probability(s.status, s.cue)))
                for s in spans
            ]
            highest: dict[str, float] = {}  # by label: the highest probability of its uncertain mentions
            for label, mention in mentions:
                if mention.probability is not None:
                    highest[label] = max(mention.probability, highest.get(label, 0.0))
            labels = [
                (label, status, highest.get(label) if status == UNCERTAIN else None, code)
                for label, status, code in reader.summarize(spans)
            ]
            rows.add(report["report_id"], labels, mentions)
        if self._templates is None:
            return rows.labelled({})
        sentences, left_out = write(self._task, self._folder, label_set, reader, hedges, self._templates)
        written = as_table(sentences, Written)
        return rows.labelled({"sentences": written["sentence_id"].n_unique(), "phrases_left_out": left_out}, written=written)
