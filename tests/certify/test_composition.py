"""From the answers of a model to a group: its name, its elements in the model's order, and what is
refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from certify.canonical import canonical
from certify.errors import Unsupported
from certify.model.config import Config
from certify.question.composition import Found, group_of
from certify.question.domain import Domain, read_domain
from certify.question.groups import multiplication_table, named_group, read_group
from certify.question.question import read_question

Product = NDArray[np.int64]


def pairs(order: int) -> Domain:
    """Return the domain of all pairs, with a context token that stands for `=`."""
    config = Config(d_vocab=order + 1, d_vocab_out=order + 1, n_ctx=3, d_model=2, d_head=2)
    return read_domain(config, f"0-{order - 1}/0-{order - 1}/@{order}")


def table_of(product: Product) -> bytes:
    """Return the table file of a model that answers with these products."""
    order = len(product)
    return canonical(
        {
            "answers": product.ravel().tolist(),
            "format": "certify.table/2",
            "tokens": [[[0, order - 1]], [[0, order - 1]], [[order, order]]],
        }
    )


def relabelled(product: Product, seed: int) -> Product:
    """Return the same products where people number the elements in another order."""
    order = np.random.default_rng(seed).permutation(len(product))
    renamed = np.empty_like(product)
    renamed[np.ix_(order, order)] = order[product]
    return renamed


def named(name: str) -> Product:
    """Return the products of a group by name."""
    return multiplication_table(named_group(read_group(name)))


def direct(one: Product, other: Product) -> Product:
    """Return the products of a direct product, elements numbered one after the other."""
    m, n = len(one), len(other)
    return (one[:, None, :, None] * n + other[None, :, None, :]).reshape(m * n, m * n)


def quaternions() -> Product:
    """Return the products of 1, -1, i, -i, j, -j, k, -k."""
    units = {"1": 0, "i": 1, "j": 2, "k": 3}
    times = {("i", "j"): "k", ("j", "k"): "i", ("k", "i"): "j"}
    found = np.empty((8, 8), dtype=np.int64)
    for x, a in units.items():
        for y, b in units.items():
            if "1" in (x, y):
                unit, sign = (x if y == "1" else y), 0
            elif x == y:
                unit, sign = "1", 1
            else:
                unit, sign = (times[x, y], 0) if (x, y) in times else (times[y, x], 1)
            for s in range(2):
                for t in range(2):
                    found[2 * a + s, 2 * b + t] = 2 * units[unit] + (s + t + sign) % 2
    return found


def require_products(found: Found, product: Product) -> None:
    """Assert that the permutations multiply as the table says, the second applied first."""
    elements = found.elements
    assert len(set(elements)) == len(elements) == len(product)
    points = range(len(elements[0]))
    for x, row in enumerate(product.tolist()):
        for y, answer in enumerate(row):
            assert elements[answer] == tuple(elements[x][elements[y][point]] for point in points)


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        ("cyclic:2", 2),
        ("cyclic:6", 3),
        ("cyclic:7", 3),
        ("cyclic:12", 2),
        ("dihedral:4", 3),
        ("dihedral:5", 2),
        ("dihedral:6", 2),
        ("symmetric:4", 3),
        ("alternating:4", 3),
        ("alternating:5", 2),
    ],
)
def test_groups_with_a_name_are_found_in_any_order(name: str, seeds: int, tmp_path: Path) -> None:
    product = named(name)
    for seed in range(seeds):
        renamed = relabelled(product, seed)
        found = group_of(table_of(renamed), pairs(len(product)))
        assert found.name == name
        require_products(found, renamed)
        assert sorted(found.elements) == sorted(named_group(read_group(name)))
        assert found.told() == f"{len(product)} elements of the group {name}, in the model's order"
    # The question that is then asked has the same answers.
    path = tmp_path / "elements.json"
    path.write_bytes(canonical([list(images) for images in found.elements]))
    domain = pairs(len(product))
    question = read_question(found.task(path), _config(domain), domain)
    assert found.task(path) == f"group:{name}@{path}"
    places = domain.places_between(0, domain.inputs)
    assert question.right(places).ravel().tolist() == renamed.ravel().tolist()


def _config(domain: Domain) -> Config:
    order = domain.sizes[0]
    return Config(d_vocab=order + 1, d_vocab_out=order + 1, n_ctx=3, d_model=2, d_head=2)


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_name_is_taken_where_there_are_two(seed: int) -> None:
    # The six permutations of three points have two names, and the three even ones two.
    six = relabelled(named("symmetric:3"), seed)
    found = group_of(table_of(six), pairs(6))
    assert found.name == "dihedral:3"
    require_products(found, six)
    three = relabelled(named("alternating:3"), seed)
    assert group_of(table_of(three), pairs(3)).name == "cyclic:3"


@pytest.mark.parametrize(
    "product",
    [
        direct(named("cyclic:2"), named("cyclic:2")),
        direct(named("cyclic:3"), named("cyclic:3")),
        direct(named("cyclic:2"), named("symmetric:3"))[:, :],
        direct(direct(named("cyclic:2"), named("cyclic:2")), named("cyclic:2")),
        direct(named("cyclic:4"), named("cyclic:2")),
        quaternions(),
    ],
    ids=["Z2xZ2", "Z3xZ3", "Z2xS3", "Z2xZ2xZ2", "Z4xZ2", "quaternions"],
)
def test_other_groups_have_elements_and_no_name(product: Product, tmp_path: Path) -> None:
    for seed in range(2):
        renamed = relabelled(product, seed)
        found = group_of(table_of(renamed), pairs(len(product)))
        if len(product) == 12:
            # This one is the group of a hexagon.
            assert found.name == "dihedral:6"
        else:
            assert found.name is None
            assert found.told() == f"{len(product)} elements of a group, in the model's order"
        require_products(found, renamed)
        path = tmp_path / "elements.json"
        path.write_bytes(canonical([list(images) for images in found.elements]))
        domain = pairs(len(product))
        question = read_question(found.task(path), _config(domain), domain)
        places = domain.places_between(0, domain.inputs)
        assert question.right(places).ravel().tolist() == renamed.ravel().tolist()


def test_one_element_is_a_group() -> None:
    found = group_of(table_of(np.zeros((1, 1), dtype=np.int64)), pairs(1))
    assert (found.name, found.elements) == (None, [(0,)])


def loop() -> Product:
    """Return a Latin square with an identity that is not associative."""
    return np.array(
        [
            [0, 1, 2, 3, 4],
            [1, 0, 3, 4, 2],
            [2, 4, 0, 1, 3],
            [3, 2, 4, 0, 1],
            [4, 3, 1, 2, 0],
        ]
    )


NO_GROUPS: tuple[tuple[Product, str], ...] = (
    (np.zeros((3, 3), dtype=np.int64), "a product occurs twice in a row or a column"),
    (np.array([[0, 1], [0, 1]]), "a product occurs twice in a row or a column"),
    (np.array([[0, 0], [1, 1]]), "a product occurs twice in a row or a column"),
    # Subtraction modulo 3, and an idempotent square: Latin, but not associative.
    (np.array([[(a - b) % 3 for b in range(3)] for a in range(3)]), "(0 0) 1 is not 0 (0 1)"),
    (np.array([[2 * (a + b) % 3 for b in range(3)] for a in range(3)]), "is not"),
    (loop(), "is not"),
    (np.array([[0, 1], [1, 2]]), "one of them is 2"),
    (np.array([[0, 1], [1, -1]]), "one of them is -1"),
)


@pytest.mark.parametrize(("product", "why"), NO_GROUPS)
def test_what_is_no_group_says_why(product: Product, why: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        group_of(table_of(product), pairs(len(product)))
    assert str(refusal.value).startswith("the answers are no group")
    assert why in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_triple_that_is_named_does_not_associate() -> None:
    product = loop()
    with pytest.raises(Unsupported) as refusal:
        group_of(table_of(product), pairs(5))
    words = str(refusal.value).removeprefix("the answers are no group: ").replace("(", "")
    x, y, z = (int(word) for word in words.replace(")", "").split()[:3])
    assert product[product[x, y], z] != product[x, product[y, z]]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"domain": "*/*/*"}, "--as-group needs two operands, and one position that is read"),
        ({"domain": "*/@0/@1"}, "--as-group needs two operands"),
        ({"domain": "*/*/@0", "read": "1,2"}, "--as-group needs two operands"),
        ({"domain": "0-1/*/@0"}, "--as-group needs operands that stand for 0, 1, .. alike"),
        ({"domain": "1-2/1-2/@0"}, "--as-group needs operands that stand for 0, 1, .. alike"),
        ({"domain": "*/*/@0", "values": "0,2,1/own"}, "--as-group needs operands that stand for"),
    ],
)
def test_domains_that_are_no_pairs_of_elements(texts: dict[str, str], message: str) -> None:
    config = Config(d_vocab=3, d_vocab_out=3, n_ctx=3, d_model=2, d_head=2)
    with pytest.raises(Unsupported) as refusal:
        group_of(b"", read_domain(config, **texts))
    assert str(refusal.value).startswith(message)


def test_tokens_of_elements_may_begin_anywhere() -> None:
    config = Config(d_vocab=9, d_vocab_out=9, n_ctx=2, d_model=2, d_head=2)
    domain = read_domain(config, "3-5/3,6-7", values="0/0,1,2", outputs="4-6", answers="0")
    table = {
        "answers": [0, 1, 2, 1, 2, 0, 2, 0, 1],
        "format": "certify.table/2",
        "tokens": [[[3, 5]], [[3, 3], [6, 7]]],
    }
    assert group_of(canonical(table), domain).name == "cyclic:3"
    assert json.loads(canonical(table)) == table


@pytest.mark.slow
def test_the_largest_groups_take_seconds() -> None:
    for name in ("cyclic:720", "symmetric:6", "dihedral:360"):
        product = relabelled(named(name), 1)
        found = group_of(table_of(product), pairs(720))
        assert found.name == name
        table = multiplication_table(found.elements)
        assert np.array_equal(table, product)
