"""The operation ledger: proof length, counted by formula before the work is done.  (SPEC 8)

One operation is one scalar multiplication, addition, comparison or exponential *of the
mathematics*.
Because every rule charges before it works, a certificate can never make the checker do more than
the
number of operations it declares.
"""

from collections.abc import Callable

from checker.ground.errors import require_support

CEILING = 10**11
"""No certificate is worth more operations than this, whatever it declares.  (SPEC 8.2)"""


class Ledger:
    """Running totals of the four kinds of operation, with a budget that cannot be passed."""

    def __init__(self, watch: Callable[[int], None]) -> None:
        """Start at zero with the ceiling as budget; ``watch(total)`` is called at every charge."""
        self.mul = self.add = self.cmp = self.exp = self.total = 0
        self.budget, self.watch = CEILING, watch

    def charge(self, mul: int = 0, add: int = 0, cmp: int = 0, exp: int = 0) -> None:
        """Add the cost of the work about to be done, and decline if the budget does not cover it.

        Requires: all counts non-negative.
        Raises:   Declined (SPEC-8.2) before the work is done.
        """
        self.mul, self.add, self.cmp, self.exp = (
            self.mul + mul,
            self.add + add,
            self.cmp + cmp,
            self.exp + exp,
        )
        self.total += mul + add + cmp + exp
        require_support(
            self.total <= self.budget,
            "SPEC-8.2",
            "the work exceeds the operations that the proof declares",
        )
        self.watch(self.total)
