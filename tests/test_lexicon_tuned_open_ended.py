"""What the tuned lexicon reads as conditions, with their codes. All sentences are ours; the id says what is tested.

Right of a sentence stand the rows that it yields, `phrase = code`, with `?` before an uncertain one; `-`: none.
"""

import shutil
import warnings
from pathlib import Path

import pytest

from raddistill import statuses
from raddistill.concepts import load_concepts
from raddistill.errors import InputError
from raddistill.scoring.scorer_lexicon import load_lexicon
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.reader import Reader

TUNED = Path("lexicon/tuned")

SENTENCES = """
# Denied
list-denied | No pleural effusion or pneumothorax is seen. | -
without | The lungs are clear without focal consolidation. | -
not-in-the-gap | Heart size is not enlarged. | -
one-stated-one-denied | Small left effusion, no pneumothorax. | small left effusion = J90
without-overt | Cardiomegaly without overt heart failure. | cardiomegaly = I51.7
resolved | The previously seen infiltrate has resolved. | -
no-acute-comma-displaced | No acute, displaced fracture of the clavicle is made out. | -
negative-for | Negative for pneumoperitoneum. | -
no-longer-seen | The atelectasis is no longer seen. | -
new-clause-after-denial | No focal airspace disease, the aorta is calcified. | aorta is calcified = I70.0
device-removed | The endotracheal tube has been removed. | -
no-change-is-no-denial | No change in the small left effusion. | small left effusion = J90
# Past
history-of | History of pneumonia. | -
asked-for | Evaluate for rib fracture. | -
disclaimer | Please note that nondisplaced rib fractures may not be seen on this study. | -
condition | If there is concern for fracture, dedicated views are advised. | -
limited-for | Supine views are limited for evaluation of pneumoperitoneum. | -
surgery-is-a-state | Status post right mastectomy. | right mastectomy = Z90.11
lobectomy-is-a-state | Prior left upper lobectomy with volume loss. | left upper lobectomy = Z90.2; volume loss = J98.4
old-tuberculosis-has-its-code | Evidence of prior tuberculosis. | prior tuberculosis = B90.9
# Doubted
probable | Probable small left pleural effusion. | ?small left pleural effusion = J90
most-likely | Bibasilar opacities, most likely atelectasis. | bibasilar opacities = R91.8; ?atelectasis = J98.11
most-suggestive | Opacities most suggestive of atelectasis. | opacities = R91.8; ?atelectasis = J98.11
versus-doubts-both | Left basilar atelectasis versus infiltrate. | ?left basilar atelectasis = J98.11; ?infiltrate = R91.8
and-or | Scarring and/or atelectasis in the lingula. | ?scarring = J98.4; ?atelectasis = J98.11
likely-after-comma | Bilateral hilar adenopathy, likely sarcoidosis. | bilateral hilar adenopathy = R59.0; ?sarcoidosis = D86.9
may-is-a-possibility | Patchy opacity in the left base may represent pneumonia. | patchy opacity = R91.8
possibly | Opacity in the right base, possibly atelectasis. | opacity = R91.8
could | Streaky opacities could be atelectasis or scarring. | streaky opacities = R91.8
suggest | Hyperexpansion suggests emphysema. | hyperexpansion = R09.89
cannot-be-excluded | Pneumonia cannot be excluded. | -
question-of | Question of a nodule in the left lung. | -
versus-within-may | Basilar opacity may be atelectasis versus pneumonia. | basilar opacity = R91.8
differential | The differential includes sarcoidosis and lymphoma. | -
stated-once-possible-once | Atelectasis in the left base. This may represent pneumonia. | atelectasis = J98.11
# Modified
degree-and-site | There is mild bibasilar atelectasis. | mild bibasilar atelectasis = J98.11
joined-by-to | Small to moderate left pleural effusion. | small to moderate left pleural effusion = J90
three-words-of-site | Moderate right lower lobe consolidation. | moderate right lower lobe consolidation = J18.1
course | Persistent left retrocardiac opacity. | persistent left retrocardiac opacity = R91.8
comma-stops | Stable, mild cardiomegaly. | mild cardiomegaly = I51.7
degree-of-water | Mild interstitial pulmonary edema. | mild interstitial pulmonary edema = J81.1
size-number-stops | A 2 cm mass in the left upper lobe. | mass = R91.8
nodular-is-left-out | There is a vague nodular density in the right upper lobe. | density = R91.8
unknown-word-stops | Bridging osteophytes. | osteophytes = M25.78
# Shielded
bone-density | Bone density is normal. | -
mass-effect | There is mass effect on the trachea. | -
nipple-shadow | A nipple shadow overlies the left base. | -
thoracic-cavity | The needle lies within the thoracic cavity. | -
soft-tissue-edema | Soft tissue edema of the arm. | -
normal-engorgement | Pulmonary vascular engorgement appears within normal limits. | -
broken-wire | Fracture of the superior sternotomy wire. | sternotomy wire = Z98.890
metallic-density | Metallic density over the left shoulder. | -
needle-aspiration | Needle aspiration was performed. | -
# Heart
enlarged-predicate | The heart is mildly enlarged. | heart is mildly enlarged = I51.7
large-predicate | The heart is slightly large. | heart is slightly large = I51.7
bare-predicate | Heart size moderately enlarged. | heart size moderately enlarged = I51.7
silhouette | The cardiac silhouette is moderately enlarged. | cardiac silhouette is moderately enlarged = I51.7
enlargement-of | Enlargement of the cardiac silhouette. | enlargement of the cardiac silhouette = I51.7
mitral-annulus | Mitral annular calcification. | mitral annular calcification = I34.81
coronary-calcification | Coronary artery calcifications are noted. | coronary artery calcifications = I25.10
pericardial-fluid | Small pericardial effusion. | small pericardial effusion = I31.39
failure | Congestive heart failure. | congestive heart failure = I50.9
# Lung water
vascular-congestion | Mild central vascular congestion. | mild central vascular congestion = J81.1
prominent-vasculature | Prominence of the central pulmonary vasculature. | prominence of the central pulmonary vasculature = J81.1
engorged-veins | Pulmonary venous engorgement. | pulmonary venous engorgement = J81.1
arterial-hypertension | Pulmonary arterial hypertension. | pulmonary arterial hypertension = I27.20
venous-hypertension | Pulmonary venous hypertension. | pulmonary venous hypertension = I27.22
pulmonary-arteries | Enlarged pulmonary arteries. | enlarged pulmonary arteries = I28.8
indistinct-vessels | Indistinct vascular margins. | indistinct vascular margins = J81.1
# Pleura
biapical-thickening | Biapical pleural thickening. | biapical pleural thickening = J92.9
plaques | Calcified pleural plaques. | calcified pleural plaques = J92.9
blunted-angle | Blunting of the left costophrenic angle. | blunting of the left costophrenic angle = J94.8
air-and-fluid | Large right hydropneumothorax. | large right hydropneumothorax = J94.8
apical-air | Tiny left apical pneumothorax. | tiny left apical pneumothorax = J93.9
pleural-air-collection | A small pleural air collection remains. | small pleural air collection = J93.9
empyema | Loculated right empyema. | loculated right empyema = J86.9
# Lung
pneumonia-of-a-lobe | Left lower lobe pneumonia. | left lower lobe pneumonia = J18.9
one-nodule | Solitary pulmonary nodule in the right apex. | solitary pulmonary nodule = R91.1
many-nodules | Multiple bilateral pulmonary nodules. | multiple bilateral pulmonary nodules = R91.8
cavity | Thin walled cavity in the right apex. | cavity = J98.4
pneumatocele | A pneumatocele in the left lung. | pneumatocele = J98.4
linear-scar | Linear scarring in the lingula. | linear scarring = J98.4
emphysematous | Emphysematous changes in both upper lobes. | emphysematous changes = J43.9
consistent-with-is-stated | Hyperexpanded lungs consistent with COPD. | hyperexpanded = R09.89; copd = J44.9
fibrosis | Pulmonary fibrosis at the bases. | pulmonary fibrosis = J84.10
dilated-bronchi | Bronchiectasis in the right middle lobe. | bronchiectasis = J47.9
poor-breath | Low lung volumes with bronchovascular crowding. | low lung volumes = R09.89
variant-fissure | Azygos lobe, a normal variant. | azygos lobe = Q33.1
plate | Platelike atelectasis at the left base. | platelike atelectasis = J98.11
lobe-collapse | Collapse of the right upper lobe. | collapse of the right upper lobe = J98.19
bullae | Bilateral upper lobe bullae. | bilateral upper lobe bullae = J43.9
haze | Ground-glass opacities in both lungs. | ground-glass opacities = R91.8
embolism | Acute pulmonary embolism. | acute pulmonary embolism = I26.99
silicosis | Silicosis with hilar adenopathy. | silicosis = J62.8; hilar adenopathy = R59.0
respiratory-distress | Findings of acute respiratory distress syndrome. | acute respiratory distress syndrome = J80
# Granulomas and nodes
calcified-granuloma | Calcified granuloma in the left upper lobe. | calcified granuloma = J84.10
sequela | Sequela of old granulomatous disease. | old granulomatous disease = J84.10
granulomatous-sequela | Granulomatous sequela are noted. | granulomatous sequela = J84.10
calcified-nodes | Calcified hilar lymph nodes. | calcified hilar lymph nodes = I89.8
redacted-nodes | Small calcified right hilar XXXX. | small calcified right hilar xxxx = I89.8
redacted-lymph-nodes | Large calcified left hilar lymph XXXX. | large calcified left hilar lymph xxxx = I89.8
hilar-calcification | Hilar calcifications. | hilar calcifications = I89.8
mediastinal-calcification | Mediastinal calcifications are present. | mediastinal calcifications = I89.8
enlarged-nodes | Left hilar lymphadenopathy. | left hilar lymphadenopathy = R59.0
# Aorta
tortuous | Tortuous aorta. | tortuous aorta = I77.1
tortuous-and-calcified-are-two | The aorta is tortuous and calcified. | aorta is tortuous and calcified = I70.0; tortuous = I77.1
tortuous-calcified-are-two | Tortuous calcified aorta. | tortuous = I77.1; calcified aorta = I70.0
ectasia-and-tortuosity-are-two | Aortic ectasia/tortuosity. | aortic ectasia = I77.819; tortuosity = I77.1
unfolded | Unfolding of the thoracic aorta. | unfolding of the thoracic aorta = I77.1
arch-calcification | Atherosclerotic calcification of the aortic arch. | atherosclerotic calcification = I70.0
calcified-knob | Calcified aortic knob. | calcified aortic knob = I70.0
vascular-calcification | Aortic vascular calcifications. | aortic vascular calcifications = I70.0
ectatic | Ectatic thoracic aorta. | ectatic thoracic aorta = I77.810
aneurysm | Thoracic aortic aneurysm. | thoracic aortic aneurysm = I71.20
widened-mediastinum | Widened mediastinum. | widened mediastinum = J98.59
prominent-mediastinum | The mediastinum is prominent. | mediastinum is prominent = J98.59
right-arch | Right-sided aortic arch. | right-sided aortic arch = Q25.47
# Fractures
rib-with-side | Acute right rib fracture. | acute right rib fracture = S22.31XA
ribs-of-both-sides | Multiple bilateral rib fractures. | multiple bilateral rib fractures = S22.43XA
healing-is-a-later-encounter | Healing left rib fractures. | healing left rib fractures = S22.42XD
healed-is-history | Old healed left rib fractures. | old healed left rib fractures = Z87.81
old-clavicle-is-history | Old right clavicle fracture. | old right clavicle fracture = Z87.81
clavicle-with-side | Displaced fracture of the left clavicle. | displaced fracture of the left clavicle = S42.002A
humerus-with-side | Fracture of the right humerus. | fracture of the right humerus = S42.301A
scapula | Scapular fracture. | scapular fracture = S42.109A
sternum | Nondisplaced sternal fracture. | nondisplaced sternal fracture = S22.20XA
compression | Compression deformity of T8. | compression deformity = M48.50XA
thoracic-compression | Mild thoracic compression fractures. | mild thoracic compression fractures = M48.54XA
shoulder-dislocation | Anterior shoulder dislocation. | anterior shoulder dislocation = S43.006A
# Spine joints bones
spine-of | Degenerative changes of the thoracic spine. | degenerative changes of the thoracic spine = M47.9
spine-in | Degenerative changes are present in the spine. | degenerative changes = M47.9
endplates | Mild degenerative endplate changes. | mild degenerative endplate changes = M47.9
discs | Multilevel degenerative disc disease. | multilevel degenerative disc disease = M51.34
spondylosis | Thoracic spondylosis. | thoracic spondylosis = M47.814
shoulder-is-a-joint | Degenerative changes of the right shoulder. | degenerative changes of the right shoulder = M19.019
acromioclavicular | Acromioclavicular joint degenerative changes. | acromioclavicular joint degenerative changes = M19.019
glenohumeral | Degenerative changes of the glenohumeral joints. | degenerative changes of the glenohumeral joints = M19.019
dextroscoliosis | Mild dextroscoliosis of the thoracic spine. | mild dextroscoliosis = M41.9
s-shape | S-shaped curvature of the spine. | s-shaped curvature = M41.9
kyphosis | Exaggerated thoracic kyphosis. | thoracic kyphosis = M40.204
osteopenia | Diffuse osteopenia. | diffuse osteopenia = M85.80
bone-density-decreased | Bone density is decreased. | bone density is decreased = M85.80
flowing-osteophytes | Diffuse idiopathic skeletal hyperostosis. | diffuse idiopathic skeletal hyperostosis = M48.10
funnel | Pectus excavatum. | pectus excavatum = Q67.6
lytic | Lytic lesion of the left clavicle. | lytic lesion = M89.9
bone-metastases | Multiple osseous metastases. | multiple osseous metastases = C79.51
# Belly and diaphragm
hiatal-hernia | Moderate hiatal hernia. | moderate hiatal hernia = K44.9
elevated | Elevated right hemidiaphragm. | elevated right hemidiaphragm = J98.6
elevation-of | Elevation of the left hemidiaphragm. | elevation of the left hemidiaphragm = J98.6
eventration | Eventration of the right diaphragm. | eventration of the right diaphragm = J98.6
free-air | Free air beneath the diaphragm. | free air = K66.8
gallstones | Calcified gallstones. | calcified gallstones = K80.20
air-under-the-skin | Subcutaneous emphysema over the right chest wall. | subcutaneous emphysema = T79.7XXA
air-in-the-mediastinum | Pneumomediastinum. | pneumomediastinum = J98.2
# Devices
pacemaker | Dual lead pacemaker in place. | pacemaker = Z95.0
defibrillator | Left chest ICD. | icd = Z95.810
picc | Right PICC line tip in the SVC. | right picc line = Z97.8
chest-tube | Left chest tube in place. | left chest tube = Z97.8
wires-and-clips | Sternotomy wires and mediastinal clips. | sternotomy wires = Z98.890; mediastinal clips = Z98.890
cholecystectomy | Cholecystectomy clips in the right upper quadrant. | cholecystectomy clips = Z90.49
valve | Prosthetic aortic valve. | prosthetic aortic valve = Z95.2
tracheostomy | Tracheostomy tube in place. | tracheostomy tube = Z93.0
shunt | VP shunt over the right chest. | vp shunt = Z98.2
shoulder-prosthesis | Right shoulder arthroplasty. | right shoulder arthroplasty = Z96.619
breast-implants | Bilateral breast implants. | bilateral breast implants = Z98.82
coronary-stent | Coronary stent. | coronary stent = Z95.5
cava-filter | IVC filter. | ivc filter = Z95.828
bypass | Previous CABG. | cabg = Z95.1
spine-hardware | Cervical spine fusion. | cervical spine fusion = Z98.1
bullet | Bullet fragments over the left chest. | bullet fragments = Z18.10
"""

