"""Method ``copies``: inputs with exactly c free positions that do not hold the maximum.
(SPEC-7.14)

The groups of the published cubic proof (one query, single tokens) and of the sub-cubic one (the
tokens up to m - g in one block, many queries) are both of this form.
"""

from operator import sub

from checker.cells.cell import Failures, Range, expand
from checker.cells.terms import Frame, Left, Terms
from checker.ground import paired, record
from checker.ground.ledger import PLACE_BITS

Rows = list[list[int]]
"""Terms by position and block."""


@record
class Group:
    """The inputs of which exactly ``copies`` free positions do not hold the maximum, and hold
    tokens of ``blocks`` instead.
    """

    copies: int
    blocks: tuple[Range, ...]


@record
class Copies:
    """A leaf of groups, each right as a whole or counted as wrong.  (SPEC-7.14)"""

    groups: tuple[Group, ...]

    def failures(self, left: Left) -> Failures:
        """Return that all inputs may fail but those of the groups that are right.

        Cost: per answer a comparison and an addition per term; per group and answer, a comparison
              per chosen block and free position and per block of queries, four additions and a sort
              of the free positions; per group two multiplications and an addition per free position
              and copy, and one addition per chosen block and free position.
        """
        frame = left.frame
        ledger = frame.ledger
        free = len(frame.multiplicities) - 1
        # SPEC-3.5: every block gets a place at every position
        places = (free + 1) * len(frame.blocks) * PLACE_BITS
        answers = []
        for terms in left.terms.values():
            ledger.take(places)
            ledger.charge(cmp=sum(map(len, terms)), add=free)
            answers.append(_filled(terms, len(frame.blocks)))
        count = len(answers)
        upper = left.size
        for group in self.groups:
            chosen = expand(group.blocks)
            most = group.copies + 1
            added = free * (most + len(chosen))
            work = free * (len(chosen) + free.bit_length() + 1)
            ledger.charge(
                mul=2 * free * most,
                add=added + count * 4 * (free + 1),
                cmp=count * (work + len(frame.highs[-1])),
            )
            # 7.14: right if the largest sum is negative for every answer left
            if all(_worst(rows, chosen, group.copies) < 0 for rows in answers):
                upper -= _weight(frame, chosen, group.copies)
        ledger.release(count * places)
        return Failures(0, upper)


def _filled(terms: Terms, width: int) -> Rows:
    """Return the terms of every block, the maximum's last, at the free positions, and the terms of
    the last position.

    A missing term is one that outweighs all the others: no failing input has it.
    """
    *free, last = terms
    sizes = [abs(term) for row in terms for term in row.values()]
    missing = -1 - len(terms) * max(sizes)
    blocks = range(width)
    filled = [[row.get(b, missing) for b in blocks] for row in free]
    return [*filled, list(last.values())]


def _worst(
    rows: Rows,
    chosen: list[int],
    copies: int,
) -> int:
    """Return the largest sum if that many free positions hold chosen blocks, the others the
    maximum: sum F_i, the c largest of G_i - F_i, and M_{n-1}.  (SPEC-7.14)
    """
    *free, last = rows
    own = [row[-1] for row in free]  # F_i
    # G_i; without blocks there is no input, and any number will do
    others = [max([row[b] for b in chosen], default=0) for row in free]
    gains: list[int] = sorted(map(sub, others, own), reverse=True)
    return sum(own) + sum(gains[:copies]) + max(last)


def _weight(
    frame: Frame,
    chosen: list[int],
    copies: int,
) -> int:
    """Return the weight of a group: the coefficient of z^copies of prod_i (weight of m + z * weight
    of the blocks), times the weight of Q.
    """
    coefficients: list[int] = [1] + [0] * copies
    for row in frame.multiplicities[:-1]:
        others = sum(row[b] for b in chosen)
        below = [0, *coefficients[:-1]]
        pairs = paired(coefficients, below)
        coefficients = [here * row[-1] + there * others for here, there in pairs]
    return frame.scope.counted(coefficients[-1] * sum(frame.multiplicities[-1]))
