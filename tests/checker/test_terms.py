"""Lemma 7.5 term by term, and the counts built on the terms, against the definitions and
exhaustion.

Weights in the checker are scaled by one unknown positive number per query.  So each test asks
whether one such number
exists for which every weight and every term, at every position, token and answer, is on its right
side.  True weights
come from the enclosures of `tests/oracle.py`, 256 bits wide, of the exact score differences.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import floor, prod
from operator import floordiv
from types import SimpleNamespace
from typing import Any

import exhaustion
import oracle
import pytest
from exhaustion import bracket, exact_paths, widened
from models import Seeded
from usual import usual_places

from checker.cells import counting, screen, ties
from checker.cells.cell import Inputs, Known, Margin
from checker.cells.copies import Copies, Group
from checker.cells.counting import Count, Share
from checker.cells.derive import Cells
from checker.cells.enumeration import Enumerate, Enumeration
from checker.cells.extreme import Extreme, extreme_test
from checker.cells.parse import Cell
from checker.cells.paths import Paths
from checker.cells.tables import Extremes, Tables
from checker.cells.terms import Frame, Left, Terms, max_of_terms, term_upper
from checker.cells.ties import _sign, is_wrong
from checker.cells.weights import Ends, Scores
from checker.float32.cells import REAL, Slack
from checker.ground import exact, interval
from checker.ground.decode import big, dyadic
from checker.ground.errors import Declined, Malformed, Rejected
from checker.ground.exact import Matrix
from checker.ground.interval import inverse_sqrt
from checker.ground.ledger import CEILING, Ledger
from checker.statement.outcome import Outcome
from checker.statement.scope import Scope

BITS = 256
EVERY = Scope("uniform", "inputs", ())
"""The scope of tests that make a frame by hand."""
Bounds = tuple[Fraction, Fraction]


def ledger() -> Ledger:
    return Ledger(lambda done: None)


def random_paths(
    rng: random.Random, vocab: int, n: int, *, d_head: int | None = None, spread: int = 60
) -> Paths:
    return exhaustion.random_paths(Seeded(rng), vocab, n, d_head=d_head, spread=spread)


def scores_of(paths: Paths, precision: int = 64, book: Ledger | None = None) -> Scores:
    return Scores(Tables(paths, book or ledger()), precision)


def make_inputs(m: int, queries: list[int], lengths: list[int]) -> Inputs:
    """Return the inputs of a cell with blocks of these lengths below the maximum."""
    ends = [0, *itertools.accumulate(lengths), m + 1]
    return Inputs(m, sorted(queries), [(a, b - 1) for a, b in itertools.pairwise(ends)])


def left_of(frame: Any, terms: dict[int, Terms], size: int = 0, book: Ledger | None = None) -> Left:
    """Return what a method is given, with a ledger of its own."""
    frame.ledger = book or ledger()
    return Left("cell", frame, terms, 0, size)


def within(frame: Any, deficits: Any, limit: int, book: Ledger | None = None) -> int:
    frame.ledger = book or ledger()
    return counting._within(frame, deficits, limit)


def counted_of(frame: Any, terms: Terms, bins: int, scaled: Any, book: Ledger | None = None) -> int:
    frame.ledger = book or ledger()
    return counting._counted(frame, terms, bins, scaled)


def right(frame: Any, terms: dict[int, Terms], groups: Any, book: Ledger | None = None) -> int:
    """Return the weight that `copies` shows right; groups are written as pairs."""
    method = Copies(tuple(Group(count, blocks) for count, blocks in groups))
    found = method.failures(left_of(frame, terms, 0, book))
    assert found.lower == 0
    return -found.upper


def shares_of(pairs: Any) -> tuple[Share, ...]:
    return tuple(Share(bins, answers) for bins, answers in pairs)


def enumeration_of(frame: Any, answers: list[Terms], book: Ledger | None = None) -> Enumeration:
    frame.ledger = book or ledger()
    return Enumeration(frame, answers)


def random_lengths(rng: random.Random, m: int, *, single: bool = False) -> list[int]:
    lengths, left = [], m
    while left:
        lengths.append(1 if single else rng.randint(1, left))
        left -= lengths[-1]
    return lengths


def ends_of(frame: Frame) -> list[dict[int, tuple[int, int]]]:
    """Return both ends of every weight, per position and block."""
    pairs = zip(frame.lows, frame.highs, strict=True)
    return [{b: (low[b], high[b]) for b in low} for low, high in pairs]


def random_cell(rng: random.Random, vocab: int, *, single: bool = False) -> Inputs:
    """Return a cell with random queries and blocks."""
    m = rng.randrange(vocab)
    below = (
        rng.sample(range(m), rng.randint(1, 1 if single else m))
        if m and rng.random() < 0.8
        else [m]
    )
    return make_inputs(m, below, random_lengths(rng, m, single=single))


def everything(cell: Inputs, n: int) -> tuple[int, ...]:
    return ((2 << cell.maximum) - 1,) * n


def true_weights(paths: Paths, q: int, tokens: list[int]) -> dict[tuple[int, int], Bounds]:
    """Return enclosures of all weights of a query, relative to the largest; at the last position
    that of the query alone.
    """
    last = len(paths.pvou) - 1
    scores = {(i, t): paths.eqke_low[q][t] + paths.eqkp[q][i] for i in range(last) for t in tokens}
    scores[last, q] = paths.eqke_low[q][q] + paths.eqkp[q][last]
    top = max(scores.values())
    found = {}
    for at, score in scores.items():
        low, high = oracle.exp_of_minus_root(
            top - score, 1 << paths.score_scale, paths.d_head, BITS
        )
        assert low > 0
        found[at] = Fraction(low, 1 << BITS), Fraction(high, 1 << BITS)
    return found


class Factor:
    """The numbers c > 0 that are not yet ruled out as the factor of one query."""

    def __init__(self) -> None:
        self.low, self.high = Fraction(0), Fraction(10) ** 100

    def at_most(self, weight: Bounds, bracket: int, bound: int) -> None:
        """Learn that c * weight * bracket <= bound."""
        if bracket > 0:
            self.high = min(self.high, Fraction(bound) / (weight[0] * bracket))
        elif bracket < 0:
            self.low = max(self.low, Fraction(bound) / (weight[0 if bound > 0 else 1] * bracket))
        elif bound < 0:
            self.high = Fraction(-1)

    def at_least(self, weight: Bounds, bracket: int, bound: int) -> None:
        """Learn that c * weight * bracket >= bound."""
        self.at_most(weight, -bracket, -bound)

    def between(self, weight: Bounds, lower: int, upper: int) -> None:
        """Learn that lower <= c * weight <= upper."""
        self.at_most(weight, 1, upper)
        self.low = max(self.low, Fraction(lower) / weight[1])

    @property
    def exists(self) -> bool:
        return self.high > 0 and self.low <= self.high


def learn(frame: Frame, paths: Paths, q: int, mu: int, answers: list[int]) -> Factor:
    """Return the factors of one query for which everything that a frame says of the true paths is
    true.
    """
    m, n = frame.maximum, len(paths.pvou)
    blocks = [range(first, last + 1) for first, last in frame.blocks]
    weights, factor = true_weights(paths, q, list(range(m + 1))), Factor()
    held = {(i, t): next(b for b, block in enumerate(blocks) if t in block) for i, t in weights}
    queried = {b for b, block in enumerate(blocks) if set(block) & set(frame.queries)}
    assert queried == set(frame.lows[-1]) == set(frame.highs[-1])
    for (i, t), b in held.items():
        factor.between(weights[i, t], frame.lows[i][b], frame.highs[i][b])
    heaviest = sum(
        (max(low for (i, _), (low, _) in weights.items() if i == place) for place in range(n)),
        Fraction(0),
    )
    factor.at_most((heaviest, heaviest), 1, sum(max(row.values()) for row in frame.highs))
    allowed = ((2 << m) - 1,) * n
    for j in answers:
        upper = frame.upper_terms(j, allowed, mu)
        lower = frame.lower_terms(j, allowed) if frame.exact else None
        assert frame.forced == (q != m)
        assert [set(row) for row in upper] == [set(row) for row in frame.lows]
        for (i, t), b in held.items():
            value = bracket(paths, q, m, j, i, t)
            factor.at_most(weights[i, t], value + mu, upper[i][b])
            if lower:
                factor.at_least(weights[i, t], value, lower[i][b])
    return factor


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(90))
def test_every_weight_and_every_term_is_on_its_side(seed: int, wide: bool) -> None:
    rng = random.Random(seed)
    vocab, n = rng.randint(2, 5), rng.randint(1, 4)
    cell = random_cell(rng, vocab, single=seed % 3 == 0)
    if n == 1 and cell.forced:
        n = 2
    true = random_paths(rng, vocab, n)
    paths = widened(Seeded(rng), true) if wide else true
    frame = Frame(scores_of(paths, rng.choice((64, 100, 300))), cell, ((1,) * vocab,) * n, EVERY)
    answers = [j for j in range(vocab + 1) if j != cell.maximum]
    assert frame.exact == (
        not wide and len(cell.queries) == 1 and len(frame.blocks) == cell.maximum + 1
    )
    for q in frame.queries:
        assert learn(frame, true, q, rng.choice((0, 1, 100)), answers).exists


@pytest.mark.parametrize("d_head", [1, 2, 4, 31, 32])
def test_single_cells_are_enclosed_narrowly(d_head: int) -> None:
    # Sound bounds could be loose: with one query and single tokens each weight is known to 2^-40 of
    # the largest.
    rng = random.Random(d_head)
    for _ in range(10):
        paths, cell = (
            random_paths(rng, 4, 3, d_head=d_head, spread=30),
            random_cell(rng, 4, single=True),
        )
        *free, last = Frame(scores_of(paths), cell, ((1,) * 4,) * 3, EVERY).weights
        assert all(0 <= high - low <= 4 for row in free for low, high in row.values())
        assert all(0 <= high - low <= 2 for low, high in last.values())
        tops = [high for row in [*free, last] for _, high in row.values()]
        assert max(tops) <= 1 << 64
        assert (1 << 64) - max(tops) <= 4 or max(tops) < 1 << 64


@pytest.mark.parametrize("seed", range(20))
def test_lower_terms_make_up_for_the_error_of_logits(seed: int) -> None:
    # SPEC-12.5: B/rho, rounded up, is taken off every bracket.
    rng = random.Random(seed)
    error, share = rng.choice((1, 7, 100)), rng.choice((1 << 96, (1 << 96) - 1, 3 << 94))
    slack = Slack(rng.choice((0, 3)), error, share)
    paths, cell = random_paths(rng, 4, 3), random_cell(rng, 4, single=True)
    frame = Frame(Scores(Tables(paths, ledger()), 64, slack), cell, ((1,) * 4,) * 3, EVERY)
    lost = -(-(error << 96) // share)
    q, m = cell.queries[0], cell.maximum
    for j in {0, 1, 2, 3, 4} - {m}:
        found = frame.lower_terms(j, everything(cell, 3))
        for i, row in enumerate(found):
            for t, term in row.items():
                value = bracket(paths, q, m, j, i, t) - lost
                low, high = frame.lows[i][t], frame.highs[i][t]
                assert term == min(low * value, high * value)


def test_pooled_weights_reach_both_ends() -> None:
    # Two queries and two tokens, by hand: scores relative to the maximum's are 0, -16, -32, -48
    # sixteenths.
    scores = ((-16, 0, 0), (-48, -32, 0), (0, 0, 0))
    paths = exact_paths(
        scores, ((0, 0),) * 3, 4, ((0, 0, 0),) * 3, ((0, 0, 0),) * 2, ((0, 0, 0),) * 3, 0, 1
    )
    free, last = Frame(
        scores_of(paths), make_inputs(2, [0, 1], [2]), ((1,) * 3,) * 2, EVERY
    ).weights
    low, high = (oracle.exp_of_minus_root(y, 1, 1, 64) for y in (3, 0))
    assert abs(free[0][0] - low[0]) <= 4
    assert abs(free[0][1] - high[1]) <= 4
    assert abs(free[1][0] - high[0]) <= 4
    assert list(last) == [0]
    for found, y in zip(last[0], (2, 1), strict=True):
        assert abs(found - oracle.exp_of_minus_root(y, 1, 1, 64)[0]) <= 4


def test_exp_ends_enclose_in_the_right_order() -> None:
    rng = random.Random(5)
    for d_head in (1, 2, 3, 4, 32):
        paths = random_paths(rng, 2, 2, d_head=d_head)
        scores, book = scores_of(paths), 0
        before = scores.tables.ledger.total
        for _ in range(200):
            low, high = sorted(rng.choice((0, rng.randrange(400))) for _ in range(2))
            precision = rng.choice((64, 128))
            (found,) = scores.exp_ends([(low, high)], precision)
            book += 2
            least, most = (oracle.exp_of_minus_root(y, 16, d_head, precision) for y in (high, low))
            assert found[0] <= least[1]
            assert found[1] >= most[0]
            assert least[0] - found[0] <= 4
            assert found[1] - most[1] <= 4
        assert scores.tables.ledger.exp == book == scores.tables.ledger.total - before


def test_each_end_of_a_weight_takes_its_own_end_of_the_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Real enclosures of a root are too narrow to tell their ends apart at 64 bits.
    asked: list[tuple[int, int, int]] = []

    def numbered(d: int, scale: int, precision: int) -> tuple[int, int]:
        asked.append((d, scale, precision))
        return len(asked), 10

    monkeypatch.setattr(interval, "inverse_sqrt", lambda d, precision: (5, 7))
    monkeypatch.setattr(interval, "exp_enclosure", numbered)
    scores = scores_of(random_paths(random.Random(1), 2, 2))
    assert scores.exp_ends([(3, 11)], 64) == [(1, 10)]
    scale = scores.tables.paths.score_scale + 64 + 64
    assert asked == [(11 * 7, scale, 64), (3 * 5, scale, 64)]


def test_the_square_root_is_exact_where_it_is_rational() -> None:
    for d, root in ((1, 1), (4, 2), (16, 4), (64, 8)):
        for precision in (8, 64, 129):
            assert inverse_sqrt(d, precision) == ((1 << precision) // root,) * 2
    for d in (2, 3, 9, 32):
        lower, upper = inverse_sqrt(d, 64)
        assert upper == lower + 1


# --- the extreme test -------------------------------------------------------------


def random_terms(rng: random.Random, frame: Any, size: int = 20, *, gaps: float = 0) -> Terms:
    """Return terms for a frame; at the last position some blocks hold no query."""
    width = len(frame.blocks)
    rows = [
        {b: rng.randint(-size, size) for b in range(width) if rng.random() >= gaps}
        for _ in frame.multiplicities
    ]
    for b, weight in enumerate(frame.multiplicities[-1]):
        if not weight:
            rows[-1].pop(b, None)
    return rows


def extreme_of(frame: Any, terms: Terms) -> tuple[Terms | None, int | None]:
    """Return what the extreme test leaves of these terms for a frame."""
    return extreme_test(terms, len(frame.blocks) - 1, forced=frame.forced)


def stub(
    rng: random.Random,
    *,
    free: tuple[int, int] = (1, 4),
    width: int | None = None,
    big_weights: bool = False,
) -> Any:
    """Return a frame as far as counting and enumeration look at it; its last block is the
    maximum's.
    """
    count, blocks = rng.randint(*free), width or rng.randint(1, 4)
    sizes = (0, 1, 2, 3, 10**30) if big_weights else (1, 1, 2, 3)
    weights = [[rng.choice(sizes) for _ in range(blocks)] for _ in range(count)]
    forced = count > 0 and blocks > 1 and rng.random() < 0.7
    last = (
        [rng.choice((0, 1, 2)) for _ in range(blocks - 1)] + [0]
        if forced
        else [0] * (blocks - 1) + [rng.choice((1, 3))]
    )
    if not any(last):
        last[0] = 1
    tokens = [(t, t) for t in range(blocks)]
    ends = [dict.fromkeys(b for b, weight in enumerate(row) if weight) for row in (*weights, last)]
    return SimpleNamespace(
        scope=EVERY,
        multiplicities=[*weights, last],
        blocks=tokens,
        forced=forced,
        maximum=blocks - 1,
        highs=ends,
    )


def tuples_of(frame: Any) -> list[tuple[tuple[int, ...], int]]:
    """Return every tuple of blocks that belongs to the cell, the last position's last, with its
    weight.
    """
    width, free = len(frame.blocks), len(frame.multiplicities) - 1
    every = itertools.product(
        *[range(width)] * free, [b for b, weight in enumerate(frame.multiplicities[-1]) if weight]
    )
    held = [t for t in every if not frame.forced or width - 1 in t[:-1]]
    return [(t, prod(row[b] for row, b in zip(frame.multiplicities, t, strict=True))) for t in held]


def total_of(terms: Terms, blocks: tuple[int, ...]) -> int | None:
    """Return the sum of the terms of a tuple, nothing if one is missing."""
    if any(b not in row for row, b in zip(terms, blocks, strict=True)):
        return None
    return sum(row[b] for row, b in zip(terms, blocks, strict=True))


def fails(terms: Terms, blocks: tuple[int, ...]) -> bool:
    total = total_of(terms, blocks)
    return total is not None and total >= 0


def lowered(terms: Terms, by: int) -> Terms:
    """Return the terms with the last position's so much lower: every sum falls by as much."""
    return [*terms[:-1], {b: value - by for b, value in terms[-1].items()}]


