"""SPEC-12: what float32 executions may do, against the page itself, against executions, and cell by
cell.

The bounds are compared with `norm_bounds.py`, a second reading of SPEC-12.3, from below and from
above; executions over random trees are compared with every bound, stage by stage, in exact
fractions; and the use of SPEC-12.5 is compared with the worst that the theorem leaves open, at
every cell of random forests.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial
from math import ceil, floor, prod
from typing import Any

import exhaustion
import forests
import models
import mutators
import norm_bounds
import numpy as np
import oracle
import pytest
import test_cells
import vectors_float32
from executions import Stages, anyhow, execute, exp_ends
from exhaustion import BITS, Input, bracket
from float32 import bounded_exp
from models import Model, Seeded
from norm_bounds import minus, plus, size, times
from test_cells import Watched
from test_terms import Counted, counted, ledger

from checker.cells.copies import Copies
from checker.cells.enumeration import BruteForce, Enumerate
from checker.cells.parse import Cell
from checker.cells.paths import Paths
from checker.cells.tables import Tables
from checker.cells.weights import Scores
from checker.check import check, parse
from checker.float32.cells import REAL, SHARE_BITS, Slack, slack
from checker.float32.propagation import (
    LARGEST,
    TINY,
    AffineNorms,
    Computed,
    ceiling,
    gamma,
    kappa_of,
    score_errors,
    shortened,
)
from checker.ground.errors import Declined
from checker.ground.exact import Matrix
from checker.statement.model import load_model
from checker.statement.outcome import MARGIN_BITS

EPS, ETA = Fraction(1, 2**22), Fraction(1, 2**126)
ONE = 1 << SHARE_BITS
FINE = (300, 300)
Number = Fraction | int


def slack_of(
    model: Model, exp: tuple[Fraction, Fraction] = (EPS, ETA), scales: tuple[int, int] = FINE
) -> Slack:
    return slack(load_model(model.bytes), exp, scales, ledger())


def narrow(rng: random.Random, **limits: Any) -> Model:
    """Return a random model that a float32 program holds."""
    return models.random_model(rng, dtype=rng.choice(("F32", "F32", "F16", "BF16")), **limits)


# --- numbers ----------------------------------------------------------------------


def test_gamma_and_roundings() -> None:
    for k in (1, 2, 63, 1028):
        assert gamma(k) == norm_bounds.gamma(k) == Fraction(k, 2**24) / (1 - Fraction(k, 2**24))
    rng = random.Random(1)
    for _ in range(200):
        value = Fraction(rng.randint(1, 10**9), rng.randint(1, 10**9))
        for scale in (0, 3, 96):
            assert ceiling(value, scale) == ceil(value * 2**scale)
        assert value <= shortened(value) < value + Fraction(1, 1 << 96)
        assert (shortened(value) * 2**96).denominator == 1
    assert shortened(Fraction(3, 4)) == Fraction(3, 4)
    assert (ceiling(Fraction(3, 4), 2), ceiling(Fraction(0), 5)) == (3, 0)


def test_errors_of_nothing_are_not_nothing() -> None:
    # What underflows is below 2^-100, which is rounded up to 2^-96.
    zero, least = Fraction(0), Fraction(1, 2**96)
    assert AffineNorms(4, zero, zero).error(Computed(zero)) == least
    nothing = score_errors(Computed(zero), Computed(zero), 1, zero)
    assert nothing.reached == (zero, 2 * least)
    for unit in (1, 2**10):
        x = Fraction(unit)
        found = AffineNorms(4, 5 * x, 7 * x).error(Computed(x, x / 8))
        exact = (
            5 * x * x / 8 + norm_bounds.gamma(4) * ((x + x / 8) * 5 * x + 7 * x) + norm_bounds.TINY
        )
        assert exact <= found < exact + least


def test_errors_of_scores_are_those_of_the_page() -> None:
    rng = random.Random(3)
    unit = Fraction(1, 2**24)

    def short(value: Fraction) -> Fraction:
        return Fraction(ceil(value * 2**96), 2**96)

    for h in (1, 2, 3, 64):
        root = norm_bounds.root_of(Fraction(h), 64, up=False)
        for _ in range(6):
            Q, e_q, K, e_k = (Fraction(rng.randrange(1 << 30), 1 << 20) for _ in range(4))
            eps = Fraction(rng.randrange(1 << 20), 1 << 30)
            found = score_errors(Computed(Q, e_q), Computed(K, e_k), h, eps)
            moved = Q * e_k + e_q * K + e_q * e_k
            D = short((moved + norm_bounds.gamma(h + 4) * (Q + e_q) * (K + e_k)) / root + TINY)
            inexact = short((eps + unit) / (1 - eps - unit))
            assert found.theta == D + 2 * unit * (Q * K / root + D) + inexact
            assert found.reached == ((Q + e_q) * (K + e_k), 2 * (Q * K + D))
    for n in (1, 2, 64):
        kappa = short((1 + unit) ** 2 / (1 - norm_bounds.gamma(n))) - 1
        assert kappa_of(n) == kappa + TINY
    assert norm_bounds.TINY == TINY == Fraction(1, 2**100)
    assert LARGEST == 2**126


def random_slack(rng: random.Random) -> Slack:
    share = rng.choice(
        (
            ONE,
            ONE - 1,
            ONE - rng.randrange(1, 1 << 80),
            ONE * 3 // 4,
            ONE // 64 + rng.randrange(1 << 40),
        )
    )
    return Slack(rng.choice((0, 1, 5, 30, 200)), rng.choice((1, 2, 10, 10**9)), share)


def test_a_raised_bracket_is_the_least_that_leaves_the_margin() -> None:
    rng = random.Random(2)
    for _ in range(500):
        found, mu = random_slack(rng), rng.choice((0, 1, 7, rng.randrange(1 << 60)))
        raised = found.raised(mu)
        assert (
            found.least_share * raised
            >= found.logit_error + mu << SHARE_BITS
            > found.least_share * (raised - 1)
        )
        assert found.margin(raised) >= mu > found.margin(raised - 1) - (found.least_share == ONE)
        assert found.raised(mu) <= found.raised(mu + 1)
        assert (
            found.margin(raised)
            <= found.margin(raised + 1)
            == (found.least_share * (raised + 1) >> SHARE_BITS) - found.logit_error
        )
        assert found.raised(mu) >= max(found.logit_error + mu, 1)


def test_real_arithmetic_has_no_slack() -> None:
    for value in (0, 1, -5, 10**30):
        assert (REAL.raised(value), REAL.margin(value)) == (value, value)
    assert Slack() == REAL == Slack(0, 0, ONE)


# --- the page ---------------------------------------------------------------------


def assert_between(
    found: Slack, model: Model, eps: Fraction, eta: Fraction, scales: tuple[int, int]
) -> None:
    """Assert that the checker finds what the page says to the last bit, rounded outward where the
    page allows it: no term may be missing, however small.
    """
    low, high = norm_bounds.exact(model, eps, eta), norm_bounds.rounded(model, eps, eta)
    assert low.width * 2 ** scales[0] <= found.score_error == ceil(high.width * 2 ** scales[0])
    assert low.B * 2 ** scales[1] <= found.logit_error == ceil(high.B * 2 ** scales[1])
    assert floor(high.rho * ONE) == found.least_share <= low.rho * ONE
    # The roundings are far finer than any constant of the page.
    for above, below in ((high.width, low.width), (high.B, low.B)):
        assert above <= below * (1 + Fraction(1, 2**30))


LEAST, MOST = (Fraction(0), Fraction(1, 2**149)), (Fraction(1, 64), Fraction(1, 64))
EXPS = [
    (EPS, ETA),
    LEAST,
    (Fraction(1, 64), Fraction(1, 2**40)),
    (Fraction(1, 1000), Fraction(1, 64)),
]


@pytest.mark.parametrize("exp", EXPS)
def test_the_checker_finds_what_the_page_says(exp: tuple[Fraction, Fraction]) -> None:
    declined = 0
    for seed in range(40):
        rng = random.Random(seed)
        model = narrow(rng, k=(1, 4)) if seed % 3 else models.good_model(rng, dtype="F32")
        largest = norm_bounds.rounded(model, *exp).largest
        for scales in (FINE, (70, 260)):
            if largest < 2**126:
                assert_between(slack_of(model, exp, scales), model, *exp, scales)
                continue
            declined += 1
            with pytest.raises(Declined) as refusal:
                slack_of(model, exp, scales)
            assert refusal.value.rule == "SPEC-12.3"
    assert 0 < declined < 40, declined


def test_biases_and_places_count() -> None:
    # One tensor at a time is made large, so that none can be left out, or taken for another.
    base = models.random_model(random.Random(5), dtype="F32", vocab=(3, 3), k=(3, 3), d=(2, 3))
    shapes = models.shapes(base.config)
    rng = random.Random(6)
    for name in shapes:
        entries = {
            other: models.filled(shape, lambda: Fraction(rng.randint(-9, 9), 8))
            for other, shape in shapes.items()
        }
        entries[name] = models.filled(shapes[name], lambda: Fraction(rng.randint(-9, 9) * 2**20))
        model = Model(base.config, entries)
        assert_between(slack_of(model), model, EPS, ETA, FINE)


def test_coarse_scales_round_up() -> None:
    model = models.pair()
    bounds = norm_bounds.exact(model, EPS, ETA)
    assert slack_of(model, scales=(0, 0)) == Slack(1, 1, slack_of(model).least_share)
    for scale in (10, 24, 30):
        found = slack_of(model, scales=(scale, scale))
        assert found.score_error == ceil(bounds.width * 2**scale)
        assert found.logit_error == ceil(bounds.B * 2**scale)


# --- limits -----------------------------------------------------------------------


def with_sizes(k: int, d: int, h: int, **tensors: Any) -> Model:
    """Return a model of two tokens that is zero but for these tensors."""
    config = models.config_of(vocab=2, k=k, d_model=d, d_head=h)
    names = {name.rpartition(".")[2]: name for name in models.shapes(config)}
    zero = {name: models.filled(models.shapes(config)[name], lambda: 0) for name in models.WEIGHTS}
    return Model(config, zero | {names[name]: value for name, value in tensors.items()})


def largest_models(x: int) -> dict[str, Model]:
    """Return models in each of which one number alone reaches 2 x, by the name of that number."""
    far = [[2**63, 0], [0, 0]]

    def first(entry: int) -> list[list[list[int]]]:
        return [[[0] * 64, [entry] + [0] * 63]]

    return {
        "residual": with_sizes(2, 2, 1, W_pos=[[2 * x, 0], [0, 0]]),
        "query": with_sizes(2, 2, 1, W_pos=far, W_Q=[[[0], [x >> 62]]]),
        "key": with_sizes(2, 2, 1, W_pos=far, W_K=[[[0], [x >> 62]]]),
        "value": with_sizes(2, 2, 1, W_pos=far, W_V=[[[0], [x >> 62]]]),
        "query bias": with_sizes(1, 1, 1, b_Q=[[2 * x]]),
        "value bias": with_sizes(1, 1, 1, b_V=[[2 * x]]),
        "score": with_sizes(1, 1, 1, b_Q=[[2**60]], b_K=[[x >> 60]]),
        "score errors": with_sizes(
            1, 2, 64, W_E=[[2**43, 0]] * 2, W_Q=first(2**41), W_K=first(x >> 82)
        ),
        "output": with_sizes(1, 1, 1, b_V=[[2**60]], W_O=[[[x >> 59]]]),
        "final": with_sizes(1, 1, 1, W_E=[[x], [x]], b_O=[x]),
        "logit": with_sizes(1, 1, 1, b_O=[2**60], W_U=[[x >> 59, x >> 59]]),
        "logit bias": with_sizes(1, 1, 1, b_U=[2 * x, 0]),
    }


@pytest.mark.parametrize("name", largest_models(0))
def test_every_intermediate_number_has_room(name: str) -> None:
    accepted, declined = (largest_models(x)[name] for x in (7 * 2**122, 2**125))
    slack_of(accepted)
    with pytest.raises(Declined) as refusal:
        slack_of(declined)
    assert (refusal.value.rule, "overflow" in refusal.value.why) == ("SPEC-12.3", True)
    assert (
        norm_bounds.exact(accepted, EPS, ETA).largest
        < 2**126
        <= norm_bounds.rounded(declined, EPS, ETA).largest
    )


def test_the_error_of_the_mean_of_values_counts() -> None:
    # (1 + kappa) Z is below 2^126, and with the error of a sum it is not.
    for units, fits in ((4, False), (8, True)):
        model = with_sizes(1, 1, 1, b_V=[[2**126 - units * 2**102]])
        assert norm_bounds.exact(model, EPS, ETA).kappa * 2**24 < units
        if fits:
            slack_of(model)
            continue
        with pytest.raises(Declined):
            slack_of(model)


@pytest.mark.parametrize(("n", "fits"), [(1, True), (21, True), (22, False), (64, False)])
def test_weights_must_be_left(n: int, fits: bool) -> None:
    # With eta_exp = 1/64 each weight may be off by 3/64.
    model, exp = with_sizes(n, 1, 1), (Fraction(1, 64), Fraction(1, 64))
    if fits:
        assert 0 < slack_of(model, exp).least_share < ONE - n * 3 * (ONE >> 6)
        return
    with pytest.raises(Declined) as refusal:
        slack_of(model, exp)
    assert (refusal.value.rule, "nothing" in refusal.value.why) == ("SPEC-12.3", True)


def test_a_share_that_rounds_to_nothing_is_nothing() -> None:
    # With 22 weights and eta_exp near 1/66, rho is what one likes: zero, less than 2^-96, or just
    # 2^-96.
    model = with_sizes(22, 1, 1)
    most = 1 - norm_bounds.rounded(model, *LEAST).kappa
    for rho, fits in (
        (Fraction(0), False),
        (Fraction(1, 2**97), False),
        (Fraction(1, 2**96), True),
    ):
        exp = Fraction(0), (most - rho) / 66
        if fits:
            assert slack_of(model, exp).least_share == 1
            continue
        with pytest.raises(Declined) as refusal:
            slack_of(model, exp)
        assert refusal.value.rule == "SPEC-12.3"


@pytest.mark.parametrize("n", range(1, 65))
def test_what_weights_sum_to_is_rounded_down(n: int) -> None:
    model = with_sizes(n, 1, 1)
    low, high = norm_bounds.exact(model, *LEAST), norm_bounds.rounded(model, *LEAST)
    assert floor(high.rho * ONE) <= slack_of(model, LEAST).least_share <= low.rho * ONE


def test_a_smaller_exp_error_is_never_worse() -> None:
    for seed in range(10):
        model = models.good_model(random.Random(seed), dtype="F32")
        chain = [slack_of(model, exp) for exp in (LEAST, (EPS, ETA), MOST)]
        for better, worse in itertools.pairwise(chain):
            assert better.score_error < worse.score_error
            assert better.logit_error <= worse.logit_error
            assert better.least_share >= worse.least_share


# --- executions -------------------------------------------------------------------


def rational(values: Any) -> Any:
    """Return nested lists of the exact numbers in an array."""
    return [rational(part) for part in values] if values.ndim else Fraction(float(values))


def executions(model: Model, tokens: Any, seed: int, count: int = 3) -> list[Stages]:
    """Return executions over random trees, with exps as far off as they may be, or numpy's."""
    found = []
    for i in range(count):
        generator = np.random.default_rng((seed, i))
        exp = bounded_exp(float(EPS), float(ETA), generator) if i % 3 < 2 else np.exp
        dot, reciprocals = (
            anyhow(generator, with_fma=i % 2 == 1),
            (bool(generator.integers(2)), bool(generator.integers(2))),
        )
        found.append(execute(model, tokens, dot, exp, reciprocals=reciprocals))
    return found


