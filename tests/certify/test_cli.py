"""The command line: results on standard output, one line and an exit code for every failure."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_models import general_config, random_tensors, write_npz

from certify import __version__
from certify.command.group import main
from certify.model.config import Config
from certify.model.file import load_model, save_model
from certify.question.scope import scope_bytes

CONFIG = Config(d_vocab=3, d_vocab_out=3, n_ctx=2, d_model=2, d_head=2)


def run(*arguments: object) -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="certify")


def require_failure(result: Result, message: str) -> None:
    """Assert one line on standard error, nothing on standard output, exit code 20 and no crash."""
    assert result.stderr == f"certify: {message}\n"
    assert result.stdout == ""
    assert result.exit_code == 20
    assert isinstance(result.exception, SystemExit)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """Return the path of a small model file."""
    path = tmp_path / "model.safetensors"
    save_model(path, random_tensors(CONFIG, seed=1), CONFIG)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("train",),
        ("train", "max-of-k"),
        ("train", "modular-addition"),
        ("train", "balanced-brackets"),
        ("train", "group"),
        ("import",),
        ("inspect",),
        ("evaluate",),
        ("ladder",),
        ("report",),
        ("sweep",),
        ("audit-exp",),
    ],
    ids=" ".join,
)
def test_every_command_has_help(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: certify {' '.join(arguments)}".rstrip())
    assert len(result.stdout.splitlines()) > 8


def test_version() -> None:
    assert run("--version").stdout == f"certify, version {__version__}\n"


def test_evaluate_prints_a_summary(model_file: Path) -> None:
    result = run("evaluate", model_file, "--task", "max-of-k")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = dict(line.split(":", 1) for line in result.stdout.splitlines())
    assert list(lines)[-1] == "near chance"
    assert list(lines)[:-1] == [
        "model",
        "task",
        "inputs",
        "accuracy",
        "wrong",
        "uncertain",
        "smallest margin",
    ]
    assert lines["task"].strip() == "max-of-k, k = 2, vocab 3, scope uniform"
    assert lines["inputs"].strip() == "9, every one evaluated"
    assert lines["accuracy"].endswith("(float64 estimate, not a bound)")


def test_evaluate_samples_on_request(model_file: Path) -> None:
    result = run("evaluate", model_file, "--task", "max-of-k", "--samples", 1000, "--seed", 3)
    assert result.exit_code == 0
    assert "1000 random ones, of a domain of weight 9\n" in result.stdout
    assert "(99% confidence, Clopper-Pearson)\n" in result.stdout
    assert "(float64 estimate, not a bound)\n" in result.stdout


def test_evaluate_prints_json(model_file: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    weights.write_bytes(scope_bytes(((0, 0, 5), (0, 0, 10**30))))
    arguments = ["evaluate", model_file, "--task", "max-of-k", "--json"]
    facts = json.loads(run(*arguments).stdout)
    assert facts["total"] == "9"
    assert facts["inputs"] == 9
    assert facts["model"] == f"sha256:{load_model(model_file).sha256}"
    assert (facts["task"], facts["k"], facts["vocab"], facts["scope"]) == (
        "max-of-k",
        2,
        3,
        "uniform",
    )
    weighted = json.loads(run(*arguments, "--scope", f"product:{weights}").stdout)
    assert weighted["inputs"] == 1
    assert weighted["total"] == "5" + "0" * 30
    assert weighted["correct"] in {"0", weighted["total"]}
    assert weighted["scope"].startswith("product:sha256:")


def test_scope_summary_shows_weights(model_file: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    weights.write_bytes(scope_bytes(((1, 2, 3), (4, 5, 6))))
    result = run("evaluate", model_file, "--task", "max-of-k", "--scope", f"product:{weights}")
    assert result.exit_code == 0
    assert " of 90\n" in result.stdout


def test_import_writes_a_model(tmp_path: Path) -> None:
    source, out = tmp_path / "state.npz", tmp_path / "model.safetensors"
    write_npz(source, random_tensors(CONFIG))
    result = run("import", source, "--out", out)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == (
        f"wrote {out}: d_vocab=3 d_vocab_out=3 n_ctx=2 d_model=2 d_head=2 n_heads=1 n_layers=1"
    )
    assert load_model(out).config == CONFIG


def test_import_reads_a_configuration(tmp_path: Path) -> None:
    config = general_config()
    source, out, given = (
        tmp_path / "state.npz",
        tmp_path / "model.safetensors",
        tmp_path / "config.json",
    )
    write_npz(source, random_tensors(config, seed=1))
    given.write_text(config.canonical_json())
    asked = run("import", source, "--out", out)
    assert (asked.exit_code, asked.stdout) == (2, "")
    assert asked.stderr == (
        f"certify: {source}: the file does not say: the activation of the MLP (--act"
        " relu|gelu_new|silu)\n"
    )
    assert not out.exists()
    result = run("import", source, "--config", given, "--out", out)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1] == (
        "read as: a HookedTransformer of TransformerLens 2 or 3, causal attention, scores divided"
        " by sqrt(d_head), learned positions, MLP with relu, no layer norm, readout last; weights"
        " as given, nothing folded or centred"
    )
    assert load_model(out).config == config


def test_evaluate_spells_the_sizes_of_each_task(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    config = dataclasses.replace(general_config(), d_vocab=2, n_ctx=2)
    save_model(path, random_tensors(config, seed=1), config)
    spelled_facts: list[tuple[str, str, dict[str, Any]]] = [
        ("max-of-k", "k = 2, vocab 2", {"k": 2, "vocab": 2}),
        ("modular-addition", "modulus 2", {"modulus": 2}),
        ("balanced-brackets", "n = 2", {"n": 2}),
        ("argmax", "n = 2, vocab 2, largest first", {"n": 2, "vocab": 2}),
        ("polynomial:2:a*b+1", "modulus 2, of a*b+1", {"modulus": 2, "of": "a*b+1"}),
        ("group:cyclic:2", "group cyclic:2", {"group": "cyclic:2"}),
    ]
    for task, spelled, facts in spelled_facts:
        result = run("evaluate", path, "--task", task)
        name = task.partition(":")[0]
        assert f"{name}, {spelled}, scope uniform\n" in result.stdout
        assert "4, every one evaluated\n" in result.stdout
        printed = json.loads(run("evaluate", path, "--task", task, "--json").stdout)
        assert {key: printed[key] for key in facts} == facts
        assert printed["task"] == name


def test_models_that_a_command_does_not_cover_are_refused_by_name(tmp_path: Path) -> None:
    path, out = tmp_path / "model.safetensors", tmp_path / "out.json"
    config = dataclasses.replace(CONFIG, n_layers=2)
    save_model(path, random_tensors(config), config)
    message = (
        f"{path}: config field n_layers is 2, supported is 1 (one layer, one head, attention only)"
    )
    for command in (("prove", "--strategy", "exact"), ("ladder",)):
        require_failure(
            run(command[0], path, *command[1:], "--task", "max-of-k", "--out", out), message
        )
    assert run("evaluate", path, "--task", "max-of-k").exit_code == 0
    require_failure(
        run("evaluate", path, "--task", "balanced-brackets"),
        "task balanced-brackets is about the values 0 to 1, a token stands for 2"
        " (see --domain and --values)",
    )


def test_train_other_tasks(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "model.safetensors"
    small = ["--heads", 2, "--d-model", 4, "--d-mlp", 4, "--steps", 3, "--out", out]
    result = run(
        "train", "modular-addition", "--modulus", 5, "--attention", "softmax", "--seed", 2, *small
    )
    first, second = result.stdout.splitlines()
    assert first == f"wrote {out}: modular addition, modulus 5, softmax attention, seed 2, 3 steps"
    assert second.startswith("right: ")
    assert " of 25 inputs, smallest margin " in second
    assert run("evaluate", out, "--task", "modular-addition").exit_code == 0
    result = run("train", "modular-addition", "--modulus", 5, "--equals-sign", "--seed", 2, *small)
    assert result.stdout.startswith(
        f"wrote {out}: modular addition, modulus 5, equals sign, softmax attention, seed 2, 3"
        " steps\nright: "
    )
    assert load_model(out).config.d_vocab_out == 6
    chosen = [
        "--act",
        "silu",
        "--normalization",
        "LNPre",
        "--readout",
        "mean-pool-mlp",
        "--layers",
        1,
        "--every",
        2,
    ]
    result = run("train", "balanced-brackets", "--n", 4, *chosen, "--margin", 100, *small)
    assert (
        result.stdout.splitlines()[0]
        == f"wrote {out}: balanced brackets, n 4, readout mean-pool-mlp, seed 0, 3 steps"
    )
    assert result.stdout.splitlines()[1].startswith("smallest margin ")
    assert run("evaluate", out, "--task", "balanced-brackets").exit_code == 0
    odd = ["train", "balanced-brackets", "--n", 5, "--out", out]
    require_failure(run(*odd), "train: n must be even and at most 20, not 5")


def test_train_writes_a_model_that_can_be_evaluated(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "model.safetensors"
    arguments = [
        "train",
        "max-of-k",
        "--k",
        2,
        "--vocab",
        5,
        "--d-model",
        4,
        "--steps",
        10,
        "--lr-decay",
        0.5,
    ]
    result = run(*arguments, "--out", out)
    assert result.exit_code == 0
    wrote, accuracy = result.stdout.splitlines()
    assert wrote == f"wrote {out}: max-of-2, vocab 5, d_model 4, seed 0, 10 steps"
    assert accuracy.endswith(" of 25 inputs wrong (counted in float64)")
    first = out.read_bytes()
    assert run(*arguments, "--out", out).exit_code == 0
    assert out.read_bytes() == first
    assert run("evaluate", out, "--task", "max-of-k").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "No such command 'nonsense'."),
        (("evaluate",), "Missing argument 'MODEL.safetensors'."),
        (("evaluate", "m"), "Missing option '--task'."),
        (
            ("evaluate", "m", "--task", "min-of-k"),
            "Invalid value for '--task': 'min-of-k' is none of max-of-k,",
        ),
        (
            ("evaluate", "m", "--task", "max-of-k", "--scope", "some"),
            "Invalid value for '--scope': 'some' is none of"
            " uniform|product:FILE|min-gap:G|max-copies:C.",
        ),
        (
            ("evaluate", "m", "--task", "max-of-k", "--samples", "0"),
            "Invalid value for '--samples'",
        ),
        (("train", "max-of-k", "--out", "m"), "Missing option '--k'."),
        (("train", "max-of-k", "--k", "0", "--out", "m"), "Invalid value for '--k'"),
        (("train", "max-of-k", "--k", "x", "--out", "m"), "Invalid value for '--k'"),
        (("train", "modular-addition", "--out", "m"), "Missing option '--modulus'."),
        (
            ("train", "modular-addition", "--modulus", "5", "--attention", "hard", "--out", "m"),
            "Invalid value for '--attention'",
        ),
        (
            ("train", "modular-addition", "--modulus", "1", "--equals-sign", "--out", "m"),
            "Invalid value for '--modulus'",
        ),
        (("train", "group", "--out", "m"), "Missing option '--group'."),
        (
            ("train", "group", "--group", "monster:1", "--out", "m"),
            "Invalid value for '--group'",
        ),
        (("train", "balanced-brackets", "--out", "m"), "Missing option '--n'."),
        (
            ("train", "balanced-brackets", "--n", "4", "--act", "tanh", "--out", "m"),
            "Invalid value for '--act'",
        ),
        (
            ("prove", "m", "--task", "argmin", "--out", "c"),
            "Invalid value for '--task': 'argmin' is none of max-of-k,",
        ),
        (
            ("ladder", "m", "--task", "argmax", "--out", "c"),
            "Invalid value for '--task': 'argmax' has no ladder, max-of-k and modular",
        ),
        (("import", "m"), "Missing option '--out'."),
    ],
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert f"Error: {message}" in result.stderr
    assert result.stdout == ""


def test_failures_are_one_line_and_exit_20(model_file: Path, tmp_path: Path) -> None:
    none, empty = tmp_path / "none", tmp_path / "empty"
    empty.write_bytes(b"")
    evaluate = ["--task", "max-of-k"]
    require_failure(run("evaluate", none, *evaluate), f"{none}: no such file")
    require_failure(run("evaluate", tmp_path, *evaluate), f"{tmp_path}: not a regular file")
    require_failure(run("evaluate", empty, *evaluate), f"{empty}: the file is empty")
    require_failure(
        run("evaluate", model_file, *evaluate, "--scope", f"product:{none}"),
        f"{none}: no such file",
    )
    require_failure(run("import", none, "--out", tmp_path / "out"), f"{none}: no such file")
    weights = tmp_path / "weights.json"
    weights.write_bytes(scope_bytes(((1, 1),)))
    require_failure(
        run("evaluate", model_file, *evaluate, "--scope", f"product:{weights}"),
        f"{weights}: field weights has 1 positions, the model has 2",
    )
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_work_is_refused_before_training(tmp_path: Path) -> None:
    train = ["train", "max-of-k", "--k", 2]
    out = tmp_path / "none" / "m.safetensors"
    require_failure(
        run(*train, "--out", out), f"{out}: cannot be written: no folder {tmp_path}/none"
    )
    require_failure(
        run(*train, "--out", tmp_path), f"{tmp_path}: cannot be written: it is a folder"
    )


def test_training_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    out = tmp_path / "m.safetensors"
    message = "training needs PyTorch: pip install torch (the extra certify[train])"
    require_failure(run("train", "max-of-k", "--k", 2, "--out", out), message)
    assert not out.exists()


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    result = run("evaluate", tmp_path / "a\x1b[31m\nb", "--task", "max-of-k")
    require_failure(result, f"{tmp_path}/a?[31m b: no such file")


def test_running_out_of_memory_is_a_failure_not_a_crash(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("certify.api.evaluate_model", fail)
    result = run("evaluate", model_file, "--task", "max-of-k")
    require_failure(result, "not enough memory for this input")


def test_runs_as_a_module(model_file: Path) -> None:
    command = [sys.executable, "-m", "certify", "evaluate", str(model_file), "--task", "max-of-k"]
    finished = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert finished.returncode == 0
    assert finished.stderr == ""
    assert finished.stdout.startswith("model:")
