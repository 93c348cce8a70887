"""What the rules teacher with the tuned lexicon reads in a sentence. All sentences are ours; the id says what is tested.

The right side names every label that the sentence speaks of: + present, - absent, ? uncertain. All others must be unmentioned.
"""

import shutil
from pathlib import Path

import polars as pl
import pytest
import written_sentences
from written_sentences import LABELS, SIGNS, expected, parse

from raddistill import statuses
from raddistill.labelsets import load_labels
from raddistill.statuses import PRESENT
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.teacher import RulesTeacher

TUNED = Path("lexicon/tuned")

SENTENCES = r"""
# present
plain                        | There is a left pleural effusion. | +eff
bare-noun                    | Pneumothorax. | +ptx
two-in-one                   | Right effusion with overlying atelectasis. | +eff +ate
predicate-enlarged           | The heart is moderately enlarged. | +car
size-enlarged                | Heart size is increased. | +car
noun-enlargement             | There is enlargement of the cardiac silhouette. | +car
cardiomediastinal-enlarged   | The cardiomediastinal silhouette is enlarged. | +car +med
globular                     | Globular heart. | +car
collapse                     | Complete collapse of the left lower lobe. | +ate
volume-loss                  | Volume loss in the right upper lobe. | +ate
subsegmental                 | Bibasilar subsegmental atelectasis. | +ate
consolidated                 | The right lower lobe is consolidated. | +con
congestion                   | Pulmonary vascular congestion. | +ede
cephalization                | Cephalization of the vessels with Kerley B lines. | +ede
failure                      | Findings of congestive heart failure. | +ede
widened-mediastinum          | The mediastinum is widened. | +med
paratracheal-stripe          | There is widening of the right paratracheal stripe. | +med
old-fracture                 | Old healed fracture of the left clavicle. | +fra
compression                  | Compression deformity of T12. | +fra
broken-bone                  | There is a broken rib on the left. | +fra
height-loss                  | Vertebral body height loss at L1. | +fra
nodule                       | A 6 mm nodule projects over the right apex. | +les
cavity                       | There is a cavitary lesion in the left apex. | +les
metastases                   | Innumerable pulmonary metastases. | +les
nodular-opacity              | Nodular opacity in the lingula. | +les +opa
reticulonodular              | Reticulonodular pattern in both lungs. | +les +opa
infiltrate                   | Right middle lobe infiltrate. | +opa
air-space-two-words          | Air space disease at the left base. | +opa
lung-density                 | Density in the right lower lobe. | +opa
interstitial                 | Coarse interstitial markings. | +opa
lung-scar                    | Scarring in the left upper lobe. | +opa
hydropneumothorax            | Left hydropneumothorax. | +eff +ptx
fluid-level                  | Right pleural effusion with an air fluid level. | +eff +ptx
fissure-fluid                | Fluid in the minor fissure. | +eff
thick-pleura                 | Bilateral pleural thickening. | +ple
plaques                      | Calcified pleural plaques are present. | +ple
thick-fissure                | Mild thickening in the minor fissure. | +ple
apical-cap                   | Biapical pleural caps. | +ple
bronchopneumonia             | Multifocal bronchopneumonia. | +pne
abbreviation-ptx             | Small left ptx. | +ptx

# negation
plain-no                     | No pleural effusion. | -eff
without                      | The exam is without consolidation. | -con
negative-for                 | Negative for pneumothorax. | -ptx
free-of                      | The lungs are free of edema. | -ede
no-evidence-of               | No evidence of pneumonia. | -pne
no-evidence-for              | There is no evidence for a fracture. | -fra
no-radiographic-evidence     | No radiographic evidence of pneumonia. | -pne
no-definite                  | No definite effusion. | -eff
no-typical-findings          | There are no typical signs of edema. | -ede
no-longer                    | The patient no longer has an effusion. | -eff
nor                          | There is no effusion, nor is there a pneumothorax. | -eff -ptx
neither-nor                  | Neither effusion nor pneumothorax. | -eff -ptx
rather-than                  | Crowded vessels rather than pneumonia. | -pne
lack-of                      | Lack of cardiomegaly. | -car
doubt-inside-denial          | No opacity suggesting pneumonia. | -opa -pne
to-suggest                   | No infiltrate to suggest pneumonia. | -opa -pne
unlikely-to-represent        | Nipple shadow is unlikely to represent a nodule. | -les
excludes                     | The normal film excludes a pneumothorax. | -ptx
not-consistent-with          | The picture is not consistent with edema. | -ede
acute-comma-displaced        | No acute, displaced fracture of the clavicle is seen. | -fra
focal-comma                  | No focal, suspicious nodule is seen. | -les
no-suspicious                | There is no suspicious nodule and no suspicious mass. | -les
no-new                       | No new consolidation. | -con
denied-mass-and-cavity       | There is no mass or cavity. | -les
predicate-not                | The heart is not enlarged. | -car
does-not-appear              | The heart does not appear to be enlarged. | -car
no-sign-of                   | No sign of pneumothorax. | -ptx
absence-of                   | Absence of pleural effusion. | -eff
without-evidence             | Without evidence of acute fracture. | -fra
w-slash-o                    | Lungs clear w/o effusion. | -opa -con -eff

# negation after the finding
not-seen                     | Pleural effusion is not seen. | -eff
not-identified               | A pneumothorax is not identified. | -ptx
no-longer-seen               | The left effusion is no longer seen. | -eff
is-absent                    | Pleural effusion is absent. | -eff
is-unlikely                  | Pneumonia is unlikely. | -pne
felt-unlikely                | Pneumonia is felt unlikely. | -pne
ruled-out                    | Pneumothorax has been ruled out. | -ptx
headed-none                  | Pneumothorax: none. | -ptx
not-visible                  | The effusion is not visible. | -eff
not-suspected                | Fracture is not suspected. | -fra
both-not-seen                | Effusion and pneumothorax are not seen. | -eff -ptx
none-of-three                | Effusion, edema, or pneumothorax is not identified. | -eff -ede -ptx
previously-not-visualized    | Previously described right pneumothorax is not visualized. | -ptx
isnt-seen                    | A nodule isn't seen. | -les
is-not-seen-on-lateral       | An effusion is not seen on the lateral view. | -eff
not-evident                  | Consolidation is not evident. | -con
no-longer-an                 | There is no longer an effusion. | -eff
post-negation-stays          | The heart is enlarged, effusion is not seen. | +car -eff
not-definitely-seen          | A fracture is not definitely seen. | -fra

# pseudo-negation
no-change-in                 | No change in the left effusion. | +eff
no-change-in-size-of          | There is no change in the size of the right effusion. | +eff
no-significant-change-in     | No significant change in right basilar atelectasis. | +ate
no-interval-change           | There is no interval change in the cardiomegaly. | +car
not-changed                  | The effusion has not significantly changed. | +eff
without-change               | Left pleural effusion without change. | +eff
no-increase                  | No increase in the pneumothorax. | +ptx
no-worsening                 | No worsening of the edema. | +ede
not-increased                | The nodule has not increased. | +les
not-resolved                 | The pneumonia has not resolved. | +pne
not-only                     | There is not only effusion but also atelectasis. | +eff +ate
no-doubt                     | There is no doubt a fracture. | +fra
not-removed                  | The catheter has not been removed. | +dev
seen-now-not-before          | An opacity not seen on the prior study. | +opa
lateral-not-seen             | A nodule is present, not seen on the lateral view. | +les
nearly-resolved              | The effusion has nearly resolved. | +eff
almost-completely-resolved   | Almost completely resolved right pneumothorax. | +ptx
partial-resolution           | Partial resolution of the consolidation. | +con
incompletely-cleared         | The edema has incompletely cleared. | +ede
without-significant-change   | Cardiomegaly without significant interval change. | +car
without-improvement          | Edema without significant improvement. | +ede
not-previously-seen          | Left lower lobe opacity not previously seen. | +opa
not-yet-resolved             | The infiltrate has not yet resolved. | +opa

# scope
but                          | No effusion but mild cardiomegaly. | -eff +car
however                      | No pneumothorax, however there is an effusion. | -ptx +eff
and-x-is-stable              | No effusion and cardiomegaly is stable. | -eff +car
and-the                      | No pneumothorax and the heart is enlarged. | -ptx +car
comma-clause                 | No pneumothorax, the heart is enlarged. | -ptx +car
there-is                     | No consolidation, there is a small effusion. | -con +eff
semicolon                    | No effusion; cardiomegaly. | -eff +car
stable-after-comma           | No pneumothorax, stable cardiomegaly. | -ptx +car
mild-after-comma             | No focal consolidation, mild atelectasis. | -con +ate
with-small                   | No pneumothorax with small effusion. | -ptx +eff
with-bilateral               | No cardiomegaly with bilateral effusions. | -car +eff
except                       | No abnormality except for a nodule. | +les
other-than                   | No opacity other than mild atelectasis. | -opa +ate
aside-from                   | Aside from a small effusion, the lungs are clear. | +eff -opa -con
although                     | No effusion is seen although the heart is enlarged. | -eff +car
while                        | No edema while the effusion persists. | -ede +eff
parenthesis                  | Cardiomegaly (no edema) and effusion. | +car -ede +eff
parenthesis-denial           | No effusion (previously large) or pneumothorax. | -eff -ptx
which                        | No pneumonia is found, which leaves the atelectasis. | -pne +ate
clause-before                | Effusion is present, no pneumothorax. | +eff -ptx
denial-then-due-to           | No heart failure. Edema is absent. | -ede
sentence-ends-scope          | No effusion. Pneumothorax. | -eff +ptx
increased-after-comma        | No pneumothorax, increased right effusion. | -ptx +eff
despite                      | No pneumothorax despite rib fracture. | -ptx +fra
and-unchanged                | No effusion and unchanged cardiomegaly is noted. | -eff +car
heart-normal-lungs-opaque    | The heart is normal and there is a basilar opacity. | -car +opa
present-then-denied          | Cardiomegaly without edema. | +car -ede
present-then-denied-list     | Bibasilar atelectasis without effusion, edema, or pneumothorax. | +ate -eff -ede -ptx
now-with                     | No prior effusion, now with pneumothorax. | -eff +ptx
denial-colon                 | Lungs: no consolidation. Heart: enlarged. | -con +car
resolution-and-decrease      | Resolution of the right effusion and decrease in the left effusion. | +eff
no-new-or-increase           | No new nodule or interval increase in the effusion. | -les +eff
list-then-stable             | No effusion, pneumothorax, or edema and stable cardiomegaly. | -eff -ptx -ede +car

# lists
no-a-b-or-c                  | No effusion, pneumothorax or consolidation. | -eff -ptx -con
no-a-b-or-c-oxford           | No effusion, pneumothorax, or consolidation is seen. | -eff -ptx -con
no-a-or-b                    | No fracture or pneumothorax. | -fra -ptx
long-list                    | No focal consolidation, pleural effusion, pneumothorax, or pulmonary edema. | -con -eff -ptx -ede
no-a-and-b                   | No effusion and pneumothorax are seen. | -eff -ptx
adjectives-in-list           | No large effusion, focal consolidation or acute fracture. | -eff -con -fra
slash                        | No effusion/pneumothorax. | -eff -ptx
list-of-present              | Effusion, atelectasis, and cardiomegaly. | +eff +ate +car
negative-list                | Negative for effusion, pneumothorax, and consolidation. | -eff -ptx -con
evidence-list                | No evidence of pneumonia, edema, or effusion. | -pne -ede -eff
unlikely-list                | Pneumonia or edema is unlikely. | -pne -ede
possible-list                | Possible atelectasis or pneumonia. | ?ate ?pne
either                       | No effusion on either side. | -eff
no-no                        | No effusion, no pneumothorax, no consolidation. | -eff -ptx -con
evidence-colon               | No evidence of: effusion, pneumothorax, fracture. | -eff -ptx -fra
no-x-or-y-seen-but           | No effusion or pneumothorax, but a nodule is seen. | -eff -ptx +les

# uncertainty before the finding
possible                     | Possible left effusion. | ?eff
probable                     | Probable pneumonia. | ?pne
likely                       | Likely atelectasis. | ?ate
may-represent                | This may represent pneumonia. | ?pne
could-be                     | The shadow could be a nodule. | ?les
might-reflect                | Haze might reflect edema. | ?ede
cannot-exclude               | Cannot exclude pneumonia. | ?pne
cannot-rule-out              | Cannot rule out a small pneumothorax. | ?ptx
cannot-entirely-exclude      | We cannot entirely exclude a fracture. | ?fra
cant-exclude                 | Can't exclude a small effusion. | ?eff
unable-to-exclude            | Unable to exclude pneumonia. | ?pne
does-not-exclude             | A normal film does not exclude pneumonia. | ?pne
difficult-to-exclude         | It is difficult to exclude edema. | ?ede
suspicious-for               | Suspicious for a rib fracture. | ?fra
concerning-for               | This is concerning for pneumonia. | ?pne
worrisome-for                | Worrisome for malignancy. | ?les
suggestive-of                | Suggestive of edema. | ?ede
suggests                     | The picture suggests consolidation. | ?con
question-of                  | Question of a left apical pneumothorax. | ?ptx
questionable                 | Questionable nodule at the right base. | ?les
equivocal                    | Equivocal effusion. | ?eff
suspected                    | Suspected cardiomegaly. | ?car
presumed                     | Presumed atelectasis. | ?ate
favor                        | We favor atelectasis. | ?ate
differential                 | The differential includes pneumonia and edema. | ?pne ?ede
raises-possibility           | This raises the possibility of a mass. | ?les
possibility-of               | There is a possibility of pneumonia. | ?pne
borderline-heart             | Borderline cardiomegaly. | ?car
heart-borderline             | The heart is borderline in size. | ?car
borderline-enlargement       | There is borderline enlargement of the heart. | ?car
prominent-heart              | Prominent cardiac silhouette. | ?car
blunted-angle                | Blunting of the left costophrenic angle. | ?eff
prominent-vessels            | Prominent pulmonary vasculature. | ?ede
deformity-of-rib             | Deformity of the right clavicle. | ?fra
prominent-mediastinum        | Prominent mediastinum. | ?med
infection-alone              | Findings in keeping with infection. | ?pne
opacity-may-be               | Left basilar opacity may represent atelectasis. | +opa ?ate
less-likely                  | Atelectasis, less likely pneumonia. | +ate ?pne
most-redacted                | A faint opacity at the base, most XXXX atelectasis. | +opa ?ate
perhaps                      | Perhaps mild edema. | ?ede

# uncertainty after the finding
cannot-be-excluded           | Pneumonia cannot be excluded. | ?pne
cannot-be-ruled-out          | A small pneumothorax cannot be ruled out. | ?ptx
not-excluded                 | An underlying mass is not excluded. | ?les
not-entirely-excluded        | Edema is not entirely excluded. | ?ede
bare-not-excluded            | Blunted left costophrenic angle, small effusion not excluded. | ?eff
is-possible                  | A small effusion is possible. | ?eff
is-also-possible             | Pneumonia is also possible. | ?pne
is-suspected                 | Fracture is suspected. | ?fra
is-likely                    | Atelectasis is likely. | ?ate
is-a-consideration           | Pneumonia is another consideration. | ?pne
in-the-differential          | Pneumonia remains in the differential. | ?pne
is-questioned                | A nodule is questioned. | ?les
is-not-well-seen             | The right nodule is not well demonstrated on the current film. | ?les
may-be-present               | A small effusion may be present. | ?eff
is-equivocal                 | A left pneumothorax is equivocal. | ?ptx
should-be-considered         | Pneumonia should be considered. | ?pne
should-be-excluded           | Pneumonia should be excluded clinically. | ?pne

# versus
a-versus-b                   | Atelectasis versus pneumonia. | ?ate ?pne
v-with-a-stop                | Atelectasis v. pneumonia. | ?ate ?pne
a-vs-b                       | Left basilar atelectasis vs. infiltrate. | ?ate ?opa
lobe-between                 | Right lower lobe pneumonia versus atelectasis. | ?pne ?ate
other-clause-untouched       | Cardiomegaly with atelectasis versus pneumonia. | +car ?ate ?pne
and-or                       | Scarring and/or atelectasis. | ?opa ?ate
denied-versus                | No consolidation versus effusion. | -con -eff
versus-three                 | Edema versus pneumonia versus atelectasis. | ?ede ?pne ?ate
effusion-versus-thickening   | Pleural effusion versus thickening. | ?eff ?ple
versus-after-comma           | Right effusion, atelectasis versus consolidation. | +eff ?ate ?con
mass-versus-adenopathy       | Right hilar mass versus adenopathy. | ?les

# conditionals and requests
if-there-is-concern          | If there is concern for a fracture of the ribs, repeat the views. |
if-concern                   | If concern for pneumothorax persists, repeat the film. |
if-suspected                 | If a pneumothorax is suspected, repeat the film. |
would-be-concerning          | An opacity there would be concerning for pneumonia. | +opa
if-clinical-concern          | If clinical concern for pneumonia, CT is advised. |
should-there-be              | Should there be suspicion for fracture, obtain views. |
evaluate-for                 | Evaluate for pneumonia. |
evaluation-of                | A poor film, for evaluation of fractures. |
rule-out                     | Rule out pneumothorax. |
r-slash-o                    | R/O pneumonia. |
to-exclude                   | CT is advised to exclude a mass. |
to-ensure-resolution         | Repeat film to ensure resolution of pneumonia. | +pne
follow-to-resolution         | Recommend follow up to resolution of pneumonia. | +pne
and-exclude                  | Follow up in 6 weeks to ensure clearing and exclude an underlying mass. |
question-order               | Is there a pneumothorax? |
at-risk                      | The patient is at risk for aspiration pneumonia. |
assess-for                   | Assess for effusion. |
fractures-may-not-show       | Some fractures may not be detected by this study. |
nondisplaced-may-not-show    | A nondisplaced fracture of a rib may not be apparent. |
occult-may-be-missed         | A nondisplaced fracture may be missed. |
limited-evaluation           | Limited evaluation for pneumothorax. |
looking-for                  | Looking for a source, evaluate for consolidation. |
present-then-request         | Left effusion, evaluate for mass. | +eff
to-evaluate-for              | Recommend CT to further evaluate for nodules. |
screening                    | Screening for metastatic disease. |

# history
history-of                   | History of pneumonia. |
hx-of                        | Hx of pneumothorax. |
family-history               | Family history of lung cancer. |
past-history                 | Past history of heart failure. |
history-then-now             | History of heart failure, there is now an effusion. | +eff
prior-pneumonia              | Changes of prior pneumonia. |
old-infection                | Calcification from an old infection. |
granulomatous-infection      | Sequela of granulomatous infection. |
prior-fracture-is-a-fracture | Prior rib fracture. | +fra
resection-of                 | Status post resection of a mass. |
status-post-pacemaker        | Status post pacemaker placement. | +dev
status-post-removal          | Status post removal of the chest tube. | -dev
status-post-valve            | Status post aortic valve replacement. | +dev
lobectomy-for                | Status post lobectomy for lung cancer. |
was-on-the-prior             | There was an effusion on the prior study. |
treated-for                  | Treated for pneumonia. |
status-post-with             | Status post thoracentesis with small residual effusion. | +eff
scan-of-old                  | The nodule was seen on the previous CT. |
post-infectious              | Post infectious bronchiectasis. |
radiation-pneumonitis        | Radiation pneumonitis. |

# resolved, removed
has-resolved                 | The left pneumothorax has resolved. | -ptx
have-resolved                | The infiltrates have resolved. | -opa
resolved-before              | Resolved left effusion. | -eff
resolved-noun                | Resolved pneumonia. | -pne
resolved-after               | The effusion resolved. | -eff
interval-resolution          | Interval resolution of the consolidation. | -con
completely-cleared           | The edema has cleared. | -ede
clearing-of                  | Complete clearing of the infiltrate. | -opa
resolved-then-present        | The right effusion has resolved, but the left effusion persists. | +eff
resolving-is-present         | Resolving pneumonia. | +pne
improving-is-present         | Improving edema. | +ede
decreased-is-present         | Decreased left effusion. | +eff
tube-removed                 | The endotracheal tube has been removed. | -dev
removal-of                   | Interval removal of the catheter. | -dev
previously-seen-removed      | Previously seen central line has been removed. | -dev
disappeared                  | The nodule has disappeared. | -les

# comparison
unchanged                    | Unchanged cardiomegaly. | +car
compared-with                | Compared with the prior, the effusion is larger. | +eff
increased-from-prior         | The effusion is increased from the prior study. | +eff
as-before                    | Atelectasis as before. | +ate
previously-described-stable  | The previously described nodule is stable. | +les
again-seen                   | Again seen is a left pneumothorax. | +ptx
new-since                    | New consolidation since the prior study. | +con
persistent                   | Persistent right effusion. | +eff
prior-study-only             | Comparison is made with the prior study. |

# normal forms
heart-normal                 | The heart is normal in size. | -car
heart-within-normal          | Heart size is within normal limits. | -car
cardiac-silhouette-normal    | Cardiac silhouette is normal. | -car
cardiomediastinal-normal     | The cardiomediastinal silhouette is unremarkable. | -car -med
upper-limits                 | The heart measures at the upper limits of normal. | -car
upper-normal                 | Heart size upper normal. | -car
top-normal                   | The heart is top normal in size. | -car
upper-limits-or-enlarged     | Cardiac silhouette upper limits normal or slightly enlarged. | +car
top-normal-or-enlarged       | Heart size is top normal to mildly enlarged. | +car
long-list-normal             | Heart size, mediastinal contour, and pulmonary vascularity are all normal. | -car -med -ede
nonenlarged                  | Nonenlarged cardiac silhouette. | -car
non-enlarged                 | Non-enlarged heart. | -car
normal-or-enlarged           | Heart size is normal to mildly enlarged. | +car
no-enlarged-heart            | No enlarged heart. | -car
size-not-increased           | Heart size is not increased. | -car
lungs-clear                  | The lungs are clear. | -opa -con
angles-sharp                 | The costophrenic angles are sharp. | -eff
spaces-clear                 | The pleural spaces are clear. | -eff
vessels-normal               | Pulmonary vasculature is normal. | -ede
engorgement-within-normal    | Venous engorgement is within limits of normal. | -ede
mediastinum-normal           | Normal mediastinum. | -med
mediastinum-not-widened      | The mediastinum is not widened. | -med
bones-intact                 | The bony structures are intact. | -fra
heart-and-lungs              | Heart and lungs are normal. | -car -opa
lung-fields                  | Lung fields are unremarkable. | -opa
normal-size-heart            | Normal size heart. | -car
clear-dropped-of             | Both lungs are clear airspace disease. | -opa -con

# another meaning of the same word
pericardial-effusion         | Pericardial effusion. |
joint-effusion               | Knee joint effusion. |
mass-effect                  | No mass effect. |
breast-mass                  | Left breast mass. |
thoracic-cavity              | The thoracic cavity is symmetric. |
nipple-shadow                | Nipple shadows overlie the bases. |
wire-fracture                | Fractured sternotomy wire. |
screw-fractured              | The screw is fractured. | +dev
hardware-fracture            | Fracture of the fixation screw. | +dev
soft-tissue-edema            | Soft tissue edema. |
vertebral-collapse           | Vertebral collapse. |
calcified-density            | Calcified density overlying the left apex. |
surgical-scar                | Surgical scar. |
pleural-scar                 | Pleural scarring. | +ple
venous-congestion            | Central venous congestion. | +ede
bone-metastases              | Osseous metastases. |
granuloma                    | Calcified granuloma. |
effusion-or-scar             | Blunting may be from effusion or scarring. | ?eff
body-habitus                 | The exam is limited by body habitus. |
may-the-month                | Unchanged cardiomegaly since May 2009. | +car

# devices
port                         | Right chest port in place. | +dev
picc                         | Left PICC with its tip in the SVC. | +dev
endotracheal                 | Endotracheal tube above the carina. | +dev
pacemaker-leads              | Dual chamber pacemaker leads. | +dev
icd                          | Left ICD. | +dev
monitor-leads                | Telemetry leads overlie the shoulders. | +dev
valve                        | Prosthetic mitral valve. | +dev
stent                        | Coronary stent. | +dev
ivc-filter                   | IVC filter. | +dev
shoulder-prosthesis          | Prosthetic right shoulder. | +dev
anchor                       | A bone anchor in the left humerus. | +dev
occluder                     | A septal occluder is seen. | +dev
no-tubes                     | No tubes or lines. | -dev
wires-are-no-device          | Sternotomy wires are intact. |
clips-are-no-device          | Surgical clips in the right upper quadrant. |
redacted-port                | Right chest XXXX in place. | +dev
redacted-with-tip            | A line XXXX whose tip lies within the superior vena cava. | +dev
tip-in-atrium                | The tip projects over the right atrium. | +dev
spinal-stimulator            | A spinal stimulator is noted. | +dev
dialysis                     | Right dialysis catheter. | +dev
rods                         | Harrington rods. | +dev

# typos
atelectsis                   | Left basilar atelecatsis. | +ate
cardiomegally                | Mild cardiomegally. | +car
pneumothroax                 | No pneumothroax. | -ptx
effusons                     | Small bilateral effusons. | +eff
pleural-fusion               | Stable left pleural fusion. | +eff
consoldiation                | No focal consoldiation. | -con
pnuemonia                    | Right pnuemonia. | +pne
transposed-edema             | Pulmonary edmea. | +ede
transposed-fracture          | No fractrue. | -fra
transposed-cardiomegaly      | Mild cardiomeagly. | +car
swapped-effusion             | No pleural efusion. | -eff
transposed-nodule            | Right noduel. | +les
transposed-opacity           | Left basilar opactiy. | +opa
portacatheter                | The portacatheter is in place. | +dev
no-space-after-stop          | No effusion.The heart is enlarged. | -eff +car
doubled-word                 | There is is no no effusion. | -eff

# redaction
no-redacted-of               | No XXXX of pneumonia. | -pne
redacted-adjective           | XXXX basal effusion. | +eff
redacted-in-list             | No XXXX, effusion, or pneumothorax. | -eff -ptx
underscores                  | No ___ consolidation. | -con
underscore-date              | Compared to ___, new effusion. | +eff
redacted-verb                | Opacity XXXX representing pneumonia. | +opa +pne
redacted-normal              | Heart size and XXXX are normal. | -car
redacted-only                | XXXX XXXX XXXX. |

# capitals, layout
all-capitals                 | NO PLEURAL EFFUSION OR PNEUMOTHORAX. | -eff -ptx
capitals-present             | THERE IS A LEFT LOWER LOBE CONSOLIDATION. | +con
numbered-inline              | 1. No pneumothorax. 2. Small effusion. | -ptx +eff
numbered-no-stops            | 1. No effusion\n2. Cardiomegaly | -eff +car
numbered-parenthesis         | 1) No effusion\n2) Atelectasis | -eff +ate
dashes                       | - No consolidation\n- Left nodule | -con +les
wrapped-line                 | There is no evidence of pleural\neffusion or pneumothorax. | -eff -ptx
wrapped-list                 | No focal consolidation, effusion,\nor pneumothorax. | -con -eff -ptx
blank-line                   | No effusion\n\nPneumothorax | -eff +ptx
carriage-return              | No effusion.\r\nAtelectasis. | -eff +ate
header-lines                 | LUNGS: No consolidation.\nHEART: Enlarged. | -con +car
decimal                      | A 1.5 cm nodule without cavitation. | +les
double-stop                  | No effusion.. Atelectasis. | -eff +ate
spaces                       | No    effusion. | -eff

# laterality, severity
other-side                   | No right effusion. Small left effusion. | +eff
left-and-right               | Left effusion, right pneumothorax. | +eff +ptx
trace                        | Trace left effusion. | +eff
minimal                      | Minimal bibasilar atelectasis. | +ate
massive                      | Massive cardiomegaly. | +car
tiny                         | Tiny apical pneumothorax. | +ptx
no-large                     | No large effusion. | -eff
severe                       | Severe edema. | +ede
greater-than                 | Bilateral effusions, right greater than left. | +eff
bilateral-denied             | No bilateral effusions. | -eff

# phrasings of other hospitals
vascularity-not-increased    | Pulmonary vascularity is not increased. | -ede
upper-zone-redistribution    | Upper zone redistribution of pulmonary vasculature. | +ede
no-failure                   | Stable cardiomegaly. No failure. | +car -ede
renal-failure                | Chronic renal failure. |
failure-to                   | Failure to wean from the ventilator. |
if-any-after                 | Left pleural effusion, if any, is small. | ?eff
if-any-before                | Minimal, if any, pleural effusion. | ?eff
if-present-after             | An effusion, if present, is small. | ?eff
if-present-first             | If present, a pneumothorax would be tiny. |
would-be-hard-to-exclude     | A trace left effusion would be difficult to exclude. | ?eff
unclear-whether              | It is unclear whether there is a right basilar consolidation. | ?con
not-clearly-seen             | Previously noted pneumothorax is not clearly seen. | ?ptx
not-clearly-on-lateral       | The nodule is not clearly seen on the lateral view. | +les
tip-not-clearly-seen         | Left PICC tip is not clearly seen. | +dev
tip-not-seen                 | The tip of the feeding tube is not seen. | +dev
catheter-not-seen            | A catheter is not seen. | -dev
partial-clearing             | Partial clearing of the right lower lobe infiltrate. | +opa
headed-negative-for          | Lungs: Negative for pneumothorax or effusion. | -ptx -eff
headed-negative              | Pneumothorax: negative. | -ptx
persists-after-removal       | Tiny right apical pneumothorax persists after chest tube removal. | +ptx -dev
denied-after-removal         | No pneumothorax status post chest tube removal. | -ptx -dev
withdrawn-into               | Swan-Ganz catheter has been withdrawn into the main pulmonary artery. | +dev
pulled-back                  | Right IJ catheter has been pulled back 3 cm. | +dev
extubated                    | The patient has been extubated. | -dev
extubation-and-a-line        | Interval extubation with a right PICC in place. | +dev
intubated                    | The patient is intubated. | +dev
comma-with-the               | No pneumothorax, with the left chest tube remaining in place. | -ptx +dev
after-placement              | No pneumothorax seen following left chest tube placement. | -ptx +dev
after-placement-of           | No pneumothorax after placement of a right IJ line. | -ptx +dev
post-line-placement          | No pneumothorax post line placement. | -ptx +dev
replaced-by-sheath           | Swan-Ganz catheter has been removed and replaced with a right IJ sheath. | +dev
after-treatment-of           | No residual consolidation after treatment of pneumonia. | -con
thoracentesis-for            | The patient is status post thoracentesis for effusion. |
bare-collapse                | No evidence of consolidation or collapse. | -con -ate
vertebra-collapsed           | Collapsed vertebral body. |
airway-collapse              | Tracheal collapse is noted. |
wedging-of                   | Mild wedging of a lower thoracic vertebral body. | +fra
height-loss-of               | Height loss of a thoracic vertebral body. | +fra
compression-of               | Mild compression of T8. | +fra
normal-template              | Normal heart, lungs, hila, mediastinum and pleural surfaces. | -car -opa -med
normal-heart-lung-opaque     | Normal heart with right lower lobe opacity. | -car +opa
normal-size-of               | Normal size of the cardiac silhouette. | -car
borderline-size-of           | Borderline size of the cardiac silhouette. | ?car
clinical-correlation-for     | Clinical correlation for pneumonia is recommended. |
correlate-with-signs         | Correlate with clinical signs of pneumonia. |
correlate-is-no-advice       | The findings correlate with pneumonia. | +pne
mimics                       | A skin fold mimics a pneumothorax. | -ptx
are-likely-noun              | Bibasilar opacities are likely atelectasis. | +opa ?ate
is-likely-a-combination      | The opacity is likely a combination of atelectasis and effusion. | +opa ?ate ?eff
is-most-likely-noun          | Right lower lobe opacity is most likely pneumonia. | +opa ?pne
are-possible-noun            | Opacities are possible atelectasis. | +opa ?ate
is-likely-enlarged           | The heart is likely enlarged. | ?car
is-likely-chronic            | The opacity is likely chronic. | +opa
is-likely-present            | A small effusion is likely present. | ?eff
is-likely-resolved           | The pneumothorax is likely resolved. | -ptx
is-likely-collapsed          | The right lung is likely collapsed. | ?ate
likely-that-there-is         | It is likely that there is an effusion. | ?eff
post-drainage-of             | Post drainage of effusion. |
list-with-articles           | There is no evidence of the pneumonia, the effusion, or the nodule. | -pne -eff -les
suspected-to-be              | The opacity is suspected to be pneumonia. | +opa ?pne
thought-to-represent         | The opacity is thought to represent atelectasis. | +opa ?ate
favored-to-be                | The opacity is favored to be atelectasis. | +opa ?ate
favored-behind               | Atelectasis favored. | ?ate
favored-over                 | Atelectasis is favored over pneumonia. | ?ate ?pne
less-likely-behind           | Edema, pneumonia less likely. | +ede ?pne
thought-less-likely          | Pneumonia is thought less likely. | ?pne
more-likely-than             | Effusion is more likely than atelectasis. | ?eff ?ate
versus-as-v                  | Basilar opacity, likely atelectasis v pneumonia. | +opa ?ate ?pne

# the report's status
present-beats-absent         | No effusion. A small effusion is seen. | +eff
present-beats-uncertain      | Possible nodule. The nodule measures 8 mm. | +les
uncertain-beats-absent       | No pneumonia is seen. Pneumonia cannot be excluded. | ?pne
ignored-beats-nothing        | History of pneumonia. No pneumonia. | -pne
nothing                      | Unremarkable study. |
"""
ROWS = parse(SENTENCES)


