"""SPEC-16.12 to SPEC-16.14: float32 programs of several heads, of an MLP and of layer norm.

The numbers are those of the pages read a second time (`wide_bounds.py`), to the last bit; what
normalising may do is compared with executions, stage by stage; and whole proofs of models with
near ties are compared with executions over random trees, in numpy's order and in torch's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import make_vectors
import mutators
import networks
import numpy as np
import pytest
import vectors_float32
import vectors_wide
import wide_bounds
from executions import Dot, anyhow, chain, exp_nearest
from float32 import Exp, Single, bounded_exp
from models import Model, nearest
from norm_bounds import TINY, gamma, root_of
from test_cells import ledger
from usual import usual_places
from wide_bounds import ATTENTION, ZERO
from wide_executions import Choices, arrays, execute, normed, torch_logits

from certify.model.file import load_model as load
from certify.question.float32 import Float32
from certify.wide.slack import slack
from checker.cells.tables import Tables
from checker.float32 import propagation
from checker.float32.cells import REAL, Slack
from checker.ground.errors import Declined
from checker.statement.model import load_model
from checker.wide import float32, forest, norm, rounded
from checker.wide.final import Final
from checker.wide.float32 import rounded_heads
from checker.wide.heads import Heads, heads_of, require_wide

USUAL = Fraction(1, 1 << 22), Fraction(1, 1 << 126)
COARSE = Fraction(1, 64), Fraction(1, 1 << 40)
KINDS = (None, "LNPre", "LN", "relu")
NORMS = ("LNPre", "LN")
ONE = 1 << 96


def model_of(seed: int, kind: str | None, **sizes: Any) -> Model:
    """Return a random model with an MLP, layer norm or neither."""
    rng = random.Random(f"float32 {seed} {kind}")
    chosen: dict[str, Any] = {"n_heads": rng.choice((1, 2, 3)), "biases": rng.random() < 0.7}
    chosen["mlp" if kind == "relu" else "normalization_type"] = kind
    shape = {"vocab": 4, "outputs": 4, "n": 3, "d_model": rng.choice((2, 3, 5)), "d_head": 3}
    model = networks.of(rng, chosen, **(shape | {"spread": rng.choice((12, 40))} | sizes))
    if kind not in NORMS:
        return model
    if kind == "LN" and seed % 4 == 0:  # weights that are whole numbers, and even
        for name in ("blocks.0.ln1.w", "ln_final.w"):
            model = vectors_wide.scaled(model, name, 256)
    eps = "0x1.8000000000000p+60" if seed % 5 == 3 else "0x1.4000000000000p-7"
    return vectors_wide.with_eps(model, eps)


def found_of(model: Model, exp: tuple[Fraction, Fraction]) -> tuple[Heads, Heads, list[Slack]]:
    """Return the heads before and after, and what the checker finds."""
    loaded, book = load_model(model.bytes), ledger()
    sizes = {"d_vocab": model.config["d_vocab"], "n_ctx": model.config["n_ctx"]}
    heads = heads_of(loaded, usual_places(sizes), book, 48)
    return heads, *rounded_heads(loaded, exp, heads, book)


def reach_of(heads: Heads) -> Fraction:
    """Return S_high."""
    return Fraction(heads.final.ends[1], ONE) if heads.final else ZERO


# --- the pages --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exp", [USUAL, COARSE])
def test_the_checker_finds_what_the_pages_say(
    kind: str | None, exp: tuple[Fraction, Fraction]
) -> None:
    """To the last bit: no term may be missing, however small."""
    for seed in range(15):
        model = model_of(seed, kind)
        before, after, found = found_of(model, exp)
        low, high = (
            wide_bounds.bounds(model, exp, reach_of(before), up=up) for up in (False, True)
        )
        for head, own in enumerate(found):
            paths = before.tables[head][0]
            scores, values = 2**paths.score_scale, 2**paths.value_scale
            assert low.width(head) * scores <= own.score_error == ceil(high.width(head) * scores)
            assert low.B * values <= own.logit_error == ceil(high.B * values)
            assert own.margin(0) == -own.logit_error
        if before.final and after.final:
            wider = ceil(high.wider * ONE)
            least, most = before.final.ends
            assert after.final == replace(before.final, ends=(least, most + wider))
        # the roundings are far finer than any constant of the pages
        room = low.B * (1 + Fraction(1, 2**30)) - high.B
        assert room >= 0


@pytest.mark.parametrize("kind", [None, "relu"])
def test_one_coordinate_is_enough(kind: str | None) -> None:
    model = model_of(0, kind, d_model=1)
    _, _, found = found_of(model, USUAL)
    high = wide_bounds.bounds(model, USUAL, up=True)
    assert [own.logit_error for own in found] == [ceil(high.B * 2**48)] * len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_one_position_is_enough(kind: str | None) -> None:
    model = model_of(1, kind, n=1, vocab=3, outputs=3)
    cells = vectors_wide.whole(make_vectors, "enumerate")
    doc = vectors_wide.boxed(make_vectors, model, cells)
    theorem = make_vectors.theorem_of(model.bytes, mutators.encode(doc))
    assert theorem.correct_lower == vectors_wide.truth_of(model).correct


@pytest.mark.parametrize(("heads", "declined"), [(1, False), (4, False), (5, True)])
def test_wide_cells_are_about_four_heads_at_most(heads: int, declined: bool) -> None:
    model = networks.of(random.Random(1), {"n_heads": heads}, vocab=3, n=2, d_model=2, d_head=1)
    if not declined:
        require_wide(load_model(model.bytes))
        return
    with pytest.raises(Declined) as refusal:
        require_wide(load_model(model.bytes))
    assert refusal.value.rule == "SPEC-16.1"


class Compared:
    """A number to be compared with, that is larger than any."""

    def __init__(self) -> None:
        self.seen: list[Fraction] = []

    def __gt__(self, other: Fraction) -> bool:
        self.seen.append(other)
        return True


SMALL = ("unembed.W_U", "blocks.0.mlp.W_in", "blocks.0.mlp.W_out", f"{ATTENTION}W_O")


@pytest.mark.parametrize("kind", [None, "LN", "relu"])
@pytest.mark.parametrize("part", ["", "embed.W_E", "unembed.b_U", *SMALL])
@pytest.mark.parametrize("power", [-70, 0, 20])
def test_what_is_reached_is_the_largest_number_of_the_pages(
    kind: str | None, part: str, power: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(2, kind, spread=16)
    if part in model.tensors:
        model = scaled(model, part, 1 << power) if power > 0 else model
        shrunk = {
            name: perturbed(random.Random(0), x, Fraction(2) ** power)
            for name, x in model.tensors.items()
            if name == part and power < 0
        }
        model = Model(model.config, model.tensors | shrunk)
    compared: Any = Compared()
    with monkeypatch.context() as patch:
        patch.setattr(float32, "LARGEST", compared)
        before, _, found = found_of(model, USUAL)
    (largest,) = compared.seen
    low, high = (wide_bounds.bounds(model, USUAL, reach_of(before), up=up) for up in (False, True))
    assert low.largest <= largest <= high.largest
    # Scores and logits may be over scales of their own.
    for head, own in enumerate(found):
        paths = before.tables[head][0]
        assert own.score_error == ceil(high.width(head) * 2**paths.score_scale)
        assert own.logit_error == ceil(high.B * 2**paths.value_scale)
    monkeypatch.setattr(float32, "LARGEST", largest + Fraction(1, 2**200))
    found_of(model, USUAL)
    monkeypatch.setattr(float32, "LARGEST", largest)
    with pytest.raises(Declined) as refusal:
        found_of(model, USUAL)
    assert refusal.value.rule == "SPEC-16.12"


def scaled(model: Model, name: str, factor: int) -> Model:
    return vectors_wide.scaled(model, name, factor)


def declines(model: Model) -> bool:
    """Return whether the checker declines a model because a number might overflow."""
    try:
        found_of(model, USUAL)
    except Declined as refusal:
        return refusal.rule in ("SPEC-16.12", "SPEC-16.14")
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_overflow_is_declined(kind: str | None) -> None:
    declined = 0
    base = model_of(1, kind, spread=16, d_model=3)
    for name in base.tensors:
        for power in (40, 58, 66, 110, 118, 123):
            model = vectors_wide.scaled(base, name, 1 << power)
            expected = wide_bounds.bounds(model, USUAL, up=True)
            overflows = max(expected.largest, expected.squares) >= 2**126
            assert declines(model) == overflows, (name, power)
            declined += overflows
    assert declined >= 10, declined


def test_small_eps_and_constant_rows_are_declined() -> None:
    normed = vectors_wide.two_heads(3, "LN", 1)
    for eps, usual, constant in (
        ("0x1.0000000000000p-10", False, False),
        ("0x1.0000000000000p-60", False, True),
        ("0x1.fffffffffffffp-61", True, True),
    ):
        assert declines(vectors_wide.with_eps(normed, eps)) == usual
        assert declines(vectors_wide.constant(normed, eps)) == constant


def test_squares_that_might_overflow_are_declined_from_the_bound_on() -> None:
    x = propagation.Computed(Fraction(2**40), Fraction(2**20))
    own = rounded.Normalisation(3, Fraction(2), Fraction(0), Fraction(1), ZERO)
    e_c = own.centring(x)
    room = 2**126 - (x.norm + e_c) ** 2
    assert replace(own, eps=room - Fraction(1, 2**99)).centring(x) == e_c
    with pytest.raises(Declined) as refusal:
        replace(own, eps=room).centring(x)
    assert refusal.value.rule == "SPEC-16.14"


@pytest.mark.parametrize("kind", NORMS)
def test_parts_of_a_normalisation_are_those_of_the_page(kind: str) -> None:
    rng = random.Random(kind)
    for seed in range(6):
        model = model_of(seed, kind)
        page = wide_bounds.Page(model, USUAL, ZERO, up=True)
        for name in ("blocks.0.ln1", "ln_final"):
            own = rounded.normalisation(load_model(model.bytes), name, ledger())
            assert own.eps == page.variance_offset
            x = [Fraction(rng.randrange(1 << 20), 1 << rng.randrange(60)) for _ in range(2)]
            assert own.centring(propagation.Computed(*x)) == page.centring(wide_bounds.Row(*x))
            for moved in (ZERO, x[0]):
                expected = page.normed(name, moved)
                assert own.row(moved) == propagation.Computed(expected.norm, expected.error)


def test_ones_and_zeros_of_a_norm_take_no_room() -> None:
    book = ledger()
    rounded.normalisation(load_model(model_of(1, "LNPre").bytes), "ln_final", book)
    assert book.held == 0


def test_what_underflows_is_never_nothing() -> None:
    """Where all else is a multiple of 2^-96 already, 2^-140 more is one multiple more."""
    own = rounded.Normalisation(3, Fraction(2), Fraction(1), Fraction(1), ZERO)
    short = Fraction(1, 1 << 96)
    assert own.centring(propagation.Computed(ZERO, ZERO)) == short
    # e_m = e_n + gamma_2 (root + e_n) + t, e_n = v + gamma_11 root + t
    for missing in (TINY, TINY * (1 + gamma(2))):
        e_n = (5 - gamma(2) * own.root - missing) / (1 + gamma(2))
        moved = e_n - gamma(11) * own.root
        assert own.row(moved).error == 5 + short


@pytest.mark.parametrize("value", [1, 2, 3, 4, 9, 10, 1023, 1024])
def test_a_root_is_rounded_up_to_a_multiple_of_2_to_the_minus_64(value: int) -> None:
    found = rounded.root_above(value)
    assert (found - Fraction(1, 1 << 64)) ** 2 <= value < found**2


def test_a_row_that_might_be_constant_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(model_of(1, "LN").bytes)
    own = rounded.normalisation(model, "blocks.0.ln1", ledger())
    R = Fraction(7)
    e_c = own.centring(propagation.residual(R))
    least = e_c * own.root / own.width
    monkeypatch.setattr(rounded, "least_deviation", lambda *_: least + 1)
    assert rounded.read_rows(model, R, ledger()) == own.row(e_c)
    monkeypatch.setattr(rounded, "least_deviation", lambda *_: least)
    with pytest.raises(Declined) as refusal:
        rounded.read_rows(model, R, ledger())
    assert refusal.value.rule == "SPEC-16.14"


def test_biases_of_outputs_are_as_far_apart_as_their_ends() -> None:
    model = load_model(model_of(1, "LN").bytes)
    y = propagation.Computed(Fraction(3), Fraction(1, 64))
    own = rounded.normalisation(model, "ln_final", ledger())
    wider = own.root * own.centring(y)
    final = Final(norm.deviation(model), (1, ONE), (0,) * 4, (0,) * 4)
    found, _ = rounded.through_norm(model, y, final, ledger())
    for low, high, apart in (((0, -5, 0, 0), (0,) * 4, 5), ((0,) * 4, (0, 0, 7, 0), 7)):
        ends = [tuple(x * ONE for x in row) for row in (low, high)]
        more, _ = rounded.through_norm(
            model, y, replace(final, beta_low=ends[0], beta_high=ends[1]), ledger()
        )
        assert more.bound - found.bound == wider * apart


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_are_those_of_the_pages(kind: str | None, tmp_path: Path) -> None:
    for seed in range(6):
        model = model_of(seed, kind)
        path = tmp_path / "model.safetensors"
        path.write_bytes(model.bytes)
        before, _, _ = found_of(model, USUAL)
        known = wide_bounds.bounds(model, USUAL, reach_of(before), up=False)
        guessed = slack(load(path), Float32(*USUAL), float(reach_of(before)))
        assert guessed.thetas == pytest.approx([float(theta) for theta in known.thetas], rel=1e-6)
        # the page rounds the mean column to the scale of its matrix, here to 1/16
        assert guessed.bracket == pytest.approx(float(known.B), rel=0.2)


# --- normalising ------------------------------------------------------------------


def exact(row: Any) -> list[Fraction]:
    return [Fraction(float(x)) for x in row]


def size(row: list[Fraction]) -> Fraction:
    return root_of(sum((x * x for x in row), ZERO), 200, up=True)


def centred(row: list[Fraction]) -> list[Fraction]:
    mean = sum(row, ZERO) / len(row)
    return [x - mean for x in row]


def directed(page: wide_bounds.Page, name: str, row: list[Fraction]) -> list[Fraction]:
    """Return dir(c) w + b."""
    w, b = page.norm_vectors(name)
    deviation = root_of(size(row) ** 2 / len(row) + page.variance_offset, 200, up=False)
    return [x / deviation * f + s for x, f, s in zip(row, w, b, strict=True)]


def minus(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    return [x - y for x, y in zip(a, b, strict=True)]


def rows_of(kind: str, generator: np.random.Generator, d: int) -> Single:
    """Return rows that are hard to normalise in one way."""
    x = generator.standard_normal((8, d))
    x += {"offset": 2.0**10, "plain": 0.0, "constant": 3.0}[kind]
    x = np.where(kind == "constant", 3.0 + (x - 3.0) * 2.0**-12, x)
    found: Single = x.astype(np.float32)
    return found


@pytest.mark.parametrize("hard", ["plain", "offset", "constant"])
@pytest.mark.parametrize("kind", ["LN", "LNPre"])
def test_normalising_keeps_to_the_bound(kind: str, hard: str) -> None:
    """Each part by itself: the centred row of a given row, and the end of a given centred row."""
    generator = np.random.default_rng(7)
    used = {"centring": ZERO, "row": ZERO, "read": ZERO}
    for d in (2, 7, 32):
        model = model_of(d, kind, d_model=d, vocab=3, outputs=3)
        page = wide_bounds.Page(model, USUAL, ZERO, up=True)
        w = arrays(model)
        for dot, chosen in trees(generator, 6):
            x = rows_of(hard, generator, d)
            middle, end = normed(model, w, "ln_final", x, dot, chosen)
            for row, c, m in zip(map(exact, x), map(exact, middle), map(exact, end), strict=True):
                e_c = page.centring(wide_bounds.Row(size(row), ZERO))
                moved = size(minus(c, centred(row)))
                assert moved <= e_c
                own = page.normed("ln_final", ZERO)
                apart = size(minus(m, directed(page, "ln_final", c)))
                assert apart <= own.error
                assert size(m) <= own.reached
                # e_n as before attention, with this row's own sigma
                sigma = root_of(size(centred(row)) ** 2 / d + page.variance_offset, 200, up=False)
                over = e_c * page.root(d) / d
                whole = page.normed("ln_final", e_c / (sigma - over))
                far = size(minus(m, directed(page, "ln_final", centred(row))))
                assert far <= whole.error
                for name, part in (
                    ("centring", moved / e_c),
                    ("row", apart / own.error),
                    ("read", far / whole.error),
                ):
                    used[name] = max(used[name], part)
    # the bounds are not far above what happens: a fiftieth of one would be noticed
    if hard != "constant":
        assert used["row"] >= Fraction(1, 50), used
    if hard != "plain":
        assert used["centring"] >= Fraction(1, 50), used


def test_centring_needs_its_roundings() -> None:
    """A sum that loses the same at every step: more than a quarter of what d + 4 roundings may."""
    d = 64
    model = model_of(1, "LNPre", d_model=d, vocab=3, outputs=3)
    page = wide_bounds.Page(model, USUAL, ZERO, up=True)
    worst = ZERO
    for step in range(200):
        row = np.full((1, d), 1 + step / 97, dtype=np.float32)
        middle, _ = normed(model, arrays(model), "ln_final", row, chain({}), Choices())
        moved = size(exact(middle[0]))
        assert moved <= page.centring(wide_bounds.Row(size(exact(row[0])), ZERO))
        worst = max(worst, moved / (gamma(d + 4) * size(exact(row[0])) + TINY))
    assert worst >= Fraction(1, 8), float(worst)


# --- whole proofs -----------------------------------------------------------------


def in_order(stage: str, left: Any, right: Any, more: Any) -> Single:
    """Return numpy's own sums, of a product with a matrix where there is one."""
    a = [np.broadcast_arrays(x, y) for x, y in zip(left, right, strict=True)]
    terms = np.stack(np.broadcast_arrays(*(x * y for x, y in a), *more), axis=-1)
    found: Single = terms.sum(axis=-1, dtype=np.float32)
    return found


