"""An invented corpus in the exact layout of MIMIC-CXR: reports as a zip, the split file, label files and the test set's labels.
Also a CSV of any size in the layout of CheXpert Plus.

Sentences are random; they hold nothing of MIMIC-CXR, and nothing can be learned from them. As in MIMIC-CXR (Johnson et al. 2019;
PhysioNet's page) there are 227,835 studies of 65,379 patients and 377,110 images, lines of at most 79 characters, a header after
a line break and one space, "FINAL REPORT", ___ for redacted words, and addenda above a line of underscores; 82.4 % have an
impression, 12.5 % findings only, 5.1 % neither.
"""

import csv
import gzip
import io
import random
import shutil
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

STUDIES, PATIENTS, IMAGES, ANNOTATED = 227_835, 65_379, 377_110, 687
LABELS = [
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
]  # fmt: skip
SIDES = ["left", "right", "bilateral"]
SIZES = ["small", "moderate", "large", "trace", "minimal", "substantial"]
PLACES = ["base", "apex", "mid lung", "upper lobe", "lower lobe", "costophrenic angle", "hilum"]
SEEN = ["effusion", "opacity", "atelectasis", "consolidation", "pneumothorax", "nodule", "pleural thickening", "edema"]
LINES = ["endotracheal tube", "nasogastric tube", "central venous line", "chest tube", "pacemaker", "PICC line"]
SENTENCES = [
    "There is a {size} {side} {seen} at the {place}.",
    "No {seen} is seen on the {side}.",
    "The {line} ends {number} cm above the carina.",
    "The heart is {size}, and the mediastinum is as before.",
    "Lungs are clear without {seen} or {other}.",
    "The {side} {place} shows a {size} {seen}, which may be {other}.",
    "Since ___, the {side} {seen} has become {size}.",
    "A fracture of the {side} rib number {number} has healed.",
    "Bones and soft tissues are without change.",
    "In comparison with the study of ___, the {line} was taken out.",
    "Dr. ___ was told of the {side} {seen} by telephone at ___.",
    "{other} cannot be excluded at the {side} {place}.",
]
COLUMNS = [  # of CheXpert Plus, in its order
    "path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id", "patient_report_date_order", "report",
    "section_narrative", "section_clinical_history", "section_history", "section_comparison", "section_technique",
    "section_procedure_comments", "section_findings", "section_impression", "section_end_of_impression", "section_summary",
    "section_accession_number", "age", "sex", "race", "ethnicity", "interpreter_needed", "insurance_type", "recent_bmi",
    "deceased", "split",
]  # fmt: skip
ROWS_OF_REPORT = 223_462 / 187_711
POOL = 50_000  # sentences of the large CSV
REASONS = ["cough", "fever", "pain of the chest", "shortness of breath", "a fall", "placement of a line", "surgery"]


