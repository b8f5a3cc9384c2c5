"""The path matrices of one check, arranged so that extremes over ranges of tokens cost one
comparison.  (SPEC-7.5)
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import sub

from checker.cells.cell import Range, mask
from checker.cells.paths import Paths
from checker.ground import paired, record
from checker.ground.exact import Row, longest
from checker.ground.ledger import PLACE_BITS, Ledger

Line = Sequence[int]
Windows = tuple[Line, Line]
"""Two lines that cover consecutive ones: the entrywise extreme of both is that of all."""

Choose = Callable[[int, int], int]


@record
class Extremes:
    """Entrywise largest (``max``) or smallest (``min``) entries over consecutive lines, by windows
    of doubling length, the lines themselves first.
    """

    levels: list[Sequence[Line]]
    choose: Choose
    ledger: Ledger

    def windows(self, first: int, last: int) -> Windows:
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

    def over(self, blocks: Sequence[Range]) -> list[Windows]:
        """Return such lines for every block."""
        return [self.windows(*block) for block in blocks]


class Layout:
    """Blocks of tokens, the last of them the maximum, with the lines of every table over each.
    (SPEC-7.3)

    Cells with one maximum often have the same blocks, so this is formed once for a run of cells;
    what it costs is charged to each of them by the formulas of SPEC-7.5.
    ``masks``: the tokens of each block as a bit mask; ``at``: by token, its block.
    ``wide``: how many blocks no single window of values covers.
    """

    def __init__(self, tables: "Tables", blocks: Sequence[Range]) -> None:
        """Gather the lines.

        Cost: that of windows that are needed for the first time.
        """
        *others, (m, _) = blocks
        self.blocks = blocks
        self.maximum = m
        self.score_tops = tables.score_high.over(others)
        self.score_floors = tables.score_low.over(others)
        self.value_tops = tables.value_high.over(blocks)
        lows = tables.value_low.over(blocks)
        self.floors = _extremes(lows, tables.paths.right[m], min)
        self.wide = sum(one is not two for one, two in self.value_tops)
        self.masks = [mask(*block) for block in blocks]
        self.at = [
            b for b, (first, last) in enumerate(blocks) for _ in range(first, last + 1)
        ]

    def above(self, j: int) -> list[int]:
        """Return max_t EVOU[t,j] - min_t EVOU[t,m] for every block.  (SPEC-7.5, SPEC-7.15)"""
        return list(map(sub, _extremes(self.value_tops, j, max), self.floors))


def _extremes(
    windows: list[Windows],
    entry: int,
    choose: Choose,
) -> list[int]:
    """Return the extremes in one entry of what each pair of lines covers."""
    return [
        one[entry] if one is two else choose(one[entry], two[entry])
        for one, two in windows
    ]


def _less(rows: Sequence[Line], bases: list[int]) -> list[Row]:
    return [tuple(x - base for x in row) for row, base in paired(rows, bases)]


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
        ledger.hold(2 * entries, longest(paths.eqkp + paths.eu_low + paths.eu_high))
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

        self.last: Layout | None = None

    def layout(self, blocks: Sequence[Range]) -> Layout:
        """Return the layout of these blocks, the last one again if it is the same."""
        if self.last is None or self.last.blocks != blocks:
            self.last = Layout(self, blocks)
        return self.last

    def spans(self, queries: Line, layout: Layout) -> list[tuple[int, int]]:
        """Return (L_b, H_b) per block: bounds on EQKE[q,t] - EQKE[q,m] for its tokens, over all
        queries; (0, 0) for the last block, the maximum itself.  (SPEC-7.5)

        Cost: per query and block below the maximum an addition, or two if the ends differ, and two
              comparisons, two more for a block of several tokens.
        """
        paths = self.paths
        m = layout.maximum
        others = layout.blocks[:-1]
        several = sum(first < last for first, last in others)
        differ = several if paths.exact else len(others)
        self.ledger.charge(
            add=(len(others) + differ) * len(queries),
            cmp=2 * (len(others) + several) * len(queries),
        )
        # 6.5: an upper end less a lower end
        own = [paths.eqke_low[q][m] for q in queries]
        ends = [_extremes(layout.score_tops, q, max) for q in queries]
        floors = tops = _less(ends, own)
        if differ:  # and a lower end less an upper end
            own = [paths.eqke_high[q][m] for q in queries]
            ends = [_extremes(layout.score_floors, q, min) for q in queries]
            floors = _less(ends, own)
        lows = map(min, zip(*floors, strict=True))
        highs = map(max, zip(*tops, strict=True))
        return [*paired(lows, highs), (0, 0)]
