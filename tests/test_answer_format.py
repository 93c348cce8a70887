import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill import answer_format
from raddistill.errors import InputError
from raddistill.labelsets import Label

LABELS = [Label(name=name, description="") for name in ["Atelectasis", "Pleural Effusion", "Pleural Other", "Edema"]]
NAMES = [label.name for label in LABELS]


@given(st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_list_reads_back_as_it_was_written(chosen):
    names = [name for name, yes in zip(NAMES, chosen, strict=True) if yes]
    assert answer_format.parse_list(answer_format.render_list(names), LABELS) == names


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("Normal", []),
        ("normal.", []),
        ("Edema", ["Edema"]),
        (" edema ,  pleural   effusion.\n", ["Pleural Effusion", "Edema"]),
        ("Edema, Edema", ["Edema"]),
    ],
)
def test_lists_as_models_write_them(answer, names):
    assert answer_format.parse_list(answer, LABELS) == names


@pytest.mark.parametrize("answer", ["", " ", ",", "Edema,", "Effusion", "Edema, Normal", "Edema and Pleural Other"])
def test_a_list_with_anything_unknown_is_unparsed(answer):
    assert answer_format.parse_list(answer, LABELS) is None


@pytest.mark.parametrize("name", ["Mass, large", "Two\nlines", "normal", ""])
def test_a_name_that_would_not_read_back_is_refused(name):
    with pytest.raises(InputError, match="does not fit a comma-separated answer"):
        answer_format.render_list([name])


def test_lines_are_pinned():
    findings = [("small left effusion", "J90"), ("enlarged heart", "I51.7")]
    assert answer_format.render_lines(findings) == "small left effusion | J90\nenlarged heart | I51.7"
    assert answer_format.render_lines([]) == "None"


plain = st.text(min_size=1).map(lambda s: " ".join(s.replace("|", "").split())).filter(bool)
codes = st.sampled_from(["J90", "I51.7", "M47.-", ""])


@given(st.lists(st.tuples(plain, codes), unique=True))
def test_lines_read_back_as_they_were_written(findings):
    parsed = answer_format.parse_lines(answer_format.render_lines(findings))
    assert parsed == answer_format.Parsed(findings, bad_lines=0, unparsed=False)


@given(st.lists(st.tuples(st.text(min_size=1).filter(lambda s: s.strip()), st.text())))
def test_bars_and_line_breaks_are_mended_and_then_stable(findings):
    rendered = answer_format.render_lines(findings)
    parsed = answer_format.parse_lines(rendered)
    assert parsed.bad_lines == 0
    assert not parsed.unparsed
    assert set(answer_format.render_lines(parsed.findings).split("\n")) == set(rendered.split("\n"))


def test_how_bars_and_breaks_are_mended():
    assert answer_format.render_lines([("left|right\nlower  lobe", "R91|8")]) == "left/right lower lobe | R91/8"


@given(st.text())
def test_garbage_never_raises(text):
    parsed = answer_format.parse_lines(text)
    assert answer_format.parse_lines(answer_format.render_lines(parsed.findings)).findings == parsed.findings
    assert not (parsed.unparsed and parsed.findings)
    answer_format.parse_list(text, LABELS)


@pytest.mark.parametrize(
    ("answer", "findings", "bad", "unparsed"),
    [
        ("None", [], 0, False),
        (" none.\n", [], 0, False),
        ("", [], 0, True),
        ("The heart is large.", [], 1, True),
        ("| J90", [], 1, True),
        ("effusion |", [("effusion", "")], 0, False),
        ("effusion | J90\neffusion | J90\n\ncut off in the mid", [("effusion", "J90")], 1, False),
        ("None\neffusion | J90", [("effusion", "J90")], 0, False),
        ("a | b | J90", [("a / b", "J90")], 0, False),
    ],
)
def test_lines_as_models_write_them(answer, findings, bad, unparsed):
    assert answer_format.parse_lines(answer) == answer_format.Parsed(findings, bad, unparsed)
