"""From a strategy's cells to a certificate on disk that the checker has verified.

There is no exact arithmetic here.  The prover writes a draft whose claims are the weakest possible,
lets the checker
derive what each cell proves and how many operations that takes, copies these numbers into the
certificate, and has
the checker verify the result.  Only then is the file put in its place.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certify.cells.enclosures import Hint, estimates, hints_for, unexplained_dimension
from certify.cells.forest import Cell, weakest
from certify.cells.problem import Problem, Progress
from certify.cells.scaled import EXACT, scale
from certify.cells.slack import slack
from certify.cells.strategies import STRATEGIES, Strategy
from certify.certificate.client import (
    REJECTED,
    run_timed,
    verdict,
)
from certify.certificate.document import (
    FORMAT,
    MAXIMUM_OPERATIONS,
    canonical,
    dyadic,
    statement_of,
    with_bounds,
    within_limit,
)
from certify.certificate.finish import Options, Proved, finish
from certify.errors import Unsupported
from certify.model.config import require_one_layer
from certify.model.file import Model, load_model
from certify.model.paths import decompose
from certify.question.float32 import Float32
from certify.question.scope import Scope

PRECISION = 96
MOST_ATTEMPTS, STRIDE, LARGEST_EFFORT = 6, 10.0, 1000.0
"""How often a strategy may try to use a budget well, and by what its effort changes until the
budget is bracketed.
"""


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
        made = attempt(effort)
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
