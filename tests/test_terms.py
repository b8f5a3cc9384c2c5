"""Lemma 7.5 term by term, and the counts built on the terms, against the definitions and exhaustion.

Weights in the checker are scaled by one unknown positive number per query.  So each test asks whether one such number
exists for which every weight and every term, at every position, token and answer, is on its right side.  True weights
come from the enclosures of `tests/oracle.py`, 256 bits wide, of the exact score differences.
"""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from math import prod
from types import SimpleNamespace
from typing import Any

import oracle
import pytest

from checker import cells, counting, enumeration, exact
from checker.cells import Checker, Outcome, _ceiling, _least
from checker.decode import big, dyadic
from checker.enclosure import Frame, Scores, Terms, max_of_terms
from checker.enumeration import Enumeration, _sign, is_wrong
from checker.errors import Declined, Malformed, Rejected
from checker.exact import Matrix
from checker.interval import inverse_sqrt
from checker.ledger import CEILING, Ledger
from checker.model import Paths
from checker.proof import Cell

BITS = 256
Bounds = tuple[Fraction, Fraction]


def ledger() -> Ledger:
    return Ledger(lambda done: None)


def random_paths(rng: random.Random, vocab: int, n: int, *, d_head: int | None = None, spread: int = 60) -> Paths:
    """Return small path matrices: scores over 2^-4, logits over 2^-3, one answer more than there are tokens."""

    def rows(count: int, width: int, size: int) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(rng.randint(-size, size) for _ in range(width)) for _ in range(count))

    answers, values = vocab + 1, rng.choice((1, 3, 40))
    return Paths(
        eqke=rows(vocab, vocab, spread),
        eqkp=rows(vocab, n, rng.choice((0, 3, spread))),
        score_scale=4,
        evou_columns=rows(answers, vocab, values),
        pvou=rows(n, answers, rng.choice((0, values))),
        eu=rows(vocab, answers, rng.choice((0, values))),
        value_scale=3,
        d_head=d_head or rng.choice((1, 2, 3, 4, 32)),
    )


def random_cell(rng: random.Random, vocab: int, *, single: bool = False) -> Cell:
    """Return a cell with random queries, blocks and order."""
    m = rng.randrange(vocab)
    below = rng.sample(range(m), rng.randint(1, 1 if single else m)) if m and rng.random() < 0.8 else [m]
    lengths, left = [], m
    while left:
        lengths.append(1 if single else rng.randint(1, left))
        left -= lengths[-1]
    order = tuple(rng.sample(range(m), m)) if rng.random() < 0.5 else None
    queries = tuple((q, q) for q in sorted(below))
    return Cell("cell", m, queries, (0, 0), "enumerate", tuple((n, 1) for n in lengths), order, (), (), (), (0, 0))


def true_weights(paths: Paths, q: int, free: int, tokens: list[int]) -> dict[tuple[int, int], Bounds]:
    """Return enclosures of all weights of a query, relative to the largest; (free, q) is the last position."""
    scores = {(i, t): paths.eqke[q][t] + paths.eqkp[q][i] for i in range(free) for t in tokens}
    scores[free, q] = paths.eqke[q][q] + paths.eqkp[q][free]
    top = max(scores.values())
    found = {}
    for at, score in scores.items():
        low, high = oracle.exp_of_minus_root(top - score, 1 << paths.score_scale, paths.d_head, BITS)
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
    """Return the factors of one query for which everything that a frame says is true."""
    m, free = frame.maximum, len(frame.multiplicities)
    tokens = [t for block in frame.blocks for t in block]
    weights, factor, said = true_weights(paths, q, free, tokens), Factor(), frame.weights
    (last,) = [end for end in said.last if q in end[0]]
    factor.between(weights[free, q], last[1], last[2])
    for i, (b, block) in itertools.product(range(free), enumerate(frame.blocks)):
        for t in block:
            factor.between(weights[i, t], said.lower[i][b], said.upper[i][b])
    heaviest = sum(max(low for (i, _), (low, _) in weights.items() if i == place) for place in range(free + 1))
    factor.at_most((heaviest, heaviest), 1, said.total_upper())
    for j in answers:
        column, base = paths.evou_columns[j], paths.evou_columns[m]

        def bracket(i: int, t: int, j: int = j, column: Any = column, base: Any = base) -> int:
            return column[t] - base[t] + paths.pvou[i][j] - paths.pvou[i][m] + paths.eu[q][j] - paths.eu[q][m]

        upper = frame.upper_terms(j, mu)
        factor.at_most(weights[free, q], bracket(free, q) + mu, upper.last)
        lower = frame.lower_terms(j) if frame.exact else None
        if lower:
            factor.at_least(weights[free, q], bracket(free, q), lower.last)
        for i, (b, block) in itertools.product(range(free), enumerate(frame.blocks)):
            for t in block:
                factor.at_most(weights[i, t], bracket(i, t) + mu, upper.rows[i][b])
                if lower:
                    factor.at_least(weights[i, t], bracket(i, t), lower.rows[i][b])
    return factor


