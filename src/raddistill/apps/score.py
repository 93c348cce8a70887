"""The command `score`: which labels generated reports share with written ones, under the keys of the package f1chexbert.

That package returns `accuracy` (share of reports with all of 5 labels right), `accuracy_not_averaged` (the same by report), and
scikit-learn's reports about 14 and about 5 labels. Here our rules label both sides; intervals and numbers of reports are added.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from raddistill.apps.label import options
from raddistill.errors import InputError

if TYPE_CHECKING:
    from rich.console import Group

    from raddistill.apps.label.report_file import Report
    from raddistill.teachers.rules.reader import Reader

FIVE = ["Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion"]
SECTIONS: Literal["findings_and_impression"] = "findings_and_impression"
RESAMPLES = 2000
FIGURES = ["precision", "recall", "f1-score"]
Stated = dict[str, tuple[list[bool], str]]  # report -> whether it states each of the 14 labels, and its text group


References = Annotated[str, typer.Argument(metavar="REFERENCES", help="Written reports: a file or folder, as for `label`.")]
Hypotheses = Annotated[str, typer.Argument(metavar="HYPOTHESES", help="Generated reports with the same ids.")]
HypothesisColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the reports in HYPOTHESES. [default: as in REFERENCES]")
]
Resamples = Annotated[int, typer.Option(min=1, help="Bootstrap draws.")]
AsJson = Annotated[bool, typer.Option("--json", help="Prints JSON with the keys of f1chexbert.")]
HELP = """Scores generated reports by the labels that they share with written ones. It stands where F1-CheXbert stood.

`raddistill score written.csv generated.csv --id-column study_id --json`

`raddistill score both.csv both.csv --text-column report --hypothesis-column generated`: two columns of one file

The rules of `raddistill label` label both sides. As in F1-CheXbert, uncertain counts as present, and No Finding is the 14th
label: stated if no other but Support Devices is. Figures of another labeler, such as CheXbert, are not comparable.

**Reports.** A hypothesis without usable text states nothing, not even No Finding. Left out are references without usable
text, and reports that one side lacks. All are counted. **Intervals** are 95 %, from bootstrap draws; references with equal
texts are drawn together.

**Exit codes**: 0 done. 1 a file or an option is wrong. 2 the command is wrong.
"""


def score(
    references: References,
    hypotheses: Hypotheses,
    hypothesis_column: HypothesisColumn = None,
    lexicon: options.Lexicon = None,
    sections: options.Sections = SECTIONS,
    id_column: options.IdColumn = None,
    text_column: options.TextColumn = None,
    findings_column: options.FindingsColumn = None,
    impression_column: options.ImpressionColumn = None,
    input_format: options.InputFormat = None,
    encoding: options.Encoding = "utf-8",
    resamples: Resamples = RESAMPLES,
    as_json: AsJson = False,
) -> None:
    """Scores generated reports by the labels that they share with written ones, and prints the figures; HELP says how."""
    from raddistill.apps.label.report_file import Report, ReportFile
    from raddistill.apps.label.rules import load_reader
    from raddistill.scoring.score_output import wide

    columns = options.Columns(id_column, text_column, findings_column, impression_column)
    of_hypotheses = options.Columns(id_column, hypothesis_column) if hypothesis_column else columns
    reader, *_ = load_reader("multiple_choice", lexicon, None, sections)
    sides = []
    for source, named in ((references, columns), (hypotheses, of_hypotheses)):
        with ReportFile(source, named, input_format, encoding) as file:
            batches = list(file.batches())
        unusable = [Report(reject.row, reject.report_id or "\t", {}) for batch in batches for reject in batch.rejects]
        sides.append(_label([*(report for batch in batches for report in batch.reports), *unusable], reader))
    figures = _score(sides[0], sides[1], resamples)
    if as_json:
        print(json.dumps(figures, indent=2, allow_nan=False))
    else:
        wide(None).print(_page(figures))


def score_texts(refs: Sequence[str | None], hyps: Sequence[str | None], lexicon: str | None = None) -> dict[str, Any]:
    """Returns what `raddistill score --json` prints, for two lists of reports in the same order. Their ids are "0", "1", ...

    What is no string, such as None, counts as a report without text.

    Raises:
        InputError: one list is longer, or no reference has text.
    """
    from raddistill.apps.label.report_file import Report, split_sections
    from raddistill.apps.label.rules import load_reader
    from raddistill.sections import markup

    if len(refs) != len(hyps):
        raise InputError(f"{len(refs)} references and {len(hyps)} hypotheses: give one for each, in the same order")
    reader, *_ = load_reader("multiple_choice", lexicon, None, SECTIONS)
    plain = [[markup.plain(text).text if isinstance(text, str) else "" for text in texts] for texts in (refs, hyps)]
    sides = [[Report(n, str(n), split_sections(text)) for n, text in enumerate(texts)] for texts in plain]
    return _score(_label(sides[0], reader), _label(sides[1], reader), RESAMPLES)


def _label(reports: "list[Report]", reader: "Reader") -> Stated:
    """Returns what the reports state, [] for unusable ones. Those that lack an id, or repeat one, are called by their row."""
    from raddistill.apps.label.formats import no_finding
    from raddistill.apps.label.rules import read_report
    from raddistill.sources.splits.splitting import text_group
    from raddistill.statuses import PRESENT, UNCERTAIN

    stated: Stated = {}
    for report in reports:
        spans, reason = read_report(reader, report) if report.sections else ([], "no text")
        if reason:
            repeated = report.report_id == "\t" or report.report_id in stated
            stated[f"\t{report.row}" if repeated else report.report_id] = [], ""
            continue
        summary = reader.summarize(spans)
        present = {label for label, status, _ in summary if status in (PRESENT, UNCERTAIN)}
        present |= {_fourteen()[-1]} if no_finding(summary) else set()
        group = text_group(*(words for pieces in report.sections.values() for _, words in pieces))
        stated[report.report_id] = [label in present for label in _fourteen()], group
    return stated


def _fourteen() -> list[str]:
    """Returns CheXpert's labels in the order of f1chexbert: No Finding is the last."""
    from raddistill.teachers.imported.teacher import CHEXPERT

    return [*CHEXPERT[1:], CHEXPERT[0]]


