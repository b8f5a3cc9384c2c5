"""Two directions: answers in the plane, each tested against its neighbours in a triangulation.
(SPEC-15.5)

Answer j stands at u_j with height c_j + g_j, g_j a bound on what the directions leave of it.  The
triangles are hints; that they tile a convex polygon, and that the heights over them are concave and
above all answers, is checked one triangle and one edge at a time.
"""

from operator import add, mul

from checker.chain.line import Rivals
from checker.chain.parts import Reading
from checker.ground import record
from checker.ground.decode import fields, integers, listing, pairs
from checker.ground.errors import require, require_form
from checker.ground.exact import Matrix, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import centred

MAX_TRIANGLES = 8192
"""Twice as many as there can be answers.  (SPEC-3.5)"""

Triangle = tuple[int, int, int]


@record
class Tiling:
    """Hinted triangles, and for every answer that is no corner the number of one that holds it."""

    triangles: tuple[Triangle, ...]
    inside: tuple[tuple[int, int], ...]


def parse_tiling(value: object, answers: int) -> Tiling:
    """Return the triangles of a proof of chains.  (SPEC-15.5)"""
    found = fields(value, "plane", "inside triangles")
    triangles = list[Triangle]()
    for item in listing(found["triangles"], "triangles", MAX_TRIANGLES):
        corners = integers(item, "a triangle", 0, answers - 1)
        require_form(len(corners) == 3, "SPEC-15.5", "a triangle has not three corners")
        triangles.append((corners[0], corners[1], corners[2]))
    inside = pairs(found["inside"], "inside", 0, MAX_TRIANGLES - 1)
    known = all(number < len(triangles) for _, number in inside)
    held = {j for corners in triangles for j in corners} | {j for j, _ in inside}
    require_form(
        known and held == set(range(answers)),
        "SPEC-15.5",
        "not every answer is a corner of a triangle or inside one",
    )
    return Tiling(tuple(triangles), tuple(inside))


@record
class Plane:
    """Answers by their places and heights."""

    places: tuple[tuple[int, ...], ...]
    heights: list[int]
    ledger: Ledger

    def turn(self, a: int, b: int, c: int) -> int:
        """Return twice the area of a triangle, positive if its corners turn to the left.

        Cost: two multiplications, five additions and a comparison.
        """
        self.ledger.charge(mul=2, add=5, cmp=1)
        x, y = self.places[a]
        bx, by = self.places[b]
        cx, cy = self.places[c]
        left = (bx - x) * (cy - y)
        return left - (by - y) * (cx - x)

    def require_under(self, corners: Triangle, j: int) -> list[int]:
        """Require that j is not above the plane through corners that turn to the left; return how
        much each counts at j, times twice the area.

        Cost: three areas, four multiplications and additions, a comparison.
        """
        self.ledger.charge(mul=4, add=4, cmp=1)
        a, b, c = corners
        shares = [self.turn(b, c, j), self.turn(c, a, j), self.turn(a, b, j)]
        z = self.heights
        held = sum(map(mul, shares, (z[a], z[b], z[c])))
        require(
            held >= sum(shares) * z[j],
            "SPEC-15.5",
            f"answer {j} is above its neighbours, or above the triangle that holds it",
        )
        return shares

    def require_convex(self, ahead: dict[int, int]) -> None:
        """Require that edges, one from each corner, form a convex polygon, to the left.

        Cost: an area and four comparisons per edge.
        """
        self.ledger.charge(cmp=4 * len(ahead))
        places = self.places
        lowest = 0
        for a, b in ahead.items():
            c = ahead[b]
            bent = self.turn(a, b, c) > 0
            require(bent, "SPEC-15.5", "the outer edges are not convex")
            lowest += places[b] < min(places[a], places[c])
        # Each cycle, each time it winds, has a lowest corner.
        require(lowest == 1, "SPEC-15.5", "the outer edges do not wind once")


def plane(logits: Reading, unembed: Matrix, tiling: Tiling, ledger: Ledger) -> Rivals:
    """Return per corner its rivals; where they are beaten, all answers are.  (SPEC-15.5)

    Raises: Rejected (SPEC-15.5).
    Cost:   centring W_U, the widths, two additions per answer; per triangle an area; a test per
            inner edge, and per answer that is no corner; ``require_convex``.
    """
    columns = transposed(centred(unembed, ledger))
    g = logits.widths.of(columns, logits.scale, ledger)
    ledger.charge(add=2 * len(g))
    heights = list(map(add, logits.constants, g))
    known = Plane(logits.answers, heights, ledger)
    near: dict[int, set[int]] = {}
    opposite: dict[tuple[int, int], int] = {}
    for a, b, c in tiling.triangles:
        left = known.turn(a, b, c) > 0
        require(left, "SPEC-15.5", "a triangle turns to the right")
        for x, y, z in ((a, b, c), (b, c, a), (c, a, b)):
            require((x, y) not in opposite, "SPEC-15.5", "an edge occurs twice")
            opposite[x, y] = z
            near.setdefault(x, set()).update((y, z))
    inner = [(x, y) for x, y in opposite if (y, x) in opposite]
    ahead = dict(opposite.keys() - set(inner))
    alone = len(ahead) + len(inner) == len(opposite)
    require(alone, "SPEC-15.5", "two outer edges leave one corner")
    known.require_convex(ahead)
    tests = [((x, y, opposite[x, y]), opposite[y, x]) for x, y in inner if x < y]
    for corners, j in tests:
        known.require_under(corners, j)
    for j, number in tiling.inside:
        corners = tiling.triangles[number]
        shares = known.require_under(corners, j)
        require(min(shares) >= 0, "SPEC-15.5", f"answer {j} is outside its triangle")
        for x in corners:
            near[x].add(j)
    spreads = {m: {j: g[j] + g[m] for j in near[m] - {m}} for m in near}
    return Rivals(spreads, dict.fromkeys(near, 1))
