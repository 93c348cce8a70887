"""From a report to what the model reads: one template, one `encode`, used by training and prediction alike.

Answers come in five forms. `list`, `lines` and `slots` are a prompt (chat template around prompts/*.jinja) and a completion. In
`slots` the completion is the label names, one a line, without any answer: the answers are read as logits at the last token of
each name, so nothing of one label's answer can reach another's (docs/log.md has the comparison with answers fed back).
`head` and `tags` are the report's words alone, without instruction: a linear layer reads the labels at the end token, or at each
token whether it belongs to a finding. Instruction, chat template and label names took half of the tokens and taught nothing.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.tasks.names import PLAIN, TEMPLATES

IGNORED = -100  # PyTorch's cross entropy skips these positions


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example (length n), the labels of the same length, and where its slots are read.

    `labels` is -100 but where the loss is taken on text. `slots` are the positions in `input_ids` at which something is read: one
    a label (slots), the end token (head), each token of the second copy (tags), none (list, lines). `places` are the tags' tokens
    as (start, end) in the prompt. `prompt_length` is the number of leading tokens that hold no answer.
    """

    input_ids: list[int]
    labels: list[int]
    slots: list[int]
    prompt_length: int
    form: str
    places: list[tuple[int, int]]


class Renderer:
    """Renders reports into prompts with the templates of one folder and one tokenizer's chat template."""

    def __init__(self, folder: Path, tokenizer: Any, labels: list[Label]) -> None:
        self._tokenizer = tokenizer
        self.labels = labels
        self._folder = folder
        # autoescape off on purpose: this renders prompts, not HTML
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701
        )

    def prompt(self, answers: str, report: str) -> str:
        """The text up to where the assistant's answer begins; for `head` and `tags` the report's words and nothing else.

        Raises:
            InputError: a template is missing or broken.
        """
        if answers in PLAIN:
            return report
        try:
            user = self._environment.get_template(TEMPLATES[answers]).render(report=report, labels=self.labels)
        except jinja2.TemplateError as error:
            raise InputError(f"{self._folder / TEMPLATES[answers]}: {type(error).__name__}; see docs of jinja2") from None
        if is_encoder(self._tokenizer):
            raise InputError(
                f"the base model is an encoder: it learns `head` and `tags`, not `{answers}`; change merge.*.answers,"
                " and set predict.base_test.*_reports to 0, as it cannot be asked in words"
            )
        messages = [{"role": "system", "content": self._system}, {"role": "user", "content": user.strip()}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    @cached_property
    def _system(self) -> str:
        path = self._folder / "system.txt"
        if not path.exists():
            raise InputError(f"{path} is missing; it is part of the repository: `git checkout {path}`")
        return path.read_text(encoding="utf-8").strip()

    def template_hash(self, answers: str) -> str:
        """Changes whenever a prompt would: hash of the rendered prompt of an empty report."""
        if answers in PLAIN:
            return hashlib.sha256(answers.encode()).hexdigest()[:16]
        return hashlib.sha256(self.prompt(answers, "").encode()).hexdigest()[:16]


def encode(tokenizer: Any, prompt: str, completion: str | None, answers: str) -> Encoded:
    """Ids, loss labels and slots of one example; without a completion, the prompt alone (head and tags need none).

    Slot lines are encoded piece by piece, so that the last token of a name is known whatever the tokenizer would merge.
    """
    if answers in PLAIN:
        return _encode_plain(tokenizer, prompt, answers)
    prompt_ids = _ids(tokenizer, prompt)
    if completion is None:
        return Encoded(prompt_ids, [IGNORED] * len(prompt_ids), [], len(prompt_ids), answers, [])
    if answers != "slots":
        answer_ids = [*_ids(tokenizer, completion), tokenizer.eos_token_id]
        labels = [IGNORED] * len(prompt_ids) + answer_ids
        return Encoded(prompt_ids + answer_ids, labels, [], len(prompt_ids), answers, [])
    ids, slots, newline = list(prompt_ids), [], _ids(tokenizer, "\n")
    for name in completion.split("\n"):
        ids += _ids(tokenizer, name)
        slots.append(len(ids) - 1)
        ids += newline
    ids = ids[: slots[-1] + 1]
    return Encoded(ids, [IGNORED] * len(ids), slots, len(prompt_ids), answers, [])


def _encode_plain(tokenizer: Any, text: str, form: str) -> Encoded:
    encoder = is_encoder(tokenizer)
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    if encoder:
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    begin = [] if first is None else [first]
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=form == "tags")
    words = made["input_ids"]
    if form == "head":
        ids = [*begin, *words, last]
        slots, places = [len(ids) - 1], []
    elif encoder:  # sees both sides of a word: no second copy
        ids = [*begin, *words, last]
        slots, places = list(range(1, len(ids) - 1)), made["offset_mapping"]
    else:
        ids = [*begin, *words, *_ids(tokenizer, "\n"), *words]
        slots, places = list(range(len(ids) - len(words), len(ids))), made["offset_mapping"]
    return Encoded(ids, [IGNORED] * len(ids), slots, len(ids), form, places)


def is_encoder(tokenizer: Any) -> bool:
    """Whether the tokenizer is that of an encoder, by its class token; others have a chat template."""
    return tokenizer.chat_template is None and tokenizer.cls_token_id is not None


def answer_ids(tokenizer: Any) -> tuple[int, int]:
    """Token ids of " yes" and " no".

    Raises:
        InputError: one of them is not a single token, so its logit could not be read.
    """
    ids = [_ids(tokenizer, word) for word in (" yes", " no")]
    if any(len(i) != 1 for i in ids):
        raise InputError('the tokenizer splits " yes" or " no"; use merge.answers: list with this base model')
    return ids[0][0], ids[1][0]


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
