"""Noise, grids, losses of bounds and the removal of layer norm: what each does, and that nothing is
done unless it is asked for.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from certify.command.group import main  # noqa: E402
from certify.errors import BadInput  # noqa: E402
from certify.model.config import Config  # noqa: E402
from certify.model.file import Model, encode_model, load_model  # noqa: E402
from certify.model.forward import logits, margins  # noqa: E402
from certify.training.max_of_k import Recipe, train_max_of_k  # noqa: E402
from certify.training.perturbed import (  # noqa: E402
    Norm,
    Perturbed,
    forward,
    margins_below,
    numbers_of,
    rounded,
    rounded_array,
    without_norm,
)

VOCAB, WIDTH, K = 6, 8, 3
PLAIN = Config(d_vocab=VOCAB, d_vocab_out=VOCAB, n_ctx=K, d_model=WIDTH, d_head=WIDTH)
NORMED = dataclasses.replace(PLAIN, normalization_type="LNPre", eps=(1e-5).hex())
NOTHING = Perturbed()
RARELY = settings(deadline=None, max_examples=20)


def recipe(steps: int = 30, **asked: Any) -> Recipe:
    return Recipe(seed=3, steps=steps, batch=16, perturbed=Perturbed(**asked))


def trained(given_: Recipe, **wider: Any) -> Model:
    tensors, config = train_max_of_k(K, VOCAB, WIDTH, given_, **wider)
    return Model(config, tensors, "0" * 64)


def weights_of(seed: int, scale: float) -> dict[str, Any]:
    """Return random weights of one head, in float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "embed.W_E": (VOCAB, WIDTH),
        "pos_embed.W_pos": (K, WIDTH),
        **{f"blocks.0.attn.W_{letter}": (1, WIDTH, WIDTH) for letter in "QKVO"},
        "unembed.W_U": (WIDTH, VOCAB),
    }
    return {
        name: scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def everything() -> np.ndarray:
    return np.array(list(np.ndindex(*(VOCAB,) * K)), dtype=np.int64)


def test_what_is_not_asked_for_changes_nothing() -> None:
    plain = encode_model(*train_max_of_k(K, VOCAB, WIDTH, Recipe(seed=3, steps=30, batch=16)))
    same = dataclasses.replace(recipe(), weight_decay=0.01, perturbed=NOTHING)
    assert encode_model(*train_max_of_k(K, VOCAB, WIDTH, same)) == plain


@pytest.mark.parametrize(
    "asked",
    [
        {"weight_noise": 0.01},
        {"stream_noise": 0.1},
        {"activation_noise": 0.1},
        {"amplitude_penalty": 0.1},
        {"weight_bits": 5},
        {"bound_weight": 0.5},
    ],
)
def test_what_is_asked_for_is_done_and_reproducible(asked: dict[str, Any]) -> None:
    first, again, plain = (trained(one).tensors for one in (recipe(**asked),) * 2 + (recipe(),))
    for name, tensor in first.items():
        assert np.array_equal(tensor, again[name])
    assert any(not np.array_equal(tensor, plain[name]) for name, tensor in first.items())


def test_weights_decay() -> None:
    sizes = [
        sum(
            float(np.sum(tensor**2))
            for tensor in trained(
                dataclasses.replace(recipe(), weight_decay=decay)
            ).tensors.values()
        )
        for decay in (0.01, 30.0)
    ]
    assert sizes[1] < 0.9 * sizes[0]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_are_on_their_grid(bits: int) -> None:
    for tensor in trained(recipe(weight_bits=bits)).tensors.values():
        largest = float(np.abs(tensor).max())
        step = 2.0 ** math.ceil(math.log2(largest / (2 ** (bits - 1) - 1)))
        multiples = tensor / step
        # The step may be the next smaller power of two where rounding has lowered the largest.
        halves = 2 * multiples
        assert np.array_equal(halves, np.round(halves))
        assert np.abs(multiples).max() <= 2 ** (bits - 1)


@RARELY
@given(st.integers(0, 1000), st.integers(2, 8))
def test_rounding_is_to_the_nearest(seed: int, bits: int) -> None:
    tensor = torch.randn((5, 3), generator=torch.Generator().manual_seed(seed))
    found = rounded(torch, tensor, bits)
    most = 2 ** (bits - 1) - 1
    step = 2.0 ** math.ceil(math.log2(float(tensor.abs().max()) / most))
    assert float((found - tensor).abs().max()) <= step / 2
    assert float((found / step).abs().max()) <= most
    assert np.array_equal(rounded_array(tensor.numpy(), bits), found.numpy())
    assert torch.equal(rounded(torch, torch.zeros(3), bits), torch.zeros(3))
    assert np.array_equal(rounded_array(np.zeros(3), bits), np.zeros(3))


@RARELY
@given(st.integers(0, 1000), st.sampled_from([0.1, 0.3, 0.6, 1.0]))
def test_bounds_are_below_the_margins(seed: int, scale: float) -> None:
    weights = weights_of(seed, scale)
    tokens = everything()
    model = Model(PLAIN, {name: w.numpy() for name, w in weights.items()}, "0" * 64)
    scores = logits(model, tokens)
    answers = tokens.max(axis=1)
    true = scores[np.arange(len(tokens)), answers][:, None] - scores
    below = margins_below(torch, weights, torch.from_numpy(tokens), PLAIN).numpy()
    positive = below > 0
    assert np.all(below[positive] <= true[positive] + 1e-9)


def test_bounds_are_margins_where_nothing_is_left_out() -> None:
    weights = weights_of(4, 0.5)
    weights["embed.W_E"][:, 4:] = 0.0
    weights["unembed.W_U"][:4] = 0.0
    for letter in "QK":
        weights[f"blocks.0.attn.W_{letter}"][:, :, 1:] = 0.0
    tokens = everything()
    model = Model(PLAIN, {name: w.numpy() for name, w in weights.items()}, "0" * 64)
    scores = logits(model, tokens)
    answers = tokens.max(axis=1)
    true = margins(scores, answers)
    below = margins_below(torch, weights, torch.from_numpy(tokens), PLAIN)
    own = torch.nn.functional.one_hot(torch.from_numpy(answers), VOCAB).bool()
    least = below.masked_fill(own, math.inf).min(dim=1).values.numpy()
    np.testing.assert_allclose(least[true > 0], true[true > 0], atol=1e-9)


def test_bounds_and_amplitudes_answer_to_their_weights() -> None:
    def reach(model: Model) -> float:
        embed = model.tensor("embed.W_E")
        unembed = model.tensor("unembed.W_U")
        return float((np.abs(embed - embed.mean(axis=0)) @ np.ptp(unembed, axis=1)).mean())

    assert reach(trained(recipe(300, bound_weight=5.0))) < reach(trained(recipe(300)))

    def size(model: Model) -> float:
        return float(np.mean(model.tensor("embed.W_E") ** 2))

    assert size(trained(recipe(300, amplitude_penalty=1.0))) < size(trained(recipe(300)))


@RARELY
@given(st.integers(0, 1000))
def test_layer_norm_that_became_a_number_is_folded(seed: int) -> None:
    weights = weights_of(seed, 0.5)
    tokens = torch.from_numpy(everything())
    norm = dataclasses.replace(numbers_of(torch, weights, tokens, NORMED), turned=1.0)
    found = forward(torch, weights, tokens, norm, NOTHING, None).logits
    folded, config = without_norm(torch, weights, norm)
    assert config == PLAIN
    again = forward(torch, folded, tokens, Norm(config), NOTHING, None).logits
    torch.testing.assert_close(again, found)


@RARELY
@given(st.integers(0, 100), st.sampled_from([PLAIN, NORMED]))
def test_the_forward_pass_is_the_networks(seed: int, config: Config) -> None:
    weights = weights_of(seed, 0.5)
    model = Model(config, {name: w.numpy() for name, w in weights.items()}, "0" * 64)
    tokens = everything()
    found = forward(torch, weights, torch.from_numpy(tokens), Norm(config), NOTHING, None)
    np.testing.assert_allclose(found.logits.numpy(), logits(model, tokens), atol=1e-9)


def test_layer_norm_is_taken_out_of_the_model_that_was_there_before() -> None:
    before = trained(recipe(20), normalization="LNPre")
    after = trained(recipe(40, norm_removal=0.5), normalization="LNPre")
    assert before.config.normalization_type == "LNPre"
    assert after.config == PLAIN
    assert NOTHING.turned(1.0) == 0.0
    schedule = [recipe(norm_removal=0.5).perturbed.turned(share) for share in (0.4, 0.625, 0.75, 1)]
    assert schedule == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("asked", "wider", "message"),
    [
        ({"stream_noise": 0.1}, {"heads": 2}, "one head"),
        ({"activation_noise": 0.1}, {"d_mlp": 4}, "one head"),
        ({"bound_weight": 0.1}, {"normalization": "LNPre"}, "bound-weight"),
        ({"norm_removal": 0.5}, {}, "norm-removal"),
        ({"norm_removal": 0.5}, {"normalization": "LN"}, "LNPre"),
        ({"weight_noise": -1.0}, {}, "negative"),
    ],
)
def test_what_does_not_fit_is_refused(
    asked: dict[str, Any], wider: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        trained(recipe(**asked), **wider)


def test_options_of_the_command(tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    sizes = ["--k", str(K), "--vocab", str(VOCAB), "--d-model", str(WIDTH)]
    few = ["--steps", "30", "--batch", "16", "--seed", "3", "--weight-noise", "0.01"]
    done = CliRunner().invoke(main, ["train", "max-of-k", *sizes, *few, "--out", str(out)])
    assert done.exit_code == 0, done.output
    there = load_model(out).tensors
    for name, tensor in trained(recipe(weight_noise=0.01)).tensors.items():
        assert np.array_equal(tensor, there[name])
