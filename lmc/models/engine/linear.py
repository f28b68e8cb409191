"""Linear layers by the library that is fastest for them on this processor.

torch multiplies float32 matrices with Intel's MKL, which is slow on processors of others. oneDNN,
which every torch has too, takes half of the time there (measured on an AMD EPYC: 1.4 to 2.5 times
as fast for 16 to 900 rows). Both sum in float32, so answers stay the same up to rounding.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

_TOLERANCE = 1e-4


class OneDnnLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer that multiplies by oneDNN, whose operator has no gradient, in inference."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The product with the weights, plus the bias."""
        if torch.is_grad_enabled() and input.requires_grad:
            return super().forward(input)
        return _product(input, self.weight, self.bias)


def use_fast_linear(model: nn.Module) -> bool:
    """Switch a float32 model on a CPU to oneDNN where that is faster. False if it stays."""
    if not _mkl_is_slow() or not _product_works():
        return False
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.dtype == torch.float32:
            module.__class__ = OneDnnLinear
    return True


def _product(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
    return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")


def _mkl_is_slow() -> bool:
    """Whether this is a processor of another maker than Intel, on which torch calls MKL."""
    if not torch.backends.mkl.is_available() or not torch.backends.mkldnn.is_available():
        return False
    maker = platform.processor()
    with suppress(OSError):
        maker = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "AuthenticAMD" in maker


def _product_works() -> bool:
    """Whether this torch has the operator, which is none of its documented ones."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        input, weight = (torch.randn(n, 16, generator=generator) for n in (3, 8))
        with suppress(AttributeError, RuntimeError, TypeError):
            found = _product(input, weight, None)
            return bool(torch.allclose(found, input @ weight.T, atol=_TOLERANCE))
    return False
