"""The fixtures of tests/data, through the whole tool: poor models, ties, imported models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import certify
from certify.command import main
from certify.model.file import load_model

DATA = Path(__file__).parent.parent / "data"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        pytest.param("max-of-4-300-steps", 15942273, marks=pytest.mark.slow),
        ("max-of-4-accuracy-98", 16464412),
    ],
)
def test_poor_models_are_decided_exactly(name: str, right: int, tmp_path: Path) -> None:
    proved = certify.prove(
        DATA / f"{name}.safetensors", task="max-of-k", strategy="exact", out=tmp_path / "c.json"
    )
    assert proved.verdict.correct_lower == proved.verdict.correct_upper == right


def test_tied_answers_are_wrong_and_exact_ends(tmp_path: Path) -> None:
    file = DATA / "max-of-4-ties.safetensors"
    model = load_model(file)
    unembed = model.tensor("unembed.W_U")
    assert np.array_equal(unembed[:, 40], unembed[:, 41])
    proved = certify.prove(file, task="max-of-k", strategy="exact", out=tmp_path / "c.json")
    assert proved.verdict.correct_lower == proved.verdict.correct_upper
    # Float evaluation sees the same ties, because the two logits go through the same operations.
    estimate = certify.evaluate(model, task="max-of-k")
    assert proved.verdict.correct_lower == estimate.inputs - estimate.wrong
    lost = sum((m + 1) ** 4 - m**4 for m in (40, 41))
    assert estimate.wrong >= lost


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_hooked_transformer_is_imported_proved_and_verified(suffix: str, tmp_path: Path) -> None:
    model, certificate = tmp_path / "model.safetensors", tmp_path / "c.json"
    for arguments in (
        ["import", DATA / f"hooked-transformer-state.{suffix}", "--out", model],
        ["prove", model, "--task", "max-of-k", "--out", certificate],
        ["verify", model, certificate],
    ):
        ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("s VERIFIED task=max-of-k k=2 vocab=5 ")
    assert load_model(model).bias("unembed.b_U").any()
