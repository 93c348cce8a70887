"""Answering, on a random two-layer Llama in float32: what is read and written, and that neither depends on the batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from peft import PeftModel
from student_world import LABELS, ROOT, RUNTIME, examples_of, train_params

from raddistill import answer_format, params
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student import adapters, models, predicting, tagging, training
from raddistill.student.predicting import Answerer
from raddistill.student.prompts import Renderer, answer_ids, encode
from raddistill.student.tagging import Codes
from raddistill.tables import base as tables
from raddistill.tables.predictions import Predictions, Probabilities

PROMPTS = ROOT / "prompts/student"
ALONE = params.RuntimeParams(threads=1, predict_tokens=1, progress=False)
NEW_TOKENS = 12


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 rounds by the batch's shape; exactness is shown where numbers are exact."""
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.float32)


@pytest.fixture(scope="module")
def examples(base: Path) -> pl.DataFrame:
    """A sentence a report, read in words; the order within a split is not that of the rows."""
    return examples_of(base, ("slots", "lines")).filter(part=0)


@pytest.fixture(scope="module")
def in_parts(base: Path) -> pl.DataFrame:
    """Reports in sentences, some of which stand in many."""
    return examples_of(base)


@pytest.fixture
def answerer(base: Path) -> Callable[..., Answerer]:
    """The tiny base with louder layers: else it echoes the last token whatever the report is, and every test would pass."""

    def make(runtime: params.RuntimeParams = RUNTIME) -> Answerer:
        model = models.load_base(base, "none")
        with torch.no_grad():
            for parameter in model.model.layers.parameters():
                if parameter.dim() == 2:
                    parameter.mul_(12)
        return Answerer(model, models.load_tokenizer(base), runtime)

    return make


def of(examples: pl.DataFrame, split: str, task: str) -> pl.DataFrame:
    return examples.filter((pl.col("split") == split) & (pl.col("task") == task))


def arm(model: str, **changed: Any) -> predicting.PredictParams:
    all_reports = {"multiple_choice_reports": -1, "open_ended_reports": -1}
    return predicting.PredictParams(**({"model": model, "split": "test", "max_new_tokens": NEW_TOKENS} | all_reports | changed))


def sorted_logits(logits: pl.DataFrame) -> pl.DataFrame:
    return logits.sort("report_id", "part", "label", "answer")


def assert_close(a: pl.DataFrame, b: pl.DataFrame) -> None:
    a, b = sorted_logits(a), sorted_logits(b)
    assert a.drop("logit").equals(b.drop("logit"))
    assert (a["logit"] - b["logit"]).abs().max() < 1e-4


def test_slots_are_blind_to_the_labels(examples: pl.DataFrame, answerer: Callable[..., Answerer]) -> None:
    """Whatever the teacher said of a report, its logits keep every bit; where the teacher said nothing, too."""
    asked = of(examples, "test", "multiple_choice")
    expected = answerer().read_slots(asked, LABELS)
    for targets, completion in (([0.0, 1.0, 1.0], "Edema: yes"), (None, None)):
        other = asked.with_columns(
            targets=pl.lit(targets, dtype=pl.List(pl.Float64)), completion=pl.lit(completion, dtype=pl.String), selected=True
        )
        assert answerer().read_slots(other, LABELS).equals(expected)
    assert expected.group_by("label", "answer").agg(pl.col("logit").std()).select((pl.col("logit") > 0.01).all()).item()


def test_input_holds_names_and_no_answer(examples: pl.DataFrame, base: Path) -> None:
    tokenizer = models.load_tokenizer(base)
    for prompt in of(examples, "test", "multiple_choice")["prompt"]:
        encoded = encode(tokenizer, prompt, answer_format.render_slots(LABELS), "slots")
        assert tokenizer.decode(encoded.input_ids) == prompt + "Edema\nPleural Effusion\nFracture"
        assert not set(answer_ids(tokenizer)) & set(encoded.input_ids[encoded.prompt_length :])


