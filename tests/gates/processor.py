"""Run a program within seconds of the processor, never of the clock.

A busy machine makes every program late and none of them slow, so a test that limits the clock
fails for reasons of its own.  What uses up its seconds ends with the signal SIGXCPU: the return
code is -24.  What waits and does not work is ended after an hour.
"""

from __future__ import annotations

import functools
import resource
import subprocess
from collections.abc import Sequence
from typing import Any

BACKSTOP = 3600


def run(
    line: Sequence[str], seconds: int, *, memory: int | None = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a program that may use so many seconds of the processor, and so many bytes."""
    options = {"check": False, **options}
    limits = functools.partial(_limit, seconds, memory)
    return subprocess.run(line, timeout=BACKSTOP, preexec_fn=limits, **options)


def _limit(seconds: int, memory: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
