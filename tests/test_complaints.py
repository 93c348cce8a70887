r"""What users of other labelers complained about, tried through every door: `raddistill label`, the pipeline, Python.

The first cell names the kind, the second is the text (\n is a line end), the third what is to be read: + present, - absent,
? uncertain, 0 unmentioned; a slash parts what is right as well. Labels that are not named are not looked at. A fourth cell is
what the frozen lexicon `cold` reads, where it lacks the phrase. All texts are written for this purpose.
"""

import json
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner
from written_sentences import SHORT, SIGNS, parse

from raddistill import cli, concepts, labelsets, params, paths
from raddistill.sections import markup, parser
from raddistill.sections.report_text import compose
from raddistill.sources import extracting
from raddistill.sources.collections.files import FilesParams
from raddistill.statuses import UNMENTIONED
from raddistill.teachers.rules.reader import Reader
from raddistill.teachers.rules.teacher import RulesTeacher

ROOT = Path(__file__).parent.parent
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
READER = Reader("multiple_choice", ROOT / "lexicon/tuned", LABELS, "findings_and_impression")

LINES = r"""
dashes | FINDINGS:\n- No consolidation\n- Left nodule\nIMPRESSION:\nNo acute disease\nMild cardiomegaly | -con +les +car
dashes-no-space      | -effusion: none\n-pneumothorax: none\n-cardiomegaly: mild | -eff -ptx +car
dashes-glued         | FINDINGS:\n-No consolidation\n-Left nodule\n-No effusion\n-Rib fracture | -con +les -eff +fra
stars                | FINDINGS:\n* No effusion\n* Right lower lobe consolidation | -eff +con
bullets              | FINDINGS:\n• no effusion\n• right lower lobe consolidation | -eff +con
numbers              | IMPRESSION:\n1. No pneumothorax\n2. Moderate left effusion | -ptx +eff
numbers-brackets     | IMPRESSION:\n1) no pneumothorax\n2) moderate left effusion | -ptx +eff
letters              | IMPRESSION:\na. No pneumothorax\nb. Small left effusion | -ptx +eff
lines-without-stops | FINDINGS:\nNo pneumothorax\nSmall left effusion\nNo fracture | -ptx +eff -fra
lines-lower-case     | FINDINGS:\nno pneumothorax\nsmall left pleural effusion\nno fracture | -ptx +eff -fra
lower-case-two       | no consolidation\nleft upper lobe nodule | -con +les
lines-capitals       | NO PNEUMOTHORAX\nSMALL LEFT EFFUSION | -ptx +eff
windows-line-ends    | FINDINGS:\r\n- No consolidation\r\n- Left nodule | -con +les
old-line-ends        | FINDINGS:\r- No consolidation\r- Left nodule | -con +les
wrapped              | FINDINGS: There is no consolidation, effusion or\npneumothorax. The heart is large. | -con -eff -ptx +car
wrapped-capital      | FINDINGS: There is no evidence of\nPneumothorax. | -ptx
wrapped-short        | There is no\npneumothorax or\npleural effusion | -ptx -eff
wrapped-list | No consolidation, effusion, pulmonary edema, or\npneumothorax is seen on this film today | -con -eff -ede -ptx
two-sections         | FINDINGS:\nNo consolidation\n\nLeft nodule\nIMPRESSION:\nNo effusion\n\nCardiomegaly | -con +les -eff +car
line-within-title    | FINDINGS:\nLungs:\nNo consolidation\nPleura:\nSmall left effusion | -con +eff
"""

