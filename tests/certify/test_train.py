"""Training is reproducible, restores PyTorch's settings and refuses nonsense."""

import sys

import numpy as np
import pytest

from certify.errors import BadInput, Unsupported
from certify.model.config import Config
from certify.model.file import encode_model
from certify.training.max_of_k import Recipe, train_max_of_k


def test_the_same_seed_gives_the_same_bytes() -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    first = encode_model(*train_max_of_k(3, 8, 4, Recipe(seed=7, steps=20)))
    torch.manual_seed(123)
    second = encode_model(*train_max_of_k(3, 8, 4, Recipe(seed=7, steps=20)))
    other = encode_model(*train_max_of_k(3, 8, 4, Recipe(seed=8, steps=20)))
    assert first == second
    assert first != other
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_configuration_and_shapes() -> None:
    pytest.importorskip("torch")
    tensors, config = train_max_of_k(3, 8, 4, Recipe(steps=1))
    assert config == Config(d_vocab=8, d_vocab_out=8, n_ctx=3, d_model=4, d_head=4)
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    assert tensors["blocks.0.attn.W_Q"].shape == (1, 4, 4)


def test_the_loss_falls() -> None:
    pytest.importorskip("torch")
    losses: list[float] = []
    train_max_of_k(2, 8, 16, Recipe(steps=200), lambda _, loss: losses.append(loss))
    assert losses[-1] < losses[0] / 2


def test_learning_rate_falls_only_over_the_last_part() -> None:
    assert {Recipe(steps=10).learning_rate_at(step) for step in range(10)} == {0.001}
    decaying = Recipe(steps=10, decay=0.5)
    rates = [round(decaying.learning_rate_at(step), 12) for step in range(10)]
    assert rates == [0.001] * 6 + [0.0008, 0.0006, 0.0004, 0.0002]


@pytest.mark.parametrize(
    ("arguments", "recipe", "message"),
    [
        ((0, 8, 4), Recipe(), "train: k must be at least 1, not 0"),
        ((2, 0, 4), Recipe(), "train: vocab must be at least 1, not 0"),
        ((2, 8, 0), Recipe(), "train: d-model must be at least 1, not 0"),
        ((2, 8, 4), Recipe(steps=0), "train: steps must be at least 1, not 0"),
        ((2, 8, 4), Recipe(batch=0), "train: batch must be at least 1, not 0"),
        ((2, 8, 4), Recipe(decay=1.5), "train: lr must be positive and lr-decay between 0 and 1"),
        (
            (2, 8, 4),
            Recipe(learning_rate=0.0),
            "train: lr must be positive and lr-decay between 0 and 1",
        ),
        (
            (2, 8, 4),
            Recipe(learning_rate=float("nan")),
            "train: lr must be positive and lr-decay between 0 and 1",
        ),
        ((2, 8, 4), Recipe(seed=-1), "train: seed must be between 0 and 2^63 - 1"),
        ((2, 8, 4), Recipe(seed=1 << 63), "train: seed must be between 0 and 2^63 - 1"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: tuple[int, int, int], recipe: Recipe, message: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        train_max_of_k(*arguments, recipe)
    assert str(refusal.value) == message
    assert refusal.value.exit_code == 20


def test_divergence_is_reported() -> None:
    pytest.importorskip("torch")
    with pytest.raises(BadInput) as refusal:
        train_max_of_k(2, 8, 4, Recipe(steps=30, learning_rate=1e30))
    assert str(refusal.value).startswith("train: diverged, tensor ")


def test_without_pytorch_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Unsupported) as refusal:
        train_max_of_k(2, 8, 4)
    assert (
        str(refusal.value) == "training needs PyTorch: pip install torch (the extra certify[train])"
    )
    assert refusal.value.exit_code == 20
