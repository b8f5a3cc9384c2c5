"""The proof as typed data: a forest of cells in preorder, and the check that it tiles the domain.
(SPEC-7.1 to SPEC-7.4)

A cell is the set of all inputs whose maximum is ``maximum`` and whose last token lies in
``queries``.  Root cells name their maximum and margin; the children of a ``screen`` or a ``split``
follow it in the list and inherit both.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise

from checker.cells.cell import Failures, Inputs, Margin, Range, expand, mask
from checker.cells.copies import Copies, Group
from checker.cells.counting import Count, Share
from checker.cells.enumeration import BruteForce, Enumerate
from checker.cells.extreme import Extreme
from checker.cells.screen import Screen
from checker.cells.terms import Leaf
from checker.ground import record
from checker.ground.decode import (
    MAX_ITEMS,
    Fields,
    Pair,
    big,
    couples,
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
Found = Fields
"""The fields of a cell."""


class Split:
    """A cell whose children partition its queries; it proves nothing by itself.  (SPEC-7.7)"""


class Skip:
    """A leaf that proves nothing: wrong for one bound, right for the other.  (SPEC-7.11)"""


Method = Screen | Split | Skip | Leaf
Methods = dict[str, tuple[str, str, Callable[..., Method]]]
METHODS: Methods = {
    "screen": ("layout children", "", Screen),
    "split": ("layout children", "", Split),
    "extreme": ("layout margin", "", Extreme),
    "enumerate": ("layout failures", "", Enumerate),
    "count": ("layout blocks failures", "lower", Count),
    "copies": ("layout groups failures", "", Copies),
    "brute-force": ("failures", "", BruteForce),
    "skip": ("", "", Skip),
}
"""Per method the keys that it needs beside ``method`` and ``queries``, those that it may have, and
its class, whose fields are named like the keys that are its own.  (SPEC-7)
"""


Ranges = tuple[Range, ...]

Run = Pair
"""A length and a count: so many blocks of so many tokens each.  (SPEC-7.3)"""


@record
class Cell:
    """One cell, parsed; ``queries`` and ``layout`` stay in the compact form in which they were
    written.  Without children it is a leaf.
    """

    where: str
    maximum: int
    queries: Ranges
    mu: Margin
    layout: tuple[Run, ...]
    method: Method
    children: tuple["Cell", ...]
    claim: Margin | Failures | None

    def blocks(self) -> list[Range]:
        """Return the blocks, the last that of the maximum."""
        lengths = [length for length, count in self.layout for _ in range(count)]
        ends = [0, *accumulate(lengths), self.maximum + 1]
        return [(first, last - 1) for first, last in pairwise(ends)]

    def inputs(self) -> Inputs:
        """Return the inputs of the cell, with their blocks."""
        return Inputs(self.maximum, expand(self.queries), self.blocks())


@record
class Root:
    """What a root names and its descendants share."""

    maximum: int
    mu: Margin


def _members(ranges: Iterable[Range]) -> int:
    """Return the set of the members of ascending ranges, as a bit mask."""
    return sum(mask(first, last) for first, last in ranges)


def _ascending(ranges: Sequence[Range]) -> bool:
    apart = all(a[1] < b[0] for a, b in pairwise(ranges))
    return apart and all(first <= last for first, last in ranges)


def _queries(value: object, where: str, maximum: int, method: str) -> Ranges:
    ranges = pairs(value, where, 0, maximum)
    require(len(ranges) > 0, "SPEC-7.2", f"{where} is empty")
    require(_ascending(ranges), "SPEC-7.2", f"{where}: ranges overlap or do not ascend")
    if method == "screen":
        fit = ranges == [(0, maximum)]
    else:
        fit = ranges == [(maximum, maximum)] or ranges[-1][1] < maximum
    require(
        fit,
        "SPEC-7.2",
        f"{where}: not all queries in a screen, or in another cell the maximum beside smaller ones",
    )
    require(
        method != "brute-force" or len(expand(ranges)) == 1,
        "SPEC-7.12",
        f"{where}: brute force needs one query",
    )
    return tuple(ranges)


def _layout(found: Found, where: str, maximum: int) -> tuple[Run, ...]:
    single = [[1, maximum]] if maximum else []
    runs = pairs(found.get("layout", single), f"{where} layout", 1, MAX_ITEMS)
    require(
        sum(length * count for length, count in runs) == maximum,
        "SPEC-7.3",
        f"{where} layout does not hold every token below the maximum exactly once",
    )
    return tuple(runs)


def _groups(
    value: object,
    where: str,
    blocks: int,
    most: int,
) -> tuple[Group, ...]:
    groups = []
    for copies, ranges in couples(value, where):
        held = tuple(pairs(ranges, where, 0, MAX_ITEMS - 1))
        require(
            _ascending(held) and all(last < blocks for _, last in held),
            "SPEC-7.14",
            f"{where}: blocks overlap or are not there",
        )
        groups.append(Group(integer(copies, where, 0, most), held))
    require(
        len({group.copies for group in groups}) == len(groups),
        "SPEC-7.14",
        f"{where}: a number of copies occurs twice",
    )
    return tuple(groups)


def _shares(value: object, where: str, answers: int) -> tuple[Share, ...]:
    shares = []
    for written, named in couples(value, where):
        bins = integer(written, f"{where} bins", 0, 1 << 24)
        require_support(
            bins <= MAX_BINS,
            "SPEC-3.5",
            f"{where} asks for more than {MAX_BINS} bins",
        )
        shares.append(Share(bins, integers(named, f"{where} answers", 0, answers - 1)))
    return tuple(shares)


def _claim(found: Found, where: str) -> Margin | Failures | None:
    """Return what a leaf claims.  (SPEC-7.13)"""
    if "margin" in found:
        return Margin(*dyadic(found["margin"], f"{where} margin"))
    if "failures" not in found:
        return None
    failures = listing(found["failures"], f"{where} failures")
    require_form(len(failures) == 2, "SPEC-3.4", f"{where} failures is not a pair")
    return Failures(*(big(number, f"{where} failures") for number in failures))


def _no_more(found: Found, where: str) -> Found:
    """Return no field of a method beside those of SPEC-7."""
    return {}


@record
class Reader:
    """The cells of a list that are not yet read, the methods that they may have, and what reads
    more fields of a method from those of its cell.
    """

    unread: deque[tuple[int, object]]
    sizes: dict[str, int]
    methods: Methods
    more: Callable[[Found, str], Found]

    def cell(self, root: Root | None, depth: int) -> Cell:
        """Return the next cell of the preorder list with its whole subtree; None for a root."""
        require_form(
            len(self.unread) > 0,
            "SPEC-7.1",
            "the list of cells ends before the children of a split do",
        )
        number, item = self.unread.popleft()
        where = f"cell {number}"
        given = item.get("method") if type(item) is dict else None
        name = typed(given, str, f"{where} method")
        require_support(
            name in self.methods,
            "SPEC-7.5",
            f"{where} has the unknown method {name}",
        )
        keys, may, kind = self.methods[name]
        roots = " maximum mu" if root is None else ""
        found = fields(item, where, f"method queries {keys}{roots}", may)
        if root is None:
            most = self.sizes["places"] - 1
            maximum = integer(found["maximum"], f"{where} maximum", 0, most)
            mu = Margin(*dyadic(found["mu"], f"{where} mu"))
            require(mu.mantissa >= 0, "SPEC-7.4", f"{where} mu is negative")
            root = Root(maximum, mu)
        m = root.maximum
        queries = _queries(found["queries"], f"{where} queries", m, name)
        children = self._children(found, where, root, depth)
        if children:
            _require_partition(children, queries, f"the split of {where}")
        layout = _layout(found, where, m)
        own = self.more(found, where)
        for key in ("blocks", "lower"):  # 7.9, 7.10
            if key in found:
                most = self.sizes["d_vocab_out"]
                own[key] = _shares(found[key], f"{where} {key}", most)
        if "groups" in found:
            # 7.14: at most n - 1 copies, or n - 2 but not less than 0 with queries below m
            below = queries[-1][1] < m
            most = max(self.sizes["n_ctx"] - 1 - below, 0)
            blocks = sum(count for _, count in layout)
            own["groups"] = _groups(found["groups"], f"{where} groups", blocks, most)
        claim = _claim(found, where)
        return Cell(where, m, queries, root.mu, layout, kind(**own), children, claim)

    def _children(
        self, found: Found, where: str, root: Root, depth: int
    ) -> tuple[Cell, ...]:
        """Return the cells that follow as children of one with these fields."""
        if "children" not in found:
            return ()
        require_support(
            depth < MAX_SPLIT_DEPTH,
            "SPEC-3.5",
            f"{where} is split deeper than {MAX_SPLIT_DEPTH} levels",
        )
        count = integer(found["children"], f"{where} children", 1, MAX_CELLS)
        return tuple([self.cell(root, depth + 1) for _ in range(count)])


def _require_partition(cells: Iterable[Cell], whole: Ranges, where: str) -> None:
    """Require that the query sets are disjoint and that their union is ``whole``."""
    held = sorted(pair for cell in cells for pair in cell.queries)
    require(_ascending(held), "SPEC-7.1", f"{where}: two cells overlap")
    require(
        _members(held) == _members(whole),
        "SPEC-7.1",
        f"{where}: the cells do not cover exactly these queries",
    )


def parse_cells(
    cells: list[object],
    sizes: dict[str, int],
    methods: Methods = METHODS,
    more: Callable[[Found, str], Found] = _no_more,
) -> tuple[Cell, ...]:
    """Return the root cells of a proof that tiles the domain.  (SPEC-7.1)

    ``sizes``: d_vocab_out and n_ctx of the model, and the number of places (SPEC-7.16).
    Ensures: every input belongs to exactly one leaf cell.
    Raises:  Malformed, Rejected or Declined (SPEC-3.5, SPEC-7.x), naming the cell by its index in
             the list.
    Cost:    linear in the length of the list.
    """
    reader = Reader(deque(enumerate(cells)), sizes, methods, more)
    roots = []
    groups: list[list[Cell]] = [[] for _ in range(sizes["places"])]
    while reader.unread:
        root = reader.cell(None, 0)
        roots.append(root)
        groups[root.maximum].append(root)
    for maximum, group in enumerate(groups):
        _require_partition(group, ((0, maximum),), f"the inputs with maximum {maximum}")
    return tuple(roots)
