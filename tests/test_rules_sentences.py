"""What the rules teacher with the cold lexicon reads in a sentence. All sentences are ours; the id says what is tested.

The right side names every label that the sentence speaks of: + present, - absent, ? uncertain. All others must be unmentioned.
"""

import pytest
import written_sentences
from written_sentences import expected, parse

PRESENT = """
plain                     | There is a right pleural effusion.                              | +eff
bare-noun                 | Cardiomegaly.                                                   | +car
upper-case                | MILD CARDIOMEGALY                                               | +car
two-findings              | Left effusion with adjacent atelectasis.                        | +eff +ate
adjective-first           | Enlarged cardiac silhouette.                                    | +car
predicate                 | The heart is mildly enlarged.                                   | +car
predicate-size            | Heart size remains enlarged.                                    | +car
bare-predicate            | Heart enlarged, lungs normal.                                   | +car -opa
gap-over-adverbs          | The cardiac silhouette is again noted to be enlarged.           | +car
plural                    | Bibasilar opacities.                                            | +opa
word-ending               | Subsegmental atelectatic change at the base.                    | +ate
british-spelling          | Interstitial oedema.                                            | +ede
hyphen                    | Mass-like opacity in the right upper lobe.                      | +les +opa
hyphen-compound           | Air-space disease in the lingula.                               | +opa
slash                     | Effusion/atelectasis at the left base.                          | +eff +ate
volume-loss               | Volume loss in the right middle lobe.                           | +ate
lobar-collapse            | Collapse of the left lower lobe.                                | +ate
heart-failure             | Congestive heart failure.                                       | +ede
vascular-congestion       | Mild pulmonary vascular congestion.                             | +ede
kerley                    | Kerley B lines are present.                                     | +ede
widened                   | Widened mediastinum.                                            | +med
widening-of               | Widening of the superior mediastinum.                           | +med
silhouette-both           | The cardiomediastinal silhouette is enlarged.                   | +med
rib-fracture              | Nondisplaced fracture of the left sixth rib.                    | +fra
compression-deformity     | Compression deformity of a lower thoracic vertebral body.       | +fra
healed                    | Old healed right rib fractures.                                 | +fra
height-loss               | Loss of anterior vertebral body height at T9.                   | +fra
nodule                    | 8 mm nodule in the left upper lobe.                             | +les
nodule-decimal            | A 1.5 cm nodule projects over the right base.                   | +les
cavity                    | Cavitary lesion at the right apex.                              | +les
metastases                | Multiple pulmonary metastases.                                  | +les
infiltrate                | Patchy infiltrate in the right base.                            | +opa
ground-glass              | Ground-glass change in both bases.                              | +opa
density-of-lung           | Vague density in the right lower lobe.                          | +opa
density-projecting        | A density projecting over the left lung.                        | +opa
increased-markings        | Increased interstitial markings.                                | +opa
lung-scar                 | Linear scarring in the left base.                               | +opa
empyema                   | Right empyema.                                                  | +eff
fissure-fluid             | Fluid in the minor fissure.                                     | +eff
pleural-thickening        | Biapical pleural thickening.                                    | +ple
pleural-plaque            | Calcified pleural plaques.                                      | +ple
apical-cap                | Apical capping on the left.                                     | +ple
pleural-scar-not-lung     | Right apical pleural scarring.                                  | +ple
bronchopneumonia          | Right lower lobe bronchopneumonia.                              | +pne
infectious                | Findings of an infectious process.                              | +pne
hydropneumothorax         | Right hydropneumothorax.                                        | +eff +ptx
tension                   | Tension pneumothorax on the left.                               | +ptx
picc                      | Right PICC terminates in the SVC.                               | +dev
central-line              | Left subclavian central line.                                   | +dev
pacer                     | Dual lead pacemaker.                                            | +dev
tube                      | Endotracheal tube tip above the carina.                         | +dev
port                      | Right chest port.                                               | +dev
hardware                  | Spinal fusion hardware.                                         | +dev
prosthetic-valve          | Prosthetic aortic valve.                                        | +dev
redaction-between         | XXXX effusion on the left.                                      | +eff
"""

