"""Proofs of leaves against 200-bit ground truth: every feature of the architecture, every pair of
features, every task.
"""

from __future__ import annotations

import copy
import random
from fractions import Fraction
from hashlib import sha256
from math import floor, isqrt, prod
from operator import mul
from typing import Any

import leaf_bounds
import models
import mpmath
import mutators
import networks
import pytest
from models import Model

from checker.check import Theorem, check, parse
from checker.ground.errors import Declined, Rejected
from checker.ground.exact import bits
from checker.ground.interval import lower_exponentials
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots
from checker.leaves import leaves
from checker.leaves.activation import activated, slope
from checker.leaves.balls import Affine, Ball, Norm
from checker.leaves.layer import Layer, Position
from checker.leaves.network import MAX_HELD_BITS, Network, held_bits, integer_bits
from checker.statement.model import load_model

PAIRS = list(networks.pairs())
TINY = Fraction(1, 1 << 150)


def theorem(model: Model, document: dict[str, Any]) -> Theorem:
    """Return what the checker proves."""
    return check(parse(model.bytes, mutators.encode(document)), lambda done, declared: None)


def network_of(model: Model, precision: int) -> Network:
    """Return the checker's network, which is read where the model is."""
    reads = tuple(networks.usual_domain(model)["read"])
    return Network(load_model(model.bytes), precision, reads, Ledger(lambda done: None))


def best(model: Model, tokens: tuple[int, ...]) -> list[int]:
    """Return the first answer with the largest logit, at every position that is read."""
    rows = networks.logits(model, tokens)
    return [max(range(len(row)), key=row.__getitem__) for row in rows]


def test_the_pairs_are_all_there() -> None:
    assert 12 <= len(PAIRS) <= 60
    names = list(networks.FEATURES)
    for at, a in enumerate(names):
        for b in names[at + 1 :]:
            found = {(chosen[a], chosen[b]) for chosen in PAIRS}
            due = {
                (i, j)
                for i in networks.FEATURES[a]
                for j in networks.FEATURES[b]
                if networks.possible({a: i, b: j})
            }
            assert found >= due


@pytest.mark.parametrize("at", range(len(PAIRS)))
def test_every_pair_of_features_against_200_bits(at: int) -> None:
    rng = random.Random(f"leaves {at}")
    model = networks.of(rng, PAIRS[at])
    task = rng.choice(["max-of-k", "argmax"])
    weights = (
        [[rng.randint(0, 3) for _ in range(2)] + [1] for _ in range(3)] if at % 3 == 0 else None
    )
    document = networks.document(
        model, task, [{"inputs": "1", "method": "either"}] * 27, weights=weights, precision=128
    )
    proved = theorem(model, document)
    right = 0
    for tokens, outcome in zip(networks.inputs(model), proved.outcomes[:-1], strict=True):
        weight = (
            prod(row[token] for row, token in zip(weights, tokens, strict=True)) if weights else 1
        )
        assert outcome.size == weight
        if not weight:
            continue
        margin = networks.margin(model, task, tokens)
        wrong = bool(margin <= 0)
        right += weight * (not wrong)
        assert (outcome.lower, outcome.upper) == (weight * wrong, weight * wrong)
        if wrong:
            assert outcome.margin is None
        else:
            assert outcome.margin is not None
            assert outcome.margin <= margin * 2**20 < outcome.margin + 2
    assert proved.correct_lower == proved.correct_upper == right


@pytest.mark.parametrize("at", range(0, len(PAIRS), 3))
def test_logits_lie_in_their_balls_at_every_precision(at: int) -> None:
    model = networks.of(random.Random(f"balls {at}"), PAIRS[at], d_model=4, spread=40)
    for precision in (16, 64, 128):
        network = network_of(model, precision)
        for tokens in networks.inputs(model)[::5]:
            balls = network.read(list(tokens))
            for ball, truth in zip(balls, networks.logits(model, tokens), strict=True):
                assert ball.radius > 0
                for middle, value in zip(ball.middles, truth, strict=True):
                    error = abs(value * 2**precision - middle)
                    assert error <= ball.radius + TINY.numerator / TINY.denominator


TASKS: list[tuple[Any, dict[str, Any]]] = [
    ("max-of-k", {"vocab": 3, "n": 3, "outputs": 4}),
    ({"modular-addition": 4}, {"vocab": 4, "n": 2, "outputs": 4}),
    ("balanced-brackets", {"vocab": 2, "n": 4, "outputs": 2}),
    ("argmax", {"vocab": 2, "n": 4, "outputs": 4}),
    ("table", {"vocab": 3, "n": 2, "outputs": 5}),
]


@pytest.mark.parametrize("readout", ["last", "all"])
@pytest.mark.parametrize(("task", "sizes"), TASKS)
def test_every_task(task: Any, sizes: dict[str, Any], readout: str) -> None:
    rng = random.Random(f"{task} {readout}")
    model = networks.of(rng, {"mlp": "relu", "readout": readout, "biases": True}, **sizes)
    asked: Any = task
    if task == "table":
        found = [best(model, tokens) for tokens in networks.inputs(model)]
        found[4][-1] = (found[4][-1] + 1) % 5
        asked = networks.table(model, found if model.every else [row[0] for row in found])
    document = networks.document(model, asked)
    if isinstance(task, dict) and model.every:
        # Two numbers are not there at the first position.
        with pytest.raises(Declined):
            theorem(model, document)
        return
    margins = [networks.margin(model, asked, tokens) for tokens in networks.inputs(model)]
    right = sum(bool(margin > 0) for margin in margins)
    proved = theorem(model, document)
    assert (proved.correct_lower, proved.correct_upper) == (right, right)
    if task == "table":
        assert right == 8
        assert proved.parsed.statement.task.fields["table"].startswith("sha256:")


