"""What a check may do and hold: operations, other steps and room, counted before the work is done.
(SPEC-3.5, SPEC-8)

One *operation* is one scalar multiplication, addition, comparison or exponential *of the
mathematics*.  Because every rule charges before it works, a certificate can never make the checker
do more operations than it declares.  What is done besides is counted in *steps*, and never in
operations.  *Room* is what the numbers that are alive take in Python.  Where a number is let go is
not always looked for, so the count may be above the truth and is never below.
"""

from collections.abc import Callable

from checker.ground.errors import require_support

CEILING = 10**11
"""No certificate is worth more operations than this, whatever it declares.  (SPEC-8.2)"""

NUMBER_BITS = 384
"""Room of a number beside its bits: an object, and a place in a table and in the transpose."""
PLACE_BITS = 64
"""Room of another place in a table, of a number that is held already."""

MAX_HELD_BITS = 5 << 30
"""Room for all tensors, tables and terms, 640 MiB.  (SPEC-3.5)"""

MAX_STEPS = 1 << 28
"""Steps of reading, loading and skipping.  (SPEC-3.5)"""


class Room:
    """A running count of the room that numbers take, in bits."""

    def __init__(self, most: int, held: int = 0) -> None:
        """Start with what is held already; the count may reach ``most`` bits."""
        self.most = most
        self.held = held

    def take(self, bits: int) -> None:
        """Count room about to be taken.

        Raises: Declined (SPEC-3.5).
        """
        self.held += bits
        require_support(
            self.held <= self.most,
            "SPEC-3.5",
            f"tensors and tables take more than {self.most} bits together",
        )

    def hold(self, numbers: int, bits: int) -> None:
        """Count so many numbers of at most so many bits, before they are formed.

        Raises: Declined (SPEC-3.5).
        """
        self.take(numbers * (NUMBER_BITS + bits))

    def release(self, bits: int) -> None:
        """Give back room whose numbers are let go."""
        self.held -= bits


class Ledger(Room):
    """Running totals of the four kinds of operation, of other steps and of room, with limits."""

    def __init__(
        self, watch: Callable[[int], None], held: int = 0, spent: int = 0
    ) -> None:
        """Start at zero operations, with CEILING as budget; ``watch(total)`` is called at every
        charge.

        ``held`` and ``spent``: the room and the steps that the model and the certificate took.
        ``apart``: whether it is a worker's, who has not seen the parts before.  (SPEC-8.3)
        ``common``: comparisons and room that serve several parts, by a number that is theirs.
        """
        super().__init__(MAX_HELD_BITS, held)
        self.mul = self.add = self.cmp = self.exp = self.total = 0
        self.spent = spent
        self.budget = CEILING
        self.watch = watch
        self.apart = False
        self.common = dict[int, tuple[int, int]]()

    def charge(
        self,
        mul: int = 0,
        add: int = 0,
        cmp: int = 0,
        exp: int = 0,
    ) -> None:
        """Add the cost of the work about to be done, and decline if the budget does not cover it.

        Requires: all counts non-negative.
        Raises:   Declined (SPEC-8.2) before the work is done.
        """
        self.mul += mul
        self.add += add
        self.cmp += cmp
        self.exp += exp
        self.total += mul + add + cmp + exp
        require_support(
            self.total <= self.budget,
            "SPEC-8.2",
            "the work exceeds the operations that the proof declares",
        )
        self.watch(self.total)

    def once(self, number: int, cmp: int, bits: int) -> None:
        """Charge comparisons and take room that serve several parts, unless that was done.
        (SPEC-8.3)

        Raises: Declined (SPEC-3.5, SPEC-8.2).
        """
        if number not in self.common:
            self.common[number] = cmp, bits
            self.charge(cmp=cmp)
            self.take(bits)

    def spend(self, steps: int) -> None:
        """Count steps about to be done that are no operations.

        Raises: Declined (SPEC-3.5).
        """
        self.spent += steps
        require_support(
            self.spent <= MAX_STEPS,
            "SPEC-3.5",
            f"reading and skipping take more than {MAX_STEPS} steps",
        )
        self.watch(self.total)
