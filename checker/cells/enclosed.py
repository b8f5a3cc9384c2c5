"""Enclosures of a path that is not multiplied out: a low-rank part and a bound on what is left.
(SPEC-6.5 to SPEC-6.8)

A path matrix is a chain of exact factors.  Its hint says which neighbours are formed, F_1 .. F_L,
which low-rank parts P_i = c_i x_i are taken off them, F_i' = F_i - P_i, and how the rest is
bounded.  Exactly, whatever c_i and x_i are,

    F_1 .. F_L  =  sum_i (F_1' .. F_{i-1}' c_i)(x_i F_{i+1} .. F_L)  +  F_1' .. F_L'.

Only differences within a row of a path matter anywhere.  So an enclosure is a pair of tables low,
high such that every row x has a constant k_x with  low[x][c] <= path[x][c] - k_x <= high[x][c]  for
all columns c.  The constant differs from bound to bound, so tables are never intersected; ranges of
rows, which do not depend on it, may be.
Not done here: nothing says that a hint is any good.  A bad one makes an enclosure wide, never
false.
"""

from collections.abc import Sequence
from operator import add, mul, sub

from checker.ground import paired, record
from checker.ground.decode import fields, integer, integers, listing, typed
from checker.ground.errors import require_form, require_support
from checker.ground.exact import (
    Matrix,
    Row,
    bits,
    hold,
    longest,
    minus,
    multiply,
    plus,
    product,
    transposed,
)
from checker.ground.interval import shift_up
from checker.ground.ledger import Ledger
from checker.ground.norms import (
    TABLE_SCALE,
    centred,
    low_rank,
    parse_matrix,
    raised,
    ranges,
    root_up,
    squares,
)

Chain = Sequence[Matrix]
"""Factors, to be multiplied in this order."""

Enclosed = tuple[Matrix, Matrix]
"""Lower and upper ends, up to a constant of each row; the same object where the path is exact."""


MAX_POWER_BITS = 1 << 15
_CHAINS = {"direct": 2, "ov": 4, "qk": 4}
# rule: the keys it needs beside rule; a split may have a shift
_RULES = {
    "range": "",
    "split": "at rest",
    "least": "of",
    "largest": "of",
    "spectral": "squarings",
    "schwarz": "left right",
}


@record
class Bound:
    """How a residual chain is bounded; ``number`` is where a split is, or how often a power is
    squared.
    """

    rule: str
    number: int
    parts: tuple["Bound", ...]
    matrices: tuple[Matrix, ...]


RANGE = Bound("range", 0, (), ())


@record
class PathHint:
    """The formed factors by their lengths, per factor its low-rank part (c, x) or (), and the bound
    of the rest.
    """

    form: tuple[int, ...]
    peels: tuple[tuple[Matrix, ...], ...]
    bound: Bound


def _bound(value: object, where: str) -> Bound:
    name = value.get("rule") if type(value) is dict else None
    rule = typed(name, str, f"{where} rule")
    require_support(rule in _RULES, "SPEC-6.7", f"{where} has the unknown rule {rule}")
    may = "shift" if rule == "split" else ""
    found = fields(value, where, f"rule {_RULES[rule]}", may)
    of = found.get("of", [found["rest"]] if rule == "split" else [])
    parts = tuple(_bound(part, where) for part in listing(of, where))
    ranged = all(part.rule != "schwarz" for part in parts)
    require_form(
        ranged and ("of" not in found or len(parts) > 0),
        "SPEC-6.7",
        f"{where}: the parts are not one or more bounds of ranges",
    )
    written = found.get("at", found.get("squarings", 0))
    number = integer(written, where, 0, 8)
    keys = [key for key in ("shift", "left", "right") if key in found]
    matrices = tuple(parse_matrix(found[key], where) for key in keys)
    return Bound(rule, number, parts, matrices)


def parse_hints(value: object) -> dict[str, PathHint]:
    """Return the hints of the paths that are not exact, by name.  (SPEC-6.5)

    Shapes are not looked at here: they are compared with those of the factors before anything is
    computed with them.
    Raises: Malformed (SPEC-3.x, SPEC-6.5, SPEC-6.7, SPEC-6.8), Declined (SPEC-3.5, SPEC-6.7).
    """
    hints = {}
    for name, item in fields(value, "paths", "", " ".join(_CHAINS)).items():
        where = f"path {name}"
        found = fields(item, where, "bound form peel")
        form = integers(found["form"], f"{where} form", 0, 4)
        ends = 2 <= len(form) <= 4 and form[0] * form[-1] > 0
        require_form(ends and sum(form) == _CHAINS[name], "SPEC-6.5", f"{where}: form")
        parts = [listing(part, where) for part in listing(found["peel"], where)]
        peels = tuple(
            tuple(parse_matrix(item, where) for item in part) for part in parts
        )
        pairs = all(len(part) in (0, 2) for part in peels)
        require_form(pairs and len(peels) == len(form), "SPEC-6.6", f"{where}: peel")
        hints[name] = PathHint(form, peels, _bound(found["bound"], f"{where} bound"))
    require_form(len(hints) > 0, "SPEC-6.5", "paths names no path")
    return hints


