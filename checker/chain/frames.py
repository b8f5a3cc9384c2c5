"""Weights and terms of the cells of a chain, from numbers by token alone.  (SPEC-15.3, SPEC-15.6)

Nothing here is a table of pairs of tokens: a bound on a product of two numbers that vary over a
cell comes from the extremes of both.  A *reach* of a vector x is the row of the largest entries of
x, then of -x.
"""

from collections.abc import Iterable
from fractions import Fraction
from operator import mul, neg, sub

from checker.cells.cell import Answers, Margin, mask
from checker.cells.derive import Cells
from checker.cells.parse import Cell
from checker.cells.places import Places
from checker.cells.screen import Screened, left_by
from checker.cells.tables import Extremes
from checker.cells.terms import Brackets, Frame, Term, multiplicities, term_upper
from checker.cells.weights import BothEnds, Ends, weighed
from checker.chain.line import line
from checker.chain.parts import Directions, attention, reading, stream
from checker.chain.plane import Tiling, plane
from checker.float32 import cells as float32
from checker.float32.cells import REAL
from checker.ground import record
from checker.ground.errors import require
from checker.ground.exact import Rows, longest
from checker.ground.interval import Exponentials
from checker.ground.ledger import Ledger
from checker.statement.model import Model

Reach = list[int]


def both(rows: Rows, ledger: Ledger) -> Extremes:
    """Return what finds out how far vectors by token, and their negatives, reach."""
    doubled = [row + tuple(map(neg, row)) for row in rows]
    return Extremes([doubled], max, ledger)


def reach(vectors: Extremes, first: int, last: int) -> Reach:
    """Return what the vectors of these tokens reach.

    Cost: two comparisons per direction; windows where they are first needed.
    """
    one, two = vectors.windows(first, last)
    vectors.ledger.charge(cmp=len(one))
    return list(map(max, one, two))


def times(a: Reach, b: Reach, error: int, ledger: Ledger) -> Ends:
    """Return the ends of the product of two numbers that reach so far, made wider.

    Cost: four multiplications, six comparisons and two additions.
    """
    ledger.charge(mul=4, add=2, cmp=6)
    a_high, a_low = a
    b_high, b_low = b
    corners = a_high * b_high, -a_high * b_low, -a_low * b_high, a_low * b_low
    return min(corners) - error, max(corners) + error


@record
class Hints:
    """What a proof of chains is about, and how it goes about it.

    ``exp``: eps_exp and eta_exp, or None.  ``tiling``: None for one direction.
    """

    model: Model
    exp: tuple[Fraction, Fraction] | None
    named: Places
    precision: int
    mu: Margin
    asking: Directions
    moving: Directions
    tiling: Tiling | None


class ChainCells(Cells):
    """Derives the outcome of every leaf of a chain."""

    def __init__(self, hints: Hints, ledger: Ledger) -> None:
        """Follow the hints.  (SPEC-15.2 to SPEC-15.5)"""
        model = hints.model
        named = hints.named
        w = model.by_role()
        given = stream(w, named, ledger)
        self.scored = attention(w, given, hints.asking, ledger)
        self.logits = logits = reading(w, given, hints.moving, ledger)
        scale = self.scored.scale
        slack = REAL
        if hints.exp is not None:
            slack = float32.slack(model, hints.exp, (scale, logits.scale), ledger)
        if hints.tiling is None:
            mu = slack.raised(hints.mu.above(logits.scale))
            self.rivals = line(logits, w["W_U"], mu, ledger)
        else:
            self.rivals = plane(logits, w["W_U"], hints.tiling, ledger)
        self.right = named.right
        self.precision = hints.precision
        self.exponentials = Exponentials(model.sizes["d_head"], scale, ledger)
        count = given.embed.height
        self.asking = both(self.scored.queries, ledger)
        self.asked = both(self.scored.rows[:count], ledger)
        self.values = both(logits.rows[:count], ledger)
        self.places = logits.rows[count:]
        self.keys = [key for (key,) in self.scored.rows[count:]]
        # 3.5: a bracket is a sum of eight products and three constants at most; mu is apart
        spreads = self.rivals.spreads.values()
        spread = [max(row.values(), default=0) for row in spreads]
        products = longest(logits.rows) + longest(logits.answers)
        most = max(products, longest([logits.constants, spread])) + 8
        self.start(named, ledger, slack, logits.scale, self.precision + most)

    def tested(self, right: int) -> Iterable[int]:
        """Return the answers against which a right one is tested.

        Raises: Rejected (SPEC-15.5) if that says nothing of the others.
        """
        found = self.rivals.spreads.get(right, {right: 0})
        corner = right not in found
        require(corner, "SPEC-15.5", f"answer {right} is no corner: only skip it")
        return found

    def frame(self, cell: Cell) -> Frame:
        """Return the blocks and weights of a cell.  (SPEC-15.6)"""
        frame = ChainFrame(self, cell)
        counts = self.named.marked(cell.maximum)
        frame.multiplicities = multiplicities(cell.inputs(), counts)
        held = frame.multiplicities[-1]
        for ends in (frame.lows, frame.highs):
            last = ends.pop().items()
            ends.append({b: end for b, end in last if held[b]})
        return frame

    def screened(self, cell: Cell, answers: Answers, mu: int) -> Screened:
        """Return what a screen leaves.  (SPEC-7.15, SPEC-15.6)

        Cost: the cell; two comparisons per block and position; per rival its brackets, per block
              two additions, a multiplication and three comparisons, per position a comparison, and
              six more.
        """
        frame = ChainFrame(self, cell)
        n = len(frame.lows)
        count = len(frame.blocks)
        each = len(answers)
        self.ledger.charge(
            mul=each * (count + 2),
            add=each * (2 * count + 4),
            cmp=2 * count * n + each * (3 * count + n),
        )
        weights = []
        for b in range(count):
            low = min(row[b] for row in frame.lows)
            weights.append((low, max(row[b] for row in frame.highs)))

        def brackets(j: int) -> list[int]:
            found = frame.brackets(j, mu, term_upper)
            shift = max(found.places)
            return [value + shift for value in found.blocks]

        left, removed, heaviest = left_by(answers, brackets, weights, frame.masks, n)
        return left, removed, heaviest * frame.stretch


