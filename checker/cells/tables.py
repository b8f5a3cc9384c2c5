"""The path matrices of one check, arranged so that extremes over ranges of tokens cost one
comparison.  (SPEC 7.5)
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import sub

from checker.cells.paths import Paths
from checker.ground.exact import Matrix, Row, bits
from checker.ground.ledger import Ledger

Line = Sequence[int]


class Extremes:
    """Entrywise largest (``max``) or smallest (``min``) entries over consecutive lines, by windows
    of doubling length.
    """

    def __init__(
        self, lines: Sequence[Line], choose: Callable[[int, int], int], ledger: Ledger
    ) -> None:
        self.levels, self.choose, self.ledger = [list(lines)], choose, ledger

    def windows(self, first: int, last: int) -> tuple[Line, Line]:
        """Return two lines such that the entrywise extreme of both is that of lines ``first`` to
        ``last``.

        Cost: one comparison per entry of a level of windows, when it is first needed.
        """
        level = (last - first + 1).bit_length() - 1
        while len(self.levels) <= level:
            below, shift = self.levels[-1], 1 << len(self.levels) - 1
            entries = (len(below) - shift) * len(below[0])
            self.ledger.charge(cmp=entries)
            self.ledger.hold_places(entries)
            self.levels.append(
                [
                    tuple(map(self.choose, a, b))
                    for a, b in zip(below, below[shift:], strict=False)
                ]
            )
        return self.levels[level][first], self.levels[level][last + 1 - (1 << level)]


def _less(rows: Sequence[Row], bases: list[int]) -> list[Row]:
    return [
        tuple(value - base for value in row)
        for row, base in zip(rows, bases, strict=True)
    ]


class Tables:
    """Scores by key token and position, values by token, and extremes over the queries up to each
    token.

    ``direct_high[q][j]``, ``direct_low[q][j]``: of EU less its row's mean; ``place_high[q]``,
    ``place_low[q]``: of scores of
    positions relative to their row's mean over the free positions, ``places[q][i]``.
    """

    def __init__(self, paths: Paths, ledger: Ledger) -> None:
        """Arrange the tables.

        Cost: three additions and two comparisons per query and position, and per entry of EU.
        """
        self.paths, self.ledger = paths, ledger
        self.score_high = Extremes(
            list(zip(*paths.eqke_high, strict=True)), max, ledger
        )
        self.score_low = Extremes(list(zip(*paths.eqke_low, strict=True)), min, ledger)
        self.value_high, self.value_low = (
            Extremes(paths.evou_high, max, ledger),
            Extremes(paths.evou_low, min, ledger),
        )
        free, width = len(paths.pvou) - 1, len(paths.pvou[0])
        entries = len(paths.eqkp) * (free + 1 + width)
        ledger.charge(add=3 * entries, cmp=2 * entries)
        ledger.hold(2 * entries, bits(Matrix(paths.eu_low, 0)))
        kappas = [sum(row[:free]) // max(free, 1) for row in paths.eqkp]
        self.places = _less(paths.eqkp, kappas)
        self.place_high = list(accumulate(map(max, self.places), max))
        self.place_low = list(accumulate(map(min, self.places), min))
        means = [sum(row) // width for row in paths.eu_low]
        low = _less(paths.eu_low, means)
        high = low if paths.eu_high is paths.eu_low else _less(paths.eu_high, means)
        self.direct_high = list(accumulate(high, lambda a, b: tuple(map(max, a, b))))
        self.direct_low = list(accumulate(low, lambda a, b: tuple(map(min, a, b))))

    def differences(
        self, queries: Line, first: int, last: int, maximum: int
    ) -> tuple[list[int], list[int]]:
        """Return per query bounds (low, high) on EQKE[q,t] - EQKE[q,maximum] for all tokens t of a
        block.

        Cost: per query one addition, or two if the ends differ, and two comparisons for a block of
              several tokens.
        """
        paths, one_side = self.paths, self.paths.exact and first == last
        sides = [(self.score_low, paths.eqke_high), (self.score_high, paths.eqke_low)][
            one_side:
        ]
        self.ledger.charge(
            add=len(sides) * len(queries), cmp=2 * len(queries) * (last > first)
        )
        ends = []
        for table, base in sides:
            one, two = table.windows(first, last)
            found = (
                [one[q] for q in queries]
                if one is two
                else [table.choose(one[q], two[q]) for q in queries]
            )
            ends.append(list(map(sub, found, [base[q][maximum] for q in queries])))
        return ends[0], ends[-1]