def test_a_label_does_not_hear_of_those_after_it(examples: pl.DataFrame, answerer: Callable[..., Answerer]) -> None:
    asked = of(examples, "test", "multiple_choice")
    others = [*LABELS[:2], Label(name="Lung Opacity", description="")]
    first, second = (answerer().read_slots(asked, labels) for labels in (LABELS, others))
    known = pl.col("label").is_in(["Edema", "Pleural Effusion"])
    assert_close(first.filter(known), second.filter(known))


def test_slots_equal_a_plain_forward_of_each_report(
    examples: pl.DataFrame, base: Path, answerer: Callable[..., Answerer]
) -> None:
    """Shared prefix, padding and the head cut down to two rows against transformers' own logits."""
    asked, reader = of(examples, "test", "multiple_choice"), answerer()
    logits = {(r, label, a): logit for r, _, _, label, a, logit in reader.read_slots(asked, LABELS).iter_rows()}
    assert len(logits) == 10 * 3 * 2
    tokenizer = models.load_tokenizer(base)
    for report_id, prompt in asked.select("report_id", "prompt").iter_rows():
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for n, label in enumerate(LABELS):
            if n:
                ids = ids + tokenizer("\n", add_special_tokens=False)["input_ids"]
            ids = ids + tokenizer(label.name, add_special_tokens=False)["input_ids"]
            with torch.inference_mode():
                last = reader._causal(input_ids=torch.tensor([ids])).logits[0, -1]
            for answer, token in zip(("yes", "no"), answer_ids(tokenizer), strict=True):
                assert logits[report_id, label.name, answer] == pytest.approx(last[token].item(), abs=1e-4)


def test_slots_do_not_depend_on_batches_or_order(examples: pl.DataFrame, answerer: Callable[..., Answerer]) -> None:
    asked = of(examples, "test", "multiple_choice")
    together = answerer().read_slots(asked, LABELS)
    assert_close(together, answerer(ALONE).read_slots(asked, LABELS))
    assert_close(together, answerer().read_slots(asked.sample(fraction=1, shuffle=True, seed=4), LABELS))
    assert_close(together.filter(pl.col("report_id") == "test7"), answerer().read_slots(asked[7:8], LABELS))


def test_batches_hold_every_row_once_and_no_more_than_asked(examples: pl.DataFrame, answerer: Callable[..., Answerer]) -> None:
    reader = answerer()
    encoded = [encode(reader.tokenizer, prompt, None, "lines") for prompt in of(examples, "test", "open_ended")["prompt"]]
    batches = list(reader._batches(encoded, "open_ended"))
    assert sorted(i for batch in batches for i in batch) == list(range(10))
    assert max(len(batch) for batch in batches) > 2
    assert all(len(batch) * max(len(encoded[i].input_ids) for i in batch) <= 2000 for batch in batches)
    assert [len(b) for b in answerer(ALONE)._batches(encoded, "open_ended")] == [1] * 10


def greedy(model: Any, tokenizer: Any, prompt: str, end: int) -> list[int]:
    """By hand: one plain forward of one report a token."""
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < NEW_TOKENS and end not in written:
            written.append(int(model(input_ids=torch.tensor([ids + written])).logits[0, -1].argmax()))
    return written


def test_greedy_in_batches_equals_greedy_by_hand(examples: pl.DataFrame, answerer: Callable[..., Answerer]) -> None:
    """Neither padding nor a neighbour that ends earlier or later may be seen."""
    asked, writer, alone = of(examples, "test", "open_ended"), answerer(), answerer(ALONE)
    tokenizer, model = writer.tokenizer, writer._causal
    end = greedy(model, tokenizer, asked["prompt"][0], tokenizer.eos_token_id)[4]  # a token that ends some answers early
    written = [greedy(model, tokenizer, prompt, end) for prompt in asked["prompt"]]
    assert len({len(ids) for ids in written}) > 1
    expected = [tokenizer.decode([i for i in ids if i != end], skip_special_tokens=True) for ids in written]
    assert len(set(expected)) > 5
    for each in (writer, alone):
        each._ends = {end}
        assert each.write(asked, NEW_TOKENS)["answer"].to_list() == expected
    shuffled = writer.write(asked.sample(fraction=1, shuffle=True, seed=4), NEW_TOKENS)
    assert dict(shuffled.select("report_id", "answer").iter_rows()) == dict(zip(asked["report_id"], expected, strict=True))