@lru_cache(maxsize=1 << 12)
def weight_of(score: Fraction, top: Fraction, d_head: int) -> tuple[Fraction, Fraction]:
    low, high = oracle.exp_of_minus_root(
        (top - score).numerator, (top - score).denominator, d_head, BITS
    )
    return Fraction(low, 1 << BITS), Fraction(high, 1 << BITS)


class Staged:
    """Compares executions with every bound of SPEC-12.3; counts how near any comes."""

    def __init__(self, model: Model) -> None:
        self.model, self.w, self.bounds = (
            model,
            norm_bounds.weights_of(model),
            norm_bounds.exact(model, EPS, ETA),
        )
        self.h = model.config["d_head"]
        self.used: dict[str, Fraction] = {}

    def within(self, name: str, error: Fraction, bound: Fraction) -> None:
        assert error <= bound, name
        self.used[name] = max(self.used.get(name, Fraction(0)), error / bound)

    def look(self, tokens: Sequence[int], stages: Stages, b: int) -> None:
        w, bounds = self.w, self.bounds
        x = [plus(w["W_E"][t], place) for t, place in zip(tokens, w["W_pos"], strict=True)]
        query, keys, values = (
            self.row(x[-1], "Q"),
            [self.row(a, "K") for a in x],
            [self.row(a, "V") for a in x],
        )
        got = {name: rational(getattr(stages, name)[b]) for name in Stages.__dataclass_fields__}
        self.within(
            "r",
            size(minus(got["residual"][-1], x[-1])),
            norm_bounds.U * bounds.r + Fraction(1, 2**180),
        )
        self.within("q", size(minus(got["query"], query)), bounds.e_q)
        for name, exact, bound in (("keys", keys, bounds.e_k), ("values", values, bounds.e_v)):
            for found, true in zip(got[name], exact, strict=True):
                self.within(name, size(minus(found, true)), bound)
        dots = [sum((a * b for a, b in zip(query, key, strict=True)), Fraction(0)) for key in keys]
        for found, dot in zip(got["scores"], dots, strict=True):
            score = dot / norm_bounds.root_of(Fraction(self.h), 400, up=False)
            self.within("D", abs(found - score), bounds.D + abs(dot) / 2**380)
        pattern = got["pattern"]
        self.within("kappa", abs(1 - sum(pattern)), bounds.kappa)
        if bounds.theta < 100:
            self.weights(pattern, dots)
        mixed = [
            sum((a * v[c] for a, v in zip(pattern, values, strict=True)), Fraction(0))
            for c in range(self.h)
        ]
        output = plus(times(mixed, w["W_O"]), w["b_O"][0])
        self.within("z", size(minus(got["mixed"], mixed)), bounds.e_z)
        final = plus(x[-1], output)
        self.within("y", size(minus(got["final"], final)), bounds.e_y)
        self.logits(got["logits"], final, x[-1], 1 - sum(pattern))

    def row(self, x: list[Fraction], name: str) -> list[Fraction]:
        return plus(times(x, self.w[f"W_{name}"]), self.w[f"b_{name}"][0])

    def weights(self, pattern: list[Fraction], dots: list[Fraction]) -> None:
        """Assert that one factor K_0 puts every weight within theta of the exact one, but for
        alpha.
        """
        slack, low, high = (
            exp_ends(-float(self.bounds.theta) * (1 + 2.0**-40))[0],
            Fraction(0),
            None,
        )
        for a, dot in zip(pattern, dots, strict=True):
            least, most = weight_of(dot, max(dots), self.h)
            low = max(low, (a - self.bounds.alpha) * slack / most)
            if least:
                top = (a + self.bounds.alpha) / (least * slack)
                high = top if high is None else min(high, top)
        assert high is not None
        assert low <= high * (1 + Fraction(1, 2**100))

    def logits(
        self, logits: list[Fraction], final: list[Fraction], x: list[Fraction], missing: Fraction
    ) -> None:
        """Assert what P, G and their part of B say of every pair of answers."""
        columns = [list(column) for column in zip(*self.w["W_U"], strict=True)]
        bounds, bias = self.bounds, self.w["b_U"][0]
        for j, m in itertools.permutations(range(len(columns)), 2):
            apart = minus(columns[j], columns[m])
            exact = sum((a * b for a, b in zip(final, apart, strict=True)), bias[j] - bias[m])
            direct = plus(x, self.w["b_O"][0])
            straight = sum((a * b for a, b in zip(direct, apart, strict=True)), bias[j] - bias[m])
            self.within("P", abs(logits[j] - logits[m] - exact), bounds.P)
            assert abs(straight) <= bounds.G * (1 + Fraction(1, 2**150))
            self.within(
                "B",
                abs(logits[j] - logits[m] - (exact - missing * straight)),
                bounds.kappa * bounds.G + bounds.P,
            )


