"""Float32 arithmetic in every order: the emulation is exact, and what it computes stays within the
bounds of the profile.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from float32 import (
    TINIEST,
    UNIT,
    Double,
    Execution,
    Single,
    bounded_exp,
    fma,
    forward,
    gamma,
    random_dot,
    reference,
    rounded,
)
from numpy.typing import NDArray

from certify.model import Config, Model, optional_shapes, required_shapes

CASES = 300
KINDS = ("plain", "cancelling", "subnormal", "wide")


def data(kind: str, generator: np.random.Generator, length: int) -> tuple[Single, Single]:
    """Return two vectors whose dot product is hard in one way."""
    x, y = (generator.standard_normal(length).astype(np.float32) for _ in range(2))
    if kind == "cancelling" and length > 1:
        half = length // 2
        x[half : 2 * half], y[half : 2 * half] = -x[:half], y[:half]
        x[generator.integers(length)] *= np.float32(1 + 2.0**-23)
        x *= np.float32(1e6)
    if kind == "subnormal":
        x *= np.float32(2.0**-75)
        y *= np.float32(2.0) ** generator.integers(-76, -60, length).astype(np.float32)
    if kind == "wide":
        x *= np.float32(2.0) ** generator.integers(-40, 40, length).astype(np.float32)
    return x, y


def exact(values: Single) -> list[Fraction]:
    return [Fraction(float(value)) for value in values]


def dot(x: Single, y: Single, generator: np.random.Generator, *, with_fma: bool) -> Fraction:
    left, right = ([vector[i : i + 1] for i in range(len(vector))] for vector in (x, y))
    return Fraction(float(random_dot(left, right, generator, with_fma=with_fma)[0]))


def test_rounding_is_that_of_numpy() -> None:
    generator = np.random.default_rng(1)
    values = generator.standard_normal(2000) * np.exp2(generator.integers(-160, 127, 2000))
    ties = np.exp2(np.arange(-150.0, 100)) * (1 + 2.0**-24)
    for value in [*values, *ties, 0.0, 2.0**-150, 3 * 2.0**-150, 2.0**-126 * (1 - 2.0**-25)]:
        assert rounded(Fraction(float(value))) == Fraction(float(np.float32(value)))
    with pytest.raises(OverflowError):
        rounded(Fraction(2) ** 128)


def test_fma_rounds_once() -> None:
    generator = np.random.default_rng(2)
    a, b = (
        np.float32(1)
        + generator.integers(0, 1 << 12, 3000).astype(np.float32) * np.float32(2.0**-12)
        for _ in range(2)
    )
    # Sums just beside the middle of two floats, where rounding twice goes wrong, and results below
    # 2^-126.
    c = np.where(generator.integers(2, size=3000) == 1, -1, 1) * np.exp2(
        generator.integers(-80, 10, 3000)
    )
    c = c.astype(np.float32)
    scale = np.exp2(generator.integers(-70, 3, 3000)).astype(np.float32)
    for left, right, addend in (
        (a, b, c),
        (a * scale, b * scale, c * scale * scale),
        (a, b, -(a * b)),
    ):
        results = fma(left, right, addend)
        for x, y, z, result in zip(exact(left), exact(right), exact(addend), results, strict=True):
            assert Fraction(float(result)) == rounded(x * y + z)


def test_rounding_twice_would_not_do() -> None:
    a, b, c = np.float32(1 + 2.0**-12), np.float32(1 + 2.0**-12), np.float32(2.0**-80)
    twice = np.float32(float(a) * float(b) + float(c))
    once = rounded(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))
    assert float(fma(np.array([a]), np.array([b]), np.array([c]))[0]) == once
    assert float(twice) != once


@pytest.mark.parametrize("with_fma", [False, True], ids=["separate", "fused"])
@pytest.mark.parametrize("kind", KINDS)
def test_dot_products_in_any_order_are_within_gamma(kind: str, with_fma: bool) -> None:
    generator = np.random.default_rng(3)
    used = Fraction(0)
    for _ in range(CASES):
        length = int(generator.integers(1, 65))
        x, y = data(kind, generator, length)
        terms = [p * q for p, q in zip(exact(x), exact(y), strict=True)]
        bound = gamma(length) * sum(map(abs, terms)) + length * TINIEST
        error = abs(dot(x, y, generator, with_fma=with_fma) - sum(terms))
        assert error <= bound
        used = max(used, error / bound)
    # The data are hard enough to notice a bound that is ten times too small.
    assert used > Fraction(1, 10)


def test_underflow_needs_its_own_term() -> None:
    x = np.full(1, 1.5 * 2.0**-75, dtype=np.float32)
    error = abs(dot(x, x, np.random.default_rng(0), with_fma=False) - exact(x)[0] ** 2)
    assert error > gamma(1) * exact(x)[0] ** 2
    assert error <= gamma(1) * exact(x)[0] ** 2 + TINIEST


def test_the_order_matters() -> None:
    generator = np.random.default_rng(4)
    x, y = data("cancelling", generator, 40)
    assert len({dot(x, y, generator, with_fma=False) for _ in range(50)}) > 5


def test_an_exp_at_the_edge_of_its_bounds() -> None:
    generator = np.random.default_rng(5)
    eps, eta = 2.0**-22, 2.0**-126
    d = -np.concatenate([104 * generator.random(5000), [0.0, 87.4, 103.9, 1000.0]]).astype(
        np.float32
    )
    results = bounded_exp(eps, eta, generator)(d)
    exact_values = np.exp(d.astype(np.float64))
    excess = np.abs(results - exact_values) / (eps * exact_values + eta)
    assert results.min() >= 0
    assert excess.max() <= 1
    assert np.median(excess) > 0.5


@pytest.mark.parametrize("adversarial", [False, True], ids=["numpy", "adversarial"])
@pytest.mark.parametrize("seed", range(6))
def test_forward_passes_stay_within_the_bounds_of_each_stage(seed: int, adversarial: bool) -> None:
    """Bounds of scores and of the sum of the pattern, as the profile's proof states them."""
    generator = np.random.default_rng(seed)
    n, d, h = 5, 8, 4
    config = Config(d_vocab=7, d_vocab_out=7, n_ctx=n, d_model=d, d_head=h)
    shapes = required_shapes(config) | (optional_shapes(config) if seed % 2 else {})
    model = Model(
        config,
        {
            name: generator.standard_normal(shape).astype(np.float32)
            for name, shape in shapes.items()
        },
        "",
    )
    tokens = generator.integers(0, 7, size=(200, n))
    exp = bounded_exp(2.0**-22, 2.0**-126, generator) if adversarial else np.exp
    execution = Execution(bool(seed % 2), bool(seed % 3), bool(seed // 3), exp)
    found, true = forward(model, tokens, execution, generator), reference(model, tokens)
    kappa = (1 + UNIT) ** 2 / (1 - gamma(n - 1)) - 1 + n * TINIEST / 2
    for row in found.pattern:
        assert abs(sum(exact(row), Fraction(0)) - 1) <= kappa
    x = np.abs(model.tensor("embed.W_E")[tokens] + model.tensor("pos_embed.W_pos"))
    g, eta = float(gamma(d + 2)), float(TINIEST)
    q, k = (_majorant(model, x, letter) for letter in "QK")
    e_q, e_k = g * q + (d + 1) * eta, g * k + (d + 1) * eta
    exact_q, exact_k = (np.abs(_head(model, tokens, letter)) for letter in "QK")
    grown = np.einsum("bh,bnh->bn", (exact_q + e_q)[:, -1], exact_k + e_k) * (
        1 + float(gamma(h + 3))
    )
    D = (grown - np.einsum("bh,bnh->bn", exact_q[:, -1], exact_k)) / math.sqrt(h) + 2 * (
        h + 1
    ) * eta
    # The reference is float64: its own error is far below the last factor.
    assert np.all(np.abs(found.scores - true.scores) <= D * (1 + 1e-6))
    assert np.abs(found.logits - true.logits).max() < 1e-3
    assert np.abs(found.logits - true.logits).max() > 0


def _majorant(model: Model, x: Double, letter: str) -> Double:
    """Return |x| |W| + |b| for one of Q and K."""
    name = "blocks.0.attn."
    weight, bias = model.tensor(f"{name}W_{letter}")[0], model.bias(f"{name}b_{letter}")[0]
    found: Double = x @ np.abs(weight) + np.abs(bias)
    return found


def _head(model: Model, tokens: NDArray[np.int64], letter: str) -> Double:
    """Return the queries or keys of every position in float64."""
    x = model.tensor("embed.W_E")[tokens] + model.tensor("pos_embed.W_pos")
    name = "blocks.0.attn."
    found: Double = x @ model.tensor(f"{name}W_{letter}")[0] + model.bias(f"{name}b_{letter}")[0]
    return found
