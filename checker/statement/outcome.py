"""What is proved of one set of inputs, whatever the kind of proof.  (SPEC 7)"""

from dataclasses import dataclass

MAX_CELLS = 10**6


MARGIN_BITS = 20
"""Margins are derived in multiples of 2^-20 logits, rounded down.  (SPEC 7.6)"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one leaf proves: bounds on its failing weight, its size, and a margin of every input not
    failing.

    ``margin`` is in units of 2^-20; None where nothing is shown right.
    """

    lower: int
    upper: int
    size: int
    margin: int | None
