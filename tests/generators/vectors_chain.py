"""Vectors for SPEC-15: proofs of chains, on models whose answers lie on a line or in a plane.

`chapter` takes the book and the module `make_vectors`, which imports this file, as in
`vectors_paths`.
"""

# ruff: noqa: E501 (a row of a table is one line)

from __future__ import annotations

from fractions import Fraction
from typing import Any

import chains
import models
from models import ATTENTION, Model

Document = dict[str, Any]
ZERO = ["0", "0"]

LINE = ((-2,), (-1,), (0,), (1,))
PLANE = ((0, 0), (8, 0), (8, 8), (0, 8), (4, 4), (4, 5))
STAR = ((16, 0), (5, 15), (-13, 9), (-13, -9), (5, -15), (0, 0))
SQUARE = {"inside": [[5, 2]], "triangles": [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]}
"""The four outer answers about the fifth; the sixth is inside."""
TWICE = {"inside": [], "triangles": [[5, a % 5, (a + 2) % 5] for a in range(0, 10, 2)]}


def model(
    places: tuple[tuple[int, ...], ...],
    *,
    n: int = 2,
    low: int = 0,
    changes: Document | None = None,
) -> Model:
    """Return a model that answers with the place nearest to that of the token it attends to; the
    last answer is lower by ``low``.
    """
    count, wide = len(places), len(places[0])
    config = models.config_of(vocab=count, k=n, d_model=wide + 2, d_head=wide)
    axis = [[int(i == j) for j in range(wide)] for i in range(wide)]
    heights = [-sum(x * x for x in place) - low * (place == places[-1]) for place in places]
    small = [[Fraction(x, 64) for x in place] for place in places]
    tensors: dict[str, Any] = {
        "embed.W_E": [[*row, Fraction(t, 8), 0] for t, row in enumerate(small)],
        "pos_embed.W_pos": [[0] * (wide + 1) + [1]] * n,
        ATTENTION + "W_Q": [[[0] * wide] * (wide + 1) + [[64] + [0] * (wide - 1)]],
        ATTENTION + "W_K": [[[0] * wide] * wide + [[1] + [0] * (wide - 1)] + [[0] * wide]],
        ATTENTION + "W_V": [[*([64 * x for x in row] for row in axis), [0] * wide, [0] * wide]],
        ATTENTION + "W_O": [[[2 * x for x in row] + [0, 0] for row in axis]],
        "unembed.W_U": [
            *([place[a] for place in places] for a in range(wide)),
            [0] * count,
            heights,
        ],
    }
    return Model(config, tensors | (changes or {}))


def cells_of(count: int, *, skipped: tuple[int, ...] = (), mu: list[str] | None = None) -> Any:
    """Return a screen for each maximum and two counted cells below it."""
    found: list[Document] = []
    for m in range(count):
        own = {"maximum": m, "mu": mu or ZERO}
        if m in skipped:
            found.append({**own, "method": "skip", "queries": [[0, m - 1]]})
            found.append({**own, "method": "skip", "queries": [[m, m]]})
            continue
        parts = [[[0, m - 1]]] * (m > 0) + [[[m, m]]]
        layout = [[1, m]] if m else []
        screen = {"method": "screen", "queries": [[0, m]], "layout": layout}
        found.append({**own, **screen, "children": len(parts)})
        for queries in parts:
            count_ = {"method": "count", "queries": queries, "layout": layout}
            found.append({**count_, "blocks": [[64, []]], "failures": ["0", str(10**30)]})
    return found


def document(make: Any, given: Model, cells: Any, plane: Any = None, **changes: Any) -> Document:
    """Return a certificate of a chain along the first axes of the head, with its claims."""
    wide = 1 if plane is None else 2
    head = given.config["d_head"]
    chain = {"cells": cells, "ov": chains.axes(head, wide), "qk": chains.axes(head, 1)}
    chain |= ({} if plane is None else {"plane": plane}) | changes
    base = make.document(given, [])
    proof = {key: value for key, value in base["proof"].items() if key != "cells"}
    return {**base, "proof": {**proof, "chain": chain}}


