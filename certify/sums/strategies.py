"""Hints for proofs about two operands: which two matrices stand for the unembedding, which neurons
share a switch.

Everything here is an estimate in floating point; the checker forms what is left over exactly and
bounds it.  With M = W_out W_U

    logit_j = sum_i relu(pre_i) M_ij + direct_j.

Of a model that adds, M has the rank of the circle of every frequency, two each, so M = P Q + R with
a small R.  A neuron sees its two tokens as ``cos(w k a + phi) + cos(w k b + phi)`` and some more,
so neurons of one frequency k and nearly one phase phi are on for the same inputs: they share a
switch.  A sum over the switches of all phases is the rectangle rule for an integral over the
circle, which is how these networks double a frequency.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.certificate.document import matrix
from certify.certificate.job import EFFORT, SEMANTICS, Strategy
from certify.errors import Unsupported
from certify.model.file import Model
from certify.question.question import Question
from certify.question.rules import MODULAR_ADDITION
from certify.sums.estimates import Array, Tables, fold

Sums = dict[str, Any]

ENTRY_BITS, SCALE_BITS, LEVELS = 24, 20, 64
"""How finely hinted matrices and the scales of neurons are rounded; in how many steps the checker
bounds a switch.
"""
MOST_RANK, OWN = 32, 2
ROW_BITS, TABLE_BITS = 400, 1 << 28
"""What an entry of a switch's rows takes at most in the checker, and all of them may (SPEC-3.5)."""
CLEAR = 0.05
"""A singular value above this share of the largest belongs to a frequency of the model."""


def _hints(left: Array, right: Array, *, settle: bool) -> Sums:
    """Return the keys of two matrices: the parts of the product share its size evenly."""
    return {
        "left": matrix(left, ENTRY_BITS),
        "right": matrix(right, ENTRY_BITS),
        "settle": int(settle),
    }


def _singular(tables: Tables) -> tuple[Array, Array, int]:
    """Return the centred M as two factors, the first columns largest, and how many belong to a
    frequency.
    """
    centred = tables.writing - tables.writing.mean(axis=1, keepdims=True)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    return left * sizes, right, max(1, int((sizes > CLEAR * sizes[0]).sum()))


def exact(model: Model, question: Question, effort: float) -> Sums:
    """Return the rule that forms every logit of every input."""
    return {"rule": "exact"}


def low_rank(model: Model, question: Question, effort: float) -> Sums:
    """Return the rank for which the proof is shortest, given that what it leaves open is settled
    exactly.

    The rank is multiplied by the effort: more of it, and larger margins are shown; less than 1, and
    what is open stays open.
    """
    tables = fold(model, question)
    left, right, _ = _singular(tables)
    on, outputs = float((tables.active > 0).sum()), tables.writing.shape[1]
    each = on / len(tables.direct) * outputs

    def cost(rank: int) -> float:
        open_inputs = tables.undecided(left[:, :rank], right[:rank])
        return float(on * (rank + 1) + tables.direct.size * rank + open_inputs * each)

    best = min(range(1, min(MOST_RANK, len(right)) + 1), key=cost)
    rank = min(max(1, round(effort * best)), MOST_RANK, len(right))
    return {"rule": "low-rank", **_hints(left[:, :rank], right[:rank], settle=effort >= 1)}


def own_frequency(model: Model, question: Question, effort: float) -> Sums:
    """Return two columns for each frequency of M, and for each neuron those of its own frequency
    alone.
    """
    _require_addition(question, "own-frequency")
    tables = fold(model, question)
    answers = tables.writing[:, list(question.domain.outputs)]
    spectrum = np.abs(np.fft.rfft(answers, axis=1))[:, 1:]
    owner = spectrum.argmax(axis=1)
    frequencies = [
        k
        for k in np.unique(owner)
        if np.square(spectrum[owner == k]).sum() > CLEAR**2 * np.square(spectrum).sum()
    ]
    strongest = np.array(frequencies)[spectrum[:, frequencies].argmax(axis=1)]
    left = np.zeros((len(owner), OWN * len(frequencies)))
    right = np.zeros((OWN * len(frequencies), tables.writing.shape[1]))
    for number, k in enumerate(frequencies):
        held, columns = np.flatnonzero(strongest == k), slice(OWN * number, OWN * (number + 1))
        rows = tables.writing[held] - tables.writing[held].mean(axis=1, keepdims=True)
        right[columns] = np.linalg.svd(rows, full_matrices=False)[2][:OWN]
        left[held, columns] = rows @ right[columns].T
    return {"rule": "low-rank", **_hints(left, right, settle=False)}


def quadrature(model: Model, question: Question, effort: float) -> Sums:
    """Return the fewest phases whose switches decide every input, or else those that decide
    most.
    """
    _require_addition(question, "quadrature")
    tables = fold(model, question)
    if tables.tokens is None:
        raise Unsupported("strategy quadrature is for constant attention, attention_mix 0")
    left, right, rank = _singular(tables)
    left, right, vocab = (
        left[:, :rank],
        right[:rank],
        question.domain.sizes[question.domain.operands[0]],
    )
    best: tuple[int, Switches] | None = None
    for phases in sorted(
        {max(2, round(effort * vocab * share)) for share in (0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 3, 4)}
    ):
        found = _switches(tables, tables.tokens, left, right, phases)
        if found.tables.size * (rank + 1) * ROW_BITS > TABLE_BITS:
            break
        decided = _decided(tables, left, right, found)
        if best is None or decided > best[0]:
            best = decided, found
        if decided == len(tables.direct):
            break
    if best is None:
        raise Unsupported(
            "strategy quadrature finds no rank small enough for its tables of switches"
        )
    return {"rule": "switches", **_hints(left, right, settle=False), **best[1].hints()}