def some_inputs(rng: random.Random, model: Model, count: int) -> Any:
    vocab, n = model.config["d_vocab"], model.config["n_ctx"]
    return np.array([[rng.randrange(vocab) for _ in range(n)] for _ in range(count)])


def small_integers(rng: random.Random) -> Model:
    """Return a model on which nothing but the softmax is rounded."""
    config = models.config_of(vocab=rng.randint(2, 3), k=rng.randint(1, 3), d_model=4, d_head=4)
    shapes = models.shapes(config).items()
    return Model(
        config,
        {
            name: models.filled(shape, lambda: Fraction(rng.randint(-3, 3)))
            for name, shape in shapes
        },
    )


@pytest.mark.parametrize("kind", ["random", "good", "integers"])
def test_executions_stay_within_the_bounds_of_every_stage(kind: str) -> None:
    make: dict[str, Callable[[random.Random], Model]] = {
        "random": narrow,
        "good": lambda rng: models.good_model(rng, dtype="F32"),
        "integers": small_integers,
    }
    accepted, used = 0, dict[str, Fraction]()
    for seed in range(30):
        rng = random.Random(seed)
        model = make[kind](rng)
        staged, tokens = Staged(model), some_inputs(rng, model, 3)
        if staged.bounds.largest >= 2**126:
            continue
        accepted += 1
        for stages in executions(model, tokens, seed):
            for b, row in enumerate(tokens.tolist()):
                staged.look(row, stages, b)
        used = {
            name: max(used.get(name, Fraction(0)), share) for name, share in staged.used.items()
        } | {
            name: share
            for name, share in used.items()
            if name not in staged.used or share > staged.used[name]
        }
    assert accepted >= 20
    if kind == "integers":
        assert used["q"] == used["keys"] == used["values"] == used["r"] == 0
    else:
        # The executions are hard enough to notice a bound that is twenty times too small.
        assert min(used.values()) > Fraction(1, 20), {
            name: float(share) for name, share in used.items()
        }


