"""Runs labelers in their own processes, in turns, on the same reports and phrases."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from raddistill import params, paths, statuses
from raddistill.errors import InputError
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.passages import find_passages
from raddistill.sentences import sentences
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.mentions import Matcher, PhraseMatch, find_word_spans, find_words, resolve

FOLDER = Path(__file__).parent
NAMES = {"ours": "ours", "medspacy": "medspaCy", "negspacy": "negspaCy"}


class Source(NamedTuple):
    """The source of phrases: a lexicon folder; all four lists of its label files, or `[mention]` only."""

    lexicon: Path
    mention_only: bool = False

    @property
    def name(self) -> str:
        return self.lexicon.name + (", [mention] only" if self.mention_only else "")


class Side(NamedTuple):
    """A labeler with its phrases; one row of the tables."""

    labeler: str  # one of NAMES: runs run_<labeler>.py
    source: Source
    splitter: str = "sentencizer"  # of medspaCy; or pyrush

    @property
    def name(self) -> str:
        return NAMES[self.labeler] + (", PyRuSH" if self.splitter == "pyrush" else "")


@dataclass
class Measured:
    """The results of a side: statuses by report and label, mentions, and seconds and peak MiB of every turn.

    `expected`: number of mentions that our matcher finds with the same phrases.
    """

    said: list[dict[str, str]]
    mentions: int
    expected: int
    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)

    @property
    def speed(self) -> float:
        return len(self.said) / min(self.seconds)

    @property
    def peak(self) -> float:
        return min(self.peaks)


class Written(NamedTuple):
    """A phrase without wildcard or gap, as it occurs in a report."""

    label: str
    says: str  # present, uncertain, absent or ignore
    phrase: str


def list_sides(lexicons: list[Path], peers: bool) -> list[Side]:
    """Returns ours and the peers with each lexicon; medspaCy with its own, slow splitter only with the last."""
    sides: list[Side] = []
    for folder in lexicons:
        whole, mentions = Source(folder), Source(folder, mention_only=True)
        sides += [Side("ours", whole), Side("medspacy", whole), Side("negspacy", whole)]
        sides += [Side("medspacy", mentions), Side("negspacy", mentions)]
    sides.append(Side("medspacy", Source(lexicons[-1]), "pyrush"))
    return [side for side in sides if peers or side.labeler == "ours"]


def write_out(phrases: list[lexicon.Phrase], reports: list[dict[str, Any]], sections: list[str]) -> tuple[list[Written], int]:
    """Returns the distinct words that the phrases find in the reports, in lower case, and the number of mentions not ignored.

    If the same words come from phrases with different statuses (depending on their context), the most frequent status counts.
    """
    matcher = Matcher(phrases)
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for report in reports:
        for passage in find_passages(report, sections, False)[0]:
            for begins, ends in sentences(passage.text, passage.start, passage.end):
                for phrase, quote in _quotes(matcher, passage.text[begins:ends]):
                    found[phrase.label, " ".join(quote.lower().split())][phrase.status] += 1
    written = [Written(label, of.most_common(1)[0][0], phrase) for (label, phrase), of in sorted(found.items())]
    return written, sum(n for of in found.values() for says, n in of.items() if says != lexicon.IGNORE)


def _quotes(matcher: Matcher, sentence: str) -> Iterator[tuple[lexicon.Phrase, str]]:
    places = find_word_spans(sentence)
    by_label: dict[str, list[PhraseMatch]] = defaultdict(list)
    for mention in matcher.find(find_words(sentence)):
        by_label[mention.phrase.label].append(mention)
    for mention in (kept for of_label in by_label.values() for kept in resolve(of_label)):
        yield mention.phrase, sentence[places[mention.first][0] : places[mention.last][1]]


def environment(peer: str) -> Path | None:
    """Returns the Python of the peer's environment, which is made if missing; None if that fails."""
    wanted = FOLDER / f"{peer}.txt"
    folder = (paths.store() / "peers" / peer).absolute()
    done = folder / f".installed-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not done.exists():
        print(f"Installing {peer} into {folder}; once, a minute.", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        install = ["-m", "pip", "install", "--quiet", "--requirement"]
        commands: list[list[str | Path]] = [[sys.executable, "-m", "venv", folder], [python, *install, wanted]]
        if any(subprocess.run(command, capture_output=True, check=False).returncode for command in commands):
            return None
        done.touch()
    return python


def run(python: Path | str, side: Side, folder: Path, job: dict[str, Any]) -> tuple[list[dict[str, str]], dict[str, float]]:
    """Runs a side; returns statuses in the order of the job's reports, and its figures (mentions, seconds, peak_mib).

    Raises:
        InputError: the runner failed. Its output is not shown, as it may hold report text.
    """
    file, out = folder / "job.json", folder / "labels.jsonl"
    file.write_text(json.dumps({**job, "splitter": side.splitter, "lexicon": str(side.source.lexicon), "out": str(out)}))
    command = [python, FOLDER / f"run_{side.labeler}.py", file]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        kind = done.stderr.strip().rsplit("\n", 1)[-1].split(":")[0]
        raise InputError(f"{side.name} with {side.source.name} failed ({kind}); remove {paths.store()}/peers to install anew")
    said = [json.loads(line)["labels"] for line in out.read_text(encoding="utf-8").split("\n") if line]
    return said, json.loads(done.stdout.splitlines()[-1])


def run_all(sides: list[Side], reports: list[dict[str, Any]], sections: list[str], repeats: int) -> dict[Side, Measured]:
    """Runs all sides `repeats` times in turns, without peers whose environment cannot be made.

    Raises:
        InputError: a lexicon is broken, or a runner failed.
    """
    measured: dict[Side, Measured] = {}
    pythons = {name: sys.executable if name == "ours" else environment(name) for name in {side.labeler for side in sides}}
    label_set = params.load("label_set", LabelSetParams).path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = {"reports": str(folder / "reports.jsonl"), "sections": sections, "label_set": label_set}
        _write(folder / "reports.jsonl", reports)
        files: dict[Source, tuple[str, int]] = {}
        for n, source in enumerate({side.source: None for side in sides}):
            phrases = lexicon.load_labels(source.lexicon, load_labels(label_set))
            kept = [phrase for phrase in phrases if phrase.status == statuses.PRESENT or not source.mention_only]
            written, expected = write_out(kept, reports, sections)
            files[source] = str(folder / f"phrases_{n}.jsonl"), expected
            _write(Path(files[source][0]), [phrase._asdict() for phrase in written])
        for side in sides * repeats:
            if python := pythons[side.labeler]:
                file, expected = files[side.source]
                said, figures = run(python, side, folder, {**job, "phrases": file})
                of_side = measured.setdefault(side, Measured(said, int(figures["mentions"]), expected))
                of_side.seconds.append(figures["seconds"])
                of_side.peaks.append(figures["peak_mib"])
    return measured


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
