"""An encoder in the LLM's place: the same examples, read in both directions, through training and prediction."""

from pathlib import Path

import polars as pl
import pytest
from student_world import LABELS, ROOT, RUNTIME, examples_of, train_params

from raddistill.errors import InputError
from raddistill.student import forward, models
from raddistill.student.predicting import PredictParams, predict
from raddistill.student.prompts import Encoded, Renderer, encode, encode_rows
from raddistill.student.training import train


@pytest.fixture(scope="module")
def examples(encoder: Path) -> pl.DataFrame:
    return examples_of(encoder)


def test_labels_are_read_at_the_end_token_and_tags_at_the_words_which_stand_once(encoder: Path) -> None:
    tokenizer = models.load_tokenizer(encoder)
    words = tokenizer("mild edema", add_special_tokens=False)["input_ids"]
    ids = [tokenizer.cls_token_id, *words, tokenizer.sep_token_id]
    head, tags = (encode(tokenizer, "mild edema", None, form) for form in ("head", "tags"))
    assert (head.input_ids, head.read_at) == (ids, [len(ids) - 1])
    assert (tags.input_ids, tags.read_at) == (ids, list(range(1, len(ids) - 1)))
    assert [("mild edema")[start:end] for start, end in tags.offsets] == list("mildedema")


def test_an_example_s_loss_does_not_depend_on_its_batch(encoder: Path, examples: pl.DataFrame) -> None:
    tokenizer = models.load_tokenizer(encoder)
    rows = encode_rows(tokenizer, examples.filter(pl.col("selected")).head(12))
    batch = [Encoded(**{name: row[name] for name in Encoded.__dataclass_fields__}) for row in rows]
    assert len({len(e.input_ids) for e in batch}) > 3
    model = models.load_base(encoder, "none").float().eval()
    models.add_score(model, len(LABELS) + 1, seed=1)
    targets = [row["targets"] for row in rows]
    together = forward.example_losses(model, batch, targets, (0, 0))
    alone = [forward.example_losses(model, [e], [t], (0, 0)).item() for e, t in zip(batch, targets, strict=True)]
    assert together.tolist() == pytest.approx(alone, abs=1e-4)


def test_it_is_trained_and_answers_both_tasks(encoder: Path, examples: pl.DataFrame, tmp_path: Path) -> None:
    p = train_params(quantization="none", learning_rate=0.01)
    trained = train(p, examples, encoder, tmp_path / "checkpoints", RUNTIME, tmp_path / "adapter")
    assert trained.metrics["validation_loss"] < trained.validation_curve["loss"][0]
    of_test = PredictParams(model="student", split="test", multiple_choice_reports=-1, open_ended_reports=-1, max_new_tokens=8)
    weights = tmp_path / "adapter"
    predicted = predict("student_test", of_test, examples, LABELS, weights, ROOT / "prompts/student", RUNTIME)
    reports = examples.filter(split="test")["report_id"].n_unique()
    assert predicted.predictions.height == 2 * reports
    assert predicted.probabilities["report_id"].n_unique() == reports
    untrained = models.load_base(encoder, "none")
    assert not any(name.startswith("cls") for name, _ in untrained.named_parameters())


def test_what_is_answered_in_words_is_refused_and_the_way_out_named(encoder: Path) -> None:
    renderer = Renderer(ROOT / "prompts/student", models.load_tokenizer(encoder), LABELS)
    with pytest.raises(InputError, match=r"encoder.*head.*tags.*base_test"):
        renderer.prompt("list", "The heart is normal.")