def _spectral(
    factors: Chain,
    squarings: int,
    ledger: Ledger,
) -> int:
    """Return an upper bound over 2^-48 on the range of any row of the product, sqrt(2) sigma.
    (SPEC-6.7)

    Cost: that of centring, of two Gram matrices, of S and of the squarings, which are products; of
          the sum of squares of all entries, an addition per row more; a squaring once more for
          every 512 bits; 2^squarings for each root.
    """
    require_form(len(factors) > 1, "SPEC-6.7", "a spectral bound needs two factors")
    first = factors[0]  # X
    last = centred(factors[-1], ledger)  # Y
    middle = factors[1:-1]  # G
    back = [transposed(factor) for factor in reversed(middle)]  # G^T
    outer = product(last, transposed(last), ledger)
    inner = product(transposed(first), first, ledger)
    power = multiply([outer, *back, inner, *middle], ledger)  # S
    require_support(
        bits(power) << squarings <= MAX_POWER_BITS,
        "SPEC-3.5",
        "a power for a spectral bound is too large",
    )
    for _ in range(squarings):
        ledger.charge(mul=power.height**3 * (bits(power) >> 9))
        power = product(power, power, ledger)
    ledger.charge(mul=squarings + 2 << squarings, add=power.height)
    # sqrt(2) norm(S^(2^k))^(1/2^(k+1)) is a root of the squared norm, times 2^(2^(k+1))
    scale = 2 * power.scale - (2 << squarings)
    return root_up(sum(squares(power, ledger)), scale, squarings + 2)


def _split(
    factors: Chain,
    bound: Bound,
    ledger: Ledger,
) -> Row:
    """Return bounds over 2^-48 on the row ranges of A B from those of B: sum |A + shift| rng(B) +
    rng(shift B).  (SPEC-6.7)

    Cost: that of A, of the bound of B and of shift B; per entry of A a multiplication, an addition
          and a comparison, and with a shift an addition more; an addition per row.
    """
    at = bound.number
    require_form(
        0 < at < len(factors),
        "SPEC-6.7",
        "a split leaves no factor on one side",
    )
    front = multiply(factors[:at], ledger)  # A
    rest = factors[at:]  # B
    base = 0
    for shift in bound.matrices:
        require_form(shift.height == 1, "SPEC-6.7", "a shift is not one row")
        base = _ranges([shift, *rest], RANGE, ledger)[0]  # rng(b B)
        front = plus(front, shift, ledger)
    inner = _ranges(rest, bound.parts[0], ledger)  # beta
    entries = front.entries
    ledger.charge(mul=entries, add=entries + front.height, cmp=entries)
    sizes = (map(abs, row) for row in front.rows)
    sums = [sum(map(mul, row, inner)) for row in sizes]
    return tuple(base + raised(value, front.scale, 0) for value in sums)


def _ranges(
    factors: Chain,
    bound: Bound,
    ledger: Ledger,
) -> Row:
    """Return over 2^-48, for every row of the product, an upper bound on its largest minus its
    smallest entry.  (SPEC-6.7)

    Cost: for ``range``, that of the product, two comparisons per entry and an addition per row; for
          ``least`` and ``largest``, that of the parts, and per row a comparison for every part and
          one more.
    """
    rows = factors[0].height
    if bound.rule == "split":
        return _split(factors, bound, ledger)
    if bound.rule == "spectral":
        return (_spectral(factors, bound.number, ledger),) * rows
    if bound.rule == "range":
        formed = multiply(factors, ledger)
        widths = ranges(formed, ledger)
        return tuple(raised(width, formed.scale, TABLE_SCALE) for width in widths)
    ledger.charge(cmp=rows * (len(bound.parts) + 1))
    parts = [_ranges(factors, part, ledger) for part in bound.parts]
    least = tuple(map(min, zip(*parts, strict=True)))
    return least if bound.rule == "least" else (max(least),) * rows


