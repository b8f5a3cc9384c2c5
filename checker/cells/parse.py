"""The proof as typed data: a forest of cells in preorder, and the check that it tiles the domain.
(SPEC 7.1 to 7.4)

A cell is the set of all inputs whose maximum is ``maximum`` and whose last token lies in
``queries``.  Root cells
name their maximum and margin; the children of a ``screen`` or a ``split`` follow it in the list and
inherit both.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from checker.ground.decode import (
    big,
    dyadic,
    fields,
    integer,
    integers,
    listing,
    pairs,
    typed,
)
from checker.ground.errors import require, require_form, require_support
from checker.statement.outcome import MAX_CELLS

MAX_SPLIT_DEPTH = 32
MAX_BINS = 4096
# method: the keys it needs beside method and queries, and those it may have
_KEYS = {
    "screen": ("layout children", ""),
    "extreme": ("layout margin", ""),
    "split": ("layout children", ""),
    "enumerate": ("layout failures", ""),
    "count": ("layout blocks failures", "lower"),
    "copies": ("layout groups failures", ""),
    "brute-force": ("failures", ""),
    "skip": ("", ""),
}

Share = tuple[int, tuple[int, ...]]
"""A number of bins and the wrong answers they are spent on."""


Range = tuple[int, int]
"""Consecutive tokens or blocks, both ends included."""

Group = tuple[int, tuple[Range, ...]]
"""How many free positions do not hold the maximum, and the blocks from which they take their
tokens.
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, parsed; ``queries`` and ``layout`` stay in the compact form in which they were
    written.

    ``layout`` is pairs (length, count): count blocks of that many tokens, in ascending order.
    ``mu`` and a margin in ``claim`` are (mantissa, exponent); failures in ``claim`` are (lower,
    upper).
    """

    where: str
    maximum: int
    queries: tuple[Range, ...]
    mu: tuple[int, int]
    method: str
    layout: tuple[Range, ...]
    children: tuple["Cell", ...]
    shares: tuple[Share, ...]
    lower_shares: tuple[Share, ...]
    groups: tuple[Group, ...]
    claim: tuple[int, int]

    def blocks(self) -> list[Range]:
        """Return the blocks of tokens below the maximum, and last the block of the maximum itself."""
        ends = [
            0,
            *accumulate(length for length, count in self.layout for _ in range(count)),
            self.maximum + 1,
        ]
        return [(first, last - 1) for first, last in pairwise(ends)]


def expand(ranges: Iterable[Range]) -> list[int]:
    """Return the tokens of ascending ranges."""
    return [token for first, last in ranges for token in range(first, last + 1)]


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """Return ascending ranges with neighbours joined, so that equal sets are equal lists."""
    found: list[Range] = []
    for first, last in ranges:
        begin = found.pop()[0] if found and found[-1][1] + 1 == first else first
        found.append((begin, last))
    return found


def _ascending(ranges: Sequence[Range]) -> bool:
    return all(first <= last for first, last in ranges) and all(
        a[1] < b[0] for a, b in pairwise(ranges)
    )


def _queries(value: object, where: str, maximum: int, method: str) -> tuple[Range, ...]:
    ranges = pairs(value, where, 0, maximum)
    require(len(ranges) > 0, "SPEC-7.2", f"{where} is empty")
    require(_ascending(ranges), "SPEC-7.2", f"{where}: ranges overlap or do not ascend")
    fit = (
        ranges == [(0, maximum)]
        if method == "screen"
        else ranges == [(maximum, maximum)] or ranges[-1][1] < maximum
    )
    require(
        fit,
        "SPEC-7.2",
        f"{where}: not all queries, in a screen, or the maximum beside smaller ones, in another cell",
    )
    return tuple(ranges)


def _layout(found: dict[str, object], where: str, maximum: int) -> tuple[Range, ...]:
    runs = tuple(
        pairs(
            found.get("layout", [[1, maximum]] if maximum else []),
            f"{where} layout",
            1,
            1024,
        )
    )
    held = sum(length * count for length, count in runs)
    require(
        held == maximum,
        "SPEC-7.3",
        f"{where} layout does not hold every token below the maximum exactly once",
    )
    return runs


def _numbered(value: object, where: str, what: str) -> list[list[object]]:
    """Return a list of pairs, each a number of something and a list."""
    found = [listing(item, where) for item in listing(value, where)]
    require_form(
        all(len(pair) == 2 for pair in found),
        "SPEC-3.4",
        f"{where} holds something else than [{what}]",
    )
    return found


def _groups(value: object, where: str, blocks: int, most: int) -> tuple[Group, ...]:
    groups = []
    for copies, ranges in _numbered(value, where, "copies, blocks"):
        held = pairs(ranges, where, 0, 1023)
        require(
            _ascending(held) and all(b < blocks for _, b in held),
            "SPEC-7.14",
            f"{where}: blocks overlap or are not there",
        )
        groups.append((integer(copies, where, 0, most), tuple(held)))
    require(
        len({copies for copies, _ in groups}) == len(groups),
        "SPEC-7.14",
        f"{where}: a number of copies occurs twice",
    )
    return tuple(groups)


def _shares(value: object, where: str, answers: int) -> tuple[Share, ...]:
    shares = []
    for share in _numbered(value, where, "bins, answers"):
        bins = integer(share[0], f"{where} bins", 0, 1 << 24)
        require_support(
            bins <= MAX_BINS, "SPEC-3.5", f"{where} asks for more than {MAX_BINS} bins"
        )
        shares.append((bins, integers(share[1], f"{where} answers", 0, answers - 1)))
    return tuple(shares)


def _claim(found: dict[str, object], where: str) -> tuple[int, int]:
    if "margin" in found:
        return dyadic(found["margin"], f"{where} margin")
    failures = listing(found.get("failures", ["0", "0"]), f"{where} failures")
    require_form(len(failures) == 2, "SPEC-3.4", f"{where} failures is not a pair")
    return big(failures[0], f"{where} failures"), big(failures[1], f"{where} failures")


def _cell(
    unread: deque[tuple[int, object]],
    sizes: tuple[int, int, int],
    root: tuple[int, Range] | None,
    depth: int,
) -> Cell:
    """Return the next cell of the preorder list with its whole subtree; ``sizes`` are vocabulary,
    answers and positions.
    """
    require_form(
        len(unread) > 0,
        "SPEC-7.1",
        "the list of cells ends before the children of a split do",
    )
    number, item = unread.popleft()
    where = f"cell {number}"
    method = typed(
        item.get("method") if type(item) is dict else None, str, f"{where} method"
    )
    require_support(
        method in _KEYS, "SPEC-7.5", f"{where} has the unknown method {method}"
    )
    needed, allowed = _KEYS[method]
    found = fields(
        item,
        where,
        f"method queries {needed}" + (" maximum mu" if root is None else ""),
        allowed,
    )
    if root is None:
        root = (
            integer(found["maximum"], f"{where} maximum", 0, sizes[0] - 1),
            dyadic(found["mu"], f"{where} mu"),
        )
        require(root[1][0] >= 0, "SPEC-7.4", f"{where} mu is negative")
    maximum, mu = root
    queries, children = (
        _queries(found["queries"], f"{where} queries", maximum, method),
        [],
    )
    if "children" in found:
        require_support(
            depth < MAX_SPLIT_DEPTH,
            "SPEC-3.5",
            f"{where} is split deeper than {MAX_SPLIT_DEPTH} levels",
        )
        for _ in range(integer(found["children"], f"{where} children", 1, MAX_CELLS)):
            children.append(_cell(unread, sizes, root, depth + 1))
        _require_partition(children, queries, f"the split of {where}")
    layout = _layout(found, where, maximum)
    blocks, free = (
        sum(count for _, count in layout),
        sizes[2] - 1 - (queries[-1][1] < maximum),
    )
    upper, lower = (
        _shares(found.get(key, []), f"{where} {key}", sizes[1])
        for key in ("blocks", "lower")
    )
    groups = _groups(found.get("groups", []), f"{where} groups", blocks, max(free, 0))
    claim = _claim(found, where)
    return Cell(
        where,
        maximum,
        queries,
        mu,
        method,
        layout,
        tuple(children),
        upper,
        lower,
        groups,
        claim,
    )


def _require_partition(
    cells: Iterable[Cell], whole: tuple[Range, ...], where: str
) -> None:
    """Require that the query sets are disjoint and that their union is ``whole``."""
    held = sorted(pair for cell in cells for pair in cell.queries)
    require(_ascending(held), "SPEC-7.1", f"{where}: two cells overlap")
    require(
        _joined(held) == _joined(whole),
        "SPEC-7.1",
        f"{where}: the cells do not cover exactly these queries",
    )


def parse_cells(cells: list[object], sizes: tuple[int, int, int]) -> tuple[Cell, ...]:
    """Return the root cells of a proof that tiles the domain.  (SPEC 7.1)

    ``sizes`` are the numbers of tokens, answers and positions.
    Ensures: every input belongs to exactly one leaf cell.
    Raises:  Malformed, Rejected or Declined (SPEC-3.5, SPEC-7.x), naming the cell by its index in
             the list.
    Cost:    linear in the length of the list.
    """
    unread, roots = deque(enumerate(cells)), []
    groups: list[list[Cell]] = [[] for _ in range(sizes[0])]
    while unread:
        roots.append(_cell(unread, sizes, None, 0))
        groups[roots[-1].maximum].append(roots[-1])
    for maximum, group in enumerate(groups):
        _require_partition(group, ((0, maximum),), f"the inputs with maximum {maximum}")
    return tuple(roots)
