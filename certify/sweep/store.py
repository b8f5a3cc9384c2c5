"""The folder of a sweep: everything that is known, by content, and a lock.

============================  ==========================================================
``models/HASH.safetensors``   models, by their sha256
``certificates/HASH.json``    certificates, by their sha256
``jobs/KEY.json``             how a job ended, by the sha256 of all that it depends on
``running/``                  folders of jobs at work; what a killed sweep left is removed
``lock``                      held by the sweep that is at work
``results.json`` and others   written from ``jobs/`` (``certify.sweep.results``)
============================  ==========================================================

A record is written last, in one step: a job is either done, or will be run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from certify.canonical import canonical
from certify.errors import BadInput, Unsupported
from certify.files import read_bytes, write_bytes
from certify.model.file import MAXIMUM_FILE_BYTES as LARGEST_MODEL
from certify.sweep.work import TRAINED, VERIFIED, Work, sha256

Record = dict[str, Any]
LARGEST_RECORD = 1 << 24
OF_EVERY_JOB = ("verdict", "reason", "seconds", "place", "time_limit")
OF_A_JOB = {
    VERIFIED: ("fields", "operations", "line", "bytes", "certificate", "checked-by"),
    TRAINED: ("made_model",),
}
"""What a record must have, and what besides by verdict."""
FOLDERS = ("models", "certificates", "jobs", "running")


class Store:
    """A folder that holds what sweeps have found."""

    def __init__(self, folder: Path) -> None:
        """Name a folder; ``opened`` makes it."""
        self.folder = folder

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder, which is made if it is not there, and clear what a killed sweep left.

        Errors: ``BadInput`` if it cannot be made; ``Unsupported`` if another sweep holds it.
        """
        try:
            for name in FOLDERS:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            stream = (self.folder / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{self.folder}: cannot be written: {error.strerror}") from error
        with stream:
            self._lock(stream)
            self._clear()
            yield

    def _lock(self, stream: IO[str]) -> None:
        """Take the lock; the system gives it back however this process ends."""
        try:
            _lock_file(stream)
        except OSError:
            stream.seek(0)
            holder = stream.read().strip() or "an unknown process"
            raise Unsupported(
                f"{self.folder}: another sweep is at work in this folder: {holder}"
            ) from None
        stream.seek(0)
        stream.truncate()
        stream.write(f"process {os.getpid()}\n")
        stream.flush()

    def _clear(self) -> None:
        """Remove what a killed sweep left: folders of jobs, and files that it had not finished."""
        for left in self.running.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        for name in ("", *FOLDERS):
            for part in (self.folder / name).glob(".*.part"):
                part.unlink(missing_ok=True)

    @property
    def running(self) -> Path:
        """Return the folder for folders of jobs."""
        return self.folder / "running"

    def record(self, work: Work) -> Record | None:
        """Return how a job ended, None if it is not done."""
        path = self.folder / "jobs" / f"{work.key}.json"
        if not path.is_file():
            return None
        try:
            found = json.loads(read_bytes(path, LARGEST_RECORD))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path}: not a record of a sweep: {error}") from error
        needed = {*OF_EVERY_JOB, *OF_A_JOB.get(_verdict(found), ())}
        missing = needed - set(found) if isinstance(found, dict) else needed
        if missing:
            raise BadInput(f"{path}: not a record of a sweep: {min(missing)} is missing")
        record: Record = found
        return record

    def keep_record(self, work: Work, record: Mapping[str, Any]) -> None:
        """Write how a job ended: from here on it is done."""
        write_bytes(self.folder / "jobs" / f"{work.key}.json", canonical(record))

    def model_file(self, digest: str) -> Path:
        """Return where a model is, or would be."""
        return self.folder / "models" / f"{digest}.safetensors"

    def certificate_file(self, digest: str) -> Path:
        """Return where a certificate is, or would be."""
        return self.folder / "certificates" / f"{digest}.json"

    def keep_model(self, data: bytes) -> str:
        """Keep a model and return its hash."""
        return _keep(data, self.model_file(sha256(data)))

    def keep_certificate(self, data: bytes) -> str:
        """Keep a certificate and return its hash."""
        return _keep(data, self.certificate_file(sha256(data)))

    def model(self, digest: str) -> bytes:
        """Return the bytes of a model.

        Errors: ``BadInput`` if they are not what they were.
        """
        return _kept(self.model_file(digest), digest, LARGEST_MODEL)

    def has(self, record: Record) -> bool:
        """Return whether the file that a record tells of is there, if it tells of one."""
        model, certificate = record.get("made_model"), record.get("certificate")
        return (model is None or self.model_file(model).is_file()) and (
            certificate is None or self.certificate_file(certificate).is_file()
        )


def _verdict(found: object) -> str:
    return str(found.get("verdict")) if isinstance(found, dict) else ""


def read_model(path: Path) -> bytes:
    """Return the bytes of a model file.

    Errors: ``BadInput``.
    """
    return read_bytes(path, LARGEST_MODEL)


def _keep(data: bytes, path: Path) -> str:
    if not path.is_file():
        write_bytes(path, data)
    return path.stem


def _kept(path: Path, digest: str, maximum: int) -> bytes:
    data = read_bytes(path, maximum)
    if sha256(data) != digest:
        raise BadInput(f"{path}: the content is not what its name says")
    return data


def _lock_file(stream: IO[str]) -> None:
    """Lock a file for this process alone.

    Errors: ``OSError`` if another process has it.
    """
    try:
        import fcntl  # noqa: PLC0415  (not on every system)
    except ImportError:
        import msvcrt  # noqa: PLC0415

        stream.seek(1 << 20)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
