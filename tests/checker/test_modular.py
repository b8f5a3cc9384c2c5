"""Proofs of sums: what is accepted is true of every input of tiny models, both sides, and exact
proofs are exact.
"""

from __future__ import annotations

import dataclasses
import random
from fractions import Fraction
from functools import partial
from math import ceil, floor, prod
from operator import add, getitem, mul
from types import SimpleNamespace
from typing import Any

import addition
import make_vectors
import mpmath
import mutators
import pytest
import vectors_float32
import vectors_modular
from addition import MIXES, document, own_pair, random_model, random_pair, random_switches, truth
from models import Model, filled
from sum_bounds import Page
from test_terms import Counted, counted, ledger

import checker.ground.interval
import checker.sums.fold
import checker.sums.tables
from checker import check
from checker.ground.errors import Declined, Refusal
from checker.ground.exact import Matrix, bits
from checker.ground.interval import exp_enclosure
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE
from checker.statement.outcome import alone
from checker.sums import inputs, switches
from checker.sums import readout as readouts
from checker.sums import tables as tables_of_sums
from checker.sums.fold import fold
from checker.sums.inputs import Evaluation, LowRank, _Ground, evaluation_of
from checker.sums.shares import Scores, Shares, shares_of
from checker.sums.switches import parse_switches
from checker.sums.tables import Fineness, packed

CONSTANT = MIXES[0]


def theorem_of(
    model: Any, sums: Any, weights: Any = None, precision: int = 64, question: Any = None
) -> Any:
    return make_vectors.theorem_of(
        model.bytes, mutators.encode(document(model, sums, weights, precision, question))
    )


def require_true(
    model: Any,
    sums: Any,
    weights: Any = None,
    precision: int = 64,
    question: Any = None,
    *,
    exact: bool = False,
) -> None:
    """Compare every outcome with the margin of its input."""
    asked = question or addition.usual(model)
    found = truth(model, weights, question)
    theorem = theorem_of(model, sums, weights, precision, question)
    assert theorem.correct_lower <= found.correct <= theorem.correct_upper
    rows = weights or [[1] * len(allowed) for allowed in asked.tokens]
    weighed = {tokens: prod(map(getitem, rows, asked.places(tokens))) for tokens in asked.inputs()}
    held = [tokens for tokens in weighed if weighed[tokens]]
    for tokens, outcome in zip(held, theorem.outcomes, strict=True):
        margin, weight = found.margins[tokens], weighed[tokens]
        assert outcome.size == weight
        assert outcome.lower in (0, weight)
        assert outcome.upper in (outcome.lower, weight)
        if margin > 0:
            assert outcome.lower == 0
        else:
            assert outcome.upper == weight
        if outcome.upper == 0:
            assert outcome.margin <= margin * 2**20
        else:
            assert outcome.margin is None
        if exact and margin > 0:
            # Rounded tables and M take an eighth of a unit at most, or 2^-30 of the margin.
            assert 8 * outcome.margin > margin * (2**30 - 1) / 2**7 - 9
    if exact:
        assert theorem.correct_lower == theorem.correct_upper == found.correct


@pytest.mark.parametrize("seed", range(60))
def test_constant_attention_is_exact(seed: int) -> None:
    model = random_model(seed, CONSTANT, dtype=("F32", "F64", "BF16")[seed % 3])
    rng = random.Random(seed)
    weights = (
        None
        if seed % 2
        else [[rng.choice((0, 1, 3, 10**20)) for _ in range(model.config["d_vocab"])] for _ in "ab"]
    )
    if weights and not all(map(sum, weights)):
        weights = None
    require_true(model, {"rule": "exact"}, weights, exact=True)