def tight(make: Any, given: Model, doc: Document) -> Document:
    """Return the certificate with every claim as strong as the checker accepts."""
    theorem = make.theorem_of(given.bytes, make.mutators.encode(doc))
    doc = make.put(doc, "proof/operations", str(theorem.ledger.total))
    outcomes = iter(theorem.outcomes)
    for cell in doc["proof"]["chain"]["cells"]:
        if "children" in cell:
            continue
        outcome = next(outcomes)
        if "failures" in cell:
            cell["failures"] = [str(outcome.lower), str(outcome.upper)]
        if "margin" in cell:
            cell["margin"] = make.dyadic(max(outcome.margin or 0, 0))
    doc["statement"] |= {
        "correct_lower": str(theorem.correct_lower),
        "correct_upper": str(theorem.correct_upper),
    }
    return doc


def chapter(book: Any, make: Any) -> None:
    """SPEC-15."""
    on_a_line = model(LINE)
    base = tight(make, on_a_line, document(make, on_a_line, cells_of(4)))
    book.accept("SPEC-15.1", "line", "each answer against the next on either side", on_a_line, base)
    _forms(book, make, on_a_line, base)
    _lines(book, make)
    _planes(book, make)
    _limits(book, make, base)


def _forms(book: Any, make: Any, given: Model, base: Document) -> None:
    """SPEC-15.1, and what chains share with cells."""
    chain = "proof/chain"
    two = chains.axes(1, 1)
    for name, why, clause, doc in (
        ("without-qk", "no directions of scores", "SPEC-3.4", make.cut(base, f"{chain}/qk")),
        ("without-cells", "no cells", "SPEC-3.4", make.cut(base, f"{chain}/cells")),
        ("chain-paths", "a key it has not", "SPEC-3.4", make.put(base, f"{chain}/paths", {})),
        ("one-matrix", "N alone", "SPEC-15.1", make.put(base, f"{chain}/ov", two[:1])),
        (
            "three-matrices",
            "one too many",
            "SPEC-15.1",
            make.put(base, f"{chain}/qk", two + two[:1]),
        ),
        (
            "two-directions",
            "a second direction, and no plane",
            "SPEC-15.1",
            make.put(base, f"{chain}/ov/1/rows", [[1], [1]]),
        ),
        (
            "two-scores",
            "two directions of scores",
            "SPEC-15.1",
            make.put(base, f"{chain}/qk/1/rows", [[1], [1]]),
        ),
        (
            "chain-too-wide",
            "N has more rows than the head has axes",
            "SPEC-6.6",
            make.put(base, f"{chain}/ov/0/rows", [[1], [1]]),
        ),
        (
            "chain-too-long",
            "B has more columns than the head has axes",
            "SPEC-6.6",
            make.put(base, f"{chain}/ov/1/rows", [[1, 1]]),
        ),
        (
            "two-margins",
            "a root with a mu of its own",
            "SPEC-15.1",
            make.put(base, f"{chain}/cells/0/mu", ["1", "-1"]),
        ),
        (
            "chain-overlap",
            "a maximum twice",
            "SPEC-7.1",
            make.put(base, f"{chain}/cells", cells_of(4) + cells_of(1)),
        ),
        (
            "chain-too-strong",
            "one input more than is proved",
            "SPEC-5.6",
            make.added(base, "statement/correct_lower", 1),
        ),
    ):
        book.refuse(clause, name, why, doc, given)
    operations = make.added(base, "proof/operations", -1)
    book.refuse(
        "SPEC-8.2", "chain-one-less", "one operation too few", operations, given, declined=True
    )
    domain = models.domain_of(given.config) | {"read": [0]}
    book.refuse(
        "SPEC-7.16",
        "chain-read-first",
        "another position is read",
        make.put(make.put(base, "statement/domain", domain), "statement/total", "16"),
        given,
        declined=True,
    )