# A sentence for each concept that Open-i's annotators coded and that is scored, or is a device.
CONCEPTS = """
opacity                   | Patchy opacity in the left base.
consolidation             | Focal consolidation in the right lower lobe.
pneumonia                 | Findings of pneumonia.
atelectasis               | Bibasilar atelectasis.
nodule                    | A nodule in the left upper lobe.
mass                      | A large mass in the right lung.
cavity                    | A cavity in the left apex.
cyst                      | A lung cyst at the right base.
cardiomegaly              | The heart is enlarged.
heart failure             | Congestive heart failure.
pulmonary congestion      | Mild pulmonary vascular congestion.
pulmonary edema           | Pulmonary edema.
pericardial effusion      | Pericardial effusion.
pleural effusion          | Small right pleural effusion.
pneumothorax              | Left apical pneumothorax.
pleural thickening        | Left pleural thickening.
old granuloma             | Calcified granuloma in the right base.
calcified node            | Calcified mediastinal lymph nodes.
scar                      | Scarring in the lingula.
interstitial lung disease | Chronic interstitial lung disease.
emphysema or COPD         | Severe emphysema.
bronchiectasis            | Bronchiectasis in both bases.
bronchitis                | Chronic bronchitis.
tuberculosis              | Active tuberculosis.
sarcoidosis               | Sarcoidosis.
cystic fibrosis           | Cystic fibrosis.
atherosclerosis           | The aorta is atherosclerotic.
tortuous aorta            | The descending aorta is tortuous.
aortic aneurysm           | Aortic aneurysm.
valve calcification       | Calcification of the mitral annulus.
pulmonary hypertension    | Pulmonary hypertension.
enlarged pulmonary artery | Enlarged main pulmonary artery.
widened mediastinum       | The mediastinum is widened.
lymphadenopathy           | Mediastinal lymphadenopathy.
pneumomediastinum         | Pneumomediastinum.
subcutaneous emphysema    | Subcutaneous emphysema in the left neck.
pneumoperitoneum          | Pneumoperitoneum.
cholelithiasis            | Cholelithiasis.
hiatal hernia             | Large hiatal hernia.
elevated diaphragm        | Elevated left hemidiaphragm.
degenerative spine        | Degenerative changes throughout the thoracic spine.
osteoarthritis            | Degenerative changes of the left shoulder.
hyperostosis              | Diffuse idiopathic skeletal hyperostosis.
scoliosis                 | Mild levoscoliosis.
kyphosis                  | Kyphosis of the thoracic spine.
bone demineralization     | The bones are osteopenic.
fracture                  | Old left rib fractures.
dislocation               | Dislocation of the right shoulder.
bone lesion               | A sclerotic lesion in a rib.
chest wall deformity      | Mild pectus excavatum.
lung resection            | Right upper lobectomy.
mastectomy                | Left mastectomy.
catheter or tube          | Left PICC line in place.
implanted device          | Pacemaker over the left chest.
surgical material         | Surgical clips in the left axilla.
"""


