"""Examples to train and ask a student with, in any form of answer: sentences of random words, reports of one to three."""

import random
from pathlib import Path
from typing import Any

import polars as pl

from raddistill import answer_format, params
from raddistill.labelsets import Label
from raddistill.student import models
from raddistill.student.prompts import Renderer
from raddistill.student.training import TrainParams
from raddistill.tables.examples import Examples
from raddistill.tasks.names import PLAIN

ROOT = Path(__file__).parents[1]
LABELS = [Label(name=name, description="") for name in ("Edema", "Pleural Effusion", "Fracture")]
WORDS = ["the", "heart", "is", "enlarged", "no", "effusion", "mild", "edema", "rib", "fracture", "clear", "lungs"]
RUNTIME = params.RuntimeParams(threads=1, predict_tokens=2000, progress=False)
SPLITS = {"train": 16, "validation": 8, "test": 10}
TARGETS = [1.0, None, 0.25]


def examples_of(base: Path, forms: tuple[str, str] = ("head", "tags"), splits: dict[str, int] = SPLITS) -> pl.DataFrame:
    """Every report asked and labelled, in both tasks; all sentences begin alike; every third report ends with the same one."""
    renderer = Renderer(ROOT / "prompts/student", models.load_tokenizer(base), LABELS)
    draw, rows = random.Random(5), []
    for split, reports in splits.items():
        orders = draw.sample(range(reports), reports)
        for n in range(reports):
            seen = [" ".join(draw.choices(WORDS, k=draw.randint(3, 25))) for _ in range(draw.randint(1, 3))]
            texts = [f"Seen on this film: {words}" for words in [*seen, *["mild edema"] * (n % 3 == 0)]]
            for task, form in zip(("multiple_choice", "open_ended"), forms, strict=True):
                report = {"report_id": f"{split}{n}", "task": task, "split": split, "answers": form, "order": orders[n]}
                report |= {"asked": True, "selected": split != "test", "template_hash": form}
                rows += [report | {"part": part} | _learned(renderer, form, text) for part, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=Examples.create_empty().schema)


def _learned(renderer: Renderer, form: str, text: str) -> dict[str, Any]:
    spans = [{"start": 19, "end": 22, "worth": 0.8}, {"start": 23, "end": 27, "worth": None}]
    completion = {"slots": answer_format.render_slots(LABELS), "list": "Edema, Fracture", "head": ""}.get(
        form, "mild edema | J81.0"
    )
    return {
        "prompt": text if form in PLAIN else renderer.prompt(form, text),
        "completion": completion if form in PLAIN or len(text) % 2 or form == "slots" else "None",
        "targets": TARGETS if form in ("head", "slots") else None,
        "spans": spans if form == "tags" else None,
    }


def train_params(**changed: Any) -> TrainParams:
    """The shipped ones on a small scale, for one epoch."""
    small = {"epochs": 1, "batch_size": 4, "evaluate_every": 5, "lora_rank": 4, "lora_alpha": 8}
    return params.load("train", TrainParams).model_copy(update=small | changed)