MARKUP = r"""
br                   | FINDINGS: No pneumothorax.<br>Moderate cardiomegaly.<br/>Small left effusion. | -ptx +car +eff
br-no-stop           | FINDINGS: No pneumothorax<br />Moderate cardiomegaly<BR>Small left effusion | -ptx +car +eff
nbsp                 | FINDINGS: No&nbsp;pneumothorax. No&nbsp;pleural effusion. | -ptx -eff
nbsp-number          | FINDINGS: No&#160;pneumothorax. No&#xA0;pleural effusion. | -ptx -eff
amp                  | FINDINGS: Heart size &amp; mediastinum are normal. | -car -med
list-items           | <p>FINDINGS:</p><ul><li>No consolidation</li><li>Small left effusion</li></ul> | -con +eff
paragraphs           | <div>FINDINGS:</div><p>No consolidation</p><p>Small left effusion</p> | -con +eff
table | <table><tr><td>Effusion</td><td>none</td></tr><tr><td>Heart</td><td>large</td></table> | -eff +car
bold                 | FINDINGS: <b>No</b> pneumothorax. <strong>Small left <i>effusion</i></strong>. | -ptx +eff
styled               | <span style="color:red">FINDINGS:</span> No pneumothorax.<p class="x">Small left effusion.</p> | -ptx +eff
apostrophe           | FINDINGS: A pneumothorax isn&#39;t seen. Effusion wasn&rsquo;t seen. | -ptx -eff
escaped-line-ends    | FINDINGS:\\nNo consolidation\\nLeft nodule | -con +les
excel                | FINDINGS:_x000D_\nNo consolidation_x000D_\nLeft nodule | -con +les
hl7                  | FINDINGS:\.br\No consolidation\.br\Left nodule | -con +les
no-markup            | FINDINGS: Nodule <3 mm & effusion > 2 cm. | +les +eff
"""

FIELDS = r"""
negative-for         | The chest is negative for effusion/pneumothorax. | -eff -ptx
negative-for-colon   | Negative for: pneumothorax, effusion or fracture. | -ptx -eff -fra
negative-for-lines   | FINDINGS: HEART SIZE IS NORMAL.\nNEGATIVE FOR: PNEUMOTHORAX, EFFUSION. | -car -ptx -eff
no-evidence-colon    | No evidence of: pneumothorax, effusion. | -ptx -eff
free-of-colon        | Lungs are free of: consolidation, nodule. | -con -les
without-colon        | Without: pneumothorax, effusion. | -ptx -eff
field-no             | Effusion: No. Pneumothorax: No. | -eff -ptx
field-none           | Pneumothorax:none | -ptx
field-many           | Pneumothorax - none. Effusion: nil. Fracture = no. | -ptx -eff -fra
field-commas         | Pneumothorax: no, effusion: no, cardiomegaly: moderate | -ptx -eff +car
field-cue-is         | Chest tube: has been withdrawn. Effusion: small. | -dev +eff
field-long-name      | Left lower lobe pneumonia, effusion: none | +pne -eff
list-another-no      | No effusion, pneumothorax with no edema. | -eff -ptx -ede
field-yes            | Pneumothorax: yes. Effusion: present. | +ptx +eff
field-not-seen       | Pneumothorax: not seen. Effusion: none seen. | -ptx -eff
field-negative       | Consolidation: negative. Edema: absent. | -con -ede
field-doubt          | Pneumonia: possible. Effusion: ? | ?pne ?eff
field-and            | Effusion and pneumothorax: none. | -eff -ptx
field-no-change      | Effusion: no change. | +eff
field-capitals       | FINDINGS:\nPNEUMOTHORAX: NONE\nPLEURAL EFFUSION: NO\nCARDIOMEGALY: MILD | -ptx -eff +car
field-dash-denied    | Pneumothorax – none | -ptx
question-answered    | Effusion? No. Cardiomegaly? Mild. | -eff +car/?car
bracket-resolved     | Right pneumothorax (resolved). | -ptx
bracket-no-longer    | Small left effusion (no longer seen). | -eff
bracket-unlikely     | Pneumonia (unlikely). | -pne
bracket-possible     | Pneumonia (possible). | ?pne
bracket-question     | Pneumonia (?) at the right base. | ?pne
bracket-prior        | Nodule in the right apex (seen on the prior study only). | 0les
bracket-now          | Left pneumothorax (now resolved), small effusion. | -ptx +eff
bracket-none         | Pneumothorax (none). Effusion (-). | -ptx -eff
bracket-other        | Left effusion (small). Cardiomegaly (unchanged). | +eff +car
bracket-nearest      | Cardiomegaly, pneumothorax (resolved), left effusion. | +car -ptx +eff
question-mark        | ?Pneumonia at the right base. | ?pne
question-mark-space  | ? pneumonia at the right base. Small left effusion. | ?pne +eff
question-mark-within | Opacity at the right base, ?pneumonia. | +opa ?pne
question-mark-end    | Pneumonia? | ?pne
-ve-for              | -ve for pneumothorax. Effusion -ve. | -ptx +eff/-eff
"""

