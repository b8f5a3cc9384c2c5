"""A sweep on a real Dask scheduler with real workers: one is killed, one comes late."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_models import random_tensors
from waiting import wait_until

from certify.errors import CertifyError
from certify.model.config import Config
from certify.model.file import save_model
from certify.sweep.cluster import run_remotely
from certify.sweep.run import run_sweep
from certify.sweep.work import versions

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
CONFIG = Config(d_vocab=3, d_vocab_out=3, n_ctx=2, d_model=2, d_head=2)
TEXT = """
task = "max-of-k"
[[models]]
files = ["*.safetensors"]
[[strategies]]
name = ["exact", "count"]
"""
BACKSTOP = 600.0


@contextlib.contextmanager
def dask(kind: str, *arguments: object, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a scheduler or a worker, in a folder of its own, and end it."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", f"distributed.cli.dask_{kind}", *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """Run a scheduler on a free port of this machine, and yield its address, ``HOST:PORT``."""
    told = folder / "scheduler.json"
    options = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", told)
    with dask("scheduler", *options, folder=folder / "scheduler") as process:

        def is_up() -> bool:
            assert process.poll() is None
            return told.is_file() and bool(told.read_text())

        wait_until(is_up, "the scheduler")
        yield json.loads(told.read_text())["address"].removeprefix("tcp://")


def worker(
    address: str, folder: Path
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Run a worker with one thread, which is one process: to kill it is to kill the machine."""
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", folder)
    return dask("worker", f"tcp://{address}", *options, folder=folder)


def places(out: Path) -> set[str]:
    """Return the process identifiers of the workers whose results were kept."""
    found = set()
    for path in (out / "jobs").glob("*.json"):
        found.add(json.loads(path.read_text())["place"].rpartition(":")[2])
    return found


def wait_for(out: Path, done: int, sweep: subprocess.Popen[bytes]) -> None:
    """Wait until so many jobs are done."""

    def is_done() -> bool:
        assert sweep.poll() is None
        return len(list((out / "jobs").glob("*.json"))) >= done

    wait_until(is_done, f"{done} results")


@pytest.mark.slow
def test_a_worker_is_killed_and_another_comes_late(tmp_path: Path) -> None:
    for seed in range(4):
        save_model(tmp_path / f"{seed}.safetensors", random_tensors(CONFIG, seed=seed), CONFIG)
    file, out, local = tmp_path / "sweep.toml", tmp_path / "out", tmp_path / "local"
    file.write_text(TEXT)
    run_sweep(file, out=local, jobs=2)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(scheduler(tmp_path))
        engine = f"dask://{address}"
        first = stack.enter_context(worker(address, tmp_path / "first"))
        stack.enter_context(worker(address, tmp_path / "second"))
        sweep = subprocess.Popen(
            [sys.executable, "-m", "certify", "sweep", file, "--out", out, "--engine", engine],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        wait_for(out, 2, sweep)
        first.kill()
        first.wait()
        late = stack.enter_context(worker(address, tmp_path / "late"))
        assert sweep.wait(timeout=BACKSTOP) == 0
        assert str(late.pid) in places(out)
    for name in ("results.json", "results.csv"):
        assert (out / name).read_bytes() == (local / name).read_bytes()
    for name in ("models", "certificates", "jobs"):
        assert sorted(path.name for path in (out / name).iterdir()) == sorted(
            path.name for path in (local / name).iterdir()
        )


@pytest.mark.slow
def test_nobody_at_the_address_is_a_line(tmp_path: Path) -> None:
    save_model(tmp_path / "0.safetensors", random_tensors(CONFIG, seed=0), CONFIG)
    file = tmp_path / "sweep.toml"
    file.write_text(TEXT)
    out, engine = tmp_path / "out", "dask://127.0.0.1:1"
    ended = subprocess.run(
        [sys.executable, "-m", "certify", "sweep", file, "--out", out, "--engine", engine],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == CertifyError.exit_code
    assert ended.stderr.splitlines()[-1] == ("certify: no Dask scheduler answers at 127.0.0.1:1")


def test_a_worker_of_another_version_says_so() -> None:
    identity = {"model": "0" * 64, **versions(), "checker": "1" * 64}
    ended = run_remotely(("prove", identity, 1.0), b"", {})
    assert (ended.verdict, ended.data) == ("FAILED", None)
    assert ended.reason.startswith("the worker has another version: certify ")


def test_a_model_that_is_not_the_one_that_is_meant_is_not_proved() -> None:
    ended = run_remotely(("prove", {"model": "0" * 64, **versions()}, 1.0), b"other", {})
    assert (ended.verdict, ended.reason) == (
        "FAILED",
        "the model that arrived is not the one that was sent",
    )
