"""The most memory that a run of the checker holds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from certify.archive import archive

_MEASURE = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(ended.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A program that runs another one: memory of a child counts what its parent held when it was
started, so the parent has to be small.
"""
_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts."""


def mebibytes_of_checker(arguments: Sequence[str]) -> float:
    """Return the most memory, in MiB, that the checker holds when it is run on these arguments.

    Requires: the checker verifies.
    """
    with tempfile.TemporaryDirectory(prefix="certify-checker-") as folder:
        file = Path(folder) / "checker.pyz"
        file.write_bytes(archive())
        run = [sys.executable, "-I", "-S", "-B", str(file), *arguments]
        found = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MEASURE, *run],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    code, most = map(int, found.stdout.split())
    if code != 0:
        raise SystemExit(f"benchmarks: the checker ended with exit code {code}")
    return most * _UNIT / (1 << 20)
