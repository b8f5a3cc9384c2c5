"""Proofs about two operands: the logits of every input, exactly or within a bound.  (SPEC-13)

For an input with the right output j0, and another output j:

    logit_j0 - logit_j = sum_i relu(pre_i) (M_i,j0 - M_ij) + direct_j0 - direct_j.

In place of M a proof may name two matrices P and Q: with ``R = M - P Q``, formed exactly, P Q takes
the place of M, and what that leaves out is at most ``sum_i relu(pre_i) rng(R_i)``, one column more.
In place of relu it may name ``switches``.  Where heads attend, their shares are rounded down to
dyadic numbers, and what that moves is bounded; so is what rounding the tables moves.  What float32
may do is bounded once for all inputs.
"""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, chain, islice, product
from math import prod
from operator import add, getitem, mul

from checker.float32.propagation import ceiling
from checker.float32.sums import Tokens, drift
from checker.ground import paired, record
from checker.ground.decode import Fields, fields, integer, typed
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, Row, aligned, bits, hold, minus, rescale
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE, low_rank, parse_matrix, ranges
from checker.statement.model import Model, mix
from checker.statement.outcome import MARGIN_BITS, Outcome, Outcomes, Part, Spread
from checker.statement.statement import Statement
from checker.sums.fold import Folded, fold, parts
from checker.sums.readout import Readout, readout
from checker.sums.shares import Shares, shares_of
from checker.sums.switches import (
    MOST_NEURONS,
    EverySwitch,
    SwitchHints,
    parse_switches,
    prepare,
)
from checker.sums.tables import ROUNDING_BITS, Fineness, PackedTables, packed

_RULES = {
    "exact": "",
    "low-rank": "left right settle",
    "switches": "left right settle neurons scales tables",
}
"""Per rule the keys it has beside ``rule``.  (SPEC-13.1)"""
_NEEDED = {
    "n_layers": 1,
    "attn_only": False,
    "act_fn": "relu",
    "normalization_type": None,
}
_SUPPORTED = "one layer of attention and a ReLU MLP, no normalisation, readout last"


@record
class LowRank:
    """P and Q, which a proof names in the place of M.  (SPEC-13.5)"""

    left: Matrix
    right: Matrix


@record
class Sums:
    """A proof of sums, parsed: P and Q or nothing, the switches or nothing, and whether M itself
    settles what is open.
    """

    model: Model
    statement: Statement
    precision: int
    pair: LowRank | None
    hints: SwitchHints | None
    settle: bool

    def outcomes(self, ledger: Ledger, spread: Spread) -> Outcomes:
        """Return what is proved of every input that has a weight, by first operand, then by second;
        a part is a run of inputs.

        Raises: Malformed (SPEC-6.6, SPEC-13.6), Declined (SPEC-3.5, SPEC-8.2, SPEC-13.7).
        """
        found = evaluation_of(self, ledger)
        parts = [
            Part(len(run), partial(self._derive, found, run, ledger))
            for run in self.statement.runs()
        ]
        return tuple(chain.from_iterable(spread(parts)))

    def _derive(self, found: "Evaluation", run: range, ledger: Ledger) -> Outcomes:
        """Return what is proved of the inputs of a run that have a weight."""
        weights = self.statement.scope.weights
        every = product(*(range(len(row)) for row in weights))
        outcomes = []
        for places in islice(every, run.start, run.stop):
            weight = prod(map(getitem, weights, places))
            if weight:
                outcomes.append(found.outcome(places, weight, ledger))
        return tuple(outcomes)

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        matrices = 2 if self.pair else 0
        switches = self.hints is not None
        return [
            f"sums: {matrices} matrices, switches: {switches}, "
            f"open inputs settled: {self.settle}"
        ]


# --- inputs -----------------------------------------------------------------------


