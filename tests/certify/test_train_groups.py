"""Named groups are groups in their documented order, and one hidden layer learns their products:
reproducibly, as the network that is meant, and nonsense refused.
"""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from certify.command.group import main
from certify.errors import BadInput
from certify.model.config import Config, config_from_dict
from certify.model.file import Model, encode_model
from certify.model.forward import logits
from certify.model.tensors import require_tensors
from certify.question.groups import (
    LARGEST_ORDER,
    Group,
    Permutation,
    multiplication_table,
    named_group,
    read_group,
)
from certify.training import group_composition
from certify.training.full_batch import quality
from certify.training.group_composition import (
    GroupRecipe,
    alive_neurons,
    as_model,
    group_inputs,
    train_group,
)

S3 = Group("symmetric", 3)


def run(*arguments: object) -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="certify")


def element_orders(elements: list[Permutation]) -> dict[int, int]:
    """Return how many elements have each order."""
    identity = tuple(range(len(elements[0])))
    found: Counter[int] = Counter()
    for element in elements:
        power, order = element, 1
        while power != identity:
            power, order = tuple(element[place] for place in power), order + 1
        found[order] += 1
    return dict(found)


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("cyclic:6", {1: 1, 2: 1, 3: 2, 6: 2}),
        ("cyclic:113", {1: 1, 113: 112}),
        ("dihedral:3", {1: 1, 2: 3, 3: 2}),
        ("dihedral:4", {1: 1, 2: 5, 4: 2}),
        ("symmetric:2", {1: 1, 2: 1}),
        ("symmetric:4", {1: 1, 2: 9, 3: 8, 4: 6}),
        ("symmetric:5", {1: 1, 2: 25, 3: 20, 4: 30, 5: 24, 6: 20}),
        ("alternating:3", {1: 1, 3: 2}),
        ("alternating:5", {1: 1, 2: 15, 3: 20, 5: 24}),
    ],
)
def test_a_named_group_is_the_group(text: str, orders: dict[int, int]) -> None:
    group = read_group(text)
    elements = named_group(group)
    assert str(group) == text
    assert group.order == len(elements) == len(set(elements))
    assert element_orders(elements) == orders
    table = multiplication_table(elements)
    everything = list(range(group.order))
    assert table[0].tolist() == table[:, 0].tolist() == everything
    assert all(sorted(line.tolist()) == everything for line in (*table, *table.T))
    if group.order <= 30:
        assert np.array_equal(table[table], table[:, table])


