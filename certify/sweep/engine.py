"""Where jobs run: on this machine, or wherever somebody else's engine puts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeAlias

from certify.errors import CertifyError
from certify.sweep.work import Outcome, Processes, Work, contents_of, run

Settle: TypeAlias = Callable[[Work, Outcome | BaseException], None]
"""What is done with an outcome, in a thread that may take its time: check it and keep it.  An
exception ends the sweep: it is no outcome of a job, but what kept it from running.
"""


class Engine(Protocol):
    """Runs jobs, each in a process of its own."""

    def submit(self, work: Work, model: str | None, settle: Settle) -> None:
        """Run a job about a model, which is named by its hash, as soon as there is room."""

    def close(self) -> None:
        """End what is running and forget what waits."""


class LocalEngine:
    """As many processes at a time as there is room for, on this machine."""

    def __init__(
        self,
        jobs: int,
        below: Path,
        read: Callable[[str], bytes],
        files: Mapping[str, bytes],
    ) -> None:
        """Begin; ``below`` is where the folders of jobs go, ``read`` finds a model by its hash."""
        self.pool = ThreadPoolExecutor(jobs, thread_name_prefix="sweep")
        self.below, self.read, self.files = below, read, files
        self.processes = Processes()

    def submit(self, work: Work, model: str | None, settle: Settle) -> None:
        """Run a job, and settle it in the same slot."""

        def at_its_turn() -> None:
            outcome: Outcome | BaseException
            try:
                data = None if model is None else self.read(model)
                outcome = run(work, contents_of(data, self.files), self.below, self.processes)
            except (CertifyError, OSError) as error:
                outcome = error
            if not self.processes.ended:
                settle(work, outcome)

        self.pool.submit(at_its_turn)

    def close(self) -> None:
        """End what runs, and forget what waits."""
        self.processes.end()
        self.pool.shutdown(wait=True, cancel_futures=True)
