"""The checker as a separate process: run it, and read what it says.  It is never imported."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from certify.archive import archive
from certify.errors import BadInput, CertifyError, CheckerRejected, Unsupported

VERIFIED, USAGE, REJECTED = 0, 2, 10
NOTHING = "SPEC-9.5"
"""The clause that refuses a proof which shows nothing."""


def cores() -> int:
    """Return how many processes the checker may use unless told: one for each core that this
    process may run on, or one where processes cannot be forked.
    """
    if not hasattr(os, "fork"):
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_checker(
    arguments: Sequence[str], *, inherit_output: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``python -I -S checker.pyz`` on the arguments and return how it ended.

    The file is made of the sources that came with this package, so neither a module that has the
    name of one of the standard library's, nor compiled code beside the sources, is ever run.  The
    checker is never imported.
    ``inherit_output`` lets its progress through to the terminal; standard output is always
    captured.
    Errors: ``CertifyError`` if there is no checker.
    """
    with tempfile.TemporaryDirectory(prefix="certify-checker-") as folder:
        file = Path(folder) / "checker.pyz"
        file.write_bytes(_checker())
        return subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(file), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if inherit_output else subprocess.PIPE,
            text=True,
            check=False,
        )


@functools.cache
def _checker() -> bytes:
    """Return the checker that came with this package as one file."""
    try:
        return archive()
    except OSError as error:
        raise CertifyError("the sources of the checker are not installed with certify") from error


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker verified: the fields of its last line, the operations that it counted, its
    whole report, and its wall-clock seconds.
    """

    fields: Mapping[str, str]
    operations: int
    report: str
    seconds: float

    @property
    def correct_lower(self) -> int:
        """Return how many inputs, or how much weight, is right at least."""
        return int(self.fields["correct_lower"])

    @property
    def correct_upper(self) -> int:
        """Return how many inputs, or how much weight, is right at most."""
        return int(self.fields["correct_upper"])

    @property
    def total(self) -> int:
        """Return the number of all inputs, or their whole weight."""
        return int(self.fields["total"])

    @property
    def accuracy_lower(self) -> Fraction:
        """Return the accuracy that is certain."""
        return Fraction(self.correct_lower, self.total)

    @property
    def accuracy_upper(self) -> Fraction:
        """Return the accuracy that cannot be exceeded."""
        return Fraction(self.correct_upper, self.total)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a run of the checker ended: exit code, standard output and error, wall-clock seconds."""

    code: int
    report: str
    errors: str
    seconds: float

    @property
    def last_line(self) -> str:
        """Return the line on which the checker gives its verdict, empty if there is none."""
        return (self.report.splitlines() or [""])[-1]

    @property
    def verified(self) -> bool:
        """Return whether it verified: exit code 0 and the verdict in words, nothing less."""
        return self.code == VERIFIED and self.last_line.startswith("s VERIFIED ")

    def facts(self) -> dict[str, Any]:
        """Return the facts of a run with ``--json``.

        Errors: ``CheckerRejected`` or ``Unsupported`` with the clause, ``CertifyError`` if the
                checker crashed.
        """
        found = self._object()
        if self.code == VERIFIED and found["verdict"] == "VERIFIED":
            return found
        line = f"the checker {found['verdict'].lower()} the proof: {found['rule']}: {found['why']}"
        raise CheckerRejected(line) if self.code == REJECTED else Unsupported(line)

    def verdict(self) -> Verdict:
        """Return the verdict of a run in words.

        Errors: ``CheckerRejected`` or ``Unsupported`` with the clause, ``BadInput`` for options
                that the checker does not take, ``CertifyError`` if it crashed.
        """
        if self.verified:
            counts = next(
                line for line in self.report.splitlines() if line.startswith("c operations ")
            )
            work = _pairs(counts)
            length = sum(int(work[key]) for key in ("mul", "add", "cmp", "exp"))
            return Verdict(_pairs(self.last_line), length, self.report, self.seconds)
        if self.last_line.startswith(("s REJECTED ", "s DECLINED ")):
            _, word, why = self.last_line.split(" ", 2)
            line = f"the checker {word.lower()} the certificate: {why}"
            raise CheckerRejected(line) if self.code == REJECTED else Unsupported(line)
        if self.code == USAGE:
            said = (self.errors.splitlines() or [""])[-1]
            raise BadInput(f"the checker was asked for what it does not know: {said}")
        raise self._crashed()

    def shows_nothing(self) -> bool:
        """Return whether a run with ``--json`` found a proof that shows nothing at all.

        Errors: ``CertifyError`` if the checker crashed.
        """
        found = self._object()
        if found["verdict"] != "VERIFIED":
            return self.code == REJECTED and bool(found["rule"] == NOTHING)
        return is_nothing(found)

    def _object(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.last_line)
        except ValueError:
            raise self._crashed() from None
        return found

    def _crashed(self) -> CertifyError:
        return CertifyError(f"the checker crashed (exit {self.code}): {self.errors[-200:]}")


def is_nothing(bounds: Mapping[str, Any]) -> bool:
    """Return whether these bounds hold for every model."""
    return int(bounds["correct_lower"]) == 0 and bounds["correct_upper"] == bounds["total"]


def _pairs(line: str) -> dict[str, str]:
    """Return the ``key=value`` words of a line, in whatever order they come."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def ask(
    model: Path | str, certificate: Path | str, *options: str, inherit_output: bool | None = None
) -> Answer:
    """Return how the checker ended on two files.

    ``inherit_output``: whether its progress goes to the terminal; if standard error is one, unless
    told.
    Errors: ``CertifyError`` if there is no checker.
    """
    shown = sys.stderr.isatty() if inherit_output is None else inherit_output
    start = time.monotonic()
    ended = run_checker([*options, "--", str(model), str(certificate)], inherit_output=shown)
    seconds = time.monotonic() - start
    return Answer(ended.returncode, ended.stdout, ended.stderr or "", seconds)
