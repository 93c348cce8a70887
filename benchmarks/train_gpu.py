"""QLoRA on one GPU at the size of Llama-3.1-8B, random weights: tokens per second and peak memory, our loss and the plain one.

    python -m benchmarks.train_gpu [--layers 32] [--seconds 20]

Two settings of one model, one after the other in one process, each with and without gradient checkpointing. `plain` is TRL's
default: logits and cross entropy of every token. `head` is the student's loss on the same token ids: one linear layer at the end
of each example, no vocabulary. A step is forward, backward and AdamW; tokens are those of the examples. Prints one JSON line per
setting. Needs CUDA; downloads nothing.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from raddistill.student import models
from raddistill.student.losses import example_losses
from raddistill.student.prompts import IGNORED, Encoded

LABELS = 13
BATCH, LENGTH = 16, 512  # 8,192 tokens a step: reports of MIMIC-CXR's length with an instruction, packed to one length


def llama_8b(layers: int) -> Any:
    """Llama-3.1-8B's shape with random weights; linear layers in NF4 with double quantisation, made one by one on the GPU."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    config = LlamaConfig(  # type: ignore[call-arg]
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=layers, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=8192, rope_theta=500_000.0, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    for name, module in list(model.model.layers.named_modules()):
        if isinstance(module, torch.nn.Linear):
            weight = torch.randn(module.out_features, module.in_features, device="cuda", dtype=torch.bfloat16) * 0.02
            packed = Linear4bit(
                module.in_features, module.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", device="meta"
            )
            packed.weight = Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=True).to("cuda")  # type: ignore[misc]
            parent, _, attribute = name.rpartition(".")
            setattr(model.model.layers.get_submodule(parent), attribute, packed)
    for parameter_name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            owner, _, attribute = parameter_name.rpartition(".")
            filled = torch.randn(parameter.shape, device="cuda", dtype=torch.bfloat16) * 0.02
            setattr(model.get_submodule(owner), attribute, torch.nn.Parameter(filled, requires_grad=False))
    model.is_loaded_in_4bit = True  # peft checks this
    model.model.rotary_emb = type(model.model.rotary_emb)(config).to("cuda")
    return model


def with_lora(model: Any) -> Any:
    """Adds LoRA of rank 16, fp32, to all linear layers, and the linear layer that `head` answers are read from."""
    from peft import LoraConfig, get_peft_model

    models.add_score(model, LABELS + 1, seed=13)
    lora = LoraConfig(
        r=16, lora_alpha=32, target_modules="all-linear",
        exclude_modules=["score"], modules_to_save=["score"], task_type="CAUSAL_LM",
    )  # fmt: skip
    return get_peft_model(model, lora)


def measure(name: str, step: Callable[[], Any], model: Any, seconds: float) -> None:
    """Runs two steps to warm up, then steps for `seconds`; prints tokens per second and peak memory."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    torch.cuda.reset_peak_memory_stats()
    done, began = -2, 0.0
    while done < 2 or time.perf_counter() - began < seconds:
        with torch.autocast("cuda", torch.bfloat16):
            loss = step()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        done += 1
        if done == 0:
            began = time.perf_counter()
    elapsed = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() / 2**30
    speed = round(done * BATCH * LENGTH / elapsed)
    figures = {"setting": name, "tokens_per_second": speed, "peak_gib": round(peak, 1), "steps": done}
    print(json.dumps(figures | {"loss": round(loss.item(), 3)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=32, help="fewer for a smaller card")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each setting")
    options = parser.parse_args()
    print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "batch": BATCH, "length": LENGTH}))
    model = with_lora(llama_8b(options.layers))
    causal = model.get_base_model()
    generator = torch.Generator().manual_seed(13)
    ids = torch.randint(1000, 100_000, (BATCH, LENGTH), generator=generator)
    rows = [Encoded(row, [IGNORED] * LENGTH, [LENGTH - 1], LENGTH, "head", []) for row in ids.tolist()]
    targets: list[list[float | None] | None] = [[0.0] * LABELS for _ in rows]
    on_card = ids.to("cuda")

    def plain() -> Any:
        return model(input_ids=on_card, labels=on_card, use_cache=False).loss

    def head() -> Any:
        return example_losses(causal, rows, targets, (0, 0)).mean()

    for checkpointing in (True, False):
        model.train()
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            model.gradient_checkpointing_disable()
        for name, step in (("plain", plain), ("head", head)):
            setting = f"{name}, checkpointing {'on' if checkpointing else 'off'}"
            try:
                measure(setting, step, model, options.seconds)
            except torch.OutOfMemoryError:
                print(json.dumps({"setting": setting, "out_of_memory": True}), flush=True)
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