@pytest.mark.parametrize(("choices", "open_ended"), [(3, 2), (-1, 0), (0, -1), (99, 1)])
def test_one_row_for_each_report_and_task_asked(examples: pl.DataFrame, base: Path, choices: int, open_ended: int) -> None:
    p = arm("base", multiple_choice_reports=choices, open_ended_reports=open_ended, max_new_tokens=2)
    predicted = predicting.predict("base_test", p, examples, LABELS, base, PROMPTS, RUNTIME)
    for task, n in (("multiple_choice", choices), ("open_ended", open_ended)):
        first = of(examples, "test", task).sort("order").head(10 if n == -1 else n)["report_id"]
        told = predicted.predictions.filter(pl.col("task") == task)
        assert sorted(told["report_id"]) == sorted(first)
        assert told["answer"].is_null().all() == (task == "multiple_choice" or not n)
    logits = predicted.probabilities
    assert logits.height == 6 * predicted.predictions.filter(pl.col("task") == "multiple_choice").height
    assert set(predicted.predictions["arm"]) == {"base_test"}
    tables.check(Predictions, predicted.predictions, "predictions")
    tables.check(Probabilities, logits, "probabilities")


def test_linear_arm_learns_from_the_selected_training_rows_alone(examples: pl.DataFrame, base: Path) -> None:
    """Held-out rows say the contrary of the training rows, as do training rows not selected: it must not make a difference."""

    def told(frame: pl.DataFrame) -> pl.DataFrame:
        return predicting.predict("linear_test", arm("linear"), frame, LABELS, base, PROMPTS, RUNTIME).probabilities

    trained = (pl.col("split") == "train") & (pl.col("order") < 8)
    split = examples.with_columns(selected=trained | (pl.col("split") == "validation"))
    flipped = pl.when(trained).then("targets").otherwise(pl.lit([0.0, 1.0, 1.0], dtype=pl.List(pl.Float64)))
    logits = told(split)
    assert told(split.with_columns(targets=flipped)).equals(logits)
    assert logits.height == 60
    contrary = split.with_columns(targets=pl.lit([0.0, 1.0, 1.0], dtype=pl.List(pl.Float64)))
    assert not told(contrary).equals(logits)


@pytest.mark.parametrize("model", ["student", "base", "linear"])
def test_empty_split_is_named(examples: pl.DataFrame, base: Path, model: str) -> None:
    with pytest.raises(InputError, match=r"predict\.some_arm: the split 'test' holds no report"):
        predicting.predict("some_arm", arm(model), examples.filter(pl.col("split") != "test"), LABELS, base, PROMPTS, RUNTIME)


def test_a_student_is_not_asked_what_it_was_not_taught(in_parts: pl.DataFrame, tmp_path: Path) -> None:
    taught = in_parts.with_columns(selected=pl.col("selected") & (pl.col("task") == "open_ended"))
    with pytest.raises(InputError, match=r"not trained on multiple_choice.*predict\.x\.multiple_choice_reports to 0"):
        predicting.predict("x", arm("student"), taught, LABELS, tmp_path, PROMPTS, RUNTIME)