def trees(generator: np.random.Generator, count: int) -> Iterator[tuple[Dot, Choices]]:
    """Yield ways to sum, and choices."""
    yield chain({}), Choices()
    yield in_order, Choices(meant=True, inverted=True)
    for _ in range(count):
        bits = [bool(generator.integers(2)) for _ in range(7)]
        yield anyhow(generator, with_fma=bits[6]), Choices(*bits[:6])


def perturbed(rng: random.Random, part: Any, factor: Fraction = Fraction(1)) -> Any:
    """Return a tensor with numbers that fill a float32."""
    if isinstance(part, list):
        return [perturbed(rng, x, factor) for x in part]
    return nearest(factor * part * (1 + Fraction(rng.randrange(1 << 24), 1 << 28)), "F32")


def shifted(part: Any, offset: Fraction) -> Any:
    """Return a tensor with an offset added to every entry."""
    if isinstance(part, list):
        return [shifted(x, offset) for x in part]
    return nearest(part + offset, "F32")


def nearly_tied(seed: int, kind: str | None, exp: tuple[Fraction, Fraction]) -> Model:
    """Return a model one of whose inputs is a tie but for what float32 may move."""
    rng = random.Random(f"tied {seed} {kind}")
    heads = rng.choice((1, 2))
    norm = kind if kind != "relu" else None
    model = vectors_wide.two_heads(seed, norm, heads, "relu" if kind == "relu" else None)
    silent = seed % 2 == 0  # then weights decide nothing, and B everything
    tensors = {name: perturbed(rng, part) for name, part in model.tensors.items()}
    if silent:
        tensors[f"{ATTENTION}W_O"] = perturbed(rng, model.tensors[f"{ATTENTION}W_O"], ZERO)
    if norm and rng.random() < 0.6:  # an offset that centring takes off, not without rounding
        name = rng.choice(("embed.W_E", f"{ATTENTION}b_O"))
        tensors[name] = shifted(tensors[name], Fraction(rng.choice((1 << 5, 1 << 9))))
    model = Model(model.config, tensors)
    tokens = rng.choice(networks.inputs(model))
    (logits,) = networks.logits(model, tokens)
    right = max(tokens)
    j = rng.choice([j for j in range(3) if j != right])
    unit = 2.0**-24 if exp == USUAL else 2.0**-9
    gap = float(logits[right] - logits[j]) + rng.choice((-6, -2, -1, 0, 0, 1, 2, 6)) * unit
    bias = list(model.tensors["unembed.b_U"])
    bias[j] = nearest(Fraction(bias[j]) + Fraction(gap), "F32")
    return Model(model.config, model.tensors | {"unembed.b_U": bias})


