"""What wide cells prove of whole models is true: one to three heads, layer norm or none, from the
weights.

Random forests with the tightest boxes over models that `networks.py` evaluates by plain loops with
200 bits.  At every cell what was removed never matters, at every leaf bounds and margins hold.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import forests
import networks
import pytest
from exhaustion import Input
from models import Choices, Model, Seeded
from test_cells import build_rows, ledger
from test_wide_cells import WideWatched, hinted, unscreened
from usual import usual_places

from checker.cells.cell import Known
from checker.cells.parse import parse_cells
from checker.float32.cells import REAL
from checker.ground.errors import Rejected
from checker.statement.model import load_model
from checker.wide import final, frame, heads, norm
from checker.wide.derive import WideCells
from checker.wide.heads import heads_of
from checker.wide.hints import parse_hints
from checker.wide.methods import WIDE_METHODS

SEEDS = int(os.environ.get("CERTIFY_EXAMPLES", "60"))
NARROW = Fraction(1, 1 << 120)
"""More than the truth can be off."""


class ModelWatched(WideWatched):
    """A checker of a model that compares what is handed down, and each outcome, with the truth."""

    def __init__(
        self, choose: Choices, model: Model, rows: list[list[int]], precision: int
    ) -> None:
        vocab, n = model.config["d_vocab"], model.config["n_ctx"]
        named = usual_places({"d_vocab": vocab, "n_ctx": n}, rows)
        book = ledger()
        tables = heads_of(load_model(model.bytes), named, book)
        count = len(tables.tables)
        WideCells.__init__(self, tables, named, precision, book, [REAL] * count)
        scale = self.paths.value_scale
        self.truth = truth_of(model, rows, scale)
        self.seen = dict.fromkeys(("answers", "tokens", "margins", "copies"), 0)
        self.seen |= {"singles": 0, "lower": 0}
        self.choose = choose


def truth_of(model: Model, rows: list[list[int]], scale: int) -> list[Input]:
    """Return every input with its margins, in units of the scale of logits."""
    found = []
    for tokens in networks.inputs(model):
        (logits,) = networks.logits(model, tokens)
        m = max(tokens)
        margins = {}
        for j, value in enumerate(logits):
            if j != m:
                gap = logits[m] - value
                mantissa, exponent = gap.man_exp  # of its size
                exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
                exact = -exact if gap < 0 else exact
                near = exact - NARROW, exact + NARROW
                margins[j] = near[0] * (1 << scale), near[1] * (1 << scale)
        weight = prod(row[t] for row, t in zip(rows, tokens, strict=True))
        found.append(Input(tokens, weight, margins))
    return found


def model_of(rng: random.Random, kind: str | None) -> Model:
    """Return a small random model that is often right."""
    vocab, n = 3, rng.choice((2, 3))
    count = rng.choice((1, 2, 2, 3)) if kind else rng.choice((2, 3))
    chosen: dict[str, Any] = {"n_heads": count, "biases": rng.choice((False, True))}
    chosen["mlp" if kind == "relu" else "normalization_type"] = kind
    spread = rng.choice((6, 12))
    model = networks.of(rng, chosen, vocab=vocab, n=n, d_model=3, d_head=3, spread=spread)
    if rng.random() < 0.8:
        # the first head attends to large tokens and copies them
        identity = [[int(row == column) for column in range(3)] for row in range(3)]
        steep = rng.choice((1, 2, 4))
        copied = {
            "W_Q": [[1, 1, 1]] * 3,
            "W_K": [
                [steep * row if row == column else 0 for column in range(3)] for row in range(3)
            ],
            "W_V": identity,
            "W_O": [[rng.choice((2, 3)) * entry for entry in row] for row in identity],
        }
        for name, matrix in copied.items():
            model.tensors[f"blocks.0.attn.{name}"][0] = matrix
        for name in ("embed.W_E", "unembed.W_U"):
            for t in range(vocab):
                model.tensors[name][t][t] += 3
    if rng.random() < 0.5:
        far = model.tensors["pos_embed.W_pos"]
        model.tensors["pos_embed.W_pos"] = [[3 * entry for entry in row] for row in far]
    return model


def build_case(seed: int, kind: str | None) -> ModelWatched:
    """Check a random forest over a random model."""
    rng = random.Random(f"{kind} {seed}")
    choose = Seeded(rng)
    model = model_of(rng, kind)
    rows = build_rows(choose, model.config["d_vocab"], model.config["n_ctx"])
    watched = ModelWatched(choose, model, rows, choose.pick((64, 96, 200)))
    cells = unscreened(forests.build_cells(choose, rows, model.config["d_vocab_out"]))
    if kind in ("LN", "LNPre"):  # there mu is a margin of what is read, not of logits
        cells = [cell | ({"mu": ["0", "0"]} if "mu" in cell else {}) for cell in cells]
    sizes = dict(load_model(model.bytes).sizes) | {"places": model.config["d_vocab"]}
    roots = parse_cells(
        [*hinted(cells, model.config["n_heads"], sizes.get("d_mlp", 0))],
        sizes,
        WIDE_METHODS,
        lambda cell, where: parse_hints(cell, where, sizes),
    )
    for root in roots:
        everything = ((2 << root.maximum) - 1,) * len(rows)
        answers = range(model.config["d_vocab_out"])
        given = Known({j: everything for j in answers if j != root.maximum}, None)
        # weights that are nothing at this precision bound nothing
        with contextlib.suppress(Rejected):
            watched.visit(root, given)
    return watched


@pytest.mark.parametrize("kind", [None, "LNPre", "LN", "relu"])
@pytest.mark.parametrize("block", range(3))
def test_what_is_proved_of_a_model_is_true(kind: str | None, block: int) -> None:
    seen: dict[str, int] = {}
    for seed in range(block, SEEDS, 3):
        for key, count in build_case(seed, kind).seen.items():
            seen[key] = seen.get(key, 0) + count
    assert seen["answers"] >= 20, seen
    assert seen["lower"] >= 1, seen


# --- errors that first versions had, each put back --------------------------------


def least_deviation_at_vertices(patch: pytest.MonkeyPatch) -> None:
    """S_low not far below S_high, as if a hull were not nearer to zero than its vertices."""
    honest = final.final_of

    def wrong(own: Any, shift: Any, unembed: Any, bias: Any, tables: Any, book: Any) -> Any:
        found = honest(own, shift, unembed, bias, tables, book)
        _, most = found.ends
        return replace(found, ends=(most * 7 // 8, most))

    patch.setattr(heads, "final_of", wrong)


def output_bias_read_before_the_norm(patch: pytest.MonkeyPatch) -> None:
    """b_U in the direct path, which the final norm divides, in place of beta."""
    honest = final.final_of

    def wrong(own: Any, shift: Any, unembed: Any, bias: Any, tables: Any, book: Any) -> Any:
        found = honest(own, shift, unembed, bias, tables, book)
        nothing = (0,) * len(found.beta_low)
        return replace(found, beta_low=nothing, beta_high=nothing)

    patch.setattr(heads, "final_of", wrong)


def maximum_without_ends(patch: pytest.MonkeyPatch) -> None:
    """The block of the maximum with H = L = 0, as if its score were one number."""

    def weights(self: Any, queries: Any, layout: Any) -> Any:
        last = len(layout.blocks) - 1
        one = 1 << self.precision
        both = WEIGHTS(self, queries, layout)
        return tuple([row | {last: one} for row in side[:-1]] + side[-1:] for side in both)

    patch.setattr(norm.NormedScores, "weights", weights)


def output_of_neurons_without_bias(patch: pytest.MonkeyPatch) -> None:
    """b_out left out of what is constant."""
    honest = heads._with_neurons

    def wrong(model: Any, book: Any) -> Any:
        bias = model.weights["blocks.0.mlp.b_out"]
        nothing = replace(bias, rows=((0,) * len(bias.rows[0]),))
        return honest(replace(model, weights=model.weights | {"blocks.0.mlp.b_out": nothing}), book)

    patch.setattr(heads, "_with_neurons", wrong)


def bounds_not_tested(patch: pytest.MonkeyPatch) -> None:
    """Bounds of neurons that are believed."""
    honest = frame.WideFrame._is_read

    def wrong(self: Any, k: int, bounds: Any) -> bool:
        least, most = bounds
        return honest(self, k, (least - 2000, most + 2000))

    patch.setattr(frame.WideFrame, "_is_read", wrong)


WEIGHTS = norm.NormedScores.weights
MUTANTS = (
    (least_deviation_at_vertices, "LN"),
    (output_bias_read_before_the_norm, "LN"),
    (maximum_without_ends, "LN"),
    (output_of_neurons_without_bias, "relu"),
    (bounds_not_tested, "relu"),
)


@pytest.mark.parametrize(("mutant", "kind"), MUTANTS)
def test_an_error_that_was_made_is_seen(
    mutant: Callable[[pytest.MonkeyPatch], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for seed in range(200):
        try:
            build_case(seed, kind)
        except AssertionError:
            return
    pytest.fail(f"200 models do not tell {mutant.__name__}")
