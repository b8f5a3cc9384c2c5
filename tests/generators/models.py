"""Tiny models for tests: exact dtypes, a safetensors writer, random generators.

Everything here is written from design 7, with `struct` and `json` only, so that a
mistake in the readers of `checker/` or `certify/` is not shared by the writer.

A tensor is a nested list of Fractions (a leaf may also be a finite float, the only
way to spell -0.0, or `Raw(bits)`, the only way to spell NaN and infinity).

Every generator is written once, against `Choices`: the same code serves Hypothesis
(`models()`, shrinkable) and plain seeds (`random_model(random.Random(0))`).
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import Any, Protocol

from hypothesis import strategies as st

FORMAT = "certify.model/1"
# dtype -> (exponent bits, mantissa bits)
LAYOUT = {"F16": (5, 10), "BF16": (8, 7), "F32": (8, 23), "F64": (11, 52)}
ATTENTION = "blocks.0.attn."
WEIGHTS = (
    "embed.W_E",
    "pos_embed.W_pos",
    *(ATTENTION + w for w in ("W_Q", "W_K", "W_V", "W_O")),
    "unembed.W_U",
)
BIASES = (*(ATTENTION + b for b in ("b_Q", "b_K", "b_V", "b_O")), "unembed.b_U")


# --- numbers ----------------------------------------------------------------------


@dataclass(frozen=True)
class Raw:
    """A weight given by its bit pattern."""

    bits: int


def bytes_per_entry(dtype: str) -> int:
    """Return the size of one entry in bytes."""
    return (1 + sum(LAYOUT[dtype])) // 8


def fraction_of_bits(bits: int, dtype: str) -> Fraction:
    """Return the exact value of a bit pattern; ValueError for NaN and infinity."""
    exponent_bits, mantissa_bits = LAYOUT[dtype]
    negative = bits >> (exponent_bits + mantissa_bits)
    exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1)
    mantissa = bits & ((1 << mantissa_bits) - 1)
    if exponent == (1 << exponent_bits) - 1:
        raise ValueError(f"{dtype} pattern {bits:#x} is not finite")
    if exponent:
        mantissa |= 1 << mantissa_bits
    power = max(exponent, 1) - ((1 << (exponent_bits - 1)) - 1) - mantissa_bits
    size = mantissa * Fraction(2) ** power
    return -size if negative else size


def bits_of_fraction(value: Fraction, dtype: str) -> int:
    """Return the bit pattern of an exactly representable value; else ValueError."""
    bits = nearest_bits(value, dtype)
    if fraction_of_bits(bits, dtype) != value:
        raise ValueError(f"{value} is not a {dtype}")
    return bits


def nearest_bits(value: Fraction, dtype: str) -> int:
    """Round to nearest, ties to even; beyond the largest finite value, that value."""
    exponent_bits, mantissa_bits = LAYOUT[dtype]
    sign = int(value < 0) << (exponent_bits + mantissa_bits)
    size = abs(value)
    bias = (1 << (exponent_bits - 1)) - 1
    power = 1 - bias  # the exponent of the least normal binade
    if size:
        log2 = size.numerator.bit_length() - size.denominator.bit_length()
        if Fraction(2) ** log2 > size:
            log2 -= 1
        power = max(power, log2)
    mantissa = round(size / Fraction(2) ** (power - mantissa_bits))  # half to even
    # Adding, not or-ing, carries a mantissa that rounded up into the exponent.
    bits = ((power + bias - 1) << mantissa_bits) + mantissa
    largest = (((1 << exponent_bits) - 1) << mantissa_bits) - 1
    return sign | min(bits, largest)


def nearest(value: Fraction, dtype: str) -> Fraction:
    """Return the representable value nearest to `value`."""
    return fraction_of_bits(nearest_bits(value, dtype), dtype)


def leaf_bits(leaf: Any, dtype: str) -> int:
    """Return the bit pattern of a tensor's leaf."""
    if isinstance(leaf, Raw):
        return leaf.bits
    if isinstance(leaf, float) and leaf == 0 and str(leaf) == "-0.0":
        return 1 << sum(LAYOUT[dtype])
    return bits_of_fraction(Fraction(leaf), dtype)