class ChainFrame(Frame):
    """One cell of a chain with its blocks and weights; its terms are bounded on both sides."""

    def __init__(self, chain: ChainCells, cell: Cell) -> None:
        """Set up a cell.  Cost: the values of the blocks; the weights."""
        self.chain = chain
        self.ledger = chain.ledger
        self.asked = cell.queries[0][0], cell.queries[-1][1]
        self.maximum = cell.maximum
        self.scope = chain.named.scope
        self.blocks = cell.blocks()
        self.forced = self.asked[0] < cell.maximum
        self.exact = False
        self.mirrored = True
        self.drop = chain.slack.raised(0)  # 12.5: B/rho
        self.masks = [mask(*block) for block in self.blocks]
        self.reaches = [reach(chain.values, *block) for block in self.blocks]
        self.lows, self.highs = self._weights()
        self.stretch = chain.rivals.stretch[chain.right[cell.maximum]]

    def _weights(self) -> BothEnds:
        """Return lower and upper bounds on the weight of every block at every position.
        (SPEC-15.3)

        Cost: the extremes of the queries and of every block; per block and position an inner
              product, two exponentials, four additions and a comparison; two multiplications for
              both.
        """
        chain = self.chain
        ledger = self.ledger
        asked = reach(chain.asking, *self.asked)
        error = chain.scored.error
        (own,) = chain.scored.rows[self.maximum]
        spans = []  # (L_b, H_b)
        for block in self.blocks[:-1]:
            high, low = reach(chain.asked, *block)
            spans.append(times(asked, [high - own, low + own], error, ledger))
        spans.append((0, 0))
        places = []  # (l_i, h_i)
        for key in chain.keys:
            gap = key - chain.keys[-1]
            places.append(times(asked, [gap, -gap], error, ledger))
        count = len(spans) + len(places)
        products = 2 * len(spans) * len(places)
        ledger.charge(mul=products, add=4 * count, cmp=count)
        tokens = self._ends(spans, chain.slack.score_error)  # 12.5
        ends = self._ends(places, 0)
        return weighed(tokens, ends, chain.precision)

    def _ends(self, spans: list[Ends], wide: int) -> list[Ends]:
        """Return the exponentials, over the largest of all."""
        top = max(high for _, high in spans)
        below = [(top - high, top - low + wide) for low, high in spans]
        return self.chain.exponentials.ends(below, self.chain.precision)

    def brackets(self, j: int, mu: int, term: Term) -> Brackets:
        """Return bounds on the brackets of a rival, ``mu`` added: from above for upper terms, from
        below for lower terms.  (SPEC-15.6)

        Cost: per direction three additions, and per block two multiplications and additions, per
              position one; per position an addition; four additions.
        """
        chain = self.chain
        logits = chain.logits
        m = chain.right[self.maximum]
        width = len(logits.answers[j])
        places = len(chain.places)
        count = width * (2 * len(self.blocks) + places)
        self.ledger.charge(mul=count, add=count + 3 * width + places + 4)
        gap = list(map(sub, logits.answers[j], logits.answers[m]))
        spread = chain.rivals.spreads[m][j]
        base = logits.constants[j] - logits.constants[m] + mu
        shifts = [base + sum(map(mul, gap, row)) for row in chain.places]
        # from below: what bounds the negative from above
        sign = 1 if term is term_upper else -1
        ahead = [max(sign * x, 0) for x in gap]
        back = [max(-sign * x, 0) for x in gap]
        ways = ahead + back
        blocks = [sign * sum(map(mul, ways, row)) for row in self.reaches]
        return Brackets(blocks, [shift + sign * spread for shift in shifts])
