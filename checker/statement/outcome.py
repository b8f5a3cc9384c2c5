"""What is proved of one set of inputs, whatever the kind of proof.  (SPEC-7)"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from checker.ground import record

MAX_CELLS = 10**6
"""The most cells or leaves of a proof.  (SPEC-3.5)"""

MOST_PARTS = 128
"""The most parts of a proof.  (SPEC-8.3)"""

MARGIN_BITS = 20
"""Margins are derived in multiples of 2^-20 logits, rounded down.  (SPEC-7.6)"""


@record
class Outcome:
    """What one leaf proves of its set of inputs; of two leaves the sets have no input in common.

    ``lower``:  at least so much weight of the set is answered wrong.
    ``upper``:  at most so much weight of the set is answered wrong; the rest is right.
    ``size``:   the weight of the whole set.
    ``margin``: every input that is not counted in ``upper`` has at least this margin, in units of
                2^-20; 0 where only the sign was shown, None where nothing is shown right.
    """

    lower: int
    upper: int
    size: int
    margin: int | None

    def plus(self, other: "Outcome") -> "Outcome":
        """Return what is proved of both sets together."""
        margins = [m for m in (self.margin, other.margin) if m is not None]
        return Outcome(
            self.lower + other.lower,
            self.upper + other.upper,
            self.size + other.size,
            min(margins, default=None),
        )


Outcomes = tuple[Outcome, ...]

NOTHING = Outcome(0, 0, 0, None)
"""What is proved of no inputs."""


@record
class Part:
    """Some of the sets of a proof, which may be derived apart from the others.  (SPEC-8.3)

    ``size``:   the weight of its inputs.
    ``derive``: returns the outcomes of its sets, and reads nothing that depends on other parts.
    """

    size: int
    derive: Callable[[], Outcomes]


Spread = Callable[[Sequence[Part]], Iterable[Outcomes]]
"""Has parts derived, and yields their outcomes in the order of the parts.  (SPEC-8.3)"""


def alone(parts: Sequence[Part]) -> Iterable[Outcomes]:
    """Yield the outcomes of parts, one part after the other."""
    return (part.derive() for part in parts)


def runs(count: int, most: int) -> list[range]:
    """Return the numbers below ``count`` as at most ``most`` runs of about the same length."""
    pieces = max(1, min(count, most))
    ends = [count * piece // pieces for piece in range(pieces + 1)]
    return [range(first, end) for first, end in pairwise(ends)]
