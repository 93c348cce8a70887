"""Linear layers with LoRA for training on a GPU: base weight and adapter in one autograd function. Imports torch.

PEFT computes the base layer, then the adapter, scales the adapter's output and adds it. Each step moves a tensor as large as the
layer's output through the card's memory, forward and backward. Here the adapter's product is added by the matrix product itself
(`addmm_`). Parameters, their names and the results are PEFT's, so the saved adapter is the same. docs/log.md 2026-11-28 has the
speeds; no kernels are written here.
"""

import functools
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from raddistill.errors import InputError
from raddistill.student.gpu_memory import MemoryPlan

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0  # the largest number of e4m3
NF4_BLOCK = 64  # weights that share a scale: bitsandbytes' default


def quantise_rows(x: torch.Tensor, factors: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns x, or x times `factors`, in FP8 (e4m3), and the scale of each row, float32, shape (rows, 1).

    The product of both is about the input; the largest number of each row is exact.
    """
    wide = x.float() if factors is None else x.float() * factors
    scale = wide.abs().amax(-1, keepdim=True).clamp(min=1e-12) / FP8_MAX
    return (wide / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8), scale


class LoraLinear(torch.autograd.Function):
    """x W' + s (x A') B' for a frozen W of shape (out, in), which is stored in one of three ways.

    - bf16: `weight` is W; `scale` and `turned` are None.
    - NF4: `weight` holds bitsandbytes' packed bytes, `scale` the largest number of each block, `shape` is that of W.
    - FP8: `weight` is W in e4m3, `scale` has its rows' scales, shape (out, 1), and `turned` is W (in, out) in memory, because
      the card multiplies FP8 matrices in one layout only. The rows of x and of the gradient get scales anew at each call.

    Shapes: x (tokens, in), a (rank, in), b (out, rank). x is bf16; a and b are float32, and so are their gradients.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, a: Any, b: Any, scaling: float, weight: Any, scale: Any, turned: Any, shape: Any) -> Any:
        low = (x @ a.to(x.dtype).T) * scaling
        if turned is None:
            y = x @ _unpacked(weight, scale, shape, x.dtype).T
        else:
            rows, row_scales = _fast_quantise()(x)
            y = _fp8_product(rows, row_scales, weight.T, scale.T.contiguous(), x.dtype)
        ctx.save_for_backward(x, low, a, b, weight, scale, turned)
        ctx.scaling, ctx.shape = scaling, shape
        return y.addmm_(low, b.to(x.dtype).T)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, low, a, b, weight, scale, turned = ctx.saved_tensors
        of_low = (gradient @ b.to(x.dtype)) * ctx.scaling
        of_x = None
        if ctx.needs_input_grad[0]:
            if turned is None:
                of_x = gradient @ _unpacked(weight, scale, ctx.shape, x.dtype)
            else:  # W = scale * turned', so the gradient is multiplied by the scales before it is quantised
                rows, row_scales = _fast_quantise()(gradient, scale.T)
                ones = torch.ones(1, turned.shape[0], device=x.device)
                of_x = _fp8_product(rows, row_scales, turned.T, ones, x.dtype)
            of_x = of_x.addmm_(of_low, a.to(x.dtype))
        return of_x, (of_low.T @ x).to(a.dtype), (gradient.T @ low).to(b.dtype), None, None, None, None, None


def _unpacked(weight: Any, scale: Any, shape: Any, dtype: Any) -> Any:
    """W in `dtype`; NF4 is unpacked anew at each call, which costs 4 % of the time at 8,192 tokens a call."""
    if scale is None:
        return weight
    return torch.ops.bitsandbytes.dequantize_4bit(weight, scale, NF4_BLOCK, "nf4", shape, dtype)


def _fp8_product(x: Any, x_scales: Any, w: Any, w_scales: Any, dtype: Any) -> Any:
    return torch._scaled_mm(x, w, x_scales, w_scales, out_dtype=dtype, use_fast_accum=True)


@functools.cache
def _fast_quantise() -> Any:
    """`quantise_rows`, compiled on a GPU: one pass over memory instead of five."""
    return torch.compile(quantise_rows, dynamic=True) if torch.cuda.is_available() else quantise_rows


def use_gpu_layers(model: Any, quantization: str) -> None:
    """Lets all LoRA layers of a PEFT model with the adapter `default` compute by `LoraLinear`. No dropout.

    Layers with a bias, as encoders have, keep PEFT's forward pass. `quantization`: nf4 (the base was loaded so), none, or fp8:
    the base's bf16 weights are turned into FP8 here, for good.

    Raises:
        InputError: fp8, and a layer has a bias or a size that is no multiple of 16.
    """
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            base: Any = layer.get_base_layer()
            if quantization == "fp8" and (base.bias is not None or base.in_features % 16 or base.out_features % 16):
                raise InputError(
                    "quantization fp8: a linear layer has a bias, or a size that is no multiple of 16; take nf4 or none"
                )
            if base.bias is not None:
                continue
            stored = _stored(base, quantization)
            vars(layer)["forward"] = MethodType(functools.partial(_forward, stored=stored), layer)


def _stored(base: Any, quantization: str) -> tuple[Any, Any, Any, Any]:
    """The last four arguments of `LoraLinear` for a linear layer."""
    weight = base.weight.data
    if quantization == "none":
        return weight, None, None, None
    if quantization == "fp8":
        base.weight.data, scale = quantise_rows(weight)
        return base.weight.data, scale, base.weight.data.T.contiguous(), None
    from bitsandbytes.functional import dequantize_blockwise

    state = base.weight.quant_state
    # with double quantisation the scales are unpacked once, which takes .05 bytes a weight, and not at each call
    scale = (dequantize_blockwise(state.absmax, state.state2) + state.offset).float() if state.nested else state.absmax
    return weight, scale, None, tuple(state.shape)


def _forward(layer: Any, x: Any, stored: tuple[Any, Any, Any, Any]) -> Any:
    a, b, scaling = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.scaling["default"]
    flat = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
    y: torch.Tensor = LoraLinear.apply(flat, a, b, scaling, *stored)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], -1)


def use_fused_kernels(model: Any) -> bool:
    """Replaces norms, rotary embedding and SwiGLU of a Llama by Liger's kernels, if the package is there; returns whether."""
    try:
        from liger_kernel.transformers import apply_liger_kernel_to_llama
    except ImportError:
        return False
    if model.config.model_type != "llama":
        return False
    apply_liger_kernel_to_llama(cross_entropy=False, fused_linear_cross_entropy=False, model=model)
    return True


def speed_up(model: Any, quantization: str, dropout: float, plan: MemoryPlan, show: bool) -> None:
    """Sets a PEFT model on a GPU up for speed, and prints what was chosen."""
    fused = not dropout
    if fused:
        use_gpu_layers(model, quantization)
    kernels = use_fused_kernels(model.get_base_model())
    if show:
        print(
            f"{torch.cuda.get_device_name()}: {quantization}; adapter and base layer"
            f" {'in one function' if fused else 'apart, because of lora_dropout'}; Liger kernels"
            f" {'on' if kernels else 'off (pip install liger-kernel)'}; at most {plan.tokens:,} tokens a forward pass;"
            f" activations {'computed twice (checkpointing)' if plan.recompute else 'kept'}"
        )
