"""benchmarks/labelers.py on written sentences, ours alone: no environment is made, nothing is downloaded."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import labelers
from benchmarks.peers import protocol, sides
from benchmarks.peers.sides import Measured, Side, Source
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.truth import Truth
from raddistill.teachers.rules.lexicon import Phrase

ROOT = Path(__file__).parents[1]
P = ScoreParams(seed=13, bootstrap=50, near_duplicate=0.8, macro_min_positives=1, concept_macro_min_positives=1)
PHRASES = [
    Phrase(("opaci*",), "Lung Opacity", "present", None),
    Phrase(("heart", "..", "enlarged"), "Cardiomegaly", "present", None),
    Phrase(("heart", "..", "normal"), "Cardiomegaly", "absent", None),
    Phrase(("effusion",), "Pleural Effusion", "present", None),
    Phrase(("pericardial", "effusion"), "Pleural Effusion", "ignore", None),
]


def report(findings: str, impression: str | None = None, name: str = "a") -> dict:
    return {"report_id": name, "findings": findings, "impression": impression, "text": f"{findings}\n{impression or ''}"}


def phrases_of(*reports: dict) -> set[tuple[str, ...]]:
    return {tuple(written) for written in sides.write_out(PHRASES, list(reports), ["findings", "impression"])[0]}


def test_beginnings_and_gaps_are_written_out_as_they_stand_in_the_reports() -> None:
    found = phrases_of(report("Patchy Opacities. The heart, again, is mildly  enlarged.", "OPACITY."))
    assert found == {
        ("Lung Opacity", "present", "opacities"),
        ("Lung Opacity", "present", "opacity"),
        ("Cardiomegaly", "present", "heart, again, is mildly enlarged"),
    }


def test_what_shields_and_what_denies_is_handed_on_and_the_tighter_phrase_counts() -> None:
    assert phrases_of(report("Pericardial effusion. Heart normal, aorta enlarged.")) == {
        ("Pleural Effusion", "ignore", "pericardial effusion"),
        ("Cardiomegaly", "absent", "heart normal"),
    }


def test_mentions_to_ignore_are_not_counted() -> None:
    _, mentions = sides.write_out(PHRASES, [report("Pericardial effusion. Effusion. Effusion.")], ["findings"])
    assert mentions == 2


def test_only_the_sections_asked_for_are_read() -> None:
    written, _ = sides.write_out(PHRASES, [report("Clear.", "Opacity.")], ["findings"])
    assert written == []


def test_the_strongest_mention_counts() -> None:
    said = [
        ("Edema", "absent"),
        ("Edema", "uncertain"),
        ("Fracture", "absent"),
        ("Fracture", "present"),
        ("Fracture", "uncertain"),
    ]
    assert protocol.aggregate(said) == {"Edema": "uncertain", "Fracture": "present"}


def test_sections_are_parted_by_a_full_stop() -> None:
    assert protocol.text_of(report("No effusion ", "Opacity."), ["findings", "impression"]) == "No effusion. Opacity."
    assert protocol.text_of(report("No effusion.", "Opacity"), ["findings"]) == "No effusion."


def test_a_peer_that_is_missing_leaves_the_rest_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sides, "environment", lambda peer: None)
    reports = [report("No pleural effusion.", name="a"), report("Left pleural effusion, maybe edema.", "Cardiomegaly.", "b")]
    wanted = sides.list_sides([Path("lexicon/cold")], peers=True)
    measured = sides.run_all(wanted, reports, ["findings", "impression"], repeats=2)
    assert list(measured) == [Side("ours", Source(Path("lexicon/cold")))]
    (ours,) = measured.values()
    assert ours.said[0]["Pleural Effusion"] == "absent"
    assert ours.said[1]["Pleural Effusion"] == "present"
    assert ours.said[1]["Cardiomegaly"] == "present"
    assert len(ours.seconds) == 2
    assert ours.speed > 0


def test_a_runner_that_fails_is_named_without_the_text_it_failed_on(tmp_path: Path) -> None:
    side = Side("ours", Source(tmp_path / "nowhere"))
    with pytest.raises(labelers.errors.InputError, match="ours with nowhere failed") as raised:
        sides.run(sys.executable, side, tmp_path, {"sections": ["findings"], "label_set": "secret text"})
    assert "secret" not in str(raised.value)


NAMES = ["Edema", "Fracture"]
TRUTH = Truth(
    ["a", "b", "c"],
    NAMES,
    present=np.array([[True, False], [True, False], [False, True]]),
    ambiguous=np.array([[False, False], [False, True], [False, False]]),
)
OURS = [{"Edema": "present"}, {"Edema": "uncertain", "Fracture": "present"}, {"Fracture": "absent"}]
THEIRS = [{"Edema": "absent"}, {"Edema": "present"}, {"Edema": "present"}]


def test_figures_by_hand() -> None:
    scorer = labelers.Scorer(TRUTH, ["1", "2", "3"], np.array([True, True]), P)
    figures = scorer.figures(OURS)
    assert figures["micro_f1"] == pytest.approx(4 / 5)  # 2 found, 1 missed, the ambiguous one masked
    assert figures["macro_f1"] == pytest.approx(1 / 2)
    assert figures["uncertain_absent_micro_f1"] == pytest.approx(2 / 4)
    assert figures["mask_absent_micro_f1"] == pytest.approx(4 / 6)
    assert figures["mask_present_micro_f1"] == pytest.approx(6 / 7)
    assert [(row["label"], row["positives"], row["f1"]) for row in figures["labels"]] == [("Edema", 2, 1.0), ("Fracture", 1, 0.0)]
    gain = scorer.difference(OURS, THEIRS)
    assert gain["micro_f1"] == pytest.approx(4 / 5 - 2 / 5)
    assert gain["macro_f1"] == pytest.approx(1 / 2 - 1 / 4)
    assert gain["micro_f1_low"] <= gain["micro_f1"] <= gain["micro_f1_high"]


def test_tables_show_every_side_whole() -> None:
    ours, theirs = Side("ours", Source(Path("lex"))), Side("medspacy", Source(Path("lex"), mention_only=True))
    scorer = labelers.Scorer(TRUTH, ["1", "2", "3"], np.array([True, True]), P)
    figures = {ours: scorer.figures(OURS), theirs: scorer.figures(THEIRS)}
    measured = {ours: Measured(OURS, 4, 4, [0.5, 0.3], [30, 31]), theirs: Measured(THEIRS, 3, 4, [3.0, 4.0], [100, 110])}
    shown = io.StringIO()
    console = Console(file=shown, width=labelers.WIDTH)
    console.print(labelers.accuracy_table(figures, "findings"))
    console.print(labelers.speed_table(measured))
    console.print(labelers.label_table(figures))
    console.print(labelers.difference_table({(ours, theirs): scorer.difference(OURS, THEIRS)}))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.getvalue().splitlines() if line.startswith("│")]
    assert rows[0][:2] == ["ours", "lex"]
    assert rows[0][2].startswith("0.800 (")
    assert rows[1][:2] == ["medspaCy", "lex, [mention] only"]
    assert rows[2] == ["ours", "lex", "10", "1.0", "30", "4", "4"]
    assert rows[3] == ["medspaCy", "lex, [mention] only", "1", "10.0", "100", "3", "4"]
    assert rows[4] == ["Edema", "2", "1.000", "0.500"]
    assert rows[6][:3] == ["lex", "medspaCy", "lex, [mention] only"]
    assert rows[6][3].startswith("+0.400 (")
    assert "…" not in shown


def test_without_data_it_says_what_makes_them(tmp_path: Path) -> None:
    for name in ("params.yaml", "lexicon"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/labelers.py", "--no-peers"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "dvc repro" in done.stderr


def test_json_has_no_nan() -> None:
    assert json.dumps(labelers._without_nan({"a": [float("nan"), 1.0]}), allow_nan=False) == '{"a": [null, 1.0]}'