def rows_of(table):
    lines = [line for line in table.strip().split("\n") if not line.startswith("#")]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


@pytest.fixture(scope="module")
def reader():
    return read(TUNED)


def read(folder):
    return Reader("open_ended", folder, [], "findings_and_impression")


def found(reader, sentence):
    spans, _ = reader.read_text(sentence)
    return reader.summarize(spans)


def written(rows):
    signs = {statuses.PRESENT: "", statuses.UNCERTAIN: "?"}
    return "; ".join(f"{signs[status]}{phrase} = {code}" for phrase, status, code in rows) or "-"


@pytest.mark.parametrize(("sentence", "expected"), [pytest.param(s, e, id=i) for i, s, e in rows_of(SENTENCES)])
def test_a_sentence_yields_its_conditions_with_codes(reader, sentence, expected):
    assert written(found(reader, sentence)) == expected


def test_the_table_is_long_and_its_reasons_are_distinct():
    reasons = [reason for reason, _, _ in rows_of(SENTENCES)]
    assert len(reasons) >= 80
    assert len(set(reasons)) == len(reasons)


@pytest.fixture(scope="module")
def concepts():
    return load_concepts(Path("gold/concepts.csv"))


@pytest.fixture(scope="module")
def scorer(concepts):
    return load_lexicon(Path("gold/scorer_lexicon.csv"), concepts)