@pytest.mark.parametrize("gaps", [0, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(50))
def test_the_extreme_test_is_the_largest_sum(seed: int, gaps: float) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(0, 4))
    terms = random_terms(rng, frame, gaps=gaps)
    sums = [
        total for blocks, _ in tuples_of(frame) if (total := total_of(terms, blocks)) is not None
    ]
    if not sums:
        assert extreme_of(frame, terms) == (None, None)
        return
    for by in (1, 2, 50):
        assert extreme_of(frame, lowered(terms, max(sums) + by)) == (None, -by)
    for by in (0, -1, -50):
        assert extreme_of(frame, lowered(terms, max(sums) + by))[0] is not None


@pytest.mark.parametrize("gaps", [0, 0.3])
@pytest.mark.parametrize("seed", range(100))
def test_an_entry_is_removed_exactly_if_no_failing_tuple_holds_it(seed: int, gaps: float) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(0, 4))
    terms = random_terms(rng, frame, size=rng.choice((3, 20)), gaps=gaps)
    kept, largest = extreme_of(frame, terms)
    if kept is None:
        assert not any(fails(terms, blocks) for blocks, _ in tuples_of(frame))
        return
    removed = []
    for i, row in enumerate(terms):
        for b, value in row.items():
            held = [total_of(terms, t) for t, _ in tuples_of(frame) if t[i] == b]
            best = max((total for total in held if total is not None), default=None)
            assert (b in kept[i]) == (best is not None and best >= 0)
            assert kept[i].get(b, value) == value
            removed += [best] if best is not None and best < 0 else []
    assert largest == max(removed, default=None)
    assert extreme_of(frame, kept) == (kept, None)