@record
class Way:
    """A way to bound the logits of an input.

    ``tables``:  of which the columns from ``direct`` on are what answers read directly.
    ``neurons``: what neurons write to the logits.
    ``scale``:   brings what answers read directly to the scale of what neurons write.
    ``shift``:   brings both to the scale of margins.
    ``error``:   how much rounding the tables moves a margin.
    """

    tables: PackedTables
    direct: int
    neurons: Readout | EverySwitch
    scale: int
    shift: int
    error: int

    def margin(
        self,
        rows: Sequence[int],
        shares: Sequence[Sequence[int]],
        answer: int,
        ledger: Ledger,
    ) -> tuple[int, int]:
        """Return the margin of the input with these stacked rows, and a bound on its error.

        Cost: that of its row and of what neurons write, two additions and a comparison per output,
              and two additions.
        """
        row = self.tables.at(rows, shares, ledger)
        found = self.neurons.written(rows, row[: self.direct], ledger)
        outputs = len(found.values)
        ledger.charge(add=2 * outputs + 2, cmp=outputs)
        pairs = paired(found.values, row[self.direct :])
        logits = [value + (own << self.scale) for value, own in pairs]
        right = logits.pop(answer)
        gap = right - max(logits) << self.shift
        return gap, (found.error << self.shift) + self.error


@record
class Evaluation:
    """What serves all inputs.  Margins are over ``over 2^scale``.

    ``starts``:  the first of the stacked rows of every position.
    ``shares``:  per head.
    ``effects``: per head and position but the last, how much a margin moves for one unit in the
                 last place of its share.
    ``ways``:    in the order in which they are tried.
    ``drift``:   how much float32 can move a margin, over ``over 2^scale 2^48``.
    """

    statement: Statement
    starts: list[int]
    shares: list[Shares]
    effects: list[list[int]]
    ways: list[Way]
    over: int
    scale: int
    drift: int

    def outcome(self, places: Sequence[int], weight: int, ledger: Ledger) -> Outcome:
        """Return what is proved about one input, given by the places of its tokens.  (SPEC-13.3)

        Cost: that of its shares and, until the margin has a sign, of the ways.
        """
        rows = list(map(add, self.starts, places))
        last = places[-1]
        ends = [share.at(last, rows[:-1], ledger) for share in self.shares]
        terms = len(ends) * (len(rows) - 1)
        ledger.charge(mul=terms, add=2 * terms)
        ledger.hold(3, weight.bit_length())  # the outcome
        # Evaluated at the lower ends; what the widths move is e_att.  (SPEC-13.4)
        lower = [[low for low, _ in row] for row in ends]
        widths = [[high - low for low, high in row] for row in ends]
        pairs = paired(self.effects, widths)
        attention = sum(sum(map(mul, *pair)) for pair in pairs)
        (answer,) = self.statement.right(places)
        for way in self.ways:
            margin, rest = way.margin(rows, lower, answer, ledger)
            ledger.charge(add=2, cmp=2)
            gap = margin << TABLE_SCALE
            error = (attention + rest << TABLE_SCALE) + self.drift
            if gap > error:
                unit = self.over << self.scale + TABLE_SCALE
                shown = (gap - error << MARGIN_BITS) // unit
                ledger.hold(1, shown.bit_length())
                return Outcome(0, 0, weight, shown)
            # A tie is wrong.
            if gap <= -error:
                return Outcome(weight, weight, weight, None)
        return Outcome(0, weight, weight, None)


# --- what serves all inputs ---------------------------------------------------------


def _effects(
    folded: Folded, M: Matrix, reach: list[int], ledger: Ledger
) -> list[list[int]]:
    """Return L_hi per head and position but the last, over the scale of margins: how much one unit
    in the last place of its share moves any.  (SPEC-13.4)

    Cost: per entry of the heads' tables a multiplication, an addition and two comparisons.
    """
    neurons = M.height

    def moves(row: Row) -> int:
        """Return ``f(z) = sum_i |(z W_in)_i| rng(M_i) + rng(z W_U)``."""
        direct = row[neurons:]
        through_neurons: int = sum(map(mul, map(abs, row), reach))
        return through_neurons + (max(direct) - min(direct) << M.scale)

    effects = []
    for table in folded.tables[1:]:
        entries = len(table) * len(table[0])
        ledger.charge(mul=entries, add=entries, cmp=2 * entries)
        most = [max(map(moves, part)) for part in parts(table, folded.sizes)]
        effects.append([effect + most[-1] for effect in most[:-1]])
    return effects


