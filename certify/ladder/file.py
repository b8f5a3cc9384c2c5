"""The files of a ladder: JSON and CSV, a row for each rung."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from certify import __version__
from certify.cells.published import SOURCE, references
from certify.cells.rungs import unexplained_dimension
from certify.ladder.climb import (
    Ladder,
    Proof,
    Row,
)

FORMAT = "certify.ladder/1"
COLUMNS = (
    "name",
    "group",
    "strategy",
    "options",
    "verdict",
    "reason",
    "operations",
    "correct_lower",
    "correct_upper",
    "total",
    "accuracy_lower",
    "accuracy_upper",
    "error_upper",
    "normalised",
    "unexplained_dimension",
    "bytes",
    "prover_seconds",
    "checker_seconds",
    "frontier",
)
DIGITS = 15


def decimal(part: int, total: int, *, up: bool = False) -> str:
    """Return a share in decimals, rounded down, or up: never across the bound that it stands for."""
    scaled = part * 10**DIGITS
    digits = -(-scaled // total) if up else scaled // total
    return f"{digits // 10**DIGITS}.{digits % 10**DIGITS:0{DIGITS}d}"


def facts(ladder: Ladder) -> dict[str, Any]:
    """Return the ladder as JSON values; exact integers that may be large are strings."""
    config = ladder.config
    return {
        **subject(ladder, {"k": config.n_ctx, "vocab": config.d_vocab, "d_model": config.d_model}),
        "rows": [_row_facts(ladder, row) for row in ladder.rows],
        "published": {
            "source": SOURCE,
            "rows": [_published_facts(ladder, group) for group in _published(ladder)],
        },
    }


def subject(ladder: Ladder, sizes: dict[str, Any]) -> dict[str, Any]:
    """Return what the ladder is about, with these sizes, and the best bounds of all rungs, as JSON
    values.
    """
    best = {"correct_lower": str(ladder.best_lower()), "correct_upper": str(ladder.best_upper())}
    return {
        "format": FORMAT,
        "certify": __version__,
        "model": f"sha256:{ladder.model_sha256}",
        "task": ladder.task,
        "scope": "uniform",
        "semantics": "real",
        **sizes,
        "total": str(ladder.total),
        "best": {**best, "accuracy_lower": decimal(ladder.best_lower(), ladder.total)},
    }


def _published(ladder: Ladder) -> list[str]:
    return list(references(ladder.config.n_ctx, ladder.config.d_vocab))


def _published_facts(ladder: Ladder, group: str) -> dict[str, Any]:
    """Return one published row as JSON values."""
    found = references(ladder.config.n_ctx, ladder.config.d_vocab)[group]
    spread = {
        "normalised_mean": found.mean,
        "normalised_std": found.deviation,
        "true_accuracy": found.true_accuracy,
    }
    return {"group": group, **spread, "flops": None if found.flops is None else list(found.flops)}


def _row_facts(ladder: Ladder, row: Row) -> dict[str, Any]:
    """Return one row as JSON values; what is not known is null."""
    known = {
        **row_facts(ladder, row, COLUMNS),
        "unexplained_dimension": unexplained_dimension(row.rung, ladder.config),
        "published_names": list(row.rung.published_names()),
    }
    return known if row.proof is None else known | {"normalised": normalised(ladder, row.proof)}


def row_facts(ladder: Ladder, row: Row, columns: Sequence[str]) -> dict[str, Any]:
    """Return these columns of one row as JSON values; what is not known is null."""
    rung, proof, total = row.rung, row.proof, ladder.total
    known: dict[str, Any] = {
        "name": rung.name,
        "group": rung.group,
        "strategy": rung.strategy,
        "options": dict(rung.options),
        "verdict": row.verdict,
        "reason": row.reason,
        "total": str(total),
    }
    if proof is not None:
        known |= {
            "operations": proof.operations,
            "multiplications": proof.multiplications,
            "correct_lower": str(proof.lower),
            "correct_upper": str(proof.upper),
            "accuracy_lower": decimal(proof.lower, total),
            "accuracy_upper": decimal(proof.upper, total, up=True),
            "error_upper": decimal(total - proof.lower, total, up=True),
            "smallest_margin": None
            if proof.smallest is None
            else decimal(*proof.smallest.as_integer_ratio()),
            "median_margin": None
            if proof.median is None
            else decimal(*proof.median.as_integer_ratio()),
            "rank": proof.rank,
            "switches": proof.switches,
            "bytes": proof.bytes,
            "prover_seconds": round(proof.prover_seconds, 3),
            "checker_seconds": round(proof.checker_seconds, 3),
            "processor_seconds": round(proof.processor_seconds, 3),
            "frontier": (rung, proof) in ladder.frontier(),
        }
    return {column: known.get(column) for column in columns}


def normalised(ladder: Ladder, proof: Proof) -> float:
    """Return the certified accuracy as a share of the best upper bound known, the published way to
    compare seeds.
    """
    upper = ladder.best_upper()
    return float(Fraction(proof.lower, upper)) if upper else 0.0


def as_json(ladder: Ladder) -> bytes:
    """Return the ladder as a JSON file."""
    return json.dumps(facts(ladder), indent=1).encode("ascii") + b"\n"


def as_csv(ladder: Ladder) -> bytes:
    """Return the rows as a CSV file, one line each, what is not known left empty."""
    return csv_of(ladder, COLUMNS, facts(ladder)["rows"])


def csv_of(ladder: Ladder, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    """Return these columns of the rows as a CSV file, options as they are typed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row, known in zip(ladder.rows, rows, strict=True):
        writer.writerow({**known, "options": " ".join(row.rung.arguments()[2:])})
    return text.getvalue().encode()
