"""Reports here are sentences written for the tests, in the form of Open-i's files."""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raddistill import concepts, labelsets, params, paths
from raddistill.errors import InputError, ParamsError
from raddistill.reading.cells import is_missing
from raddistill.sources import extracting
from raddistill.sources.collections.archives import LARGEST_FILE
from raddistill.sources.collections.openi import OpenI, parse
from raddistill.sources.documents import Document, Failure
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports

ROOT = Path(__file__).parent.parent
PARAMS = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml").model_copy(
    update={"gold": str(ROOT / "gold/openi"), "max_quarantine": 1.0}
)
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")


def xml(
    report_id: str = "CXR1",
    findings: str = "The heart is of normal size.",
    impression: str = "No acute disease.",
    majors: Iterable[str] = ("normal",),
    head: str = '<?xml version="1.0" encoding="utf-8"?>',
) -> bytes:
    coded = "".join(f"<major>{escape(major)}</major>" for major in majors)
    return f"""{head}<eCitation><uId id="{report_id}"/><MedlineCitation><Article><Abstract>
        <AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION"/>
        <AbstractText Label="FINDINGS">{escape(findings)}</AbstractText>
        <AbstractText Label="IMPRESSION">{escape(impression)}</AbstractText>
        </Abstract></Article></MedlineCitation><MeSH>{coded}<automatic>leaks gold</automatic></MeSH></eCitation>""".encode()


