"""Directions on the axis of the head, and what the model does along them, in float64.

With N and B for a path, a weight W into the head is W N B and a rest.  Where W has no more columns
than directions are wanted, the axes of these columns leave nothing at all; else the directions are
those of the largest singular values of the product over the head.  Estimates all: the checker
forms what is left.

Source: SPEC-15.2, SPEC-15.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.certificate.document import matrix
from certify.model.file import Model

Array = NDArray[np.float64]
ATTENTION = "blocks.0.attn."
HINT_BITS = 30
MOST_DIRECTIONS = 2
SECOND = 1e-6
"""A second singular value below this share of the first is taken for nothing."""


@dataclass(frozen=True, slots=True)
class Directions:
    """N, a column for each direction, and B, a row for each."""

    left: Array
    right: Array

    def spelled(self) -> list[dict[str, Any]]:
        """Return the two matrices as a certificate spells them."""
        return [matrix(self.left, HINT_BITS), matrix(self.right, HINT_BITS)]


def directions_of(into: Array, out_of: Array, count: int) -> Directions:
    """Return directions for ``into @ out_of``, a weight into the head and one out of it.

    Ensures: axes where no more columns of ``into`` than ``count`` are other than zero.
    """
    used = np.flatnonzero(into.any(axis=0))
    if len(used) <= count:
        rest = [axis for axis in range(into.shape[1]) if axis not in used]
        chosen = [*used, *rest][:count]
        left = np.eye(into.shape[1])[:, chosen]
        return Directions(left, left.T)
    _, _, moved = np.linalg.svd(into @ out_of)
    kept = moved[:count]
    return Directions(out_of @ kept.T, kept @ np.linalg.pinv(out_of))


def wanted(model: Model) -> int:
    """Return how many directions the values of a model need, two at most."""
    value = model.tensor(f"{ATTENTION}W_V")[0]
    used = int(value.any(axis=0).sum())
    if used <= 1:
        return 1
    sizes = np.linalg.svd(value @ model.tensor(f"{ATTENTION}W_O")[0], compute_uv=False)
    return 1 if len(sizes) < MOST_DIRECTIONS or sizes[1] <= SECOND * sizes[0] else 2


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers by their places u_j, a row each, and c_j + g_j."""

    places: Array
    heights: Array


def answers_of(model: Model, moving: Directions) -> Answers:
    """Return where the answers are in the plane of two directions, and how high.

    Source: SPEC-15.2, SPEC-15.5.
    """
    embed, unembed = model.tensor("embed.W_E"), model.tensor("unembed.W_U")
    place = model.tensor("pos_embed.W_pos")
    value, output = (model.tensor(f"{ATTENTION}W_{letter}")[0] for letter in "VO")
    fixed = model.bias(f"{ATTENTION}b_V")[0] @ output + model.bias(f"{ATTENTION}b_O") + place[-1]
    longest = max(float(np.linalg.norm(rows, axis=1).max()) for rows in (embed, place))
    rest = float(np.linalg.norm(value - value @ moving.left @ moving.right))
    apart = np.abs(unembed - unembed.mean(axis=1, keepdims=True))
    widths = 2 * longest * rest * float(np.linalg.norm(output)) * np.linalg.norm(apart, axis=0)
    widths = widths + np.abs(embed).max(axis=0) @ apart
    heights = fixed @ unembed + model.bias("unembed.b_U") + widths
    return Answers((moving.right @ output @ unembed).T, heights)
