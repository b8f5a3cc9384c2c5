"""The inputs of one cell, and what is known and claimed of them.
(SPEC-7.2 to SPEC-7.4, SPEC-7.13)
"""

from collections.abc import Iterable

from checker.ground import record
from checker.ground.errors import require
from checker.ground.norms import raised
from checker.statement.outcome import MARGIN_BITS, Outcome

Range = tuple[int, int]
"""Consecutive tokens or blocks, both ends included."""

Allowed = tuple[int, ...]
"""Per position, the tokens with which an answer may still win, as a bit mask.  (SPEC-7.6)"""

Answers = dict[int, Allowed]
"""The wrong answers that are left, with their allowed tokens."""


def mask(first: int, last: int) -> int:
    """Return the tokens from ``first`` to ``last`` as a bit mask."""
    return (2 << last) - (1 << first)


def expand(ranges: Iterable[Range]) -> list[int]:
    """Return the members of ascending ranges."""
    return [member for first, last in ranges for member in range(first, last + 1)]


@record
class Inputs:
    """All inputs with this maximum whose last token is one of ``queries``.  (SPEC-7.2, SPEC-7.3)

    ``blocks`` hold the tokens below the maximum in ascending order; the last is {maximum}.
    """

    maximum: int
    queries: list[int]
    blocks: list[Range]

    @property
    def forced(self) -> bool:
        """Whether queries are below the maximum, so that a free position holds it.  (SPEC-7.2)"""
        return self.queries != [self.maximum]


@record
class Known:
    """What is known of all inputs of a cell, from its parents and itself.  (SPEC-7.6)

    ``margin`` holds over all that was removed, in units of 2^-20; None where nothing was.
    """

    answers: Answers
    margin: int | None


@record
class Margin:
    """A margin as it is written: ``mantissa * 2^exponent`` logits.  (SPEC-7.4, SPEC-7.13)"""

    mantissa: int
    exponent: int

    def above(self, scale: int) -> int:
        """Return this over ``2^-scale``, rounded up."""
        return raised(self.mantissa, -self.exponent, scale)

    def require_shown(self, where: str, outcome: Outcome) -> None:
        """Reject a claim of a larger margin than was shown.  (SPEC-7.13)"""
        shown = outcome.margin or 0
        require(
            self.above(MARGIN_BITS) <= shown,
            "SPEC-7.13",
            f"{where} claims a larger margin than {shown}/2^20",
        )


@record
class Failures:
    """Bounds on the failing weight of a cell, claimed or derived.  (SPEC-7.13)"""

    lower: int
    upper: int

    def require_shown(self, where: str, outcome: Outcome) -> None:
        """Reject a claim of tighter bounds than were derived.  (SPEC-7.13)"""
        require(
            self.lower <= outcome.lower and outcome.upper <= self.upper,
            "SPEC-7.13",
            f"{where} claims less than between {outcome.lower} and {outcome.upper} fail",
        )