LISTS = r"""
positive-in-between  | No pneumothorax, moderate right pleural effusion, no consolidation. | -ptx +eff -con
side-in-between      | No pneumothorax, right pleural effusion, no consolidation. | -ptx +eff -con
positive-after-but   | Cardiomegaly but no pneumothorax, small left effusion and bibasilar atelectasis. | +car -ptx +eff +ate
positive-trace       | No consolidation, trace left effusion, stable cardiomegaly. | -con +eff +car
list-with-or         | No focal consolidation, large effusion or pneumothorax. | -con -eff -ptx
list-with-or-small   | No consolidation, small effusion, or pneumothorax. | -con -eff -ptx
list-then-no         | No consolidation, small left effusion, no pneumothorax or fracture. | -con +eff -ptx -fra
list-lost-commas     | No evidence of pneumothorax pleural effusion focal consolidation. | -ptx -eff -con
list-without         | Without consolidation, small left effusion, no pneumothorax. | -con +eff -ptx
numbered-brackets    | IMPRESSION: (1) No pneumothorax (2) Small left pleural effusion (3) Moderate cardiomegaly | -ptx +eff +car
numbered-lower       | IMPRESSION: 1) no pneumothorax 2) small left effusion | -ptx +eff
numbered-glued       | IMPRESSION: 1.No evidence of pneumonia 2.Small left effusion | -pne +eff
numbered-glued-lower | IMPRESSION: 1.no evidence of pneumonia 2.small left effusion | -pne +eff
lettered             | IMPRESSION: a. No pneumothorax b. Small left effusion | -ptx +eff
lettered-bracket     | IMPRESSION: a) no pneumothorax b) small left effusion | -ptx +eff
dashes-in-line       | FINDINGS: - No consolidation - Left nodule - No effusion | -con +les -eff
bullets-in-line      | FINDINGS: • No consolidation • Left nodule | -con +les
bracket-no-item      | Right nodule (series 2, image 3) is stable. | +les
glued                | No pneumothorax.Moderate cardiomegaly. | -ptx +car
glued-lower          | no pneumothorax.moderate cardiomegaly.no effusion | -ptx +car -eff
glued-a              | no pneumothorax.a small effusion is seen. | -ptx +eff
decimal              | No nodule over 1.5 cm or effusion. | -les -eff
"""

NEGATION = r"""
don't                | I don't see a pneumothorax. | -ptx
don't-curly          | I don’t see a pneumothorax. | -ptx
dont                 | I dont see a pneumothorax. | -ptx
isn't                | There isn't a pleural effusion. | -eff
aren't               | Effusions aren't seen. | -eff
doesn't              | This doesn't represent pneumonia. | -pne
wasn't               | Pneumothorax wasn't seen. | -ptx
weren't-backtick     | Fractures weren`t identified. | -fra
didn't               | We didn't find a fracture. | -fra
hasn't-resolved      | The left effusion hasn't resolved. | +eff
haven't-resolved     | The effusions haven’t completely resolved. | +eff
can't-exclude        | We can't exclude pneumonia. | ?pne
permit               | The rotated film does not permit us to exclude a small left effusion. | ?eff | 0eff
allow                | A supine film does not allow exclusion of a small pneumothorax. | ?ptx | -ptx
allow-ing            | The film doesn't allow excluding a fracture. | ?fra | -fra
insufficient         | This is insufficient to rule out pneumonia. | ?pne | 0pne
to-exclude           | CT is advised to exclude a mass. | 0les
excluded             | Possible pneumothorax is excluded by the decubitus view. | -ptx
excluded-bare        | Pneumothorax excluded by the lateral view. | -ptx | +ptx
ruled-out            | Suspected pneumonia has been ruled out. | -pne
paucity              | There is a paucity of evidence for edema. | -ede | +ede
denies               | Patient denies prior rib fracture. | -fra | +fra
denied               | The patient denied any pneumonia. | -pne | +pne
after-placement      | After placement of the chest tube, the pneumothorax has resolved. | +dev -ptx
following-removal    | Following drainage of the effusion, the pneumothorax is not seen. | 0eff/+eff -ptx
with-tube            | With the endotracheal tube in place, pneumothorax is no longer seen. | +dev -ptx
sign-and-denial      | Mild blunting of the left costophrenic angle, without effusion. | -eff
sign-alone           | Mild blunting of the left costophrenic angle. | ?eff
doubt-not-seen       | A suspected fracture is not seen. | -fra
"""

