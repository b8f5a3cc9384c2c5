"""The path decomposition agrees with the model that it decomposes."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from small_models import forward, random_model

from certify.model.config import Config
from certify.model.file import Model, load_model
from certify.model.paths import Paths, decompose

TINY = Config(d_vocab=3, d_vocab_out=4, n_ctx=3, d_model=2, d_head=2)
WIDER = Config(d_vocab=5, d_vocab_out=6, n_ctx=4, d_model=3, d_head=2)
SHIPPED = Path(__file__).parents[2] / "certificates" / "max-of-4-seed-0" / "model.safetensors"


def logits_from_paths(paths: Paths, tokens: tuple[int, ...]) -> np.ndarray:
    """Return the logits by the formula in the docstring of ``certify.paths``."""
    query = tokens[-1]
    scores = np.array([paths.EQKE[query, t] + paths.EQKP[query, i] for i, t in enumerate(tokens)])
    pattern = np.exp((scores - scores.max()) / math.sqrt(paths.d_head))
    pattern /= pattern.sum()
    values = np.array([paths.EVOU[t] + paths.PVOU[i] for i, t in enumerate(tokens)])
    found: np.ndarray = paths.EU[query] + pattern @ values
    return found


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("config", [TINY, WIDER], ids=["tiny", "wider"])
def test_agrees_with_the_definition(config: Config, biases: bool) -> None:
    model = random_model(config, seed=1, biases=biases)
    paths = decompose(model)
    for tokens in itertools.product(range(config.d_vocab), repeat=config.n_ctx):
        expected = np.array(forward(model, tokens))
        assert np.max(np.abs(logits_from_paths(paths, tokens) - expected)) < 1e-12


def test_shapes() -> None:
    paths = decompose(random_model(WIDER))
    assert paths.EU.shape == (5, 6)
    assert paths.EVOU.shape == (5, 6)
    assert paths.PVOU.shape == (4, 6)
    assert paths.EQKE.shape == (5, 5)
    assert paths.EQKP.shape == (5, 4)


def test_key_bias_drops_out_and_the_others_do_not() -> None:
    model = random_model(TINY, seed=3, biases=True)
    with_all = decompose(model)
    for name in [name for name in model.tensors if ".b_" in name]:
        kept = {key: tensor for key, tensor in model.tensors.items() if key != name}
        without = decompose(Model(model.config, kept, model.sha256))
        same = all(
            np.array_equal(getattr(with_all, f), getattr(without, f))
            for f in ("EU", "EQKE", "EQKP")
        )
        assert same == name.endswith("b_K")


def test_symbolically() -> None:
    """The formulas hold for symbols, not only for the numbers tried above."""
    vocab, n_ctx, d_model, d_head, outputs = 2, 2, 2, 1, 2

    def matrix(name: str, rows: int, columns: int) -> sympy.Matrix:
        return sympy.Matrix(rows, columns, lambda i, j: sympy.Symbol(f"{name}{i}{j}", real=True))

    W_E, W_pos = matrix("E", vocab, d_model), matrix("P", n_ctx, d_model)
    W_Q, W_K, W_V = (matrix(letter, d_model, d_head) for letter in "QKV")
    W_O, W_U = matrix("O", d_head, d_model), matrix("U", d_model, outputs)
    b_Q, b_K, b_V = (matrix(f"b{letter}", 1, d_head) for letter in "QKV")
    b_O, b_U = matrix("bO", 1, d_model), matrix("bU", 1, outputs)
    a0 = sympy.Symbol("a0", real=True)
    pattern = (a0, 1 - a0)
    tokens = (0, 1)

    residual = [W_E.row(t) + W_pos.row(i) for i, t in enumerate(tokens)]
    query = residual[-1] * W_Q + b_Q
    scores = [(query * (row * W_K + b_K).T)[0] for row in residual]
    mixed = sum(
        (p * (row * W_V + b_V) for p, row in zip(pattern, residual, strict=True)), sympy.zeros(1, 1)
    )
    logits = (residual[-1] + mixed * W_O + b_O) * W_U + b_U

    symbols = sorted(
        set().union(
            *(
                m.free_symbols
                for m in (W_E, W_pos, W_Q, W_K, W_V, W_O, W_U, b_Q, b_K, b_V, b_O, b_U)
            )
        ),
        key=str,
    )
    values = {symbol: sympy.Rational(7 * i % 11 - 5, 8) for i, symbol in enumerate(symbols)}

    last = W_E + sympy.Matrix.vstack(*[W_pos.row(n_ctx - 1)] * vocab)
    EU = (last + sympy.Matrix.vstack(*[b_V * W_O + b_O] * vocab)) * W_U + sympy.Matrix.vstack(
        *[b_U] * vocab
    )
    EVOU, PVOU = W_E * W_V * W_O * W_U, W_pos * W_V * W_O * W_U
    scoring = last * W_Q + sympy.Matrix.vstack(*[b_Q] * vocab)
    EQKE, EQKP = scoring * (W_E * W_K).T, scoring * (W_pos * W_K).T

    q = tokens[-1]
    by_paths = [EQKE[q, t] + EQKP[q, i] for i, t in enumerate(tokens)]
    assert sympy.expand(scores[0] - scores[1] - by_paths[0] + by_paths[1]) == 0
    combined = EU.row(q)
    for i, t in enumerate(tokens):
        combined += pattern[i] * (EVOU.row(t) + PVOU.row(i))
    assert (logits - combined).expand() == sympy.zeros(1, outputs)

    def numbers(symbolic: sympy.Matrix, *shape: int) -> np.ndarray:
        return np.array(symbolic.subs(values).tolist(), dtype=np.float64).reshape(
            shape or symbolic.shape
        )

    attention = {
        f"blocks.0.attn.W_{n}": numbers(m)[None]
        for n, m in zip("QKVO", (W_Q, W_K, W_V, W_O), strict=True)
    }
    attention |= {
        f"blocks.0.attn.b_{n}": numbers(m) for n, m in zip("QKV", (b_Q, b_K, b_V), strict=True)
    }
    tensors = {
        "embed.W_E": numbers(W_E),
        "pos_embed.W_pos": numbers(W_pos),
        **attention,
        "blocks.0.attn.b_O": numbers(b_O, d_model),
        "unembed.W_U": numbers(W_U),
        "unembed.b_U": numbers(b_U, outputs),
    }
    config = Config(d_vocab=vocab, d_vocab_out=outputs, n_ctx=n_ctx, d_model=d_model, d_head=d_head)
    paths = decompose(Model(config, tensors, "0" * 64))
    for computed, symbolic in zip(
        (paths.EU, paths.EVOU, paths.PVOU, paths.EQKE, paths.EQKP),
        (EU, EVOU, PVOU, EQKE, EQKP),
        strict=True,
    ):
        assert np.max(np.abs(computed - numbers(symbolic))) < 1e-12


@pytest.mark.parametrize("biases", [False, True])
def test_agrees_with_pytorch_in_a_causal_forward_pass(biases: bool) -> None:
    torch = pytest.importorskip("torch")
    model = random_model(WIDER, seed=5, biases=biases) if biases else load_model(SHIPPED)
    config = model.config
    tokens = np.random.default_rng(0).integers(0, config.d_vocab, size=(200, config.n_ctx))

    def weight(name: str) -> Any:
        return torch.from_numpy(model.bias(name) if ".b_" in name else model.tensor(name).copy())

    W_Q, W_K, W_V, W_O = (weight(f"blocks.0.attn.W_{letter}") for letter in "QKVO")
    b_Q, b_K, b_V = (weight(f"blocks.0.attn.b_{letter}") for letter in "QKV")
    residual = weight("embed.W_E")[torch.from_numpy(tokens)] + weight("pos_embed.W_pos")
    q = torch.einsum("bim,hmd->bhid", residual, W_Q) + b_Q[None, :, None]
    k = torch.einsum("bim,hmd->bhid", residual, W_K) + b_K[None, :, None]
    v = torch.einsum("bim,hmd->bhid", residual, W_V) + b_V[None, :, None]
    z = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    output = torch.einsum("bhid,hdm->bim", z, W_O) + weight("blocks.0.attn.b_O")
    logits = (residual + output) @ weight("unembed.W_U") + weight("unembed.b_U")
    expected = logits[:, -1].numpy()

    paths = decompose(model)
    computed = np.array([logits_from_paths(paths, tuple(row)) for row in tokens.tolist()])
    assert np.max(np.abs(computed - expected)) < 1e-10 * (1 + np.max(np.abs(expected)))
