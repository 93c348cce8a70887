"""Turns reports into the model's input: one template and one `encode`, for training and prediction alike.

There are five answer forms:

- `list`, `lines`: a prompt (chat template around prompts/student/*.jinja) and a completion in words.
- `slots`: the same prompt; the completion is the label names, one per line, without answers. Answers are read as logits at the
  last token of each name, so the answer to one label cannot influence another (docs/log.md has the comparison).
- `head`, `tags`: the report's text without an instruction. The linear layer `score` reads all labels at the end token (head), or
  at each token whether it belongs to a finding (tags). The instruction took half of the tokens and taught nothing.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student.tagging import token_targets
from raddistill.tasks.names import PLAIN, TEMPLATES

IGNORED = -100  # PyTorch's cross entropy skips these positions


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example, and the positions at which its answer is read.

    `labels`: for the loss on text; as long as `input_ids`, IGNORED outside the completion. `read_at`: positions in `input_ids`:
    one per label (slots), the end token (head), each token of the text, or of its second copy (tags), none (list, lines).
    `prompt_length`: number of leading tokens without an answer. `offsets`: (start, end) in the text of each token (tags only).
    """

    input_ids: list[int]
    labels: list[int]
    read_at: list[int]
    prompt_length: int
    form: str
    offsets: list[tuple[int, int]]


class Renderer:
    """Renders reports into prompts, with the templates of a folder and a tokenizer's chat template."""

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
        """Returns the text before the assistant's answer; for `head` and `tags` the report's text alone.

        Raises:
            InputError: a template is missing or broken, or the model is an encoder, which cannot answer in words.
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
        """Returns a hash of the prompt of an empty report; for head and tags, of the form's name only."""
        if answers in PLAIN:
            return hashlib.sha256(answers.encode()).hexdigest()[:16]
        return hashlib.sha256(self.prompt(answers, "").encode()).hexdigest()[:16]


def encode(tokenizer: Any, prompt: str, completion: str | None, answers: str) -> Encoded:
    """Returns one example as tokens. Without a completion, the prompt alone; head and tags ignore the completion.

    With slots, label names and line ends are tokenized one by one, so that no token spans the end of a name.
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
    ids, read_at, newline = list(prompt_ids), [], _ids(tokenizer, "\n")
    for name in completion.split("\n"):
        ids += _ids(tokenizer, name)
        read_at.append(len(ids) - 1)
        ids += newline
    ids = ids[: read_at[-1] + 1]
    return Encoded(ids, [IGNORED] * len(ids), read_at, len(prompt_ids), answers, [])


def encode_rows(tokenizer: Any, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Returns rows of `Examples` as fields of `Encoded` with `targets`, in the same order."""
    rows = []
    columns = ("prompt", "completion", "answers", "targets", "spans")
    for prompt, completion, answers, targets, spans in frame.select(columns).iter_rows():
        encoded = encode(tokenizer, prompt, completion, answers)
        wanted = token_targets(encoded.offsets, spans) if answers == "tags" else targets
        rows.append({**encoded.__dict__, "offsets": [], "targets": wanted})
    return rows


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
        read_at, offsets = [len(ids) - 1], []
    elif encoder:  # bidirectional, so no second copy
        ids = [*begin, *words, last]
        read_at, offsets = list(range(1, len(ids) - 1)), made["offset_mapping"]
    else:
        ids = [*begin, *words, *_ids(tokenizer, "\n"), *words]
        read_at, offsets = list(range(len(ids) - len(words), len(ids))), made["offset_mapping"]
    return Encoded(ids, [IGNORED] * len(ids), read_at, len(ids), form, offsets)


def is_encoder(tokenizer: Any) -> bool:
    """Whether the tokenizer is that of an encoder: it has a class token and no chat template."""
    return tokenizer.chat_template is None and tokenizer.cls_token_id is not None


def answer_ids(tokenizer: Any) -> tuple[int, int]:
    """Returns the token ids of " yes" and " no".

    Raises:
        InputError: one of them is not a single token, so its logit cannot be read.
    """
    ids = [_ids(tokenizer, word) for word in (" yes", " no")]
    if any(len(i) != 1 for i in ids):
        raise InputError('the tokenizer splits " yes" or " no"; use merge.answers: list with this base model')
    return ids[0][0], ids[1][0]


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