def test_untrained_student_is_the_base_and_a_trained_one_is_not(examples: pl.DataFrame, base: Path, tmp_path: Path) -> None:
    p = train_params(quantization="none")
    model = training.build_trainer(p, examples, base, tmp_path / "checkpoints", RUNTIME).model
    adapters.save(model, tmp_path / "untrained", p, base, examples, 0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(1))
    adapters.save(model, tmp_path / "trained", p, base, examples, 0)

    def answer(who: str, weights: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
        predicted = predicting.predict("an_arm", arm(who), examples, LABELS, weights, PROMPTS, RUNTIME)
        return predicted.predictions, sorted_logits(predicted.probabilities)

    untouched, untrained, trained = (
        answer("base", base), answer("student", tmp_path / "untrained"), answer("student", tmp_path / "trained"),
    )  # fmt: skip
    assert untrained[0].equals(untouched[0])
    assert untrained[1].equals(untouched[1])
    assert (trained[1]["logit"] - untouched[1]["logit"]).abs().min() > 1e-4
    assert not trained[0].equals(untouched[0])


@pytest.mark.parametrize("quantization", ["nf4", "none"])
def test_student_as_one_model_answers_as_base_and_adapter_apart(
    examples: pl.DataFrame, base: Path, tmp_path: Path, quantization: str
) -> None:
    p = train_params(quantization=quantization)
    model = training.build_trainer(p, examples, base, tmp_path / "checkpoints", RUNTIME).model
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(1))
    adapters.save(model, tmp_path / "adapter", p, base, examples, 0)
    asked, tokenizer = of(examples, "test", "multiple_choice"), models.load_tokenizer(base)
    apart = PeftModel.from_pretrained(models.load_base(base, quantization), tmp_path / "adapter")
    one, two = (Answerer(m, tokenizer, RUNTIME) for m in (models.load_student(tmp_path / "adapter"), apart))
    assert_close(one.read_slots(asked, LABELS), two.read_slots(asked, LABELS))


@pytest.fixture
def with_score(answerer: Callable[..., Answerer]) -> Callable[..., Answerer]:
    """As `answerer`, with a layer `score` loud enough that some words reach a threshold."""

    def make(runtime: params.RuntimeParams = RUNTIME) -> Answerer:
        reader = answerer(runtime)
        models.add_score(reader._causal, len(LABELS) + 1, seed=3)
        with torch.no_grad():
            reader._causal.score.weight.mul_(60)
        return reader

    return make


def test_head_reads_each_sentence_alone(in_parts: pl.DataFrame, with_score: Callable[..., Answerer]) -> None:
    """One plain forward of each sentence; neither labels, nor batches, nor its report may be seen."""
    asked, reader = of(in_parts, "test", "multiple_choice"), with_score()
    logits = reader.read_head(asked, LABELS)
    assert_close(logits, with_score(ALONE).read_head(asked.sample(fraction=1, shuffle=True, seed=4), LABELS))
    relabelled = asked.with_columns(targets=pl.lit([0.0, 1.0, 0.0]), completion=pl.lit("Edema"), selected=True)
    assert logits.equals(reader.read_head(relabelled, LABELS))
    told = {(r, part, label, a): logit for r, _, part, label, a, logit in logits.iter_rows()}
    assert len(told) == asked.height * 3 * 2
    for report, part, prompt in asked.select("report_id", "part", "prompt").iter_rows():
        ids = [*reader.tokenizer(prompt, add_special_tokens=False)["input_ids"], reader.tokenizer.eos_token_id]
        with torch.inference_mode():
            wanted = reader._causal.score(reader._causal.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1])
        for n, label in enumerate(LABELS):
            assert told[report, part, label.name, "yes"] == pytest.approx(wanted[n].item(), abs=1e-3)
            assert told[report, part, label.name, "no"] == 0.0


