"""The certificate as a document: its one encoding, its statement, and the bounds filled in."""

from __future__ import annotations

import json
from typing import Any

from certify.errors import Unsupported
from certify.model.file import Model
from certify.question.float32 import NAME, Float32
from certify.question.scope import Scope

FORMAT = "certify.certificate/1"
MAXIMUM_FILE_BYTES = 16 << 20
MAXIMUM_OPERATIONS = 10**11


def canonical(value: object) -> bytes:
    """Return the one encoding of a certificate: sorted keys, no spaces, ASCII, one newline at the
    end.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


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


def dyadic(numerator: int, exponent: int) -> list[str]:
    """Return ``numerator * 2^exponent`` with an odd mantissa, as the certificate spells it."""
    if numerator == 0:
        return ["0", "0"]
    spare = (numerator & -numerator).bit_length() - 1
    return [str(numerator >> spare), str(exponent + spare)]


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


def within_limit(data: bytes) -> bytes:
    """Refuse a certificate larger than the checker reads."""
    if len(data) > MAXIMUM_FILE_BYTES:
        raise Unsupported(
            f"the proof takes {len(data)} bytes, the checker reads at most {MAXIMUM_FILE_BYTES}"
        )
    return data
