"""One job of a sweep: what it is about, its key, and how it runs in a process of its own.

A job is three things that any machine can be sent: JSON, the model's bytes and the bytes of files
that texts refer to.  It runs in a folder of its own, in which all of them lie under fixed names,
so what it says never depends on where that folder is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certify import __version__
from certify.archive import archive
from certify.canonical import canonical
from certify.errors import CertifyError
from certify.ladder.climb import FAILED, STOPPED
from certify.sweep.plan import CERTIFICATE, MODEL, OUTCOME, WORK

TRAIN, PROVE, CHECK = "train", "prove", "check"
TRAINED, VERIFIED = "TRAINED", "VERIFIED"
MOST_REASON = 300
"""The longest reason that is kept."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Every job has one core: libraries are told so here, ``child.ONE_CORE`` tells certify."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job: what to do, everything that its result depends on, and how long it may take.

    ``identity`` is JSON, the time limit no part of it: a proof that was found within a short time
    is the one that is found within a long one.
    """

    kind: str
    identity: Mapping[str, Any]
    time_limit: float

    @property
    def key(self) -> str:
        """Return the sha256 of all that the result depends on, in hexadecimal."""
        return hashlib.sha256(canonical({"kind": self.kind, **self.identity})).hexdigest()

    def of_kind(self, kind: str) -> Work:
        """Return another job about the same."""
        return Work(kind, self.identity, self.time_limit)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    ``data``: the model or the certificate that it made.  ``facts``: what the checker verified of a
    certificate.  ``seconds`` by what took them.  ``place``: the machine and the process.
    """

    verdict: str
    reason: str = ""
    data: bytes | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    place: str = ""


@functools.cache
def versions() -> Mapping[str, str]:
    """Return what a result depends on besides the job: certify's version and the checker's bytes.

    Errors: ``CertifyError`` if there is no checker.
    """
    try:
        return {"certify": __version__, "checker": sha256(archive())}
    except OSError as error:
        raise CertifyError("the package checker is not installed beside certify") from error


def sha256(data: bytes) -> str:
    """Return a hash in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class Processes:
    """The processes that are at work, so that all of them can be ended."""

    def __init__(self) -> None:
        """Begin with none."""
        self.lock, self.ended = threading.Lock(), False
        self.alive: set[subprocess.Popen[str]] = set()

    def add(self, process: subprocess.Popen[str]) -> None:
        """Take a process in; it is ended at once if all are."""
        with self.lock:
            self.alive.add(process)
            if self.ended:
                _end_group(process)

    def remove(self, process: subprocess.Popen[str]) -> None:
        """Forget a process that has ended."""
        with self.lock:
            self.alive.discard(process)

    def end(self) -> None:
        """End all, and each that comes."""
        with self.lock:
            self.ended = True
            for process in self.alive:
                _end_group(process)


def run(
    work: Work,
    contents: Mapping[str, bytes],
    below: Path | None = None,
    processes: Processes | None = None,
) -> Outcome:
    """Return how a job ended that ran in a process of its own.

    Requires: ``contents``: the files of its folder by name: ``model.safetensors``, for a check
              ``certificate.json``, and those that texts refer to.  The folder is made below
              ``below``, or where temporary files are.  ``processes`` is told of the process.
    Ensures:  neither the folder nor a process is left; if this process is killed, so is the job's.
              A crash is an outcome, FAILED with its last line.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(
        dir=below, prefix=f"{work.kind}-", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name).resolve()  # the process works there, and keeps its own files there
        for file, data in contents.items():
            (folder / file).write_bytes(data)
        asked = {"kind": work.kind, "identity": work.identity, "time_limit": work.time_limit}
        (folder / WORK).write_bytes(canonical(asked))
        code, errors = run_module(
            "certify.sweep.child", folder, work.time_limit, processes or Processes()
        )
        outcome = _outcome(folder, work, code, errors)
    seconds = {**outcome.seconds, work.kind: round(time.monotonic() - start, 3)}
    place = f"{platform.node()}:{os.getpid()}"
    return dataclasses.replace(outcome, seconds=seconds, place=place)


def run_module(
    module: str, folder: Path, time_limit: float, processes: Processes
) -> tuple[int | None, str]:
    """Return exit code and standard error of a module that runs in a folder, in a process of its
    own; None if it was out of time.

    Requires: the module ends itself when its standard input is closed (``child.end_with_parent``):
              that is a pipe whose other end is here, so that nothing runs on when this process is
              killed.
    """
    source = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": source, "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    watched = process.stdin
    process.stdin = None  # communicate would close it
    processes.add(process)
    try:
        _, errors = process.communicate(timeout=time_limit)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        _end_group(process)
        process.communicate()
        processes.remove(process)
        if watched is not None:
            watched.close()
    return process.returncode, errors


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started, those of checkers included."""
    if process.poll() is not None:
        return
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _outcome(folder: Path, work: Work, code: int | None, errors: str) -> Outcome:
    """Return what a process left in its folder; what it did not say is a failure."""
    if code is None:
        return Outcome(STOPPED, f"not done within {work.time_limit:g} s")
    try:
        said = json.loads((folder / OUTCOME).read_bytes())
        made = said["made"]
        data = None if made is None else (folder / str(made)).read_bytes()
        return Outcome(
            str(said["verdict"]),
            str(said["reason"])[:MOST_REASON],
            data,
            dict(said["facts"]),
            dict(said["seconds"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Outcome(FAILED, _last_line(code, errors))


def _last_line(code: int, errors: str) -> str:
    """Return why a process failed: its signal, or the last line that it wrote."""
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return (lines or [f"exit {code}, and no message"])[-1][:MOST_REASON]


def contents_of(
    model: bytes | None, files: Mapping[str, bytes], certificate: bytes | None = None
) -> dict[str, bytes]:
    """Return the files of a job's folder."""
    given = {MODEL: model, CERTIFICATE: certificate}
    return {**files, **{name: data for name, data in given.items() if data is not None}}