@pytest.fixture(scope="module")
def read():
    return written_sentences.read(ROWS, str(TUNED))


def test_the_table_is_large_and_its_reasons_are_distinct():
    assert len({row[0] for row in ROWS}) == len(ROWS) >= 320


@pytest.mark.parametrize(("reason", "said"), [(r, s) for r, _, s in ROWS], ids=[row[0] for row in ROWS])
def test_sentence(read, reason, said):
    assert read.get(reason, {}) == expected(said)


def test_every_label_has_a_mention_and_no_file_is_left_over():
    label_set = load_labels(LABELS)
    phrases = lexicon.load_labels(TUNED, label_set)
    assert {phrase.label for phrase in phrases if phrase.status == PRESENT} == {label.name for label in label_set}
    assert {lexicon.label_file(TUNED, label.name) for label in label_set} == set((TUNED / "multiple_choice").iterdir())


def test_the_cues_parse_and_none_is_left_over():
    kinds = {phrase.label for phrase in lexicon.load_cues(TUNED)}
    assert kinds == {*lexicon.CUES, *lexicon.OPTIONAL_CUES} == {path.stem for path in (TUNED / "cues").iterdir()}


def test_every_file_begins_with_a_comment():
    folders = (TUNED / "multiple_choice", TUNED / "cues")
    assert all(path.read_text(encoding="utf-8").startswith("# ") for folder in folders for path in folder.iterdir())


