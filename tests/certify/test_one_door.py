"""One row adds a family: it then proves and verifies through the command line, and nothing else is
edited.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import networks
import pytest
import toy_family
from click.testing import CliRunner
from models import Model
from test_exhaustive import margins_of

import certify
from certify import families
from certify.command import main
from certify.errors import UnusedOption


@pytest.fixture
def model() -> Model:
    return networks.of(random.Random("toy"), {"mlp": "relu"}, vocab=3, n=3, outputs=3)


@pytest.fixture
def model_file(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(model.bytes)
    return path


@pytest.fixture(autouse=True)
def _one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILIES", (toy_family.FAMILY, *families.FAMILIES))


def run(*arguments: object) -> tuple[int, list[str], str]:
    """Return exit code, lines of standard output, and standard error."""
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return ended.exit_code, ended.stdout.splitlines(), ended.stderr


@pytest.mark.parametrize("named", [(), ("--strategy", "one-by-one", "--effort", "2")])
def test_it_proves_and_verifies(
    named: tuple[str, ...], model: Model, model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    code, lines, errors = run("prove", model_file, "--task", "argmax", *named, "--out", out)
    assert (code, errors) == (0, "")
    right = sum(bool(margin > 0) for margin in margins_of(model, "argmax"))
    assert f"correct_lower={right} correct_upper={right} " in lines[-1]
    assert lines[0].startswith("strategy one-by-one: ")
    assert run("verify", model_file, out, "--task", "argmax")[1][-1] == lines[-1]
    assert json.loads(out.read_text())["proof"]["strategy"] == "one-by-one"


def test_it_is_shown_and_listed(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run("prove", model_file, "--task", "argmax", "--out", out)[0] == 0
    code, lines, _ = run("show", out)
    assert code == 0
    assert "strategy one-by-one" in lines[4]
    assert any("right or wrong" in line and "27" in line for line in lines)
    listed = run("strategies")[1]
    assert any("one-by-one" in line for line in listed)
    assert any("argmax, input by input" in line for line in listed)


def test_other_strategies_of_the_task_stay(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ["prove", model_file, "--task", "argmax", "--out", out]
    assert run(*arguments, "--strategy", "exhaustive")[0] == 0
    assert json.loads(out.read_text())["proof"]["strategy"] == "exhaustive"
    code, _, errors = run(*arguments, "--strategy", "exact")
    assert code == 20
    assert "has no strategy exact, it has one-by-one, exhaustive" in errors


def test_its_options_are_asked_of_its_row(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ["prove", model_file, "--task", "argmax", "--out", out]
    code, lines, errors = run(*arguments, "--budget", 10)
    assert (code, lines, out.exists()) == (2, [], False)
    assert errors == "certify: strategy one-by-one has no use for --budget\n"


def test_larger_models_go_to_the_next_family(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(networks.of(random.Random(1), {}, vocab=3, n=4, outputs=4).bytes)
    assert run("prove", path, "--task", "argmax", "--out", tmp_path / "out.json")[0] == 0
    assert json.loads((tmp_path / "out.json").read_text())["proof"]["strategy"] == "exhaustive"


def test_the_python_functions_know_it(model_file: Path) -> None:
    certificate = certify.prove(model_file, task="argmax")
    assert certificate.document["proof"]["strategy"] == "one-by-one"
    assert certify.verify(model_file, certificate).total == 27
    with pytest.raises(UnusedOption, match="--qk"):
        certify.prove(model_file, task="argmax", enclosures={"qk": "exact"})