def test_a_position_without_the_maximum_takes_no_gain_away() -> None:
    # The maximum may be at position 1, for one less; position 0 cannot hold it.  So the sum is
    # exactly zero: a tie.
    for loss in (-1, -2, 0):
        terms = [{0: 5}, {0: 0, 2: loss}, {0: 0, 2: -9}, {0: -5 - loss}]
        kept, largest = extreme_test(terms, 2, forced=True)
        assert kept == [{0: 5}, {2: loss}, {0: 0}, {0: -5 - loss}]
        assert largest == -9 - loss


def test_terms_without_inputs_are_no_sums() -> None:
    # A position without terms; a forced maximum that no position has; and one position has it, but
    # not this entry's.
    assert extreme_test([{0: 5}, {}], 1, forced=False) == (None, None)
    assert extreme_test([{0: -5}, {0: -5}, {0: -5}], 1, forced=True) == (None, None)
    left = [{1: -1}, {0: 2}]
    assert extreme_test([{0: -9, 1: -1}, {0: 2}], 1, forced=True) == (left, None)
    assert extreme_test([{0: -9, 1: -1}, {0: 2, 2: -5}], 1, forced=False) == (left, -6)


def test_the_largest_term_of_several_answers() -> None:
    parts = [[{0: 1, 2: 5}, {1: 7}], [{0: 3, 1: -4}, {0: 1, 1: 6}]]
    merged = max_of_terms(parts)
    assert merged == [{0: 3, 1: -4, 2: 5}, {0: 1, 1: 7}]
    assert max_of_terms(parts[:1]) == parts[0]


# --- copies -----------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [0, 0.3])
@pytest.mark.parametrize("seed", range(80))
def test_copies_are_right_exactly_if_no_choice_of_positions_reaches_zero(
    seed: int, gaps: float
) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(0, 4), big_weights=seed % 5 == 0)
    free, last = len(frame.multiplicities) - 1, len(frame.blocks) - 1
    terms = {
        j: random_terms(rng, frame, rng.choice((2, 20)), gaps=gaps)
        for j in range(rng.randint(1, 2))
    }
    if any(not all(part) for part in terms.values()):
        return
    for part in terms.values():
        for row in part:
            row.update({b: value - rng.choice((0, 15)) for b, value in row.items()})
    for blocks in ((), ((0, last - 1),), ((0, 0),), ((1, last - 1),), ((0, 0), (2, 2))):
        if any(not 0 <= first <= end < last for first, end in blocks):
            continue
        chosen = {b for first, end in blocks for b in range(first, end + 1)}
        expected, groups = 0, []
        for count in range(free + 1 - frame.forced):
            held = [
                (t, w)
                for t, w in tuples_of(frame)
                if sum(b != last for b in t[:-1]) == count and chosen | {last} >= {*t[:-1]}
            ]
            wrong = any(fails(part, t) for part in terms.values() for t, _ in held)
            counted = sum(w for _, w in held)
            assert right(frame, terms, ((count, blocks),)) == (0 if wrong else counted)
            expected += 0 if wrong else sum(w for _, w in held)
            groups.append((count, blocks))
        rng.shuffle(groups)
        assert right(frame, terms, tuple(groups)) == expected
    assert right(frame, terms, ()) == 0


def test_the_groups_of_copies_by_hand() -> None:
    # Three free positions, weights 2 for the maximum, 3 and 5 for two blocks: z^2 of (2 + 8 z)^3,
    # times 7.
    frame: Any = SimpleNamespace(
        scope=EVERY,
        multiplicities=[[3, 5, 2]] * 3 + [[4, 3, 0]],
        blocks=[(0, 0), (1, 1), (2, 2)],
        forced=True,
        highs=[{}],
    )
    lost = [{0: -9, 1: -1, 2: 4}] * 3 + [{0: -5, 1: -4}]
    assert right(frame, {0: lost}, ((2, ((0, 1),)),)) == 3 * 8 * 8 * 2 * 7
    assert right(frame, {0: lost}, ((1, ((0, 1),)),)) == 0  # 4 + 4 - 1 - 4 is not negative
    assert right(frame, {0: lost}, ((1, ((0, 0),)),)) == 3 * 2 * 2 * 3 * 7  # 4 + 4 - 9 - 4 is
    assert right(frame, {0: lost}, ((1, ((0, 0),)), (2, ((0, 1),)))) == 252 + 2688
    tie = [{0: -4, 1: -1, 2: 4}] * 3 + [{0: -5, 1: -4}]
    assert right(frame, {0: tie}, ((1, ((0, 0),)),)) == 0  # exactly zero is a tie


def test_a_missing_term_beats_the_answer_even_among_zeros() -> None:
    zeros = [{0: 0, 2: 0}, {0: 0, 2: 0}, {2: 0}]
    frame: Any = SimpleNamespace(
        scope=EVERY,
        multiplicities=[[1, 1, 1], [1, 1, 1], [0, 0, 1]],
        highs=[{}],
        blocks=[(0, 0), (1, 1), (2, 2)],
    )
    assert right(frame, {0: zeros}, ((1, ((1, 1),)),)) == 2  # block 1 has no term anywhere
    assert right(frame, {0: zeros}, ((1, ((0, 1),)),)) == 0  # block 0 has, and ties


# --- tables -----------------------------------------------------------------------


@pytest.mark.parametrize("choose", [max, min])
def test_windows_are_the_extremes_of_their_lines(choose: Any) -> None:
    rng = random.Random(3)
    for count in (1, 2, 3, 5, 8, 13):
        lines = [tuple(rng.randint(-9, 9) for _ in range(3)) for _ in range(count)]
        table = Extremes([lines], choose, ledger())
        pairs = [(a, b) for a in range(count) for b in range(a, count)]
        rng.shuffle(pairs)
        for a, b in pairs:
            one, two = table.windows(a, b)
            assert tuple(map(choose, one, two)) == tuple(
                map(choose, zip(*lines[a : b + 1], strict=True))
            )
            assert (one is two) == ((b - a + 1).bit_count() == 1)


