"""``--jobs`` reaches the checker, and changes nothing but the time it takes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import networks
import pytest
from click.testing import CliRunner

import certify
from certify.certificate import client
from certify.command.group import main


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(
        networks.of(random.Random("jobs"), {"mlp": "relu"}, vocab=4, n=4, outputs=4).bytes
    )
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the numbers of processes that the checker is run with."""
    found, true = list[str](), client.run_checker

    def run(arguments: Any, **options: Any) -> Any:
        found.extend(word for word in arguments if word.startswith("--jobs"))
        return true(arguments, **options)

    monkeypatch.setattr(client, "run_checker", run)
    return found


def run(*words: object) -> str:
    ended = CliRunner().invoke(main, [str(word) for word in words])
    assert ended.exit_code == 0, ended.output
    return ended.stdout.splitlines()[-1]


def test_commands_pass_on_how_many(model_file: Path, tmp_path: Path, asked: list[str]) -> None:
    out = tmp_path / "certificate.json"
    lines = set[str]()
    for jobs in (1, 3):
        lines.add(run("prove", model_file, "--task", "max-of-k", "--jobs", jobs, "--out", out))
        assert set(asked) == {f"--jobs={jobs}"}
        lines.add(run("verify", model_file, out, "--jobs", jobs))
        assert set(asked) == {f"--jobs={jobs}"}
        asked.clear()
    assert len(lines) == 1


def test_all_cores_are_used_unless_told(
    model_file: Path, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda number: {0, 1, 2, 3, 4})
    certificate = certify.prove(model_file, task="max-of-k")
    certify.verify(model_file, certificate)
    certify.verify(model_file, certificate, jobs=2)
    run("prove", model_file, "--task", "max-of-k", "--out", tmp_path / "certificate.json")
    assert asked[-1] == asked[0] == "--jobs=5"
    assert "--jobs=2" in asked


def test_one_where_nothing_can_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.fork")
    assert client.cores() == 1


def test_no_jobs_is_a_usage_error(model_file: Path) -> None:
    ended = CliRunner().invoke(main, ["verify", str(model_file), "c.json", "--jobs", "0"])
    assert ended.exit_code == 2
    assert "--jobs" in ended.stderr