def _score(references: Stated, hypotheses: Stated, resamples: int) -> dict[str, Any]:
    import numpy as np
    from sklearn.metrics import classification_report

    from raddistill.apps.compare.comparing import SEED, draw, require_memory
    from raddistill.scoring.bootstrap import Bootstrap
    from raddistill.scoring.metrics import count

    names = _fourteen()
    usable = {report for report, (said, _) in references.items() if said}
    ids = [report for report in references if report in usable and report in hypotheses]
    if not ids:
        raise InputError("no usable report is in both files; ids are compared as text")
    require_memory(len(ids), resamples)
    true = np.array([references[report][0] for report in ids])
    found = np.array([hypotheses[report][0] or [False] * len(names) for report in ids])
    five = [names.index(name) for name in FIVE]
    right = (true == found)[:, five].all(axis=1)
    bootstrap = Bootstrap([references[report][1] for report in ids], resamples, SEED)
    accuracy = bootstrap.interval(np.stack([right, ~right, ~right], axis=1).astype(np.int64))  # F1 of these is right / all
    made: dict[str, Any] = {"accuracy": accuracy.value, "accuracy_not_averaged": right.astype(float).tolist()}
    intervals: dict[str, Any] = {"accuracy": {"low": accuracy.low, "high": accuracy.high}}
    for key, at in {"class_report": list(range(len(names))), "class_report_5": five}.items():
        chosen, y, guess = [names[i] for i in at], true[:, at], found[:, at]
        made[key] = classification_report(y, guess, target_names=chosen, output_dict=True, zero_division=0)
        intervals[key] = _intervals(draw(count(y, np.zeros_like(y), guess), bootstrap), chosen)
    reports = {
        "scored": len(ids),
        "of_these_without_hypothesis_text": sum(not hypotheses[report][0] for report in ids),
        "unusable_references": len(references) - len(usable),
        "references_without_hypothesis": len(usable) - len(ids),
        "other_hypotheses": len(hypotheses) - len(ids),
    }
    made |= {"intervals": intervals, "reports": reports, "report_ids": ids}
    return dict(json.loads(json.dumps(made, default=float)))  # scikit-learn's numbers are numpy's


def _intervals(drawn: Any, names: list[str]) -> dict[str, dict[str, float]]:
    """Returns the intervals of F1, by label and averaged, from counts (resamples, labels, 3). As above, undefined F1 is 0."""
    import numpy as np

    from raddistill.apps.compare.comparing import limits
    from raddistill.scoring.bootstrap import f1

    of_labels, support = np.nan_to_num(f1(drawn)), drawn[..., 0] + drawn[..., 2]
    averages = {
        "micro avg": np.nan_to_num(f1(drawn.sum(axis=1))),
        "macro avg": of_labels.mean(axis=1),
        "weighted avg": (of_labels * support).sum(axis=1) / np.maximum(support.sum(axis=1), 1),
    }
    return {name: limits("f1-score", values) for name, values in (dict(zip(names, of_labels.T, strict=True)) | averages).items()}


def _page(figures: dict[str, Any]) -> "Group":
    from rich.console import Group

    from raddistill.scoring.score_output import cell, table

    rows = []
    for key, of in (("class_report", "14"), ("class_report_5", "5")):
        for name, own in figures[key].items():
            span = cell(figures["intervals"][key].get(name, {}), "{f1-score_low:.3f} to {f1-score_high:.3f}")
            title = f"{name}, {of} labels" if name.endswith(" avg") else name
            if of == "14" or title != name:
                rows.append([title, *(f"{own[each]:.3f}" for each in FIGURES), span, f"{own['support']:.0f}"])
    counts = ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in figures["reports"].items())
    return Group(
        table("Labels of generated against written reports", ["label", *FIGURES, "95 % interval", "support"], rows),
        f"Reports: {counts}",
    )