def test_levels_of_windows_are_charged_once_and_when_needed() -> None:
    book = ledger()
    table = Extremes([[(0, 0, 0)] * 8], max, book)
    assert table.windows(3, 3) == ((0, 0, 0),) * 2
    assert book.total == 0
    table.windows(2, 3)
    assert (book.cmp, book.total) == (7 * 3, 21)
    table.windows(0, 6)
    assert book.total == 21 + 5 * 3
    table.windows(0, 5)
    table.windows(0, 0)
    assert book.total == 36
    table.windows(0, 7)
    assert book.total == 36 + 3


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_tables_hold_what_they_say(seed: int, wide: bool) -> None:
    rng = random.Random(seed)
    vocab, n = rng.randint(1, 6), rng.randint(1, 3)
    paths = random_paths(rng, vocab, n)
    paths = widened(Seeded(rng), paths) if wide else paths
    tables, answers = Tables(paths, ledger()), range(vocab + 1)
    for q, row in enumerate(paths.eqkp):
        kappa = sum(row[:-1]) // max(n - 1, 1)
        assert tables.places[q] == tuple(score - kappa for score in row)
    for m in range(vocab):
        for _ in range(3):
            cell = make_inputs(
                m, rng.sample(range(m + 1), rng.randint(1, m + 1)), random_lengths(rng, m)
            )
            layout = tables.layout(cell.blocks)
            assert tables.layout(list(cell.blocks)) is layout
            *spans, own = tables.spans(cell.queries, layout)
            assert own == (0, 0)
            for (first, last), (low, high) in zip(cell.blocks, spans, strict=False):
                pairs = [(q, t) for q in cell.queries for t in range(first, last + 1)]
                assert low == min(paths.eqke_low[q][t] - paths.eqke_high[q][m] for q, t in pairs)
                assert high == max(paths.eqke_high[q][t] - paths.eqke_low[q][m] for q, t in pairs)
            for b, (first, last) in enumerate(cell.blocks):
                tokens = range(first, last + 1)
                assert [layout.at[t] for t in tokens] == [b] * len(tokens)
                assert layout.masks[b] == sum(1 << t for t in tokens)
            for j in answers:
                assert layout.above(j) == [
                    max(paths.evou_high[t][j] for t in range(first, last + 1))
                    - min(paths.evou_low[t][m] for t in range(first, last + 1))
                    for first, last in cell.blocks
                ]
    found = tables
    means = [sum(row) // (vocab + 1) for row in paths.eu_low]
    for m in range(vocab):
        upto = range(m + 1)
        assert list(found.direct_high[m]) == [
            max(paths.eu_high[q][j] - means[q] for q in upto) for j in answers
        ]
        assert list(found.direct_low[m]) == [
            min(paths.eu_low[q][j] - means[q] for q in upto) for j in answers
        ]
        assert found.place_high[m] == max(max(tables.places[q]) for q in upto)
        assert found.place_low[m] == min(min(tables.places[q]) for q in upto)


def some_cell(seed: int, *, wide: bool) -> tuple[random.Random, Paths, Inputs]:
    """Return paths of six tokens and a cell of several blocks and queries below its maximum."""
    rng = random.Random(seed)
    plain = random_paths(rng, 6, rng.randint(1, 3))
    m = rng.randint(3, 5)
    queries = rng.sample(range(m), rng.randint(1, m))
    cell = make_inputs(m, queries if rng.random() < 0.8 else [m], random_lengths(rng, m))
    return rng, widened(Seeded(rng), plain) if wide else plain, cell


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_the_scores_of_the_last_position_are_extremes_over_the_queries_of_a_block(
    seed: int, wide: bool
) -> None:
    _, paths, cell = some_cell(seed, wide=wide)
    m, book = cell.maximum, ledger()
    scores = scores_of(paths, book=book)
    layout = scores.tables.layout(cell.blocks)
    before = book.add
    found = scores._last(cell.queries, layout)
    due = {}
    for b, (first, last) in enumerate(cell.blocks):
        asked = [q for q in cell.queries if first <= q <= last]
        own = {q: scores.tables.places[q][-1] for q in asked}
        lows = [own[q] + (paths.eqke_low[q][q] - paths.eqke_high[q][m]) * (q < m) for q in asked]
        highs = [own[q] + (paths.eqke_high[q][q] - paths.eqke_low[q][m]) * (q < m) for q in asked]
        if asked:
            due[b] = min(lows), max(highs)
    assert found == due
    # SPEC-7.5: per query below m an addition, or two if the ends differ.
    assert book.add - before == (1 + wide) * sum(q < m for q in cell.queries)


def test_blocks_of_several_queries_reach_over_them() -> None:
    several = 0
    for seed in range(20):
        _, _, cell = some_cell(seed, wide=True)
        several += any(sum(a <= q <= b for q in cell.queries) > 1 for a, b in cell.blocks)
    assert several > 4


def spent(book: Ledger) -> list[int]:
    """Return how much of each kind was charged."""
    return [book.mul, book.add, book.cmp, book.exp]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_spans_and_brackets_cost_what_the_page_says(seed: int, wide: bool) -> None:
    _, paths, cell = some_cell(seed, wide=wide)
    book = ledger()
    frame = Frame(scores_of(paths, book=book), cell, ((1,) * 6,) * len(paths.pvou), EVERY)
    queries, others = len(cell.queries), cell.blocks[:-1]
    several = sum(first < last for first, last in others)
    # Per query and block below m an addition (two, if its ends differ) and two comparisons, two
    # more for a block of several tokens.
    differ = len(others) if wide else several
    add, cmp = queries * (len(others) + differ), queries * 2 * (len(others) + several)
    before = spent(book)
    frame.scores.tables.spans(cell.queries, frame.layout)
    assert spent(book) == [before[0], before[1] + add, before[2] + cmp, before[3]]
    # Two operations per query, one per block, three additions per position, and a comparison per
    # block that no single window covers: one whose length is no power of two.
    covered = [(last - first + 1).bit_count() == 1 for first, last in cell.blocks]
    add = queries + len(cell.blocks) + 3 * len(paths.pvou)
    cmp = queries + covered.count(False)
    before = spent(book)
    frame.brackets((cell.maximum + 1) % 7, 0, term_upper)
    assert spent(book) == [before[0], before[1] + add, before[2] + cmp, before[3]]


@pytest.mark.parametrize("mu", [0, 5])
@pytest.mark.parametrize("seed", range(12))
def test_what_is_removed_is_beaten_by_its_sum_over_the_largest_weights(seed: int, mu: int) -> None:
    paths = exhaustion.likely_paths(Seeded(random.Random(seed)), 5, 3)
    derived = Cells(paths, usual_places({"d_vocab": 5, "n_ctx": 3}), 64, ledger())
    query = seed % 4
    written: Any = Cell(
        "cell", 4, ((query, query),), Margin(0, 0), ((1, 4),), Enumerate(), (), None
    )
    frame = derived.frame(written)
    every: tuple[int, ...] = (31,) * 3
    answers = {j: every for j in range(len(paths.pvou[0])) if j != 4}
    _, margin = derived._left(written, frame, Known(answers, None), mu)
    removed = []
    for j, allowed in answers.items():
        terms = frame.upper_terms(j, allowed, mu)
        removed.append(extreme_test(terms, 4, forced=frame.forced)[1])
    sums = [total for total in removed if total is not None]
    assert sums
    # SPEC-7.6: the quotient rounded down to the scale of logits, the margin to a multiple of 2^-20.
    heaviest = sum(max(row.values()) for row in frame.highs)
    logits = mu + floor(Fraction(-max(sums), heaviest))
    assert margin == floor(Fraction(logits << 20, 1 << paths.value_scale))


# --- screen -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_screen_keeps_what_its_sums_leave(n: int) -> None:
    # Three blocks, the last {m}; SPEC-7.15 with every sum at zero and one beside it.
    for terms in itertools.product(range(-3, 3), repeat=3):
        *others, own = terms
        largest = max(terms)
        beaten = own + (n - 1) * largest
        more = n - 2 if n > 1 else 0
        sums = [term + own + more * largest for term in others]
        kept = [b for b, total in enumerate(sums) if total >= 0]
        removed = max((total for total in sums if total < 0), default=None)
        due = ([], beaten) if beaten < 0 else ([*kept, 2], removed)
        assert screen._kept(list(terms), n) == due


VALUES = ("evou_low", "evou_high")


def test_a_screen_of_ties_removes_nothing() -> None:
    for n in (1, 2, 3):
        paths = exact_paths(
            ((0,) * 3,) * 3,
            ((0,) * n,) * 3,
            4,
            ((0,) * 3,) * 3,
            ((0,) * 3,) * n,
            ((0,) * 3,) * 3,
            3,
            1,
        )
        cell = make_inputs(2, [0, 1, 2], [1, 1])
        every = dict.fromkeys((0, 1), (7,) * n)
        assert screen.screened(scores_of(paths), cell, every, 0) == (every, None, n << 64)


def screen_terms(scores: Scores, cell: Inputs, j: int, mu: int) -> tuple[list[int], int]:
    """Return the terms of SPEC-7.15 from their definition, and the largest weight."""
    paths, m, upto = scores.tables.paths, cell.maximum, range(cell.maximum + 1)
    mean = [sum(row) // len(row) for row in paths.eu_low]
    direct = max(paths.eu_high[q][j] - mean[q] for q in upto) - min(
        paths.eu_low[q][m] - mean[q] for q in upto
    )
    place = max(row[j] for row in paths.pvou) - min(row[m] for row in paths.pvou)
    high, low = (choose(choose(scores.tables.places[q]) for q in upto) for choose in (max, min))
    spans = []
    for first, last in cell.blocks:
        tokens = range(first, last + 1)
        most = max(paths.eqke_high[q][t] - paths.eqke_low[q][m] for q in upto for t in tokens)
        least = min(paths.eqke_low[q][t] - paths.eqke_high[q][m] for q in upto for t in tokens)
        spans.append((least, most) if first < m else (0, 0))
    top = max(most for _, most in spans) + high
    terms, heaviest = [], 0
    for (first, last), (least, most) in zip(cell.blocks, spans, strict=True):
        tokens = range(first, last + 1)
        value = (
            max(paths.evou_high[t][j] for t in tokens)
            - min(paths.evou_low[t][m] for t in tokens)
            + place
            + direct
            + mu
        )
        below = top - least - low + scores.slack.score_error  # SPEC-12.5
        (ends,) = scores.exp_ends([(top - most - high, below)], scores.precision)
        heaviest = max(heaviest, ends[1])
        terms.append(ends[1] * value if value > 0 else ends[0] * value)
    return terms, heaviest


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_a_screen_is_its_definition(seed: int, wide: bool) -> None:
    rng = random.Random(seed)
    vocab, n, mu = rng.randint(1, 9), rng.randint(1, 4), rng.choice((0, 0, 1, 30))
    make = exhaustion.likely_paths if seed % 3 else exhaustion.random_paths
    paths = make(Seeded(rng), vocab, n)
    paths = widened(Seeded(rng), paths) if wide else paths
    falling = rng.choice(
        (0, 100, 1000)
    )  # a constant of each row, so that the last token of a block may be the least
    evou: dict[str, Any] = {
        name: tuple(
            tuple(v - falling * t for v in row) for t, row in enumerate(getattr(paths, name))
        )
        for name in VALUES
    }
    paths = replace(paths, **evou)
    m = rng.randrange(vocab)
    lengths = rng.choice(
        (random_lengths(rng, m), [3] * (m // 3) + [m % 3] * (m % 3 > 0), [m] * (m > 0))
    )
    cell = make_inputs(m, list(range(m + 1)), lengths)
    answers = tuple(j for j in range(len(paths.pvou[0])) if j != m)
    scores = Scores(Tables(paths, ledger()), 64, Slack(score_error=rng.choice((0, 0, 7))))
    expected, all_removed, every = {}, [], ((2 << m) - 1,) * n
    for j in answers:
        terms, heaviest = screen_terms(scores, cell, j, mu)
        own, largest, mask, removed = terms[-1], max(terms), 1 << m, []
        if own + (n - 1) * largest < 0:
            removed.append(own + (n - 1) * largest)
        else:
            for (first, last), term in list(zip(cell.blocks, terms, strict=True))[:-1]:
                bound = term + own + max(n - 2, 0) * largest
                mask |= (2 << last) - (1 << first) if bound >= 0 else 0
                removed += [bound] if bound < 0 else []
            expected[j] = (mask,) * n
        alone = {j: expected[j]} if j in expected else {}
        assert screen.screened(scores, cell, {j: every}, mu) == (
            alone,
            max(removed, default=None),
            n * heaviest,
        )
        all_removed += removed
    assert screen.screened(scores, cell, dict.fromkeys(answers, every), mu)[:2] == (
        expected,
        max(all_removed, default=None),
    )
    odd = {j: tuple(rng.getrandbits(m + 1) for _ in range(n)) for j in answers}
    kept = {j: tuple(a & b for a, b in zip(expected[j], odd[j], strict=True)) for j in expected}
    assert screen.screened(scores, cell, odd, mu)[0] == kept, (
        "what was removed before stays removed"
    )


# --- counting ---------------------------------------------------------------------


def upward(gap: int, step: int) -> int:
    """Return the quotient rounded up, as for a lower count."""
    return -(-gap // step)


@pytest.mark.parametrize("seed", range(80))
def test_within_counts_every_input_once(seed: int) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(0, 4), big_weights=seed % 2 == 0)
    terms = random_terms(rng, frame, gaps=rng.choice((0, 0.3)))
    deficits = [{b: rng.randint(0, 6) for b in row} for row in terms]
    for limit in (0, 1, 5, 30):
        held = [
            (sum(row.get(b, 99) for row, b in zip(deficits, t, strict=True)), w)
            for t, w in tuples_of(frame)
        ]
        assert within(frame, deficits, limit) == sum(w for total, w in held if total <= limit)


@pytest.mark.parametrize("most", [0, 1, 254, 255, 256, 2**16 - 1, 2**16, 2**64 - 1, 2**128])
def test_products_fill_their_slots(most: int) -> None:
    # Coefficients that sum to the most that a slot holds, or to one more, in one slot and in many.
    rng = random.Random(most)
    halves = {0: most // 2, 3: most - most // 2}
    for factors in ([], [{0: most}], [{7: most}], [halves], [halves, {0: 1}], [halves, halves, {}]):
        for limit in (0, 1, 3, 6, 7, 40):
            expected = [1] + [0] * limit
            for counts in factors:
                expected = [
                    sum(count * expected[at - d] for d, count in counts.items() if d <= at)
                    for at in range(limit + 1)
                ]
            assert counting._product(factors, limit) == expected
    some = [{rng.randrange(9): rng.randint(0, most) for _ in range(4)} for _ in range(3)]
    assert sum(counting._product(some, 24)) == prod(sum(counts.values()) for counts in some)


@pytest.mark.parametrize("gaps", [0, 0.3])
@pytest.mark.parametrize("seed", range(60))
def test_counts_bound_what_fails_and_are_exact_with_a_step_of_one(seed: int, gaps: float) -> None:
    rng = random.Random(seed)
    frame = stub(rng, big_weights=seed % 4 == 0)
    terms = random_terms(rng, frame, gaps=gaps)
    if not all(terms):
        return
    failing = sum(w for t, w in tuples_of(frame) if fails(terms, t))
    for bins in (0, 1, 2, 3, 7, 50):
        upper, lower = (counted_of(frame, terms, bins, scaled) for scaled in (floordiv, upward))
        assert 0 <= lower <= failing <= upper
    for scaled in (floordiv, upward):
        assert counted_of(frame, terms, 4096, scaled) == failing


@pytest.mark.parametrize("total", [0, 1, 2, 3, 7, 8, 9, 100, -1, -5])
@pytest.mark.parametrize("bins", [0, 1, 3, 8])
def test_the_step_divides_what_may_be_lost(
    total: int, bins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[dict[int, int]], int]] = []

    def seven(frame: Any, deficits: list[dict[int, int]], limit: int) -> int:
        seen.append((deficits, limit))
        return 7

    monkeypatch.setattr(counting, "_within", seven)
    terms, frame = [{0: 3, 1: 5}, {3: total - 5}], SimpleNamespace()
    for scaled, lost in ((floordiv, 0), (upward, 1)):
        book = ledger()
        assert counted_of(frame, terms, bins, scaled, book) == (7 if total >= 0 else 0)
        assert (book.mul, book.add, book.cmp, book.exp) == (3, 3, 3, 0)
        if total >= 0:
            deficits, limit = seen[-1]
            step = (total // bins if bins else total) + 1
            assert limit == total // step <= bins
            assert deficits == [{0: 2 // step if lost == 0 else -(-2 // step), 1: 0}, {3: 0}]
    assert len(seen) == 2 * (total >= 0)


@pytest.mark.parametrize("seed", range(60))
def test_shares_bound_the_union_and_a_lower_count_one_answer(seed: int) -> None:
    rng = random.Random(seed)
    frame, answers = stub(rng), rng.randint(1, 3)
    terms = {j: random_terms(rng, frame) for j in range(answers)}
    failing = sum(w for t, w in tuples_of(frame) if any(fails(part, t) for part in terms.values()))
    alone = max(sum(w for t, w in tuples_of(frame) if fails(part, t)) for part in terms.values())
    shares = rng.choice(
        [
            ((9, ()),),
            tuple((9, (j,)) for j in terms),
            ((3, (0, 0, 99)), (9, ())),
            ((4096, ()), (1, ())),
        ]
    )
    assert Count(shares_of(shares)).upper_count(left_of(frame, terms)) >= failing
    frame.mirrored, frame.allowed, asked = True, lambda part: part, list[bool]()

    def lower_terms(j: int, allowed: Any) -> Terms:
        asked.append(allowed is terms[j])
        return terms[j]

    frame.lower_terms = lower_terms
    for bins in (0, 4, 4096):
        named = ((bins, tuple(terms)), (bins, (99,)))
        found = Count((), shares_of(named)).lower_count(left_of(frame, terms))
        assert found <= alone <= failing
        assert found == alone or bins < 4096
    assert asked == [True] * (3 * answers)  # what is not allowed has no lower term either
    assert Count(()).lower_count(left_of(frame, terms)) == 0
    assert Count((), shares_of([(9, (99,))])).lower_count(left_of(frame, terms)) == 0


# --- enumeration ------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [0, 0.3])
@pytest.mark.parametrize("seed", range(60))
def test_masks_hold_the_union_and_weigh_it(seed: int, gaps: float) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(0, 4), big_weights=seed % 3 == 0)
    answers = [random_terms(rng, frame, 3, gaps=gaps) for _ in range(rng.randint(1, 3))]
    answers = [part for part in answers if any(part)]
    if not answers:
        return
    table = enumeration_of(frame, answers)
    assert 0 <= table.cut < len(frame.multiplicities)
    found = table.masks(answers)
    assert all(found.values())
    failing = {t: w for t, w in tuples_of(frame) if any(fails(part, t) for part in answers)}
    assert table.weight(found) == sum(failing.values())
    listed = list(table.tuples(found))
    assert sorted(tokens for _, _, tokens in listed) == sorted(failing)
    for prefix, bit, tokens in listed:
        assert found[prefix] & bit == bit
        assert table.weight({prefix: bit}) == prod(
            row[t] for row, t in zip(frame.multiplicities, tokens, strict=True)
        )


@pytest.mark.parametrize("cut", range(5))
@pytest.mark.parametrize("seed", range(20))
def test_masks_do_not_depend_on_the_cut(
    seed: int, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(4, 4), width=rng.randint(1, 3))
    answers = [random_terms(rng, frame, 3, gaps=rng.choice((0, 0.3))) for _ in range(2)]
    monkeypatch.setattr(Enumeration, "_work", lambda self, sizes, at: int(at != cut))
    table = enumeration_of(frame, answers)
    assert (table.cut, table.suffixes) == (cut, len(frame.blocks) ** (4 - cut))
    found = table.masks(answers)
    failing = {t: w for t, w in tuples_of(frame) if any(fails(part, t) for part in answers)}
    assert sorted(tokens for _, _, tokens in table.tuples(found)) == sorted(failing)
    assert table.weight(found) == sum(failing.values())


@pytest.mark.parametrize("seed", range(12))
def test_room_of_masks_is_twice_the_most_that_one_answer_needs(seed: int) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(3, 5), width=rng.randint(2, 3))
    answers = [random_terms(rng, frame, 3, gaps=rng.choice((0, 0.4))) for _ in range(4)]
    answers = [terms for terms in answers if all(terms)]
    book = Ledger(lambda done: None)
    table = enumeration_of(frame, answers, book)
    due = most = 0
    for count, terms in enumerate(answers):
        before = book.held
        known = table.masks(answers[:count])
        book.release(book.held - before)
        head, tail = [terms[-1], *terms[: table.cut]], terms[table.cut : -1]
        tuples = prod(map(len, head)) + prod(map(len, tail))
        longest = max(value.bit_length() for row in terms for value in row.values())
        room = (len(known) + tuples) * (longest + table.suffixes + 2048)
        most = max(most, room)
        before = book.held
        table.masks(answers[: count + 1])
        due = book.held - before
        book.release(due)
        assert due == 2 * most
    assert due


def plain_frame(width: int, free: int, *, forced: bool = False) -> Any:
    weights = [[1] * width for _ in range(free)] + [
        [1] * (width - 1) + [0] if forced else [0] * (width - 1) + [1]
    ]
    return SimpleNamespace(
        scope=EVERY, multiplicities=weights, blocks=[(t, t) for t in range(width)], forced=forced
    )


def full_terms(frame: Any) -> Terms:
    return [{b: 0 for b, weight in enumerate(row) if weight} for row in frame.multiplicities]


@pytest.mark.parametrize(
    ("width", "free"),
    [(2, 12), (2, 13), (2, 14), (65, 2), (64, 2), (63, 2), (3, 1), (3, 0), (1, 5)],
)
def test_the_cut_is_where_the_masks_cost_least(width: int, free: int) -> None:
    frame = plain_frame(width, free)
    terms = full_terms(frame)
    table = enumeration_of(frame, [terms, terms])

    def work(cut: int) -> int:
        heads: int = width**cut
        tails: int = width ** (free - cut)
        shorter: int = (
            sum(width**i for i in range(cut + 1)) + 1 + sum(width**i for i in range(free - cut + 1))
        )
        return shorter + (heads + tails) * (tails.bit_length() + -(-tails // 64))

    possible = [cut for cut in range(free + 1) if width ** (free - cut) <= 1 << 16]
    assert (
        work(table.cut)
        == min(map(work, possible))
        == table._work([len(terms[-1]), *[width] * free], table.cut)
    )
    assert table.suffixes == width ** (free - table.cut)
    assert table.words == -(-table.suffixes // 64)
    book = ledger()
    table.frame.ledger = book
    table.masks([terms, terms])
    assert book.total == 2 * work(table.cut)


def page_cost(width: int, sizes: list[int], cut: int) -> int:
    """Return what SPEC-7.8 counts of one answer with so many terms at the last position and at
    each free one, cut after so many free ones.
    """
    head, tail = sizes[: cut + 1], sizes[cut + 1 :]
    sums = sum(prod(part[:count]) for part in (head, tail) for count in range(len(part) + 1))
    prefixes, suffixes = prod(head), prod(tail)
    tuples: int = width ** len(tail)
    words = -(-tuples // 64)
    return sums + (prefixes + suffixes) * (suffixes.bit_length() + words)


@pytest.mark.parametrize(
    ("width", "free", "sizes"),
    [
        # Some positions are left without a term by every other answer, or by all.
        *((width, free, None) for width in (2, 3, 8, 40) for free in (1, 2, 3, 4, 6)),
        # Without a limit suffixes of two positions would cost least: 2^16 of them, or more.
        (256, 5, [256] * 5),
        (257, 5, [257] * 5),
        (300, 5, [300] * 5),
    ],
)
def test_the_cut_costs_least_for_an_average_number_of_terms(
    width: int, free: int, sizes: list[int] | None
) -> None:
    rng = random.Random(f"cut {width} {free}")
    frame = plain_frame(width, free)
    for _ in range(1 if sizes else 20):
        count = 1 if sizes else rng.randint(1, 4)
        answers = [
            [dict.fromkeys(range(size), 0) for size in (sizes or rng.choices(range(width), k=free))]
            + [{width - 1: 0}]
            for _ in range(count)
        ]
        # The average is rounded down, and one at least.
        every = zip(*answers, strict=True)
        *free_ones, last = [max(sum(map(len, rows)) // count, 1) for rows in every]
        possible = [cut for cut in range(free + 1) if width ** (free - cut) <= 2**16]
        costs = {cut: page_cost(width, [last, *free_ones], cut) for cut in possible}
        assert enumeration_of(frame, answers).cut == min(possible, key=costs.__getitem__)


def test_an_enumeration_costs_what_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three free positions (two in the prefix, behind the last position), of 2, 1 and 3 terms; one
    # query block.
    frame, work = plain_frame(4, 3), Enumeration._work
    terms = [{0: 1, 3: 1}, {2: 1}, {0: -9, 1: 1, 3: 1}, {3: 0}]
    with monkeypatch.context() as patch:
        patch.setattr(Enumeration, "_work", lambda self, sizes, at: int(at != 2))
        table = enumeration_of(frame, [terms, terms])
    prefixes, suffixes = 2, 3
    assert work(table, [1, 2, 1, 3], 2) == (1 + 1 + 2 + 2) + (1 + 3) + (prefixes + suffixes) * (
        suffixes.bit_length() + 1
    )
    table.frame.ledger = book = ledger()
    found = table.masks([terms, terms])
    assert (book.total, len(found)) == (2 * work(table, [1, 2, 1, 3], 2), 2)
    table.frame.ledger = book = ledger()
    assert table.weight(found) == 4
    # Per suffix its weight, per prefix its weight and the sum of its mask, one binary digit of one
    # word.
    assert book.mul == 4 * 3 + 2 * (2 + 2)
    assert book.add == 1 * (4 + 2 * 2 * 1)
    table.frame.ledger = book = ledger()
    assert len(list(table.tuples(found))) == 4
    assert (
        book.add == book.total == sum(mask.bit_length() for mask in found.values()) == 2 * 4
    )  # the digits of a mask, one word


def true_sign(paths: Paths, q: int, m: int, j: int, tokens: tuple[int, ...]) -> int:
    """Return the sign of logit_j - logit_m: by class of equal score, then by 2 000 bits."""
    sums: dict[int, int] = {}
    for i, t in enumerate([*tokens, q]):
        score = paths.eqke_low[q][t] + paths.eqkp[q][i]
        sums[score] = sums.get(score, 0) + bracket(paths, q, m, j, i, t)
    if not any(sums.values()):
        return 0
    top, low, high = max(sums), 0, 0
    for score, value in sums.items():
        least, most = oracle.exp_of_minus_root(
            top - score, 1 << paths.score_scale, paths.d_head, 2000
        )
        low, high = low + min(least * value, most * value), high + max(least * value, most * value)
    assert low > 0 or high < 0
    return 1 if low > 0 else -1


def test_ties_and_signs_of_single_inputs() -> None:
    rng, seen = random.Random(7), {-1: 0, 0: 0, 1: 0}
    for _ in range(400):
        n = rng.randint(1, 4)
        paths = random_paths(rng, 3, n, spread=rng.choice((0, 1, 5)))
        q, m = rng.randrange(3), 2
        tokens = tuple(rng.randrange(3) for _ in range(n - 1))
        answers = rng.sample((0, 1, 3), rng.randint(1, 3))
        signs = [true_sign(paths, q, m, j, tokens) for j in answers]
        assert is_wrong(scores_of(paths), m, (*tokens, q), answers) is (max(signs) >= 0)
        seen[max(signs)] += 1
    assert min(seen.values()) >= 20, seen


def test_an_input_that_no_precision_decides_stays_open() -> None:
    far = 16 * 10**6
    scores = scores_of(random_paths(random.Random(0), 2, 2, d_head=1))
    # 2^5000 exp(-1/16) rounded down: the two summands agree to 5 000 bits.
    close = oracle.exp_of_minus_root(1, 16, 1, 5000)[0]
    for sums, sign in (
        ({}, 0),
        ({0: 5}, 1),
        ({7: -5}, -1),
        ({0: 1, -far: -1}, 1),
        ({0: -1, -far: 1}, -1),
        ({0: 1, -1: -1}, 1),
        ({-far: 1}, 1),
        ({-far: 1, -far - 1: -1}, 1),
        ({0: -close, -1: 1 << 5000}, None),
        ({0: close, -1: -(1 << 5000)}, None),
    ):
        assert _sign(scores, sums) == sign


@pytest.mark.parametrize("precision", [64, 2048, 3000, 4096])
def test_signs_are_looked_for_up_to_4096_bits(precision: int) -> None:
    paths = random_paths(random.Random(0), 2, 2, d_head=1)
    scores = scores_of(paths, precision)
    assert _sign(scores, {0: 1, -1: -1}) == 1
    assert _sign(scores, {0: -1, -1: 1}) == -1
    # The summands agree to 3 600 bits: only 4 096 bits see which is larger.
    close = oracle.exp_of_minus_root(1, 16, 1, 3600)[0]
    assert _sign(scores, {0: -close, -1: 1 << 3600}) == 1
    assert scores.tables.ledger.exp <= 2 * 2 * 2 * 8


@pytest.mark.parametrize(
    ("precision", "tried"),
    [
        (64, [128, 256, 512, 1024, 2048, 4096]),
        (70, [140, 280, 560, 1120, 2240]),
        (1500, [3000]),
        (2048, [4096]),
        (2049, [4096]),
        (4096, [4096]),
    ],
)
@pytest.mark.parametrize("scores", [1, 2, 5])
def test_the_precision_is_doubled_up_to_4096_bits_and_each_is_charged(
    precision: int, tried: list[int], scores: int
) -> None:
    # Ends that never tell: for each score at each precision two multiplications and two additions.
    seen: list[int] = []

    def nothing(below: list[Ends], precision: int) -> list[Ends]:
        seen.append(precision)
        return [(0, 0)] * len(below)

    book = ledger()
    asked: Any = SimpleNamespace(
        precision=precision, tables=SimpleNamespace(ledger=book), exp_ends=nothing
    )
    assert _sign(asked, dict.fromkeys(range(scores), 1)) is None
    assert seen == tried
    assert (book.mul, book.add, book.cmp) == (2 * scores * len(tried), 2 * scores * len(tried), 0)


@pytest.mark.parametrize(
    ("ends", "sums", "sign"),
    [
        ((1, 2), {0: 1}, 1),
        ((1, 2), {0: -1}, -1),
        ((0, 1), {0: 1}, None),
        ((0, 1), {0: -1}, None),
        ((1, 1), {0: 2, 1: -1}, 1),
        ((1, 1), {0: -2, 1: 1}, -1),
        ((1, 2), {0: 1, 1: -1}, None),
        ((0, 0), {0: 1}, None),
        ((1, 3), {0: 2, 1: -1}, None),
        ((1, 3), {0: -2, 1: 1}, None),
    ],
)
def test_a_sign_needs_one_unit_and_no_more(
    ends: tuple[int, int], sums: dict[int, int], sign: int | None
) -> None:
    tables = SimpleNamespace(ledger=ledger())
    scores: Any = SimpleNamespace(
        precision=64, tables=tables, exp_ends=lambda below, precision: [ends] * len(below)
    )
    assert _sign(scores, sums) == sign


def test_one_answer_that_is_open_leaves_the_input_open(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = random_paths(random.Random(0), 3, 2)
    scores = scores_of(paths)
    for signs, expected in (
        ([-1, -1], False),
        ([-1, None], None),
        ([None, -1], None),
        ([None, 0], True),
        ([1, None], True),
        ([-1, 0], True),
        ([1, -1], True),
    ):
        left = iter(signs)
        monkeypatch.setattr(ties, "_sign", lambda *_, left=left: next(left))
        assert is_wrong(scores, 2, (1, 0), [0, 1]) is expected


# --- small arithmetic -------------------------------------------------------------


def test_ceiling_and_least() -> None:
    for mantissa, exponent in itertools.product(
        (-7, -1, 0, 1, 3, 5, 8), (-200, -3, -2, -1, 0, 1, 5)
    ):
        exact_value = mantissa * Fraction(2) ** exponent
        found = Margin(mantissa, exponent).above(0)
        assert exact_value <= found < exact_value + 1
        assert Margin(mantissa, exponent - 7).above(7) == found
    derived: Any = SimpleNamespace(value_scale=20, slack=REAL)
    for margin, value, least in (
        (None, None, None),
        (3, None, 3),
        (None, 2, 2),
        (3, 2, 2),
        (0, 5, 0),
    ):
        assert Cells._least(derived, margin, value) == least


def test_margins_are_rounded_down() -> None:
    for scale in (0, 3, 20, 300):
        checker = SimpleNamespace(value_scale=scale, slack=REAL)
        for value in (0, 1, 7, 1 << 200, (1 << 200) - 1):
            found = Fraction(Cells._least(checker, None, value), 1 << 20)  # type: ignore[arg-type]
            assert found <= Fraction(value, 1 << scale) < found + Fraction(1, 1 << 20)


def test_four_thousand_digits_and_no_more() -> None:
    # Too long for vectors of every kind.
    for sign in ("", "-"):
        assert big(sign + "9" * 4000, "it") == int(sign + "9" * 4000)
        with pytest.raises(Malformed):
            big(sign + "9" * 4001, "it")
    assert dyadic(["-3", "4096"], "it") == (-3, 4096)
    for bad in (["1", "4097"], ["1", "-4097"], ["1"], ["1", "0", "0"], ["2", "1"], ["0", "1"]):
        with pytest.raises(Malformed):
            dyadic(bad, "it")


# --- the ledger -------------------------------------------------------------------


class Counted(int):
    """An integer that counts what is done with it; `starts`: additions to the zero with which `sum`
    begins.
    """

    mul = add = cmp = other = starts = 0

    @staticmethod
    def _counting(name: str, kind: str) -> Any:
        plain = getattr(int, name)

        def method(self: int, other: int) -> Any:
            counter = "starts" if name == "__radd__" and type(other) is int and other == 0 else kind
            setattr(Counted, counter, getattr(Counted, counter) + 1)
            found = plain(self, other)
            return found if isinstance(found, bool) or found is NotImplemented else Counted(found)

        return method

    @classmethod
    def reset(cls) -> None:
        cls.mul = cls.add = cls.cmp = cls.starts = 0


for _name, _kind in (
    ("mul", "mul"),
    ("rmul", "mul"),
    ("add", "add"),
    ("radd", "add"),
    ("sub", "add"),
    ("rsub", "add"),
    ("lshift", "other"),
    ("lt", "cmp"),
    ("gt", "cmp"),
    ("le", "cmp"),
    ("ge", "cmp"),
):
    setattr(Counted, f"__{_name}__", Counted._counting(f"__{_name}__", _kind))


# Signs cost nothing, and what they give is counted on.
Counted.__abs__ = lambda self: Counted(int.__abs__(self))  # type: ignore[method-assign]
Counted.__neg__ = lambda self: Counted(int.__neg__(self))  # type: ignore[method-assign]


def counted(rows: Any) -> Any:
    """Return nested tuples with every integer counted."""
    return tuple(counted(row) for row in rows) if isinstance(rows, tuple) else Counted(rows)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (5, 1, 2), (3, 4, 1)])
def test_a_product_costs_what_is_charged(shape: tuple[int, int, int]) -> None:
    rng, (rows, inner, columns) = random.Random(1), shape
    a = tuple(tuple(rng.randint(-9, 9) for _ in range(inner)) for _ in range(rows))
    b = tuple(tuple(rng.randint(-9, 9) for _ in range(columns)) for _ in range(inner))
    Counted.reset()
    book = ledger()
    found = exact.product(Matrix(counted(a), 2), Matrix(counted(b), 3), book)
    assert (
        (Counted.mul, Counted.add + Counted.starts)
        == (rows * inner * columns,) * 2
        == (book.mul, book.add)
    )
    assert (book.cmp, book.exp) == (0, 0)
    assert found == Matrix(
        tuple(
            tuple(sum(x * y for x, y in zip(r, c, strict=True)) for c in zip(*b, strict=True))
            for r in a
        ),
        5,
    )


def test_adding_a_row_costs_what_is_charged() -> None:
    book = ledger()
    Counted.reset()
    found = exact.plus(
        Matrix(counted(((1, 2), (3, 4), (5, 6))), 1), Matrix(counted(((1, 1),)), 3), book
    )
    assert found == Matrix(((5, 9), (13, 17), (21, 25)), 3)
    assert (Counted.add, Counted.mul) == (6, 0)
    assert (book.add, book.total) == (6, 6)


@pytest.fixture
def counting_numbers() -> Any:
    """Make the numbers count what is done with them, and stop it afterwards."""
    Counted.reset()
    return Counted


def test_tables_hold_both_extremes_of_scores_of_positions_and_of_the_direct_path() -> None:
    paths, book = random_paths(random.Random(5), 4, 3), ledger()
    Tables(paths, book)
    entries = len(paths.eqkp) * (len(paths.pvou) + len(paths.pvou[0]))
    assert book.held == 2 * entries * (384 + exact.longest(paths.eu_low))


def counted_paths(paths: Paths) -> Paths:
    names = ("eqke_low", "eqke_high", "eqkp", "evou_low", "evou_high", "pvou", "eu_low", "eu_high")
    return replace(paths, **{name: counted(getattr(paths, name)) for name in names})


def assert_covered(book: Ledger, *, twice: int = 0, same: int = 0, slack: int = 6) -> None:
    """Assert that no more was done than charged, and not much less.

    `twice`: additions that the code repeats; `same`: comparisons of a number with itself.
    """
    done, charged = (
        (Counted.mul, Counted.add - twice, Counted.cmp - same),
        (book.mul, book.add, book.cmp),
    )
    assert all(a <= b for a, b in zip(done, charged, strict=True)), (done, charged)
    assert all(a * slack + 60 >= b for a, b in zip(done, charged, strict=True)), (done, charged)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_terms_cost_no_more_than_is_charged(
    seed: int, wide: bool, counting_numbers: Any
) -> None:
    rng = random.Random(seed)
    vocab, n = 6, rng.randint(2, 4)
    plain, cell = random_paths(rng, vocab, n), random_cell(rng, vocab)
    paths = counted_paths(widened(Seeded(rng), plain) if wide else plain)
    book = ledger()
    frame = Frame(scores_of(paths, book=book), cell, ((1,) * vocab,) * n, EVERY)
    counting_numbers.reset()
    book.mul = book.add = book.cmp = 0
    answers = [j for j in range(vocab + 1) if j != cell.maximum]
    for j in answers:
        frame.upper_terms(j, everything(cell, n), 0)
    assert counting_numbers.mul == book.mul == len(answers) * sum(map(len, frame.lows))
    assert_covered(book, twice=book.mul)
    assert counting_numbers.add * 3 >= book.add


def extreme_tested(seed: int, counting_numbers: Any) -> tuple[Ledger, int, int, int]:
    """Run an extreme test with removals; return what it charges by itself, its answers, its
    entries, its positions.
    """
    rng = random.Random(seed)
    vocab, n = 6, rng.randint(2, 4)
    cell, book = random_cell(rng, vocab), ledger()
    frame = Frame(
        scores_of(counted_paths(random_paths(rng, vocab, n))), cell, ((1,) * vocab,) * n, EVERY
    )
    answers = [j for j in range(vocab + 1) if j != cell.maximum]
    terms = {j: frame.upper_terms(j, everything(cell, n), 0) for j in answers}
    frame.upper_terms = lambda j, allowed, mu: terms[j]  # type: ignore[method-assign]
    checker: Any = SimpleNamespace(bits=64, ledger=book, _least=lambda margin, value: 0)
    counting_numbers.reset()
    given = Known(dict.fromkeys(answers, everything(cell, n)), None)
    written: Any = SimpleNamespace(where="cell", method=Extreme())
    Cells._left(checker, written, frame, given, 0)
    return book, len(answers), sum(map(len, frame.lows)), n


@pytest.mark.parametrize("seed", range(12))
def test_the_extreme_test_charges_three_operations_per_term_and_ten_per_position(
    seed: int, counting_numbers: Any
) -> None:
    book, answers, entries, n = extreme_tested(seed, counting_numbers)
    assert book.add == answers * 6 * n
    assert book.cmp == answers * (4 * n + 3 * entries)
    assert book.mul == book.exp == 0


def test_removals_cost_no_more_than_is_charged(counting_numbers: Any) -> None:
    for seed in range(60):
        book, _, _, n = extreme_tested(seed, counting_numbers)
        # The heaviest weight of the cell is charged with its answers.
        assert counting_numbers.add <= book.add + n
        assert counting_numbers.cmp <= book.cmp
        assert counting_numbers.add + counting_numbers.starts + counting_numbers.cmp <= book.total


class ChargedEnds(Scores):
    """Scores whose pairs of ends of an exp cost what is declared, and nothing else."""

    def exp_ends(self, below: Sequence[Ends], precision: int) -> list[Ends]:
        self.tables.ledger.charge(exp=2 * len(below))
        return [(Counted(1), Counted(2))] * len(below)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_weights_cost_no_more_than_is_charged(
    seed: int, wide: bool, counting_numbers: Any
) -> None:
    rng = random.Random(seed)
    vocab, n = 6, rng.randint(2, 4)
    plain, cell = random_paths(rng, vocab, n), random_cell(rng, vocab)
    paths, book = counted_paths(widened(Seeded(rng), plain) if wide else plain), ledger()
    counting_numbers.reset()
    tables = Tables(paths, book)
    twice = vocab * (
        vocab + 1
    )  # a row of EU less its mean is formed for both ends, even where they are one
    assert_covered(book, twice=twice)
    scores = ChargedEnds(tables, 64)
    frame = Frame(scores, cell, ((1,) * vocab,) * n, EVERY)
    assert_covered(book, twice=twice)
    assert book.exp == 2 * (len(frame.blocks) + n - 1 + len(frame.highs[-1]))


def screened(seed: int, *, wide: bool) -> tuple[Ledger, int, int, int]:
    """Screen with counted numbers; return the ledger, the answers, the blocks and the positions."""
    rng = random.Random(seed)
    vocab, n = 6, rng.randint(1, 4)
    plain, m = exhaustion.likely_paths(Seeded(rng), vocab, n), rng.randrange(vocab)
    paths, book = counted_paths(widened(Seeded(rng), plain) if wide else plain), ledger()
    cell = make_inputs(m, list(range(m + 1)), random_lengths(rng, m))
    Counted.reset()
    scores = ChargedEnds(Tables(paths, book), 64)
    answers = tuple(j for j in range(len(plain.pvou[0])) if j != m)
    screen.screened(scores, cell, dict.fromkeys(answers, ((2 << m) - 1,) * n), 0)
    return book, len(answers), len(cell.blocks), n


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_a_screen_costs_about_what_is_charged(seed: int, wide: bool) -> None:
    book, answers, blocks, _ = screened(seed, wide=wide)
    assert book.mul == answers * (blocks + 2)
    assert book.exp == 2 * blocks
    # One multiplication, for the largest weight, is not charged as such.
    assert Counted.mul <= book.mul + 1
    assert Counted.add + Counted.starts <= book.add
    assert Counted.cmp <= book.cmp + answers
    assert Counted.mul + Counted.add + Counted.starts + Counted.cmp <= book.total
    assert 4 * Counted.add >= book.add
    assert 4 * Counted.cmp >= book.cmp


@pytest.mark.parametrize("seed", range(12))
def test_copies_cost_no_more_than_is_charged(seed: int, counting_numbers: Any) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(1, 4), width=4)
    frame.multiplicities = [[Counted(weight) for weight in row] for row in frame.multiplicities]
    terms: dict[int, Terms] = {}
    for j in range(3):
        plain = random_terms(rng, frame)
        terms[j] = [{b: Counted(value) for b, value in row.items()} for row in plain]
    groups, book = (
        tuple((count, ((0, 2),)) for count in range(len(terms[0]) - frame.forced)),
        ledger(),
    )
    counting_numbers.reset()
    assert right(frame, terms, groups, book) >= 0
    free, answers = len(frame.multiplicities) - 1, 3
    entries, own = sum(map(len, terms[0])), len(frame.highs[-1])
    assert book.mul == sum(2 * free * (count + 1) for count, _ in groups)
    assert book.add == answers * free + sum(
        4 * answers * (free + 1) + free * (count + 1 + 3) for count, _ in groups
    )
    assert book.cmp == answers * (
        entries + len(groups) * (free * (3 + free.bit_length() + 1) + own)
    )
    # The weight of Q and the size of an answer's terms take one multiplication each that is not
    # charged.
    assert Counted.mul <= book.mul + len(groups) + answers
    assert Counted.add <= book.add
    assert Counted.cmp <= book.cmp
    assert Counted.cmp * 8 >= book.cmp


def test_the_budget_is_kept_before_the_work() -> None:
    seen: list[int] = []
    book = Ledger(seen.append)
    assert book.budget == CEILING == 10**11
    book.budget = 10
    book.charge(mul=1, add=2, cmp=3, exp=4)
    assert (book.mul, book.add, book.cmp, book.exp, book.total, seen) == (1, 2, 3, 4, 10, [10])
    with pytest.raises(Declined) as refusal:
        book.charge(cmp=1)
    assert refusal.value.rule == "SPEC-8.2"


def test_a_polynomial_costs_what_is_charged() -> None:
    frame: Any = SimpleNamespace(
        scope=EVERY,
        multiplicities=[[1, 1, 1], [1, 1, 1], [1, 1, 0]],
        blocks=[(0, 0)] * 3,
        forced=False,
    )
    book, deficits = ledger(), [{0: 0, 1: 1, 2: 9}, {0: 0, 1: 0, 2: 2}, {0: 0, 1: 0}]
    # Per position the coefficients (2, 4, 4; at most limit + 1) times the distinct deficits within
    # the limit; then the sum.
    assert within(frame, deficits, 4, book) == 6 * 2
    assert (book.mul, book.add, book.total) == (16, 16 + 4, 36)
    book = ledger()
    assert within(frame, deficits, 2, book) == 5 * 2
    assert (book.mul, book.add) == (4 + 6 + 3, 4 + 6 + 3 + 3)
    frame.forced = True
    book = ledger()
    assert within(frame, deficits, 4, book) == (6 - 4) * 2
    assert book.mul == 16 + 8


@pytest.mark.parametrize(("power", "words"), [(0, 1), (510, 1), (511, 2), (1022, 2), (1023, 3)])
def test_wide_slots_cost_more(power: int, words: int) -> None:
    # A slot is two bits wider than 2^power; every 512 bits of it count.
    frame: Any = SimpleNamespace(
        multiplicities=[[1 << power]], blocks=[(0, 0)], forced=False, scope=EVERY
    )
    book = ledger()
    assert within(frame, [{0: 0}], 0, book) == 1 << power
    assert (book.mul, book.add) == (words, words + words**2)


@pytest.mark.parametrize("limit", [0, 1])
def test_tables_are_measured_before_they_are_made(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 2 x 3 entries of at most 3 + 4 + 2 bits; and 6 entries of 3 bits shifted by 5.
    a, b = Matrix(((7, 1), (0, 7)), 0), Matrix(((15, 1, 1), (1, 1, 1)), 0)
    monkeypatch.setattr(exact, "MAX_TABLE_BITS", 6 * 9 - limit)
    if limit:
        with pytest.raises(Declined):
            exact.product(a, b, ledger())
    else:
        assert exact.product(a, b, ledger()).rows[0] == (106, 8, 8)
    monkeypatch.setattr(exact, "MAX_TABLE_BITS", 6 * 8 - limit)
    if limit:
        with pytest.raises(Declined):
            exact.rescale(Matrix(((7, 1, 1), (1, 1, -4)), 2), 7, ledger())
    else:
        assert exact.rescale(Matrix(((7, 1, 1), (1, 1, -4)), 2), 7, ledger()) == Matrix(
            ((224, 32, 32), (32, 32, -128)), 7
        )


@pytest.mark.parametrize("shown", [None, 0])
def test_a_margin_that_was_not_shown_cannot_be_claimed(shown: int | None) -> None:
    outcome = Outcome(0, 0, 4, shown)
    Margin(0, 0).require_shown("cell 0", outcome)
    for claim in ((1, -20), (1, -4000), (1, 0)):
        with pytest.raises(Rejected) as refusal:
            Margin(*claim).require_shown("cell 0", outcome)
        assert refusal.value.rule == "SPEC-7.13"
