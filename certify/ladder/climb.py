"""The ladder: prove and check one model in many ways, and compare proof length with tightness.

Every rung is a run of ``certify prove`` in a process of its own and then a run of the checker on
the certificate that it wrote; bounds and proof lengths are the checker's, never the prover's.  A
rung that is refused, fails, proves nothing or takes too long becomes a row with the reason.
Nothing here is trusted: each certificate can be checked on its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from certify.certificate.client import VERIFIED, run_checker
from certify.certificate.document import MAXIMUM_FILE_BYTES
from certify.errors import CertifyError, CheckerRejected, ProvesNothing, UnusedOption
from certify.files import read_bytes
from certify.ladder.rung import Rung
from certify.model.config import Config
from certify.model.file import Model, file_of
from certify.progress import Progress, silent
from certify.question.question import Question

FAILED, STOPPED, NOT_RUN, PROVES_NOTHING = "FAILED", "STOPPED", "NOT RUN", "PROVES 0"
OUTCOMES = {
    VERIFIED: "VERIFIED",
    UnusedOption.exit_code: NOT_RUN,
    CheckerRejected.exit_code: "REJECTED",
    ProvesNothing.exit_code: PROVES_NOTHING,
    CertifyError.exit_code: "DECLINED",
}
"""What becomes of a rung, by the exit code of ``certify prove``."""

Details = Callable[[Mapping[str, Any]], dict[str, int | None]]
"""What a family tells of a proof beside its bounds, from the object ``proof`` of a certificate."""

Seconds = tuple[float, float, float]
"""Of the prover, of the checker, and of the checker's processor."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the checker derived from a rung's certificate, its size in bytes, and wall-clock
    seconds.

    ``processor_seconds``: of the checker, on all processors.

    ``smallest`` and ``median``: margins that hold for all, and for at least half, of the inputs
    proved right; None if there are none.  ``details``: what the family tells of the proof beside
    that.
    """

    operations: int
    lower: int
    upper: int
    bytes: int
    prover_seconds: float
    checker_seconds: float
    processor_seconds: float = 0.0
    multiplications: int = 0
    smallest: Fraction | None = None
    median: Fraction | None = None
    details: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of one rung: a proof if the verdict is VERIFIED, else the reason why there is
    none.  The verdict PROVES 0 stands for the bounds 0 and all inputs.
    """

    rung: Rung
    verdict: str
    reason: str = ""
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rows of one model, in the order in which they were run."""

    model_sha256: str
    config: Config
    rows: tuple[Row, ...]
    question: Question

    @property
    def task(self) -> str:
        """Return the task, as the checker's option spells it."""
        return self.question.label

    @property
    def total(self) -> int:
        """Return the number of inputs."""
        return self.question.domain.inputs

    def proved(self) -> list[tuple[Rung, Proof]]:
        """Return the rungs that were verified."""
        return [(row.rung, row.proof) for row in self.rows if row.proof is not None]

    def best_upper(self) -> int:
        """Return the least upper bound that any rung proved: the truth, if a rung is exact."""
        return min((proof.upper for _, proof in self.proved()), default=self.total)

    def best_lower(self) -> int:
        """Return the greatest lower bound that any rung proved."""
        return max((proof.lower for _, proof in self.proved()), default=0)

    def frontier(self) -> list[tuple[Rung, Proof]]:
        """Return the rungs that no other one beats: as short and tighter, or shorter and as tight.
        By length.
        """
        best, found = -1, []
        for rung, proof in sorted(
            self.proved(), key=lambda pair: (pair[1].operations, -pair[1].lower)
        ):
            if proof.lower > best:
                best = proof.lower
                found.append((rung, proof))
        return found


def climb(
    model: Model,
    question: Question,
    asked: Sequence[str],
    run: Sequence[Rung],
    listed: Sequence[Rung],
    time_limit: float,
    details: Details,
    folder: Path | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> Ladder:
    """Return the ladder of one model: every rung of ``run`` proved and checked, those of ``listed``
    as not run.

    Requires: ``model`` was read from a file; ``question`` was read for it, and ``asked`` are the
              words that ask it on the command line; ``jobs`` is how many processes a run of the
              checker may use, of which there is one at a time; ``progress`` is told the name of the
              next rung.
    Ensures:  one row for each rung; the certificates are kept in ``folder`` if there is one, one
              file a rung.
    Cost:     each rung at most ``time_limit`` seconds of ``certify prove``, which checks too, and
              as many of checking again.
    """
    model_file = file_of(model)
    rows = []
    with contextlib.ExitStack() as stack:
        kept = folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="certify-ladder-"))
        )
        for done, rung in enumerate(run):
            progress(done, len(run), rung.name)
            out = kept / f"{file_name(rung)}.json"
            rows.append(run_rung(model_file, asked, rung, out, time_limit, details, jobs))
        progress(len(run), len(run), "")
    skipped = [Row(rung, NOT_RUN, "expensive: run with --all") for rung in listed]
    return Ladder(model.sha256, model.config, (*rows, *skipped), question)