def test_a_sentence_of_many_reports_is_read_once_and_says_the_same_everywhere(
    in_parts: pl.DataFrame, with_score: Callable[..., Answerer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, forward = of(in_parts, "test", "multiple_choice"), predicting.hidden_states
    seen: list[Any] = []

    def counted(backbone: Any, batch: Any) -> Any:
        seen.extend(tuple(example.input_ids) for example in batch)
        return forward(backbone, batch)

    monkeypatch.setattr(predicting, "hidden_states", counted)
    logits = with_score().read_head(asked, LABELS).join(asked, on=["report_id", "part"])
    assert len(seen) == len(set(seen)) == asked["prompt"].n_unique() < asked.height
    assert logits.group_by("prompt", "label", "answer").agg(pl.col("logit").n_unique())["logit"].to_list() == [1] * 6 * len(seen)


def test_what_is_pointed_at_stands_in_the_report_once_with_a_code(
    in_parts: pl.DataFrame, with_score: Callable[..., Answerer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, reader = of(in_parts, "test", "open_ended"), with_score()
    few, _ = reader.answer(asked, LABELS, NEW_TOKENS, Codes(["no effusion | J90"]))
    monkeypatch.setattr(tagging, "NEAREST", 0.0)  # everything is like something
    answered, _ = reader.answer(asked, LABELS, NEW_TOKENS, Codes(["no effusion | J90"]))
    assert answered["report_id"].to_list() == [f"test{n}" for n in range(10)]
    unlabelled = asked.with_columns(spans=pl.lit(None, asked.schema["spans"]), completion=pl.lit(None, pl.String))
    assert answered.equals(with_score(ALONE).answer(unlabelled, LABELS, NEW_TOKENS, Codes(["no effusion | J90"]))[0])
    told = {report: answer_format.parse_lines(answer) for report, _, answer in answered.iter_rows()}
    assert sum(len(parsed.findings) for parsed in told.values()) > 5
    kept = {report: set(answer_format.parse_lines(answer).findings) for report, _, answer in few.iter_rows()}
    assert all(of_report <= set(told[report].findings) for report, of_report in kept.items())
    assert 0 < sum(map(len, kept.values())) < sum(len(parsed.findings) for parsed in told.values())
    for report, parsed in told.items():
        text = asked.filter(pl.col("report_id") == report)["prompt"].to_list()
        assert not parsed.unparsed
        assert len(set(parsed.findings)) == len(parsed.findings)
        assert all(any(phrase in sentence.lower() for sentence in text) for phrase, _ in parsed.findings)


def test_an_untouched_base_is_asked_in_words(in_parts: pl.DataFrame, base: Path) -> None:
    """It has no layer to read `head` and `tags` from: the parts of a report become one prompt of the forms list and lines."""
    parts = in_parts.filter(split="test")
    predicted = predicting.predict("base_test", arm("base", max_new_tokens=2), parts, LABELS, base, PROMPTS, RUNTIME)
    assert predicted.predictions.height == 20
    assert predicted.predictions["answer"].null_count() == 0
    assert predicted.probabilities.is_empty()
    asked = predicting.in_words(parts, Renderer(PROMPTS, models.load_tokenizer(base), LABELS))
    assert asked.group_by("task", "answers").len().sort("task").rows() == [
        ("multiple_choice", "list", 10), ("open_ended", "lines", 10),
    ]  # fmt: skip
    for report in asked["report_id"].unique():
        sentences = parts.filter((pl.col("report_id") == report) & (pl.col("answers") == "head"))["prompt"].to_list()
        assert "\n".join(sentences) in asked.filter(pl.col("report_id") == report)["prompt"][0]


def test_no_model_is_loaded_for_an_arm_that_is_asked_nothing(in_parts: pl.DataFrame) -> None:
    nothing = arm("base", multiple_choice_reports=0, open_ended_reports=0)
    predicted = predicting.predict("base_test", nothing, in_parts, LABELS, Path("no/base.json"), PROMPTS, RUNTIME)
    assert predicted.predictions.is_empty()
    assert predicted.probabilities.is_empty()


def test_tokenizer_that_splits_yes(
    examples: pl.DataFrame, answerer: Callable[..., Answerer], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = answerer()
    whole = reader.tokenizer

    class Splitting:
        def __call__(self, text: str, **more: Any) -> Any:
            return {"input_ids": [1, 2]} if text == " yes" else whole(text, **more)

    monkeypatch.setattr(reader, "tokenizer", Splitting())
    with pytest.raises(InputError, match=r'splits " yes" or " no"; use merge\.answers: list'):
        reader.read_slots(of(examples, "test", "multiple_choice"), LABELS)