def _weighted(
    a: Matrix,
    b: Matrix,
    epsilon: int,
    ledger: Ledger,
) -> Row:
    """Return over 2^-48, per row, an upper bound on sqrt(||a||^2 + epsilon ||b||^2); epsilon is
    over 2^-48.  (SPEC-6.8)

    Cost: the squares; per row two multiplications, the root counting as one, and an addition.
    """
    ledger.charge(mul=2 * a.height, add=a.height)
    scale = 2 * max(a.scale, b.scale)
    fine = TABLE_SCALE + scale - 2 * a.scale
    widths = [x << fine for x in squares(a, ledger)]
    rests = [y * epsilon << scale - 2 * b.scale for y in squares(b, ledger)]
    return tuple(root_up(x, TABLE_SCALE + scale, 1) for x in map(add, widths, rests))


def _radii(
    factors: Chain,
    bound: Bound,
    ledger: Ledger,
) -> tuple[Row, Row]:
    """Return (s, r) over 2^-48: up to a constant of row x, no entry (x, c) of the product exceeds
    s_x r_c.  (SPEC-6.7, SPEC-6.8)

    Cost: a bound of ranges; or that of the middle, of centring, of the three products with the
          hints, of the difference, its sum of squares with an addition per row and a root, and of
          the weighted norms.
    """
    if bound.rule != "schwarz":  # 6.7: s_x is half of the range, r_c is one
        halves = tuple((width + 1) >> 1 for width in _ranges(factors, bound, ledger))
        return halves, (1 << TABLE_SCALE,) * factors[-1].width
    require_form(
        len(factors) > 2,
        "SPEC-6.8",
        "weighted Cauchy-Schwarz needs a factor in the middle",
    )
    first = factors[0]  # X
    last = centred(factors[-1], ledger)  # Y
    left, right = bound.matrices  # M, N
    middle = multiply(factors[1:-1], ledger)  # G
    rest = minus(middle, low_rank(left, right, middle, ledger), ledger)
    ledger.charge(mul=1, add=rest.height)
    epsilon = root_up(sum(squares(rest, ledger)), 2 * rest.scale, 1)
    heights = _weighted(product(first, left, ledger), first, epsilon, ledger)
    columns = transposed(product(right, last, ledger))
    return heights, _weighted(columns, transposed(last), epsilon, ledger)


def _formed(
    chain: Chain,
    form: Sequence[int],
    ledger: Ledger,
) -> list[Matrix]:
    """Return F_1 .. F_L: consecutive factors, multiplied; of no factor, an identity.  (SPEC-6.5)"""
    formed = []
    for length in form:
        if length:
            formed.append(multiply(chain[:length], ledger))
        else:
            line = range(chain[0].height)
            rows = [tuple(int(i == j) for j in line) for i in line]
            formed.append(Matrix(tuple(rows), 0))
        chain = chain[length:]
    return formed


def enclose(
    chain: Chain,
    hint: PathHint | None,
    ledger: Ledger,
) -> Enclosed:
    """Return the path matrix exactly, or enclosed up to a constant of each row as its hint says.
    (SPEC-6.5, SPEC-6.6)

    Cost: the products that are formed; per low-rank part its product, taken off its factor, the two
          chains beside it, their product and one addition per entry of the table; the bound; at
          last a multiplication and two additions per entry of the table.
    """
    if hint is None:
        exact = multiply(chain, ledger)
        return exact, exact
    zeros = (0,) * chain[-1].width
    negated = Matrix((zeros,) * chain[0].height, TABLE_SCALE)  # -A
    whole = _formed(chain, hint.form, ledger)  # F_i
    rest = list(whole)  # F_i'
    for i, peel in enumerate(hint.peels):
        if peel:
            c, x = peel
            taken = low_rank(c, x, whole[i], ledger)  # P_i
            rest[i] = minus(whole[i], taken, ledger)
            before = multiply([*rest[:i], c], ledger)
            behind = multiply([x, *whole[i + 1 :]], ledger)
            negated = minus(negated, product(before, behind, ledger), ledger)
    heights, widths = _radii(rest, hint.bound, ledger)  # s, r
    entries = len(heights) * len(widths)
    room = bits(negated) + 2 * longest([heights, widths])
    hold(2 * entries, room, ledger)
    ledger.charge(mul=entries, add=2 * entries)
    drop = negated.scale - TABLE_SCALE
    low = []
    high = []
    for row, height in paired(negated.rows, heights):
        reach = [shift_up(height * width, TABLE_SCALE) for width in widths]
        # floor(A) - reach and ceil(A) + reach: what is up for A is down for -A
        floors = [-shift_up(x, drop) for x in row]
        low.append(tuple(map(sub, floors, reach)))
        high.append(tuple(map(sub, reach, [x >> drop for x in row])))
    return Matrix(tuple(low), TABLE_SCALE), Matrix(tuple(high), TABLE_SCALE)
