"""Proofs about adding two tokens modulo the vocabulary: the logits of every input, exactly or
within a bound.  (SPEC 13)

For an input (a, b) with the right answer j0 = (a + b) mod p, and another answer j:

    logit_j0 - logit_j = sum_i relu(pre_i) (M_i,j0 - M_ij) + direct_j0 - direct_j.

In place of M a proof may name two matrices P and Q: with ``R = M - P Q``, formed exactly, P Q takes
the place of M, and what
that leaves out is at most ``sum_i relu(pre_i) rng(R_i)``, one column more.  In place of relu it may
name ``switches``.  Where
heads attend, their weights are rounded down to dyadic numbers, and what that moves is bounded.
What float32
may do is bounded once for all inputs.
"""

from dataclasses import dataclass
from operator import add, mul

from checker.float32.sums import drift
from checker.ground.decode import fields, integer, typed
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, rescale, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE, low_rank, minus, parse_matrix
from checker.statement.model import Model, mix
from checker.statement.outcome import MARGIN_BITS, Outcome
from checker.statement.statement import Statement
from checker.sums.fold import aligned, fold, share, sums
from checker.sums.switches import (
    MOST_NEURONS,
    Readout,
    Switch,
    SwitchHints,
    parse_switches,
    prepare,
    readout,
    switched,
)

_RULES = {
    "exact": "",
    "low-rank": "left right settle",
    "switches": "left right settle neurons scales tables",
}
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


def _ranges(a: Matrix, ledger: Ledger) -> list[int]:
    """Return the range of each row.  Cost: two comparisons per entry, an addition per row."""
    ledger.charge(add=len(a.rows), cmp=2 * len(a.rows) * len(a.rows[0]))
    return [max(row) - min(row) for row in a.rows]


class Domain:
    """Derives the outcome of every input, from tables made once.

    ``readouts``: the ways to bound an input's logits, in the order in which they are tried;
    ``switches`` belong to the first.
    ``effects``: per head, how much its weight can move a margin.  Margins are over ``2^-scale``.
    ``drift``: how much float32
    can, over ``2^-scale 2^-48``.
    """

    def __init__(self, proof: "Modular", ledger: Ledger) -> None:
        """Raises: Malformed (SPEC-6.6, SPEC-13.6), Declined (SPEC-3.5, SPEC-8.2, SPEC-13.7)."""
        self.proof, self.ledger = proof, ledger
        (tables, self.scores, self.whole), neurons = (
            fold(proof.model, ledger),
            proof.model.sizes["d_mlp"],
        )
        reading = [
            Matrix(tuple(row[:neurons] for row in table.rows), table.scale)
            for table in tables
        ]
        shift = proof.precision if self.scores else 0
        self.pre, self.direct = (
            sums(tables, 0, neurons, shift, ledger),
            sums(tables, neurons, None, shift, ledger),
        )
        self.readouts, self.switches, room = (
            list[Readout](),
            list[Switch](),
            8 * self.pre.slots.size,
        )
        if proof.pair:
            left, right = proof.pair
            part = low_rank(left, right, self.whole, ledger)
            self.whole, part = aligned(ledger, self.whole, part)
            rest = _ranges(minus(self.whole, part, ledger), ledger)
            finer = rescale(right, self.whole.scale - left.scale, ledger)
            turned = transposed(finer).rows
            self.readouts = [readout(left, rest, turned, room, ledger)]
            if proof.hints:
                spread = list(map(add, rest, _ranges(part, ledger)))
                self.switches = prepare(
                    proof.hints, reading[0], self.readouts[0], spread, ledger
                )
        if proof.settle:
            self.readouts.append(readout(self.whole, [0] * neurons, (), room, ledger))
        self.scale = tables[0].scale + shift + self.whole.scale
        fine, exp = self.scale + TABLE_SCALE, proof.statement.exp_errors
        self.drift = (
            drift(proof.model, exp, reading, self.whole, fine, ledger) if exp else 0
        )
        self.effects = (
            self._effects(tables[1:], _ranges(self.whole, ledger))
            if self.scores
            else []
        )

    def _effects(self, moved: list[Matrix], spread: list[int]) -> list[int]:
        """Return, per head, a bound on how much a margin moves for one unit in the last place of
        its weight.  (SPEC 13.4)

        Cost: per entry of the tables a multiplication, an addition and two comparisons.
        """
        effects, neurons = [], len(spread)
        for table in moved:
            entries, half = len(table.rows) * len(table.rows[0]), len(table.rows) // 2
            self.ledger.charge(mul=entries, add=entries, cmp=2 * entries)
            direct = [
                (max(row[neurons:]) - min(row[neurons:])) << self.whole.scale
                for row in table.rows
            ]
            rows = [
                sum(map(mul, map(abs, row), spread), start)
                for row, start in zip(table.rows, direct, strict=True)
            ]
            effects.append(max(rows[:half]) + max(rows[half:]))
        return effects

    def outcome(self, first: int, second: int, weight: int) -> Outcome:
        """Return what is proved about one input.  (SPEC 13.3)

        Cost: that of its heads' weights and, until the margin has a sign, of the readouts.
        """
        vocab, d_head = (
            self.proof.model.sizes["d_vocab"],
            self.proof.model.sizes["d_head"],
        )
        ends = [
            share(scores, d_head, (first, second), self.proof.precision, self.ledger)
            for scores in self.scores
        ]
        self.ledger.charge(mul=len(ends), add=2 * len(ends))
        widths = [
            effect * (high - low) << TABLE_SCALE
            for effect, (low, high) in zip(self.effects, ends, strict=True)
        ]
        slack, shares, rows = (
            sum(widths, self.drift),
            [low for low, _ in ends],
            (first, vocab + second),
        )
        answer, direct = (
            (first + second) % vocab,
            self.direct.at(*rows, shares, self.ledger),
        )
        right, wrong, lower = False, False, 0
        for number, found in enumerate(self.readouts):
            if self.switches and number == 0:
                total, error = switched(
                    self.switches, *rows, len(found.right[0]) + 1, self.ledger
                )
            else:
                total, error = (
                    found.total(self.pre.at(*rows, shares, self.ledger), self.ledger),
                    0,
                )
            logits, rest = found.logits(total, self.ledger)
            self.ledger.charge(add=2 * len(direct) + 4, cmp=len(direct) + 2)
            logits = [
                value + (entry << self.whole.scale)
                for value, entry in zip(logits, direct, strict=True)
            ]
            gap, error = (
                logits.pop(answer) - max(logits) << TABLE_SCALE,
                slack + (error + rest << TABLE_SCALE),
            )
            lower, right, wrong = gap - error, gap > error, gap <= -error
            if right or wrong:
                break
        margin = lower << MARGIN_BITS >> self.scale + TABLE_SCALE if right else None
        self.ledger.hold(3, (margin or 0).bit_length())
        return Outcome(weight if wrong else 0, 0 if right else weight, weight, margin)


