"""Two directions: answers in the plane, each tested against its neighbours in a triangulation.
(SPEC-15.5)

Answer j stands at u_j with height c_j + g_j, g_j a bound on what the directions leave of it.  The
triangles are hints; that they tile a convex polygon, and that the heights over them are concave and
above all answers, is checked one triangle and one edge at a time.
"""

from operator import add, mul, sub

from checker.chain.line import Rivals
from checker.chain.parts import Reading
from checker.ground import record
from checker.ground.decode import Pair, fields, integers, listing, pairs
from checker.ground.errors import require, require_form
from checker.ground.exact import Matrix, Rows, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import centred

MAX_TRIANGLES = 8192
"""Twice as many as there can be answers.  (SPEC-3.5)"""

Triangle = tuple[int, int, int]
Edges = dict[Pair, int]
Near = dict[int, set[int]]


@record
class Tiling:
    """Hinted triangles, and for every answer that is no corner the number of one that holds it."""

    triangles: tuple[Triangle, ...]
    inside: tuple[Pair, ...]


def parse_tiling(value: object, answers: int) -> Tiling:
    """Return the triangles of a proof of chains.  (SPEC-15.5)"""
    found = fields(value, "plane", "inside triangles")
    triangles = []
    for item in listing(found["triangles"], "triangles", MAX_TRIANGLES):
        corners = integers(item, "a triangle", 0, answers - 1)
        three = len(corners) == 3
        require_form(three, "SPEC-15.5", "a triangle has not three corners")
        a, b, c = corners
        triangles.append((a, b, c))
    inside = pairs(found["inside"], "inside", 0, MAX_TRIANGLES - 1)
    known = all(number < len(triangles) for _, number in inside)
    held = {j for corners in triangles for j in corners}
    held.update(j for j, _ in inside)
    require_form(
        known and held == set(range(answers)),
        "SPEC-15.5",
        "not every answer is a corner of a triangle or inside one",
    )
    return Tiling(tuple(triangles), tuple(inside))


@record
class Plane:
    """Answers by their places and heights."""

    places: Rows
    heights: list[int]
    ledger: Ledger

    def turn(self, a: int, b: int, c: int) -> int:
        """Return twice the area of a triangle, positive if its corners turn to the left.

        Cost: two multiplications, five additions and a comparison.
        """
        self.ledger.charge(mul=2, add=5, cmp=1)
        x, y = self.places[a]
        right, up = map(sub, self.places[b], (x, y))
        other, over = map(sub, self.places[c], (x, y))
        area: int = right * over - up * other
        return area

    def shares(self, corners: Triangle, j: int) -> list[int]:
        """Return how much each corner counts at j, times twice the area.  Cost: three areas."""
        a, b, c = corners
        first = self.turn(b, c, j)
        second = self.turn(c, a, j)
        return [first, second, self.turn(a, b, j)]

    def under(self, corners: Triangle, j: int, shares: list[int]) -> bool:
        """Return whether j is not above the plane through corners that turn to the left.

        Cost: four multiplications and additions, a comparison.
        """
        self.ledger.charge(mul=4, add=4, cmp=1)
        heights = [self.heights[k] for k in corners]
        held: int = sum(map(mul, shares, heights))
        return held >= sum(shares) * self.heights[j]

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
    Cost:   centring W_U, the widths, two additions per answer; per triangle an area; shares and a
            test per inner edge, and per answer that is no corner; ``require_convex``.
    """
    columns = transposed(centred(unembed, ledger))
    g = logits.widths.of(columns, logits.scale, ledger)
    ledger.charge(add=2 * len(g))
    heights = list(map(add, logits.constants, g))
    known = Plane(logits.answers, heights, ledger)
    near, opposite = _edges(known, tiling)
    outer = [(x, y) for x, y in opposite if (y, x) not in opposite]
    ahead = dict(outer)
    alone = len(ahead) == len(outer)
    require(alone, "SPEC-15.5", "two outer edges leave one corner")
    known.require_convex(ahead)
    for x, y in opposite:
        j = opposite.get((y, x), x)
        corners = x, y, opposite[x, y]
        if x < y and j != x:  # an inner edge, once
            low = known.under(corners, j, known.shares(corners, j))
            require(low, "SPEC-15.5", f"the heights are not concave at {x} to {y}")
    for j, number in tiling.inside:
        corners = tiling.triangles[number]
        shares = known.shares(corners, j)
        low = min(shares) >= 0 and known.under(corners, j, shares)
        require(low, "SPEC-15.5", f"answer {j} is not inside its triangle and under it")
        for x in corners:
            near[x].add(j)
    spreads = {}
    for m, others in near.items():  # z_k - z_m + 2 g_m, less c_k - c_m
        others.discard(m)
        spreads[m] = {j: g[j] + g[m] for j in others}
    return Rivals(spreads, dict.fromkeys(near, 1))


def _edges(known: Plane, tiling: Tiling) -> tuple[Near, Edges]:
    """Return the neighbours of every corner, and the corner to the left of every edge."""
    near = Near()
    opposite = Edges()
    for a, b, c in tiling.triangles:
        left = known.turn(a, b, c) > 0
        require(left, "SPEC-15.5", "a triangle turns to the right")
        for x, y, z in (
            (a, b, c),
            (b, c, a),
            (c, a, b),
        ):
            once = (x, y) not in opposite
            require(once, "SPEC-15.5", "an edge occurs twice")
            opposite[x, y] = z
            near.setdefault(x, set()).update((y, z))
    return near, opposite