def write_cohort(folder: Path, studies: int = STUDIES, seed: int = 13) -> int:
    """Writes all files of a corpus with about `studies` studies into the folder; returns their exact number."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    keys = list(_studies(studies, draw))
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("files")
        for patient, study in keys:
            member = zipfile.ZipInfo(f"files/p{str(patient)[:2]}/p{patient}/s{study}.txt")  # dated 1980, so that bytes are equal
            archive.writestr(member, write_report(draw), zipfile.ZIP_DEFLATED)
    splits = {patient: draw.choices(["train", "validate", "test"], [0.97, 0.01, 0.02])[0] for patient in {p for p, _ in keys}}
    share = IMAGES / STUDIES
    images = [(p, s) for p, s in keys for _ in range(1 + (draw.random() < share - 1))]
    rows = [[f"{draw.getrandbits(64):016x}", s, p, splits[p]] for p, s in images]
    _write(folder / "mimic-cxr-2.0.0-split.csv.gz", ["dicom_id", "study_id", "subject_id", "split"], rows)
    for labeler in ("chexpert", "negbio"):
        rows = [[p, s, *_codes(draw)] for p, s in keys[8:]]  # the published files lack eight studies
        _write(folder / f"mimic-cxr-2.0.0-{labeler}.csv.gz", ["subject_id", "study_id", *LABELS], rows)
    of_test = [s for p, s in keys if splits[p] == "test"][:ANNOTATED]
    header = ["study_id", *("Airspace Opacity" if label == "Lung Opacity" else label for label in LABELS)]
    _write(folder / "mimic-cxr-2.1.0-test-set-labeled.csv", header, [[s, *_codes(draw)] for s in of_test])
    return len(keys)


def write_csv(path: Path, size: int, seed: int = 13) -> int:
    """Writes a CSV of at least `size` bytes in the layout of CheXpert Plus, one row per image; returns the number of rows."""
    draw = random.Random(seed)
    pool = [_sentences(draw, 1, 1) for _ in range(POOL)]
    rows = study = 0
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        while file.tell() < size:
            for _ in range(1000):
                study += 1
                row = _row(draw, pool, f"patient{study // 3:07}", study % 3 + 1)
                views = 1 + (draw.random() < ROWS_OF_REPORT - 1)
                for view in range(1, views + 1):
                    image = f"{row['split']}/{row['deid_patient_id']}/study{study % 3 + 1}/view{view}_frontal"
                    writer.writerow(row | {"path_to_image": f"{image}.jpg", "path_to_dcm": f"{image}.dcm"})
                rows += views
    return rows


def _row(draw: random.Random, pool: list[str], patient: str, study: int) -> dict[str, str]:
    """A report as a whole and by section, as in CheXpert Plus."""
    said = {
        "clinical_history": f"___ years of age, {draw.choice(REASONS)}.",
        "comparison": draw.choice(["None.", "___", "Chest radiograph of ___."]),
        "findings": " ".join(draw.choices(pool, k=draw.randint(4, 12))) if draw.random() < 0.3 else "",
        "impression": "\n".join(f"{n}. {words}" for n, words in enumerate(draw.choices(pool, k=draw.randint(2, 6)), start=1)),
    }
    said["narrative"] = f"RADIOGRAPHIC EXAMINATION OF THE CHEST: {draw.randint(1, 12)}/{draw.randint(1, 28)}/____"
    headers = ("narrative", "clinical_history", "comparison", "findings", "impression")
    report = "\n \n".join(f"{name.upper().replace('_', ' ')}: \n{said[name]}" for name in headers if said[name])
    return {f"section_{name}": words for name, words in said.items()} | {
        "report": report, "deid_patient_id": patient, "patient_report_date_order": str(study), "frontal_lateral": "Frontal",
        "ap_pa": "AP", "age": str(draw.randint(18, 90)), "sex": draw.choice(["Male", "Female"]), "split": "train",
    }  # fmt: skip


def unpack(corpus: Path, folder: Path) -> None:
    """Copies the corpus with its zip unpacked."""
    with zipfile.ZipFile(corpus / "mimic-cxr-reports.zip") as archive:
        archive.extractall(folder)
    for path in corpus.glob("*.csv*"):
        shutil.copy(path, folder)


def write_report(draw: random.Random) -> str:
    """Returns one report. Probabilities: see the module's docstring."""
    parts = [" " * 33 + "FINAL REPORT"]
    if draw.random() < 0.02:
        parts[:0] = [_under("ADDENDUM", _sentences(draw, 1, 2)), "_" * 70]
    if draw.random() < 0.03:
        parts[:0] = [_under("WET READ: ___ ___ ___ 8:02 PM", _sentences(draw, 1, 3)), "_" * 70]
    parts.append(_under("EXAMINATION:", draw.choice(["CHEST (PA AND LAT)", "CHEST (PORTABLE AP)", "Chest radiograph"])))
    parts.append(_under(draw.choice(["INDICATION:", "HISTORY:"]), f"___ year old with {draw.choice(REASONS)}."))
    if draw.random() < 0.5:
        parts.append(_under("TECHNIQUE:", draw.choice(["Chest PA and lateral.", "Single portable view of the chest."])))
    parts.append(_under("COMPARISON:", draw.choice(["None.", "Chest radiograph from ___.", "___ and ___."])))
    kind = draw.random()
    if kind < 0.824:
        if draw.random() < 0.75:
            parts.append(_under("FINDINGS:", _sentences(draw, 4, 12)))
        items = _sentences(draw, 1, 3).split(". ")
        parts.append(_under("IMPRESSION:", " ".join(f"{n}. {said.rstrip('.')}." for n, said in enumerate(items, start=1))))
    elif kind < 0.949:
        parts.append(_under("FINDINGS:", _sentences(draw, 4, 12)))
    else:
        parts.append(textwrap.fill(_sentences(draw, 2, 5), 79, initial_indent=" ", subsequent_indent=" "))
    return "\n\n".join(parts) + "\n"


def _studies(studies: int, draw: random.Random) -> Iterator[tuple[int, int]]:
    """Patient and study, sorted by patient as in the archive; 3.5 studies per patient."""
    patients = sorted(draw.sample(range(10_000_000, 20_000_000), max(1, round(studies * PATIENTS / STUDIES))))
    of_patient = sorted(draw.choice(patients) for _ in range(studies - len(patients))) + patients
    numbers = iter(draw.sample(range(50_000_000, 60_000_000), studies))
    yield from ((patient, next(numbers)) for patient in sorted(of_patient))


def _sentences(draw: random.Random, low: int, high: int) -> str:
    said = []
    for _ in range(draw.randint(low, high)):
        words = {
            "size": draw.choice(SIZES), "side": draw.choice(SIDES), "seen": draw.choice(SEEN), "other": draw.choice(SEEN),
            "place": draw.choice(PLACES), "line": draw.choice(LINES), "number": draw.randint(2, 9),
        }  # fmt: skip
        sentence = draw.choice(SENTENCES).format(**words)
        said.append(sentence[0].upper() + sentence[1:])
    return " ".join(said)


def _under(header: str, words: str) -> str:
    return textwrap.fill(f"{header}  {words}", 79, initial_indent=" ", subsequent_indent=" ")


def _codes(draw: random.Random) -> list[str]:
    return draw.choices(["", "1.0", "0.0", "-1.0"], [0.8, 0.1, 0.07, 0.03], k=len(LABELS))


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