@dataclass(frozen=True, slots=True)
class Modular:
    """A proof of sums, parsed: P and Q or nothing, the switches or nothing, and whether M itself
    settles what is open.
    """

    model: Model
    statement: Statement
    precision: int
    pair: tuple[Matrix, ...]
    hints: SwitchHints | None
    settle: bool

    def outcomes(self, ledger: Ledger) -> tuple[Outcome, ...]:
        """Return what is proved of every input that has a weight, by first token, then by second.

        Raises: Malformed (SPEC-6.6, SPEC-13.6), Declined (SPEC-3.5, SPEC-8.2).
        """
        domain, (first, second) = Domain(self, ledger), self.statement.scope.weights
        pairs = (
            (a, b, first[a] * second[b])
            for a in range(len(first))
            for b in range(len(second))
        )
        return tuple(domain.outcome(*pair) for pair in pairs if pair[2])

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        return [
            f"sums: {len(self.pair)} matrices, switches: {self.hints is not None}, open inputs settled: {self.settle}"
        ]


def parse_sums(
    proof: dict[str, object], model: Model, statement: Statement, precision: int
) -> Modular:
    """Return the proof of sums that these keys hold, for a model that adds two tokens.  (SPEC 13.1)

    Raises: Malformed (SPEC-3.x, SPEC-6.5, SPEC-13.6), Declined (SPEC-3.5, SPEC-13.x), with the
            clause.
    """
    require_support(
        statement.task == "modular-addition",
        "SPEC-13.1",
        "sums are about the task modular-addition only",
    )
    for name, value in _NEEDED.items():
        fits = {"readout": "last", **model.config}.get(name) == value
        require_support(
            fits, "SPEC-13.1", f"config field {name}: sums are proved for {_SUPPORTED}"
        )
    require_support(
        model.sizes["d_vocab_out"] > 1,
        "SPEC-13.1",
        "a model with one answer has no wrong one",
    )
    rule = typed(
        proof["sums"].get("rule") if type(proof["sums"]) is dict else None,
        str,
        "sums rule",
    )
    require_support(rule in _RULES, "SPEC-13.1", f"sums have the unknown rule {rule}")
    found = fields(proof["sums"], "sums", f"rule {_RULES[rule]}")
    pair = tuple(
        parse_matrix(found[key], key, MOST_NEURONS)
        for key in ("left", "right")
        if key in found
    )
    hints = (
        parse_switches(found, model.sizes["d_mlp"], model.sizes["d_vocab"])
        if rule == "switches"
        else None
    )
    require_support(
        hints is None or mix(model)[0] == 0,
        "SPEC-13.6",
        "switches are for constant attention, attention_mix zero",
    )
    return Modular(
        model,
        statement,
        precision,
        pair,
        hints,
        integer(found.get("settle", 1), "settle", 0, 1) == 1,
    )
