"""From a strategy's cells to a certificate on disk that the checker has verified.

There is no exact arithmetic here.  The prover writes a draft whose claims are the weakest possible,
lets the checker
derive what each cell proves and how many operations that takes, copies these numbers into the
certificate, and has
the checker verify the result.  Only then is the file put in its place.
"""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certify.archive import archive
from certify.errors import CertifyError, CheckerRejected, ShowsNothing, Unsupported
from certify.files import write_bytes
from certify.float32 import NAME, Float32, slack
from certify.model import Model, load_model, require_one_layer
from certify.paths import decompose
from certify.scope import Scope
from certify.strategies import STRATEGIES, Problem, Strategy
from certify.strategies.enclosures import Hint, estimates, hints_for, unexplained_dimension
from certify.strategies.forest import Cell, weakest
from certify.strategies.problem import Progress
from certify.strategies.scaled import EXACT, scale

FORMAT = "certify.certificate/1"
MAXIMUM_FILE_BYTES = 16 << 20
MAXIMUM_OPERATIONS = 10**11
PRECISION = 96
VERIFIED, REJECTED = 0, 10
NOTHING = "SPEC-9.5"
"""The clause for which the checker refuses a proof that shows nothing."""
MOST_ATTEMPTS, STRIDE, LARGEST_EFFORT = 6, 10.0, 1000.0
"""How often a strategy may try to use a budget well, and by what its effort changes until the
budget is bracketed.
"""


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


def canonical(value: object) -> bytes:
    """Return the one encoding of a certificate: sorted keys, no spaces, ASCII, one newline at the
    end.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def run_checker(
    arguments: Sequence[str], *, inherit_output: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``python -I -S checker.pyz`` on the arguments and return how it ended.

    The file is made of the sources that lie beside this package, so neither a module that has the
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
    """Return the checker beside this package as one file."""
    try:
        return archive()
    except OSError as error:
        raise CertifyError("the package checker is not installed beside certify") from error


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


def statement_of(
    model: Model, scope: Scope, task: str | dict[str, Any], float32: Float32 | None = None
) -> dict[str, Any]:
    """Return the statement of a certificate that claims nothing: the weakest bounds."""
    total = str(scope.total(model.config))
    weights = (
        None
        if scope.weights is None
        else [[str(weight) for weight in row] for row in scope.weights]
    )
    return {
        "architecture": model.config.as_dict(),
        "correct_lower": "0",
        "correct_upper": total,
        "model": f"sha256:{model.sha256}",
        "scope": "uniform" if weights is None else {"product": weights},
        "semantics": NAME if float32 else "real",
        **(float32.statement() if float32 else {}),
        "task": task,
        "total": total,
    }


def draft(
    model: Model,
    scope: Scope,
    strategy: str,
    cells: Sequence[Cell],
    hints: Mapping[str, Hint],
    float32: Float32 | None = None,
) -> dict[str, Any]:
    """Return a certificate with these cells that claims nothing: the weakest bounds and the largest
    budget.
    """
    return {
        "format": FORMAT,
        "statement": statement_of(model, scope, "max-of-k", float32),
        "proof": {
            "cells": weakest(cells, scope.total(model.config)),
            "operations": str(MAXIMUM_OPERATIONS),
            "precision": PRECISION,
            "strategy": strategy,
            **({"paths": dict(hints)} if hints else {}),
        },
    }


def dyadic(numerator: int, exponent: int) -> list[str]:
    """Return ``numerator * 2^exponent`` with an odd mantissa, as the certificate spells it."""
    if numerator == 0:
        return ["0", "0"]
    spare = (numerator & -numerator).bit_length() - 1
    return [str(numerator >> spare), str(exponent + spare)]


def with_claims(drafted: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Return the draft with the bounds and the operations that the checker derived."""
    outcomes = iter(facts["cells"])
    scale_exponent = int(facts["margin_lower_exact"][1])
    cells = []
    for found in drafted["proof"]["cells"]:
        if "children" in found:
            cells.append(found)
            continue
        lower, upper, _, margin = next(outcomes)
        if found["method"] == "extreme":
            cells.append({**found, "margin": dyadic(max(margin or 0, 0), scale_exponent)})
        elif found["method"] == "skip":
            cells.append(found)
        else:
            cells.append({**found, "failures": [lower, upper]})
    return with_bounds(drafted, facts, cells=cells)


def with_bounds(drafted: dict[str, Any], facts: dict[str, Any], **proof: Any) -> dict[str, Any]:
    """Return the draft with the bounds and the operations that the checker derived, and these parts
    of its proof.
    """
    bounds = {key: facts[key] for key in ("correct_lower", "correct_upper")}
    return {
        **drafted,
        "statement": {**drafted["statement"], **bounds},
        "proof": {**drafted["proof"], **proof, "operations": str(facts["operations"]["total"])},
    }


