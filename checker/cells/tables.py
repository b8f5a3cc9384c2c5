"""The path matrices of one check, arranged so that extremes over ranges of tokens cost one
comparison.  (SPEC-7.5)
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import sub

from checker.cells.paths import Paths
from checker.ground import record
from checker.ground.exact import Matrix, Row, bits
from checker.ground.ledger import PLACE_BITS, Ledger

Line = Sequence[int]
Choose = Callable[[int, int], int]


@record
class Extremes:
    """Entrywise largest (``max``) or smallest (``min``) entries over consecutive lines, by windows
    of doubling length, the lines themselves first.
    """

    levels: list[Sequence[Line]]
    choose: Choose
    ledger: Ledger

    def windows(self, first: int, last: int) -> tuple[Line, Line]:
        """Return two lines such that the entrywise extreme of both is that of lines ``first`` to
        ``last``.

        Cost: one comparison per entry of a level of windows, when it is first needed.
        """
        level = (last - first + 1).bit_length() - 1
        while len(self.levels) <= level:
            below = self.levels[-1]
            shift = 1 << len(self.levels) - 1
            count = len(below) - shift
            entries = count * len(below[0])
            # 8.3: a worker forms them again, and nobody but the first is charged.
            number = id(self) + len(self.levels)
            self.ledger.once(number, entries, entries * PLACE_BITS)
            pairs = zip(below, below[shift:], strict=False)
            self.levels.append([tuple(map(self.choose, *pair)) for pair in pairs])
        lines = self.levels[level]
        return lines[first], lines[last + 1 - (1 << level)]

    def of(
        self,
        queries: Line,
        first: int,
        last: int,
    ) -> list[int]:
        """Return the extremes of lines ``first`` to ``last`` in the entries of the queries."""
        one, two = self.windows(first, last)
        if one is two:
            return [one[q] for q in queries]
        choose = self.choose
        return [choose(one[q], two[q]) for q in queries]


def _less(rows: Sequence[Row], bases: list[int]) -> list[Row]:
    pairs = zip(rows, bases, strict=True)
    return [tuple(value - base for value in row) for row, base in pairs]


def _running(rows: Sequence[Row], choose: Choose) -> list[Row]:
    """Return per row the entrywise extremes of the rows up to it."""
    return list(accumulate(rows, lambda a, b: tuple(map(choose, a, b))))


class Tables:
    """Scores by key token and position, values by token, and extremes over the queries up to each
    token.

    ``direct_high[q][j]``, ``direct_low[q][j]``: of EU less its row's mean; ``place_high[q]``,
    ``place_low[q]``: of scores of positions relative to kappa, their row's mean over the free
    positions, ``places[q][i]``.  Means are rounded down.
    """

    def __init__(self, paths: Paths, ledger: Ledger) -> None:
        """Arrange the tables.

        Cost: three additions and two comparisons per query and position, and per entry of EU.
        """
        self.paths = paths
        self.ledger = ledger
        high = list(zip(*paths.eqke_high, strict=True))
        low = list(zip(*paths.eqke_low, strict=True))
        self.score_high = Extremes([high], max, ledger)
        self.score_low = Extremes([low], min, ledger)
        self.value_high = Extremes([paths.evou_high], max, ledger)
        self.value_low = Extremes([paths.evou_low], min, ledger)
        free = len(paths.pvou) - 1
        width = len(paths.pvou[0])
        entries = len(paths.eqkp) * (free + 1 + width)
        ledger.charge(add=3 * entries, cmp=2 * entries)
        ledger.hold(2 * entries, bits(Matrix(paths.eu_low, 0)))
        most = max(free, 1)
        kappas = [sum(row[:free]) // most for row in paths.eqkp]
        self.places = _less(paths.eqkp, kappas)
        self.place_high = list(accumulate(map(max, self.places), max))
        self.place_low = list(accumulate(map(min, self.places), min))
        means = [sum(row) // width for row in paths.eu_low]
        low = _less(paths.eu_low, means)
        high = low if paths.eu_high is paths.eu_low else _less(paths.eu_high, means)
        self.direct_high = _running(high, max)
        self.direct_low = _running(low, min)

    def differences(
        self,
        queries: Line,
        first: int,
        last: int,
        maximum: int,
    ) -> tuple[list[int], list[int]]:
        """Return per query bounds (low, high) on EQKE[q,t] - EQKE[q,maximum] for all tokens t of a
        block.

        Cost: per query one addition, or two if the ends differ, and two comparisons for a block of
              several tokens.
        """
        paths = self.paths
        several = last > first
        ends = 2 if several or not paths.exact else 1
        self.ledger.charge(
            add=ends * len(queries),
            cmp=2 * len(queries) * several,
        )
        # 6.5: an upper end less a lower end
        own_low = [paths.eqke_low[q][maximum] for q in queries]
        high = list(map(sub, self.score_high.of(queries, first, last), own_low))
        if ends == 1:
            return high, high
        # and a lower end less an upper end
        own_high = [paths.eqke_high[q][maximum] for q in queries]
        low = list(map(sub, self.score_low.of(queries, first, last), own_high))
        return low, high
