"""Writes a student as a GGUF file for llama.cpp, and reads it back for the score.

llama.cpp has no classifier for Llama: of 2026-11, it reads `cls.output` for BERT and Qwen3 only, and refuses a file with a tensor
that the architecture does not know. So the layer `score` lies in a file of its own, to be multiplied with embeddings.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill.apps.export.forms import Student, load, text_tokenizer, write_prompts
from raddistill.errors import InputError

GGUF, SCORE = "model.gguf", "score.safetensors"
INSTEAD = "export --form merged, which llama.cpp's own convert_hf_to_gguf.py may read"
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def write(student: Student, folder: Path, weights: str) -> list[str]:
    """Writes model.gguf, and score.safetensors if there is that layer; returns all tasks of the student.

    Raises:
        InputError: base model or tokenizer is of a kind that this writer does not know.
    """
    import gguf
    from safetensors.torch import save_file

    model, kind = student.model, getattr(gguf.GGMLQuantizationType, weights.upper())
    if model.config.model_type != "llama":
        raise InputError(f"--form gguf is for Llama's architecture, and the base is of type {model.config.model_type}; {INSTEAD}")
    out = gguf.GGUFWriter(folder / GGUF, "llama", use_temp_file=True)
    _add_shape(out, model.config)
    out.add_file_type(getattr(gguf.LlamaFileType, {"bf16": "MOSTLY_BF16", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}[weights]))
    _add_tokenizer(out, student.tokenizer if student.in_words else text_tokenizer(student.tokenizer), model.config.vocab_size)
    for name, tensor in _tensors(model):
        of_tensor = kind if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
        out.add_tensor(name, gguf.quants.quantize(tensor.numpy(), of_tensor), raw_dtype=of_tensor)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    if hasattr(model, "score"):
        save_file({"score.weight": model.score.weight.detach().float().contiguous()}, folder / SCORE)
    write_prompts(student, folder)
    return list(student.answers)


def read(folder: Path, config: Any) -> Any:
    """Returns the model that transformers reads. `config`: the student's, as transformers reads no rotary scaling from GGUF."""
    import torch
    from safetensors.torch import load_file
    from transformers import GgufConfig

    model = load("AutoModelForCausalLM", folder, gguf_file=GGUF, config=config, quantization_config=GgufConfig(dequantize=True))
    if (folder / SCORE).exists():
        weight = load_file(folder / SCORE)["score.weight"]
        model.score = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device=model.device)
        model.score.weight.data.copy_(weight)
    return model


def _add_shape(out: Any, config: Any) -> None:
    out.add_name("raddistill student")
    out.add_vocab_size(config.vocab_size)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_key_length(config.head_dim)
    out.add_value_length(config.head_dim)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_rope_dimension_count(config.head_dim)


def _add_tokenizer(out: Any, tokenizer: Any, size: int) -> None:
    """Vocabulary, merges, special tokens, and whether begin and end tokens are added to a text."""
    import gguf

    types, added = gguf.TokenType, tokenizer.added_tokens_decoder
    names = {n: name for name, n in tokenizer.get_vocab().items()}
    of_added = {n: types.CONTROL if token.special else types.USER_DEFINED for n, token in added.items()}
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(pre_tokenizer(tokenizer))
    out.add_token_list([names.get(n, f"[PAD{n}]") for n in range(size)])
    out.add_token_types([of_added.get(n, types.NORMAL if n in names else types.UNUSED) for n in range(size)])
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        gguf.SpecialVocab(folder, load_merges=True).add_to_gguf(out, quiet=True)


def pre_tokenizer(tokenizer: Any) -> str:
    """Returns llama.cpp's name for the way in which a tokenizer splits a text before its merges.

    Raises:
        InputError: it is none of those of GPT-2, SmolLM and Llama 3.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    step = parts["pre_tokenizer"] or {}
    steps = step.get("pretokenizers", [step])
    kinds = [s.get("type") for s in steps]
    if parts["model"]["type"] == "BPE" and not parts["normalizer"] and not steps[-1].get("add_prefix_space"):
        if kinds == ["ByteLevel"] and steps[0]["use_regex"]:
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1]["use_regex"]:
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and steps[0]["pattern"].get("Regex") == _LLAMA3 and not steps[1]["use_regex"]:
            return "llama-bpe"
    raise InputError(f"--form gguf knows the tokenizers of GPT-2, SmolLM and Llama 3, and the base has another one; {INSTEAD}")


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Yields the tensors in float32 under their names in GGUF. Rotary pairs are neighbours there, and halves in transformers."""
    import gguf

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "score.weight" or (name == "lm_head.weight" and config.tie_word_embeddings):
            continue
        weight = tensor.float()
        if n := next((n for layer, n in heads.items() if f".{layer}." in name), 0):
            weight = weight.unflatten(0, (n, 2, -1)).transpose(1, 2).flatten(0, 2)
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if mapped is None:
            raise InputError(f"--form gguf does not know the layer {name} of the base model; {INSTEAD}")
        yield mapped, weight.contiguous()
    if (factors := _rotary_factors(config)) is not None:
        yield "rope_freqs.weight", factors


def _rotary_factors(config: Any) -> Any:
    """By what Llama 3.1 divides the frequencies of its rotary embedding, (head_dim / 2,); None if it does not.

    Raises:
        InputError: the base model scales them in another way.
    """
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    kind = config.rope_parameters["rope_type"]
    if kind == "default":
        return None
    if kind != "llama3":
        raise InputError(f"--form gguf does not know the rotary scaling {kind} of the base model; {INSTEAD}")
    scaled, _ = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    return 1.0 / config.rope_parameters["rope_theta"] ** exponents / scaled
