"""Random certificates: proofs that nobody would write, over models that nobody trained.

A certificate here claims as little as the format allows, so the checker must accept
it, and what it prints then is its own.  The forest is random (query sets, layouts,
permutations, splits, methods, bins, shares, margins) within the rules of SPEC 7, so
it visits combinations that no strategy of the prover emits.
"""

from __future__ import annotations

import hashlib
from math import prod
from typing import Any

from models import Choices, Model, canonical

Weights = list[list[int]]
OPERATIONS = str(10**11)


def build_forest(choose: Choices, model: Model, weights: Weights | None = None, *, exact: bool = False) -> bytes:
    """Return the bytes of a certificate; `exact`: brute force everywhere, no margin."""
    rows = weights or [[1] * model.config["d_vocab"]] * model.config["n_ctx"]
    cells: list[dict[str, Any]] = []
    for m in range(model.config["d_vocab"]):
        for queries in [*_partition(choose, list(range(m)), alone=exact), [m]]:
            root = {"maximum": m, "mu": ["0", "0"] if exact else _mu(choose)}
            cells += _cell(choose, model, rows, m, queries, root, exact=exact, depth=0)
    total = prod(map(sum, rows))
    statement = {
        "architecture": model.config,
        "correct_lower": "0",
        "correct_upper": str(total),
        "model": f"sha256:{hashlib.sha256(model.bytes).hexdigest()}",
        "scope": "uniform" if weights is None else {"product": [[str(w) for w in row] for row in weights]},
        "semantics": "real",
        "task": "max-of-k",
        "total": str(total),
    }
    proof = {
        "cells": cells,
        "operations": OPERATIONS,
        "precision": choose.pick((64, 80, 180, 256)),
        "strategy": "random",
    }
    whole = {"format": "certify.certificate/1", "statement": statement, "proof": proof}
    return (canonical(whole) + "\n").encode()


def size_of(rows: Weights, m: int, queries: list[int]) -> int:
    """Return the weight of the inputs with maximum m and query among these."""
    sequences = prod(sum(row[: m + 1]) for row in rows[:-1])
    if queries != [m]:
        sequences -= prod(sum(row[:m]) for row in rows[:-1])
    return sequences * sum(rows[-1][q] for q in queries)


def _mu(choose: Choices) -> list[str]:
    mantissa = choose.pick((0, 0, 0, 1, 3, 1025))
    return [str(mantissa), str(choose.pick((0, -1, -4, -10, 2, -200, 100)) if mantissa else 0)]


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
    found: dict[str, Any] = {"layout": runs}
    if m > 1 and choose.pick((False, True)):
        order, tokens = [], list(range(m))
        while tokens:
            order.append(tokens.pop(choose.integer(0, len(tokens) - 1)))
        found["order"] = order
    return found


def _cell(
    choose: Choices, model: Model, rows: Weights, m: int, queries: list[int], root: dict[str, Any], *, exact: bool, depth: int
) -> list[dict[str, Any]]:
    """Return a cell and, behind it, its descendants."""
    cell: dict[str, Any] = {"queries": _ranges(queries), **root}
    methods = ["count", "enumerate", "count", "enumerate", "skip"]
    methods += ["brute-force"] if len(queries) == 1 else []
    methods += ["split"] if depth < 3 else []
    method = "brute-force" if exact else choose.pick(methods)
    cell["method"] = method
    claim = {"failures": ["0", str(size_of(rows, m, queries))]}
    outputs = model.config["d_vocab_out"]
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
            below += _cell(choose, model, rows, m, part, {}, exact=False, depth=depth + 1)
        return [cell | {"children": len(parts)}, *below]
    if method == "count":
        shares = _partition(choose, list(range(outputs)))
        cell["blocks"] = [[choose.pick((0, 1, 7, 50)), share] for share in shares]
        if choose.pick((False, True)):
            cell["blocks"] = [[choose.pick((0, 1, 7, 50)), []]]
        if len(queries) == 1 and all(length == 1 for length, _ in cell["layout"]):
            cell["lower"] = [[choose.pick((0, 1, 7, 50)), share] for share in _partition(choose, list(range(outputs)))]
    return [cell | claim]
