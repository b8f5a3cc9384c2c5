"""Strategy ``exhaustive``: every input of a finite domain is evaluated by the checker.  (SPEC 14)

Floats find which inputs are right, how large the margins are, and which precision is needed; the
checker does the
rest, once.  A small draft comes first: the inputs on which floats cannot be trusted and the weakest
of the others, each
a leaf of its own.  It shows what these inputs are, and whether the precision costs margin.  The
claims of the
certificate are then known but for the margins of the other inputs, of which floats minus a little
are claimed, and the
number of operations follows from the formula of SPEC 14.8.  So the whole domain is evaluated by the
checker only once.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.certificate.client import REJECTED, is_verified, last_line, run_timed, verdict
from certify.certificate.document import FORMAT, canonical, dyadic, statement_of, within_limit
from certify.certificate.finish import Proved
from certify.errors import CheckerRejected, Unsupported
from certify.files import write_bytes
from certify.leaves.work import operations_of
from certify.model.config import Config
from certify.model.file import Model, load_model
from certify.model.forward import batch_size
from certify.question.question import Question
from certify.question.scope import Scope
from certify.question.table import tokens_between

STRATEGY = "exhaustive"
MAXIMUM_INPUTS = 1 << 20
PRECISIONS = (64, 96, 128, 192, 256, 512, 1024, 2048, 4096)
TRUSTED, MOST_OPEN, WEAKEST = 1e-6, 1024, 8
MARGIN_BITS = 20
"""Margins are multiples of 2^-20; floats are trusted where a margin is above 1e-6 of the largest,
and of one.
"""

Report = Callable[[float], None]


@dataclass(slots=True)
class _Domain:
    """Every input: its estimate, whether it counts, and what is claimed of it (``margins`` in units
    of 2^-20).
    """

    estimates: NDArray[np.float64]
    counts: NDArray[np.bool_]
    methods: NDArray[np.str_]
    margins: NDArray[np.int64]


def prove_leaves(
    model_file: Path, question: Question, scope: Scope, out: Path, report: Report
) -> Proved:
    """Write a certificate of leaves for the model at ``out`` and return what it proves.

    Ensures: the file at ``out`` has been verified by the checker, or is as it was before.
    Errors:  ``BadInput`` or ``Unsupported`` for the model, the question or the scope;
             ``CheckerRejected`` if no precision
             makes the checker verify what floats say.
    Cost:    the forward pass of every input in floats, and once in the checker.
    """
    start, checking = time.monotonic(), 0.0
    model = load_model(model_file)
    _require_possible(model.config, question, scope)
    domain = _estimated(model, question, scope, report)
    with tempfile.TemporaryDirectory(prefix="certify-") as folder:
        file = Path(folder) / "certificate.json"
        precisions = list(PRECISIONS)
        while precisions:
            surplus, seconds = _pilot(model_file, model, question, scope, domain, precisions, file)
            checking += seconds
            document = _document(model, question, scope, _runs(domain), precisions[0])
            _claim(document, model, scope, domain, precisions[0], surplus)
            data = within_limit(canonical(document))
            file.write_bytes(data)
            report(1.0)
            ended, seconds = run_timed([str(model_file), str(file)])
            checking += seconds
            last = last_line(ended)
            if is_verified(ended):
                write_bytes(out, data)
                prover = time.monotonic() - start - checking
                return Proved(_facts(ended.stdout), ended.stdout, len(data), prover, checking, 0)
            # Somewhere else the precision did not do: what floats said is tried again with more of
            # it.
            if not (ended.returncode == REJECTED or "SPEC-8.2" in last):
                break
            precisions.pop(0)
    raise CheckerRejected(f"the finished certificate was not verified: {last}")


def _require_possible(config: Config, question: Question, scope: Scope) -> None:
    question.require_fits(config)
    scope.require_fits(config)
    if config.d_vocab**config.n_ctx > MAXIMUM_INPUTS:
        raise Unsupported(
            f"strategy {STRATEGY} stops at {MAXIMUM_INPUTS} inputs, here are {config.d_vocab}^{config.n_ctx}"
        )
    if config.d_vocab_out < 2:
        raise Unsupported(
            "a model with a single output cannot be wrong: d_vocab_out must be at least 2"
        )


def _weights(config: Config, scope: Scope) -> Sequence[Sequence[int]]:
    return scope.weights or ((1,) * config.d_vocab,) * config.n_ctx


def _estimated(model: Model, question: Question, scope: Scope, report: Report) -> _Domain:
    """Return the domain with the margins that floats give, and the methods they suggest."""
    config = model.config
    inputs, size = config.d_vocab**config.n_ctx, batch_size(model)
    parts = []
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for begin in range(0, inputs, size):
            parts.append(
                question.margins(model, tokens_between(config, begin, min(begin + size, inputs)))
            )
            report(0.9 * min(begin + size, inputs) / inputs)
    estimates = np.concatenate(parts)
    counts = np.ones(1, dtype=bool)
    for row in _weights(config, scope):
        counts = np.logical_and.outer(counts, np.array([weight > 0 for weight in row])).ravel()
    methods = np.where(estimates > 0, "right", "wrong")
    known = np.where(np.isfinite(estimates), estimates, 0.0)
    margins = (
        np.floor(np.clip(known, 0, 2.0**40) * 2.0**MARGIN_BITS * (1 - 2.0**-30)).astype(np.int64)
        - 4
    )
    return _Domain(estimates, counts, methods, margins)


def _pilot(
    model_file: Path,
    model: Model,
    question: Question,
    scope: Scope,
    domain: _Domain,
    precisions: list[int],
    file: Path,
) -> tuple[int, float]:
    """Settle the inputs on which floats cannot be trusted; return the operations spent on doubling
    precision, and the seconds.

    ``precisions`` loses those that cost margin.
    """
    sizes = np.where(np.isfinite(domain.estimates), np.abs(domain.estimates), 0.0)
    sizes[~domain.counts] = np.inf
    largest = float(np.max(sizes, initial=1.0, where=domain.counts))
    order = np.argsort(sizes, kind="stable")
    doubtful = int(np.count_nonzero(sizes <= TRUSTED * largest))
    if doubtful > MOST_OPEN:
        domain.methods[order[MOST_OPEN:doubtful]] = "skip"
    some = np.concatenate([order[: min(doubtful, MOST_OPEN)], order[doubtful : doubtful + WEAKEST]])
    some = np.sort(some[domain.counts[some]])
    seconds, trusted = 0.0, sizes[some] > TRUSTED * largest
    while True:
        leaves = []
        end = 0
        for index in some.tolist():
            leaves += [_leaf(index - end, "skip")] if index > end else []
            leaves.append(_leaf(1, "either"))
            end = index + 1
        leaves += [_leaf(len(sizes) - end, "skip")] if end < len(sizes) else []
        file.write_bytes(
            within_limit(canonical(_document(model, question, scope, leaves, precisions[0])))
        )
        ended, spent = run_timed([str(model_file), str(file), "--json"])
        seconds += spent
        facts = verdict(ended)
        outcomes = [
            cell
            for cell, leaf in zip(facts["cells"], leaves, strict=False)
            if leaf["method"] == "either"
        ]
        margins = np.array(
            [-1 if cell[3] is None else cell[3] for cell in outcomes], dtype=np.float64
        )
        expected = domain.estimates[some] * 2.0**MARGIN_BITS
        lossy = trusted & (expected > 0) & ~(margins >= expected * (1 - 2.0**-24) - 4)
        undecided = [cell[0] != cell[2] and cell[1] != "0" for cell in outcomes]
        if (
            not (lossy.any() or (np.array(undecided, dtype=bool) & trusted).any())
            or len(precisions) == 1
        ):
            break
        precisions.pop(0)
    for index, cell, is_open in zip(some.tolist(), outcomes, undecided, strict=True):
        domain.methods[index] = "skip" if is_open else "right" if cell[1] == "0" else "wrong"
        domain.margins[index] = cell[3] or 0
    return facts["operations"]["total"] - operations_of(model, some, precisions[0]), seconds


def _leaf(inputs: int, method: str, margin: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"inputs": str(inputs), "method": method}
    return found if margin is None else {**found, "margin": dyadic(margin, -MARGIN_BITS)}


def _runs(domain: _Domain) -> list[dict[str, Any]]:
    """Return one leaf for each run of inputs with the same method; inputs that do not count go with
    those before them.
    """
    counted = np.flatnonzero(domain.counts)
    methods = domain.methods[counted]
    first = np.flatnonzero(np.concatenate([[True], methods[1:] != methods[:-1]]))
    starts = [0, *counted[first[1:]].tolist(), len(domain.counts)]
    least = np.minimum.reduceat(domain.margins[counted], first).tolist()
    return [
        _leaf(end - begin, method, max(margin, 0) if method == "right" else None)
        for begin, end, method, margin in zip(
            starts, starts[1:], methods[first].tolist(), least, strict=False
        )
    ]


def _document(
    model: Model, question: Question, scope: Scope, leaves: list[dict[str, Any]], precision: int
) -> dict[str, Any]:
    """Return a certificate with these leaves that claims nothing else."""
    return {
        "format": FORMAT,
        "statement": statement_of(model, scope, question.spelled),
        "proof": {
            "leaves": leaves,
            "operations": str(10**11),
            "precision": precision,
            "strategy": STRATEGY,
        },
    }


def _claim(
    document: dict[str, Any],
    model: Model,
    scope: Scope,
    domain: _Domain,
    precision: int,
    surplus: int,
) -> None:
    """Fill in the bounds that the leaves prove, and the operations that this takes."""
    config = model.config
    sums: dict[str, int] = {}
    weights = _weights(config, scope)
    for method in ("right", "wrong"):
        chosen = np.flatnonzero((domain.methods == method) & domain.counts)
        if scope.weights is None:
            sums[method] = len(chosen)
            continue
        tokens = np.stack(
            np.unravel_index(chosen, (config.d_vocab,) * config.n_ctx), axis=1
        ).tolist()
        sums[method] = sum(
            math.prod(row[t] for row, t in zip(weights, one, strict=True)) for one in tokens
        )
    total = scope.total(config)
    document["statement"] |= {
        "correct_lower": str(sums["right"]),
        "correct_upper": str(total - sums["wrong"]),
    }
    evaluated = np.flatnonzero((domain.methods != "skip") & domain.counts)
    read = sum(
        int(leaf["inputs"]) for leaf in document["proof"]["leaves"] if leaf["method"] != "skip"
    )
    operations = operations_of(model, evaluated, precision) + 2 * config.n_ctx * (
        read - len(evaluated)
    )
    document["proof"]["operations"] = str(operations + surplus)


def _facts(printed: str) -> dict[str, Any]:
    """Return the facts that the checker printed in words: the verdict's fields and the operations."""
    counts, said = (
        dict(word.partition("=")[::2] for word in line.split()[2:])
        for line in printed.splitlines()[-2:]
    )
    total = sum(int(counts[key]) for key in ("mul", "add", "cmp", "exp"))
    return {**said, "operations": {"total": total}}
