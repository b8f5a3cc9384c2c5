"""`checker.interval` against Arb, MPFR, decimal and mpmath, on more than 10^5 points.

An enclosure that is too narrow would make false theorems pass; one that is too wide
would make true ones fail.  Both are measured here, at 16 to 4096 bits, on random
arguments and on arguments chosen so that exp lies within a hair of a grid point,
where an error of one unit shows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from itertools import islice
from math import ceil, floor, isqrt

import flint
import gmpy2
import irrational
import mpmath
import pytest
from irrational import ORACLES, Point

from checker.ground import interval
from checker.ground.interval import (
    exp_enclosure,
    exp_tables,
    inverse_sqrt,
    lower_exponentials,
    taylor,
)

WIDTH = 4  # units of 2^-precision

# precision -> (random points, pairs of points near the grid)
PLAN = {
    16: (2_000, 500),
    64: (40_000, 10_000),
    96: (12_000, 4_000),
    100: (12_000, 6_000),
    180: (12_000, 4_000),
    256: (5_000, 2_000),
    512: (1_600, 600),
    1024: (400, 100),
    2048: (100, 20),
    4096: (24, 8),
}

Enclose = Callable[[int, int, int], tuple[int, int]]


def points(precision: int) -> Iterator[Point]:
    rng = random.Random(precision)
    many, near = PLAN[precision]
    yield from irrational.random_points(rng, many, precision)
    yield from irrational.points_near_the_grid(rng, near, precision)


def violations(enclose: Enclose, some: Iterable[Point], oracle: str) -> list[str]:
    """Return what is wrong with `enclose` on these points, according to one oracle."""
    found = []
    for y, scale, precision in some:
        low, high = enclose(y, scale, precision)
        floor = ORACLES[oracle](y, scale, precision)
        if not low <= floor < floor + 1 <= high:
            found.append(f"exp(-{y} * 2^-{scale}) at {precision}: {floor} not inside {low}..{high}")
        if high - low > WIDTH:
            found.append(f"exp(-{y} * 2^-{scale}) at {precision}: width {high - low}")
        if low < 0 or high > 1 << precision:
            found.append(f"exp(-{y} * 2^-{scale}) at {precision}: {low}..{high} leaves [0, 1]")
    return found


def test_the_plan_has_a_hundred_thousand_points() -> None:
    assert sum(1 for precision in PLAN for _ in points(precision)) >= 100_000
    assert (min(PLAN), max(PLAN)) == (16, 4096)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("precision", PLAN)
def test_exp_encloses_and_is_narrow(precision: int, oracle: str) -> None:
    # An exact argument of thousands of bits is slow work for decimal: it sees a quarter.
    step = 4 if oracle == "decimal" and precision > 256 else 1
    assert violations(exp_enclosure, islice(points(precision), 0, None, step), oracle) == []


@pytest.mark.parametrize("precision", [64, 256, 4096])
def test_exp_of_zero_is_exactly_one(precision: int) -> None:
    for scale in (0, 1, 64, 5000):
        assert exp_enclosure(0, scale, precision) == (1 << precision, 1 << precision)


@pytest.mark.parametrize("precision", [64, 100, 4096])
def test_arguments_too_large_for_the_grid_cost_nothing(precision: int) -> None:
    for y, scale in ((precision, 0), (10**3000, 0), (10**3000, 64), (precision << 200, 200)):
        assert exp_enclosure(y, scale, precision) == (0, 1)


@pytest.mark.parametrize("precision", [64, 180, 1024])
def test_the_step_to_zero_is_taken_in_the_right_place(precision: int) -> None:
    # Around precision * ln 2 the value crosses one unit of the grid.
    scale = precision
    with mpmath.workprec(4 * precision):
        edge = int(mpmath.floor(mpmath.ldexp(mpmath.log(2) * precision, scale)))
    some = [(edge + offset, scale, precision) for offset in (-1000, -1, 0, 1, 2, 1000)]
    some += [(edge * n // 1000, scale, precision) for n in range(990, 1011)]
    assert violations(exp_enclosure, some, "arb") == []


def test_exp_is_monotone_where_steps_are_wide() -> None:
    before = exp_enclosure(1, 4, 64)
    for y in range(2, 600):
        now = exp_enclosure(y, 4, 64)
        assert now[0] <= before[1]
        before = now


@pytest.mark.parametrize("precision", [64, 100, 180, 256, 1024, 4096])
def test_inverse_square_root_by_squaring_back(precision: int) -> None:
    rng = random.Random(precision)
    for d in [*range(1, 2000), *(rng.randrange(1, 1 << rng.randint(1, 200)) for _ in range(500))]:
        low, high = inverse_sqrt(d, precision)
        assert 0 <= low <= high <= low + 1
        assert low * low * d <= 1 << 2 * precision <= high * high * d


@pytest.mark.parametrize("precision", [64, 256, 1024])
def test_inverse_square_root_by_four_libraries(precision: int) -> None:
    for d in range(1, 400):
        low, high = inverse_sqrt(d, precision)
        if isqrt(d) ** 2 == d:
            continue  # may be rational; squaring back has decided it
        floors = set()
        with flint.ctx.workprec(precision + 64):
            arb = flint.arb(d).rsqrt() * flint.arb((flint.fmpz(1), flint.fmpz(precision)))
            whole = arb.floor().unique_fmpz()
            assert whole is not None
            floors.add(int(whole))
        with gmpy2.context(precision=precision + 64, round=gmpy2.RoundDown):
            floors.add(int(gmpy2.floor(gmpy2.mul_2exp(gmpy2.rec_sqrt(gmpy2.mpfr(d)), precision))))
        with mpmath.workprec(precision + 64):
            floors.add(int(mpmath.floor(mpmath.ldexp(1 / mpmath.sqrt(d), precision))))
        (floor,) = floors
        assert low <= floor < floor + 1 <= high


# --- the proof --------------------------------------------------------------------
#
# Lemma 6.3 read a second time, in fractions: a number that the proof counts may not be missing,
# though guard bits hide it from every library.


def page_taylor(x: Fraction, bits: int, k: int) -> Fraction:
    """Return the Taylor sum, in units of 2^-bits."""
    assert 0 <= x <= Fraction(1, 2**k)
    u = Fraction(1, 2**bits)
    terms = next(n for n in range(bits) if k * (n + 1) >= bits)
    p = 1 / u
    for j in reversed(range(1, terms + 1)):
        p = 2**bits - Fraction(floor(Fraction(floor(floor(x / u) * p * u), j)))
    return p


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_taylor_sum_has_the_terms_of_the_page_and_no_more(k: int) -> None:
    # Every argument of few bits, where one term more shows: of 3/16 it makes 14 of 13.
    for width in range(k, 10):
        for r in range((1 << width - k) + 1):
            assert taylor(r, width, k) == page_taylor(Fraction(r, 2**width), width, k)
    assert taylor(3, 4, 2) == 13


@cache
def page_tables(precision: int, spare: int = 36) -> tuple[list[list[int]], int]:
    """Return the tables and e."""
    W, F = precision + 12, precision + 12 + spare
    first = page_taylor(Fraction(1, 2**27), F, 27)
    low_factor, high_factor = first - 4, first + 4
    tables, differences = [], []
    for last in (512, 512, 512, floor(Fraction(694, 1000) * precision)):
        low = high = Fraction(2**F)
        table = []
        for _ in range(last + 1):
            table.append(floor(low / 2**spare))
            differences.append(ceil(high / 2**spare) - table[-1])
            ends = low, high
            low = Fraction(floor(low * low_factor / 2**F))
            high = Fraction(ceil(high * high_factor / 2**F))
        low_factor, high_factor = ends
        tables.append(table)
    assert all(table[0] == 2**W for table in tables)
    return tables, 4 * max(differences) + 12


def page_product(value: Fraction, precision: int) -> int | None:
    """Return p of an argument, None beyond the tables."""
    W = precision + 12
    product = 1 << W
    for table, bits in zip(reversed(page_tables(precision)[0]), (0, 9, 18, 27), strict=True):
        digit = floor(value * 2**bits)
        if digit >= len(table):
            assert bits == 0
            assert digit > Fraction(694, 1000) * precision
            return None
        value -= Fraction(digit, 2**bits)
        product = floor(Fraction(product * table[digit], 2**W))
    assert value < Fraction(1, 2**27)
    last = page_taylor(value, W, 27) - 4
    return floor(last * product / (1 << W))


def page(value: Fraction, precision: int) -> tuple[int, int]:
    """Return the enclosure of exp(-value) that the proof describes."""
    if value == 0:
        return 2**precision, 2**precision
    p = page_product(value, precision)
    if p is None:
        return 0, 1
    upper = ceil(Fraction(p + page_tables(precision)[1], 2**12))
    return floor(Fraction(p, 2**12)), min(upper, 2**precision)


@pytest.mark.parametrize("precision", [16, 17, 64, 96, 100, 256, 700])
def test_every_rounding_of_the_proof_is_there(precision: int) -> None:
    rng = random.Random(f"page {precision}")
    assert exp_tables(precision) == page_tables(precision)
    for _ in range(1000 if precision < 200 else 200):
        scale = rng.choice((0, 3, precision, 2 * precision + 9))
        most = precision * rng.choice((1, 20, 999)) << scale
        y = rng.randint(0, most // 1000 + 3)
        assert exp_enclosure(y, scale, precision) == page(Fraction(y, 2**scale), precision)


@pytest.mark.parametrize("spare", [0, 5])
@pytest.mark.parametrize("precision", [64, 100])
def test_every_unit_of_the_tables_counts(
    precision: int, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With fewer bits to spare than it takes to hide them.
    monkeypatch.setattr(interval, "TABLE_BITS", spare)
    assert exp_tables.__wrapped__(precision) == page_tables(precision, spare)


@pytest.mark.parametrize("precision", [16, 64])
def test_every_floor_of_the_product_is_there(
    precision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without bits to spare the lower end is p itself.
    rng = random.Random(f"floors {precision}")
    width = precision + 12
    monkeypatch.setattr(interval, "GUARD_BITS", 0)
    exp_tables.cache_clear()
    interval.exp_of_floor.cache_clear()
    try:
        for _ in range(200):
            r = rng.randrange(1, precision // 2 << width)
            low, _ = interval.exp_of_floor(r, width)
            assert low == page_product(Fraction(r, 2**width), precision)
    finally:
        exp_tables.cache_clear()
        interval.exp_of_floor.cache_clear()


@pytest.mark.parametrize("edge", ["lower", "upper"])
@pytest.mark.parametrize("precision", [16, 64, 96, 256])
def test_every_unit_counts(precision: int, edge: str) -> None:
    # Arguments for which p, or p + e, is within a few of its units of where an end steps.
    rng = random.Random(f"units {precision} {edge}")
    scale = precision + 12
    spare = page_tables(precision)[1] if edge == "upper" else 0
    for _ in range(60 if precision < 200 else 20):
        y = rng.randrange(1 << scale - 3, 1 << scale)
        p = page_product(Fraction(y, 2**scale), precision)
        assert p
        # One unit of the argument moves p by p / 2^scale units.
        y += ((p + spare - 1) % 4096 << scale) // p
        some = range(y - 12, y + 13)
        found = [exp_enclosure(near, scale, precision) for near in some]
        assert found == [page(Fraction(near, 2**scale), precision) for near in some]
        assert len({ends[edge == "upper"] for ends in found}) == 2
        # What is below a unit of the argument is left out, so a step is where it was.
        finer = [exp_enclosure((near << 9) + 1, scale + 9, precision) for near in some]
        assert finer == found


@pytest.mark.parametrize("precision", [16, 64, 96, 256, 1024])
def test_tables_sums_and_products_are_within_their_errors(precision: int) -> None:
    rng = random.Random(f"errors {precision}")
    width = precision + 12
    tables, error = exp_tables(precision)
    widest = (error - 12) // 4
    arb = irrational.floor_by_arb
    for table, scale in zip(tables, (27, 18, 9, 0), strict=True):
        for d in {1, len(table) - 1, *rng.sample(range(1, len(table)), 10)}:
            true = arb(d, scale, width)
            assert table[d] <= true < table[d] + widest
    for k in (1, 2, 9, 27):
        for _ in range(50):
            # A floor, and the least and nearly the largest number of which it is that.
            r = rng.randrange(1, 1 << width - k)
            assert taylor(r, width, k) == page_taylor(Fraction(r, 2**width), width, k)
            largest = arb(r, width, width)
            smallest = arb((r << 64) + (1 << 64) - 1, width + 64, width)
            assert taylor(r, width, k) - 4 <= smallest <= largest < taylor(r, width, k) + 4
    for _ in range(200):
        y = rng.randrange(1, precision << width - 1)
        product = page_product(Fraction(y, 2**width), precision)
        assert product is not None
        assert product <= arb(y, width, width) < product + error


def test_an_exponential_does_not_depend_on_those_before() -> None:
    # Tables are remembered: the same enclosure whatever was asked first.
    some = [(12345, 9, 96), (1, 0, 64), (99, 3, 128), (7, 40, 96)]
    exp_tables.cache_clear()
    forward = [exp_enclosure(*one) for one in some]
    exp_tables.cache_clear()
    assert [exp_enclosure(*one) for one in reversed(some)] == forward[::-1]


@pytest.mark.parametrize("precision", [16, 64, 96, 1000])
def test_integers_and_tiny_arguments_at_the_ends_of_the_tables(precision: int) -> None:
    last = 694 * precision // 1000
    one = 1 << precision
    assert exp_enclosure(last + 1, 0, precision) == (0, 1)
    some = [(n, 0, precision) for n in (1, 2, last - 1, last)]
    some += [((d << 5000) - 1, 5000 + bits, precision) for d in (1, 512) for bits in (0, 9, 18, 27)]
    some += [(1, bits, precision) for bits in range(1, 60)]
    some += [(2 * last + 1, 1, precision), (((last + 1) << 5000) - 1, 5000, precision)]
    assert violations(exp_enclosure, some, "arb") == []
    assert exp_enclosure(1, 10_000, precision) == (one - 1, one)


def test_the_last_table_goes_on_where_values_are_not_below_the_grid() -> None:
    # At 4 096 bits 0.694 is told from ln 2, which is more than 0.693.
    tables, _ = exp_tables(4096)
    assert list(map(len, tables)) == [513, 513, 513, 2842 + 1]
    assert exp_enclosure(2839, 0, 4096) == (1, 2)
    assert exp_enclosure(2843, 0, 4096) == (0, 1)


# --- many at once -----------------------------------------------------------------


@pytest.mark.parametrize("precision", [16, 27, 40, 96])
def test_lower_exponentials_are_the_products_of_the_page(precision: int) -> None:
    rng = random.Random(f"many {precision}")
    last = 694 * precision // 1000
    some = [0, 1, (1 << precision) - 1, last << precision, (last + 1 << precision) - 1]
    some += [last + 1 << precision, 10**30 << precision]
    some += [rng.randrange(3 << precision) for _ in range(500)]
    found, below = lower_exponentials(iter(some), precision)
    products = [page_product(Fraction(y, 2**precision), precision) for y in some]
    assert found == [p >> 12 if p is not None else 0 for p in products]
    assert below == page_tables(precision)[1] // 2**12 + 2
    for y, low in zip(some, found, strict=True):
        assert low <= irrational.floor_by_arb(y, precision, precision) < low + below


@pytest.mark.parametrize("precision", [16, 40, 42, 43, 56, 96])
def test_many_lower_exponentials_are_those_of_one(precision: int) -> None:
    """Every unit of the product counts where it is next to a step: of so many some are."""
    rng = random.Random(f"steps {precision}")
    some = [rng.randrange(1, 1 << precision) for _ in range(60_000)]
    found, _ = lower_exponentials(some, precision)
    assert found == [exp_enclosure(y, precision, precision)[0] for y in some]


@pytest.mark.parametrize("precision", [16, 64, 96])
def test_every_floor_of_many_is_there(precision: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bits to spare a lower end is p itself; small rests are where a floor of the sum
    shows, for what it moves is multiplied by the rest.
    """
    rng = random.Random(f"floors of many {precision}")
    width = precision + 12
    some = [*range(64), *((n << width) + d for n in (1, 2) for d in range(1, 9))]
    some += [rng.randrange(1, precision // 2 << width) for _ in range(200)]
    monkeypatch.setattr(interval, "GUARD_BITS", 0)
    exp_tables.cache_clear()
    try:
        found, _ = lower_exponentials(some, width)
    finally:
        exp_tables.cache_clear()
    assert found == [page_product(Fraction(r, 2**width), precision) for r in some]


def test_coarser_tables_move_lower_exponentials_by_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval, "TABLE_BITS", 0)
    exp_tables.cache_clear()
    _, below = lower_exponentials([], 64)
    exp_tables.cache_clear()
    assert below == page_tables(64, 0)[1] // 2**12 + 2 > 1000


# --- the test can fail ------------------------------------------------------------


def shifted(low_by: int, high_by: int) -> Enclose:
    def enclose(y: int, scale: int, precision: int) -> tuple[int, int]:
        floor = irrational.floor_by_mpfr(y, scale, precision)
        return floor + low_by, floor + 1 + high_by

    return enclose


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize(
    ("low_by", "high_by", "caught"), [(0, 0, False), (1, 0, True), (0, -1, True), (-4, 0, True)]
)
def test_every_oracle_catches_an_error_of_one_unit(
    oracle: str, low_by: int, high_by: int, caught: bool
) -> None:
    some = list(irrational.points_near_the_grid(random.Random(1), 20, 64))
    found = violations(shifted(low_by, high_by), some, oracle)
    assert (len(found) >= len(some)) == caught
    assert bool(found) == caught


def test_the_grid_points_are_adversarial() -> None:
    # An exp rounded to nearest at a few more bits, then to the grid, is wrong here.
    with mpmath.workprec(74):
        wrong = [
            int(mpmath.floor(mpmath.ldexp(mpmath.exp(mpmath.ldexp(-y, -scale)), precision)))
            != irrational.floor_by_arb(y, scale, precision)
            for y, scale, precision in irrational.points_near_the_grid(random.Random(2), 100, 64)
        ]
    assert sum(wrong) > 20


def test_roots_are_enclosed_at_any_precision() -> None:
    for d in range(1, 60):
        for precision in range(8):
            low, high = inverse_sqrt(d, precision)
            assert low * low * d <= 4**precision <= high * high * d
            assert high - low == (low * low * d != 4**precision)