@pytest.mark.parametrize("seed", range(120))
def test_every_weight_and_every_term_is_on_its_side(seed: int) -> None:
    rng = random.Random(seed)
    vocab, n = rng.randint(2, 5), rng.randint(1, 4)
    paths, cell = random_paths(rng, vocab, n), random_cell(rng, vocab, single=seed % 3 == 0)
    if n == 1 and cell.queries != ((cell.maximum, cell.maximum),):
        n, paths = 2, random_paths(rng, vocab, 2)
    frame = Frame(Scores(paths, rng.choice((64, 100, 300)), ledger()), cell, ((1,) * vocab,) * n)
    answers = [j for j in range(vocab + 1) if j != cell.maximum]
    assert frame.exact == (len(cell.queries) == 1 and len(frame.blocks) == cell.maximum + 1)
    for q in frame.queries:
        assert learn(frame, paths, q, rng.choice((0, 1, 100)), answers).exists


@pytest.mark.parametrize("d_head", [1, 2, 4, 31, 32])
def test_single_cells_are_enclosed_narrowly(d_head: int) -> None:
    # Sound bounds could be loose: with one query and single tokens each weight is known to 2^-40 of the largest.
    rng = random.Random(d_head)
    for _ in range(10):
        paths, cell = random_paths(rng, 4, 3, d_head=d_head, spread=30), random_cell(rng, 4, single=True)
        weights = Frame(Scores(paths, 64, ledger()), cell, ((1,) * 4,) * 3).weights
        for lows, highs in zip(weights.lower, weights.upper, strict=True):
            assert all(0 <= high - low <= 4 for low, high in zip(lows, highs, strict=True))
        assert all(0 <= high - low <= 2 for _, low, high in weights.last)
        tops = [max(row) for row in weights.upper] + [high for _, _, high in weights.last]
        assert max(tops) <= 1 << 64
        assert (1 << 64) - max(tops) <= 4 or max(tops) < 1 << 64


def test_pooled_weights_reach_both_ends() -> None:
    # Two queries and two tokens, by hand: scores relative to the maximum's are 0, -16, -32, -48 sixteenths.
    paths = Paths(
        ((-16, 0, 0), (-48, -32, 0), (0, 0, 0)), ((0, 0),) * 3, 4, ((0, 0, 0),) * 3, ((0, 0, 0),) * 2, ((0, 0, 0),) * 3, 0, 1
    )
    cell = Cell("cell", 2, ((0, 1),), (0, 0), "enumerate", ((2, 1),), None, (), (), (), (0, 0))
    weights = Frame(Scores(paths, 64, ledger()), cell, ((1,) * 3,) * 2).weights
    low, high = (oracle.exp_of_minus_root(y, 1, 1, 64) for y in (3, 0))
    assert abs(weights.lower[0][0] - low[0]) <= 4
    assert abs(weights.upper[0][0] - high[1]) <= 4
    assert len(weights.last) == 1
    (queries, own_low, own_high) = weights.last[0]
    assert queries == (0, 1)
    for found, y in ((own_low, 2), (own_high, 1)):
        assert abs(found - oracle.exp_of_minus_root(y, 1, 1, 64)[0]) <= 4