def _lines(book: Any, make: Any) -> None:
    """SPEC-15.2 to SPEC-15.4, SPEC-15.6."""
    ties = model(((-2,), (0,), (0,), (1,)), low=1)
    doc = document(make, ties, cells_of(4))
    book.accept(
        "SPEC-15.4",
        "ties",
        "two answers at one place: neither wins, and nothing settles that",
        ties,
        tight(make, ties, doc),
    )
    rest = model(LINE, changes={"embed.W_E": [[Fraction(x, 64), Fraction(t, 8), Fraction(t, 64)] for t, (x,) in enumerate(LINE)]})  # fmt: skip
    book.accept(
        "SPEC-15.2",
        "direct",
        "the direct path is left over, and bounded coordinate by coordinate",
        rest,
        tight(make, rest, document(make, rest, cells_of(4))),
    )
    wide = document(
        make, model(LINE), cells_of(4), qk=[chains.matrix([[255]], -8), chains.matrix([[1]])]
    )
    book.accept(
        "SPEC-15.3",
        "not-all",
        "part of a score is left over",
        model(LINE),
        tight(make, model(LINE), wide),
    )
    wrong = model(LINE, changes={ATTENTION + "W_O": [[[-2, 0, 0]]]})
    cells = cells_of(4)
    for cell in cells:
        if "blocks" in cell:
            cell["lower"] = [[64, [j]] for j in range(4)]
    book.accept(
        "SPEC-15.6",
        "wrong",
        "a pooled cell whose inputs are wrong for certain",
        wrong,
        tight(make, wrong, document(make, wrong, cells)),
    )
    cells = cells_of(4, mu=["1", "-1"])
    book.accept(
        "SPEC-15.6",
        "margin",
        "a margin asked for, which moves what each answer is tested against",
        model(LINE),
        tight(make, model(LINE), document(make, model(LINE), cells)),
    )
    cells = cells_of(4)
    for cell in cells:
        if "blocks" in cell:
            del cell["blocks"], cell["failures"]
            cell |= {"method": "extreme", "margin": ZERO}
    strong = document(make, model(LINE), cells)
    book.accept(
        "SPEC-15.6", "extreme", "every cell beaten", model(LINE), tight(make, model(LINE), strong)
    )
    more = tight(make, model(LINE), strong)
    place = next(
        i
        for i, cell in enumerate(more["proof"]["chain"]["cells"])
        if cell.get("margin", ZERO) != ZERO
    )
    mantissa, exponent = more["proof"]["chain"]["cells"][place]["margin"]
    book.refuse(
        "SPEC-7.13",
        "chain-margin",
        "a margin larger than shown",
        make.put(
            more,
            f"proof/chain/cells/{place}/margin",
            [str(2 * int(mantissa) + 1), str(int(exponent) - 1)],
        ),
        model(LINE),
    )
    book.refuse(
        "SPEC-7.6",
        "chain-not-beaten",
        "answers at one place that are not beaten",
        document(make, ties, cells),
        ties,
    )
    claimed = make.vectors_float32.claimed(document(make, model(LINE), cells_of(4)))
    book.accept(
        "SPEC-12.5",
        "chain",
        "the same in float32, where mu moves what each answer is tested against",
        model(LINE),
        tight(make, model(LINE), claimed),
    )


