"""Answers by vLLM's offline engine, from a folder that `raddistill export` made. Needs a GPU and `pip install vllm`.

vLLM gets token ids made by `prompts.encode`, so it reads exactly what the student was trained on. `head` is read from the
exported classifier, as logits without vLLM's activation. `list` and `lines` are generated, greedily, by the merged model.
"""

from pathlib import Path
from typing import Any

import polars as pl

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student import linear
from raddistill.student.prompts import encode
from raddistill.student.tagging import Codes


class VLLMEngine:
    """A model in vLLM, ready to answer examples as `Answerer` does."""

    def __init__(self, folder: Path, form: str) -> None:
        """Loads the exported model.

        Raises:
            InputError: the form is not one of head, list and lines; the folder is no exported model; vLLM is not installed.
        """
        if form not in ("head", "list", "lines"):
            raise InputError(f"vLLM cannot answer in the form {form or 'that is asked for'}; take --engine transformers")
        if not (folder / "config.json").exists():
            raise InputError(f"{folder} is no exported model: make one by `raddistill export`")
        try:
            from vllm import LLM
        except ImportError:
            raise InputError("--engine vllm needs vLLM: pip install vllm, on a machine with a GPU") from None
        pooling: dict[str, Any] = {"runner": "pooling"} if form == "head" else {}
        self._llm = LLM(model=str(folder), dtype="bfloat16", enable_prefix_caching=True, **pooling)
        self.tokenizer = self._llm.get_tokenizer()

    def answer(
        self, asked: pl.DataFrame, label_set: list[Label], max_new_tokens: int, codes: Codes
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Returns tables with the columns of ANSWERS and of LOGITS for rows of `Examples` of one answer form."""
        form = asked["answers"][0]
        prompts = [{"prompt_token_ids": encode(self.tokenizer, text, None, form).input_ids} for text in asked["prompt"]]
        if form == "head":
            from vllm import PoolingParams

            outputs = self._llm.classify(prompts, pooling_params=PoolingParams(use_activation=False), use_tqdm=False)
            pairs = [[(float(yes), 0.0) for yes in each.outputs.probs] for each in outputs]  # logits, as activation is off
            return pl.DataFrame(schema=linear.ANSWERS), linear.tabulate(asked, pairs, label_set)
        from vllm import SamplingParams

        greedy = SamplingParams(temperature=0.0, max_tokens=max_new_tokens)
        texts = [each.outputs[0].text for each in self._llm.generate(prompts, greedy, use_tqdm=False)]
        answered = pl.DataFrame({"report_id": asked["report_id"], "task": asked["task"], "answer": texts}, schema=linear.ANSWERS)
        return answered, pl.DataFrame(schema=linear.LOGITS)
