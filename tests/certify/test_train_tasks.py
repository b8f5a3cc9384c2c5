"""Training on modular addition and balanced brackets: reproducible, the network that is meant, and
nonsense refused.
"""

import dataclasses
import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_models import random_model

from certify.errors import BadInput, Unsupported
from certify.evaluation.evaluate import evaluate
from certify.model.config import Config, config_from_dict
from certify.model.file import Model, encode_model
from certify.model.forward import logits
from certify.model.tensors import require_tensors
from certify.question.question import read_question
from certify.question.rules import balanced
from certify.training.architecture import Architecture
from certify.training.balanced_brackets import BracketsRecipe, train_balanced_brackets
from certify.training.equals_sign import logits_at_sign
from certify.training.full_batch import quality
from certify.training.modular_addition import (
    ADDITION,
    AdditionRecipe,
    addition_inputs,
    addition_logits,
    train_modular_addition,
)

SMALL = Architecture(layers=1, heads=2, d_model=8, d_mlp=16)


@pytest.mark.parametrize("attention", ["constant", "softmax"])
def test_addition_is_reproducible_and_well_formed(attention: str) -> None:
    pytest.importorskip("torch")
    first = train_modular_addition(5, attention, AdditionRecipe(seed=3, steps=20), SMALL)
    again = train_modular_addition(5, attention, AdditionRecipe(seed=3, steps=20), SMALL)
    other = train_modular_addition(5, attention, AdditionRecipe(seed=4, steps=20), SMALL)
    assert encode_model(*first) == encode_model(*again)
    assert encode_model(*first) != encode_model(*other)
    tensors, config = first
    assert config == Config(
        d_vocab=5,
        d_vocab_out=5,
        n_ctx=2,
        d_model=8,
        d_head=4,
        n_heads=2,
        attn_only=False,
        act_fn="relu",
        attention_dir="bidirectional",
        d_mlp=16,
        attention_mix="0x0.0p+0" if attention == "constant" else "0x1.0000000000000p+0",
    )
    assert config_from_dict(config.as_dict(), "here") == config
    require_tensors(tensors, config, "here")
    assert {name for name in tensors if ".b_" in name} == {
        "blocks.0.mlp.b_in",
        "blocks.0.mlp.b_out",
    }
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    assert np.any(tensors["blocks.0.attn.W_Q"]) == (attention == "softmax")


@pytest.mark.parametrize("attention", ["constant", "softmax"])
def test_addition_with_an_equals_sign_is_reproducible_and_well_formed(attention: str) -> None:
    pytest.importorskip("torch")
    first, again, other = (
        train_modular_addition(
            5, attention, AdditionRecipe(seed=seed, steps=20), SMALL, equals_sign=True
        )
        for seed in (3, 3, 4)
    )
    assert encode_model(*first) == encode_model(*again)
    assert encode_model(*first) != encode_model(*other)
    tensors, config = first
    assert config == Config(
        d_vocab=6,
        d_vocab_out=6,
        n_ctx=3,
        d_model=8,
        d_head=4,
        n_heads=2,
        attn_only=False,
        act_fn="relu",
        attention_dir="causal",
        d_mlp=16,
        attention_mix="0x0.0p+0" if attention == "constant" else "0x1.0000000000000p+0",
    )
    assert config_from_dict(config.as_dict(), "here") == config
    require_tensors(tensors, config, "here")
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    assert np.any(tensors["blocks.0.attn.W_Q"]) == (attention == "softmax")


