"""Domains and tasks over their values (SPEC-5.2, SPEC-5.7): what leaves prove of random statements
is the exhaustive truth, the verdict says what was checked, and what is large is declined in time.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import time
from collections.abc import Callable
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import conformance
import domains
import mutators
import networks
import pytest
import questions
from models import Model

from checker.__main__ import facts, sentence
from checker.check import Theorem, check, parse
from checker.ground.errors import Declined, Malformed, Refusal
from checker.statement import domain as domain_module
from checker.statement import tasks
from checker.statement.domain import Domain, parse_domain
from checker.statement.groups import named_group
from checker.statement.tasks import parse_task

ROUNDS = int(os.environ.get("CERTIFY_EXAMPLES", "150")) // 10
Document = dict[str, Any]


def theorem(model: Model, document: Document) -> Theorem:
    """Return what the checker proves."""
    return check(parse(model.bytes, mutators.encode(document)), lambda done, declared: None)


def stub(
    vocab: int = 4, n: int = 2, outputs: int = 4, *, causal: bool = True, pooled: bool = False
) -> Any:
    """Return as much of a model as a statement looks at."""
    return SimpleNamespace(
        sizes={"d_vocab": vocab, "d_vocab_out": outputs, "n_ctx": n},
        config={"attention_dir": "causal" if causal else "bidirectional"},
        pooled=pooled,
    )


def among(first: int, last: int, values: Any = "own") -> Document:
    """Return a position with one range of tokens."""
    return {"tokens": [[first, last]], "values": values}


def written(model: Any, positions: list[Document] | None = None, **parts: Any) -> Document:
    """Return a domain as a certificate writes it, the usual one but for some parts."""
    every = [among(0, model.sizes["d_vocab"] - 1)] * model.sizes["n_ctx"]
    usual = {
        "answers": "own",
        "outputs": [[0, model.sizes["d_vocab_out"] - 1]],
        "positions": every if positions is None else positions,
        "read": [model.sizes["n_ctx"] - 1],
    }
    return usual | parts


# --- random statements ------------------------------------------------------------


@pytest.mark.parametrize("at", range(ROUNDS))
@pytest.mark.parametrize("kind", domains.KINDS)
def test_leaves_prove_the_exhaustive_truth(kind: str, at: int) -> None:
    asked = domains.question(random.Random(f"domains {kind} {at}"), kind)
    model, domain, task = asked.model, asked.domain, asked.task
    every = questions.inputs(domain)
    leaves = [{"inputs": "1", "method": "either"}] * len(every)
    document = networks.document(
        model, task, leaves, weights=asked.weights, domain=domain, precision=128
    )
    proved = theorem(model, document)
    right = 0
    for tokens, outcome in zip(every, proved.outcomes[:-1], strict=True):
        weight = questions.weight(domain, asked.weights, tokens)
        assert outcome.size == weight
        if weight == 0:
            continue
        margin = networks.margin(model, task, tokens, domain)
        wrong = bool(margin <= 0)
        assert (outcome.lower, outcome.upper) == (weight * wrong, weight * wrong)
        if not wrong:
            assert outcome.margin is not None
            assert outcome.margin <= margin * 2**20 < outcome.margin + 2
        right += weight * (not wrong)
    assert proved.correct_lower == proved.correct_upper == right
    assert_said(proved, domain, task, model.config)
    said = proved.parsed.statement
    assert said.task.label == questions.label(task)
    assert said.task.possible == domains.answers_of(kind, domain, task)


def assert_said(proved: Theorem, domain: Document, task: Any, config: Document) -> None:
    """Assert that the verdict spells task and domain as the page says, and the sentence too."""
    told = questions.told(task, domain, config)
    unusual = questions.spelled(domain, config)
    readout = {"readout": config["readout"]} if "pool" in config.get("readout", "last") else {}
    said = facts(proved)
    wider = conformance.wider(config) if task == "max-of-k" else {}
    due = told | wider | readout | unusual
    assert list(said)[: len(due) + 1] == [*due, "scope"]
    assert {key: said[key] for key in due} == due
    text = sentence(proved)
    assert text.isascii()
    assert text.isprintable()
    assert ",," not in text
    for part in ("values", "outputs", "answers"):
        assert (f"{part} {unusual.get(part)}" in text) == (part in unusual)
    assert ("for all " in text or "for the domain" in text) == ("domain" in unusual)
    assert ("at the positions " in text) == ("read" in unusual)


def test_statements_of_every_kind_are_drawn() -> None:
    unusual, scoped, several = set[str](), 0, 0
    for at, kind in itertools.product(range(15), domains.KINDS):
        asked = domains.question(random.Random(f"domains {kind} {at}"), kind)
        unusual |= questions.spelled(asked.domain, asked.model.config).keys()
        scoped += asked.weights is not None and 0 in itertools.chain(*asked.weights)
        several += len(asked.domain["read"]) > 1
    assert unusual == {"domain", "values", "outputs", "answers", "read"}
    assert scoped > 20
    assert several > 20


@pytest.mark.parametrize("kind", domains.KINDS)
def test_mutants_of_a_statement_prove_nothing_false(kind: str) -> None:
    """A mutant that is accepted is true of its own statement."""
    rng = mutators.generator(len(kind), f"test_domains {kind}")
    asked = domains.question(random.Random(f"mutants {kind}"), kind)
    document = networks.document(
        asked.model, asked.task, weights=asked.weights, domain=asked.domain
    )
    proved = theorem(asked.model, document)
    document["statement"]["correct_lower"] = str(proved.correct_lower)
    document["statement"]["correct_upper"] = str(proved.correct_upper)
    accepted = 0
    for what, mutant in mutators.sample_json_mutants(mutators.encode(document), 300, rng):
        try:
            found = check(parse(asked.model.bytes, mutant), lambda done, declared: None)
        except Refusal:
            continue
        accepted += 1
        said = json.loads(mutant)["statement"]
        weights = said["scope"]
        rows = (
            None
            if weights == "uniform"
            else [[int(number) for number in row] for row in weights["product"]]
        )
        right = total = 0
        for tokens in questions.inputs(said["domain"]):
            weight = questions.weight(said["domain"], rows, tokens)
            margin = networks.margin(asked.model, said["task"], tokens, said["domain"])
            right += weight * bool(margin > 0)
            total += weight
        assert found.parsed.statement.total == total, what
        assert found.correct_lower <= right <= found.correct_upper, what
        assert_said(found, said["domain"], said["task"], asked.model.config)
    assert accepted > 0


# --- what a verdict says ------------------------------------------------------------


def meaning(domain: Domain) -> Any:
    """Return what a parsed domain is, without how it is spelled."""
    return domain.tokens, domain.values, sorted(domain.outputs.items()), domain.read


def test_domains_with_one_text_are_one_domain() -> None:
    rng = random.Random("texts")
    model = stub(3, 2, 3)
    found: dict[tuple[str, ...], Any] = {}
    spelled = {}
    for _ in range(20_000):
        positions = []
        for _ in range(2):
            ranges = domains.runs(sorted(rng.sample(range(3), rng.randint(1, 3))))
            count = len(questions.members(ranges))
            values = rng.choice(["own", rng.randint(-1, 2), rng.sample(range(-1, 3), count)])
            place: Document = {"tokens": ranges, "values": values}
            positions.append(rng.choice([place, place, {"context": rng.randrange(3)}]))
        outputs = domains.runs(sorted(rng.sample(range(3), rng.randint(1, 3))))
        count = len(questions.members(outputs))
        answers = rng.choice(["own", rng.randint(-1, 2), rng.sample(range(-1, 3), count)])
        read = rng.choice([[0], [1], [0, 1]])
        parts = {"outputs": outputs, "answers": answers, "read": read}
        try:
            domain = parse_domain(written(model, positions, **parts), model)
        except Malformed:
            continue
        key = tuple(domain.parts.values())
        assert found.setdefault(key, meaning(domain)) == meaning(domain)
        spelled[key] = domain
    assert len(found) > 1000
    # The other way: what is called usual is the usual domain, and nothing else.
    usual = parse_domain(written(model), model)
    for domain in spelled.values():
        if not domain.unusual:
            assert meaning(domain) == meaning(usual)


@pytest.mark.parametrize(("length", "hashed"), [(400, False), (401, True)])
def test_texts_of_more_than_400_characters_are_hashed(length: int, hashed: bool) -> None:
    model = stub(1024, 1, 2)
    values, text = _of_length(length)
    domain = parse_domain(written(model, [among(0, len(values) - 1, values)]), model)
    due = f"sha256:{sha256(text.encode()).hexdigest()}" if hashed else text
    assert domain.unusual["values"] == due


def _of_length(length: int) -> tuple[list[int], str]:
    """Return different numbers whose text has a length."""
    values = list(range(100, 199))
    text = ",".join(map(str, values))
    while len(text) < length - 11:
        values.append(1000 + len(values))
        text = ",".join(map(str, values))
    values.append(int("9" * (length - len(text) - 1)))
    text = ",".join(map(str, values))
    assert len(text) == length
    return values, text


# --- tasks and groups -----------------------------------------------------------------


def test_the_answers_of_every_task() -> None:
    every: list[tuple[Any, int]] = [(name, 6) for name in ("max-of-k", "argmax")]
    every += [("balanced-brackets", 8), ({"modular-addition": 3}, 2)]
    every += [({"group": {"name": "cyclic:3"}}, 2)]
    every += [({"polynomial": {"modulus": 3, "terms": [[2, 2, 1], [1, 0, 0]]}}, 2)]
    for task, most in every:
        vocab = 2 if task == "balanced-brackets" else 3
        for n in range(2 if isinstance(task, dict) else 1, most + 1):
            model = stub(vocab, n, 8)
            found = parse_task(task, model, parse_domain(written(model), model))
            for tokens in itertools.product(range(vocab), repeat=n):
                assert found.answers(list(tokens)) == [questions.answer(task, tokens)]


@pytest.mark.parametrize(
    ("kind", "orders"),
    [
        ("cyclic", range(1, 14)),
        ("dihedral", range(3, 9)),
        ("symmetric", range(1, 7)),
        ("alternating", range(1, 7)),
    ],
)
def test_named_groups_are_those_of_the_page(kind: str, orders: range) -> None:
    for n in orders:
        found = named_group(f"{kind}:{n}")
        assert found == questions.elements({"name": f"{kind}:{n}"})
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("cyclic", 1, 1024), ("dihedral", 3, 512), ("symmetric", 1, 6)]
)
def test_orders_of_named_groups_are_limited(kind: str, least: int, most: int) -> None:
    assert len(named_group(f"{kind}:{most}")) == {"cyclic": 1024, "dihedral": 1024}.get(kind, 720)
    for n in (least - 1, most + 1):
        with pytest.raises(Declined) as refusal:
            named_group(f"{kind}:{n}")
        assert refusal.value.rule == "SPEC-5.2"


def test_elements_may_be_1024_and_no_more() -> None:
    turns = [[(i + s) % 1024 for i in range(1024)] for s in range(1024)]
    model = stub(2, 2, 1024)
    domain = parse_domain(written(model), model)
    task = parse_task({"group": {"elements": turns, "name": "cyclic:1024"}}, model, domain)
    assert task.answers([1, 1]) == [2]
    with pytest.raises(Declined) as refusal:
        parse_task({"group": {"elements": [*turns, turns[0]]}}, model, domain)
    assert refusal.value.rule == "SPEC-3.5"


@pytest.mark.parametrize(
    ("group", "said", "looks"),
    [
        ({"name": "cyclic:3"}, "the group cyclic:3 (order 3)", 3),
        ({"elements": [[0, 1], [1, 0]]}, "a group of permutations (order 2)", 2),
        ({"elements": [[0]]}, "a group of permutations (order 1)", 1),
        # Of no points there is one permutation, whose products are looked up too.
        ({"elements": [[]]}, "a group of permutations (order 1)", 1),
    ],
)
def test_a_group_is_said_to_be_what_it_is(group: Any, said: str, looks: int) -> None:
    rule = tasks._group(group)
    assert rule.sentence == f"multiplies two elements of {said} correctly"
    assert rule.looks == looks


@pytest.mark.parametrize("exponents", [(2, 0, 1), (2, 1, 1), (2, 2, 0), (0, 1, 2)])
def test_the_terms_of_a_polynomial_descend(exponents: tuple[int, ...]) -> None:
    terms = [[1, i, 0] for i in exponents]
    with pytest.raises(Malformed) as refusal:
        tasks._polynomial({"modulus": 3, "terms": terms})
    assert refusal.value.rule == "SPEC-5.2"
    tasks._polynomial({"modulus": 3, "terms": [[1, 2, 0], [1, 1, 0], [1, 0, 0]]})


# --- limits -------------------------------------------------------------------------


TURNS = [[(i + s) % 256 for i in range(256)] for s in range(256)]
TERMS = [[1, 65536 - i, 65536] for i in range(16)]


def looks_of(task: Any, vocab: int) -> Callable[[], object]:
    """Return what parses a task of two operands with all tokens of a vocabulary."""
    model = stub(vocab, 2, 1024)
    domain = parse_domain(written(model), model)
    return lambda: parse_task(task, model, domain)


@pytest.mark.parametrize(
    ("task", "vocab", "looks"),
    [
        ({"modular-addition": 5}, 7, 49),
        ({"polynomial": {"modulus": 5, "terms": [[1, 1, 0]]}}, 7, 18 * 49),
        ({"polynomial": {"modulus": 5, "terms": [[1, 1, 0], [2, 0, 1]]}}, 7, 36 * 49),
        ({"group": {"name": "dihedral:4"}}, 8, 64 * 4),
        ({"group": {"name": "symmetric:3"}}, 5, 25 * 3),
        ({"group": {"elements": [[0, 1], [1, 0]]}}, 1, 8),
    ],
)
def test_what_answers_take_is_limited_exactly(
    task: Any, vocab: int, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tasks.MAX_LOOKS == 1 << 24
    monkeypatch.setattr(tasks, "MAX_LOOKS", looks)
    looks_of(task, vocab)()
    monkeypatch.setattr(tasks, "MAX_LOOKS", looks - 1)
    with pytest.raises(Declined) as refusal:
        looks_of(task, vocab)()
    assert refusal.value.rule == "SPEC-5.2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "vocab"),
    [
        ({"group": {"name": "cyclic:256"}}, 256),
        ({"group": {"elements": TURNS}}, 1),
        ({"polynomial": {"modulus": 1024, "terms": TERMS}}, 512),
        ({"modular-addition": 1024}, 1024),
    ],
    ids=["named", "closed", "polynomial", "addition"],
)
def test_answers_at_the_limit_take_seconds(task: Any, vocab: int) -> None:
    """Before anything is charged: 2^24 images in each way there is."""
    start = time.process_time()
    looks_of(task, vocab)()
    assert time.process_time() - start < 30


def test_each_number_of_operands_is_answered_once() -> None:
    """Many positions are read behind two operands: their answers are the same."""
    model = stub(1024, 64, 1024)
    positions = [among(0, 1023), among(0, 1023)] + [{"context": 0}] * 62
    start = time.process_time()
    domain = parse_domain(written(model, positions, read=list(range(1, 64))), model)
    task = parse_task({"modular-addition": 1024}, model, domain)
    assert task.answers([1000, 30, *[0] * 62]) == [6] * 63
    assert time.process_time() - start < 5


@pytest.mark.parametrize("count", [1, pytest.param(400_000, marks=pytest.mark.slow)])
def test_nothing_is_enumerated_before_it_is_charged(count: int) -> None:
    model = networks.of(
        random.Random("huge"), {}, vocab=1024, n=64, outputs=64, d_model=1, d_head=1, dtype="F16"
    )
    leaves = [{"inputs": "1", "method": "skip"}] * (count - 1)
    leaves.append({"inputs": str(1024**64 - count + 1), "method": "skip"})
    document = networks.document(model, "argmax", leaves, operations=0)
    certificate = mutators.encode(document)
    start = time.process_time()
    proved = check(parse(model.bytes, certificate), lambda done, declared: None)
    assert time.process_time() - start < 2 + count / 20_000
    assert proved.ledger.total == 0
    assert proved.parsed.statement.total == proved.correct_upper == 1024**64
    weights = [["1"] * 1024] * 64
    weighed = copy.deepcopy(document)
    weighed["statement"]["scope"] = {"product": weights}
    assert theorem(model, weighed).correct_upper == 1024**64


def test_as_many_parts_as_there_may_be() -> None:
    model = stub(1024, 64, 1024)
    values = [2**31 - 1 - place for place in range(1024)]
    positions = [among(0, 1023, values)] * 64
    start = time.process_time()
    domain = parse_domain(written(model, positions, read=list(range(64)), answers=values), model)
    for name in ("argmax", "balanced-brackets"):
        with pytest.raises(Declined) as refusal:
            parse_task(name, model, domain)
        assert refusal.value.rule == "SPEC-5.2"
    assert parse_task("max-of-k", model, domain).possible == set(values)
    assert time.process_time() - start < 5
    assert domain.parts["values"].startswith("sha256:")
    assert domain.parts["answers"].startswith("sha256:")


def test_names_of_operands_are_letters_and_then_numbers() -> None:
    assert domain_module.LETTERS[:3] == ["a", "b", "c"]
    assert domain_module.LETTERS[25:28] == ["z", "x26", "x27"]
    assert len(domain_module.LETTERS) == 64
    model = stub(4, 3, 4)
    domain = parse_domain(written(model, [{"context": 3}, among(0, 2), among(1, 1)]), model)
    assert domain.words() == "for all a in 0-2, b in 1 in the context 3 a b"
