"""Decide by exhaustion, rigorously, which inputs a tiny model answers correctly.

This is the ground truth of the test suite.  It shares no code and no formula
with `checker/` or `certify/`: it runs the network forward, vector by vector, as
the model is written (embed, query, key, value, softmax, output, unembed), for
every input in turn.  There are no path matrices and no counting here.

Exactness.  The weights are rationals.  All of them are brought to one common
denominator D, so every linear step is integer arithmetic; the power of D that a
vector carries is written beside it.  The attention weights are

    a_i = e_i / sum(e),   e_i = exp((score_i - top) / sqrt(d_head)),

and there are two independent ways from there to the answer:

* `_signs` keeps the e_i symbolic.  Positions with exactly equal score share one
  e.  The forward pass is linear in the attention weights, so each logit times
  the (positive) denominator is `sum over classes c of e_c * L_c[j]` with exact
  L_c.  If every coefficient of a logit difference is zero, the logits are equal.
  Otherwise they differ: exponentials of distinct algebraic numbers are linearly
  independent over the algebraic numbers (Lindemann-Weierstrass), so doubling the
  precision of the enclosures of e_c ends.
* `_margin` encloses the a_i themselves, divides, and carries intervals through
  the rest of the network.  It knows nothing of classes and cannot see a tie.

`truth(..., margins=True)` runs both and insists that they do not contradict.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt, lcm
from typing import Any

PRECISION_FIRST = 64
PRECISION_LAST = 1 << 20

Input = tuple[int, ...]
Enclosure = tuple[int, int]


class Undecided(Exception):
    """The precision ceiling was reached: the oracle has no answer."""


@dataclass(frozen=True)
class Truth:
    """What `truth` found; weights are those of the scope (1 per input if none)."""

    correct: int
    total: int
    right: tuple[Input, ...]
    wrong: tuple[Input, ...]
    ties: tuple[Input, ...]  # the part of `wrong` where no wrong logit exceeds the correct one
    margins: dict[Input, tuple[Fraction, Fraction]]  # empty unless asked for


def truth(
    tensors: dict[str, Any],
    config: dict[str, Any],
    weights: Sequence[Sequence[int]] | None = None,
    *,
    answer: Callable[[Input], int] = max,
    margins: bool = False,
    margin_bits: int = 64,
) -> Truth:
    """Return the exact outcome on every input of `[d_vocab] ** n_ctx`.

    `tensors`: nested lists of Fractions, ints or finite floats, TransformerLens
    names; absent biases are zero.  `weights[position][token]`: non-negative
    integers; an input weighs the product.  `margins`: also enclose, to an absolute
    width of at most `2 ** -margin_bits`, correct logit minus best wrong logit.
    """
    network = _Network(tensors, config)
    correct = total = 0
    right: list[Input] = []
    wrong: list[Input] = []
    ties: list[Input] = []
    enclosures: dict[Input, tuple[Fraction, Fraction]] = {}
    for tokens in itertools.product(range(network.vocab), repeat=network.n):
        weight = 1
        if weights is not None:
            for position, token in enumerate(tokens):
                weight *= weights[position][token]
        sign = min(
            _signs(network, tokens, answer(tokens)), default=1
        )  # a single output cannot lose
        total += weight
        if sign > 0:
            correct += weight
            right.append(tokens)
        else:
            wrong.append(tokens)
            if sign == 0:
                ties.append(tokens)
        if margins:
            low, high = _margin(network, tokens, answer(tokens), margin_bits)
            contradiction = (
                (sign > 0 >= high) or (sign == 0 and not low <= 0 <= high) or (sign < 0 <= low)
            )
            if contradiction:
                raise AssertionError(f"the oracle contradicts itself on {tokens}")
            enclosures[tokens] = (low, high)
    return Truth(correct, total, tuple(right), tuple(wrong), tuple(ties), enclosures)


# --- the network, exactly ---------------------------------------------------------


class _Network:
    """The weights over one denominator, and the vectors each position offers."""

    def __init__(self, tensors: dict[str, Any], config: dict[str, Any]) -> None:
        if config["n_heads"] != 1 or config["n_layers"] != 1:
            raise ValueError("the oracle knows one layer and one head")
        self.n, self.vocab = config["n_ctx"], config["d_vocab"]
        self.outputs, self.d_head = config["d_vocab_out"], config["d_head"]
        width, head, attention = config["d_model"], self.d_head, "blocks.0.attn."
        shapes: dict[str, tuple[int, ...]] = {
            "embed.W_E": (self.vocab, width),
            "pos_embed.W_pos": (self.n, width),
            attention + "W_Q": (1, width, head),
            attention + "W_K": (1, width, head),
            attention + "W_V": (1, width, head),
            attention + "W_O": (1, head, width),
            "unembed.W_U": (width, self.outputs),
            attention + "b_Q": (1, head),
            attention + "b_K": (1, head),
            attention + "b_V": (1, head),
            attention + "b_O": (width,),
            "unembed.b_U": (self.outputs,),
        }
        if set(tensors) - set(shapes):
            raise ValueError(f"unknown tensors {sorted(set(tensors) - set(shapes))}")
        exact = {}
        for name, shape in shapes.items():
            is_bias = ".b_" in name
            value = tensors.get(name, _zeros(shape)) if is_bias else tensors[name]
            exact[name] = _exact(value, shape, name)
        unit = lcm(*(x.denominator for value in exact.values() for x in _leaves(value)))
        self.unit = unit
        t = {name: _scaled(value, unit) for name, value in exact.items()}  # all carry D^1

        def attn(name: str) -> Any:
            return t[attention + name][0]

        self.w_o, self.w_u = attn("W_O"), t["unembed.W_U"]
        self.b_o = [b * unit**2 for b in t[attention + "b_O"]]  # D^3
        self.b_u = [b * unit**3 for b in t["unembed.b_U"]]  # D^4
        self.stream: dict[tuple[int, int], Any] = {}
        self.query: dict[tuple[int, int], Any] = {}
        self.key: dict[tuple[int, int], Any] = {}
        self.value: dict[tuple[int, int], Any] = {}
        for i in range(self.n):
            for token in range(self.vocab):
                x = _add(t["embed.W_E"][token], t["pos_embed.W_pos"][i])  # D^1
                at = (i, token)
                self.stream[at] = [c * unit**2 for c in x]  # D^3
                for store, w, b in (
                    ("query", "W_Q", "b_Q"),
                    ("key", "W_K", "b_K"),
                    ("value", "W_V", "b_V"),
                ):
                    bias = [c * unit for c in attn(b)]
                    getattr(self, store)[at] = _add(_apply(x, attn(w)), bias)  # D^2

    def scores(self, tokens: Input) -> list[int]:
        """Return the attention scores before the division by sqrt(d_head); D^4."""
        query = self.query[self.n - 1, tokens[-1]]
        return [
            sum(a * b for a, b in zip(query, self.key[i, token], strict=True))
            for i, token in enumerate(tokens)
        ]

    def exponential(self, difference: int, precision: int) -> Enclosure:
        """Enclose `2^precision * exp(-difference / D^4 / sqrt(d_head))`."""
        return exp_of_minus_root(difference, self.unit**4, self.d_head, precision)


def _signs(network: _Network, tokens: Input, target: int) -> list[int]:
    """Return the exact sign of (correct logit - logit) for every wrong output."""
    scores = network.scores(tokens)
    classes = sorted(set(scores), reverse=True)
    per_class = []  # what each class contributes to denominator * logits; D^4
    for score in classes:
        members = [i for i, s in enumerate(scores) if s == score]
        mixed = [0] * network.d_head
        for i in members:
            mixed = _add(mixed, network.value[i, tokens[i]])
        count = len(members)
        written = _add(_apply(mixed, network.w_o), [count * b for b in network.b_o])
        final = _add(written, [count * c for c in network.stream[network.n - 1, tokens[-1]]])
        logits = _add(_apply(final, network.w_u), [count * b for b in network.b_u])
        per_class.append(logits)
    signs = []
    for j in range(network.outputs):
        if j != target:
            terms = [
                (score, logits[target] - logits[j])
                for score, logits in zip(classes, per_class, strict=True)
                if logits[target] != logits[j]
            ]
            signs.append(_sign(network, terms))
    return signs


def _sign(network: _Network, terms: list[tuple[int, int]]) -> int:
    """Return the sign of `sum of coefficient * exp(score / sqrt(d_head))`.

    Scores are distinct and decreasing, coefficients are not zero.
    """
    if not terms:
        return 0
    if all(c > 0 for _, c in terms):
        return 1
    if all(c < 0 for _, c in terms):
        return -1
    top = terms[0][0]
    precision = PRECISION_FIRST
    while precision <= PRECISION_LAST:
        low = high = 0
        for score, coefficient in terms:
            e_low, e_high = network.exponential(top - score, precision)
            low += coefficient * (e_low if coefficient > 0 else e_high)
            high += coefficient * (e_high if coefficient > 0 else e_low)
        if low > 0:
            return 1
        if high < 0:
            return -1
        precision *= 2
    raise Undecided(f"no sign at {PRECISION_LAST} bits")


def _margin(network: _Network, tokens: Input, target: int, bits: int) -> tuple[Fraction, Fraction]:
    """Enclose correct logit minus best wrong logit, to a width of `2 ** -bits`."""
    scores = network.scores(tokens)
    top = max(scores)
    unit = network.unit
    precision = PRECISION_FIRST
    while precision <= PRECISION_LAST:
        e = [network.exponential(top - score, precision) for score in scores]
        sum_low, sum_high = sum(low for low, _ in e), sum(high for _, high in e)
        attention = [
            ((low << precision) // sum_high, -((-high << precision) // sum_low)) for low, high in e
        ]
        mixed = [(0, 0)] * network.d_head  # D^2, times 2^precision from here on
        for i, a in enumerate(attention):
            value = network.value[i, tokens[i]]
            mixed = [_plus(m, _times(a, c)) for m, c in zip(mixed, value, strict=True)]
        constant = _add(network.stream[network.n - 1, tokens[-1]], network.b_o)
        final = [
            _plus(m, (c << precision, c << precision))
            for m, c in zip(_apply_interval(mixed, network.w_o), constant, strict=True)
        ]
        logits = [
            _plus(m, (b << precision, b << precision))
            for m, b in zip(_apply_interval(final, network.w_u), network.b_u, strict=True)
        ]
        own = logits[target]
        others = [logits[j] for j in range(network.outputs) if j != target]
        low = own[0] - max(high for _, high in others)
        high = own[1] - max(low for low, _ in others)
        scale = unit**4 << precision
        if (high - low) << bits <= scale:
            return Fraction(low, scale), Fraction(high, scale)
        precision *= 2
    raise Undecided(f"no margin at {PRECISION_LAST} bits")


# --- exponentials -----------------------------------------------------------------


@lru_cache(maxsize=1 << 16)
def exp_of_minus_root(numerator: int, denominator: int, d: int, precision: int) -> Enclosure:
    """Return integers `low <= 2^precision * exp(-numerator/denominator/sqrt(d)) <= high`.

    Requires numerator >= 0, denominator > 0, d > 0.

    The argument x is the square root of an exact rational, so its enclosure on the
    grid 2^-work is one integer square root.  exp(-x) = 1 / exp(x); exp(x) is
    exp(x / 2^halvings) squared `halvings` times, every step rounded outward.
    """
    if numerator == 0:
        return 1 << precision, 1 << precision
    # exp(-x) < 2^-precision as soon as x >= precision: no need to look closer.
    if numerator**2 >= precision**2 * denominator**2 * d:
        return 0, 1
    work = precision + 2 * precision.bit_length() + isqrt(precision) + 32
    x_low = isqrt((numerator**2 << 2 * work) // (denominator**2 * d))
    x_high = x_low + 1
    e_low = _exp_of_plus(x_low, work, precision)[0]
    e_high = _exp_of_plus(x_high, work, precision)[1]
    one = 1 << (precision + work)
    return one // e_high, min(-(-one // e_low), 1 << precision)


def _exp_of_plus(x: int, work: int, precision: int) -> Enclosure:
    """Enclose `2^work * exp(x / 2^work)` for x >= 0.

    Taylor at y = x / 2^(work + halvings) <= 1/2.  All terms are positive, so the
    truncated sum of floored terms is a lower bound.  Each further term is at most
    half of the one before it, so what is left out is at most the last term kept.
    """
    halvings = max(0, x.bit_length() - work + 1 + isqrt(precision) // 2)
    deep = work + halvings + 8  # squaring doubles relative errors: pay for it here
    y = x << 8  # y / 2^deep == x / 2^(work + halvings), exactly
    low = high = term_low = term_high = 1 << deep
    k = 0
    while term_high > 1:
        k += 1
        term_low = (term_low * y >> deep) // k
        rounded_up = -(-term_high * y >> deep)
        term_high = -(-rounded_up // k)
        low += term_low
        high += term_high
    high += term_high
    for _ in range(halvings):
        low = low * low >> deep
        high = -(-high * high >> deep)
    shift = deep - work
    return low >> shift, -(-high >> shift)


# --- small exact linear algebra ---------------------------------------------------


def _exact(value: Any, shape: tuple[int, ...], name: str) -> Any:
    if not shape:
        return Fraction(value)  # raises on NaN and infinity
    if len(value) != shape[0]:
        raise ValueError(f"{name}: length {len(value)}, wanted {shape[0]}")
    return [_exact(part, shape[1:], name) for part in value]


def _zeros(shape: tuple[int, ...]) -> Any:
    return [_zeros(shape[1:]) for _ in range(shape[0])] if shape else 0


def _leaves(value: Any) -> Any:
    if isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _scaled(value: Any, unit: int) -> Any:
    if isinstance(value, list):
        return [_scaled(part, unit) for part in value]
    return value.numerator * (unit // value.denominator)


def _add(a: Sequence[int], b: Sequence[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]


def _apply(row: Sequence[int], matrix: Sequence[Sequence[int]]) -> list[int]:
    """Return row times matrix."""
    return [
        sum(c * x for c, x in zip(row, column, strict=True)) for column in zip(*matrix, strict=True)
    ]


def _times(a: Enclosure, c: int) -> Enclosure:
    return (a[0] * c, a[1] * c) if c >= 0 else (a[1] * c, a[0] * c)


def _plus(a: Enclosure, b: Enclosure) -> Enclosure:
    return a[0] + b[0], a[1] + b[1]


def _apply_interval(row: Sequence[Enclosure], matrix: Sequence[Sequence[int]]) -> list[Enclosure]:
    result = []
    for column in zip(*matrix, strict=True):
        total = (0, 0)
        for entry, c in zip(row, column, strict=True):
            total = _plus(total, _times(entry, c))
        result.append(total)
    return result
