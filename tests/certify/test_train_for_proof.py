"""What is asked of a model so that its proofs can be short: zeros are zeros in the written file,
options change what a recipe says, and the start on the line is one.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from certify.command import main
from certify.errors import BadInput
from certify.evaluation.known import known_accuracy
from certify.evaluation.of_four import failures_of_four
from certify.model.file import Model, encode_model, load_model
from certify.training.for_proof import LINE, ForProof, Temperature, bring_near, read_temperature
from certify.training.max_of_k import RECIPES, Recipe, recipe_of, train_max_of_k

torch = pytest.importorskip("torch")

W_Q, W_K, W_V, W_O = (f"blocks.0.attn.W_{letter}" for letter in "QKVO")
WIDTH = 8


def short(recipe: Recipe, steps: int = 12) -> Recipe:
    """Return the recipe with few steps."""
    return dataclasses.replace(recipe, steps=steps, batch=16)


def asked(**values: object) -> Recipe:
    """Return a short recipe that asks for something."""
    return short(Recipe(proof=ForProof(**values)))  # type: ignore[arg-type]


def trained(recipe: Recipe, vocab: int = 6) -> Model:
    """Return a model of max-of-4."""
    tensors, config = train_max_of_k(4, vocab, WIDTH, recipe)
    return Model(config, tensors, "0" * 64)


def test_circuits_have_the_columns_that_are_asked_for() -> None:
    model = trained(asked(qk_rank=1, ov_rank=2))
    for name, kept in ((W_Q, 1), (W_K, 1), (W_V, 2)):
        matrix = model.tensor(name)[0]
        assert np.all(matrix[:, kept:] == 0)
        assert np.all(np.any(matrix[:, :kept] != 0, axis=0))
    assert np.all(model.tensor(W_O)[0, 2:] == 0)
    assert np.linalg.matrix_rank(model.tensor(W_O)[0]) == 2


def test_supports_are_disjoint() -> None:
    model = trained(asked(disjoint=5))
    writes = np.any(model.tensor("embed.W_E") != 0, axis=0)
    reads = np.any(model.tensor("unembed.W_U") != 0, axis=1)
    assert writes.tolist() == [True] * 5 + [False] * 3
    assert reads.tolist() == [False] * 5 + [True] * 3
    assert not np.any(model.tensor("embed.W_E") @ model.tensor("unembed.W_U"))


def test_zeros_are_positive_in_the_file() -> None:
    tensors = trained(asked(qk_rank=1, ov_rank=1, disjoint=4)).tensors
    assert not any(np.any(np.signbit(t) & (t == 0)) for t in tensors.values())


def test_what_is_not_asked_for_changes_nothing() -> None:
    plain = encode_model(*train_max_of_k(3, 6, WIDTH, short(Recipe(seed=3))))
    default = encode_model(*train_max_of_k(3, 6, WIDTH, short(Recipe(seed=3, proof=ForProof()))))
    assert plain == default


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_is_reproducible(name: str) -> None:
    recipe = short(recipe_of(name, 6, 5, WIDTH))
    first = encode_model(*train_max_of_k(4, 6, WIDTH, recipe))
    assert first == encode_model(*train_max_of_k(4, 6, WIDTH, recipe))
    other = dataclasses.replace(recipe, seed=6)
    assert first != encode_model(*train_max_of_k(4, 6, WIDTH, other))


@pytest.mark.parametrize("penalty", ["direct_penalty", "rank_penalty", "tail_penalty"])
def test_penalties_lower_what_they_name(penalty: str) -> None:
    def reach(model: Model) -> float:
        E, U = model.tensor("embed.W_E"), model.tensor("unembed.W_U")
        V, O = model.tensor(W_V)[0], model.tensor(W_O)[0]  # noqa: E741
        if penalty == "direct_penalty":
            return float((np.abs(E - E.mean(axis=0)) @ np.ptp(U, axis=1)).mean())
        if penalty == "rank_penalty":
            pair = [model.tensor(name)[0] for name in (W_Q, W_K)]
        else:
            pair = [(E - E.mean(axis=0)) @ V, O @ (U - U.mean(axis=1, keepdims=True))]
        return float(sum(np.linalg.svd(m, compute_uv=False)[1:].sum() for m in pair))

    recipe = short(Recipe(learning_rate=0.01), 60)
    with_penalty = dataclasses.replace(recipe, proof=asked(**{penalty: 1.0}).proof)
    assert reach(trained(with_penalty)) < 0.7 * reach(trained(recipe))


def test_the_line_keeps_its_attention() -> None:
    start = recipe_of("line", 16, 0, WIDTH)
    model = trained(short(start, 300), 16)
    Q, P = model.tensor(W_Q)[0], model.tensor("pos_embed.W_pos")
    assert np.all(P[0] == P)
    assert np.all(Q[:4] == 0)
    assert Q[6, 0] == 50
    assert np.all(np.diff(model.tensor("embed.W_E")[:, 0]) > 0)
    assert failures_of_four(model) == 0


def test_temperatures() -> None:
    found = read_temperature("2:32")
    assert found == Temperature(2.0, 32.0)
    assert str(found) == "2:32"
    assert [round(found.at(share), 9) for share in (0, 1 / 3, 2 / 3, 1)] == [2, 8, 32, 32]
    assert Temperature(1.0, 1.0).at(0.3) == 1.0
    for text in ("2", "2:", "0:1", "1:0.0", "-1:2", "1:2:3", "1e3:1", " 1:2", "nan:1"):
        with pytest.raises(BadInput, match="is not A:B with positive numbers"):
            read_temperature(text)


def test_a_share_of_a_batch_is_near_its_maximum() -> None:
    generator = torch.Generator().manual_seed(0)
    far = torch.randint(0, 1000, (400, 4), generator=generator)
    tokens = far.clone()
    bring_near(torch, tokens, 0.5, 1000, generator)
    assert torch.equal(tokens[200:], far[200:])
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < 1000

    def nearest(batch: Any) -> float:
        return float((batch.amax(1) - batch.sort(dim=1).values[:, -2]).float().median())

    assert nearest(tokens[:200]) < 0.2 * nearest(tokens[200:])
    bring_near(torch, tokens, 0.0, 1000, generator)
    assert torch.equal(tokens[200:], far[200:])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": LINE}, "train: the start line needs disjoint"),
        ({"disjoint": 8}, "train: disjoint 8 leaves fewer than 1 of 8 coordinates"),
        (
            {"disjoint": 6, "start": LINE},
            "train: disjoint 6 leaves fewer than 3 of 8 coordinates",
        ),
        ({"near_max": 1.5}, "train: near-max must be between 0 and 1"),
        ({"tail_penalty": -0.1}, "train: penalties must not be negative"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput) as refusal:
        trained(asked(**values))
    assert str(refusal.value) == message


def run(out: Path, *arguments: str) -> str:
    """Return what the command prints."""
    sizes = ["--k", "4", "--vocab", "6", "--d-model", "8", "--steps", "10"]
    line = ["train", "max-of-k", *sizes, *arguments, "--out", str(out)]
    ended = CliRunner().invoke(main, line, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_options_change_what_a_recipe_says(tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    said = run(out, "--recipe", "short-proof", "--ov-rank", "3", "--temperature", "1:4")
    assert "max-of-4, vocab 6, d_model 8, seed 0, 10 steps\n" in said
    model = load_model(out)
    assert np.linalg.matrix_rank(model.tensor(W_V)[0]) == 3
    assert np.linalg.matrix_rank(model.tensor(W_K)[0]) == 1
    proof = dataclasses.replace(
        recipe_of("short-proof", 6, 0, 8).proof, ov_rank=3, temperature=Temperature(1.0, 4.0)
    )
    recipe = dataclasses.replace(recipe_of("short-proof", 6, 0, 8), steps=10, proof=proof)
    assert out.read_bytes() == encode_model(*train_max_of_k(4, 6, 8, recipe))


def test_a_default_that_is_typed_is_meant(tmp_path: Path) -> None:
    out, meant = tmp_path / "model.safetensors", recipe_of("converged", 6, 0, 8)
    run(out, "--recipe", "converged", "--batch", "128", "--lr", "0.001")
    recipe = dataclasses.replace(meant, steps=10, batch=128, learning_rate=0.001)
    assert out.read_bytes() == encode_model(*train_max_of_k(4, 6, 8, recipe))


def test_the_accuracy_is_told(tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    said = run(out, "--recipe", "line")
    assert "half constructed (start line)" in said
    known = known_accuracy(load_model(out))
    assert said.splitlines()[-1] == f"accuracy: {known.told()}"
    assert known.every
    assert known.inputs == 6**4
