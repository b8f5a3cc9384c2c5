"""Random certificates: proofs that nobody would write, over models that nobody trained.

A certificate here claims as little as the format allows, so the checker must accept
it, and what it prints then is its own.  The forest is random (query sets, layouts,
screens, splits, methods, bins, shares, groups, margins) within the rules of SPEC-7, so
it visits combinations that no strategy of the prover emits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from typing import Any

from models import Choices, Model, canonical, domain_of

Weights = list[list[int]]
OPERATIONS = str(10**11)


def build_forest(
    choose: Choices, model: Model, weights: Weights | None = None, *, exact: bool = False
) -> bytes:
    """Return the bytes of a certificate; `exact`: brute force everywhere, no margin."""
    rows = weights or [[1] * model.config["d_vocab"]] * model.config["n_ctx"]
    cells = build_cells(choose, rows, model.config["d_vocab_out"], exact=exact)
    precision = choose.pick((64, 80, 180, 256))
    return encoded(document(model, weights, cells=cells, precision=precision))


def document(model: Model, weights: Weights | None, **proof: Any) -> dict[str, Any]:
    """Return a certificate with these keys of a proof, which claims as little as possible."""
    rows = weights or [[1] * model.config["d_vocab"]] * model.config["n_ctx"]
    total = prod(map(sum, rows))
    statement = {
        "architecture": model.config,
        "correct_lower": "0",
        "correct_upper": str(total),
        "domain": domain_of(model.config),
        "model": f"sha256:{hashlib.sha256(model.bytes).hexdigest()}",
        "scope": "uniform"
        if weights is None
        else {"product": [[str(w) for w in row] for row in weights]},
        "semantics": "real",
        "task": "max-of-k",
        "total": str(total),
    }
    whole = {"operations": OPERATIONS, "strategy": "random", **proof}
    return {"format": "certify.certificate/2", "statement": statement, "proof": whole}


def encoded(document: dict[str, Any]) -> bytes:
    """Return the canonical bytes of a certificate."""
    return (canonical(document) + "\n").encode()


def build_cells(
    choose: Choices, rows: Weights, outputs: int, *, exact: bool = False
) -> list[dict[str, Any]]:
    """Return the list of cells of a proof over the tokens that `rows` weighs."""
    cells: list[dict[str, Any]] = []
    for m in range(len(rows[0])):
        shape = Shape(rows, m, outputs, exact)
        if not exact and choose.pick((False, False, True)):
            root = {"maximum": m, "mu": _mu(choose)}
            parts = _parts(choose, m)
            cells.append(
                {
                    "queries": [[0, m]],
                    "method": "screen",
                    "children": len(parts),
                    **root,
                    **_layout(choose, m),
                }
            )
            for queries in parts:
                cells += _cell(choose, shape, queries, {}, depth=1)
            continue
        for queries in _parts(choose, m, alone=exact):
            root = {"maximum": m, "mu": ["0", "0"] if exact else _mu(choose)}
            cells += _cell(choose, shape, queries, root, depth=0)
    return cells


@dataclass(frozen=True)
class Shape:
    """What all cells of one maximum share: weights of tokens, maximum, number of answers."""

    rows: Weights
    m: int
    outputs: int
    exact: bool


def size_of(rows: Weights, m: int, queries: list[int]) -> int:
    """Return the weight of the inputs with maximum m and query among these."""
    sequences = prod(sum(row[: m + 1]) for row in rows[:-1])
    if queries != [m]:
        sequences -= prod(sum(row[:m]) for row in rows[:-1])
    return sequences * sum(rows[-1][q] for q in queries)


def _mu(choose: Choices) -> list[str]:
    mantissa = choose.pick((0, 0, 0, 1, 3, 1025))
    return [str(mantissa), str(choose.pick((0, -1, -4, -10, 2, -200, 100)) if mantissa else 0)]


def _parts(choose: Choices, m: int, *, alone: bool = False) -> list[list[int]]:
    """Return sets of queries that cells may hold and that together are all up to the maximum."""
    return [*_partition(choose, list(range(m)), alone=alone), [m]]


def _partition(choose: Choices, items: list[int], *, alone: bool = False) -> list[list[int]]:
    """Return a partition of the items into non-empty ascending sets."""
    groups: dict[int, list[int]] = {}
    for item in items:
        groups.setdefault(item if alone else choose.integer(0, len(items) - 1), []).append(item)
    return list(groups.values())


def _ranges(queries: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for q in queries:
        if found and found[-1][1] + 1 == q:
            found[-1][1] = q
        else:
            found.append([q, q])
    return found


def _layout(choose: Choices, m: int, *, single: bool = False) -> dict[str, Any]:
    lengths, left = [], m
    while left:
        lengths.append(1 if single else choose.integer(1, left))
        left -= lengths[-1]
    runs: list[list[int]] = []
    for length in lengths:
        if runs and runs[-1][0] == length and choose.pick((True, False)):
            runs[-1][1] += 1
        else:
            runs.append([length, 1])
    return {"layout": runs}


def _groups(choose: Choices, blocks: int, most: int) -> list[Any]:
    """Return groups of copies: any numbers of other tokens, in any order, each with any blocks."""
    groups: list[Any] = []
    for _ in range(choose.integer(0, most + 1)):
        copies = choose.integer(0, most)
        if copies not in [known for known, _ in groups]:
            groups.append(
                [copies, _ranges([b for b in range(blocks) if choose.pick((True, True, False))])]
            )
    return groups


def _cell(
    choose: Choices, shape: Shape, queries: list[int], root: dict[str, Any], *, depth: int
) -> list[dict[str, Any]]:
    """Return a cell and, behind it, its descendants."""
    m, outputs = shape.m, shape.outputs
    cell: dict[str, Any] = {"queries": _ranges(queries), **root}
    methods = ["count", "enumerate", "copies", "count", "enumerate", "copies", "skip"]
    methods += ["brute-force"] if len(queries) == 1 else []
    methods += ["split", "split"] if depth < 3 else []
    method = "brute-force" if shape.exact else choose.pick(methods)
    cell["method"] = method
    claim = {"failures": ["0", str(size_of(shape.rows, m, queries))]}
    single = choose.pick((False, True))
    if method == "brute-force":
        return [cell | claim]
    if method == "skip":
        return [cell]
    cell |= _layout(choose, m, single=single)
    if method == "split":
        parts = _partition(choose, queries)
        below: list[dict[str, Any]] = []
        for part in parts:
            below += _cell(choose, shape, part, {}, depth=depth + 1)
        return [cell | {"children": len(parts)}, *below]
    if method == "copies":
        most = max(len(shape.rows) - 1 - (queries != [m]), 0)
        cell["groups"] = _groups(choose, sum(count for _, count in cell["layout"]), most)
    if method == "count":
        shares = _partition(choose, list(range(outputs)))
        cell["blocks"] = [[choose.pick((0, 1, 7, 50)), share] for share in shares]
        if choose.pick((False, True)):
            cell["blocks"] = [[choose.pick((0, 1, 7, 50)), []]]
        if len(queries) == 1 and all(length == 1 for length, _ in cell["layout"]):
            cell["lower"] = [
                [choose.pick((0, 1, 7, 50)), share]
                for share in _partition(choose, list(range(outputs)))
            ]
    return [cell | claim]
