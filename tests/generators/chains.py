"""Random models whose answers lie on a line or in a plane, and random proofs of chains over them.

Models have ties of u, answers that are no corners, residuals, biases, more outputs than tokens, and
both directions of attention; hints fit the model, or are any matrices at all.  A certificate claims
as little as the format allows.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import forests
import models
from models import ATTENTION, Choices, Model

Document = dict[str, Any]
Weights = list[list[int]] | None
Matrix = list[list[int]]


def matrix(rows: Matrix, exponent: int = 0) -> Document:
    """Return a hinted matrix."""
    return {"exponent": exponent, "rows": rows}


def axes(head: int, count: int) -> list[Document]:
    """Return the first axes of the head as directions."""
    left = [[int(i == j) for j in range(count)] for i in range(head)]
    return [matrix(left), matrix([list(row) for row in zip(*left, strict=True)])]


def build_model(choose: Choices, directions: int) -> Model:
    """Return a model that finds the maximum by its place in so many directions, more or less."""
    vocab, n = choose.integer(2, 5), choose.integer(1, 3)
    outputs = vocab + choose.pick((0, 0, 1, 2))
    width, head = directions + choose.pick((2, 3)), directions + choose.pick((0, 0, 1))
    config = models.config_of(
        vocab=vocab,
        k=n,
        d_model=width,
        d_head=head,
        outputs=outputs,
        direction=choose.pick(("causal", "bidirectional")),
    )
    noise = choose.pick((0, 0, 0, 1, 4, 32))
    straight = choose.pick((True, True, False))
    odd = choose.pick((32, 32, 33))  # thirds and elevenths have all bits of a float32

    def small(scale: int = 16) -> Fraction:
        return Fraction(choose.integer(-noise, noise), odd * scale) if noise else Fraction(0)

    ties = choose.pick((False, False, True))
    slope = choose.pick((1, 1, 2))
    places = []
    for j in range(outputs):
        place = [Fraction(slope * j) - vocab // 2]
        if ties:
            place = [Fraction(choose.integer(-2, 2))]
        elif choose.pick((True, True, False)):
            place[0] += Fraction(choose.integer(-3, 3), 4)
        while len(place) < directions:
            place.append(Fraction(choose.integer(-6, 6), 2))
        places.append(place)
    gain = choose.pick((1, 4, 16))
    heights = []
    for place in places:
        height = -sum(x * x for x in place) * gain / 2
        heights.append(height + Fraction(choose.integer(-4, 4), 4) * choose.pick((0, 0, 1)))
    embed = []
    for t in range(vocab):
        own = [x + Fraction(choose.integer(-1, 1), 8) for x in places[t]]
        row = [*own, Fraction(1) if straight else Fraction(1) + small(), Fraction(0)]
        embed.append([*row, *(small() for _ in range(width - len(row)))])
    unembed = [[small() for _ in range(outputs)] for _ in range(width)]
    for a in range(directions):
        for j in range(outputs):
            unembed[a][j] = places[j][a]
    constant = directions
    for j in range(outputs):
        unembed[constant][j] = Fraction(0)
        unembed[constant + 1][j] = heights[j]
    sharp = choose.pick((2, 8, 16, 1))
    query = [[small() for _ in range(head)] for _ in range(width)]
    query[constant][0] += sharp
    query[0][0] += choose.pick((0, 0, Fraction(1, 2), 2))  # queries attend unalike
    key = [[small() for _ in range(head)] for _ in range(width)]
    key[0][0] += 1
    value = [[small() for _ in range(head)] for _ in range(width)]
    output = [[small() for _ in range(width)] for _ in range(head)]
    for a in range(directions):
        value[a][a] += 1
        output[a][a] += gain
    # The direct path moves answers too; its reach is part of what directions leave.
    if choose.pick((False, True)):
        for row in embed:
            for a in range(directions):
                row[a] = row[a] / 64
        for a in range(directions):
            value[a] = [x * 64 for x in value[a]]
            key[a] = [x * 64 for x in key[a]]
    place_rows = [[small(2) for _ in range(width)] for _ in range(n)]
    uneven = choose.pick((0, 0, 1, 4))  # positions that are looked at more, or less
    for row in place_rows:
        row[constant + 1] = Fraction(1)
        row[0] += Fraction(choose.integer(-uneven, uneven), 8)
    tensors: dict[str, Any] = {
        "embed.W_E": embed,
        "pos_embed.W_pos": place_rows,
        ATTENTION + "W_Q": [query],
        ATTENTION + "W_K": [key],
        ATTENTION + "W_V": [value],
        ATTENTION + "W_O": [output],
        "unembed.W_U": unembed,
    }
    for name, shape in models.shapes(config).items():
        if name in models.BIASES and choose.pick((False, False, False, True)):
            tensors[name] = models.filled(shape, lambda: Fraction(choose.integer(-2, 2), 4))
    rounded = {name: _rounded(tensor) for name, tensor in tensors.items()}
    return Model(config, rounded, "F32", "chain")


def _rounded(tensor: Any) -> Any:
    if isinstance(tensor, list):
        return [_rounded(part) for part in tensor]
    return models.nearest(Fraction(tensor), "F32")


def directions_of(choose: Choices, head: int, count: int) -> list[Document]:
    """Return directions that fit the models above, or any."""
    if choose.pick((True, True, True, False)):
        return axes(head, count)
    exponent = choose.pick((0, -1, -3))
    left = [[choose.integer(-3, 3) for _ in range(count)] for _ in range(head)]
    right = [[choose.integer(-3, 3) for _ in range(head)] for _ in range(count)]
    return [matrix(left, exponent), matrix(right)]


def tiling(places: list[tuple[int, int]], heights: list[int], choose: Choices) -> Document | None:
    """Return triangles over which the heights are concave, and the triangle of every answer that is
    no corner; None where all places are on one line.

    By brute force, in integers; heights are told apart by a little.
    """
    count = len(places)
    fine = [(h << 40) + choose.integer(0, 1 << 12) for h in heights]

    def turn(a: int, b: int, c: int) -> int:
        (x, y), (bx, by), (cx, cy) = places[a], places[b], places[c]
        return (bx - x) * (cy - y) - (by - y) * (cx - x)

    triangles = []
    for a, b, c in itertools.permutations(range(count), 3):
        if a > min(b, c) or turn(a, b, c) <= 0:
            continue
        over = True
        for j in range(count):
            shares = turn(b, c, j), turn(c, a, j), turn(a, b, j)
            held = sum(s * fine[k] for s, k in zip(shares, (a, b, c), strict=True))
            over = over and held >= sum(shares) * fine[j]
        if over:
            triangles.append([a, b, c])
    corners = {j for triangle in triangles for j in triangle}
    inside = []
    for j in sorted(set(range(count)) - corners):
        for number, (a, b, c) in enumerate(triangles):
            if min(turn(b, c, j), turn(c, a, j), turn(a, b, j)) >= 0:
                inside.append([j, number])
                break
    return {"triangles": triangles, "inside": inside} if triangles else None


def build_proof(
    choose: Choices, model: Model, weights: Weights, ov: list[Document], plane: Document | None
) -> Document:
    """Return a certificate of a chain with random cells."""
    rows = weights or [[1] * model.config["d_vocab"]] * model.config["n_ctx"]
    cells = forests.build_cells(choose, rows, model.config["d_vocab_out"])
    mu = forests._mu(choose)
    for cell in cells:
        if "mu" in cell:
            cell["mu"] = mu
        if cell["method"] == "count" and choose.pick((True, False)):
            every = list(range(model.config["d_vocab_out"]))
            cell["lower"] = [[choose.pick((0, 1, 7, 50)), [j]] for j in every]
    qk = directions_of(choose, model.config["d_head"], 1)
    chain = {"cells": cells, "ov": ov, "qk": qk} | ({"plane": plane} if plane else {})
    return forests.document(model, weights, chain=chain, precision=choose.pick((64, 80, 180)))