def archive(folder: Path, *files: bytes, names: list[str] | None = None) -> Path:
    """A folder that holds the files as Open-i's archive does."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "NLMCXR_reports.tgz", "w:gz") as packed:
        for n, content in enumerate(files, start=1):
            member = tarfile.TarInfo(names[n - 1] if names else f"ecgen-radiology/{n}.xml")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return folder


def extract(raw: Path, **changed: object) -> extracting.Extracted:
    p = PARAMS.model_copy(update={"raw": str(raw)} | changed)
    return extracting.extract(p, LABELS, concepts.load_concepts(ROOT / paths.CONCEPTS))


def reasons(extracted: extracting.Extracted) -> list[tuple[str, int, str]]:
    return sorted(extracted.quarantine.select("report_id", "n", "reason").rows())


def test_a_report_becomes_rows_of_every_table(tmp_path: Path) -> None:
    raw = archive(
        tmp_path,
        xml("CXR1", " Enlarged  heart.\n Clear lungs. ", "Cardiomegaly &c.", ["Cardiomegaly/mild"]),
        xml("CXR2", "", "Normal chest."),
        xml("CXR3", "Normal chest.", "", ["No Indexing"]),
    )
    made = extract(raw)
    first = made.reports.row(0, named=True)
    assert (first["findings"], first["impression"]) == ("Enlarged heart. Clear lungs.", "Cardiomegaly &c.")
    assert first["text"] == "FINDINGS: Enlarged heart. Clear lungs.\nIMPRESSION: Cardiomegaly &c."
    assert (first["comparison"], first["indication"], first["patient_id"]) == ("None.", None, None)
    assert (first["source"], first["sensitivity"]) == ("openi", "public")
    for schema, frame in ((Reports, made.reports), (Gold, made.gold), (Quarantine, made.quarantine)):
        tables.check(schema, frame, "table")
    assert made.reports["text_group"][1] == made.reports["text_group"][2]
    assert made.reports["split"][1] == made.reports["split"][2]
    heart = made.gold.filter(pl.col("task") == "multiple_choice", pl.col("label") == "Cardiomegaly")
    assert dict(heart.select("report_id", "status").rows()) == {"CXR1": "present", "CXR2": "absent", "CXR3": "excluded"}
    assert made.metrics["gold"]["multiple_choice"] == {"annotated": 2, "excluded": 1, "present": 1}
    assert made.metrics["reports_without_gold"] == {"multiple_choice": 1, "open_ended": 1}
    assert made.metrics["files"] == made.metrics["reports"] == sum(made.metrics["splits"].values()) == 3
    assert made.metrics["text_groups"] == 2
    assert made.metrics["quarantined"] == {"total": 0}


def test_machine_made_terms_reach_no_table(tmp_path: Path) -> None:
    made = extract(archive(tmp_path, xml()))
    assert not any("leaks gold" in str(frame.rows()) for frame in (made.reports, made.gold, made.quarantine))


BILLION_LAUGHS = '<?xml version="1.0"?><!DOCTYPE e [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
FILE_OF_THE_MACHINE = '<?xml version="1.0"?><!DOCTYPE e [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "malformed XML"),
        (xml()[:300], "malformed XML"),
        (xml(findings="caf\xe9").decode().encode("latin-1"), "not UTF-8"),
        (xml(head='<?xml version="1.0" encoding="no-such"?>'), "malformed XML"),
        (xml(head=BILLION_LAUGHS), "document type or entity in XML"),
        (xml(head=FILE_OF_THE_MACHINE), "document type or entity in XML"),
        (xml(head='<?xml version="1.0"?><!DOCTYPE eCitation>'), "document type or entity in XML"),
        (xml(report_id="  "), "no report id"),
        (b"<eCitation/>", "no report id"),
        (xml(findings="x" * LARGEST_FILE), "file too large"),
    ],
    ids=["empty", "cut", "latin-1", "unknown-encoding", "entities", "outside-entity", "type", "blank-id", "no-id", "large"],
)
def test_unreadable_file(content: bytes, reason: str, tmp_path: Path) -> None:
    made = extract(archive(tmp_path, xml("CXR1"), content))
    assert reasons(made) == [("ecgen-radiology/2.xml", 0, reason)]
    assert made.metrics["quarantined"] == {"total": 1, reason.replace(" ", "_"): 1}


def test_other_encoding_that_the_file_declares_is_read() -> None:
    content = xml(findings="caf\xe9", head='<?xml version="1.0" encoding="iso-8859-1"?>').decode().encode("latin-1")
    document = parse("1.xml", content)
    assert isinstance(document, Document)
    assert document.findings == "caf\xe9"


def test_annotators_files_go_before_the_sources_own_annotations(tmp_path: Path) -> None:
    raw = archive(tmp_path / "raw", xml("CXR1", majors=["Cardiomegaly"]), xml("CXR2"))
    (tmp_path / "gold/open_ended").mkdir(parents=True)
    (tmp_path / "gold/open_ended/anna.csv").write_text("report_id,concept,status\nCXR2,cardiomegaly,\n", encoding="utf-8")
    made = extract(raw, gold=str(tmp_path / "gold"))
    said = made.gold.filter(pl.col("status") == "present")
    assert said.select("report_id", "task", "annotator", "label").rows() == [("CXR2", "open_ended", "anna", "cardiomegaly")]
    assert set(made.gold["report_id"]) == {"CXR2"}
    with pytest.raises(InputError, match=r"heads\.csv is missing; params\.yaml names its folder as extract\.gold"):
        extract(raw, gold=str(tmp_path))
    made = extract(raw, gold=str(ROOT / "gold/none"))
    assert (made.gold.height, made.metrics["reports_without_gold"]["multiple_choice"]) == (0, 2)


@pytest.mark.parametrize("empty", ["", "  \n "])
def test_no_text(empty: str, tmp_path: Path) -> None:
    assert reasons(extract(archive(tmp_path, xml("CXR1", empty, empty), xml("CXR2")))) == [
        ("CXR1", 0, "no findings and no impression")
    ]


def test_equal_copies_leave_one(tmp_path: Path) -> None:
    made = extract(archive(tmp_path, xml("CXR1"), xml("CXR1"), xml("CXR1"), xml("CXR2")))
    assert made.metrics["gold_of_quarantined_reports"] == 0
    assert reasons(made) == [("CXR1", 0, "copy of another file"), ("CXR1", 1, "copy of another file")]
    assert sorted(made.reports["report_id"]) == ["CXR1", "CXR2"]


def test_an_id_of_two_reports_leaves_neither(tmp_path: Path) -> None:
    texts = archive(tmp_path / "texts", xml("CXR1"), xml("CXR2", impression="Pneumonia."), xml("CXR2"))
    codes = archive(tmp_path / "codes", xml("CXR1"), xml("CXR2", majors=["Pneumonia"]), xml("CXR2"))
    for raw in (texts, codes):
        made = extract(raw)
        assert reasons(made) == [("CXR2", n, "id of several different reports") for n in (0, 1)]
        assert set(made.reports["report_id"]) == set(made.gold["report_id"]) == {"CXR1"}
        assert (made.metrics["gold_of_quarantined_reports"], made.metrics["gold_of_unknown_reports"]) == (1, 0)


def test_a_file_named_like_a_report_in_quarantine(tmp_path: Path) -> None:
    made = extract(archive(tmp_path, b"<broken", xml("CXR1.xml", "", ""), xml("CXR2"), names=["CXR1.xml", "b.xml", "c.xml"]))
    assert [(report_id, n) for report_id, n, _ in reasons(made)] == [("CXR1.xml", 0), ("CXR1.xml", 1)]
    tables.check(Quarantine, made.quarantine, "quarantine")


def test_too_many_in_quarantine(tmp_path: Path) -> None:
    raw = archive(tmp_path, xml("CXR1", "", ""), xml("CXR2", "", ""), b"secret words", xml("CXR4"))
    told = r"3 of 4 .*max_quarantine \(0.5\).*malformed XML: 1 .*3\.xml.*no findings and no impression: 2 \(such as CXR1\)"
    with pytest.raises(InputError, match=told) as caught:
        extract(raw, max_quarantine=0.5)
    assert "secret" not in str(caught.value)
    assert extract(raw, max_quarantine=0.75).reports.height == 1


def test_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"extract\.source: there is no 'opnei'; did you mean 'openi'"):
        extract(tmp_path, source="opnei")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("max_quarantine", 1.5, "extract.max_quarantine"),
        ("train", "most", "extract.train"),
        ("validation", 0.3, "nothing for the test split"),
        ("fold", 5, "extract.fold is 5, but a test split of this size has the folds 0 to 4"),
        ("fold", -1, "extract.fold"),
        ("sault", "x", "extract.sault: unknown key"),
    ],
)
def test_wrong_params(key: str, value: object, told: str, tmp_path: Path) -> None:
    content = params.read(ROOT / "params.yaml")["extract"] | {key: value}
    written = tmp_path / "params.yaml"
    written.write_text("extract:\n" + "".join(f"  {k}: {v!r}\n" for k, v in content.items()), encoding="utf-8")
    with pytest.raises(ParamsError, match=told):
        params.load("extract", extracting.ExtractParams, written)


def test_the_splits_of_a_file_have_no_folds() -> None:
    shipped = params.read(ROOT / "params.yaml")["extract"] | {"splits": "file"}
    assert extracting.ExtractParams.model_validate(shipped | {"fold": 0}).fold == 0
    with pytest.raises(ValueError, match=r"extract\.fold is of extract\.splits: hash"):
        extracting.ExtractParams.model_validate(shipped | {"fold": 1})


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds 0 \.tgz files.*fetch"):
        extract(tmp_path)


def test_archive_without_reports(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no XML file"):
        extract(archive(tmp_path, b"hello", names=["readme.txt"]))


def test_other_members_are_not_read(tmp_path: Path) -> None:
    made = extract(archive(tmp_path, xml("CXR1"), xml("CXR2"), names=["a.xml", "a.xml.txt"]))
    assert made.reports["report_id"].to_list() == ["CXR1"]


@pytest.mark.parametrize("name", ["../../1.xml", "/../1.xml"])
def test_names_that_point_outside(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="points outside"):
        extract(archive(tmp_path / "raw", xml(), names=[name]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_every_truncation_is_seen(data: st.DataObject, tmp_path: Path) -> None:
    whole = archive(tmp_path, *(xml(f"CXR{n}", findings=f"Written sentence {n}.") for n in range(20)))
    path = whole / "NLMCXR_reports.tgz"
    packed = path.read_bytes()
    path.write_bytes(packed[: data.draw(st.integers(0, len(packed) - 1))])
    with pytest.raises(InputError, match=r"truncated or damaged.*fetch"):
        list(OpenI().read(whole))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_a_cut_before_packing_is_seen(data: st.DataObject, tmp_path: Path) -> None:
    """gzip is whole here, and tarfile alone would take most of these for a shorter archive."""
    whole = archive(tmp_path, *(xml(f"CXR{n}") for n in range(3)))
    path = whole / "NLMCXR_reports.tgz"
    unpacked = gzip.decompress(path.read_bytes())
    last = len(unpacked.rstrip(b"\0"))
    path.write_bytes(gzip.compress(unpacked[: data.draw(st.integers(0, last))]))
    with pytest.raises(InputError, match="truncated or damaged"):
        list(OpenI().read(whole))


def _cut_between_members(unpacked: bytes) -> bytes:
    return unpacked[: 2 * 1024]


def _garbled_second_header(unpacked: bytes) -> bytes:
    return unpacked[:1024] + b"?" * 512 + unpacked[1536:]


@pytest.mark.parametrize("harm", [_cut_between_members, _garbled_second_header])
def test_archive_that_tarfile_alone_would_take_for_a_shorter_one(harm: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = (
        archive(tmp_path, *(xml(f"CXR{n}") for n in range(3))) / "NLMCXR_reports.tgz"
    )  # 512 bytes of header, 512 of content each
    harmed = harm(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(harmed))
    with tarfile.open(path) as silent:
        assert 1 <= len(silent.getmembers()) < 3
    with pytest.raises(InputError, match="truncated or damaged"):
        list(OpenI().read(tmp_path))


def test_links_and_folders_are_not_read(tmp_path: Path) -> None:
    path = archive(tmp_path, xml(), names=["a.xml"]) / "NLMCXR_reports.tgz"
    with tarfile.open(path, "w:gz") as packed:
        for name, kind in (("a.xml", tarfile.REGTYPE), ("link.xml", tarfile.SYMTYPE), ("folder.xml", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(xml()) if kind == tarfile.REGTYPE else 0
            member.linkname = "a.xml" if kind == tarfile.SYMTYPE else ""
            packed.addfile(member, io.BytesIO(xml()))
    (document,) = OpenI().read(tmp_path)
    assert isinstance(document, Document)


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_parse_never_raises(content: bytes) -> None:
    assert isinstance(parse("1.xml", content), Failure)


printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=60)


@given(printable, printable, st.lists(printable, max_size=3))
def test_parse_gives_back_what_was_written(findings: str, impression: str, majors: list[str]) -> None:
    document = parse("1.xml", xml("CXR1", findings, impression, majors))
    assert isinstance(document, Document)
    assert (document.findings or "").split() == ([] if is_missing(findings) else findings.split())
    assert (document.impression or "").split() == ([] if is_missing(impression) else impression.split())
    assert [major.split() for major in document.annotations] == [m.split() for m in majors if m.split()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(data=st.data())
def test_order_and_growth_move_no_report(data: st.DataObject, tmp_path: Path) -> None:
    files = [xml(f"CXR{n}", findings=f"Written sentence {n % 7}.", impression="" if n == 3 else "Stable.") for n in range(12)]
    shuffled = data.draw(st.permutations(files))
    some = shuffled[: data.draw(st.integers(1, len(files)))]
    everyone = dict(extract(archive(tmp_path, *files)).reports.select("report_id", "split").rows())
    for chosen in (shuffled, some):
        made = extract(archive(tmp_path, *chosen))
        assert dict(made.reports.select("report_id", "split").rows()).items() <= everyone.items()
        assert made.reports.height + made.quarantine.height == len(chosen)
        assert made.reports.group_by("text_group").agg(pl.col("split").n_unique())["split"].max() == 1