@dataclass(frozen=True, slots=True)
class Switches:
    """Per neuron its switch and its scale, and a row by token for each switch."""

    neurons: NDArray[np.int64]
    scales: Array
    tables: Array

    def hints(self) -> Sums:
        """Return the keys that the certificate has for them."""
        unit = float(self.scales.max()) / 2**SCALE_BITS
        scales = np.maximum(1, np.rint(self.scales / unit))
        named = {"neurons": [int(x) for x in self.neurons], "scales": [int(x) for x in scales]}
        return {**named, "tables": matrix(self.tables * unit, ENTRY_BITS)}


def _switches(found: Tables, tokens: Array, left: Array, right: Array, phases: int) -> Switches:
    """Return a switch for every frequency and phase that neurons have, weighted by what they
    write.
    """
    operands = np.stack([tokens[rows] for rows in found.operands])
    vocab = operands.shape[1]
    waves = np.fft.fft(operands, axis=1)[:, 1 : (vocab + 1) // 2 + 1]
    sizes = np.sqrt(np.square(np.abs(waves)).sum(axis=0))
    strongest = sizes.argmax(axis=0)
    at = np.arange(len(strongest))
    angle = np.angle(waves[:, strongest, at].sum(axis=0)) / (2 * np.pi) % 1
    cells = strongest * phases + np.minimum((angle * phases).astype(np.int64), phases - 1)
    neurons = np.unique(cells, return_inverse=True)[1]
    weights = np.ptp(left @ right, axis=1) + 1e-300
    tables, scales = np.zeros((neurons.max() + 1, len(tokens))), np.zeros(len(neurons))
    for number in range(len(tables)):
        held = np.flatnonzero(neurons == number)
        table = tokens[:, held] @ weights[held]
        scales[held] = table @ tokens[:, held] / max(table @ table, 1e-300)
        tables[number] = table
    return Switches(neurons, np.maximum(scales, 1e-6 * scales.max()), tables)


def _decided(tables: Tables, left: Array, right: Array, found: Switches) -> int:
    """Return on how many inputs the switches are estimated to decide the answer."""
    if tables.tokens is None:
        return 0
    rest = np.ptp(tables.writing - left @ right, axis=1)
    spread, columns = rest + np.ptp(left @ right, axis=1), np.column_stack([left, rest])
    sums = np.zeros((len(tables.rows), columns.shape[1]))
    error = np.zeros(len(tables.rows))
    parts = [slice(rows.min(), rows.max() + 1) for rows in tables.rows.T]
    for number, table in enumerate(found.tables):
        held = np.flatnonzero(found.neurons == number)
        tokens, scales = tables.tokens[:, held], found.scales[held]
        off = tokens - np.outer(table, scales)
        largest = sum(off[rows].max(axis=0) for rows in parts)
        least = sum(off[rows].min(axis=0) for rows in parts)
        most = np.maximum(largest, -least)
        values = table[tables.rows].sum(axis=1)
        step = max(float((most / scales).max()) / LEVELS, 1e-300)
        levels = np.maximum(0, most - np.outer(np.arange(LEVELS + 1) * step, scales)) @ spread[held]
        error += levels[np.minimum(np.abs(values) / step, LEVELS).astype(np.int64)]
        written = tokens @ columns[held]
        on = np.flatnonzero(values > 0)
        for rows in tables.rows[on].T:
            sums[on] += written[rows]
    margins = tables.margins_of(sums[..., :-1] @ right + tables.direct)
    return int((np.abs(margins) > error + sums[..., -1]).sum())


def _require_addition(question: Question, strategy: str) -> None:
    """Refuse a question that is not about a sum of as many tokens twice."""
    sizes = [question.domain.sizes[operand] for operand in question.domain.operands]
    if question.name != MODULAR_ADDITION or len(set(sizes)) != 1:
        raise Unsupported(
            f"strategy {strategy} is for modular addition of operands with as many tokens each"
        )


Build = Callable[[Model, Question, float], Sums]
ARITHMETIC = frozenset({SEMANTICS})
STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "brute-force", "every input, every neuron, every answer", "m V^3", exact, ARITHMETIC
        ),
        Strategy(
            "low-rank",
            "the unembedding as two thin matrices, what that leaves open settled exactly:"
            " lower = upper (from --effort 1)",
            "(R + 1) m V^2 + R V^3",
            low_rank,
            ARITHMETIC | {EFFORT},
        ),
        Strategy(
            "own-frequency",
            "each neuron writes its own frequency alone: two columns for a neuron;"
            " open inputs stay open",
            "3 m V^2 + R V^3",
            own_frequency,
            ARITHMETIC,
        ),
        Strategy(
            "quadrature",
            "neurons of one frequency and nearly one phase share a switch: no sum over neurons;"
            " open inputs stay open",
            "S V^2 (R + 1) additions + R V^3, S switches",
            quadrature,
            ARITHMETIC | {EFFORT},
        ),
    )
}
