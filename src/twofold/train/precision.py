"""In which precision a machine multiplies."""

import torch
from torch import Tensor
from torch.nn import functional

from twofold.core.errors import ConfigError
from twofold.train.options import Precision

__all__ = ["attention", "autocast", "has_bfloat16"]


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 natively, so that it is faster and not merely possible."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which a training computes.

    Raises:
        ConfigError: bfloat16 is asked for and the device has none.
    """
    native = has_bfloat16(device)
    if precision == "bfloat16" and not native:
        raise ConfigError(f"this machine's {device.type} has no bfloat16; use precision = 'auto' or 'float32'.")
    return torch.autocast(device.type, torch.bfloat16, enabled=native and precision != "float32")


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return what attention sees, [b, h, w, d]; without a mask each place sees itself and those before.

    On a CPU it is computed in float32 whatever the autocast says: its way back takes six times as long in bfloat16,
    as measured on a CPU that has AMX.

    Args:
        query: [b, h, w, d].
        key: [b, h, w, d].
        value: [b, h, w, d].
        mask: which places are seen, bool, to be broadcast to [b, h, w, w].
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
    with torch.autocast("cpu", enabled=False):
        seen = functional.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), attn_mask=mask, is_causal=mask is None
        )
    return seen.to(query.dtype)