def float32_certificate(rng: random.Random, model: Model, weights: list[list[int]] | None) -> bytes:
    doc = json.loads(forests.build_forest(Seeded(rng), model, weights))
    return mutators.encode(vectors_float32.claimed(doc))


def test_every_certified_input_is_right_in_every_execution() -> None:
    certified = margins = below = 0
    for seed in range(60):
        rng = random.Random(seed)
        model = rng.choice((models.good_model, models.spiky_model))(
            rng, dtype=rng.choice(("F32", "F16"))
        )
        weights = models.build_token_weights(Seeded(rng), model.config) if seed % 4 == 0 else None
        rows = weights or [[1] * model.config["d_vocab"]] * model.config["n_ctx"]
        tokens = np.array(
            list(itertools.product(range(model.config["d_vocab"]), repeat=model.config["n_ctx"]))
        )
        theorem = check(
            parse(model.bytes, float32_certificate(rng, model, weights)),
            lambda done, declared: None,
        )
        worst, best = np.full(len(tokens), np.inf), np.full(len(tokens), -np.inf)
        for stages in executions(model, tokens, seed):
            own = stages.logits[np.arange(len(tokens)), tokens.max(axis=1)].astype(np.float64)
            others = stages.logits.astype(np.float64)
            others[np.arange(len(tokens)), tokens.max(axis=1)] = -np.inf
            # A difference of two float32 is exact in float64, where it decides anything.
            worst, best = (
                pick(a, own - others.max(axis=1))
                for pick, a in ((np.minimum, worst), (np.maximum, best))
            )
        weight = [
            prod(row[t] for row, t in zip(rows, line, strict=True)) for line in tokens.tolist()
        ]
        margin = theorem.margin / 2**MARGIN_BITS
        assert theorem.correct_lower <= sum(
            x for x, low in zip(weight, worst, strict=True) if low > 0 and low >= margin
        )
        assert theorem.correct_upper >= sum(
            x for x, high in zip(weight, best, strict=True) if high > 0
        )
        certified += theorem.correct_lower > 0
        margins += theorem.margin > 0
        below += theorem.correct_upper < theorem.parsed.statement.total
    assert certified >= 20
    assert margins >= 5
    assert below >= 10


