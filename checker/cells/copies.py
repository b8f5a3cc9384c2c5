"""Method ``copies``: inputs with exactly c free positions that do not hold the maximum.  (SPEC
7.14)

The groups of the published cubic proof (one query, single tokens) and of the sub-cubic one (the
tokens up to m - g in
one block, many queries) are both of this form.
"""

from checker.cells.parse import Group
from checker.cells.terms import Frame, Terms
from checker.ground.ledger import Ledger


def _worst(
    terms: Terms, floor: int, own: list[int], chosen: set[int], copies: int
) -> int:
    """Return an upper bound on the sum of the terms if that many free positions hold chosen blocks,
    the others the maximum.
    """
    other = [
        max([row[b] for b in chosen if b in row], default=floor)
        for row in terms.rows[:-1]
    ]
    gains = sorted(
        (there - here for there, here in zip(other, own, strict=True)), reverse=True
    )
    return sum(own) + sum(gains[:copies]) + max(terms.rows[-1].values())


def right(
    frame: Frame, answers: dict[int, Terms], groups: tuple[Group, ...], ledger: Ledger
) -> int:
    """Return a lower bound on the weight of the cell's inputs that are answered correctly.  (SPEC
    7.14)

    Cost: per answer a comparison and an addition per term; per group and answer, a comparison per
          chosen block and free
          position and per block of queries, four additions and a sort of the free positions; per
          group two multiplications
          and an addition per free position and copy, and one addition per chosen block and free
          position.
    """
    free, total = len(frame.multiplicities) - 1, 0
    prepared = []
    for terms in answers.values():
        entries = sum(map(len, terms.rows))
        ledger.charge(cmp=entries, add=free)
        floor = -1 - len(terms.rows) * max(
            abs(value) for row in terms.rows for value in row.values()
        )
        prepared.append(
            (terms, floor, [row.get(terms.maximum, floor) for row in terms.rows[:-1]])
        )
    for copies, blocks in groups:
        chosen = {b for first, last in blocks for b in range(first, last + 1)}
        ledger.charge(2 * free * (copies + 1), free * (copies + 1 + len(chosen)))
        work = free * (len(chosen) + free.bit_length() + 1) + len(frame.weights[-1])
        ledger.charge(add=len(answers) * 4 * (free + 1), cmp=len(answers) * work)
        if all(
            _worst(terms, floor, own, chosen, copies) < 0
            for terms, floor, own in prepared
        ):
            weights = [1] + [0] * copies
            for row in frame.multiplicities[:-1]:
                others = sum(row[b] for b in chosen)
                weights = [
                    here * row[-1] + there * others
                    for here, there in zip(weights, [0, *weights], strict=False)
                ]
            total += weights[copies] * sum(frame.multiplicities[-1])
    return total
