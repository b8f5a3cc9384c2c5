"""Which inputs count, and how much.  (SPEC-5.3)"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import prod
from operator import add

from checker.ground import record
from checker.ground.decode import (
    big,
    canonical,
    fields,
    integer,
    listing,
    parse_canonical,
)
from checker.ground.errors import require_form, require_support
from checker.ground.exact import Rows
from checker.statement.domain import LARGEST, Domain

SCOPE_FORMAT = "certify.scope/1"


@record
class Scope:
    """The inputs that count, and the weights of their tokens.

    ``label``:   how a verdict spells it.
    ``units``:   what the English sentence counts.
    ``weights``: by position and place of an allowed token, how much it counts; ones but for a
                 product scope.
    ``gap``:     no operand's value is above the largest less this, but the largest itself.
    ``copies``:  how many operands have the largest value; 0 is any number.
    ``mark``:    where copies are counted, a number of bits that all inputs together fill.
    """

    label: str
    units: str
    weights: Rows
    gap: int = 1
    copies: int = 0
    mark: int = 0

    @property
    def conditional(self) -> bool:
        """Whether not all inputs with a weight count.  Values are integers: a gap of 1 is none."""
        return self.gap > 1 or self.copies > 0

    def holds(self, values: Sequence[int]) -> bool:
        """Return whether an input counts whose operands have these values."""
        largest = max(values)
        others = [value for value in values if value != largest]
        apart = all(value <= largest - self.gap for value in others)
        return apart and self.copies in (0, len(values) - len(others))

    def counted(self, marked: int) -> int:
        """Return the weight of the inputs with the copies that the scope asks for, of a sum of
        products of weights, each that of a largest value multiplied by 2^mark.

        Requires: without the marks, the sum is below 2^mark.
        """
        if not self.copies:
            return marked
        # The inputs with c copies are the digit c of the sum in base 2^mark.
        return (marked >> self.mark * self.copies) % (1 << self.mark)

    def total(self, domain: Domain) -> int:
        """Return the weight of all inputs.  (SPEC-5.5)"""
        if not self.conditional:
            return prod(map(sum, self.weights))
        rows = [sorted(domain.values[position]) for position in domain.operands]
        total = 0
        for largest in sorted(set().union(*rows)):
            below = [bisect_right(row, largest - self.gap) for row in rows]
            own = [int(largest in row) << self.mark for row in rows]
            every = prod(map(add, below, own))
            total += self.counted(every - prod(below))
        return total


def _product_scope(weights: object, domain: Domain) -> Scope:
    rows = [listing(row, "scope weights") for row in listing(weights, "scope weights")]
    parsed = tuple(tuple(big(number, "scope weight") for number in row) for row in rows)
    require_form(
        list(map(len, parsed)) == list(map(len, domain.tokens)),
        "SPEC-5.3",
        "the scope does not weigh every allowed token at every position",
    )
    for row in parsed:
        require_form(
            len(row) > 1 or row == (1,),
            "SPEC-5.3",
            "the only token of a position does not weigh 1",
        )
        require_form(
            min(row) >= 0 and sum(row) > 0,
            "SPEC-5.3",
            "a position has a negative weight or no weight at all",
        )
        require_support(
            sum(row) < 1 << 128,
            "SPEC-3.5",
            "the weights of one position sum to 2^128 or more",
        )
    file = canonical({"format": SCOPE_FORMAT, "weights": weights})
    label = f"product:sha256:{sha256(file).hexdigest()}"
    return Scope(label, "units of input weight", parsed)


def _ones(domain: Domain) -> Rows:
    return tuple((1,) * len(tokens) for tokens in domain.tokens)


def _min_gap(written: object, domain: Domain) -> Scope:
    gap = integer(written, "min-gap", 1, LARGEST)
    units = f"inputs with every operand the largest or at least {gap} below it"
    return Scope(f"min-gap:{gap}", units, _ones(domain), gap=gap)


def _max_copies(written: object, domain: Domain) -> Scope:
    copies = integer(written, "max-copies", 1, len(domain.operands))
    units = f"inputs with the largest at exactly {copies} of the operands"
    mark = prod(map(len, domain.tokens)).bit_length()
    return Scope(f"max-copies:{copies}", units, _ones(domain), copies=copies, mark=mark)


KINDS: dict[str, Callable[[object, Domain], Scope]] = {
    "product": _product_scope,
    "min-gap": _min_gap,
    "max-copies": _max_copies,
}
"""By its key, what reads a scope other than ``uniform``."""


def parse_scope(written: object, domain: Domain) -> Scope:
    """Return the scope; ``uniform`` counts every input once.  (SPEC-5.3)

    Raises: Malformed (SPEC-3.4, SPEC-5.3), Declined (SPEC-3.5, SPEC-5.3).
    """
    if written == "uniform":
        return Scope("uniform", "inputs", _ones(domain))
    found = fields(written, "scope", "", " ".join(KINDS))
    require_form(len(found) == 1, "SPEC-5.3", "the scope is not of one kind")
    [(kind, about)] = found.items()
    return KINDS[kind](about, domain)


def parse_scope_file(data: bytes) -> str:
    """Return the label of the scope held by a scope file, as the user requires it with ``--scope
    product:FILE``.

    Raises: Malformed (SPEC-5.3) if the file is not a scope.
    """
    scope = fields(
        parse_canonical(data, "the scope file"), "the scope file", "format weights"
    )
    require_support(
        scope["format"] == SCOPE_FORMAT,
        "SPEC-5.3",
        f"the scope file's format is not {SCOPE_FORMAT}",
    )
    return f"product:sha256:{sha256(data).hexdigest()}"