def proved(model: Model, method: str, exp: tuple[Fraction, Fraction]) -> list[tuple[int, int]]:
    """Return what is proved of the wrong inputs of every maximum and query."""
    said = [f"{x.numerator}/{x.denominator}" for x in exp]
    cells = vectors_wide.whole(make_vectors, method)
    doc = vectors_wide.boxed(make_vectors, model, cells, in_float32=True)
    doc = vectors_float32.claimed(doc, eps_exp=said[0], eta_exp=said[1])
    if exp != USUAL:  # wider weights need wider boxes
        for cell in doc["proof"]["wide"]:
            cell["box"] = [
                [low - (low >> 3), high + (high >> 3), e] for low, high, e in cell["box"]
            ]
            if "neurons" in cell:
                cell["neurons"] = [[a - 4096, b + 4096] for a, b in cell["neurons"]]
    theorem = make_vectors.theorem_of(model.bytes, mutators.encode(doc))
    return [(outcome.lower, outcome.upper) for outcome in theorem.outcomes]


def wrong_in(model: Model, logits: Any) -> list[int]:
    """Return how many inputs of every maximum and query are wrong."""
    found = {(m, q): 0 for m in range(3) for q in range(m + 1)}
    for tokens, row in zip(networks.inputs(model), logits, strict=True):
        right = max(tokens)
        others = [value for j, value in enumerate(row) if j != right]
        found[right, tokens[-1]] += not all(row[right] > value for value in others)
    return list(found.values())