MORE = r"""
answer-repeats-name  | Pneumothorax: No evidence of pneumothorax. Effusion: Small left effusion. | -ptx +eff
answer-in-sentence   | Pleural effusion: There is no pleural effusion. | -eff
question-not-seen    | Effusion? None seen. Pneumonia? No pneumonia. | -eff -pne
field-no-evidence    | Pneumothorax: no evidence. Effusion: no sign. | -ptx -eff
lead-absent          | Absent: pneumothorax, effusion. | -ptx -eff
lead-not-seen        | Not seen: pneumothorax, effusion or fracture. | -ptx -eff -fra
lead-following       | There is no evidence of any of the following: effusion, edema, nodule. | -eff -ede -les
lead-list            | Negative for:\n- pneumothorax\n- effusion\nMild cardiomegaly. | -ptx -eff +car
lead-lines           | FINDINGS: Negative for:\npneumothorax\neffusion\nfracture | -ptx -eff -fra
title-and-item       | FINDINGS:\nHeart:\n- enlarged\nLungs:\n- no consolidation\n- right nodule | +car -con +les
short-names          | FINDINGS:\nPTX: none\nNGT: in place\nEFFUSION: small\nCARDIOMEGALY: mild | -ptx +eff +car
square-brackets      | Pneumothorax [none]. Effusion: (none). | -ptx -eff
dot-leaders          | Effusion .... none | -eff
arrow                | Effusion -> none. Pneumothorax-none. | -eff -ptx
bare-value           | Consolidation none, effusion none. Edema, none. | -con -eff -ede
side-field           | Effusion (right): none. Effusion and edema (both resolved). | -eff -ede
names-one-value      | Consolidation, effusion, pneumothorax: none. | -con -eff -ptx
values-without-stop  | Pneumothorax: none Effusion: small | -ptx +eff
none-here-some-there | Effusion: none at the left base, some at the right. | +eff
bracket-more         | Right pneumothorax (resolved since yesterday). Effusion (not seen on this film). | -ptx -eff
bracket-excluded     | Pneumothorax (excluded by CT). Pneumonia (very unlikely). | -ptx -pne
bracket-other-words  | Effusion (no loculation). Nodule (possibly calcified). | +eff +les
bracket-seen-before  | Left effusion (seen on prior) is unchanged. | +eff
and-no               | There is no pneumothorax, a small effusion, and no fracture. | -ptx +eff -fra
but-no               | No pneumothorax, right effusion, but no fracture. | -ptx +eff -fra
two-in-between       | No pneumothorax, right basilar atelectasis, cardiomegaly, no edema. | -ptx +ate +car -ede
any-in-between       | No effusion, acute left rib fracture, no pneumothorax. | -eff +fra -ptx
only-mild            | No effusion, only mild edema. | -eff +ede
mild-or              | No pneumothorax, mild cardiomegaly or effusion. | -ptx -car -eff
nor                  | Neither pneumothorax, effusion, nor edema is seen. | -ptx -eff -ede
dash-lower           | FINDINGS: - no consolidation - left nodule | -con +les
dash-glued           | FINDINGS: -No consolidation -Left nodule | -con +les
stars-in-line        | FINDINGS: * No consolidation * Left nodule | -con +les
hashes               | FINDINGS: #1 no pneumothorax #2 left effusion | -ptx +eff
square-numbers       | IMPRESSION: [1] no pneumothorax [2] left effusion | -ptx +eff
roman                | IMPRESSION: (i) no pneumothorax (ii) left effusion | -ptx +eff
numbers-dash         | IMPRESSION: 1- no pneumothorax 2- left effusion | -ptx +eff
letters-glued        | IMPRESSION: a.no pneumothorax b.mild effusion | -ptx +eff
numbers-in-clause    | No (1) effusion or (2) pneumothorax. | -eff -ptx
numbers-denied       | No evidence of 1) pneumothorax, 2) effusion, 3) fracture. | -ptx -eff -fra
dash-values          | - Cardiomegaly - mild\n- Effusion - none | +car -eff
glued-abbreviation   | no PTX.small effusion | -ptx +eff
no-change            | There hasn't been any change in the effusion. | +eff | -eff
have-not-seen        | We have not seen a pneumothorax. | -ptx
cannot-be-seen       | Pneumothorax cannot be seen. | -ptx | +ptx
don't-think          | I don't think there's pneumonia. | -pne | +pne
view-excludes        | The lateral view excluded an effusion. | -eff | +eff
not-able             | We are not able to exclude pneumonia. | ?pne | 0pne
not-possible         | Exclusion of a pneumothorax is not possible. | ?ptx | +ptx
limited              | The film is too limited to exclude a fracture. | ?fra | 0fra
devoid               | The lungs are devoid of consolidation. | -con | +con
nothing-to-suggest   | There is nothing to suggest pneumonia. | -pne | +pne
heart-not-normal     | The heart is not normal in size. | 0car
tube-and-resolved    | Right chest tube in place, pneumothorax has resolved. | +dev -ptx
front-no-comma       | After the placement of the chest tube the pneumothorax has resolved. | +dev -ptx
suspected-pair       | Cardiomegaly or, less likely, pericardial effusion is suspected. | ?car
escaped-twice        | FINDINGS: No&amp;nbsp;effusion&lt;br&gt;Mild edema | -eff +ede
list-of-definitions  | FINDINGS: <dl><dt>Effusion</dt><dd>None</dd><dt>Heart</dt><dd>large</dd></dl> | -eff +car
soft-hyphen          | FINDINGS: No ede&shy;ma. Small effu<wbr>sion. | -ede +eff
abbreviation-wrapped | There is no evidence for acute\nCHF or pneumonia. | -ede -pne
mixed-line-ends      | FINDINGS:\nNo effusion\rSmall pneumothorax | -eff +ptx
impression-lines     | FINDINGS: Edema.\nIMPRESSION:\nno pneumothorax\nsmall left effusion | +ede -ptx +eff
"""

