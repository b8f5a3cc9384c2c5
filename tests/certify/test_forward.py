"""The float64 forward pass agrees with PyTorch's own operations, for every feature and every pair
of features.
"""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from small_models import forward, general_config, random_model

from certify.model.config import Config
from certify.model.file import Model
from certify.model.forward import batch_size, logits

FEATURES: dict[str, list[dict[str, Any]]] = {
    "layers": [{"n_layers": 1}, {"n_layers": 2}],
    "heads": [{"n_heads": 1}, {"n_heads": 3}],
    "direction": [{"attention_dir": "causal"}, {"attention_dir": "bidirectional"}],
    "mix": [{}, {"attention_mix": (0.0).hex()}, {"attention_mix": (0.25).hex()}],
    "mlp": [
        {"attn_only": True, "act_fn": None, "d_mlp": None},
        *({"attn_only": False, "act_fn": act, "d_mlp": 5} for act in ("relu", "gelu_new", "silu")),
    ],
    "norm": [{}, *({"normalization_type": norm, "eps": (1e-5).hex()} for norm in ("LN", "LNPre"))],
    "readout": [{"readout": read} for read in ("last", "sum-pool-mlp", "mean-pool-mlp")],
}


def pairs_of_features() -> list[Config]:
    """Return configurations in which every two choices of different features meet."""
    found: list[Config] = []
    for left, right in itertools.combinations(FEATURES, 2):
        for one, other in itertools.product(FEATURES[left], FEATURES[right]):
            config = dataclasses.replace(general_config(), **{**one, **other})
            if config not in found:
                found.append(config)
    return found


def torch_logits(model: Model, tokens: np.ndarray) -> np.ndarray:
    """Return the logits of one input, at every position unless they are pooled, by PyTorch's layer norm, activations and
    softmax, head by head.
    """
    torch = pytest.importorskip("torch")
    functional, config = torch.nn.functional, model.config

    def weight(name: str) -> Any:
        return (
            torch.from_numpy(model.tensor(name))
            if name in model.tensors
            else torch.zeros((), dtype=torch.float64)
        )

    def norm(name: str, rows: Any) -> Any:
        if config.normalization_type is None:
            return rows
        scale, shift = (
            (weight(f"{name}.w"), weight(f"{name}.b"))
            if config.normalization_type == "LN"
            else (None, None)
        )
        return functional.layer_norm(
            rows, (config.d_model,), scale, shift, eps=float.fromhex(config.eps or "0x0p+0")
        )

    activations = {
        "relu": functional.relu,
        "silu": functional.silu,
        "gelu_new": lambda rows: functional.gelu(rows, approximate="tanh"),
    }
    mix = 1.0 if config.attention_mix is None else float.fromhex(config.attention_mix)
    future = torch.ones(config.n_ctx, config.n_ctx).triu(1) > 0
    hidden = future if config.attention_dir == "causal" else torch.zeros_like(future)
    residual = weight("embed.W_E")[torch.from_numpy(tokens)] + weight("pos_embed.W_pos")
    for layer in range(config.n_layers):
        block = f"blocks.{layer}."
        rows, added = norm(f"{block}ln1", residual), weight(f"{block}attn.b_O")
        for head in range(config.n_heads):
            parts = []
            for letter in "QKV":
                bias = weight(f"{block}attn.b_{letter}")
                parts.append(
                    rows @ weight(f"{block}attn.W_{letter}")[head]
                    + (bias[head] if bias.ndim else bias)
                )
            query, key, value = parts
            scores = (query @ key.T / math.sqrt(config.d_head)).masked_fill(hidden, -math.inf)
            pattern = (mix * scores.softmax(dim=-1) + (1 - mix)).masked_fill(hidden, 0.0)
            added = added + pattern @ value @ weight(f"{block}attn.W_O")[head]
        residual = residual + added
        if not config.attn_only:
            inner = norm(f"{block}ln2", residual) @ weight(f"{block}mlp.W_in") + weight(
                f"{block}mlp.b_in"
            )
            residual = (
                residual
                + activations[str(config.act_fn)](inner) @ weight(f"{block}mlp.W_out")
                + weight(f"{block}mlp.b_out")
            )
    residual = norm("ln_final", residual)
    if config.readout in ("sum-pool-mlp", "mean-pool-mlp"):
        pooled = residual.sum(dim=0) / (config.n_ctx if config.readout == "mean-pool-mlp" else 1)
        result = functional.relu(pooled @ weight("head.W_1") + weight("head.b_1")) @ weight(
            "head.W_2"
        ) + weight("head.b_2")
    else:
        result = residual @ weight("unembed.W_U") + weight("unembed.b_U")
    return np.asarray(result)


