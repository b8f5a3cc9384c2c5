"""Networks with one hidden layer are written as a transformer that computes exactly the same."""

import itertools
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from small_models import write_npz

from certify.errors import BadInput, CertifyError, Unsupported, WrongOption
from certify.model.facts import Told
from certify.model.file import Model, load_model, save_model
from certify.model.forward import logits
from certify.model.importers import read_model
from certify.model.tensors import Tensor

State = dict[str, Tensor]


def network(vocab: int, width: int, neurons: int, answers: int, dtype: str = "float32") -> State:
    """Return a network with random entries, biases included."""
    generator = np.random.default_rng(3)
    shapes = {
        "W_x": (vocab, width),
        "W_y": (vocab, width),
        "W": (2 * width, neurons),
        "b": (neurons,),
        "W_U": (neurons, answers),
        "b_U": (answers,),
    }
    return {name: generator.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def direct(state: State, x: int, y: int) -> list[Fraction]:
    """Return the logits by the definition, in exact arithmetic; ReLU."""
    exact = {
        name: [[Fraction(float(entry)) for entry in row] for row in np.atleast_2d(tensor)]
        for name, tensor in state.items()
    }
    stacked = exact["W_x"][x] + exact["W_y"][y]
    if "W" not in exact:
        pairs = zip(exact["W_x"][x], exact["W_y"][y], strict=True)
        before = [a + b for a, b in pairs]
    else:
        before = _times(stacked, exact["W"])
    bias = exact.get("b", [[Fraction(0)] * len(before)])[0]
    hidden = [max(a + b, Fraction(0)) for a, b in zip(before, bias, strict=True)]
    out = _times(hidden, exact["W_U"])
    final = exact.get("b_U", [[Fraction(0)] * len(out)])[0]
    return [a + b for a, b in zip(out, final, strict=True)]


def through_the_transformer(tensors: State, x: int, y: int) -> list[Fraction]:
    """Return the logits at the second of two positions in exact arithmetic, every weight of
    attention 1; ReLU.
    """
    exact = {
        name.rpartition(".")[2]: [
            [Fraction(float(entry)) for entry in row]
            for row in np.atleast_2d(tensor[0] if tensor.ndim == 3 else tensor)
        ]
        for name, tensor in tensors.items()
    }
    streams = [
        [a + b for a, b in zip(exact["W_E"][token], exact["W_pos"][place], strict=True)]
        for place, token in enumerate((x, y))
    ]
    added = [_times(_times(stream, exact["W_V"]), exact["W_O"]) for stream in streams]
    stream = [sum(parts) for parts in zip(streams[1], *added, strict=True)]
    bias = exact.get("b_in", [[Fraction(0)] * len(exact["W_in"][0])])[0]
    before = _times(stream, exact["W_in"])
    hidden = [max(a + b, Fraction(0)) for a, b in zip(before, bias, strict=True)]
    written = _times(hidden, exact["W_out"])
    assert not any(_times(stream, exact["W_U"])), "the direct path is not zero"
    out = _times([a + b for a, b in zip(stream, written, strict=True)], exact["W_U"])
    final = exact.get("b_U", [[Fraction(0)] * len(out)])[0]
    return [a + b for a, b in zip(out, final, strict=True)]


def _times(row: list[Fraction], matrix: list[list[Fraction]]) -> list[Fraction]:
    """Return a row times a matrix."""
    return [
        sum((a * b for a, b in zip(row, column, strict=True) if a and b), Fraction(0))
        for column in zip(*matrix, strict=True)
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize(
    ("vocab", "width", "neurons", "answers"),
    [(4, 2, 3, 4), (3, 5, 4, 2), (2, 3, 2, 5), (3, 1, 1, 1)],
)
@pytest.mark.parametrize("form", ["beside", "sum", "no biases"])
def test_every_logit_is_exactly_that_of_the_network(
    tmp_path: Path, vocab: int, width: int, neurons: int, answers: int, dtype: str, form: str
) -> None:
    state = network(vocab, neurons if form == "sum" else width, neurons, answers, dtype)
    if form == "sum":
        del state["W"], state["b"]
    if form == "no biases":
        del state["b"], state["b_U"]
    path = write_npz(tmp_path / "state.npz", state)
    imported = read_model(path, None, Told(act="relu"))
    for x, y in itertools.product(range(vocab), repeat=2):
        assert through_the_transformer(imported.tensors, x, y) == direct(state, x, y)
    assert all(tensor.dtype == dtype for tensor in imported.tensors.values())
    numbers = {0.0, 1.0, -1.0}
    for tensor in state.values():
        numbers |= {float(entry) for one in (tensor, -tensor) for entry in one.ravel()}
    for tensor in imported.tensors.values():
        assert {float(entry) for entry in tensor.ravel()} <= numbers


@pytest.mark.parametrize("act", ["relu", "gelu_new", "silu"])
def test_the_forward_pass_agrees(tmp_path: Path, act: str) -> None:
    state = network(6, 4, 5, 7)
    imported = read_model(write_npz(tmp_path / "state.npz", state), None, Told(act=act))
    save_model(tmp_path / "m.safetensors", imported.tensors, imported.config)
    model = load_model(tmp_path / "m.safetensors")
    pairs = np.array(list(itertools.product(range(6), repeat=2)))
    wide = {name: tensor.astype(np.float64) for name, tensor in state.items()}
    before = np.hstack([wide["W_x"][pairs[:, 0]], wide["W_y"][pairs[:, 1]]]) @ wide["W"] + wide["b"]
    active = {
        "relu": np.maximum(before, 0),
        "silu": before / (1 + np.exp(-before)),
        "gelu_new": before
        / 2
        * (1 + np.tanh((2 / np.pi) ** 0.5 * (before + 0.044715 * before**3))),
    }[act]
    expected = active @ wide["W_U"] + wide["b_U"]
    assert np.abs(logits(model, pairs) - expected).max() < 1e-12
    assert (model.config.mix, model.config.n_ctx, model.config.act_fn) == (0.0, 2, act)


def test_the_smaller_of_two_forms_is_taken(tmp_path: Path) -> None:
    for vocab, width, expected in [(3, 20, 3), (20, 3, 3)]:
        state = network(vocab, width, 4, 5)
        path = write_npz(tmp_path / "state.npz", state)
        assert read_model(path, None, Told(act="relu")).config.d_head == expected


def linear(state: State, names: dict[str, str]) -> State:
    """Return a network as modules of PyTorch, matrices with outputs first."""
    return {
        names[name]: tensor.T if name in ("W", "W_U") else tensor for name, tensor in state.items()
    }


@pytest.mark.parametrize(
    "names",
    [
        ("embedding1.weight", "embedding2.weight", "linear.weight", "linear.bias",
         "unembedding.weight", "unembedding.bias"),
        ("Embedding_left.weight", "Embedding_right.weight", "linear.weight", "linear.bias",
         "Umbedding.weight", "Umbedding.bias"),
        ("embedding1.weight", "embedding2.weight", "linear1.weight", "linear1.bias",
         "linear2.weight", "linear2.bias"),
        ("lembed.weight", "rembed.weight", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"),
    ],
)  # fmt: skip
def test_modules_of_pytorch_are_transposed(tmp_path: Path, names: tuple[str, ...]) -> None:
    state = network(3, 2, 4, 5)
    renamed = linear(state, dict(zip(state, names, strict=True)))
    told = Told(act="relu")
    found = read_model(write_npz(tmp_path / "modules.npz", renamed), None, told)
    expected = read_model(write_npz(tmp_path / "state.npz", state), None, told)
    assert found.config == expected.config
    for name, tensor in expected.tensors.items():
        assert np.array_equal(found.tensors[name], tensor)


def test_one_linear_layer_after_a_sum_is_the_unembedding(tmp_path: Path) -> None:
    state = network(3, 4, 4, 5)
    names = {"W_x": "embedding1.weight", "W_y": "embedding2.weight", "W_U": "linear.weight"}
    renamed = linear({name: state[name] for name in names}, names)
    path = write_npz(tmp_path / "state.npz", renamed | {"linear.bias": state["b_U"]})
    imported = read_model(path, None, Told(act="relu"))
    del state["W"], state["b"]
    for x, y in itertools.product(range(3), repeat=2):
        assert through_the_transformer(imported.tensors, x, y) == direct(state, x, y)


def test_tables_that_are_multiplied_are_refused(tmp_path: Path) -> None:
    state = network(3, 4, 4, 5)
    names = {"W_x": "W_E_a", "W_y": "W_E_b", "W_U": "W_U"}
    path = write_npz(tmp_path / "state.npz", {names[name]: state[name] for name in names})
    with pytest.raises(Unsupported, match="a network that multiplies its embeddings"):
        read_model(path, None, Told(act="relu"))


def test_it_is_said_that_it_was_written_anew(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "state.npz", network(3, 2, 4, 5))
    with pytest.raises(WrongOption, match=re.escape("the activation of the MLP (--act relu|")):
        read_model(path)
    notes = read_model(path, None, Told(act="relu")).notes
    assert "re-expressed exactly as one layer of attention with all weights 1" in notes
    assert "one hidden layer on two one-hot inputs, the two embeddings beside each other" in notes


@pytest.mark.parametrize(
    ("change", "failure", "message"),
    [
        ({"W": (2, 4)}, Unsupported, "the matrix after the embeddings has 2 rows, supported are 4"),
        ({"W": (4, 3)}, BadInput, "the unembedding reads 4 neurons, the hidden layer has 3"),
        ({"W_y": (4, 2)}, Unsupported, "the two tables have 3 and 4 tokens"),
        ({"b": (5,)}, BadInput, "a bias has shape [5], expected [4]"),
        ({"b_U": (1, 5)}, BadInput, "tensor b_U has shape [1, 5], expected 1 axes"),
        ({"W_U": (4,)}, BadInput, "tensor W_U has shape [4], expected 2 axes"),
        ({"W_U": None, "W": None}, BadInput, "two tables of embeddings, but no other matrix"),
        ({"W": None, "b": None, "W_U": (3, 5)}, BadInput, "the unembedding reads 3 neurons"),
        ({"W_E_a": (3, 2)}, BadInput, "two tensors stand for E_x"),
        ({"W2": (4, 4)}, BadInput, 'tensor "W2" is not part of this architecture'),
        ({"W_x": (3, 600), "W_y": (3, 600), "W": (1200, 4)}, Unsupported, "supported is at most"),
    ],
)
def test_other_networks_are_refused(
    tmp_path: Path,
    change: dict[str, tuple[int, ...] | None],
    failure: type[CertifyError],
    message: str,
) -> None:
    state = network(3, 2, 4, 5)
    for name, shape in change.items():
        state.pop(name, None)
        if shape is not None:
            state[name] = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    path = write_npz(tmp_path / "state.npz", state)
    with pytest.raises(failure) as refusal:
        read_model(path, None, Told(act="relu"))
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "told",
    [
        Told(normalization="LN"),
        Told(eps=0.1),
        Told(heads=1),
        Told(attention_dir="causal"),
        Told(attention_mix=0.5),
        Told(positions=2),
        Told(tied_unembed=True),
    ],
)
def test_options_about_attention_say_nothing_here(tmp_path: Path, told: Told) -> None:
    path = write_npz(tmp_path / "state.npz", network(3, 2, 4, 5))
    with pytest.raises(WrongOption, match="the model has one hidden layer and no attention"):
        read_model(path, None, told)


def test_the_model_alone_is_what_is_evaluated(tmp_path: Path) -> None:
    state = network(5, 3, 4, 5)
    imported = read_model(write_npz(tmp_path / "state.npz", state), None, Told(act="relu"))
    model = Model(imported.config, imported.tensors, "")
    pairs = np.array([(1, 2), (4, 4)])
    for (x, y), row in zip(pairs, logits(model, pairs), strict=True):
        assert np.allclose(row, [float(entry) for entry in direct(state, x, y)], atol=1e-12)