ABSENT = """
no                        | No pleural effusion.                                            | -eff
no-evidence-of            | No evidence of pneumonia.                                       | -pne
there-is-no               | There is no pneumothorax.                                       | -ptx
without                   | The chest is seen without pneumothorax.                         | -ptx
without-evidence-of       | Lungs without radiographic evidence of consolidation.           | -con
negative-for              | Negative for fracture.                                          | -fra
free-of                   | The lungs are free of focal consolidation.                      | -con
clear-of                  | Lungs are clear of infiltrate.                                  | -opa -con
absence-of                | Absence of pleural effusion.                                    | -eff
neither-nor               | Neither effusion nor pneumothorax.                              | -eff -ptx
nor                       | No effusion nor pneumothorax.                                   | -eff -ptx
not-in-gap                | The heart is not enlarged.                                      | -car
not-in-gap-silhouette     | Cardiac silhouette does not appear enlarged.                    | -car
no-definite               | No definite pneumothorax.                                       | -ptx
no-large                  | No large effusion.                                              | -eff
no-acute-displaced        | No acute displaced rib fracture.                                | -fra
list-or                   | No focal consolidation, pleural effusion, or pneumothorax.      | -con -eff -ptx
list-no-oxford            | No effusion, pneumothorax or consolidation.                     | -eff -ptx -con
list-and-seen             | No effusion and pneumothorax are seen.                          | -eff -ptx
list-comma-and-seen       | No consolidation, effusion, and pneumothorax are identified.    | -con -eff -ptx
list-is-seen              | No effusion, infiltrate, or pneumothorax is seen.               | -eff -opa -ptx
list-long                 | No focal opacity, large effusion, visible pneumothorax, or acute rib fracture.  | -opa -eff -ptx -fra
list-of-evidence          | No evidence of edema, pneumonia, or pleural effusion.           | -ede -pne -eff
post-not-seen             | Pneumothorax is not seen.                                       | -ptx
post-not-identified       | A pleural effusion is not identified.                           | -eff
post-list                 | Effusion, pneumothorax, and consolidation are not seen.         | -eff -ptx -con
post-absent               | Pleural effusion is absent.                                     | -eff
post-resolved             | The left effusion has resolved.                                 | -eff
post-cleared              | The right base infiltrate has cleared.                          | -opa
post-now-resolved         | Left effusion, now resolved.                                    | -eff
post-since-resolved       | The pneumothorax has since resolved.                            | -ptx
post-unlikely             | Pneumonia is unlikely.                                          | -pne
post-ruled-out            | Pneumothorax has been ruled out.                                | -ptx
post-no-longer            | The effusion is no longer seen.                                 | -eff
removed                   | The endotracheal tube has been removed.                         | -dev
removal-of                | Interval removal of the left chest tube.                        | -dev
resolution-of             | Complete resolution of the right pneumothorax.                  | -ptx
doubt-within-denial       | No opacity suspicious for pneumonia.                            | -opa -pne
to-suggest-denied         | No infiltrate to suggest pneumonia.                             | -opa -pne
rather-than               | This represents atelectasis rather than consolidation.          | +ate -con
no-new                    | No new infiltrate.                                              | -opa
parenthesis               | Lungs (no consolidation) are well expanded.                     | -con
"""

NORMAL = """
heart-normal              | Heart size is normal.                                           | -car
heart-normal-in-size      | The heart is normal in size.                                    | -car
normal-heart              | Normal heart size.                                              | -car
heart-within-limits       | Heart size within normal limits.                                | -car
heart-and-mediastinum     | The heart and mediastinum are unremarkable.                     | -car -med
heart-colon               | Heart: Normal.                                                  | -car
heart-list                | Heart size, mediastinal contour, and hila are normal.           | -car -med
silhouette-normal         | The cardiac silhouette is within normal limits.                 | -car
cardiomediastinal-normal  | The cardiomediastinal silhouette is normal.                     | -car -med
mediastinum-normal        | Mediastinal contours are unremarkable.                          | -med
clear-lungs               | The lungs are clear.                                            | -opa -con
clear-bilaterally         | Both lungs remain clear bilaterally.                            | -opa -con
angles-sharp              | Costophrenic angles are sharp.                                  | -eff
vascularity-normal        | Pulmonary vascularity is normal.                                | -ede
bones-intact              | Visualized osseous structures are intact.                       | -fra
tight-wins                | Heart size is normal with enlarged hila.                        | -car
"""