def test_elements_have_their_canonical_order() -> None:
    assert named_group(Group("cyclic", 3)) == [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    reflections = [(0, 2, 1), (1, 0, 2), (2, 1, 0)]
    assert named_group(Group("dihedral", 3)) == [(0, 1, 2), (1, 2, 0), (2, 0, 1), *reflections]
    assert named_group(S3) == [
        (0, 1, 2),
        (0, 2, 1),
        (1, 0, 2),
        (1, 2, 0),
        (2, 0, 1),
        (2, 1, 0),
    ]
    assert named_group(Group("alternating", 4))[:4] == [
        (0, 1, 2, 3),
        (0, 2, 3, 1),
        (0, 3, 1, 2),
        (1, 0, 3, 2),
    ]


def test_the_second_factor_is_applied_first() -> None:
    table = multiplication_table(named_group(S3))
    # (1, 0, 2) after (1, 2, 0) takes 0 to 0, 1 to 2 and 2 to 1; the other way round it does not.
    assert table[2, 3] == 1
    assert table[3, 2] == 5
    # In a dihedral group a rotation after a reflection moves the mirror on.
    assert multiplication_table(named_group(Group("dihedral", 5)))[2, 6] == 8
    modulus = 7
    added = np.add.outer(np.arange(modulus), np.arange(modulus)) % modulus
    assert np.array_equal(multiplication_table(named_group(Group("cyclic", modulus))), added)


def test_what_is_not_closed_is_refused() -> None:
    with pytest.raises(BadInput) as refusal:
        multiplication_table([(0, 1, 2), (1, 2, 0)])
    told = "the elements: not closed: the product of elements 1 and 1 is no element"
    assert str(refusal.value) == told


SPELLING = (
    " is not NAME:n with a name of cyclic, dihedral, symmetric, alternating and a whole number n"
    " from 1"
)
REFUSED = [
    *(
        (text, f"group {text!r}{SPELLING}")
        for text in ("", "symmetric", "monster:5", "symmetric:", "symmetric:0", "cyclic:-3")
    ),
    *(
        (text, f"group {text!r}{SPELLING}")
        for text in ("symmetric:5:5", "cyclic:05", "cyclic: 5", "cyclic:٥", "cyclic:1e2")
    ),
    ("cyclic:12345678", f"group 'cyclic:12345678'{SPELLING}"),
    ("dihedral:2", "group dihedral:2: n must be at least 3"),
    ("symmetric:1", "group symmetric:1 has one element, and nothing to learn"),
    ("alternating:2", "group alternating:2 has one element, and nothing to learn"),
    ("cyclic:721", "group cyclic:721 has more than 720 elements, the limit"),
    ("dihedral:361", "group dihedral:361 has more than 720 elements, the limit"),
    ("symmetric:7", "group symmetric:7 has more than 720 elements, the limit"),
    ("alternating:999999", "group alternating:999999 has more than 720 elements, the limit"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_other_groups_are_wrong_usage(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        read_group(text)
    assert str(refusal.value) == message
    out = tmp_path / "model.safetensors"
    result = run("train", "group", "--group", text, "--out", out)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: Invalid value for '--group': {message}"
    assert not out.exists()


def test_the_largest_groups_are_accepted() -> None:
    for text in ("cyclic:720", "dihedral:360", "symmetric:6", "alternating:6"):
        assert read_group(text).order <= LARGEST_ORDER


def test_the_model_is_the_network_exactly() -> None:
    generator = np.random.default_rng(0)
    order, width = 6, 5
    # Whole numbers, so that float64 computes without rounding.
    left, right = generator.integers(-50, 50, (2, order, width)).astype(np.float32)
    out = generator.integers(-50, 50, (width, order)).astype(np.float32)
    tensors, config = as_model(left, right, out)
    require_tensors(tensors, config, "here")
    assert config_from_dict(config.as_dict(), "here") == config
    pairs, _ = group_inputs(S3)
    found = logits(Model(config, tensors, ""), pairs)
    assert np.array_equal(found, np.maximum(left[pairs[:, 0]] + right[pairs[:, 1]], 0.0) @ out)
    without_mlp = tensors | {"blocks.0.mlp.W_out": np.zeros((width, 2 * width + order), np.float32)}
    assert not np.any(logits(Model(config, without_mlp, ""), pairs))


def test_neurons_through_which_nothing_comes_are_dead() -> None:
    generator = np.random.default_rng(0)
    left, right = generator.standard_normal((2, 6, 5)).astype(np.float32)
    out = generator.standard_normal((5, 6)).astype(np.float32)
    for table in (left, right):
        table[:, 1:3] *= 1e-8
    right[:, 4] = 0.0
    out[2] *= 1e8
    out[3] = 0.0
    assert alive_neurons(left, right, out).tolist() == [True, False, True, False, True]
    nothing = np.zeros((6, 2))
    assert alive_neurons(nothing, nothing, nothing.T).all()


def test_dead_neurons_are_zeros_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    # After so few steps no neuron is dead, so weak ones are called so.
    monkeypatch.setattr(group_composition, "DEAD", 0.8)
    recipe = GroupRecipe(steps=20)
    zeros, config = train_group(S3, 32, recipe)
    dropped, narrow = train_group(S3, 32, dataclasses.replace(recipe, drop_dead=True))
    kept = np.any(zeros["blocks.0.mlp.W_out"], axis=1)
    assert config.d_mlp == 32
    assert 0 < np.count_nonzero(kept) < 32
    assert not any(np.any(np.signbit(one) & (one == 0.0)) for one in zeros.values())
    assert narrow.d_mlp == np.count_nonzero(kept)
    pairs, _ = group_inputs(S3)
    found = logits(Model(narrow, dropped, ""), pairs)
    assert np.allclose(found, logits(Model(config, zeros, ""), pairs), rtol=1e-12, atol=1e-12)


def test_training_is_reproducible_and_well_formed() -> None:
    pytest.importorskip("torch")
    reported: list[int] = []
    first = train_group(S3, 4, GroupRecipe(seed=3, steps=20), lambda step, _: reported.append(step))
    again = train_group(S3, 4, GroupRecipe(seed=3, steps=20))
    other = train_group(S3, 4, GroupRecipe(seed=4, steps=20))
    assert encode_model(*first) == encode_model(*again)
    assert encode_model(*first) != encode_model(*other)
    assert reported == list(range(1, 21))
    tensors, config = first
    assert config == Config(
        d_vocab=6,
        d_vocab_out=6,
        n_ctx=2,
        d_model=14,
        d_head=4,
        attn_only=False,
        act_fn="relu",
        attention_dir="bidirectional",
        d_mlp=4,
        attention_mix="0x0.0p+0",
    )
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())


def test_one_hidden_layer_learns_the_products() -> None:
    pytest.importorskip("torch")
    tensors, config = train_group(S3, 32, GroupRecipe(steps=300, fraction=1.0))
    right, smallest = quality(tensors, config, *group_inputs(S3))
    assert right == 36
    assert smallest > 1.0


def test_quality_counts_ties_as_wrong() -> None:
    none = np.zeros((6, 2), np.float32)
    tensors, config = as_model(none, none, none.T)
    assert quality(tensors, config, *group_inputs(S3)) == (0, 0.0)


def test_the_learning_rate_falls_over_the_last_part() -> None:
    rates = [GroupRecipe(steps=4, decay=0.5).learning_rate_at(step) for step in range(4)]
    assert rates == [0.01, 0.01, 0.01, 0.005]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "train: width must be at least 1, not 0"),
        ({"recipe": GroupRecipe(steps=0)}, "train: steps must be at least 1, not 0"),
        ({"recipe": GroupRecipe(seed=-1)}, "train: seed must be between 0 and 2^63 - 1"),
        ({"recipe": GroupRecipe(fraction=1.5)}, "train: fraction must be above 0 and at most 1"),
        ({"recipe": GroupRecipe(decay=-0.5)}, "train: lr-decay must be between 0 and 1"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as refusal:
        train_group(S3, **arguments)
    assert str(refusal.value) == message


def test_the_command_says_what_was_trained(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    chosen = ("--group", "dihedral:3", "--width", 4, "--steps", 3, "--seed", 1)
    result = run("train", "group", *chosen, "--out", out)
    first, second = result.stdout.splitlines()
    assert first == (
        f"wrote {out}: group dihedral:3, 6 elements, one hidden layer of 4, seed 1, 3 steps"
    )
    assert second.startswith("right: ")
    assert " of 36 inputs, smallest margin " in second
    assert second.endswith(" (float64 estimates, not bounds)")
    assert run("train", "group", *chosen, "--out", again).exit_code == 0
    assert out.read_bytes() == again.read_bytes()


def test_rates_that_float32_cannot_hold_are_wrong_usage(tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    for option in ("--lr", "--weight-decay"):
        result = run("train", "group", "--group", "cyclic:5", option, "1e39", "--out", out)
        assert result.exit_code == 2
        assert f"Error: Invalid value for '{option}'" in result.stderr
        assert not out.exists()


def test_divergence_is_reported() -> None:
    pytest.importorskip("torch")
    with pytest.raises(BadInput) as refusal:
        train_group(S3, 4, GroupRecipe(steps=30, learning_rate=1e30))
    assert str(refusal.value).startswith("train: diverged, tensor ")