def compared(seed: int, kind: str | None, exp: tuple[Fraction, Fraction]) -> dict[str, int]:
    """Assert that no execution has fewer or more wrong inputs in a cell than is proved; return how
    often cells are open, and how often executions differ.
    """
    model = nearly_tied(seed, kind, exp)
    method = "brute-force" if seed % 4 < 2 else "enumerate"
    bounds = proved(model, method, exp)
    inputs = np.array(networks.inputs(model))
    generator = np.random.default_rng(seed)
    counts = []
    for dot, chosen in trees(generator, 4):
        exps: list[Exp] = [bounded_exp(float(exp[0]), float(exp[1]), generator)]
        exps += [exp_nearest] if exp == USUAL else []
        for own in exps:
            logits = execute(model, inputs, dot, own, chosen).logits
            counts.append(wrong_in(model, logits))
    for found in counts:
        for (least, most), count in zip(bounds, found, strict=True):
            assert least <= count <= most, (seed, kind, bounds, found)
    return {
        "open": sum(least < most for least, most in bounds),
        "differ": len(set(map(tuple, counts))) > 1,
        "closed": sum(least == most > 0 for least, most in bounds),
    }


@pytest.mark.parametrize("exp", [USUAL, COARSE], ids=["usual", "coarse"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_execution_leaves_what_is_proved(
    kind: str | None, exp: tuple[Fraction, Fraction]
) -> None:
    seen = {"open": 0, "differ": 0, "closed": 0}
    for seed in range(16):
        for key, count in compared(seed, kind, exp).items():
            seen[key] += count
    assert seen["open"] >= 4, seen
    assert seen["closed"] >= 4, seen
    assert seen["differ"] >= 2, seen


# --- errors, each put in ------------------------------------------------------------


def without_logits(patch: pytest.MonkeyPatch) -> None:
    """B left out."""
    honest = rounded_heads

    def wrong(*given: Any) -> Any:
        heads, slacks = honest(*given)
        return heads, [replace(own, logit_error=0) for own in slacks]

    patch.setattr(forest, "rounded_heads", wrong)


def without_scores(patch: pytest.MonkeyPatch) -> None:
    """theta left out."""
    honest = rounded_heads

    def wrong(*given: Any) -> Any:
        heads, slacks = honest(*given)
        return heads, [replace(own, score_error=0) for own in slacks]

    patch.setattr(forest, "rounded_heads", wrong)


def centring_exact(patch: pytest.MonkeyPatch) -> None:
    """A mean that is not rounded."""
    patch.setattr(rounded.Normalisation, "centring", lambda self, x: x.error)


def rows_exact(patch: pytest.MonkeyPatch) -> None:
    """Rows before attention that are not rounded."""
    honest = rounded.read_rows
    patch.setattr(
        float32, "read_rows", lambda *given: propagation.Computed(honest(*given).norm, ZERO)
    )


def end_exact(patch: pytest.MonkeyPatch) -> None:
    """A row that rounds nothing once it is centred, and logits that do not either."""
    patch.setattr(rounded.Normalisation, "row", lambda self, v: propagation.Computed(self.norm, v))
    patch.setattr(rounded, "logit_norms", lambda *_: propagation.AffineNorms(0, ZERO, ZERO))


def neurons_exact(patch: pytest.MonkeyPatch) -> None:
    """An MLP of which only what it reads is rounded."""

    def wrong(w: Any, reading: Any, y: Any, P: Any, M: Any, book: Any) -> Any:
        logits = propagation.logit_norms(w["W_U"], w["b_U"], book)
        B = y.error * propagation.apart(w["W_U"], book) + 2 * logits.rounding(y.reached)
        return propagation.LogitDrift(B, [])

    patch.setattr(float32, "through_neurons", wrong)


def fewer_roundings(patch: pytest.MonkeyPatch) -> None:
    """A sum of one term fewer."""
    patch.setattr(rounded, "gamma", lambda k: propagation.gamma(k - 1))


def shift_exact(patch: pytest.MonkeyPatch) -> None:
    """Nothing rounded by scale and shift."""
    patch.setattr(rounded, "gamma", lambda k: propagation.gamma(k) if k > 2 else ZERO)


def deviation_between(patch: pytest.MonkeyPatch) -> None:
    """The least deviation of exact rows, as if computed ones had no smaller one."""
    honest = rounded.read_rows

    def wrong(model: Any, R: Fraction, book: Any) -> Any:
        found = rounded.least_deviation(model, book)
        own = rounded.normalisation(model, "blocks.0.ln1", book)
        e_c = own.centring(propagation.residual(R))
        return own.row(e_c / found) if honest(model, R, book) else None

    patch.setattr(float32, "read_rows", wrong)


def biases_alike(patch: pytest.MonkeyPatch) -> None:
    """Outputs whose biases are all the same, so that S matters nothing."""
    honest = rounded.through_norm

    def wrong(model: Any, y: Any, final: Any, book: Any) -> Any:
        nothing = (0,) * len(final.beta_low)
        found, wider = honest(model, y, replace(final, beta_low=nothing, beta_high=nothing), book)
        return found, replace(wider, beta_low=final.beta_low, beta_high=final.beta_high)

    patch.setattr(float32, "through_norm", wrong)


BY_EXECUTIONS = ((without_logits, USUAL), (without_scores, COARSE))
BY_PAGES = (
    (centring_exact, "LNPre"),
    (rows_exact, "LNPre"),
    (end_exact, "LNPre"),
    (fewer_roundings, "LNPre"),
    (shift_exact, "LNPre"),
    (deviation_between, "LNPre"),
    (biases_alike, "LN"),
    (neurons_exact, "relu"),
)


@pytest.mark.parametrize(("mutant", "kind"), BY_PAGES)
def test_a_term_that_is_missing_is_seen(
    mutant: Callable[[pytest.MonkeyPatch], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        test_the_checker_finds_what_the_pages_say(kind, USUAL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("mutant", "exp"), BY_EXECUTIONS)
def test_an_error_is_seen(
    mutant: Callable[[pytest.MonkeyPatch], None],
    exp: tuple[Fraction, Fraction],
    kind: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutant(monkeypatch)
    for seed in range(60):
        try:
            compared(seed, kind, exp)
        except AssertionError:
            return
    pytest.fail(f"60 models do not tell {mutant.__name__}")


@pytest.mark.parametrize("kind", ["LNPre", "LN"])
def test_lower_ends_of_normed_weights_are_those_of_lower_scores(kind: str) -> None:
    model = model_of(3, kind)
    before, _, _ = found_of(model, USUAL)
    for places in before.tables:
        tables = [Tables(paths, ledger()) for paths in places]
        error = 5 << 93
        real, moved = (
            norm.NormedScores(tables[0], 64, own, tuple(tables)) for own in (REAL, Slack(error, 0))
        )
        layout = tables[0].layout(((0, 1), (2, 2)))
        (lows, highs), (lower, same) = (own.weights((0, 1), layout) for own in (real, moved))
        assert highs == same
        factor = np.exp(-error / 2.0**96 / model.config["d_head"] ** 0.5)
        for row, other in zip(lows, lower, strict=True):
            for b, low in row.items():
                assert other[b] == pytest.approx(low * factor, rel=1e-9)


def test_torch_keeps_to_what_is_proved() -> None:
    torch = pytest.importorskip("torch")
    for seed in range(4):
        for kind in KINDS:
            model = nearly_tied(seed, kind, USUAL)
            inputs = np.array(networks.inputs(model))
            count = wrong_in(model, torch_logits(torch, model, inputs))
            for (least, most), found in zip(proved(model, "enumerate", USUAL), count, strict=True):
                assert least <= found <= most, (seed, kind)