def file_name(rung: Rung) -> str:
    """Return the name of the rung as a file name, without an ending."""
    words = "".join(c if c.isalnum() or c in "._+" else " " for c in rung.name).split()
    return "-".join(words)


def run_rung(
    model_file: Path,
    asked: Sequence[str],
    rung: Rung,
    out: Path,
    time_limit: float,
    details: Details,
    jobs: int = 1,
) -> Row:
    """Return the row of one rung, whatever becomes of it."""
    command = [
        "prove",
        str(model_file),
        *asked,
        *rung.arguments(),
        "--out",
        str(out),
        f"--jobs={jobs}",
        "--json",
    ]
    ended = _run_certify(command, time_limit)
    if ended is None:
        return Row(rung, STOPPED, f"no proof within {time_limit:g} s")
    code, facts, errors = ended
    if code != VERIFIED:
        return Row(rung, OUTCOMES.get(code, FAILED), _reason(code, errors))
    try:
        prover_seconds = float(json.loads(facts)["prover_seconds"])
    except (ValueError, KeyError, TypeError):
        return Row(rung, FAILED, "certify prove printed no facts")
    start, used = time.monotonic(), _processor_seconds()
    checked = run_checker(
        [
            f"--time-limit={max(1, round(time_limit))}",
            f"--jobs={jobs}",
            "--json",
            "--",
            str(model_file),
            str(out),
        ]
    )
    seconds = (prover_seconds, time.monotonic() - start, _processor_seconds() - used)
    return _checked(rung, checked, read_bytes(out, MAXIMUM_FILE_BYTES), seconds, details)


def _processor_seconds() -> float:
    """Return what all ended child processes have used, which other work on the machine hardly
    changes.
    """
    spent = os.times()
    return spent.children_user + spent.children_system


def _checked(
    rung: Rung,
    ended: subprocess.CompletedProcess[str],
    data: bytes,
    seconds: Seconds,
    details: Details,
) -> Row:
    """Return the row of a rung whose certificate the checker has looked at."""
    try:
        facts = json.loads(ended.stdout.splitlines()[-1])
        if ended.returncode != VERIFIED or facts["verdict"] != "VERIFIED":
            return Row(
                rung,
                OUTCOMES.get(ended.returncode, FAILED),
                f"the checker: {facts['rule']}: {facts['why']}",
            )
        lower, upper = int(facts["correct_lower"]), int(facts["correct_upper"])
        operations, multiplications = (int(facts["operations"][key]) for key in ("total", "mul"))
        margins = _margins(facts["cells"], int(facts["margin_lower_exact"][1]))
        told = details(json.loads(data)["proof"])
    except (ValueError, KeyError, TypeError, IndexError):
        return Row(rung, FAILED, f"the checker crashed (exit {ended.returncode})")
    proof = Proof(operations, lower, upper, len(data), *seconds, multiplications, *margins, told)
    return Row(rung, "VERIFIED", "", proof)


def _margins(
    cells: Iterable[Sequence[Any]], exponent: int
) -> tuple[Fraction | None, Fraction | None]:
    """Return a margin that all inputs proved right have, and the largest that at least half of them
    are shown to have.

    Requires: ``cells`` as the checker prints them: failures at least and at most, size, a margin
              over ``2^-exponent`` or None.
    """
    shown = sorted(
        ((int(m), int(size) - int(upper)) for _, upper, size, m in cells if m is not None),
        reverse=True,
    )
    half, reached = Fraction(sum(weight for _, weight in shown), 2), 0
    for margin, weight in shown:
        reached += weight
        if reached >= half > 0:
            return shown[-1][0] * Fraction(2) ** exponent, margin * Fraction(2) ** exponent
    return None, None


def _run_certify(arguments: Sequence[str], time_limit: float) -> tuple[int, str, str] | None:
    """Run ``certify`` in a process of its own; return exit code, standard output and error, or None
    if out of time.

    Ensures: no process and no temporary file that it started is left, those of checkers included,
             however this ends.
    """
    with tempfile.TemporaryDirectory(prefix="certify-rung-", ignore_cleanup_errors=True) as scratch:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "certify", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": scratch},
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=time_limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    return process.returncode, output, errors


def _reason(code: int, errors: str) -> str:
    """Return the last line on standard error, without the name of the program before it."""
    last = (
        [line.strip() for line in errors.splitlines() if line.strip()]
        or [f"exit {code}, and no message"]
    )[-1]
    return last.removeprefix("certify: ").removeprefix("Error: ")[:300]