@pytest.mark.parametrize("biases", [False, True])
def test_every_pair_of_features_agrees_with_pytorch(biases: bool) -> None:
    configs = pairs_of_features()
    assert len(configs) > 90
    for seed, config in enumerate(configs):
        model = random_model(config, seed, biases=biases)
        tokens = np.random.default_rng(seed).integers(0, config.d_vocab, size=(4, config.n_ctx))
        last = logits(model, tokens)
        assert last.shape == (4, config.d_vocab_out)
        found, chosen = last, slice(None)
        if not config.pooled:
            # Any positions may be read: all, the first, or the first and the last.
            read = [list(range(config.n_ctx)), [0], [0, config.n_ctx - 1]][seed % 3]
            chosen = np.array(read)
            found = logits(model, tokens, read)
            assert found.shape == (4, len(read), config.d_vocab_out)
        for row, computed, at_last in zip(tokens, found, last, strict=True):
            whole = torch_logits(model, row)
            expected = whole[chosen]
            final = whole if config.pooled else whole[-1]
            bound = 1e-9 * max(1.0, np.abs(whole).max())
            assert np.allclose(at_last, final, rtol=1e-9, atol=bound), config
            assert np.allclose(
                computed, expected, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(expected).max())
            ), config


def test_training_uses_the_same_network() -> None:
    torch = pytest.importorskip("torch")
    from certify.training.network import network_logits

    for seed, config in enumerate(pairs_of_features()):
        model = random_model(config, seed, biases=seed % 2 == 0)
        tokens = np.random.default_rng(seed).integers(0, config.d_vocab, size=(3, config.n_ctx))
        weights = {
            name: torch.from_numpy(tensor.astype(np.float64))
            for name, tensor in model.tensors.items()
        }
        found = network_logits(torch, weights, torch.from_numpy(tokens), config).numpy()
        expected = logits(model, tokens)
        assert np.allclose(
            found, expected, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(expected).max())
        ), config


def test_one_layer_of_attention_agrees_with_the_definition_in_python_floats() -> None:
    config = Config(d_vocab=4, d_vocab_out=3, n_ctx=3, d_model=3, d_head=2)
    model = random_model(config, seed=5, biases=True)
    tokens = np.array(list(itertools.product(range(4), repeat=3)))
    expected = [forward(model, tuple(row)) for row in tokens.tolist()]
    assert np.max(np.abs(logits(model, tokens) - expected)) < 1e-12


def test_constant_attention_gives_every_key_weight_one() -> None:
    config = dataclasses.replace(
        general_config(),
        attn_only=True,
        act_fn=None,
        d_mlp=None,
        attention_dir="bidirectional",
        attention_mix=(0.0).hex(),
    )
    model = random_model(config, seed=3)
    tokens = np.array([[0, 1, 2]])
    rows = model.tensor("embed.W_E")[tokens[0]] + model.tensor("pos_embed.W_pos")
    attended = sum(
        rows.sum(axis=0)
        @ model.tensor("blocks.0.attn.W_V")[h]
        @ model.tensor("blocks.0.attn.W_O")[h]
        for h in range(2)
    )
    expected = (rows[-1] + attended) @ model.tensor("unembed.W_U")
    assert np.max(np.abs(logits(model, tokens)[0] - expected)) < 1e-12


def test_batches_fit_in_memory() -> None:
    small, large = general_config(), dataclasses.replace(general_config(), d_mlp=4096, n_ctx=64)
    assert batch_size(random_model(small)) > 100_000
    assert batch_size(random_model(large)) == (1 << 22) // (64 * 4096)
