"""What neurons write: a packed row each, and switches that turn many of them on or off together.
(SPEC 13.5, 13.6)

Neuron i writes row i of M, or of P where the sum over neurons is multiplied by Q afterwards; one
entry more bounds what P Q
leaves out of M.  A switch is a table: ``t = u[a] + v[b]`` for the tokens of an input.  Every neuron
has a switch and a scale
alpha > 0, so that ``pre_i = alpha_i t + e_i`` with ``|e_i| <= E_i`` on all inputs; e_i is known
exactly, by token.  Then

    | relu(pre_i) - [t > 0] pre_i | <= max(0, E_i - alpha_i |t|),

and what the neurons of a switch that is on write is a sum of two rows by token, made once: no sum
over neurons is left.
Not done here: nothing says that neurons fit their switch.  One that does not has a large E_i.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import mul

from checker.ground.decode import integers
from checker.ground.errors import require_form
from checker.ground.exact import Matrix, Row, bits, hold, rescale
from checker.ground.ledger import Ledger
from checker.ground.norms import parse_matrix
from checker.ground.packed import Slots, weighed

LEVELS = 64
"""In how many steps of |t| the bound on a switch's error is tabulated.  (SPEC 13.6)"""
MOST_NEURONS = 4096


@dataclass(frozen=True, slots=True)
class Readout:
    """Per neuron the entries of its row of P, or of M, and last ``rng(R_i)``, packed; and Q^T, or
    nothing.

    ``counts``: how many entries of a row are not zero.
    """

    slots: Slots
    rows: tuple[int, ...]
    counts: tuple[int, ...]
    right: tuple[Row, ...]

    def total(self, activations: Sequence[int], ledger: Ledger) -> int:
        """Return what neurons with these pre-activations write, packed.

        Cost: a comparison per neuron; per entry that is not zero, of neurons that are on, a
              multiplication and an addition.
        """
        on = [value > 0 for value in activations]
        work = sum(compress(self.counts, on))
        ledger.charge(mul=work, add=work, cmp=len(on))
        return weighed(compress(activations, on), compress(self.rows, on))

    def logits(self, total: int, ledger: Ledger) -> tuple[list[int], int]:
        """Return the sums of packed rows as logits, and the last entry.  Cost: that of the product
        with Q.
        """
        *sums, last = self.slots.combine((1,), (total,))
        ledger.charge(mul=len(sums) * len(self.right), add=len(sums) * len(self.right))
        return [sum(map(mul, sums, column)) for column in self.right] or sums, last


def readout(
    columns: Matrix,
    rest: Sequence[int],
    right: tuple[Row, ...],
    room: int,
    ledger: Ledger,
) -> Readout:
    """Return packed rows for sums over neurons whose activations take at most ``room`` bits.

    Raises: Declined (SPEC-3.5).
    """
    rows = tuple((*row, last) for row, last in zip(columns.rows, rest, strict=True))
    slots = Slots(
        len(rows[0]), room + bits(Matrix(rows, 0)) + len(rows).bit_length(), 0
    )
    hold(len(rows), 8 * slots.width, ledger)
    return Readout(
        slots,
        tuple(map(slots.pack, rows)),
        tuple(sum(map(bool, row)) for row in rows),
        right,
    )


@dataclass(frozen=True, slots=True)
class SwitchHints:
    """Per neuron its switch and its scale; ``tables`` has a row for each switch: u by first token,
    then v by second.
    """

    switches: tuple[int, ...]
    scales: tuple[int, ...]
    tables: Matrix


