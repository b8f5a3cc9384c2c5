"""One direction: answers on a line, of which each is tested against one on either side.
(SPEC-15.4)

Answer j stands at (u_j, h_j), h_j = c_j plus the bound R on what the direction leaves, added up
along the line.  Among all later answers one alone is tested, the steepest from (u_m, h_m - mu): it
is a corner of their upper hull.  Later answers at the same u are one more, the highest.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import sub

from checker.chain.parts import Reading
from checker.ground import paired, record
from checker.ground.exact import Matrix, bits, transposed
from checker.ground.ledger import Ledger

Point = tuple[int, int, int]
"""u, h, and the number of the answer."""


@record
class Rivals:
    """Against which answers each is tested.

    ``spreads``: by both, a bound on what the directions leave of the difference of their logits.
    ``stretch``: how many times less than a rival another answer may be beaten by.
    """

    spreads: dict[int, dict[int, int]]
    stretch: dict[int, int]


def line(logits: Reading, unembed: Matrix, mu: int, ledger: Ledger) -> Rivals:
    """Return per answer its rivals; where they are beaten, all answers are.  (SPEC-15.4)

    Cost: a sort, an addition per entry of W_U, the widths; three additions per answer, and what
          both sides take.
    """
    places = [row[0] for row in logits.answers]
    count = len(places)
    sorting = count * count.bit_length()
    ledger.charge(add=unembed.entries + 3 * count, cmp=sorting)
    order = sorted(range(count), key=places.__getitem__)
    columns = transposed(unembed).rows
    ledger.hold(unembed.entries, bits(unembed) + 1)
    steps = []
    last = order[0]
    for j in order:
        steps.append(tuple(map(sub, columns[j], columns[last])))
        last = j
    apart = Matrix(tuple(steps), unembed.scale)
    rho = logits.widths.of(apart, logits.scale, ledger)
    added = dict(paired(order, accumulate(rho)))  # R
    found = Rivals({j: {} for j in order}, dict.fromkeys(order, 1))
    for sign in (1, -1):
        points = []
        for j in order[::sign]:
            height = logits.constants[j] + sign * added[j]
            points.append((sign * places[j], height, j))
        for m, j, times in later(points, mu, ledger):
            found.spreads[m][j] = abs(added[j] - added[m])
            found.stretch[m] = max(found.stretch[m], times)
    return found


def later(points: Sequence[Point], mu: int, ledger: Ledger) -> Iterator[Point]:
    """Yield (m, j, how many times as far as the nearest j is, rounded up): no later answer wins
    over m, with ``mu``, where no such j does.

    Requires: points ascend in u.
    Cost:     per answer a multiplication, four additions and four comparisons; and per comparison
              of slopes.
    """
    count = len(points)
    ledger.charge(mul=count, add=4 * count, cmp=4 * count)
    hull = list[Point]()  # of the answers at larger u, the farthest first
    level: Point | None = None  # the highest of the answers at this u
    for u, h, m in reversed(points):
        if level is not None and u < level[0]:
            while len(hull) > 1 and not bends(level, hull, 0, ledger):
                del hull[-1]
            hull.append(level)
            level = None
        if hull:
            lowered = u, h - mu, m
            far, _, j = hull[-1 - steepest(lowered, hull, ledger)]
            nearest, _, _ = hull[-1]
            yield m, j, -((u - far) // (nearest - u))
        if level is not None:
            yield m, level[2], 1
        if level is None or h > level[1]:
            level = u, h, m


def steepest(point: Point, hull: Sequence[Point], ledger: Ledger) -> int:
    """Return the number of the corner, the nearest being 0, that is steepest from a point before
    all.
    """

    def passed(i: int) -> bool:
        return bends(point, hull, i, ledger)

    return bisect_left(range(len(hull) - 1), x=True, key=passed)


def bends(point: Point, hull: Sequence[Point], i: int, ledger: Ledger) -> bool:
    """Return whether it is steeper from a point to corner i than from there to the next.

    Cost: two multiplications, four additions, a comparison.
    """
    ledger.charge(mul=2, add=4, cmp=1)
    x, y, _ = point
    u, h, _ = hull[-1 - i]
    far, top, _ = hull[-2 - i]
    return (h - y) * (far - u) > (top - h) * (u - x)