# --- cell by cell -----------------------------------------------------------------


def averages(values: list[int], weights: list[tuple[int, int]]) -> tuple[Fraction, Fraction]:
    """Return the smallest and the largest mean of the values, each weight anything between its
    ends.
    """
    ordered = sorted(zip(values, weights, strict=True))

    def mean(cut: int, heavy_first: int) -> Fraction:
        held = [weight[heavy_first == (i < cut)] for i, (_, weight) in enumerate(ordered)]
        return Fraction(sum(v * x for (v, _), x in zip(ordered, held, strict=True)), sum(held))

    cuts = range(len(values) + 1)
    return min(mean(cut, 1) for cut in cuts), max(mean(cut, 0) for cut in cuts)


class Loose(Watched):
    """A checker with some slack, watched against what SPEC-12.4 leaves open, worst and best."""

    def __init__(
        self, paths: Paths, truth: list[Input], rows: list[list[int]], precision: int, slack: Slack
    ) -> None:
        super().__init__(paths, truth, rows, precision)
        self.slack, self.scores = slack, Scores(Tables(paths, self.ledger), precision, slack)
        self.single = 0

    def judge(self, cell: Cell, inputs: list[Input], outcome: Any, mu: int) -> None:
        # Computed logits are not compared with exact ties, so brute force may leave something open.
        super().judge(
            replace(cell, method=cell.method if isinstance(cell.method, Copies) else Enumerate()),
            inputs,
            outcome,
            mu,
        )
        if isinstance(cell.method, BruteForce) and self.paths.exact:
            # Brackets are raised by whole units of 2^-value_scale: by so much, and no more, is
            # brute force coarser.
            above, below = self.spare(mu), self.spare(0)
            possible = sum(
                x.weight
                for x in inputs
                if any(high <= mu + above for _, high in x.margins.values())
            )
            certain = sum(
                x.weight for x in inputs if any(low <= -below for low, _ in x.margins.values())
            )
            assert outcome.upper <= possible, cell.where
            assert outcome.lower >= certain, cell.where
            self.single += 1

    def spare(self, mu: int) -> Fraction:
        """Return by how much a raised bracket exceeds what it must."""
        return (
            self.slack.raised(mu) * Fraction(self.slack.least_share, ONE)
            - self.slack.logit_error
            - mu
            + 2 * TOLERANCE
        )


