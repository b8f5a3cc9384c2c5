"""Proofs of cells over domains: context positions anywhere, few tokens, outputs in another order.

Random forests over the places of a random domain, of random tiny models, against every input
evaluated in 200 bits; and proofs by brute force against proofs of leaves, which know no places.
"""

from __future__ import annotations

import itertools
import json
import random
from math import prod
from types import SimpleNamespace
from typing import Any

import forests
import models
import mutators
import networks
import pytest
from models import Seeded

from checker.cells.places import Places, places_of
from checker.check import Theorem, check, parse
from checker.ground.errors import Declined
from checker.statement.domain import parse_domain
from checker.statement.scope import parse_scope

Document = dict[str, Any]
CASES = 60


def theorem(model: models.Model, document: Document) -> Theorem:
    """Return what the checker proves; it must not refuse."""
    return check(parse(model.bytes, mutators.encode(document)), lambda done, declared: None)


def random_domain(rng: random.Random, config: dict[str, Any]) -> Document:
    """Return a domain that cells are about: the same tokens at all operands, values that ascend."""
    n, vocab, outputs = config["n_ctx"], config["d_vocab"], config["d_vocab_out"]
    tokens = sorted(rng.sample(range(vocab), rng.randint(2, vocab)))
    ranges = forests._ranges(tokens)
    values = sorted(rng.sample(range(-9, 9), len(tokens)))
    operands = set(rng.sample(range(n), rng.randint(1, n)))
    positions = [
        {"tokens": ranges, "values": values} if i in operands else {"context": rng.randrange(vocab)}
        for i in range(n)
    ]
    chosen = sorted(rng.sample(range(outputs), len(tokens)))
    answers = values[:]
    rng.shuffle(answers)
    return {
        "answers": answers,
        "outputs": forests._ranges(chosen),
        "positions": positions,
        "read": [n - 1],
    }


def members(ranges: list[list[int]]) -> list[int]:
    """Return the members of ranges."""
    return [x for first, last in ranges for x in range(first, last + 1)]


def weights_of(rng: random.Random, domain: Document) -> list[list[int]]:
    """Return weights for the allowed tokens, some of them zero."""
    rows = []
    for position in domain["positions"]:
        size = len(members(position["tokens"])) if "tokens" in position else 1
        row = [rng.randint(0, 3) for _ in range(size)] if size > 1 else [1]
        rows.append(row if sum(row) else [1] * size)
    return rows


def over_places(domain: Document, weights: list[list[int]]) -> list[list[int]]:
    """Return weights by place: one for each context position first, then the operands' tokens."""
    context = [i for i, position in enumerate(domain["positions"]) if "context" in position]
    size = max(len(row) for i, row in enumerate(weights) if i not in context)
    rows = []
    for i, row in enumerate(weights):
        own = [int(i == place) for place in context]
        rows.append(own + ([0] * size if i in context else row))
    return rows


def document(
    model: models.Model, domain: Document, weights: list[list[int]], proof: Document
) -> Document:
    """Return a certificate that claims nothing."""
    said = networks.document(model, "max-of-k", [])
    total = str(prod(map(sum, weights)))
    said["statement"] |= {
        "domain": domain,
        "scope": {"product": [[str(w) for w in row] for row in weights]},
        "total": total,
        "correct_upper": total,
    }
    said["proof"] = {"operations": str(10**11), "precision": 64, "strategy": "test"} | proof
    return said


def margins(model: models.Model, domain: Document, weights: list[list[int]]) -> list[Any]:
    """Return the weight and the margin of every input that has a weight, in 200 bits."""
    allowed = [
        members(p["tokens"]) if "tokens" in p else [p["context"]] for p in domain["positions"]
    ]
    output = dict(zip(domain["answers"], members(domain["outputs"]), strict=True))
    found = []
    for places in itertools.product(*(range(len(row)) for row in allowed)):
        weight = prod(row[k] for row, k in zip(weights, places, strict=True))
        if not weight:
            continue
        tokens = [row[k] for row, k in zip(allowed, places, strict=True)]
        values = [
            position["values"][k]
            for position, k in zip(domain["positions"], places, strict=True)
            if "values" in position
        ]
        (row,) = networks.logits(model, tokens)
        right = output[max(values)]
        found.append((weight, row[right] - max(v for j, v in enumerate(row) if j != right)))
    return found


def case(seed: int) -> tuple[random.Random, models.Model, Document, list[list[int]]]:
    """Return a random model, a domain and weights."""
    rng = random.Random(f"places {seed}")
    limits = {"vocab": (3, 5), "k": (2, 4)}
    make = models.good_model if seed % 2 else models.random_model
    model = make(rng, **limits)
    domain = random_domain(rng, model.config)
    return rng, model, domain, weights_of(rng, domain)


@pytest.mark.parametrize("seed", range(CASES))
def test_bounds_hold_on_every_domain(seed: int) -> None:
    rng, model, domain, weights = case(seed)
    truth = margins(model, domain, weights)
    right = sum(weight for weight, margin in truth if margin > 0)
    rows = over_places(domain, weights)
    for exact in (True, False, False):
        cells = forests.build_cells(Seeded(rng), rows, model.config["d_vocab_out"], exact=exact)
        loose = [without_claim(cell, rows) for cell in cells]
        proved = theorem(model, document(model, domain, weights, {"cells": loose}))
        assert proved.correct_lower <= right <= proved.correct_upper
        if exact:
            assert proved.correct_lower == proved.correct_upper == right
        shown = sum(weight for weight, margin in truth if margin * 2**20 >= proved.margin)
        assert proved.correct_lower <= shown


