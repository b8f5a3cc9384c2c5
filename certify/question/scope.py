"""Scopes: which inputs count, and how much.

``uniform`` counts every input of the domain once.  ``product:FILE`` reads
non-negative integer weights, one for each token at each position; the
probability of a token is its weight over the sum of its position, and an input
counts as the product of the weights of its tokens.  A weight of 0 excludes a
token.  The file is canonical JSON::

    {"format":"certify.scope/1","weights":[["1","2"],["3","0"]]}

(sorted keys, no spaces, one newline at the end), one list for each position.

Two scopes are conditions on the values of the operands: ``min-gap:G`` counts
the inputs in which every value is the largest or at least G below it,
``max-copies:C`` those in which exactly C operands have the largest value.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from certify.canonical import canonical
from certify.errors import BadInput, Unsupported
from certify.files import read_bytes
from certify.question.domain import Domain

FORMAT = "certify.scope/1"
MAXIMUM_FILE_BYTES = 1 << 24
MAXIMUM_DIGITS = 39
MAXIMUM_POSITION_BITS = 128

MIN_GAP = "min-gap"
MAX_COPIES = "max-copies"
KINDS = ("product", MIN_GAP, MAX_COPIES)
SPELLINGS = "uniform|product:FILE|min-gap:G|max-copies:C"

_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_WEIGHT = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Scope:
    """A weighting of the domain: ``weights[position][place]``, by the place of a token among those
    allowed there, or none where every input that counts counts once.

    ``gap``, ``copies``: the conditions of SPEC-5.3; a gap of 1 and 0 copies ask nothing.
    """

    name: str
    weights: tuple[tuple[int, ...], ...] | None = None
    sha256: str | None = None
    origin: str = "scope"
    gap: int = 1
    copies: int = 0

    def __str__(self) -> str:
        """Return the scope as a verdict spells it: ``uniform`` or ``product:sha256:<hash>``."""
        if self.name == MIN_GAP:
            return f"{self.name}:{self.gap}"
        if self.name == MAX_COPIES:
            return f"{self.name}:{self.copies}"
        return self.name if self.sha256 is None else f"{self.name}:sha256:{self.sha256}"

    @property
    def conditional(self) -> bool:
        """Return whether some inputs are left out for the values of their operands."""
        return self.gap > 1 or self.copies > 0

    @property
    def spelled(self) -> str | dict[str, object]:
        """Return the scope as a certificate's statement spells it."""
        if self.name == MIN_GAP:
            return {self.name: self.gap}
        if self.name == MAX_COPIES:
            return {self.name: self.copies}
        if self.weights is None:
            return self.name
        return {self.name: [[str(weight) for weight in row] for row in self.weights]}

    def total(self, domain: Domain) -> int:
        """Return the weight of the whole domain: an exact integer, the number of inputs if
        uniform.
        """
        if self.weights is not None:
            return math.prod(sum(position) for position in self.weights)
        if not self.conditional:
            return domain.inputs
        rows = [sorted(domain.values[place] or ()) for place in domain.operands]
        return sum(
            self.counted(
                (bisect_right(row, largest - self.gap), int(largest in row)) for row in rows
            )
            for largest in set().union(*rows)
        )

    def counted(self, positions: Iterable[tuple[int, int]], held: int = 0) -> int:
        """Return how many choices of a token for each position have the largest value as often as
        the scope asks, once at least, if it is held ``held`` times besides.

        ``positions``: of each, how many of its tokens may stand below the largest, and how many
                       have it.
        """
        ways = [1]
        for below, own in positions:
            without = [way * below for way in ways]
            holding = [way * own for way in ways]
            pairs = zip([*without, 0], [0, *holding], strict=True)
            ways = [one + other for one, other in pairs]
        asked = range(1, len(ways) + held) if not self.copies else [self.copies]
        return sum(ways[copies - held] for copies in asked if 0 <= copies - held < len(ways))

    def holds(self, places: NDArray[np.int64], domain: Domain) -> NDArray[np.bool_]:
        """Return which inputs, by places [count, n_ctx], fulfil the condition."""
        if not self.conditional:
            return np.ones(len(places), dtype=bool)
        values = np.stack(
            [np.array(domain.values[at])[places[:, at]] for at in domain.operands], axis=1
        )
        largest = values.max(axis=1, keepdims=True)
        own = values == largest
        found: NDArray[np.bool_] = (own | (values <= largest - self.gap)).all(axis=1)
        if self.copies:
            found &= own.sum(axis=1) == self.copies
        return found

    def rows(self, domain: Domain) -> tuple[tuple[int, ...], ...]:
        """Return the weights of the allowed tokens at each position; ones if uniform."""
        return self.weights or tuple((1,) * size for size in domain.sizes)

    def require_fits(self, domain: Domain) -> None:
        """Refuse weights whose lengths are not those of the domain's positions and tokens.

        Errors: ``BadInput`` naming the position.
        """
        if self.copies > len(domain.operands):
            raise BadInput(f"scope {self}: the domain has only {len(domain.operands)} operands")
        if self.conditional and self.total(domain) == 0:
            raise BadInput(f"scope {self}: no input is in it")
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
    """Return the scope that a ``--scope`` option names: ``uniform``, ``product:FILE``,
    ``min-gap:G`` or ``max-copies:C``.

    Errors: ``BadInput`` if the file cannot be read or is not what it should
            be; ``Unsupported`` for any other kind of scope or format version.
    """
    if text == "uniform":
        return UNIFORM
    kind, _, name = text.partition(":")
    if kind in (MIN_GAP, MAX_COPIES):
        if not _COUNT.fullmatch(name):
            raise BadInput(f"scope {text}: {kind} needs a whole number from 1, as {kind}:2")
        asked = int(name)
        return Scope(kind, gap=asked) if kind == MIN_GAP else Scope(kind, copies=asked)
    if kind != "product" or not name:
        raise Unsupported(f"scope {json.dumps(text)} is not known: use {SPELLINGS}")
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
