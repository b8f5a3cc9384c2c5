"""SPEC-16.9 read a second time: the tables of layer norm before attention, to the last bit, and the
scores of which weights are taken, by plain loops.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from types import SimpleNamespace
from typing import Any

import networks
import pytest
import vectors_wide
from test_cells import ledger
from usual import usual_places

from checker.cells.tables import Tables
from checker.float32.cells import REAL, Slack
from checker.ground.exact import Matrix
from checker.statement.model import load_model
from checker.wide import norm
from checker.wide.heads import heads_of
from checker.wide.norm import Deviation, Normed, NormedScores, scores_at, values_at

ROOT, TABLE = 1 << 128, 1 << 96


def two(power: int) -> Fraction:
    """Return a power of two."""
    return Fraction(2**power) if power >= 0 else Fraction(1, 2**-power)


@pytest.mark.parametrize("exponent", [-9, -1, 0])
@pytest.mark.parametrize("scale", [-2, 0, 5])
@pytest.mark.parametrize("length", [0, 1, 12345])
def test_a_deviation_lies_between_its_ends(exponent: int, scale: int, length: int) -> None:
    own = Deviation(3, 5, exponent)
    square = length * two(-2 * scale) / 3 + 9 * 5 * two(exponent)
    low, high = own.ends(length, scale)
    assert Fraction(low, TABLE) ** 2 <= square < Fraction(high, TABLE) ** 2
    assert high == low + 1
    low, high = own.inverse(length, scale)
    assert Fraction(low, ROOT) ** 2 <= 1 / square < Fraction(high, ROOT) ** 2
    assert high == low + 1


def test_rows_are_centred_without_a_division() -> None:
    found = norm.centred_rows(Matrix(((1, 2, 6), (0, 0, -3)), 4), ledger())
    assert found == Matrix(((-6, -3, 9), (3, 3, -6)), 4)
    assert norm.centred_rows(Matrix(((1, 2, 6),), 4), ledger()) == Matrix(((-6, -3, 9),), 4)


def root_of_odd(value: int, bits: int) -> int:
    """Return a square root modulo ``2^bits`` of a number that is 1 modulo 8."""
    found = 1
    for bit in range(3, bits + 1):
        if (found * found - value) % (1 << bit):
            found += 1 << bit - 2
    return found


def test_a_quotient_just_below_a_square_has_the_smaller_root() -> None:
    # d^3 eps + |c|^2 is n; here 17 k^2 - 1 is n 2^192, and a quotient of n and 17 almost k^2.
    d, own = 17, Deviation(17, 1, 0)
    k = root_of_odd(pow(d, -1, 1 << 192), 192)
    n, rest = divmod(d * k * k - 1, 1 << 192)
    assert rest == 0
    low, _ = own.ends(n - d**3, 0)
    assert low == k - 1
    # 2^257 / n is almost 9.
    n = -(-(1 << 257) // 9)
    low, _ = Deviation(2, 1, 0).inverse(n - 8, 0)
    assert low == 2


@pytest.mark.parametrize("scale", [90, 96, 99])
def test_ends_are_rounded_outward(scale: int) -> None:
    rows = [[(low, low + width) for low in range(-9, 10)] for width in range(3)]
    low, high = norm.ends_of(rows, scale)
    finer = two(96 - scale)
    assert low == tuple(tuple(floor(least * finer) for least, _ in row) for row in rows)
    assert high == tuple(tuple(ceil(most * finer) for _, most in row) for row in rows)


def interval(*factors: Sequence[Fraction]) -> tuple[Fraction, Fraction]:
    """Return the ends of a product of numbers between ends."""
    low, high = factors[0][0], factors[0][-1]
    for least, *_, most in factors[1:]:
        products = [one * other for one in (low, high) for other in (least, most)]
        low, high = min(products), max(products)
    return low, high


def fractions(matrix: Matrix) -> list[list[Fraction]]:
    return [[x * two(-matrix.scale) for x in row] for row in matrix.rows]


def random_matrix(rng: random.Random, height: int, width: int, scale: int) -> Matrix:
    return Matrix(
        tuple(tuple(rng.randint(-99, 99) for _ in range(width)) for _ in range(height)), scale
    )


def inverses(rng: random.Random, count: int) -> list[tuple[int, int]]:
    lows = [rng.randrange(1, ROOT) for _ in range(count)]
    return [(low, low + rng.randrange(1 << 40)) for low in lows]


@pytest.mark.parametrize("scales", [(0, 0, 0), (3, -2, 5), (9, 150, 1), (-3, -4, -5), (40, 2, 30)])
def test_scores_and_values_are_those_of_the_page(scales: tuple[int, int, int]) -> None:
    rng = random.Random(str(scales))
    asking_scale, constant_scale, key_scale = scales
    asking = random_matrix(rng, 3, 2, asking_scale)
    constant = random_matrix(rng, 1, 2, constant_scale)
    keys = random_matrix(rng, 4, 2, key_scale)
    centred = random_matrix(rng, 4, 3, 2)
    writing = random_matrix(rng, 3, 5, key_scale)
    query = Normed(random_matrix(rng, 3, 3, 2), inverses(rng, 3))
    key = Normed(centred, inverses(rng, 4))

    def units(normed: Normed) -> list[list[Fraction]]:
        return [[Fraction(end, ROOT) for end in ends] for ends in normed.inverses]

    low, high = scores_at(asking, constant, keys, query, key, ledger())
    for q, t in itertools.product(range(3), range(4)):
        row = fractions(keys)[t]
        joint = sum((a * b for a, b in zip(fractions(asking)[q], row, strict=True)), Fraction(0))
        alone = sum((a * b for a, b in zip(fractions(constant)[0], row, strict=True)), Fraction(0))
        least, most = interval([joint], units(query)[q])
        ends = interval([least + alone, most + alone], units(key)[t])
        assert (low[q][t], high[q][t]) == (floor(ends[0] * TABLE), ceil(ends[1] * TABLE))
    low, high = values_at(key, writing, ledger())
    for t, j in itertools.product(range(4), range(5)):
        column = [row[j] for row in fractions(writing)]
        value = sum(
            (a * b for a, b in zip(fractions(centred)[t], column, strict=True)), Fraction(0)
        )
        ends = interval([value], units(key)[t])
        assert (low[t][j], high[t][j]) == (floor(ends[0] * TABLE), ceil(ends[1] * TABLE))


class Spans(NormedScores):
    """Scores whose weights are the exponents themselves."""

    def exp_ends(self, below: Sequence[tuple[int, int]], precision: int) -> list[tuple[int, int]]:
        return list(below)


def score_tables(rng: random.Random, vocab: int) -> Any:
    """Return tables of scores with two ends."""
    low = tuple(tuple(rng.randint(-99, 99) for _ in range(vocab)) for _ in range(vocab))
    high = tuple(tuple(x + rng.randint(0, 9) for x in row) for row in low)
    paths: Any = SimpleNamespace(
        eqke_low=low,
        eqke_high=high,
        eqkp=((0,),) * vocab,
        evou_low=((0,),) * vocab,
        evou_high=((0,),) * vocab,
        pvou=((0,),),
        eu_low=((0,),) * vocab,
        eu_high=((0,),) * vocab,
        right=(0,) * vocab,
    )
    return Tables(paths, ledger())


@pytest.mark.parametrize("queries", [(5,), (0, 1), (1, 2, 3, 4), (4,)])
@pytest.mark.parametrize("slack", [REAL, Slack(score_error=13)])
def test_weights_are_those_of_the_extremes_of_scores(
    queries: tuple[int, ...], slack: Slack
) -> None:
    vocab, m = 7, 5
    for seed, blocks in itertools.product(range(6), ([(0, 2), (3, 4)], [(t, t) for t in range(5)])):
        rng = random.Random(f"{seed} {queries} {slack}")
        places = tuple(score_tables(rng, vocab) for _ in range(3))
        own = Spans(places[0], 64, slack, places)
        layout = places[0].layout([*blocks, (m, m)])
        found = own.weights(queries, layout)
        # S_hi[q,t] - S_h0[q,m], with the lower end of what is taken off
        base = {q: places[0].paths.eqke_low[q][m] for q in queries}
        spans: list[dict[int, tuple[int, int]]] = []
        for i, tables in enumerate(places):
            row = {}
            for b, (first, last) in enumerate(layout.blocks):
                pairs = [(q, t) for q in queries for t in range(first, last + 1)]
                if i == 2:
                    pairs = [(q, t) for q, t in pairs if q == t]
                if pairs:
                    low, high = tables.paths.eqke_low, tables.paths.eqke_high
                    row[b] = (
                        min(low[q][t] - base[q] for q, t in pairs),
                        max(high[q][t] - base[q] for q, t in pairs),
                    )
            spans.append(row)
        top = max(high for row in spans for _, high in row.values())
        lows = [{b: top - high for b, (_, high) in row.items()} for row in spans]
        highs = [{b: top - low + slack.score_error for b, (low, _) in row.items()} for row in spans]
        assert found == (lows, highs)


def test_a_norm_without_weights_adds_nothing_to_outputs() -> None:
    model = vectors_wide.two_heads(3, "LNPre")
    found = heads_of(load_model(model.bytes), usual_places({"d_vocab": 3, "n_ctx": 3}), ledger())
    assert found.final is not None
    bias = tuple(int(Fraction(x) * TABLE) for x in model.tensors["unembed.b_U"])
    assert (found.final.beta_low, found.final.beta_high) == (bias, bias)


def test_a_row_of_one_number_is_nothing_less_its_mean() -> None:
    rng = random.Random(2)
    chosen = {"n_heads": 1, "normalization_type": "LN"}
    model = networks.of(rng, chosen, vocab=3, n=2, d_model=1, d_head=1)
    found = heads_of(load_model(model.bytes), usual_places({"d_vocab": 3, "n_ctx": 2}), ledger())
    for paths in found.tables[0]:
        assert {x for row in paths.evou_low for x in row} == {0}


def test_positions_add_nothing_to_tables_of_their_own() -> None:
    loaded = load_model(vectors_wide.two_heads(3, "LN").bytes)
    found = heads_of(loaded, usual_places({"d_vocab": 3, "n_ctx": 3}), ledger())
    for paths in itertools.chain.from_iterable(found.tables):
        assert {x for row in (*paths.eqkp, *paths.pvou) for x in row} == {0}
        assert (paths.score_scale, paths.value_scale) == (96, 96)
