"""From a finished document to a file that the checker has verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certify.certificate.client import (
    is_verified,
    last_line,
    run_timed,
)
from certify.errors import CheckerRejected
from certify.files import write_bytes
from certify.question.float32 import Float32


@dataclass(frozen=True, slots=True)
class Proved:
    """A finished certificate: its facts as the checker derived them, and where the time went, in
    seconds.
    """

    facts: dict[str, Any]
    report: str
    size: int
    prover_seconds: float
    checker_seconds: float
    unexplained_dimension: int


@dataclass(frozen=True, slots=True)
class Options:
    """How a strategy is to work.

    ``effort``: more of it, a tighter bound and a longer check.  ``budget``: the most operations
    that the checker may need.
    ``enclosures``: the name of an enclosure for each path (qk, ov, direct) that is not multiplied
    out.
    ``float32``: claim what every execution in float32 does, with such an exp; None for real
    arithmetic.
    """

    effort: float = 1.0
    budget: int | None = None
    enclosures: Mapping[str, str] = field(default_factory=dict)
    float32: Float32 | None = None


def finish(model_file: Path, file: Path, data: bytes, out: Path) -> tuple[str, float]:
    """Have the checker verify a finished certificate, put it at ``out``, and return the checker's
    report and its seconds.

    ``file`` is where it may lie meanwhile.
    Errors: ``CheckerRejected`` unless the checker verifies it; ``out`` is then as it was before.
    """
    file.write_bytes(data)
    ended, seconds = run_timed([str(model_file), str(file)])
    if not is_verified(ended):
        raise CheckerRejected(f"the finished certificate was not verified: {last_line(ended)}")
    write_bytes(out, data)
    return ended.stdout, seconds