UNCERTAIN = """
possible                  | Possible left effusion.                                         | ?eff
probable                  | Probable atelectasis at the right base.                         | ?ate
likely                    | Likely small effusion.                                          | ?eff
suspected                 | Suspected pneumothorax.                                         | ?ptx
suspicious-for            | Appearance suspicious for pneumonia.                            | ?pne
concerning-for            | Findings concerning for edema.                                  | ?ede
may-represent             | Opacity which may represent pneumonia.                          | +opa ?pne
may-represent-list        | This may represent atelectasis, pneumonia, or edema.            | ?ate ?pne ?ede
could-reflect             | Basilar opacity could reflect atelectasis or infection.         | +opa ?ate ?pne
may-be-due-to             | Opacity may be due to pneumonia.                                | +opa ?pne
likely-secondary          | Left base opacity, likely secondary to atelectasis.             | +opa ?ate
cannot-exclude            | Cannot exclude pneumonia.                                       | ?pne
can-not-exclude           | We can not exclude a small effusion.                            | ?eff
cannot-be-excluded        | Pneumonia cannot be excluded.                                   | ?pne
not-excluded              | A small pneumothorax is not excluded.                           | ?ptx
not-entirely-excluded     | Early infiltrate is not entirely excluded.                      | ?opa
is-possible               | A small effusion is possible.                                   | ?eff
should-be-considered      | Pneumonia should be considered.                                 | ?pne
is-suspected              | Cardiomegaly is suspected.                                      | ?car
versus                    | Findings favor atelectasis versus pneumonia.                    | ?ate ?pne
suggestive                | Appearance suggestive of congestive failure.                    | ?ede
questionable              | Questionable nodule at the left apex.                           | ?les
borderline                | Borderline cardiomegaly.                                        | ?car
upper-limits              | Heart size is at the upper limits of normal.                    | ?car
top-normal                | Heart size is top normal.                                       | ?car
borderline-predicate      | The heart is borderline in size.                                | ?car
prominent-mediastinum     | Prominent mediastinal silhouette.                               | ?med
blunting                  | Blunting of the left costophrenic angle.                        | ?eff
blunted                   | The right costophrenic angle is blunted.                        | ?eff
doubt-after-comma         | No definite pneumonia, possibly atelectasis.                    | -pne ?ate
consistent-with-is-sure   | Opacity consistent with pneumonia.                              | +opa +pne
"""

SCOPE = """
but                       | No effusion but mild cardiomegaly.                              | -eff +car
however                   | No pneumothorax, however there is an effusion.                  | -ptx +eff
although                  | No pneumonia although atelectasis persists.                     | -pne +ate
except                    | No acute findings except a small effusion.                      | +eff
other-than                | No disease other than basilar atelectasis.                      | +ate
aside-from                | Aside from cardiomegaly, no abnormality.                        | +car
semicolon                 | No effusion; cardiomegaly.                                      | -eff +car
full-stop                 | No effusion. Cardiomegaly.                                      | -eff +car
full-stop-without-space   | No effusion.Cardiomegaly.                                       | -eff +car
comma-clause              | No effusion, the heart is enlarged.                             | -eff +car
comma-there-is            | No pneumothorax, there is left atelectasis.                     | -ptx +ate
and-clause                | No effusion and cardiomegaly is stable.                         | -eff +car
and-the                   | No effusion and the heart is enlarged.                          | -eff +car
comma-stable              | No pneumothorax, stable cardiomegaly.                           | -ptx +car
comma-mild                | No consolidation, mild atelectasis.                             | -con +ate
second-cue                | Effusion is seen but no pneumothorax.                           | +eff -ptx
finding-then-no           | Left basilar atelectasis, no effusion.                          | +ate -eff
finding-without           | Cardiomegaly without edema.                                     | +car -ede
post-own-clause           | The heart is enlarged, and effusion is not seen.                | +car -eff
post-and-clause           | The heart is enlarged and pneumothorax is not seen.             | +car -ptx
pre-and-post              | There is no effusion and pneumonia cannot be excluded.          | -eff ?pne
due-to                    | Heart is not well seen due to effusion.                         | +eff
with-parenthesis          | Effusion (no pneumothorax) and atelectasis.                     | +eff -ptx +ate
reach-over-parenthesis    | No effusion (large or small) or pneumothorax.                   | -eff -ptx
post-over-parenthesis     | Pneumothorax (small) is not seen.                               | -ptx
denial-stays-inside       | Pneumonia (edema is not seen) at the base.                      | +pne -ede
although-first            | Although the heart is enlarged, no effusion is seen.            | +car -eff
unchanged-and-no          | Unchanged cardiomegaly and no edema.                            | +car -ede
"""

