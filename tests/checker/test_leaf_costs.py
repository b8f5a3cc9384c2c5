"""SPEC-14.8 read off the page a second time: every operation of a proof of leaves; the room of what
is held, to the bit; and that nothing more is held.
"""

from __future__ import annotations

import random
import tracemalloc
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

import mutators
import networks
import pytest
from models import Model

from checker.check import check, parse
from checker.ground.errors import Declined
from checker.ground.interval import exp_tables
from checker.ground.ledger import CEILING, Ledger
from checker.leaves import leaves
from checker.leaves.balls import Ball
from checker.leaves.layer import Position
from checker.leaves.leaves import Leaves
from checker.leaves.network import Network, held_bits, integer_bits
from checker.statement.model import load_model
from checker.statement.outcome import Outcomes, Part, alone

PAIRS = list(networks.pairs())
Counts = tuple[int, int, int]
"""Multiplications, additions with all other operations, exponentials."""


def ledger() -> Ledger:
    return Ledger(lambda done: None)


def network_of(model: Model, precision: int) -> Network:
    """Return the checker's network, which is read where the model is."""
    reads = tuple(networks.usual_domain(model)["read"])
    return Network(load_model(model.bytes), precision, reads, ledger())


def spent(book: Ledger) -> Counts:
    """Return what was charged so far; leaves compare nothing but conditions."""
    assert book.total == book.mul + book.add + book.cmp + book.exp
    return book.mul, book.add + book.cmp, book.exp


def added(*all_counts: Counts) -> Counts:
    mul, add, exp = map(sum, zip(*all_counts, strict=True))
    return mul, add, exp


# --- operations -------------------------------------------------------------------


def affine(inputs: int, columns: int) -> Counts:
    """SPEC-14.3: `(d + 1)` times the columns, multiplications and additions."""
    return (inputs + 1) * columns, (inputs + 1) * columns, 0


def finished(config: dict[str, Any], seen: int) -> Counts:
    """Return what the rest of a layer takes at a position that sees so many."""
    d, D, H = config["d_model"], config["d_head"], config["n_heads"]
    attending = (seen * H * 2 * D, seen * H * (2 * D + 3 + 2 + 1), seen * H * 2)
    counts = added(affine(H * D, d), attending, (0, 2 * d, 0))
    if config["attn_only"]:
        return counts
    m = config["d_mlp"]
    if config["normalization_type"]:
        counts = added(counts, (0, 10 * d, 0))
    smooth = config["act_fn"] != "relu"
    entries = (0, m * (1 + 12 * smooth), m * 2 * smooth)
    return added(counts, affine(d, m), affine(m, d), entries)


def due(model: Model, precision: int, shared: int) -> Counts:
    """Return what SPEC-14.8 counts for an input of which so many positions are there already."""
    config, reads = model.config, networks.usual_domain(model)["read"]
    n, d = config["n_ctx"], config["d_model"]
    columns = 3 * config["n_heads"] * config["d_head"]
    norm = (0, 10 * d if config["normalization_type"] else 0, 0)
    causal = config["attention_dir"] == "causal"
    every = config.get("readout", "last") != "last"
    counts: Counts = (0, 0, 0)
    for i in range(shared if causal else 0, n):
        counts = added(counts, (0, d, 0), norm)
        for layer in range(config["n_layers"]):
            counts = added(counts, affine(d, columns), norm)
            if every or layer < config["n_layers"] - 1 or i in reads:
                counts = added(counts, finished(config, i + 1 if causal else n))
    outputs = config["d_vocab_out"]
    if every:
        hidden = len(model.tensors["head.W_1"][0])
        counts = added(counts, affine(d, hidden), affine(hidden, outputs), (0, n * d, 0))
        counts = added(counts, (0, outputs, 0))
    for _ in reads:
        counts = added(counts, affine(d, outputs), (0, outputs, 0))
    times = 1 + precision // 256
    return times * counts[0], times * counts[1], times * counts[2]