TOLERANCE, PRECISION = Fraction(1, 2**60), 300


def loose_inputs(slack: Slack) -> Callable[[Paths, Any], list[Input]]:
    """Return a substitute for `exhaustion.inputs_of`: margins are (the best that is possible, the
    worst), almost exactly.
    """

    def exp(below: int, paths: Paths) -> int:
        return (
            sum(
                oracle.exp_of_minus_root(below, 1 << paths.score_scale, paths.d_head, 2 * PRECISION)
            )
            >> PRECISION + 1
        )

    def inputs_of(paths: Paths, rows: Any) -> list[Input]:
        found = []
        for tokens in itertools.product(range(len(rows[0])), repeat=len(rows)):
            q, m = tokens[-1], max(tokens)
            scores = [paths.eqke_low[q][t] + paths.eqkp[q][i] for i, t in enumerate(tokens)]
            top = max(scores)
            ends = [(exp(top - s + slack.score_error, paths), exp(top - s, paths)) for s in scores]
            margins = {}
            for j in range(len(paths.pvou[0])):
                if j != m:
                    values = [bracket(paths, q, m, j, i, t) for i, t in enumerate(tokens)]
                    smallest, largest = (
                        mean * Fraction(slack.least_share, ONE) for mean in averages(values, ends)
                    )
                    margins[j] = (
                        slack.logit_error - smallest - TOLERANCE,
                        -largest - slack.logit_error + TOLERANCE,
                    )
            found.append(
                Input(tokens, prod(row[t] for row, t in zip(rows, tokens, strict=True)), margins)
            )
        return found

    return inputs_of


