"""The files of a ladder: JSON and CSV, a row for each rung."""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from typing import Any

from certify import __version__
from certify.decimals import cut, raised
from certify.ladder.climb import PROVES_NOTHING, Ladder, Proof, Row
from certify.ladder.form import Form

FORMAT = "certify.ladder/1"
DIGITS = 15


def facts(ladder: Ladder, form: Form) -> dict[str, Any]:
    """Return the ladder as JSON values; exact integers that may be large are strings."""
    best = {"correct_lower": str(ladder.best_lower()), "correct_upper": str(ladder.best_upper())}
    rows = [
        {**row_facts(ladder, row, form), **form.more_of_row(ladder, row)} for row in ladder.rows
    ]
    return {
        "format": FORMAT,
        "certify": __version__,
        "model": f"sha256:{ladder.model_sha256}",
        "task": ladder.task,
        **ladder.question.domain.unusual,
        "scope": "uniform",
        "semantics": "real",
        **form.sizes(ladder.config),
        "total": str(ladder.total),
        "best": {**best, "accuracy_lower": cut(ladder.best_lower(), ladder.total, DIGITS)},
        "rows": rows,
        **form.more(ladder),
    }


def row_facts(ladder: Ladder, row: Row, form: Form) -> dict[str, Any]:
    """Return the columns of one row as JSON values; what is not known is null."""
    rung = row.rung
    known: dict[str, Any] = {
        "name": rung.name,
        "group": rung.group,
        "strategy": rung.strategy,
        "options": dict(rung.options),
        "verdict": row.verdict,
        "reason": row.reason,
        "total": str(ladder.total),
    }
    if row.verdict == PROVES_NOTHING:
        known |= _bounds(0, ladder.total, ladder.total)
    if row.proof is not None:
        known |= _bounds(row.proof.lower, row.proof.upper, ladder.total)
        known |= _proof_facts(row.proof)
        known["frontier"] = (rung, row.proof) in ladder.frontier()
    return {column: known.get(column) for column in form.columns}


def _bounds(lower: int, upper: int, total: int) -> dict[str, str]:
    return {
        "correct_lower": str(lower),
        "correct_upper": str(upper),
        "accuracy_lower": cut(lower, total, DIGITS),
        "accuracy_upper": raised(upper, total, DIGITS),
        "error_upper": raised(total - lower, total, DIGITS),
    }


def _proof_facts(proof: Proof) -> dict[str, Any]:
    return {
        "operations": proof.operations,
        "multiplications": proof.multiplications,
        "smallest_margin": _margin(proof.smallest),
        "median_margin": _margin(proof.median),
        **proof.details,
        "bytes": proof.bytes,
        "prover_seconds": round(proof.prover_seconds, 3),
        "checker_seconds": round(proof.checker_seconds, 3),
        "processor_seconds": round(proof.processor_seconds, 3),
    }


def _margin(margin: Fraction | None) -> str | None:
    return None if margin is None else cut(*margin.as_integer_ratio(), DIGITS)


def as_json(ladder: Ladder, form: Form) -> bytes:
    """Return the ladder as a JSON file."""
    return json.dumps(facts(ladder, form), indent=1).encode("ascii") + b"\n"


def as_csv(ladder: Ladder, form: Form) -> bytes:
    """Return the rows as a CSV file, one line each, what is not known left empty, options as they
    are typed.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, form.columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row, known in zip(ladder.rows, facts(ladder, form)["rows"], strict=True):
        writer.writerow({**known, "options": " ".join(row.rung.arguments()[2:])})
    return text.getvalue().encode()