CONTROLS = r"""
lost-commas          | No sign of focal consolidation large effusion or pneumothorax | -con -eff -ptx
heart-and-mediastinum | Both lungs are expanded and clear. Heart, hila and mediastinum normal. | -car -med -opa -con
lesion-in-lobe       | A 2 cm lesion is seen in the right upper lobe. | +les | 0les
lesion-of-bone       | Lytic lesion of the left sixth rib. | 0les
granuloma            | Calcified granuloma. | 0les
calcified-nodule     | Calcified nodule at the left base. | +les
nothing-compared     | COMPARISON: None.\nFINDINGS: Small left effusion. | +eff
"""

TABLES = LINES + MARKUP + FIELDS + LISTS + NEGATION + MORE + CONTROLS
CASES = [[*row, row[2]][:4] if len(row) == 3 else row for row in parse(TABLES)]
TEXTS = {row[0]: row[1].replace(r"\\n", "\0").replace(r"\n", "\n").replace(r"\r", "\r").replace("\0", r"\n") for row in CASES}
Read = dict[str, dict[str, dict[str, str]]]  # by lexicon and case, the status of each label


def write_reports(folder: Path) -> Path:
    reports = folder / "reports.jsonl"
    reports.write_text("".join(json.dumps({"report_id": name, "text": text}) + "\n" for name, text in TEXTS.items()))
    return reports


def through_label(folder: Path, lexicon: str) -> dict[str, dict[str, str]]:
    reports = write_reports(folder)
    out = folder / f"{lexicon}.jsonl"
    words = ["label", str(reports), "-o", str(out), "--lexicon", lexicon, "--format", "jsonl", "--quotes"]
    done = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {row["report_id"]: {each["label"]: each["status"] for each in row["labels"]} for row in rows}


def through_pipeline(folder: Path, lexicon: str) -> dict[str, dict[str, str]]:
    """`extract` and `synthesize`, without DVC."""
    columns = {"sensitivity": "public", "encoding": "utf-8", "id": "report_id", "text": "text"}
    named = dict.fromkeys(FilesParams.model_fields, "") | columns
    (folder / "none").mkdir(exist_ok=True)
    shipped = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
    p = shipped.model_copy(
        update={"source": "files", "raw": str(write_reports(folder)), "gold": str(folder / "none"), "max_quarantine": 0.0}
        | {"files": FilesParams.model_validate(named)}
    )
    reports = extracting.extract(p, LABELS, concepts.load_concepts(ROOT / paths.CONCEPTS)).reports
    teacher = RulesTeacher("multiple_choice", str(ROOT / "lexicon" / lexicon), "findings_and_impression")
    rows = teacher.label(reports, LABELS).labels.select("report_id", "label", "status").iter_rows()
    read: dict[str, dict[str, str]] = {name: {} for name in TEXTS}
    for name, label, status in rows:
        read[name][label] = status
    return read