def test_exp_ends_enclose_in_the_right_order() -> None:
    rng = random.Random(5)
    for d_head in (1, 2, 3, 4, 32):
        paths = random_paths(rng, 2, 2, d_head=d_head)
        scores, book = Scores(paths, 64, ledger()), 0
        for _ in range(200):
            low, high = sorted(rng.choice((0, rng.randrange(400))) for _ in range(2))
            precision = rng.choice((64, 128))
            found = scores.exp_ends(low, high, precision)
            book += 2
            least, most = (oracle.exp_of_minus_root(y, 16, d_head, precision) for y in (high, low))
            assert found[0] <= least[1]
            assert found[1] >= most[0]
            assert least[0] - found[0] <= 4
            assert found[1] - most[1] <= 4
        assert scores.ledger.exp == book == scores.ledger.total


def test_the_square_root_is_exact_where_it_is_rational() -> None:
    for d, root in ((1, 1), (4, 2), (16, 4), (64, 8)):
        for precision in (8, 64, 129):
            assert inverse_sqrt(d, precision) == ((1 << precision) // root,) * 2
    for d in (2, 3, 9, 32):
        lower, upper = inverse_sqrt(d, 64)
        assert upper == lower + 1


# --- the extreme test -------------------------------------------------------------


def random_terms(rng: random.Random, free: int, width: int, size: int = 20) -> Terms:
    return Terms([[rng.randint(-size, size) for _ in range(width)] for _ in range(free)], rng.randint(-size, size))


def stub(rng: random.Random, *, free: tuple[int, int] = (1, 4), width: int | None = None, big_weights: bool = False) -> Any:
    """Return a frame as far as counting and enumeration look at it; its last block is the maximum's."""
    count, blocks = rng.randint(*free), width or rng.randint(1, 4)
    sizes = (0, 1, 2, 3, 10**30) if big_weights else (1, 1, 2, 3)
    weights = [[rng.choice(sizes) for _ in range(blocks)] for _ in range(count)]
    contains = count > 0 and rng.random() < 0.7
    return SimpleNamespace(
        multiplicities=weights, blocks=[(t,) for t in range(blocks)], contains_maximum=contains, maximum=blocks - 1
    )


def tuples_of(frame: Any) -> list[tuple[tuple[int, ...], int]]:
    """Return every tuple of blocks that belongs to the cell, with its weight."""
    width, free = len(frame.blocks), len(frame.multiplicities)
    every = itertools.product(range(width), repeat=free)
    held = [t for t in every if not frame.contains_maximum or width - 1 in t]
    return [(t, prod(row[b] for row, b in zip(frame.multiplicities, t, strict=True))) for t in held]


def total_of(terms: Terms, blocks: tuple[int, ...]) -> int:
    return sum(row[b] for row, b in zip(terms.rows, blocks, strict=True)) + terms.last


@pytest.mark.parametrize("seed", range(60))
def test_the_extreme_test_is_the_largest_sum(seed: int) -> None:
    rng = random.Random(seed)
    frame = stub(rng)
    terms = random_terms(rng, len(frame.multiplicities), len(frame.blocks))
    assert terms.extreme(frame.contains_maximum) == max(total_of(terms, blocks) for blocks, _ in tuples_of(frame))


def test_the_largest_term_of_several_answers() -> None:
    rng = random.Random(0)
    parts = [random_terms(rng, 2, 3) for _ in range(3)]
    merged = max_of_terms(parts)
    assert merged.last == max(part.last for part in parts)
    assert merged.rows == [[max(part.rows[i][b] for part in parts) for b in range(3)] for i in range(2)]
    assert max_of_terms(parts[:1]) == parts[0]


# --- counting ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(80))
def test_within_counts_every_sequence_once(seed: int) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(0, 4), big_weights=seed % 2 == 0)
    deficits = [[rng.randint(0, 6) for _ in frame.blocks] for _ in frame.multiplicities]
    for limit in (0, 1, 5, 30):
        expected = sum(w for t, w in tuples_of(frame) if sum(row[b] for row, b in zip(deficits, t, strict=True)) <= limit)
        assert counting._within(frame, deficits, limit, ledger()) == expected


