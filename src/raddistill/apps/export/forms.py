"""Writes a student as a folder that plain transformers loads: base and adapter merged in bf16, without PEFT.

`merged` answers as the student does. If its answers are `head` and `tags`, it is a token classifier: `score` is applied at every
token. Else it is a language model. `classifier` is a sequence classifier, with an output for each label.
"""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raddistill.errors import InputError
from raddistill.student import models
from raddistill.student.prompts import Renderer, is_encoder
from raddistill.tables.student_settings import StudentSettings
from raddistill.tasks.names import MULTIPLE_CHOICE, PLAIN

FINDING = "finding"  # the name of the last output, from which tags are read


@dataclass
class Student:
    """A student to export. `model`: merged, with the layer `score` if an answer needs it; set once it is merged."""

    tokenizer: Any
    settings: StudentSettings
    prompts: Path
    model: Any = None

    @property
    def answers(self) -> dict[str, str]:
        """The answer form of each task."""
        return {task: of_task.answers for task, of_task in self.settings.tasks.items()}

    @property
    def names(self) -> list[str]:
        """The labels, in the order of the outputs."""
        return [label.name for label in self.settings.labels]

    @property
    def in_words(self) -> dict[str, str]:
        """The tasks whose answers need the language-model head: slots, list and lines."""
        return {task: form for task, form in self.answers.items() if form not in PLAIN}


def merge(adapter: Path, base: str) -> Any:
    """Returns base and adapter as one model in bf16.

    `trained`: into the base that the adapter was trained on, so NF4 weights are unpacked. `original`: into the unquantised base.

    Raises:
        InputError: see `models.base_folder`.
    """
    models.quiet_libraries()
    provenance = json.loads((adapter / "provenance.json").read_text(encoding="utf-8"))
    is_nf4 = provenance["params"]["quantization"] == "nf4" and base == "trained"
    model = models.load_base(adapter / "base.json", "nf4" if is_nf4 else "none")
    import torch
    from peft import PeftModel

    if provenance["outputs"]:
        models.add_score(model, provenance["outputs"], seed=0)
    if is_nf4:
        model = model.dequantize()
    return PeftModel.from_pretrained(model, adapter).merge_and_unload().to(torch.bfloat16).cpu()


def write_merged(student: Student, folder: Path) -> list[str]:
    """Writes the form `merged`; returns the tasks that it answers.

    A student that answers one task in words and the other by `score` keeps the one in words, as no class has both layers.
    """
    student.tokenizer.save_pretrained(folder)
    if student.in_words:
        _write(student.model, "AutoModelForCausalLM", [], None, folder)
        write_prompts(student, folder)
        return list(student.in_words)
    weight = student.model.score.weight
    names = [*student.names[: len(weight) - 1], FINDING]
    _write(student.model, "AutoModelForTokenClassification", names, weight, folder)
    return list(student.answers)


def load(auto: str, folder: Path, **options: Any) -> Any:
    """Returns a model that transformers loads from `folder`, on the GPU if there is one."""
    import torch
    import transformers

    where = {"": 0} if torch.cuda.is_available() else None
    model = getattr(transformers, auto).from_pretrained(folder, dtype=models.compute_dtype(), device_map=where, **options)
    return model.eval()


def read_merged(folder: Path, student: Student) -> Any:
    """Returns the model of the form `merged`, as `Answerer` takes it."""
    model = load("AutoModelForCausalLM" if student.in_words else "AutoModelForTokenClassification", folder)
    if hasattr(model, "classifier"):  # of an encoder
        model.score = model.classifier
    return model


def write_prompts(student: Student, folder: Path) -> None:
    """Writes the prompt of each task that is answered in words to prompt_<task>.txt, with {report} for the report."""
    for task, form in student.in_words.items():
        prompt = Renderer(student.prompts, student.tokenizer, student.settings.labels).prompt(form, "{report}")
        (folder / f"prompt_{task}.txt").write_text(prompt, encoding="utf-8")


def refuse_classifier(student: Student) -> None:
    """Raises InputError unless the student's logits are all read at the last token, as a sequence classifier's are."""
    form = student.answers.get(MULTIPLE_CHOICE)
    if form != "head":
        reads = {
            None: "was not trained on it",
            "slots": "reads each label's answer at another token (slots), and a sequence classifier has one",
        }.get(form, f"answers it in words ({form})")
        raise InputError(
            f"--form classifier needs {MULTIPLE_CHOICE} answered by `head`, and this student {reads}: export --form merged,"
            f" or train with merge.{MULTIPLE_CHOICE}.answers: head"
        )
    if is_encoder(student.tokenizer):
        raise InputError(
            "--form classifier: transformers' encoders classify by a pooling layer at their first token, and this student reads"
            " the last one; export --form merged, a token classifier"
        )


def write_classifier(student: Student, folder: Path) -> list[str]:
    """Writes the form `classifier`; returns the task that it answers."""
    tokenizer = text_tokenizer(student.tokenizer)
    tokenizer.save_pretrained(folder)
    changes = {"problem_type": "multi_label_classification", "pad_token_id": tokenizer.pad_token_id}
    _write(student.model, "AutoModelForSequenceClassification", student.names, student.model.score.weight[:-1], folder, **changes)
    return [MULTIPLE_CHOICE]


def text_tokenizer(tokenizer: Any) -> Any:
    """Returns a tokenizer that puts a text between begin and end token, as `head` is asked, and pads on the right.

    The padding token must not be the end token (it is in SmolLM2): transformers reads the logits at the last token that is no
    padding. The begin token will do, as a text has it at its start only.
    """
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    names = {name: getattr(tokenizer, name) for name in ("pad_token", "unk_token", "bos_token", "eos_token")}
    end, begin = names["eos_token"], [names["bos_token"]] if names["bos_token"] else []
    padding = [token for token in names.values() if token and token != end] or [end]
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (*begin, end)]
    backend.post_processor = TemplateProcessing(
        single=[*begin, "$A", end], pair=[*begin, "$A", "$B", end], special_tokens=special
    )
    # not the class of the base: some of them write their own template when they are loaded
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **names | {"pad_token": padding[0]}, padding_side="right",
        model_max_length=tokenizer.model_max_length,
    )  # fmt: skip


def _write(model: Any, auto: str, names: list[str], weight: Any, folder: Path, **changes: Any) -> None:
    """Saves the weights of `model` as the class that `auto` chooses for it, with `weight` as its layer of `names`.

    Raises:
        InputError: that class has further layers, which the student does not have.
    """
    import torch
    import transformers

    config = copy.deepcopy(model.config)
    config.__dict__.pop("quantization_config", None)
    config.update({"dtype": torch.bfloat16, **changes})
    if names:
        config.update({"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}})
    with torch.device("meta"):
        made = getattr(transformers, auto).from_config(config)
    prefix = "" if hasattr(model, "lm_head") else f"{made.base_model_prefix}."
    have = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items() if name != "score.weight"}
    wanted = made.state_dict()
    if names:
        head = "score" if hasattr(made, "score") else "classifier"
        have |= {f"{head}.weight": weight, f"{head}.bias": torch.zeros(len(names), dtype=weight.dtype)}
    if missing := sorted(set(wanted) - set(have)):
        raise InputError(f"{type(made).__name__} has layers that the student lacks ({missing[0]}): no export of this base model")
    made.load_state_dict({name: have[name].contiguous() for name in wanted}, assign=True)
    if not names:
        made.generation_config = model.generation_config
    made.save_pretrained(folder)