def _planes(book: Any, make: Any) -> None:
    """SPEC-15.5."""
    square = model(PLANE, low=8)
    base = document(make, square, cells_of(6, skipped=(5,)), SQUARE)
    base = tight(make, square, base)
    book.accept("SPEC-15.5", "square", "each corner against its neighbours", square, base)
    plane = "proof/chain/plane"
    triangles = SQUARE["triangles"]
    crossed = document(make, square, cells_of(6), SQUARE)
    flipped = [[0, 1, 2], [0, 2, 3]]
    for name, why, clause, doc in (
        ("no-triangle", "no triangle", "SPEC-15.5", make.put(base, plane, {"inside": [[j, 0] for j in range(6)], "triangles": []})),
        ("two-corners", "a triangle of two corners", "SPEC-15.5", make.put(base, f"{plane}/triangles/0", [0, 1])),
        ("no-such-triangle", "the number of no triangle", "SPEC-15.5", make.put(base, f"{plane}/inside", [[5, 4]])),
        ("left-out", "an answer that is nowhere", "SPEC-15.5", make.put(base, f"{plane}/inside", [])),
        ("no-such-answer", "a corner that is no output", "SPEC-3.3", make.put(base, f"{plane}/triangles/0", [0, 1, 6])),
        ("to-the-right", "a triangle the other way round", "SPEC-15.5", make.put(base, f"{plane}/triangles/0", [1, 0, 4])),
        ("flat", "a triangle without area", "SPEC-15.5", make.put(base, f"{plane}/triangles/0", [0, 2, 4])),
        ("twice", "a triangle twice", "SPEC-15.5", make.put(base, f"{plane}/triangles", [*triangles, [4, 0, 1]])),
        ("overlap", "two triangles on one side of an edge", "SPEC-15.5", make.put(base, f"{plane}/triangles", [*triangles, [0, 1, 2]])),
        ("notch", "outer edges that turn to the right", "SPEC-15.5", make.put(base, f"{plane}/triangles", triangles[:3])),
        ("two-parts", "two triangles that share a corner alone", "SPEC-15.5", make.put(make.put(base, f"{plane}/triangles", triangles[::2]), f"{plane}/inside", [[5, 1]])),
        ("above-the-plane", "an answer above two triangles that leave it out", "SPEC-15.5", make.put(base, plane, {"inside": [[4, 0], [5, 1]], "triangles": flipped})),
        ("outside", "an answer in a triangle that does not hold it", "SPEC-15.5", make.put(base, f"{plane}/inside", [[5, 0]])),
        ("no-corner", "a root of an answer that is no corner", "SPEC-15.5", crossed),
        ("plane-without-directions", "a plane, and one direction", "SPEC-15.1", make.put(base, "proof/chain/ov", chains.axes(2, 1))),
        ("plane-key", "a key it has not", "SPEC-3.4", make.put(base, f"{plane}/edges", [])),
    ):  # fmt: skip
        book.refuse(clause, name, why, doc, square)
    corners = model(PLANE[:4], low=8)
    lower = {"inside": [], "triangles": [[0, 1, 3], [1, 2, 3]]}
    doc = document(make, corners, cells_of(4), lower)
    book.refuse("SPEC-15.5", "not-concave", "the diagonal that is lower", doc, corners)
    higher = {"inside": [], "triangles": [[0, 1, 2], [0, 2, 3]]}
    doc = tight(make, corners, document(make, corners, cells_of(4), higher))
    book.accept("SPEC-15.5", "diagonal", "the diagonal that is higher", corners, doc)
    high = model(PLANE, low=-8)
    book.refuse("SPEC-15.5", "above", "an answer above the triangle that holds it", document(make, high, cells_of(6, skipped=(5,)), SQUARE), high)  # fmt: skip
    star = model(STAR, low=-400)
    book.refuse("SPEC-15.5", "winds-twice", "triangles about one corner, twice round", document(make, star, cells_of(6), TWICE), star)  # fmt: skip


def _limits(book: Any, make: Any, base: Document) -> None:
    """SPEC-3.5: a proof without pairs of tokens may be about more of them."""
    for field, size in (("d_vocab", 4097), ("d_vocab_out", 4097)):
        config = models.canonical(make.PAIR.config | {field: size})
        data = make.with_metadata({"format": models.FORMAT, "config": config})
        doc = make.forged(base, data)
        name = f"chain-{field.replace('_', '-')}-{size}"
        book.refuse("SPEC-3.5", name, "a vocabulary past the limit", doc, data, declined=True)
    config = models.canonical(make.PAIR.config | {"d_vocab_out": 4096})
    data = make.with_metadata({"format": models.FORMAT, "config": config})
    book.refuse(
        "SPEC-4.3",
        "chain-d-vocab-out-4096",
        "a size at its limit, and tensors of other shapes",
        make.forged(base, data),
        data,
    )
