"""Proofs about adding two tokens modulo the vocabulary: the logits of every input, exactly or
within a bound.  (SPEC-13)

For an input (a, b) with the right answer j0 = (a + b) mod p, and another answer j:

    logit_j0 - logit_j = sum_i relu(pre_i) (M_i,j0 - M_ij) + direct_j0 - direct_j.

In place of M a proof may name two matrices P and Q: with ``R = M - P Q``, formed exactly, P Q takes
the place of M, and what that leaves out is at most ``sum_i relu(pre_i) rng(R_i)``, one column more.
In place of relu it may name ``switches``.  Where heads attend, their weights are rounded down to
dyadic numbers, and what that moves is bounded.  What float32 may do is bounded once for all inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add, mul

from checker.float32.sums import drift
from checker.ground.decode import fields, integer, typed
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, Row, rescale, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE, low_rank, minus, parse_matrix
from checker.statement.model import Model, mix
from checker.statement.outcome import MARGIN_BITS, Outcome
from checker.statement.statement import Statement
from checker.sums.fold import PackedTables, aligned, first_weight, fold, packed
from checker.sums.readout import EveryNeuron, readout
from checker.sums.switches import (
    MOST_NEURONS,
    EverySwitch,
    SwitchHints,
    parse_switches,
    prepare,
)

_RULES = {
    "exact": "",
    "low-rank": "left right settle",
    "switches": "left right settle neurons scales tables",
}
"""Per rule the keys it has beside ``rule``.  (SPEC-13.1)"""
_NEEDED = {
    "n_layers": 1,
    "n_ctx": 2,
    "attn_only": False,
    "act_fn": "relu",
    "normalization_type": None,
    "readout": "last",
}
_SUPPORTED = (
    "one layer, two tokens, attention and a ReLU MLP, no normalisation, readout last"
)


@dataclass(frozen=True, slots=True)
class LowRank:
    """P and Q, which a proof names in the place of M.  (SPEC-13.5)"""

    left: Matrix
    right: Matrix


@dataclass(frozen=True, slots=True)
class Modular:
    """A proof of sums, parsed: P and Q or nothing, the switches or nothing, and whether M itself
    settles what is open.
    """

    model: Model
    statement: Statement
    precision: int
    pair: LowRank | None
    hints: SwitchHints | None
    settle: bool

    def outcomes(self, ledger: Ledger) -> tuple[Outcome, ...]:
        """Return what is proved of every input that has a weight, by first token, then by second.

        Raises: Malformed (SPEC-6.6, SPEC-13.6), Declined (SPEC-3.5, SPEC-8.2, SPEC-13.7).
        """
        domain = domain_of(self, ledger)
        first, second = self.statement.scope.weights
        return tuple(
            domain.outcome(a, b, weight * other, ledger)
            for a, weight in enumerate(first)
            for b, other in enumerate(second)
            if weight * other
        )

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        matrices = 2 if self.pair else 0
        switches = self.hints is not None
        return [
            f"sums: {matrices} matrices, switches: {switches}, "
            f"open inputs settled: {self.settle}"
        ]


# --- the domain -------------------------------------------------------------------


def _ranges(rows: Sequence[Row], ledger: Ledger) -> list[int]:
    """Return the range of each row.  Cost: two comparisons per entry, an addition per row."""
    entries = len(rows) * len(rows[0])
    ledger.charge(add=len(rows), cmp=2 * entries)
    return [max(row) - min(row) for row in rows]


Way = EveryNeuron | EverySwitch
"""A way to bound what neurons add to the logits of an input."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What serves all inputs.  Margins are over ``2^-scale``.

    ``direct``: the tables that answers read; ``direct_shift`` brings their entries to ``scale``.
    ``ways``: the ways to bound the logits, in the order in which they are tried.
    ``scores``: per head; ``effects``: per head, how much a margin moves for one unit in the last
    place of its weight.
    ``drift``: how much float32 can move a margin, over ``2^-scale 2^-48``.
    """

    vocab: int
    d_head: int
    precision: int
    scores: list[Matrix]
    effects: list[int]
    direct: PackedTables
    direct_shift: int
    ways: list[Way]
    scale: int
    drift: int

    def outcome(self, a: int, b: int, weight: int, ledger: Ledger) -> Outcome:
        """Return what is proved about one input.  (SPEC-13.3)

        Cost: that of its heads' weights and, until the margin has a sign, of the ways.
        """
        ends = [
            first_weight(scores, self.d_head, (a, b), self.precision, ledger)
            for scores in self.scores
        ]
        ledger.charge(mul=len(ends), add=2 * len(ends))
        ledger.hold(3, weight.bit_length())  # the outcome
        # Evaluated at the lower ends; what the widths move is e_att.  (SPEC-13.4)
        weights = [low for low, _ in ends]
        widths = [high - low for low, high in ends]
        attention = sum(map(mul, self.effects, widths))
        slack = (attention << TABLE_SCALE) + self.drift
        first = a
        second = self.vocab + b
        answer = (a + b) % self.vocab
        direct = self.direct.at(first, second, weights, ledger)
        direct = [entry << self.direct_shift for entry in direct]
        for way in self.ways:
            found = way.logits(first, second, weights, ledger)
            ledger.charge(add=2 * len(direct) + 4, cmp=len(direct) + 2)
            logits = list(map(add, found.values, direct))
            right = logits.pop(answer)
            gap = right - max(logits) << TABLE_SCALE
            error = slack + (found.error << TABLE_SCALE)
            if gap > error:
                shift = self.scale + TABLE_SCALE
                margin = gap - error << MARGIN_BITS >> shift
                ledger.hold(1, margin.bit_length())
                return Outcome(0, 0, weight, margin)
            # A tie is wrong.
            if gap <= -error:
                return Outcome(weight, weight, weight, None)
        return Outcome(0, weight, weight, None)


def domain_of(proof: Modular, ledger: Ledger) -> Domain:
    """Return what serves all inputs of a proof.

    Raises: Malformed (SPEC-6.6, SPEC-13.6), Declined (SPEC-3.5, SPEC-8.2, SPEC-13.7).
    """
    model = proof.model
    folded = fold(proof.model, ledger)
    neurons = model.sizes["d_mlp"]
    tables = folded.tables
    # Without heads that move anything there are no weights to be over 2^-precision.
    shift = proof.precision if folded.scores else 0
    pre = packed(tables, slice(neurons), shift, ledger)
    direct = packed(tables, slice(neurons, None), shift, ledger)
    reading = [
        Matrix(tuple(row[:neurons] for row in table.rows), table.scale)
        for table in tables
    ]
    M, ways = _ways(proof, folded.M, reading[0], pre, ledger)
    scale = tables[0].scale + shift + M.scale
    exp_errors = proof.statement.exp_errors
    moved = 0
    if exp_errors:
        fine = scale + TABLE_SCALE
        moved = drift(model, exp_errors, reading, M, fine, ledger)
    return Domain(
        vocab=model.sizes["d_vocab"],
        d_head=model.sizes["d_head"],
        precision=proof.precision,
        scores=folded.scores,
        effects=_effects(tables[1:], M, ledger),
        direct=direct,
        direct_shift=M.scale,
        ways=ways,
        scale=scale,
        drift=moved,
    )


def _ways(
    proof: Modular, M: Matrix, pre: Matrix, packed_pre: PackedTables, ledger: Ledger
) -> tuple[Matrix, list[Way]]:
    """Return M over the scale of logits, and the ways to bound them.
    (SPEC-13.3, SPEC-13.5, SPEC-13.6)
    """
    ways = list[Way]()
    room = 8 * packed_pre.slots.size
    if proof.pair:
        P = proof.pair.left
        Q = proof.pair.right
        M, PQ = aligned(ledger, M, low_rank(P, Q, M, ledger))
        # R = M - P Q, exactly.
        rest = _ranges(minus(M, PQ, ledger).rows, ledger)
        turned = transposed(rescale(Q, M.scale - P.scale, ledger)).rows
        thin = readout(P, rest, turned, room, ledger)
        if proof.hints:
            # An error q_i in relu(pre_i) moves a difference by q_i (rng(R_i) + rng((P Q)_i)).
            spread = list(map(add, rest, _ranges(PQ.rows, ledger)))
            switches = prepare(proof.hints, pre, thin, spread, ledger)
            ways.append(EverySwitch(thin, switches))
        else:
            ways.append(EveryNeuron(thin, packed_pre))
    if proof.settle:
        whole = readout(M, [0] * len(M.rows), (), room, ledger)
        ways.append(EveryNeuron(whole, packed_pre))
    return M, ways


def _effects(moved: list[Matrix], M: Matrix, ledger: Ledger) -> list[int]:
    """Return L_h per head, over the scale of margins: how much one unit in the last place of its
    weight moves any.  (SPEC-13.4)

    Cost: ranges of M, if any head moves anything; per entry of the tables a multiplication, an
          addition and two comparisons.
    """
    if not moved:
        return []
    spread = _ranges(M.rows, ledger)
    neurons = len(spread)

    def moves(row: Row) -> int:
        """Return ``f(z) = sum_i |(z W_in)_i| rng(M_i) + rng(z W_U)``."""
        direct = row[neurons:]
        through_neurons: int = sum(map(mul, map(abs, row), spread))
        return through_neurons + (max(direct) - min(direct) << M.scale)

    effects = []
    for table in moved:
        entries = len(table.rows) * len(table.rows[0])
        ledger.charge(mul=entries, add=entries, cmp=2 * entries)
        found = list(map(moves, table.rows))
        half = len(table.rows) // 2
        effects.append(max(found[:half]) + max(found[half:]))
    return effects


# --- parsing ----------------------------------------------------------------------


def parse_sums(
    proof: dict[str, object], model: Model, statement: Statement, precision: int
) -> Modular:
    """Return the proof of sums that these keys hold, for a model that adds two tokens.  (SPEC-13.1)

    Raises: Malformed (SPEC-3.x, SPEC-6.5, SPEC-13.6), Declined (SPEC-3.5, SPEC-13.x), with the
            clause.
    """
    require_support(
        statement.task == "modular-addition",
        "SPEC-13.1",
        "sums are about the task modular-addition only",
    )
    config = {"readout": "last", **model.config}
    for name, value in _NEEDED.items():
        require_support(
            config.get(name) == value,
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
        hints = parse_switches(found, model.sizes["d_mlp"], model.sizes["d_vocab"])
        require_support(
            mix(model)[0] == 0,
            "SPEC-13.6",
            "switches are for constant attention, attention_mix zero",
        )
    return Modular(model, statement, precision, pair, hints, settle)