@pytest.mark.parametrize("precision", [32, 248, 256, 512, 2040])
@pytest.mark.parametrize("at", range(len(PAIRS)))
def test_operations_are_those_of_the_page(at: int, precision: int) -> None:
    """Three inputs: with nothing, two and no positions in common with the one before."""
    rng = random.Random(f"cost {at}")
    if precision > 256 and at % 4:
        precision = 256
    model = networks.of(rng, PAIRS[at], d_model=rng.choice((2, 3)), outputs=rng.choice((2, 5)))
    network = network_of(model, precision)
    before: Counts = (0, 0, 0)
    for tokens, shared in (([0, 1, 2], 0), ([0, 1, 1], 2), ([1, 1, 1], 0), ([1, 1, 1], 3)):
        network.read(tokens)
        before = added(before, due(model, precision, shared))
        assert spent(network.ledger) == before


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_what_is_computed_again_is_there_and_costs_nothing(direction: str) -> None:
    """SPEC-8.3: a worker recalls the input before its first, and charges as if it had read it."""
    model = networks.of(random.Random("again"), {"attention_dir": direction, "n_layers": 2})
    reading, recalling = network_of(model, 64), network_of(model, 64)
    reading.read([2, 1, 0])
    whole = spent(reading.ledger)
    # What was on the stack before does not matter.
    recalling.recall([2, 1, 1])
    recalling.recall([2, 1, 0])
    assert spent(recalling.ledger) == (0, 0, 0)
    assert recalling.tokens == ([2, 1, 0] if direction == "causal" else [])
    assert recalling.read([2, 1, 2]) == reading.read([2, 1, 2])
    mul, add, exp = due(model, 64, shared=2)
    assert spent(recalling.ledger) == (mul, add, exp)
    assert spent(reading.ledger) == added(whole, (mul, add, exp))


def test_after_nothing_is_recalled_nothing_is_shared() -> None:
    model = networks.of(random.Random("again"), {"attention_dir": "causal"})
    network = network_of(model, 64)
    network.read([2, 1, 0])
    network.recall([])
    before = spent(network.ledger)
    network.read([2, 1, 0])
    assert spent(network.ledger) == added(before, due(model, 64, shared=0))