def verdict(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the facts printed by a checker run with ``--json``.

    Errors: ``CheckerRejected`` (``ShowsNothing`` for a proof that shows nothing) or ``Unsupported``
            with the clause, ``CertifyError`` if the checker crashed.
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
    if ended.returncode != REJECTED:
        raise Unsupported(line)
    raise ShowsNothing(line) if facts["rule"] == NOTHING else CheckerRejected(line)


def prove(
    model_file: Path, scope: Scope, strategy: str, out: Path, options: Options, progress: Progress
) -> Proved:
    """Write a certificate for the model at ``out`` and return what it proves.

    Requires: ``strategy`` is a name in ``STRATEGIES``.
    Ensures:  the file at ``out`` has been verified by the checker, or is as it was before.
    Errors:   ``BadInput`` or ``Unsupported`` for the model, the scope or the options;
              ``CheckerRejected`` if the checker does
              not verify what was written, which is a defect of the prover.
    Cost:     that of the strategy, and two runs of the checker; several times that with a budget.
    """
    start = time.monotonic()
    chosen = STRATEGIES[strategy]
    _require_possible(chosen, options)
    model = load_model(model_file)
    require_one_layer(model.config, str(model_file))
    scope.require_fits(model.config)
    hints = hints_for(model, options.enclosures)
    off = slack(model, options.float32) if options.float32 else EXACT
    scaled = scale(decompose(model), estimates(model, hints), off)
    with tempfile.TemporaryDirectory(prefix="certify-") as folder:
        file = Path(folder) / "certificate.json"

        def attempt(effort: float) -> _Attempt:
            checking = 0.0
            for cautious in (True,) if not scaled.trusted else (False, True):
                cells = chosen.build(Problem(model, scope, scaled, effort, cautious, progress))
                progress(model.config.d_vocab, "")
                drafted = draft(model, scope, strategy, cells, hints, options.float32)
                file.write_bytes(within_limit(canonical(drafted)))
                ended, seconds = run_timed([str(model_file), str(file), "--json"])
                checking += seconds
                if ended.returncode != REJECTED or cautious:
                    break
            return _Attempt(drafted, verdict(ended), checking)

        attempts = (
            _within(options.budget, attempt, options.effort)
            if options.budget
            else [attempt(options.effort)]
        )
        best = max(attempts, key=lambda made: int(made.facts["correct_lower"]), default=None)
        if best is None:
            raise Unsupported(
                f"no proof by {strategy} within {options.budget} operations was found"
            )
        data = canonical(with_claims(best.drafted, best.facts))
        report, seconds = finish(model_file, file, data, out)
    prover = time.monotonic() - start - sum(made.seconds for made in attempts) - seconds
    dimension = unexplained_dimension(model.config, strategy, options.enclosures)
    return Proved(best.facts, report, len(data), prover, seconds, dimension)


def last_line(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the line on which a checker gives its verdict, empty if there is none."""
    return (ended.stdout.splitlines() or [""])[-1]


def is_verified(ended: subprocess.CompletedProcess[str]) -> bool:
    """Return whether a checker verified: exit code 0 and the verdict, nothing less."""
    return ended.returncode == VERIFIED and last_line(ended).startswith("s VERIFIED ")


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


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A draft, what the checker derived from it, and how long that took."""

    drafted: dict[str, Any]
    facts: dict[str, Any]
    seconds: float


def _within(budget: int, attempt: Callable[[float], _Attempt], effort: float) -> list[_Attempt]:
    """Return the attempts that keep to the budget: more effort while there is room, less while
    there is not, then between.
    """
    fitting: list[_Attempt] = []
    low, high = 0.0, math.inf
    for _ in range(MOST_ATTEMPTS):
        try:
            made = attempt(effort)
        except ShowsNothing:  # too little effort, whatever it costs
            low = effort
        else:
            if made.facts["operations"]["total"] <= budget:
                fitting.append(made)
                low = effort
            else:
                high = effort
        effort = (
            effort * STRIDE
            if high == math.inf
            else effort / STRIDE
            if low == 0.0
            else math.sqrt(low * high)
        )
        if effort > LARGEST_EFFORT:
            break
    return fitting


def _require_possible(strategy: Strategy, options: Options) -> None:
    """Refuse options that the strategy has no use for."""
    if options.enclosures and not strategy.encloses:
        raise Unsupported(
            f"strategy {strategy.name} needs exact paths: leave out --qk, --ov and --direct"
        )
    if options.budget is not None and not strategy.frugal:
        raise Unsupported(f"strategy {strategy.name} has no way to keep to a --budget")


def run_timed(arguments: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the checker with its progress visible; return how it ended and its wall-clock seconds."""
    start = time.monotonic()
    return run_checker(arguments, inherit_output=sys.stderr.isatty()), time.monotonic() - start


def within_limit(data: bytes) -> bytes:
    """Refuse a certificate larger than the checker reads."""
    if len(data) > MAXIMUM_FILE_BYTES:
        raise Unsupported(
            f"the proof takes {len(data)} bytes, the checker reads at most {MAXIMUM_FILE_BYTES}"
        )
    return data