@pytest.mark.parametrize("seed", range(80))
def test_counts_bound_what_fails_and_are_exact_with_a_step_of_one(seed: int) -> None:
    rng = random.Random(seed)
    frame = stub(rng, big_weights=seed % 4 == 0)
    terms = random_terms(rng, len(frame.multiplicities), len(frame.blocks))
    failing = sum(w for t, w in tuples_of(frame) if total_of(terms, t) >= 0)
    for bins in (0, 1, 2, 3, 7, 50):
        upper, lower = (count(frame, terms, bins, ledger()) for count in (counting.count_upper, counting.count_lower))
        assert 0 <= lower <= failing <= upper
    for count in (counting.count_upper, counting.count_lower):
        assert count(frame, terms, 4096, ledger()) == failing


@pytest.mark.parametrize("total", [0, 1, 2, 3, 7, 8, 9, 100, -1, -5])
@pytest.mark.parametrize("bins", [0, 1, 3, 8])
def test_the_step_divides_what_may_be_lost(total: int, bins: int) -> None:
    frame = SimpleNamespace(multiplicities=[[1, 1]], blocks=[(0,), (1,)], contains_maximum=False)
    deficits, found, step = counting._scaled(frame, Terms([[3, 5]], total - 5), bins, ledger())
    assert (deficits, found) == ([[2, 0]], total)
    if total >= 0:
        assert step > 0
        assert total // step <= bins


@pytest.mark.parametrize("seed", range(60))
def test_shares_bound_the_union_and_a_lower_count_one_answer(seed: int) -> None:
    rng = random.Random(seed)
    frame = stub(rng)
    free, width, answers = len(frame.multiplicities), len(frame.blocks), rng.randint(1, 3)
    terms = {j: random_terms(rng, free, width) for j in range(answers)}
    failing = sum(w for t, w in tuples_of(frame) if any(total_of(part, t) >= 0 for part in terms.values()))
    alone = max(sum(w for t, w in tuples_of(frame) if total_of(part, t) >= 0) for part in terms.values())
    shares = rng.choice([((9, ()),), tuple((9, (j,)) for j in terms), ((3, (0, 0, 99)), (9, ())), ((4096, ()), (1, ()))])
    assert counting.failures_upper(frame, terms, shares, ledger()) >= failing
    frame.charge_terms = lambda book, count: None
    frame.lower_terms = terms.__getitem__
    for bins in (0, 4, 4096):
        named = ((bins, tuple(terms)), (bins, (99,)))
        found = counting.failures_lower(frame, terms, named, ledger())
        assert found <= alone <= failing
        assert found == alone or bins < 4096
    assert counting.failures_lower(frame, terms, (), ledger()) == 0
    assert counting.failures_lower(frame, terms, ((9, (99,)),), ledger()) == 0