def test_every_scored_concept_and_every_device_has_a_sentence(concepts):
    assert [name for name, _ in rows_of(CONCEPTS)] == [c.concept for c in concepts if c.kind in ("score", "device")]


@pytest.mark.parametrize(("concept", "sentence"), rows_of(CONCEPTS))
def test_a_phrase_of_every_concept_is_found(reader, scorer, concept, sentence):
    assert [scorer.match(phrase).concept for phrase, _, _ in found(reader, sentence)] == [concept]


def test_every_condition_has_a_billable_icd_10_cm_code():
    with warnings.catch_warnings():  # the package reads its data through a deprecated function of importlib.resources
        warnings.simplefilter("ignore", DeprecationWarning)
        import simple_icd_10_cm
    phrases = lexicon.load_conditions(TUNED)
    codes = {phrase.code for phrase in phrases} - {None}
    assert len({phrase.label for phrase in phrases}) >= 700
    assert len(codes) >= 250
    assert [code for code in codes if not (simple_icd_10_cm.is_valid_item(code) and simple_icd_10_cm.is_leaf(code))] == []


def test_codes_are_of_chapters_that_a_chest_radiograph_shows():
    chapters = {phrase.code[0] for phrase in lexicon.load_conditions(TUNED) if phrase.code}
    assert chapters <= set("ABCDEIJKMNPQRSTUZ")  # no mental, nervous, eye, ear, skin, pregnancy, or external cause


