"""Random path matrices, enclosures of them, and the truth about every input, from the definitions
of SPEC-4.4 alone.

Path matrices come without a model, so that scores and logits can be anything.  `widened` encloses
them as SPEC-7.5 allows:
every entry between two ends, after a constant of its own was added to each row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import oracle
from models import Choices

from checker.cells.paths import Paths

BITS = 256
Table = tuple[tuple[int, ...], ...]
Bounds = tuple[Fraction, Fraction]


def exact_paths(
    eqke: Table,
    eqkp: Table,
    score_scale: int,
    evou: Table,
    pvou: Table,
    eu: Table,
    value_scale: int,
    d_head: int,
) -> Paths:
    """Return paths whose ends are equal; `evou[t][j]`."""
    return Paths(
        eqke,
        eqke,
        eqkp,
        score_scale,
        evou,
        evou,
        pvou,
        eu,
        eu,
        value_scale,
        d_head,
        exact=True,
        right=tuple(range(len(eqke))),
    )


def random_paths(
    choose: Choices, vocab: int, n: int, *, d_head: int | None = None, spread: int = 60
) -> Paths:
    """Return small path matrices: scores over 2^-4, logits over 2^-3, one answer more than there
    are tokens.
    """

    def rows(count: int, width: int, size: int) -> Table:
        return tuple(tuple(choose.integer(-size, size) for _ in range(width)) for _ in range(count))

    answers, values = vocab + 1, choose.pick((1, 3, 40))
    return exact_paths(
        eqke=rows(vocab, vocab, spread),
        eqkp=rows(vocab, n, choose.pick((0, 3, spread))),
        score_scale=4,
        evou=rows(vocab, answers, values),
        pvou=rows(n, answers, choose.pick((0, values))),
        eu=rows(vocab, answers, choose.pick((0, values))),
        value_scale=3,
        d_head=d_head or choose.pick((1, 2, 3, 4, 32)),
    )


def likely_paths(choose: Choices, vocab: int, n: int) -> Paths:
    """Return path matrices that attend to large tokens and name what they attend to, but for some
    noise.
    """
    sharpness, gain, noise = (
        choose.pick((40, 15, 80)),
        choose.pick((12, 4, 40)),
        choose.pick((0, 6, 15, 30)),
    )
    answers = vocab + choose.pick((0, 0, 1))

    def rows(count: int, width: int, size: int) -> Table:
        return tuple(tuple(choose.integer(-size, size) for _ in range(width)) for _ in range(count))

    score, value = rows(vocab, vocab, noise // 2), rows(vocab, answers, noise)
    return exact_paths(
        eqke=tuple(tuple(sharpness * t + score[q][t] for t in range(vocab)) for q in range(vocab)),
        eqkp=rows(vocab, n, choose.pick((0, 3, 10))),
        score_scale=4,
        evou=tuple(
            tuple(gain * (2 * t * j - j * j) + value[t][j] for j in range(answers))
            for t in range(vocab)
        ),
        pvou=rows(n, answers, choose.pick((0, noise))),
        eu=rows(vocab, answers, choose.pick((0, noise))),
        value_scale=3,
        d_head=choose.pick((1, 2, 4)),
    )


def widened(choose: Choices, paths: Paths) -> Paths:
    """Return an enclosure of the paths: random widths, and a random constant added to every row."""
    widths = choose.pick(((0, 0, 1), (0, 1, 4), (0, 0, 12)))

    def ends(rows: Table) -> tuple[Table, Table]:
        low, high = [], []
        for row in rows:
            constant = choose.integer(-30, 30)
            low.append(tuple(value + constant - choose.pick(widths) for value in row))
            high.append(tuple(value + constant + choose.pick(widths) for value in row))
        return tuple(low), tuple(high)

    eqke, evou, eu = (ends(rows) for rows in (paths.eqke_low, paths.evou_low, paths.eu_low))
    return replace(
        paths,
        eqke_low=eqke[0],
        eqke_high=eqke[1],
        evou_low=evou[0],
        evou_high=evou[1],
        eu_low=eu[0],
        eu_high=eu[1],
        exact=False,
    )


def bracket(paths: Paths, q: int, m: int, j: int, i: int, t: int) -> int:
    """Return the exact D_i(t, j) of Lemma 4.4."""
    values = paths.evou_low[t][j] - paths.evou_low[t][m] + paths.pvou[i][j] - paths.pvou[i][m]
    return values + paths.eu_low[q][j] - paths.eu_low[q][m]


@dataclass(frozen=True)
class Input:
    """One input: its weight in the scope, and enclosures of the softmax weights and of all margins.

    `margins[j]` encloses logit of the maximum minus logit of j, in units of 2^-value_scale; it is
    exact where classes of
    equal score cancel (then it is an integer).
    """

    tokens: tuple[int, ...]
    weight: int
    margins: dict[int, Bounds]


def _margin(scores: list[int], weights: list[Bounds], brackets: list[int]) -> Bounds:
    classes: dict[int, list[int]] = {}
    for score, value in zip(scores, brackets, strict=True):
        classes.setdefault(score, []).append(value)
    means = {Fraction(sum(values), len(values)) for values in classes.values()}
    if len(means) == 1:
        return -min(means), -min(means)
    zero = Fraction(0)
    total_low, total_high = (sum((weight[end] for weight in weights), zero) for end in (0, 1))
    pairs = list(zip(weights, brackets, strict=True))
    low = sum(((low if value > 0 else high) * value for (low, high), value in pairs), zero)
    high = sum(((high if value > 0 else low) * value for (low, high), value in pairs), zero)
    return (
        -high / (total_low if high > 0 else total_high),
        -low / (total_high if low > 0 else total_low),
    )


def inputs_of(paths: Paths, rows: Sequence[Sequence[int]]) -> list[Input]:
    """Return every input with the truth about it; `paths` are exact."""
    vocab, n, answers = len(paths.eqkp), len(paths.pvou), len(paths.pvou[0])
    found = []
    for tokens in itertools.product(range(vocab), repeat=n):
        q, m = tokens[-1], max(tokens)
        scores = [paths.eqke_low[q][t] + paths.eqkp[q][i] for i, t in enumerate(tokens)]
        ends = [
            oracle.exp_of_minus_root(max(scores) - s, 1 << paths.score_scale, paths.d_head, BITS)
            for s in scores
        ]
        weights = [(Fraction(low, 1 << BITS), Fraction(high, 1 << BITS)) for low, high in ends]
        margins = {}
        for j in range(answers):
            if j != m:
                margins[j] = _margin(
                    scores, weights, [bracket(paths, q, m, j, i, t) for i, t in enumerate(tokens)]
                )
        found.append(
            Input(tokens, prod(row[t] for row, t in zip(rows, tokens, strict=True)), margins)
        )
    return found