PSEUDO = """
no-change                 | No change in the left effusion.                                 | +eff
no-significant-change     | No significant interval change in cardiomegaly.                 | +car
no-interval-change        | No interval change of the right pneumothorax.                   | +ptx
without-change            | Effusion without significant change.                            | +eff
not-significantly-changed | Atelectasis has not significantly changed.                      | +ate
no-increase               | No increase in the size of the nodule.                          | +les
not-only                  | Not only effusion is seen here.                                 | +eff
not-resolved              | The pneumonia has not resolved.                                 | +pne
not-completely            | The infiltrate has not completely cleared.                      | +opa
nearly-resolved           | The pneumothorax has nearly resolved.                           | +ptx
near-resolution           | Near complete resolution of the effusion.                       | +eff
not-well-seen             | The effusion is not well seen.                                  | +eff
no-doubt                  | This is no doubt a fracture.                                    | +fra
follow-to-resolution      | Follow up to ensure resolution of the pneumonia.                | +pne
improved                  | Edema has improved.                                             | +ede
decreased                 | Decreased left effusion.                                        | +eff
resolving                 | Resolving pneumonia.                                            | +pne
"""

NOT_CURRENT = """
history-of                | History of pneumonia.                                           |
no-history                | No history of pneumothorax.                                     |
evaluate-for              | Evaluate for pneumothorax.                                      |
rule-out                  | Rule out pneumonia.                                             |
abbreviated-rule-out      | R/O pneumonia.                                                  |
if-clause                 | Repeat if pneumonia is suspected.                               |
clinical-concern          | Correlate with clinical concern for pneumonia.                  |
to-exclude                | CT is advised to exclude a nodule.                              |
history-then-finding      | History of pneumonia, the heart is enlarged.                    | +car
"""

OTHER_MEANING = """
pericardial               | Small pericardial effusion.                                     |
joint                     | Shoulder joint effusion.                                        |
soft-tissue-edema         | Soft tissue edema of the chest wall.                            |
mass-effect               | No mass effect.                                                 |
thoracic-cavity           | The thoracic cavity is symmetric.                               |
broken-wire               | Fractured sternotomy wires.                                     |
bone-density              | Decreased bone density.                                         |
thyroid-nodule            | Thyroid nodule.                                                 |
vertebral-collapse        | Vertebral collapse at T8.                                       |
word-inside-word          | Support for this reporter was massive.                          |
midline                   | The trachea is midline.                                         |
old-infection             | Calcified nodes from prior granulomatous infection.             |
scar-of-infection         | Post-infectious scarring.                                       | +opa
tumor-in-word             | Tumoral is no word of ours.                                     |
"""

LAYOUT = r"""
wrapped                   | There is no\npleural effusion.                                  | -eff
wrapped-before-capital    | There is no\nCHF.                                               | -ede
wrapped-list              | No consolidation,\neffusion or pneumothorax.                    | -con -eff -ptx
new-line-new-sentence     | No effusion\nCardiomegaly                                       | -eff +car
numbered-list             | 1. No effusion. 2. Cardiomegaly.                                | -eff +car
numbered-lines            | 1. No effusion\n2. cardiomegaly                                 | -eff +car
dashes                    | - no effusion\n- cardiomegaly                                   | -eff +car
blank-line                | no effusion\n\ncardiomegaly                                     | -eff +car
header                    | HEART: enlarged. LUNGS: no consolidation.                       | +car -con
carriage-return           | No effusion.\r\nCardiomegaly.                                   | -eff +car
decimal-no-break          | No nodule over 1.5 cm or mass.                                  | -les
abbreviation              | No effusion per Dr. Smith or pneumothorax.                      | -eff -ptx
question-mark             | No effusion? Cardiomegaly!                                      | -eff +car
present-beats-absent      | No right effusion. Small left effusion.                         | +eff
present-beats-uncertain   | Possible nodule. The nodule measures 5 mm.                      | +les
uncertain-beats-absent    | No pneumonia. Pneumonia cannot be excluded.                     | ?pne
nothing                   | Comparison is made with the prior study.                        |
"""

GROUPS = (PRESENT, ABSENT, NORMAL, UNCERTAIN, SCOPE, PSEUDO, NOT_CURRENT, OTHER_MEANING, LAYOUT)
ROWS = parse("".join(GROUPS))


@pytest.fixture(scope="module")
def read():
    return written_sentences.read(ROWS, "lexicon/cold")


def test_the_table_is_large_and_its_reasons_are_distinct():
    assert len({row[0] for row in ROWS}) == len(ROWS) >= 120


@pytest.mark.parametrize(("reason", "said"), [(r, s) for r, _, s in ROWS], ids=[row[0] for row in ROWS])
def test_sentence(read, reason, said):
    assert read.get(reason, {}) == expected(said)