@pytest.mark.parametrize("equals_sign", [False, True])
@pytest.mark.parametrize("mix", [0.0, 0.25, 1.0])
def test_the_folded_network_is_the_network(mix: float, equals_sign: bool) -> None:
    torch = pytest.importorskip("torch")
    tokens, _ = addition_inputs(5, equals_sign=equals_sign)
    n_ctx, vocab = tokens.shape[1], tokens.max() + 1
    shape = SMALL.config(d_vocab=int(vocab), d_vocab_out=int(vocab), n_ctx=n_ctx)
    config = dataclasses.replace(shape, attention_dir="bidirectional", attention_mix=mix.hex())
    model = random_model(config, seed=1)
    generator = np.random.default_rng(0)
    biases = {
        "blocks.0.mlp.b_in": generator.standard_normal(16),
        "blocks.0.mlp.b_out": generator.standard_normal(8),
    }
    model = Model(config, {**model.tensors, **biases}, model.sha256)
    weights = {
        name: torch.from_numpy(tensor.astype(np.float64)) for name, tensor in model.tensors.items()
    }
    folded = logits_at_sign if equals_sign else addition_logits
    found = folded(
        torch, weights, torch.from_numpy(tokens[:, 0]), torch.from_numpy(tokens[:, 1]), config
    ).numpy()
    assert np.allclose(found, logits(model, tokens), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("attention", ["constant", "softmax"])
def test_addition_learns(attention: str) -> None:
    pytest.importorskip("torch")
    losses: list[float] = []
    recipe = AdditionRecipe(steps=300, fraction=1.0, learning_rate=0.01, weight_decay=0.0)
    tensors, config = train_modular_addition(
        5, attention, recipe, SMALL, lambda _, loss: losses.append(loss)
    )
    assert losses[-1] < losses[0] / 2
    result = evaluate(Model(config, tensors, "0" * 64), read_question("modular-addition", config))
    assert result.wrong == 0


def test_the_inputs_are_all_pairs_and_their_answers() -> None:
    tokens, answers = addition_inputs(2, equals_sign=False)
    assert tokens.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert answers.tolist() == [0, 1, 1, 0]
    tokens, same = addition_inputs(2, equals_sign=True)
    assert tokens.tolist() == [[0, 0, 2], [0, 1, 2], [1, 0, 2], [1, 1, 2]]
    assert same.tolist() == answers.tolist()


def test_addition_with_an_equals_sign_learns() -> None:
    pytest.importorskip("torch")
    recipe = AdditionRecipe(
        steps=400, fraction=1.0, learning_rate=0.01, weight_decay=0.0, decay=0.5
    )
    wider = Architecture(layers=1, heads=2, d_model=16, d_mlp=32)
    tensors, config = train_modular_addition(5, "softmax", recipe, wider, equals_sign=True)
    right, smallest = quality(tensors, config, *addition_inputs(5, equals_sign=True))
    assert right == 25
    assert smallest > 1.0


def test_the_learning_rate_rises_and_then_falls() -> None:
    recipe = AdditionRecipe(steps=40, learning_rate=1.0, decay=0.5)
    assert [recipe.learning_rate_at(step) for step in (0, 5, 10, 20, 30)] == [0, 0.5, 1, 1, 0.5]
    assert AdditionRecipe(warm_up=0).learning_rate_at(0) == 0.001


def test_the_warm_up_starts_at_zero() -> None:
    pytest.importorskip("torch")
    one_step = train_modular_addition(5, "constant", AdditionRecipe(steps=1), SMALL)[0]
    more = train_modular_addition(5, "constant", AdditionRecipe(steps=2), SMALL)[0]
    assert not np.any(one_step["blocks.0.mlp.b_in"])
    assert np.any(more["blocks.0.mlp.b_in"])


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(d_model=8, d_mlp=8),
        Architecture(layers=1, d_model=8, d_mlp=8, act="gelu_new", normalization="LN"),
        Architecture(d_model=8, d_mlp=8, act="silu", normalization="LNPre", readout="sum-pool-mlp"),
    ],
)
def test_brackets_are_reproducible_and_well_formed(architecture: Architecture) -> None:
    pytest.importorskip("torch")
    recipe = BracketsRecipe(seed=1, steps=6, batch=16, margin=100.0, every=4)
    reported: list[tuple[int, float]] = []
    first = train_balanced_brackets(
        6, architecture, recipe, lambda step, margin: reported.append((step, margin))
    )
    assert encode_model(*first) == encode_model(*train_balanced_brackets(6, architecture, recipe))
    tensors, config = first
    assert config_from_dict(config.as_dict(), "here") == config
    require_tensors(tensors, config, "here")
    assert (config.n_ctx, config.d_vocab, config.d_vocab_out, config.attention_dir) == (
        6,
        2,
        2,
        "causal",
    )
    assert [step for step, _ in reported] == [4, 6]
    result = evaluate(Model(config, tensors, "0" * 64), read_question("balanced-brackets", config))
    assert abs(result.smallest_margin - reported[-1][1]) < 1e-4


