"""The checker as a separate process: run it, and read what it says.  It is never imported."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from certify.errors import CertifyError, CheckerRejected, Unsupported

VERIFIED, REJECTED = 0, 10


def run_checker(
    arguments: Sequence[str], *, inherit_output: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``python -S -m checker`` on the arguments and return how it ended.

    The checker is found beside this package and run with nothing but the standard library; it is
    never imported.
    ``inherit_output`` lets its progress through to the terminal; standard output is always
    captured.
    Errors: ``CertifyError`` if there is no checker.
    """
    spec = importlib.util.find_spec("checker")
    if spec is None or not spec.submodule_search_locations:
        raise CertifyError("the package checker is not installed beside certify")
    environment = {**os.environ, "PYTHONPATH": str(Path(spec.submodule_search_locations[0]).parent)}
    return subprocess.run(
        [sys.executable, "-S", "-m", "checker", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if inherit_output else subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )


def verdict(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the facts printed by a checker run with ``--json``.

    Errors: ``CheckerRejected`` or ``Unsupported`` with the clause, ``CertifyError`` if the checker
            crashed.
    """
    try:
        facts: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise CertifyError(
            f"the checker crashed (exit {ended.returncode}): {(ended.stderr or '')[-200:]}"
        ) from None
    if ended.returncode == VERIFIED and facts["verdict"] == "VERIFIED":
        return facts
    line = f"the checker {facts['verdict'].lower()} the proof: {facts['rule']}: {facts['why']}"
    raise CheckerRejected(line) if ended.returncode == REJECTED else Unsupported(line)


def last_line(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the line on which a checker gives its verdict, empty if there is none."""
    return (ended.stdout.splitlines() or [""])[-1]


def is_verified(ended: subprocess.CompletedProcess[str]) -> bool:
    """Return whether a checker verified: exit code 0 and the verdict, nothing less."""
    return ended.returncode == VERIFIED and last_line(ended).startswith("s VERIFIED ")


def run_timed(arguments: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the checker with its progress visible; return how it ended and its wall-clock seconds."""
    start = time.monotonic()
    return run_checker(arguments, inherit_output=sys.stderr.isatty()), time.monotonic() - start
