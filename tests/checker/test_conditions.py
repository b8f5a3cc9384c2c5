"""Scopes that are conditions (SPEC-5.3): cells and leaves against every input of random domains,
each looked at by the words of the page.
"""

from __future__ import annotations

import itertools
import random
from math import prod
from typing import Any

import domains
import forests
import mutators
import networks
import pytest
import questions
from conditions import fulfils
from models import Model, Seeded
from test_places import case, members, over_places, theorem, without_claim

from checker.check import parse
from checker.ground.errors import Declined, Malformed
from checker.statement import scope as scopes
from checker.statement.outcome import MARGIN_BITS

Document = dict[str, Any]
CASES = 120


def condition_of(rng: random.Random, operands: int) -> Document:
    """Return a random condition."""
    if rng.random() < 0.5:
        return {"min-gap": rng.choice((1, 2, 2, 3, 5, 9))}
    return {"max-copies": rng.randint(1, operands)}


def scoped(document: Document, condition: Document, total: int) -> Document:
    """Return a certificate about the inputs that fulfil a condition, so many."""
    said = document["statement"] | {
        "scope": condition,
        "total": str(total),
        "correct_upper": str(total),
    }
    return document | {"statement": said}


def margins(model: Model, domain: Document, condition: Document) -> list[Any]:
    """Return the margin of every input that counts, in 200 bits."""
    allowed = [
        members(p["tokens"]) if "tokens" in p else [p["context"]] for p in domain["positions"]
    ]
    output = dict(zip(domain["answers"], members(domain["outputs"]), strict=True))
    found = []
    for places in itertools.product(*(range(len(row)) for row in allowed)):
        tokens = [row[k] for row, k in zip(allowed, places, strict=True)]
        values = [
            position["values"][k]
            for position, k in zip(domain["positions"], places, strict=True)
            if "values" in position
        ]
        if fulfils(condition, values):
            (row,) = networks.logits(model, tokens)
            right = output[max(values)]
            found.append(row[right] - max(v for j, v in enumerate(row) if j != right))
    return found


def cells_about(
    rng: random.Random, model: Model, domain: Document, *, exact: bool
) -> list[Document]:
    """Return random cells over the places of a domain, that claim nothing."""
    ones = [[1] * len(members(p.get("tokens", [[0, 0]]))) for p in domain["positions"]]
    rows = over_places(domain, ones)
    cells = forests.build_cells(Seeded(rng), rows, model.config["d_vocab_out"], exact=exact)
    return [without_claim(cell, rows) for cell in cells]


def document(model: Model, domain: Document, condition: Document, total: int) -> Document:
    """Return a certificate without a proof."""
    said = networks.document(model, "max-of-k", [], domain=domain)
    said["proof"] = {"operations": str(10**11), "precision": 64, "strategy": "test"}
    return scoped(said, condition, total)


@pytest.mark.parametrize("seed", range(CASES))
def test_cells_are_true_of_the_inputs_that_count(seed: int) -> None:
    rng, model, domain, _ = case(seed)
    operands = sum("tokens" in position for position in domain["positions"])
    condition = condition_of(rng, operands)
    truth = margins(model, domain, condition)
    right = sum(margin > 0 for margin in truth)
    said = document(model, domain, condition, len(truth))
    for exact in (True, False, False, False):
        said["proof"]["cells"] = cells_about(rng, model, domain, exact=exact)
        proved = theorem(model, said)
        assert proved.correct_lower <= right <= proved.correct_upper
        if exact:
            assert proved.correct_lower == proved.correct_upper == right
        # Margins are known to about 200 bits.
        shown = sum((margin + 2.0**-150) * 2**MARGIN_BITS >= proved.margin for margin in truth)
        assert proved.correct_lower <= shown


def test_the_cases_prove_something() -> None:
    lower = upper = partial = 0
    for seed in range(CASES):
        rng, model, domain, _ = case(seed)
        operands = sum("tokens" in position for position in domain["positions"])
        condition = condition_of(rng, operands)
        count = len(margins(model, domain, condition))
        said = document(model, domain, condition, count)
        said["proof"]["cells"] = cells_about(rng, model, domain, exact=False)
        proved = theorem(model, said)
        lower += proved.correct_lower > 0
        upper += proved.correct_upper < count
        partial += (
            0 < count < prod(len(questions.tokens_at(position)) for position in domain["positions"])
        )
    assert lower > CASES / 6
    assert upper > CASES / 6
    assert partial > CASES / 3


@pytest.mark.parametrize("kind", ["max-of-k", "argmax"])
@pytest.mark.parametrize("at", range(20))
def test_leaves_are_true_of_the_inputs_that_count(kind: str, at: int) -> None:
    rng = random.Random(f"conditions {kind} {at}")
    asked = domains.question(rng, kind)
    domain = asked.domain
    every = questions.inputs(domain)
    n = len(domain["positions"])
    operands = questions.operands(domain, every[0], n)
    condition = condition_of(rng, len(operands))
    counted = [fulfils(condition, questions.operands(domain, tokens, n)) for tokens in every]
    leaves = [{"inputs": "1", "method": "either"}] * len(every)
    plain = networks.document(asked.model, asked.task, leaves, domain=domain, precision=128)
    proved = theorem(asked.model, scoped(plain, condition, sum(counted)))
    right = 0
    for tokens, counts, outcome in zip(every, counted, proved.outcomes[:-1], strict=True):
        assert outcome.size == counts
        if counts:
            right += bool(networks.margin(asked.model, asked.task, tokens, domain) > 0)
    assert proved.correct_lower == proved.correct_upper == right


def test_totals_are_counted() -> None:
    rng = random.Random("totals")
    for _ in range(300):
        n = rng.randint(1, 4)
        rows = [
            tuple(rng.sample(range(-6, 7), rng.randint(1, 5))) if rng.random() < 0.8 else ()
            for _ in range(n)
        ]
        rows[rng.randrange(n)] = tuple(rng.sample(range(-6, 7), rng.randint(1, 5)))
        operands = [row for row in rows if row]
        places = [i for i, row in enumerate(rows) if row]
        domain: Any = type(
            "Of",
            (),
            {"values": rows, "operands": places, "tokens": [row or (0,) for row in rows]},
        )
        condition = condition_of(rng, len(operands))
        due = sum(fulfils(condition, values) for values in itertools.product(*operands))
        found = scopes.parse_scope(condition, domain)
        assert found.total(domain) == due
        for values in itertools.product(*operands):
            assert found.holds(values) == fulfils(condition, values)


def test_other_kinds_of_proof_decline_a_condition() -> None:
    _, model, domain, _ = case(1)
    said = document(model, domain, {"min-gap": 2}, 1)
    said["statement"]["total"] = str(len(margins(model, domain, {"min-gap": 2})))
    said["proof"]["sums"] = {}
    with pytest.raises(Declined, match=r"SPEC-5\.3"):
        parse(model.bytes, mutators.encode(said))


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"min-gap": 0},
        {"min-gap": -1},
        {"min-gap": "2"},
        {"min-gap": 2**31},
        {"max-copies": 0},
        {"max-copies": 9},
        {"min-gap": 2, "max-copies": 1},
        {"max-gap": 2},
        {"min-gap": True},
    ],
)
def test_what_is_no_condition_is_refused(scope: Document) -> None:
    _, model, domain, _ = case(1)
    said = document(model, domain, scope, 1)
    said["proof"]["cells"] = []
    with pytest.raises(Malformed, match=r"SPEC-(3\.3|3\.4|5\.3)"):
        parse(model.bytes, mutators.encode(said))
