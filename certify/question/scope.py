"""Scopes: which inputs count, and how much.

``uniform`` counts every input of the domain once.  ``product:FILE`` reads
non-negative integer weights, one for each token at each position; the
probability of a token is its weight over the sum of its position, and an input
counts as the product of the weights of its tokens.  A weight of 0 excludes a
token.  The file is canonical JSON::

    {"format":"certify.scope/1","weights":[["1","2"],["3","0"]]}

(sorted keys, no spaces, one newline at the end), one list for each position.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from certify.canonical import canonical
from certify.errors import BadInput, Unsupported
from certify.files import read_bytes
from certify.question.domain import Domain

FORMAT = "certify.scope/1"
MAXIMUM_FILE_BYTES = 1 << 24
MAXIMUM_DIGITS = 39
MAXIMUM_POSITION_BITS = 128

_WEIGHT = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Scope:
    """A weighting of the domain: ``weights[position][place]``, by the place of a token among those
    allowed there, or none for ``uniform``.
    """

    name: str
    weights: tuple[tuple[int, ...], ...] | None = None
    sha256: str | None = None
    origin: str = "scope"

    def __str__(self) -> str:
        """Return the scope as a verdict spells it: ``uniform`` or ``product:sha256:<hash>``."""
        return self.name if self.sha256 is None else f"{self.name}:sha256:{self.sha256}"

    def total(self, domain: Domain) -> int:
        """Return the weight of the whole domain: an exact integer, the number of inputs if
        uniform.
        """
        if self.weights is None:
            return domain.inputs
        return math.prod(sum(position) for position in self.weights)

    def rows(self, domain: Domain) -> tuple[tuple[int, ...], ...]:
        """Return the weights of the allowed tokens at each position; ones if uniform."""
        return self.weights or tuple((1,) * size for size in domain.sizes)

    def require_fits(self, domain: Domain) -> None:
        """Refuse weights whose lengths are not those of the domain's positions and tokens.

        Errors: ``BadInput`` naming the position.
        """
        if self.weights is None:
            return
        if len(self.weights) != len(domain.tokens):
            raise BadInput(
                f"{self.origin}: field weights has {len(self.weights)} positions, the model has"
                f" {len(domain.tokens)}"
            )
        for position, (weights, size) in enumerate(zip(self.weights, domain.sizes, strict=True)):
            if len(weights) != size:
                raise BadInput(
                    f"{self.origin}: field weights[{position}] has {len(weights)} tokens, the"
                    f" domain allows {size}"
                )
            if size == 1 and weights != (1,):
                raise BadInput(
                    f"{self.origin}: field weights[{position}] must be 1, the token is the only one"
                )


UNIFORM = Scope("uniform")


def read_scope(text: str) -> Scope:
    """Return the scope that a ``--scope`` option names: ``uniform`` or ``product:FILE``.

    Errors: ``BadInput`` if the file cannot be read or is not what it should
            be; ``Unsupported`` for any other kind of scope or format version.
    """
    if text == "uniform":
        return UNIFORM
    kind, _, name = text.partition(":")
    if kind != "product" or not name:
        raise Unsupported(f"scope {json.dumps(text)} is not known: use uniform or product:FILE")
    path = Path(name)
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    return Scope("product", decode_weights(data, name), hashlib.sha256(data).hexdigest(), name)


def decode_weights(data: bytes, origin: str) -> tuple[tuple[int, ...], ...]:
    """Return the weights that the bytes of a scope file hold.

    Ensures: at least one position; in each, non-negative weights with a
             positive sum.
    Errors:  ``BadInput`` naming the field, ``Unsupported`` for another format.
    """
    try:
        value = json.loads(data.decode("ascii"))
        spelled = canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f"{origin}: not a JSON object")
    if value.get("format") != FORMAT:
        raise Unsupported(f"{origin}: field format must be {FORMAT}")
    if spelled != data:
        raise BadInput(
            f"{origin}: not canonical JSON (sorted keys, no spaces, one newline at the end)"
        )
    if set(value) != {"format", "weights"}:
        raise BadInput(f"{origin}: the fields must be format and weights, nothing else")
    rows = value["weights"]
    if not isinstance(rows, list) or not rows:
        raise BadInput(f"{origin}: field weights must be a list with one list for each position")
    return tuple(
        _position(row, f"{origin}: field weights[{index}]") for index, row in enumerate(rows)
    )


def scope_bytes(weights: tuple[tuple[int, ...], ...]) -> bytes:
    """Return the canonical file that ``decode_weights`` reads back as ``weights``."""
    value = {"format": FORMAT, "weights": [[str(weight) for weight in row] for row in weights]}
    return canonical(value)


def _position(row: object, field: str) -> tuple[int, ...]:
    """Return the weights of one position."""
    if not isinstance(row, list):
        raise BadInput(f"{field} must be a list of decimal strings")
    for token, text in enumerate(row):
        if (
            not isinstance(text, str)
            or len(text) > MAXIMUM_DIGITS
            or _WEIGHT.fullmatch(text) is None
        ):
            raise BadInput(
                f"{field}[{token}] must be a decimal string of at most {MAXIMUM_DIGITS} digits"
            )
    weights = tuple(int(text) for text in row)
    if sum(weights) == 0:
        raise BadInput(f"{field} must have a positive sum")
    if sum(weights).bit_length() > MAXIMUM_POSITION_BITS:
        raise Unsupported(f"{field} sums to 2^{MAXIMUM_POSITION_BITS} or more")
    return weights
