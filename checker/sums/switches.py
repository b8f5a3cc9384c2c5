"""Switches that turn many neurons on or off together.  (SPEC-13.6)

A switch is a table by token: t is the sum of an input's entries, one for each position.  Every
neuron has a switch and a scale alpha > 0, so that ``pre_i = alpha_i t + e_i`` with ``|e_i| <= E_i``
on all inputs; e_i is known exactly, by token.  Then

    | relu(pre_i) - [t > 0] pre_i | <= max(0, E_i - alpha_i |t|),

and what the neurons of a switch that is on write is a sum of rows by token, made once: no sum over
neurons is left.
Not done here: nothing says that neurons fit their switch.  One that does not has a large E_i.
"""

from collections.abc import Sequence
from itertools import islice

from checker.ground import paired, record
from checker.ground.decode import Fields, integers
from checker.ground.errors import require_form
from checker.ground.exact import Matrix, Row, Rows, hold, rescale, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import parse_matrix
from checker.sums.readout import Logits, Readout

LEVELS = 64
"""In how many steps of |t| the bound on a switch's error is tabulated.  (SPEC-13.6)"""
MOST_NEURONS = 4096
"""Neurons and switches in a list, rows and columns of a matrix.  (SPEC-3.5)"""


@record
class SwitchHints:
    """Per neuron its switch and scale; ``tables`` has a row for each switch, stacked columns."""

    switches: Row
    scales: Row
    tables: Matrix


def parse_switches(found: Fields, neurons: int, tokens: int) -> SwitchHints:
    """Return the switches that a proof names; all positions have so many tokens together.

    Raises: Malformed (SPEC-3.x, SPEC-13.6), Declined (SPEC-3.5).
    """
    tables = parse_matrix(found["tables"], "tables", MOST_NEURONS)
    last = tables.height - 1
    switches = integers(found["neurons"], "neurons", 0, last, MOST_NEURONS)
    scales = integers(found["scales"], "scales", 1, 2**31, MOST_NEURONS)
    as_many_neurons = len(switches) == len(scales) == neurons
    require_form(
        as_many_neurons and tables.width == tokens,
        "SPEC-13.6",
        "neurons, scales and tables are not as many as the model's neurons and tokens",
    )
    return SwitchHints(switches, scales, tables)


@record
class _Member:
    """A neuron of a switch.

    ``pre``: its pre-activation by token; ``alpha`` its scale; ``rest`` is E; ``row`` is what it
    writes, packed; ``spread`` is what an error of one in relu(pre) can do to a difference.
    """

    pre: Row
    alpha: int
    rest: int
    row: int
    spread: int

    def error(self, reach: int) -> int:
        """Return ``spread * max(0, E - alpha |t|)`` for ``|t| = reach``."""
        return self.spread * max(0, self.rest - self.alpha * reach)


@record
class Switch:
    """One switch: what its neurons write by token, packed; bounds on its error by steps of |t|."""

    written: Row
    step: int
    errors: Row


def _rest(pre: Row, alpha: int, table: Row, sizes: Sequence[int]) -> int:
    """Return E: the largest ``|pre - alpha t|`` of any input."""
    rest = iter(value - alpha * t for value, t in paired(pre, table))
    parts = [list(islice(rest, size)) for size in sizes]
    return max(sum(map(max, parts)), -sum(map(min, parts)))


def _switch(tokens: int, members: Sequence[_Member]) -> Switch:
    """Return one switch.

    Ensures: ``errors[|t| // step]``, or 0 past the last, is at least ``sum_i spread_i max(0, E_i -
             alpha_i |t|)``: the error falls with |t|, it is taken at the step below, and
             ``LEVELS * step > E_i / alpha_i`` for all i.
    """
    widest = max((member.rest // member.alpha for member in members), default=0)
    step = widest // LEVELS + 1
    errors = tuple(
        sum(member.error(level * step) for member in members) for level in range(LEVELS)
    )
    written = tuple(
        sum(member.pre[token] * member.row for member in members)
        for token in range(tokens)
    )
    return Switch(written, step, errors)


@record
class EverySwitch:
    """A sum over the switches that are on; ``tables`` has a row of theirs for each token.
    (SPEC-13.6)
    """

    readout: Readout
    switches: list[Switch]
    tables: Rows

    def written(
        self, rows: Sequence[int], activations: Sequence[int], ledger: Ledger
    ) -> Logits:
        """Return what neurons add to the logits of the input with these stacked rows.

        Cost: per switch and position an addition, and two comparisons, and where the error is not
              zero a multiplication and an addition; per switch that is on an addition for each
              position and entry of a row; that of the readout.
        """
        count = len(self.switches)
        ledger.charge(add=count * (len(rows) - 1), cmp=2 * count)
        values = map(sum, zip(*map(self.tables.__getitem__, rows), strict=True))
        states = list(paired(self.switches, values))
        on = [switch.written for switch, t in states if t > 0]
        # Past the last step the error is zero.
        errors = [
            switch.errors[abs(t) // switch.step]
            for switch, t in states
            if abs(t) < LEVELS * switch.step
        ]
        many = len(errors)
        width = self.readout.left.slots.columns
        ledger.charge(mul=many, add=many + len(rows) * width * len(on))
        total = sum(written[row] for written in on for row in rows)
        return self.readout.logits(total, sum(errors), ledger)


def prepare(
    hints: SwitchHints,
    pre: Matrix,
    sizes: Sequence[int],
    readout: Readout,
    spread: list[int],
    ledger: Ledger,
) -> EverySwitch:
    """Return the switches, with what they write and their errors.

    Requires: ``pre`` has stacked rows, ``sizes`` of them for each position, and a column for each
              neuron; ``spread[i]`` is what an error of one in relu(pre_i) can do.
    Raises:   Malformed (SPEC-13.6), Declined (SPEC-3.5).
    Cost:     per neuron and token a multiplication, two additions and two comparisons, and for each
              entry that the neuron writes a multiplication and an addition; per neuron and level
              two multiplications, two additions and a comparison.
    """
    require_form(
        pre.scale >= hints.tables.scale,
        "SPEC-13.6",
        "the tables are finer than the activations",
    )
    tokens = pre.height
    neurons = len(spread)
    hold(hints.tables.height * tokens, 8 * readout.left.slots.width, ledger)
    work = tokens * sum(readout.counts)
    entries = tokens * neurons
    levels = LEVELS * neurons
    ledger.charge(
        mul=work + entries + 2 * levels,
        add=work + 2 * entries + 2 * levels,
        cmp=2 * entries + levels,
    )
    tables = rescale(hints.tables, pre.scale, ledger).rows
    columns = transposed(pre).rows
    members: list[list[_Member]] = [[] for _ in tables]
    for neuron, at in enumerate(hints.switches):
        column = columns[neuron]
        alpha = hints.scales[neuron]
        rest = _rest(column, alpha, tables[at], sizes)
        row = readout.left.rows[neuron]
        by = spread[neuron]
        members[at].append(_Member(column, alpha, rest, row, by))
    switches = [_switch(tokens, own) for own in members]
    return EverySwitch(readout, switches, transposed(Matrix(tables, 0)).rows)