SPINE = {
    "Disc Herniation": "[mention]\ndisc|disk herniation|protrusion|extrusion\n[uncertain]\ndisc|disk bulge\n",
    "Spinal Stenosis": "[mention]\nstenosis\nnarrowing of .. canal\n[ignore]\nforaminal stenosis\n",
    "Nerve Root Compression": "[mention]\ncompress* .. nerve root\n[absent]\nnerve roots .. unremarkable\n",
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Disc extrusion at L4-L5 compressing the left nerve root.", {"Disc Herniation": "+", "Nerve Root Compression": "+"}),
        ("No disc herniation or spinal stenosis.", {"Disc Herniation": "-", "Spinal Stenosis": "-"}),
        ("Foraminal stenosis. Disk bulge versus protrusion. The nerve roots are unremarkable.",
         {"Disc Herniation": "?", "Nerve Root Compression": "-"}),
    ],
)  # fmt: skip
def test_three_labels_of_spine_mri_are_three_text_files_and_a_label_set(tmp_path, text, said):
    shutil.copytree(TUNED / "cues", tmp_path / "spine" / "cues")
    (tmp_path / "spine" / "multiple_choice").mkdir()
    for name, phrases in SPINE.items():
        lexicon.label_file(tmp_path / "spine", name).write_text(phrases)
    (tmp_path / "spine.yaml").write_text("".join(f"- name: {name}\n  description: of the spine\n" for name in SPINE))
    reports = pl.DataFrame({"report_id": ["1"], "findings": [text], "impression": [None], "text": [text]})
    teacher = RulesTeacher("multiple_choice", str(tmp_path / "spine"), "findings_and_impression")
    rows = teacher.label(reports, load_labels(str(tmp_path / "spine.yaml"))).labels.select("label", "status").iter_rows()
    assert dict(rows) == {name: SIGNS.get(said.get(name), statuses.UNMENTIONED) for name in SPINE}