def without_claim(cell: Document, rows: list[list[int]]) -> Document:
    """Return a cell that claims as little as possible."""
    total = str(prod(map(sum, rows)))
    if "margin" in cell:
        return cell | {"margin": ["0", "0"]}
    return cell | {"failures": ["0", total]} if "failures" in cell else cell


@pytest.mark.parametrize("seed", range(1, CASES, 6))
def test_the_same_as_input_by_input(seed: int) -> None:
    rng, model, domain, weights = case(seed)
    rows = over_places(domain, weights)
    cells = forests.build_cells(Seeded(rng), rows, model.config["d_vocab_out"], exact=True)
    loose = [without_claim(cell, rows) for cell in cells]
    one = theorem(model, document(model, domain, weights, {"cells": loose}))
    whole = [{"inputs": str(prod(map(len, weights))), "method": "either"}]
    two = theorem(model, document(model, domain, weights, {"leaves": whole}))
    assert one.correct_lower == two.correct_lower
    assert one.correct_upper == two.correct_upper


def numbered(model: models.Model, domain: Document, scope: Document) -> Places:
    """Return how the checker numbers the tokens of a domain."""
    sizes: Any = SimpleNamespace(sizes=model.config, pooled=False)
    asked = parse_domain(domain, sizes)
    statement: Any = SimpleNamespace(domain=asked, scope=parse_scope(scope, asked))
    return places_of(statement)


def scopes_of(rng: random.Random, domain: Document, weights: list[list[int]]) -> list[Document]:
    """Return a scope of every kind that is written as an object."""
    operands = sum("tokens" in position for position in domain["positions"])
    return [
        {"product": [[str(w) for w in row] for row in weights]},
        {"min-gap": rng.randint(1, 6)},
        {"max-copies": rng.randint(1, operands)},
    ]


@pytest.mark.parametrize("seed", range(20))
def test_places_are_context_positions_and_then_the_tokens_of_operands(seed: int) -> None:
    rng, model, domain, weights = case(seed)
    positions = domain["positions"]
    context = [i for i, position in enumerate(positions) if "context" in position]
    operands = [position for position in positions if "tokens" in position]
    tokens, values = members(operands[0]["tokens"]), operands[0]["values"]
    first, every = len(context), len(context) + len(tokens)
    output = dict(zip(domain["answers"], members(domain["outputs"]), strict=True))
    ones = [[1] * len(row) for row in weights]
    for scope in scopes_of(rng, domain, weights):
        named = numbered(model, domain, scope)
        assert list(named.tokens) == [*(positions[i]["context"] for i in context), *tokens]
        counted = weights if "product" in scope else ones
        assert list(map(list, named.weights)) == over_places(domain, counted)
        for i, held in enumerate(named.allowed):
            own = [context.index(i)] if i in context else range(first, every)
            assert held == sum(1 << place for place in own)
        # No input has a context place as its maximum, so nothing is said of its output.
        assert len(named.right) == every
        assert list(named.right[first:]) == [output[value] for value in values]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_too_near_to_the_maximum_weighs_nothing(seed: int) -> None:
    rng, model, domain, weights = case(seed)
    context = sum("context" in position for position in domain["positions"])
    values = next(p["values"] for p in domain["positions"] if "values" in p)
    inputs = prod(map(len, weights))
    for scope in scopes_of(rng, domain, weights):
        named = numbered(model, domain, scope)
        gap = scope.get("min-gap", 1)
        for m in range(len(named.tokens)):
            # A place of a context position is at its own position alone, and near to nothing.
            near = [p for p in range(context, m) if values[p - context] > values[m - context] - gap]
            assert named.near[m] == min(near, default=m)
            # Z is a power of two above the number of all inputs.
            mark = 1 << inputs.bit_length() if "max-copies" in scope else 1
            for row, marked in zip(named.weights, named.marked(m), strict=True):
                due = [0 if p in near else weight for p, weight in enumerate(row[:m])]
                assert list(marked[: m + 1]) == [*due, row[m] * mark]


def test_other_domains_are_declined() -> None:
    _, model, _, _ = case(0)
    n, vocab = model.config["n_ctx"], model.config["d_vocab"]
    usual = models.domain_of(model.config)
    whole = usual["positions"]
    for positions in (
        [{"tokens": [[0, vocab - 2]], "values": "own"}, *whole[1:]],
        [{"tokens": [[0, vocab - 1]], "values": 1}, *whole[1:]],
        [{"tokens": [[0, vocab - 1]], "values": list(range(vocab, 0, -1))}] * n,
    ):
        answers = list(range(model.config["d_vocab_out"] - 1, -1, -1))
        domain = usual | {"positions": positions}
        if positions[-1] == positions[0]:
            domain |= {"answers": [answer + 1 for answer in answers]}
        sizes = [len(members(json.loads(json.dumps(one["tokens"])))) for one in positions]
        weights = [[1] * size for size in sizes]
        with pytest.raises(Declined, match=r"SPEC-7\.16|SPEC-5\.2"):
            theorem(model, document(model, domain, weights, {"cells": []}))
