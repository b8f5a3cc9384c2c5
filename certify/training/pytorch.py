"""PyTorch, imported only when training starts, and run bitwise reproducibly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from certify.errors import BadInput, Unsupported
from certify.model.tensors import Tensor


def finished(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return trained weights as float32 arrays.

    Errors: ``BadInput`` if one is not finite.
    """
    tensors: dict[str, Tensor] = {
        name: weight.detach().numpy().astype(np.float32) for name, weight in weights.items()
    }
    for name, tensor in tensors.items():
        if not np.all(np.isfinite(tensor)):
            raise BadInput(
                f"train: diverged, tensor {name} holds NaN or infinity; try a smaller --lr"
            )
    return tensors


def require_sizes(sizes: Mapping[str, int]) -> None:
    """Refuse a size below one."""
    for name, size in sizes.items():
        if size < 1:
            raise BadInput(f"train: {name} must be at least 1, not {size}")


def import_torch() -> Any:
    """Return the torch module, or say how to install it."""
    try:
        import torch  # noqa: PLC0415  (optional, and slow to import)
    except ImportError as error:
        raise Unsupported(
            "training needs PyTorch: pip install torch (the extra certify[train])"
        ) from error
    return torch


@contextlib.contextmanager
def deterministic(torch: Any) -> Iterator[None]:
    """Run with one thread and deterministic algorithms, then restore both settings."""
    threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(mode=before)