# --- enumeration ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(80))
def test_masks_hold_the_union_and_weigh_it(seed: int) -> None:
    rng = random.Random(seed)
    frame = stub(rng, free=(0, 4), big_weights=seed % 3 == 0)
    free, width = len(frame.multiplicities), len(frame.blocks)
    answers = [random_terms(rng, free, width, 3) for _ in range(rng.randint(0, 3))]
    table = Enumeration(frame, ledger())
    assert table.prefixes * table.suffixes == width**free
    found = table.masks(answers)
    failing = {t: w for t, w in tuples_of(frame) if any(total_of(part, t) >= 0 for part in answers)}
    assert table.weight(found) == sum(failing.values())
    listed = list(table.tuples(found))
    assert sorted(tokens for _, _, tokens in listed) == sorted(failing)
    for prefix, bit, tokens in listed:
        assert found[prefix] & bit == bit
        alone = [bit if p == prefix else 0 for p in range(table.prefixes)]
        assert table.weight(alone) == prod(row[t] for row, t in zip(frame.multiplicities, tokens, strict=True))


@pytest.mark.parametrize(
    ("width", "free", "words"), [(2, 12, 1), (2, 13, 1), (2, 14, 2), (65, 2, 2), (64, 2, 1), (63, 2, 1), (3, 1, 1), (3, 0, 1)]
)
def test_masks_are_charged_by_words_of_64_bits(width: int, free: int, words: int) -> None:
    frame: Any = SimpleNamespace(multiplicities=[[1] * width] * free, blocks=[(t,) for t in range(width)], contains_maximum=False)
    table = Enumeration(frame, ledger())
    assert table.words == words == -(-table.suffixes // 64)
    assert table.prefixes * table.suffixes == width**free


def true_sign(paths: Paths, q: int, m: int, j: int, tokens: tuple[int, ...]) -> int:
    """Return the sign of logit_j - logit_m: by class of equal score, then with two thousand bits."""
    places = [*tokens, q]
    sums: dict[int, int] = {}
    for i, t in enumerate(places):
        bracket = paths.evou_columns[j][t] - paths.evou_columns[m][t] + paths.pvou[i][j] - paths.pvou[i][m]
        bracket += paths.eu[q][j] - paths.eu[q][m]
        score = paths.eqke[q][t] + paths.eqkp[q][i]
        sums[score] = sums.get(score, 0) + bracket
    if not any(sums.values()):
        return 0
    top, low, high = max(sums), 0, 0
    for score, value in sums.items():
        least, most = oracle.exp_of_minus_root(top - score, 1 << paths.score_scale, paths.d_head, 2000)
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
        assert is_wrong(Scores(paths, 64, ledger()), q, m, tokens, answers, ledger()) is (max(signs) >= 0)
        seen[max(signs)] += 1
    assert min(seen.values()) >= 20, seen


def test_an_input_that_no_precision_decides_stays_open() -> None:
    far = 16 * 10**6
    paths = Paths(((0, -far), (0, 0)), ((0, 0, 0),) * 2, 4, ((0, 0), (1, 1)), ((-1, 0), (1, 0), (0, 0)), ((0, 0),) * 2, 0, 1)
    scores = Scores(paths, 64, ledger())
    # 2^5000 exp(-1/16) rounded down: the two summands agree to 5 000 bits.
    close = oracle.exp_of_minus_root(1, 16, 1, 5000)[0]
    for sums, sign in (
        ({}, 0), ({0: 5}, 1), ({7: -5}, -1), ({0: 1, -far: -1}, 1), ({0: -1, -far: 1}, -1), ({0: 1, -1: -1}, 1),
        ({-far: 1}, 1), ({-far: 1, -far - 1: -1}, 1), ({0: -close, -1: 1 << 5000}, None), ({0: close, -1: -(1 << 5000)}, None),
    ):  # fmt: skip
        assert _sign(scores, sums, ledger()) == sign


@pytest.mark.parametrize("precision", [64, 2048, 3000, 4096])
def test_signs_are_looked_for_up_to_4096_bits(precision: int) -> None:
    paths = random_paths(random.Random(0), 2, 2, d_head=1)
    scores = Scores(paths, precision, ledger())
    assert _sign(scores, {0: 1, -1: -1}, ledger()) == 1
    assert _sign(scores, {0: -1, -1: 1}, ledger()) == -1
    # The summands agree to 3 600 bits: only 4 096 bits see which is larger.
    close = oracle.exp_of_minus_root(1, 16, 1, 3600)[0]
    assert _sign(scores, {0: -close, -1: 1 << 3600}, ledger()) == 1
    assert scores.ledger.exp <= 2 * 2 * 2 * 8


@pytest.mark.parametrize(
    ("ends", "sums", "sign"),
    [((1, 2), {0: 1}, 1), ((1, 2), {0: -1}, -1), ((0, 1), {0: 1}, None), ((0, 1), {0: -1}, None), ((1, 1), {0: 2, 1: -1}, 1),
     ((1, 1), {0: -2, 1: 1}, -1), ((1, 2), {0: 1, 1: -1}, None), ((0, 0), {0: 1}, None),
     ((1, 3), {0: 2, 1: -1}, None), ((1, 3), {0: -2, 1: 1}, None)],
)  # fmt: skip
def test_a_sign_needs_one_unit_and_no_more(ends: tuple[int, int], sums: dict[int, int], sign: int | None) -> None:
    scores: Any = SimpleNamespace(precision=64, exp_ends=lambda low, high, precision: ends)
    assert _sign(scores, sums, ledger()) == sign


def test_one_answer_that_is_open_leaves_the_input_open(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = random_paths(random.Random(0), 3, 2)
    scores = Scores(paths, 64, ledger())
    for signs, expected in (
        ([-1, -1], False), ([-1, None], None), ([None, -1], None), ([None, 0], True), ([1, None], True), ([-1, 0], True),
        ([1, -1], True),
    ):  # fmt: skip
        left = iter(signs)
        monkeypatch.setattr(enumeration, "_sign", lambda *_, left=left: next(left))
        assert is_wrong(scores, 0, 2, (1,), [0, 1], ledger()) is expected


# --- small arithmetic -------------------------------------------------------------


def test_ceiling_and_least() -> None:
    for mantissa, exponent in itertools.product((-7, -1, 0, 1, 3, 5, 8), (-200, -3, -2, -1, 0, 1, 5)):
        exact_value = mantissa * Fraction(2) ** exponent
        found = _ceiling(mantissa, exponent)
        assert exact_value <= found < exact_value + 1
    assert _least([None, None]) is None
    assert _least([]) is None
    assert _least([3, None, 2]) == 2
    assert _least([0, 5]) == 0


def test_margins_are_rounded_down() -> None:
    for scale in (0, 3, 20, 300):
        checker = SimpleNamespace(paths=SimpleNamespace(value_scale=scale))
        for value in (0, 1, 7, 1 << 200, (1 << 200) - 1):
            found = Fraction(Checker._margin(checker, value), 1 << 20)  # type: ignore[arg-type]
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
    """An integer that counts what is done with it."""

    mul = add = cmp = other = 0

    @staticmethod
    def _counting(name: str, kind: str) -> Any:
        plain = getattr(int, name)

        def method(self: int, other: int) -> Any:
            setattr(Counted, kind, getattr(Counted, kind) + 1)
            found = plain(self, other)
            return found if isinstance(found, bool) or found is NotImplemented else Counted(found)

        return method

    @classmethod
    def reset(cls) -> None:
        cls.mul = cls.add = cls.cmp = 0


for _name, _kind in (("mul", "mul"), ("rmul", "mul"), ("add", "add"), ("radd", "add"), ("sub", "add"), ("rsub", "add"),
                     ("lshift", "other"), ("lt", "cmp"), ("gt", "cmp"), ("le", "cmp"), ("ge", "cmp")):  # fmt: skip
    setattr(Counted, f"__{_name}__", Counted._counting(f"__{_name}__", _kind))


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
    assert (Counted.mul, Counted.add) == (rows * inner * columns,) * 2 == (book.mul, book.add)
    assert (book.cmp, book.exp) == (0, 0)
    assert found == Matrix(
        tuple(tuple(sum(x * y for x, y in zip(r, c, strict=True)) for c in zip(*b, strict=True)) for r in a), 5
    )


def test_adding_a_row_costs_what_is_charged() -> None:
    book = ledger()
    Counted.reset()
    found = exact.add_row(Matrix(counted(((1, 2), (3, 4), (5, 6))), 1), Matrix(counted(((1, 1),)), 3), book)
    assert found == Matrix(((5, 9), (13, 17), (21, 25)), 3)
    assert (Counted.add, Counted.mul) == (6, 0)
    assert (book.add, book.total) == (6, 6)


@pytest.mark.parametrize("seed", range(12))
def test_the_terms_cost_no_more_than_is_charged(seed: int) -> None:
    rng = random.Random(seed)
    vocab, n = 5, rng.randint(2, 4)
    plain, cell = random_paths(rng, vocab, n), random_cell(rng, vocab)
    parts = {name: counted(getattr(plain, name)) for name in ("evou_columns", "pvou", "eu")}
    paths = Paths(plain.eqke, plain.eqkp, plain.score_scale, d_head=plain.d_head, value_scale=plain.value_scale, **parts)
    frame = Frame(Scores(paths, 64, ledger()), cell, ((1,) * vocab,) * n)
    answers = [j for j in range(vocab + 1) if j != cell.maximum]
    Counted.reset()
    for j in answers:
        frame.upper_terms(j, 0).extreme(frame.contains_maximum)
    book = ledger()
    frame.charge_terms(book, len(answers))
    entries = (n - 1) * len(frame.blocks) + len(frame.weights.last)
    assert Counted.mul == book.mul == len(answers) * entries
    assert Counted.add <= book.add
    assert Counted.add * 3 >= book.add
    assert Counted.cmp <= book.cmp
    assert Counted.cmp * 5 >= book.cmp
    assert book.exp == 0


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
    frame = SimpleNamespace(multiplicities=[[1, 1, 1], [1, 1, 1]], contains_maximum=False)
    book = ledger()
    # Per position (limit + 1) times the distinct deficits within the limit.
    assert counting._within(frame, [[0, 1, 9], [0, 0, 2]], 4, book) == 6
    assert (book.mul, book.add, book.total) == (20, 20, 40)
    frame.contains_maximum = True
    book = ledger()
    assert counting._within(frame, [[0, 1, 9], [0, 0, 2]], 4, book) == 6 - 4
    assert book.mul == 20 + 15


@pytest.mark.parametrize(("power", "words"), [(0, 1), (510, 1), (511, 2), (1022, 2), (1023, 3)])
def test_wide_slots_cost_more(power: int, words: int) -> None:
    # A slot is two bits wider than 2^power; every 512 bits of it count.
    frame = SimpleNamespace(multiplicities=[[1 << power]], contains_maximum=False)
    book = ledger()
    assert counting._within(frame, [[0]], 0, book) == 1 << power
    assert (book.mul, book.add) == (words, words)


@pytest.mark.parametrize("limit", [0, 1])
def test_tables_are_measured_before_they_are_made(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
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
            exact.rescale(Matrix(((7, 1, 1), (1, 1, -4)), 2), 7)
    else:
        assert exact.rescale(Matrix(((7, 1, 1), (1, 1, -4)), 2), 7) == Matrix(((224, 32, 32), (32, 32, -128)), 7)


@pytest.mark.parametrize("shown", [None, 0])
def test_a_margin_that_was_not_shown_cannot_be_claimed(shown: int | None) -> None:
    outcome = Outcome(0, 0, 4, shown)
    cells._require_claim(SimpleNamespace(where="cell 0", method="extreme", claim=(0, 0)), outcome)  # type: ignore[arg-type]
    for claim in ((1, -20), (1, -4000), (1, 0)):
        with pytest.raises(Rejected) as refusal:
            cells._require_claim(SimpleNamespace(where="cell 0", method="extreme", claim=claim), outcome)  # type: ignore[arg-type]
        assert refusal.value.rule == "SPEC-7.13"