@pytest.mark.parametrize("seed", range(90))
def test_attention_is_enclosed(seed: int) -> None:
    model = random_model(seed, MIXES[1 + seed % 3])
    require_true(model, {"rule": "exact"}, precision=(64, 100, 200)[seed // 3 % 3])


@pytest.mark.parametrize("seed", range(80))
def test_low_rank(seed: int) -> None:
    model, rng = random_model(seed, MIXES[seed % 4]), random.Random(seed)
    pair = own_pair(model, rng.choice((0, 4, 8))) if seed % 3 else random_pair(rng, model)
    require_true(model, {"rule": "low-rank", **pair, "settle": seed // 4 % 2})


@pytest.mark.parametrize("seed", range(80))
def test_switches(seed: int) -> None:
    model, rng = random_model(seed, CONSTANT), random.Random(seed)
    pair = own_pair(model) if seed % 3 else random_pair(rng, model)
    require_true(
        model, {"rule": "switches", **pair, **random_switches(rng, model, fitting=seed % 5 > 1)}
    )


# --- any context ------------------------------------------------------------------


def some_case(seed: int, mix: Any) -> tuple[Any, Any]:
    """Return a model of two to four positions, and a question about it."""
    model = random_model(f"context {seed}", mix, n=2 + seed % 3)
    return model, addition.random_question(seed, model)


@pytest.mark.parametrize("seed", range(90))
def test_any_context(seed: int) -> None:
    """Context before, between and after operands, one token or some at each, each rule."""
    mix, rng = MIXES[seed % 4], random.Random(seed)
    model, question = some_case(seed, mix)
    require_true(model, {"rule": "exact"}, question=question, exact=mix == CONSTANT)
    pair = own_pair(model, rng.choice((0, 4, 8))) if seed % 3 else random_pair(rng, model)
    low = {"rule": "low-rank", **pair, "settle": seed // 4 % 2}
    require_true(model, low, question=question, precision=(64, 100)[seed // 3 % 2])
    if mix == CONSTANT:
        hints = random_switches(rng, model, fitting=seed % 5 > 1, question=question)
        require_true(model, {"rule": "switches", **pair, **hints}, question=question)


@pytest.mark.parametrize("seed", range(24))
def test_weights_of_operands(seed: int) -> None:
    model, question = some_case(seed, MIXES[seed % 4])
    rng = random.Random(seed)
    weights = [
        [1] if len(allowed) == 1 else [rng.choice((0, 1, 3, 10**20)) for _ in allowed]
        for allowed in question.tokens
    ]
    if all(map(sum, weights)):
        require_true(model, {"rule": "exact"}, weights, question=question)


def even(model: Any) -> Any:
    """Return the model without scores: every share is 1/n."""
    name = "blocks.0.attn.W_K"
    zeros = filled(addition.shapes(model.config)[name], lambda: Fraction(0))
    return Model(model.config, model.tensors | {name: zeros})


@pytest.mark.parametrize("seed", range(40))
def test_where_all_scores_are_equal_ties_are_seen(seed: int) -> None:
    model, question = some_case(seed, MIXES[1 + seed % 3])
    require_true(even(model), {"rule": "exact"}, question=question, exact=True)


def test_a_network_without_attention_is_exact() -> None:
    for seed in range(10):
        model, question = some_case(seed, CONSTANT)
        names = [f"blocks.0.attn.W_{letter}" for letter in "QK"]
        shapes = addition.shapes(model.config)
        zeros = {name: filled(shapes[name], lambda: Fraction(0)) for name in names}
        require_true(
            Model(model.config, model.tensors | zeros),
            {"rule": "exact"},
            question=question,
            exact=True,
        )


# --- the ledger, and packed rows against plain ones ----------------------------------


class Plain(list[Any]):
    """A row that is not packed: what packed rows do, entry by entry; entries that are zero cost
    nothing.
    """

    def __add__(self, other: Any) -> Any:
        return Plain(x + y if y else x for x, y in zip(self, other, strict=True))

    def __radd__(self, other: Any) -> Any:
        return self if other == 0 else NotImplemented

    def __rmul__(self, factor: Any) -> Any:
        Counted.mul -= isinstance(factor, Counted)  # the factor's own attempt, which did nothing
        return self if factor == 1 else Plain(factor * x if x else x for x in self)

    def __mul__(self, unit: Any) -> Any:
        """A common denominator is no operation."""
        return Plain(Counted(int(x) * unit) for x in self)


class PlainSlots:
    """Slots that hold rows as they are."""

    def __init__(self, columns: int, bits: int, drop: int) -> None:
        size = bits // 8 + 1
        self.size, self.width, self.half = size, columns * size, 1 << bits
        self.columns = columns
        self.drop = 8 * drop

    def pack(self, values: Any) -> Any:
        assert all(-self.half < value < self.half for value in map(int, values))
        return Plain(values)

    def combine(self, scalars: Any, rows: Any) -> Any:
        total = sum(map(mul, scalars, rows)) or Plain([Counted(0)] * (self.width // self.size))
        assert all(-self.half < value < self.half for value in map(int, total))
        return [Counted(int(value) >> self.drop) for value in total]


def rules_of(rng: random.Random, model: Any, mix: Any, question: Any = None) -> list[Any]:
    pair = {**own_pair(model, rng.choice((0, 6))), "settle": rng.randint(0, 1)}
    found = [{"rule": "exact"}, {"rule": "low-rank", **pair}]
    return (
        [
            *found,
            {
                "rule": "switches",
                **pair,
                **random_switches(rng, model, fitting=True, question=question),
            },
        ]
        if mix == CONSTANT
        else found
    )


@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("seed", range(24))
def test_work_is_charged_and_packing_changes_nothing(
    seed: int, float32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = MIXES[seed % 4]
    model, rng = random_model(f"ledger {seed}", mix), random.Random(seed)
    for sums in rules_of(rng, model, mix):
        doc = document(model, sums)
        parsed = check.parse(
            model.bytes, mutators.encode(vectors_float32.claimed(doc) if float32 else doc)
        )
        book = Ledger(lambda done: None)
        expected = parsed.proof.outcomes(book, alone)
        weights = {
            name: Matrix(counted(w.rows), w.scale) for name, w in parsed.model.weights.items()
        }
        proof = dataclasses.replace(
            parsed.proof, model=dataclasses.replace(parsed.model, weights=weights)
        )  # type: ignore[type-var]
        again = Ledger(lambda done: None)
        with monkeypatch.context() as patch:
            patch.setattr(checker.sums.fold, "Slots", PlainSlots)
            patch.setattr(checker.sums.tables, "Slots", PlainSlots)
            Counted.reset()
            assert proof.outcomes(again, alone) == expected
        assert (again.mul, again.add, again.cmp, again.exp) == (
            book.mul,
            book.add,
            book.cmp,
            book.exp,
        )
        assert Counted.mul <= book.mul
        assert Counted.add <= book.add
        assert Counted.cmp <= book.cmp
        assert book.total - book.exp <= 2 * (Counted.mul + Counted.add + Counted.cmp) + 2000


def test_no_work_without_operations() -> None:
    """Whatever is declared, the ledger is never passed: each charge comes before its work."""
    model = addition.random_model("budget", CONSTANT)
    for sums in rules_of(random.Random(1), model, CONSTANT):
        theorem = theorem_of(model, sums)
        for declared in range(0, theorem.ledger.total, 1 + theorem.ledger.total // 40):
            doc = document(model, sums)
            doc["proof"]["operations"] = str(declared)
            with pytest.raises(Declined) as found:
                make_vectors.theorem_of(model.bytes, mutators.encode(doc))
            assert found.value.rule == "SPEC-8.2"


# --- the page ---------------------------------------------------------------------


def page_of(
    model: Model, sums: Any, precision: int, question: Any = None, *, float32: bool
) -> tuple[Any, Any]:
    """Return what serves all inputs, with shares at any precision, and the page."""
    doc = document(model, sums, question=question)
    given = vectors_float32.claimed(doc) if float32 else doc
    proof: Any = check.parse(model.bytes, mutators.encode(given)).proof
    found = evaluation_of(dataclasses.replace(proof, precision=precision), ledger())
    asked = question or addition.usual(model)
    over = Fraction(1, len(asked.tokens) << precision)

    def shares(head: int, tokens: tuple[int, ...]) -> list[tuple[Fraction, Fraction]]:
        rows = [start + k for start, k in zip(found.starts, asked.places(tokens), strict=True)]
        last = rows[-1] - found.starts[-1]
        ends = found.shares[head].at(last, rows[:-1], ledger())
        return [(low * over, high * over) for low, high in ends]

    scale = fold(proof.model, proof.statement.domain, ledger()).scale
    bits_of_shares = precision if found.shares else 0
    scales = scale, found.scale - scale - bits_of_shares
    drift = Fraction(found.drift, found.over * 2 ** (found.scale + TABLE_SCALE))
    return found, Page(model, sums, asked, shares, scales, bits_of_shares, drift)


def loose_switches(rng: random.Random, model: Model, mix: Any, question: Any) -> list[Any]:
    """Return proofs whose switches are near their neurons, so that errors decide near zero."""
    found = []
    for noise in (0, 3, 40) if mix == CONSTANT else ():
        own = random_switches(rng, model, fitting=True, question=question)
        for row in own["tables"]["rows"]:
            row[:] = [entry + rng.randint(-noise, noise) for entry in row]
        if noise == 40:
            own["neurons"] = [rng.randrange(len(own["neurons"])) for _ in own["neurons"]]
            own["scales"] = [rng.randint(1, 3) for _ in own["scales"]]
        pair = {**own_pair(model, rng.choice((0, 6, 20))), "settle": rng.randint(0, 1)}
        found.append({"rule": "switches", **pair, **own})
    return found


@pytest.mark.parametrize("float32", [False, True])
def test_the_checker_proves_what_the_page_says(float32: bool) -> None:
    """Every term of e shows: shares have 4 bits, so that what they move is seen in margins of 20;
    and what is decided, or left open, is what the page decides.
    """
    names = ("margin", "wrong", "open", "moved", "switch", "rounded")
    seen = dict.fromkeys(names, 0)
    for seed in range(60):
        mix, rng = MIXES[seed % 4], random.Random(f"page {seed}")
        good = seed % 3 == 0
        n = 2 if good else 2 + seed % 5 % 3
        dtype = "F64" if seed % 7 == 3 and not float32 else "F32"
        model = (
            addition.good_model(3, mix, seed)
            if good
            else random_model(f"page {seed}", mix, n=n, dtype=dtype)
        )
        question = None if good else addition.random_question(seed, model)
        precision = rng.choice((4, 8, 64, 68))
        rules = rules_of(rng, model, mix, question)
        for sums in (*rules, *loose_switches(rng, model, mix, question)):
            found, page = page_of(model, sums, precision, question, float32=float32)
            own = found.ways[0]
            scale = found.scale - (precision if found.shares else 0)
            effects = [[Fraction(x, 2**scale) for x in row] for row in found.effects]
            assert effects == page.effects
            unit = Fraction(1, found.over * 2**found.scale)
            for tokens in page.question.inputs():
                places = page.question.places(tokens)
                got = found.outcome(places, 1, ledger())
                known = page.first(tokens)
                row = page.run(tokens, rounded=own.error > 0)
                rows = list(map(add, found.starts, places))
                lower = [
                    [low for low, _ in share.at(places[-1], rows[:-1], ledger())]
                    for share in found.shares
                ]
                of_rule = own.margin(rows, lower, 0, ledger())[1] * unit
                assert own.error * unit == row.rounding
                assert of_rule == known.error - row.shares - page.drift
                seen["switch"] += sums["rule"] == "switches" and of_rule > 0
                seen["rounded"] += own.error > 0
                assert (got.lower, got.upper, got.margin) == page.outcome(tokens)
                seen["margin"] += got.margin is not None
                seen["wrong"] += got.lower
                seen["open"] += got.upper - got.lower
                seen["moved"] += got.margin not in (None, floor(known.gap * 2**20))
    assert min(seen.values()) >= 50, seen


# --- shares -----------------------------------------------------------------------


def shares_at(values: Any, scale: int, d_head: int, precision: int) -> Any:
    """Return the shares of positions with these scores, the last position having one token."""
    found = shares_of(Matrix((tuple(values),), scale), d_head, precision, ledger())
    return found.at(0, range(len(values) - 1), ledger())


@pytest.mark.parametrize("precision", [1, 2, 4, 8, 64])
def test_shares_are_rounded_outward(precision: int) -> None:
    """13.4, at so few bits that each rounding shows: inside, and no wider than the page says."""
    rng, above = random.Random(precision), 0
    for _ in range(400):
        scale, d_head, n = rng.choice((0, 3, 20)), rng.choice((1, 2, 3, 4, 7)), rng.randint(2, 5)
        size = (1 << scale) * rng.choice((1, 4, precision, 500))
        values = [rng.randint(-size, size) for _ in range(n)]
        ends = shares_at(values, scale, d_head, precision)
        with mpmath.workprec(4 * precision + 400):
            root = mpmath.sqrt(d_head)
            weights = [
                mpmath.exp((x - max(values)) / mpmath.mpf(2) ** scale / root) for x in values
            ]
            for weight, (low, high) in zip(weights, ends, strict=False):
                true = n * mpmath.mpf(2) ** precision * weight / sum(weights)
                assert 0 <= low <= true <= high <= n << precision
                assert high - low <= 2
                above += low < true < high
        if len(set(values)) == 1:
            assert set(ends) == {(1 << precision, 1 << precision)}
    assert above > 100


def test_a_share_takes_its_own_end_and_the_other_of_all_others() -> None:
    rng = random.Random(4)
    precision, n = 8, 4
    rows = Matrix(((0, 1, 2, 3),), 0)
    for _ in range(50):
        lows = [rng.randrange(80, 200) for _ in range(n)]
        ends = [(low, low + rng.randrange(1, 90)) for low in lows]
        found = Shares(Scores(rows, 1, 72), precision, [ends]).at(0, [0, 1, 2], ledger())
        for i, (least, most) in enumerate(found):
            low, high = ends[i]
            above = sum(end for k, (_, end) in enumerate(ends) if k != i)
            below = sum(end for k, (end, _) in enumerate(ends) if k != i)
            assert least == floor(Fraction(n << precision) * low / (low + above))
            assert most == ceil(Fraction(n << precision) * high / (high + below))


@pytest.mark.parametrize(("low", "again"), [(64, False), (63, True)])
def test_exponentials_that_sum_to_less_than_a_unit_are_formed_again(
    low: int, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    formed: list[Any] = []

    def exponentials(_: object, values: Any, __: object) -> list[tuple[int, int]]:
        formed.append(values)
        return [(1 << 72, 1 << 72)] * len(values)

    monkeypatch.setattr(Scores, "exponentials", exponentials)
    ends = [(64, 99)] * 3 + [(low, 99)]
    Shares(Scores(Matrix(((0, 1, 2, 3),), 0), 1, 72), 8, [ends]).at(0, [0, 1, 2], ledger())
    assert formed == ([[0, 1, 2, 3]] if again else [])


def switches_of(neurons: int, scale: int = 1, switch: int = 0, entries: int = 4) -> Any:
    """Return the hint of two switches."""
    rows = [[1] * entries, [0] * entries]
    found: dict[str, Any] = {"tables": {"exponent": 0, "rows": rows}}
    found |= {"neurons": [switch] * neurons, "scales": [scale] * neurons}
    return parse_switches(found, neurons, 4)


@pytest.mark.parametrize(
    ("given", "clause"),
    [
        ({"neurons": 1, "scale": 2**31}, ""),
        ({"neurons": 1, "switch": 1}, ""),
        ({"neurons": 4096}, ""),
        ({"neurons": 1, "scale": 2**31 + 1}, "SPEC-3.3"),
        ({"neurons": 1, "scale": 0}, "SPEC-3.3"),
        ({"neurons": 1, "switch": 2}, "SPEC-3.3"),
        ({"neurons": 1, "switch": -1}, "SPEC-3.3"),
        ({"neurons": 4097}, "SPEC-3.5"),
        ({"neurons": 1, "entries": 5}, "SPEC-13.6"),
    ],
)
def test_switches_have_limits(given: Any, clause: str) -> None:
    if not clause:
        found = switches_of(**given)
        assert found.scales == (given.get("scale", 1),) * given["neurons"]
        return
    with pytest.raises(Refusal) as refused:
        switches_of(**given)
    assert refused.value.rule == clause


@pytest.mark.parametrize("scale", [9, 12, 40])
@pytest.mark.parametrize("precision", [64, 68, 71])
def test_packed_tables_are_rounded_down_and_have_room(
    scale: int, precision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[int, int]] = []
    monkeypatch.setattr(
        tables_of_sums, "hold", lambda entries, width, _: held.append((entries, width))
    )
    rng = random.Random(f"{scale} {precision}")
    sizes, columns = [2, 1, 2], 4
    tables = [
        tuple(tuple(rng.randint(-5000, 5000) for _ in range(columns)) for _ in range(5))
        for _ in range(3)
    ]
    folded: Any = SimpleNamespace(scale=12, tables=tables, sizes=sizes, scores=[None, None])
    found = packed(folded, slice(1, None), Fineness(3, precision, scale), ledger())
    lost, unit = max(0, 12 - scale), 3 << precision
    dropped = precision // 8 if lost else 0
    # Two heads: of every position a row, and of each head two.
    entries = [x >> lost for table in tables for row in table for x in row[1:]]
    width = max(map(int.bit_length, entries)) + (7 * unit).bit_length()
    assert found.bits == width - 8 * dropped
    assert found.shift == lost + 8 * dropped
    assert found.error == (8 * unit << lost if lost else 0)
    size = max(width // 8 + 1, dropped + 8)  # a word is kept at least
    assert (found.slots.columns, found.slots.size) == (3, size)
    assert held == [(5 * 3, 8 * 3 * size)]
    shares = [[rng.randrange(unit), rng.randrange(unit)] for _ in range(2)]
    rows = [0, 2, 3]
    row = found.at(rows, shares, ledger())
    for column, value in enumerate(row, 1):
        base, *moved = ([own[column] >> lost for own in table] for table in tables)
        whole = unit * sum(base[r] for r in rows)
        for table, own in zip(moved, shares, strict=True):
            whole += sum(s * (table[r] + table[3]) for s, r in zip(own, rows, strict=False))
        assert value == floor(Fraction(whole, 1 << 8 * dropped))


def test_tables_are_rounded_to_32_bits_behind_all_sums() -> None:
    assert tables_of_sums.ROUNDING_BITS == 32


@pytest.mark.parametrize(
    ("rests", "step"), [((63, 0), 1), ((64, 127), 2), ((128, 3), 3), ((9, 640), 11), ((), 1)]
)
def test_the_error_of_a_switch_falls_in_64_steps(rests: tuple[int, ...], step: int) -> None:
    # Scales 2 and 1 of neurons whose E over that is between these and one more.
    alphas, spreads = (2, 1), (3, 5)
    members = [
        switches._Member((7, -1), alpha, rest * alpha + alpha - 1, 1, by)
        for rest, alpha, by in zip(rests, alphas, spreads, strict=False)
    ]
    found = switches._switch(2, members)
    assert found.step == step
    for level, error in enumerate(found.errors):
        reach = level * step
        left = [max(0, own.rest - own.alpha * reach) * own.spread for own in members]
        assert error == sum(left)
    assert len(found.errors) == 64
    assert all(own.rest < own.alpha * 64 * step for own in members)
    assert found.written == (7 * len(members), -len(members))


def test_what_switches_write_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(switches, "hold", lambda entries, width, _: seen.append((entries, width)))
    hints: Any = SimpleNamespace(
        tables=Matrix(((1, 2, 3), (4, 5, 6)), 0), switches=(1,), scales=(1,)
    )
    left = SimpleNamespace(slots=SimpleNamespace(width=11), rows=(1,))
    readout: Any = SimpleNamespace(counts=(2,), left=left)
    pre = Matrix(((1,), (2,), (3,)), 0)
    switches.prepare(hints, pre, [1, 2], readout, [1], ledger())
    assert seen == [(2 * 3, 8 * 11)]


def test_shares_far_below_the_largest_score_of_the_table_are_formed_again() -> None:
    """One token has a score that is far above those of the input: with it alone all others would
    be zero.
    """
    precision = 64
    for far in (40, 50, 100, 10**6):
        scores = Matrix(((0, far, 1, 2),), 0)
        found = shares_of(scores, 1, precision, ledger())
        ends = found.at(0, [0, 2], ledger())
        with mpmath.workprec(400):
            weights = [mpmath.exp(x) for x in (0, 1, 2)]
            for weight, (low, high) in zip(weights, ends, strict=False):
                assert low <= 3 * 2**precision * weight / sum(weights) <= high
                assert high - low <= 8


def test_the_division_of_scores_is_rounded_outward(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lower end of an exponential takes an upper bound on the way down, the upper end a lower
    one: with 64 bits to spare no share shows it, so the arguments are looked at.
    """
    asked: list[tuple[int, int]] = []

    def watched(y: int, scale: int, precision: int) -> tuple[int, int]:
        asked.append((y, scale))
        return exp_enclosure(y, scale, precision)

    monkeypatch.setattr(checker.ground.interval, "exp_enclosure", watched)
    for d_head in (2, 3, 5):
        asked.clear()
        Scores(Matrix(((0, 7),), 2), d_head, 128).exponentials([0, 7], ledger())
        (up, scale), (down, same), *top = asked
        assert [y for y, _ in top] == [0, 0]
        # That of the scores, the bits of exponentials, and the bits to spare.
        assert scale == same == 2 + 128 + 64
        # (y 2^-scale)^2 d_head against (gap / 4)^2.
        assert up**2 * d_head * 16 > 7**2 << 2 * scale > down**2 * d_head * 16


# --- limits ---------------------------------------------------------------------------


def refusal(model: Any, sums: Any, precision: int = 64) -> tuple[str, str]:
    with pytest.raises(Refusal) as found:
        theorem_of(model, sums, precision=precision)
    return type(found.value).__name__, found.value.rule


def wide(
    mlp: int, outputs: int, vocab: int, heads: int = 1, mix: str | None = CONSTANT, **changes: Any
) -> Any:
    """Return a model of these sizes, weights 1 or 0."""
    config = addition.config_of(vocab, 1, 1, heads, mlp, outputs, mix)
    tensors = {
        n: filled(s, lambda: 1) for n, s in addition.shapes(config).items() if ".b_" not in n
    }
    return Model(config, tensors | changes)


def test_tables_are_measured_before_they_are_formed() -> None:
    # 2 p (m + outputs) (1 + heads) entries of 128 bits, and m outputs of M: at most 2^21.
    assert refusal(wide(4096, 1024, 2), {"rule": "exact"}) == ("Declined", "SPEC-3.5")
    assert refusal(wide(4096, 300, 300), {"rule": "exact"}) == ("Declined", "SPEC-3.5")
    assert refusal(wide(1024, 100, 100, 16, None), {"rule": "exact"}) == ("Declined", "SPEC-3.5")
    # 4 (4096 + 490) 4 + 4096 490 is below 2^21, 4 (4096 + 504) 4 + 4096 504 above.
    assert refusal(wide(4096, 504, 2, 3, None), {"rule": "exact"}) == ("Declined", "SPEC-3.5")
    assert theorem_of(wide(4096, 490, 2, 3, None), {"rule": "exact"}).correct_lower == 0


def test_precision_widens_what_is_packed() -> None:
    model = wide(512, 64, 64, 2, None)
    assert refusal(model, {"rule": "exact"}, precision=4096) == ("Declined", "SPEC-3.5")


def test_a_tiny_mix_does_not_widen_without_bound() -> None:
    big = wide(512, 64, 64, 2, "0x0.0000000000001p-9999")
    assert refusal(big, {"rule": "exact"}) == ("Declined", "SPEC-3.5")


def test_more_neurons_than_the_format_allows() -> None:
    model = wide(4, 3, 3)
    left = {"exponent": 0, "rows": [[0]] * 4097}
    pair = {"left": left, "right": {"exponent": 0, "rows": [[0] * 3]}, "settle": 0}
    assert refusal(model, {"rule": "low-rank", **pair}) == ("Declined", "SPEC-3.5")
    pair["left"] = {"exponent": 0, "rows": [[0]] * 4096}
    assert refusal(model, {"rule": "low-rank", **pair}) == ("Malformed", "SPEC-6.6")
    switches = {
        "neurons": [0] * 4097,
        "scales": [1] * 4,
        "tables": {"exponent": 0, "rows": [[0] * 6]},
    }
    assert refusal(model, {"rule": "switches", **pair, **switches}) == ("Declined", "SPEC-3.5")
    for scale, kind in ((2**31, ("Malformed", "SPEC-6.6")), (2**31 + 1, ("Malformed", "SPEC-3.3"))):
        switches |= {"neurons": [0] * 4, "scales": [1, 1, 1, scale]}
        assert refusal(model, {"rule": "switches", **pair, **switches}) == kind


def test_huge_and_tiny_weights_are_right_or_declined() -> None:
    for seed in range(12):
        rng = random.Random(seed)
        config = addition.config_of(2, 2, 1, 1, 2, 2, MIXES[seed % 4])
        sizes = (0, 1, -1, Fraction(2) ** 120, -(Fraction(2) ** 120), Fraction(1, 2**140))
        entry = partial(rng.choice, sizes)
        model = Model(config, {n: filled(s, entry) for n, s in addition.shapes(config).items()})
        if seed % 4 == 0:
            require_true(model, {"rule": "exact"}, exact=True)
        else:
            theorem = theorem_of(model, {"rule": "exact"})
            assert theorem.correct_lower <= theorem.correct_upper


def test_more_precision_decides_more() -> None:
    """Two answers that differ by a hair after the softmax."""
    model = random_model(7, None)
    undecided = [theorem_of(model, {"rule": "exact"}, precision=bits) for bits in (64, 256)]
    assert (
        undecided[0].correct_lower
        <= undecided[1].correct_lower
        <= undecided[1].correct_upper
        <= undecided[0].correct_upper
    )


def test_settling_leaves_nothing_open() -> None:
    for seed in range(10):
        model, rng = random_model(seed, CONSTANT), random.Random(seed)
        theorem = theorem_of(model, {"rule": "low-rank", **random_pair(rng, model), "settle": 1})
        assert theorem.correct_lower == theorem.correct_upper


def test_a_switch_is_an_error_of_second_order() -> None:
    """Switches that are each neuron's own leave next to nothing open; half of the neurons' tables
    swapped, a lot.
    """
    good = vectors_modular.adder(5)
    pair, exact = own_pair(good, 0), theorem_of(good, {"rule": "exact"})
    own = random_switches(random.Random(0), good, fitting=True)
    theorem = theorem_of(good, {"rule": "switches", **pair, **own})
    assert theorem.correct_lower == theorem.correct_upper == 25
    assert theorem.margin == exact.margin
    turned = {**own, "neurons": own["neurons"][::-1]}
    assert theorem_of(good, {"rule": "switches", **pair, **turned}).correct_lower < 25


@pytest.mark.parametrize("part", ["scores", "common scale"])
def test_scores_and_the_common_scale_of_the_tables_count_as_memory(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are measured as many as they are, before they are brought to one scale, and scores of
    all heads together.
    """
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(
        checker.sums.fold, "require_room", lambda entries, width: asked.append((entries, width))
    )
    model, question = some_case(1, None)
    doc = document(model, {"rule": "exact"}, question=question)
    proof: Any = check.parse(model.bytes, mutators.encode(doc)).proof
    found = checker.sums.fold.fold(proof.model, proof.statement.domain, ledger())
    heads, rows = model.config["n_heads"], sum(map(len, question.tokens))
    if part == "scores":
        all_scores = heads * rows * len(question.tokens[-1])
        assert {(all_scores, bits(scores)) for scores in found.scores} <= set(asked)
    else:
        columns = model.config["d_mlp"] + model.config["d_vocab_out"]
        entries = rows * columns * (1 + heads)
        widest = max(bits(Matrix(table, 0)) for table in found.tables)
        assert [pair for pair in asked if pair[0] == entries][-1] == (entries, widest)


# --- room -----------------------------------------------------------------------------


def one_way(gap: int, rest: int) -> Any:
    """Return what serves one input of two tokens whose only way finds this margin."""
    way: Any = SimpleNamespace(margin=lambda *_: (gap, rest))
    statement: Any = SimpleNamespace(right=lambda _: (0,))
    return Evaluation(statement, [0, 3], [], [], [way], over=1, scale=0, drift=0)


@pytest.mark.parametrize("weight", [1, 10**9])
@pytest.mark.parametrize(
    ("gap", "rest", "margin"),
    [(5, 0, 5 << 20), (5, 4, 1 << 20), (5, 5, None), (-5, 5, -1), (0, 0, -1), (-4, 5, None)],
)
def test_an_outcome_and_its_room(gap: int, rest: int, margin: int | None, weight: int) -> None:
    book = ledger()
    found = one_way(gap, rest).outcome((1, 2), weight, book)
    room = 3 * (384 + weight.bit_length())
    if margin is None:
        assert (found.lower, found.upper, found.size, found.margin) == (0, weight, weight, None)
    elif margin < 0:  # a tie is wrong
        assert (found.lower, found.upper, found.size, found.margin) == (*[weight] * 3, None)
    else:
        assert (found.lower, found.upper, found.size, found.margin) == (0, 0, weight, margin)
        room += 384 + margin.bit_length()
    assert book.held == room


@pytest.mark.parametrize(("lost", "rest"), [(0, 0), (2, 1)])
def test_a_way_of_all_rows_and_its_room(
    lost: int, rest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    tables = SimpleNamespace(bits=17, shift=5, error=3, slots=SimpleNamespace(columns=9))
    monkeypatch.setattr(inputs, "packed", lambda *_: tables)
    monkeypatch.setattr(inputs, "readout", lambda *given: seen.append(given[:4]))
    M = Matrix(((7, -9, 0), (1, 1, 1)), 6)
    folded: Any = None
    book = ledger()
    way = _Ground(folded, M, 11).whole_way(Fineness(1, 0, 6 - lost), book)
    assert book.held == 6 * (384 + 4 + 1)
    rows = ((16 >> lost, 0, 9 >> lost), (0, 0, 0))
    assert seen == [(Matrix(rows, 6 - lost), [rest] * 2, None, 17)]
    assert (way.direct, way.scale, way.shift, way.error) == (6, 6 - lost, 5 + lost, 33)


def test_activations_of_switches_have_room_for_a_sum_over_positions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    tables = SimpleNamespace(bits=17, shift=5, error=0, slots=SimpleNamespace(columns=3))
    monkeypatch.setattr(inputs, "packed", lambda *_: tables)
    monkeypatch.setattr(inputs, "readout", lambda *given: seen.append(given[:4]))
    monkeypatch.setattr(inputs, "prepare", lambda *given: seen.append(given[4]))
    M, PQ = Matrix(((7, -9, 0), (1, 1, 1)), 6), Matrix(((6, -9, 2), (1, 4, 1)), 6)
    # Two columns of neurons, then three of outputs; five positions.
    rows = tuple((x, -x, 999, 999, 999) for x in (3, 100, 5, 0, 1))
    folded: Any = SimpleNamespace(tables=[rows], scale=9, M=M, sizes=[1] * 5)
    pair = LowRank(Matrix(((1,), (2,)), 2), Matrix(((3, 4, 5),), 1))
    proof: Any = SimpleNamespace(hints=object())
    way = _Ground(folded, M, 11).own_way(proof, pair, PQ, Fineness(1, 0, 9), ledger())
    rest = [3, 3]
    assert seen == [
        (pair.left, rest, Matrix(((24, 32, 40),), 4), 7 + 3),
        [3 + 15, 3 + 3],
    ]
    assert way.error == 0


def test_sums_over_neurons_have_room_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Matrix, int]] = []
    monkeypatch.setattr(readouts, "factor", lambda matrix, room, _: seen.append((matrix, room)))
    P, Q = Matrix(((7, 0), (-9, 1), (0, 0), (1, 2), (3, 0)), 3), Matrix(((1, 2), (3, 4)), 1)
    found = readouts.readout(P, [0, 5, 0, 100, 0], Q, 30, ledger())
    rows = tuple((*row, end) for row, end in zip(P.rows, (0, 5, 0, 100, 0), strict=True))
    # Five activations of 30 bits, times entries of 7 bits.
    assert [(matrix.rows, room) for matrix, room in seen] == [(Q.rows, 30 + 7 + 3), (rows, 30)]
    assert found.counts == (1, 3, 0, 3, 1)


def test_exponentials_of_scores_and_their_room() -> None:
    book = ledger()
    Scores(Matrix(((0, 7, 1),), 2), 2, 128).exponentials([0, 7, 1], book)
    assert book.held == 6 * (384 + 128)
    assert checker.sums.shares.GUARD_BITS == 64


def test_effects_of_shares_are_those_of_the_page() -> None:
    # Two neurons and two outputs; positions of 2, 1 and 2 tokens; ranges of M over 2^-3.
    base = ((0,) * 4,) * 5
    head = ((3, -2, 5, 9), (-4, 1, 0, 0), (1, 1, -7, 2), (0, 0, 4, 4), (2, -3, 1, 0))
    M = Matrix(((7, 0), (0, 5)), 3)
    folded: Any = SimpleNamespace(tables=[base, head], sizes=[2, 1, 2])
    book = ledger()
    (effects,) = inputs._effects(folded, M, [7, 5], book)

    def f(row: tuple[int, ...]) -> int:
        through = abs(row[0]) * 7 + abs(row[1]) * 5
        return through + (max(row[2:]) - min(row[2:])) * 8

    last = max(f(head[3]), f(head[4]))
    assert effects == [max(f(head[0]), f(head[1])) + last, f(head[2]) + last]
    assert book.total == 20 + 20 + 40


@pytest.mark.parametrize("seed", range(3))
def test_rounding_is_an_error_times_one_and_all_ranges(seed: int) -> None:
    model = addition.good_model(3, MIXES[seed], seed)
    doc = document(model, {"rule": "exact"})
    proof: Any = check.parse(model.bytes, mutators.encode(doc)).proof
    found = evaluation_of(proof, ledger())
    first, second = found.ways
    M = fold(proof.model, proof.statement.domain, ledger()).M
    S = sum(max(row) - min(row) for row in M.rows)
    assert first.error == first.tables.error * (S + (1 << M.scale))
    assert second.error == 0
    terms = 2 + 2 * len(found.shares) + 1
    scale = found.scale - M.scale - (proof.precision if found.shares else 0)
    F = 32 + (terms * (floor(1 + Fraction(S, 1 << M.scale)) + 1)).bit_length()
    unit = found.over << (proof.precision if found.shares else 0)
    lost = max(0, scale - F)
    assert first.tables.error == (terms * unit << lost if lost else 0)


@pytest.mark.parametrize(("scale", "finer"), [(6, 9), (9, 6)])
def test_the_last_way_of_all_rows_rounds_nothing(
    scale: int, finer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Fineness] = []
    folded: Any = SimpleNamespace(
        scale=scale, M=Matrix(((1, 2), (3, 4)), finer), sizes=[2] * 5, scores=[None], tables=[]
    )
    monkeypatch.setattr(inputs, "fold", lambda *_: folded)
    monkeypatch.setattr(inputs, "shares_of", lambda *_: None)
    monkeypatch.setattr(_Ground, "whole_way", lambda _, fineness, __: seen.append(fineness))
    statement = SimpleNamespace(domain=None, exp_errors=None)
    proof: Any = SimpleNamespace(
        model=SimpleNamespace(sizes={"d_head": 1}),
        statement=statement,
        precision=64,
        pair=None,
        settle=True,
        hints=None,
    )
    found = evaluation_of(proof, ledger())
    # F of SPEC-13.3: n = 5, H' = 1, and S = (1 + 1) 2^-6 or 2^-9, below one.
    assert seen == [Fineness(5, 64, 32 + (8 * 2).bit_length()), Fineness(5, 64, 9)]
    assert (found.over, found.scale) == (5, scale + 64 + finer)


def test_tokens_before_the_last_bring_no_scale_into_the_stream() -> None:
    # Of integers the stream is over one: x + b_O of two columns at the last position, in four bits
    # each, and nothing but zeros, which take no room, before it.
    book = ledger()
    own: Any = SimpleNamespace(
        config={"attention_mix": "0x1.0p+0"}, by_role=lambda: {"b_O": Matrix(((1, 2),), 0)}
    )
    x = Matrix(((1, 2), (3, 4), (5, 6)), 0)
    found = checker.sums.fold._stream(own, x, [], 1, book)
    assert found == Matrix(((0, 0), (0, 0), (6, 8)), 0)
    assert book.held == 2 * (384 + 4)


def test_tables_of_unequal_scales_have_room_for_the_finer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    folds = checker.sums.fold
    monkeypatch.setattr(
        folds, "require_room", lambda entries, width: asked.append((entries, width))
    )
    moved = Matrix(((1 << 9,),), 20), Matrix(((1 << 30,),), 4)
    scores = Matrix(((1, 1),), 0), Matrix(((1 << 11, 1),), 0)
    monkeypatch.setattr(folds, "_entries", lambda *_: 77)
    monkeypatch.setattr(folds, "_moved", lambda _, head, *__: moved[head])
    monkeypatch.setattr(folds, "_scores", lambda _, head, *__: scores[head])
    monkeypatch.setattr(folds, "aligned", lambda tables, _: tables)
    monkeypatch.setattr(folds, "_stream", lambda *_: Matrix(((1,), (1,)), 2))
    monkeypatch.setattr(folds, "_projected", lambda *_: None)
    monkeypatch.setattr(folds, "_residuals", lambda *_: None)
    monkeypatch.setattr(folds, "_biases", lambda *_: Matrix(((0,),), 0))
    monkeypatch.setattr(folds, "beside", lambda *_: Matrix(((1,),), 0))
    one = Matrix(((1,),), 0)
    model: Any = SimpleNamespace(
        sizes={"n_heads": 2},
        config={"attention_mix": "0x1.0p+0"},
        by_role=lambda: {"W_in": one, "W_U": one, "W_out": one},
    )
    domain: Any = SimpleNamespace(tokens=((0,), (0,)))
    fold(model, domain, ledger())
    # Scores of both heads together; then 2^30 over 2^-4 once it is over 2^-20.
    assert asked == [(4, 1), (4, 12), (77, 31 + 16)]


def test_the_error_of_a_way_is_that_of_neurons_and_of_tables() -> None:
    logits = SimpleNamespace(values=[10, 3, 4], error=5)
    tables = SimpleNamespace(at=lambda *_: [0, 0, 1, 2, 3])
    neurons = SimpleNamespace(written=lambda *_: logits)
    way: Any = inputs.Way(tables, 2, neurons, 3, 4, 7)  # type: ignore[arg-type]
    # 18, 19 and 28, over 2^-4 more.
    for answer, gap in ((0, -10), (1, -9), (2, 9)):
        assert way.margin((), (), answer, ledger()) == (gap << 4, (5 << 4) + 7)


@pytest.mark.parametrize("settle", [-1, 2])
def test_open_inputs_are_settled_or_not(settle: int) -> None:
    model = addition.good_model(3, CONSTANT, 1)
    sums = {"rule": "low-rank", **own_pair(model), "settle": settle}
    assert refusal(model, sums) == ("Malformed", "SPEC-3.3")
