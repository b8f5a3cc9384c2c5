"""The file of hypotheses: classes, bounds and claims, fixed before anything is measured."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from certify.errors import BadInput
from certify.files import read_bytes
from certify.lab.kinds import Facts

SHIPPED = "shipped"
FILE = Path(__file__).with_name("hypotheses.toml")
LARGEST_FILE = 1 << 20
SUPPORTED, REFUTED, OPEN = "supported", "refuted", "open"
_MEASURES = {
    "accuracy": frozenset[str](),
    "certified": frozenset[str](),
    "share": frozenset({"of", "factor"}),
}
_FIELDS = frozenset({"text", "task", "path", "method", "measure"})
_SIDES = frozenset({"least", "most"})


def read_hypotheses(name: str) -> Facts:
    """Return what a file says: its ``sha256``, ``classes``, ``pessimal`` by task, ``claims``.

    Requires: ``name`` is a path, or ``shipped`` for the file that comes with this package.
    Errors:   ``BadInput`` if the file is not of this form.
    """
    file = FILE if name == SHIPPED else Path(name)
    data = read_bytes(file, LARGEST_FILE)
    try:
        found = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{file}: not TOML: {error}") from error
    claims = found.get("claim", [])
    for number, claim in enumerate(claims):
        _require_claim(claim, f"{file}: claim {number + 1}")
    for task, bounds in found.get("pessimal", {}).items():
        for bound in bounds:
            if set(bound) != {"path", "strategy", "options", "why"}:
                raise BadInput(f"{file}: pessimal {task}: path, strategy, options, why are wanted")
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "classes": found.get("classes", {}),
        "pessimal": found.get("pessimal", {}),
        "claims": claims,
    }


def _require_claim(claim: Mapping[str, Any], where: str) -> None:
    measure = claim.get("measure")
    if measure not in _MEASURES:
        raise BadInput(f"{where}: measure {measure!r} is none of {', '.join(_MEASURES)}")
    wanted = _FIELDS | _MEASURES[measure]
    sides = set(claim) & _SIDES
    if len(sides) != 1 or set(claim) - _SIDES != wanted:
        raise BadInput(f"{where}: wanted are {', '.join(sorted(wanted))}, and least or most")


def judged(claim: Mapping[str, Any], low: float | None, high: float | None) -> str:
    """Return whether an interval supports a claim, refutes it, or leaves it open; None is not
    known.
    """
    if low is None or high is None:
        return OPEN
    if "least" in claim:
        within, outside = low >= claim["least"], high < claim["least"]
    else:
        within, outside = high <= claim["most"], low > claim["most"]
    return SUPPORTED if within else REFUTED if outside else OPEN
