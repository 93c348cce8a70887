"""What a training reads: its base's config, and how many tokens its examples have. Loads no weights and no torch."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import polars as pl

from raddistill import params, paths
from raddistill.errors import InputError
from raddistill.sources.fetch.fetching import BaseParams
from raddistill.student.merging import MergeParams
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples
from raddistill.tasks.names import PLAIN, TASKS

NEEDED = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
# Until `merge` has made the examples: Open-i's in SmolLM2's tokens (docs/log.md, 2026-11-23 and 2026-11-27).
CHARACTERS_A_TOKEN = 4.7
TEXT_TOKENS = {"sentences": 11.6, "reports": 68.5}
INSTRUCTION_TOKENS, ANSWER_TOKENS = 120, 16
LONGEST_SENTENCE = 128  # tokens; Open-i's longest has 55
CODES = 132  # for which the `cold` lexicon writes sentences


class Workload(NamedTuple):
    """The examples of one epoch; tokens are those of the model's input, without padding. `examples` 0: how many is unknown."""

    examples: int
    tokens: int
    longest: int  # tokens of the longest example
    answer: int  # tokens of the longest answer in words; 0 if all are read from a linear layer
    validation_tokens: int
    source: str


def read_config(path: Path | None, base: BaseParams) -> tuple[Any, Path]:
    """Returns the base's config, keys as attributes, and its folder. `path`: config.json or folder; None: what `fetch` brought.

    Raises:
        InputError: there is no config, or it lacks what the size of a Llama-like model follows from.
    """
    if path is None:
        path = Path(base.location) if base.source == "folder" else _fetched(base)
    file = path / "config.json" if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {file}; give the base's config.json, or its folder, as --config") from None
    except ValueError:
        raise InputError(f"{file} is not JSON; give the base's config.json as --config") from None
    sizes = content if isinstance(content, dict) else {}
    if missing := [key for key in NEEDED if not isinstance(sizes.get(key), int)]:
        raise InputError(f"{file} has no {', '.join(missing)}: sizes are known of Llama-like models and BERT-like encoders only")
    if sizes.get("num_experts") or sizes.get("num_local_experts"):
        raise InputError(f"{file} is of a mixture of experts: sizes are known of Llama-like models and BERT-like encoders only")
    return SimpleNamespace(**sizes), file.parent


def _fetched(base: BaseParams) -> Path:
    record = json.loads(paths.BASE.read_text(encoding="utf-8")) if paths.BASE.is_file() else {}
    if any(record.get(key) != getattr(base, key) for key in ("source", "location", "revision")):
        raise InputError(
            f"the base {base.location} is not fetched; `dvc repro fetch` brings it, or give its config.json as --config"
        )
    return paths.store() / str(record["folder"])


def changed_settings() -> list[str]:
    """Returns the keys of params.yaml that differ from dvc.lock in the stages up to `merge`; [] without a dvc.lock."""
    lock, changed = Path("dvc.lock"), set()
    for name, stage in (params.read(lock)["stages"] if lock.is_file() else {}).items():
        if name.partition("@")[0] in ("fetch", "extract", "teach", "synthesize", "merge"):
            for key, value in stage.get("params", {}).get("params.yaml", {}).items():
                node: Any = params.read()
                for word in key.split("."):
                    node = node.get(word) if isinstance(node, dict) else None
                if node != value:
                    changed.add(key)
    return sorted(changed)


def of_examples(folder: Path, is_encoder: bool) -> Workload:
    """Returns the workload of data/examples.parquet. `folder`: of the base; without a tokenizer.json tokens are guessed."""
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else None

    def count(texts: list[str]) -> list[float]:
        if tokenizer is None:
            return [len(text) / CHARACTERS_A_TOKEN for text in texts]
        return [len(made.ids) for made in tokenizer.encode_batch(texts, add_special_tokens=False)]

    frame = tables.read(Examples, paths.EXAMPLES).filter(pl.col("selected") & pl.col("completion").is_not_null())
    sums, longest, answer = {"train": 0.0, "validation": 0.0}, 0.0, 0.0
    for (split, form), rows in frame.group_by("split", "answers"):
        prompts, answers = (count(rows[column].to_list()) for column in ("prompt", "completion"))
        lengths = [_length(form, is_encoder, *both) for both in zip(prompts, answers, strict=True)]
        sums[split] += sum(lengths)
        longest = max(longest, *lengths)
        answer = max(answer, *answers) if form in ("list", "lines") else answer
    how = "" if tokenizer else f", {CHARACTERS_A_TOKEN} characters a token (no tokenizer.json beside the config)"
    number, (tokens, validation) = frame.filter(pl.col("split") == "train").height, map(round, sums.values())
    return Workload(number, tokens, round(longest), round(answer), validation, f"{paths.EXAMPLES}{how}")


def of_settings(p: MergeParams, labels: int, examples: int | None, is_encoder: bool, why: str) -> Workload:
    """Returns the workload by the section merge alone: mean lengths as in Open-i, the longest example as an upper bound.

    `labels`: number of labels; `examples`: of both tasks, if the user knows it; `why`: why data/examples.parquet is not read.
    """
    trained = tokens = longest = answer = validation = 0.0
    blocks = {task: p.block_of(task) for task in TASKS if p.block_of(task).examples}
    for task, block in blocks.items():
        words = TEXT_TOKENS[block.units] + (0 if block.answers in PLAIN else INSTRUCTION_TOKENS)
        mean = _length(block.answers, is_encoder, words, ANSWER_TOKENS)
        number = max(block.examples, 0) + block.written * (labels if task == TASKS[0] else CODES)
        trained, tokens, validation = trained + number, tokens + number * mean, validation + p.validation_examples * mean
        most = _length(block.answers, is_encoder, LONGEST_SENTENCE, 0) if block.units == "sentences" else p.max_tokens
        longest = max(longest, min(most, p.max_tokens))
        answer = ANSWER_TOKENS if block.answers in ("list", "lines") else answer
    if examples:
        trained, tokens = examples, examples * validation / max(1, p.validation_examples * len(blocks))
    elif unknown := [f"merge.{task}.examples" for task, block in blocks.items() if block.examples == -1]:
        trained = tokens = 0
        why += f"; {' and '.join(unknown)}: -1 is all, and how many these are `dvc repro merge` finds (or give --examples)"
    source = f"section merge, lengths as in Open-i: {why}"
    return Workload(round(trained), round(tokens), round(longest), round(answer), round(validation), source)


def _length(form: str, is_encoder: bool, prompt: float, answer: float) -> float:
    """Tokens of an example, as `prompts.encode` makes it."""
    if form in PLAIN:
        return (2 * prompt if form == "tags" and not is_encoder else prompt) + 2
    return prompt + answer + 1