# --- files ------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """Return the canonical JSON text of a value, without the trailing newline."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def shape_of(tensor: Any) -> list[int]:
    """Return the shape of a nested list."""
    shape = []
    while isinstance(tensor, list):
        shape.append(len(tensor))
        tensor = tensor[0] if tensor else None
    return shape


def leaves_of(tensor: Any) -> list[Any]:
    """Return the leaves in row-major order."""
    return [x for part in tensor for x in leaves_of(part)] if isinstance(tensor, list) else [tensor]


def safetensors_bytes(header: dict[str, Any] | bytes, data: bytes) -> bytes:
    """Assemble a file from a header (or its raw text) and the tensor data."""
    text = (
        header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    )
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def model_bytes(
    tensors: dict[str, Any], config: dict[str, Any], dtype: str | dict[str, str] = "F32"
) -> bytes:
    """Return the safetensors file of design 7; `dtype` may be given per tensor."""
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "config": canonical(config)}}
    data = b""
    for name in sorted(tensors):
        kind = dtype if isinstance(dtype, str) else dtype[name]
        size = bytes_per_entry(kind)
        chunk = b"".join(
            leaf_bits(x, kind).to_bytes(size, "little") for x in leaves_of(tensors[name])
        )
        header[name] = {
            "dtype": kind,
            "shape": shape_of(tensors[name]),
            "data_offsets": [len(data), len(data) + len(chunk)],
        }
        data += chunk
    return safetensors_bytes(header, data)


# --- models -----------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A tiny model: what `oracle.truth` takes, and the bytes that readers take."""

    config: dict[str, Any]
    tensors: dict[str, Any]
    dtype: str | dict[str, str] = "F32"
    note: str = field(default="", compare=False)
    every: bool = False  # every position is read

    @property
    def bytes(self) -> bytes:
        return model_bytes(self.tensors, self.config, self.dtype)


def config_of(
    *,
    vocab: int,
    k: int,
    d_model: int,
    d_head: int,
    outputs: int | None = None,
    direction: str = "causal",
) -> dict[str, Any]:
    """Return the config of a one-layer, one-head, attention-only model."""
    return {
        "d_vocab": vocab,
        "d_vocab_out": vocab if outputs is None else outputs,
        "n_ctx": k,
        "d_model": d_model,
        "d_head": d_head,
        "n_heads": 1,
        "n_layers": 1,
        "attn_only": True,
        "act_fn": None,
        "normalization_type": None,
        "attention_dir": direction,
        "positional_embedding_type": "standard",
    }


