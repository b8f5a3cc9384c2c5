"""The hints of a wide cell: a box of ratios, and numbers to compare heads with.  (SPEC-16.3)"""

from checker.cells.parse import Found
from checker.ground import record
from checker.ground.decode import integer, integers, listing, pairs
from checker.ground.errors import require, require_form
from checker.wide.mlp import Bounds

LAMBDA_BITS = 16
"""Hinted numbers are multiples of 2^-16 logits.  (SPEC-16.3)"""

MOST = 1 << 31
MOST_EXPONENT = 128


@record
class Side:
    """Bounds on the ratio of one head: ``low * 2^exponent`` and ``high * 2^exponent``."""

    low: int
    high: int
    exponent: int

    def over(self, scale: int) -> tuple[int, int]:
        """Return both bounds over ``2^-scale``, which is fine enough for both."""
        finer = scale + self.exponent
        return self.low << finer, self.high << finer


Lambdas = dict[int, tuple[int, ...]]
"""By answer, numbers for every head but the first, over 2^-16."""


@record
class Hints:
    """``box``: a side for each head but the first; ``neurons``: what each reads.  (SPEC-16.11)"""

    box: tuple[Side, ...]
    lambdas: Lambdas
    neurons: tuple[Bounds, ...] = ()

    @property
    def scale(self) -> int:
        """Return a scale over which every side of the box is an integer."""
        return max(
            (-side.exponent for side in self.box if side.exponent < 0), default=0
        )


def _box(value: object, where: str) -> tuple[Side, ...]:
    sides = []
    for item in listing(value, where):
        numbers = listing(item, where)
        require_form(
            len(numbers) == 3, "SPEC-3.4", f"{where} is not a list of [a, b, e]"
        )
        low, high, exponent = numbers
        sides.append(
            Side(
                integer(low, where, 0, MOST),
                integer(high, where, 0, MOST),
                integer(exponent, where, -MOST_EXPONENT, MOST_EXPONENT),
            )
        )
    return tuple(sides)


def _lambdas(value: object, where: str, answers: int) -> Lambdas:
    found: Lambdas = {}
    for item in listing(value, where):
        pair = listing(item, where)
        require_form(
            len(pair) == 2, "SPEC-3.4", f"{where} is not a list of [answer, numbers]"
        )
        answer = integer(pair[0], where, 0, answers - 1)
        require(answer not in found, "SPEC-16.3", f"{where} names an answer twice")
        found[answer] = integers(pair[1], where, -MOST, MOST)
    return found


def parse_hints(found: Found, where: str, sizes: dict[str, int]) -> Found:
    """Return the field ``hints`` of a method whose cell has the key ``box``.

    Raises: Malformed, or Rejected (SPEC-16.3).
    """
    if "box" not in found:
        return {}
    others = sizes["n_heads"] - 1
    box = _box(found["box"], f"{where} box")
    lambdas = _lambdas(found.get("lambda", []), f"{where} lambda", sizes["d_vocab_out"])
    require(
        all(side.low <= side.high for side in box),
        "SPEC-16.3",
        f"{where}: a side of the box has its ends the wrong way round",
    )
    require(
        {len(box), *map(len, lambdas.values())} == {others},
        "SPEC-16.3",
        f"{where}: box and lambda need a row for each of the {others} heads but the first",
    )
    neurons = pairs(found.get("neurons", []), f"{where} neurons", -MOST, MOST)
    ascending = all(least <= most for least, most in neurons)
    require(
        ascending and len(neurons) == sizes.get("d_mlp", 0),
        "SPEC-16.11",
        f"{where} needs ascending bounds for every neuron, and no others",
    )
    return {"hints": Hints(box, lambdas, tuple(neurons))}
