"""``certify inspect``: what is in a file, what it looks like, and the command to try."""

import json
import shlex
from pathlib import Path

import foreign
import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_models import general_config, random_tensors, write_npz

from certify.command.group import main
from certify.model.file import load_model, save_model

CONFIG = general_config()


def run(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def bridge(path: Path) -> Path:
    """Write a bridge with a counter beside its weights."""
    state = foreign.bridge(random_tensors(CONFIG))
    return write_npz(path, state | {"steps": np.array(7)})


def test_a_file_is_shown_for_a_reader(tmp_path: Path) -> None:
    path = bridge(tmp_path / "state.npz")
    ended = run("inspect", path)
    assert (ended.exit_code, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == "looks like: a bridge of TransformerLens 4"
    assert "  blocks.0.attn.q.weight [4, 4] float32" in lines
    assert lines[-4:] == [
        "left out: steps: a buffer of int64",
        "missing: the number of heads (--heads H)",
        "missing: the activation of the MLP (--act relu|gelu_new|silu)",
        f"try: certify import {path} --heads H --act relu --out state.safetensors",
    ]


def test_the_object_has_these_keys(tmp_path: Path) -> None:
    path = bridge(tmp_path / "state.npz")
    ended = run("inspect", path, "--json")
    assert (ended.exit_code, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert sorted(found) == ["command", "config", "layout", "missing", "skipped", "tensors"]
    assert found["layout"] == "transformer-lens-4"
    assert found["tensors"]["unembed.weight"] == {"dtype": "float32", "shape": [3, 4]}
    assert (found["config"]["d_vocab"], found["config"]["d_mlp"]) == (4, 5)
    assert "act_fn" not in found["config"]
    assert found["missing"] == [
        {"fact": "the number of heads", "option": "--heads H"},
        {"fact": "the activation of the MLP", "option": "--act relu|gelu_new|silu"},
    ]
    assert found["skipped"] == {"steps": "a buffer of int64"}
    assert found["command"].startswith(f"certify import {path} --heads H --act relu --out ")


@pytest.mark.parametrize("layout", ["transformer-lens", "older", "heads"])
def test_the_command_imports_the_file(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = random_tensors(CONFIG)
    path = write_npz(tmp_path / "a state.npz", foreign.LAYOUTS[layout](expected))
    command = json.loads(run("inspect", path, "--json").stdout)["command"]
    ended = run(*shlex.split(command)[1:])
    assert (ended.exit_code, ended.stderr) == (0, "")
    model = load_model(tmp_path / "a state.safetensors")
    assert model.config == CONFIG
    assert all(np.array_equal(model.tensors[name], tensor) for name, tensor in expected.items())


def test_a_model_file_does_not_replace_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m.safetensors", random_tensors(CONFIG), CONFIG)
    found = json.loads(run("inspect", "m.safetensors", "--json").stdout)
    assert (found["missing"], found["config"]) == ([], CONFIG.as_dict())
    assert found["command"] == "certify import m.safetensors --out model.safetensors"


def test_what_cannot_be_imported_is_still_shown(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "state.npz", {"conv.weight": np.ones((2, 3)), "x\ny": np.ones(2)})
    message = f'{path}: no known layout: tensors "conv.weight", "x\\ny" (known are'
    ended = run("inspect", path)
    assert ended.exit_code == 20
    assert ended.stdout.splitlines() == [
        "looks like: a numpy archive",
        "  conv.weight [2, 3] float64",
        "  x?y [2] float64",
    ]
    assert ended.stderr.startswith(f"certify: {message}")
    ended = run("inspect", path, "--json")
    found = json.loads(ended.stdout)
    assert (ended.exit_code, found["layout"], found["command"]) == (20, None, None)
    assert list(found["tensors"]) == ["conv.weight", "x\ny"]
    damaged = random_tensors(CONFIG) | {"blocks.0.mlp.W_in": np.ones((4, 6), dtype=np.float32)}
    ended = run("inspect", write_npz(path, damaged))
    assert ended.exit_code == 20
    assert ended.stderr.startswith(f"certify: {path}: tensor blocks.0.mlp.")
    assert ended.stderr.count("\n") == 1


def test_several_state_dicts_are_listed(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(one) for name, one in random_tensors(CONFIG).items()}
    path = tmp_path / "record.pt"
    torch.save({"best": state, "last": state}, path)
    ended = run("inspect", path)
    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[1:] == [
        f"to choose from: best: {len(state)} tensors",
        f"to choose from: last: {len(state)} tensors",
        'missing: which of 2 state dicts (--entry, one of "best", "last")',
        f"try: certify import {path} --entry last --out record.safetensors",
    ]
    ended = run("inspect", path, "--entry", "best")
    assert ended.stdout.splitlines()[-1] == (
        f"try: certify import {path} --act relu --entry best --out record.safetensors"
    )


def test_wrong_options_exit_2(tmp_path: Path) -> None:
    path = bridge(tmp_path / "state.npz")
    for arguments in (
        ("inspect", path, "--skip", "none"),
        ("import", path, "--out", tmp_path / "m", "--heads", 2, "--act", "relu", "--eps", "0.1"),
        ("import", path, "--out", tmp_path / "m"),
    ):
        ended = run(*arguments)
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"certify: {path}: ")
        assert ended.stderr.count("\n") == 1
    for option, value in [
        ("--eps", "nan"), ("--eps", "-1"), ("--eps", "x"), ("--eps", "0x"), ("--eps", "inf"),
        ("--attention-mix", "1.5"), ("--heads", "0"), ("--positions", "0"), ("--act", "tanh"),
        ("--normalization", "RMS"), ("--attention-dir", "left"), ("--layout", "mine"),
    ]:  # fmt: skip
        ended = run("import", path, "--out", tmp_path / "m", option, value)
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert f"Invalid value for '{option}'" in ended.stderr
    assert not (tmp_path / "m").exists()


def test_import_says_what_was_assumed_and_left_out(tmp_path: Path) -> None:
    path, out = bridge(tmp_path / "state.npz"), tmp_path / "m.safetensors"
    ended = run("import", path, "--heads", 2, "--act", "relu", "--out", out)
    assert ended.stdout.splitlines() == [
        f"wrote {out}: d_vocab=4 d_vocab_out=3 n_ctx=3 d_model=4 d_head=2 n_heads=2 n_layers=1"
        " d_mlp=5",
        "read as: a bridge of TransformerLens 4, causal attention (assumed: the last position sees"
        " every key either way), scores divided by sqrt(d_head), learned positions, MLP with relu,"
        " no layer norm (assumed: LNPre leaves no trace), readout last; weights as given, nothing"
        " folded or centred",
        "left out: steps (a buffer of int64)",
    ]
    hexadecimal = ("--eps", (1e-5).hex(), "--normalization", "LNPre", "--attention-mix", "0.25")
    ended = run("import", path, "--heads", 2, "--act", "relu", "--out", out, *hexadecimal)
    assert ended.exit_code == 0
    assert "layer norm LNPre with eps 1e-05, pattern 0.25 softmax + 0.75" in ended.stdout
    assert load_model(out).config.variance_offset == 1e-5
