"""params.yaml against the classes that read it; what is unknown or of another type is refused by name, never echoed."""

from pathlib import Path

import pytest
from pipeline_truth import ROOT, sections_of
from test_pipeline import STAGES

from raddistill import params
from raddistill.errors import ParamsError
from raddistill.teachers.synthesizing import TEACHERS, settings_of

PARAMS = ROOT / "params.yaml"


class Toy(params.Section):
    rate: float
    seed: int
    kind: str


def toy(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "params.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_params_yaml_loads_through_every_section_class() -> None:
    loaded = {section for stage in STAGES for section, into in sections_of(stage).items() if params.load(section, into, PARAMS)}
    loaded |= {
        f"synthesize.{teacher}" for teacher in TEACHERS if params.load(f"synthesize.{teacher}", settings_of(teacher), PARAMS)
    }
    content = params.read(PARAMS)
    nested = {"synthesize", "predict"}
    named = {f"{top}.{key}" if top in nested else top for top, node in content.items() for key in node}
    assert loaded == named


def test_5e_05_as_dvc_writes_it_is_a_number(tmp_path: Path) -> None:
    file = toy(tmp_path, "toy: {rate: 5e-05, seed: 1, kind: a}")
    assert params.load("toy", Toy, file).rate == 5e-05


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("toy: {rate: 1, seed: 1, kind: a, sead: 2}", r"toy\.sead: unknown key"),
        ("toy: {rate: 1, kind: a}", r"toy\.seed: Field required"),
        ("toy: {rate: fast, seed: 1, kind: a}", r"toy\.rate: Input should be a valid number"),
        ("toy: {rate: 1, seed: '1', kind: a}", r"toy\.seed: Input should be a valid integer"),
        ("toy: {rate: 1, seed: 1.5, kind: a}", r"toy\.seed: Input should be a valid integer"),
        ("toy: {rate: 1, seed: true, kind: a}", r"toy\.seed: Input should be a valid integer"),
        ("toy: {rate: 1, seed: 1, kind: 3}", r"toy\.kind: Input should be a valid string"),
        ("toy: 3", r"toy: Input should be"),
        ("tay: {}", r"has no section 'toy'"),
        ("[1, 2]", r"holds no sections"),
        ("toy: {rate: 1, seed", r"is not YAML \(line 1\)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ParamsError, match=told):
        params.load("toy", Toy, toy(tmp_path, text))


def test_no_value_is_echoed(tmp_path: Path) -> None:
    file = toy(tmp_path, "toy: {rate: the patient has a cough, seed: 1, kind: a}")
    with pytest.raises(ParamsError, match=r"toy\.rate") as refused:
        params.load("toy", Toy, file)
    assert "cough" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run from the root of the project"):
        params.load("toy", Toy, tmp_path / "params.yaml")


def test_no_section_class_holds_a_default() -> None:
    """Values live in params.yaml only."""
    classes = {into for stage in STAGES for into in sections_of(stage).values()}
    nested = {into for cls in classes for into in (f.annotation for f in cls.model_fields.values()) if isinstance(into, type)}
    sections = classes | {into for into in nested if issubclass(into, params.Section)}
    assert len(sections) >= 11
    assert [(cls.__name__, name) for cls in sections for name, info in cls.model_fields.items() if not info.is_required()] == []