# --- the parts --------------------------------------------------------------------


@pytest.mark.parametrize("precision", [8, 16, 64, 96, 128, 512, 1024, 4096, 8192])
def test_slope_is_the_root_of_eight_over_pi(precision: int) -> None:
    context = mpmath.MPContext()
    context.prec = precision + 64
    assert abs(context.sqrt(8 / context.pi) * context.mpf(2) ** precision - slope(precision)) < 2


@pytest.mark.parametrize("function", ["relu", "gelu_new", "silu"])
@pytest.mark.parametrize("precision", [16, 64, 128])
def test_activations_lie_in_their_balls(function: str, precision: int) -> None:
    rng = random.Random(f"{function} {precision}")
    for size in (0, 1, 3, 8, 20):
        for radius in (0, 1, 1 << precision // 2, 1 << precision + 1):
            middles = [
                rng.randint(-(1 << precision + size), 1 << precision + size) for _ in range(12)
            ] + [0, 1, -1]
            found = activated(function, Ball(middles, radius), precision)
            for middle, image in zip(middles, found.middles, strict=True):
                for x in (
                    middle - radius,
                    middle,
                    middle + radius,
                    middle + rng.randint(-radius, radius),
                ):
                    truth = (
                        networks.activation(function, networks.CONTEXT.mpf(x) / 2**precision)
                        * 2**precision
                    )
                    assert abs(truth - image) <= found.radius + abs(truth) / 2**150


def test_activations_are_tight() -> None:
    for function in ("gelu_new", "silu"):
        assert activated(function, Ball([3 << 64, -(1 << 62), 0], 0), 64).radius < 1 << 10


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 63, 64, 200])
def test_slots_hold_every_sum_that_fits(bits: int) -> None:
    rng = random.Random(bits)
    most = (1 << bits) - 1
    for drop in range((bits - 1) // 8 + 1):
        slots = Slots(5, bits, drop)
        assert slots.words == (bits < 64 + 8 * drop)
        rows = [
            [rng.choice([-most, most, 0, rng.randint(-most, most)]) for _ in range(5)]
            for _ in range(3)
        ]
        for scalars in ([1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, -1]):
            sums = [sum(c * row[k] for c, row in zip(scalars, rows, strict=True)) for k in range(5)]
            assert slots.combine(scalars, [slots.pack(row) for row in rows]) == [
                value >> 8 * drop for value in sums
            ]


# --- the page ---------------------------------------------------------------------


def finer(rng: random.Random, model: Model) -> Model:
    """Return the model with weights of 44 fractional bits, which 16 bits of precision round."""

    def fine(value: Any) -> Any:
        if isinstance(value, list):
            return [fine(part) for part in value]
        return value + Fraction(rng.randrange(2**30), 2**44)

    return Model(model.config, {name: fine(w) for name, w in model.tensors.items()}, "F64")


@pytest.mark.parametrize("precision", [16, 64])
@pytest.mark.parametrize("at", range(len(PAIRS)))
def test_balls_are_those_of_the_page(at: int, precision: int) -> None:
    """Middles and radii, to the last unit: no term of a radius may be missing, or be larger."""
    rng = random.Random(f"page {at}")
    plain = networks.of(rng, PAIRS[at], dtype="F64", spread=20 + at)
    for model in (plain, finer(rng, plain)):
        page = leaf_bounds.Reading(model, precision, lower_exponentials, slope)
        network = network_of(model, precision)
        for tokens in networks.inputs(model)[at % 9 :: 9]:
            found, due = network.read(list(tokens)), page.logits(tokens)
            assert [(ball.middles, ball.radius) for ball in found] == [
                (ball.middles, ball.radius) for ball in due
            ]


@pytest.mark.parametrize("precision", [16, 24])
@pytest.mark.parametrize("scale", range(1, 28))
def test_weights_are_known_to_whole_bytes_of_fractional_bits(scale: int, precision: int) -> None:
    """`s = 8 ceil(min(scale, precision) / 8)`: where W and b are exact, e is 0."""
    rng = random.Random(f"scale {scale} {precision}")
    model = networks.of(rng, {"biases": True}, vocab=2, n=2, outputs=2)
    odd = [[Fraction(rng.randrange(-99, 99, 2), 2**scale) for _ in range(2)] for _ in range(4)]
    weights = {"unembed.W_U": odd[:3], "unembed.b_U": odd[3]}
    model = Model(model.config, {**model.tensors, **weights}, "F64")
    affine = Affine(load_model(model.bytes), ["unembed.W_U"], precision)
    page = leaf_bounds.Reading(model, precision, lower_exponentials, slope)
    for radius in (0, 1, 1 << precision):
        middles = [rng.randint(-(4 << precision), 4 << precision) for _ in range(3)]
        found = affine(Ball(middles, radius))
        due = page.affine(leaf_bounds.Ball(middles, radius), "unembed.W_U")
        assert (found.middles, found.radius) == (due.middles, due.radius)
        assert affine.rounded == (scale > 8 * -(-min(scale, precision) // 8))


def test_scores_that_are_nearly_exact_move_shares_by_delta() -> None:
    """Where `delta` is less than 2, it counts; where it is more, 2 does."""
    seen = set()
    for at in range(40):
        rng = random.Random(f"delta {at}")
        model = networks.of(rng, {"n_heads": 2}, dtype="F64", spread=rng.choice((2, 400)))
        precision = rng.choice((16, 24, 64))
        page = leaf_bounds.Reading(model, precision, lower_exponentials, slope)
        layer = Layer(load_model(model.bytes), "blocks.0.", precision, 0)
        size = 1 << precision - rng.choice((0, 6))
        rows = [[rng.randint(-size, size) for _ in range(3)] for _ in range(3)]
        radius = rng.choice((0, 1, size // 9))
        kept = [layer.project(Ball(row, radius)) for row in rows]
        due = [page.project("blocks.0.", leaf_bounds.Ball(row, radius)) for row in rows]
        for position, own in zip(kept, due, strict=True):
            assert [layer._scores(position, other) for other in kept] == [
                [
                    floor(sum(map(mul, query, key)) * layer.root * page.u**2)
                    for query, key in zip(own.queries, other.keys, strict=True)
                ]
                for other in due
            ]
            found, expected = layer._attention(position, kept), page.attention(own, due)
            assert (found.middles, found.radius) == (expected.middles, expected.radius)
            seen.add(page.delta(own, due) < 2 << precision)
    assert seen == {True, False}


def test_where_the_radius_is_as_large_as_the_norm_nothing_is_known() -> None:
    """At R = d r nothing bounds the root from below: the ball is all that an image can be."""
    model = networks.of(random.Random(0), {"normalization_type": "LNPre"}, d_model=3, vocab=2)
    norm, eps = Norm(load_model(model.bytes), "ln_final", 16), float.fromhex(model.config["eps"])
    page, edges, nearly = leaf_bounds.Reading(model, 16, lower_exponentials, slope), 0, 0
    for last in range(0, 9000, 300):
        middles = [-70001, 70003, last]
        N = [3 * middle - sum(middles) for middle in middles]
        R = isqrt(sum(v * v for v in N) // 3 + floor(9 * Fraction(eps) * 4**16))
        for radius in (R // 3 - 1, R // 3, R // 3 + 1):
            found = norm(Ball(middles, radius))
            due = page.normal("ln_final", leaf_bounds.Ball(middles, radius))
            assert (found.middles, found.radius) == (due.middles, due.radius)
            assert (found.middles == [0, 0, 0]) == (3 * radius >= R)
            edges += 3 * radius == R
            nearly += 3 * radius == R - 1
    assert min(edges, nearly) > 3


def test_what_is_below_the_root_is_rounded_down() -> None:
    """Where one unit more below the root is a square, R shows how `d^2 eps / u^2` was rounded."""
    steps = 0
    for numerator in range(1, 400):
        # d = 3, N = (-3, 0, 3): sum N^2 / d is 6.  d^2 eps / u^2 is a multiple of 9 / 256.
        eps = Fraction(numerator, 2**40)
        ceiling = floor(9 * eps * 4**16) + 1
        if isqrt(6 + ceiling) ** 2 != 6 + ceiling:
            continue
        chosen = {"normalization_type": "LNPre"}
        model = networks.of(random.Random(0), chosen, vocab=2)
        model = Model({**model.config, "eps": float(eps).hex()}, model.tensors)
        norm = Norm(load_model(model.bytes), "ln_final", 16)
        page = leaf_bounds.Reading(model, 16, lower_exponentials, slope)
        found = norm(Ball([0, 1, 2], 0))
        due = page.normal("ln_final", leaf_bounds.Ball([0, 1, 2], 0))
        assert (found.middles, found.radius) == (due.middles, due.radius)
        steps += 1
    assert steps > 3


def unit_near_zero(value: Fraction) -> Model:
    """Return a model whose answer 0 is ahead of answer 1 by `max(value, 0)`, what a unit holds."""
    chosen = {"readout": "sum-pool-mlp"}
    model = networks.of(random.Random(0), chosen, vocab=1, n=1, outputs=2, d_model=1, d_head=1)
    tensors = {name: _zeros_like(w) for name, w in model.tensors.items()}
    tensors["embed.W_E"] = [[value]]
    tensors["head.W_1"] = [[1, 0, 0]]
    tensors["head.W_2"] = [[1, 0], [3, 3], [0, 0]]
    return Model(model.config, tensors, "F64")


def _zeros_like(value: Any) -> Any:
    return [_zeros_like(part) for part in value] if isinstance(value, list) else 0


@pytest.mark.parametrize(
    ("value", "right"),
    [
        # Below one unit of 64 bits: the middle is 0, and the unit may be on.  It is.
        (Fraction(1, 2**70), 1),
        # At or below zero for certain: level.
        (Fraction(-1), 0),
    ],
)
def test_a_unit_that_may_be_on_is_not_taken_to_be_off(value: Fraction, right: int) -> None:
    model = unit_near_zero(value)
    proved = theorem(model, networks.document(model, "max-of-k"))
    assert proved.correct_lower == proved.correct_upper == right


@pytest.mark.parametrize(
    ("middle", "radius", "level"),
    [(-5, 5, True), (-5, 6, False), (0, 1, False), (0, 0, True), (1, 0, False), (1, 7, False)],
)
def test_a_unit_is_off_where_its_ball_is(middle: int, radius: int, level: bool) -> None:
    network = network_of(unit_near_zero(Fraction(1)), 64)
    network.hidden = Ball([middle, 3, -9], radius)
    assert network.is_level(0) == network.is_level(1) == level


# --- precision, ties, limits ------------------------------------------------------


def scaled_apart(gap: int) -> Model:
    """Return a model whose two logits differ by `2^-gap` times a number about one."""
    model = networks.of(
        random.Random("apart"),
        {"mlp": "relu", "biases": True},
        vocab=2,
        n=2,
        outputs=2,
        dtype="F64",
    )
    column = [row[0] for row in model.tensors["unembed.W_U"]]
    near = [[v, v + Fraction(1, 2**gap)] for v in column]
    return Model(model.config, {**model.tensors, "unembed.W_U": near, "unembed.b_U": [0, 0]}, "F64")


@pytest.mark.parametrize("gap", [20, 45])
def test_precision_is_raised_until_the_sign_is_known(gap: int) -> None:
    model = scaled_apart(gap)
    document = networks.document(model, "max-of-k", precision=16 if gap == 20 else 64)
    with pytest.raises(Declined) as refusal:
        theorem(model, {**document, "proof": {**document["proof"], "precision": 16}})
    assert refusal.value.rule == "SPEC-3.5"
    document["proof"]["precision"] = 64
    proved = theorem(model, document)
    right = sum(
        bool(networks.margin(model, "max-of-k", tokens) > 0) for tokens in networks.inputs(model)
    )
    assert proved.correct_lower == proved.correct_upper == right


def test_a_tie_that_cannot_be_shown_stays_undecided() -> None:
    # Two columns that differ in an entry which the residual stream never uses.
    model = networks.of(random.Random("tie"), {}, vocab=2, n=1, outputs=2, d_model=2, d_head=1)
    tensors = {name: copy.deepcopy(tensor) for name, tensor in model.tensors.items()}
    tensors["embed.W_E"] = [[1, 0], [2, 0]]
    tensors["pos_embed.W_pos"] = [[0, 0]]
    tensors["blocks.0.attn.W_O"] = [[[1, 0]]]
    tensors["unembed.W_U"] = [[1, 1], [2, 3]]
    model = Model(model.config, tensors)
    proved = theorem(model, networks.document(model, "max-of-k"))
    assert (proved.correct_lower, proved.correct_upper) == (0, 2)


def test_a_tie_at_one_position_of_several_is_shown() -> None:
    model = networks.of(random.Random("twins"), {"readout": "all"}, vocab=3, n=2, outputs=3)
    rows = [[row[0], row[0], row[2]] for row in model.tensors["unembed.W_U"]]
    model = Model(model.config, {**model.tensors, "unembed.W_U": rows})
    right = sum(
        bool(networks.margin(model, "max-of-k", tokens) > 0) for tokens in networks.inputs(model)
    )
    proved = theorem(model, networks.document(model, "max-of-k"))
    assert proved.correct_lower == proved.correct_upper == right


def test_inputs_without_weight_cost_but_are_not_evaluated() -> None:
    model = networks.of(random.Random("weight"), {}, vocab=2, n=3, outputs=2)
    alone = theorem(model, networks.document(model, "max-of-k", weights=[[0, 1], [0, 1], [0, 7]]))
    assert (alone.parsed.statement.total, [outcome.size for outcome in alone.outcomes]) == (
        7,
        [7, 0],
    )
    assert alone.ledger.exp < theorem(model, networks.document(model, "max-of-k")).ledger.exp / 4


@pytest.mark.parametrize("operations", [0, 10, 10_000])
def test_a_huge_domain_costs_no_more_than_is_declared(operations: int) -> None:
    model = networks.of(random.Random("huge"), {}, vocab=64, n=64, outputs=64, d_model=1, d_head=1)
    weights = [[1] + [0] * 63] * 64
    for method in ("either", "wrong"):
        leaves = [{"inputs": str(64**64), "method": method}]
        document = networks.document(
            model, "max-of-k", leaves, weights=weights, operations=operations
        )
        with pytest.raises(Declined) as refusal:
            theorem(model, document)
        assert refusal.value.rule == "SPEC-8.2"
    skipped = networks.document(
        model, "max-of-k", [{"inputs": str(64**64), "method": "skip"}], operations=0
    )
    assert theorem(model, skipped).correct_upper == 64**64


@pytest.mark.parametrize("norm", [None, "LNPre"])
def test_radii_stay_bounded_in_deep_models(norm: str | None) -> None:
    # Bounds on errors grow in every layer, but only by about as many bits as the weights have.
    chosen = {"n_layers": 16, "normalization_type": norm}
    model = networks.of(random.Random("deep"), chosen, vocab=2, n=2, outputs=2, d_model=2, d_head=2)
    network = network_of(model, 64)
    assert network.read([0, 1])[0].radius.bit_length() < 200


def test_a_table_of_wrong_answers_proves_the_model_wrong_everywhere() -> None:
    model = networks.of(random.Random("agree"), {"mlp": "relu"}, vocab=2, n=3, outputs=3)
    own = [best(model, tokens)[0] for tokens in networks.inputs(model)]
    for shift, right in ((0, 8), (1, 0), (2, 0)):
        asked = networks.table(model, [(answer + shift) % 3 for answer in own])
        proved = theorem(model, networks.document(model, asked))
        assert (proved.correct_lower, proved.correct_upper) == (right, right)


# --- exactly so much --------------------------------------------------------------


@pytest.mark.parametrize(("precision", "whole"), [(32, 16), (56, 16), (64, 32), (72, 32)])
def test_middles_that_fit_are_accepted(precision: int, whole: int) -> None:
    model = load_model(networks.of(random.Random("edge"), {}, vocab=2, n=2, outputs=2).bytes)
    affine = Affine(model, ["unembed.W_U"], precision)
    largest = (1 << precision + whole) - 1
    columns = list(zip(*model.weights["unembed.W_U"].rows, strict=True))
    for sign in (1, -1):
        found = affine(Ball([sign * largest] * 3, 0))
        assert found.middles == [
            sign * largest * sum(column) >> model.weights["unembed.W_U"].scale for column in columns
        ]
        with pytest.raises(Declined) as refusal:
            affine(Ball([0, sign * (largest + 1), 0], 0))
        assert refusal.value.rule == "SPEC-14.3"


@pytest.mark.parametrize("precision", [32, 40, 64, 72, 80, 88, 96])
@pytest.mark.parametrize(("weight", "bias"), [(1, 0), (Fraction(1, 2**20), 2**18), (3 * 2**20, 1)])
def test_slots_hold_the_largest_images(precision: int, weight: Any, bias: Any) -> None:
    """Sums as large as the norm and the bias allow, with either sign, in every column."""
    model = networks.of(random.Random("edge"), {"biases": True}, vocab=2, n=2, outputs=4)
    signs = [[1, -1, 1, -1], [1, -1, -1, 1], [-1, 1, -1, -1]]
    tensors = {
        "unembed.W_U": [[weight * sign for sign in row] for row in signs],
        "unembed.b_U": [bias, -bias, bias, -bias],
    }
    loaded = load_model(Model(model.config, {**model.tensors, **tensors}, "F64").bytes)
    affine = Affine(loaded, ["unembed.W_U"], precision)
    largest = (1 << precision + (32 if precision >= 64 else 16)) - 1
    for column in zip(*signs, strict=True):
        middles = [largest * sign for sign in column]
        sums = [sum(map(mul, middles, other)) for other in zip(*signs, strict=True)]
        assert affine(Ball(middles, 0)).middles == [
            floor(weight * total + sign * bias * 2**precision)
            for total, sign in zip(sums, (1, -1, 1, -1), strict=True)
        ]


@pytest.mark.parametrize("precision", [32, 56, 64, 72, 96])
@pytest.mark.parametrize("n", [1, 3, 31, 32, 63, 64])
def test_slots_hold_the_largest_mixed_values(
    n: int, precision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the mix 0 every share is one, and so all values add up."""
    laid_out = list[int]()

    def slots(columns: int, room: int, drop: int) -> Slots:
        laid_out.append(room)
        return Slots(columns, room, drop)

    monkeypatch.setattr("checker.leaves.layer.Slots", slots)
    chosen = {"attention_mix": "0x0.0p+0", "attention_dir": "bidirectional"}
    model = networks.of(random.Random("edge"), chosen, vocab=1, n=n, outputs=2, d_model=1)
    layer = Layer(load_model(model.bytes), "blocks.0.", precision, 0)
    largest = (1 << precision + (32 if precision >= 64 else 16)) - 1
    # The page: each sum is below 2^bits.
    assert n * (largest << precision) < 1 << laid_out[0]
    values = [largest, -largest]
    position = Position([[0, 0]], [[0, 0]], [layer.slots.pack(values)], 2, 0, largest)
    mixed = layer._attention(position, [position] * n)
    assert mixed.middles == [n * value for value in values]


@pytest.mark.parametrize("precision", [32, 64, 96])
@pytest.mark.parametrize(("weight", "bias"), [(1, 0), (1, 1), (1, 3), (4, 4), (3, 1), (0, 8)])
def test_slots_are_laid_out_for_the_largest_images(
    weight: int, bias: int, precision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Middles, and the factor of the bias, are below `2^middle`."""
    laid_out = list[int]()

    def slots(columns: int, room: int, drop: int) -> Slots:
        laid_out.append(room - 8 * drop)
        return Slots(columns, room, drop)

    monkeypatch.setattr("checker.leaves.balls.Slots", slots)
    model = networks.of(random.Random("edge"), {"biases": True}, vocab=2, n=2, outputs=2, d_model=1)
    tensors = {"unembed.W_U": [[weight, -weight]], "unembed.b_U": [bias, -bias]}
    loaded = load_model(Model(model.config, {**model.tensors, **tensors}).bytes)
    Affine(loaded, ["unembed.W_U"], precision)
    largest = (1 << precision + (32 if precision >= 64 else 16)) - 1
    assert weight * largest + (bias << precision) < 1 << laid_out[0]


def test_what_is_held_at_once_is_limited_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(
        networks.of(
            random.Random("room"), {"n_layers": 2, "n_heads": 2}, vocab=2, n=3, outputs=2
        ).bytes
    )
    numbers = sum(len(matrix.rows) * len(matrix.rows[0]) for matrix in model.weights.values())
    room = numbers * (2 * 64 + 1 + 64) + 3 * 2 * (2 * 2 + 3) * (4 * 64 + 2 * 1 + 700)
    assert max(bits(matrix) - matrix.scale for matrix in model.weights.values()) == 1
    monkeypatch.setattr("checker.leaves.network.MAX_HELD_BITS", room)
    assert Network(model, 64, (2,), Ledger(lambda done: None)).precision == 64
    monkeypatch.setattr("checker.leaves.network.MAX_HELD_BITS", room - 1)
    with pytest.raises(Declined) as refusal:
        Network(model, 64, (2,), Ledger(lambda done: None))
    assert refusal.value.rule == "SPEC-3.5"


@pytest.mark.parametrize("precision", [8, 24, 64])
def test_affine_maps_of_whole_balls(precision: int) -> None:
    rng = random.Random(precision)
    for dtype in ("F32", "F64"):
        model = networks.of(rng, {"biases": True}, vocab=2, n=2, outputs=2, d_model=4, dtype=dtype)
        if dtype == "F64":
            shifted = [
                [v + Fraction(rng.randint(0, 2**40), 2**48) for v in row]
                for row in model.tensors["unembed.W_U"]
            ]
            model = Model(model.config, {**model.tensors, "unembed.W_U": shifted}, "F64")
        weights, bias = model.tensors["unembed.W_U"], model.tensors["unembed.b_U"]
        affine = Affine(load_model(model.bytes), ["unembed.W_U"], precision)
        for radius in (0, 1, 1000):
            middles = [rng.randint(-(2 << precision), 2 << precision) for _ in range(4)]
            image = affine(Ball(middles, radius))
            found, wide = image.middles, image.radius
            for column in range(2):
                for sign in (1, -1):
                    x = [
                        m + sign * radius * (1 if weights[j][column] > 0 else -1)
                        for j, m in enumerate(middles)
                    ]
                    truth = (
                        sum(v * weights[j][column] for j, v in enumerate(x))
                        + bias[column] * 2**precision
                    )
                    assert abs(truth - found[column]) <= wide
                    assert wide <= 2 + abs(truth - found[column]) + 12 * radius + (
                        40 if dtype == "F64" else 0
                    )


PINNED = "a000930d917bd241"


def test_balls_are_what_they_were() -> None:
    """Any change of a rounding or of a bound on an error shows here; that they are sound shows
    above.
    """
    digest = sha256()
    for at, chosen in enumerate(PAIRS):
        model = networks.of(random.Random(f"pinned {at}"), chosen, dtype="F64", spread=20 + at)
        for precision in (16, 64):
            network = network_of(model, precision)
            read = [network.read(list(tokens)) for tokens in networks.inputs(model)[::4]]
            pairs = [[(ball.middles, ball.radius) for ball in balls] for balls in read]
            digest.update(repr(pairs).encode())
    assert digest.hexdigest()[:16] == PINNED


class Fake:
    """A network whose logits are given: the right answer's, the other's, and the radius, for each
    precision; ``recalled`` says at which precisions the stack was asked to be empty.
    """

    def __init__(self, balls: dict[int, tuple[int, int]]) -> None:
        self.balls, self.tried, self.tokens = balls, list[int](), list[int]()
        self.recalled = list[int]()

    def __call__(self, model: object, precision: int, reads: object, ledger: object) -> Fake:
        self.tried.append(precision)
        return self

    def recall(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.recalled.append(self.tried[-1])

    def read(self, tokens: list[int]) -> list[Ball]:
        middle, radius = self.balls.get(self.tried[-1], (0, 1))
        return [Ball([middle, 0], radius)]

    def is_level(self, answer: int) -> bool:
        return False


@pytest.mark.parametrize(
    ("balls", "tried", "outcome"),
    [
        ({64: (3 << 64, 1 << 64)}, [64], (0, 0, 1 << 20)),
        ({64: (2 << 64, (1 << 64) - 1)}, [64], (0, 0, 0)),
        ({64: (2 << 64, 1 << 64), 128: (1, 0)}, [64, 128], (0, 0, 0)),
        ({64: (-2 << 64, 1 << 64)}, [64], (1, 1, None)),
        ({64: (1 - (2 << 64), 1 << 64), 128: (0, 0)}, [64, 128], (1, 1, None)),
        ({4096: (-2, 1)}, [64, 128, 256, 512, 1024, 2048, 4096], (1, 1, None)),
        ({}, [64, 128, 256, 512, 1024, 2048, 4096], (0, 1, None)),
    ],
)
def test_signs_and_the_precisions_that_are_tried(
    balls: dict[int, tuple[int, int]],
    tried: list[int],
    outcome: tuple[int, int, int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(balls)
    monkeypatch.setattr("checker.leaves.leaves.Network", fake)
    model = networks.of(random.Random("fake"), {}, vocab=1, n=1, outputs=2)
    found = theorem(model, networks.document(model, "max-of-k")).outcomes[0]
    assert (found.lower, found.upper, found.margin) == outcome
    assert fake.tried == tried
    # Once where a part begins; at each finer precision, where nothing is shared.
    assert fake.recalled == tried


@pytest.mark.parametrize("level", [(), (0,), (1,), (0, 1)])
def test_one_position_where_two_logits_are_equal_makes_an_input_wrong(
    level: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are 0 and 1, and no precision tells anything of either."""

    class Level(Fake):
        def read(self, tokens: list[int]) -> list[Ball]:
            return [Ball([0, 0], 1)] * 2

        def is_level(self, answer: int) -> bool:
            return answer in level

    monkeypatch.setattr("checker.leaves.leaves.Network", Level({}))
    model = networks.of(random.Random("fake"), {"readout": "all"}, vocab=1, n=2, outputs=2)
    document = networks.document(model, networks.table(model, [[0, 1]]))
    found = theorem(model, document).outcomes[0]
    assert (found.lower, found.upper) == (bool(level), 1)


UNIT = 1 << 44
"""2^-20 at 64 bits."""


@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [
        ((1, 1, 1), (0, 0)),
        # Wrong at one position, right or unknown at the others.
        ((1, -1, 1), (1, 1)),
        ((-1, 1, 1), (1, 1)),
        ((0, -1, 0), (1, 1)),
        # Unknown at one position.
        ((1, 0, 1), (0, 1)),
        ((0, 0, 0), (0, 1)),
    ],
)
def test_an_input_is_right_at_all_positions_and_wrong_at_one(
    gaps: tuple[int, ...], outcome: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gaps of 0 are not seen at any precision."""

    class Positions(Fake):
        def read(self, tokens: list[int]) -> list[Ball]:
            return [Ball([gap << 8, 0], 7) for gap in gaps]

    monkeypatch.setattr("checker.leaves.leaves.Network", Positions({}))
    model = networks.of(random.Random("fake"), {"readout": "all"}, vocab=1, n=3, outputs=2)
    found = theorem(model, networks.document(model, "max-of-k")).outcomes[0]
    assert (found.lower, found.upper) == outcome


@pytest.mark.parametrize(
    ("gaps", "tried"),
    [
        # At most 6 or 5 at one position: 7 is false, whatever the others are.
        ((6, 9), [64]),
        ((9, 5), [64]),
        # At both it may be 7, and finer it is.
        ((7, 9), [64, 128]),
        ((7, 7), [64, 128]),
        ((8, 9), [64]),
    ],
)
def test_a_margin_is_the_least_over_positions(
    gaps: tuple[int, ...], tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Radii are so small that the margin is known to less than a unit at 64 bits, exactly finer."""

    class Positions(Fake):
        def read(self, tokens: list[int]) -> list[Ball]:
            bits = self.tried[-1]
            return [Ball([gap << bits - 20, 0], bits < 128) for gap in gaps]

    fake = Positions({})
    monkeypatch.setattr("checker.leaves.leaves.Network", fake)
    model = networks.of(random.Random("fake"), {"readout": "all"}, vocab=1, n=2, outputs=2)
    leaves = [{"inputs": "1", "method": "right", "margin": ["7", "-20"]}]
    document = networks.document(model, "max-of-k", leaves)
    if min(gaps) >= 7:
        assert theorem(model, document).outcomes[0].margin == 7
    else:
        with pytest.raises(Rejected, match="a larger margin than") as refusal:
            theorem(model, document)
        assert refusal.value.rule == "SPEC-14.7"
    assert fake.tried == tried


@pytest.mark.parametrize(
    ("leaf", "middle", "shown"),
    [
        ({"method": "right", "margin": ["0", "0"]}, 1 << 64, True),
        ({"method": "right", "margin": ["0", "0"]}, -1 << 64, False),
        ({"method": "right", "margin": ["0", "0"]}, 0, False),
        ({"method": "wrong"}, -1 << 64, True),
        ({"method": "wrong"}, 1 << 64, False),
        ({"method": "wrong"}, 0, False),
        ({"method": "either"}, 0, True),
    ],
)
def test_what_is_not_known_is_neither_right_nor_wrong(
    leaf: dict[str, Any], middle: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    balls = {64 << at: (middle << (64 << at) - 64, 1) for at in range(7)}
    monkeypatch.setattr("checker.leaves.leaves.Network", Fake(balls))
    model = networks.of(random.Random("fake"), {}, vocab=1, n=1, outputs=2)
    document = networks.document(model, "max-of-k", [{"inputs": "1", **leaf}])
    if shown:
        assert theorem(model, document).outcomes[0].size == 1
        return
    with pytest.raises(Rejected, match=f"not shown to be {leaf['method']}") as refusal:
        theorem(model, document)
    assert refusal.value.rule == "SPEC-14.7"


@pytest.mark.parametrize("weight", [0, 1])
def test_a_margin_of_nothing_is_none(weight: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where less than 2^-20 is shown, or there is no input, the least unit may not be claimed."""
    monkeypatch.setattr("checker.leaves.leaves.Network", Fake({64: (UNIT - 1, 0)}))
    model = networks.of(random.Random("fake"), {}, vocab=2, n=1, outputs=2)
    for margin, fits in ((["0", "0"], True), (["1", "-4000"], False), (["1", "-20"], False)):
        asked: list[dict[str, Any]] = [
            {"inputs": "1", "method": "right", "margin": margin},
            {"inputs": "1", "method": "either"},
        ]
        document = networks.document(model, "max-of-k", asked, weights=[[weight, 1]])
        if fits:
            assert theorem(model, document).margin == 0
            continue
        with pytest.raises(Rejected, match="a larger margin than 0/") as refusal:
            theorem(model, document)
        assert refusal.value.rule == "SPEC-14.7"


@pytest.mark.parametrize(
    ("balls", "tried", "margin"),
    [
        # 7 units are shown, and claimed.
        ({64: (9 * UNIT, UNIT)}, [64], 7),
        ({64: (9 * UNIT - 1, UNIT), 128: (7 << 108, 0)}, [64, 128], 7),
        # Between 6 and 8 or more are shown: 7 may be true, and is or is not.
        ({64: (8 * UNIT, UNIT), 128: ((7 << 108) + 2, 1)}, [64, 128], 7),
        ({64: (8 * UNIT, UNIT), 128: (7 << 108, 0)}, [64, 128], 7),
        ({64: (8 * UNIT, UNIT), 128: ((7 << 108) + 1, 1), 256: (1 << 240, 1)}, [64, 128, 256], 15),
        ({64: (8 * UNIT, UNIT), 128: ((7 << 108) - 1, 0)}, [64, 128], None),
        # At most a unit less one part than 7 is shown: false at once.
        ({64: (7 * UNIT - 3, 1)}, [64], None),
        ({64: (7 * UNIT - 2, 1), 128: (7 << 108, 0)}, [64, 128], 7),
        # Neither sign nor margin is seen.
        ({64: (0, UNIT), 128: (7 << 108, 0)}, [64, 128], 7),
        ({64: (0, 9 * UNIT), 128: (6 << 108, 1)}, [64, 128], None),
        # Right, whatever the precision, and never known to have the margin.
        (
            {64 << at: (7 << 44 + (64 << at) - 64, 1) for at in range(7)},
            [64 << at for at in range(7)],
            None,
        ),
    ],
)
def test_precisions_that_are_tried_for_a_margin(
    balls: dict[int, tuple[int, int]],
    tried: list[int],
    margin: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(balls)
    monkeypatch.setattr("checker.leaves.leaves.Network", fake)
    model = networks.of(random.Random("fake"), {}, vocab=1, n=1, outputs=2)
    claims = [{"inputs": "1", "method": "right", "margin": ["7", "-20"]}]
    document = networks.document(model, "max-of-k", claims)
    if margin is None:
        with pytest.raises(Rejected) as refusal:
            theorem(model, document)
        assert refusal.value.rule == "SPEC-14.7"
    else:
        assert theorem(model, document).outcomes[0].margin == margin
    assert fake.tried == tried


def test_what_was_shown_right_stays_right_where_a_finer_precision_shows_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake({64: (8 * UNIT, UNIT)})
    monkeypatch.setattr("checker.leaves.leaves.Network", fake)
    model = networks.of(random.Random("fake"), {}, vocab=1, n=1, outputs=2)
    claims = [{"inputs": "1", "method": "right", "margin": ["7", "-20"]}]
    with pytest.raises(Rejected, match="a larger margin than 6/"):
        theorem(model, networks.document(model, "max-of-k", claims))
    assert fake.tried == [64 << at for at in range(7)]


def test_the_margin_claimed_may_be_what_is_shown_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("checker.leaves.leaves.Network", Fake({64: (5 << 64, 1 << 64)}))
    model = networks.of(random.Random("fake"), {}, vocab=1, n=1, outputs=2)
    for margin, fits in (
        (["3", "0"], True),
        (["3145729", "-20"], False),
        (["6291455", "-21"], True),
        (["6291457", "-21"], False),
        # 2^-20 and less are rounded up to 2^-20.
        (["1", "-4000"], True),
        (["-1", "4096"], True),
    ):
        document = networks.document(
            model, "max-of-k", [{"inputs": "1", "method": "right", "margin": margin}]
        )
        if fits:
            assert theorem(model, document).margin == 3 << 20
            continue
        with pytest.raises(Rejected) as refusal:
            theorem(model, document)
        assert refusal.value.rule == "SPEC-14.7"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([], (Rejected, "SPEC-4.3")),
        ([8, 0], (Declined, "SPEC-3.5")),
        ([2], (Rejected, "SPEC-4.3")),
        ([1, 4097], (Declined, "SPEC-3.5")),
    ],
)
def test_a_head_of_another_shape_is_refused(shape: list[int], expected: tuple[type, str]) -> None:
    model = networks.of(random.Random(3), {"readout": "sum-pool-mlp"}, vocab=2, n=2, outputs=2)
    header, payload = mutators.split_safetensors(model.bytes)
    size = 4 * prod(shape)
    others = {
        name: entry for name, entry in header.items() if name not in ("__metadata__", "head.W_1")
    }
    table: dict[str, Any] = {"__metadata__": header["__metadata__"]}
    parts, end = [], 0
    for name, entry in sorted(others.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        parts.append(payload[begin:stop])
        table[name] = {**entry, "data_offsets": [end, end + stop - begin]}
        end += stop - begin
    table["head.W_1"] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
    data = models.safetensors_bytes(table, b"".join(parts) + bytes(size))
    with pytest.raises((Declined, Rejected)) as found:
        load_model(data)
    assert (isinstance(found.value, expected[0]), found.value.rule) == (True, expected[1])


def test_a_precision_that_does_not_fit_leaves_an_input_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tie in reals that no precision shows stays undecided where the next precision is past the
    room; nothing is declined.
    """
    model = networks.of(random.Random(5), {}, vocab=2, n=2, outputs=2)
    tried = []

    class Level:
        def __init__(self, model: Any, precision: int, reads: Any, ledger: Any) -> None:
            self.tokens = list[int]()
            tried.append(precision)

        def recall(self, tokens: list[int]) -> None:
            self.tokens = tokens

        def read(self, tokens: list[int]) -> list[Ball]:
            return [Ball([0, 0], 1)]

        def is_level(self, answer: int) -> bool:
            return False

    monkeypatch.setattr(leaves, "Network", Level)
    monkeypatch.setattr(
        leaves, "held_bits", lambda _model, precision: MAX_HELD_BITS + (precision > 128)
    )
    document = networks.document(model, "max-of-k", [{"inputs": "4", "method": "either"}])
    theorem = check(parse(model.bytes, mutators.encode(document)), lambda done, declared: None)
    assert (tried, theorem.correct_lower, theorem.correct_upper) == ([64, 128], 0, 4)


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("vocab", [2, 3, 21, 22])
def test_what_is_remembered_changes_nothing(
    vocab: int, layers: int, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 63 pairs of a token and a position are remembered, 66 are not.
    rng = random.Random(f"{vocab} {layers} {direction}")
    chosen = {"n_layers": layers, "n_heads": 2, "attention_dir": direction, "mlp": "relu"}
    model = networks.of(rng, chosen, vocab=vocab)
    inputs = [[rng.randrange(vocab) for _ in range(3)] for _ in range(12)]
    remembering = network_of(model, 64)
    found = [remembering.read(tokens) for tokens in inputs]
    assert (remembering.begun.cache_info().hits > 0) == (vocab <= 21)
    monkeypatch.setattr("checker.leaves.network.MOST_BEGUN", 0)
    for tokens, balls in zip(inputs, found, strict=True):
        assert network_of(model, 64).read(tokens) == balls


def test_the_room_of_what_is_remembered_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = networks.of(random.Random("room"), {"n_heads": 2})
    remembering = network_of(model, 64).ledger.held
    monkeypatch.setattr("checker.leaves.network.MOST_BEGUN", 0)
    entry = 4 * 64 + 2 * integer_bits(load_model(model.bytes)) + 700
    alone = network_of(model, 64).ledger.held
    # A position has three residuals and two heads of two entries; a pair has a score of each head.
    positions = 64 * (384 + (3 + 2 * 2) * entry)
    assert remembering - alone == positions + 64**2 * (8 * 384 + 2 * entry)
    # The weights are one number; the embeddings of three tokens and three positions are not packed.
    assert alone == 384 * (1 + 6 * 3) + held_bits(load_model(model.bytes), 64)