def _reading(folded: Folded) -> list[Matrix]:
    """Return the columns of neurons of the tables."""
    neurons = folded.M.height
    tables = folded.tables
    return [
        Matrix(tuple(row[:neurons] for row in rows), folded.scale) for rows in tables
    ]


def _lowered(M: Matrix, lost: int) -> Matrix:
    """Return M without the lowest bits, after the least entry of each row was subtracted, which
    moves no difference.
    """
    rows = []
    for row in M.rows:
        least = min(row)
        rows.append(tuple(entry - least >> lost for entry in row))
    return Matrix(tuple(rows), M.scale - lost)


@record
class _Ground:
    """What ways are made of.

    ``spread``: how much a margin moves for one unit in all entries of a row.
    """

    folded: Folded
    M: Matrix
    spread: int

    def way(
        self, tables: PackedTables, neurons: Readout | EverySwitch, lost: int
    ) -> Way:
        """Return a way whose neurons write numbers that lack ``lost`` bits of M's."""
        return Way(
            tables=tables,
            direct=tables.slots.columns - self.M.width,
            neurons=neurons,
            scale=self.M.scale - lost,
            shift=tables.shift + lost,
            error=tables.error * self.spread,
        )

    def whole_way(self, fineness: Fineness, ledger: Ledger) -> Way:
        """Return the way of M itself, rounded.  (SPEC-13.3)

        Cost: an addition and a comparison per entry of M.
        """
        lost = fineness.lost(self.M.scale)
        entries = self.M.entries
        ledger.charge(add=entries, cmp=entries)
        hold(entries, bits(self.M) + 1, ledger)
        lowered = _lowered(self.M, lost)
        rest = [1 if lost else 0] * self.M.height
        tables = packed(self.folded, slice(None), fineness, ledger)
        written = readout(lowered, rest, None, tables.bits, ledger)
        return self.way(tables, written, lost)

    def own_way(
        self, proof: Sums, pair: LowRank, PQ: Matrix, fineness: Fineness, ledger: Ledger
    ) -> Way:
        """Return the way of two matrices, or of switches.  (SPEC-13.5, SPEC-13.6)

        Requires: tables that are not rounded, for switches.
        """
        M = self.M
        # R = M - P Q, exactly.
        rest = ranges(minus(M, PQ, ledger), ledger)
        Q = rescale(pair.right, M.scale - pair.left.scale, ledger)
        # Switches know their neurons by token, and ask for no row of theirs.
        known = M.height if proof.hints else 0
        tables = packed(self.folded, slice(known, None), fineness, ledger)
        if not proof.hints:
            thin = readout(pair.left, rest, Q, tables.bits, ledger)
            return self.way(tables, thin, 0)
        sizes = self.folded.sizes
        pre = _reading(self.folded)[0]
        room = bits(pre) + len(sizes).bit_length()
        thin = readout(pair.left, rest, Q, room, ledger)
        # An error q_i in relu(pre_i) moves a difference by q_i (rng(R_i) + rng((P Q)_i)).
        spread = list(map(add, rest, ranges(PQ, ledger)))
        switches = prepare(proof.hints, pre, sizes, thin, spread, ledger)
        return self.way(tables, switches, 0)


