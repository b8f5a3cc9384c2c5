"""What a model of cells does along hinted directions, exactly, and bounds on all the rest.
(SPEC-15.2, SPEC-15.3)

A direction is a hint on the axis of the head: a weight W into it is W N B + (W - W N B), whatever N
and B are.
Not done here: nothing says that a hint is any good.  A bad one leaves much, and proves less.
"""

from fractions import Fraction
from operator import mul

from checker.cells.places import Places
from checker.float32.propagation import ceiling, frobenius, largest_norm, row_norms
from checker.ground import paired, record
from checker.ground.exact import (
    Matrix,
    Row,
    Rows,
    below,
    minus,
    plus,
    product,
    rescale,
    transposed,
)
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE, low_rank, raised

Weights = dict[str, Matrix]
Directions = tuple[Matrix, Matrix]
"""N and B, a column of N and a row of B for each direction."""


@record
class Widths:
    """What directions leave of a difference of two logits with unembedding columns x apart:
    at most ``norm |x| + sum_a reach_a |x_a|``, ``reach`` over 2^-scale.
    """

    norm: Fraction
    reach: Row
    scale: int

    def of(self, apart: Matrix, scale: int, ledger: Ledger) -> list[int]:
        """Return the bound for every row x, over 2^-scale, rounded up.

        Cost: two multiplications and additions and a comparison per entry; per row a
              multiplication and an addition.
        """
        entries = apart.entries
        norms = row_norms(apart, ledger)
        count = entries + len(norms)
        ledger.charge(mul=count, add=count, cmp=entries)
        found = []
        for row, norm in paired(apart.rows, norms):
            reached = sum(map(mul, self.reach, map(abs, row)))
            reached = raised(reached, apart.scale + self.scale, scale)
            found.append(ceiling(self.norm * norm, scale) + reached)
        return found


@record
class Stream:
    """Rows of W_E, one for each place; these, then those of W_pos; and the norm of the longest."""

    embed: Matrix
    rows: Matrix
    norm: Fraction


@record
class Reading:
    """The logits: s_t, then p_i, with u_j over 2^-scale together; c_j and ``widths``."""

    rows: Rows
    answers: Rows
    constants: Row
    widths: Widths
    scale: int


@record
class Attention:
    """The scores: a_q, and z_t, then z_i, over 2^-scale together, and how far they may be off."""

    queries: Rows
    rows: Rows
    error: int
    scale: int


def stream(w: Weights, named: Places, ledger: Ledger) -> Stream:
    """Return the rows that the model adds up.  Cost: norms, and their comparisons."""
    places = w["W_pos"]
    rows = below(named.rows(w["W_E"]), places, ledger)
    ledger.charge(cmp=rows.height)
    embed = rows.cut(0, -places.height)
    return Stream(embed, rows, largest_norm(rows, ledger))


def along(
    weight: Matrix, directions: Directions, ledger: Ledger
) -> tuple[Matrix, Fraction]:
    """Return W N, and the Frobenius norm of W - W N B.

    Cost: two products, an addition per entry of W, a norm.
    """
    left, right = directions
    kept = product(weight, left, ledger)
    taken = low_rank(kept, right, weight, ledger)
    return kept, frobenius(minus(weight, taken, ledger), ledger)


def attention(
    w: Weights, given: Stream, directions: Directions, ledger: Ledger
) -> Attention:
    """Return the scores along one direction.  (SPEC-15.3)

    Cost: the products and additions of rows, two norms, five operations more.
    """
    place = product(w["W_pos"].cut(-1), w["W_Q"], ledger)
    asked = plus(place, w["b_Q"], ledger)
    asking = below(w["W_Q"], asked, ledger)
    kept, norm = along(asking, directions, ledger)
    moved = product(given.embed, kept.cut(0, -1), ledger)
    queries = plus(moved, kept.cut(-1), ledger)
    back = product(w["W_K"], transposed(directions[1]), ledger)
    keys = product(given.rows, back, ledger)
    # 15.3: (E + 1) R_Q |W_K| 2 E
    ledger.charge(mul=4, add=1)
    norm *= frobenius(w["W_K"], ledger)
    norm *= (given.norm + 1) * 2 * given.norm
    score = max(queries.scale + keys.scale, TABLE_SCALE)
    fine = rescale(queries, score - keys.scale, ledger)
    return Attention(fine.rows, keys.rows, ceiling(norm, score), score)


def reading(
    w: Weights, given: Stream, directions: Directions, ledger: Ledger
) -> Reading:
    """Return the logits along the directions.  (SPEC-15.2)

    Cost: the products and additions of rows, two norms, two comparisons per entry of W_E, three
          operations more.
    """
    kept, norm = along(w["W_V"], directions, ledger)
    values = product(given.rows, kept, ledger)
    back = product(directions[1], w["W_O"], ledger)
    answers = transposed(product(back, w["W_U"], ledger))
    moved = product(w["b_V"], w["W_O"], ledger)
    fixed = plus(w["W_pos"].cut(-1), w["b_O"], ledger)
    fixed = plus(moved, fixed, ledger)
    whole = product(fixed, w["W_U"], ledger)
    constants = plus(whole, w["b_U"], ledger)
    # 15.2: 2 E R_V |W_O|, and beta_a
    embed = given.embed
    ledger.charge(mul=3, cmp=2 * embed.entries)
    norm *= 2 * given.norm * frobenius(w["W_O"], ledger)
    columns = transposed(embed).rows
    reach = tuple(max(map(abs, column)) for column in columns)
    scale = max(values.scale + answers.scale, constants.scale, TABLE_SCALE)
    return Reading(
        rescale(values, scale - answers.scale, ledger).rows,
        answers.rows,
        rescale(constants, scale, ledger).rows[0],
        Widths(norm, reach, embed.scale),
        scale,
    )
