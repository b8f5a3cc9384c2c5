"""The certificate as a document: its statement, numbers as it spells them, and the bounds filled
in.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.canonical import canonical
from certify.certificate.job import Job
from certify.errors import Unsupported
from certify.model.file import Model
from certify.question.float32 import NAME, Float32
from certify.question.question import Question
from certify.question.scope import Scope

FORMAT = "certify.certificate/2"
MAXIMUM_FILE_BYTES = 16 << 20
MAXIMUM_OPERATIONS = 10**11

Document: TypeAlias = dict[str, Any]
Array: TypeAlias = NDArray[np.float64]


def statement_of(
    model: Model, question: Question, scope: Scope, float32: Float32 | None = None
) -> dict[str, Any]:
    """Return the statement of a certificate that claims nothing: the weakest bounds."""
    total = str(scope.total(question.domain))
    return {
        "architecture": model.config.as_dict(),
        "correct_lower": "0",
        "correct_upper": total,
        "domain": question.domain.spelled,
        "model": f"sha256:{model.sha256}",
        "scope": scope.spelled,
        "semantics": NAME if float32 else "real",
        **(float32.statement() if float32 else {}),
        "task": question.spelled,
        "total": total,
    }


def document_of(job: Job, precision: int, **proof: Any) -> Document:
    """Return a certificate with these parts of a proof that claims nothing: the weakest bounds and
    the largest budget.
    """
    return {
        "format": FORMAT,
        "statement": statement_of(job.model, job.question, job.scope, job.options.float32),
        "proof": {
            "operations": str(MAXIMUM_OPERATIONS),
            "precision": precision,
            "strategy": job.strategy.name,
            **proof,
        },
    }


def with_bounds(drafted: Document, facts: dict[str, Any], **proof: Any) -> Document:
    """Return the draft with the bounds and the operations that the checker derived, and these parts
    of its proof.
    """
    bounds = {key: facts[key] for key in ("correct_lower", "correct_upper")}
    return {
        **drafted,
        "statement": {**drafted["statement"], **bounds},
        "proof": {**drafted["proof"], **proof, "operations": str(facts["operations"]["total"])},
    }


def encoded(document: Document) -> bytes:
    """Return the bytes of a certificate.

    Errors: ``Unsupported`` if it is larger than the checker reads.
    """
    data = canonical(document)
    if len(data) > MAXIMUM_FILE_BYTES:
        raise Unsupported(
            f"the proof takes {len(data)} bytes, the checker reads at most {MAXIMUM_FILE_BYTES}"
        )
    return data


def dyadic(numerator: int, exponent: int) -> list[str]:
    """Return ``numerator * 2^exponent`` with an odd mantissa, as the certificate spells it."""
    if numerator == 0:
        return ["0", "0"]
    spare = (numerator & -numerator).bit_length() - 1
    return [str(numerator >> spare), str(exponent + spare)]


def matrix(values: Array, bits: int = 24) -> dict[str, Any]:
    """Return a matrix as the certificate spells it, integers over a power of two: each entry
    rounded to ``bits`` bits of the largest.
    """
    largest = float(np.abs(values).max(initial=0.0))
    known = largest > 0.0 and math.isfinite(largest)
    exponent = int(np.clip(math.frexp(largest)[1] - bits, -128, 128)) if known else 0
    rows = np.clip(np.nan_to_num(np.rint(np.ldexp(values, -exponent))), -(2.0**31), 2.0**31)
    return {"exponent": exponent, "rows": [[int(x) for x in row] for row in rows]}
