"""Approximations of a model of Max-of-K, each written as a model.

``qk rank r``      the scores, those of positions included, to their best rank r
``ov rank r``      what tokens and positions add through attention, to its best rank r
``denoised r``     ``qk rank r``, and the direct path is its mean: what the explanation keeps
``grid b``         every tensor to b bits: multiples of a power of two, at most 2^(b-1) - 1 of them
``PATH zero``, ``PATH mean``   what a path carries is zero, or its mean (``certify.lab.replacing``)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.lab.circuits import Circuits, circuits_of
from certify.lab.circuits import model_of as model_of_circuits
from certify.lab.readers import model_of as model_of_readers
from certify.lab.readers import readers_of
from certify.lab.replacing import EDITS, dtype_of, edited, methods_of, paths_of
from certify.model.config import Config
from certify.model.file import Model
from certify.model.tensors import Tensor

Floats = NDArray[np.float64]
Tokens = NDArray[np.int64]
Written = tuple[dict[str, Tensor], Config]

QK, OV, DENOISED, GRIDS, PATHS = "qk", "ov", "denoised", "grids", "paths"
ORIGINAL, CHECKPOINTS = "original", "checkpoints"
SORTS = (QK, OV, DENOISED, GRIDS, PATHS)


def approximations(
    model: Model, sort: str, tokens: Tokens, *, ranks: Sequence[int], bits: Sequence[int]
) -> list[tuple[str, Written]]:
    """Return the approximations of one sort by name; none where the model has no such circuit.

    Requires: ``tokens`` are the sample, over which an MLP is averaged.
    """
    if sort == GRIDS:
        return [(f"grid {one} bits", on_grid(model, one)) for one in bits]
    if sort == PATHS:
        return _paths(model, tokens)
    try:
        circuits = circuits_of(model)
    except Unsupported:
        return []
    changes: dict[str, Circuits] = {}
    largest = min(circuits.query.shape)
    for rank in (one for one in ranks if one < largest):
        if sort == QK:
            changes[f"qk rank {rank}"] = low_rank_qk(circuits, rank)
        elif sort == OV:
            changes[f"ov rank {rank}"] = low_rank_ov(circuits, rank)
        else:
            changes[f"denoised {rank}"] = mean_direct(low_rank_qk(circuits, rank))
    dtype = dtype_of(model)
    return [(name, model_of_circuits(one, dtype)) for name, one in changes.items()]


def _paths(model: Model, tokens: Tokens) -> list[tuple[str, Written]]:
    """Return the model with each path zero, and its mean."""
    readers = readers_of(model)
    return [
        (
            f"{path.name} {method}",
            model_of_readers(edited(readers, path, method, tokens), model.config, dtype_of(model)),
        )
        for path in paths_of(readers)
        for method in methods_of(path)
        if method in EDITS
    ]


def low_rank_qk(circuits: Circuits, rank: int) -> Circuits:
    """Return circuits whose scores are the best approximation of this rank."""
    keys = np.vstack([circuits.key, circuits.key_at])
    left, right = _best(circuits.query @ keys.T, rank)
    vocab = len(circuits.key)
    return replace(circuits, query=left, key=right.T[:vocab], key_at=right.T[vocab:])


def low_rank_ov(circuits: Circuits, rank: int) -> Circuits:
    """Return circuits in which attention moves the best approximation of this rank."""
    left, right = _best(np.vstack([circuits.value, circuits.value_at]) @ circuits.out, rank)
    vocab = len(circuits.value)
    return replace(circuits, value=left[:vocab], value_at=left[vocab:], out=right)


def mean_direct(circuits: Circuits) -> Circuits:
    """Return circuits in which the direct path is its mean over the queries."""
    mean = circuits.direct.mean(axis=0)
    return replace(circuits, direct=np.broadcast_to(mean, circuits.direct.shape))


def _best(matrix: Floats, rank: int) -> tuple[Floats, Floats]:
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    scale = np.sqrt(s[:rank])
    return u[:, :rank] * scale, scale[:, None] * v[:rank]


def on_grid(model: Model, bits: int) -> Written:
    """Return a model whose tensors are each on a grid of their own, as ``--weight-bits`` has it."""
    return {name: rounded(tensor, bits) for name, tensor in model.tensors.items()}, model.config


def rounded(tensor: Tensor, bits: int) -> Tensor:
    """Return a tensor on its grid: multiples of a power of two of at most 2^(bits - 1) - 1."""
    largest = float(np.abs(tensor).max(initial=0.0))
    if largest == 0.0:
        return tensor
    step = 2.0 ** math.ceil(math.log2(largest / (2 ** (bits - 1) - 1)))
    found: Tensor = (np.round(tensor.astype(np.float64) / step) * step).astype(tensor.dtype)
    return found


def step_as_good(
    steps: Sequence[int], values: Sequence[float], target: float
) -> dict[str, float | None]:
    """Return when a training was as good as a target, smaller being better.

    Requires: ``values`` were measured after ``steps``, which ascend from 0.
    Ensures:  ``first``: the first of these steps at which it was; ``lasting``: the first from which
              on it was at all that follow; ``between``: where the line from the step before
              ``first`` to it, in logarithms of step (from 1) and value, meets the target.  None
              where it never was.
    """
    good = [value <= target for value in values]
    if not any(good):
        return dict.fromkeys(("first", "lasting", "between"))
    first = good.index(True)
    lasting: float | None = None
    if good[-1]:
        worse = [place for place, one in enumerate(good) if not one]
        lasting = steps[worse[-1] + 1] if worse else steps[0]
    return {
        "first": steps[first],
        "lasting": lasting,
        "between": _between(steps, values, first, target),
    }


def _between(
    steps: Sequence[int], values: Sequence[float], first: int, target: float
) -> float | None:
    if first == 0 or steps[first - 1] < 1:
        return float(steps[first])
    before, after = values[first - 1], values[first]
    if after <= 0.0 or target <= 0.0:
        return float(steps[first])
    share = math.log(before / target) / math.log(before / after)
    low, high = math.log(steps[first - 1]), math.log(steps[first])
    return round(math.exp(low + share * (high - low)), 3)


def checkpoints_of(steps: int, per_doubling: int = 2) -> list[int]:
    """Return the steps at which a training is looked at: 0, then evenly on a log scale, and the
    last.
    """
    count = math.floor(math.log2(steps) * per_doubling)
    found = {round(2 ** (place / per_doubling)) for place in range(count + 1)}
    return sorted({0, *found, steps})