@pytest.fixture(scope="module")
def by_label(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp("label")
    return {lexicon: through_label(folder, lexicon) for lexicon in ("tuned", "cold")}


@pytest.fixture(scope="module")
def by_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp("pipeline")
    return {lexicon: through_pipeline(folder, lexicon) for lexicon in ("tuned", "cold")}


def test_offsets_count_in_the_text_as_it_was_written(tmp_path: Path) -> None:
    through_label(tmp_path, "tuned")
    quotes = [
        (row["report_id"], each["start"], each["end"], each["quote"])
        for row in map(json.loads, (tmp_path / "tuned.jsonl").read_text().splitlines())
        for each in row["evidence"]
    ]
    assert len(quotes) > 200
    for name, start, end, quote in quotes:
        assert markup.plain(TEXTS[name][start:end].replace("\r", "\n")).text == quote.replace("\r", "\n")


PROSE = """
The heart is mildly enlarged but stable in size. There is no airspace consolidation, large pleural effusion, or pneumothorax. A
small calcified nodule is seen in the right upper lobe, which is unchanged from the prior study. Bibasilar opacities may represent
atelectasis or early pneumonia. No acute displaced rib fracture is identified. There is no evidence of pulmonary edema. The tip of
the right internal jugular catheter projects over the superior vena cava. Mild blunting of the left costophrenic angle is present.
"""


@pytest.mark.parametrize("width", range(40, 110, 7))
@pytest.mark.parametrize("header", ["FINDINGS: ", "FINDINGS:\n"])
def test_prose_reads_the_same_wherever_it_is_wrapped(width: int, header: str) -> None:
    def read(text: str) -> list[tuple[str, str, str | None]]:
        words = parser.words(text)
        whole = {"findings": words.findings, "impression": words.impression, "text": compose(words.findings, words.impression)}
        return READER.summarize(READER.read(whole)[0])

    whole = header + " ".join(PROSE.split())
    expected = read(whole)
    assert len({status for _, status, _ in expected}) == 4
    for indent in ("", "    "):
        assert read("\n".join(textwrap.wrap(whole, width, subsequent_indent=indent))) == expected
        assert read(header + "\n".join(textwrap.wrap(" ".join(PROSE.split()), width, initial_indent=indent))) == expected


def right(expectation: str, read: dict[str, str]) -> bool:
    signs = SIGNS | {"0": UNMENTIONED}
    return all(any(read[SHORT[one[1:]]] == signs[one[0]] for one in each.split("/")) for each in expectation.split())


@pytest.mark.parametrize("case", CASES, ids=[row[0] for row in CASES])
def test_every_case_is_read_right(case: list[str], by_label: Read) -> None:
    name, _, tuned, cold = case
    assert right(tuned, by_label["tuned"][name]), by_label["tuned"][name]
    assert right(cold, by_label["cold"][name]), by_label["cold"][name]


@pytest.mark.parametrize("lexicon", ["tuned", "cold"])
def test_the_pipeline_reads_as_label_does(lexicon: str, by_label: Read, by_pipeline: Read) -> None:
    there = by_label[lexicon]
    assert {name: read for name, read in by_pipeline[lexicon].items() if read != there[name]} == {}


WITHOUT_SECTIONS = [row for row in CASES if ":" not in TEXTS[row[0]][:12] and not set("<&\\") & set(TEXTS[row[0]])]


@pytest.mark.parametrize("case", WITHOUT_SECTIONS, ids=[row[0] for row in WITHOUT_SECTIONS])
def test_python_reads_what_has_neither_headers_nor_markup(case: list[str]) -> None:
    name, _, tuned, _ = case
    spans, _ = READER.read_text(TEXTS[name])
    assert right(tuned, {label: status for label, status, _ in READER.summarize(spans)})
