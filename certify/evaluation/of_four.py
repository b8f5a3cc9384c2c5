"""The number of failing inputs of a max-of-4 model, in float64: what a bound is compared with.

A wrong answer j is at least as good as the maximum m exactly if a sum of one term per position is
not negative (the separable form of softmax, see ``certify.evaluation.evaluate``)::

    f_0(a, j) + f_1(b, j) + f_2(c, j) + f_3(q, j) >= 0,   f_i(t, j) = w_i(t) (logit difference of
    token t, position i)

For every query and maximum, answers whose largest sum is negative are dropped; what is left is
decided by comparing the sums themselves, first token fixed, over the rectangle of second and third
tokens that can matter at all.  Every input is accounted for, so this is the truth up to rounding:
an input whose margin is smaller than about 1e-12 may be misjudged, which is why it is a measurement
and no proof.  A tie is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.model.file import Model
from certify.model.paths import decompose

Floats = NDArray[np.float64]


def failures_of_four(model: Model, progress: Callable[[int], None] = lambda _done: None) -> int:
    """Return how many of the V^4 inputs of a max-of-4 model are answered wrongly, ties included.

    Requires: one layer of attention with one head.
    Errors:   ``BadInput`` unless k = 4, with as many answers as tokens at least.
    Cost:     about 2 V^4 operations and the failing part.  Measured: 0.1 s at V = 64, 1 s at 128,
              75 s at 512; at 256 5 s for an accuracy of 0.99998, 18 s for 0.9974 and a minute for
              0.991.
    """
    config = model.config
    if config.n_ctx != 4 or config.d_vocab_out < config.d_vocab:
        raise BadInput("evaluate: failing inputs are counted for max-of-4 only")
    paths, failing = decompose(model), 0
    scores = (paths.EQKE[:, None, :] + paths.EQKP[:, :, None]) / math.sqrt(paths.d_head)
    for m in range(config.d_vocab):
        values = np.delete(paths.EVOU[: m + 1] - paths.EVOU[: m + 1, m : m + 1], m, axis=1)
        direct = np.delete(paths.EU[: m + 1] - paths.EU[: m + 1, m : m + 1], m, axis=1)
        places = np.delete(paths.PVOU - paths.PVOU[:, m : m + 1], m, axis=1)
        chosen = scores[: m + 1, :, : m + 1]
        # One factor per query and maximum changes no sign, and keeps the largest weight at one.
        weights = np.exp(chosen - chosen.max(axis=(1, 2), keepdims=True))
        for q in range(m + 1):
            failing += _failures(weights[q], values, direct[q] + places, q, m)
        progress(m + 1)
    return failing


def _failures(weights: Floats, values: Floats, constants: Floats, q: int, m: int) -> int:
    """Return the failing inputs with query q and maximum m.  ``values`` [m + 1, answers],
    ``constants`` [4, answers].
    """
    last = weights[3, q] * (values[q] + constants[3])
    tables = [weights[i, :, None] * (values + constants[i]) for i in range(3)]
    tops = np.array([table.max(axis=0) for table in tables])
    best = tops.sum(axis=0)
    if q < m:
        best = best + np.array([table[m] for table in tables] - tops).max(axis=0)
    left = np.flatnonzero(best + last >= 0)
    if not len(left):
        return 0
    tables, last = [table[:, left] for table in tables], last[left]
    if q == m:
        return sum(_rectangle(tables[1], tables[2], tables[0][a] + last) for a in range(m + 1))
    found = 0
    for first, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        # The first m stands at position ``first``: earlier positions are below m, later ones at
        # most m.
        rows = tables[i][: m if i < first else m + 1]
        columns = tables[j][: m if j < first else m + 1]
        found += _rectangle(rows, columns, tables[first][m] + last)
    return found


def _rectangle(rows: Floats, columns: Floats, last: Floats) -> int:
    """Return how many pairs (b, c) have rows[b, j] + columns[c, j] + last[j] >= 0 for some answer
    j.
    """
    if not len(rows) or not len(columns):
        return 0
    needed = -last - columns.max(axis=0)
    able = rows >= needed
    alive = np.flatnonzero(able.any(axis=0))
    if not len(alive):
        return 0
    chosen = np.flatnonzero(able.any(axis=1))
    rows, columns, last = rows[np.ix_(chosen, alive)], columns[:, alive], last[alive]
    others = np.flatnonzero((columns + (rows.max(axis=0) + last) >= 0).any(axis=1))
    columns = columns[others]
    fails = np.zeros((len(rows), len(columns)), dtype=np.bool_)
    for part in _parts(len(last), len(rows) * len(columns)):
        fails |= (rows[:, None, part] + (columns[:, part] + last[part]) >= 0).any(axis=2)
    return int(np.count_nonzero(fails))


def _parts(answers: int, pairs: int) -> Iterator[slice]:
    """Yield slices of the answers that keep the comparison within some megabytes."""
    step = max(1, (1 << 20) // max(pairs, 1))
    for start in range(0, answers, step):
        yield slice(start, start + step)
