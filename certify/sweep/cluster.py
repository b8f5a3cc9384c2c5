"""Jobs on other machines: Dask distributed, an optional library.

Models travel as tasks of their own, each once: a worker that needs one gets it from another that
has it, and if all of these are gone, from the scheduler again.  A worker needs no shared disk and
keeps nothing.  A job whose worker is killed is run again elsewhere; one that comes late gets a
share.

Dask sends pickles, so whoever can reach the scheduler can run programs on every machine that takes
part, this one included.  That a certificate is checked again guards against a worker that is wrong,
not against one that attacks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from typing import Any

from certify.errors import CertifyError, Unsupported
from certify.ladder.climb import FAILED
from certify.sweep.engine import Settle
from certify.sweep.work import Outcome, Work, contents_of, run, sha256, versions

SECONDS_TO_CONNECT = 10


class DaskEngine:
    """Jobs go to the workers of a scheduler; what comes back is settled here."""

    def __init__(
        self, address: str, jobs: int, read: Callable[[str], bytes], files: Mapping[str, bytes]
    ) -> None:
        """Connect to a scheduler at ``HOST:PORT``; ``jobs`` outcomes are settled at a time.

        Errors: ``Unsupported`` where Dask distributed is not installed, ``CertifyError`` where
                nobody answers.
        """
        try:
            distributed: Any = importlib.import_module("distributed")  # slow, and optional
        except ImportError as error:
            raise Unsupported(
                "--engine dask:// needs Dask distributed: pip install distributed"
                " (the extra certify[cluster])"
            ) from error
        try:
            self.client: Any = distributed.Client(f"tcp://{address}", timeout=SECONDS_TO_CONNECT)
        except (OSError, TimeoutError, ValueError) as error:
            raise CertifyError(f"no Dask scheduler answers at {address}") from error
        self.address, self.read, self.files = address, read, dict(files)
        self.pool = ThreadPoolExecutor(jobs, thread_name_prefix="settle")
        self.models: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}
        self.closed = False

    def submit(self, work: Work, model: str | None, settle: Settle) -> None:
        """Send a job to whichever worker is free."""
        future: Any = self.client.submit(
            run_remotely,
            (work.kind, dict(work.identity), work.time_limit),
            None if model is None else self._model(model),
            self.files,
            key=f"{work.kind}-{work.key}",
            pure=False,
            retries=2,
        )
        self.futures[work.key] = future
        future.add_done_callback(partial(self._done, work, settle))

    def _model(self, digest: str) -> Any:
        """Return the task that holds the bytes of a model."""
        if digest not in self.models:
            self.models[digest] = self.client.submit(
                _content, self.read(digest), key=f"model-{digest}", pure=False
            )
        return self.models[digest]

    def _done(self, work: Work, settle: Settle, future: Any) -> None:
        """Hand an outcome on; this runs in a thread of the client, which must not wait."""
        if not self.closed:
            self.pool.submit(self._settle, work, settle, future)

    def _settle(self, work: Work, settle: Settle, future: Any) -> None:
        outcome: Outcome | BaseException
        try:
            outcome = future.result()
        except CancelledError:
            outcome = CertifyError(f"the Dask scheduler at {self.address} is gone")
        except Exception as error:  # noqa: BLE001  (whatever a worker raised is how the job ended)
            lines = str(error).split("\n")
            outcome = Outcome(FAILED, f"{type(error).__name__}: {lines[0]}"[:300])
        self.futures.pop(work.key, None)
        if not self.closed:
            settle(work, outcome)

    def close(self) -> None:
        """Take back what is not done, and leave the scheduler."""
        self.closed = True
        self.client.cancel([*self.futures.values(), *self.models.values()], force=True)
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.client.close()


def _content(data: bytes) -> bytes:
    """Return what it is given: a task that can be repeated, which scattered data cannot."""
    return data


def run_remotely(
    asked: tuple[str, dict[str, Any], float], model: bytes | None, files: Mapping[str, bytes]
) -> Outcome:
    """Return how a job ended on this worker, in a process of its own.

    Ensures: a worker of another version, or with a model that is not the one that is meant, is
             told by a reason.
    """
    work = Work(*asked)
    wanted = {name: work.identity[name] for name in versions()}
    if wanted != dict(versions()):
        told = ", ".join(f"{name} {version[:12]}" for name, version in versions().items())
        return Outcome(FAILED, f"the worker has another version: {told}")
    if model is not None and sha256(model) != work.identity["model"]:
        return Outcome(FAILED, "the model that arrived is not the one that was sent")
    return run(work, contents_of(model, files))