def shared_with(tokens: Sequence[int], before: Sequence[int]) -> int:
    """Return how many positions these have in common with the input before."""
    for at, (one, other) in enumerate(zip(tokens, before, strict=False)):
        if one != other:
            return at
    return min(len(tokens), len(before))


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_every_precision_that_is_tried_is_charged(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first precision inputs share their prefixes, at finer ones nothing."""
    rng = random.Random("finer")
    model = networks.of(rng, {"attention_dir": direction}, vocab=2, outputs=2)
    # Nothing is known at 64 and at 128 bits of the inputs 2 to 5, and nothing at 64 of 6.
    open_until = {2: 256, 3: 256, 4: 256, 5: 256, 6: 128}
    inputs = networks.inputs(model)
    read = Network.read

    def vague(network: Network, tokens: list[int]) -> list[Ball]:
        found = read(network, tokens)
        number = inputs.index(tuple(tokens))
        if network.precision < open_until.get(number, 0):
            return [Ball([0, 0], 1) for _ in found]
        return found

    monkeypatch.setattr(Network, "read", vague)
    proof = parse(model.bytes, mutators.encode(networks.document(model, "max-of-k")))
    theorem = check(proof, lambda done, declared: None)
    counts: Counts = (0, 0, 0)
    before: tuple[int, ...] = ()
    for number, tokens in enumerate(inputs):
        counts = added(counts, (0, 2 * len(tokens), 0))
        counts = added(counts, due(model, 64, shared_with(tokens, before)))
        before = tokens
        for precision in (128, 256):
            if precision <= open_until.get(number, 0):
                counts = added(counts, due(model, precision, 0))
    assert spent(theorem.ledger) == counts
    assert theorem.correct_lower == theorem.correct_upper


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_parts_cost_the_same_in_every_order(direction: str, apart: bool) -> None:
    """SPEC-8.3: each as if all before had just been evaluated; its size is that of its inputs."""
    model = networks.of(random.Random("order"), {"attention_dir": direction, "n_layers": 2})
    cuts = [{"inputs": size, "method": "either"} for size in ("4", "16", "7")]
    proof = parse(model.bytes, mutators.encode(networks.document(model, "max-of-k", cuts))).proof
    assert isinstance(proof, Leaves)
    found = dict[int, tuple[Outcomes, Counts]]()
    books = list[Ledger]()

    def spread(parts: Sequence[Part], order: Sequence[int]) -> list[Outcomes]:
        assert len(parts) == 27
        outcomes = dict[int, Outcomes]()
        for at in order:
            before = spent(books[-1])
            outcomes[at] = parts[at].derive()
            taken = added(spent(books[-1]), (-before[0], -before[1], -before[2]))
            assert sum(outcome.size for outcome in outcomes[at]) == parts[at].size == 1
            assert found.setdefault(at, (outcomes[at], taken)) == (outcomes[at], taken)
        return [outcomes[at] for at in sorted(outcomes)]

    rng = random.Random("orders")
    orders = [list(range(27)), list(range(26, -1, -1)), rng.sample(range(27), 27)]
    ends = set()
    for order in orders:
        books.append(ledger())
        books[-1].apart = apart
        ends.add(proof.outcomes(books[-1], partial(spread, order=order)))
    assert len(ends) == 1


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_a_worker_that_was_refused_something_answers_as_any_other(direction: str) -> None:
    """A refusal tears the stack wherever it comes; the next part is the one after that."""
    model = networks.of(random.Random("torn"), {"attention_dir": direction, "n_layers": 2})
    proof = parse(model.bytes, mutators.encode(networks.document(model, "max-of-k"))).proof
    assert isinstance(proof, Leaves)
    book = ledger()
    book.apart = True
    ways = set()

    def torn(parts: Sequence[Part]) -> list[Outcomes]:
        parts[3].derive()
        before = book.total
        undisturbed = parts[4].derive()
        whole = book.total - before
        for budget in range(0, whole, 23):
            before = book.total
            book.budget = before + budget
            with pytest.raises(Declined):
                parts[3].derive()
            # What was refused is counted as well; the budget allows no more than the next part.
            before = book.total
            book.budget = before + whole
            assert parts[4].derive() == undisturbed
            ways.add(book.total - before)
        book.budget = CEILING
        assert ways == {whole}
        return [part.derive() for part in parts]

    proof.outcomes(book, torn)


# --- room -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("largest", "whole"), [((1, 8), 0), ((1, 2), 0), ((3, 4), 0), ((1, 1), 1), ((7, 2), 2)]
)
def test_weights_take_two_precisions_and_their_bits_before_the_point(
    largest: tuple[int, int], whole: int
) -> None:
    """All weights, biases too, of this size: none of them has fewer than no bits there."""
    numerator, denominator = largest
    chosen = {"biases": True, "mlp": "relu", "n_layers": 2}
    rng = random.Random("whole")
    plain = networks.of(rng, chosen, d_model=2)

    def level(value: Any) -> Any:
        if isinstance(value, list):
            return [level(part) for part in value]
        return rng.choice((-1, 1)) * numerator / denominator

    tensors = {name: level(w) for name, w in plain.tensors.items()}
    model = load_model(Model(plain.config, tensors).bytes)
    numbers = sum(matrix.entries for matrix in model.weights.values())
    entry = 4 * 64 + 2 * whole + 700
    position = (model.sizes["n_heads"] * model.sizes["d_head"] + 2) * entry
    assert held_bits(model, 64) == numbers * (2 * 64 + whole + 64) + 3 * 2 * position


@pytest.mark.parametrize(
    ("vocab", "n", "known"), [(2, 2, 64), (16, 4, 64), (64, 1, 64), (13, 5, 0), (65, 1, 0)]
)
def test_room_of_a_network_to_the_bit(vocab: int, n: int, known: int) -> None:
    """The weights, an object for each number of the embeddings and one for the rest, and what is
    remembered of 64 pairs of a token and a position, if there are no more, and of pairs of these.
    """
    model = networks.of(random.Random("room"), {"n_heads": 2}, vocab=vocab, n=n)
    network = network_of(model, 64)
    loaded = load_model(model.bytes)
    entry = 4 * 64 + 2 * integer_bits(loaded) + 700
    remembered = known * (384 + (2 * 2 + 3) * entry) + known**2 * (8 * 384 + 2 * entry)
    numbers = 1 + (vocab + n) * 3
    assert network.ledger.held == held_bits(loaded, 64) + numbers * 384 + remembered
    # It is counted once, whichever part of a proof asks for it first.
    Network(loaded, 64, network.reads, network.ledger)
    assert network.ledger.held == held_bits(loaded, 64) + numbers * 384 + remembered
    assert network.ledger.total == 0


@pytest.mark.parametrize("precision", [32, 512])
def test_room_of_scores_that_are_remembered_is_counted(precision: int) -> None:
    rng = random.Random("remembered")
    chosen = {"n_heads": 16, "attention_dir": "bidirectional", "readout": "sum-pool-mlp"}
    model = networks.of(rng, chosen, vocab=4, n=16, outputs=2, d_model=1, d_head=1)
    loaded = load_model(model.bytes)
    exp_tables(precision)
    tracemalloc.start()
    try:
        network = Network(loaded, precision, (), ledger())
        without = network.ledger.held - 64**2 * 16 * (4 * precision + 700)
        for _ in range(12):
            network.read([rng.randrange(4) for _ in range(16)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert without < 8 * peak <= network.ledger.held + (4 << 20)


class Watched(Position):
    """A position that can be seen to go."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize(("vocab", "known"), [(3, 9), (22, 0)])
@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_no_positions_are_held_but_those_that_are_counted(
    vocab: int, known: int, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off the stack are only those of pairs of a token and a position, in the first layer."""
    held = weakref.WeakSet[Position]()

    def watched(**fields: Any) -> Position:
        position = Watched(**fields)
        held.add(position)
        return position

    monkeypatch.setattr("checker.leaves.layer.Position", watched)
    rng = random.Random("held")
    model = networks.of(rng, {"n_layers": 3, "attention_dir": direction}, vocab=vocab)
    network = network_of(model, 64)
    for _ in range(40):
        network.read([rng.randrange(vocab) for _ in range(3)])
        assert len(held) <= known + 3 * 3
    network.recall([])
    assert len(held) == known


class Sure:
    """A network that takes no room and shows every input to be right."""

    def __init__(self, model: object, precision: int, reads: object, book: object) -> None:
        self.tokens = list[int]()

    def recall(self, tokens: list[int]) -> None:
        self.tokens = tokens

    def read(self, tokens: list[int]) -> list[Ball]:
        self.tokens = tokens
        return [Ball([1 << 64, 0, 0], 1)]


@pytest.mark.parametrize("count", [1, 2, 9, 27])
@pytest.mark.parametrize("weight", [1, 10**30])
def test_nine_numbers_of_every_leaf_are_counted(
    count: int, weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it ends; twice an object with its size and two bounds on its weight, none of which is
    larger than the total.
    """
    monkeypatch.setattr(leaves, "Network", Sure)
    model = networks.of(random.Random("leaves"), {})
    sizes = [1] * (count - 1) + [28 - count]
    asked = [{"inputs": str(size), "method": "either"} for size in sizes]
    weights = [[weight] * 3] * 3
    document = networks.document(model, networks.table(model, [0] * 27), asked, weights=weights)
    proof = parse(model.bytes, mutators.encode(document)).proof
    assert isinstance(proof, Leaves)
    book = ledger()
    proof.outcomes(book, alone)
    total = (3 * weight) ** 3
    assert book.held == count * 9 * (384 + total.bit_length())


class Never(Sure):
    """A network that shows every input to be wrong."""

    def read(self, tokens: list[int]) -> list[Ball]:
        self.tokens = tokens
        return [Ball([-1 << 64, 0, 0], 1)]


@pytest.mark.parametrize("weight", [1, 10**36])
def test_outcomes_of_leaves_take_no_more_room_than_is_counted(
    weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaves, "Network", Never)
    model = networks.of(random.Random("many"), {}, vocab=13)
    count = 13**3
    asked = [{"inputs": "1", "method": "wrong"}] * count
    table = networks.table(model, [0] * count)
    document = networks.document(model, table, asked, weights=[[weight] * 13] * 3)
    proof = parse(model.bytes, mutators.encode(document)).proof
    assert isinstance(proof, Leaves)
    book = ledger()
    tracemalloc.start()
    try:
        proof.outcomes(book, alone)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert book.held / 3 < 8 * peak <= book.held
