"""The rule-based teacher: what the reader of a lexicon folder says of every report, as tables."""

from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import track

from raddistill.labelsets import Label
from raddistill.passages import SECTIONS, choose_sections
from raddistill.statuses import UNCERTAIN
from raddistill.tables.written import Written
from raddistill.teachers.rules.hedges import Hedges
from raddistill.teachers.rules.reading import Reader
from raddistill.teachers.rules.writing import Templates, write
from raddistill.teachers.teacher import Labelled, LabelRows, Mention, as_table


class RulesTeacher:
    """Labels for one task by the lexicon in the folder `source`, looking at the chosen sections only (see passages.CHOICES).

    `hedges`: the file that grades cues of doubt; without it no label has a probability. `templates`: how to write sentences;
    without them none are written.
    """

    def __init__(
        self,
        task: str,
        source: str,
        sections: str | list[str],
        hedges: Path | None = None,
        templates: Templates | None = None,
    ) -> None:
        choose_sections(sections)  # refused before anything is read
        self.name = f"rules:{Path(source).name}"
        self._task, self._folder, self._sections = task, Path(source), sections
        self._hedges, self._templates = hedges, templates

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """The tables for `reports`. A report without any of the sections goes to quarantine.

        Counts, where sentences are written: `sentences`, and `phrases_left_out` for want of a whole word.

        Raises:
            InputError: the lexicon folder lacks a file, or a file is broken (file, line, reason).
        """
        hedges = Hedges(self._hedges)
        reader = Reader(self._task, self._folder, label_set, self._sections)
        rows = LabelRows(self._task, self.name)
        columns = reports.select("report_id", *SECTIONS, "text").iter_rows(named=True)
        console = Console(stderr=True)
        for report in track(columns, self._task, reports.height, console=console, disable=not console.is_terminal):
            found, reason = reader.read(report)
            if reason:
                rows.put_aside(report["report_id"], reason)
                continue
            mentions = [
                (hit.label, Mention(hit.section, hit.start, hit.end, hit.cue, hit.says, hedges.of(hit.says, hit.cue)))
                for hit in found
            ]
            worth: dict[str, float] = {}  # the highest probability of a label's uncertain mentions
            for label, mention in mentions:
                if mention.probability is not None:
                    worth[label] = max(mention.probability, worth.get(label, 0.0))
            labels = [
                (label, status, worth.get(label) if status == UNCERTAIN else None, code)
                for label, status, code in reader.summarize(found)
            ]
            rows.add(report["report_id"], labels, mentions)
        written, counts = self._write(reader, hedges, label_set)
        return rows.labelled(counts, written)

    def _write(self, reader: Reader, hedges: Hedges, label_set: list[Label]) -> tuple[pl.DataFrame | None, dict[str, int]]:
        if self._templates is None:
            return None, {}
        rows, left_out = write(self._task, self._folder, label_set, reader, hedges, self._templates)
        written = as_table(rows, Written)
        return written, {"sentences": written["sentence_id"].n_unique(), "phrases_left_out": left_out}