def parse_switches(found: dict[str, object], neurons: int, vocab: int) -> SwitchHints:
    """Return the switches that a proof names.  Raises: Malformed (SPEC-3.x, SPEC-13.6), Declined
    (SPEC-3.5).
    """
    tables = parse_matrix(found["tables"], "tables", MOST_NEURONS)
    switches = integers(
        found["neurons"], "neurons", 0, len(tables.rows) - 1, MOST_NEURONS
    )
    scales = integers(found["scales"], "scales", 1, 2**31, MOST_NEURONS)
    fit = len(switches) == len(scales) == neurons and len(tables.rows[0]) == 2 * vocab
    require_form(
        fit,
        "SPEC-13.6",
        "neurons, scales and tables are not as many as the model's neurons and tokens",
    )
    return SwitchHints(switches, scales, tables)


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch: its table, what its neurons write by token (packed), and bounds on its error by
    steps of |t|.
    """

    table: Row
    written: tuple[int, ...]
    step: int
    errors: tuple[int, ...]


def _rest(column: Row, scale: int, table: Row) -> int:
    """Return E: the largest absolute value of ``column - scale * table``, of a first and a second
    token added.
    """
    rest, half = (
        [value - scale * t for value, t in zip(column, table, strict=True)],
        len(table) // 2,
    )
    return max(
        max(rest[:half]) + max(rest[half:]), -min(rest[:half]) - min(rest[half:])
    )


def prepare(
    hints: SwitchHints, pre: Matrix, writing: Readout, spread: list[int], ledger: Ledger
) -> list[Switch]:
    """Return the switches, with what they write and their errors.

    Requires: ``pre`` has a row for each first and then each second token, and a column for each
              neuron; ``spread[i]`` is
              what an error of one in relu(pre_i) can do.
    Ensures:  ``errors[|t| // step]``, or 0 past the last, is at least ``sum_i spread_i max(0, E_i -
              alpha_i |t|)``: the error
              falls with |t|, and ``LEVELS * step > E_i / alpha_i`` for all i.
    Raises:   Malformed (SPEC-13.6), Declined (SPEC-3.5).
    Cost:     per neuron and token a multiplication, two additions and two comparisons, and for each
              entry that the neuron
              writes a multiplication and an addition; per neuron and level two multiplications, two
              additions and a comparison.
    """
    require_form(
        pre.scale >= hints.tables.scale,
        "SPEC-13.6",
        "the tables are finer than the activations",
    )
    hold(len(hints.tables.rows) * len(pre.rows), 8 * writing.slots.width, ledger)
    entries, steps, work = (
        len(pre.rows) * len(spread),
        LEVELS * len(spread),
        len(pre.rows) * sum(writing.counts),
    )
    ledger.charge(
        mul=work + entries + 2 * steps,
        add=work + 2 * entries + 2 * steps,
        cmp=2 * entries + steps,
    )
    members: list[list[int]] = [[] for _ in hints.tables.rows]
    for neuron, at in enumerate(hints.switches):
        members[at].append(neuron)
    prepared, columns = [], tuple(zip(*pre.rows, strict=True))
    own = rescale(hints.tables, pre.scale, ledger).rows
    for table, held in zip(own, members, strict=True):
        scales, chosen = (
            [hints.scales[i] for i in held],
            [writing.rows[i] for i in held],
        )
        rests = [_rest(columns[i], hints.scales[i], table) for i in held]
        step = (
            max(
                (rest // scale for rest, scale in zip(rests, scales, strict=True)),
                default=0,
            )
            // LEVELS
            + 1
        )
        known = [
            (spread[i], rest, scale)
            for i, rest, scale in zip(held, rests, scales, strict=True)
        ]
        reaches = range(0, LEVELS * step, step)
        errors = tuple(
            sum(by * max(0, rest - scale * reach) for by, rest, scale in known)
            for reach in reaches
        )
        written = tuple(
            sum(map(mul, (row[i] for i in held), chosen)) for row in pre.rows
        )
        prepared.append(Switch(table, written, step, errors))
    return prepared


def switched(
    switches: list[Switch], first: int, second: int, width: int, ledger: Ledger
) -> tuple[int, int]:
    """Return what the switches that are on write, packed, and a bound on the error, given rows of a
    first and a second token.

    Cost: per switch an addition and two comparisons, and where the error is not zero a
          multiplication and an addition; per
          switch that is on two additions for each of the ``width`` entries of a row.
    """
    ledger.charge(add=len(switches), cmp=2 * len(switches))
    states = [
        (switch, switch.table[first] + switch.table[second]) for switch in switches
    ]
    on = [switch.written for switch, t in states if t > 0]
    near = [(switch, abs(t)) for switch, t in states if abs(t) < LEVELS * switch.step]
    ledger.charge(mul=len(near), add=len(near) + 2 * width * len(on))
    error = sum(switch.errors[t // switch.step] for switch, t in near)
    return sum(written[first] + written[second] for written in on), error
