"""The cells of a proof of chains: one screen for each maximum, and few pooled cells below it.

What the screen settles costs nothing more, so all maxima begin alike.  Those that stay open get
finer cells, as long as the operations pay.  Nothing here is decided by an estimate of the rule: the
checker says what each plan leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from certify.cells.forest import Cell, cell, near_and_far, starts, tree

WORTH = 3e9
"""Operations that certifying a whole domain is worth at effort 1, as for the cascade."""


@dataclass(frozen=True, slots=True)
class Level:
    """How fine cells are: single tokens next to the maximum, parts of the queries below it, and
    bins of the count.
    """

    near: int
    parts: int
    bins: int


LEVELS = (Level(1, 1, 64), Level(4, 2, 64), Level(8, 4, 128), Level(16, 8, 512))
SKIPPED = -1
"""The level of a maximum of which nothing is proved."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the work of a cell depends on: positions, directions and rivals."""

    positions: int
    directions: int
    rivals: float

    def cell(self, blocks: int, bins: int, *, twice: bool) -> float:
        """Return the operations of a counted cell, about.

        Source: the costs of SPEC-15.3, SPEC-15.6, SPEC-7.6, SPEC-7.9.
        """
        n, r = self.positions, self.directions
        weights = (blocks + n) * 19 + 2 * blocks * n + 2 * r * blocks
        terms = r * (4 * blocks + 2 * n) + 6 * blocks * n + 10 * n
        polynomials = 2 * n * (bins + 1) * blocks * (1 + twice)
        return weights + self.rivals * terms + polynomials

    def level(self, maximum: int, level: int) -> float:
        """Return the operations that a level takes for one maximum, beside the screen."""
        if level == SKIPPED or not maximum:
            return 0.0
        chosen = LEVELS[level]
        blocks = len(starts(near_and_far(maximum, chosen.near, 2, 2)))
        parts = min(chosen.parts, maximum)
        below = parts * self.cell(blocks, chosen.bins, twice=True)
        return below + self.cell(blocks, chosen.bins, twice=False)


def parts_of(maximum: int, count: int) -> list[range]:
    """Return the queries below a maximum in at most so many parts of consecutive tokens."""
    ends = sorted({maximum * part // count for part in range(count + 1)})
    return [range(first, last) for first, last in pairwise(ends)]


def cells_of(maximum: int, level: int) -> list[Cell]:
    """Return the cells of one maximum."""
    parts = [range(maximum, maximum + 1)]
    if level == SKIPPED:
        below = [range(maximum)] if maximum else []
        return [one for part in (*below, *parts) for one in tree(maximum, cell("skip", part))]
    chosen = LEVELS[level]
    layout = near_and_far(maximum, chosen.near, 2, 2)
    blocks = [[chosen.bins, []]]
    parts = [*parts_of(maximum, chosen.parts), *parts]
    leaves = [cell("count", part, layout, blocks=blocks) for part in parts]
    screen = near_and_far(maximum, 1, 2, 2)
    root = cell("screen", range(maximum + 1), screen, children=len(leaves))
    return tree(maximum, root, leaves)


def build(levels: Sequence[int]) -> list[Cell]:
    """Return the cells of a proof, given the level of every maximum."""
    return [one for maximum, level in enumerate(levels) for one in cells_of(maximum, level)]


def best(tried: Mapping[int, float], sizes: Sizes, maximum: int, share: float, worth: float) -> int:
    """Return the level that is the best bargain for a maximum, ``SKIPPED`` if none is.

    Requires: ``tried`` says by level what it leaves open; ``share``: what the inputs with this
              maximum weigh; both as shares of the domain.
    """
    prices = {SKIPPED: worth * share}
    for level, left in tried.items():
        prices[level] = worth * left + (sizes.level(maximum, level) if len(tried) > 1 else 0.0)
    return min(prices, key=prices.__getitem__)