def test_every_file_of_the_folder_begins_with_a_comment():
    files = sorted((TUNED / "open_ended").iterdir())
    assert [file.name for file in files] == ["conditions.csv", "modifiers.txt", "possibilities.txt"]
    assert all(file.read_text(encoding="utf-8").startswith("# ") for file in files)


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(TUNED, tmp_path / "lexicon")
    return tmp_path / "lexicon"


def test_without_possibilities_what_is_merely_possible_is_uncertain(folder):
    (folder / "open_ended" / "possibilities.txt").unlink()
    rows = found(read(folder), "Patchy opacity in the left base may represent pneumonia.")
    assert written(rows) == "patchy opacity = R91.8; ?pneumonia = J18.9"


def test_possibilities_are_told_by_how_a_cue_begins(folder):
    (folder / "open_ended" / "possibilities.txt").write_text("# Ours\nprob*\n")
    reader = read(folder)
    assert written(found(reader, "Probable atelectasis.")) == "-"
    assert written(found(reader, "Possible atelectasis.")) == "?atelectasis = J98.11"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("may\nmay\n", "the phrase 'may' is listed twice"),
        ("ma*\n", r"line 1: `word\*` needs three letters"),
        ("may?\n", "line 1: only words"),
    ],
)
def test_broken_possibilities_are_refused(folder, content, message):
    (folder / "open_ended" / "possibilities.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        read(folder)