def domain_of(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the usual domain of such a model, as a certificate spells it, but for some parts."""
    every = [[0, config["d_vocab"] - 1]]
    pooled = "pool" in config.get("readout", "last")
    usual = {
        "answers": "own",
        "outputs": [[0, config["d_vocab_out"] - 1]],
        "positions": [{"tokens": every, "values": "own"} for _ in range(config["n_ctx"])],
        "read": [] if pooled else [config["n_ctx"] - 1],
    }
    return usual | changes


def shapes(config: dict[str, Any]) -> dict[str, list[int]]:
    """Return the shape of every tensor, biases included."""
    model, head = config["d_model"], config["d_head"]
    return {
        "embed.W_E": [config["d_vocab"], model],
        "pos_embed.W_pos": [config["n_ctx"], model],
        ATTENTION + "W_Q": [1, model, head],
        ATTENTION + "W_K": [1, model, head],
        ATTENTION + "W_V": [1, model, head],
        ATTENTION + "W_O": [1, head, model],
        "unembed.W_U": [model, config["d_vocab_out"]],
        ATTENTION + "b_Q": [1, head],
        ATTENTION + "b_K": [1, head],
        ATTENTION + "b_V": [1, head],
        ATTENTION + "b_O": [model],
        "unembed.b_U": [config["d_vocab_out"]],
    }


def filled(shape: Sequence[int], entry: Callable[[], Any]) -> Any:
    """Return a nested list of the shape, each leaf a fresh `entry()`."""
    return [filled(shape[1:], entry) for _ in range(shape[0])] if shape else entry()


# --- generators -------------------------------------------------------------------


class Choices(Protocol):
    """Where a generator's decisions come from."""

    def integer(self, low: int, high: int) -> int:
        """Return an integer, both ends included."""
        ...

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of the options; the first is the simplest."""
        ...


@dataclass(frozen=True)
class Seeded:
    """Decisions of a `random.Random`."""

    rng: random.Random

    def integer(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def pick(self, options: Sequence[Any]) -> Any:
        return self.rng.choice(options)


@dataclass(frozen=True)
class Drawn:
    """Decisions of Hypothesis."""

    draw: Callable[..., Any]

    def integer(self, low: int, high: int) -> int:
        drawn: int = self.draw(st.integers(low, high))
        return drawn

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))


KINDS = ("plain", "dyadic", "repeated", "wild", "subnormal")


def build_random(
    choose: Choices,
    *,
    dtype: str | None = None,
    vocab: tuple[int, int] = (2, 5),
    k: tuple[int, int] = (1, 3),
    d: tuple[int, int] = (1, 3),
    wider: bool = True,
) -> Model:
    """Build a model with no purpose: ties, zeros, huge, tiny and subnormal weights.

    `wider`: d_vocab_out may exceed d_vocab.
    """
    kind = choose.pick(KINDS)
    dtype = dtype or choose.pick(("F32", "F64", "F16", "BF16"))
    config = config_of(
        vocab=(v := choose.integer(*vocab)),
        k=choose.integer(*k),
        d_model=choose.integer(*d),
        d_head=choose.integer(*d),
        outputs=v + (choose.pick((0, 0, 1, 2)) if wider else 0),
        direction=choose.pick(("causal", "bidirectional")),
    )
    entry = _entries(choose, kind, dtype)
    tensors = {
        name: filled(shape, entry)
        for name, shape in shapes(config).items()
        if name in WEIGHTS or choose.pick((False, False, True))
    }
    if choose.pick((False, False, True)):  # two outputs that always tie
        a, b = (choose.integer(0, config["d_vocab_out"] - 1) for _ in range(2))
        for row in tensors["unembed.W_U"]:
            row[b] = row[a]
        if "unembed.b_U" in tensors:
            tensors["unembed.b_U"][b] = tensors["unembed.b_U"][a]
    if choose.pick((False, False, True)):  # two tokens that cannot be told apart
        a, b = (choose.integer(0, config["d_vocab"] - 1) for _ in range(2))
        tensors["embed.W_E"][b] = list(tensors["embed.W_E"][a])
    return Model(config, tensors, dtype, f"random {kind}")


def _entries(choose: Choices, kind: str, dtype: str) -> Callable[[], Any]:
    """Return a source of weights, all representable in `dtype`."""
    mantissa = LAYOUT[dtype][1]
    least = fraction_of_bits(1, dtype)

    def dyadic() -> Fraction:
        return Fraction(choose.integer(-8, 8), choose.pick((1, 2, 4, 8)))

    def plain() -> Fraction:
        return nearest(Fraction(choose.integer(-2048, 2048), 1000), dtype)

    def wild() -> Any:
        huge = nearest(Fraction(10) ** 30, dtype)  # F16: its largest value
        tiny = nearest(Fraction(1, 10**30), dtype) or least
        return choose.pick(
            (
                Fraction(0),
                Fraction(1),
                Fraction(-1),
                huge,
                -huge,
                tiny,
                -tiny,
                -0.0,
                dyadic(),
                plain(),
            )
        )

    def subnormal() -> Fraction:
        if choose.pick((False, True)):
            return dyadic()
        return least * choose.integer(-(1 << min(mantissa, 6)), 1 << min(mantissa, 6))

    if kind == "repeated":
        pool = [choose.pick((Fraction(0), Fraction(1), Fraction(-1), dyadic())) for _ in range(3)]
        return lambda: choose.pick(pool)
    return {"plain": plain, "dyadic": dyadic, "wild": wild, "subnormal": subnormal}[kind]


def build_good(
    choose: Choices,
    *,
    dtype: str | None = None,
    vocab: tuple[int, int] = (2, 5),
    k: tuple[int, int] = (1, 3),
    wider: bool = True,
) -> Model:
    """Build a model that finds the maximum, disturbed just enough to err sometimes.

    A token t is embedded as (t, 1); the score grows with t at rate `sharpness`; the
    head copies its input `gain` times; the logit of j is `2jt - j^2` for the blend
    t of the query and the attended tokens (times a scale), largest at j = t.
    """
    dtype = dtype or choose.pick(("F32", "F64", "F16", "BF16"))
    v, n = choose.integer(*vocab), choose.integer(*k)
    width, head = choose.pick((2, 3)), choose.pick((2, 1, 3))
    outputs = v + (choose.pick((0, 0, 1, 2)) if wider else 0)
    config = config_of(
        vocab=v,
        k=n,
        d_model=width,
        d_head=head,
        outputs=outputs,
        direction=choose.pick(("causal", "bidirectional")),
    )
    sharpness, gain = choose.pick((4, 1, 2, 8, 16)), choose.pick((16, 4, 8, 32))
    noise = choose.pick((0, 20, 50, 100, 200, 400))  # thousandths

    def noisy(target: int | Fraction) -> Fraction:
        error = choose.integer(-noise, noise) if noise else 0
        return nearest(target + Fraction(error, 1000), dtype)

    def matrix(
        rows: int, columns: int, entries: dict[tuple[int, int], Any]
    ) -> list[list[Fraction]]:
        return [[noisy(entries.get((r, c), 0)) for c in range(columns)] for r in range(rows)]

    # With one head dimension only the coordinate t survives the head; the constant
    # coordinate is then restored by the bias of the output.
    tensors: dict[str, Any] = {
        "embed.W_E": matrix(
            v, width, {(t, c): (t if c == 0 else 1) for t in range(v) for c in (0, 1)}
        ),
        "pos_embed.W_pos": matrix(n, width, {}),
        ATTENTION + "W_Q": [matrix(width, head, {(1, 0): sharpness})],
        ATTENTION + "W_K": [matrix(width, head, {(0, 0): 1})],
        ATTENTION + "W_V": [matrix(width, head, {(0, 0): 1, (1, 1): 1})],
        ATTENTION + "W_O": [matrix(head, width, {(0, 0): gain, (1, 1): gain})],
        "unembed.W_U": matrix(
            width,
            outputs,
            {(c, j): (2 * j if c == 0 else -j * j) for j in range(outputs) for c in (0, 1)},
        ),
    }
    if head == 1:
        tensors[ATTENTION + "b_O"] = [noisy(gain if c == 1 else 0) for c in range(width)]
    for name, shape in shapes(config).items():
        if name in BIASES and name not in tensors and choose.pick((False, False, True)):
            tensors[name] = filled(shape, lambda: noisy(0))
    if choose.pick((False, False, False, True)):  # a planted tie
        a, b = (choose.integer(0, outputs - 1) for _ in range(2))
        for row in tensors["unembed.W_U"]:
            row[b] = row[a]
        if "unembed.b_U" in tensors:
            tensors["unembed.b_U"][b] = tensors["unembed.b_U"][a]
    return Model(config, tensors, dtype, f"good sharpness={sharpness} gain={gain} noise={noise}")


def build_spiky(
    choose: Choices,
    *,
    dtype: str | None = None,
    vocab: tuple[int, int] = (3, 5),
    k: tuple[int, int] = (2, 3),
    wider: bool = True,
) -> Model:
    """Build a model that favours one answer, which single tokens then spoil.

    What a token writes (coordinate 0) and how much it is attended to (coordinate 1) are
    independent of its rank, so that a bound taken at the wrong end of a block, of a set
    of queries or of an exponential misses failing inputs.
    """
    dtype = dtype or choose.pick(("F32", "F64", "F16", "BF16"))
    v, n = choose.integer(*vocab), choose.integer(*k)
    outputs = v + (choose.pick((0, 0, 1, 2)) if wider else 0)
    config = config_of(
        vocab=v,
        k=n,
        d_model=2,
        d_head=2,
        outputs=outputs,
        direction=choose.pick(("causal", "bidirectional")),
    )

    def small(low: int = -3, high: int = 3) -> Fraction:
        return Fraction(choose.integer(low, high))

    def half(low: int, high: int) -> Fraction:
        return Fraction(choose.integer(low, high), 2)

    zero = Fraction(0)
    favourite = choose.pick((v - 1, v - 2, choose.integer(0, v - 1)))
    by_position = choose.pick((False, True))
    by_query = choose.pick((False, True))
    tensors: dict[str, Any] = {
        "embed.W_E": [[small(), half(-3, 3)] for _ in range(v)],
        "pos_embed.W_pos": [
            [small(-1, 1), half(-2, 2)] if by_position else [zero, zero] for _ in range(n)
        ],
        ATTENTION + "W_Q": [
            [[small(-1, 1), zero], [half(-1, 1), zero]] if by_query else [[zero, zero]] * 2
        ],
        ATTENTION + "b_Q": [[half(0, 6), zero]],
        ATTENTION + "W_K": [[[zero, zero], [Fraction(1), zero]]],
        ATTENTION + "W_V": [[[Fraction(1), zero], [zero, zero]]],
        ATTENTION + "W_O": [[[half(1, 8), zero], [zero, zero]]],
        "unembed.W_U": [
            [choose.pick((zero, small())) for _ in range(outputs)],
            [choose.pick((zero, zero, small(-1, 1))) for _ in range(outputs)],
        ],
        "unembed.b_U": [half(2, 24) if j == favourite else half(-2, 0) for j in range(outputs)],
    }
    return Model(config, tensors, dtype, f"spiky favourite={favourite}")


def build_cancelling(
    choose: Choices,
    *,
    dtype: str | None = None,
    vocab: tuple[int, int] = (2, 5),
    k: tuple[int, int] = (2, 3),
    wider: bool = True,
) -> Model:
    """Build a model whose ties no enclosure of an exponential can see.

    Coordinate 0 is what a token writes, 1 how much it is attended to, 2 what the
    logits read.  Tokens attended to equally write opposite numbers: the sum is
    exactly zero though no summand is, and its exponential is irrational.
    """
    dtype = dtype or choose.pick(("F32", "F64", "F16", "BF16"))
    v, n = choose.integer(*vocab), choose.integer(*k)
    outputs = v + (choose.pick((0, 0, 1)) if wider else 0)
    config = config_of(vocab=v, k=n, d_model=3, d_head=choose.pick((1, 2, 3)), outputs=outputs)
    head, zero, one = config["d_head"], Fraction(0), Fraction(1)

    def only(
        rows: int, columns: int, entries: dict[tuple[int, int], Fraction]
    ) -> list[list[Fraction]]:
        return [[entries.get((r, c), zero) for c in range(columns)] for r in range(rows)]

    tensors: dict[str, Any] = {
        "embed.W_E": [
            [Fraction(choose.pick((1, -1, 0))), choose.pick((zero, one)), zero] for _ in range(v)
        ],
        "pos_embed.W_pos": only(n, 3, {}),
        ATTENTION + "W_Q": [only(3, head, {})],
        ATTENTION + "b_Q": [[Fraction(choose.integer(1, 8), 4)] + [zero] * (head - 1)],
        ATTENTION + "W_K": [only(3, head, {(1, 0): one})],
        ATTENTION + "W_V": [only(3, head, {(0, 0): one})],
        ATTENTION + "W_O": [only(head, 3, {(0, 2): Fraction(choose.integer(1, 4))})],
        "unembed.W_U": only(
            3, outputs, {(2, j): Fraction(choose.pick((j, 0, -j))) for j in range(outputs)}
        ),
    }
    return Model(config, tensors, dtype, "cancelling")


def pair(**changes: Any) -> Model:
    """Return a model to follow by hand: V = 2, n = 2, d = 1, score(t) = E[q] E[t], value(t) = 2
    E[t], logits = s * (0, 1).

    It is right on (0,0), (0,1), (1,1) and wrong on (1,0).
    """
    tensors: dict[str, Any] = {
        "embed.W_E": [[-1], [1]],
        "pos_embed.W_pos": [[0], [0]],
        ATTENTION + "W_Q": [[[1]]],
        ATTENTION + "W_K": [[[1]]],
        ATTENTION + "W_V": [[[2]]],
        ATTENTION + "W_O": [[[1]]],
        "unembed.W_U": [[0, 1]],
    }
    return Model(config_of(vocab=2, k=2, d_model=1, d_head=1), tensors | changes)


def random_model(rng: random.Random, **limits: Any) -> Model:
    """Return `build_random` of a seeded generator."""
    return build_random(Seeded(rng), **limits)


def good_model(rng: random.Random, **limits: Any) -> Model:
    """Return `build_good` of a seeded generator."""
    return build_good(Seeded(rng), **limits)


def spiky_model(rng: random.Random, **limits: Any) -> Model:
    """Return `build_spiky` of a seeded generator."""
    return build_spiky(Seeded(rng), **limits)


@st.composite
def spiky_models(draw: st.DrawFn, /, **limits: Any) -> Model:
    """Hypothesis strategy over `build_spiky`."""
    return build_spiky(Drawn(draw), **limits)


def cancelling_model(rng: random.Random, **limits: Any) -> Model:
    """Return `build_cancelling` of a seeded generator."""
    return build_cancelling(Seeded(rng), **limits)


@st.composite
def cancelling_models(draw: st.DrawFn, /, **limits: Any) -> Model:
    """Hypothesis strategy over `build_cancelling`."""
    return build_cancelling(Drawn(draw), **limits)


@st.composite
def random_models(draw: st.DrawFn, /, **limits: Any) -> Model:
    """Hypothesis strategy over `build_random`."""
    return build_random(Drawn(draw), **limits)


@st.composite
def good_models(draw: st.DrawFn, /, **limits: Any) -> Model:
    """Hypothesis strategy over `build_good`."""
    return build_good(Drawn(draw), **limits)


def models(**limits: Any) -> st.SearchStrategy[Model]:
    """Hypothesis strategy over every kind of model (limits: dtype, vocab, k, wider)."""
    return st.one_of(
        good_models(**limits),
        random_models(**limits),
        spiky_models(**limits),
        cancelling_models(**limits),
    )


def build_token_weights(choose: Choices, config: dict[str, Any]) -> list[list[int]]:
    """Build a product scope: per position one weight per token, zeros, sums positive."""
    rows = []
    for _ in range(config["n_ctx"]):
        row = [choose.pick((1, 0, 2, 3, 10, 10**20)) for _ in range(config["d_vocab"])]
        if not any(row):
            row[choose.integer(0, len(row) - 1)] = 1
        rows.append(row)
    return rows


def token_weights(config: dict[str, Any]) -> st.SearchStrategy[list[list[int]]]:
    """Hypothesis strategy over `build_token_weights`."""
    return st.composite(lambda draw: build_token_weights(Drawn(draw), config))()


def scope_bytes(weights: Sequence[Sequence[int]]) -> bytes:
    """Return the `--scope product:FILE` file of design 1."""
    rows = [[str(w) for w in row] for row in weights]
    return (canonical({"format": "certify.scope/1", "weights": rows}) + "\n").encode()


def total_weight(weights: Sequence[Sequence[int]]) -> int:
    """Return the total of a product scope."""
    return prod(sum(row) for row in weights)