def test_training_on_brackets_ends_at_the_wanted_margin() -> None:
    pytest.importorskip("torch")
    steps: list[int] = []
    recipe = BracketsRecipe(steps=3000, batch=64, learning_rate=0.005, margin=0.5, every=50)
    small = Architecture(layers=1, d_model=16, d_mlp=32)
    tensors, config = train_balanced_brackets(4, small, recipe, lambda step, _: steps.append(step))
    assert steps[-1] < 3000
    assert (
        evaluate(
            Model(config, tensors, "0" * 64), read_question("balanced-brackets", config)
        ).smallest_margin
        > 0.49
    )


def test_half_of_the_strings_are_balanced_and_the_others_are_close() -> None:
    torch = pytest.importorskip("torch")
    from certify.training.balanced_brackets import _bracket_strings

    everything = np.array(list(itertools.product((0, 1), repeat=8)))
    words = everything[balanced(everything) == 1]
    generator = torch.Generator().manual_seed(0)
    strings = _bracket_strings(torch, torch.from_numpy(words), 400, generator).numpy()
    assert np.all(balanced(strings[::2]) == 1)
    distances = np.abs(strings[1::2, None] - words[None]).sum(axis=2).min(axis=1)
    assert set(distances.tolist()) <= {0, 1, 2}
    assert np.mean(balanced(strings[1::2])) < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modulus": 0}, "train: modulus must be at least 1, not 0"),
        ({"recipe": AdditionRecipe(steps=0)}, "train: steps must be at least 1, not 0"),
        ({"recipe": AdditionRecipe(seed=-1)}, "train: seed must be between 0 and 2^63 - 1"),
        (
            {"recipe": AdditionRecipe(learning_rate=0.0)},
            "train: lr must be positive and weight-decay must not be negative",
        ),
        (
            {"recipe": AdditionRecipe(weight_decay=-1.0)},
            "train: lr must be positive and weight-decay must not be negative",
        ),
        ({"recipe": AdditionRecipe(decay=1.5)}, "train: lr-decay must be between 0 and 1"),
        ({"recipe": AdditionRecipe(fraction=0.0)}, "train: fraction must be above 0 and at most 1"),
        (
            {"architecture": dataclasses.replace(ADDITION, layers=2)},
            "train: modular addition is trained with one layer, ReLU, no layer norm, read at the"
            " last position",
        ),
        (
            {"architecture": dataclasses.replace(ADDITION, d_mlp=0)},
            "train: d-mlp must be at least 1, not 0",
        ),
        (
            {"architecture": dataclasses.replace(ADDITION, heads=3)},
            "train: d-model 128 is not a multiple of heads 3",
        ),
    ],
)
def test_bad_arguments_for_addition_are_refused(arguments: dict[str, Any], message: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(BadInput) as refusal:
        train_modular_addition(**{"modulus": 5, "attention": "constant", **arguments})
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("n", "recipe", "message"),
    [
        (0, BracketsRecipe(), "train: n must be at least 1, not 0"),
        (3, BracketsRecipe(), "train: n must be even and at most 20, not 3"),
        (22, BracketsRecipe(), "train: n must be even and at most 20, not 22"),
        (4, BracketsRecipe(batch=0), "train: batch must be at least 1, not 0"),
        (4, BracketsRecipe(every=0), "train: every must be at least 1, not 0"),
        (4, BracketsRecipe(decay=2.0), "train: lr-decay must be between 0 and 1"),
        (4, BracketsRecipe(seed=1 << 63), "train: seed must be between 0 and 2^63 - 1"),
    ],
)
def test_bad_arguments_for_brackets_are_refused(
    n: int, recipe: BracketsRecipe, message: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        train_balanced_brackets(n, recipe=recipe)
    assert str(refusal.value) == message


def test_divergence_is_reported() -> None:
    pytest.importorskip("torch")
    with pytest.raises(BadInput) as refusal:
        train_modular_addition(
            5, "constant", AdditionRecipe(steps=30, learning_rate=1e30, warm_up=0), SMALL
        )
    assert str(refusal.value).startswith("train: diverged, tensor ")


def test_without_pytorch_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    trainings: list[Callable[[], object]] = [
        lambda: train_modular_addition(5, "constant"),
        lambda: train_balanced_brackets(4),
    ]
    for train in trainings:
        with pytest.raises(Unsupported) as refusal:
            train()
        assert (
            str(refusal.value)
            == "training needs PyTorch: pip install torch (the extra certify[train])"
        )
