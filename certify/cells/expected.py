"""What the checker will derive of a cell, where float64 knows it well enough to be claimed at once.

A claim must not be stronger than what is derived, so each is a little weaker than the estimate.
Nothing rests on it: where the checker finds a claim too strong, it rejects the certificate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from certify.cells.below import lower_terms
from certify.cells.estimates import Cells, Examined, Open
from certify.cells.forest import Cell, Share
from certify.cells.scaled import Array
from certify.cells.tails import Deficits, operations, within
from certify.model.file import Model

UNSURE = 1e-10
"""By how much each share of a count may be wrong, of the weight of all tuples of its cell."""

MARGIN_BITS = 20
CERTAIN = 1 - 2.0**-30
"""Margins are multiples of 2^-20; so much of one is claimed."""

SPARE = 1.1
"""What may be spent is so many times what is expected."""

Rounding = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a cell costs the checker, and what it shows if it is a leaf: the failing share of the
    domain at least and at most, and a margin of the logits, infinite where nothing was tested.
    """

    operations: float
    lower: float = 0.0
    upper: float = 0.0
    margin: float = np.inf


NO_INPUT = Expected(0.0)
"""What is expected of a cell without inputs."""


def handed_down(work: float) -> Expected:
    """Return what is expected of a cell with children, for these operations."""
    return Expected(work)


def beaten(cells: Cells, maximum: int, queries: Sequence[int], left: Open, work: float) -> Expected:
    """Return what is expected of a cell in which tests leave no answer, for these operations."""
    if cells.size(maximum, np.array(queries)) == 0.0:
        return Expected(work)
    return Expected(work, margin=left.margin * cells.s.slack.share)


def counted(cells: Cells, cell: Examined, one: Cell) -> Expected:
    """Return what is expected of a cell whose failures are counted with the hints of ``one``.
    (SPEC-7.9, SPEC-7.10)

    Requires: one query, single tokens, no path enclosed.
    Cost:     a Fourier transform per position and share.
    """
    weights = cells.weights(cell)
    size = float(weights.sum(axis=1).prod())
    forced = len(weights) - 1 if cell.forced else 0
    most = cells.size(cell.maximum, cell.queries)
    unsure = size * UNSURE
    upper, work = _by_bins(_joined(cell, one["blocks"]), weights, forced, np.floor)
    named = [(bins, _at(cell, answers)) for bins, answers in one.get("lower", ())]
    lowest = [(bins, lower_terms(cells, cell, answers)) for bins, answers in named]
    apart = [(bins, terms[:, [j]]) for bins, terms in lowest for j in range(terms.shape[1])]
    lower, more = _by_bins(apart, weights, forced, np.ceil)
    return Expected(
        cell.operations + work.sum() + more.sum(),
        max(float(lower.max(initial=0.0)) - unsure, 0.0),
        min(float(upper.sum()) + unsure * len(upper), most * (1 + UNSURE)),
    )


def _at(cell: Examined, answers: Sequence[int]) -> Deficits:
    """Return where these answers are among those that are left."""
    return np.flatnonzero(np.isin(cell.left.answers, answers))


def _joined(cell: Examined, blocks: Sequence[Share]) -> list[tuple[int, Array]]:
    """Return the bins of each share, and the termwise maximum over its answers [n, 1, blocks]."""
    unnamed = np.ones(len(cell.left.answers), dtype=bool)
    found = []
    for bins, answers in blocks:
        chosen = unnamed & (np.isin(cell.left.answers, answers) if answers else True)
        unnamed &= ~chosen
        if chosen.any():
            found.append((bins, cell.terms[:, chosen].max(axis=1, keepdims=True)))
    return found


def _by_bins(
    shares: Sequence[tuple[int, Array]], weights: Array, forced: int, rounded: Rounding
) -> tuple[Array, Array]:
    """Return how much the tuples of each share count whose deficits, rounded to steps, sum to no
    more than its largest terms, and the operations; in no order.
    """
    counts, work = [np.zeros(0)], [np.zeros(0)]
    for bins in sorted({bins for bins, _ in shares}):
        terms = np.concatenate([part for own, part in shares if own == bins], axis=1)
        tops = terms.max(axis=2)
        total = tops.sum(axis=0)
        possible = total >= 0
        # The checker's step is a little more than the total over the bins: the last is not reached.
        limit = bins - 1
        step = np.where(total > 0, total, 1.0)[:, None] / bins
        steps = np.minimum(rounded((tops[:, :, None] - terms) / step), bins)
        deficits = steps[:, possible].astype(np.intp)
        counts.append(within(deficits, weights, limit, forced))
        work.append(operations(deficits, limit, forced) + 3.0 * terms[:, 0].size)
    return np.concatenate(counts), np.concatenate(work)


def logit_bits(model: Model) -> int:
    """Return to how many bits after the point the checker knows a margin of logits before it is
    rounded to 20, or fewer, and 20 at most.
    """
    values = (f"blocks.0.attn.W_{letter}" for letter in "VO")
    names = ("embed.W_E", *values, "unembed.W_U")
    return min(sum(_fraction_bits(model.tensor(name)) for name in names), MARGIN_BITS)


def _fraction_bits(values: Array) -> int:
    """Return how many bits after the point these numbers need, or 20 if that is more."""
    for bits in range(MARGIN_BITS):
        shifted = np.ldexp(values, bits)
        if np.array_equal(shifted, np.rint(shifted)):
            return bits
    return MARGIN_BITS


def facts(cells: Sequence[Cell], total: int, elsewhere: float, bits: int) -> dict[str, Any] | None:
    """Return what is expected of a whole proof in the form in which the checker prints what it
    derived, a little weaker; None if that is not known of every cell.

    ``total``: how much the domain counts; ``elsewhere``: operations that are no cell's; ``bits``:
    what ``logit_bits`` returns.
    Ensures: where a share is known to less than one input, exactly what is derived.
    """
    known = [one["expected"] for one in cells if "expected" in one]
    if len(known) < len(cells):
        return None
    leaves = [own for own, one in zip(known, cells, strict=True) if "children" not in one]
    rows = [
        (
            str(math.ceil(Fraction(leaf.lower) * total)),
            str(math.floor(Fraction(leaf.upper) * total)),
            "",
            _units(leaf.margin, bits),
        )
        for leaf in leaves
    ]
    # A slot of a polynomial is as wide as the number of all inputs.
    words = 1 + total.bit_length() // 512
    spent = words * (elsewhere + sum(own.operations for own in known))
    return {
        "cells": rows,
        "correct_lower": str(total - sum(int(upper) for _, upper, *_ in rows)),
        "correct_upper": str(total - sum(int(lower) for lower, *_ in rows)),
        "margin_lower_exact": ["0", str(-MARGIN_BITS)],
        "operations": {"total": math.ceil(SPARE * spent)},
    }


def _units(margin: float, bits: int) -> int | None:
    """Return a margin that is expected in units of 2^-20, a little less than it is and rounded down
    to so many bits.
    """
    if not math.isfinite(margin):
        return None
    return math.floor(math.ldexp(margin * CERTAIN, bits)) << MARGIN_BITS - bits