def evaluation_of(proof: Sums, ledger: Ledger) -> Evaluation:
    """Return what serves all inputs of a proof.

    Raises: Malformed (SPEC-6.6, SPEC-13.6), Declined (SPEC-3.5, SPEC-8.2, SPEC-13.7).
    """
    model = proof.model
    folded = fold(model, proof.statement.domain, ledger)
    sizes = folded.sizes
    # Without heads that move anything there are no shares to be over n 2^precision.
    over = len(sizes) if folded.scores else 1
    precision = proof.precision if folded.scores else 0
    M = folded.M
    pair = proof.pair
    if pair:
        PQ = low_rank(pair.left, pair.right, M, ledger)
        M, PQ = aligned((M, PQ), ledger)
    reach = ranges(M, ledger)
    # Their sum, and an error for each of at most three ways.
    ledger.charge(mul=3, add=len(reach) + 1)
    spread = sum(reach) + (1 << M.scale)
    terms = len(sizes) + 2 * len(folded.scores) + 1
    least = ROUNDING_BITS + (terms * ((spread >> M.scale) + 1)).bit_length()
    rounded = Fineness(over, precision, least)
    exact = Fineness(over, precision, max(folded.scale, M.scale))
    ground = _Ground(folded, M, spread)
    ways = list[Way]()
    if pair:
        own = exact if proof.hints else rounded
        ways.append(ground.own_way(proof, pair, PQ, own, ledger))
    if proof.settle:
        ways += [ground.whole_way(fineness, ledger) for fineness in (rounded, exact)]
    scale = folded.scale + precision + M.scale
    moved = 0
    if proof.statement.exp_errors:
        tokens = Tokens(folded.residuals, sizes)
        reading = _reading(folded)
        B = drift(model, proof.statement.exp_errors, tokens, reading, M, ledger)
        moved = ceiling(over * B, scale + TABLE_SCALE)
    d_head = model.sizes["d_head"]
    return Evaluation(
        statement=proof.statement,
        starts=[0, *accumulate(sizes[:-1])],
        shares=[shares_of(rows, d_head, precision, ledger) for rows in folded.scores],
        effects=_effects(folded, M, reach, ledger),
        ways=ways,
        over=over,
        scale=scale,
        drift=moved,
    )


# --- parsing ----------------------------------------------------------------------


def parse_sums(
    proof: Fields, model: Model, statement: Statement, precision: int
) -> Sums:
    """Return the proof of sums that these keys hold, about two operands.  (SPEC-13.1)

    Raises: Malformed (SPEC-3.x, SPEC-6.5, SPEC-13.6), Declined (SPEC-3.5, SPEC-13.x), with the
            clause.
    """
    domain = statement.domain
    last = len(domain.tokens) - 1
    require_support(
        len(domain.operands) == 2 and domain.read == (last,),
        "SPEC-13.1",
        "sums are about two operands, read at the last position",
    )
    for name, value in _NEEDED.items():
        require_support(
            model.config.get(name) == value,
            "SPEC-13.1",
            f"config field {name}: sums are proved for {_SUPPORTED}",
        )
    require_support(
        model.sizes["d_vocab_out"] > 1,
        "SPEC-13.1",
        "a model with one answer has no wrong one",
    )
    written = typed(proof["sums"], dict, "sums")
    rule = typed(written.get("rule"), str, "sums rule")
    require_support(rule in _RULES, "SPEC-13.1", f"sums have the unknown rule {rule}")
    found = fields(written, "sums", f"rule {_RULES[rule]}")
    pair = None
    hints = None
    settle = True
    if rule != "exact":
        left = parse_matrix(found["left"], "left", MOST_NEURONS)
        right = parse_matrix(found["right"], "right", MOST_NEURONS)
        pair = LowRank(left, right)
        settle = integer(found["settle"], "settle", 0, 1) == 1
    if rule == "switches":
        tokens = sum(map(len, domain.tokens))
        hints = parse_switches(found, model.sizes["d_mlp"], tokens)
        require_support(
            mix(model)[0] == 0,
            "SPEC-13.6",
            "switches are for constant attention, attention_mix zero",
        )
    return Sums(model, statement, precision, pair, hints, settle)