@pytest.mark.parametrize("wide", [False, True])
def test_every_cell_is_true_of_all_that_the_theorem_leaves_open(
    wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, single = dict[str, int](), 0
    for seed in range(40):
        rng = random.Random(1000 + seed)
        slack = Slack(
            rng.choice((1, 5, 30, 200)),
            rng.choice((1, 2, 10)),
            rng.choice((ONE - 1, ONE - (1 << 90), ONE * 3 // 4)),
        )
        monkeypatch.setattr(exhaustion, "inputs_of", loose_inputs(slack))
        monkeypatch.setattr(test_cells, "Watched", partial(Loose, slack=slack))
        for make in (test_cells.build_case, test_cells.build_nested):
            watched: Any = make(Seeded(rng), wide=wide)
            single += watched.single
            seen = {key: seen.get(key, 0) + count for key, count in watched.seen.items()}
    assert seen["answers"] >= 100, seen
    assert seen["tokens"] >= 100, seen
    assert seen["margins"] >= 20, seen
    assert wide or single >= 50


# --- the ledger -------------------------------------------------------------------


def test_the_slack_costs_what_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(8):
        rng = random.Random(seed)
        model = load_model(models.good_model(rng, dtype="F32").bytes)
        v, out, n, d, h = (
            model.sizes[name] for name in ("d_vocab", "d_vocab_out", "n_ctx", "d_model", "d_head")
        )
        weights = {
            name: Matrix(counted(weight.rows), weight.scale)
            for name, weight in model.weights.items()
        }
        scalar = count_fractions(monkeypatch)
        Counted.reset()
        book = ledger()
        slack(replace(model, weights=weights), (EPS, ETA), FINE, book)
        products = 3 * v * d * h + 2 * n * d * h
        norms = (
            2 * v * d + n * d + 3 * v * h + 2 * n * h + 4 * d * h + 3 * h + d + 2 * d * out + out
        )
        assert book.mul == products + norms + d + 100
        assert book.add == products + norms + v * d + 3 * v * h + 3 * d + h + 5 + 2 * d * out + 100
        assert book.cmp == 5 * v + 3 * n + 2 * out
        assert Counted.mul <= book.mul - 100
        # What is added to the zero that a sum begins with is charged as well.
        assert Counted.add + Counted.starts <= book.add - 100
        assert Counted.add + Counted.starts >= book.add - 100 - 4 * d - 3 * h - 20 * d * h - v * d
        assert scalar["mul"] <= 100
        assert scalar["add"] <= 100
        monkeypatch.undo()


def count_fractions(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the operations with fractions; return the counts, which grow."""
    counts = {"mul": 0, "add": 0}
    for names, kind in (
        (("mul", "rmul", "truediv", "rtruediv"), "mul"),
        (("add", "radd", "sub", "rsub"), "add"),
    ):
        for name in names:
            plain = getattr(Fraction, f"__{name}__")

            def counting(
                self: Fraction, other: Number, plain: Any = plain, kind: str = kind
            ) -> Any:
                counts[kind] += 1
                return plain(self, other)

            monkeypatch.setattr(Fraction, f"__{name}__", counting)
    return counts


def test_the_work_is_declined_before_it_is_done() -> None:
    book = ledger()
    book.budget = 99
    with pytest.raises(Declined) as refusal:
        slack(load_model(models.pair().bytes), (EPS, ETA), FINE, book)
    assert refusal.value.rule == "SPEC-8.2"
